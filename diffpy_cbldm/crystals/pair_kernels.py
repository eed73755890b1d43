"""Pair distances of particles on no lattice, in bins, compiled."""

from __future__ import annotations

import math

import numpy as np

from diffpy_cbldm.compiled import ahead, compiled


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


@ahead("float32[:, :, ::1], int64[::1], boolean")
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
        most = u_end * u_end + v_end * v_end + u_end * v_end
        most += 2 * w_end * w_end
    else:
        most = u_end * u_end + v_end * v_end + w_end * w_end
    out = np.empty(most + 1)
    out[:] = 0.0
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


@compiled
def kind_moments(
    positions: np.ndarray, kind: np.ndarray, step: float, bins: int, kinds: int
) -> np.ndarray:
    """Pairs by their kinds in bins: number, sum of distances, of squares.

    Parameters
    ----------
    positions : (N, 3) array of float64
    kind : (N,) array of int64
        Of each atom, from 0.
    step : float
        Bin k holds the distances from k to k + 1 steps, which are summed in
        steps from its lower end.
    bins : int
        Pairs beyond the last one are left out.
    kinds : int

    Returns
    -------
    (kinds (kinds + 1) / 2, bins, 3) array of float64, pairs i < j
        Kinds a <= b have the row b (b + 1) / 2 + a.
    """
    out = np.zeros((kinds * (kinds + 1) // 2, bins, 3))
    far = (step * bins) ** 2
    for i in range(len(positions)):
        x, y, z = positions[i, 0], positions[i, 1], positions[i, 2]
        a = kind[i]
        for j in range(i):
            dx, dy = positions[j, 0] - x, positions[j, 1] - y
            dz = positions[j, 2] - z
            square = dx * dx + dy * dy + dz * dz
            if square >= far:
                continue
            place = math.sqrt(square) / step
            low = int(place)
            part = place - low
            b = kind[j]
            code = a * (a + 1) // 2 + b if a > b else b * (b + 1) // 2 + a
            moments = out[code, low]
            moments[0] += 1
            moments[1] += part
            moments[2] += part * part
    return out


@compiled
def cross_squares(
    some: np.ndarray, others: np.ndarray, count: int
) -> np.ndarray:
    """Pairs of two sets of sites of a lattice, by their squared distances.

    Parameters
    ----------
    some, others : (M, 3), (N, 3) arrays of float64
        In units in which all squared distances are whole.
    count : int
        Pairs with a square of `count` or more are left out.

    Returns
    -------
    (count,) array of float64
        Pairs of one of `some` and one of `others` with each square.
    """
    out = np.zeros(count)
    for i in range(len(some)):
        x, y, z = some[i, 0], some[i, 1], some[i, 2]
        for j in range(len(others)):
            dx, dy = others[j, 0] - x, others[j, 1] - y
            dz = others[j, 2] - z
            square = int(dx * dx + dy * dy + dz * dz + 0.5)
            if square < count:
                out[square] += 1
    return out


@compiled
def nested_pairs(
    positions: np.ndarray,
    kind: np.ndarray,
    ends: np.ndarray,
    exact: float,
    step: float,
    shape: tuple[int, int],
) -> np.ndarray:
    """Pairs of particles that hold one another, by their kinds, in bins.

    Particle e holds the first ``ends[e]`` atoms.  Each pair is counted for
    the later one of its atoms: the sums over rows are the particles' own.

    Parameters
    ----------
    positions : (N, 3) array of float64
        In the order in which atoms join.
    kind : (N,) array of int64
        Of each atom, from 0.
    ends : (E,) array of int64
        Rising.
    exact : float
        Of so many atoms all pairs are counted; of the later ones those of
        every s-th, each s times, with s = (number / exact)^1.5.
    step : float
        Between the places of bins 0, step, 2 step ...; a distance is shared
        by the two nearest.
    shape : (int, int)
        Kinds, and bins: pairs beyond the last one are left out.

    Returns
    -------
    (E, kinds (kinds + 1) / 2, bins) array of float32
        What each particle has beyond the one before.
    """
    kinds, bins = shape
    out = np.zeros((len(ends), kinds * (kinds + 1) // 2, bins), np.float32)
    far = (step * (bins - 1)) ** 2
    begin, turn = 0, 0
    for e in range(len(ends)):
        stride = max(1, int((ends[e] / exact) ** 1.5))
        for i in range(begin, ends[e]):
            if i < turn:
                continue
            turn = i + stride
            x, y, z = positions[i, 0], positions[i, 1], positions[i, 2]
            a = kind[i]
            for j in range(i):
                dx, dy = positions[j, 0] - x, positions[j, 1] - y
                dz = positions[j, 2] - z
                square = dx * dx + dy * dy + dz * dz
                if square >= far:
                    continue
                place = math.sqrt(square) / step
                low = int(place)
                part = place - low
                b = kind[j]
                code = a * (a + 1) // 2 + b if a > b else b * (b + 1) // 2 + a
                out[e, code, low] += stride * (1 - part)
                out[e, code, low + 1] += stride * part
        begin = ends[e]
    return out
