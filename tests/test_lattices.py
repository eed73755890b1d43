"""Template lattices: point groups, translations, one place for a shape."""

import numpy as np
import pytest
from scipy.spatial import cKDTree

from diffpy_cbldm.crystals import cuts, lattices
from diffpy_cbldm.crystals.table import load_table

TABLE = load_table()
NAMES = [g.name for g in TABLE.geometries]


@pytest.mark.parametrize(
    ("template", "order"),
    [
        *[("fcc", 48), ("bcc", 48), ("sc", 48)],
        *[("stack", 24), ("dec", 20), ("ico", 120)],
    ],
)
def test_point_groups(template, order):
    """A group of orthogonal matrices that keep the sites near the origin."""
    group = lattices.turns(template)
    assert len(group) == order
    assert np.allclose(group @ group.transpose(0, 2, 1), np.eye(3))
    products = np.einsum("aij,bjk->abik", group, group).reshape(-1, 1, 9)
    flat = group.reshape(1, -1, 9)
    assert np.abs(products - flat).max(2).min(1).max() < 1e-9
    sites = TABLE.sites[template].astype(float)
    near = sites[np.linalg.norm(sites, axis=1) < 4]
    tree = cKDTree(sites)
    assert max(tree.query(near @ t.T)[0].max() for t in group) < 3e-3


@pytest.mark.parametrize("template", lattices.TEMPLATES)
def test_translations_keep_the_sites(template):
    sites = TABLE.sites[template].astype(float)
    near = sites[np.linalg.norm(sites, axis=1) < 3]
    tree = cKDTree(sites)
    for move in lattices.BASES[template]:
        assert tree.query(near + move)[0].max() < 3e-3


@pytest.mark.parametrize("template", lattices.TEMPLATES)
def test_templates_are_closed_spheres(template):
    """No site is missing: counts agree with the density of the lattice."""
    sites = TABLE.sites[template]
    n = int((np.linalg.norm(sites, axis=1) <= 4.5).sum())
    density = {"bcc": 1.299, "sc": 1.0, "stack": 3 * 2**0.5}
    volume = 4 / 3 * np.pi * 4.5**3
    assert n == pytest.approx(volume * density.get(template, 2**0.5), rel=0.1)


@pytest.mark.parametrize("template", lattices.TEMPLATES)
def test_directions_are_unit_vectors_closed_under_the_group(template):
    d = lattices.directions(template)
    assert np.abs(np.linalg.norm(d, axis=1) - 1).max() < 1e-12
    turned = np.einsum("gij,kj->gki", lattices.turns(template), d)
    off = np.linalg.norm(turned[:, :, None] - d, axis=-1)
    assert off.min(2).max() < 1e-9
    # The planes of each set enclose a finite body.
    sphere = np.random.default_rng(0).normal(size=(500, 3))
    sphere /= np.linalg.norm(sphere, axis=1)[:, None]
    for chosen in lattices.facet_sets(template):
        assert (sphere @ d[chosen].T).max(1).min() > 0.1


@pytest.mark.parametrize("template", lattices.TEMPLATES)
def test_a_shape_has_one_place(template):
    """However a cut is turned and moved on its lattice, it comes back."""
    rng = np.random.default_rng(3)
    sites = TABLE.sites[template].astype(float)
    near = sites[np.linalg.norm(sites, axis=1) < 3.5]
    group, basis = lattices.turns(template), lattices.BASES[template]
    for _ in range(20):
        shape = near
        if template == "stack":  # one site a layer
            shape = near[cuts._stacked_sites("stacked", near, rng)]
        shape = shape[rng.permutation(len(shape))[: rng.integers(5, 60)]]
        placed = lattices.place(template, shape)
        move = rng.integers(-2, 3, len(basis)) @ basis
        turned = shape @ group[rng.integers(len(group))].T + move
        assert np.abs(lattices.place(template, turned) - placed).max() < 1e-3
        assert np.linalg.norm(placed.mean(0)) < 3.5


def test_layers_of_hcp_alternate():
    for name in ("hcp(3,3,3)", "hcp(8,8,2)"):
        geometry = TABLE.geometries[NAMES.index(name)]
        xyz = TABLE.sites["stack"][geometry.members].astype(float)
        layer, site = lattices.stacking_sites(xyz)
        kinds = [set(site[layer == k]) for k in np.unique(layer)]
        assert all(len(k) == 1 for k in kinds)
        assert all(a == b for a, b in zip(kinds, kinds[2:]))
        assert all(a != b for a, b in zip(kinds, kinds[1:]))
