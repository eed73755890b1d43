"""Strain and surface relaxation of a cluster."""

import numpy as np
import pytest
from ase.cluster import Icosahedron, Octahedron
from scipy.spatial.distance import pdist
from scipy.spatial.transform import Rotation

from diffpy_cbldm.crystals.bonds import (
    nearest_neighbour_distance,
    surface_shells,
)
from diffpy_cbldm.errors import CbldmError
from diffpy_cbldm.fitting import moves

CUBO = Octahedron("Pt", 7, cutoff=3).positions
ICO = Icosahedron("Au", 3).positions
ALL = (moves.ZOOM, *moves.STRAIN, *moves.SURFACE)


def small(seed=0, size=1e-2):
    """Small values of all moves but zoomscale."""
    values = size * np.random.default_rng(seed).normal(size=7)
    return dict(zip(ALL[1:], values, strict=True))


def lopsided():
    """A cluster without symmetry."""
    x = CUBO - CUBO.mean(0)
    return x[(x @ [0.8, 0.5, 0.3] < 4.0)] + [1.0, 2.0, 3.0]


@pytest.mark.parametrize(
    ("positions", "counts"),
    [(ICO, [1, 42, 12]), (CUBO, [13, 92, 42])],
    ids=["icosahedron", "cuboctahedron"],
)
def test_surface_shells(positions, counts):
    shells = surface_shells(positions)
    assert np.bincount(shells).tolist() == counts
    radius = np.linalg.norm(positions - positions.mean(0), axis=1)
    assert radius[shells == 0].max() < radius[shells == 2].max()
    assert radius[shells == 2].max() < radius[shells == 1].max()
    turned = positions @ Rotation.random(rng=1).as_matrix() + 5.0
    assert np.array_equal(surface_shells(turned), shells)


def test_a_vacancy_inside_is_no_surface():
    radius = np.linalg.norm(CUBO - CUBO.mean(0), axis=1)
    shells = surface_shells(CUBO[radius > 0.1])
    assert np.count_nonzero(shells == 1) == 92


def test_shells_of_hardly_a_cluster():
    assert surface_shells(np.zeros((1, 3))).tolist() == [0]
    assert surface_shells(3.0 * np.eye(3)).tolist() == [0, 0, 0]


def test_no_move_centres():
    x = lopsided()
    for values in ({}, dict.fromkeys(ALL[1:], 0.0), {moves.ZOOM: 1.0}):
        assert np.array_equal(moves.moved(x, values), x - x.mean(0))


def test_order_of_operations():
    x, values = lopsided(), {**small(), moves.ZOOM: 1.02}
    surface = {name: values[name] for name in moves.SURFACE}
    strain = {name: values[name] for name in moves.STRAIN}
    y = moves.moved(x, surface)
    xx, yy, xy, xz, yz = strain.values()
    e = np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, -xx - yy]])
    expected = 1.02 * y @ (np.eye(3) + e)
    assert np.allclose(moves.moved(x, values), expected, atol=1e-12)
    kept = moves.surface_moves(x)
    assert np.array_equal(moves.moved(x, values, kept), moves.moved(x, values))


def test_surface_is_radial_and_in_bonds():
    bond = nearest_neighbour_distance(ICO)
    radius = np.linalg.norm(ICO, axis=1)
    after = moves.moved(ICO, {"surface_1": 0.02, "surface_2": -0.01})
    step = np.linalg.norm(after, axis=1) - radius
    shells = surface_shells(ICO)
    for shell, size in enumerate((0.0, 0.02, -0.01)):
        assert np.allclose(step[shells == shell], size * bond, atol=1e-9)
    assert np.allclose(np.cross(after, ICO), 0.0, atol=1e-9)


def test_strain_keeps_the_volume():
    for size in (1e-2, 1e-3):
        values = {k: v for k, v in small(size=size).items() if "st" in k}
        corners = moves.moved(np.vstack([np.eye(3), -np.eye(3)]), values)
        assert abs(np.linalg.det(corners[:3]) - 1) < 10 * size**2


def test_moves_turn_with_the_cluster():
    """A turned cluster under the turned strain has the same distances."""
    x, values = lopsided(), small()
    turn = Rotation.random(rng=2).as_matrix()
    e = np.tensordot(
        [values[name] for name in moves.STRAIN], moves._BASIS, 1
    )  # fmt: skip
    e = turn @ e @ turn.T
    turned = {
        **values,
        "strain_xx": e[0, 0],
        "strain_yy": e[1, 1],
        "strain_xy": e[0, 1],
        "strain_xz": e[0, 2],
        "strain_yz": e[1, 2],
    }
    after = moves.moved(x @ turn.T, turned)
    assert np.allclose(pdist(after), pdist(moves.moved(x, values)))


def test_derivatives():
    x, h = lopsided(), 1e-4
    slopes = moves.derivatives(x, ALL)
    assert slopes.shape == (8, len(x), 3)
    for name, slope in zip(ALL, slopes, strict=True):
        at = float(name == moves.ZOOM)
        up, down = (moves.moved(x, {name: at + s}) for s in (h, -h))
        assert np.allclose((up - down) / (2 * h), slope, atol=1e-8)
    strain = {name: small()[name] for name in moves.STRAIN}
    linear = np.tensordot(list(strain.values()), slopes[1:6], 1)
    exact = moves.moved(x, strain)
    assert np.allclose(exact, x - x.mean(0) + linear, atol=1e-12)
    assert moves.derivatives(x, []).shape == (0, len(x), 3)


def test_names():
    both = (*moves.STRAIN, *moves.SURFACE)
    assert moves.move_names(CUBO, ["strain", "surface"]) == both
    assert moves.move_names(CUBO, ["surface", "strain", "surface"]) == both
    assert moves.move_names(CUBO, ["surface"]) == moves.SURFACE
    assert moves.move_names(CUBO, ()) == ()


def test_moves_that_cannot_be_told_are_left_out():
    # One shell around an atom: its relaxation is a stretch.
    thirteen = Icosahedron("Au", 2).positions
    assert moves.move_names(thirteen, moves.MOVE_KINDS) == moves.STRAIN
    six = Octahedron("Pt", 2).positions
    assert moves.move_names(six, moves.MOVE_KINDS) == moves.STRAIN
    for few in (np.zeros((1, 3)), 3.0 * np.eye(3)[:2], 3.0 * np.eye(3)):
        assert moves.move_names(few, moves.MOVE_KINDS) == ()


def test_errors():
    for wrong in ("strain", ["strain", "twist"]):
        with pytest.raises(CbldmError, match="expected a list.*surface"):
            moves.move_names(CUBO, wrong)
    with pytest.raises(CbldmError, match="'strain_zz' is no move"):
        moves.moved(CUBO, {"strain_zz": 0.1})
    with pytest.raises(CbldmError, match="'surface_3' is no move"):
        moves.derivatives(CUBO, ["surface_3"])


def test_single_variables_can_be_asked_for():
    assert moves.check_kinds(["surface_1", "strain"]) == (
        "strain",
        "surface_1",
    )
    assert moves.move_names(CUBO, ["surface_1"]) == ("surface_1",)
    assert moves.move_names(CUBO, ["surface"]) == moves.SURFACE
