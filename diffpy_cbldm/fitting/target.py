"""The measured curve as fits see it: its range, grid and weights."""

from __future__ import annotations

import math

import numpy as np

from diffpy_cbldm.errors import CbldmError
from diffpy_cbldm.pdfdata import PDFData
from diffpy_cbldm.settings import R_MAX, R_STEP


def r_grid(rmax: float = R_MAX, rstep: float = R_STEP) -> np.ndarray:
    """Return the grid 0, rstep, ... below `rmax`, in angstrom."""
    return np.arange(math.ceil(rmax / rstep - 1e-6)) * rstep


def regrid(
    pdf: PDFData, rmax: float = R_MAX, rstep: float = R_STEP
) -> tuple[np.ndarray, np.ndarray]:
    """Bring a PDF to the grid r = 0, rstep, ... below `rmax`.

    Data on the grid are copied.  Others are interpolated, with G(-r) =
    -G(r) continuing the data below r = 0: by a spline of degree 7 where
    the step is below half of pi / Qmax (Nyquist), else by Whittaker's sum
    of sinc functions, as a spline loses the fine structure there.

    Parameters
    ----------
    pdf : PDFData
        The data; not changed.
    rmax : float, angstrom
        End of the grid, not included.  Default 30.
    rstep : float, angstrom
        Step of the grid.  Default 0.01.

    Returns
    -------
    g : (m,) array, 1/A^2
        G(r), zero where nothing was measured.
    mask : (m,) bool array
        True where `g` was measured.

    Raises
    ------
    CbldmError
        Where no data lie on the grid's range.
    """
    grid = r_grid(rmax, rstep)
    g = np.zeros(len(grid))
    mask = np.zeros(len(grid), dtype=bool)
    tolerance = 1e-3 * rstep
    for part in np.split(np.arange(len(pdf.r)), pdf.gaps + 1):
        r, values = pdf.r[part], pdf.g[part]
        inside = (grid > r[0] - tolerance) & (grid < r[-1] + tolerance)
        index = np.rint(r / rstep).astype(int)
        on_grid = np.all(np.abs(r - index * rstep) < tolerance)
        if on_grid and np.all(np.diff(index) == 1):
            g[inside] = values[index < len(grid)]
        elif inside.any():
            g[inside] = _interpolate(r, values, grid[inside], pdf.qmax)
        mask |= inside
    if not mask.any():
        raise CbldmError(
            f"{pdf.source or 'the data'}: r runs from {pdf.r[0]:g} to "
            f"{pdf.r[-1]:g} A; expected data below {rmax:g} A: transform "
            "the data again from r = 0."
        )
    return g, mask


def _interpolate(
    r: np.ndarray, g: np.ndarray, at: np.ndarray, qmax: float
) -> np.ndarray:
    """Interpolate data without content beyond qmax; `at` lies within r."""
    at = np.clip(at, r[0], r[-1])
    steps = np.diff(r)
    step = float(np.median(steps)) if len(steps) else 0.0
    if r[0] < 1.5 * step:
        later = r > step / 2
        r = np.concatenate([-r[later][::-1], r])
        g = np.concatenate([-g[later][::-1], g])
    even = np.ptp(steps) < 1e-3 * step if len(steps) else False
    if even and step > 0.5 * math.pi / qmax:
        return np.sinc((at[:, None] - r) / step) @ g
    from scipy.interpolate import make_interp_spline

    degree = next((k for k in (7, 5, 3, 1) if len(r) > k), 0)
    return make_interp_spline(r, g, k=degree)(at)


def bond_estimate(pdf: PDFData) -> float:
    """Bond length from the first peak of G(r), angstrom.

    The first maximum between 1.8 and 5 A that reaches 40 % of the highest
    value below 8 A: ripples are lower, first shells are not.

    Raises
    ------
    CbldmError
        There is no such peak.
    """
    g, measured = regrid(pdf)
    r = np.arange(len(g)) * R_STEP
    inside = measured & (r > 1.8) & (r < 8.0)
    top = g[inside].max() if inside.any() else 0.0
    peak = (g[1:-1] > g[:-2]) & (g[1:-1] >= g[2:]) & (g[1:-1] > 0.4 * top)
    places = 1 + np.flatnonzero(peak & inside[1:-1] & (r[1:-1] < 5.0))
    if top <= 0 or len(places) == 0:
        raise CbldmError(
            f"{pdf.source or 'the PDF'} has no peak between 1.8 and 5 A; "
            "expected the bond of a metal there: check that r is in "
            "angstrom and that the data are a G(r)."
        )
    k = int(places[0])
    # Noise can put a false maximum on the flank: climb to the real one.
    k += int(np.argmax(g[k : k + 30]))
    before, here, after = g[k - 1], g[k], g[k + 1]
    bend = before - 2 * here + after
    shift = 0.5 * (before - after) / bend if bend < 0 else 0.0
    return float(r[k] + shift * R_STEP)


def curve_of(pdf: PDFData, rmax: float) -> tuple[np.ndarray, np.ndarray]:
    """r and G of the measured points up to `rmax` on the method's grid."""
    g, measured = regrid(pdf)
    r = np.arange(len(g)) * R_STEP
    keep = measured & (r <= rmax + 1e-6)
    return r[keep], g[keep]
