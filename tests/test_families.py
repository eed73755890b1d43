"""The geometry table and random cuts, against ASE and geometry."""

from collections import Counter

import numpy as np
import pytest
from scipy.spatial.distance import pdist

from diffpy_cbldm import cuts, families
from diffpy_cbldm.settings import STRUCTURE_TYPES

TABLE = families.load_table()


def place(name):
    return [g.name for g in TABLE.geometries].index(name)


def test_number_of_geometries():
    """The counts of the paper's set (931 hcp, 78 dec, ...), each geometry
    once: three octahedra are not also called fcc, and the truncated ones
    come in addition."""
    counts = Counter(g.structure_type for g in TABLE.geometries)
    published = Counter(
        g.structure_type for g in TABLE.geometries if g.published
    )
    assert counts == {
        **{"hcp": 931, "dec": 78, "bcc": 32, "sc": 22},
        **{"fcc": 14, "oct": 9, "ico": 3},
    }
    assert published["oct"] == 6 and published.total() == 1086


def test_bond_is_the_unit_and_no_atoms_overlap():
    for index, geometry in enumerate(TABLE.geometries):
        xyz = TABLE.positions(index)
        assert 5 <= len(xyz) == geometry.n_atoms <= 256
        assert np.abs(xyz.mean(0)).max() < 1e-5
        if index % 10 == 0:
            assert pdist(xyz).min() > 0.93
            # bcc(1,3,2) and its like: a centre and six second neighbours.
            lone = geometry.structure_type == "bcc" and len(xyz) == 7
            unit = (4 / 3) ** 0.5 if lone else 1.0
            assert families.bond_length(xyz) == pytest.approx(unit, abs=5e-3)


def test_geometries_are_distinct():
    seen = set()
    for index in range(len(TABLE)):
        d = np.sort(pdist(TABLE.positions(index)))
        key = (len(d), *np.round([d.mean(), (d**2).mean(), d.std()], 4))
        assert key not in seen
        seen.add(key)


@pytest.mark.parametrize(
    ("name", "build"),
    [
        ("dec(4,1,1)", lambda c: c.Decahedron("Au", 4, 1, 1, 4.0)),
        ("ico(4)", lambda c: c.Icosahedron("Au", 4, 4.0)),
        ("oct(6,0)", lambda c: c.Octahedron("Au", 6, 0, 4.0)),
        (
            "fcc(5,6,3)",
            lambda c: c.FaceCenteredCubic(
                "Au", [(1, 0, 0), (1, 1, 0), (1, 1, 1)], (5, 6, 3), 4.0
            ),
        ),
    ],
)
def test_stored_clusters_are_those_of_ase(name, build):
    import ase.cluster

    xyz = build(ase.cluster).positions
    d = np.sort(pdist(xyz / families.bond_length(xyz)))
    names = [g.name for g in TABLE.geometries]
    if name not in names:  # the same cluster, under other parameters
        same = [
            i
            for i, g in enumerate(TABLE.geometries)
            if g.n_atoms == len(xyz) and g.structure_type == name[:3]
        ]
        gaps = [
            np.abs(np.sort(pdist(TABLE.positions(i))) - d).max() for i in same
        ]
        assert min(gaps) < 5e-3
    else:
        found = np.sort(pdist(TABLE.positions(names.index(name))))
        assert np.abs(found - d).max() < 5e-3


def test_table_survives_a_round_trip(tmp_path):
    path = tmp_path / "table.npz"
    families.save_table(TABLE, str(path))
    with np.load(path) as data:
        again = families._unpack(dict(data))
    assert again.digest == TABLE.digest


@pytest.mark.parametrize("template", families.TEMPLATES)
def test_cuts_are_repeatable_and_of_the_wanted_size(template):
    draw = [
        cuts.random_members(TABLE, template, np.random.default_rng(7), 20, 90)
        for _ in range(2)
    ]
    assert np.array_equal(*draw)
    assert 15 <= len(draw[0]) <= 90
    assert len(set(draw[0])) == len(draw[0])


@pytest.mark.parametrize(
    ("template", "order"),
    [("fcc", 48), ("bcc", 48), ("sc", 48), ("dec", 20), ("ico", 120)],
)
def test_point_groups_and_one_orientation_a_shape(template, order):
    """Turning a cut by any operation of the group gives the same sites."""
    turns, permutations = cuts._symmetry(TABLE.digest, template)
    assert len(turns) == order
    rng = np.random.default_rng(3)
    for _ in range(5):
        members = cuts.random_members(TABLE, template, rng, 20, 60)
        mean = TABLE.sites[template][members].mean(0)
        heights = np.sort(turns @ mean @ cuts._DIRECTION)
        if heights[-1] - heights[-2] < 1e-4:
            continue  # the cut has a symmetry of its own
        same = {
            tuple(np.sort(cuts._canonical(TABLE, template, p[members])))
            for p in permutations
        }
        assert same == {tuple(members)}


def test_every_type_has_a_template():
    assert set(families.TEMPLATE_OF) == set(STRUCTURE_TYPES)
    assert set(families.TEMPLATE_OF.values()) == set(families.TEMPLATES)
