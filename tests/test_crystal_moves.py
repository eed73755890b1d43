"""Stretches along lattice directions, surfaces by element, and charges."""

import dataclasses

import numpy as np
import pytest

import diffpy_cbldm as cb
from diffpy_cbldm.crystals.bonds import shortest_bond
from diffpy_cbldm.crystals.charges import charge_of, oxidation_states
from diffpy_cbldm.fitting.crystal_moves import (
    crystal_moves,
    relaxed,
    surface_atoms,
)
from diffpy_cbldm.fitting.envelope import fit_envelope
from diffpy_cbldm.fitting.target import Target
from diffpy_cbldm.fitting.together import with_others
from diffpy_cbldm.search import cut_screening
from diffpy_cbldm.search.by_cutting import cut_particles
from tests.test_cutting import crystal, cut

BOTH = ("strain", "surface")


def pdf_of(elements, positions, formula):
    (pdf,) = cb.simulate(
        [cb.Cluster(elements, positions)], rmax=18.0, qmin=1.0, biso=0.5
    )
    return dataclasses.replace(pdf, composition=formula)


def test_moves_are_found_again_by_the_native_recipe():
    rutile = crystal("rutile", "IrO2")
    elements, x = cut("rutile", "IrO2", 100)
    moves = crystal_moves(elements, x, rutile, BOTH)
    truth = {"stretch_c": 0.012, "surface_Ir": -0.02, "surface_O": 0.03}
    assert set(moves) == set(truth)
    y = x - x.mean(0) + sum(truth[k] * moves[k] for k in truth)
    pdf = pdf_of(elements, y, "IrO2")
    plain = cb.refine(cb.Candidate(elements, x, "rutile", "cut"), pdf)
    found = relaxed(plain, rutile, Target.of(pdf), BOTH)
    assert found.rw < 1e-3 < plain.rw
    assert found.refined_moves == BOTH
    for name, value in truth.items():
        assert found.parameters[name][0] == pytest.approx(value, abs=1e-3)
    np.testing.assert_allclose(found.positions, y, atol=5e-3)


def test_moves_of_several_pdfs_tell_the_rw_of_each():
    rutile = crystal("rutile", "IrO2")
    elements, x = cut("rutile", "IrO2", 60)
    moves = crystal_moves(elements, x, rutile, ("strain",))
    y = x - x.mean(0) + 0.015 * moves["stretch_c"]
    pdf, neutrons = (
        dataclasses.replace(
            cb.simulate(
                [cb.Cluster(elements, y)], rmax=15.0, qmin=1.0, stype=stype
            )[0],
            composition="IrO2",
        )
        for stype in "XN"
    )
    target = with_others(Target.of(pdf), [neutrons])
    plain = cb.refine(cb.Candidate(elements, x, "rutile", "cut"), target)
    found = relaxed(plain, rutile, target, ("strain",))
    assert found.rw < 0.1 * plain.rw
    assert max(found.rw_of_each) < min(plain.rw_of_each)
    mean = np.sqrt(np.mean(np.square(found.rw_of_each)))
    assert found.rw == pytest.approx(mean, rel=1e-6)
    # The same names as before, and the stretch.
    assert set(found.parameters) == {*plain.parameters, "stretch_c"}
    # Where the misfit lay, there is none.
    assert plain.uneven_misfit and found.uneven_misfit is None


def test_nothing_moves_where_nothing_is_gained():
    rutile = crystal("rutile", "IrO2")
    elements, x = cut("rutile", "IrO2", 100)
    pdf = pdf_of(elements, x, "IrO2")
    rng = np.random.default_rng(0)
    g = pdf.g + 0.02 * np.abs(pdf.g).max() * rng.normal(size=len(pdf.g))
    noisy = dataclasses.replace(pdf, g=g)
    plain = cb.refine(cb.Candidate(elements, x, "rutile", "cut"), noisy)
    assert relaxed(plain, rutile, Target.of(noisy), BOTH) is plain


def test_lattice_directions_are_those_that_the_symmetry_leaves_free():
    def named(name, formula):
        elements, x = cut(name, formula, 80)
        one = crystal(name, formula)
        return set(crystal_moves(elements, x, one, ("strain",)))

    assert named("fluorite", "CeO2") == set()
    assert named("wurtzite", "CdSe") == {"stretch_c"}
    assert named("brookite", "TiO2") == {"stretch_b", "stretch_c"}


def test_the_surface_lacks_bonds():
    one = crystal("rock salt", "MgO")
    x, site = one.ball(np.zeros(3), 7.5)
    kind = one.shares.argmax(1)[site]
    outer = surface_atoms(one, x, kind)
    d = np.linalg.norm(x[:, None] - x, axis=2)
    bonds = ((d > 0.1) & (d < 1.1 * one.bonds.min())).sum(1)
    np.testing.assert_array_equal(outer, bonds < 6)


def test_oxidation_states_balance():
    spinel = crystal("spinel", "Fe3O4")
    states = oxidation_states(spinel)
    assert states is not None
    np.testing.assert_allclose(states, [8 / 3, -2.0])
    mixed = crystal("perovskite", "La0.7Sr0.3MnO3")
    states = oxidation_states(mixed)
    assert states is not None
    assert mixed.shares.sum(0) @ states == pytest.approx(0, abs=0.05)
    assert oxidation_states(crystal("L1_0", "FePt")) is None
    assert charge_of(np.array([0, 1, 1]), np.array([4.0, -2.0])) == 0


def test_edits_balance_the_charge(monkeypatch):
    monkeypatch.setattr(cut_screening, "FAMILIES", 30)
    monkeypatch.setattr(cut_screening, "ROUNDS", 1)
    one = crystal("fluorite", "CeO2")
    # About a cerium atom: more metal than oxygen makes up for, or less.
    x, site = one.ball(np.zeros(3), 7.0)
    kind = one.shares.argmax(1)[site]
    states = oxidation_states(one)
    assert abs(charge_of(kind, states)) > 4
    pdf = pdf_of([one.elements[k] for k in kind], x, "CeO2")
    target = Target.of(pdf)
    spheres = [fit_envelope(one, target)]
    found = cut_particles(target, spheres, 12, 0, True, True)
    assert any(c.edits for c in found.candidates)
    for c in found.candidates:
        kind = np.array([one.elements.index(e) for e in c.elements])
        assert abs(charge_of(kind, states)) < 1e-6
        assert any(note.startswith("charge +0 e") for note in c.notes)
        assert shortest_bond(c.positions) > 0.95 * one.bonds.min()


def test_a_metal_has_no_charge_to_balance():
    x = np.array([[0, 0, 0], [2.8, 0, 0], [0, 2.8, 0], [0, 0, 2.8]])
    pdf = dataclasses.replace(cb.simulate([cb.Cluster("Pt", x)])[0])
    with pytest.raises(cb.CbldmError, match="charge"):
        cb.solve(pdf, polish=("sites", "charge"))
