"""Answers for compounds: verdict, range, what is left out, other PDFs."""

import dataclasses
import math

import numpy as np
import pytest

import diffpy_cbldm as cb
from diffpy_cbldm import settings
from diffpy_cbldm.crystals.bonds import shortest_bond
from diffpy_cbldm.crystals.particles import NONE, Particle
from diffpy_cbldm.fitting.attenuated import BULK
from diffpy_cbldm.fitting.envelope import (
    crystal_shells,
    enveloped,
    fit_envelope,
)
from diffpy_cbldm.fitting.pair_fit import (
    PairCurves,
    PairFit,
    first_values,
    fit_cluster,
)
from diffpy_cbldm.fitting.target import Target
from diffpy_cbldm.search import cut_screening
from diffpy_cbldm.search.cut_edits import Editor, How, Sites
from diffpy_cbldm.solving.abstaining import reason
from diffpy_cbldm.solving.compound_doubts import (
    bulk_doubts,
    least_atoms,
    left_out,
    sphere_doubts,
    width_doubts,
    width_of,
)
from diffpy_cbldm.solving.compound_sizes import (
    WIDENING,
    compound_range,
    far_sizes,
)
from diffpy_cbldm.solving.doubt_table import Answer
from diffpy_cbldm.solving.verdict import headline, judge
from tests.test_cutting import crystal, cut, simulated

CERIA = crystal("fluorite", "CeO2")


@pytest.fixture
def few(monkeypatch):
    """A search that is over in a second."""
    monkeypatch.setattr(cut_screening, "FAMILIES", 40)
    monkeypatch.setattr(cut_screening, "ROUNDS", 1)


def answer(pdf, elements, x, rmax=None, **more):
    """A particle as the answer for a PDF, with its quick fit."""
    target = Target.of(pdf, 1.5, rmax)
    one, sphere = fit_envelope(CERIA, target)
    fit = fit_cluster(elements, x, target)
    best = cb.Candidate(
        elements,
        x,
        "fluorite",
        "cut",
        rw=fit.rw,
        parameters={f"{e}_Uiso": (u, 0.0) for e, u in fit.uiso.items()},
    )

    def held(some, diameter):
        return fit_envelope(one, some, diameter=diameter)[1]

    least = least_atoms(best, sphere, target)
    known = Answer(
        [best], target, sphere, 10_000, pdf, sphere=held, at_least=least
    )
    return dataclasses.replace(known, **more)


def test_first_neighbours_of_a_compound_are_its_crystals():
    """Those of the metal say nothing of it."""
    one = answer(*simulated("fluorite", "CeO2", 150))
    verdict = judge(one)
    assert verdict.state == "good" and verdict.types == ("fluorite",)
    value = {doubt.name: doubt.value for doubt in verdict.doubts}
    assert value["neighbours"] == 0.0
    # Its own shortest bond ends what lies before the first peak.
    assert one.nearest == pytest.approx(5.4117 * 3**0.5 / 4, abs=1e-3)
    assert value["before"] < 0.5
    assert headline(one.best, verdict, None, 18.0).startswith(
        "Answer: fluorite,"
    )


def test_a_wrong_crystal_fits_nothing():
    pdf, elements, x = simulated("fluorite", "CeO2", 150)
    wrong = dataclasses.replace(
        answer(pdf, elements, x).crystal, rw=0.7, diameter=15.0
    )
    one = answer(pdf, elements, x, crystal=wrong)
    bad = dataclasses.replace(one.best, rw=0.8)
    found = reason(dataclasses.replace(one, candidates=[bad]))
    assert found.kind == "nothing fits" and "--crystal" in found.advice


def test_a_bulk_compound_has_no_size():
    """The data of a crystal without an end, and a lower limit."""
    pdf, elements, x = simulated("fluorite", "CeO2", 60)
    target = Target.of(pdf)
    curves = PairCurves(target, CERIA.elements)
    values = first_values(target, CERIA.elements)
    shells = enveloped(crystal_shells(CERIA, curves.reach), BULK)
    endless = np.interp(pdf.r, target.r, curves.at(shells, values)[0])
    one = answer(dataclasses.replace(pdf, g=endless), elements, x)
    found = reason(one)
    assert found.kind == "bulk crystal" and found.at_least > 50
    assert judge(one).state == "none"
    held = one.sphere(one.target, BULK)
    assert held.diameter == pytest.approx(BULK, rel=0.02)


def test_a_metal_that_is_told_an_oxide_is_named():
    """Ceria is no metallic cerium; platinum is, whatever it is called."""
    oxide = answer(*simulated("fluorite", "CeO2", 150))
    assert reason(oxide) is None
    x = Particle("fcc", 0, (NONE,) * 4, 3.2).positions * 2.77
    (pdf,) = cb.simulate([cb.Cluster("Pt", x)], rmax=18.0, qmin=1.0)
    told = dataclasses.replace(pdf, composition="PtO2")
    target = Target.of(told)
    fluorite = crystal("fluorite", "PtO2")
    one, sphere = fit_envelope(fluorite, target, wide=True)
    best = cb.Candidate(["Pt"] * len(x), x, "fluorite", "cut", rw=sphere.rw)
    platinum = Answer(
        [best],
        target,
        sphere,
        10_000,
        told,
        sphere=lambda some, d: fit_envelope(one, some, diameter=d)[1],
    )
    found = reason(platinum)
    assert found is not None and found.kind == "a metal"
    assert "metallic Pt (fcc" in found.text
    # An alloy is a metal, and no reason for no answer.
    alloy = dataclasses.replace(told, composition="PtNi")
    assert reason(dataclasses.replace(platinum, target=Target.of(alloy))) is (
        None
    )


def test_beyond_the_data_there_is_a_lower_limit_alone():
    pdf, elements, x = simulated("fluorite", "CeO2", 300, rmax=12.0)
    one = answer(pdf, elements, x)
    round_ = math.pi / 6 * CERIA.density * 12.0**3
    assert 0.5 * round_ < one.at_least <= round_
    verdict = judge(one)
    assert verdict.at_least == one.at_least
    assert f"at least {one.at_least:,} atoms" in headline(
        one.best, verdict, None, 12.0
    )
    assert width_of(one.crystal.n_atoms, one.crystal) == pytest.approx(
        one.crystal.diameter
    )


def test_a_better_sphere_tells_the_least_diameter():
    one = answer(*simulated("fluorite", "CeO2", 150))
    assert sphere_doubts(one.best, one.crystal) == []
    worse = dataclasses.replace(one.best, rw=0.3)
    (said,) = sphere_doubts(
        worse, dataclasses.replace(one.crystal, rw=0.2, diameter=40.0)
    )
    # No larger than the particle, if that is smaller than the sphere.
    wide = width_of(150, one.crystal)
    assert f"at least {wide:.0f} A across" in said and "-t ddp3" in said


def test_long_particles_are_no_wide_ones():
    """One whose ends alone lie beyond the data has a number of atoms."""
    x, site = CERIA.ball(np.zeros(3), 14.0)
    rod = np.linalg.norm(x[:, :2], axis=1) < 4.5
    kinds = [CERIA.elements[k] for k in CERIA.shares.argmax(1)[site[rod]]]
    (pdf,) = cb.simulate(
        [cb.Cluster(kinds, x[rod])], rmax=22.0, qmin=1.0, biso=0.6
    )
    pdf = dataclasses.replace(pdf, composition="CeO2")
    one = answer(pdf, kinds, x[rod])
    assert one.at_least is None
    (text,) = bulk_doubts(one.best, one.crystal, one.target)
    assert "longest distances" in text and "at least" not in text


def test_the_range_holds_what_fits_alike():
    one = answer(*simulated("fluorite", "CeO2", 150))
    best, target = one.best, one.target
    points = target.independent_points
    near = 0.1 * math.exp(5 / points), 0.1 * math.exp(12 / points)

    def fit(rw):
        return PairFit(rw, 1.0, 1.0, {"Ce": 0.01, "O": 0.01}, 2.0, 0.04)

    def sized(atoms):
        row = 3.0 * np.outer(np.arange(atoms), [1, 0, 0])
        return cb.Candidate(("Ce",) * atoms, row, "fluorite")

    found = [(best, fit(0.1)), (sized(90), fit(near[0]))]
    atoms = compound_range(
        [*found, (sized(60), fit(near[1]))],
        dataclasses.replace(best, rw=0.02),
        (),
        (CERIA, dataclasses.replace(one.crystal, rw=0.5)),
        target,
    )
    assert (atoms.low, atoms.high) == (90, len(best))
    # Of a powder it is wider.
    powder = compound_range(
        found,
        dataclasses.replace(best, rw=0.15),
        (),
        (CERIA, dataclasses.replace(one.crystal, rw=0.5)),
        target,
    )
    more = math.exp(WIDENING)
    assert powder.low == math.ceil(90 / more)
    assert powder.high == math.floor(len(best) * more)
    # And it holds the sphere without atoms, which is of no shape.
    large = dataclasses.replace(one.crystal, rw=0.5, diameter=30.0)
    assert large.n_atoms > 300
    powder = compound_range(
        found,
        dataclasses.replace(best, rw=0.15),
        (),
        (CERIA, large),
        target,
    )
    assert powder.high == math.floor(large.n_atoms * more)


def test_far_distances_tell_the_size_where_the_first_peaks_do_not():
    """Disordered matter beside the particles has first peaks alone."""
    pdf, elements, x = simulated("fluorite", "CeO2", 400, rmax=30.0)
    near = 1 + 3 * np.exp(-((pdf.r / 4) ** 2))
    target = Target.of(dataclasses.replace(pdf, g=pdf.g * near))
    one, sphere = fit_envelope(CERIA, target)
    assert sphere.n_atoms < 0.6 * len(x)
    far = far_sizes(one, sphere, target)
    assert max(far) > 0.8 * len(x)
    best = cb.Candidate(elements[:150], x[:150], "fluorite", "cut", rw=0.3)
    fit = PairFit(0.3, 1.0, 1.0, {"Ce": 0.01, "O": 0.01}, 2.0, 0.04)
    told = compound_range([(best, fit)], best, (), (one, sphere), target)
    assert told.low <= 150 and told.high >= max(far) * math.exp(WIDENING) - 1
    # Where too little lies behind, nothing is looked at.
    assert far_sizes(one, sphere, target.with_rmax(5.0)) == []


def test_what_compounds_do_not_have_is_said():
    asked = settings.Solve(
        distribution="yes", ligand="S", phases=2, polish="sites,displacements"
    )
    notes = left_out(asked)
    for word in ("distribution", "ligand", "phases", "displacements"):
        assert any(word in note for note in notes), word
    assert left_out(settings.Solve()) == []
    (note,) = left_out(settings.Solve(polish="sites,charge"))
    assert "holds particles without charge alone" in note


def test_weak_bonds_keep_a_width():
    """delta2 of a compound is bound by its shortest distance."""
    pdf, elements, x = simulated("rutile", "IrO2", 90)
    dot = cb.Cluster(elements, x)
    recipe = cb.make_recipe(dot, pdf, start={"IrO_Delta2": 7.9})
    most = 0.95 * shortest_bond(x) ** 2
    assert most < 8.0
    assert recipe.IrO_Delta2.bounds[1] == pytest.approx(most)
    assert recipe.IrO_Delta2.value == pytest.approx(most)
    gold = cb.make_recipe(cb.Cluster("Au", x * 1.5), pdf)
    assert gold.Au_Delta2.bounds[1] == 8.0
    # What was refined at that bound is kept where atoms came nearer since.
    wider = cb.refine(dot.scaled(1.02), pdf, start={"IrO_Delta2": most})
    narrow = dataclasses.replace(
        wider,
        positions=wider.positions * 0.99,
        parameters=wider.parameters | {"delta2": (most, 0.1)},
    )
    begun = cb.make_recipe(narrow, pdf, start="refined")
    assert begun.IrO_Delta2.value == pytest.approx(most)
    assert begun.IrO_Delta2.bounds[1] == pytest.approx(most)


def test_changes_of_an_editor_are_those_of_all_pairs():
    rng = np.random.default_rng(0)
    x = rng.uniform(0, 6, size=(12, 3))
    sites = Sites(
        x,
        np.arange(12) % 2,
        np.arange(12) < 7,
        np.ones((12, 12), bool),
    )
    curves = rng.normal(size=(3, 300, 20))
    how = How(0.04, 50.0, lambda kind: True)
    editor = Editor(sites, curves, rng.normal(size=20), how)
    other = sites.filled.copy()
    other[[2, 8, 9]] ^= True
    fresh = Editor(
        dataclasses.replace(sites, filled=other), curves, editor.data, how
    )
    np.testing.assert_allclose(
        editor.total + editor.change(other), fresh.total, atol=1e-10
    )
    part = editor.below(5, 0.5)
    assert part.how.points == 25.0
    np.testing.assert_array_equal(part.total, editor.total[:5])


def test_answers_of_neighbouring_pdfs_are_tried_alone(few):
    """In a series: without cutting where the starts are asked for."""
    pdf, elements, x = simulated("fluorite", "CeO2", 120)
    start = cb.Candidate(elements, x, "fluorite", "cut")
    metal = cb.Candidate(("Pt",) * len(x), x, "fcc", "library")
    found = cb.solve(
        pdf, generators=("neighbours",), starts=[start, metal], refine=1
    )
    assert found.settings["generators"] == "neighbours"
    assert {c.generator for c in found.candidates} == {"neighbours"}
    best = found.candidates[0]
    assert best.elements == tuple(elements) and best.rw < 0.02
    assert found.verdict.types == ("fluorite",)
    assert all(set(c.elements) == {"Ce", "O"} for c in found.candidates)
    # Without starts there is nothing but to cut.
    cuts = cb.solve(pdf, generators=("neighbours", "cut"), refine=0, count=4)
    assert {c.generator for c in cuts.candidates} == {"cut"}


def test_x_rays_and_neutrons_together(few):
    """One structure, each PDF with a scale and a Qdamp of its own."""
    elements, x = cut("fluorite", "CeO2", 80)
    dot = cb.Cluster(elements, x)
    pdfs = []
    for stype, qdamp in (("X", 0.04), ("N", 0.02)):
        (pdf,) = cb.simulate(
            [dot], stype=stype, qdamp=qdamp, qmin=0.9, rmax=18.0, biso=0.6
        )
        pdfs.append(dataclasses.replace(pdf, qdamp=None, composition="CeO2"))
    found = cb.solve(pdfs[0], together=pdfs[1], refine=2, count=6)
    best = found.candidates[0]
    assert best.structure_type == "fluorite" and len(best.rw_of_each) == 2
    mean = math.sqrt(np.mean(np.square(best.rw_of_each)))
    assert best.rw == pytest.approx(mean, rel=1e-6)
    assert found.refined[0].rw <= found.refined[1].rw
    assert abs(len(best) / len(dot) - 1) < 0.15
    values = {name: value for name, (value, _) in best.parameters.items()}
    assert {"qdamp", "qdamp_2", "scale_2"} <= set(values)
    assert found.atoms.low <= len(dot) <= found.atoms.high
    text = found.explain()
    assert "(neutrons)" in text and "not counted" in text
    assert "--distribution" not in text
    # Above this misfit the range is one that was counted on compounds.
    worse = dataclasses.replace(best, rw=0.1)
    text = dataclasses.replace(found, candidates=[worse]).explain()
    assert "held 90% of simulated powders of compounds" in text
    assert "not counted" not in text


def test_a_width_at_its_bound_is_told():
    """Platinum taken for its oxide: the oxygen is nowhere."""
    wide = dataclasses.replace(
        cb.Candidate(("Pt", "O"), np.eye(3)[:2], "fluorite"),
        at_bounds=(("O_Uiso", 0.1), ("qdamp", 0.06)),
    )
    (text,) = width_doubts(wide)
    assert "O 0.1 A^2" in text and "qdamp" not in text
    assert width_doubts(dataclasses.replace(wide, at_bounds=())) == []
