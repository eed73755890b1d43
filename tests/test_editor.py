"""Edits of sites: their scores against the quick fit, slopes of the basis."""

import numpy as np
import pytest
from scipy.spatial import cKDTree

from diffpy_cbldm.cluster import Cluster
from diffpy_cbldm.crystals.bonds import BULK, roughness
from diffpy_cbldm.crystals.table import load_table
from diffpy_cbldm.debye.simulation import simulate
from diffpy_cbldm.fitting.quickfit import QuickFit, quick_fit
from diffpy_cbldm.fitting.target import Target
from diffpy_cbldm.polishing.basis import PairBasis
from diffpy_cbldm.polishing.editor import Editor
from diffpy_cbldm.polishing.sites import more_sites

BOND = 2.75
FIT = QuickFit(0.0, 1.0, 1.0, 0.006, 2.0, 0.03)


def ideal(kind, atoms):
    """The library's cluster of a type whose size is nearest, in A."""
    table = load_table()
    of_kind = [
        i for i, g in enumerate(table.geometries) if g.structure_type == kind
    ]
    size = [abs(table.geometries[i].n_atoms - atoms) for i in of_kind]
    return table.positions(of_kind[int(np.argmin(size))]) * BOND


@pytest.fixture(scope="module")
def world():
    """A PDF, the basis for it, and an editor of another cluster."""
    (pdf,) = simulate(
        [Cluster("Pt", ideal("dec", 90))], qmin=0.8, qmax=24.0, qdamp=0.03
    )
    target = Target.of(pdf)
    basis = PairBasis(target, FIT)
    atoms = ideal("fcc", 79)
    new = more_sites(atoms, BOND)
    points = np.concatenate([atoms, new])
    filled = np.arange(len(points)) < len(atoms)
    return target, basis, points, filled


def rw_of(positions, world):
    start = {"uiso": FIT.uiso, "delta2": FIT.delta2}
    target = world[0].with_qdamp(FIT.qdamp)
    return quick_fit([positions], target, fit=(), start=start)[0].rw


def test_single_edits_are_scored_exactly(world):
    *_, basis, points, filled = world
    editor = Editor(points, filled, basis, BOND)
    assert editor.shape().rw == pytest.approx(
        rw_of(points[filled], world), abs=2e-4
    )
    square, rough = editor.singles()
    allowed = np.flatnonzero(np.isfinite(square))
    assert len(allowed) > 50
    for site in allowed[:: len(allowed) // 8]:
        after = filled.copy()
        after[site] = ~after[site]
        assert np.sqrt(square[site]) == pytest.approx(
            rw_of(points[after], world), abs=2e-4
        )
        assert rough[site] == pytest.approx(roughness(points[after]))


def test_swaps_are_scored_exactly(world):
    *_, basis, points, filled = world
    editor = Editor(points, filled, basis, BOND)
    away, there, square, rough = editor.swaps()
    finite = np.argwhere(np.isfinite(square))
    assert len(finite) > 100
    for a, b in finite[:: len(finite) // 8]:
        after = filled.copy()
        after[away[a]], after[there[b]] = False, True
        assert np.sqrt(square[a, b]) == pytest.approx(
            rw_of(points[after], world), abs=2e-4
        )
        assert rough[a, b] == pytest.approx(roughness(points[after]))


def test_flips_keep_the_books(world):
    *_, basis, points, filled = world
    editor = Editor(points, filled, basis, BOND)
    rng = np.random.default_rng(0)
    for _ in range(20):
        square, _ = editor.singles()
        editor.flip(int(rng.choice(np.flatnonzero(np.isfinite(square)))))
    now = editor.shape()
    assert now.roughness == pytest.approx(roughness(points[now.filled]))
    fresh = Editor(points, now.filled, basis, BOND).shape()
    assert now.rw == pytest.approx(fresh.rw, abs=1e-9)
    assert now.rw == pytest.approx(rw_of(points[now.filled], world), abs=2e-4)


def test_edits_leave_no_hole_and_no_clash(world):
    *_, basis, points, filled = world
    editor = Editor(points, filled, basis, BOND)
    square, _ = editor.singles()
    inside = (
        np.array(
            [
                len(near) - 1
                for near in cKDTree(points[filled]).query_ball_point(
                    points[filled], 1.2 * BOND
                )
            ]
        )
        == 12
    )
    assert np.isinf(square[filled][inside]).all()
    free = np.isfinite(square) & ~filled
    far = cKDTree(points[filled]).query(points[free])[0]
    assert far.min() > 0.9 * BOND


def test_slopes_are_derivatives(world):
    *_, basis, points, filled = world
    x = points[filled]
    rng = np.random.default_rng(1)
    change = rng.normal(size=(2, *x.shape))
    (square,), (left,), (rows,) = basis.residuals(x[None], change)
    step = 1e-4
    for move, row in zip(change, rows, strict=True):
        up, down = basis.residuals(
            np.array([x + step * move, x - step * move])
        )[1]
        # The residual falls as the curve rises; the scale follows.
        numeric = (down - up) / (2 * step)
        projected = numeric - row
        assert np.linalg.norm(projected) < 0.2 * np.linalg.norm(row)
    left_too, slopes = basis.atom_slopes(x)
    assert np.allclose(left_too, left)
    by_atoms = change.reshape(2, -1) @ slopes
    assert np.abs(by_atoms - rows).max() < 0.02 * np.abs(rows).max()


@pytest.mark.parametrize("kind, atoms", [("dec", 5), ("bcc", 7), ("dec", 7)])
def test_particles_without_atoms_to_spare_have_no_swaps(kind, atoms, world):
    """No atom may go, or no site is near enough to be filled."""
    basis = world[1]
    positions = ideal(kind, atoms)
    assert len(positions) == atoms
    points = np.concatenate([positions, more_sites(positions, BOND)])
    filled = np.arange(len(points)) < atoms
    editor = Editor(points, filled, basis, BOND, BULK.get(kind, 12))
    away, there, square, rough = editor.swaps()
    assert square.shape == rough.shape == (len(away), len(there))
    assert square.size == 0
