"""The distances of large clusters as few numbers.

A fit looks at a cluster through its distances alone.  Those of atoms on a
lattice are few, and are counted exactly; all others are gathered in narrow
cells, each of which leaves two distances that have the cell's number, mean,
variance and skewness of pairs.
"""

from __future__ import annotations

import numpy as np

from diffpy_cbldm.crystals.lattice_pairs import lattice_distances
from diffpy_cbldm.crystals.remembered import remembered
from diffpy_cbldm.debye.histogram import distance_moments

FEW_ATOMS = 256
"""Up to so many atoms every pair is looked at."""

MANY_ATOMS = 1000
"""From so many on pairs on no lattice are gathered in cells."""

CELL = 0.01
"""Width of a cell, A: two distances in its place leave an error of the
fourth order in this times Q, 1e-6 at Q = 25 1/A."""


def counted_distances(
    positions: np.ndarray,
) -> tuple[np.ndarray, np.ndarray] | None:
    """Few distances in place of all pairs of a large cluster.

    Parameters
    ----------
    positions : (N, 3) array, angstrom

    Returns
    -------
    distance, pairs : (S,) arrays, angstrom and pairs i < j
        None for a small cluster, and for one of up to `MANY_ATOMS` atoms
        that stand on no lattice: its pairs are few enough.
    """
    if len(positions) <= FEW_ATOMS:
        return None
    exact = lattice_distances(positions)
    if exact is not None or len(positions) <= MANY_ATOMS:
        return exact
    return gathered_distances(positions)


@remembered(1, 0)
def gathered_distances(
    positions: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """`counted_distances` of atoms anywhere, from cells of `CELL`.

    Atoms at one place leave a distance of 0.
    """
    moments, together = distance_moments(
        [positions], CELL, low=1e-9, high=np.inf, inverse=False
    )
    return _with_touching(*_nodes(moments[0]), together)


def _with_touching(
    distance: np.ndarray, pairs: np.ndarray, together: int
) -> tuple[np.ndarray, np.ndarray]:
    """The same with a distance of 0 for pairs at one place."""
    if not together:
        return distance, pairs
    return np.append(0.0, distance), np.append(float(together), pairs)


def distances_by_kinds(
    positions: np.ndarray, kinds: np.ndarray
) -> dict[tuple[int, int], tuple[np.ndarray, np.ndarray]]:
    """The distances of a cluster of several elements, by their pairs.

    Parameters
    ----------
    positions : (N, 3) array, angstrom
    kinds : (N,) array of int, from 0
        The element of each atom.

    Returns
    -------
    dict of (a, b), a <= b, to (distance, pairs)
        (S,) arrays, angstrom and pairs of atoms; those of more than
        `MANY_ATOMS` atoms are gathered in cells.  Kinds without a pair are
        left out.
    """
    number = int(kinds.max()) + 1
    if len(positions) <= MANY_ATOMS:
        i, j = np.triu_indices(len(positions), 1)
        d = np.sqrt(((positions[i] - positions[j]) ** 2).sum(1))
        low = np.minimum(kinds[i], kinds[j])
        code = np.maximum(kinds[i], kinds[j]) * number + low
        every = [(k % number, k // number) for k in np.unique(code).tolist()]
        mine = [d[code == a + b * number] for a, b in every]
        return {
            key: (some, np.ones(len(some)))
            for key, some in zip(every, mine, strict=True)
        }
    lots = [positions[kinds == k] for k in range(number)]
    found = {}
    for b in range(number):
        for a in range(b + 1):
            d, n = _gathered_between(lots[a], None if a == b else lots[b])
            if len(d):
                found[a, b] = d, n
    return found


def _gathered_between(
    some: np.ndarray, others: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """`gathered_distances` of the pairs of two kinds, or of one alone."""
    if others is None:
        return gathered_distances(some)
    # The pairs of all, less those that each kind has of its own.
    moments, together = distance_moments(
        [np.concatenate([some, others]), some, others],
        CELL,
        low=1e-9,
        high=np.inf,
        inverse=False,
    )
    return _with_touching(
        *_nodes(moments[0] - moments[1] - moments[2]), together
    )


def gathered_values(
    distances: np.ndarray, pairs: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """`gathered_distances` of distances (P,) that are known, and counts."""
    places = distances / CELL
    cells = places.astype(int)
    powers = [pairs * (places - cells) ** k for k in range(4)]
    return _nodes(np.stack([np.bincount(cells, w) for w in powers], 1))


def _nodes(moments: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two distances for each cell of `distance_moments`, (cells, 4 or more).

    Rising, and how many pairs each stands for.
    """
    cells = np.flatnonzero(moments[:, 0])
    count, *sums = moments[cells, :4].T
    # In cells, from their lower ends, for the sake of rounding.
    mean, square, cube = (total / count for total in sums)
    variance = (square - mean**2).clip(min=0)
    third = cube - 3 * mean * square + 2 * mean**3
    spread = np.sqrt(variance)
    # Gauss quadrature: two nodes whose first four moments are the cell's.
    wide = spread > 1e-5
    skew = np.where(wide, third / spread.clip(min=1e-5) ** 3, 0.0)
    root = np.sqrt(1 + skew**2 / 4)
    # Pairs of one distance stay together.
    share = np.where(wide, 0.5 * (1 - skew / (2 * root)), 1.0)
    distance, pairs = [], []
    for sign, part in ((1, share), (-1, 1 - share)):
        node = mean + spread * (skew / 2 + sign * root)
        distance.append((cells + node.clip(0, 1)) * CELL)
        pairs.append(count * part)
    d, n = np.concatenate(distance), np.concatenate(pairs)
    order = np.argsort(d, kind="stable")
    order = order[n[order] > 0]
    return d[order], n[order]
