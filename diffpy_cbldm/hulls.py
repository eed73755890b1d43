"""Clusters bounded by planes: every site inside, none outside.

The decoder tells how far out the atoms lie in the directions of a template.
Ideal clusters, but for decahedra with notches, are all the sites within the
planes that follow; which of the planes are facets, and which only touch an
edge or a corner, is tried.
"""

from __future__ import annotations

import functools

import numpy as np
from scipy.special import expit

from diffpy_cbldm.families import TEMPLATE_OF, Table
from diffpy_cbldm.lattices import (
    MARGIN,
    directions,
    facet_sets,
    stacking_sites,
    turns,
)
from diffpy_cbldm.symmetry import Symmetry

SLOPE = 11.0
"""Logit of a site a bond length inside the planes: sites within 0.35 bond
lengths of them are in doubt."""

_OUTSIDE = -1e9


def hulls(
    symmetry: Symmetry, kind: str, logits: np.ndarray, extents: np.ndarray
) -> list[np.ndarray]:
    """Logits of the sites by their depth inside planes.

    Parameters
    ----------
    symmetry : Symmetry
    kind : str
        One of `diffpy_cbldm.settings.KINDS`.
    logits : (S,) array
        Of the occupancies; they tell the near symmetry, over which the
        extents are averaged, and the order of stacked layers.
    extents : (K,) array, bond lengths
        How far out the atoms lie in `diffpy_cbldm.lattices.directions`.

    Returns
    -------
    list of (S,) arrays
        One for each set of facets and symmetry.
    """
    template = TEMPLATE_OF[kind]
    table = symmetry.table
    variants = [extents]
    for good in symmetry.near(template, logits):
        moved = [
            extents[_sources(template)[turn]] + directions(template) @ move
            for turn, move in good
        ]
        variants.append(np.mean(moved, axis=0))
    allowed = _layers(table, kind, logits)
    found = []
    for variant in variants:
        room = variant + MARGIN - _heights(table, template)
        for chosen in facet_sets(template):
            depth = room[:, chosen].min(1)
            found.append(np.where(allowed, SLOPE * depth, _OUTSIDE))
    return found


@functools.cache
def _sources(template: str) -> np.ndarray:
    """For each turn R, which direction R carries to each, (g, k)."""
    d = directions(template)
    back = np.einsum("gji,kj->gki", turns(template), d)
    return (back @ d.T).argmax(2)


_known: dict[tuple[str, str], np.ndarray] = {}


def _heights(table: Table, template: str) -> np.ndarray:
    """How far out each site lies in each direction, (S, K)."""
    key = (table.digest, template)
    if key not in _known:
        _known[key] = table.sites[template] @ directions(template).T
    return _known[key]


def _layers(table: Table, kind: str, logits: np.ndarray) -> np.ndarray:
    """Which sites the order of the layers allows, (S,) bool."""
    sites = table.sites[TEMPLATE_OF[kind]]
    if TEMPLATE_OF[kind] != "stack":
        return np.ones(len(sites), bool)
    layer, site = stacking_sites(sites.astype(float))
    if kind == "hcp":  # `diffpy_cbldm.lattices.place` has made it so
        return site == layer % 2
    layer = layer - layer.min()
    filled = np.zeros((layer.max() + 1, 3))
    np.add.at(filled, (layer, site), expit(logits))
    some = filled.max(1) > 0.5
    return some[layer] & (site == filled.argmax(1)[layer])
