"""The benchmark that compares the answers of two builds."""

import copy
import json
import shutil
import subprocess
import sys

import numpy as np
import pytest

import diffpy_cbldm as cb
from tests.benchmarks import builds, one_answer, simulated_cases
from tests.benchmarks.same_answers import (
    TOLERANCE,
    _reason,
    cases,
    compare,
    kept,
    reason_for,
)

BUILD = builds.Build("old", sys.executable, builds.ROOT / builds.PACKAGE)


@pytest.fixture
def answer():
    """Two refined candidates and one that is not, written by hand."""
    places = np.arange(12.0).reshape(4, 3)
    one = {
        "generator": "library",
        "type": "fcc",
        "n_atoms": 4,
        "positions": places.tolist(),
        "rw_raw": 0.3,
        "rw_quick": 0.2,
        "rw": 0.11,
        "rw_heldout": 0.15,
        "edits": [],
    }
    edited = one | {"generator": "screen", "rw": 0.12, "edits": ["sites"]}
    rest = one | {"type": "dec", "rw": None, "rw_heldout": None}
    point = {
        "generator": "library",
        "type": "fcc",
        "n_atoms": 4,
        "rw": 0.11,
        "roughness": 15.0,
        "edits": [],
        "knee": True,
    }
    return {
        "candidates": [one, edited, rest],
        "front": [point],
        "atoms": {"atoms": 4, "low": 3, "high": 5},
        "warnings": ["Qdamp is assumed."],
    }


def changed(answer, index, **values):
    """The answer with another candidate at an index."""
    new = copy.deepcopy(answer)
    new["candidates"][index].update(values)
    return new


def parts(old, new):
    return [part for part, _ in compare(old, new).differences]


def moved(answer, by):
    places = np.array(answer["candidates"][0]["positions"])
    places[:, 0] += by
    return changed(answer, 0, positions=places.tolist())


def test_equal_answers_agree(answer):
    found = compare(answer, json.loads(json.dumps(answer)))
    assert found.differences == []
    assert found.moved == found.rw == {"refined": 0.0, "others": 0.0}


def test_atoms_may_move_by_the_tolerance_alone(answer):
    near = compare(answer, moved(answer, 0.5 * TOLERANCE))
    assert near.differences == []
    assert near.moved["refined"] == pytest.approx(0.5 * TOLERANCE)
    far = compare(answer, moved(answer, 3e-6))
    assert far.moved["refined"] == pytest.approx(3e-6)
    ((part, text),) = far.differences
    assert part == "refined" and text.startswith("1: fcc 4 (library")


@pytest.mark.parametrize("key", ["rw_raw", "rw_quick", "rw", "rw_heldout"])
def test_each_rw_counts(answer, key):
    old = answer["candidates"][1][key]
    assert parts(answer, changed(answer, 1, **{key: old + 9e-7})) == []
    new = changed(answer, 1, **{key: old + 2e-6})
    assert parts(answer, new) == ["refined"]
    assert compare(answer, new).rw["refined"] == pytest.approx(2e-6)
    assert parts(answer, changed(answer, 1, **{key: float("nan")})) != []


@pytest.mark.parametrize(
    "values",
    [
        {"type": "hcp"},
        {"generator": "cbldm"},
        {"edits": ["sites"]},
        {"rw_heldout": None},
        {"n_atoms": 3, "positions": [[0, 0, 0], [0, 0, 3], [0, 3, 0]]},
    ],
)
def test_another_structure_is_no_small_difference(answer, values):
    found = compare(answer, changed(answer, 0, **values))
    assert [part for part, _ in found.differences] == ["refined"]
    assert found.rw["refined"] == float("inf")


def test_order_and_number_count(answer):
    new = copy.deepcopy(answer)
    new["candidates"][:2] = new["candidates"][1::-1]
    assert parts(answer, new) == ["refined", "refined"]
    new = copy.deepcopy(answer)
    del new["candidates"][1]
    ((part, text),) = compare(answer, new).differences
    assert (part, text) == ("refined", "2 candidates became 1")
    new = changed(answer, 2, type="ico")
    assert parts(answer, new) == ["others"]


def test_front_atoms_and_warnings_count(answer):
    new = copy.deepcopy(answer)
    new["front"][0]["knee"] = False
    new["atoms"]["high"] = 6
    new["warnings"] = []
    assert parts(answer, new) == ["front", "atoms", "warnings"]
    new = copy.deepcopy(answer)
    new["front"][0]["rw"] += 2e-6
    assert parts(answer, new) == ["front"]


def test_a_reason_allows_what_it_names():
    allowed = dict(map(_reason, ["Pt13=exact fit", "*/warnings=new words"]))
    assert reason_for("Pt13", "refined", allowed) == "exact fit"
    assert reason_for("Au27", "warnings", allowed) == "new words"
    assert reason_for("Au27", "refined", allowed) is None
    with pytest.raises(Exception, match="expected NAME=REASON"):
        _reason("Pt13=")


def test_what_a_real_solution_is_written_as():
    pdf = simulated_cases.pdf("Au27")
    solution = cb.solve(
        pdf, count=2, refine=1, generators="library", polish=("sites",)
    )
    written = json.loads(json.dumps(one_answer.answer_of(solution)))
    assert compare(written, written).differences == []
    first = written["candidates"][0]
    assert first["n_atoms"] == len(first["positions"])
    assert first["rw"] == solution.candidates[0].rw
    assert len(written["front"]) == len(solution.front) > 0


def test_simulated_cases_are_fixed_and_as_told(tmp_path):
    names = ["Au27", "W169"]
    written = cases(tmp_path, tmp_path, names)
    for case in written:
        recipe = simulated_cases.RECIPES[case.name]
        pdf = cb.read_pdf(case.path)
        assert ("qdamp" in pdf.known) == recipe.told
        assert (pdf.qmin, pdf.qmax) == (recipe.qmin, recipe.qmax)
        again = simulated_cases.pdf(case.name).g
        assert np.allclose(pdf.g, again, rtol=1e-9, atol=1e-12)
    first = written[0].content
    # A comparison never changes what both builds read.
    written[0].path.write_text(written[0].path.read_text() + "\n")
    assert cases(tmp_path, tmp_path, names)[0].content != first
    with pytest.raises(cb.CbldmError, match="unknown cases Au28"):
        cases(tmp_path, tmp_path, ["Au28"])


def test_answers_are_kept_for_the_same_numbers_alone(tmp_path, monkeypatch):
    runs = []

    def run(self, script, pdf, output, *rest):
        runs.append(pdf)
        output.write_text("{}")

    monkeypatch.setattr(builds.Build, "run", run)
    (case,) = cases(tmp_path, tmp_path, ["Au27"])
    assert kept(BUILD, case, tmp_path) == kept(BUILD, case, tmp_path)
    assert len(runs) == 1
    case.path.write_text(case.path.read_text() + "\n")
    kept(BUILD, case, tmp_path)
    assert len(runs) == 2


def test_a_changed_package_is_seen(tmp_path):
    package = tmp_path / "package"
    package.mkdir()
    for name in ("__init__", "same", "more", "other"):
        (package / f"{name}.py").write_text(name)
    files = builds._modules(package)
    assert builds.differing(package, files) == []
    (package / "other.py").write_text("changed")
    (package / "more.py").unlink()
    (package / "new.py").write_text("")
    assert builds.differing(package, files) == [
        "more.py",
        "new.py",
        "other.py",
    ]


@pytest.mark.skipif(
    shutil.which("git") is None or not (builds.ROOT / ".git").exists(),
    reason="no checkout",
)
def test_git_names_files_as_we_do(tmp_path):
    ours = builds._modules(builds.ROOT / builds.PACKAGE)
    words = ["git", "hash-object", f"{builds.PACKAGE}/__init__.py"]
    named = subprocess.run(
        words, cwd=builds.ROOT, capture_output=True, text=True, check=True
    )
    assert ours["__init__.py"] == named.stdout.strip()
    assert "__init__.py" in builds._files_of("HEAD")
    with pytest.raises(cb.CbldmError, match="expected 0"):
        builds.of_commit("no-such-commit", tmp_path)


def test_scripts_run_far_from_other_copies(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    script = tmp_path / "script.py"
    script.write_text("import os, sys; print(os.getcwd(), sys.path)")
    printed = BUILD.run(script)
    assert str(tmp_path) not in printed and printed.startswith("/ ")
    script.write_text("raise SystemExit('too bad')")
    with pytest.raises(cb.CbldmError, match="too bad"):
        BUILD.run(script)
