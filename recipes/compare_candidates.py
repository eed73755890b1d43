"""Which of two fits do the data prefer: F-test and Hamilton's R test.

Points of G(r) on a fine grid are not independent: a range of r holds its
width times that of Q over pi of them, and this number is what both tests
count.

- Two structures with as many parameters: their reduced chi2 are compared by
  an F-test.
- One structure with and without some parameters: the ratio of Rw is compared
  with what as many useless parameters would give (W. C. Hamilton, Acta
  Cryst. 18, 502, 1965).

    python recipes/compare_candidates.py
"""

from math import pi

import numpy as np
from ase.cluster import Octahedron
from scipy.stats import f as f_distribution

import diffpy_cbldm as cb

RMIN, RMAX = 1.5, 25.0
NOISE = 0.1  # of the spread of G


def simulated() -> cb.PDFData:
    """Return the PDF of a truncated octahedron, with noise.

    As the data, the noise has no content outside the measured range of Q.
    """
    truth = cb.Cluster("Pt", Octahedron("Pt", 5, cutoff=1).positions)
    (pdf,) = cb.simulate([truth])
    q = np.arange(pdf.qmin, pdf.qmax, pi / pdf.r[-1])
    size = np.random.default_rng(0).standard_normal(len(q))
    noise = np.sin(pdf.r[:, None] * q) @ size
    noise *= NOISE * pdf.g.std() / noise.std()
    return cb.PDFData(
        r=pdf.r,
        g=pdf.g + noise,
        composition="Pt",
        qmin=pdf.qmin,
        qmax=pdf.qmax,
        qdamp=pdf.qdamp,
        stype="X",
    )


def freedom(pdf: cb.PDFData, fit: cb.Candidate) -> float:
    """Return the independent points less the parameters of a fit."""
    points = (RMAX - RMIN) * (pdf.qmax - pdf.qmin) / pi
    return points - len(fit.parameters)


def f_test(pdf: cb.PDFData, best: cb.Candidate, other: cb.Candidate) -> float:
    """Return how probable a ratio of chi2 this large is by chance."""
    a, b = freedom(pdf, best), freedom(pdf, other)
    return float(f_distribution.sf((other.rw**2 / b) / (best.rw**2 / a), b, a))


def hamilton(
    pdf: cb.PDFData, simple: cb.Candidate, larger: cb.Candidate
) -> float:
    """Return how probable this gain is if the more parameters say nothing."""
    more = len(larger.parameters) - len(simple.parameters)
    left = freedom(pdf, larger)
    ratio = (simple.rw / larger.rw) ** 2 - 1
    return float(f_distribution.sf(ratio * left / more, more, left))


def main() -> tuple[list[float], float]:
    """Return the probabilities of the candidates, and of a relaxed surface."""
    pdf = simulated()
    drawn = cb.propose(pdf, count=4, generators=("library",), rmax=RMAX)
    fits = [cb.refine(c, pdf, rmin=RMIN, rmax=RMAX) for c in drawn]
    fits.sort(key=lambda fit: fit.rw)
    best = fits[0]
    chances = [f_test(pdf, best, fit) for fit in fits]
    print("candidate against the best     Rw  F-test")
    for fit, chance in zip(fits, chances, strict=True):
        name = f"{fit.composition} {fit.structure_type}"
        print(f"{name:<27} {fit.rw:.4f}  {chance:.1g}")

    relaxed = cb.refine(best, pdf, rmin=RMIN, rmax=RMAX, moves=("surface",))
    chance = hamilton(pdf, best, relaxed)
    print(f"relaxed surface: Rw {relaxed.rw:.4f}, Hamilton {chance:.2g}")
    return chances, chance


if __name__ == "__main__":
    main()
