"""How the orbits of a symmetric cluster may move.

Atoms that the point group makes equal go together, outwards and, where their
own symmetry leaves it free, across.  Where that would be too many numbers,
orbits about equally far from the centre make up a shell, and shells go
outwards alone.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable

import numpy as np

from diffpy_cbldm.crystals.bonds import nearest_neighbour_distance
from diffpy_cbldm.crystals.point_groups import Orbit, operations, orbits

ORBIT_LIMIT = 0.2
"""The bound of the moves of orbits."""

MOST_ORBITS = 10
"""A cluster whose orbits could move in more ways moves by shells."""

MOST_SHELLS = 8
"""Orbits make up so many shells at most."""

MOST_WAYS = 40
"""In more ways than that orbits do not move one by one, even if asked."""

LEAST_SYMMETRIC = 10
"""Operations of a group from which on shells say enough of a cluster: those
of five-fold and cubic axes."""

ORBIT_NAME = re.compile(r"orbit_\d+[bc]?|shell_\d+")
"""Names of the variables."""

_CENTRE = 1e-3
"""An atom closer (A) to the centroid has no outward direction."""


def centred(positions: np.ndarray) -> np.ndarray:
    """Positions (n, 3) from their centroid."""
    x = np.asarray(positions, dtype=float)
    return x - x.mean(axis=0)


def orbit_moves(positions: np.ndarray) -> dict[str, np.ndarray]:
    """How the atoms go with the variables of the kind "orbits".

    All ways of the orbits (``orbit_1``, ``orbit_2b``) where they are few, else
    those outwards alone, else shells (``shell_1``).

    Parameters
    ----------
    positions : (n, 3) array, angstrom

    Returns
    -------
    dict of str to (n, 3) array, angstrom
        One nearest-neighbour distance long in their orbit and 0 elsewhere.
        Empty where there is too little symmetry.
    """
    found = every_orbit_move(positions)
    ways = {k: move for k, move in found.items() if k[0] == "o"}
    outwards = {k: move for k, move in ways.items() if k[-1].isdigit()}
    for some in (ways, outwards):
        # One of them a change of size does as well.
        if 0 < len(some) <= MOST_ORBITS + 1:
            return some
    return {k: move for k, move in found.items() if k[0] == "s"}


def every_orbit_move(positions: np.ndarray) -> dict[str, np.ndarray]:
    """As `orbit_moves`, of all names: orbits in all ways, and shells.

    Orbits are left out where they have more than `MOST_WAYS`, and shells
    where there are fewer than `LEAST_SYMMETRIC` operations.
    """
    x = centred(positions)
    return {**_every(x.tobytes())} if len(x) > 1 else {}


@functools.lru_cache(maxsize=8)
def _every(places: bytes) -> dict[str, np.ndarray]:
    """`every_orbit_move` of centred positions, which a fit asks for often."""
    x = np.frombuffer(places).reshape(-1, 3)
    bond = nearest_neighbour_distance(x)
    # Whatever the stretch, a shape has its orbits looked for once.
    shape = np.round(x / bond, 6) + 0.0
    return {k: bond * move for k, move in _moves(shape.tobytes()).items()}


@functools.lru_cache(maxsize=64)
def _moves(shape: bytes) -> dict[str, np.ndarray]:
    """`every_orbit_move` of centred positions, all in bond lengths."""
    x = np.frombuffer(shape).reshape(-1, 3)
    turns = operations(x)
    symmetric = len(turns) >= LEAST_SYMMETRIC
    # An operation saves coordinates: too few leave too many ways to move.
    few = 3 * len(x) <= MOST_WAYS * len(turns)
    if len(turns) == 1 or not (symmetric or few):
        return {}
    found: dict[str, np.ndarray] = {}
    known = orbits(x, turns)
    for k, orbit in enumerate(known):
        for letter, field in zip(("", "b", "c"), orbit.fields):
            found[f"orbit_{k}{letter}"] = _spread(x, [(orbit, field)])
    if len(found) > MOST_WAYS:
        found = {}
    if symmetric:
        for k, some in enumerate(_shells(known), start=1):
            outwards = [(orbit, orbit.fields[0]) for orbit in some]
            found[f"shell_{k}"] = _spread(x, outwards)
    return found


def _spread(
    x: np.ndarray, parts: Iterable[tuple[Orbit, np.ndarray]]
) -> np.ndarray:
    """Moves (n, 3) of some orbits, 0 elsewhere."""
    move = np.zeros(x.shape)
    for orbit, field in parts:
        move[orbit.places] = field
    return move


def _shells(known: list[Orbit]) -> list[list[Orbit]]:
    """Orbits that can move, parted where their radii leave the widest gaps."""
    free = [orbit for orbit in known if len(orbit.fields)]
    gaps = np.diff([orbit.radius for orbit in free])
    # Those of equal radius stay together, however few shells that leaves.
    widest = np.argsort(-gaps, kind="stable")[: MOST_SHELLS - 1]
    ends = sorted(int(k) + 1 for k in widest if gaps[k] > _CENTRE)
    starts = [0, *ends]
    return [
        free[start:end]
        for start, end in zip(starts, [*ends, len(free)], strict=True)
    ]


def twisted(positions: np.ndarray, size: float) -> np.ndarray:
    """A cluster with its mirrors broken, and its rotations kept.

    Parameters
    ----------
    positions : (n, 3) array, angstrom
    size : float
        How far each orbit is turned about the axes, in nearest-neighbour
        distances.

    Returns
    -------
    (n, 3) array, angstrom
        Centred.  The same positions where there are no mirrors, or where the
        rotations leave no orbit room to turn.
    """
    x = centred(positions)
    turns = operations(x)
    proper = turns[np.linalg.det(turns) > 0]
    bond = nearest_neighbour_distance(x)
    moved = x.copy()
    if len(proper) in (1, len(turns)):
        return moved
    # Orbits of the rotations alone that have a way to move which the mirrors
    # forbid: the one at right angles to all that they allow.
    allowed = {int(o.places[0]): o.fields[:, 0] for o in orbits(x, turns)}
    for orbit in orbits(x, proper):
        kept = allowed.get(int(orbit.places[0]), np.zeros((0, 3)))
        if 0 < len(kept) < len(orbit.fields):
            first = orbit.fields[:, 0]
            rest = first - first @ kept.T @ kept
            way = np.linalg.svd(rest, full_matrices=False)[0][:, 0]
            field = np.tensordot(way, orbit.fields, 1)
            moved[orbit.places] += size * bond * field
    return moved
