"""How far the signal of a PDF reaches beyond a structure."""

from __future__ import annotations

import numpy as np

from diffpy_cbldm.fitting.target import Target


def signal_beyond(target: Target, reach: float, margin: float = 1.0) -> float:
    """Root mean square of G beyond `reach`, relative to that inside.

    Parameters
    ----------
    target : Target
    reach : float, angstrom
        The longest distance that is explained.
    margin : float, angstrom
        Left out beyond `reach`, for the width of the last peak.

    Returns
    -------
    float
        0 where the range leaves less than 2 A to judge by.
    """
    # Mean squares and not sums: the two ranges differ in length.
    r, g = target.r, target.g
    inside, beyond = r <= reach, r > reach + margin
    if target.rmax - reach - margin < 2.0 or not g[inside].any():
        return 0.0
    return float(np.sqrt(np.mean(g[beyond] ** 2) / np.mean(g[inside] ** 2)))
