"""How good a structure is: Rw, bonds, RMSD, duplicates, roughness."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from diffpy_cbldm.errors import CbldmError

if TYPE_CHECKING:
    from torch import Tensor

    Curve = TypeVar("Curve", np.ndarray, Tensor)

EXPLAINED = 0.03
"""Rw below which a structure explains the data: what is left may be noise."""

EVIDENCE = 10.0
"""Difference of the criterion from which an explanation is left for another:
very strong evidence (Kass and Raftery, J. Am. Stat. Assoc. 1995, 90, 773)."""


def criterion_gain(
    rw_without: float, rw_with: float, choices: int, points: float
) -> float:
    """By how much the Bayesian information criterion falls with choices.

    Parameters
    ----------
    rw_without, rw_with : float
    choices : int
        What is told beyond the plainer explanation.
    points : float
        Independent points of the data.
    """
    fit = 2 * points * math.log(rw_without / rw_with)
    return fit - choices * math.log(points)


def rw(g_obs: Curve, g_calc: Curve, weights: Curve | None = None) -> Curve:
    """Rw = sqrt(sum w (G_obs - G_calc)^2 / sum w G_obs^2), section 4.1.

    Parameters
    ----------
    g_obs, g_calc : (..., n) arrays or tensors
        Observed and calculated G(r) on one grid; leading axes broadcast.
    weights : (..., n) array or tensor, optional
        One over the variance; default 1.

    Returns
    -------
    (...) array or tensor

    Raises
    ------
    CbldmError
        The observed curve is zero everywhere.
    """
    w = 1.0 if weights is None else weights
    norm = (w * g_obs**2).sum(-1)
    if not (norm > 0).all():
        raise CbldmError(
            "G(r) is zero everywhere, so Rw has no meaning; expected peaks: "
            "check the data file and the range of r."
        )
    return ((w * (g_obs - g_calc) ** 2).sum(-1) / norm) ** 0.5


def best_scale(
    g_obs: Curve, g_calc: Curve, weights: Curve | None = None
) -> Curve:
    """The factor of G_calc that minimises Rw (0 where G_calc is zero).

    Shapes as in `rw`.
    """
    w = 1.0 if weights is None else weights
    norm = (w * g_calc**2).sum(-1)
    return (w * g_obs * g_calc).sum(-1) / (norm + (norm == 0))


def rw_scaled(
    g_obs: Curve, g_calc: Curve, weights: Curve | None = None
) -> Curve:
    """Rw with the best scale that is not negative; shapes as in `rw`."""
    scale = best_scale(g_obs, g_calc, weights)
    scale = scale * (scale > 0)
    return rw(g_obs, scale[..., None] * g_calc, weights)


def misfit_by_range(
    r: np.ndarray, misfit: np.ndarray, width: float = 2.5
) -> tuple[float, tuple[float, float]]:
    """How evenly a misfit lies over r, and where most of it lies.

    Noise lies evenly; what a structure cannot explain does not.

    Parameters
    ----------
    r : (n,) array, angstrom
    misfit : (n,) array
        Measured minus calculated curve, over the uncertainty.
    width : float, angstrom
        Of the blocks whose mean squares are compared; default 2.5.

    Returns
    -------
    evenness : float
        The participation of the blocks, (sum m)^2 / (B sum m^2): 1 where
        all are alike, 1 / B where one has all; 0.9 or more for noise in the
        usual Q ranges.
    where : tuple of two floats, angstrom
        The shortest run of blocks with half of the misfit.
    """
    block = ((r - r[0]) / width + 1e-6).astype(int)
    count = np.bincount(block)
    block[block == len(count) - 1] -= int(count[-1] < 0.5 * count.max())
    power = np.bincount(block, misfit**2)
    mean = power / np.bincount(block)
    if not mean.any():
        return 1.0, (float(r[0]), float(r[-1]))
    evenness = mean.sum() ** 2 / (len(mean) * (mean**2).sum())
    until = np.concatenate([[0.0], np.cumsum(power)])
    runs = [
        (b - a, a, b)
        for a in range(len(power))
        for b in range(a + 1, len(power) + 1)
        if until[b] - until[a] >= 0.5 * until[-1]
    ]
    _, a, b = min(runs)
    return float(evenness), (
        float(r[block == a][0]),
        float(r[block == b - 1][-1]),
    )


def power_in_range(
    r: np.ndarray, misfit: np.ndarray, qmin: float, qmax: float
) -> float:
    """The sum of squares of what of a misfit lies between Qmin and Qmax.

    A measured G(r) is a transform of that range, and so is what parameters
    change: what lies beyond, such as noise of single points of r, moves no
    parameter.

    Parameters
    ----------
    r : (n,) array, angstrom
        About even.
    misfit : (n,) array
    qmin, qmax : float, 1/A

    Returns
    -------
    float
        At most the sum of all squares.
    """
    total = float(misfit @ misfit)
    count = len(r)
    length = (r[-1] - r[0]) * count / (count - 1)
    # Waves with whole numbers of periods are orthogonal on an even grid.
    step = 2 * math.pi / length
    last = min(math.floor(qmax / step), (count - 1) // 2)
    waves = np.arange(max(1, math.ceil(qmin / step)), last + 1) * step
    if not len(waves):
        return total
    turns = waves[:, None] * r
    power = (np.cos(turns) @ misfit) ** 2 + (np.sin(turns) @ misfit) ** 2
    # So many of them do not quite fill the range of Q.
    filled = min((qmax - qmin) / step, count / 2) / len(waves)
    return min(total, float(power.sum()) * 2 / count * filled)
