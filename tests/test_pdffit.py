"""The Debye PDF against PDFfit2, which sums Gaussians over r.

A cluster in a large box has the density baseline -4 pi rho0 r; without it
both curves are those of the free cluster.  PDFfit2 draws a pair as a Gaussian
divided by r, the Debye equation as the Gaussian divided by the distance d:
at r = d +- sigma, where they differ most, by sigma/d exp(-1/2) of the peak.
That is the tolerance, for the shortest bond; it shrinks with sigma, and a
check with sharp peaks shows that little else is left.
"""

import contextlib
import io
import math

import numpy as np
import pytest
import torch
from ase.cluster import FaceCenteredCubic
from diffpy.structure import Atom, Lattice, Structure

from diffpy_cbldm.debye import mixed
from diffpy_cbldm.renames import modern

BOX = 60.0
RMAX = 20.0


def cluster():
    """A truncated octahedron of platinum, centred at 0."""
    atoms = FaceCenteredCubic(
        "Pt", [(1, 0, 0), (1, 1, 1)], (3, 2), latticeconstant=3.92
    )
    return atoms.positions - atoms.positions.mean(axis=0)


@pytest.fixture(scope="module")
def pdffit():
    module = pytest.importorskip("diffpy.pdffit2", exc_type=ImportError)
    module.redirect_stdout(io.StringIO())
    return module.PdfFit


def by_pdffit(pdffit, x, symbols, u, stype, qmax, **widths):
    """Return r and G of a cluster in the box, without the baseline."""
    box = Structure(lattice=Lattice(BOX, BOX, BOX, 90, 90, 90))
    for position, symbol, one in zip(x, symbols, u, strict=True):
        box.append(Atom(symbol, position / BOX + 0.5, Uisoequiv=float(one)))
    with contextlib.redirect_stdout(io.StringIO()):
        fit = pdffit()
        fit.read_struct_string(modern(box).write_structure("pdffit"))
        fit.setvar("delta2", widths["delta2"])
        fit.alloc(stype, qmax, widths["qdamp"], 0.01, RMAX, 2000)
        fit.setvar("qbroad", widths["qbroad"])
        fit.calc()
    r = np.array(fit.getR())
    damp = np.exp(-0.5 * (widths["qdamp"] * r) ** 2)
    return r, np.array(fit.getpdf_fit()) + (
        4 * math.pi * len(x) / BOX**3 * r * damp
    )


# PDFfit2 weighs X-rays by form factors at one Q: only elements with nearly
# parallel form factors agree.
@pytest.mark.parametrize(
    ("stype", "pair"),
    [
        ("X", ("Pt", "Pt")),
        ("X", ("Ti", "Ni")),
        ("N", ("Ti", "Ni")),
        ("N", ("Au", "Cu")),
    ],
)
@pytest.mark.parametrize(("sigma", "qmax"), [(0.11, 25.0), (0.04, 72.0)])
def test_pdffit_agrees(pdffit, pair, stype, sigma, qmax):
    x = cluster()
    symbols = [pair[k % 2] for k in range(len(x))]
    # Two widths, neither above sigma.
    u = np.where(np.arange(len(x)) % 2, 0.8, 1.0) * sigma**2 / 2
    widths = {"delta2": 1.0, "qbroad": 0.01, "qdamp": 0.04}
    r, other = by_pdffit(pdffit, x, symbols, u, stype, qmax, **widths)
    g = mixed.mixed_pdf(
        torch.tensor(x),
        symbols,
        u_iso=torch.tensor(u),
        stype=stype,
        qmin=0.0,
        qmax=qmax,
        rmax=RMAX + 0.02,
        grid="native",
        **widths,
    ).numpy()
    g = np.interp(r, 0.01 * np.arange(len(g)), g)
    shortest = 3.92 / math.sqrt(2)
    error = np.abs(g - other).max() / np.abs(g).max()
    assert error < sigma / shortest * math.exp(-0.5)
