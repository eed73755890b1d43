"""The geometry table and random cuts, against ASE and geometry."""

from collections import Counter

import numpy as np
import pytest
from scipy.spatial import cKDTree
from scipy.spatial.distance import pdist

from diffpy_cbldm.crystals import cuts, lattices
from diffpy_cbldm.crystals.table import TEMPLATE_OF, _unpack, load_table
from diffpy_cbldm.settings import KINDS, STRUCTURE_TYPES
from training import make_table

TABLE = load_table()


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


# ------------------------------------------------------------------ lattices


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
        geometry = TABLE.geometries[place(name)]
        xyz = TABLE.sites["stack"][geometry.members].astype(float)
        layer, site = lattices.stacking_sites(xyz)
        kinds = [set(site[layer == k]) for k in np.unique(layer)]
        assert all(len(k) == 1 for k in kinds)
        assert all(a == b for a, b in zip(kinds, kinds[2:]))
        assert all(a != b for a, b in zip(kinds, kinds[1:]))


# ---------------------------------------------------------------------- cuts


@pytest.mark.parametrize("kind", cuts.CUT_KINDS)
def test_cuts_are_repeatable_whole_and_without_overlap(kind):
    for seed in range(10):
        draw = [
            cuts.random_cut(TABLE, kind, np.random.default_rng(seed), 20, 250)
            for _ in range(2)
        ]
        assert np.array_equal(*draw)
        assert 15 <= len(draw[0]) <= 250
        assert len(set(draw[0])) == len(draw[0])
        xyz = TABLE.sites[TEMPLATE_OF[kind]][draw[0]]
        assert pdist(xyz).min() > 0.95


def test_stacked_cuts_have_faults_and_hcp_cuts_have_none():
    rng = np.random.default_rng(0)
    for kind in ("hcp", "stacked"):
        faults = 0
        for _ in range(20):
            members = cuts.random_cut(TABLE, kind, rng, 150, 250)
            xyz = TABLE.sites["stack"][members].astype(float)
            layer, site = lattices.stacking_sites(xyz)
            order = [site[layer == k][0] for k in np.unique(layer)]
            turn = np.diff(order) % 3
            # hcp turns at each layer, fcc at none.
            faults += len(set(np.diff(turn) != 0)) == 2
            for k in np.unique(layer):
                assert len(set(site[layer == k])) == 1
        assert (faults == 0) == (kind == "hcp")


def test_strain_keeps_the_volume_and_relaxation_moves_the_surface():
    xyz = TABLE.positions(place("ico(4)"))
    same = cuts.deformed(xyz, np.zeros(3))
    assert np.allclose(same, xyz)
    strained = cuts.deformed(xyz, np.array([0.01, -0.004, 0.0]))
    ratio = np.ptp(strained, axis=0) / np.ptp(xyz, axis=0)
    assert ratio == pytest.approx([1.01, 0.996, 0.994], abs=1e-6)
    relaxed = cuts.deformed(xyz, np.array([0.0, 0.0, 0.06]))
    moved = np.linalg.norm(xyz, axis=1) - np.linalg.norm(relaxed, axis=1)
    inner = np.linalg.norm(xyz, axis=1) < 2.2
    assert np.abs(moved[inner]).max() < 1e-6
    # Of 12 neighbours a vertex of an icosahedron has 6, a face atom 9.
    assert moved[~inner].min() == pytest.approx(0.06 * 3 / 12, abs=1e-3)
    assert moved.max() == pytest.approx(0.06 * 6 / 12, abs=1e-3)


def test_every_kind_has_a_template():
    assert set(TEMPLATE_OF) == set(KINDS)
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
