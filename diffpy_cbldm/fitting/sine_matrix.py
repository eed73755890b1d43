"""The sine transform of the quick fits as a matrix."""

from __future__ import annotations

import functools
import math

import numpy as np
import torch
from torch import Tensor

from diffpy_cbldm.debye.qgrid import QGrid
from diffpy_cbldm.memory import quickly_made

_LARGE = 1_000_000
"""Numbers of a sine matrix that is not kept: 8 MB."""


def sine_matrix(r: np.ndarray, grid: QGrid) -> Tensor:
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


def _sines(r: bytes, q: bytes, weights: bytes) -> Tensor:
    """r (n,), q and weights (K,): arrays of float64 as bytes, which can be
    compared."""
    points, waves, parts = (
        torch.from_numpy(np.frombuffer(x).copy()) for x in (r, q, weights)
    )
    factors = 2.0 / math.pi * float(waves[1] - waves[0]) * parts
    return (waves[:, None] * points).sin_().mul_(factors[:, None])


@quickly_made
@functools.lru_cache(maxsize=8)
def _kept_sines(r: bytes, q: bytes, weights: bytes) -> Tensor:
    """`_sines`, each made once.

    Fits of one curve one after the other share few Q grids, whose ends are
    whole steps of r.
    """
    return _sines(r, q, weights)
