"""What the columns of a file may hold in place of r and G(r).

F(Q) over Q looks like a G(r): waves from peak to peak that die away, and the
reciprocal lattice of fcc is a bcc one that fits.  g(r) has the peaks of G(r)
about 1 and not about 0.  Each of them can be turned into the G(r) it stands
for, and what that is worth is told by a fit.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from diffpy_cbldm.pdfdata import PDFData
from diffpy_cbldm.settings import R_MAX

Q_ENDS = (14.0, 45.0)
"""F(Q) ends between these, 1/A.  The Qmax of the header says nothing: F(Q) is
written to it, to the end of the instrument (qmaxinst), or cut."""

STEP = 0.02
"""Of r in the transform of F(Q), A: half a wave of 45 1/A is 0.07 A."""

_AT_ONCE = 1 << 20
"""Sines that are held at a time: 8 MB."""


def as_scattering(pdf: PDFData) -> PDFData | None:
    """The G(r) of data whose columns are Q and F(Q).

    Parameters
    ----------
    pdf : PDFData

    Returns
    -------
    PDFData or None
        None where the first column does not end as one of Q would.
    """
    q, end = pdf.r, float(pdf.r[-1])
    low, high = Q_ENDS
    if not low <= end <= high:
        return None
    r = np.arange(1, round(R_MAX / STEP)) * STEP
    kept = pdf.g * np.gradient(q) * (q >= pdf.qmin)
    # In parts: a file may have tens of thousands of points.
    parts = np.array_split(r, max(1, len(q) * len(r) // _AT_ONCE))
    g = np.concatenate([np.sin(x[:, None] * q) @ kept for x in parts])
    g *= 2 / math.pi
    return _other(pdf, r, g, end)


def as_pair_function(pdf: PDFData) -> PDFData | None:
    """G(r) but for its scale, of data whose columns are r and g(r).

    Parameters
    ----------
    pdf : PDFData

    Returns
    -------
    PDFData or None
        None where the data do not go about a level: g(r) goes about 1.
    """
    far = pdf.r > 0.5 * pdf.r[-1]
    level, spread = float(pdf.g[far].mean()), float(pdf.g[far].std())
    if level <= 2 * spread:
        return None
    # G(r) is 4 pi rho0 r (g(r) - 1).
    return _other(pdf, pdf.r, pdf.r * (pdf.g - level), pdf.qmax)


def _other(
    pdf: PDFData, r: np.ndarray, g: np.ndarray, qmax: float
) -> PDFData | None:
    """The data with other columns, None where they hold nothing."""
    if not np.ptp(g):
        return None
    return dataclasses.replace(pdf, r=r, g=g, dg=None, qmax=qmax, notes=())


def upside_down(pdf: PDFData) -> PDFData:
    """The data with all signs of G(r) changed."""
    return dataclasses.replace(pdf, g=-pdf.g)
