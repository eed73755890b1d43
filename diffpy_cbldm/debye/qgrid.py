"""The Q and r grids of the native Debye calculator, and its transform.

Its Q grid follows from the range of r: with R the end of that range and of
the tail of a peak there, Q_k = k pi / R (`native_range`, and `q_grid` for
those who need the points).  `native_curves` is its sum over Q_k in place of

    G(r) = (2/pi) int_Qmin^Qmax F(Q) sin(Q r) dQ,

and `quadrature` has points for the integral itself.

Source: libdiffpy 1.4, PDFUtils and DebyePDFCalculator.
"""

from __future__ import annotations

import functools
import math

import numpy as np
import torch
from torch import Tensor

from diffpy_cbldm.debye.pairgrid import sine_back

DROP = 3.33e-6
"""Where the tail of a peak ends, relative to its height (libdiffpy)."""

R_STEP = 0.01
"""Default step of r, A; the end of the range is a multiple of it."""

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


def q_grid(
    qmin: float, qmax: float, rmax: float, uiso: float, ratio: float = 1.0
) -> tuple[np.ndarray, float]:
    """The points of the native Q grid inside [Qmin, Qmax).

    Parameters
    ----------
    qmin, qmax : float, 1/A
    rmax : float, angstrom
        End of the calculated range, in steps of 0.01 A.
    uiso : float, A^2
        It widens the range of r by the tail of a peak.
    ratio : float, default 1
        The largest s at the two ends of the range, see
        `diffpy_cbldm.debye.widths.end_ratio`: Qbroad widens the tail.

    Returns
    -------
    q : (K,) array, 1/A
    reach : float, angstrom
        The end of the extended range of r; pairs beyond it do not count.
    """
    reach, dq, first, count = native_range(
        float(uiso), float(ratio), qmin, qmax, float(rmax), R_STEP
    )
    return np.arange(first, count) * dq, reach


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


def native_curves(
    f: Tensor, dq: float, first: int, r: Tensor, rstep: float
) -> Tensor:
    """Sine transform as DiffPy does it: padded, then linear in r."""
    count = f.shape[1]
    # DiffPy pads F(Q) to a power of two whose step in r is at most rstep.
    size = max(count, math.ceil(math.pi / (rstep * dq)))
    size = 1 << math.ceil(math.log2(size))
    f = f * (torch.arange(count, device=f.device) >= first)
    f = torch.nn.functional.pad(f, (0, size + 1 - count))
    g = sine_back(f, size) * (2 / math.pi * dq)
    place = r * (size * dq / math.pi)
    left = place.floor().clamp(max=2 * size - 2)
    part = (place - left).to(f.dtype)
    # The backward pass of gather is a plain scatter.
    left = left.long().expand(len(g), -1)
    return torch.lerp(g.gather(1, left), g.gather(1, left + 1), part)


def r_grid(rmin: float, rmax: float, rstep: float) -> Tensor:
    """The r grid (M,) of `debye_pdf`, angstrom, float64.

    ceil(rmin/rstep) .. ceil(rmax/rstep) - 1, times rstep, as in DiffPy: rmax
    itself is not in it.
    """
    first, last = (math.ceil(x / rstep - 1e-8) for x in (rmin, rmax))
    return torch.arange(first, last, dtype=torch.float64) * rstep
