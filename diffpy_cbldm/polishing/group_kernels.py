"""Pairs of atoms and groups of atoms, counted by distance, compiled.

Distances are counted in cells of one width; the vectors of
`diffpy_cbldm.polishing.basis` turn counts into curves.  All arrays are of
double precision and contiguous, whole numbers int64, so that each loop is
compiled once.
"""

from __future__ import annotations

import math

import numpy as np

from diffpy_cbldm.compiled import ahead, compiled


@compiled
def site_counts(
    sites: np.ndarray,
    atoms: np.ndarray,
    width: float,
    reach: float,
    counts: np.ndarray,
    offsets: np.ndarray,
) -> None:
    """Count the atoms around each site by distance.

    An atom on a site itself does not count.

    Parameters
    ----------
    sites, atoms : (s, 3), (n, 3) arrays
    width : float
        Of a cell of distances.
    reach : float
        Pairs so far apart or farther do not count.
    counts : (s, cells) array of float32
        Added to in place.
    offsets : (2, cells) array
        The number of pairs in each cell, and the sum of their distances;
        added to in place.
    """
    for i in range(len(sites)):
        x, y, z = sites[i, 0], sites[i, 1], sites[i, 2]
        for j in range(len(atoms)):
            a, b, c = atoms[j, 0] - x, atoms[j, 1] - y, atoms[j, 2] - z
            d = math.sqrt(a * a + b * b + c * c)
            if d >= reach or d < width:
                continue
            cell = int(d / width)
            counts[i, cell] += np.float32(1.0)
            offsets[0, cell] += 1.0
            offsets[1, cell] += d


@compiled
def inner_counts(
    points: np.ndarray,
    starts: np.ndarray,
    width: float,
    reach: float,
    counts: np.ndarray,
) -> None:
    """Count the pairs inside of each group of atoms by distance.

    Parameters
    ----------
    points : (n, 3) array
        The atoms of one group after those of another.
    starts : (g + 1,) array of int64
        Where each group begins, and the end.
    width, reach : float
        As for `site_counts`.
    counts : (g, cells) array of float32
        Added to in place.
    """
    for g in range(len(starts) - 1):
        for i in range(starts[g], starts[g + 1]):
            for j in range(starts[g], i):
                a = points[i, 0] - points[j, 0]
                b = points[i, 1] - points[j, 1]
                c = points[i, 2] - points[j, 2]
                d = math.sqrt(a * a + b * b + c * c)
                if d < reach:
                    counts[g, int(d / width)] += np.float32(1.0)


@compiled
def layer_counts(
    atoms: np.ndarray,
    starts: np.ndarray,
    shifts: np.ndarray,
    width: float,
    reach: float,
    counts: np.ndarray,
    offsets: np.ndarray,
) -> None:
    """Count the pairs between layers by distance, the upper ones shifted.

    Parameters
    ----------
    atoms : (n, 3) array
        One layer after another.
    starts : (l + 1,) array of int64
        Where each layer begins, and the end.
    shifts : (k, 3) array
        Of the upper layer.
    width, reach : float
        As for `site_counts`.
    counts : (l (l - 1) / 2, k, cells) array of float32
        Pairs of layers (0, 1), (0, 2), (1, 2), (0, 3) ...; added to in place.
    offsets : (2, cells) array
        As for `site_counts`.
    """
    for upper in range(1, len(starts) - 1):
        for lower in range(upper):
            row = upper * (upper - 1) // 2 + lower
            for i in range(starts[upper], starts[upper + 1]):
                for k in range(len(shifts)):
                    x = atoms[i, 0] + shifts[k, 0]
                    y = atoms[i, 1] + shifts[k, 1]
                    z = atoms[i, 2] + shifts[k, 2]
                    for j in range(starts[lower], starts[lower + 1]):
                        a, b = atoms[j, 0] - x, atoms[j, 1] - y
                        c = atoms[j, 2] - z
                        d = math.sqrt(a * a + b * b + c * c)
                        if d < reach:
                            cell = int(d / width)
                            counts[row, k, cell] += np.float32(1.0)
                            offsets[0, cell] += 1.0
                            offsets[1, cell] += d


@ahead(
    "float64[:, ::1], int64[::1], int64[::1], int64[::1], int64[::1], "
    "float64, int64, float64"
)
@compiled
def led_places(
    x: np.ndarray,
    bond_starts: np.ndarray,
    bonds: np.ndarray,
    step_starts: np.ndarray,
    steps: np.ndarray,
    width: float,
    half: int,
    occupied: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Where the steps around each atom's neighbours lead from the atom.

    Parameters
    ----------
    x : (n, 3) array, bond lengths
    bond_starts, bonds : (n + 1,) and (b,) arrays of int64
        The neighbours of each atom in a row, and where each row begins.
    step_starts, steps : (n + 1,) and (s,) arrays of int64
        The same of the atoms that a step leads to.
    width, half : float, int
        Steps in one cell of this width are one; no step is longer than so
        many cells.
    occupied : float
        Places so near to an atom that a step leads to are that atom's own.

    Returns
    -------
    key : (p,) array of int64
        Rises with the atom and the cell of its step.
    place : (p, 3) array
    """
    side = 2 * half + 1
    cells = side * side * side
    seen = np.empty(cells, np.int64)
    seen[:] = -1
    key, place = [], []
    for i in range(len(x)):
        # Steps of a lattice before their reverses.
        for sign in (1.0, -1.0):
            for n in range(bond_starts[i], bond_starts[i + 1] + 1):
                # The atom itself comes after its neighbours.
                j = bonds[n] if n < bond_starts[i + 1] else i
                for m in range(step_starts[j], step_starts[j + 1]):
                    a = sign * (x[steps[m], 0] - x[j, 0])
                    b = sign * (x[steps[m], 1] - x[j, 1])
                    c = sign * (x[steps[m], 2] - x[j, 2])
                    cell = int(np.rint(a / width)) + half
                    cell = cell * side + int(np.rint(b / width)) + half
                    cell = cell * side + int(np.rint(c / width)) + half
                    if seen[cell] == i:
                        continue
                    seen[cell] = i
                    free = True
                    for k in range(step_starts[i], step_starts[i + 1]):
                        u = x[steps[k], 0] - x[i, 0] - a
                        v = x[steps[k], 1] - x[i, 1] - b
                        w = x[steps[k], 2] - x[i, 2] - c
                        if u * u + v * v + w * w <= occupied * occupied:
                            free = False
                            break
                    if free:
                        key.append(i * cells + cell)
                        place.append((x[i, 0] + a, x[i, 1] + b, x[i, 2] + c))
    out = np.empty((len(place), 3))
    for p in range(len(place)):
        out[p, 0], out[p, 1], out[p, 2] = place[p]
    return np.array(key, dtype=np.int64), out
