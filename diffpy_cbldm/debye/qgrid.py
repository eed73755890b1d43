"""The Q and r grids of the native Debye calculator, and its transform."""

from __future__ import annotations

import functools
import math

import numpy as np
import torch
from torch import Tensor

from diffpy_cbldm.debye.pairgrid import sine_back

# ------------------------------------------------------------- the Q ranges


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

    Source: libdiffpy 1.4, PDFUtils and DebyePDFCalculator.
    """
    fwhm = 2 * math.sqrt(2 * math.log(2)) * math.sqrt(2 * widths_max)
    fwhm *= math.sqrt(max(1.0, ratio_max))
    tail = fwhm * math.sqrt(-math.log(3.33e-6) / (4 * math.log(2)))
    extension = min(10.0, 6 * 2 * math.pi / qmax + tail)
    extended = math.ceil((rmax + extension) / rstep - 1e-9) * rstep
    dq = math.pi / extended
    if qmax * extended / math.pi <= 4:
        dq = qmax / 4
    return extended, dq, math.ceil(qmin / dq), math.ceil(qmax / dq)


# ---------------------------------------------------------- from F(Q) to G(r)


def native_curves(
    f: Tensor, dq: float, first: int, r: Tensor, rstep: float
) -> Tensor:
    """Sine transform as DiffPy does it: padded, then linear in r."""
    count = f.shape[1]
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


@functools.lru_cache(maxsize=8)
def _quadrature(
    qmin: float, qmax: float, length: float
) -> tuple[list[float], list[float]]:
    """Gauss-Legendre nodes and weights for waves up to sin(Q length)."""
    import numpy

    panels = math.ceil((qmax - qmin) * length / 2 / 60)
    x, w = numpy.polynomial.legendre.leggauss(48)
    half = (qmax - qmin) / panels / 2
    centre = qmin + half * (2 * numpy.arange(panels)[:, None] + 1)
    nodes = (centre + half * x).ravel()
    return nodes.tolist(), numpy.tile(half * w, panels).tolist()


def r_grid(rmin: float, rmax: float, rstep: float) -> Tensor:
    """The r grid (M,) of `debye_pdf`, angstrom, float64.

    ceil(rmin/rstep) .. ceil(rmax/rstep) - 1, times rstep, as in DiffPy: rmax
    itself is not in it.
    """
    first, last = (math.ceil(x / rstep - 1e-8) for x in (rmin, rmax))
    return torch.arange(first, last, dtype=torch.float64) * rstep


def q_grid(
    qmin: float, qmax: float, rmax: float, uiso: float, ratio: float = 1.0
) -> tuple[np.ndarray, float]:
    """The Q grid of the native Debye calculator.

    Parameters
    ----------
    qmin, qmax : float, 1/A
    rmax : float, angstrom
        End of the calculated range.
    uiso : float, A^2
        It widens the range of r by the tail of a peak.

    Returns
    -------
    q : (K,) array, 1/A
        The points inside [qmin, qmax), multiples of pi / R.
    reach : float, angstrom
        R, the end of the extended range of r.
    """
    tail = math.sqrt(-4.0 * uiso * ratio * math.log(3.33e-6))
    extension = min(10.0, 12.0 * math.pi / qmax + tail)
    reach = math.ceil((rmax + extension) / 0.01 - 1e-9) * 0.01
    step = math.pi / reach
    k = np.arange(math.ceil(qmin / step), math.ceil(qmax / step))
    return k * step, reach
