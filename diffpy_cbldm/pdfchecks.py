"""What the columns of a PDF must be; `PDFData` applies these checks."""

from __future__ import annotations

from typing import Any

import numpy as np

from diffpy_cbldm.errors import CbldmError
from diffpy_cbldm.settings import MIN_POINTS, Solve

R_SHORTEST = 4.0
"""Data that end below this r (A) hold no second shell of any metal."""

FARTHEST = 1e100
"""G may have any scale from one over this to this."""

MOST_WEIGHT = 1 / 3
"""The hundredth of the points with the least dG may carry so much of a fit."""


def check_lengths(r: np.ndarray, g: np.ndarray, dg: np.ndarray | None) -> None:
    """Raise `CbldmError` where the columns do not match or are short."""
    if len(g) != len(r) or (dg is not None and len(dg) != len(r)):
        raise CbldmError(
            f"r has {len(r)} points, G has {len(g)}"
            + (f", dG has {len(dg)}" if dg is not None else "")
            + "; expected equal lengths: pass matching arrays."
        )
    if len(r) < MIN_POINTS:
        raise CbldmError(
            f"{len(r)} data points found; at least {MIN_POINTS} are "
            "needed: give the PDF to 10 A or further by 0.01 A."
        )


def check_values(r: np.ndarray, g: np.ndarray, dg: np.ndarray | None) -> None:
    """Raise `CbldmError` where a column cannot be what it is said to be."""
    for name, values in (("r", r), ("G", g), ("dG", dg)):
        if values is not None and not np.all(np.isfinite(values)):
            k = int(np.argmin(np.isfinite(values)))
            raise CbldmError(
                f"{name} is {values[k]} at r = {r[k]:g} A (point {k + 1}); "
                "expected finite numbers: remove such points."
            )
    if dg is not None and not np.all(dg > 0):
        k = int(np.argmin(dg > 0))
        raise CbldmError(
            f"dG is {dg[k]:g} at r = {r[k]:g} A; expected positive "
            "uncertainties: pass dg=None where they are unknown."
        )
    if np.ptp(g) == 0:
        raise CbldmError(
            f"G is {g[0]:g} everywhere; expected a curve: check that the "
            "second column is G(r)."
        )
    # Squares of what lies further off are no numbers any more.
    highest = float(np.abs(g).max())
    if not 1 / FARTHEST < highest < FARTHEST:
        raise CbldmError(
            f"the largest |G| is {highest:g}; expected some 1/A^2, and with "
            f"any scale between {1 / FARTHEST:g} and {FARTHEST:g}: check the "
            "second column, or scale it."
        )


def check_grid(r: np.ndarray) -> None:
    """Raise `CbldmError` where distances do not increase, or end early."""
    # Zero may be written as a tiny negative number.
    if r[0] < -1e-6:
        raise CbldmError(
            f"r starts at {r[0]:g} A; expected 0 or more: remove the "
            "negative r."
        )
    steps = np.diff(r)
    if not np.all(steps > 0):
        k = int(np.argmin(steps > 0))
        raise CbldmError(
            f"r goes from {r[k]:g} to {r[k + 1]:g} A at point {k + 2}; "
            "expected increasing r: sort the rows and remove repeats."
        )
    if r[-1] < R_SHORTEST:
        raise CbldmError(
            f"r ends at {r[-1]:g} A, before a second shell of any metal: if "
            "r is in nanometres, multiply it by 10 (and divide G by 100); "
            "else give longer data."
        )


def column(name: str, values: Any) -> np.ndarray | None:
    """Return a read-only float copy of one column."""
    if values is None and name == "dg":
        return None
    try:
        copy = np.array(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise CbldmError(
            f"{name} does not hold numbers; expected a 1-D array of floats: "
            f"pass {name} as an array."
        ) from None
    if copy.ndim != 1:
        raise CbldmError(
            f"{name} has the shape {copy.shape}; expected a 1-D array: "
            f"pass {name} as one column."
        )
    # Results refer to the data long after they were read.
    copy.setflags(write=False)
    return copy


def number(name: str, value: Any) -> float | None:
    """Return a setting as a float; `CbldmError` where it is none."""
    if value is None:
        return None
    try:
        return float(value)
    except (TypeError, ValueError):
        raise CbldmError(
            f"{name} is {value!r}; expected a number: pass {name} in 1/A."
        ) from None


def carried(r: np.ndarray, dg: np.ndarray) -> str | None:
    """Say so where a few points would carry every fit by a tiny dG.

    Parameters
    ----------
    r, dg : (n,) arrays, angstrom and 1/A^2

    Returns
    -------
    str or None
        None where the hundredth of the points with the least dG has no more
        than `MOST_WEIGHT` of the sum of 1 / dG^2.
    """
    # What lies before the fitting range has no part in a fit.
    fitted = r >= Solve.rmin
    if not fitted.any():
        return None
    r, dg = r[fitted], dg[fitted]
    weights = (dg / dg.min()) ** -2.0
    order = np.argsort(-weights, kind="stable")
    shares = np.cumsum(weights[order]) / weights.sum()
    if shares[max(1, len(weights) // 100) - 1] <= MOST_WEIGHT:
        return None
    few = int(np.argmax(shares > MOST_WEIGHT))
    least = order[0]
    return (
        f"dG is {dg[least]:.3g} at r = {r[least]:g} A and "
        f"{np.median(dg):.3g} in the middle: {few + 1} of {len(r)} points "
        f"would carry {shares[few]:.0%} of the fit.  dG was ignored, and "
        "all points count alike: correct dG to have it used."
    )
