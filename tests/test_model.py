"""The networks: shapes, blindness of the decoder, seeds, round trips."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist, pdist

from diffpy_cbldm.crystals.cuts import deformed
from diffpy_cbldm.crystals.filling import (
    Filling,
    Proposal,
    likely_numbers,
    overlapping,
    ranked_sites,
)
from diffpy_cbldm.crystals.table import TEMPLATE_OF, load_table
from diffpy_cbldm.errors import CbldmError
from diffpy_cbldm.model.cbldm import LATENT, CbLDM
from diffpy_cbldm.model.condition import algorithm_1
from diffpy_cbldm.model.curves import pdf_tensor
from diffpy_cbldm.model.laplacian import laplacian_of, laplacian_tensor
from diffpy_cbldm.model.layers import gaussian_kl
from diffpy_cbldm.model.recovery import recover
from diffpy_cbldm.model.structure import algorithm_2, soft_laplacian_error
from diffpy_cbldm.model.weights import load_weights, save_weights
from diffpy_cbldm.settings import (
    CRYSTAL_TYPES,
    PRESETS,
    STRUCTURE_TYPES,
    Sampling,
)
from training.stream import Stream, held_out

TINY = PRESETS["tiny"]


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return CbLDM(TINY).eval()


@pytest.fixture(scope="module")
def batch():
    return Stream(TINY).batch(6, np.random.default_rng(0))


def test_shapes(model, batch):
    c = pdf_tensor(batch.g, TINY)
    assert c.shape == (6, TINY.pdf_channels, TINY.pdf_length)
    loss, c_0 = algorithm_1(model.condition, c)
    assert c_0.shape == (6, TINY.condition_channels, TINY.pdf_length // 4)
    assert loss.ndim == 0
    x = laplacian_tensor(batch.positions, batch.lengths, TINY.sigma2)
    assert x.shape == (6, 4, 128, 128)
    mean, logvar = model.structure.encoder(x, c_0, torch.zeros(len(x), 3))
    assert mean.shape == logvar.shape == (6, 1, 16, 16)
    kinds, sites, shape, extents = model.structure.decoder(mean)
    assert kinds.shape == (6, 8) and shape.shape == (6, 3)
    assert sites.shape == (6, model.structure.sites.count)


def test_pdf_tensor_keeps_neighbours_and_forgets_the_scale(batch):
    c = pdf_tensor(batch.g, TINY)
    assert torch.allclose(pdf_tensor(7.5 * batch.g, TINY), c, atol=1e-5)
    flat = c.transpose(1, 2).reshape(6, -1)
    start = 70
    ratio = flat[:, start:] / batch.g[:, start:]
    spread = torch.nan_to_num(ratio, 0.0).amax(1)
    assert torch.allclose(
        flat[:, start:], batch.g[:, start:] * spread[:, None], atol=1e-4
    )


def test_kl_of_gaussians_against_samples():
    g = torch.Generator().manual_seed(0)
    m, v, m0, v0 = (torch.randn(1, 3, generator=g) for _ in range(4))
    x = m + torch.exp(v / 2) * torch.randn(200_000, 3, generator=g)

    def log_density(mean, logvar):
        return -0.5 * (logvar + (x - mean) ** 2 / logvar.exp()).sum(1)

    sampled = (log_density(m, v) - log_density(m0, v0)).mean()
    assert float(gaussian_kl(m, v, m0, v0)) == pytest.approx(
        float(sampled), rel=0.03
    )


def test_targets_are_the_structures(model, batch):
    """Filled sites of the right template give the positions back."""
    for i in range(6):
        kind = int(batch.target["type"][i])
        template = TEMPLATE_OF[CRYSTAL_TYPES[kind]]
        part = model.structure.sites.slices[template]
        filled = batch.target["filled"][i].numpy()
        assert filled.sum() == filled[part].sum()
        sites = load_table().sites[template].astype(float)
        logits = 20 * filled[part] - 10
        index, values = ranked_sites(logits, overlapping(sites))
        n = int(batch.lengths[i])
        assert likely_numbers(values, 9) == [n] == [len(index)]
        shape = batch.target["shape"][i].double().numpy()
        xyz = deformed(sites[index], shape)
        found = np.sort(pdist(xyz))
        want = np.sort(pdist(batch.positions[i, :n].numpy()))
        assert np.abs(found - want).max() < 1e-4


def test_planes_of_a_cluster_hold_its_sites(model, batch):
    """Filled sites lie inside, and sharpness makes others unlikely."""
    sites = model.structure.sites
    extents = batch.target["extents"]
    depths = sites.depths(extents.nan_to_num(0.0), batch.target["type"])
    filled = batch.target["filled"] > 0.5
    assert float(depths[filled].min()) > 0.2
    mine = sites.allowed[batch.target["type"]]
    assert bool((depths[~mine] == 0).all())
    assert float(depths[mine].min()) < -1.0


def test_soft_laplacian_error_vanishes_at_the_truth(model, batch):
    generator = torch.Generator().manual_seed(0)
    sites, target = model.structure.sites, batch.target
    right = 40 * target["filled"] - 20
    error = soft_laplacian_error(sites, right, target, 16.6, generator)
    assert float(error) < 1e-6
    empty = soft_laplacian_error(sites, -right, target, 16.6, generator)
    assert float(empty) > 1.0


def test_loss_of_the_structure_falls_to_the_divergence(model, batch):
    """Gradients reach encoder, prior and decoder; the parts add up."""
    c_0 = model.c_0(batch.g)
    x = laplacian_tensor(batch.positions, batch.lengths, TINY.sigma2)
    model.zero_grad()
    target = {**batch.target, "shape": torch.full((6, 3), 0.01)}
    loss, parts = algorithm_2(
        model.structure, x, c_0.detach(), target, beta=0.5, gamma=2.0
    )
    loss.backward()
    total = parts["sites"] + parts["type"] + parts["shape"]
    total = total + parts["extents"]
    total = (total + 2 * parts["laplacian"] + 0.5 * parts["kl"]).item()
    assert loss.item() == pytest.approx(total)
    for part in (
        model.structure.encoder,
        model.structure.prior,
        model.structure.decoder,
    ):
        assert all(float(p.grad.abs().sum()) > 0 for p in part.parameters())
    model.zero_grad()


def test_candidates_do_not_depend_on_the_count(model, batch):
    few = model.sample(batch.g[0], 3, seed=5)
    many = model.sample(batch.g[0], 40, seed=5)
    assert torch.equal(few, many[:3])
    other = model.sample(batch.g[0], 3, seed=6)
    assert not torch.equal(few, other)
    a, b = model.decode(few), model.decode(many)
    for p, q in zip(a, b):
        assert p.structure_type == q.structure_type
        assert np.array_equal(p.positions, q.positions)


def test_prior_alone_calls_no_denoiser(model, batch, monkeypatch):
    monkeypatch.setattr(
        type(model), "predict_noise", lambda *a: pytest.fail("called")
    )
    z = model.sample(batch.g[0], 4, 0, Sampling(t1=0, t2=TINY.steps))
    assert z.shape == (4, 1, 16, 16)


def test_decoded_structures_stand_on_their_template(model, batch):
    for p in model.decode(model.sample(batch.g[0], 8)):
        assert 2 <= len(p.positions) <= 256
        assert p.structure_type in CRYSTAL_TYPES
        assert pdist(p.positions).min() > 0.8
        sites = model.table.sites[TEMPLATE_OF[p.structure_type]]
        tree, shape = cKDTree(sites), p.positions - p.positions[0]
        assert any(tree.query(shape + s)[0].max() < 1e-3 for s in sites)


def test_numbers_of_atoms_are_nested(model, batch):
    """Each structure holds the smaller ones, and the likeliest is first."""
    z = model.sample(batch.g[0], 3)
    single = model.decode(z)
    for row, first in zip(model.decode_sizes(z, 12), single):
        assert np.array_equal(row[0].positions, first.positions)
        numbers = [len(p.positions) for p in row[:12]]
        assert len(set(numbers)) == len(numbers)
        gaps = [abs(n - numbers[0]) for n in numbers]
        assert gaps == sorted(gaps)


def test_moved_surfaces(model):
    """Nowhere: the same; outwards: more atoms; to a side: the middle too."""
    table = load_table()
    sites = table.sites["fcc"].astype(float)
    inside = 2.9 - np.linalg.norm(sites, axis=1)
    chosen = np.flatnonzero(inside > 0)
    parent = Proposal("fcc", sites[chosen], chosen, 11.0 * inside, np.zeros(3))
    still = np.zeros(13)
    (same,) = model.filling.moved(parent, still[None], 1)
    assert np.array_equal(same.sites, chosen)
    for sign, compare in ((1, np.greater), (-1, np.less)):
        (other,) = model.filling.moved(
            parent, still[None] + 0.3 * sign * np.eye(13)[:1], 1
        )
        assert compare(len(other.sites), len(chosen))
    (aside,) = model.filling.moved(parent, 0.4 * np.eye(13)[1:2], 1)
    middle = sites[aside.sites].mean(0)
    assert middle[0] > 0.1 and np.abs(middle[1:]).max() < 0.1
    (longer,) = model.filling.moved(
        parent, 0.4 * (np.eye(13)[6:7] - np.eye(13)[4:5]), 1
    )
    spread = sites[longer.sites].std(0)
    assert spread[2] > spread[1] > spread[0]
    (strained,) = model.filling.moved(parent, 0.01 * np.eye(13)[10:11], 1)
    assert not strained.shape.any()  # the parent has no strain


def test_structures_are_told_by_sites_and_shape():
    """Positions follow from them; the same key is the same structure."""
    table = load_table()
    sites = table.sites["fcc"].astype(float)
    chosen = np.flatnonzero(np.linalg.norm(sites, axis=1) < 2.9)
    logits = np.where(np.isin(np.arange(len(sites)), chosen), 9.0, -9.0)
    filling = Filling(table)
    strain = np.array([0.01, 0.0, 0.0])
    (plain,) = filling.filled("fcc", [(logits, False)], np.zeros(3), 1)
    assert plain.size == len(chosen)
    centred = sites[chosen] - sites[chosen].mean(0)
    assert np.array_equal(plain.positions, centred)
    strained = filling.reshaped(plain, strain)
    assert np.allclose(strained.positions, centred * [1.01, 1.0, 0.99])
    assert strained.key != plain.key == filling.reshaped(plain, 0 * strain).key
    assert plain.without_logits().key == plain.key
    given = Proposal("fcc", centred)
    assert given.size == len(chosen)
    assert given.key != Proposal("fcc", 1.01 * centred).key


def test_likely_numbers():
    """Certain are 5, likely 7, doubtful 9; 6 and 7 share a value."""
    logits = np.array([9.0] * 5 + [2.0, 2.0, -1.0, -3.0, -5.0])
    assert likely_numbers(logits, 99) == [7, 6, 8, 5, 9, 10]
    assert likely_numbers(logits, 2) == [7, 6]
    assert likely_numbers(logits, 99, whole=True) == [7, 8, 5, 9, 10]


def test_overlapping_sites_are_never_filled_together():
    """Of the A, B and C sites of one column the likeliest one remains."""
    sites = load_table().sites["stack"]
    logits = np.random.default_rng(1).normal(0, 3, len(sites))
    index, values = ranked_sites(logits, overlapping(sites))
    assert pdist(sites[index]).min() > 0.95
    assert (np.diff(values) <= 0).all()
    # Whatever was left out stands too near to one that is likelier.
    out = np.setdiff1d(np.flatnonzero(logits > values[-1]), index)
    near = cdist(sites[out], sites[index]) < 0.95
    assert (near & (logits[out][:, None] <= values)).any(1).all()


def test_paper_preset_has_the_published_tensors():
    """(6, 500) -> (2, 125), (4, 128, 128) <-> (1, 16, 16)."""
    settings = dataclasses.replace(
        PRESETS["paper"],
        condition_width=8,
        encoder_width=8,
        decoder_width=8,
        decoder_blocks=1,
        prior_width=16,
        denoiser_width=8,
    )
    torch.manual_seed(0)
    paper = CbLDM(settings).eval()
    batch = Stream(settings).batch(2, np.random.default_rng(0))
    c = pdf_tensor(batch.g, settings)
    assert c.shape == (2, 6, 500)
    c_0 = paper.c_0(batch.g)
    assert c_0.shape == (2, 2, 125)
    x = laplacian_tensor(batch.positions, batch.lengths, settings.sigma2)
    mean, _ = paper.structure.encoder(x, c_0)
    assert mean.shape == (2, 1, 16, 16)
    assert paper.structure.decoder(mean).shape == x.shape == (2, 4, 128, 128)
    loss, parts = algorithm_2(paper.structure, x, c_0, batch.target)
    loss.backward()
    assert set(parts) == {"laplacian", "kl"}
    z = paper.sample(batch.g[0], 2, sampling=Sampling(calls=4))
    for (proposal,) in paper.structures(z):
        assert np.isfinite(proposal.positions).all()
    with pytest.raises(CbldmError, match="Laplacians"):
        paper.decode(z)


def test_a_wild_noise_is_bounded_by_what_latents_can_be():
    """Near T, where a wrong eps would become all of x_0."""
    paper = CbLDM(dataclasses.replace(PRESETS["paper"], denoiser_width=8))
    noise = torch.Generator().manual_seed(0)
    x = torch.randn(3, 1, 16, 16, generator=noise)
    t = torch.tensor([999, 500, 10])
    eps = x + 0.5 * torch.randn(x.shape, generator=noise)
    a, b = paper.schedule.amounts(t, x)

    def x_0(eps):
        return (x - b * eps) / a

    bounded = paper._bounded(x, t, eps)
    assert x_0(eps)[0].abs().max() > 100
    assert x_0(bounded).abs().max() < LATENT * 1.01
    # What is a possible latent already stays as it is.
    inside = x_0(eps).abs() < LATENT
    assert inside[2].any()
    assert torch.allclose(bounded[inside], eps[inside], atol=1e-4)


def test_decoded_laplacians_give_the_structure_back(batch):
    """What the paper's decoder should emit leads to the coordinates."""
    x = laplacian_tensor(batch.positions, batch.lengths, TINY.sigma2)
    full = laplacian_of(x).double()
    assert float(full.sum(2).abs().max()) < 1e-3  # L has zero row sums
    n = int(batch.lengths[0])
    (found,) = recover(full[:1], sigma2=TINY.sigma2)
    assert bool((found[n:] == 0).all())
    want = np.sort(pdist(batch.positions[0, :n].numpy()))
    assert np.abs(np.sort(pdist(found[:n].numpy())) - want).max() < 1e-2


def test_weights_round_trip(tmp_path, model, batch):
    path = tmp_path / "tiny.safetensors"
    save_weights(model, path, {"seed": 0})
    record = json.loads(path.with_suffix(".json").read_text())
    assert record["model"] == dataclasses.asdict(TINY)
    again = load_weights(str(path))
    assert torch.allclose(again.c_0(batch.g), model.c_0(batch.g), atol=2e-2)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "tiny.json",
        "tiny.safetensors",
    ]


def test_weights_of_another_table_are_refused(tmp_path, model):
    path = tmp_path / "tiny.safetensors"
    save_weights(model, path, {})
    record = json.loads(path.with_suffix(".json").read_text())
    record["table"] = "0" * 64
    path.with_suffix(".json").write_text(json.dumps(record))
    with pytest.raises(CbldmError, match="another table"):
        load_weights(str(path))
    with pytest.raises(CbldmError, match="no weights"):
        load_weights("huge")


def test_packaged_weights_are_small_and_recorded():
    from importlib import resources

    folder = resources.files("diffpy_cbldm") / "weights"
    record = json.loads((folder / "small.json").read_text())
    size = len((folder / "small.safetensors").read_bytes())
    assert size < 25e6
    for key in ("seed", "command", "hardware", "seconds", "validation"):
        assert key in record
    assert record["stage"] == "done"


def test_held_out_geometries_are_never_drawn():
    stream = Stream(TINY)
    hidden = held_out(stream.table)
    shares = {
        t: np.mean(
            [
                hidden[i]
                for i, g in enumerate(stream.table.geometries)
                if g.structure_type == t
            ]
        )
        for t in STRUCTURE_TYPES
    }
    assert all(0.05 < s < 0.4 for s in shares.values())
    drawn = {i for index in stream.by_type.values() for i in index}
    assert not drawn & set(np.flatnonzero(hidden))
    assert len(drawn) + hidden.sum() == len(stream.table)


def test_simulated_pdf_has_its_first_peak_at_the_bond():
    from training.validate import FIXED

    stream = Stream(TINY, FIXED)
    b = stream.batch(12, np.random.default_rng(2))
    for g, kind in zip(b.clean, b.target["type"]):
        window = g[80:125]
        top = 80 + int(window.argmax())
        if CRYSTAL_TYPES[int(kind)] != "bcc":
            assert abs(top - 100) <= 5
