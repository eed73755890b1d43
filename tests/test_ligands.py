"""Shells of ligands, and two particles in one sample."""

import dataclasses

import numpy as np
import pytest
from ase.cluster import Decahedron, Icosahedron, Octahedron
from scipy.spatial import cKDTree

import diffpy_cbldm as cb
from diffpy_cbldm import settings
from diffpy_cbldm.errors import CbldmError
from diffpy_cbldm.fitting.ligand_sites import places
from diffpy_cbldm.fitting.ligands import (
    check_ligand,
    ligand_distance,
)
from diffpy_cbldm.fitting.moves import moved
from diffpy_cbldm.fitting.target import Target
from diffpy_cbldm.fitting.two_phases import TwoPhases, best_of_types
from diffpy_cbldm.solving import on_demand as solving_demand
from diffpy_cbldm.solving import solver
from diffpy_cbldm.solving.on_demand import on_demand, second_particles

ICO = Icosahedron("Au", 3).positions
DEC = Decahedron("Au", 3, 2, 0).positions
OCT = Octahedron("Au", 5, cutoff=1).positions
Q = {"qmin": 0.8, "qmax": 25.0}


def gold(x, kind="", **more):
    return cb.Candidate("Au", x, structure_type=kind, **more)


def capped(x, distance, site="atom"):
    light = places(x, 2.41, site).at(distance)
    return cb.Cluster(
        ("Au",) * len(x) + ("S",) * len(light), np.concatenate([x, light])
    )


def simulated(cluster):
    pdf = cb.simulate(cluster, qdamp=0.03, biso=0.8, **Q)[0]
    return cb.PDFData(
        pdf.r, pdf.g, composition="Au", stype="X", qdamp=0.03, **Q
    )


@pytest.mark.parametrize(("site", "bonds"), [("atom", 1), ("bridge", 2)])
def test_places_stand_over_the_surface_with_room_between_them(site, bonds):
    distance = ligand_distance("Au", "S")
    assert distance == pytest.approx(2.41, abs=0.05)
    over = places(ICO, distance, site)
    light = over.at(distance)
    radius = np.linalg.norm(light - ICO.mean(0), axis=1)
    corner = np.linalg.norm(ICO - ICO.mean(0), axis=1).max()
    assert radius.min() > (corner if site == "atom" else 0.9 * corner)
    assert np.linalg.norm(over.ways, axis=1) == pytest.approx(1)
    # As many bonds as the name says, all of one length.
    near = cKDTree(ICO).query(light, k=2)[0]
    assert near[:, 0] == pytest.approx(distance, rel=0.05)
    assert (near[:, 1] < 1.05 * distance).all() == (bonds == 2)
    nearer = cKDTree(ICO).query(over.at(2.3), k=bonds)[0]
    assert nearer == pytest.approx(2.3, rel=0.05)
    apart = cKDTree(light).query(light, k=2)[0][:, 1]
    assert apart.min() > 2.9


@pytest.mark.parametrize("site", ["atom", "bridge"])
def test_a_shell_that_is_there_is_found(site):
    pdf = simulated(capped(OCT, 2.3, site))
    bare = cb.refine(gold(OCT), pdf)
    shell = cb.ligand_shell(bare, pdf, "S")
    assert shell.supported
    assert shell.site == site
    assert shell.count == len(places(OCT, 2.41, site))
    assert shell.distance[0] == pytest.approx(2.3, abs=0.03)
    assert shell.rw < 0.5 * shell.rw_bare
    assert "supported" in str(shell)
    # What was tried beside it is named.
    other = {"atom": "over two", "bridge": "over one"}[site]
    assert shell.rw_other > shell.rw
    assert f"Rw {shell.rw:.3f}, {other} {shell.rw_other:.3f}" in str(shell)
    again = type(shell).from_dict(shell.as_dict())
    assert again == shell
    # Without room over two, and in results of older versions.
    alone = dataclasses.replace(shell, rw_other=None)
    assert other not in str(alone)


def test_relaxed_orbits_go_on_with_the_light_atoms():
    x = moved(ICO, {"orbit_1": 0.03, "orbit_2": -0.03})
    pdf = simulated(capped(x, 2.41))
    bare = cb.refine(gold(ICO, "ico"), pdf, moves=["orbits"])
    shell = cb.ligand_shell(bare, pdf, "S")
    assert shell.supported
    # Without the light atoms orbits had gone where they imitate these.
    assert shell.rw < 0.1 * shell.rw_bare
    recipe = cb.ligand_recipe(bare, pdf, "S")
    orbits = [name for name in bare.parameters if name.startswith("orbit")]
    assert orbits and set(orbits) < set(recipe.names)


def test_a_shell_that_is_not_there_is_left_out():
    pdf = simulated(cb.Cluster("Au", OCT))
    bare = cb.refine(gold(OCT), pdf)
    shell = cb.ligand_shell(bare, pdf, "S")
    assert not shell.supported
    assert "left out" in str(shell)


def test_ligands_that_are_no_element_are_refused():
    pdf = simulated(cb.Cluster("Au", OCT))
    with pytest.raises(CbldmError, match="expected the element that binds"):
        cb.ligand_recipe(gold(OCT), pdf, "thiol")
    with pytest.raises(CbldmError, match="one of atom, bridge"):
        cb.ligand_recipe(gold(OCT), pdf, "S", site="hollow")
    with pytest.raises(CbldmError, match="was not refined"):
        cb.ligand_shell(gold(OCT), pdf, "S")


def test_two_particles_and_their_shares(monkeypatch):
    one, other = (simulated(cb.Cluster("Au", x)) for x in (ICO, DEC))
    both = cb.PDFData(
        one.r,
        0.7 * one.g + 0.3 * other.g,
        composition="Au",
        stype="X",
        qdamp=0.03,
        **Q,
    )
    first = cb.refine(gold(ICO, "ico"), both)
    pair = cb.two_phases(first, gold(DEC, "dec"), both)
    assert pair.supported
    assert pair.share[0] == pytest.approx(0.3, abs=0.01)
    assert pair.rw < 0.02 < pair.rw_single
    alone = cb.two_phases(
        cb.refine(gold(ICO, "ico"), one), gold(DEC, "dec"), one
    )
    assert not alone.supported
    seconds = second_particles([first], Target.of(both))
    assert "dec" in seconds and "ico" not in seconds
    # A library of three: all of it would take seconds.
    three = [gold(DEC, "dec"), gold(OCT, "oct"), gold(1.01 * OCT, "fcc")]
    monkeypatch.setattr(solving_demand, "_library", lambda *given: three)
    used = settings.Solve(phases=2)
    made = on_demand([first], Target.of(both), used)
    assert made.phases.types == ("ico", "dec")
    assert made.phases.atoms == (len(ICO), len(DEC))
    assert made.ligands is None and made.distribution is None


@pytest.mark.parametrize("ligand", ["Zz", "D", "Au"])
def test_mistaken_ligands_are_told_before_the_search(ligand, monkeypatch):
    (pdf,) = cb.simulate([gold(OCT)], rmax=12)
    monkeypatch.setattr(solver, "proposed", None)  # nothing is searched
    with pytest.raises(CbldmError, match=f"ligand is '{ligand}'.*--ligand"):
        cb.solve(pdf, ligand=ligand, generators="library", polish=False)


def test_labels_of_ligands_are_their_elements():
    assert [check_ligand(x, "Au") for x in ("S", "s", "S2-")] == ["S"] * 3


def test_a_composition_with_ligands_offers_them():
    pdf = simulated(cb.Cluster("Au", OCT))
    named = cb.PDFData(
        pdf.r,
        pdf.g,
        composition="Au144 S60 C240 H540",
        stype="X",
        qdamp=0.03,
        **Q,
    )
    target = Target.of(named)
    assert target.element == "Au"
    best = gold(OCT, "fcc")
    (note,) = on_demand([best], target, settings.Solve()).notes
    assert "--ligand S" in note
    assert on_demand([best], Target.of(pdf), settings.Solve()).notes == ()


def test_two_elements_are_no_two_phases():
    pdf = simulated(cb.Cluster("Au", OCT))
    with pytest.raises(CbldmError, match="one element in both"):
        cb.phases_recipe(gold(OCT), cb.Cluster("Pt", ICO), pdf)


def test_types_of_the_second_particle_that_fit_alike_are_named():
    def pair(kind, rw, share):
        return TwoPhases(
            types=("ico", kind),
            atoms=(144, 70),
            share=(share, 0.03),
            rw=rw,
            rw_single=0.17,
            gain=40.0,
            supported=True,
            parameters={},
        )

    points = 200.0
    pairs = [pair("hcp", 0.150, 0.2), pair("dec", 0.152, 0.3)]
    best = best_of_types([*pairs, pair("fcc", 0.16, 0.4)], points)
    assert best.types[1] == "hcp" and best.alike == ("dec",)
    # The share is no surer than the type.
    assert best.share[1] > 0.1 and not best.supported
    assert "which type it is" in str(best)
    alone = best_of_types([pairs[0], pair("fcc", 0.16, 0.4)], points)
    assert alone == pairs[0]
