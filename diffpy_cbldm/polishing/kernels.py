"""The inner loops of polishing, compiled: pairs of atoms, waves, edits.

All arrays are of double precision and contiguous, numbers of pairs int32, so
that each loop is compiled once.
"""

from __future__ import annotations

import math

import numpy as np

from diffpy_cbldm.compiled import ahead, compiled, compiled_sums


@ahead("float64[:, :, ::1], float64[:, :, ::1], float64, float64, int64")
@compiled
def pair_cells(
    many: np.ndarray,
    changes: np.ndarray,
    reach: float,
    width: float,
    cells: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Sums over the pairs of atoms whose distance lies in the same cell.

    Parameters
    ----------
    many : (t, 3, n) array
        Positions of the same atoms in several states; coordinates stand in
        rows, so that the compiler takes several atoms at once.
    changes : (k, 3, n) array
        Ways in which the atoms may move, the same for all states.
    reach : float
        Pairs so far apart or farther do not count.
    width : float
        Of a cell, in the unit of `many`.
    cells : int
        So many that the last one ends beyond `reach`.

    Returns
    -------
    counts : (cells, t, 2) array
        The number of pairs, and the sum of the squares of their offsets from
        the centre of the cell.
    rates : (cells, t, 1 + k) array
        The sum of the offsets, and of what each change adds to the distances.
    """
    states, size, moves = len(many), many.shape[2], len(changes)
    counts = np.zeros((cells, states, 2))
    rates = np.zeros((cells, states, 1 + moves))
    d, along = np.empty(size), np.empty((moves, size))
    for t in range(states):
        x = many[t]
        for i in range(size):
            a, b, c = x[0, i], x[1, i], x[2, i]
            for j in range(i):
                u, v, w = a - x[0, j], b - x[1, j], c - x[2, j]
                d[j] = math.sqrt(u * u + v * v + w * w)
            for k in range(moves):
                way = changes[k]
                p, q, r = way[0, i], way[1, i], way[2, i]
                for j in range(i):
                    here = (a - x[0, j]) * (p - way[0, j])
                    here += (b - x[1, j]) * (q - way[1, j])
                    here += (c - x[2, j]) * (r - way[2, j])
                    along[k, j] = here / d[j]
            for j in range(i):
                if d[j] >= reach:
                    continue
                cell = int(d[j] / width)
                off = d[j] - (cell + 0.5) * width
                counts[cell, t, 0] += 1.0
                counts[cell, t, 1] += off * off
                rates[cell, t, 0] += off
                for k in range(moves):
                    rates[cell, t, 1 + k] += along[k, j]
    return counts, rates


@ahead("float64[::1], float64[::1], int64, float64, int64")
@compiled
def pair_waves(
    distance: np.ndarray,
    width: np.ndarray,
    first: int,
    step: float,
    count: int,
) -> tuple[np.ndarray, np.ndarray]:
    """sin(Q d) exp(-w Q^2) / d on an even grid of Q, and its slope in d.

    Parameters
    ----------
    distance, width : (n,) arrays, A and A^2
        d and w of each pair; in the slope w stays.
    first : int
    step : float, 1/A
        Q begins at first * step.
    count : int
        Points of Q.

    Returns
    -------
    waves, slopes : (n, count) arrays
    """
    waves = np.empty((len(distance), count))
    slopes = np.empty((len(distance), count))
    for i in range(len(distance)):
        d, w, q = distance[i], width[i] * step * step, first * step
        sine, cosine = math.sin(q * d), math.cos(q * d)
        by_sine, by_cosine = math.sin(step * d), math.cos(step * d)
        # From one Q to the next the phase turns by an angle, and the decay
        # falls by a factor that itself falls evenly: no sine, no exponential.
        fall = math.exp(-w * first * first) / d
        factor, even = math.exp(-w * (2 * first + 1)), math.exp(-2 * w)
        for k in range(count):
            waves[i, k] = sine * fall
            slopes[i, k] = ((first + k) * step * cosine - sine / d) * fall
            turned = cosine * by_cosine - sine * by_sine
            sine = sine * by_cosine + cosine * by_sine
            cosine = turned
            fall *= factor
            factor *= even
    return waves, slopes


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
    rates = np.zeros((len(x), 3, slopes.shape[1]))
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
    out = np.zeros((2, len(away), len(there)))
    without = np.empty(len(y))
    for a in range(len(away)):
        for k in range(len(y)):
            without[k] = total[k] - sums[away[a], k]
        for b in range(len(there)):
            if not allowed[a, b]:
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
