"""Pair distances of a cluster on no lattice, in bins, compiled."""

from __future__ import annotations

import math

import numpy as np

from diffpy_cbldm.compiled import compiled


@compiled
def binned_pairs(positions: np.ndarray, step: float, bins: int) -> np.ndarray:
    """Pairs in bins, each shared by the two nearest of them.

    The mean distance of the pairs stays exact, and their spread is at most
    half a step.

    Parameters
    ----------
    positions : (N, 3) array of float64
    step : float
        Between the bins' places 0, step, 2 step ...
    bins : int
        No pair may lie beyond the last one.

    Returns
    -------
    (bins,) array of float64, pairs i < j
    """
    out = np.zeros(bins)
    for i in range(len(positions)):
        x, y, z = positions[i, 0], positions[i, 1], positions[i, 2]
        for j in range(i):
            dx, dy = positions[j, 0] - x, positions[j, 1] - y
            dz = positions[j, 2] - z
            place = math.sqrt(dx * dx + dy * dy + dz * dz) / step
            low = int(place)
            part = place - low
            out[low] += 1 - part
            out[low + 1] += part
    return out
