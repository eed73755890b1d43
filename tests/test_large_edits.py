"""Edits of particles of more than 256 atoms: planes, layers, rows, atoms."""

import dataclasses
import importlib

import numpy as np
import pytest

import diffpy_cbldm as cb
from diffpy_cbldm.crystals.bonds import bonded_pairs, roughness
from diffpy_cbldm.crystals.particles import NONE, Particle
from diffpy_cbldm.fitting.target import Target
from diffpy_cbldm.polishing.candidates import large_edits
from diffpy_cbldm.polishing.crystal import Measured
from diffpy_cbldm.polishing.directions import (
    corner_directions,
    facet_normals,
    families,
)
from diffpy_cbldm.polishing.faults import (
    FaultTable,
    stackings,
    structure_type,
)
from diffpy_cbldm.polishing.large import LargeCrystal, large_front
from diffpy_cbldm.polishing.long_basis import LongMeasured
from diffpy_cbldm.threads import one_thread

# The wing hands on a function of the same name.
fronts = importlib.import_module("diffpy_cbldm.polishing.front")

BOND = 2.77

OCTAHEDRON = Particle("fcc", 0, (4.243, NONE, 3.675, NONE))
"""A truncated one of 459 atoms."""


@pytest.fixture(autouse=True)
def quiet():
    with one_thread():
        yield


def positions(particle=OCTAHEDRON):
    return particle.positions * BOND


def without_top(x, direction):
    """Without the outermost layer in a direction."""
    height = x @ np.asarray(direction, float) / np.linalg.norm(direction)
    return x[height < height.max() - 0.1]


def simulated(x, noise=0.0):
    (pdf,) = cb.simulate([cb.Cluster("Pt", x)], qdamp=0.03, biso=0.4)
    off = noise * np.random.default_rng(0).normal(size=len(pdf.g))
    return cb.PDFData(
        r=pdf.r,
        g=pdf.g + off * pdf.g.std(),
        composition="Pt",
        qmin=pdf.qmin,
        qmax=pdf.qmax,
    )


def measured(x, noise=0.0):
    return LongMeasured(Target.of(simulated(x, noise)))


def without_corners(x):
    normals = facet_normals(x / BOND)
    kinds = families(x / BOND, normals)
    kept = np.ones(len(x), bool)
    for way in corner_directions(x / BOND, normals, kinds)[0]:
        height = x @ way / BOND
        top = height > height.max() - 0.12
        if top.sum() == 1:
            kept &= ~top
    return x[kept]


def twinned(x):
    *_, best = sorted(stackings(x, BOND), key=lambda s: len(s.senses))
    senses = best.senses.copy()
    senses[len(senses) // 2 :] *= -1
    return x + best.shifts(senses)[best.layer][:, None] * best.step


def test_facets_and_edges_of_a_truncated_octahedron():
    x = OCTAHEDRON.positions
    normals = facet_normals(x)
    assert len(normals) == 26  # 8 {111}, 6 {100}, 12 {110}
    kinds = families(x, normals)
    sizes = sorted(np.bincount(kinds)[np.bincount(kinds) > 0])
    assert sizes == [6, 8, 12]
    ways, alike = corner_directions(x, normals, kinds)
    np.testing.assert_allclose(np.linalg.norm(ways, axis=1), 1)
    # 24 edges between {100} and {111}, and 24 corners.
    assert sorted(np.bincount(alike)) == [24, 24]


def test_other_crystals_have_their_facets():
    open_ = (NONE,) * 4
    for crystal, faces in (("bcc", 12), ("sc", 6)):
        ball = Particle(crystal, 0, open_, 4.2)
        assert len(facet_normals(ball.positions)) >= faces
        assert stackings(ball.positions * BOND, BOND) == [] or crystal == "bcc"


def test_the_long_basis_is_the_basis():
    x = positions()
    target = Target.of(simulated(x))
    y = without_top(x, (1, 0, 0))
    plain, long = Measured(target), LongMeasured(target)
    fit = plain.fit(y)
    one, other = plain.basis(fit, y), long.basis(fit, y)
    scale = 2 * fit.scale / len(y)
    assert other.rw_at(y, scale) == pytest.approx(one.rw_at(y, scale), 1e-4)
    assert other.rw_at(y, scale) == pytest.approx(fit.rw, rel=1e-3)
    for basis in (one, other):
        eased = basis.eased(y, 1e-6, True)
        total = eased.total(y)
        square = eased.square(total @ eased.data, total @ total)
        basis.rw_eased = float(square) ** 0.5
    assert other.rw_eased == pytest.approx(one.rw_eased, rel=1e-2)


@pytest.fixture(scope="module")
def crystal():
    with one_thread():
        x = positions()
        data = measured(without_top(x, (1, 1, 1)), noise=0.01)
        made = LargeCrystal(x, "fcc", data)
        made.grow()
        return made


def test_judged_groups_are_what_they_say(crystal):
    """Curve, bonds and atoms as if counted again."""
    editor = crystal.group_editor()
    groups = editor.groups("layers") + editor.groups("sites")[::40]
    square, missing, atoms = editor.judged(groups)
    allowed = np.flatnonzero(np.isfinite(square))
    assert len(allowed) > 40
    assert {groups[k].sign for k in allowed} == {1, -1}
    for k in allowed[::3]:
        filled = editor.filled.copy()
        filled[groups[k].sites] = groups[k].sign > 0
        x = editor.points[filled]
        total = editor.basis.total(x)
        again = editor.basis.square(total @ editor.basis.data, total @ total)
        assert square[k] == pytest.approx(float(again), rel=2e-2, abs=1e-7)
        assert atoms[k] == len(x)
        assert missing[k] == 12 * len(x) - 2 * len(bonded_pairs(x))


def test_flips_keep_the_sums(crystal):
    editor = crystal.group_editor()
    first = editor.total
    for _ in range(4):
        groups = editor.groups("layers")
        square, *_ = editor.judged(groups)
        editor.flip(groups[int(np.argsort(square)[3])])
    total = editor.basis.total(editor.points[editor.filled])
    off = np.linalg.norm(editor.total - total)
    # Pairs of one cell of 0.02 A share a vector.
    assert off < 1e-2 * np.linalg.norm(total - first)
    bonds = len(bonded_pairs(editor.points[editor.filled]))
    assert editor.missing == 12 * editor.atoms - 2 * bonds


def test_groups_leave_no_atom_hanging(crystal):
    editor = crystal.group_editor()
    groups = editor.groups("layers")
    square, *_ = editor.judged(groups)
    for group, value in zip(groups, square):
        filled = editor.filled.copy()
        filled[group.sites] = group.sign > 0
        bonds = bonded_pairs(editor.points[filled])
        least = np.bincount(bonds.ravel(), minlength=filled.sum()).min()
        assert (least >= 3) == np.isfinite(value)


def test_stackings_and_their_names():
    x = positions()
    found = stackings(x, BOND)
    assert len(found) == 4
    assert {structure_type(s.senses) for s in found} == {"fcc"}
    (twin,) = stackings(twinned(x), BOND)
    assert structure_type(twin.senses) == "stacked"
    assert (np.diff(twin.senses) != 0).sum() == 1
    hcp = Particle("hcp", 0, (NONE,) * 9, 4.5)
    (layers,) = stackings(hcp.positions * BOND, BOND)
    assert structure_type(layers.senses) == "hcp"


def test_faults_change_the_curve_as_their_atoms_do():
    x = positions()
    data = measured(x)
    basis = data.basis(data.fit(x), x)
    stacking = stackings(x, BOND)[1]
    table = FaultTable(stacking, x, basis)
    for _, senses in stacking.edits(stacking.senses)[::3]:
        shift = stacking.shifts(senses)[stacking.layer]
        moved = x + shift[:, None] * stacking.step
        change = basis.total(moved) - basis.total(x)
        off = np.linalg.norm(table.change(senses) - change)
        assert off < 5e-3 * np.linalg.norm(change)
        # On hollows, never on top: the bond stays what it is.
        assert len(bonded_pairs(moved)) > 0.9 * len(bonded_pairs(x))


@pytest.mark.parametrize("case", ["facet in", "facet out", "corners", "twin"])
def test_the_truth_is_found(case):
    """N to the atom, and Rw as low as the truth's own."""
    x = positions()
    start, truth, kind = {
        "facet in": (x, without_top(x, (1, 1, 1)), "layers"),
        "facet out": (without_top(x, (1, -1, 1)), x, "layers"),
        "corners": (x, without_corners(x), "layers"),
        "twin": (x, twinned(x), "faults"),
    }[case]
    data = measured(truth, noise=0.005)
    own = data.fit(truth).rw
    found = fronts.best(
        large_front(start, "fcc", data, fronts.EDIT_KINDS, 1.25)
    )
    assert len(found.positions) == len(truth)
    assert found.rw == pytest.approx(own, rel=0.02)
    assert large_edits(found) == [kind]
    assert found.excess <= 2


def test_a_twin_plane_is_moved():
    start = twinned(positions())
    (layers,) = stackings(start, BOND)
    # A partial dislocation has swept the plane beside the twin's.
    senses = layers.senses.copy()
    senses[int(np.flatnonzero(np.diff(senses))[0])] *= -1
    truth = start + layers.shifts(senses)[layers.layer][:, None] * layers.step
    assert structure_type(senses) == "stacked"
    data = measured(truth)
    found = fronts.best(large_front(start, "stacked", data, ("faults",), 1.25))
    assert found.rw == pytest.approx(data.fit(truth).rw, rel=0.05)
    assert found.kind == "stacked"
    assert large_edits(found) == ["faults"]


def test_the_ideal_particle_stays():
    x = positions()
    found = large_front(x, "fcc", measured(x, 0.01), fronts.EDIT_KINDS, 1.25)
    assert fronts.best(found) is found[0]


def test_edits_may_not_roughen_beyond_the_limit():
    x = positions()
    crystal = LargeCrystal(x, "fcc", measured(without_corners(x)))
    limit = roughness(x) / crystal.ideal + 1e-6
    crystal.edit_layers(limit)
    assert crystal.judged().ratio <= limit


def test_polish_says_what_was_edited():
    x = positions()
    pdf = simulated(without_top(x, (1, 1, 1)), noise=0.005)
    start = cb.Candidate("Pt", x, structure_type="fcc")
    first, *more = cb.polish(start, pdf, kinds=("layers", "faults"))
    assert (len(first), first.edits) == (459, ())
    found = more[-1]
    assert found.edits == ("layers",)
    assert found.edited_from == ("fcc", 459)
    assert found.rw < 0.8 * first.rw
    assert "polished: layers; from fcc with 459 atoms" in found.flags
    assert len(found) == len(without_top(x, (1, 1, 1)))


def test_size_chooses_the_way(monkeypatch):
    """Up to 256 atoms the edits are those of single atoms."""
    small = dataclasses.replace(OCTAHEDRON, limits=(2.9, NONE, 2.5, NONE))
    x = positions(small)
    assert len(x) <= 256

    def none(*_):
        raise AssertionError("the way of large particles")

    monkeypatch.setattr(fronts, "large_front", none)
    target = Target.of(simulated(x))
    found = fronts.front(x, "fcc", target, kinds=("sites", "layers"))
    assert not found[0].kind
    with pytest.raises(AssertionError, match="large"):
        fronts.front(positions(), "fcc", target)
