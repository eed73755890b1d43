"""The compiled loops of polishing against plain NumPy."""

import numpy as np
import pytest

from diffpy_cbldm.fitting import pair_kernels
from diffpy_cbldm.polishing import kernels

RNG = np.random.default_rng(4)
REACH, WIDTH = 6.0, 0.02
CELLS = int(REACH / WIDTH) + 1


def pairs(x):
    """Differences and distances of the pairs i < j within reach."""
    i, j = np.triu_indices(len(x), 1)
    d = np.linalg.norm(x[i] - x[j], axis=1)
    return i[d < REACH], j[d < REACH], d[d < REACH]


def test_pairs_by_cells():
    x, changes = RNG.normal(size=(25, 3)) * 2, RNG.normal(size=(4, 3, 25))
    i, j, d = pairs(x)
    assert 0 < len(d) < 300  # some are out of reach
    cell = (d / WIDTH).astype(int)
    off = d - (cell + 0.5) * WIDTH
    other = RNG.normal(size=(25, 3))
    counts, rates = pair_kernels.pair_cells(
        np.array([x.T, other.T]), changes, REACH, WIDTH, CELLS
    )
    moments = counts[:, 0, 0], rates[:, 0, 0], counts[:, 0, 1]
    for power, row in enumerate(moments):
        assert np.allclose(row, np.bincount(cell, off**power, CELLS))
    assert counts[:, 1, 0].sum() == len(pairs(other)[2])
    # What a small change does to all distances.
    step = 1e-6
    for k, rate in enumerate(rates[:, 0, 1:].T):
        up, down = (x + s * changes[k].T for s in (step, -step))
        slope = np.linalg.norm(up[i] - up[j], axis=1)
        slope -= np.linalg.norm(down[i] - down[j], axis=1)
        slope /= 2 * step
        assert np.allclose(rate, np.bincount(cell, slope, CELLS), atol=1e-6)


@pytest.mark.parametrize("first", [0, 7])
def test_waves_of_pairs(first):
    """The recurrences in Q lose nothing, and slopes are derivatives."""
    d, w, step, count = np.linspace(0.1, 90, 400), 0.007, 0.09, 330
    width = np.full(len(d), w)
    q = step * np.arange(first, first + count)

    def plain(d):
        d = d[:, None]
        return np.sin(q * d) * np.exp(-w * q**2) / d

    waves, slopes = pair_kernels.pair_waves(d, width, first, step, count)
    assert np.allclose(waves, plain(d), rtol=0, atol=1e-11 * waves.max())
    h = 1e-5
    numeric = (plain(d + h) - plain(d - h)) / (2 * h)
    assert np.allclose(slopes, numeric, atol=1e-6 * np.abs(slopes).max())


def test_rates_of_atoms():
    x, slopes = RNG.normal(size=(20, 3)) * 2, RNG.normal(size=(CELLS, 5))
    i, j, d = pairs(x)
    unit = (x[i] - x[j]) / d[:, None]
    add = unit[:, :, None] * slopes[(d / WIDTH).astype(int)][:, None]
    expected = np.zeros((20, 3, 5))
    np.add.at(expected, i, add)
    np.add.at(expected, j, -add)
    assert np.allclose(kernels.atom_rates(x, slopes, REACH, WIDTH), expected)


@pytest.fixture
def sites():
    """Kinds of pairs between sites, a vector for each, and a curve."""
    index = np.triu(RNG.integers(0, 6, (30, 30)), 1).astype(np.int32)
    vectors = RNG.normal(size=(6, 7))
    vectors[0] = 0  # no pair
    return index + index.T, vectors, RNG.normal(size=7)


def sums_of(atoms, index, vectors):
    sums = np.zeros((len(index), vectors.shape[1]))
    kernels.add_atoms(np.array(atoms), 1.0, index, vectors, sums)
    return sums


def test_sums_over_atoms(sites):
    index, vectors, _ = sites
    sums = sums_of([2, 5, 11], index, vectors)
    assert np.allclose(sums, vectors[index[:, [2, 5, 11]]].sum(1))
    kernels.add_atoms(np.array([5]), -1.0, index, vectors, sums)
    assert np.allclose(sums, sums_of([2, 11], index, vectors))


def test_swapped_atoms(sites):
    """As the pairs of the new cluster, counted afresh."""
    index, vectors, y = sites

    def curve(atoms):
        return sums_of(atoms, index, vectors)[atoms].sum(0) / 2

    atoms = [1, 4, 9, 16, 25]
    away, there = np.array([4, 25]), np.array([0, 7, 8])
    allowed = np.array([[True, True, False], [False, True, True]])
    cross, norm = kernels.swapped(
        away,
        there,
        allowed,
        index,
        vectors,
        sums_of(atoms, index, vectors),
        y,
        curve(atoms),
    )
    for a, old in enumerate(away):
        for b, new in enumerate(there):
            after = curve([k for k in atoms if k != old] + [new])
            expected = (after @ y, after @ after) if allowed[a, b] else (0, 0)
            assert np.allclose((cross[a, b], norm[a, b]), expected)
