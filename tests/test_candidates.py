"""Polishing for users: candidates, flags, native recipes, `solve`."""

import threading

import numpy as np
import pytest
import torch
from test_front import ideal, off_centre, pdf_of

import diffpy_cbldm as cb
from diffpy_cbldm.crystals.alike import rmsd
from diffpy_cbldm.crystals.bonds import roughness
from diffpy_cbldm.fitting import moves
from diffpy_cbldm.polishing.candidates import edit
from diffpy_cbldm.threads import alone, side_by_side


def candidate(positions, kind="fcc"):
    return cb.Candidate(
        ("Pt",) * len(positions),
        positions,
        structure_type=kind,
        generator="mine",
    )


def test_the_front_of_an_off_centre_cut():
    truth = off_centre(70)
    pdf = pdf_of(truth, noise=0.01)
    found = cb.polish(candidate(ideal("fcc", 79)), pdf, kinds=("sites",))
    first, *edited = found
    assert first.edits == () and len(edited) > 0
    assert all(c.edits == ("sites",) for c in edited)
    assert all("from fcc with 79 atoms" in " ".join(c.flags) for c in edited)
    # From smooth to rough; the last one fits best.
    rough = [roughness(c.positions) for c in edited]
    assert rough == sorted(rough)
    assert edited[-1].rw < 0.02 < first.rw
    assert {c.generator for c in found} == {"mine"}
    value, esd = edited[-1].parameters["Pt_Uiso"]
    assert value > 0 and esd > 0 and edited[-1].results is not None


def test_strain_and_surface_are_variables_of_the_recipe():
    x = ideal("oct", 85)
    values = {"strain_xx": 0.008, "strain_xy": -0.005, "surface_1": -0.02}
    truth = moves.moved(x, values)
    found = cb.polish(candidate(x, "oct"), pdf_of(truth, noise=0.01))
    (end,) = (c for c in found if set(c.edits) == {"strain", "surface"})
    assert end.rw < found[0].rw and end.rw < 0.012
    assert rmsd(end.positions, truth) < 0.03
    value, esd = end.parameters["surface_1"]
    assert value == pytest.approx(-0.02, abs=0.006) and esd > 0
    assert {"strain_xx", "strain_yz"} <= set(end.parameters)
    assert end.structure_type == "oct"


@pytest.mark.parametrize(("size", "kept"), [(0.03, True), (0.07, False)])
def test_surface_shells_that_go_too_far_are_put_back(size, kept):
    x = ideal("oct", 85)
    pdf = pdf_of(moves.moved(x, {"surface_1": size}), noise=0.01)
    found = cb.polish(candidate(x, "oct"), pdf, kinds=("surface",))
    moved = [c for c in found if "surface" in c.edits]
    assert bool(moved) == kept
    for c in moved:
        value, esd = c.parameters["surface_1"]
        assert 2 * esd < abs(value) <= 0.04
        assert value == pytest.approx(size, abs=0.005)


def test_orbits_of_an_icosahedron_are_variables_of_the_recipe():
    x = ideal("ico", 55)
    values = {"orbit_1": -0.03, "orbit_3": 0.04}
    truth = moves.moved(x, values)
    found = cb.polish(
        candidate(x, "ico"), pdf_of(truth, noise=0.01), kinds=("orbits",)
    )
    (end,) = (c for c in found if c.edits)
    assert end.edits == ("orbits",) and end.structure_type == "ico"
    assert end.rw < 0.02 < found[0].rw
    assert rmsd(end.positions, truth) < 0.02
    # What is not determined was put back.
    for name, (value, esd) in end.parameters.items():
        if moves.kind_of(name) == "orbits":
            assert 2 * esd <= abs(value) <= 0.1


def test_a_right_structure_comes_back_alone():
    x = ideal("dec", 75)
    found = cb.polish(candidate(x, "dec"), pdf_of(x, noise=0.02))
    assert len(found) == 1 and found[0].edits == ()
    assert found[0].rw == pytest.approx(0.02, abs=0.01)


def test_edits_that_do_not_predict_are_refused(monkeypatch):
    import importlib

    module = importlib.import_module("diffpy_cbldm.polishing.candidates")
    monkeypatch.setattr(module, "predicted", lambda *a, **k: (0.10, 0.11))
    truth = off_centre(70)
    (only,) = cb.polish(candidate(ideal("fcc", 79)), pdf_of(truth))
    assert only.refused_edits == (0.10, 0.11)
    assert only.flags[-1] == (
        "polishing refused: Rw on r left out 0.1000, 0.1100 after edits"
    )
    assert only.edits == ()


def test_side_by_side_gives_what_each_gives_alone():
    cut = off_centre(70)
    pdf = pdf_of(cut)
    starts = cb.propose(pdf, count=3, generators=("library",))

    def job(start):
        found = edit(start, pdf, kinds=("sites",)).found
        return [(p.rw, p.positions.tolist()) for p in found]

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        alone = [job(start) for start in starts]
        torch.set_num_threads(2)
        assert side_by_side(job, starts) == alone
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)


def test_one_of_several_processes_works_in_one_thread():
    def where(_):
        return threading.current_thread()

    with alone():
        here = {*side_by_side(where, range(4))}
    assert here == {threading.main_thread()}


def test_side_by_side_passes_errors_on():
    def fails(number):
        raise cb.CbldmError(f"{number} is wrong.")

    with pytest.raises(cb.CbldmError, match="1 is wrong"):
        side_by_side(fails, [1, 2])


def test_solve_polishes_and_says_so():
    truth = off_centre(60)
    pdf = pdf_of(truth, noise=0.01)
    words = {"generators": ("library",), "count": 8, "refine": 2}
    plain = cb.solve(pdf, polish=False, **words)
    assert plain.front == () and not any(c.edits for c in plain.candidates)
    sol = cb.solve(pdf, **words)
    best = sol.candidates[0]
    assert "sites" in best.edits
    assert best.rw < 0.5 * plain.candidates[0].rw
    assert abs(len(best) - 60) <= 3
    assert sum(p.knee for p in sol.front) == 1
    rw = [p.rw for p in sol.front]
    rough = [p.roughness for p in sol.front]
    assert rough == sorted(rough) and len(rw) >= 2
    members = [i for g in sol.groups for i in g.members]
    assert sorted(members) == list(range(len(sol.refined)))
    text = sol.explain()
    assert "The best without edits is" in text
    assert sol.atoms.low <= 60 <= sol.atoms.high <= 80
    assert f"The particle has {sol.atoms}" in text
    # What is not explained without edits has the range of powders.
    assert plain.atoms.low <= 60 <= plain.atoms.high
    again = cb.solve(pdf, **words)
    assert np.array_equal(again.candidates[0].positions, best.positions)
