"""Sums over the pairs of clusters: F(Q) times the number of atoms.

With U and s(d) of `diffpy_cbldm.debye.widths`, for each cluster::

    N F(Q) = sum_{i != j} sin(Q d_ij) / d_ij exp(-U Q^2 s(d_ij))

`direct_sum` is that sum as it stands.  In `gridded_sum` the pairs go to a
grid first: each distance is spread over a few bins by a B-spline
(`gather_pairs`), one Fourier transform turns the bins into F(Q)
(`Plan.transform`), and a division by the spline's own transform
(`Plan.spread`) takes the spreading back out.  The aliasing error of the grid
falls as (Q h / (2 pi - Q h))^p with the bin width h and the order p, so a
wanted precision fixes both (`Plan`).  Where the width depends on the
distance, exp(-U Q^2 s) is expanded in Chebyshev polynomials of s
(`_smooth_part`); pairs at short distances, where s changes too fast for
bins, are summed one by one (`_split_sum`).
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from array_api_compat import array_namespace, device
from scipy.spatial.distance import pdist

from diffpy_cbldm.debye.pair_blocks import (
    TOUCHING,
    Array,
    arange,
    detached,
)
from diffpy_cbldm.debye.pairgrid import (
    fast_length,
    fold,
    near_pairs,
    pair_grid,
    sine,
    sine_back,
    spline_order,
    symbol,
    window,
)
from diffpy_cbldm.debye.widths import Widths, smooth_terms
from diffpy_cbldm.errors import CbldmError

Limits = tuple[Any, Any] | None
"""Distances (B,) between which pairs count, A: low < d <= high."""

NEAREST = 0.5
"""Atoms nearer to each other (A) are summed pair by pair."""


class Plan:
    """The bins and the transform that one wanted precision asks for.

    Parameters
    ----------
    q : (K,) array or tensor
        For harmonic, k pi / reach from k = 0.
    reach : float
        Distances up to here are covered.
    harmonic : bool
        Whether a fast Fourier transform serves q.
    precision : float
    finer : int
        Factor on the number of bins.

    Attributes
    ----------
    step : float, A
        Width of a bin.
    margin : float, A
        A pair feels the widths at distances that far from its own.
    """

    def __init__(
        self,
        q: Any,
        reach: float,
        harmonic: bool,
        precision: float,
        finer: int = 1,
    ) -> None:
        self.order, angle = spline_order(precision)
        least = reach * float(q[-1]) / angle
        # A Fourier transform of fewer bins than Q would fold Q back.
        least = max(least, len(q) if harmonic else 8)
        self.q, self.precision, self.harmonic = q, precision, harmonic
        self.reach, self.bins = reach, fast_length(least) * finer
        self.step, self.factor = reach / self.bins, finer
        # The inverse of the symbol decays from bin to bin by its pole.
        pole = {4: 0.268, 6: 0.431, 8: 0.536}[self.order]
        self.margin = (
            math.ceil(math.log(precision / 20) / math.log(pole)) * self.step
        )

    @functools.cached_property
    def _waves(self) -> Any:
        xp = array_namespace(self.q)
        q = xp.astype(self.q, xp.float64, copy=False)
        x = arange(self.bins + 1, q) * self.step
        return xp.astype(xp.sin(x[:, None] * q), self.q.dtype, copy=False)

    @functools.cached_property
    def spread(self) -> Any:
        """Transform of the spline at Q, (K,)."""
        return window(self.q, self.step, self.order)

    @functools.cached_property
    def squared(self) -> Any:
        """Q^2, (K,)."""
        return self.q**2

    @functools.cached_property
    def distances(self) -> Any:
        """Where the bins stand, (bins + 1,)."""
        return arange(self.bins + 1, self.q) * self.step

    @functools.cached_property
    def symbol(self) -> Any:
        """Transform of the spline sampled on the bins, (bins + 1,)."""
        return symbol(self.bins, self.order, self.q)

    def transform(self, series: Array) -> Array:
        """Return sum_m series_m sin(Q m step), (..., K)."""
        if self.harmonic:
            return sine(series, self.bins, len(self.q))
        return series @ self._waves

    def finer(self, factor: int) -> Plan:
        """The same with so many times the bins."""
        return Plan(self.q, self.reach, self.harmonic, self.precision, factor)


def native_plan(dq: float, count: int, precision: float, like: Any) -> Plan:
    """For Q = k dq, in the kind, type and place of an array."""
    where = array_namespace(like), like.dtype, device(like)
    return _native_plan(dq, count, precision, *where)


@functools.lru_cache(maxsize=8)
def _native_plan(
    dq: float, count: int, precision: float, xp: Any, dtype: Any, place: Any
) -> Plan:
    """Kept, as a fit asks for few grids again and again."""
    q = xp.arange(count, dtype=dtype, device=place) * dq
    return Plan(q, math.pi / dq, True, precision)


class Bins:
    """Pairs in bins, (B, bins + 1), and what is drawn from them."""

    def __init__(self, grid: Any, plan: Plan) -> None:
        self.grid, self.plan = grid, plan

    @functools.cached_property
    def masses(self) -> Any:
        """Point masses whose splines sum to the grid, (B, bins + 1).

        They may be multiplied with any smooth function of the distance.
        """
        bins = self.plan.bins
        mass = sine(self.grid, bins, bins + 1) / self.plan.symbol
        return sine_back(mass, bins)[:, : bins + 1] * (2 / bins)

    @functools.cached_property
    def extent(self) -> tuple[float, float]:
        """Bounds on the shortest and the longest distance."""
        xp = array_namespace(self.grid)
        (filled,) = xp.nonzero(xp.any(detached(self.grid) != 0, axis=0))
        if not len(filled):
            return 1.0, 1.0
        step = self.plan.step
        return float(filled[0]) * step, float(filled[-1]) * step


@dataclasses.dataclass
class Pairs:
    """The pairs of a batch: in bins, or those of short distance one by one.

    gather(plan, (low, high)) has the pairs at low < d <= high; near(plan,
    limit) the clusters (P,) and the distances (P,), A, of those at d <=
    limit.  Both compare in the same way: no pair is lost or counted twice.
    longest (B,) has the longest distance of each cluster, A, where the pairs
    are kept.
    """

    gather: Callable[[Plan, Limits], Bins]
    near: Callable[[Plan, Any], tuple[Any, Any]]
    longest: Any = None


def gather_pairs(
    positions: Array, lengths: Array, plan: Plan, limits: Limits
) -> Bins:
    """`Pairs.gather` of positions (B, N, 3)."""
    grid = pair_grid(
        positions, lengths, limits, plan.step, plan.bins, plan.order
    )
    return Bins(fold(grid, plan.bins, plan.order), plan)


def near_distances(
    positions: Array, lengths: Array, plan: Plan, limit: Array
) -> tuple[Array, Array]:
    """`Pairs.near` of positions (B, N, 3)."""
    b, i, j = near_pairs(positions, lengths, limit, plan.step, plan.bins)
    xp = array_namespace(positions)
    apart = positions[b, i] - positions[b, j]
    return b, xp.linalg.vector_norm(apart, axis=1)


def gridded_sum(pairs: Pairs, widths: Widths, cut: float, plan: Plan) -> Any:
    """F(Q) N, (B, K), by way of bins over the distances."""
    xp = array_namespace(plan.q)
    ends = xp.zeros_like(widths.u), xp.full_like(widths.u, cut)
    limits = None if cut >= plan.reach * (1 - 1e-12) else ends
    bins = pairs.gather(plan, limits)
    if widths.plain:
        # One width for all pairs is a factor of the whole sum.
        whole = plan.transform(bins.grid) / plan.spread
        return whole * xp.exp(-widths.u[:, None] * plan.squared)
    near, far = bins.extent
    edge = xp.clip(widths.edge(), max=cut)
    start = max(near, float(edge.min()))
    # The terms must be smooth over the margin about every pair.
    wide = plan.margin / 0.3
    if near + plan.order * plan.step < NEAREST or widths.reopens:
        return _split_sum(pairs, widths, cut, plan)
    if wide > start and plan.factor == 1:
        # Nearer to zero the width is no longer a smooth function.
        finer = plan.finer(math.ceil(min(wide / start, 8)))
        return gridded_sum(pairs, widths, cut, finer)
    if wide > start:
        return _split_sum(pairs, widths, cut, plan)
    total: Any = 0.0
    if bool((edge >= near).any()):
        # Pairs that are cut to width 0 jump there: they get their own bins.
        zero = pairs.gather(plan, (ends[0], edge))
        total = plan.transform(zero.grid) / plan.spread
        bins = pairs.gather(plan, (edge, ends[1]))
    else:
        edge = ends[0]
    edge = xp.clip(edge, min=near)
    smooth = _smooth_part(bins, widths, edge, min(far, cut))
    if smooth is None:
        return _split_sum(pairs, widths, cut, plan)
    return total + smooth


def _smooth_part(bins: Bins, widths: Widths, near: Any, far: float) -> Any:
    """F(Q) N of pairs at near (B,) < d <= far, None where that is no use."""
    plan = bins.plan
    expansion = smooth_terms(
        bins.masses,
        plan.distances,
        widths,
        near - plan.margin,
        far + plan.margin,
        plan.q,
        plan.precision,
    )
    if expansion is None:
        return None
    terms, damp = expansion
    return (plan.transform(terms) * damp).sum(0)


def _split_sum(pairs: Pairs, widths: Widths, cut: float, plan: Plan) -> Any:
    """F(Q) N, (B, K): pairs of short distance one by one, others in bins.

    The bins begin a margin above the distance at which s is cut to 0, so
    that s is nowhere continued to values below 0, where exp(-U Q^2 s) grows
    without bound.
    """
    xp, edge = array_namespace(plan.q), widths.edge()
    plan = plan.finer(1)
    floor = max(NEAREST, float(edge.min()))
    plan = plan.finer(math.ceil(plan.margin / (0.3 * floor)))
    limit = xp.clip(edge + plan.margin, min=NEAREST)
    end = xp.full_like(limit, cut)
    smooth = None
    while smooth is None:
        bins = pairs.gather(plan, (limit, end))
        near, far = bins.extent
        first = xp.clip(limit, min=near)
        smooth = _smooth_part(bins, widths, first, min(far, cut))
        if smooth is None:  # s is still too steep: delta2 far below 0
            limit = 2 * limit
    cluster, d = pairs.near(plan, xp.clip(limit, max=cut))
    rows = []
    for b in range(len(limit)):
        mine = d[cluster == b]
        s = widths.take(slice(b, b + 1)).ratio(mine)[0]
        w = xp.clip(s, min=0.0) * widths.u[b]
        rows.append(plain_sum(mine, w, plan.q))
    return smooth + xp.stack(rows)


def direct_sum(
    positions: Array, lengths: Array, widths: Widths, cut: float, q: Array
) -> Array:
    """F(Q) N, (B, K), by the plain sum over pairs: the reference."""
    xp, out = array_namespace(positions), []
    for b in range(len(positions)):
        i, j, d = distances(positions[b, : int(lengths[b])])
        alone = widths.take(slice(b, b + 1))
        u = alone.u[0]
        mean = (u[i] + u[j]) / 2 if u.ndim else xp.broadcast_to(u, d.shape)
        keep = d <= cut
        d, mean = d[keep], mean[keep]
        shortest = float(detached(d).min()) if len(d) else math.inf
        if shortest < TOUCHING:
            raise CbldmError(
                f"two atoms are {shortest:.2g} apart; expected at least "
                f"{TOUCHING:g}: remove the atom that stands twice at one "
                "place."
            )
        s = xp.clip(alone.ratio(d)[0], min=0.0)
        out.append(plain_sum(d, s * mean, q))
    return xp.stack(out)


def distances(x: Array) -> tuple[Any, Any, Array]:
    """First and second atom and distance of all pairs of positions (N, 3)."""
    i, j = np.triu_indices(len(x), 1)
    # pdist does not lose digits as the matrix form would.
    if isinstance(x, np.ndarray):
        return i, j, pdist(x).astype(x.dtype, copy=False)
    xp, place = array_namespace(x), {"device": device(x)}
    return xp.asarray(i, **place), xp.asarray(j, **place), xp.pdist(x)


def plain_sum(d: Array, w: Array, q: Array) -> Array:
    """Return 2 sum_p sin(Q d_p)/d_p exp(-w_p Q^2), (K,); d and w (P,)."""
    xp = array_namespace(q)
    total, squared = xp.zeros_like(q), q**2
    # In parts: each pair has a wave of K values.
    for k in range(0, len(d), 8192):
        some, width = d[k : k + 8192, None], w[k : k + 8192, None]
        wave = xp.sin(some * q) / some * xp.exp(-width * squared)
        total = total + 2 * xp.sum(wave, axis=0)
    return total
