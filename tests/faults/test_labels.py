"""Labels that contradict the data, and data that tell less than asked."""

import dataclasses
import math

import numpy as np
import pytest
from ase.cluster import Octahedron
from ase.data import atomic_numbers, reference_states

import diffpy_cbldm as cb
from diffpy_cbldm.crystals.radii import METALLIC_RADII, neighbour_distance
from diffpy_cbldm.fitting.target import Target
from diffpy_cbldm.solving.doubts import label_doubts, range_doubts


@pytest.fixture(scope="module")
def platinum():
    cluster = cb.Cluster("Pt", Octahedron("Pt", 5, cutoff=1).positions)
    (pdf,) = cb.simulate(cluster, rmax=20, qmin=0.8, qmax=22, rstep=0.02)
    return pdf


def labelled(pdf, element, **range_):
    return Target.of(dataclasses.replace(pdf, composition=element), **range_)


@pytest.mark.parametrize("element", ["Pt", "Pd", "Ir", "Au", "Rh", "Al"])
def test_elements_of_about_this_bond_length_are_not_doubted(platinum, element):
    assert label_doubts(labelled(platinum, element)) == []


@pytest.mark.parametrize("element", ["Na", "Fe", "Pb", "Cu", "Cs", "Ni"])
def test_another_metal_is_doubted(platinum, element):
    (text,) = label_doubts(labelled(platinum, element))
    expected = neighbour_distance(element)
    assert "are 2.7" in text and f"{expected:.2f} A" in text
    assert "--composition" in text


def test_a_compound_taken_for_its_metal_is_doubted():
    """PbS is told as Pb, which has 96 % of the scattering."""
    k = np.arange(-2, 3)
    cell = np.array(np.meshgrid(k, k, k)).reshape(3, -1).T
    symbols = ["Pb" if sum(x) % 2 == 0 else "S" for x in cell]
    (pdf,) = cb.simulate(cb.Cluster(symbols, cell * 2.968), rmax=20)
    pdf = dataclasses.replace(pdf, composition="Pb")
    (text,) = label_doubts(Target.of(pdf))
    assert "metallic Pb 3.50 A" in text


def test_radii_are_those_of_the_crystals():
    """Twice the radius against the crystal structures that ASE has."""
    compared = 0
    for element in METALLIC_RADII:
        state = reference_states[atomic_numbers[element]] or {}
        kind, a = state.get("symmetry"), state.get("a")
        if kind == "hcp":
            layers = math.sqrt(a**2 / 3 + (state["c/a"] * a) ** 2 / 4)
            nearest = min(a, layers)
        elif kind in ("fcc", "bcc"):
            nearest = a / math.sqrt(2) if kind == "fcc" else a * 0.75**0.5
        else:
            continue
        compared += 1
        assert neighbour_distance(element) == pytest.approx(
            nearest, rel=0.03
        ), element
    assert compared > 50
    assert neighbour_distance("C") is None


def test_without_a_first_peak_nothing_is_said():
    r = np.arange(500) * 0.02
    pdf = cb.PDFData(r, -1 - 0.01 * r, composition="Pt")
    assert label_doubts(Target.of(pdf)) == []
    assert range_doubts(Target.of(pdf)) == []


@pytest.mark.parametrize("rmax", [4.0, 5.5, 6.8])
def test_short_ranges_tell_no_size(platinum, rmax):
    (text,) = range_doubts(labelled(platinum, "Pt", rmax=rmax))
    assert f"ends at {rmax:g} A" in text and "no number of atoms" in text


def test_longer_ranges_do(platinum):
    for rmax in (7.2, 12.0, 30.0):
        assert range_doubts(labelled(platinum, "Pt", rmax=rmax)) == []


def test_solve_says_both_and_gives_no_number_of_atoms(platinum):
    keep = platinum.r <= 4.01
    pdf = dataclasses.replace(
        platinum,
        r=platinum.r[keep],
        g=platinum.g[keep],
        composition="Na",
    )
    solution = cb.solve(
        pdf, generators="library", count=4, refine=1, polish=("strain",)
    )
    assert solution.atoms is None
    text = " ".join(solution.warnings)
    assert "metallic Na 3.72 A" in text and "no number of atoms" in text
    assert "The particle has" not in solution.explain()
