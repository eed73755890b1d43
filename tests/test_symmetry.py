"""Near symmetry of occupancies, made exact."""

import numpy as np
import pytest

from diffpy_cbldm.crystals import lattices
from diffpy_cbldm.crystals.cuts import random_cut
from diffpy_cbldm.crystals.symmetry import Symmetry
from diffpy_cbldm.crystals.table import TEMPLATE_OF, load_table

TABLE = load_table()
SYMMETRY = Symmetry(TABLE)


def logits_of(template, members, sure=4.0):
    logits = np.full(len(TABLE.sites[template]), -sure)
    logits[members] = sure
    return logits


def ideal(name):
    names = [g.name for g in TABLE.geometries]
    geometry = TABLE.geometries[names.index(name)]
    return TEMPLATE_OF[geometry.structure_type], geometry.members.astype(int)


def test_operations_are_permutations_that_keep_distances():
    for template in lattices.TEMPLATES:
        sites = TABLE.sites[template].astype(float)
        group = lattices.turns(template)
        basis = lattices.BASES[template]
        move = basis.sum(0) if len(basis) else np.zeros(3)
        for turn in range(0, len(group), 7):
            goes = SYMMETRY.permutation(template, turn, move)
            inside = np.flatnonzero(goes >= 0)[:300]
            assert len(set(goes[inside])) == len(inside)
            moved = sites[inside] @ group[turn].T + move
            assert np.abs(moved - sites[goes[inside]]).max() < 3e-3


@pytest.mark.parametrize(
    ("name", "order"),
    [
        *[("oct(6,0)", 48), ("oct(7,0)", 48), ("fcc(4,6,4)", 48)],
        *[("ico(4)", 120), ("dec(4,1,1)", 20), ("bcc(5,4,10)", 48)],
    ],
)
def test_point_groups_of_ideal_clusters_are_found(name, order):
    template, members = ideal(name)
    occupancy = np.zeros(len(TABLE.sites[template]))
    occupancy[members] = 1.0
    shares, _ = SYMMETRY.operations(template, occupancy)
    assert sum(s > 1 - 1e-9 for s in shares) == order


@pytest.mark.parametrize("name", ["oct(6,0)", "ico(4)", "dec(4,1,1)"])
def test_chance_between_equivalent_sites_is_averaged_out(name):
    """Logits with noise that gets one site in twelve wrong."""
    template, members = ideal(name)
    rng = np.random.default_rng(0)
    right = logits_of(template, members)
    logits = right + rng.normal(0, 2.9, len(right))
    wrong = (logits > 0) != (right > 0)
    assert 0.04 < wrong.mean() < 0.15
    found = SYMMETRY.averaged(template, logits)
    after = min(((f > 0) != (right > 0)).mean() for f in found)
    # Sites on a mirror or an axis have fewer equivalents to learn from.
    assert after < 0.1 * wrong.mean()


def test_orbits_share_one_value():
    template, members = ideal("oct(6,0)")
    rng = np.random.default_rng(1)
    logits = logits_of(template, members) + rng.normal(
        0, 0.5, len(TABLE.sites[template])
    )
    average, *_ = SYMMETRY.averaged(template, logits)
    radius = np.linalg.norm(
        TABLE.sites[template] - TABLE.sites[template][members].mean(0), axis=1
    )
    corners = members[radius[members] > radius[members].max() - 1e-3]
    assert len(corners) == 6
    assert np.ptp(average[corners]) < 1e-9
    assert np.ptp(logits[corners]) > 0.1


def test_a_shape_without_symmetry_is_left_alone():
    rng = np.random.default_rng(4)
    alone = 0
    for _ in range(10):
        members = random_cut(TABLE, "fcc", rng, 30, 60)
        occupancy = np.zeros(len(TABLE.sites["fcc"]))
        occupancy[members] = 1.0
        shares, _ = SYMMETRY.operations("fcc", occupancy)
        assert max(shares) == pytest.approx(1.0)
        found = SYMMETRY.averaged("fcc", logits_of("fcc", members))
        if sum(s > 0.6 for s in shares) == 1:
            assert not found
            alone += 1
    assert alone < 10
