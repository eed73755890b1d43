"""Ideal clusters are all the sites within the planes that they reach."""

import numpy as np
import pytest

from diffpy_cbldm.crystals.cuts import random_cut
from diffpy_cbldm.crystals.facets import facets, hulls, moved_facets
from diffpy_cbldm.crystals.lattices import directions, stacking_sites
from diffpy_cbldm.crystals.symmetry import Symmetry
from diffpy_cbldm.crystals.table import TEMPLATE_OF, load_table

TABLE = load_table()
SYMMETRY = Symmetry(TABLE)


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


def members_of(kind, *parameters):
    """The sites of a geometry of the table."""
    return next(
        g.members
        for g in TABLE.geometries
        if (g.structure_type, g.parameters) == (kind, parameters)
    )


def test_facets_of_an_octahedron():
    """Eight planes bound it, and hold its sites alone."""
    members = members_of("oct", 5, 0)
    found = facets(TABLE, "oct", members)
    assert len(found.planes) == 8
    assert np.array_equal(found.sites, members)


def test_an_atom_on_a_facet_is_a_step():
    """An atom beside a block does not move the plane."""
    members = members_of("hcp", 5, 1, 14)
    bounds = facets(TABLE, "hcp", members)
    sites = TABLE.sites["stack"].astype(float)
    apart = np.linalg.norm(sites[:, None] - sites[members], axis=2)
    beside = ((apart < 1.1).sum(1) > 2) & (apart.min(1) > 0.9)
    outside = np.flatnonzero(beside & bounds.allowed)
    assert len(outside) > 20
    for site in outside[::8]:
        more = np.sort(np.append(members, site))
        assert np.array_equal(facets(TABLE, "hcp", more).sites, members)


def test_moved_facets_lead_from_block_to_block():
    """Of the moves of one facet of an hcp block some add or remove a row."""
    members = members_of("hcp", 5, 1, 14)
    bounds = facets(TABLE, "hcp", members)
    rng = np.random.default_rng(0)
    moved = moved_facets(TABLE, "hcp", bounds, 10_000, rng)
    assert np.array_equal(np.flatnonzero(moved[0] > 0), members)
    sizes = {int((logits > 0).sum()) for logits in moved}
    assert {4 * 28, 5 * 26, 5 * 28, 6 * 28} <= sizes


def test_no_facets_where_sites_are_missing():
    """A cluster with a third of its sites gone is no polyhedron."""
    members = members_of("oct", 6, 0)
    assert facets(TABLE, "oct", members[np.arange(146) % 3 > 0]) is None
