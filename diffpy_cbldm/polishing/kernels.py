"""The inner loops of polishing, compiled: sums of waves, slopes, edits.

All arrays are of double precision and contiguous, numbers of pairs int32, so
that each loop is compiled once.
"""

from __future__ import annotations

import math

import numpy as np

from diffpy_cbldm.compiled import ahead, compiled, compiled_sums


@ahead("float64, int64, float64[::1], float64[::1]")
@compiled
def cosine_sums(
    step: float, count: int, points: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """Sums of cosines over the points of r, at even steps of Q from 0.

    From one Q to the next the phase turns by an angle: no cosine is taken.

    Parameters
    ----------
    step : float, 1/A
    count : int
    points, weights : (n,) arrays, A and of any unit

    Returns
    -------
    (count,) array
        sum_i weights_i cos(k step points_i)
    """
    size = len(points)
    cosine, sine = np.empty(size), np.empty(size)
    along, turn = np.empty(size), np.empty(size)
    for i in range(size):
        cosine[i], sine[i] = weights[i], 0.0
        along[i] = math.cos(step * points[i])
        turn[i] = math.sin(step * points[i])
    sums, parts = np.empty(count), np.empty(8)
    whole = size - size % 8
    for k in range(count):
        # Eight sums side by side: one alone waits for itself.
        for i in range(8):
            parts[i] = 0.0
        for first in range(0, whole, 8):
            for i in range(8):
                parts[i] += cosine[first + i]
        total = 0.0
        for i in range(8):
            total += parts[i]
        for i in range(whole, size):
            total += cosine[i]
        sums[k] = total
        for i in range(size):
            new = cosine[i] * along[i] - sine[i] * turn[i]
            sine[i] = sine[i] * along[i] + cosine[i] * turn[i]
            cosine[i] = new
    return sums


@ahead("float64[::1], int64, float64[::1]")
@compiled
def sine_products(
    sums: np.ndarray, first: int, factors: np.ndarray
) -> np.ndarray:
    """Products of sines from sums of cosines.

    2 sin a sin b = cos(a - b) - cos(a + b): all products follow from few.

    Parameters
    ----------
    sums : (2 first + 2 K - 1,) array
        Those of `cosine_sums`.
    first : int
        The number of the first step.
    factors : (K,) array
        Of the sines.

    Returns
    -------
    (K, K) array
    """
    count = len(factors)
    out = np.empty((count, count))
    for k in range(count):
        for j in range(k + 1):
            one = sums[k - j] - sums[2 * first + k + j]
            one *= 0.5 * factors[k] * factors[j]
            out[k, j] = one
            out[j, k] = one
    return out


@ahead("float64[:, ::1], float64[:, ::1], float64, float64")
@compiled
def atom_rates(
    x: np.ndarray, slopes: np.ndarray, reach: float, width: float
) -> np.ndarray:
    """How each coordinate changes the sum of all pairs.

    Parameters
    ----------
    x : (n, 3) array
    slopes : (cells, m) array
        What a pair changes by with its distance, at the centre of each cell.
    reach, width : float
        As for `pair_cells`.

    Returns
    -------
    (n, 3, m) array
    """
    rates = np.empty((len(x), 3, slopes.shape[1]))
    rates[:] = 0.0
    for i in range(len(x)):
        for j in range(len(x)):
            a, b, c = x[i, 0] - x[j, 0], x[i, 1] - x[j, 1], x[i, 2] - x[j, 2]
            d = math.sqrt(a * a + b * b + c * c)
            if i == j or d >= reach:
                continue
            a, b, c = a / d, b / d, c / d
            cell = int(d / width)
            for k in range(slopes.shape[1]):
                slope = slopes[cell, k]
                rates[i, 0, k] += a * slope
                rates[i, 1, k] += b * slope
                rates[i, 2, k] += c * slope
    return rates


@ahead("int64[::1], float64, int32[:, ::1], float64[:, ::1], float64[:, ::1]")
@compiled
def add_atoms(
    atoms: np.ndarray,
    sign: float,
    index: np.ndarray,
    pairs: np.ndarray,
    sums: np.ndarray,
) -> None:
    """Add atoms to the sum of pairs of each site, or take them away.

    Parameters
    ----------
    atoms : (a,) array of int64
        Sites that were filled or emptied.
    sign : float
        1 or -1.
    index : (S, S) array of int32
        The kind of pair between two sites; 0 is none.
    pairs : (kinds, m) array
        The vector of each kind.
    sums : (S, m) array
        Changed in place.
    """
    for s in range(len(sums)):
        for a in range(len(atoms)):
            kind = index[s, atoms[a]]
            if kind:
                for k in range(sums.shape[1]):
                    sums[s, k] += sign * pairs[kind, k]


@ahead(
    "int64[::1], int64[::1], boolean[:, ::1], int32[:, ::1], "
    "float64[:, ::1], float64[:, ::1], float64[::1], float64[::1]"
)
@compiled_sums
def swapped(
    away: np.ndarray,
    there: np.ndarray,
    allowed: np.ndarray,
    index: np.ndarray,
    pairs: np.ndarray,
    sums: np.ndarray,
    y: np.ndarray,
    total: np.ndarray,
) -> np.ndarray:
    """y . F and |F|^2 after moving an atom to another site, (2, a, b).

    Parameters
    ----------
    away, there : (a,), (b,) arrays of int64
        Filled and empty sites.
    allowed : (a, b) bool array
        Other swaps are left out, at 0.
    index, pairs, sums
        As for `add_atoms`.
    y, total : (m,) arrays
        total is F.
    """
    out = np.empty((2, len(away), len(there)))
    without = np.empty(len(y))
    for a in range(len(away)):
        for k in range(len(y)):
            without[k] = total[k] - sums[away[a], k]
        for b in range(len(there)):
            if not allowed[a, b]:
                out[0, a, b], out[1, a, b] = 0.0, 0.0
                continue
            # The new atom has no pair with the one that has left.
            site, kind = there[b], index[away[a], there[b]]
            cross = norm = 0.0
            for k in range(len(y)):
                one = without[k] + sums[site, k] - pairs[kind, k]
                cross += one * y[k]
                norm += one * one
            out[0, a, b], out[1, a, b] = cross, norm
    return out
