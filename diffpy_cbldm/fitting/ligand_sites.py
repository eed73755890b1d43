"""Where light atoms of ligands may stand on a particle.

Over one surface atom, or over the middle of two, as sulfur does in the staples
S-Au-S: a gold atom above the surface with a sulfur atom on either side, each
bound to one atom of the surface as well.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from scipy.spatial import cKDTree

from diffpy_cbldm.crystals.bonds import (
    nearest_neighbour_distance,
    surface_shells,
)

SITES = ("atom", "bridge")
"""Over one metal atom, or over two."""

BONDED = 1.25
"""Metal atoms up to so many bond lengths apart are neighbours."""

BRIDGED = 1.35
"""Atoms up to so far apart may share a ligand atom: about 3.9 A of gold, an
angle of 110 degrees at sulfur."""

ROOM = 1.1
"""Ligand atoms stand so many bond lengths of the metal apart, at least."""

OTHERS = 0.95
"""No metal atom is nearer than so many distances to a ligand."""


@dataclasses.dataclass(frozen=True, eq=False)
class Places:
    """Light atoms over a surface, all at one distance from their metal.

    Attributes
    ----------
    feet : (m, 3) array, angstrom
        The metal atom, or the middle of two.
    ways : (m, 3) array
        Unit vectors, away from the neighbours.
    half : (m,) array, angstrom
        How far the metal atoms are from the feet.
    ends : (m, 2) array of int
        The metal atoms, twice the same over one.
    """

    feet: np.ndarray
    ways: np.ndarray
    half: np.ndarray
    ends: np.ndarray

    def over(self, metal: np.ndarray) -> Places:
        """The same places once the metal atoms, (n, 3), have moved."""
        first, second = metal[self.ends[:, 0]], metal[self.ends[:, 1]]
        half = np.linalg.norm(second - first, axis=1) / 2
        return dataclasses.replace(self, feet=(first + second) / 2, half=half)

    def at(self, distance: float) -> np.ndarray:
        """Positions (m, 3) at a distance (A) from the metal."""
        rise = np.sqrt((distance**2 - self.half**2).clip(0))
        return self.feet + rise[:, None] * self.ways

    def __len__(self) -> int:
        return len(self.feet)


def places(positions: np.ndarray, distance: float, site: str) -> Places:
    """The light atoms that find room, corners first: there is the most.

    Parameters
    ----------
    positions : (n, 3) array, angstrom
        Of the metal.
    distance : float, angstrom
        From a metal atom to a light one.
    site : str
        One of `SITES`.
    """
    bond = nearest_neighbour_distance(positions)
    metal = cKDTree(positions)
    outer = np.flatnonzero(surface_shells(positions) == 1)
    around = metal.query_ball_point(positions, BONDED * bond)
    ends = [(int(k), int(k)) for k in outer]
    if site == "bridge":
        near = cKDTree(positions[outer]).query_pairs(BRIDGED * bond)
        ends = [(int(outer[i]), int(outer[j])) for i, j in sorted(near)]
    ends.sort(key=lambda pair: sum(len(around[k]) for k in pair))
    all_places = [_over(positions, around, pair, bond) for pair in ends]
    free: list[int] = []
    taken: list[np.ndarray] = []
    for k, (foot, way, half) in enumerate(all_places):
        if not way.any() or half > OTHERS * distance:
            continue
        rise = math.sqrt(distance**2 - half**2)
        place = foot + rise * way
        apart = all(np.linalg.norm(place - x) > ROOM * bond for x in taken)
        if apart and metal.query(place)[0] > OTHERS * distance:
            free.append(k)
            taken.append(place)
    return Places(
        np.array([all_places[k][0] for k in free]).reshape(-1, 3),
        np.array([all_places[k][1] for k in free]).reshape(-1, 3),
        np.array([all_places[k][2] for k in free]),
        np.array([ends[k] for k in free], int).reshape(-1, 2),
    )


def _over(
    positions: np.ndarray,
    around: list[list[int]],
    ends: tuple[int, int],
    bond: float,
) -> tuple[np.ndarray, np.ndarray, float]:
    """Foot, direction and half distance of a place over one or two atoms.

    The direction is 0 where neighbours lie evenly on all sides.
    """
    both = positions[list(ends)]
    foot = both.mean(0)
    away = sum((foot - positions[around[k]]).sum(0) for k in ends)
    along = both[1] - both[0]
    half = float(np.linalg.norm(along)) / 2
    if half:
        away = away - (away @ along) / (along @ along) * along
    size = float(np.linalg.norm(away))
    return foot, away / size if size > 0.1 * bond else 0 * away, half
