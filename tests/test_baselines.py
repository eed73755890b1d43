"""The compared systems learn, answer alike for a seed, and leak nothing."""

import csv
import json

import numpy as np
import pytest
import torch

from diffpy_cbldm.cluster import Cluster
from diffpy_cbldm.crystals.alike import rmsd
from diffpy_cbldm.crystals.table import load_table
from diffpy_cbldm.debye.simulation import simulate
from diffpy_cbldm.errors import CbldmError
from diffpy_cbldm.model.laplacian import laplacian_tensor
from diffpy_cbldm.settings import MAX_ATOMS, Model
from training.baselines import LEARNED, WEIGHTS, mining, tune
from training.baselines.generators import baseline_generator, emitted
from training.baselines.networks import (
    DEGREE,
    RANK,
    SIGMA2,
    Cvae,
    Regressor,
    kernel,
)
from training.baselines.outputs import OUTPUTS, Convolved
from training.baselines.pool import POINTS, curves, drawn, load_pool, read
from training.baselines.train import SETTINGS, Trainer, finish, run
from training.stream import Stream, held_out

REGRESSORS = ("mlp", "cnn", "resnet", "transformer")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A pool of 320 PDFs in two files."""
    path = tmp_path_factory.mktemp("pool")
    stream = Stream(Model())
    for k in range(2):
        rng = np.random.default_rng([0, k])
        np.savez(path / f"seed0-{k:03d}.npz", **drawn(stream, rng, 160))
    return path


@pytest.fixture(scope="module")
def pool(folder):
    return read(sorted(folder.glob("*.npz")))


@pytest.fixture(scope="module")
def pdf():
    table = load_table()
    (found,) = simulate([Cluster("Pt", 2.75 * table.positions(40))])
    return found


def test_curves_do_not_depend_on_scale_or_background():
    g = torch.randn(3, 2 * POINTS)
    other = 7.0 * g
    other[:, :70] += 5.0
    assert torch.allclose(curves(g), curves(other), atol=1e-5)
    assert torch.allclose(curves(g).square().mean(1), torch.ones(3))


def test_pool_keeps_what_the_stream_drew(folder, pool):
    batch = Stream(Model()).batch(160, np.random.default_rng([0, 1]))
    rows = pool.batch(np.arange(160, 320))
    assert torch.equal(rows.lengths, batch.lengths)
    assert torch.allclose(rows.positions, batch.positions, atol=5e-3)
    assert torch.allclose(rows.g, curves(batch.g), atol=1e-2)
    assert torch.equal(rows.kinds, batch.target["type"])
    for sites, filled in zip(rows.sites, batch.target["filled"]):
        assert torch.equal(sites[sites >= 0], filled.nonzero()[:, 0])
    assert len(load_pool(folder, parts=2)) == 320


def test_the_loss_is_the_squared_error_of_the_kernel(pool):
    rows = pool.batch(np.arange(10))
    model = Regressor("mlp")
    with torch.no_grad():
        f = model(rows.g)
        apart = f @ f.mT - kernel(rows.positions, rows.lengths)
        plain = apart.square().sum((1, 2))
        plain += (apart.sum(2) / DEGREE).square().sum(1)
        found = model.loss(rows)
    known = float((plain / rows.lengths).mean())
    assert float(found) == pytest.approx(known, 1e-4)


def test_a_regressor_learns_two_structures_by_heart(pool):
    rows = pool.batch(np.arange(2))
    torch.manual_seed(0)
    model = Regressor("mlp")
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    losses = []
    for _ in range(150):
        loss = model.loss(rows)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.01 * losses[0]
    found = [model.structures(rows.g[i : i + 1])[0] for i in range(2)]
    assert [len(x) for x in found] == rows.lengths.tolist()


def test_the_best_factors_give_the_atoms_back(pool, monkeypatch):
    """The rank of F is enough for the recovery, and N is read off it."""
    model = Regressor("mlp")
    for row in (3, 40):
        g, positions, lengths, *_ = pool.batch(np.array([row]))
        values, vectors = torch.linalg.eigh(kernel(positions, lengths)[0])
        f = vectors[:, -RANK:] * values[-RANK:].clamp_min(0).sqrt()
        monkeypatch.setattr(model, "forward", lambda _, f=f: f[None])
        (found,) = model.structures(g)
        n = int(lengths)
        assert len(found) == n
        assert rmsd(found, positions[0, :n].double()) < 0.02


@pytest.mark.parametrize("name", ["distances", "coordinates", "sites"])
def test_outputs_learn_a_structure_by_heart(name, pool):
    rows = pool.batch(np.array([3]))
    torch.manual_seed(0)
    model = OUTPUTS[name]()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(150):
        loss = model.loss(rows)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    n = int(rows.lengths)
    (found,) = model.eval().structures(rows.g)
    assert len(found) == n
    assert rmsd(found, rows.positions[0, :n].double()) < 0.1


def test_what_the_published_decoder_emits_is_a_laplacian(pool, monkeypatch):
    rows = pool.batch(np.array([3]))
    truth = laplacian_tensor(rows.positions, rows.lengths, SIGMA2)
    model = Convolved()
    monkeypatch.setattr(model, "emit", lambda _: truth)
    assert float(model.loss(rows)) == 0.0
    n = int(rows.lengths)
    (found,) = model.structures(rows.g)
    assert len(found) == n
    assert rmsd(found, rows.positions[0, :n].double()) < 1e-2
    monkeypatch.undo()
    assert model.emit(rows.g).shape == truth.shape
    assert float(model.loss(rows).detach()) > 0.0


@pytest.mark.parametrize("system", REGRESSORS)
def test_regressors_emit_factors_of_a_positive_kernel(system, pool):
    f = Regressor(system)(pool.batch(np.arange(2)).g)
    k = (f @ f.mT).detach()
    assert k.shape == (2, MAX_ATOMS, MAX_ATOMS)
    assert float(torch.linalg.eigvalsh(k.double()).min()) > -1e-4


def test_atoms_that_fall_together_are_moved_apart():
    class Collapsed:
        def structures(self, g, count, seed):
            row = np.arange(4.0)[:, None] * [1.0, 0.0, 0.0]
            return [np.concatenate([row, row[:2], row[:1]])]

    x = np.arange(6.0)[:, None] * [2.7, 0, 0]
    (pdf,) = simulate([Cluster("Pt", x)])
    (found,) = emitted(Collapsed(), pdf)
    apart = np.linalg.norm(found[:, None] - found, axis=-1)
    np.fill_diagonal(apart, np.inf)
    assert len(found) == 7 and 0.001 < apart.min() < 0.2
    assert np.array_equal(found, emitted(Collapsed(), pdf)[0])


def test_the_vae_draws_alike_for_a_seed(pool):
    g = pool.batch(np.arange(1)).g
    model = Cvae().eval()
    first, again = (model.structures(g, 4, seed=3) for _ in range(2))
    other = model.structures(g, 4, seed=4)
    assert all(np.array_equal(a, b) for a, b in zip(first, again))
    assert np.array_equal(first[0], other[0])  # the prior's mean
    assert not np.array_equal(first[1], other[1])


def test_the_code_of_a_graph_does_not_depend_on_padding(pool):
    rows = pool.batch(np.argsort(np.diff(pool.starts))[:2])
    g, positions, lengths, *_ = rows
    model = Cvae().eval()
    with torch.no_grad():
        c = model.trunk(g)
        both = model.encode(positions, lengths, c)[0]
        alone = model.encode(positions[:1], lengths[:1], c[:1])[0]
    assert torch.allclose(both[:1], alone, atol=1e-5)


def test_training_lowers_the_loss_and_goes_on_after_a_stop(pool, tmp_path):
    trainer = Trainer("mlp", pool, minutes=1e3)
    first = np.mean([trainer.advance() for _ in range(10)])
    for _ in range(40):
        trainer.advance()
    trainer.save(tmp_path / "mlp.ckpt")
    again = Trainer("mlp", pool, minutes=1e3)
    again.load(tmp_path / "mlp.ckpt")
    assert again.step == 50 and again.seconds == trainer.seconds
    # The time spent sets the rate, which hardly moves in a step.
    assert again.advance() == pytest.approx(trainer.advance(), rel=1e-3)
    assert again.advance() < 0.6 * first
    with pytest.raises(SystemExit, match="seed"):
        Trainer("mlp", pool, 1.0, seed=1).load(tmp_path / "mlp.ckpt")


def test_weights_come_with_their_record(pool, tmp_path, pdf):
    trainer = Trainer("cnn", pool, minutes=0.02)
    list(run(trainer, tmp_path))
    assert trainer.done
    finish(trainer, tmp_path, {"system": "cnn"})
    known = json.loads((tmp_path / "cnn.json").read_text())
    assert known["pool"] == pool.digest and known["steps"] == trainer.step
    with (tmp_path / "cnn-loss.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert float(rows[-1]["heldout"]) == pytest.approx(
        known["validation"]["heldout"], rel=1e-3
    )
    (found,) = baseline_generator("cnn", tmp_path)(pdf, count=8)
    assert set(found.elements) == {"Pt"} and 5 <= len(found) <= MAX_ATOMS


@pytest.mark.parametrize("system", SETTINGS)
def test_shipped_weights_were_trained_with_the_settings_in_use(system):
    known = json.loads((WEIGHTS / f"{system}.json").read_text())
    assert (known["rate"], known["batch"]) == SETTINGS[system]


def test_a_setting_that_is_clearly_better_is_named(pool):
    rate, batch = SETTINGS["cnn"]
    row = tune.tried("cnn", pool, 0.5, rate, batch)
    assert row["steps"] > 0 and np.isfinite(row["validation"])
    rows = [row, row | {"rate": 1.0, "validation": 0.5 * row["validation"]}]
    assert f"rate 1, batch {batch} is clearly better" in tune.verdict(
        rows, "cnn"
    )
    near = [row, row | {"rate": 1.0, "validation": 0.99 * row["validation"]}]
    assert "worse by 1.0%" in tune.verdict(near, "cnn")
    none = [row, row | {"rate": 1.0, "validation": None}]
    assert tune.best(none, "cnn") == row


def test_unknown_systems_and_missing_weights_are_named(tmp_path):
    with pytest.raises(CbldmError, match="'gpt'.*mlp, cnn"):
        baseline_generator("gpt")
    with pytest.raises(CbldmError, match="--system resnet"):
        baseline_generator("resnet", tmp_path)


def test_classes_are_no_held_out_geometries():
    hidden = held_out(load_table())
    assert not hidden[mining.classes()].any()
    assert len(mining.classes()) + hidden.sum() == len(hidden)


def test_packed_trees_say_the_same(tmp_path):
    xgboost = pytest.importorskip("xgboost")
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, POINTS // mining.BINS)).astype(np.float32)
    y = (x[:, 0] > 0).astype(int) + (x[:, 1] > 0)
    data = xgboost.DMatrix(x, y)
    booster = xgboost.train(
        {**mining.SETTINGS, "num_class": 3}, data, num_boost_round=3
    )
    path = tmp_path / mining.FILE
    path.write_bytes(mining.packed(booster))
    found = mining.load(path).predict(data)
    assert np.allclose(found, booster.predict(data), atol=1e-3)
    assert mining.scores(found, y)["top1"] > 0.9
    assert mining.scores(found, y)["top5"] == 1.0


def test_shipped_weights_are_small():
    files = [
        p for p in WEIGHTS.iterdir() if p.suffix in (".safetensors", ".xz")
    ]
    assert {p.name.split(".")[0] for p in files} == set(LEARNED)
    assert sum(p.stat().st_size for p in files) < 16e6


@pytest.mark.parametrize("system", LEARNED)
def test_generators_answer_alike_for_a_seed(system, pdf):
    if system == "mining":
        pytest.importorskip("xgboost")
    make = baseline_generator(system)
    first, again = (make(pdf, count=6, seed=2) for _ in range(2))
    assert 1 <= len(first) <= 6
    for a, b in zip(first, again):
        assert np.array_equal(a.positions, b.positions)
    assert all(np.isfinite(c.positions).all() for c in first)


def test_the_classifier_proposes_no_held_out_cluster(pdf):
    pytest.importorskip("xgboost")
    table = load_table()
    hidden = {
        table.positions(i).tobytes() for i in np.flatnonzero(held_out(table))
    }
    rows = curves(torch.as_tensor(pdf.g[None, : 2 * POINTS].copy()))
    booster = mining.load(WEIGHTS / mining.FILE)
    for i in mining.likeliest(booster, rows, 2000):
        assert table.positions(i).tobytes() not in hidden
    found = baseline_generator("mining")(pdf, count=8)
    assert {len(c) for c in found} <= {
        len(table.positions(i)) for i in mining.classes()
    }
