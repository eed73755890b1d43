"""F(Q) of one-element clusters from their shells, with its derivatives.

    F(Q) = 2/N sum_(i<j) sin(Q d) / d * exp(-U Q^2 s(d)),

with s(d) as in `diffpy_cbldm.debye.widths`.  Distances within 0.02 A are one
shell, whose spread adds to the width.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from diffpy_cbldm.crystals.lattice_pairs import lattice_distances
from diffpy_cbldm.crystals.remembered import remembered
from diffpy_cbldm.debye.histogram import distance_moments
from diffpy_cbldm.debye.qgrid import QGrid
from diffpy_cbldm.debye.widths import width_ratio
from diffpy_cbldm.errors import CbldmError
from diffpy_cbldm.fitting.distances import FEW_ATOMS
from diffpy_cbldm.fitting.kernels import LANES, sine_sums

_BIN = 0.02

_APART = 1e-3
"""Nearer pairs (A) do not count: an atom stands twice at one place."""


def shells(
    positions: np.ndarray, rmax: float = math.inf
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Collapse the pair distances of a cluster into few shells.

    Parameters
    ----------
    positions : (N, 3) array, angstrom
    rmax : float, angstrom
        Distances of `rmax` and more do not count.  Default: all do.

    Returns
    -------
    distance, variance, multiplicity : (S,) arrays; A, A^2, pairs i < j
        Shells are 0.02 A wide; their mean and variance are exact, which
        leaves an error of the third order in 0.02 A times Q.  Those of large
        clusters on a lattice are its own, without any.
    """
    if len(positions) > FEW_ATOMS:
        exact = lattice_distances(np.asarray(positions, float))
        if exact is not None:
            near = exact[0] < rmax
            return exact[0][near], np.zeros(near.sum()), exact[1][near]
        if rmax == math.inf:
            return _all_shells(np.asarray(positions, float))
    return _gathered(positions, rmax)


@remembered(1, 2, 0)
def _all_shells(
    positions: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`_gathered` to the longest distance, remembered."""
    return _gathered(positions, math.inf)


def _gathered(
    positions: np.ndarray, rmax: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`shells` of atoms on no lattice."""
    moments, _ = distance_moments(
        [np.asarray(positions)],
        _BIN,
        low=_APART / _BIN,
        high=rmax / _BIN,
        inverse=False,
    )
    some = np.flatnonzero(moments[0, :, 0])
    count, total, square = moments[0, some, :3].T
    # In cells, from their lower ends, for the sake of rounding.
    mean = total / count
    variance = (square / count - mean**2).clip(min=0.0)
    return (some + mean) * _BIN, variance * _BIN**2, count


@dataclasses.dataclass(frozen=True)
class Shells:
    """The shells of one cluster.

    Attributes
    ----------
    distance, variance, weight : (S,) arrays; A, A^2, pairs for each atom
    """

    distance: np.ndarray
    variance: np.ndarray
    weight: np.ndarray

    @classmethod
    def of(cls, positions: np.ndarray) -> Shells:
        """Those of some positions, (N, 3), A."""
        if np.ndim(positions) != 2 or len(positions) < 2:
            raise CbldmError(
                f"positions have shape {np.shape(positions)}; expected "
                "(N, 3) with two atoms or more: pass one array per cluster."
            )
        d, v, m = shells(positions)
        return cls(d, v, m * (2.0 / len(positions)))

    @property
    def shortest(self) -> float:
        return float(self.distance[0])

    @property
    def longest(self) -> float:
        return float(self.distance[-1])


def structure_factors(
    clusters: Sequence[Shells],
    stretch: np.ndarray,
    uiso: np.ndarray,
    delta2: np.ndarray,
    qbroad: float,
    grid: QGrid,
) -> np.ndarray:
    """F(Q) of clusters and what it changes by.

    Parameters
    ----------
    clusters : sequence of C Shells
    stretch, uiso, delta2 : (C,) arrays; 1, A^2, A^2
    qbroad : float, 1/A
    grid : QGrid
        K points of Q, multiples of their step.

    Returns
    -------
    (C, 4, K) array
        F and its derivatives by stretch, uiso and delta2.
    """
    sizes = [len(c.distance) for c in clusters]
    z, u, delta2 = (np.repeat(x, sizes) for x in (stretch, uiso, delta2))
    d = z * np.concatenate([c.distance for c in clusters])
    spread = z**2 * np.concatenate([c.variance for c in clusters])
    weight = np.concatenate([c.weight for c in clusters])
    # sigma^2 = 2 U s(d), never negative; `spread` is that of the shell.
    s = width_ratio(d, 0.0, delta2, qbroad)
    on = s > 0.0
    s = s * on
    amp = weight / d
    # The width's own change with the stretch, d (width) / d log z.
    turn = u * on * 2.0 * (delta2 / d**2 + (qbroad * d) ** 2) + spread
    columns = np.stack([amp, amp * s, amp * on / d**2, amp * turn, weight])
    step = float(grid.q[1] - grid.q[0])
    first = round(float(grid.q[0]) / step)
    blocks = -(-(first + len(grid.q)) // LANES)
    sums = np.zeros((len(clusters), blocks * 5 * LANES))
    sine_sums(
        np.stack([np.sin(step * d), np.cos(step * d)]),
        np.exp(-(step**2) * (u * s + 0.5 * spread)),
        columns,
        np.cumsum([0, *sizes], dtype=np.int64),
        sums,
    )
    parts = sums.reshape(len(clusters), blocks, 5, LANES)
    rows = parts.transpose(2, 0, 1, 3).reshape(5, len(clusters), -1)
    f, f_u, f_d2, f_z, cosines = rows[:, :, first : first + len(grid.q)]
    q, square = grid.q, grid.q**2
    z, u = stretch[:, None], uiso[:, None]
    f_z = (q * cosines - f - square * f_z) / z
    return np.stack([f, f_z, -square * f_u, u * square * f_d2], 1)
