"""Runs of ``cbldm`` that are killed at any moment.

    python -m tests.benchmarks.kill --times 100

Each run solves one tiny PDF, writes files of all kinds and adds rows to one
database; SIGKILL ends it at a random moment, every other time while it writes.
After each kill every file is whole or absent, the database is sound and holds
the rows of whole runs alone, and the next run ends well.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import json
import os
import pathlib
import random
import signal
import sqlite3
import sys
import tempfile
import time
from collections.abc import Sequence

import numpy as np

import diffpy_cbldm as cb
from diffpy_cbldm.commands import cbldm
from diffpy_cbldm.pdfdata import write_gr

ROWS = 2
"""Structures of a run, each a row of the database."""

TYPES = "xyz,cif,stru,extxyz,res,html,db"

LATE = "ended before it was killed (not counted)"

WORDS = [
    *("oct.gr", "--generators", "library", "-n", "2", "--polish", "no"),
    *("--refine", str(ROWS), "-q", "-t", TYPES, "-o", "out/@b", "--force"),
    *("--database", "all.db", "--config", "NONE"),
]


def main(words: Sequence[str] | None = None) -> int:
    """Kill many runs; the exit code is 1 where something was lost."""
    parser = argparse.ArgumentParser(
        "python -m tests.benchmarks.kill", description=main.__doc__
    )
    parser.add_argument("--times", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args(words)
    choose = random.Random(chosen.seed)
    counts: collections.Counter[str] = collections.Counter()
    lost = 0
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        _measured("oct.gr")
        # The first run imports what all that follow use.
        cbldm.main(WORDS)
        begun, lasts = _timed()
        share = begun / lasts
        number = -1
        while counts.total() - counts[LATE] < chosen.times:
            number += 1
            if choose.random() < 0.3:  # it is made again by the next run
                pathlib.Path("all.db").unlink(missing_ok=True)
            moment = choose.uniform(share if number % 2 else 0, 1) * lasts
            counts[_killed(moment)] += 1
            for problem in problems():
                lost += 1
                print(f"kill {number}, seed {chosen.seed}: {problem}")
            start = time.perf_counter()
            if _ended(_started()) != 0:
                lost += 1
                print(f"kill {number}, seed {chosen.seed}: the next run fails")
            # A machine may be busier at one time than at another.
            lasts = (lasts + time.perf_counter() - start) / 2
    for what, count in sorted(counts.items()):
        print(f"{what}  {count}")
    print(f"problems  {lost}")
    return int(lost > 0)


def _measured(path: str) -> None:
    """A simulated octahedron of 19 platinum atoms."""
    axis = np.arange(-2, 3)
    sites = np.stack(np.meshgrid(axis, axis, axis), axis=-1).reshape(-1, 3)
    sites = sites[(sites.sum(1) % 2 == 0) & (abs(sites).sum(1) <= 2)]
    (pdf,) = cb.simulate([cb.Cluster("Pt", sites * 1.96)], rmax=12.0)
    write_gr(path, pdf)


def _started() -> int:
    """A run in a process of its own, which has all modules already."""
    process = os.fork()
    if process == 0:
        code = 1
        try:
            code = cbldm.main(WORDS)
        finally:
            os._exit(code)
    return process


def _ended(process: int) -> int | None:
    """The exit code of a run, None where it was killed."""
    _, status = os.waitpid(process, 0)
    return os.WEXITSTATUS(status) if os.WIFEXITED(status) else None


def _timed() -> tuple[float, float]:
    """When an undisturbed run begins to write, and when it ends, s."""
    for path in pathlib.Path("out").iterdir():
        path.unlink()
    start, begun = time.perf_counter(), None
    process = _started()
    while os.waitpid(process, os.WNOHANG) == (0, 0):
        if begun is None and os.listdir("out"):
            begun = time.perf_counter() - start
        time.sleep(0.002)
    return begun or 0.0, time.perf_counter() - start


def _killed(moment: float) -> str:
    """Kill a run after some seconds; what became of it."""
    before = {path: path.stat().st_mtime_ns for path in _outputs()}
    process = _started()
    time.sleep(moment)
    os.kill(process, signal.SIGKILL)
    if _ended(process) is not None:
        return LATE
    if os.path.exists("all.db.lock"):
        return "killed while it held the database"
    after = {path: path.stat().st_mtime_ns for path in _outputs()}
    return (
        "killed while it wrote files" if after != before else "killed before"
    )


def _outputs() -> list[pathlib.Path]:
    return [p for p in pathlib.Path("out").iterdir() if p.is_file()]


def problems() -> list[str]:
    """What is neither whole nor absent."""
    seen = [f"{path} is cut off" for path in _outputs() if not whole(path)]
    if not os.path.exists("all.db"):
        return seen
    with contextlib.closing(sqlite3.connect("all.db")) as file:
        (state,) = file.execute("PRAGMA integrity_check").fetchone()
        if state != "ok":
            seen.append(f"the database: {state}")
        tables = file.execute("SELECT name FROM sqlite_master").fetchall()
        rows = 0
        if ("systems",) in tables:
            (rows,) = file.execute("SELECT COUNT(*) FROM systems").fetchone()
        if rows % ROWS:
            seen.append(f"the database holds {rows} rows")
    return seen


def whole(path: pathlib.Path) -> bool:
    """Whether an output can be read to its end."""
    text = path.read_text(encoding="utf-8")
    match path.suffix:
        case ".res":
            return len(json.loads(text)["candidates"]) > 0
        case ".html":
            return text.rstrip().endswith("</html>")
        case ".xyz" | ".extxyz":
            return len(text.splitlines()) == int(text.split()[0]) + 2
        case ".cif":
            rows = [line for line in text.splitlines() if "Pt" in line[:8]]
            return text.endswith("\n") and len(rows) > 4
        case ".stru":
            rows = text.partition("\natoms\n")[2].splitlines()
            # Six lines for an atom.
            return len(rows) > 24 and len(rows) % 6 == 0
    return False


if __name__ == "__main__":
    sys.exit(main())
