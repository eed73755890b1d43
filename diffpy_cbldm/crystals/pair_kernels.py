"""Pair distances of particles on no lattice, in bins, compiled."""

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


@compiled
def column_pairs(
    places: np.ndarray,
    heights: np.ndarray,
    share: np.ndarray,
    spacing: float,
    step: float,
    bins: int,
) -> np.ndarray:
    """`binned_pairs` of atoms in columns that are centred at z = 0.

    Two columns of n and m atoms have n + m - 1 differences in height, so
    that no single atom is looked at.

    Parameters
    ----------
    places : (C, 2) array of float64
        Of the columns.
    heights : (C,) array of int64
        Atoms in each.
    share : (C,) array of float64
        How many columns each stands for as the first of a pair: those that
        a symmetry carries onto it have the same distances to all others.
    spacing : float
        Of the atoms in a column.
    step, bins
        As in `binned_pairs`.
    """
    out = np.zeros(bins)
    for i in range(len(places)):
        if share[i] == 0:
            continue
        for j in range(len(places)):
            dx, dy = places[j, 0] - places[i, 0], places[j, 1] - places[i, 1]
            n, m = heights[i], heights[j]
            # In half spacings; every second one occurs.
            for k in range((n + m) % 2, n + m - 1, 2):
                z = 0.5 * k * spacing
                place = math.sqrt(dx * dx + dy * dy + z * z) / step
                if place == 0:
                    continue
                count = min(n, m, (n + m - k) // 2)
                # Each pair is met from both ends, up and down alike.
                weight = share[i] * count * (0.5 if k == 0 else 1.0)
                low = int(place)
                part = place - low
                out[low] += weight * (1 - part)
                out[low + 1] += weight * part
    return out


@compiled
def counted_squares(
    counts: np.ndarray, shape: np.ndarray, layered: bool
) -> np.ndarray:
    """The numbers of vectors of a correlation by their squared length.

    Parameters
    ----------
    counts : (a, b, c) array of float32
        Of each vector, up to rounding; negative components stand at the end.
    shape : (3,) array of int64
        No component is so large.
    layered : bool
        Whether the steps are those of close-packed layers.

    Returns
    -------
    (M,) array of float64
        For each square in whole units: u^2 + v^2 + w^2, and for layers
        u^2 + v^2 - u v + 2 w^2.
    """
    a, b, c = counts.shape
    u_end, v_end, w_end = shape[0] - 1, shape[1] - 1, shape[2] - 1
    if layered:
        most = u_end**2 + v_end**2 + u_end * v_end + 2 * w_end**2
    else:
        most = u_end**2 + v_end**2 + w_end**2
    out = np.zeros(most + 1)
    for u in range(-u_end, u_end + 1):
        for v in range(-v_end, v_end + 1):
            row = counts[u % a, v % b]
            flat = u * u + v * v
            if layered:
                flat -= u * v
            # Vectors upwards count for their reverse, too.
            out[flat] += np.rint(row[0])
            for w in range(1, w_end + 1):
                square = flat + (2 * w * w if layered else w * w)
                out[square] += 2 * np.rint(row[w])
    return out
