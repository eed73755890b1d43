"""The sampling of r changes no answer: candidates, Rw and uncertainties."""

import math

import numpy as np
import pytest
from ase.cluster import Octahedron

import diffpy_cbldm as cb

QMIN, QMAX = 0.8, 22.0
PARTICLE = cb.Cluster("Pt", Octahedron("Pt", 5, cutoff=1).positions)


def measured(r):
    """The particle's PDF at some r, with noise within the Q range."""
    (pdf,) = cb.simulate(
        PARTICLE, qmin=QMIN, qmax=QMAX, qdamp=0.04, rmax=30.0, rstep=0.001
    )
    q = np.linspace(QMIN, QMAX, 400)
    waves = np.random.default_rng(3).normal(0, 0.004, len(q))
    g = np.interp(r, pdf.r, pdf.g)
    return cb.PDFData(
        r=r,
        g=g + np.sin(np.outer(r, q)) @ waves,
        composition="Pt",
        qmin=QMIN,
        qmax=QMAX,
        stype="X",
    )


def steps(step):
    return np.arange(step, 29.9, step)


def uneven():
    r = steps(0.05)
    return r + np.random.default_rng(5).uniform(-0.01, 0.01, len(r))


GRIDS = {
    "0.001 A": steps(0.001),
    "0.02 A": steps(0.02),
    "0.1 A": steps(0.1),
    "pi/Qmax": steps(math.pi / QMAX),
    "uneven": uneven(),
    "with a row at 0": np.concatenate([[0.0], steps(0.01)]),
}


def answer(r):
    return cb.solve(
        measured(r), generators="library", count=8, refine=3, polish=False
    )


@pytest.fixture(scope="module")
def usual():
    return answer(steps(0.01))


@pytest.mark.parametrize("name", GRIDS)
def test_the_answer_is_that_of_the_usual_grid(name, usual):
    solution = answer(GRIDS[name])
    for a, b in zip(usual.refined[:2], solution.refined[:2], strict=True):
        assert (a.structure_type, len(a)) == (b.structure_type, len(b))
        assert b.rw == pytest.approx(a.rw, rel=0.05, abs=1e-3)
        for key, (value, esd) in a.parameters.items():
            other, other_esd = b.parameters[key]
            assert abs(other - value) < max(esd, 1e-3 * abs(value))
            if esd > 0:
                assert other_esd == pytest.approx(esd, rel=0.5), key
