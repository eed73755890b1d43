"""Several PDFs of one sample: one structure, a contribution each."""

import dataclasses
import functools
import json
import pathlib

import numpy as np
import pytest
from ase.cluster import Octahedron

import diffpy_cbldm as cb
from diffpy_cbldm.commands import cbldm
from diffpy_cbldm.errors import CbldmError
from diffpy_cbldm.fitting.target import Target
from diffpy_cbldm.fitting.together import with_others
from diffpy_cbldm.fitting.uncertainties import Results
from diffpy_cbldm.output.tables import table as output_table
from diffpy_cbldm.pdfdata import write_gr
from diffpy_cbldm.renames import modern
from diffpy_cbldm.solving.compositions import others_as_asked
from tests.test_mixed_pairs import ceria

BISO = 0.4
UISO = BISO / (8 * np.pi**2)


def measured(cluster, stype, noise=0.01, **conditions):
    """A simulated PDF with noise, of unknown Qdamp."""
    known = {"biso": BISO, "delta2": 2.0, "qmin": 0.8, "qmax": 22.0}
    (pdf,) = cb.simulate([cluster], stype=stype, **known | conditions)
    scatter = np.random.default_rng(ord(stype)).normal(size=len(pdf.g))
    return dataclasses.replace(
        pdf, g=pdf.g + noise * np.abs(pdf.g).max() * scatter, qdamp=None
    )


@functools.cache
def dot():
    x, symbols = ceria(6.0)
    return cb.Cluster(symbols, x)


@functools.cache
def both():
    """PDFs of X-rays and of neutrons of one ceria dot."""
    return measured(dot(), "X", qdamp=0.04), measured(dot(), "N", qdamp=0.02)


def test_the_recipe_is_native_with_one_structure():
    x_rays, neutrons = both()
    recipe = cb.make_recipe(dot(), x_rays, together=neutrons)
    names = ["s1", "zoomscale", "Ce_Uiso", "O_Uiso", "CeO_Delta2", "qdamp"]
    assert list(modern(recipe).get_names()) == [*names, "s2", "qdamp_2"]
    assert recipe.cluster.G1.phase is recipe.cluster_2.G2.phase
    assert recipe.cluster_2.G2.get_scattering_type() == "N"
    # Each curve is that of a recipe of its own.
    values = {"O_Uiso": 0.02, "CeO_Delta2": 1.5, "zoomscale": 1.01}
    alone = {
        k: cb.make_recipe(dot(), pdf, start=values | {"s1": 0.9, "qdamp": q})
        for k, pdf, q in ((1, x_rays, 0.05), (2, neutrons, 0.015))
    }
    start = values | {"s1": 0.9, "s2": 0.9, "qdamp": 0.05, "qdamp_2": 0.015}
    recipe = cb.make_recipe(dot(), x_rays, start=start, together=[neutrons])
    recipe.residual()
    for k, con in ((1, recipe.cluster), (2, recipe.cluster_2)):
        alone[k].residual()
        expected = alone[k].cluster.profile.ycalc
        assert con.profile.ycalc == pytest.approx(expected, abs=1e-9)


def test_what_is_minimised_is_the_weighted_sum_of_rw_squared():
    x_rays, neutrons = both()
    known = {"O_Uiso": 0.01, "s1": 0.8, "s2": 1.2}
    sums, rws = [], []
    for weight in (1.0, 0.25):
        recipe = cb.make_recipe(
            dot(), x_rays, start=known, together=[(neutrons, weight)]
        )
        sums.append(float(np.sum(recipe.residual() ** 2)))
        rws = [
            float(np.sum((p.y - p.ycalc) ** 2) / np.sum(p.y**2))
            for p in (recipe.cluster.profile, recipe.cluster_2.profile)
        ]
    size = np.sum(recipe.cluster.profile.y**2)
    assert sums[0] == pytest.approx(size * (rws[0] + rws[1]))
    assert sums[1] == pytest.approx(size * (rws[0] + 0.25 * rws[1]))


def test_neutrons_tell_the_oxygen():
    x_rays, neutrons = both()
    alone = cb.refine(dot(), x_rays, heldout=False)
    one = cb.refine(dot(), x_rays, together=neutrons)
    assert one.parameters["O_Uiso"][1] < 0.3 * alone.parameters["O_Uiso"][1]
    recipe = cb.make_recipe(one, x_rays, together=neutrons, start="refined")
    for name, own in (("s2", "scale_2"), ("qdamp_2", "qdamp_2")):
        assert getattr(recipe, name).value == one.parameters[own][0]
    for name in ("Ce_Uiso", "O_Uiso"):
        value, esd = one.parameters[name]
        assert abs(value - UISO) < 4 * esd
    for name, truth in (("qdamp", 0.04), ("qdamp_2", 0.02), ("scale_2", 1.0)):
        value, esd = one.parameters[name]
        assert abs(value - truth) < 4 * esd
    assert one.rw == pytest.approx(np.sqrt(np.mean(np.square(one.rw_of_each))))
    assert one.rw_of_each[0] == pytest.approx(alone.rw, rel=0.01)
    # FitResults say the same, with what was minimised.
    results = one.results
    assert results.rw == pytest.approx(one.rw)
    assert results.chi2 == pytest.approx(results.residual)
    assert list(results.conresults) == ["cluster", "cluster_2"]
    again = Results.from_dict(results.as_dict())
    assert again.rw == results.rw and again.cov == pytest.approx(results.cov)


def test_the_uncertainty_of_a_light_element_is_that_of_its_scatter():
    """Steps that are short beside the jumps of the Q grid tell too little."""
    clean = measured(dot(), "X", 0.0, qdamp=0.04, biso=1.2)
    off = []
    for seed in range(6):
        scatter = np.random.default_rng(seed).normal(size=len(clean.g))
        noisy = clean.g + 0.02 * np.abs(clean.g).max() * scatter
        pdf = dataclasses.replace(clean, g=noisy)
        one = cb.refine(dot(), pdf, heldout=False)
        value, esd = one.parameters["O_Uiso"]
        off.append((value - 3 * UISO) / esd)
    assert 0.3 < np.sqrt(np.mean(np.square(off))) < 1.8


def test_weights_go_from_one_pdf_to_the_other():
    x_rays, neutrons = both()
    options = {"heldout": False}
    ends = [cb.refine(dot(), pdf, **options) for pdf in both()]
    for weight, end in ((1e-6, ends[0]), (1e6, ends[1])):
        one = cb.refine(
            dot(), x_rays, together=[(neutrons, weight)], **options
        )
        for name in ("zoomscale", "Ce_Uiso", "O_Uiso", "delta2"):
            assert one.parameters[name][0] == pytest.approx(
                end.parameters[name][0], rel=2e-3
            )


def test_one_element_and_dg():
    """Two sets of one metal, one with dG; uncertainties fit the errors."""
    nickel = cb.Cluster("Ni", Octahedron("Ni", 5, cutoff=1).positions)
    x_rays, neutrons = (
        measured(nickel, stype, 0.02, qdamp=q)
        for stype, q in (("X", 0.04), ("N", 0.02))
    )
    dg = np.full(len(neutrons.r), 0.02 * np.abs(neutrons.g).max())
    neutrons = dataclasses.replace(neutrons, dg=dg)
    one = cb.refine(nickel, x_rays, together=neutrons)
    truth = {"scale": 1, "scale_2": 1, "zoomscale": 1, "Ni_Uiso": UISO}
    truth |= {"delta2": 2, "qdamp": 0.04, "qdamp_2": 0.02}
    assert one.parameters.keys() == truth.keys()
    off = [
        (one.parameters[name][0] - true) / one.parameters[name][1]
        for name, true in truth.items()
    ]
    assert 0.3 < np.sqrt(np.mean(np.square(off))) < 2
    assert 0.9 < one.rw_heldout < 1.1  # noise alone beyond 20 A
    # Moves of the atoms are shared as well.
    moved = cb.refine(
        nickel, x_rays, together=neutrons, moves=("surface",), heldout=False
    )
    value, esd = moved.parameters["surface_1"]
    assert abs(value) < 4 * esd


def test_ranges_of_all_are_cut():
    target = with_others(Target.of(both()[0], 2.0, 25.0), both()[1])
    (other,) = target.together
    assert (other.rmin, other.rmax, other.stype) == (2.0, 25.0, "N")
    assert other.qdamp_range == (0.01, 0.03)
    short = target.with_rmax(12.0)
    assert short.together[0].rmax == 12.0
    assert target.with_qmin(1.0).together == target.together


def test_errors():
    x_rays, neutrons = both()
    with pytest.raises(CbldmError, match="weight of a PDF is 0"):
        cb.refine(dot(), x_rays, together=[(neutrons, 0.0)])
    other = dataclasses.replace(neutrons, composition="CeS2")
    with pytest.raises(CbldmError, match="'CeO2' and 'CeS2' differ"):
        cb.refine(
            dot(),
            dataclasses.replace(x_rays, composition="CeO2"),
            together=other,
        )
    with pytest.raises(CbldmError, match="expected"):
        cb.refine(dot(), x_rays, together=["neutron.gr"])


# ------------------------------------------------------- the main job

SHORT = {"generators": "library", "count": 8, "refine": 4, "polish": False}


@functools.cache
def test_a_sublattice_is_that_of_all_pdfs():
    x_rays, neutrons = both()
    (found,) = others_as_asked([(neutrons, 0.5)], "Ce")
    assert found[0].composition == "Ce" and found[1] == 0.5
    assert others_as_asked(neutrons, None) == [(neutrons, 1.0)]
    made = cb.solve(
        x_rays,
        sublattice="Ce",
        together=neutrons,
        generators="library",
        count=2,
        refine=0,
        polish=False,
    )
    assert [p.composition for p in (made.pdf, *made.together)] == ["Ce"] * 2


def nickel(edge, cutoff):
    """PDFs of X-rays and of neutrons of a truncated octahedron."""
    cluster = cb.Cluster("Ni", Octahedron("Ni", edge, cutoff).positions)
    return tuple(
        dataclasses.replace(
            measured(cluster, stype, 0.02, qdamp=0.03),
            composition="Ni",
            qdamp=0.03,
        )
        for stype in ("X", "N")
    )


def test_candidates_are_ranked_by_all_pdfs():
    """X-rays of 79 atoms and neutrons of 55: what counts more comes first."""
    x_rays, neutrons = nickel(5, 1)[0], nickel(5, 2)[1]
    first = {}
    for weight in (0.05, 20.0):
        solution = cb.solve(
            x_rays,
            together=[(neutrons, weight)],
            rmax=12.0,
            **SHORT | {"refine": 8},
        )
        refined = solution.refined
        assert [c.rw for c in refined] == sorted(c.rw for c in refined)
        for c in refined:
            one, other = c.rw_of_each
            mean = (one**2 + weight * other**2) / (1 + weight)
            assert c.rw == pytest.approx(np.sqrt(mean))
        first[weight] = len(refined[0])
    assert first[0.05] == 79 and first[20.0] < 79


def test_sizes_are_those_of_the_first_pdf():
    cluster = cb.Cluster("Ni", Octahedron("Ni", 7, 2).positions)
    x_rays = measured(cluster, "X", 0.02, qdamp=0.03)
    x_rays = dataclasses.replace(x_rays, composition="Ni", qdamp=0.03)
    neutrons = measured(cluster, "N", 0.02, qdamp=0.03)
    alone = Target.of(x_rays, 2.0, 15.0)
    both = with_others(alone, neutrons)
    found = [cb.size_distribution(cluster, target) for target in (alone, both)]
    assert found[0] == found[1]


def test_a_solution_tells_rw_of_each():
    x_rays, neutrons = nickel(5, 1)
    solution = cb.solve(x_rays, together=neutrons, **SHORT)
    best = solution.candidates[0]
    assert len(best) == 79 and solution.together == (neutrons,)
    assert solution.settings["together"] == ("simulated Ni79",)
    one, other = best.rw_of_each
    text = f"{one:.3f} (X-rays), {other:.3f} (neutrons)"
    assert text in solution.explain()
    table = solution.to_dataframe()
    assert (table["rw_1"][1], table["rw_2"][1]) == (one, other)
    assert "Rw 2" in output_table(solution).splitlines()[0]
    again = cb.Solution.from_dict(solution.as_dict())
    assert again.together[0].stype == "N"
    assert again.candidates[0].rw_of_each == best.rw_of_each


def test_the_command_takes_other_pdfs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name, pdf in zip("xn", nickel(5, 1), strict=True):
        write_gr(f"{name}.gr", pdf)
    words = "--generators library --refine 2 --polish no -n 4 -t res,html"
    assert cbldm.main(["x.gr", "--with", "n.gr:0.25", *words.split()]) == 0
    out = capsys.readouterr().out
    assert "Rw 2" in out and "(neutrons)" in out
    content = json.loads(pathlib.Path("x.res").read_text())
    assert content["settings"]["together"] == ["n.gr:0.25"]
    assert "--together n.gr:0.25" in pathlib.Path("x.html").read_text()
    # The result repeats the run.
    again = ["-c", "x.res", "-t", "none", "--quiet"]
    assert cbldm.main(again) == 0
    assert cbldm.main(["x.gr", "--with", "missing.gr"]) == 1
    assert "missing.gr" in capsys.readouterr().err
