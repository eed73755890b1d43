"""The measured curve as fits see it: its range, points, grid and bond.

A `Target` is made once of a PDF and a fitting range, and handed down: every
fit compares the same points, cut by one rule.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Sequence

import numpy as np

from diffpy_cbldm.debye.qgrid import QGrid, q_grid, whole_end
from diffpy_cbldm.debye.widths import end_ratio
from diffpy_cbldm.errors import CbldmError
from diffpy_cbldm.fitting.interpolation import interpolated
from diffpy_cbldm.fitting.signal_end import signal_end
from diffpy_cbldm.pdfdata import PDFData, check_pdf
from diffpy_cbldm.settings import (
    QDAMP_RANGES,
    R_MAX,
    R_STEP,
    Refinement,
    Solve,
)

EDGE = 1e-6
"""A point so near (A) to an end of the fitting range lies in it."""

FEWEST = 20
"""A fit has at least so many data points."""

FEWEST_INDEPENDENT = 6.0
"""And so many independent ones: scale, stretch, Uiso, delta2 and Qdamp are
fitted, and something must be left to judge by."""


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Target:
    """A measured PDF on its fitting range.

    Made by `Target.of`; the fields say what is fitted and under which
    conditions it was measured.

    Attributes
    ----------
    pdf : PDFData
        The whole of the data.
    rmin, rmax : float, angstrom
        The fitting range, both ends included; `rmax` lies within the data.
    r, g : (n,) arrays, angstrom and 1/A^2
        The data points in the range.
    weights : (n,) array
        One over the variance of `g`, 1 on average; 1 where the file has no
        dG.
    qmin, qmax, qbroad : float, 1/A
    qdamp : float or None, 1/A
        None: it is fitted.
    qdamp_range : (low, high), 1/A
        Between what it is fitted.
    stype : {"X", "N"}
    together : tuple of Target
        Other PDFs of the same sample, which a refinement fits as well.
    share : float
        How much Rw^2 counts beside that of the first PDF.
    """

    pdf: PDFData
    rmin: float
    rmax: float
    r: np.ndarray
    g: np.ndarray
    weights: np.ndarray
    qmin: float
    qmax: float
    qbroad: float
    qdamp: float | None
    qdamp_range: tuple[float, float]
    stype: str
    together: tuple[Target, ...] = ()
    share: float = 1.0

    @classmethod
    def of(
        cls,
        pdf: PDFData | Target,
        rmin: float = Solve.rmin,
        rmax: float | None = Solve.rmax,
        qdamp_range: str | Sequence[float] = Solve.qdamp_range,
    ) -> Target:
        """Cut a PDF to the fitting range; a Target is returned as it is.

        Parameters
        ----------
        pdf : PDFData
        rmin, rmax : float, angstrom
            Default 1.5, and where the signal ends (`signal_end`), from 30 A
            on; `rmax` is cut to the end of the data.
        qdamp_range : "auto", or (low, high), 1/A
            Between what a Qdamp that is not known lies; see `qdamp_limits`.

        Raises
        ------
        CbldmError
            Something else than a PDF, fewer than `FEWEST` points, a Q range
            that leaves fewer than `FEWEST_INDEPENDENT`, or only zeros.
        """
        if isinstance(pdf, Target):
            return pdf
        check_pdf(pdf)
        if rmax is None:
            rmax = signal_end(pdf)
        keep = (pdf.r >= rmin - EDGE) & (pdf.r <= rmax + EDGE)
        count = int(keep.sum())
        if count < FEWEST:
            raise CbldmError(
                f"{count} data points lie between rmin {rmin:g} and rmax "
                f"{rmax:g} A, the data from {pdf.r[0]:g} to {pdf.r[-1]:g} A; "
                f"expected at least {FEWEST}: change rmin and rmax."
            )
        weights = np.ones(count)
        if pdf.dg is not None:
            weights = pdf.dg[keep] ** -2.0
            weights = weights / weights.mean()
        target = cls(
            pdf=pdf,
            rmin=rmin,
            rmax=min(rmax, float(pdf.r[-1])),
            r=pdf.r[keep],
            g=pdf.g[keep],
            weights=weights,
            qmin=pdf.qmin,
            qmax=pdf.qmax,
            qbroad=pdf.qbroad,
            qdamp=pdf.qdamp,
            qdamp_range=qdamp_limits(qdamp_range, pdf.stype),
            stype=pdf.stype,
        )
        target._check()
        return target

    def _check(self) -> None:
        """Raise `CbldmError` where there is nothing to fit."""
        span = f"r from {self.r[0]:g} to {self.r[-1]:g} A"
        if not self.g.any():
            raise CbldmError(
                f"G(r) is zero for all {span}; expected peaks: check the "
                "data file and the range of r."
            )
        points = self.independent_points
        if points < FEWEST_INDEPENDENT:
            raise CbldmError(
                f"Q from {self.qmin:g} to {self.qmax:g} 1/A and {span} hold "
                f"{points:.1f} independent data (their ranges' product over "
                f"pi); expected at least {FEWEST_INDEPENDENT:g}: correct "
                "qmin and qmax, or give longer data."
            )

    def __repr__(self) -> str:
        return (
            f"Target({self.pdf!r}, {len(self.r)} points from {self.rmin:g} "
            f"to {self.rmax:g} A)"
        )

    def with_qdamp(self, qdamp: float | None) -> Target:
        """The same with another Qdamp (1/A), or with a free one."""
        return dataclasses.replace(self, qdamp=qdamp)

    def with_rmin(self, rmin: float) -> Target:
        """The same with another start of the range, angstrom."""
        cut = Target.of(self.pdf, rmin, self.rmax, self.qdamp_range)
        return dataclasses.replace(
            cut,
            qdamp=self.qdamp,
            share=self.share,
            together=self.together,
        )

    def with_rmax(self, rmax: float) -> Target:
        """The same with another end of the range, angstrom."""
        cut = Target.of(self.pdf, self.rmin, rmax, self.qdamp_range)
        return dataclasses.replace(
            cut,
            qdamp=self.qdamp,
            share=self.share,
            together=tuple(t.with_rmax(rmax) for t in self.together),
        )

    def with_qmin(self, qmin: float) -> Target:
        """The same with another Qmin, 1/A, of the data as well."""
        pdf = dataclasses.replace(self.pdf, qmin=qmin)
        other = Target.of(pdf, self.rmin, self.rmax, self.qdamp_range)
        return dataclasses.replace(
            other, qdamp=self.qdamp, share=self.share, together=self.together
        )

    @property
    def first_qdamp(self) -> float:
        """Qdamp where it is known, or where a fit of it begins, 1/A."""
        if self.qdamp is not None:
            return self.qdamp
        low, high = self.qdamp_range
        inside = low < Refinement.qdamp < high
        return Refinement.qdamp if inside else 0.5 * (low + high)

    def dampings(self, step: float) -> tuple[float, ...]:
        """Qdamp values to try, 1/A: the known one, or some of its range.

        Parameters
        ----------
        step : float, 1/A
            At most so far apart.
        """
        if self.qdamp is not None:
            return (self.qdamp,)
        low, high = self.qdamp_range
        count = math.ceil((high - low) / step - 1e-6) + 1
        return tuple(np.linspace(low, high, count).tolist())

    def with_weights(self, weights: np.ndarray) -> Target:
        """The same with other weights of the points, (n,)."""
        return dataclasses.replace(self, weights=weights)

    def thinned(self, density: float, qmax: float | None = None) -> Target:
        """Fewer points, `density` times as many as G(r) needs to be known.

        Points nearer to one another than pi / Qmax tell nothing new; qmax is
        the target's own by default.
        """
        # The first two points of an uneven grid may lie anyhow.
        step = float(np.median(np.diff(self.r)))
        # 1e-9: a step must not be one fewer by the rounding of r.
        spacing = math.pi / (qmax or self.qmax)
        every = max(1, int(spacing / density / step + 1e-9))
        if not self.g[::every].any():
            return self  # of a curve of spikes the points between are zero
        return dataclasses.replace(
            self,
            r=self.r[::every],
            g=self.g[::every],
            weights=self.weights[::every],
        )

    @property
    def element(self) -> str:
        """The single element; `CbldmError` where there are several."""
        return self.pdf.element

    @property
    def independent_points(self) -> float:
        """Independent points: the range of r times that of Q, over pi."""
        return (self.rmax - self.rmin) * (self.qmax - self.qmin) / math.pi

    @functools.cached_property
    def _regridded(self) -> tuple[np.ndarray, np.ndarray]:
        return regrid(self.pdf)

    @functools.cached_property
    def bond(self) -> float:
        """The bond length of the first peak, angstrom: `bond_estimate`."""
        return _first_peak(*self._regridded, self.pdf.source)

    @functools.cached_property
    def curve(self) -> tuple[np.ndarray, np.ndarray]:
        """r and G up to `rmax` on the method's grid of `R_STEP`.

        From the first point on, also below `rmin`: the model reads it whole.
        """
        g, measured = self._regridded
        r = np.arange(len(g)) * R_STEP
        keep = measured & (r <= self.rmax + EDGE)
        return r[keep], g[keep]

    @functools.cached_property
    def far_curve(self) -> tuple[np.ndarray, np.ndarray]:
        """As `curve`, however far the range reaches: for large particles."""
        g, measured = regrid(self.pdf, self.rmax + 2 * R_STEP)
        r = np.arange(len(g)) * R_STEP
        keep = measured & (r <= self.rmax + EDGE)
        return r[keep], g[keep]

    def q_grid(
        self,
        uiso: float,
        delta2: float = 0.0,
        end: float | None = None,
        longest: float = 0.0,
    ) -> QGrid:
        """The Q grid of a whole particle, wherever the range ends.

        Parameters
        ----------
        uiso : float, A^2
            The widest peak reaches beyond the range by its tail.
        delta2 : float, A^2
        end : float, angstrom
            Where the calculated range ends; default: the last point.
        longest : float, angstrom
            The longest distance between two atoms; default: it lies within
            the native calculator's reach at 30 A.
        """
        first = float(self.r[0])
        last = float(self.r[-1]) if end is None else end
        ratio = end_ratio(
            first, whole_end(last), delta2=delta2, qbroad=self.qbroad
        )
        return q_grid(self.qmin, self.qmax, last, uiso, ratio, longest)


def qdamp_limits(
    chosen: str | Sequence[float], stype: str
) -> tuple[float, float]:
    """Between what a Qdamp that is not known lies, 1/A.

    Parameters
    ----------
    chosen : str or (low, high)
        "auto" for `QDAMP_RANGES`; as text two numbers with a comma.
    stype : {"X", "N"}

    Raises
    ------
    CbldmError
        Anything but two rising numbers from 0 to 1.
    """
    if isinstance(chosen, str) and chosen.strip() == "auto":
        return QDAMP_RANGES[stype]
    parts = chosen.split(",") if isinstance(chosen, str) else chosen
    try:
        low, high = (float(part) for part in parts)
    except (TypeError, ValueError):
        low = high = math.nan
    # Also not a number fails.
    if not 0 <= low < high <= 1:
        raise CbldmError(
            f"qdamp_range is {chosen!r}; expected auto, or two rising "
            "numbers from 0 to 1 (1/A) such as 0.015,0.06: change "
            "qdamp_range, or pass qdamp where it is known."
        )
    return low, high


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
    of sinc functions, as a spline loses the fine structure there, or by the
    least sum of waves up to Qmax where the steps are uneven.

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
            g[inside] = interpolated(r, values, grid[inside], pdf.qmax)
        mask |= inside
    if not mask.any():
        raise CbldmError(
            f"{pdf.source or 'the data'}: r runs from {pdf.r[0]:g} to "
            f"{pdf.r[-1]:g} A; expected data below {rmax:g} A: transform "
            "the data again from r = 0."
        )
    return g, mask


def bond_estimate(pdf: PDFData) -> float:
    """Bond length from the first peak of G(r), angstrom.

    The first maximum between 1.8 and 5 A that reaches 40 % of the highest
    value below 8 A: ripples are lower, first shells are not.

    Raises
    ------
    CbldmError
        There is no such peak.
    """
    return _first_peak(*regrid(pdf), pdf.source)


def _first_peak(g: np.ndarray, measured: np.ndarray, source: str) -> float:
    """`bond_estimate` of a curve on the method's grid."""
    r = np.arange(len(g)) * R_STEP
    inside = measured & (r > 1.8) & (r < 8.0)
    top = g[inside].max() if inside.any() else 0.0
    peak = (g[1:-1] > g[:-2]) & (g[1:-1] >= g[2:]) & (g[1:-1] > 0.4 * top)
    places = 1 + np.flatnonzero(peak & inside[1:-1] & (r[1:-1] < 5.0))
    if top <= 0 or len(places) == 0:
        raise CbldmError(
            f"{source or 'the PDF'} has no peak between 1.8 and 5 A; "
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
