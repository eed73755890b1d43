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
    cells = np.flatnonzero(moments[0, :, 0])
    count, *sums = moments[0, cells, :4].T
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
    if together:
        distance.append(np.zeros(1))
        pairs.append(np.full(1, float(together)))
    d, n = np.concatenate(distance), np.concatenate(pairs)
    order = np.argsort(d, kind="stable")
    order = order[n[order] > 0]
    return d[order], n[order]
