"""What a curve is calculated for: the conditions of a measurement, and r."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from diffpy_cbldm.debye.arguments import Number, check_ranges, numbers
from diffpy_cbldm.debye.pair_blocks import Array
from diffpy_cbldm.debye.qgrid import R_STEP, r_points

_SIGNED = ("delta1", "delta2", "scale")
"""Conditions that may be negative."""


@dataclasses.dataclass(frozen=True)
class Conditions:
    """Motion of the atoms, Q range and resolution behind a curve G(r).

    Each is one number, or (B,) of them, an array or a tensor as the positions
    are, where a function takes one for each cluster.

    Parameters
    ----------
    u_iso : A^2
        Mean square displacement; for each atom where a function says so.
    delta1, delta2 : A and A^2, default 0
        Correlated motion, see `diffpy_cbldm.debye.widths.width_ratio`.
    qbroad : 1/A, default 0
        Broadening of the peaks with r.
    qmin, qmax : 1/A, default 0 and 25
        Range of the Fourier transform.
    qdamp : 1/A, default 0
        Damping with r.
    scale : default 1
        Factor on G.
    """

    u_iso: Number
    delta1: Number = 0.0
    delta2: Number = 0.0
    qbroad: Number = 0.0
    qmin: Number = 0.0
    qmax: Number = 25.0
    qdamp: Number = 0.0
    scale: Number = 1.0

    def of_each(self, name: str, like: Array) -> Array:
        """One of them for each cluster, (B,), checked against its limit."""
        low = -math.inf if name in _SIGNED else 0.0
        return numbers(name, getattr(self, name), like, low)


@dataclasses.dataclass(frozen=True)
class Grid:
    """The points r at which G is wanted.

    Parameters
    ----------
    rmin, rmax : float, angstrom, default 0 and 30
        rmax itself is no point.
    rstep : float, angstrom, default 0.01
    at : (M,) array, angstrom, optional
        Points in place of those in steps of `rstep`; between `rmin` and
        `rmax`.
    """

    rmin: float = 0.0
    rmax: float = 30.0
    rstep: float = R_STEP
    at: np.ndarray | None = dataclasses.field(default=None, compare=False)

    def points(self) -> np.ndarray:
        """The points, (M,), see `diffpy_cbldm.debye.qgrid.r_points`."""
        if self.at is not None:
            return self.at
        return r_points(self.rmin, self.rmax, self.rstep)


def check_curve(conditions: Conditions, grid: Grid, precision: float) -> None:
    """CbldmError where the ranges or the precision make no sense."""
    check_ranges(
        qmin=conditions.qmin,
        qmax=conditions.qmax,
        rmin=grid.rmin,
        rmax=grid.rmax,
        rstep=grid.rstep,
        precision=precision,
    )
