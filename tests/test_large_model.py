"""The model of large particles: tensors, losses, search."""

import dataclasses
import json

import numpy as np
import pytest
import torch

from diffpy_cbldm.cluster import Cluster
from diffpy_cbldm.crystals.large_cuts import (
    LARGE_TYPES,
    Ground,
    Outline,
    Piece,
    template_of,
)
from diffpy_cbldm.debye.simulation import simulate
from diffpy_cbldm.errors import CbldmError
from diffpy_cbldm.fitting.quickfit import quick_fit
from diffpy_cbldm.fitting.target import Target
from diffpy_cbldm.model.cbldm import CbLDM
from diffpy_cbldm.model.curves import QDAMP_UNIT, pdf_tensor, tell_qdamp
from diffpy_cbldm.model.outline import OutlineSpace
from diffpy_cbldm.model.structure import outline_errors
from diffpy_cbldm.search import by_model, large_model
from diffpy_cbldm.search.by_model import cbldm_generator
from diffpy_cbldm.search.large_match import Comparison
from diffpy_cbldm.search.large_model import Told, drawn, search_large
from diffpy_cbldm.search.large_moves import layers, neighbours, restacked
from diffpy_cbldm.search.pool import POPULATION
from diffpy_cbldm.settings import PRESETS
from diffpy_cbldm.threads import one_thread
from training.evaluation import evaluate, large
from training.large import LargeStream, histogram, random_particle
from training.losses import stage_losses
from training.settings import WORLDS, Training
from training.trainer import Trainer

TINY = dataclasses.replace(
    PRESETS["large"],
    condition_width=8,
    encoder_width=4,
    prior_width=64,
    prior_blocks=1,
    decoder_width=64,
    decoder_blocks=1,
    denoiser_width=8,
)
BOND = 2.77


@pytest.fixture(autouse=True)
def one():
    """The networks are small: threads would wait for one another."""
    with one_thread():
        yield


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return CbLDM(TINY).eval()


@pytest.fixture(scope="module")
def batch():
    stream = LargeStream(TINY, WORLDS["large"], pool=8)
    return stream.batch(16, np.random.default_rng(0))


def ball(crystal="fcc", radius=3.6, **more):
    """A sphere about an atom."""
    ground = Ground.of(crystal, 2)
    return Piece(ground, np.flatnonzero(ground.radii <= radius))


def measured(piece, qdamp=0.03, noise=0.0, known=True, rmax=50.0):
    """The PDF of a piece, as a target on all data."""
    (pdf,) = simulate(
        [Cluster("Pt", piece.positions * BOND)],
        qdamp=qdamp,
        biso=0.4,
        rmax=rmax,
    )
    g = pdf.g + noise * pdf.g.std() * np.random.default_rng(1).normal(
        size=len(pdf.g)
    )
    pdf = dataclasses.replace(pdf, g=g, qdamp=qdamp if known else None)
    return Target.of(pdf, rmax=rmax)


def test_the_head_of_the_tensor_tells_qdamp():
    g = torch.randn(2, TINY.pdf_channels * TINY.pdf_length)
    told = tell_qdamp(g, torch.tensor([0.08, torch.nan]))
    c = pdf_tensor(told, TINY)
    assert c.shape == (2, TINY.pdf_channels, TINY.pdf_length)
    flat = c.transpose(1, 2).reshape(2, -1)
    half = round(0.7 / TINY.pdf_step) // 2
    assert torch.allclose(flat[0, :half], torch.ones(half))
    assert torch.allclose(flat[0, half + 1], torch.tensor(QDAMP_UNIT * 0.08))
    assert not flat[1, : 2 * half].any()
    # What is told changes nothing else, whatever its scale.
    again = pdf_tensor(tell_qdamp(7 * g, torch.full((2,), torch.nan)), TINY)
    again = again.transpose(1, 2).reshape(2, -1)
    assert torch.allclose(again[:, 2 * half + 1 :], flat[:, 2 * half + 1 :])


def test_batches_have_the_shapes_of_the_networks(model, batch):
    assert batch.g.shape == (16, TINY.pdf_channels * TINY.pdf_length)
    assert batch.positions.shape[2] == 3
    c = pdf_tensor(batch.g, TINY)
    noise = torch.Generator().manual_seed(0)
    for stage in ("condition", "structure", "denoiser"):
        loss, parts = stage_losses(stage, model, batch, Training(), noise)
        assert torch.isfinite(loss)
        assert all(torch.isfinite(v) for v in parts.values())
    decoded = model.structure.decoder(torch.randn(3, 1, 16, 16))
    assert decoded.kinds.shape == (3, len(LARGE_TYPES))
    assert decoded.extents.shape[1] == batch.target["extents"].shape[1]
    assert model.condition.encode(c)[0].shape == (16, 8, 25)


@pytest.mark.parametrize("crystal", LARGE_TYPES)
def test_what_is_told_of_a_particle(crystal):
    piece = ball(crystal, 3.0)
    outline = Outline.of(piece)
    space = OutlineSpace()
    between = 2 if crystal == "lamella" else 0
    row = torch.as_tensor(space.told(outline, len(piece), between))[None]
    assert int(space.counts(row)) == len(piece)
    target = space.target(row)
    assert LARGE_TYPES[int(target["type"])] == crystal
    own = target["extents"][0, space.parts[template_of(crystal)]]
    assert torch.allclose(own.double(), torch.tensor(outline.extents))
    # Directions of other templates have no value.
    assert int(target["extents"].isfinite().sum()) == len(own)
    assert torch.isfinite(target["shape"]).all()


def test_errors_are_those_of_the_own_template(model, batch):
    decoded = model.structure.decoder(torch.zeros(16, 1, 16, 16))
    wild = torch.where(batch.target["extents"].isnan(), 1e6, decoded.extents)
    first = outline_errors(decoded, batch.target)
    second = outline_errors(decoded._replace(extents=wild), batch.target)
    assert first["extents"] == second["extents"]
    perfect = decoded._replace(
        scalars=batch.target["scalars"], extents=batch.target["extents"]
    )
    errors = outline_errors(perfect, batch.target)
    assert errors["shape"] == errors["extents"] == 0


def test_histograms_give_the_pairs():
    piece = random_particle(np.random.default_rng(3), "fcc", (150, 300))
    row = histogram(piece).double()
    apart = np.linalg.norm(
        piece.positions[:, None] - piece.positions[None], axis=2
    )
    apart = apart[apart > 0]
    assert float(row.sum()) == pytest.approx(
        (1 / apart).sum() / len(piece), rel=1e-3
    )


def test_no_particle_is_trained_on_and_tested():
    rng = np.random.default_rng(0)
    from diffpy_cbldm.crystals.large_cuts import kept_back

    for crystal in ("fcc", "lamella", "dec"):
        assert not kept_back(random_particle(rng, crystal, (200, 400)))
        found = random_particle(rng, crystal, (200, 400), test=True)
        assert kept_back(found)


def test_a_handful_of_particles_is_learnt(tmp_path, monkeypatch):
    """Golden: the networks can tell type and size of what they have seen."""
    monkeypatch.setitem(PRESETS, "tiny-large", TINY)
    monkeypatch.setitem(WORLDS, "tiny-large", WORLDS["large"])
    training = Training(
        batch=16, condition_steps=5, structure_steps=100, warmup=20, ema=0.9
    )
    trainer = Trainer("tiny-large", tmp_path, training=training)
    trainer.stream.pool = 4
    trainer.training = dataclasses.replace(training, validate_every=10**6)
    trainer._next_stage()
    first = trainer.advance()
    for _ in range(98):
        last = trainer.advance()
    assert last["loss"] < 0.5 * first["loss"]
    batch = trainer.stream.batch(16, np.random.default_rng(5))
    model = trainer.averaged_model()
    with torch.no_grad():
        c_0 = model.c_0(batch.g)
        decoded = model.structure.decoder(model.structure.prior(c_0)[0])
    right = decoded.kinds.argmax(1) == batch.target["type"]
    assert right.float().mean() > 0.8
    off = 3 * (decoded.scalars - batch.target["scalars"])[:, 0].abs()
    assert off.median() < 0.3


def test_candidates_do_not_depend_on_how_many_are_drawn(model):
    target = measured(ball())
    few = drawn(model, target, BOND, 5, seed=3)
    many = drawn(model, target, BOND, 40, seed=3)
    for one, other in zip(few, many):
        assert one.crystal == other.crystal
        assert np.array_equal(one.extents, other.extents)
        assert one.atoms == other.atoms


def test_the_comparison_agrees_with_a_fit():
    truth = ball(radius=3.9)
    target = measured(truth, noise=0.005)
    other = Piece(truth.ground, truth.index[:-30])
    comparison = Comparison(target, other)
    fits = quick_fit([p.positions * BOND for p in (truth, other)], target)
    found = [comparison.rw(p) for p in (truth, other)]
    assert found == pytest.approx([f.rw for f in fits], abs=0.003)
    assert found[0] < found[1]


@pytest.mark.parametrize("crystal", ["fcc", "dec"])
def test_gains_say_which_atoms_are_missing(crystal):
    truth = ball(crystal, 3.9)
    target = measured(truth)
    # A cap is gone: its atoms gain, those of a cap too much lose.
    top = truth.ground.heights[truth.index, 0]
    short = Piece(truth.ground, truth.index[top < top.max() - 0.6])
    comparison = Comparison(target, short)
    missing = np.setdiff1d(truth.index, short.index)
    beyond = np.arange(truth.index[-1] + 1, truth.index[-1] + 100)
    gains = comparison.gains(short, np.concatenate([missing, beyond]))
    assert gains[: len(missing)].mean() > gains[len(missing) :].mean()
    assert gains[: len(missing)].mean() > 0


def test_layers_come_and_go():
    piece = ball(radius=3.3)
    inner, outer = layers(piece)
    for part in inner:
        assert np.isin(part, piece.index).all()
    for part in outer:
        assert not np.isin(part, piece.index).any()
    target = measured(piece)
    comparison = Comparison(target, piece)
    near = list(neighbours(piece, comparison, 6))
    assert near and all(len(p) != len(piece) for p in near[:6])
    # Nothing beats the truth.
    best = comparison.rw(piece)
    assert min(comparison.rw(p) for p in near) > best - 1e-4


def test_other_stackings_keep_the_outline():
    piece = ball("fcc", 3.5)
    found = list(restacked(piece))
    assert {p.crystal for p in found} == {"hcp", "twin", "lamella"}
    size = np.linalg.norm(piece.positions, axis=1).mean()
    for one in found:
        assert len(one) == len(piece)
        own = np.linalg.norm(one.positions, axis=1).mean()
        assert own == pytest.approx(size, rel=0.03)
    assert "fcc" in {p.crystal for p in restacked(ball("twin", 3.5))}
    assert not list(restacked(ball("bcc", 3.0)))


@pytest.mark.parametrize("known", [True, False])
def test_a_search_mends_what_the_model_tells(known, monkeypatch):
    ground = Ground.of("fcc")
    extents = 3.9 * np.where(np.arange(ground.heights.shape[1]) % 7, 1.0, 0.9)
    index, size = ground.gauge(extents, 4.4, np.zeros(3))
    truth = Piece(ground, np.sort(index[size <= 1]))
    target = measured(truth, noise=0.005, known=known, rmax=60.0)

    def told(model, target, bond, count, seed):
        rng = np.random.default_rng(seed)
        outline = Outline.of(truth)
        return [
            Told(
                "fcc",
                len(truth) * float(np.exp(rng.normal(0, 0.08))),
                outline.extents * np.exp(rng.normal(0, 0.04, len(extents))),
                outline.radius,
                0,
            )
            for _ in range(count)
        ]

    monkeypatch.setattr(large_model, "drawn", told)
    first = told(None, target, target.bond, 16, 0)
    found = search_large(None, target, 0, first)
    again = search_large(None, target, 0, first)
    best, *rest = found.candidates(8)
    assert best.structure_type == "fcc"
    assert len(best) == pytest.approx(len(truth), rel=0.03)
    assert len({len(c) for c in rest}) > 3
    (fit,) = quick_fit([best.positions], target)
    assert fit.rw < 0.012
    same = again.candidates(8)
    assert [len(c) for c in same] == [len(c) for c in (best, *rest)]


@pytest.mark.parametrize("radius", [1.6, 2.1])
def test_small_clusters_have_the_candidates_of_the_small_model(radius):
    target = measured(ball(radius=radius), rmax=30.0)
    alone = cbldm_generator(target, count=4, large="")
    both = cbldm_generator(target, count=4)
    assert len(alone) == len(both) > 0
    for one, other in zip(alone, both):
        assert np.array_equal(one.positions, other.positions)


def test_the_first_latents_do_not_depend_on_how_many_are_drawn():
    """What tells the sizes serves the search as well."""
    target = measured(ball(radius=5.5), rmax=30.0)
    model = by_model._model("large", "cpu")
    few = drawn(model, target, target.bond, 5, seed=3)
    many = drawn(model, target, target.bond, 40, seed=3)
    for one, other in zip(few, many):
        assert one.atoms == other.atoms and one.crystal == other.crystal
        assert np.array_equal(one.extents, other.extents)


def test_no_latents_are_noised_where_larger_particles_explain_more():
    target = measured(ball(radius=2.1), noise=0.05, rmax=30.0)
    model = by_model._model("small", "cpu")
    whole = by_model._search(model, target, 0, worth=np.inf)
    short = by_model._search(model, target, 0, worth=0.9 * whole.least)
    assert len(short.latents) == POPULATION < len(whole.latents)
    # Surfaces are left as well, so that fewer structures were looked at.
    assert len(short.entries) < len(whole.entries)


def test_large_particles_are_found_by_the_packaged_weights():
    target = measured(ball(radius=5.5), noise=0.005, rmax=60.0)
    found = cbldm_generator(target, count=4)
    truth = len(ball(radius=5.5))
    assert found[0].structure_type == "fcc"
    assert len(found[0]) == pytest.approx(truth, rel=0.05)


def test_other_weights_are_refused_for_large_particles():
    target = measured(ball(radius=2.1), rmax=30.0)
    with pytest.raises(CbldmError, match="expected 'outline'"):
        cbldm_generator(target, count=4, large="small")


def test_an_evaluation_goes_on_with_the_next_particle(tmp_path, monkeypatch):
    """A particle has a row of each generator and one of the whole job."""
    monkeypatch.setattr(
        large,
        "_figures",
        lambda name, case, *_: {"generator": name, "n": case.number},
    )
    monkeypatch.setattr(
        large,
        "_stated",
        lambda case, _: {"generator": large.STATED, "n": case.number},
    )
    monkeypatch.setattr(evaluate, "large_report", lambda rows: "")

    def rows(count):
        path = tmp_path / "rows.json"
        words = ["--split", "large", "--structures", str(count)]
        words += ["--workers", "1", "--resume", "--json", str(path)]
        evaluate.evaluate_large(evaluate.make_parser().parse_args(words))
        return json.loads(path.read_text())["large"]

    assert rows(1) == rows(2)[: len(large.ROWS)]
    found = [(row["n"], row["generator"]) for row in rows(2)]
    assert found == [(n, name) for n in range(2) for name in large.ROWS]
