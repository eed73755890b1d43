"""The sine transform of the quick fits as a matrix."""

from __future__ import annotations

import functools
import math

import numpy as np

from diffpy_cbldm.debye.qgrid import QGrid
from diffpy_cbldm.fitting.kernels import wave_rows
from diffpy_cbldm.memory import quickly_made

_LARGE = 1_000_000
"""Numbers of a sine matrix that is not kept: 8 MB."""


def sine_matrix(r: np.ndarray, grid: QGrid) -> np.ndarray:
    """The sine transform from F(Q) to G(r), (K, n); not to be changed.

    Parameters
    ----------
    r : (n,) array, angstrom
    grid : QGrid
        K points.
    """
    given = r.tobytes(), grid.q.tobytes(), grid.weights.tobytes()
    if len(r) * len(grid.q) > _LARGE:
        return _sines(*given)
    return _kept_sines(*given)


def _sines(r: bytes, q: bytes, weights: bytes) -> np.ndarray:
    """r (n,), q and weights (K,): arrays of float64 as bytes, which can be
    compared."""
    points, waves, parts = map(np.frombuffer, (r, q, weights))
    factors = 2.0 / math.pi * step_of(waves) * parts
    return even_waves(waves, points, factors)


def step_of(q: np.ndarray) -> float:
    """The step of an even grid (K,), at least two points."""
    # Over the whole grid: that of two neighbours is rounded.
    return float(q[-1] - q[0]) / (len(q) - 1)


def even_waves(
    q: np.ndarray, r: np.ndarray, factors: np.ndarray
) -> np.ndarray:
    """factors sin(q r) for an even grid of q, (K, n).

    Parameters
    ----------
    q : (K,) array, 1/A
        In even steps.
    r : (n,) array, angstrom
    factors : (K,) array
    """
    out = np.empty((len(q), len(r)))
    first, points = float(q[0]), np.array(r, float)
    wave_rows(first, step_of(q), points, np.array(factors, float), out)
    return out


@quickly_made("sines")
@functools.lru_cache(maxsize=2)
def _kept_sines(r: bytes, q: bytes, weights: bytes) -> np.ndarray:
    """`_sines`, each made once.

    Fits of one curve one after the other share few Q grids, whose ends are
    whole steps of r.
    """
    return _sines(r, q, weights)
