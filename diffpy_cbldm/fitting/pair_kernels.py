"""The inner loops over the pairs of a cluster whose atoms move, compiled.

All arrays are of double precision and contiguous, so that each loop is
compiled once.
"""

from __future__ import annotations

import math

import numpy as np

from diffpy_cbldm.compiled import ahead, compiled


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
    counts = np.empty((cells, states, 2))
    rates = np.empty((cells, states, 1 + moves))
    counts[:], rates[:] = 0.0, 0.0
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
