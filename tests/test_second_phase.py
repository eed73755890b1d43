"""A particle beside a crystal of a second phase."""

from types import SimpleNamespace

import numpy as np
import pytest

import diffpy_cbldm as cb
from diffpy_cbldm.crystals.table import load_table
from diffpy_cbldm.debye.world import World
from diffpy_cbldm.fitting.attenuated import crystal_curve, fit_crystal
from diffpy_cbldm.fitting.measured import powder_of
from diffpy_cbldm.fitting.quickfit import quick_fit
from diffpy_cbldm.fitting.target import Target
from diffpy_cbldm.search.by_library import library_generator
from diffpy_cbldm.solving import second_phase
from diffpy_cbldm.solving.second_phase import beside_crystal

TABLE = load_table()


def ideal(kind, atoms):
    """An ideal cluster of the table, platinum."""
    near = min(
        (
            k
            for k, g in enumerate(TABLE.geometries)
            if g.structure_type == kind
        ),
        key=lambda k: abs(TABLE.geometries[k].n_atoms - atoms),
    )
    return cb.Candidate("Pt", 2.77 * TABLE.positions(near), kind)


def ranked_of(cluster, **world):
    """The library's answers to a measured powder, and its target."""
    (pdf,) = cb.simulate(
        cluster,
        world=World(noise=0.01, seed=3, **world),
        **{"qmin": 0.8, "qmax": 22, "rmax": 30, "qdamp": 0.03, "rstep": 0.02},
    )
    target = Target.of(pdf)
    some = library_generator(target, count=12)
    fits = quick_fit([c.positions for c in some], target, scan=(0.0,))
    order = np.argsort([fit.rw for fit in fits])
    return [(some[i], fits[i]) for i in order], target


def test_the_particle_is_found_beside_a_second_phase(monkeypatch):
    cluster = ideal("dec", 55)
    mixed = {"second": "fcc", "second_share": 0.15, "second_diameter": 32.0}
    ranked, target = ranked_of(cluster, **mixed)
    alone = ranked[0][1].rw
    found = beside_crystal(ranked, target, alone)
    assert found.structure_type == "dec"
    assert found.low <= len(cluster) <= found.high
    assert found.crystal.lattice == "fcc"
    assert found.crystal.diameter == pytest.approx(32, rel=0.15)
    assert found.share == pytest.approx(0.15, abs=0.05)
    assert found.rw < 0.5 * alone == 0.5 * found.rw_alone
    # Where both leave much, neither is known.
    monkeypatch.setattr(second_phase, "POOR", 0.9 * found.rw)
    assert beside_crystal(ranked, target, alone) is None
    monkeypatch.undo()
    # An answer that is edited until it fits as well needs none.
    assert beside_crystal(ranked, target, found.rw) is None


def test_one_particle_has_nothing_beside_it():
    ranked, target = ranked_of(ideal("dec", 55), shifted=0.12, missing=0.2)
    assert beside_crystal(ranked, target, ranked[0][1].rw) is None


def test_larger_balls_of_the_same_crystal_are_no_second_phase(monkeypatch):
    mixed = {"second": "fcc", "second_share": 0.4, "second_diameter": 60.0}
    ranked, target = ranked_of(ideal("fcc", 201), **mixed)
    alone = ranked[0][1].rw
    assert alone > 0.06
    # Nor is the library asked again for what they leave.
    monkeypatch.setattr(second_phase, "library_generator", None)
    assert beside_crystal(ranked, target, alone) is None


def test_few_shells_tell_no_second_phase():
    """Data that are cut before the second shell are no PDF for the library."""
    (pdf,) = cb.simulate(ideal("dec", 55), qdamp=0.03)
    short = Target.of(pdf).with_rmax(3.4)
    poor = [(ideal("fcc", 55), SimpleNamespace(rw=0.2))]
    assert beside_crystal(poor, short, 0.2) is None


def test_a_crystal_has_the_curve_that_was_fitted():
    (pdf,) = cb.simulate(ideal("fcc", 201), qdamp=0.03, biso=0.5)
    target = Target.of(pdf)
    crystal = fit_crystal(target, ("fcc",))
    left = target.g - crystal_curve(target, crystal)
    rw = np.linalg.norm(left) / np.linalg.norm(target.g)
    assert rw == pytest.approx(crystal.rw, rel=1e-6)


def test_shifted_atoms_leave_the_bond_of_the_second_phase():
    cluster = ideal("fcc", 201)
    moved = powder_of(cluster, World(shifted=0.3, seed=1))
    assert moved.bond == pytest.approx(2.77, abs=1e-6)
