"""G(r) of clusters of one element where no gradient is wanted, on a CPU.

The sum of `diffpy_cbldm.debye.pair_sums` with the same bins, splines and Q
grids, for pairs that all have one width.  A curve of a small cluster takes
0.1 ms: no tensor is made for a step, and the loops are compiled
(`diffpy_cbldm.debye.sum_kernels`).
"""

from __future__ import annotations

import dataclasses
import functools
import math

import numpy as np
import torch
from torch import Tensor

from diffpy_cbldm.debye import qgrid, sum_kernels
from diffpy_cbldm.debye.conditions import Conditions, Grid
from diffpy_cbldm.debye.pairgrid import (
    EXACT,
    TOUCHING,
    fast_length,
    spline,
    spline_order,
)

AT_ONCE = 1 << 15
"""Bins worked on at once: they stay in the cache."""


@functools.lru_cache(maxsize=16)
def _sines(n: int) -> np.ndarray:
    """sin(pi j / n), (n,)."""
    return np.sin(np.arange(n) * (np.pi / n))


@functools.lru_cache(maxsize=16)
def _points(grid: Grid) -> np.ndarray:
    """The points of an even grid, (M,), A."""
    return grid.points().numpy()


@dataclasses.dataclass(frozen=True, eq=False)
class Series:
    """A sum over a Q grid, and the transform that makes G(r) of it.

    Attributes
    ----------
    q, squared : (K,) arrays, 1/A and 1/A^2
        k dq from k = 0, and its square.
    weights : (K,) array
        What makes terms of the sum of F(Q).
    sines : (m,) array
        sin(pi j / m), for m points of the transform.
    per_step : float, 1/A
        Points of the transform in 1 A.
    """

    q: np.ndarray
    squared: np.ndarray
    weights: np.ndarray
    sines: np.ndarray
    per_step: float


@functools.lru_cache(maxsize=64)
def series_of(
    dq: float, first: int, count: int, parts: int, rstep: float
) -> Series:
    """The sum over the Q grid of `qgrid.whole_range`, for steps of r."""
    size = qgrid.transform_size(dq, count, parts, rstep)
    weights: np.ndarray = np.where(np.arange(count) >= first, 1.0, 0.0)
    if parts > 1:
        weights = qgrid.edge_weights(first, count, parts)
    q = np.arange(count) * dq
    return Series(
        q,
        q * q,
        weights * (2 / math.pi * dq),
        _sines(size),
        size * dq / math.pi,
    )


@dataclasses.dataclass(frozen=True, eq=False)
class _Bins:
    """Bins of distances that serve a series at a wanted precision.

    Attributes
    ----------
    step : float, A
    pieces : (p, p) array
        The spline over them.
    sines : (n,) array
        sin(pi j / n), for n bins.
    weights : (K,) array
        Those of the series over the transform of the spline.
    """

    step: float
    pieces: np.ndarray
    sines: np.ndarray
    weights: np.ndarray


@functools.lru_cache(maxsize=64)
def _bins_of(series: Series, reach: float, precision: float) -> _Bins:
    order, angle = spline_order(precision)
    # A transform of fewer bins than Q would fold Q back.
    least = max(reach * series.q[-1] / angle, len(series.q), 2 * order)
    # The two loops about the Fourier transform take an even number.
    bins = 2 * fast_length(least / 2)
    step = reach / bins
    window = np.sinc(series.q * (step / (2 * math.pi))) ** order
    return _Bins(
        step,
        np.array(spline(order)),
        _sines(bins),
        series.weights / window,
    )


@dataclasses.dataclass(frozen=True, eq=False)
class _Batch:
    """Clusters, and what each one's curve is calculated for.

    Attributes
    ----------
    x : (B, N, 3) array, A
    lengths : (B,) array of int64
    u, qdamp, scale : (B,) arrays
        As in `Conditions`.
    """

    x: np.ndarray
    lengths: np.ndarray
    u: np.ndarray
    qdamp: np.ndarray
    scale: np.ndarray

    def take(self, rows: np.ndarray | slice) -> _Batch:
        """Some of the clusters."""
        return _Batch(
            self.x[rows],
            self.lengths[rows],
            self.u[rows],
            self.qdamp[rows],
            self.scale[rows],
        )


def curves(
    positions: Tensor,
    lengths: Tensor,
    conditions: Conditions,
    grid: Grid,
    native: bool,
    precision: float,
) -> Tensor | None:
    """As `pure.evaluate`, or None where that must do it.

    That is where a gradient is asked for, the widths depend on the distance
    or the atom, the precision is that of the direct sum, or the tensors are
    not on a CPU; and where atoms touch, of which it tells.
    """
    batch = _served(positions, lengths, conditions, precision)
    if batch is None:
        return None
    qs = conditions.qmin, conditions.qmax
    r = _points(grid) if grid.at is None else grid.at.numpy()
    widest, far = float(batch.u.max()), grid.rmax
    out = np.empty((len(batch.x), len(r)))
    if native:
        given = (*qgrid.native_range(widest, 1.0, *qs, far, grid.rstep), 1)
        rstep = grid.rstep
    else:
        given = qgrid.whole_range(widest, 1.0, *qs, far, 0.0)
        # A coarse grid of r takes its points from a fine curve.
        rstep = min(grid.rstep, qgrid.R_STEP)
    longest = _add_curves(batch, given, rstep, r, precision, out)
    if longest is None:
        return None
    # Particles that are longer than the grid reaches have finer ones.
    groups: dict[tuple[float, float, int, int, int], list[int]] = {}
    if not native:
        for row in np.flatnonzero(longest > given[0]).tolist():
            finer = qgrid.whole_range(widest, 1.0, *qs, far, longest[row])
            groups.setdefault(finer, []).append(row)
    for finer, rows in groups.items():
        part = np.empty((len(rows), len(r)))
        _add_curves(
            batch.take(np.array(rows)), finer, rstep, r, precision, part
        )
        out[rows] = part
    return torch.from_numpy(out).to(positions.dtype)


def _served(
    positions: Tensor,
    lengths: Tensor,
    conditions: Conditions,
    precision: float,
) -> _Batch | None:
    """The batch in numbers, where `curves` serves it."""
    if precision < EXACT or not positions.shape[0]:
        return None
    given = (*vars(conditions).values(), positions)
    for value in given:
        if isinstance(value, Tensor) and (
            value.device.type != "cpu"
            or (value.requires_grad and torch.is_grad_enabled())
        ):
            return None
    for value in (conditions.delta1, conditions.delta2, conditions.qbroad):
        zero = value == 0 if not isinstance(value, Tensor) else not value.any()
        if not zero:
            return None

    def of_each(name: str, low: float) -> np.ndarray:
        value = getattr(conditions, name)
        # Most calls: one good number.
        if not isinstance(value, Tensor) and low <= value < math.inf:
            return np.array([value] * positions.shape[0], dtype=float)
        each = conditions.of_each(name, positions)
        return each.detach().numpy().astype(float)

    u = of_each("u_iso", 0.0)
    if u.ndim > 1:
        return None
    return _Batch(
        np.ascontiguousarray(positions.detach().numpy(), dtype=float),
        lengths.numpy(),
        u,
        of_each("qdamp", 0.0),
        of_each("scale", -math.inf),
    )


def _add_curves(
    batch: _Batch,
    given: tuple[float, float, int, int, int],
    rstep: float,
    r: np.ndarray,
    precision: float,
    out: np.ndarray,
) -> np.ndarray | None:
    """Set out (B, M) to G(r); the longest distances (B,), A.

    None where atoms touch, or where r goes beyond the sum's half period.
    """
    reach, dq = given[:2]
    series = series_of(*given[1:], rstep)
    if len(r) and r[-1] * series.per_step > len(series.sines) - 1:
        return None
    bins = _bins_of(series, math.pi / dq, precision)
    longest = np.empty(len(batch.x))
    count = max(1, AT_ONCE // len(bins.sines))
    for start in range(0, len(out), count):
        rows = slice(start, start + count)
        part = batch if count >= len(out) else batch.take(rows)
        spread = np.empty((len(part.x), len(bins.sines)))
        shortest = sum_kernels.spread_pairs(
            part.x,
            part.lengths,
            bins.step,
            bins.pieces,
            bins.sines,
            spread,
            longest[rows],
        )
        if shortest < TOUCHING:
            return None
        terms = np.empty((len(part.x), len(series.sines)))
        sum_kernels.between_transforms(
            np.fft.rfft(spread),
            part.u,
            part.lengths,
            series.squared,
            bins.weights,
            series.sines,
            terms,
        )
        sum_kernels.sampled(
            np.fft.rfft(terms),
            r,
            series.per_step,
            part.qdamp,
            part.scale,
            out[rows],
        )
    return longest
