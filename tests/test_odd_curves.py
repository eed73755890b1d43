"""Curves that are no G(r) of a particle: an answer or a plain error."""

import dataclasses
import warnings

import numpy as np
import pytest
from ase.cluster import Octahedron

import diffpy_cbldm as cb

CLUSTER = cb.Cluster("Pt", Octahedron("Pt", 4, 1, 3.92).positions)
(PDF,) = cb.simulate([CLUSTER], rmax=14.0, rstep=0.02, qmax=22.0)
NOISE = np.random.default_rng(1).normal(size=len(PDF.r))

CURVES = {
    "white noise": NOISE,
    "noise ten times the signal": PDF.g + 10 * np.std(PDF.g) * NOISE,
    "g(r)": 1 + PDF.g / np.maximum(PDF.r, 0.5) / 3,
    "I(Q)": 100 * np.exp(-PDF.r / 3) + 1,
    "upside down": -PDF.g,
    "nearly constant": 1 + 1e-9 * NOISE,
    "constant": np.ones(len(PDF.r)),
    "zeros": np.zeros(len(PDF.r)),
    "one spike": np.where(np.arange(len(PDF.r)) == 139, 1.0, 0.0),
    "a slope": PDF.r - 5,
    "zeros in the range": np.where(PDF.r < 1, PDF.g, 0.0),
}


def answer(pdf_changes):
    """What the doors say, with all warnings as errors: texts of errors."""
    texts = []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for door in ("refine", "solve"):
            try:
                pdf = dataclasses.replace(PDF, **{"qdamp": None} | pdf_changes)
                if door == "refine":
                    best = cb.refine(CLUSTER, pdf)
                else:
                    best = cb.solve(
                        pdf, generators=("library",), count=8, refine=2
                    ).candidates[0]
                assert 0 <= best.rw <= 1 + 1e-12
                assert np.isfinite(best.positions).all()
                assert best.rw <= best.rw_raw + 1e-2
            except cb.CbldmError as error:
                texts.append(str(error))
    return texts


@pytest.mark.parametrize("name", CURVES)
def test_odd_curves(name):
    texts = answer({"g": CURVES[name]})
    if name in ("constant", "zeros", "zeros in the range"):
        assert len(texts) == 2
    for text in texts:
        assert "expected" in text


@pytest.mark.parametrize("qmin", [0.5, 10.0, 19.0])
@pytest.mark.parametrize("width", [0.05, 0.5, 1.5, 3.0])
def test_short_q_ranges(qmin, width):
    texts = answer({"qmin": qmin, "qmax": qmin + width})
    if width < 1:
        assert len(texts) == 2
    for text in texts:
        assert "expected" in text


def test_a_short_q_range_is_named():
    pdf = dataclasses.replace(PDF, qmin=10.0, qmax=10.4)
    with pytest.raises(cb.CbldmError, match="hold 1.6 independent data"):
        cb.refine(CLUSTER, pdf)
