"""A measured curve without its fine structure.

Shells that lie a few per cent off move peaks by more than these are wide, and
a structure that is right but for that fits no better than a wrong one.  Waves
up to a low Q hardly notice: there the right structure is found, and then
followed to the whole range of Q.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from diffpy_cbldm.fitting.target import Target

DENSITY = 3.0
"""Points that are kept, over those that waves up to Qmax need."""


def low_passed(target: Target, qmax: float) -> Target:
    """A target whose G(r) holds no waves beyond `qmax`.

    Parameters
    ----------
    target : Target
    qmax : float, 1/A

    Returns
    -------
    Target
        On fewer points and without weights; the target itself where its own
        Qmax is lower.
    """
    if qmax >= target.qmax:
        return target
    few = target.thinned(DENSITY)
    return _within(few.r, few, qmax)


def waves_up_to(target: Target, qmax: float) -> Target:
    """The waves of all points up to a Qmax that may lie beyond the target's.

    Parameters
    ----------
    target : Target
    qmax : float, 1/A

    Returns
    -------
    Target
        At that Qmax, on fewer points and without weights.
    """
    return _within(target.thinned(DENSITY, qmax).r, target, qmax)


def _within(r: np.ndarray, target: Target, qmax: float) -> Target:
    """The waves up to `qmax` at some points."""
    # The sine transform up to qmax and back: a kernel of two sinc functions,
    # of r - r' and, as G is odd, of r + r'.
    near, far = r[:, None] - target.r, r[:, None] + target.r
    unit = qmax / math.pi
    kernel = unit * (np.sinc(unit * near) - np.sinc(unit * far))
    g = kernel @ (target.g * np.gradient(target.r))
    pdf = dataclasses.replace(target.pdf, r=r, g=g, dg=None, qmax=qmax)
    low = Target.of(pdf, target.rmin, target.rmax, target.qdamp_range)
    return low.with_qdamp(target.qdamp)
