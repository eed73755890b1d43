"""Qmin as the data tell it: waves that are slower than it.

A measured G(r) is a transform of Q from Qmin on, and what is calculated for
it has no slower waves either.  Turned back,

    F(Q) = sum_r G(r) sin(Q r) dr,

is then nothing below Qmin.  Some programs draw F(Q) there as a line to the
origin, and a header may name a Qmin that was not used: what the file holds
below is no part of what any structure is compared with.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from diffpy_cbldm.pdfdata import PDFData

ABOVE = 2.0
"""What lies below Qmin is compared with so much (1/A) above it."""

FIRST = 0.1
"""Data that begin at a larger r (A) do not tell the slow waves."""

LEAST = 0.2
"""So much (1/A) must be left of the Q below Qmin by what the end of the data
blurs."""

_PARTS = 8
"""Steps in Q for one that the end of the data resolves."""


def waves_below(pdf: PDFData) -> float:
    """How large F(Q) is below Qmin, in units of that above.

    Parameters
    ----------
    pdf : PDFData

    Returns
    -------
    float
        Root mean squares; 0 where the data cannot tell, as where they do not
        begin at r = 0 or have gaps.  Of measured data whose header is right
        0.00 to 0.02.
    """
    end = float(pdf.r[-1])
    # The end of the data blurs F(Q) by this.
    seen = pdf.qmin - 2 * math.pi / end
    if pdf.r[0] > FIRST or seen < LEAST or len(pdf.gaps):
        return 0.0
    window = np.cos(0.5 * math.pi * pdf.r / end) ** 2
    q = _steps(pdf.qmin + ABOVE, end)
    f = _turned_back(pdf, q, window)
    below, above = f[q < seen], f[q > pdf.qmin]
    return math.sqrt(float((below**2).mean() / (above**2).mean()))


def without_waves_below(pdf: PDFData) -> PDFData:
    """The same data without what is slower than Qmin.

    Parameters
    ----------
    pdf : PDFData

    Returns
    -------
    PDFData
        With G(r) - 2 / pi sum_Q F(Q) sin(Q r) dQ over Q below Qmin.
    """
    q = _steps(pdf.qmin, float(pdf.r[-1]))
    f = _turned_back(pdf, q, np.ones(len(pdf.r)))
    slow = np.sin(pdf.r[:, None] * q) @ f * (2 / math.pi * (q[1] - q[0]))
    return dataclasses.replace(pdf, g=pdf.g - slow)


def _steps(stop: float, end: float) -> np.ndarray:
    """Middles of equal steps in Q from 0 to `stop`, 1/A."""
    count = math.ceil(stop * end / (2 * math.pi) * _PARTS)
    return (np.arange(count) + 0.5) * stop / count


def _turned_back(
    pdf: PDFData, q: np.ndarray, window: np.ndarray
) -> np.ndarray:
    """F(Q) of a G(r) times a window, (K,)."""
    parts = pdf.g * window * np.gradient(pdf.r)
    return np.asarray(np.sin(q[:, None] * pdf.r) @ parts)
