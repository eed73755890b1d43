"""Sites that continue a cluster's own lattice outwards.

No type of lattice is told: what stands around one atom also stands around
its neighbours, so the steps from a neighbour to its own neighbours, made
again from the atom, lead to sites of the lattice there.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from diffpy_cbldm.crystals.bonds import BOND
from diffpy_cbldm.polishing.group_kernels import led_places

STEP_REACH = 1.5
"""Longest step of the lattice, in bonds: past the second neighbours of fcc
and of bcc, short of the third ones."""

STEP_CELL = 0.2
"""Steps of an atom in one cell of this size (bonds) are one step."""

SITE_CELL = 0.15
"""Places in one cell of this size (bonds) are one site: strain and twins
part what several atoms point at by less than this."""

APART = 0.2
"""Sites nearer than this, in bonds, are one."""

OCCUPIED = 0.5
"""Places nearer than this to an atom, in bonds, are that atom's own site."""

CLEAR = 0.7
"""New sites lie farther than this from all atoms, in bonds."""

RIVAL_REACH = 0.8
"""Two sites nearer than this, in bonds, cannot both be filled."""

RIVAL_SHARE = 0.6
"""A site with a smaller share of its rival's support gives way to it."""

SUPPORT = 3
"""Atoms that must lead to a site: an adatom on {111} has as many bonds."""

CAP_CLEAR = 0.9
"""Caps lie farther than this from all atoms, in bonds."""


def more_sites(
    atoms: np.ndarray, bond: float, layers: bool = False
) -> np.ndarray:
    """Sites that continue a cluster's own lattice by one shell.

    Around each atom the vectors between its neighbours and theirs are those
    of the lattice there, in whichever grain of a twin it lies.  A site to
    which these lead from three atoms or more, and from no fewer than from
    its rival a fraction of a bond away, continues the crystal.

    Parameters
    ----------
    atoms : (N, 3) array, angstrom
    bond : float, angstrom
    layers : bool
        Whether close-packed layers may go on in either of two ways: sites
        over every triangle of atoms are taken as well.

    Returns
    -------
    (n, 3) array: new sites, farther than 0.7 bonds from all atoms.
    """
    sites = _continued(atoms / bond)
    if layers:
        new = _caps(atoms / bond)
        if len(sites):
            new = new[cKDTree(sites).query(new)[0] > APART]
        sites = np.concatenate([sites, new])
    return sites * bond


def _caps(x: np.ndarray) -> np.ndarray:
    """Points one bond from three atoms that are bonded to each other."""
    tree = cKDTree(x)
    # Triangles of touching atoms alone: a second neighbour would tilt them.
    first, second = tree.query_pairs(1.1, output_type="ndarray").T
    touch = np.zeros((len(x), len(x)), bool)
    touch[first, second] = touch[second, first] = True
    # What touches both ends of a pair closes a triangle with them.
    pair, third = np.nonzero(touch[first] & touch[second])
    once = third > np.maximum(first, second)[pair]
    pair, third = pair[once], third[once]
    triangles = np.stack([first[pair], second[pair], third], axis=1)
    if not len(triangles):
        return np.zeros((0, 3))
    a, b, c = (x[part] for part in triangles.T)
    # The height of a regular tetrahedron over its base.
    normal = np.cross(b - a, c - a)
    normal *= (2 / 3) ** 0.5 / np.linalg.norm(normal, axis=1)[:, None]
    caps = (a + b + c) / 3 + np.stack([normal, -normal])
    caps = caps.reshape(-1, 3)
    caps = caps[tree.query(caps)[0] > CAP_CLEAR]
    alike = cKDTree(caps).query_pairs(APART, output_type="ndarray")
    return np.delete(caps, np.unique(alike[:, 1]), axis=0)


def _continued(x: np.ndarray) -> np.ndarray:
    """`more_sites` without caps, in bond lengths."""
    tree = cKDTree(x)
    owner, place = _outside_places(x, tree)
    sites, group = merged(place)
    # An atom may point at one site by several steps, and counts once.
    group_of_owner = np.unique(np.stack([group, owner]), axis=1)[0]
    support = np.bincount(group_of_owner, minlength=len(sites))
    good = (support >= SUPPORT) & ~_outvoted(sites, support)
    near = tree.query(sites)[0]
    return sites[good & (near > CLEAR) & (near < BOND)]


def _outside_places(
    x: np.ndarray, tree: cKDTree
) -> tuple[np.ndarray, np.ndarray]:
    """Where the lattice around each atom leads, off the atoms.

    Returns
    -------
    owner : (p,) array of int
        The atom that a step starts from.
    place : (p, 3) array, bond lengths
        Where it ends.
    """
    # With a step a lattice has its reverse: at a surface many of the steps
    # outwards are known by those inwards alone.
    half = int(np.ceil(STEP_REACH / STEP_CELL))
    key, place = led_places(
        np.ascontiguousarray(x),
        *_rows(tree.query_pairs(BOND, output_type="ndarray"), len(x)),
        *_rows(tree.query_pairs(STEP_REACH, output_type="ndarray"), len(x)),
        STEP_CELL,
        half,
        OCCUPIED,
    )
    order = np.argsort(key)
    # The loop looks at near atoms alone.
    order = order[tree.query(place[order])[0] > OCCUPIED]
    return key[order] // (2 * half + 1) ** 3, place[order]


def _rows(pairs: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Where the partners of each point begin, and the partners in a row."""
    both = np.concatenate([pairs, pairs[:, ::-1]])
    both = both[np.argsort(both[:, 0], kind="stable")]
    starts = np.searchsorted(both[:, 0], np.arange(count + 1))
    return starts, np.ascontiguousarray(both[:, 1])


def merged(place: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What several atoms point at is one site, at the mean.

    Parameters
    ----------
    place : (p, 3) array, bond lengths

    Returns
    -------
    sites : (s, 3) array, bond lengths
    group : (p,) array of int
        The site of each place.
    """
    while True:
        _, group = np.unique(
            np.round(place / SITE_CELL), axis=0, return_inverse=True
        )
        group = group.ravel()
        count = np.bincount(group)
        mean = np.stack(
            [np.bincount(group, c) / count for c in place.T], axis=1
        )
        pairs = cKDTree(mean).query_pairs(APART, output_type="ndarray")
        if not len(pairs):
            return mean, group
        # Groups that a boundary of the grid cut: the smaller one joins.
        small, large = pairs.T
        turned = count[small] > count[large]
        small, large = (
            np.where(turned, large, small),
            np.where(turned, small, large),
        )
        target = np.arange(len(mean))
        target[small] = large
        place = mean[target[group]]


def _outvoted(sites: np.ndarray, support: np.ndarray) -> np.ndarray:
    """Which sites give way to a rival with more support, (s,) bool."""
    rivals = cKDTree(sites).query_pairs(RIVAL_REACH, output_type="ndarray")
    outvoted = np.zeros(len(sites), bool)
    for here, there in (rivals.T, rivals[:, ::-1].T):
        weak = support[here] < RIVAL_SHARE * support[there]
        outvoted[here[weak]] = True
    return outvoted
