"""When there is no structure, and what the headline says."""

import dataclasses
import json

import numpy as np
import pytest
from ase.cluster import Icosahedron, Octahedron

import diffpy_cbldm as cb
from diffpy_cbldm.fitting import readings
from diffpy_cbldm.fitting.attenuated import BULK, fit_crystal
from diffpy_cbldm.fitting.liquid import fit_wave
from diffpy_cbldm.fitting.target import Target
from diffpy_cbldm.output.page import make_page
from diffpy_cbldm.output.results import result
from diffpy_cbldm.solving.abstaining import reason
from diffpy_cbldm.solving.atom_range import AtomRange
from diffpy_cbldm.solving.doubt_facts import DOUBTED, FACTS
from diffpy_cbldm.solving.doubt_table import TESTS, Answer, measured
from diffpy_cbldm.solving.headers import settle
from diffpy_cbldm.solving.other_ranges import BondRange
from diffpy_cbldm.solving.verdict import headline, judge
from tests.benchmarks.no_particle import (
    endless,
    liquid,
    scattering,
    transformed,
)

R = np.arange(0, 24, 0.02)
OCTAHEDRON = cb.Cluster("Pt", Octahedron("Pt", 5, cutoff=1).positions)


def pdf_of(g, r=R, qmax=22.0, composition="Pt"):
    return cb.PDFData(
        r, g, composition=composition, qmin=0.8, qmax=qmax, stype="X"
    )


def measured_particle(cluster=OCTAHEDRON, rmax=24.0, **conditions):
    (made,) = cb.simulate(
        cluster, qmin=0.8, qmax=22, rmax=rmax, rstep=0.02, **conditions
    )
    return dataclasses.replace(made, qdamp=None)


def noise_of_waves(rng):
    """Noise within the range of Q, as of a measurement without a sample."""
    q = np.arange(0.8, 22, 0.02)
    return pdf_of(transformed(R, q, rng.normal(size=len(q))))


def hard_spheres(packing=0.45):
    return pdf_of(liquid(R, packing, 2.7, 0.8, 22.0))


def bulk():
    return pdf_of(endless(R, 2.89, 0.12, 0.03), composition="Ag")


def answer(pdf, rw=None, **range_):
    """What was found, if its Rw is so much, or that of the crystal."""
    target = Target.of(pdf, **range_)
    crystal = fit_crystal(target)
    best = cb.Candidate(
        pdf.composition,
        OCTAHEDRON.positions,
        "fcc",
        "library",
        rw=crystal.rw if rw is None else rw,
    )
    return Answer([best], target, crystal, 10_000)


def kind(pdf, rw=None, **range_):
    found = reason(answer(pdf, rw, **range_))
    return found and found.kind


def test_particles_have_a_structure():
    pdf = measured_particle()
    assert kind(pdf, 0.003) is None
    # Also where they are said to end at Qmax, as F(Q) would.
    assert kind(measured_particle(rmax=22.0), 0.003) is None


@pytest.mark.parametrize("seed", [0])
def test_noise_has_none(seed):
    rng = np.random.default_rng(seed)
    points = pdf_of(rng.normal(size=len(R)))
    waves = noise_of_waves(rng)
    assert kind(points, 0.99) == kind(waves, 0.95) == "noise"
    assert "outside of the stated Q range" in reason(answer(points, 0.99)).text


def test_a_bulk_crystal_has_no_size():
    """And a lower limit is said."""
    found = reason(answer(bulk()))
    assert found.kind == "bulk crystal"
    assert found.at_least >= 500
    assert f"at least {found.at_least:,} atoms" in found.text
    # A particle that fits much better than any crystal is one.
    assert reason(answer(bulk(), 0.001)) is None


@pytest.mark.parametrize("packing", [0.4, 0.5])
def test_a_liquid_is_one_wave(packing):
    pdf = hard_spheres(packing)
    wave, decay = fit_wave(Target.of(pdf))
    assert wave < 0.3 and 2 < decay < 8
    assert fit_wave(Target.of(measured_particle()))[0] > 0.7


def test_the_wave_of_a_liquid_is_found():
    """Its own parameters, where the data are that wave."""
    g = np.exp(-R / 4.0) * np.cos(7.7 / 2.8 * (R - 2.8)) * (R > 2.0)
    wave, decay = fit_wave(Target.of(pdf_of(g)))
    assert wave < 0.05 and decay == pytest.approx(4.0, rel=0.1)


def test_a_liquid_has_no_structure(monkeypatch):
    """Where the best structure does not fit as well as the wave."""
    from diffpy_cbldm.solving import abstaining

    monkeypatch.setattr(abstaining, "_rw_beyond", lambda *a: 0.4)
    assert kind(hard_spheres(), 0.3) == "liquid or glass"
    monkeypatch.setattr(abstaining, "_rw_beyond", lambda *a: 0.1)
    assert kind(hard_spheres(), 0.3) is None


@pytest.mark.parametrize("before, expected", [(0.1, True), (0.01, False)])
def test_edits_do_not_hide_the_blur_of_a_liquid(monkeypatch, before, expected):
    """Sites that imitate a wave take up what a Uiso at its bound was."""
    from diffpy_cbldm.solving import abstaining

    monkeypatch.setattr(abstaining, "_rw_beyond", lambda *a: 0.1)
    one = answer(hard_spheres(), 0.155)
    (plain,) = one.candidates
    name = f"{plain.elements[0]}_Uiso"
    plain = dataclasses.replace(plain, parameters={name: (before, 0.0)})
    edited = dataclasses.replace(
        plain, rw=0.04, parameters={name: (0.039, 0.0)}, edits=("sites",)
    )
    some = dataclasses.replace(one, candidates=[edited, plain])
    assert (reason(some) is not None) == expected
    assert some.uiso == before
    doubt = next(d for d in measured(some) if d.name == "uiso")
    assert doubt.value == before and doubt.raised == expected
    assert ("without edits" in doubt.text) == expected


def test_a_compound_or_another_metal_has_none():
    pdf = measured_particle()
    sodium = dataclasses.replace(pdf, composition="Na")
    assert kind(sodium, 0.003) == "not this metal"
    assert "2.77 A" in reason(answer(sodium, 0.003)).text


def test_scattering_in_place_of_g():
    """The reciprocal lattice of fcc is bcc, and fits nearly as well."""
    swapped = scattering_of(measured_particle(qdamp=0.01))
    assert kind(swapped) == "F(Q)"
    back = readings.as_scattering(swapped)
    assert cb.bond_estimate(back) == pytest.approx(2.77, abs=0.03)
    # No F(Q) is measured to 60 1/A, nor ends at 10.
    long = dataclasses.replace(swapped, r=swapped.r * 60 / swapped.r[-1])
    assert readings.as_scattering(long) is None
    short = swapped.r < 10
    short = pdf_of(swapped.g[short], r=swapped.r[short])
    assert readings.as_scattering(short) is None


@pytest.mark.parametrize(
    "qmax, noise", [(14.0, 0.0), (18.0, 0.0), (25.0, 0.8)]
)
def test_a_good_g_that_fits_badly_is_no_scattering(qmax, noise):
    """Read as F(Q), G(r) of platinum is platinum again.

    A wrong Qmax and noise of single points, which spoil the fit to G(r), are
    lost in the transform of F(Q).
    """
    (made,) = cb.simulate(OCTAHEDRON, qmin=0.8, qmax=25, rmax=25, qdamp=0.0)
    g = made.g + noise * made.g.std() * np.random.default_rng(0).normal(
        size=len(made.g)
    )
    told = kind(pdf_of(g, r=made.r, qmax=qmax), 0.9 if noise else 0.35)
    assert told != "F(Q)"


def scattering_of(pdf, end=22.0, qmax=22.0):
    """The columns Q and F(Q) to some end, in a file that says some Qmax."""
    q, f = scattering(dataclasses.replace(pdf, qmax=end))
    return pdf_of(f, r=q, qmax=qmax, composition=pdf.composition)


@pytest.mark.parametrize(
    "end, qmax", [(25, 22), (18, 22), (22, 25), (24.98, 22), (25, None)]
)
@pytest.mark.parametrize("n", [3, 5])
def test_scattering_ends_where_it_was_written_to(n, end, qmax):
    """At the end of the instrument, or cut: the header has another Qmax.

    Of 13 atoms a sphere is a poor model; their cluster tells.
    """
    particle = Octahedron("Pt", n, cutoff=1).positions
    cluster = cb.Cluster("Pt", particle)
    pdf = measured_particle(cluster, qdamp=0.02)
    assert kind(scattering_of(pdf, end, qmax)) == "F(Q)"


def test_a_particle_is_none_where_only_others_were_proposed():
    """Twins of five-fold axis fit no crystal, their clusters do."""
    particle = Icosahedron("Au", 4).positions
    pdf = measured_particle(cb.Cluster("Au", particle), biso=0.6)
    for end in (18, 22, 24):
        near = pdf.r <= end
        cut = dataclasses.replace(pdf, r=pdf.r[near], g=pdf.g[near])
        assert kind(cut, 0.9) != "F(Q)"


@pytest.mark.parametrize("shape", ["fcc", "ico"])
def test_scattering_of_an_alloy_is_that_of_one_metal(shape):
    """The bcc crystal that fits its F(Q) does not fit its G(r)."""
    x = OCTAHEDRON if shape == "fcc" else Icosahedron("Pt", 4)
    mixed = ["Pt", "Co"] * (len(x.positions) // 2) + ["Pt"]
    pdf = measured_particle(cb.Cluster(mixed, 0.967 * x.positions), rmax=22.0)
    assert pdf.compound is not None

    def found(some):
        one = answer(some)
        lattice = one.crystal.lattice
        return reason(
            dataclasses.replace(
                one,
                sphere=lambda cut, size: fit_crystal(cut, (lattice,), size),
            )
        )

    assert found(scattering_of(pdf, 25.0)).kind == "F(Q)"
    # Of fcc crystals alone an icosahedron has a poor one.
    as_it_is = found(pdf)
    assert as_it_is is None or as_it_is.kind != "F(Q)"


def test_what_is_said_of_qmax_is_not_said_of_scattering():
    """The waves of F(Q) end at the diameter of the particle, 18 A."""
    cluster = cb.Cluster("Pt", Octahedron("Pt", 8, cutoff=3).positions)
    pdf = measured_particle(cluster, rmax=40.0, qdamp=0.02)
    columns = scattering_of(pdf, 25.0)
    told = settle(Target.of(columns), "no")[1]
    assert any("Qmax is wrong" in text for text in told)
    solution = cb.solve(
        columns, generators="library", count=4, refine=1, polish=False
    )
    assert solution.verdict.kind == "F(Q)"
    assert "No structure" in solution.headline
    assert not any("Qmax is wrong" in text for text in solution.warnings)


def test_pair_function_in_place_of_g():
    pdf = measured_particle()
    r = pdf.r[25:]
    level = pdf_of(1 + pdf.g[25:] / (4 * np.pi * 0.066 * r), r=r)
    assert kind(level, 0.95) == "g(r)"
    assert readings.as_pair_function(pdf) is None


def test_curves_upside_down():
    pdf = measured_particle()
    turned = dataclasses.replace(pdf, g=-pdf.g)
    assert kind(turned, 0.95) == "upside down"
    # What fits is what it is.
    assert kind(turned, 0.4) != "upside down"
    assert kind(noise_of_waves(np.random.default_rng(0)), 0.95) == "noise"


def test_data_that_end_before_the_second_shell():
    pdf = measured_particle()
    assert kind(pdf, 0.1, rmax=4.2) == "short range"
    assert kind(pdf, 0.1, rmax=5.0) is None


def test_a_crystal_that_is_held_keeps_its_size():
    pdf = measured_particle()
    free, endless = fit_crystal(pdf), fit_crystal(pdf, ("fcc",), BULK)
    assert endless.diameter == pytest.approx(BULK, rel=1e-3)
    assert endless.rw > 5 * free.rw
    held = fit_crystal(pdf, ("fcc",), free.diameter)
    assert held.rw == pytest.approx(free.rw, abs=2e-3)


def test_every_test_has_its_facts():
    assert [test.name for test in TESTS] == list(FACTS)


def test_the_verdict_follows_the_score():
    good = judge(answer(measured_particle(), 0.003))
    assert good.state == "good" and good.score < DOUBTED
    assert "No test puts it in doubt." in headline(
        answer(measured_particle(), 0.003).best, good, None, 24.0
    )
    bad = judge(answer(measured_particle(), 0.4))
    assert bad.state == "doubted" and bad.score >= DOUBTED
    names = [doubt.name for doubt in bad.raised]
    assert {"rw", "crystal"} <= set(names)
    assert all(doubt.text for doubt in bad.raised)
    assert not any(d.text for d in bad.doubts if not d.raised)


def test_types_that_fit_as_well_are_those_of_the_headline():
    """What fits worse is no rival, wherever another one is named."""
    found = answer(measured_particle(), 0.08)
    others = [
        dataclasses.replace(found.best, structure_type=kind, rw=rw)
        for kind, rw in (("stacked", 0.079), ("dec", 0.09))
    ]
    found = dataclasses.replace(found, candidates=[found.best, *others])
    told = judge(found)
    assert told.types == ("fcc", "stacked")
    (text,) = (d.text for d in told.raised if d.name == "types")
    assert "stacked 0.079" in text and "dec" not in text


def test_where_there_is_no_structure_nothing_of_it_is_doubted():
    short = measured_particle(OCTAHEDRON, 4.2)
    told = judge(answer(dataclasses.replace(short, composition="Na"), 0.4))
    names = {doubt.name for doubt in told.raised}
    assert told.state == "none" and {"rw", "range", "neighbours"} <= names
    # What is wrong with the data is said all the same.
    said = " ".join(told.texts)
    assert "metallic Na" in said and "so few shells" in said
    assert "Rw" not in said
    bad = judge(answer(measured_particle(), 0.4))
    assert bad.texts == tuple(doubt.text for doubt in bad.raised)


def test_headlines_have_at_most_four_lines():
    atoms = AtomRange(79, 70, 90, 0.9)
    for one in (answer(measured_particle(), 0.003), answer(bulk())):
        verdict = judge(one)
        text = headline(one.best, verdict, atoms, 24.0)
        assert len(text.splitlines()) <= 4
        assert text.startswith(("Answer: fcc, 70 to 90", "No structure: the"))


def test_lower_limits_are_said_as_such():
    one = answer(measured_particle(), 0.003)
    one = dataclasses.replace(one, largest=80)
    verdict = judge(one)
    assert verdict.at_least == 79
    text = headline(one.best, verdict, AtomRange(79, 70, 90, 0.9), 24.0)
    assert "at least 79 atoms" in text and "70 to 90" not in text


@pytest.mark.parametrize("rmax, beyond", [(11.0, False), (9.0, True)])
def test_the_headline_says_that_a_particle_ends_beyond_the_data(rmax, beyond):
    best = answer(measured_particle(), 0.003).best  # 12 A across
    text = headline(best, None, None, rmax)
    assert ("farther than the data reach" in text) == beyond


def test_answers_without_a_verdict_point_at_the_warnings():
    best = answer(measured_particle(), 0.003).best
    assert "Not judged" not in headline(best, None, None, 24.0)
    assert "read the warnings (2)" in headline(best, None, None, 24.0, 2)


@pytest.mark.parametrize("name", ["rw", "misfit"])
def test_no_fit_is_good_whose_misfit_is_doubted(name):
    best = cb.Candidate("Pt", OCTAHEDRON.positions, rw=FACTS[name].threshold)
    assert "It fits fairly" in headline(best, None, None, 24.0)


def test_all_outputs_agree():
    solution = cb.solve(
        measured_particle(),
        generators="library",
        count=4,
        refine=1,
        polish=False,
    )
    said = solution.headline
    assert solution.explain().startswith(said)
    written = result(solution, "a.gr")
    assert written["headline"] == said
    assert written["verdict"]["state"] == solution.verdict.state
    json.dumps(written["verdict"])
    shown = make_page(solution, "a.gr")
    assert all(line in shown for line in said.splitlines())
    again = cb.Solution.from_dict(
        dataclasses.replace(
            solution,
            candidates=[
                dataclasses.replace(c, results=None)
                for c in solution.candidates
            ],
        ).as_dict()
    )
    assert again.headline == said and again.verdict == solution.verdict
    # Types are counted by family, as the headline has them.
    named = dataclasses.replace(
        solution,
        bond=BondRange(2.77, 2.76, 2.78, 0.9),
        type_probability=0.9,
        verdict=dataclasses.replace(solution.verdict, types=("fcc",)),
        candidates=[
            dataclasses.replace(c, structure_type="oct")
            for c in solution.candidates
        ],
    )
    text = named.explain()
    assert "have the right type first, here fcc" in text
    assert "not like them" not in text
    doubted = AtomRange(44, 40, 48, 0.9, doubted=True)
    text = dataclasses.replace(named, atoms=doubted).explain()
    assert text.count("this one is not like them") == 2


def test_of_a_sublattice_the_first_neighbours_are_others():
    """Ceria told as a metal is none; as its sublattice it may be."""
    k = np.arange(-2, 3)
    cell = np.array(np.meshgrid(k, k, k)).reshape(3, -1).T
    metals = 2.7 * cell[cell.sum(1) % 2 == 0]
    oxygen = 2.7 * (cell[(np.abs(cell) < 2).all(1)] + 0.5)
    elements = ["Ce"] * len(metals) + ["O"] * len(oxygen)
    made = measured_particle(
        cb.Cluster(elements, np.concatenate([metals, oxygen]))
    )
    found = answer(dataclasses.replace(made, composition="Pd"))
    assert reason(found).kind == "not this metal"
    part = reason(dataclasses.replace(found, sublattice=True))
    assert part is None or part.kind != "not this metal"
