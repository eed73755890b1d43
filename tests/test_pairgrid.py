"""Pairs in bins: arrays as tensors, and both against plain sums."""

import numpy as np
import pytest
import torch

from diffpy_cbldm.debye import pairgrid
from diffpy_cbldm.debye.conditions import Conditions
from diffpy_cbldm.debye.histogram import pair_histogram, pdf_from_histogram
from diffpy_cbldm.debye.pair_blocks import arange
from diffpy_cbldm.errors import CbldmError

STEP, BINS, ORDER = 0.1, 120, 4


def batch(seed=0, dtype=np.float64):
    """Clusters of different sizes, among them one atom and an even number."""
    rng = np.random.default_rng(seed)
    lattice = np.stack(np.meshgrid(*[np.arange(3.0)] * 3), -1).reshape(-1, 3)
    x = 2.5 * lattice + rng.uniform(-0.4, 0.4, (4, 27, 3))
    return x.astype(dtype), np.array([27, 1, 14, 2])


def distances(x, n):
    i, j = np.triu_indices(n, 1)
    return i, j, np.linalg.norm(x[i] - x[j], axis=1)


def test_bins_hold_the_sums_of_pairs_within_limits():
    x, lengths = batch()
    low, high = np.array([0.0, 0.0, 3.1, 0.0]), np.array([6.2, 9.0, 9.0, 1.0])
    grid = pairgrid.pair_grid(x, lengths, (low, high), STEP, BINS, ORDER)
    assert isinstance(grid, np.ndarray)
    for row, points, n, a, b in zip(grid, x, lengths, low, high):
        d = distances(points, n)[2]
        d = d[(d > a) & (d <= b)]
        assert row.sum() == pytest.approx((2 / d).sum(), rel=1e-12)
        # Splines keep the mean: the first moment is that of the pairs.
        places = (np.arange(len(row)) - ORDER // 2) * STEP
        assert row @ places == pytest.approx(2.0 * len(d), rel=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_arrays_give_what_tensors_give(dtype):
    x, lengths = batch(1, dtype)
    limits = np.full(4, 3.3, dtype), np.full(4, 8.0, dtype)
    given = x, lengths, limits[0]
    as_tensors = [torch.from_numpy(value) for value in given]
    tolerance = 1e-12 if dtype is np.float64 else 1e-5

    def alike(array, tensor):
        assert isinstance(array, np.ndarray) and array.dtype == dtype
        apart = np.abs(array - np.asarray(tensor)).max()
        assert apart < tolerance * np.abs(array).max()

    size = STEP, BINS, ORDER
    for both in (None, limits):
        kept = both and tuple(torch.from_numpy(x) for x in both)
        grid = pairgrid.pair_grid(x, lengths, both, *size)
        alike(grid, pairgrid.pair_grid(*as_tensors[:2], kept, *size))
        folded = pairgrid.fold(grid, BINS, ORDER)
        alike(folded, pairgrid.fold(torch.from_numpy(grid), BINS, ORDER))
    hist = folded[:, :BINS]
    tensor = torch.from_numpy(hist)
    for count in (50, BINS + 1):
        wave = pairgrid.sine(hist, BINS, count)
        alike(wave, pairgrid.sine(tensor, BINS, count))
        back = pairgrid.sine_back(wave, BINS)
        alike(back, pairgrid.sine_back(torch.from_numpy(wave), BINS))
    q = arange(9, x)
    window = pairgrid.window(q, 0.3, ORDER)
    alike(window, pairgrid.window(torch.from_numpy(q), 0.3, ORDER))
    symbol = pairgrid.symbol(BINS, ORDER, x)
    alike(symbol, pairgrid.symbol(BINS, ORDER, torch.from_numpy(x)))


@pytest.mark.parametrize("kind", [np.asarray, torch.from_numpy])
def test_near_pairs_are_those_of_a_double_loop(kind):
    x, lengths = batch(2)
    limit = np.array([3.0, 3.0, 5.0, 9.0])
    found = pairgrid.near_pairs(
        *map(kind, (x, lengths, limit)), step=STEP, bins=BINS
    )
    found = {(b, *sorted(p)) for b, *p in np.transpose(found).tolist()}
    expected = set()
    for b, n in enumerate(lengths):
        i, j, d = distances(x[b], n)
        near = d <= limit[b]
        expected |= {(b, *p) for p in zip(i[near].tolist(), j[near].tolist())}
    assert found == expected and len(expected) > 10


@pytest.mark.parametrize("kind", [np.asarray, torch.from_numpy])
def test_longest_distances(kind):
    x, lengths = batch(3)
    found = pairgrid.longest_distances(kind(x), kind(lengths), 4.0)
    for row, points, n in zip(found, x, lengths):
        d = distances(points, n)[2]
        longest = d.max(initial=0.0)
        assert float(row) == pytest.approx(longest if longest > 4.0 else 0.0)


def test_touching_atoms_of_arrays_are_named():
    x, lengths = batch(4)
    x[2, 9] = x[2, 5]
    with pytest.raises(CbldmError, match="two atoms of cluster 2 .5, and 4"):
        pairgrid.pair_grid(x, lengths, None, STEP, BINS, ORDER)


def test_sine_sums():
    rng = np.random.default_rng(5)
    series = rng.normal(size=(2, 40))
    m, k = np.arange(40), np.arange(50)
    waves = np.sin(np.pi / 64 * np.outer(m, k))
    assert np.allclose(pairgrid.sine(series, 64, 50), series @ waves)
    back = pairgrid.sine_back(series, 64)  # what is missing is zero
    assert np.allclose(back[:, :50], series @ waves)
    assert back.shape == (2, 128)


@pytest.mark.parametrize("order", [4, 8])
@pytest.mark.parametrize("law", [{}, {"delta2": 1.5}])
def test_curves_of_histograms_of_arrays(order, law):
    """Of the bins that compiled loops fill, and of others."""
    x, lengths = batch(6)
    conditions = Conditions(0.01, qmin=0.8, qmax=20.0, qdamp=0.03, **law)
    given = {"step": 0.05, "order": order}
    curves = []
    for kind in (np.asarray, torch.from_numpy):
        hist = pair_histogram(kind(x), kind(lengths), bins=400, **given)
        curves.append(
            pdf_from_histogram(hist, kind(lengths), conditions, **given)
        )
    assert isinstance(curves[0], np.ndarray)
    assert np.allclose(*curves, rtol=1e-9, atol=1e-9)
