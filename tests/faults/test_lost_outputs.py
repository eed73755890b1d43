"""Results survive their outputs: the table first, each output by itself."""

import dataclasses
import json
import math
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

import diffpy_cbldm as cb
from diffpy_cbldm import settings
from diffpy_cbldm.commands import cbldm, cbldm_simulate
from diffpy_cbldm.output import database, writers
from diffpy_cbldm.solving.solution import Solution

ROOT = pathlib.Path(__file__).resolve().parents[2]


def solution_of(pdf, n=2, **_):
    """What a search might return, without one."""
    candidates = [
        cb.Candidate(
            "Pt",
            np.eye(3) * (2.5 + k),
            structure_type="fcc",
            generator="library",
            rw_raw=0.3,
            rw=0.1 + k / 10,
            rw_heldout=math.nan,
            parameters={"scale": (1.0, 0.01)},
        )
        for k in range(n)
    ]
    return Solution(
        candidates=candidates,
        rw_quick=[0.1] * n,
        settings={
            **dataclasses.asdict(settings.Reading("Pt", 0.7, 25.0)),
            **dataclasses.asdict(settings.Solve(rmax=30.0)),
            "backend": "torch",
        },
        timings={"total": 1.0},
        warnings=(),
        pdf=pdf,
    )


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cb, "solve", solution_of)
    measured("a.gr")
    return tmp_path


def measured(name):
    r = np.arange(1.5, 10, 0.02)
    rows = "\n".join(f"{x:.2f} {np.sin(3 * x):.5f}" for x in r)
    pathlib.Path(name).write_text(f"# composition = Pt\n{rows}\n")
    return name


def names(folder="."):
    return sorted(p.name for p in pathlib.Path(folder).iterdir())


def test_the_table_comes_before_the_outputs(capfd, monkeypatch):
    def write(*_):
        out = capfd.readouterr().out
        assert "rank" in out and "library" in out
        return writers.Written([], [])

    monkeypatch.setattr(writers, "write", write)
    assert cbldm.main(["a.gr", "-t", "res"]) == 0


def test_a_fault_in_the_words_does_not_lose_the_files(capfd, monkeypatch):
    def broken(self, **options):
        raise RuntimeError("no words")

    monkeypatch.setattr(Solution, "explain", broken)
    assert cbldm.main(["a.gr", "-t", "res"]) == 2
    out, err = capfd.readouterr()
    assert "rank" in out and "RuntimeError: no words" in err
    assert names() == ["a.gr", "a.res"]


@pytest.mark.parametrize("error", [OSError(28, "No space left"), KeyError(7)])
@pytest.mark.parametrize("kind", ["res", "db", "extxyz"])
def test_one_output_fails_and_the_others_are_written(
    error, kind, capfd, monkeypatch
):
    def full(solution, source, path, *rank):
        path.write_text("half of it")
        raise error

    monkeypatch.setitem(writers._WHOLE, "res", writers._write_res)
    table = writers._EACH if kind == "extxyz" else writers._WHOLE
    monkeypatch.setitem(table, kind, full)
    assert cbldm.main(["a.gr", "-t", "xyz,res,db,extxyz"]) == 2
    out, err = capfd.readouterr()
    lost = [n for n in ("a.res", "a.db") if n.endswith(kind)]
    lost = lost or ["a-1.extxyz", "a-2.extxyz"]
    every = {"a-1.xyz", "a-2.xyz", "a-1.extxyz", "a-2.extxyz", "a.res", "a.db"}
    assert set(names()) == {"a.gr", *every} - set(lost)
    assert [name in line for name, line in zip(lost, err.splitlines())]
    assert len(err.splitlines()) == len(lost)
    assert "rank" in out


def test_an_input_whose_output_failed_did_not_fail(capfd, monkeypatch):
    def full(solution, source, path, *rank):
        raise OSError(28, "No space left")

    monkeypatch.setitem(writers._WHOLE, "res", full)
    measured("b.gr")
    assert cbldm.main(["a.gr", "b.gr", "-t", "res"]) == 2
    out, err = capfd.readouterr()
    assert "inputs failed" not in err and "failed" not in out
    assert err.count("cannot be written (No space left)") == 2


@pytest.mark.parametrize("name", ["300", "1e5", "nan", "True", "-1", "007"])
def test_names_that_look_like_numbers(name):
    from ase.db import connect

    measured(name)
    assert cbldm.main(["-t", "db,res", "-q", "-o", "out", "--", name]) == 0
    row = connect("out.db").get("rank=1")
    assert pathlib.Path(row.source) == pathlib.Path(name)
    assert json.loads(pathlib.Path("out.res").read_text())["input"] == name


@pytest.mark.parametrize("length", [230, 248, 251])
def test_long_names(length, capfd):
    """What has no room is named, all else is there."""
    stem = "n" * (length - 3)
    measured(f"{stem}.gr")
    code = cbldm.main([f"{stem}.gr", "-t", "xyz,res,db"])
    err = capfd.readouterr().err
    wanted = {f"{stem}-1.xyz", f"{stem}-2.xyz", f"{stem}.res", f"{stem}.db"}
    lost = wanted - set(names())
    assert code == (2 if lost else 0)
    assert len(err.splitlines()) == len(lost)
    assert all(name in err for name in lost)
    assert bool(lost) == (length > 230)


def test_a_folder_that_was_removed_meanwhile(monkeypatch):
    def slow(pdf, **words):
        pathlib.Path("out").rmdir()
        return solution_of(pdf)

    monkeypatch.setattr(cb, "solve", slow)
    pathlib.Path("out").mkdir()
    assert cbldm.main(["a.gr", "-t", "res", "-o", "out/@b", "-q"]) == 0
    assert names("out") == ["a.res"]


def test_a_folder_that_became_a_file_meanwhile(monkeypatch, capfd):
    def slow(pdf, **words):
        pathlib.Path("out").write_text("")
        return solution_of(pdf)

    monkeypatch.setattr(cb, "solve", slow)
    words = ["-t", "xyz,db", "--database", "all.db", "-o", "out/@b"]
    assert cbldm.main(["a.gr", *words]) == 2
    out, err = capfd.readouterr()
    assert err.count("cannot be written") == len(err.splitlines()) == 2
    assert "rank" in out and "all.db" in names()


def test_missing_folders_are_made_at_every_door(here):
    words = ["a.gr", "-t", "res", "-o", "x/y/@b", "-q"]
    assert cbldm.main([*words, "-t", "db", "--database", "d/e/all.db"]) == 0
    assert names("d/e") == ["all.db"]
    assert cbldm.main(words) == 0 and names("x/y") == ["a.res"]
    assert cbldm.main(["--createconfig=c/d/a.cfg"]) == 0
    assert names("c/d") == ["a.cfg"]
    cb.Cluster("Pt", 2.8 * np.eye(3)).write_xyz("k/l/a.xyz")
    words = ["k/l/a.xyz", "--rmax=9", "-o", "s/@b"]
    assert cbldm_simulate.main(words) == 0 and names("s") == ["a.gr"]


def test_a_run_that_fails_makes_no_folder():
    pathlib.Path("bad.gr").write_text("nothing\n")
    assert cbldm.main(["bad.gr", "-t", "res", "-o", "new/@b"]) == 1
    assert "new" not in names()


def test_a_simulation_that_cannot_be_written(capfd, monkeypatch):
    from diffpy_cbldm import pdfdata

    def full(path, pdf):
        raise cb.CbldmError(f"{path}: cannot be written (No space left)")

    cb.Cluster("Pt", 2.8 * np.eye(3)).write_xyz("k.xyz")
    monkeypatch.setattr(pdfdata, "write_gr", full)
    assert cbldm_simulate.main(["k.xyz", "--rmax=9"]) == 2
    assert "k.gr: cannot be written" in capfd.readouterr().err


def test_a_plot_that_cannot_be_shown(capfd, monkeypatch):
    from diffpy_cbldm.output import plots

    def broken(solution):
        raise RuntimeError("no window")

    monkeypatch.setattr(plots, "check_installed", lambda screen: None)
    monkeypatch.setattr(plots, "show", broken)
    assert cbldm.main(["a.gr", "-p", "-t", "res"]) == 2
    assert "--plot: RuntimeError: no window" in capfd.readouterr().err
    assert "a.res" in names()


STUB = """
import sys
sys.path[:0] = [{root!r}, {here!r}]
import diffpy_cbldm as cb
from test_lost_outputs import solution_of
cb.solve = solution_of
from diffpy_cbldm.commands import cbldm
sys.exit(cbldm.main(sys.argv[1:]))
"""


def in_a_shell(redirected, *words):
    """Exit code and standard error of a command in the shell."""
    stub = STUB.format(root=str(ROOT), here=str(pathlib.Path(__file__).parent))
    pathlib.Path("stub.py").write_text(stub)
    line = f'"$PYTHON" stub.py "$@" {redirected}'
    done = subprocess.run(
        ["bash", "-c", f"{line}; exit ${{PIPESTATUS[0]}}", "bash", *words],
        env={**os.environ, "PYTHON": sys.executable},
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        timeout=300,
    )
    return done.returncode, done.stderr


@pytest.mark.skipif(os.name == "nt", reason="shells of Unix")
@pytest.mark.parametrize(
    ("redirected", "text"),
    [
        (">&-", "standard output was closed"),
        ("<&- >&-", "standard output was closed"),
        ("> /dev/full", "standard output cannot be written (No space left"),
    ],
)
def test_standard_output_that_cannot_be_written(redirected, text):
    code, err = in_a_shell(redirected, "a.gr", "-t", "res,db")
    assert (code, len(err.splitlines())) == (2, 1), err
    assert text in err and "Traceback" not in err
    assert {"a.res", "a.db"} <= set(names())
    content = pathlib.Path("a.db").read_bytes()
    assert content.startswith(b"SQLite") and b"rank  " not in content
    pathlib.Path("a.res").unlink()
    code, err = in_a_shell(redirected, "a.gr", "-t", "res", "-o", "-")
    assert code == 2 and text in err and "Traceback" not in err


@pytest.mark.skipif(os.name == "nt", reason="shells of Unix")
@pytest.mark.parametrize(
    "words",
    [
        ["a.gr", "-t", "res"],
        ["a.gr", "-t", "res", "-o", "-"],
        ["--help"],
        ["--manual"],
    ],
)
def test_a_reader_that_has_had_enough_is_no_error(words):
    code, err = in_a_shell("| true", *words)
    # With -o - the tables stand on standard error.
    assert code == 2 and "cbldm" not in err and "Traceback" not in err
    assert "Errno" not in err and ("-o" in words or not err)
    assert ("a.res" in names()) == (words[1:] == ["-t", "res"])


@pytest.mark.skipif(os.name == "nt", reason="shells of Unix")
def test_nothing_to_print_needs_no_standard_output():
    assert in_a_shell(">&- 2>&-", "a.gr", "-t", "res", "-q") == (0, "")
    assert "a.res" in names()


def test_planning_is_linear(monkeypatch):
    """Each output is resolved and looked at once, however many there are."""
    looked = []
    resolve = pathlib.Path.resolve
    monkeypatch.setattr(
        pathlib.Path,
        "resolve",
        lambda path, *args: looked.append(path) or resolve(path, *args),
    )
    counts = []
    for n in (20, 80):
        looked.clear()
        others = set()
        for k in range(n):
            paths = writers.plan("@b", ["xyz", "res"], f"{k}.gr", 8).values()
            others.update(writers.check_outputs(paths, "no", others))
        assert len(others) == 9 * n
        counts.append(len(looked))
    assert counts[1] <= 4 * counts[0] and counts[0] <= 20


def test_database_names_are_not_numbers_for_ase():
    solution = solution_of(cb.read_pdf("a.gr"))
    database.write(solution, "5", pathlib.Path("x.db"))
    from ase.db import connect

    assert {row.source for row in connect("x.db").select()} == {"./5"}
