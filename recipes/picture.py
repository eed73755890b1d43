"""A figure of a fit: the curves beside the structure.

The PDF is simulated from a platinum decahedron, with noise; put
``cb.read_pdf("particle.gr", composition="Pt")`` in its place.  On the command
line, ``cbldm particle.gr -p png`` draws the same.

    python recipes/picture.py picture.png
"""

import dataclasses
import sys

import numpy as np
from ase.cluster import Decahedron

import diffpy_cbldm as cb


def simulated() -> cb.PDFData:
    """Return the PDF of a Marks decahedron of 101 atoms, with noise."""
    truth = cb.Cluster("Pt", Decahedron("Pt", 2, 3, 1).positions)
    (pdf,) = cb.simulate([truth], qmax=22.0, qdamp=0.03, biso=0.4)
    # Noise of the counts, which holds no Q beyond Qmax either.
    knots = np.arange(0, pdf.r[-1], np.pi / pdf.qmax)
    waves = np.sinc((pdf.r[:, None] - knots) * pdf.qmax / np.pi)
    noise = waves @ np.random.default_rng(1).normal(size=len(knots))
    return dataclasses.replace(pdf, g=pdf.g + 0.05 * noise)


def main(path: str = "picture.png") -> cb.Solution:
    """Solve, and draw the best structure."""
    pdf = simulated()
    solution = cb.solve(pdf, count=16, refine=2, polish=False, rmax=20.0)
    print(solution.explain())
    figure = cb.plot(solution, count=1)
    figure.savefig(path, dpi=90)
    print(f"wrote {path}")
    return solution


if __name__ == "__main__":
    main(*sys.argv[1:])
