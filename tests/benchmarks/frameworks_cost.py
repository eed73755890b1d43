"""What frameworks and relaxed orbits cost a job that may not need them.

    python -m tests.benchmarks.frameworks_cost [FOLDER] [--files Au144pMBA ...]
        [--simulated ico55 ...] [--harm 0] [--whole 0]

For each PDF the processor time of a default run on one core, and the share of
it in the generator ``shells``, in the relaxed icosahedra and decahedra of the
library, and in the refinement of these; over that of all else.  Within one
run, so that other work on the machine hardly matters; and of the same PDF
again, where tables are loaded and the model was asked.  The answer follows:
type, N, Rw, the shortest bond, the range of N.  Simulated: Mackay icosahedron
of 55 atoms, a random cut of 150 atoms, a decahedron of 192, noise of 1 %.

``--harm N``: N ideal clusters that are held out and N random cuts
(`training.evaluation.cases`); in how many a framework is looked at or
proposed; where one is proposed, the default run with and without
``shells`` is compared.

``--whole N``: of each file, N commands with all defaults and N without
``shells`` and edited orbits, in turn, each a process of its own on all cores;
medians of their wall and processor time, and what the defaults take over the
others.  Both edit and refine as many structures: where there are no relaxed
ones, others take their places.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import diffpy_cbldm as cb
from diffpy_cbldm.crystals.bonds import shortest_bond
from diffpy_cbldm.crystals.table import load_table
from diffpy_cbldm.fitting.target import Target
from diffpy_cbldm.polishing.candidates import Edited
from diffpy_cbldm.search import generators
from diffpy_cbldm.search.by_shells import asks_for_shells, shells_generator
from diffpy_cbldm.settings import Solve
from diffpy_cbldm.solving import polish_stage
from tests.benchmarks.frameworks import BOND, measured
from training.evaluation import cases as evaluation

FOLDER = Path("../shared/data/experimental")

FILES = ("JQ_S2", "Au144pMBA")

OFF_CENTRE = np.array([0.31, 0.17, 0.42])
"""Centre of the random cut, in edges of the cubic cell."""

SQUEEZED = np.array([1.0, 0.9, 1.15])
"""Its axes are to one another as the inverse of these."""

COMMAND = """
import sys
from diffpy_cbldm.commands.cbldm import main
from diffpy_cbldm.solving import polish_stage
left_out = sys.argv.pop(1)
polish_stage.EDIT_KINDS = tuple(
    kind for kind in polish_stage.EDIT_KINDS if kind != left_out
)
raise SystemExit(main())
"""
"""`cbldm` without a kind of edit that nobody asks for by name: edits that are
named are made where the defaults make none."""


def ideal(kind: str, atoms: int) -> np.ndarray:
    """Positions of an ideal cluster of the library, angstrom."""
    table = load_table()
    for place, one in enumerate(table.geometries):
        if (one.structure_type, one.n_atoms) == (kind, atoms):
            return BOND * table.positions(place)
    raise SystemExit(f"the library has no {kind} of {atoms} atoms")


def random_cut(atoms: int = 150) -> np.ndarray:
    """An ellipsoid of fcc about no site."""
    cells = np.indices((13, 13, 13)).reshape(3, -1).T - 6.0
    basis = np.array([[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]])
    sites = (cells[:, None] + basis).reshape(-1, 3) - OFF_CENTRE
    order = np.linalg.norm(sites * SQUEEZED, axis=1).argsort(kind="stable")
    return 2**0.5 * BOND * sites[order[:atoms]]


SIMULATED: dict[str, Callable[[], np.ndarray]] = {
    "ico55": lambda: ideal("ico", 55),
    "cut150": random_cut,
    "dec192": lambda: ideal("dec", 192),
}


class Spent:
    """Processor time in some functions of a module, by their names."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def counted(self, function: Callable, what: str) -> Callable:
        """The same function; where `what` is refine, of relaxed ones."""

        def call(*values: Any, **named: Any) -> Any:
            begin = time.process_time()
            try:
                return function(*values, **named)
            finally:
                if what != "refine" or _of_library(values[0]):
                    took = time.process_time() - begin
                    self.seconds[what] = self.seconds.get(what, 0) + took

        return call


def _of_library(p: Edited) -> bool:
    return "orbits" in p.edits and p.start.generator == "library"


def told(sol: cb.Solution) -> str:
    """The answer in a few words."""
    best = sol.candidates[0]
    return (
        f"{best.generator} {best.structure_type} {len(best)} Rw "
        f"{best.rw:.3f} {shortest_bond(best.positions):.2f} A, "
        f"{sol.atoms or 'no range'}"
    )


def timed(pdf: cb.PDFData) -> tuple[cb.Solution, float, dict[str, float]]:
    """A job, its processor time, and how much of it went where."""
    spent = Spent()
    parts = {
        (generators, "shells_generator"): "shells",
        (polish_stage, "relaxed_library"): "relaxed",
        (polish_stage, "as_candidate"): "refine",
    }
    before = {place: getattr(*place) for place in parts}
    for place, what in parts.items():
        setattr(*place, spent.counted(before[place], what))
    try:
        begin = time.process_time()
        # Of a copy of the process the time would not count.
        sol = cb.solve(pdf, cores=1)
        return sol, time.process_time() - begin, spent.seconds
    finally:
        for place, function in before.items():
            setattr(*place, function)


def cost(name: str, pdf: cb.PDFData) -> float:
    """Run a job twice, print what both took, and return the first's share.

    The first run of a process also loads tables and kernels, and draws from
    the model; of the first PDF it imports the libraries as well.
    """
    shares = []
    for which in ("first", "again"):
        sol, total, seconds = timed(pdf)
        own = sum(seconds.values())
        shares.append(own / (total - own))
        parts = ", ".join(f"{k} {v:.2f}" for k, v in seconds.items())
        print(
            f"{name:10} {which} {total:5.1f} s: {parts}: {shares[-1]:4.0%}",
            flush=True,
        )
    print(f"{'':10} {told(sol)}", flush=True)
    return shares[0]


def harm(count: int) -> None:
    """Count where frameworks come up for what needs none."""
    for split in ("geometry", "cuts"):
        asked = proposed = changed = 0
        for k, case in enumerate(evaluation.cases(split, count)):
            how = evaluation.Conditions(noise=0.01)
            pdf = evaluation.measured(case, how, k)
            target = Target.of(pdf, Solve.rmin, 30.0)
            asked += asks_for_shells(target)
            if not shells_generator(target):
                continue
            proposed += 1
            both = [
                cb.solve(pdf, generators=names)
                for names in (Solve.generators, "cbldm,library,screen")
            ]
            answers = [told(sol) for sol in both]
            changed += answers[0] != answers[1]
            print(f"  {case.kind} {len(case.positions)}: {answers}")
        print(
            f"{split}: {count} cases, a framework looked at in {asked}, "
            f"proposed in {proposed}, another answer in {changed}",
            flush=True,
        )


def spent_by(words: Sequence[str]) -> tuple[float, float]:
    """Wall and processor time of a command, with its copies, s."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begin = time.perf_counter()
    subprocess.run(words, check=True, capture_output=True)
    wall = time.perf_counter() - begin
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    user = after.ru_utime - before.ru_utime
    return wall, user + after.ru_stime - before.ru_stime


def whole(path: Path, repeats: int) -> None:
    """What a command takes with frameworks and orbits, and without."""
    names = [n for n in Solve.generators.split(",") if n != "shells"]
    ways = {
        way: [sys.executable, "-c", COMMAND, left_out, str(path), *more]
        for way, left_out, more in (
            ("defaults", "", ()),
            ("without", "orbits", ("--generators", ",".join(names))),
        )
    }
    took: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
    for _ in range(repeats):
        for way, words in ways.items():
            took[way].append(spent_by(words))
    medians = {
        way: [statistics.median(kind) for kind in zip(*pairs)]
        for way, pairs in took.items()
    }
    for way, (wall, processor) in medians.items():
        print(f"{path.stem:10} {way:8} {wall:.2f} s, {processor:.2f} s of CPU")
    wall, processor = np.divide(medians["defaults"], medians["without"])
    print(f"{path.stem:10} ratio    {wall:.2f}, {processor:.2f}", flush=True)


def main() -> None:
    """Print one line for each PDF."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", nargs="?", type=Path, default=FOLDER)
    parser.add_argument("--files", nargs="*", default=FILES)
    parser.add_argument("--simulated", nargs="*", default=list(SIMULATED))
    parser.add_argument("--harm", type=int, default=0)
    parser.add_argument("--whole", type=int, default=0, metavar="N")
    asked = parser.parse_args()
    if asked.whole:
        for name in asked.files:
            whole(asked.folder / f"{name}.gr", asked.whole)
        return
    for name in asked.files:
        cost(name, cb.read_pdf(asked.folder / f"{name}.gr"))
    for name in asked.simulated:
        rng = np.random.default_rng(1)
        cost(name, measured(SIMULATED[name](), False, rng))
    if asked.harm:
        harm(asked.harm)


if __name__ == "__main__":
    main()
