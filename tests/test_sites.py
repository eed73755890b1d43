"""Sites that continue a crystal, against the lattices."""

import numpy as np
import pytest
from scipy.spatial import cKDTree

from diffpy_cbldm.crystals.table import TEMPLATE_OF, load_table
from diffpy_cbldm.polishing.sites import more_sites

BOND = 2.75


@pytest.mark.parametrize("kind", ["fcc", "bcc", "dec", "ico"])
def test_sites_continue_the_crystal(kind):
    """All template sites with three bonds or more are found."""
    table = load_table()
    members = next(
        g.members
        for g in table.geometries
        if g.structure_type == kind and g.n_atoms > 50
    )
    sites = table.sites[TEMPLATE_OF[kind]].astype(float)
    atoms = sites[members]
    tree = cKDTree(atoms)
    bonds = np.array([len(b) for b in tree.query_ball_point(sites, 1.2)])
    apart = tree.query(sites)[0]
    want = sites[(bonds >= 3) & (apart > 0.9)]
    found = more_sites(atoms * BOND, BOND) / BOND
    assert len(want) >= 20
    assert cKDTree(found).query(want)[0].max() < 0.1
    assert tree.query(found)[0].min() > 0.7


def test_layers_may_go_on_in_two_ways():
    """Over a close-packed layer both hollows are sites."""
    layer = np.array(
        [(i + 0.5 * j, j * 0.75**0.5, 0) for i in range(5) for j in range(5)]
    )
    below = layer + [0.5, 12**-0.5, -((2 / 3) ** 0.5)]
    atoms = np.concatenate([layer, below])
    found = more_sites(atoms * BOND, BOND, layers=True) / BOND
    top = found[found[:, 2] > 0.5]
    for hollow in ([1.5, 12**-0.5], [1.0, 2 / 12**0.5]):
        shift = [1.5, 0.75**0.5]  # well inside the layer
        at = np.array([*(np.array(hollow) + shift), (2 / 3) ** 0.5])
        assert np.linalg.norm(top - at, axis=1).min() < 0.05
