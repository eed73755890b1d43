"""How long the default job and its parts take, beside an older build.

    python -m tests.benchmarks.whole_job --against COMMIT [--repeats 5]

Both builds do each piece of work in turn, in processes of their own
(`one_timing`), and the medians are printed with their ratios: the default job
on two measured PDFs (on the simulated ones named by ``--cases`` where they
are not there), the same PDF again in one process, an SrFit residual, single
clusters beside DebyeCalculator 1.1.1, one start polished, the help, the
import, and the first job of today's build without compiled loops on disk.

The older build's environment is made by `builds` in the work folder.
DebyeCalculator has one of its own: ``--peer-python`` names its interpreter.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import diffpy_cbldm as cb
from diffpy_cbldm.search.generators import find_generator
from tests.benchmarks import builds, debye, polish, same_answers

SCRIPT = Path(__file__).with_name("one_timing.py")

SIZES = (13, 55, 147, 309)
"""Atoms of the single clusters."""

PARTS = ("job", "residual", "alone", "polished", "start", "first")

Timed = dict[str, float]
"""What one run measured, by name."""


def part(build: builds.Build, *words: object) -> Timed:
    """What `one_timing` measures in a build."""
    return dict(json.loads(build.run(SCRIPT, *words).splitlines()[-1]))


def started(build: builds.Build) -> Timed:
    """Seconds of the help and of the import of a build, process included.

    And of a process that does nothing: an editable installation starts more
    slowly.
    """
    return {
        "nothing_s": _seconds(build, "-c", "pass"),
        "help_s": _seconds(build, "-m", builds.PACKAGE, "--help"),
        "import_s": _seconds(build, "-c", f"import {builds.PACKAGE}"),
    }


def _seconds(build: builds.Build, *words: str) -> float:
    """The shortest of five runs of an interpreter."""
    times = []
    for _ in range(5):
        begin = time.perf_counter()
        subprocess.run(
            [build.python, "-I", *words],
            cwd=os.sep,
            check=True,
            capture_output=True,
        )
        times.append(time.perf_counter() - begin)
    return min(times)


def first_start(build: builds.Build, case: same_answers.Case) -> Timed:
    """Seconds of a job without compiled loops on disk, and of the next.

    Processor time is that of all processes, and of the job twice.
    """
    words = [build.python, "-I", SCRIPT, "job", case.path, case.composition]
    with tempfile.TemporaryDirectory() as folder:
        times, used = [], []
        for _ in range(2):
            before = _children()
            done = subprocess.run(
                words,
                cwd=os.sep,
                check=True,
                capture_output=True,
                text=True,
                env={**os.environ, "NUMBA_CACHE_DIR": folder},
            )
            times.append(json.loads(done.stdout.splitlines()[-1])["wall_s"])
            used.append(_children() - before)
    return {
        "no_cache_s": times[0],
        "cache_s": times[1],
        "compiling_s": times[0] - times[1],
        "no_cache_cpu_s": used[0],
        "cache_cpu_s": used[1],
        "compiling_cpu_s": used[0] - used[1],
    }


def _children() -> float:
    """Processor time of the processes that this one has waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def clusters_for(work: Path) -> tuple[Path, Path]:
    """Files with the clusters of `residual` and of `alone`, (B, n, 3) each."""
    one, many = work / "residual.npz", work / "alone.npz"
    np.savez(one, x146=debye.clusters(146, 1).numpy())
    np.savez(many, **{f"x{n}": debye.clusters(n, 64).numpy() for n in SIZES})
    return one, many


def start_for(work: Path) -> Path:
    """A file with a simulated PDF and a start of 140 to 160 atoms for it."""
    file = work / "start.npz"
    for _, pdf in polish.cases(len(polish.KINDS)):
        found = find_generator("library")(pdf, count=16, rmax=pdf.r[-1])
        some = [c for c in found if 140 <= len(c) <= 160]
        if some:
            np.savez(
                file,
                start=some[0].positions,
                type=some[0].structure_type,
                r=pdf.r,
                g=pdf.g,
                q=[pdf.qmin, pdf.qmax],
            )
            return file
    raise cb.CbldmError(
        "no PDF has a start of 140 to 160 atoms in the library; expected "
        "one: simulate more of them."
    )


def in_turn(
    name: str,
    pair: tuple[builds.Build, builds.Build],
    measure: Callable[[builds.Build], Timed],
    repeats: int,
) -> dict[str, Any]:
    """Measure two builds in turn, print and return medians and runs."""
    runs: dict[str, list[Timed]] = {build.name: [] for build in pair}
    for k in range(repeats):
        # Who goes first changes, as does how busy the machine is.
        for build in pair if k % 2 == 0 else pair[::-1]:
            runs[build.name].append(measure(build))
    rows: dict[str, Any] = {"runs": runs}
    for key in runs[pair[0].name][0]:
        old, new = (
            statistics.median(run[key] for run in runs[build.name])
            for build in pair
        )
        rows[key] = {"old": old, "new": new, "ratio": new / old}
        line = f"{name + ' ' + key:32s} {old:12.4f} {new:12.4f}"
        print(f"{line} {new / old:7.3f}", flush=True)
    return rows


def peers(python: Path | None, clusters: Path) -> Timed | None:
    """Milliseconds of single clusters by DebyeCalculator, printed."""
    if python is None:
        print("DebyeCalculator: no --peer-python, skipped")
        return None
    # Only its interpreter and the script count: it is no build.
    build = builds.Build("DebyeCalculator", python, Path())
    found = part(build, "peer", clusters)
    for key, value in found.items():
        print(f"{'DebyeCalculator ' + key:32s} {value:12.4f}")
    return found


def measured(options: argparse.Namespace) -> dict[str, Any]:
    """Run the chosen parts, print the table and return all of it."""
    work = options.work
    work.mkdir(parents=True, exist_ok=True)
    old = builds.of_commit(options.against, work, options.old_python)
    pair = old, builds.today()
    cases = same_answers.cases(
        work, options.measured, options.cases or same_answers.MEASURED
    )
    # Whoever has no measured data times a simulated case.
    cases = cases or same_answers.cases(work, options.measured, ["Au55"])
    wanted = options.parts
    print(f"{'':32s} {old.name:>12s} {'today':>12s} {'ratio':>7s}")
    found: dict[str, Any] = {"against": old.name}

    def time_in_turn(
        name: str, measure: Callable[[builds.Build], Timed], repeats: int
    ) -> None:
        found[name] = in_turn(name, pair, measure, repeats)

    for case in cases if "job" in wanted else []:
        words = "job", case.path, case.composition
        time_in_turn(
            case.name, lambda b, w=words: part(b, *w), options.repeats
        )
    one, many = clusters_for(work)
    if "residual" in wanted:
        time_in_turn("residual", lambda b: part(b, "residual", one), 3)
    if "alone" in wanted:
        time_in_turn("alone", lambda b: part(b, "alone", many), 3)
        found["peer"] = peers(options.peer_python, many)
    if "polished" in wanted:
        start = start_for(work)
        time_in_turn("polished", lambda b: part(b, "polished", start), 3)
    if "start" in wanted:
        time_in_turn("start", started, 1)
    if "first" in wanted:
        found["first"] = first_start(pair[1], cases[0])
        for key, value in found["first"].items():
            print(f"{'first ' + key:32s} {'':12s} {value:12.4f}")
    return found


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--against", metavar="COMMIT", required=True)
    add(
        "--old-python",
        metavar="PATH",
        type=Path,
        help="an interpreter that has COMMIT installed; default: made",
    )
    add(
        "--peer-python",
        metavar="PATH",
        type=Path,
        help="an interpreter that has DebyeCalculator 1.1.1",
    )
    add("--repeats", type=int, default=5, help="jobs of each build")
    add(
        "--work",
        metavar="FOLDER",
        type=Path,
        default=Path(tempfile.gettempdir()) / "cbldm-same-answers",
        help="default: %(default)s",
    )
    add(
        "--measured",
        metavar="FOLDER",
        type=Path,
        default=builds.ROOT.parent / "shared" / "data" / "experimental",
        help="of the measured PDFs; default: %(default)s",
    )
    add("--cases", nargs="+", default=[], help="names; default: measured")
    add("--parts", nargs="+", choices=PARTS, default=PARTS)
    add("--json", metavar="FILE", type=Path)
    return parser


def main() -> None:
    """Measure, and write what was measured."""
    options = _parser().parse_args()
    found = measured(options)
    if options.json:
        options.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    try:
        main()
    except cb.CbldmError as error:
        raise SystemExit(f"error: {error}") from None
