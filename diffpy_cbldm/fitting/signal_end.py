"""Where the signal of a measured PDF ends.

A finite particle has no distances beyond its diameter, and the resolution in
Q damps what it has: from some r on G(r) holds noise alone, whose size stays
the same.  Large particles are told by what lies beyond 30 A, small ones have
nothing there.
"""

from __future__ import annotations

import numpy as np

from diffpy_cbldm.pdfdata import PDFData
from diffpy_cbldm.settings import R_FAR, R_MAX

WINDOW = 5.0
"""The size of G(r) is its root mean square over so much r, A."""

TAIL = 0.25
"""The last part of the data, in which noise is looked for."""

CONSTANT = 2.0
"""Noise keeps its size there within this factor."""

QUIET = 0.1
"""Noise is at most so large, relative to the largest G(r): what is larger and
constant is signal that goes on."""

ABOVE = 1.5
"""Signal is what is larger than noise by this factor."""


def signal_end(pdf: PDFData, least: float = R_MAX) -> float:
    """The r at which the signal of a PDF has fallen to its noise.

    The size of G(r), its root mean square in windows of 5 A, is compared
    with that in the last quarter of the data.  Where it changes there by
    less than a factor of 2, and is at most a tenth of the largest, what is
    there is noise, and the signal ends with the last window
    that is 1.5 times as large.  Otherwise the signal goes on
    to the end of the data.

    Parameters
    ----------
    pdf : PDFData
    least : float, angstrom
        The range never ends before, unless the data do.  Default 30.

    Returns
    -------
    float, angstrom
        At most 100, and at most the last r of the data.
    """
    last = min(float(pdf.r[-1]), R_FAR)
    if last <= least:
        return last
    starts = np.arange(max(float(pdf.r[0]), 1.0), last - WINDOW, 1.0)
    size = np.array([_rms(pdf, start) for start in starts])
    tail = size[starts >= last - max(TAIL * last, 2 * WINDOW)]
    if len(tail) < 3 or tail.max() > CONSTANT * tail.min():
        return last
    noise = float(np.median(tail))
    if noise > QUIET * size.max():
        return last
    above = starts[size > ABOVE * noise]
    end = float(above[-1]) + WINDOW if len(above) else least
    return float(np.clip(end, least, last))


def _rms(pdf: PDFData, start: float) -> float:
    inside = (pdf.r >= start) & (pdf.r < start + WINDOW)
    return float(np.sqrt(np.mean(pdf.g[inside] ** 2))) if inside.any() else 0.0
