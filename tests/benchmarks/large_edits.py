"""Seconds that the edits of one large particle take, and what they find.

    python -m tests.benchmarks.large_edits
    python -m tests.benchmarks.large_edits --atoms 500 2000 --case twin

Ideal truncated octahedra of fcc are started from; the truth has one facet a
layer farther in, no corner atoms, or a twin plane.  Seconds are processor
time of one thread: of the front, and of all that `solve` does for one start,
the prediction of r left out with it.
"""

from __future__ import annotations

import argparse
import dataclasses
import time

import numpy as np

import diffpy_cbldm as cb
from diffpy_cbldm.crystals.particles import NONE, Particle, layers_of
from diffpy_cbldm.fitting.target import Target
from diffpy_cbldm.polishing.candidates import edit
from diffpy_cbldm.polishing.directions import (
    LEVEL,
    corner_directions,
    facet_normals,
    families,
)
from diffpy_cbldm.polishing.faults import stackings
from diffpy_cbldm.polishing.front import EDIT_KINDS, best, front
from diffpy_cbldm.polishing.long_basis import LongMeasured
from diffpy_cbldm.threads import one_thread

BOND = 2.77
"""Of platinum, A."""

ATOMS = (257, 500, 1000, 2000, 5000)


def octahedron(count: int) -> np.ndarray:
    """The truncated octahedron nearest to a number of atoms, (n, 3), A."""
    layers = layers_of("fcc", 0)
    particles = [
        Particle("fcc", 0, (cube, NONE, outer, NONE))
        for outer in layers[2]
        for cube in layers[0]
        if 1.05 < cube / outer < 1.25
    ]
    # Smaller ones are edited atom by atom.
    fit = [p for p in particles if len(p) > 256]
    nearest = min(fit, key=lambda p: abs(len(p) - count))
    return nearest.positions * BOND


def facet(x: np.ndarray) -> np.ndarray:
    """One {111} facet a layer farther in."""
    height = x @ np.ones(3) / 3**0.5
    return x[height < height.max() - 0.1]


def corners(x: np.ndarray) -> np.ndarray:
    """Without the corner atoms."""
    normals = facet_normals(x / BOND)
    kinds = families(x / BOND, normals)
    kept = np.ones(len(x), bool)
    rims = corner_directions(x / BOND, normals, kinds)[0]
    for way in np.concatenate([normals, rims]):
        height = x @ way / BOND
        top = height > height.max() - LEVEL
        if top.sum() == 1:
            kept &= ~top
    return x[kept]


def twin(x: np.ndarray) -> np.ndarray:
    """With a twin plane in the middle."""
    layers = stackings(x, BOND)[0]
    senses = layers.senses.copy()
    senses[len(senses) // 2 :] *= -1
    return x + layers.shifts(senses)[layers.layer][:, None] * layers.step


CASES = {"facet": facet, "corners": corners, "twin": twin}


def row(count: int, case: str, noise: float) -> str:
    """One line of the table."""
    x = octahedron(count)
    truth = CASES[case](x)
    (pdf,) = cb.simulate([cb.Cluster("Pt", truth)], qdamp=0.03, biso=0.4)
    off = np.random.default_rng(0).normal(size=len(pdf.g))
    pdf = dataclasses.replace(
        pdf, g=pdf.g + noise * pdf.g.std() * off, qdamp=None
    )
    target = Target.of(pdf)
    own = LongMeasured(target).fit(truth).rw
    start = time.thread_time()
    found = front(x, "fcc", target, kinds=EDIT_KINDS)
    alone = time.thread_time() - start
    candidate = cb.Candidate("Pt", x, structure_type="fcc")
    start = time.thread_time()
    edit(candidate, target)
    whole = time.thread_time() - start
    chosen = best(found)
    cells = [str(len(x)), case, str(len(truth)), str(len(chosen.positions))]
    cells += [f"{v:.4f}" for v in (found[0].rw, chosen.rw, own)]
    cells += [f"{chosen.ratio:.2f}", f"{alone:.1f}", f"{whole:.1f}"]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--atoms", type=int, nargs="+", default=ATOMS)
    parser.add_argument(
        "--case", nargs="+", choices=CASES, default=list(CASES)
    )
    parser.add_argument("--noise", type=float, default=0.005)
    asked = parser.parse_args()
    print(
        "| N start | truth | N truth | N found | Rw start | found | truth's "
        "own | roughness of ideal | s front | s a start |"
    )
    print("|" + " --- |" * 10)
    with one_thread():
        # What is compiled and read once counts for no particle.
        row(500, "facet", asked.noise)
        for count in asked.atoms:
            for case in asked.case:
                print(row(count, case, asked.noise), flush=True)


if __name__ == "__main__":
    main()
