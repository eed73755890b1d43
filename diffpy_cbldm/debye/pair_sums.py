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

import torch
from torch import Tensor

from diffpy_cbldm.debye.pairgrid import (
    TOUCHING,
    arange,
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

Limits = tuple[Tensor, Tensor] | None

NEAREST = 0.5
"""Atoms nearer to each other (A) are summed pair by pair."""


class Plan:
    """The bins and the transform that one wanted precision asks for.

    Parameters
    ----------
    q : (K,) tensor
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
        q: Tensor,
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
    def _waves(self) -> Tensor:
        x = torch.arange(self.bins + 1, dtype=torch.float64) * self.step
        x = x.to(self.q.device)[:, None]
        return torch.sin(x * self.q.double()).to(self.q.dtype)

    @functools.cached_property
    def spread(self) -> Tensor:
        """Transform of the spline at Q, (K,)."""
        return window(self.q, self.step, self.order)

    @functools.cached_property
    def squared(self) -> Tensor:
        """Q^2, (K,)."""
        return self.q.square()

    @functools.cached_property
    def distances(self) -> Tensor:
        """Where the bins stand, (bins + 1,)."""
        return arange(self.bins + 1, self.q) * self.step

    @functools.cached_property
    def symbol(self) -> Tensor:
        """Transform of the spline sampled on the bins, (bins + 1,)."""
        return symbol(self.bins, self.order, self.q)

    def transform(self, series: Tensor) -> Tensor:
        """Return sum_m series_m sin(Q m step), (..., K)."""
        if self.harmonic:
            return sine(series, self.bins, len(self.q))
        return series @ self._waves

    def finer(self, factor: int) -> Plan:
        """The same with so many times the bins."""
        return Plan(self.q, self.reach, self.harmonic, self.precision, factor)


@functools.lru_cache(maxsize=8)
def native_plan(
    dq: float,
    count: int,
    precision: float,
    dtype: torch.dtype,
    device: torch.device,
) -> Plan:
    """For Q = k dq; kept, as a fit asks for few grids again and again."""
    q = torch.arange(count, dtype=dtype, device=device) * dq
    return Plan(q, math.pi / dq, True, precision)


class Bins:
    """Pairs in bins, (B, bins + 1), and what is drawn from them."""

    def __init__(self, grid: Tensor, plan: Plan) -> None:
        self.grid, self.plan = grid, plan

    @functools.cached_property
    def masses(self) -> Tensor:
        """Point masses whose splines sum to the grid, (B, bins + 1).

        They may be multiplied with any smooth function of the distance.
        """
        bins = self.plan.bins
        mass = sine(self.grid, bins, bins + 1) / self.plan.symbol
        return sine_back(mass, bins)[:, : bins + 1] * (2 / bins)

    @functools.cached_property
    def extent(self) -> tuple[float, float]:
        """Bounds on the shortest and the longest distance."""
        filled = self.grid.detach().any(0).nonzero()
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
    near: Callable[[Plan, Tensor], tuple[Tensor, Tensor]]
    longest: Tensor | None = None


def gather_pairs(
    positions: Tensor, lengths: Tensor, plan: Plan, limits: Limits
) -> Bins:
    """`Pairs.gather` of positions (B, N, 3)."""
    grid = pair_grid(
        positions, lengths, limits, plan.step, plan.bins, plan.order
    )
    return Bins(fold(grid, plan.bins, plan.order), plan)


def near_distances(
    positions: Tensor, lengths: Tensor, plan: Plan, limit: Tensor
) -> tuple[Tensor, Tensor]:
    """`Pairs.near` of positions (B, N, 3)."""
    b, i, j = near_pairs(positions, lengths, limit, plan.step, plan.bins)
    return b, (positions[b, i] - positions[b, j]).norm(dim=1)


def gridded_sum(
    pairs: Pairs, widths: Widths, cut: float, plan: Plan
) -> Tensor:
    """F(Q) N, (B, K), by way of bins over the distances."""
    ends = torch.zeros_like(widths.u), torch.full_like(widths.u, cut)
    limits = None if cut >= plan.reach * (1 - 1e-12) else ends
    bins = pairs.gather(plan, limits)
    if widths.plain:
        # One width for all pairs is a factor of the whole sum.
        total = plan.transform(bins.grid) / plan.spread
        return total * torch.exp(-widths.u[:, None] * plan.squared)
    near, far = bins.extent
    edge = widths.edge().clamp(max=cut)
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
    total = torch.zeros((), dtype=plan.q.dtype, device=plan.q.device)
    if bool((edge >= near).any()):
        # Pairs that are cut to width 0 jump there: they get their own bins.
        zero = pairs.gather(plan, (ends[0], edge))
        total = plan.transform(zero.grid) / plan.spread
        bins = pairs.gather(plan, (edge, ends[1]))
    else:
        edge = ends[0]
    smooth = _smooth_part(bins, widths, edge.clamp(min=near), min(far, cut))
    if smooth is None:
        return _split_sum(pairs, widths, cut, plan)
    return total + smooth


def _smooth_part(
    bins: Bins, widths: Widths, near: Tensor, far: float
) -> Tensor | None:
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


def _split_sum(pairs: Pairs, widths: Widths, cut: float, plan: Plan) -> Tensor:
    """F(Q) N, (B, K): pairs of short distance one by one, others in bins.

    The bins begin a margin above the distance at which s is cut to 0, so
    that s is nowhere continued to values below 0, where exp(-U Q^2 s) grows
    without bound.
    """
    edge = widths.edge()
    plan = plan.finer(1)
    floor = max(NEAREST, float(edge.min()))
    plan = plan.finer(math.ceil(plan.margin / (0.3 * floor)))
    limit = (edge + plan.margin).clamp(min=NEAREST)
    end = torch.full_like(limit, cut)
    smooth = None
    while smooth is None:
        bins = pairs.gather(plan, (limit, end))
        near, far = bins.extent
        smooth = _smooth_part(
            bins, widths, limit.clamp(min=near), min(far, cut)
        )
        if smooth is None:  # s is still too steep: delta2 far below 0
            limit = 2 * limit
    cluster, d = pairs.near(plan, limit.clamp(max=cut))
    rows = []
    for b in range(len(limit)):
        mine = d[cluster == b]
        s = widths.take(slice(b, b + 1)).ratio(mine)[0].clamp(min=0)
        rows.append(plain_sum(mine, s * widths.u[b], plan.q))
    return smooth + torch.stack(rows)


def direct_sum(
    positions: Tensor, lengths: Tensor, widths: Widths, cut: float, q: Tensor
) -> Tensor:
    """F(Q) N, (B, K), by the plain sum over pairs: the reference."""
    out = []
    for b in range(len(positions)):
        x = positions[b : b + 1, : int(lengths[b])]
        d = torch.pdist(x[0])[None]
        i, j = torch.triu_indices(len(x[0]), len(x[0]), 1, device=q.device)
        alone = widths.take(slice(b, b + 1))
        u = alone.u[0]
        mean = (u[i] + u[j]) / 2 if u.dim() else u.expand(d.shape[1])
        keep = d[0] <= cut
        d, mean = d[:, keep], mean[keep]
        if d.numel() and float(d.detach().min()) < TOUCHING:
            raise CbldmError(
                f"two atoms are {float(d.detach().min()):.2g} apart; expected "
                f"at least {TOUCHING:g}: remove the atom that stands twice "
                "at one place."
            )
        out.append(plain_sum(d[0], alone.ratio(d).clamp(min=0)[0] * mean, q))
    return torch.stack(out)


def plain_sum(d: Tensor, w: Tensor, q: Tensor) -> Tensor:
    """Return 2 sum_p sin(Q d_p)/d_p exp(-w_p Q^2), (K,); d and w (P,)."""
    total = torch.zeros_like(q)
    # In parts: each pair has a wave of K values.
    for dist, width in zip(d.split(8192), w.split(8192), strict=True):
        wave = torch.sin(dist[:, None] * q) / dist[:, None]
        damp = torch.exp(-width[:, None] * q.square())
        total = total + 2 * (wave * damp).sum(0)
    return total
