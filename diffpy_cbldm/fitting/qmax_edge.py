"""Qmax as the data tell it: where their waves end.

A measured G(r) is a transform of Q up to Qmax, and has no waves beyond: the
ripples beside its peaks are those of Qmax.  Turned back,

    F(Q) = sum_r G(r) sin(Q r) w(r) dr,  w = cos^2(pi r / (2 rmax))

falls there from its signal and noise to what the end of the data leaves.
"""

from __future__ import annotations

import math

import numpy as np

from diffpy_cbldm.pdfdata import PDFData

STEP = 0.02
"""Steps in Q, 1/A."""

AROUND = (0.75, 1.3)
"""Qmax is looked for between these times the stated one."""

FALL = 30.0
"""The power falls by this factor at least, or no end is seen."""

LATE = 0.7
"""The fall is seen so late, in units of 2 pi / rmax: by that the window blurs
F(Q), and the change of its power lies where nothing is left (measured on 30
simulated PDFs: 0.5 to 1.3)."""


def qmax_of(pdf: PDFData) -> float | None:
    """The Qmax at which the waves of a PDF end.

    Parameters
    ----------
    pdf : PDFData

    Returns
    -------
    float or None, 1/A
        None where no end is seen within `AROUND` of the stated one: data
        with noise of single points, smoothed ones, or steps in r that are
        too coarse.
    """
    low, high = (factor * pdf.qmax for factor in AROUND)
    # A step in r folds what lies beyond pi / step back.
    high = min(high, 0.95 * math.pi / pdf.step)
    q = np.arange(low, high, STEP)
    blur = 2 * math.pi / float(pdf.r[-1])
    if high < pdf.qmax + 2 * blur:
        return None
    steps = np.gradient(pdf.r)
    window = np.cos(0.5 * math.pi * pdf.r / pdf.r[-1]) ** 2
    f = _sine_sums(low, len(q), pdf.r, steps * window * pdf.g)
    at = _change(f**2, round(blur / STEP))
    return None if at is None else float(q[at]) - LATE * blur


def _sine_sums(
    low: float, count: int, r: np.ndarray, parts: np.ndarray
) -> np.ndarray:
    """sum_r parts sin(Q r) at Q = low, low + `STEP`, ..., (count,).

    With Q = Q_a + Q_b, a few values of each, sin(Q r) is two products: so
    few sines are taken, and no table of all of them is held.
    """
    inner = math.isqrt(count) + 1
    outer = -(-count // inner)
    coarse = (low + STEP * inner * np.arange(outer))[:, None] * r
    fine = r[:, None] * (STEP * np.arange(inner))
    sums = (np.sin(coarse) * parts) @ np.cos(fine)
    sums += (np.cos(coarse) * parts) @ np.sin(fine)
    return sums.ravel()[:count]


def _change(power: np.ndarray, least: int) -> int | None:
    """Where the power falls: the most likely change of its mean.

    Of independent normal F with one variance before and another behind, the
    likelihood is greatest where n_1 log(p_1) + n_2 log(p_2) is least.
    """
    # What the end of the data leaves is no noise: it has a floor.
    power = power + 1e-6 * power.max()
    count, total = np.arange(1, len(power)), np.cumsum(power)
    before = total[:-1] / count
    behind = (total[-1] - total[:-1]) / count[::-1]
    cost = count * np.log(before) + count[::-1] * np.log(behind)
    inside = slice(least, len(cost) - least)
    if len(cost) <= 2 * least:
        return None
    at = least + int(np.argmin(cost[inside]))
    return at if before[at] > FALL * behind[at] else None
