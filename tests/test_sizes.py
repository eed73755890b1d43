"""The size at the Qdamp of common instruments, and what is said of it."""

import dataclasses

import numpy as np
import pytest

import diffpy_cbldm as cb
from diffpy_cbldm.crystals.lattices import sphere
from diffpy_cbldm.fitting.attenuated import fit_crystal
from diffpy_cbldm.fitting.quickfit import quick_fit
from diffpy_cbldm.fitting.target import Target
from diffpy_cbldm.output.tables import sizes_table
from diffpy_cbldm.solving.atom_range import AtomRange
from diffpy_cbldm.solving.doubts import qdamp_doubts
from diffpy_cbldm.solving.sizes import (
    SizeAtQdamp,
    by_qdamp,
    covering,
    sizes_by_qdamp,
)
from diffpy_cbldm.solving.solution import Solution

SITES = sphere("fcc", 7.0) * 2.77
RADII = np.linalg.norm(SITES, axis=1)
BALLS = [SITES[d / 2 >= RADII] for d in np.linspace(12.0, 36.0, 25)]


def measured(positions, qdamp):
    (pdf,) = cb.simulate([cb.Cluster("Pt", positions)], qdamp=qdamp, biso=0.5)
    return dataclasses.replace(pdf, qdamp=None)


@pytest.fixture(scope="module")
def found():
    """What a ball of 21 A is at several Qdamp; its own is 0.03."""
    truth = BALLS[9]
    target = Target.of(measured(truth, 0.03))
    fits = quick_fit(BALLS, target, scan=(0.0,))
    order = np.argsort([f.rw for f in fits])
    candidates = [cb.Candidate(("Pt",) * len(x), x, "fcc") for x in BALLS]
    ranked = [(candidates[i], fits[i]) for i in order]
    crystal = fit_crystal(target, ("fcc",))
    return len(truth), target, crystal, ranked


def test_sizes_rise_with_qdamp_and_the_true_one_is_among_them(found):
    atoms, target, crystal, ranked = found
    sizes = sizes_by_qdamp(ranked, crystal, target)
    assert [s.qdamp for s in sizes] == [0.02, 0.03, 0.04, 0.05]
    counts = [s.n_atoms for s in sizes]
    assert counts == sorted(counts) and counts[0] < counts[-1]
    assert counts[1] == atoms
    spheres = [s.crystal_atoms for s in sizes]
    assert spheres == sorted(spheres) and spheres[0] < spheres[-1]
    assert min(sizes, key=lambda s: s.rw).qdamp == 0.03
    told = AtomRange(atoms, atoms, atoms, 0.9)
    # The true structure fits far better than the crystal.
    best = dataclasses.replace(ranked[0][0], rw=ranked[0][1].rw)
    assert crystal.rw > 2 * best.rw
    stated = covering(told, sizes, best, crystal)
    assert (stated.low, stated.high) == (counts[0], counts[-1])
    assert stated.atoms == atoms and stated.share == 0.9
    # One that fits no better leaves the size to the crystal as well.
    poor = dataclasses.replace(best, rw=crystal.rw)
    wider = covering(told, sizes, poor, crystal)
    assert wider.low == min(counts[0], spheres[0], crystal.n_atoms)
    assert wider.high == max(counts[-1], spheres[-1], crystal.n_atoms)


def test_where_qdamp_is_known_there_is_nothing_to_tell(found):
    _, target, crystal, ranked = found
    assert sizes_by_qdamp(ranked, crystal, target.with_qdamp(0.03)) == ()
    neutrons = dataclasses.replace(target, qdamp_range=(0.01, 0.03))
    told = sizes_by_qdamp(ranked, crystal, neutrons)
    assert [s.qdamp for s in told] == [0.01, 0.02, 0.03]


def test_what_is_printed(found):
    _, target, crystal, ranked = found
    sizes = sizes_by_qdamp(ranked, crystal, target)
    solution = Solution([], [], {}, {}, (), target.pdf, sizes=sizes)
    head, *lines = sizes_table(solution).splitlines()
    assert head.split()[:3] == ["Qdamp", "atoms", "type"]
    assert [line.split()[0] for line in lines] == [
        "0.02",
        "0.03",
        "0.04",
        "0.05",
    ]
    assert f"{sizes[0].n_atoms} at 0.02" in solution._about_sizes()[0]


@pytest.mark.parametrize(
    "counts, edited, said",
    [
        ((100, 130), False, "atoms at the Qdamp (1/A) of common instruments: "
         "100 at 0.02, 130 at 0.05"),
        ((144, 144), False, "0.02 to 0.05 1/A) the number of atoms is 144."),
        ((100, 106), True, "of the best structure without edits is 100 to"),
    ],
)  # fmt: skip
def test_a_size_that_hangs_on_qdamp_is_told_from_one_that_does_not(
    counts, edited, said
):
    sizes = [
        SizeAtQdamp(qdamp, n, "fcc", 0.1, n, 0.2)
        for qdamp, n in zip((0.02, 0.05), counts, strict=True)
    ]
    text = by_qdamp(sizes, edited)
    assert said in text
    assert ("and with it the size" in text) == (counts[1] > 1.1 * counts[0])


def test_a_fit_that_ends_at_a_bound_is_a_doubt(found):
    """A small ball without any damping: Qdamp ends at the lower bound."""
    target = Target.of(measured(BALLS[5], 0.0))
    best = cb.refine(cb.Cluster("Pt", BALLS[5]), target)
    (said,) = qdamp_doubts(best, target)
    assert "ends at 0.015 1/A" in said and "smaller" in said
    assert "0.015 to 0.06" in said
    wide = Target.of(target.pdf, qdamp_range=(0.0, 0.1))
    best = cb.refine(cb.Cluster("Pt", BALLS[5]), target.with_qdamp(0.0))
    assert qdamp_doubts(best, target.with_qdamp(0.0)) == []
    inside = Target.of(found[1].pdf)
    assert (
        qdamp_doubts(cb.refine(cb.Cluster("Pt", BALLS[9]), inside), inside)
        == []
    )
    assert wide.qdamp_range == (0.0, 0.1)
