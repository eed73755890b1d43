"""The geometry table, against ASE and geometry."""

from collections import Counter

import numpy as np
import pytest
from scipy.spatial.distance import pdist

from diffpy_cbldm.crystals import lattices
from diffpy_cbldm.crystals.table import TEMPLATE_OF, _unpack, load_table
from diffpy_cbldm.settings import CRYSTAL_TYPES, STRUCTURE_TYPES
from training import make_table

TABLE = load_table()


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
            assert make_table.bond_length(xyz) == pytest.approx(unit, abs=5e-3)


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
    d = np.sort(pdist(xyz / make_table.bond_length(xyz)))
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
    make_table.save_table(TABLE, str(path))
    with np.load(path) as data:
        again = _unpack(dict(data))
    assert again.digest == TABLE.digest


def test_every_kind_has_a_template():
    assert set(TEMPLATE_OF) == set(CRYSTAL_TYPES)
    assert set(TEMPLATE_OF.values()) == set(lattices.TEMPLATES)
    for geometry in TABLE.geometries:
        assert geometry.structure_type in STRUCTURE_TYPES


def test_known_clusters_have_their_name_wherever_they_stand():
    table = load_table()
    for index in range(5, len(table), 97):
        geometry = table.geometries[index]
        template = TEMPLATE_OF[geometry.structure_type]
        members = geometry.members.astype(int)
        assert table.known_type(template, members) == geometry.structure_type
        if template in ("fcc", "bcc", "sc"):
            xyz = table.sites[template][members] + lattices.BASES[template][0]
            moved = table.sites_at(template, xyz)
            if (moved >= 0).all():
                found = table.known_type(template, moved)
                assert found == geometry.structure_type
        assert table.known_type(template, members[:-1]) is None
