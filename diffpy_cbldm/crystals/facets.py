"""Clusters bounded by planes: every site inside, none outside.

The decoder tells how far out the atoms lie in the directions of a template.
Ideal clusters, but for decahedra with notches, are all the sites within the
planes that follow; which of the planes are facets, and which only touch an
edge or a corner, is tried.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools

import numpy as np
from scipy.special import expit

from diffpy_cbldm.crystals.lattices import (
    PLANE_MARGIN,
    directions,
    facet_sets,
    plane_families,
    turns,
)
from diffpy_cbldm.crystals.symmetry import Symmetry
from diffpy_cbldm.crystals.table import TEMPLATE_OF, Table

LOGIT_PER_BOND = 11.0
"""Logit of a site a bond length inside the planes: sites within 0.35 bond
lengths of them are in doubt."""

_NEVER = -1e9
"""Logit of sites that the order of the layers leaves empty."""

POLYHEDRON_RATIO = 1.1
"""A cluster counts as a polyhedron where the planes that it reaches hold at
most so many times its atoms."""

LAYER_MOVES = (-2, -1, 1, 2)
"""By how many layers of sites a facet is moved, outwards where positive."""

_Move = tuple[tuple[int, int], ...]
"""Which facets move, each with the number of layers."""


def hulls(
    symmetry: Symmetry, kind: str, logits: np.ndarray, extents: np.ndarray
) -> list[np.ndarray]:
    """Logits of the sites by their depth inside planes.

    Parameters
    ----------
    symmetry : Symmetry
    kind : str
        One of `diffpy_cbldm.settings.CRYSTAL_TYPES`.
    logits : (S,) array
        Of the occupancies; they tell the near symmetry, over which the
        extents are averaged, and the order of stacked layers.
    extents : (K,) array, bond lengths
        How far out the atoms lie in `lattices.directions`.

    Returns
    -------
    list of (S,) arrays
        One for each set of facets and symmetry.
    """
    template = TEMPLATE_OF[kind]
    table = symmetry.table
    variants = [extents]
    # Errors of equivalent directions average out.
    for operations in symmetry.near(template, logits):
        moved = [
            extents[_carried_from(template)[turn]]
            + directions(template) @ move
            for turn, move in operations
        ]
        variants.append(np.mean(moved, axis=0))
    allowed = _allowed_sites(table, kind, logits)
    hulled = []
    for variant in variants:
        room = (variant + PLANE_MARGIN - table.heights(template)).T
        for chosen in facet_sets(template):
            depth = room[chosen].min(0)
            hulled.append(np.where(allowed, LOGIT_PER_BOND * depth, _NEVER))
    return hulled


@dataclasses.dataclass(frozen=True)
class Facets:
    """The planes that bound a cluster, without those that add nothing.

    Attributes
    ----------
    planes : (f,) array of int
        Places in `lattices.directions`.
    reach : (f,) array, bond lengths
        How far out the atoms lie.
    sites : (n,) array of int
        All the sites within.
    allowed : (S,) array of bool
        Sites in the order of the cluster's layers.
    """

    planes: np.ndarray
    reach: np.ndarray
    sites: np.ndarray
    allowed: np.ndarray


def facets(table: Table, kind: str, members: np.ndarray) -> Facets | None:
    """The facets of a cluster, or None where it is no polyhedron.

    Atoms that lie alone on the outermost layer of a direction are taken for
    steps on the facet below.  Planes that few atoms touch are left out
    first.

    Parameters
    ----------
    table : Table
    kind : str
        One of `diffpy_cbldm.settings.CRYSTAL_TYPES`.
    members : (n,) array of int
        Its sites.
    """
    template = TEMPLATE_OF[kind]
    inside = np.zeros(len(table.sites[template]), bool)
    inside[members] = True
    allowed = _allowed_sites(
        table, kind, np.where(inside, LOGIT_PER_BOND, _NEVER)
    )
    atoms = table.heights(template)[members].T  # (K, n)
    candidates = np.flatnonzero(allowed)
    height = table.heights(template).T[:, candidates]
    held = inside[candidates]
    reach = atoms.max(1)
    # A plane steps inwards until atoms fill half of what it touches: what
    # lay beyond were steps on the facet.
    while True:
        beyond = height > (reach + PLANE_MARGIN)[:, None]
        filled = ~beyond.any(0)
        outer = filled & (height > (reach - 1e-3)[:, None])
        touching = np.count_nonzero(outer, axis=1)
        alone = np.count_nonzero(outer & held, axis=1) < 0.5 * touching
        if not alone.any():
            break
        # No site lies as deep as -9: it never wins the maximum.
        below = np.where(atoms < (reach - 1e-3)[:, None], atoms, -9)
        reach = np.where(alone, below.max(1), reach)
    size = np.count_nonzero(filled)
    if (
        not len(members) / POLYHEDRON_RATIO
        < size
        < POLYHEDRON_RATIO * len(members)
    ):
        return None
    planes = list(np.argsort(touching, kind="stable"))
    times = beyond.sum(0)  # by how many planes a site is cut off
    # A plane adds nothing where each site beyond it is beyond another, too.
    for k in list(planes):
        if not (beyond[k] & (times == 1)).any():
            planes.remove(k)
            times = times - beyond[k]
    chosen = np.sort(planes)
    return Facets(chosen, reach[chosen], candidates[filled], allowed)


def moved_facets(
    table: Table,
    kind: str,
    parent: Facets,
    count: int,
    rng: np.random.Generator,
) -> list[np.ndarray]:
    """Logits of polyhedra with one or two facets, or a family, moved.

    Facets move by one or two layers of sites, outwards or inwards; the
    first has all of them where they are.

    Parameters
    ----------
    parent : Facets
    count : int
        How many, at most; which ones, where there are more, is drawn.
    rng : numpy Generator

    Returns
    -------
    list of (S,) arrays
    """
    height = table.heights(TEMPLATE_OF[kind]).T[parent.planes]
    levels = _levels(parent, height)
    moves = _facet_moves(levels, plane_families(TEMPLATE_OF[kind]), parent)
    if len(moves) > count - 1:
        moves = [moves[i] for i in rng.permutation(len(moves))[: count - 1]]
    variants = []
    for move in [(), *moves]:
        reach = parent.reach.copy()
        for i, k in move:
            reach[i] = levels[i][k]
        depth = ((reach + PLANE_MARGIN)[:, None] - height).min(0)
        variants.append(
            np.where(parent.allowed, LOGIT_PER_BOND * depth, _NEVER)
        )
    return variants


def _levels(parent: Facets, height: np.ndarray) -> list[dict[int, float]]:
    """Where each facet may lie: by how many layers it moves, and its reach.

    Parameters
    ----------
    parent : Facets
    height : (f, S) array, bond lengths
        How far out each site lies in the direction of each facet.
    """
    levels = []
    for row, reach in zip(height[:, parent.allowed], parent.reach):
        steps = np.unique(np.round(row, 3))
        here = int(np.abs(steps - reach).argmin())
        near = {k: here + k for k in LAYER_MOVES}
        levels.append(
            {k: steps[i] for k, i in near.items() if 0 <= i < len(steps)}
        )
    return levels


def _facet_moves(
    levels: list[dict[int, float]], families: np.ndarray, parent: Facets
) -> list[_Move]:
    """Moves of one facet, of a family together, and of two facets."""
    single: list[_Move] = [
        ((i, k),) for i, row in enumerate(levels) for k in row
    ]
    family_of = families[parent.planes]
    together: list[_Move] = [
        tuple(
            (int(i), k)
            for i in np.flatnonzero(family_of == f)
            if k in levels[i]
        )
        for f in np.unique(family_of)
        for k in LAYER_MOVES
    ]
    pairs: list[_Move] = [
        (a, b)
        for (a,), (b,) in itertools.combinations(single, 2)
        if a[0] != b[0]
    ]
    # A family of one or two stands among the single moves and pairs.
    return [*single, *(m for m in together if len(m) > 2), *pairs]


@functools.cache
def _carried_from(template: str) -> np.ndarray:
    """For each turn R, which direction R carries to each, (g, k)."""
    d = directions(template)
    # Transposed turns: from a direction back to where it came from.
    back = np.einsum("gji,kj->gki", turns(template), d)
    return (back @ d.T).argmax(2)


def _allowed_sites(table: Table, kind: str, logits: np.ndarray) -> np.ndarray:
    """Which sites the order of the layers allows, (S,) bool."""
    sites = table.sites[TEMPLATE_OF[kind]]
    if TEMPLATE_OF[kind] != "stack":
        return np.ones(len(sites), bool)
    layer, site = table.stacking
    if kind == "hcp":  # `diffpy_cbldm.crystals.lattices.place` has made it so
        return site == layer % 2
    # Of A, B and C a layer takes the site that holds most atoms, if any.
    layer = layer - layer.min()
    filled = np.zeros((layer.max() + 1, 3))
    np.add.at(filled, (layer, site), expit(logits))
    some = filled.max(1) > 0.5
    return some[layer] & (site == filled.argmax(1)[layer])
