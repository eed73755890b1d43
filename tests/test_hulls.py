"""Ideal clusters are all the sites within the planes that they reach."""

import numpy as np
import pytest

from diffpy_cbldm.cuts import random_cut
from diffpy_cbldm.families import TEMPLATE_OF, load_table
from diffpy_cbldm.hulls import hulls
from diffpy_cbldm.lattices import (
    TEMPLATES,
    directions,
    facet_sets,
    stacking_sites,
    turns,
)
from diffpy_cbldm.symmetry import Symmetry

TABLE = load_table()
SYMMETRY = Symmetry(TABLE)


@pytest.mark.parametrize("template", TEMPLATES)
def test_directions_are_unit_vectors_closed_under_the_group(template):
    d = directions(template)
    assert np.abs(np.linalg.norm(d, axis=1) - 1).max() < 1e-12
    turned = np.einsum("gij,kj->gki", turns(template), d)
    off = np.linalg.norm(turned[:, :, None] - d, axis=-1)
    assert off.min(2).max() < 1e-9
    # The planes of each set enclose a finite body.
    sphere = np.random.default_rng(0).normal(size=(500, 3))
    sphere /= np.linalg.norm(sphere, axis=1)[:, None]
    for chosen in facet_sets(template):
        assert (sphere @ d[chosen].T).max(1).min() > 0.1


def encoded(index, error=0.0):
    """Type, logits and extents of a geometry of the table."""
    geometry = TABLE.geometries[index]
    template = TEMPLATE_OF[geometry.structure_type]
    sites = TABLE.sites[template].astype(float)
    logits = np.full(len(sites), -4.0)
    logits[geometry.members] = 4.0
    extents = (sites[geometry.members] @ directions(template).T).max(0)
    noise = np.random.default_rng(index).uniform(-error, error, extents.shape)
    return geometry, logits, extents + noise


@pytest.mark.parametrize(
    "kind", ["bcc", "fcc", "hcp", "ico", "oct", "sc", "dec"]
)
def test_ideal_clusters_come_back_from_their_extents(kind):
    """Exactly, for all types; some decahedra have notches."""
    right = []
    for index, geometry in list(enumerate(TABLE.geometries))[::3]:
        if geometry.structure_type != kind:
            continue
        geometry, logits, extents = encoded(index)
        first = hulls(SYMMETRY, kind, logits, extents)[0]
        members = np.flatnonzero(first > 0)
        right.append(np.array_equal(members, geometry.members))
    assert right
    assert np.mean(right) > (0.6 if kind == "dec" else 0.999)


@pytest.mark.parametrize("name", ["oct(7,0)", "ico(4)", "bcc(5,4,10)"])
def test_symmetry_and_facets_correct_wrong_extents(name):
    """Errors of 0.2 bond lengths in every direction: one set is right."""
    names = [g.name for g in TABLE.geometries]
    geometry, logits, extents = encoded(names.index(name), 0.2)
    found = hulls(SYMMETRY, geometry.structure_type, logits, extents)
    members = [np.flatnonzero(x > 0) for x in found]
    assert any(np.array_equal(m, geometry.members) for m in members)


def test_stacked_layers_keep_their_order():
    """Planes alone would fill A, B and C; the logits say which one."""
    template, rng = "stack", np.random.default_rng(3)
    members = random_cut(TABLE, "stacked", rng).astype(int)
    sites = TABLE.sites[template].astype(float)
    logits = np.full(len(sites), -4.0)
    logits[members] = 4.0
    extents = (sites[members] @ directions(template).T).max(0)
    layer, site = stacking_sites(sites)
    order = dict(zip(layer[members], site[members]))
    for found in hulls(SYMMETRY, "stacked", logits, extents):
        inside = np.flatnonzero(found > 0)
        assert all(order.get(layer[i]) == site[i] for i in inside)
