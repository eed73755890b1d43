"""Orbits of point groups, frameworks built of them, and their relaxation."""

import dataclasses

import numpy as np
import pytest
from ase.cluster import Decahedron, Icosahedron, Octahedron
from scipy.spatial import cKDTree
from scipy.spatial.distance import pdist
from scipy.spatial.transform import Rotation

import diffpy_cbldm as cb
from diffpy_cbldm import settings
from diffpy_cbldm.crystals import point_groups
from diffpy_cbldm.crystals.frameworks import load_frameworks
from diffpy_cbldm.crystals.particles import NONE, Particle
from diffpy_cbldm.crystals.table import load_table
from diffpy_cbldm.fitting import moves
from diffpy_cbldm.fitting.attenuated import fit_crystal
from diffpy_cbldm.fitting.low_pass import low_passed
from diffpy_cbldm.fitting.orbit_moves import MOST_SHELLS, twisted
from diffpy_cbldm.fitting.target import Target
from diffpy_cbldm.polishing.crystal import Measured
from diffpy_cbldm.polishing.orbits import relaxed_orbits
from diffpy_cbldm.search import by_shells, framework_screening
from diffpy_cbldm.search.by_library import library_rw
from diffpy_cbldm.search.by_shells import shells_generator
from diffpy_cbldm.search.matching import Motion
from diffpy_cbldm.solving.relaxed_library import relaxed_ahead, relaxed_library
from training.make_frameworks import TOUCHING, seeds, sites

ICO = Icosahedron("Au", 3).positions
DEC = Decahedron("Au", 3, 2, 0).positions
OCT = Octahedron("Au", 5, cutoff=1).positions


def turned(x, seed=0):
    return x @ Rotation.random(rng=seed).as_matrix() + [1.0, -2.0, 3.0]


def same_places(x, y, tolerance):
    return cKDTree(x).query(y)[0].max() < tolerance


@pytest.mark.parametrize(
    ("x", "order", "sizes"),
    [
        (ICO, 120, [1, 12, 30, 12]),
        (DEC, 20, [2, 5, 10, 10, 2, 10]),
        (OCT, 48, [1, 12, 6, 24, 12, 24]),
    ],
    ids=["icosahedron", "decahedron", "octahedron"],
)
def test_operations_and_orbits(x, order, sizes):
    x = turned(x)
    turns = point_groups.operations(x)
    assert len(turns) == order
    centred = x - x.mean(0)
    for turn in turns:
        assert same_places(centred, centred @ turn.T, 0.02)
    found = point_groups.orbits(x, turns)
    assert [len(o.places) for o in found] == sizes
    assert sorted(np.concatenate([o.places for o in found])) == list(
        range(len(x))
    )


@pytest.mark.parametrize(
    ("x", "order"),
    [
        (np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0.0]]), 16),
        (np.array([[0, 0, 0], [1, 0, 0], [0, 1.5, 0], [1, 1.5, 0]]), 8),
        (np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [2, 1, 0.0]]), 4),
        (ICO[1:], 120),
        (np.delete(OCT, OCT[:, 0].argmin(), 0), 2),
    ],
    ids=["square", "rectangle", "zigzag", "hollow", "less one"],
)
def test_operations_of_other_groups(x, order):
    turns = point_groups.operations(turned(x))
    # A group: the product of two of them is one of them.
    products = np.einsum("aij,bjk->abik", turns, turns).reshape(-1, 1, 3, 3)
    apart = np.abs(products - turns).max((2, 3)).min(1)
    assert len(turns) == order and apart.max() < 1e-6


def test_no_symmetry_no_orbits():
    x = np.random.default_rng(0).normal(size=(20, 3)) * 4
    assert len(point_groups.operations(x)) == 1
    assert moves.orbit_moves(x) == {}
    assert moves.move_names(x, ["orbits"]) == ()
    assert moves.orbit_moves(x[:1]) == {}


@pytest.mark.parametrize("x", [ICO, DEC, OCT], ids=["ico", "dec", "oct"])
def test_orbit_moves_keep_the_symmetry(x):
    x = turned(x)
    names = moves.move_names(x, ["orbits"])
    values = dict(zip(names, 0.03 * np.random.default_rng(1).normal(size=9)))
    after = moves.moved(x, values)
    turns = point_groups.operations(x)
    assert not np.allclose(pdist(after), pdist(x), atol=1e-3)
    for turn in turns:
        assert same_places(after, after @ turn.T, 0.02)


def test_orbit_moves_are_as_long_as_they_say():
    x, bond = ICO, 2.0
    x = x * bond / pdist(x).min()
    fields = moves.orbit_moves(x)
    for field in fields.values():
        length = np.linalg.norm(field, axis=1)
        assert np.allclose(length[length > 0], bond, rtol=1e-6)
    longer = moves.orbit_moves(1.3 * x)
    for name, field in fields.items():
        assert np.allclose(longer[name], 1.3 * field)


def test_orbit_moves_are_independent_of_stretch():
    names = moves.move_names(ICO, ["orbits"])
    rows = moves.derivatives(ICO, (moves.ZOOM, *names))
    rows = rows.reshape(len(rows), -1)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    assert np.linalg.svd(rows, compute_uv=False)[-1] > 0.1


def test_many_orbits_move_by_shells():
    x = turned(Decahedron("Au", 5, 2, 0).positions)
    fields = moves.orbit_moves(x)
    assert set(fields) == {f"shell_{k}" for k in range(1, MOST_SHELLS + 1)}
    radius = np.linalg.norm(x - x.mean(0), axis=1)
    reach = [radius[f.any(1)] for f in fields.values()]
    # From the centre outwards, each atom once.
    assert all(a.max() < b.min() for a, b in zip(reach, reach[1:]))
    assert sum(map(len, reach)) == (radius > 1e-3).sum()
    after = moves.moved(x, {"shell_3": 0.04, "shell_8": -0.02})
    for turn in point_groups.operations(x):
        assert same_places(after, after @ turn.T, 0.02)
    every = moves.move_names(x, ["orbits", "across"])
    assert set(every) >= {"orbit_1", "orbit_5b"} and len(every) > MOST_SHELLS
    assert moves.move_names(x, ["shell_2"]) == ("shell_2",)


def test_a_cluster_without_mirrors_keeps_its_rotations():
    frameworks = [f for f in load_frameworks() if f.group == "I"]
    mirrored = next(
        f for f in frameworks if sorted(map(len, f.shells))[-1] == 60
    )
    x = 2.9 * mirrored.positions
    before = point_groups.operations(x)
    after = point_groups.operations(twisted(x, 0.05))
    assert len(after) == 60
    assert (np.linalg.det(after) > 0).all()
    assert len(before) in (60, 120)
    # Nothing to break: an orbit on mirrors and axes alone.
    assert np.allclose(twisted(ICO, 0.05), ICO - ICO.mean(0))


def test_frameworks():
    known = load_frameworks()
    assert len(known) >= 2000
    assert {f.group for f in known} == set(point_groups.ROTATION_GROUPS)
    sizes = np.array([len(f) for f in known])
    assert sizes.min() >= 12 and sizes.max() <= 400
    for framework in known[::37]:
        x = framework.positions
        assert pdist(x).min() > 0.78
        for turn in point_groups.rotations(framework.group):
            assert same_places(x, x @ turn.T, 1e-3)


def test_known_clusters_are_among_the_frameworks():
    """Shells of published gold clusters, built from geometry alone."""
    shells = {
        tuple(sorted(map(len, f.shells)))
        for f in load_frameworks()
        if f.group == "I"
    }
    assert (1, 12) in shells
    assert (1, 12, 12, 30) in shells  # Mackay, 55
    assert (12, 12, 30, 60) in shells  # hollow, an anti-Mackay layer: 114
    assert (12, 12, 30, 30, 60) in shells  # Au144


def test_hollows_are_a_bond_away():
    turns = point_groups.rotations("I")
    shell = next(s[0] for s in seeds("I") if len(s) == 1 and len(s[0]) == 12)
    assert pdist(shell).min() == pytest.approx(1.0)
    found = sites([shell], turns)
    near = np.sort(np.linalg.norm(shell - found[:, None], axis=2), axis=1)
    at_a_bond = np.isclose(near, 1.0, atol=1e-6).sum(1)
    assert (at_a_bond > 0).all() and (near > TOUCHING).all()
    # Over an atom, over an edge and over a face.
    assert {1, 2, 3} <= set(at_a_bond.tolist())


def displaced(framework, size, seed, bond=2.88):
    """A framework with its orbits moved, as (cluster, ideal positions)."""
    ideal = bond * framework.positions
    fields = moves.orbit_moves(ideal)
    draws = np.random.default_rng(seed).uniform(-size, size, len(fields))
    x = ideal + sum(d * f for d, f in zip(draws, fields.values()))
    return cb.Cluster(("Au",) * len(x), x), ideal


def test_relaxation_finds_displaced_orbits():
    framework = next(
        f
        for f in load_frameworks()
        if f.group == "I" and sorted(map(len, f.shells)) == [12, 12, 30, 60]
    )
    truth, ideal = displaced(framework, 0.03, seed=3)
    pdf = cb.simulate(truth, qmin=0.8, qmax=25.0, qdamp=0.03)[0]
    data = Measured(Target.of(pdf))
    found = relaxed_orbits(ideal, "ico", data)
    assert found.rw < 0.02 < 0.1 < data.fit(ideal).rw
    assert cb.rmsd(found.positions, truth.positions) < 0.03


def test_the_generator_finds_a_displaced_framework():
    framework = next(
        f
        for f in load_frameworks()
        if str(f) == "I: 1 + 12 + 30 + 20 + 60 + 12"
    )
    truth, _ = displaced(framework, 0.02, seed=1)
    pdf = cb.simulate(truth, qmin=0.8, qmax=25.0, qdamp=0.03)[0]
    best = shells_generator(pdf, count=8)[0]
    assert best.edits == ("orbits",)
    assert len(best) == len(truth)
    assert cb.rmsd(best.positions, truth.positions) < 0.1


def test_ways_across_are_taken_where_they_predict():
    framework = next(
        f for f in load_frameworks() if str(f) == "D3: 6 + 2 + 3 + 6 + 6 + 6"
    )
    turns = point_groups.rotations("D3")
    rng = np.random.default_rng(5)
    truth = []
    for shell in framework.shells:
        ways = point_groups.orbit_fields(shell, turns)
        size = rng.uniform(-0.03, 0.03, len(ways))
        truth.append(shell + np.tensordot(size, ways, 1))
    cluster = cb.Cluster("Au", 2.88 * np.concatenate(truth))
    pdf = cb.simulate(cluster, qmin=0.8, qmax=25.0, qdamp=0.03)[0]
    best = shells_generator(pdf, count=8)[0]
    assert best.edits == ("orbits", "across")
    assert len(best) == len(cluster)
    assert cb.rmsd(best.positions, cluster.positions) < 0.06


def test_ideal_clusters_of_the_library_are_relaxed():
    table = load_table()
    place = next(
        k
        for k, one in enumerate(table.geometries)
        if one.structure_type == "dec" and len(one.members) == 105
    )
    x = 2.88 * table.positions(place)
    names = moves.move_names(x, ["orbits"])
    shift = np.linspace(-0.05, 0.06, len(names))
    cluster = cb.Cluster("Au", moves.moved(x, dict(zip(names, shift))))
    pdf = cb.simulate(cluster, qmin=0.8, qmax=25.0, qdamp=0.03)[0]
    target = Target.of(pdf)
    used = settings.Solve()
    found = relaxed_library([], target, used)
    assert any(len(p.positions) == 105 for p in found.met)
    # A core that has nothing to do makes the same beforehand, unless what
    # was proposed may explain the data, or has relaxed orbits.
    poor = cb.Candidate("Au", 2.88 * table.positions(0), generator="screen")
    made = relaxed_ahead([poor], target)
    again = relaxed_library([], target, used, made=made)
    assert [p.rw for p in again.met] == [p.rw for p in found.met]
    framework = dataclasses.replace(poor, edits=("orbits",))
    for some in (
        [cb.Candidate("Au", cluster.positions)],
        [poor, framework],
        [],
    ):
        assert relaxed_ahead(some, target) is None
    best = min(
        (p for front in found.fronts for p in front.changed),
        key=lambda p: p.criterion,
    )
    assert len(best.positions) == 105 and best.edits == ("orbits",)
    assert cb.rmsd(best.positions, cluster.positions) < 0.05
    # Not where the library was not asked, nor beside a relaxed framework.
    for starts, names in (([], "cbldm"), ([best.start], "library")):
        starts = [dataclasses.replace(c, edits=("orbits",)) for c in starts]
        asked = settings.Solve(generators=names)
        assert relaxed_library(starts, target, asked).met == []


def test_the_generator_is_silent_where_something_plainer_explains_the_data():
    ideal = cb.Cluster(("Au",) * len(OCT), OCT)
    pdf = cb.simulate(ideal, qmin=0.8, qmax=25.0, qdamp=0.03)[0]
    assert shells_generator(pdf) == []
    large = Octahedron("Au", 12, cutoff=3).positions
    cluster = cb.Cluster(("Au",) * len(large), large)
    pdf = cb.simulate(cluster, qmin=0.8, qmax=25.0, qdamp=0.02)[0]
    assert shells_generator(pdf) == []


def test_no_framework_is_looked_at_where_a_large_sphere_is_told(monkeypatch):
    """Not even where the signal beyond the frameworks is weak."""

    def none():
        raise AssertionError("frameworks were looked at")

    sphere = Particle("fcc", 1, (NONE,) * 4, 4.3).positions * 2.8
    cluster = cb.Cluster(("Au",) * len(sphere), sphere)
    pdf = cb.simulate(cluster, qmin=0.8, qmax=25.0, qdamp=0.05, biso=1.0)[0]
    target = Target.of(pdf)
    monkeypatch.setattr(by_shells, "BEYOND", 1.0)
    monkeypatch.setattr(by_shells, "load_frameworks", none)
    assert library_rw(target) > by_shells.EXPLAINED
    assert shells_generator(target) == []


def test_no_framework_looks_like_a_larger_sphere_of_crystal():
    for framework in load_frameworks()[100::600]:
        x = 2.88 * framework.positions
        cluster = cb.Cluster(("Au",) * len(x), x)
        pdf = cb.simulate(cluster, qmin=0.8, qmax=25.0, biso=0.5)[0]
        target = Target.of(pdf)
        crystal = fit_crystal(target)
        small = crystal.n_atoms <= settings.MAX_ATOMS
        assert small or crystal.rw > by_shells.CRYSTALLINE


def test_orbit_fields_are_those_of_the_orbits():
    turns = point_groups.rotations("I")
    for framework in load_frameworks()[::400]:
        if framework.group != "I":
            continue
        known = point_groups.orbits(framework.positions, turns)
        by_radius = {len(o.places): 0 for o in known}
        for orbit in known:
            by_radius[len(orbit.places)] += len(orbit.fields)
        found = dict.fromkeys(by_radius, 0)
        for shell in framework.shells:
            fields = point_groups.orbit_fields(shell, turns)
            found[len(shell)] += len(fields)
            for field in fields:
                moved = shell + 0.01 * field
                for turn in turns:
                    assert same_places(moved, moved @ turn.T, 1e-6)
        assert found == by_radius


def test_a_low_pass_keeps_what_is_below():
    truth = cb.Cluster(("Au",) * len(ICO), ICO)
    sharp, blunt = (
        cb.simulate(truth, qmin=0.8, qmax=qmax, qdamp=0.03)[0]
        for qmax in (25.0, 8.0)
    )
    low = low_passed(Target.of(sharp), 8.0)
    expected = np.interp(low.r, blunt.r, blunt.g)
    inside = low.r > 2.5
    error = np.abs(low.g - expected)[inside]
    assert low.qmax == 8.0
    assert error.max() < 0.05 * np.abs(expected).max()
    assert low_passed(low, 12.0) is low


def test_native_recipe_with_orbits():
    truth = moves.moved(ICO, {"orbit_1": 0.02, "orbit_2": -0.015})
    cluster = cb.Cluster(("Au",) * len(truth), truth)
    pdf = cb.simulate(cluster, qmin=0.8, qmax=25.0, qdamp=0.03)[0]
    start = cb.Cluster(("Au",) * len(ICO), ICO)
    done = cb.refine(start, pdf, moves=("orbits",))
    assert done.rw < 1e-3
    assert done.refined_moves == ("orbits",)
    for name, value in (("orbit_1", 0.02), ("orbit_2", -0.015)):
        found, error = done.parameters[name]
        assert found == pytest.approx(value, abs=1e-3)
        assert np.isfinite(error)


def test_frameworks_are_compared_in_pieces(monkeypatch):
    known = load_frameworks()[:: len(load_frameworks()) // 40]
    monkeypatch.setattr(framework_screening, "load_frameworks", lambda: known)
    x = 2.88 * known[17].positions
    (pdf,) = cb.simulate(cb.Cluster(("Au",) * len(x), x), rmax=20.0)
    given = Target.of(pdf), 2.88, Motion()
    rw, bonds = framework_screening.compare_frameworks(*given)
    assert rw.argmin() == 17 and bonds[17] == pytest.approx(2.88, rel=1e-3)
    monkeypatch.setattr(framework_screening, "AT_ONCE", 7)
    pieces = framework_screening.compare_frameworks(*given)
    np.testing.assert_allclose(pieces, (rw, bonds), atol=1e-5)
