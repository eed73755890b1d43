"""`solve`: what is refined, how it is ranked, and when it says it doubts."""

import dataclasses
import inspect
import types

import numpy as np
import pytest

import diffpy_cbldm as cb
from diffpy_cbldm import settings, threads
from diffpy_cbldm.fitting.quickfit import QuickFit
from diffpy_cbldm.polishing.candidates import Front
from diffpy_cbldm.solving import polish_stage, ranking, two_cores
from diffpy_cbldm.solving.polish_stage import without_copies

R = np.arange(0, 30, 0.01)
RNG = np.random.default_rng(1)


def a_pdf(composition="Pt", reach=12.0):
    # A wave with its first peak beyond 2 A at the bond of platinum.
    g = np.where((reach > R) & (R > 2), np.sin(2.83 * R), 0.0)
    return cb.PDFData(
        R, g, composition=composition, qmin=1.0, qmax=22.0, stype="X"
    )


def a_candidate(generator, n=6, **more):
    """A row of atoms, 2.6 A apart; each one a little different."""
    x = np.outer(np.arange(n), (2.6, 0, 0)) + RNG.normal(0, 1e-3, (n, 3))
    more = {"structure_type": "fcc", "rw_raw": 0.5} | more
    return cb.Candidate("Pt", x, generator=generator, **more)


class World:
    """Rooms below `solve` replaced by what a test wants them to say."""

    def __init__(self, monkeypatch):
        self.pool, self.quick, self.refined = {}, {}, {}
        self.calls = []
        for module, *names in (
            (two_cores, "propose", "refine"),
            (ranking, "quick_fit", "duplicates"),
            (polish_stage, "duplicates", "edit"),
        ):
            for name in names:
                monkeypatch.setattr(module, name, getattr(self, name))

    def add(self, generator, quick, rw=None, **more):
        candidate = a_candidate(generator, **more)
        self.pool.setdefault(generator, []).append(candidate)
        key = candidate.positions.tobytes()
        self.quick[key], self.refined[key] = quick, rw
        return candidate

    def propose(self, pdf, *, generators, **more):
        self.calls.append(("propose", generators, more))
        return self.pool.get(generators[0], [])

    def quick_fit(self, positions, target, *, scan):
        self.calls.append(("quick_fit", scan, target))
        assert (np.diff(target.r) > 0).all()
        assert len(target.r) == len(target.g)
        return [
            QuickFit(self.quick[x.tobytes()], 1.0, 1.01, 0.01, 3.0, 0.03)
            for x in positions
        ]

    def duplicates(self, positions, stretch):
        groups = {}
        for i, x in enumerate(positions):
            groups.setdefault(x.tobytes(), []).append(i)
        return list(groups.values())

    def edit(self, candidate, pdf, **more):
        """Edits that do not hold on r left out."""
        self.calls.append(("edit", candidate, more))
        as_fitted = types.SimpleNamespace(
            positions=candidate.positions, criterion=0.0, rw=0.01
        )
        return Front(candidate, (as_fitted,), (0.1, 0.2))

    def refine(self, candidate, pdf, **more):
        self.calls.append(("refine", candidate, more))
        rw = self.refined[candidate.positions.tobytes()]
        return dataclasses.replace(
            candidate, rw=rw, parameters={"scale": (1.0, 0.1)}
        )


@pytest.fixture
def world(monkeypatch):
    # A copy of the process would keep the calls to itself.
    with threads.cores(1):
        yield World(monkeypatch)


def test_ranking(world):
    world.add("cbldm", 0.20, 0.19)
    world.add("cbldm", 0.30)
    world.add("library", 0.21, 0.15)
    world.add("library", 0.25)
    said = []
    sol = cb.solve(
        a_pdf(), refine=2, count=7, progress=lambda *a: said.append(a)
    )
    assert [c.rw for c in sol.candidates] == [0.15, 0.19, None, None]
    assert sol.rw_quick == [0.21, 0.20, 0.25, 0.30]
    assert [c.generator for c in sol.refined] == ["library", "cbldm"]
    assert sol.settings["count"] == 7
    assert sol.settings["composition"] == "Pt"
    assert sol.settings["qmax"] == 22.0
    assert sol.settings["rmax"] == pytest.approx(29.99)  # where the data end
    assert {"propose (cbldm)", "quick fit", "refine", "total"} <= set(
        sol.timings
    )
    starts = [m["start"] for what, _, m in world.calls if what == "refine"]
    assert starts[0] == {
        "zoomscale": 1.01,
        "Pt_Uiso": 0.01,
        "Pt_Delta2": 3.0,
        "qdamp": 0.03,
    }
    done = [d for _, d, _ in said]
    assert done == sorted(done) and said[-1][1] == said[-1][2]


def test_each_generator_is_refined_at_least_once(world):
    for i in range(5):
        world.add("library", 0.1 + i / 100, 0.1 + i / 100)
        world.add("cbldm", 0.5 + i / 100, 0.5)
    sol = cb.solve(a_pdf(), refine=3)
    assert [c.generator for c in sol.refined] == ["library"] * 2 + ["cbldm"]
    assert sol.rw_quick[2] == 0.5
    only = cb.solve(a_pdf(), refine=1)
    assert [c.generator for c in only.refined] == ["library"]


def test_duplicates_name_both_generators(world):
    first = world.add("cbldm", 0.2, 0.2)
    world.pool["library"] = [dataclasses.replace(first, generator="library")]
    world.add("library", 0.3, 0.3)
    sol = cb.solve(a_pdf(), refine=1)
    assert len(sol.candidates) == 2
    assert sol.candidates[0].generator == "cbldm"
    assert sol.candidates[0].flags == ("also proposed by library",)
    assert not any("came from" in w for w in sol.warnings)


def test_a_curve_that_cannot_be_fitted_comes_last(world):
    world.add("library", float("nan"), None)
    world.add("library", 0.4, 0.4)
    world.pool["cbldm"] = []
    sol = cb.solve(a_pdf(), refine=1)
    assert sol.rw_quick[0] == 0.4
    assert any("cbldm proposed nothing" in w for w in sol.warnings)


def test_without_refinement(world):
    world.add("library", 0.4)
    sol = cb.solve(a_pdf(), refine=0, generators=("library",))
    assert sol.refined == []
    assert "None was refined" in sol.explain()


@pytest.mark.parametrize(("name", "tries"), [("library", 1), ("mine", 11)])
def test_stretches_are_tried_for_others_generators(world, name, tries):
    """Those of our own have the bond length of the PDF."""
    world.add(name, 0.4, 0.3)
    cb.solve(a_pdf(), generators=(name,), polish=False)
    (scan,) = (a for what, a, _ in world.calls if what == "quick_fit")
    assert len(scan) == tries and 0.0 in scan


def test_no_candidate_at_all(world):
    with pytest.raises(cb.CbldmError, match="library"):
        cb.solve(a_pdf(), generators=("cbldm",))


def test_doubts(world):
    world.add("library", 0.4, 0.35, n=250)
    world.add("cbldm", 0.5, 0.45)
    sol = cb.solve(a_pdf(reach=25.0))
    text = "\n".join(sol.warnings)
    assert "best Rw is 0.350" in text and "one element, 5 to 10000" in text
    assert "limit of" not in text  # the library goes on beyond 250 atoms
    assert "came from library" in text and "Rw 0.450 at best" in text
    assert text in sol.explain().replace("Warning: ", "")
    assert "Warning" not in sol.explain(warnings=False)
    assert sol.atoms.doubted and "not like them" in sol.explain()


def test_doubts_where_only_small_particles_were_proposed(world):
    world.add("other", 0.4, 0.35, n=250)
    sol = cb.solve(a_pdf(reach=25.0), generators="other")
    text = "\n".join(sol.warnings)
    assert "one element, 5 to 256" in text
    assert "signal beyond 18.2 A" in text
    assert "250 atoms, at the limit of 256" in text


def test_doubts_about_a_misfit_that_is_no_noise(world):
    flag = "uneven misfit: half of it from 1.5 to 4.0 A"
    world.add("cbldm", 0.094, 0.094, flags=(flag,))
    (text,) = cb.solve(a_pdf(reach=12.0), generators="cbldm").warnings
    assert "no noise, half of it from 1.5 to 4.0 A:" in text


def test_more_atoms_than_generators_propose(world):
    """Polishing adds atoms."""
    world.add("other", 0.09, 0.09, n=300)
    (text,) = cb.solve(a_pdf(reach=12.0), generators="other").warnings
    assert "300 atoms, beyond the limit of 256" in text


def test_no_doubts(world):
    world.add("library", 0.1, 0.095)
    world.add("cbldm", 0.09, 0.09)
    world.add("screen", 0.12, 0.115)
    sol = cb.solve(a_pdf(reach=12.0))
    assert sol.warnings == () and not sol.atoms.doubted
    text = sol.explain()
    assert "not like them" not in text
    assert "The best is fcc with 6 atoms from cbldm: Rw 0.090" in text
    assert (
        "Best Rw by generator: cbldm 0.090, library 0.095, screen 0.115"
        in (text)
    )


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ({"polish": ("atoms",)}, "kinds of edits are"),
        ({"roughness": 0.5}, "roughness is 0.5"),
        ({"count": 0}, "count is 0"),
        ({"rmin": 31.0}, "rmin is 31"),
        ({"rmax": 1.2}, "rmin is 1.5"),
        ({"device": "abacus"}, "device"),
        ({"backend": "abacus"}, "backend"),
        ({"seed": -1}, "seed"),
    ],
)
def test_bad_settings(world, words, text):
    with pytest.raises(cb.CbldmError, match=text):
        cb.solve(a_pdf(), **words)
    assert world.calls == []


@pytest.mark.parametrize("composition", ["CdSe:Mn", None])
def test_one_element_only(world, composition):
    with pytest.raises(cb.CbldmError, match="one element|an element"):
        cb.solve(a_pdf(composition=composition))
    assert world.calls == []


def test_generators_as_text(world):
    world.add("library", 0.4, 0.4)
    sol = cb.solve(a_pdf(), generators="library", refine=1)
    assert sol.settings["generators"] == "library"


def test_the_defaults_are_those_of_the_settings():
    known = inspect.signature(cb.solve).parameters
    table = settings.Solve()
    for field in dataclasses.fields(table):
        default = known[field.name].default
        if field.name == "generators":
            default = ",".join(default)
        if isinstance(default, bool):
            default = "yes" if default else "no"
        assert default == getattr(table, field.name)


def test_a_simulated_particle_is_found():
    """The real rooms: a 55-atom cuboctahedron from its PDF."""
    axis = np.arange(-4, 5)
    x = np.stack(np.meshgrid(axis, axis, axis), axis=-1).reshape(-1, 3)
    x = x[(x.sum(1) % 2 == 0) & (abs(x).max(1) <= 2) & (abs(x).sum(1) <= 4)]
    assert len(x) == 55
    cluster = cb.Cluster("Au", x * 2.88 / 2**0.5)
    (pdf,) = cb.simulate([cluster], qmin=0.8, qmax=24.0, qdamp=0.03)
    sol = cb.solve(pdf, count=4, refine=2)
    best = sol.candidates[0]
    assert len(best.positions) == 55
    assert best.rw < 0.02
    assert {c.generator for c in sol.candidates} >= {"library"}
    value, esd = best.parameters["zoomscale"]
    assert 0.9 < value < 1.1 and esd > 0
    again = cb.solve(pdf, count=4, refine=1)
    assert np.array_equal(again.candidates[0].positions, best.positions)


def test_an_edit_that_changes_nothing_is_left_out():
    axis = np.arange(3) * 2.8
    x = np.stack(np.meshgrid(axis, axis, axis), -1).reshape(-1, 3)
    plain = cb.Candidate("Pt", x)
    same = cb.Candidate("Pt", x * 1.0001, flags=("polished: strain",))
    other = cb.Candidate("Pt", x[:-1], flags=("polished: sites",))
    edited = [(same, 0.1), (other, 0.1), (other, 0.2)]
    assert without_copies(edited, [plain]) == edited[1:]
