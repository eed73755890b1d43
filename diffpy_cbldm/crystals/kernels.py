"""Inner loops over the sites of a template, compiled."""

from __future__ import annotations

import math

import numpy as np

from diffpy_cbldm.compiled import compiled


@compiled
def without_overlaps(
    index: np.ndarray, close: np.ndarray, sites: int
) -> np.ndarray:
    """Which sites of a ranking stay where some exclude each other.

    Parameters
    ----------
    index : (n,) array of int
        Sites, the likeliest first.
    close : (P, 2) array of int
        Pairs of sites that exclude each other.
    sites : int
        Number of sites of the template.

    Returns
    -------
    (n,) array of bool
        False where a likelier site that stays excludes it.
    """
    n = len(index)
    rank = np.full(sites, n)
    for k in range(n):
        rank[index[k]] = k
    # The pairs of each less likely site, as linked lists.
    last = np.full(n, -1)
    before = np.full(len(close), -1)
    for p in range(len(close)):
        late = max(rank[close[p, 0]], rank[close[p, 1]])
        if late < n:
            before[p] = last[late]
            last[late] = p
    keep = np.ones(n, np.bool_)
    for late in range(n):
        p = last[late]
        # Whether the likelier site is itself left out is decided by now.
        while p >= 0 and keep[late]:
            early = min(rank[close[p, 0]], rank[close[p, 1]])
            keep[late] = not keep[early]
            p = before[p]
    return keep


@compiled
def deformed_sites(
    sites: np.ndarray,
    members: np.ndarray,
    starts: np.ndarray,
    bonded: np.ndarray,
    shape: np.ndarray,
) -> np.ndarray:
    """`diffpy_cbldm.crystals.cuts.deformed` of sites with known bonds.

    The sums run in the order of NumPy's, so that the positions are the same
    to the last bit.

    Parameters
    ----------
    sites : (S, 3) array, bond lengths
    members : (n,) array of int
        The filled sites.
    starts : (S + 1,) array of int
        Where the neighbours of each site begin in `bonded`.
    bonded : (B,) array of int
        The neighbours of each site, one site after the other.
    shape : (3,) array
        Strain along x and y, and relaxation.

    Returns
    -------
    (n, 3) array, centred
    """
    n = len(members)
    xyz = np.empty((n, 3))
    for k in range(n):
        for a in range(3):
            xyz[k, a] = sites[members[k], a]
    _centre(xyz)
    if shape[0] == 0 and shape[1] == 0 and shape[2] == 0:
        return xyz
    if shape[2] != 0:
        filled = np.zeros(len(sites), np.bool_)
        for k in range(n):
            filled[members[k]] = True
        neighbours = np.zeros(n, np.int64)
        most = 1
        for k in range(n):
            for p in range(starts[members[k]], starts[members[k] + 1]):
                if filled[bonded[p]]:
                    neighbours[k] += 1
            most = max(most, neighbours[k])
        for k in range(n):
            x, y, z = xyz[k, 0], xyz[k, 1], xyz[k, 2]
            radius = max(math.sqrt(x * x + y * y + z * z), 1e-6)
            lack = 1 - neighbours[k] / most
            # No atom crosses the middle, however strong the relaxation.
            inwards = min(shape[2] * lack / radius, 0.2)
            for a in range(3):
                xyz[k, a] = xyz[k, a] * (1 - inwards)
    strain = (shape[0], shape[1], -shape[0] - shape[1])
    for k in range(n):
        for a in range(3):
            xyz[k, a] = xyz[k, a] * (1 + strain[a])
    _centre(xyz)
    return xyz


@compiled
def _centre(xyz: np.ndarray) -> None:
    """Bring the mean position to the origin."""
    for a in range(3):
        total = 0.0
        for k in range(len(xyz)):
            total += xyz[k, a]
        mean = total / len(xyz)
        for k in range(len(xyz)):
            xyz[k, a] -= mean
