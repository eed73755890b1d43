"""What the whole job costs for particles of 50 to 10,000 atoms.

    python -m tests.benchmarks.cost [--atoms 50 200 1000] [--polish no]

Spheres of fcc platinum about an octahedral hole are simulated with noise to
100 A and solved, each in a process of its own, warm: a job of 201 atoms goes
before and is not counted.  Printed are the seconds of the job and those of
processor time, which other work on the machine hardly changes, the largest
memory of the process, the range that was taken, and the best structure.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import resource
import subprocess
import sys
import time
from typing import Any

import numpy as np

import diffpy_cbldm as cb
from diffpy_cbldm.crystals.particles import NONE, Particle
from diffpy_cbldm.search.by_model import forget

ATOMS = (50, 200, 1000, 5000, 10000)
"""About so many atoms have the particles."""

NOISE = 0.005
"""Of the highest peak."""

BOND = 2.775
"""Of platinum, A."""


def sphere_of(atoms: int) -> cb.Cluster:
    """The sphere of fcc platinum with about so many atoms."""
    # Of radii in small steps, the one that comes nearest.
    middle = (atoms / 2**0.5 / (4 / 3 * math.pi)) ** (1 / 3)
    tried = [
        Particle("fcc", 1, (NONE,) * 4, float(radius))
        for radius in np.linspace(0.9, 1.1, 41) * middle
    ]
    best = min(tried, key=lambda p: abs(len(p) - atoms))
    return cb.Cluster(("Pt",) * len(best), best.positions * BOND)


def measured(cluster: cb.Cluster, seed: int = 1) -> cb.PDFData:
    """A PDF of a cluster to 100 A with noise."""
    (pdf,) = cb.simulate(cluster, rmax=100.0, biso=0.5)
    noise = np.random.default_rng(seed).normal(size=len(pdf.g))
    return dataclasses.replace(pdf, g=pdf.g + NOISE * pdf.g.max() * noise)


def one(atoms: int, options: argparse.Namespace) -> dict[str, Any]:
    """Solve one particle, in a process that is warm."""
    how = {"generators": options.generators, "polish": options.polish}
    cb.solve(measured(sphere_of(201)), **how)
    forget()
    cluster = sphere_of(atoms)
    pdf = measured(cluster)
    begin, used = time.perf_counter(), time.process_time()
    solution = cb.solve(pdf, **how)
    seconds = time.perf_counter() - begin
    used = time.process_time() - used
    best = solution.candidates[0]
    return {
        "atoms": len(cluster),
        "s": seconds,
        "cpu": used,
        # Kilobytes on Linux.
        "MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000,
        "rmax": solution.settings["rmax"],
        "found": len(best),
        "type": best.structure_type,
        "rw": best.rw,
        "timings": solution.timings,
    }


def main() -> None:
    """Print a row for each size."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--atoms", type=int, nargs="+", default=ATOMS)
    parser.add_argument("--generators", default="cbldm,library,screen")
    parser.add_argument("--polish", default="yes")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--steps", action="store_true", help="seconds of each")
    options = parser.parse_args()
    if options.one:
        print(json.dumps(one(options.one, options)))
        return
    print("| atoms | s | processor s | MB | rmax, A | found | Rw |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for atoms in options.atoms:
        words = ["--generators", options.generators]
        words += ["--polish", options.polish, "--one", str(atoms)]
        done = subprocess.run(
            [sys.executable, "-m", "tests.benchmarks.cost", *words],
            check=True,
            capture_output=True,
            text=True,
        )
        row = json.loads(done.stdout.splitlines()[-1])
        print(
            f"| {row['atoms']} | {row['s']:.1f} | {row['cpu']:.1f} "
            f"| {row['MB']:.0f} "
            f"| {row['rmax']:.0f} | {row['type']} {row['found']} "
            f"| {row['rw']:.4f} |",
            flush=True,
        )
        if options.steps:
            print(json.dumps(row["timings"]))


if __name__ == "__main__":
    main()
