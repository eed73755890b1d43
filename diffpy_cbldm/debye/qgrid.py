"""The Q and r grids of the native Debye calculator, and its transform.

Its Q grid follows from the range of r: with R the end of that range and of
the tail of a peak there, Q_k = k pi / R (`native_range`).  `native_curves` is
its sum over Q_k in place of

    G(r) = (2/pi) int_Qmin^Qmax F(Q) sin(Q r) dQ,

and `quadrature` has points for the integral itself.

That grid leaves out pairs at d > R, and the Q at which its sum begins moves
with R: its curve of a particle depends on where the range of r ends.
`whole_range`, and `q_grid` for those who need the points, has the grid of the
native calculator at its range of 30 A for every range, and a finer one with
the same ends in Q where particle or range are longer.

Source: libdiffpy 1.4, PDFUtils and DebyePDFCalculator.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import TYPE_CHECKING

import numpy as np
from array_api_compat import array_namespace, device

from diffpy_cbldm.debye.pair_blocks import Array
from diffpy_cbldm.debye.pairgrid import sine_back
from diffpy_cbldm.errors import CbldmError

if TYPE_CHECKING:
    from torch import Tensor

DROP = 3.33e-6
"""Where the tail of a peak ends, relative to its height (libdiffpy)."""

R_STEP = 0.01
"""Default step of r, A; the end of the range is a multiple of it."""

R_END = 30.0
"""End of the range (A) whose native Q grid all others take over."""

SAME_END = 0.05
"""A range that ends so near to `R_END` (A) has its own native grid: the last
point of data lies a step or some before."""

EDGE_CELLS = 6
"""Native steps in Q over which a finer grid goes over from the native one."""

# --------------------------------------------------------------- the Q grids


@functools.lru_cache(maxsize=1024)
def native_range(
    widths_max: float,
    ratio_max: float,
    qmin: float,
    qmax: float,
    rmax: float,
    rstep: float,
) -> tuple[float, float, int, int]:
    """The Q grid of diffpy.srreal's DebyePDFCalculator.

    Parameters
    ----------
    widths_max : float, largest Uiso, A^2
    ratio_max : float, largest factor s at the two ends of the r range
    qmin, qmax : float, 1/A
    rmax, rstep : float, A

    Returns
    -------
    (extended rmax in A, dQ in 1/A, first k, number of k)
        F(Q) is taken at k dQ, k = 0 .. number - 1, and is 0 below the first.
    """
    fwhm = 2 * math.sqrt(2 * math.log(2)) * math.sqrt(2 * widths_max)
    fwhm *= math.sqrt(max(1.0, ratio_max))
    tail = fwhm * math.sqrt(-math.log(DROP) / (4 * math.log(2)))
    # Six ripples of the cut at Qmax, and half a peak.
    extension = min(10.0, 6 * 2 * math.pi / qmax + tail)
    # A whole number of steps must not become one more by its rounding.
    extended = math.ceil((rmax + extension) / rstep - 1e-9) * rstep
    dq = math.pi / extended
    if qmax * extended / math.pi <= 4:
        dq = qmax / 4
    return extended, dq, math.ceil(qmin / dq), math.ceil(qmax / dq)


def whole_end(rmax: float) -> float:
    """Where the range ends whose native Q grid a curve to `rmax` has, A."""
    return rmax if abs(rmax - R_END) <= SAME_END + 1e-9 else R_END


@functools.lru_cache(maxsize=1024)
def whole_range(
    widths_max: float,
    ratio_max: float,
    qmin: float,
    qmax: float,
    rmax: float,
    longest: float,
) -> tuple[float, float, int, int, int]:
    """The Q grid of the whole particle, wherever the range of r ends.

    Parameters
    ----------
    widths_max : float, largest Uiso, A^2
    ratio_max : float, largest factor s at rmin and at `whole_end(rmax)`
    qmin, qmax : float, 1/A
    rmax : float, A
    longest : float, A
        The longest distance between two atoms.

    Returns
    -------
    (reach in A, dQ in 1/A, first k, number of k, parts)
        As `native_range`.  No pair lies beyond the reach.  Each native step
        in Q is divided into so many parts, an odd number; 1 is the native
        grid itself.
    """
    base, dq, first, count = native_range(
        widths_max, ratio_max, qmin, qmax, whole_end(rmax), R_STEP
    )
    if rmax > whole_end(rmax):
        beyond = native_range(widths_max, ratio_max, qmin, qmax, rmax, R_STEP)[
            0
        ]
        longest = max(longest, beyond)
    parts = 1
    # Odd numbers alone keep each native point, and the ends half a step
    # before the first and after the last one, on the finer grid.
    while parts * base < longest:
        parts += 2
    side = parts // 2
    return (
        parts * base,
        dq / parts,
        max(0, parts * first - side),
        parts * (count - 1) + side + 1,
        parts,
    )


@functools.lru_cache(maxsize=32)
def edge_weights(first: int, count: int, parts: int) -> np.ndarray:
    """Weights (count,) of F at the points of a `whole_range`; 0 below first.

    A native sum has no points between its own, which shows where it is cut
    at Qmin and Qmax.  There the finer grid begins with the native points
    alone, and goes over to all of its own within `EDGE_CELLS` native steps:
    one particle has the same ripples on both.
    """
    k = np.arange(count)
    side = parts // 2
    cell = (k + side) // parts
    away = cell[-1] - cell
    if 0 < first < count:
        away = np.minimum(away, cell - cell[first])
    turn = np.cos(0.5 * np.pi * np.clip(away / EDGE_CELLS, 0, 1)) ** 2
    own = np.where(k % parts == 0, parts - 1.0, -1.0)
    return np.where(k >= first, 1.0 + turn * own, 0.0)


def series_weights(first: int, count: int, parts: int) -> np.ndarray:
    """Weights (count,) of F in a sum, native (one part) or finer."""
    if parts > 1:
        return edge_weights(first, count, parts)
    return np.where(np.arange(count) >= first, 1.0, 0.0)


@dataclasses.dataclass(frozen=True, eq=False)
class QGrid:
    """The points of a Q grid inside [Qmin, Qmax).

    Attributes
    ----------
    q : (K,) array, 1/A
    weights : (K,) array
        Of F(Q) in the sum over the points, see `edge_weights`.
    reach : float, angstrom
        Half the period of the sum in r: it holds pairs up to there.
    parts : int
        Of each native step in Q.
    """

    q: np.ndarray
    weights: np.ndarray
    reach: float
    parts: int

    @property
    def base(self) -> float:
        """The native reach, which the widths of the peaks move, A."""
        return self.reach / self.parts


def q_grid(
    qmin: float,
    qmax: float,
    rmax: float,
    uiso: float,
    ratio: float = 1.0,
    longest: float = 0.0,
) -> QGrid:
    """The points of the Q grid of a whole particle.

    Parameters
    ----------
    qmin, qmax : float, 1/A
    rmax : float, angstrom
        End of the calculated range.
    uiso : float, A^2
        It widens the range of r by the tail of a peak.
    ratio : float, default 1
        The largest s at the two ends of the range, see
        `diffpy_cbldm.debye.widths.end_ratio`: Qbroad widens the tail.
    longest : float, angstrom
        The longest pair distance; default: it lies within the reach.
    """
    reach, dq, first, count, parts = whole_range(
        float(uiso), float(ratio), qmin, qmax, float(rmax), float(longest)
    )
    return QGrid(
        np.arange(first, count) * dq,
        edge_weights(first, count, parts)[first:],
        reach,
        parts,
    )


@functools.lru_cache(maxsize=8)
def quadrature(
    qmin: float, qmax: float, length: float
) -> tuple[list[float], list[float]]:
    """Gauss-Legendre nodes and weights for waves up to sin(Q length)."""
    # 48 nodes are exact to rounding for 60 radians of phase a panel.
    panels = math.ceil((qmax - qmin) * length / 2 / 60)
    x, w = np.polynomial.legendre.leggauss(48)
    half = (qmax - qmin) / panels / 2
    centre = qmin + half * (2 * np.arange(panels)[:, None] + 1)
    nodes = (centre + half * x).ravel()
    return nodes.tolist(), np.tile(half * w, panels).tolist()


# ---------------------------------------------------------- from F(Q) to G(r)


def transform_size(dq: float, count: int, parts: int, rstep: float) -> int:
    """Points of the sine transform that makes G(r) of F(Q).

    DiffPy pads F(Q) to a power of two whose step in r is at most rstep.  A
    finer grid in Q keeps that step, and with it what is lost between.
    """
    size = max(
        math.ceil(count / parts), math.ceil(math.pi / (rstep * dq * parts))
    )
    return parts << math.ceil(math.log2(size))


def native_curves(
    f: Array,
    dq: float,
    first: int,
    r: np.ndarray,
    rstep: float,
    parts: int = 1,
) -> Array:
    """Sine transform as DiffPy does it: padded, then linear in r.

    parts : int
        Of each native step in Q, see `whole_range`.
    """
    count = f.shape[1]
    size = transform_size(dq, count, parts, rstep)
    xp, where = array_namespace(f), {"device": device(f)}
    weights = series_weights(first, count, parts)
    f = f * xp.asarray(weights, dtype=f.dtype, **where)
    g = sine_back(f, size) * (2 / math.pi * dq)
    place = r * (size * dq / math.pi)
    left = np.minimum(np.floor(place), 2 * size - 2)
    part = xp.asarray(place - left, dtype=f.dtype, **where)
    index = xp.asarray(left.astype(np.int64), **where)
    before = xp.take(g, index, axis=1)
    return before + part * (xp.take(g, index + 1, axis=1) - before)


def r_points(rmin: float, rmax: float, rstep: float) -> np.ndarray:
    """The points r (M,) of `debye_pdf`, angstrom.

    ceil(rmin/rstep) .. ceil(rmax/rstep) - 1, times rstep, as in DiffPy: rmax
    itself is not in it.

    Raises
    ------
    CbldmError
        rmin < 0, rmin >= rmax, or a step that is no positive number.
    """
    if not (0 <= rmin < rmax < math.inf and 0 < rstep < math.inf):
        raise CbldmError(
            f"rmin, rmax and rstep are {rmin:g}, {rmax:g} and {rstep:g}; "
            "expected 0 <= rmin < rmax and a step above 0: correct them."
        )
    first, last = (math.ceil(x / rstep - 1e-8) for x in (rmin, rmax))
    return np.arange(first, last, dtype=float) * rstep


def r_grid(rmin: float, rmax: float, rstep: float) -> Tensor:
    """`r_points` as a tensor of float64, for who works with tensors."""
    import torch

    return torch.from_numpy(r_points(rmin, rmax, rstep))
