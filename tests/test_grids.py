"""Sines of a Q grid, their products, and which fits share them."""

import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import diffpy_cbldm as cb
from diffpy_cbldm.fitting.quickfit import QuickFit
from diffpy_cbldm.fitting.target import Target
from diffpy_cbldm.polishing.bases import Bases, decomposed
from diffpy_cbldm.polishing.grids import SineGrid, shared_grid


def _fit(uiso):
    return QuickFit(0.2, 1.0, 1.0, uiso, 1.0, 0.04)


@pytest.fixture(scope="module")
def target():
    pair = cb.Cluster("Au", [[0.0, 0.0, 0.0], [0.0, 0.0, 2.88]])
    pdf = cb.simulate(pair, qmin=0.8, qmax=22.0, qdamp=0.03)[0]
    return Target.of(pdf).thinned(3.0)


def test_sines_and_their_products_are_those_of_the_points(target):
    grid = SineGrid(target, _fit(0.008))
    step = 2 / np.pi * (grid.wave[1] - grid.wave[0])
    sines = step * np.sin(np.outer(target.r, grid.wave))
    np.testing.assert_allclose(grid.sines, sines, atol=1e-11 * step)
    weights = np.exp(-((0.05 * target.r) ** 2))
    products = sines.T @ (weights[:, None] * sines)
    np.testing.assert_allclose(
        grid.gram(weights), products, atol=1e-12 * products.max()
    )


def test_a_basis_holds_all_that_the_waves_show(target):
    grid = SineGrid(target, _fit(0.008))
    gram = grid.gram(np.ones(len(target.r)))
    lower, kept, rows = decomposed(gram)
    assert rows.shape == (grid.count, len(kept)) and len(kept) < grid.count
    off = np.abs(rows @ rows.T - gram).max()
    assert off < 1e-7 * gram.max()
    np.testing.assert_allclose(rows[kept], lower)


def test_bases_are_made_once_for_the_same_weights():
    made = []

    def gram(weights):
        made.append(weights)
        return np.diag(weights)

    bases = Bases(gram)
    one = np.array([1.0, 2.0])
    assert bases.of(one) is bases.of(one.copy())
    bases.of(2 * one)
    assert len(made) == 2


def test_near_fits_share_a_grid_whichever_is_first(target):
    grid = shared_grid(target, _fit(0.00805), 8.0)
    assert shared_grid(target, _fit(0.008), 8.0) is grid
    other = shared_grid(target, _fit(0.016), 8.0)
    # That of its own Uiso, to less than any curve shows.
    own = SineGrid(target, _fit(0.016), 8.0)
    assert other is not grid and abs(other.reach - own.reach) < 0.02


def test_threads_may_share_a_grid():
    """Jobs in threads of one process fit the same points of r."""
    bases, interval = Bases(lambda weights: np.eye(3)), sys.getswitchinterval()

    def ask(seed):
        for k in np.random.default_rng(seed).integers(0, 40, 4000):
            bases.of(np.array([float(k)]))

    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as workers:
            list(workers.map(ask, range(4)))
    finally:
        sys.setswitchinterval(interval)
