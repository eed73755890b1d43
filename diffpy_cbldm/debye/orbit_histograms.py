"""Pair histograms of clusters whose orbits are known.

All atoms of an orbit see the same distances, so that one of them is enough:
of 114 atoms in six orbits 700 pairs in place of 6441.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from diffpy_cbldm.debye.histogram import spread_moments
from diffpy_cbldm.debye.kernels import MOMENTS, pair_moments
from diffpy_cbldm.debye.pair_blocks import TOUCHING

_AT_ONCE = 64
"""Clusters whose moments are held at a time: 3 MB."""


def orbit_histograms(
    clusters: Sequence[Sequence[np.ndarray]],
    *,
    step: float,
    bins: int,
    order: int,
) -> np.ndarray:
    """`diffpy_cbldm.debye.histogram.pair_histogram` of symmetric clusters.

    Parameters
    ----------
    clusters : sequence of sequences of (m, 3) arrays, any unit
        The orbits of each, of one group about one centre.
    step, bins, order
        As there; an order of at most `MOMENTS`.  Nearer pairs than
        `TOUCHING` do not count.

    Returns
    -------
    (C, bins) array of float32
    """
    out = np.zeros((len(clusters), bins), np.float32)
    for first in range(0, len(clusters), _AT_ONCE):
        part = clusters[first : first + _AT_ONCE]
        moments = _moments(part, step, bins)
        out[first : first + _AT_ONCE] = spread_moments(
            moments, step, bins, order
        )
    return out


def _moments(
    clusters: Sequence[Sequence[np.ndarray]], step: float, bins: int
) -> np.ndarray:
    """What the pairs i < j leave in cells of distance, see `pair_moments`."""
    # One atom of each orbit first, then all others.
    atoms = [
        part
        for orbits in clusters
        for part in (
            np.array([orbit[0] for orbit in orbits]),
            *(orbit[1:] for orbit in orbits),
        )
    ]
    flat = np.concatenate(atoms).T.astype(float, order="C")
    sizes = [sum(map(len, orbits)) for orbits in clusters]
    starts = np.cumsum([0, *sizes], dtype=np.int64)
    shares = np.zeros(flat.shape[1])
    for start, orbits in zip(starts, clusters):
        # Each pair is met from both ends.
        shares[start : start + len(orbits)] = [0.5 * len(o) for o in orbits]
    longest = 2 * float(np.linalg.norm(flat, axis=0).max())
    cells = math.ceil(min(longest / step + 1, bins))
    out = np.zeros((len(clusters), cells, MOMENTS))
    ends = TOUCHING / step, float(cells)
    pair_moments(flat, starts, shares, 1 / step, *ends, True, out)
    return out
