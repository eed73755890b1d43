"""G(r) of clusters of one element where no gradient is wanted, on a CPU.

The sum of `diffpy_cbldm.debye.pair_sums` with the same bins, splines and Q
grids, for pairs that all have one width.  A curve of a small cluster takes
0.1 ms: few arrays are made for a step, and the loops are compiled
(`diffpy_cbldm.debye.sum_kernels`).
"""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import Any

import numpy as np
from array_api_compat import is_torch_array

from diffpy_cbldm.debye import qgrid, sum_kernels
from diffpy_cbldm.debye.arguments import as_tensor, follows_gradients
from diffpy_cbldm.debye.conditions import Conditions, Grid
from diffpy_cbldm.debye.pair_blocks import TOUCHING, Array, as_array, on_cpu
from diffpy_cbldm.debye.pairgrid import (
    EXACT,
    fast_length,
    longest_distances,
    spline,
    spline_order,
)
from diffpy_cbldm.threads import allowed, side_by_side

AT_ONCE = 1 << 15
"""Bins worked on at once: they stay in the cache."""

MANY = 1 << 18
"""Pairs of a batch, counted twice, above which threads share it: for fewer,
starting them takes as long as the work."""

LARGE = 1000
"""Particles of more atoms are measured first: most are longer than a common
grid reaches, and would be summed twice."""


@functools.lru_cache(maxsize=16)
def _sines(n: int) -> np.ndarray:
    """sin(pi j / n), (n,)."""
    return np.sin(np.arange(n) * (np.pi / n))


def points(grid: Grid) -> np.ndarray:
    """The points of a grid, (M,), A."""
    return _even(grid) if grid.at is None else grid.at


@functools.lru_cache(maxsize=16)
def _even(grid: Grid) -> np.ndarray:
    return grid.points()


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

    def covers(self, r: np.ndarray) -> bool:
        """Whether rising r (A) lie within the half period of the sum."""
        last = len(self.sines) - 1
        return not len(r) or bool(r[-1] * self.per_step <= last)


@functools.lru_cache(maxsize=64)
def series_of(
    dq: float, first: int, count: int, parts: int, rstep: float
) -> Series:
    """The sum over the Q grid of `qgrid.whole_range`, for steps of r."""
    size = qgrid.transform_size(dq, count, parts, rstep)
    weights = qgrid.series_weights(first, count, parts)
    q = np.arange(count) * dq
    return Series(
        q,
        q * q,
        weights * (2 / math.pi * dq),
        _sines(size),
        size * dq / math.pi,
    )


def series_for(
    widest: float,
    ratio: float,
    conditions: Conditions,
    grid: Grid,
    native: bool,
    longest: float = 0.0,
) -> tuple[Series, float]:
    """The sum of a curve, and up to where (A) it holds pairs.

    Parameters
    ----------
    widest : float, A^2
        The largest Uiso.
    ratio : float
        The largest s at `ends_of` the range.
    native : bool
        Whether the grid is that of diffpy.srreal, which leaves pairs out.
    longest : float, A
        Distance; one that lies within `qgrid.R_END` may be given as 0.
    """
    qs: tuple[Any, Any] = conditions.qmin, conditions.qmax
    if native:
        given = (
            *qgrid.native_range(widest, ratio, *qs, grid.rmax, grid.rstep),
            1,
        )
        return series_of(*given[1:], grid.rstep), given[0]
    given = qgrid.whole_range(widest, ratio, *qs, grid.rmax, longest)
    # A coarse grid of r takes its points from a fine curve.
    return series_of(*given[1:], min(grid.rstep, qgrid.R_STEP)), given[0]


def transformed(
    terms: np.ndarray,
    series: Series,
    grid: Grid,
    qdamp: float,
    scale: float,
) -> np.ndarray | None:
    """G(r) (M,) of the terms (K,) of a sum.

    None where r goes beyond the half period of the sum.
    """
    r = points(grid)
    if not series.covers(r):
        return None
    size = len(series.sines)
    padded, begun = np.zeros(size + 1), np.empty((1, size))
    padded[: len(terms)] = terms
    sum_kernels.begin(padded, series.sines, begun[0])
    out = np.empty((1, len(r)))
    sum_kernels.sampled(
        np.fft.rfft(begun),
        r,
        series.per_step,
        np.array([qdamp], dtype=float),
        np.array([scale], dtype=float),
        out,
    )
    return out[0]


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
def _bins_of(series: Series, precision: float) -> _Bins:
    """The bins, up to the half period of the sum."""
    reach = math.pi / series.q[1]
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

    def take(self, rows: slice) -> _Batch:
        """Some of the clusters."""
        return _Batch(
            self.x[rows],
            self.lengths[rows],
            self.u[rows],
            self.qdamp[rows],
            self.scale[rows],
        )


def curves(
    positions: Array,
    lengths: Array,
    conditions: Conditions,
    grid: Grid,
    native: bool,
    precision: float,
) -> Array | None:
    """As `pure.evaluate`, or None where that must do it.

    That is where a gradient is asked for, the widths depend on the distance
    or the atom, the precision is that of the direct sum, or the tensors are
    not on a CPU; and where atoms touch, of which it tells.
    """
    batch = _served(positions, lengths, conditions, precision)
    if batch is None:
        return None
    widest, r = float(batch.u.max()), points(grid)

    def added(some: _Batch, far: float, out: np.ndarray) -> Any:
        """`_add_curves`, and up to where the pairs counted."""
        series, reach = series_for(widest, 1.0, conditions, grid, native, far)
        if not series.covers(r):
            return None, reach
        bins = _bins_of(series, precision)
        return _add_curves(some, series, bins, r, out), reach

    out = np.empty((len(batch.x), len(r)))
    if batch.x.shape[1] > LARGE and not native:
        longest = longest_distances(batch.x, batch.lengths, qgrid.R_END)
        finer = list(range(len(out)))
    else:
        longest, reach = added(batch, 0.0, out)
        if longest is None:
            return None
        finer = []
        if not native and longest.max() > reach:
            finer = np.flatnonzero(longest > reach).tolist()
    # Particles that are longer than the grid reaches have finer ones.
    for row in finer:
        one = slice(row, row + 1)
        if added(batch.take(one), float(longest[row]), out[one])[0] is None:
            return None
    # Back in the caller's kind and type: tensors for tensors.
    out = out.astype(as_array(positions).dtype, copy=False)
    return out if isinstance(positions, np.ndarray) else as_tensor(out)


def bare(
    positions: Array, conditions: Conditions, precision: float
) -> np.ndarray | None:
    """A tensor's numbers as an array over the same memory.

    None of an array, and where `curves` must leave the tensor to others; of
    what is no batch of positions `arguments.checked_positions` tells.
    """
    if isinstance(positions, np.ndarray) or not is_torch_array(positions):
        return None
    if not positions.is_floating_point() or positions.itemsize < 4:
        return None
    if positions.ndim != 3:
        return None
    if not _serves(positions, conditions, precision):
        return None
    return as_array(positions)


def _serves(
    positions: Array, conditions: Conditions, precision: float
) -> bool:
    """Whether `curves` can serve such positions and conditions."""
    if precision < EXACT:
        return False
    for value in (*vars(conditions).values(), positions):
        # Numbers of NumPy have a device, too, and are neither.
        if isinstance(value, (int, float, np.ndarray)):
            continue
        if is_torch_array(value) and (
            not on_cpu(value) or follows_gradients(value)
        ):
            return False
    for name in ("delta1", "delta2", "qbroad"):
        value = getattr(conditions, name)
        if isinstance(value, (int, float)):
            if value:
                return False
        elif (conditions.of_each(name, positions) != 0).any():
            return False
    return True


def _served(
    positions: Array,
    lengths: Array,
    conditions: Conditions,
    precision: float,
) -> _Batch | None:
    """The batch in numbers, where `curves` serves it."""
    if not positions.shape[0]:
        return None
    if not _serves(positions, conditions, precision):
        return None

    def of_each(name: str, low: float) -> np.ndarray:
        value = getattr(conditions, name)
        # Most calls: one good number.
        if isinstance(value, (int, float)) and low <= value < math.inf:
            return np.array([value] * positions.shape[0], dtype=float)
        return as_array(conditions.of_each(name, positions)).astype(float)

    u = of_each("u_iso", 0.0)
    if u.ndim > 1:
        return None
    return _Batch(
        np.ascontiguousarray(as_array(positions), dtype=float),
        np.ascontiguousarray(as_array(lengths), dtype=np.int64),
        u,
        of_each("qdamp", 0.0),
        of_each("scale", -math.inf),
    )


def _add_curves(
    batch: _Batch,
    series: Series,
    bins: _Bins,
    r: np.ndarray,
    out: np.ndarray,
) -> np.ndarray | None:
    """Set out (B, M) to G(r); the longest distances (B,), A.

    None where atoms touch.
    """
    longest = np.empty(len(batch.x))
    count = max(1, AT_ONCE // len(bins.sines))

    def add(rows: slice) -> bool:
        """Work on some clusters; whether no atoms touch."""
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
            return False
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
        return True

    parts = [slice(k, k + count) for k in range(0, len(out), count)]
    pairs = batch.x.shape[0] * batch.x.shape[1] ** 2
    # No products of matrices here: one thread needs no limit to theirs,
    # which takes as long as twenty clusters.
    if len(parts) > 1 and pairs > MANY and allowed() > 1:
        apart = side_by_side(add, parts)
    else:
        apart = [add(rows) for rows in parts]
    return longest if all(apart) else None
