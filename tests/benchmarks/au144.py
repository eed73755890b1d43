"""What explains the measured PDFs of thiolate-protected gold.

    python -m tests.benchmarks.au144 [FOLDER] [--files Au144SC4 ...]
        [--whole] [--phases]

Step by step, for each file: the best ideal cluster of the library, frameworks
of 114 and 144 atoms as they are, the same with their orbits relaxed, and a
shell of sulfur about the best; with ``--phases`` a second particle, with
``--whole`` also the default run.  Rw goes with N, the number of refined
parameters, the shortest bond, and the Rw beyond 20 A of what was refined up
to 20 A; and every third 2.5 A of r is left out and predicted.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

import diffpy_cbldm as cb
from diffpy_cbldm.crystals.bonds import shortest_bond
from diffpy_cbldm.crystals.frameworks import Framework, load_frameworks
from diffpy_cbldm.fitting.low_pass import low_passed
from diffpy_cbldm.fitting.orbit_moves import twisted
from diffpy_cbldm.fitting.quickfit import quick_fit
from diffpy_cbldm.fitting.recipe import start_values
from diffpy_cbldm.fitting.target import Target
from diffpy_cbldm.polishing.candidates import as_candidate
from diffpy_cbldm.polishing.crystal import Crystal, Measured
from diffpy_cbldm.polishing.orbits import relaxed_orbits
from diffpy_cbldm.search.by_library import library_generator
from diffpy_cbldm.search.by_shells import LOW_Q, shells_generator
from diffpy_cbldm.search.framework_screening import compare_frameworks
from diffpy_cbldm.search.matching import Motion
from diffpy_cbldm.settings import Solve
from diffpy_cbldm.solving.on_demand import on_demand
from diffpy_cbldm.solving.relaxed_library import relaxed_library

FOLDER = Path("../shared/data/experimental")

TWIST = 0.03
"""How far orbits are turned to break mirrors, bond lengths."""

NAMED = {
    "hollow Mackay 54, anti-Mackay 60": (12, 12, 30, 60),
    "the same with 30 outside": (12, 12, 30, 30, 60),
}
"""Frameworks of the icosahedral group by the sizes of their orbits."""


def refined(candidate: cb.Candidate, target: Target) -> cb.Candidate:
    """From its quick fit, the orbits as far as they were relaxed."""
    fit = quick_fit([candidate.positions], target)[0]
    relaxed = [k for k in candidate.edits if k in ("orbits", "across")]
    start = start_values(candidate, target, fit)
    return cb.refine(candidate, target, start=start, moves=relaxed)


def told(words: str, c: cb.Candidate) -> None:
    """One line of the table."""
    bond = shortest_bond(c.positions)
    held = "-" if c.rw_heldout is None else f"{c.rw_heldout:.2f}"
    print(
        f"  {words:34} {c.structure_type:6} {len(c):4} "
        f"{len(c.parameters):3} Rw {c.rw:.4f} held-out {held} "
        f"qdamp {c.parameters['qdamp'][0]:.3f} bond {bond:.2f} A",
        flush=True,
    )


def _sizes(framework: Framework) -> tuple[int, ...]:
    """Of the orbits; none of another group than that of the icosahedron."""
    shells = framework.shells if framework.group == "I" else ()
    return tuple(sorted(map(len, shells)))


def ideal(sizes: tuple[int, ...], target: Target) -> cb.Candidate:
    """The first framework with orbits of these sizes."""
    framework = next(f for f in load_frameworks() if _sizes(f) == sizes)
    x = framework.positions * target.bond
    return cb.Candidate("Au", x, structure_type="ico")


def ranks(target: Target) -> None:
    """At which places the comparison at low and at all Q has them."""
    known = load_frameworks()
    for qmax in (LOW_Q, target.qmax):
        part = low_passed(target, qmax)
        rw, _ = compare_frameworks(part, target.bond, Motion())
        order = [known[i] for i in np.argsort(rw, kind="stable")]
        for words, sizes in NAMED.items():
            place = 1 + min(
                k
                for k, f in enumerate(order)
                if f.group == "I"
                and tuple(sorted(map(len, f.shells))) == sizes
            )
            print(f"  to {qmax:g} 1/A: {words:34} is number {place}")


def left_out(x: np.ndarray, kind: str, target: Target, relax: bool) -> float:
    """Rw on every third block of r, all else fitted to the others.

    Parameters
    ----------
    x : (n, 3) array, angstrom
    kind : str
        The structure type.
    target : Target
    relax : bool
        Whether orbits are relaxed as well, from the ideal places with the
        mirrors broken.
    """
    seen, held = (Measured(target, part) for part in ("seen", "held"))
    p = Crystal(x, kind, seen).judged()
    if relax:
        relaxed = relaxed_orbits(twisted(x, TWIST), kind, seen)
        p = relaxed or p
    return held.rw_of(p)


def blocks(best: cb.Candidate, target: Target) -> None:
    """How well structures predict r that was left out."""
    rows = [("library", best.positions, best.structure_type, False)]
    for words, sizes in NAMED.items():
        x = ideal(sizes, target).positions
        rows += [(words, x, "ico", False), (words, x, "ico", True)]
    for words, x, kind, relax in rows:
        rw = left_out(x, kind, target, relax)
        how = "orbits relaxed" if relax else "as it is"
        print(f"  left out: {words:34} {how:14} Rw {rw:.3f}", flush=True)


def library_relaxed(target: Target, asked: Solve) -> Iterator[cb.Candidate]:
    """Icosahedra and decahedra of the library with relaxed orbits."""
    made = relaxed_library([], target, asked)
    for p in sorted(made.met, key=lambda p: p.criterion):
        print(
            f"  {len(p.positions)} atoms of the library, {len(p.values)} "
            f"orbits or shells moved by up to "
            f"{max(map(abs, p.values.values())):.2f} bonds: Rw {p.rw:.3f}, "
            f"criterion {p.criterion:.0f}"
        )
    for front in made.fronts:
        for p in front.changed:
            before, after = front.seen
            print(
                f"  {p.start.structure_type} {len(p.positions)}, orbits "
                f"relaxed: on r left out Rw {after:.3f}, {before:.3f} as it is"
            )
            yield as_candidate(p, target)


def steps(name: str, folder: Path, phases: bool) -> None:
    """The lines of one file."""
    pdf = cb.read_pdf(folder / f"{name}.gr")
    target = Target.of(pdf)
    print(f"{name}: r to {target.rmax:g} A, Qmax {target.qmax:g} 1/A")
    mined = library_generator(target, count=8)
    best = min((refined(c, target) for c in mined), key=lambda c: c.rw)
    told("library", best)
    for words, sizes in NAMED.items():
        told(words, refined(ideal(sizes, target), target))
    blocks(best, target)
    ranks(target)
    found = [c for c in shells_generator(target) if c.edits]
    asked = Solve(ligand="S", phases=2 if phases else 1)
    if not found:
        found = list(library_relaxed(target, asked))
    for c in found:
        best = c if c.rw is not None else refined(c, target)
        name = (*best.notes, "ideal cluster")[0].removeprefix("framework ")
        told(f"relaxed {name}", best)
    if found:
        best = found[0] if found[0].rw else refined(found[0], target)
    more = on_demand([best], target, asked)
    print(f"  ligands: {more.ligands}")
    if more.phases is not None:
        print(f"  two particles: {more.phases}")


def whole(name: str, folder: Path) -> None:
    """The default run."""
    begin = time.process_time()
    sol = cb.solve(cb.read_pdf(folder / f"{name}.gr"))
    best = sol.candidates[0]
    told(f"default run ({best.generator})", best)
    print(
        f"  {sol.atoms}; {time.process_time() - begin:.0f} s of processor "
        f"time; edits: {', '.join(best.edits) or 'none'}"
    )


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path, nargs="?", default=FOLDER)
    parser.add_argument(
        "--files", nargs="+", default=["Au144SC4", "Au144SC12", "Au144pMBA"]
    )
    parser.add_argument("--whole", action="store_true")
    parser.add_argument("--phases", action="store_true")
    asked = parser.parse_args()
    for name in asked.files:
        steps(name, asked.folder, asked.phases)
        if asked.whole:
            whole(name, asked.folder)


if __name__ == "__main__":
    main()
