"""Compiled loops against plain sums."""

import numpy as np
import pytest
import torch

from diffpy_cbldm.crystals.frameworks import load_frameworks
from diffpy_cbldm.debye import kernels as pairs
from diffpy_cbldm.debye.histogram import cluster_histograms, pair_histogram
from diffpy_cbldm.debye.orbit_histograms import orbit_histograms
from diffpy_cbldm.errors import CbldmError
from diffpy_cbldm.fitting import kernels as waves
from diffpy_cbldm.fitting.sine_matrix import even_waves


@pytest.mark.parametrize("inverse", [True, False])
def test_moments_of_pairs(inverse):
    rng = np.random.default_rng(0)
    clusters = [rng.uniform(-3, 3, (n, 3)) for n in (2, 17, 1, 40)]
    clusters[1][4] = clusters[1][9] + 0.001
    starts = np.cumsum([0, *map(len, clusters)])
    out = np.zeros((4, 60, pairs.MOMENTS))
    flat = np.ascontiguousarray(np.concatenate(clusters).T)
    low, high = 0.1, 50.0
    every = np.zeros(flat.shape[1])
    below = pairs.pair_moments(
        flat, starts, every, 10.0, low, high, inverse, out
    )
    assert below == 1
    for x, found in zip(clusters, out, strict=True):
        expected = np.zeros_like(found)
        for i in range(len(x)):
            for j in range(i):
                t = 10.0 * np.linalg.norm(x[i] - x[j])
                if low <= t < high:
                    weight = 1 / t if inverse else 1.0
                    part = (t % 1) ** np.arange(pairs.MOMENTS)
                    expected[int(t)] += weight * part
        assert np.allclose(found, expected, rtol=1e-9, atol=1e-12)


def test_pairs_of_orbits_by_one_atom_of_each():
    known = load_frameworks()
    some = [known[k] for k in range(0, len(known), 131)]
    grid = {"step": 0.02, "bins": 500, "order": 6}
    found = orbit_histograms([one.shells for one in some], **grid)
    all_pairs = cluster_histograms([one.positions for one in some], **grid)
    assert len({one.group for one in some}) > 4 and all_pairs.max() > 10
    assert np.allclose(found, all_pairs, rtol=1e-5, atol=1e-4)


def test_counts_of_sites():
    """Whatever neighbours in the row share, and for empty ones too."""
    rng = np.random.default_rng(1)
    classes = rng.integers(1, 9, (30, 30)).astype(np.uint16)
    classes = np.triu(classes, 1) + np.triu(classes, 1).T
    clusters = [rng.permutation(30)[: rng.integers(0, 25)] for _ in range(8)]
    for k in (1, 5):  # a few sites gone, a few come
        clusters.append(np.union1d(clusters[-1][k:], [k, 20 + k]))
    clusters += [clusters[-1], clusters[-1][:-1], clusters[-1]]
    out = np.zeros((len(clusters), 9), np.int64)
    pairs.site_counts(
        classes,
        np.concatenate(clusters).astype(np.int64),
        np.cumsum([0, *map(len, clusters)]),
        np.zeros(30, np.int64),
        np.zeros(30, np.int64),
        out,
    )
    for members, row in zip(clusters, out, strict=True):
        some = classes[np.ix_(members, members)]
        assert row.tolist() == np.bincount(some.ravel(), minlength=9).tolist()


def test_sums_of_waves():
    rng = np.random.default_rng(2)
    sizes, dq, points = (7, 0, 120), 0.09, 19 * waves.LANES
    starts = np.cumsum([0, *sizes])
    d = rng.uniform(2.0, 40.0, starts[-1])
    width = rng.uniform(0.0, 0.1, starts[-1])
    columns = rng.normal(size=(5, starts[-1]))
    out = np.zeros((3, 5 * points))
    waves.sine_sums(
        np.stack([np.sin(dq * d), np.cos(dq * d)]),
        np.exp(-(dq**2) * width),
        columns,
        starts,
        out,
    )
    out = out.reshape(3, -1, 5, waves.LANES).transpose(0, 2, 1, 3)
    q = dq * np.arange(points)
    for k, found in enumerate(out.reshape(3, 5, points)):
        s = slice(starts[k], starts[k + 1])
        damp = np.exp(-(q[:, None] ** 2) * width[s])
        sines = np.sin(q[:, None] * d[s]) * damp
        cosines = np.cos(q[:, None] * d[s]) * damp
        exact = [*(sines @ columns[:4, s].T).T, cosines @ columns[4, s]]
        assert np.allclose(found, exact, rtol=0, atol=1e-10)


@pytest.mark.parametrize("order", [2, 4, 6, 8])
def test_histograms_with_and_without_gradient_agree(order):
    rng = np.random.default_rng(order)
    x = torch.from_numpy(rng.uniform(-4, 4, (5, 30, 3)))
    lengths = torch.tensor([30, 1, 12, 30, 2])
    given = {"step": 0.05, "bins": 150, "order": order}
    plain = pair_histogram(x, lengths, **given)
    followed = pair_histogram(x.requires_grad_(), lengths, **given)
    assert torch.allclose(plain, followed.detach(), rtol=1e-9, atol=1e-12)


def test_touching_atoms_are_named():
    x = np.random.default_rng(4).uniform(-4, 4, (9, 3))
    other = x.copy()
    other[5] = other[2]
    with pytest.raises(CbldmError, match="two atoms of cluster 1"):
        cluster_histograms([x, other], step=0.05, bins=150, order=6)


def test_waves_at_even_steps():
    """By products from one Q to the next, to the rounding of the sines."""
    q = 0.79 + 0.038 * np.arange(700)
    r = np.linspace(1.5, 100.0, 333)
    factors = np.linspace(-1, 2, len(q))
    found = even_waves(q, r, factors)
    expected = factors[:, None] * np.sin(q[:, None] * r)
    assert np.abs(found - expected).max() < 1e-11
