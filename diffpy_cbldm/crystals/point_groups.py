"""Orbits of point groups: atoms that symmetry makes equal.

A symmetric cluster is told by its group and one site of each orbit; and the
few ways in which it can move and stay symmetric are those of these sites that
their own symmetry (the stabiliser) leaves free: along an axis one, in a
mirror plane two, elsewhere three.
"""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from diffpy_cbldm.crystals.bonds import nearest_neighbour_distance

ROTATION_GROUPS = ("I", "O", "T", "D5", "D3")
"""Groups of rotations that frameworks are built by (Schoenflies symbols)."""

FRAMES = {"I": "I", "O": "O", "T": "O", "D5": "D10", "D3": "D6"}
"""Rotations among which are those of each group, and with -1 its mirrors."""

LARGEST = 400
"""Symmetry is looked for in clusters of at most so many atoms."""

EXACT = 0.02
"""Equal atoms lie so close, in bond lengths, once an operation is done."""


@functools.cache
def rotations(group: str) -> np.ndarray:
    """The rotations of a point group as matrices, (g, 3, 3).

    Parameters
    ----------
    group : str
        One of `ROTATION_GROUPS`.
    """
    return Rotation.create_group(group).as_matrix()


def operations(positions: np.ndarray) -> np.ndarray:
    """Rotations and reflections that leave a cluster in place.

    Parameters
    ----------
    positions : (n, 3) array, angstrom

    Returns
    -------
    (g, 3, 3) array
        About the centroid: where it has a group of `ROTATION_GROUPS` in its
        frame, as frameworks do, those and its mirrors, else by what they do
        to two atoms.  The identity alone for fewer than 4 or more than
        `LARGEST` atoms.
    """
    if not 4 <= len(positions) <= LARGEST:
        return np.eye(3)[None]
    x = np.asarray(positions, float)
    x = x - x.mean(0)
    tree, tolerance = cKDTree(x), EXACT * nearest_neighbour_distance(x)

    def stays(turn: np.ndarray) -> bool:
        return bool(tree.query(x @ turn.T)[0].max() < tolerance)

    # To search for axes takes longer than to try some.
    for group, frame in FRAMES.items():
        if all(map(stays, rotations(group))):
            turns = rotations(frame)
            return np.array([t for t in (*turns, *-turns) if stays(t)])
    kept = [turn for turn in _searched(x, tree, tolerance) if stays(turn)]
    return np.array(kept or [np.eye(3)])


def _searched(
    x: np.ndarray, tree: cKDTree, tolerance: float
) -> list[np.ndarray]:
    """Operations by what they do to two atoms; some may leave an atom off.

    An operation takes two atoms that do not lie on one line with the centre
    to two others, as far from the centre and from one another; and what
    becomes of these tells all of it, but for the mirror that they lie in.
    """
    radius = np.linalg.norm(x, axis=1)
    alike = np.abs(radius[:, None] - radius) < 2 * tolerance
    # Of atoms with few others like them, there are few places to go to.
    order = np.lexsort((-radius, alike.sum(1)))
    first = next(i for i in order if radius[i] > 10 * tolerance)
    apart = np.linalg.norm(np.cross(x[first], x), axis=1) / radius[first]
    off = [i for i in order if apart[i] > 10 * tolerance]
    if not off:
        return []  # all atoms on one line
    pair = [first, off[0]]
    away = np.linalg.norm(x[pair[0]] - x[pair[1]])
    ends = np.linalg.norm(x[:, None] - x, axis=2)
    there = alike[pair[0]][:, None] & alike[pair[1]]
    there &= np.abs(ends - away) < 4 * tolerance
    own = _frame(*x[pair])
    turns = []
    for i, j in zip(*np.nonzero(there)):
        turn = _frame(x[i], x[j]).T @ own
        for one in (turn, turn @ (np.eye(3) - 2 * np.outer(own[2], own[2]))):
            # Two atoms tell it as well as they are in place: all tell more.
            off_by, image = tree.query(x @ one.T)
            if off_by.max() < 3 * tolerance:
                u, _, v = np.linalg.svd(x[image].T @ x)
                # Of flat clusters the sign across is open.
                u[:, 2] *= np.sign(np.linalg.det(u @ v) * np.linalg.det(one))
                turns.append(u @ v)
    return turns


def _frame(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Unit vectors in rows: along a, towards b, and at right angles."""
    first = a / np.linalg.norm(a)
    second = b - (b @ first) * first
    second /= np.linalg.norm(second)
    return np.array([first, second, np.cross(first, second)])


@dataclasses.dataclass(frozen=True, eq=False)
class Orbit:
    """Equal atoms, and how they may move together.

    Attributes
    ----------
    places : (m,) array of int
        Of the atoms in the cluster.
    radius : float
        From the centre.
    fields : (f, m, 3) array
        Unit vectors of each atom for each way to move, f from 0 (the
        centre) to 3.  The first is the radial one.
    """

    places: np.ndarray
    radius: float
    fields: np.ndarray


def orbits(positions: np.ndarray, turns: np.ndarray) -> list[Orbit]:
    """The orbits of a cluster under a group, from the centre outwards.

    Parameters
    ----------
    positions : (n, 3) array
        Any unit of length.
    turns : (g, 3, 3) array
        Of a group that leaves the cluster in place about its centroid.
    """
    x = np.asarray(positions, float)
    x = x - x.mean(0)
    # Where each operation takes each atom, (g, n).
    images = cKDTree(x).query(np.einsum("gij,nj->gni", turns, x))[1]
    found = []
    for first in np.unique(images.min(0)):
        places, which = np.unique(images[:, first], return_index=True)
        free = _free_directions(x[first], turns[images[:, first] == first])
        fields = np.einsum("mij,fj->fmi", turns[which], free)
        radius = float(np.linalg.norm(x[first]))
        found.append(Orbit(places, radius, fields))
    return sorted(found, key=lambda orbit: orbit.radius)


def orbit_fields(shell: np.ndarray, turns: np.ndarray) -> np.ndarray:
    """How the atoms of one orbit may move together, (f, m, 3), unit vectors.

    As `Orbit.fields`, of an orbit that is known.

    Parameters
    ----------
    shell : (m, 3) array
        All images of one site.
    turns : (g, 3, 3) array
    """
    site = shell[0]
    apart = (turns @ site)[:, None] - shell
    # To which atom each operation takes the site, and one for each atom.
    image = (apart**2).sum(2).argmin(1)
    _, which = np.unique(image, return_index=True)
    free = _free_directions(site, turns[image == 0])
    return np.einsum("mij,fj->fmi", turns[which], free)


def _free_directions(site: np.ndarray, stabiliser: np.ndarray) -> np.ndarray:
    """Unit vectors that the operations of a site leave alone, (f, 3)."""
    values, vectors = np.linalg.eigh(stabiliser.mean(0) + stabiliser.mean(0).T)
    free = vectors[:, values > 1].T
    radius = np.linalg.norm(site)
    if radius < 1e-6 or not len(free):
        # The centre stays: a shift of all atoms changes no distance.
        return free[:0]
    outwards = site / radius
    # The radial way first, the others at right angles to it.
    across = free - (free @ outwards)[:, None] * outwards
    _, sizes, ways = np.linalg.svd(across, full_matrices=False)
    return np.vstack([outwards, ways[sizes > 0.01]])


def orbit_of(
    site: np.ndarray, turns: np.ndarray, merge: float
) -> np.ndarray | None:
    """All images of a site, (m, 3), the site the first one.

    A site nearer than `merge` to its own images is put where they meet.

    Parameters
    ----------
    site : (3,) array
    turns : (g, 3, 3) array
    merge : float

    Returns
    -------
    (m, 3) array, or None where the images do not meet in one place.
    """
    images = turns @ site
    near = np.linalg.norm(images - site, axis=1) < merge
    moved = images[near].mean(0)
    if np.linalg.norm(moved - site) > merge:
        return None
    images = turns @ moved
    _, first = np.unique(np.round(images, 5), axis=0, return_index=True)
    images = images[np.sort(first)]
    order = np.argsort(np.linalg.norm(images - moved, axis=1), kind="stable")
    return images[order]
