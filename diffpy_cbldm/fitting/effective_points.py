"""Of how many independent data a misfit speaks: fewer where it is no noise.

The independent points of G(r), (rmax - rmin) (Qmax - Qmin) / pi, count noise.
What a single structure cannot explain (several sizes, rough surfaces, a
background) has waves of few lengths, or lies in a part of the range.  To take
its squares for that many independent ones makes evidence of chance, and
edits imitate the mixture.

The effective number of a curve whose covariance has the eigenvalues v is

    n = (sum v)^2 / sum v^2

by which the sum of its squares scatters as that of n independent ones
(Satterthwaite, Biometrics Bulletin 1946, 2, 110; of fields: Bretherton and
others, J. Climate 1999, 12, 1990).  Of a long even series these are its
powers at the waves of the range, and n is Bartlett's N / sum_k rho_k^2, with
the autocorrelation rho (J. R. Stat. Soc. Suppl. 1946, 8, 27).
"""

from __future__ import annotations

import math

import numpy as np
from scipy import fft

BLOCK = 2.5
"""The power is compared between blocks of r so wide, angstrom."""

FEWEST = 10.0
"""No misfit counts as fewer points: scale, stretch, Uiso, delta2 and Qdamp
are fitted, and something must be left to judge by."""

ON_GRID = 1e-3
"""Turn of the fastest wave by which points may be off an even grid, radian."""

AT_ONCE = 1 << 18
"""Sines that are made at once where points are off it."""


def effective_points(
    r: np.ndarray, misfit: np.ndarray, qmin: float, qmax: float
) -> float:
    """The independent points of which a misfit speaks.

    Parameters
    ----------
    r : (n,) array, angstrom
        About even; steps below pi / Qmax tell nothing more.
    misfit : (n,) array
        What a structure leaves of the data, over their uncertainty.
    qmin, qmax : float, 1/A

    Returns
    -------
    float
        The range of r times that of Q over pi for noise; fewer, down to
        `FEWEST`, for a misfit of few waves or in a part of the range.
    """
    points = float(r[-1] - r[0]) * (qmax - qmin) / math.pi
    share = share_of_waves(r, misfit, qmin, qmax)
    share *= share_of_range(r, misfit, points)
    return min(points, max(FEWEST, share * points))


def share_of_waves(
    r: np.ndarray, misfit: np.ndarray, qmin: float, qmax: float
) -> float:
    """How evenly the power of a misfit lies between Qmin and Qmax, 0 to 1.

    Parameters are those of `effective_points`.
    """
    length = (r[-1] - r[0]) * len(r) / (len(r) - 1)
    # Waves with whole numbers of periods are orthogonal on an even grid.
    step = 2 * math.pi / length
    first = max(1, math.ceil(qmin / step))
    last = min(math.floor(qmax / step), (len(r) - 1) // 2)
    # Each wave has two amplitudes, of its cosine and of its sine.
    return _evenness(_powers(r, misfit, step, first, last), 2)


def _powers(
    r: np.ndarray, misfit: np.ndarray, step: float, first: int, last: int
) -> np.ndarray:
    """Squares of the amplitudes of the waves first .. last times a step."""
    turns = np.arange(first, last + 1) * step
    off = r - np.linspace(r[0], r[-1], len(r))
    if np.abs(off).max() * last * step < ON_GRID:
        # Where the points begin shifts phases alone.
        found = fft.rfft(misfit)[first : last + 1]
    else:
        # In parts: all sines of a long range at once would take 1 GB.
        parts = np.array_split(turns, 1 + len(turns) * len(r) // AT_ONCE)
        found = np.concatenate(
            [np.exp(1j * x[:, None] * r) @ misfit for x in parts]
        )
    return found.real**2 + found.imag**2


def share_of_range(r: np.ndarray, misfit: np.ndarray, points: float) -> float:
    """How evenly a misfit lies over r, 0 to 1.

    Parameters
    ----------
    r, misfit
        As of `effective_points`.
    points : float
        Independent points of the whole range.
    """
    blocks = max(1, round((r[-1] - r[0]) / BLOCK))
    place = (np.arange(len(r)) * blocks) // len(r)
    power = np.bincount(place, misfit**2)
    return _evenness(power, points / blocks)


def _evenness(power: np.ndarray, each: float) -> float:
    """(sum v)^2 / (n sum v^2) of the expected powers v, from one draw.

    Parameters
    ----------
    power : (n,) array
        v times chi-squared over its degrees of freedom.
    each : float
        Degrees of freedom of each.
    """
    # A draw squared is v^2 (1 + 2 / each) in the mean.
    squares = float(power @ power) / (1 + 2 / each)
    if len(power) < 2 or not squares:
        return 1.0
    # So the square of the sum holds 2 / each of the squares besides.
    total = float(power.sum()) ** 2 - 2 / each * squares
    return min(1.0, total / (len(power) * squares))
