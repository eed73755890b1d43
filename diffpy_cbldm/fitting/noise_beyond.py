"""Noise of single points, most of which lies beyond Qmax.

A measured G(r) is a transform of Q up to Qmax, and so is its noise.  Where
points were given noise of their own, or were read from a figure, most of it
has waves that no structure could show: it hides differences of Rw ten times as
large as those that the data tell.  What lies within Qmax is kept,

    G(r) = sum_k a_k sin(Q_k r),  Q_k = k pi / (rmax + 10 A) up to Qmax

with the a_k of the least squares: beyond the last point the waves go on, so
that the end of the data makes none.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from diffpy_cbldm.fitting.effective_points import (
    share_of_range,
    share_of_waves,
)
from diffpy_cbldm.fitting.sine_matrix import even_waves
from diffpy_cbldm.pdfdata import PDFData

BEYOND = 10.0
"""Length over which the waves go on beyond the data, A."""

RIDGE = 1e-6
"""Of the mean diagonal of the normal equations: what the range does not tell
stays small."""

LEAST, MOST = 0.005, 0.5
"""Sizes of noise over that of G(r) between which it is taken away: the end of
clean data leaves half of the first, and beyond the second there is no more
signal than noise."""

EVEN = 0.5
"""Evenness of its power beyond Qmax from which it is noise; a signal there,
under a Qmax that is told too low, lies near to Qmax."""

SPREAD = 0.3
"""Evenness over r from which it is noise of all points: a spike, or a step
below the range that is fitted, has 0.1."""

ROOM = 1.5
"""The points show waves up to so many times Qmax at least."""


def without_noise_beyond(pdf: PDFData) -> tuple[PDFData, float]:
    """A PDF without the noise that lies beyond Qmax.

    Parameters
    ----------
    pdf : PDFData

    Returns
    -------
    pdf : PDFData
        The same object where there is no such noise, where dG is given, and
        where points are missing or too coarse to show any.
    noise : float
        Root mean square of what was taken away, over that of G(r).
    """
    r, g = pdf.r, pdf.g
    last = math.pi / pdf.step
    if pdf.dg is not None or len(pdf.gaps) or last < ROOM * pdf.qmax:
        return pdf, 0.0
    kept = _within(r, g, pdf.qmax)
    left = g - kept
    noise = float(np.sqrt(np.mean(left**2) / (np.mean(g**2) or 1.0)))
    if not LEAST <= noise <= MOST:
        return pdf, 0.0
    if share_of_waves(r, left, pdf.qmax, last) < EVEN:
        return pdf, 0.0
    points = float(r[-1] - r[0]) * (last - pdf.qmax) / math.pi
    if share_of_range(r, left, points) < SPREAD:
        return pdf, 0.0
    return dataclasses.replace(pdf, g=kept), noise


def _within(r: np.ndarray, g: np.ndarray, qmax: float) -> np.ndarray:
    """What waves up to Qmax make of a curve by least squares, (n,).

    r, g (n,); with a ridge of `RIDGE`.
    """
    step = math.pi / (float(r[-1]) + BEYOND)
    count = math.floor(qmax / step)
    k, ones = np.arange(1, count + 1), np.ones(count)
    # Products of two sines are cosines of the sum and the difference, so
    # that 2 K sums over the points, cos x = 1 - 2 sin^2(x / 2), make all K^2.
    cosines = np.full(2 * count + 1, float(len(r)))
    # Of waves of half the step every second one is asked for.  The others
    # go first, as each half takes 70 MB for 100 A.
    cosines[1::2] -= 2 * _squares(even_waves((k - 0.5) * step, r, ones))
    asked = even_waves(k * step, r, ones)
    cosines[2::2] -= 2 * _squares(asked)
    normal = cosines[np.abs(k[:, None] - k)] - cosines[k[:, None] + k]
    normal /= 2
    normal[np.diag_indices(count)] += RIDGE * np.trace(normal) / count
    return np.linalg.solve(normal, asked @ g) @ asked


def _squares(waves: np.ndarray) -> np.ndarray:
    """Sums of the squares of rows, (K, n) -> (K,)."""
    return np.einsum("ij,ij->i", waves, waves)
