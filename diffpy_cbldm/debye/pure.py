"""The Debye PDF of batches of clusters: exact, fast and differentiable.

Debye scattering equation for one element, with the widths of DiffPy::

    F(Q) = (1/N) sum_{i != j} sin(Q d_ij) / d_ij exp(-U Q^2 s(d_ij))
    s(d) = 1 - delta1/d - delta2/d^2 + (qbroad d)^2,  not below 0
    G(r) = (2/pi) int_Qmin^Qmax F(Q) sin(Q r) dQ  scale exp(-(qdamp r)^2/2)

The sum over pairs goes to a grid first: each distance is spread over a few
bins by a B-spline, one Fourier transform turns the bins into F(Q), and a
division by the spline's own transform takes the spreading back out.  The
aliasing error of the grid falls as (Q h / (2 pi - Q h))^p with the bin width
h and the order p, so a wanted precision fixes both.  Where the width depends
on the distance, exp(-U Q^2 s) is expanded in Chebyshev polynomials of s;
pairs at short distances, where s changes too fast for bins, are summed one by
one.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable

import torch
from torch import Tensor

from diffpy_cbldm.debye.arguments import (
    Number,
    check_ranges,
    checked_positions,
    numbers,
)
from diffpy_cbldm.debye.pairgrid import (
    EXACT,
    TOUCHING,
    PairGrid,
    arange,
    chunks,
    fast_length,
    fold,
    near_pairs,
    sine,
    sine_back,
    spline_order,
    symbol,
    window,
)
from diffpy_cbldm.debye.qgrid import (
    _quadrature,
    native_curves,
    native_range,
    r_grid,
)
from diffpy_cbldm.debye.widths import Widths, smooth_terms
from diffpy_cbldm.errors import CbldmError

Limits = tuple[Tensor, Tensor] | None

NEAREST = 0.5
"""Atoms nearer to each other (A) are summed pair by pair."""


# ------------------------------------------------------ reduced S(Q) of pairs


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
def _native_plan(
    dq: float,
    count: int,
    precision: float,
    dtype: torch.dtype,
    device: torch.device,
) -> Plan:
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
    """

    gather: Callable[[Plan, Limits], Bins]
    near: Callable[[Plan, Tensor], tuple[Tensor, Tensor]]


def _gather(
    positions: Tensor, lengths: Tensor, plan: Plan, limits: Limits
) -> Bins:
    grid = PairGrid.apply(
        positions, lengths, limits, plan.step, plan.bins, plan.order
    )
    return Bins(fold(grid, plan.bins, plan.order), plan)


def _near(
    positions: Tensor, lengths: Tensor, plan: Plan, limit: Tensor
) -> tuple[Tensor, Tensor]:
    b, i, j = near_pairs(positions, lengths, limit, plan.step, plan.bins)
    return b, (positions[b, i] - positions[b, j]).norm(dim=1)


def _gridded(pairs: Pairs, widths: Widths, cut: float, plan: Plan) -> Tensor:
    """F(Q) N, (B, K), by way of bins over the distances."""
    ends = torch.zeros_like(widths.u), torch.full_like(widths.u, cut)
    limits = None if cut >= plan.reach * (1 - 1e-12) else ends
    bins = pairs.gather(plan, limits)
    if widths.plain:
        total = plan.transform(bins.grid) / plan.spread
        return total * torch.exp(-widths.u[:, None] * plan.squared)
    near, far = bins.extent
    edge = widths.edge().clamp(max=cut)
    start = max(near, float(edge.min()))
    wide = plan.margin / 0.3
    if near + plan.order * plan.step < NEAREST or widths.reopens:
        return _split(pairs, widths, cut, plan)
    if wide > start and plan.factor == 1:
        # Nearer to zero the width is no longer a smooth function.
        finer = plan.finer(math.ceil(min(wide / start, 8)))
        return _gridded(pairs, widths, cut, finer)
    if wide > start:
        return _split(pairs, widths, cut, plan)
    total = torch.zeros((), dtype=plan.q.dtype, device=plan.q.device)
    if bool((edge >= near).any()):
        # Pairs that are cut to width 0 jump there: they get their own bins.
        zero = pairs.gather(plan, (ends[0], edge))
        total = plan.transform(zero.grid) / plan.spread
        bins = pairs.gather(plan, (edge, ends[1]))
    else:
        edge = ends[0]
    smooth = _smooth(bins, widths, edge.clamp(min=near), min(far, cut))
    if smooth is None:
        return _split(pairs, widths, cut, plan)
    return total + smooth


def _smooth(
    bins: Bins, widths: Widths, near: Tensor, far: float
) -> Tensor | None:
    """F(Q) N of pairs at near (B,) < d <= far, None where that is no use."""
    plan = bins.plan
    found = smooth_terms(
        bins.masses,
        plan.distances,
        widths,
        near - plan.margin,
        far + plan.margin,
        plan.q,
        plan.precision,
    )
    if found is None:
        return None
    terms, damp = found
    return (plan.transform(terms) * damp).sum(0)


def _split(pairs: Pairs, widths: Widths, cut: float, plan: Plan) -> Tensor:
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
        smooth = _smooth(bins, widths, limit.clamp(min=near), min(far, cut))
        if smooth is None:  # s is still too steep: delta2 far below 0
            limit = 2 * limit
    cluster, d = pairs.near(plan, limit.clamp(max=cut))
    rows = []
    for b in range(len(limit)):
        mine = d[cluster == b]
        s = widths.take(slice(b, b + 1)).ratio(mine)[0].clamp(min=0)
        rows.append(plain_sum(mine, s * widths.u[b], plan.q))
    return smooth + torch.stack(rows)


def _direct(
    positions: Tensor, lengths: Tensor, widths: Widths, cut: float, q: Tensor
) -> Tensor:
    """F(Q) N, (B, K), by the plain sum over pairs: the reference."""
    out = []
    for b in range(len(positions)):
        x = positions[b : b + 1, : int(lengths[b])]
        d = torch.pdist(x[0])[None]
        i, j = torch.triu_indices(len(x[0]), len(x[0]), 1, device=q.device)
        one = widths.take(slice(b, b + 1))
        u = one.u[0]
        mean = (u[i] + u[j]) / 2 if u.dim() else u.expand(d.shape[1])
        keep = d[0] <= cut
        d, mean = d[:, keep], mean[keep]
        if d.numel() and float(d.detach().min()) < TOUCHING:
            raise CbldmError(
                f"two atoms are {float(d.detach().min()):.2g} apart; expected "
                f"at least {TOUCHING:g}: remove the atom that stands twice "
                "at one place."
            )
        out.append(plain_sum(d[0], one.ratio(d).clamp(min=0)[0] * mean, q))
    return torch.stack(out)


def plain_sum(d: Tensor, w: Tensor, q: Tensor) -> Tensor:
    """Return 2 sum_p sin(Q d_p)/d_p exp(-w_p Q^2), (K,); d and w (P,)."""
    total = torch.zeros_like(q)
    for dist, width in zip(d.split(8192), w.split(8192), strict=True):
        wave = torch.sin(dist[:, None] * q) / dist[:, None]
        damp = torch.exp(-width[:, None] * q.square())
        total = total + 2 * (wave * damp).sum(0)
    return total


def debye_pdf(
    positions: Tensor,
    lengths: Tensor | None = None,
    *,
    u_iso: Number,
    qmin: float = 0.0,
    qmax: float = 25.0,
    qdamp: Number = 0.0,
    qbroad: Number = 0.0,
    delta1: Number = 0.0,
    delta2: Number = 0.0,
    scale: Number = 1.0,
    stretch: Number = 1.0,
    rmin: float = 0.0,
    rmax: float = 30.0,
    rstep: float = 0.01,
    grid: str = "native",
    precision: float = 1e-6,
    chunk: int | None = None,
) -> Tensor:
    """Simulate G(r) of a batch of clusters of one element.

    Parameters
    ----------
    positions : (B, N, 3) tensor, angstrom
        Clusters, padded to the longest; float32 or float64, any device.
    lengths : (B,) tensor of int, optional
        Numbers of atoms; default N for all.
    u_iso : float, (B,) or (B, N) tensor, A^2
        Mean square displacement; one value per atom takes the direct sum.
    qmin, qmax : float, 1/A, default 0 and 25
    qdamp, qbroad : float or (B,) tensor, 1/A, default 0
    delta1, delta2 : float or (B,) tensor, A and A^2, default 0
    scale, stretch : float or (B,) tensor, default 1
        Factors on G and on the positions.
    rmin, rmax, rstep : float, angstrom, default 0, 30, 0.01
    grid : {"native", "integral"}
        "native" is the discretisation of diffpy.srreal's
        DebyePDFCalculator, with one Q grid for the batch, chosen by its
        largest widths.  "integral" evaluates the integral over Q itself.
    precision : float, default 1e-6
        Largest deviation relative to the highest peak.  Below 1e-11 the sum
        over pairs is done directly.
    chunk : int, optional
        Clusters worked on at once; default: what keeps memory bounded.

    Returns
    -------
    (B, M) tensor, 1/A^2, on `r_grid(rmin, rmax, rstep)`.  Differentiable with
    respect to positions, u_iso, qdamp, qbroad, delta1, delta2, scale and
    stretch, at the Q grid that the values choose.

    Raises
    ------
    CbldmError
        Wrong shapes, negative or non-finite values, qmin >= qmax, two atoms
        at one place.

    Source: Farrow & Billinge, Acta Cryst. A 65, 232 (2009); grid rules of
    libdiffpy 1.4.
    """
    positions, lengths = checked_positions(positions, lengths)
    return evaluate(
        positions,
        lengths,
        u_iso=u_iso,
        qmin=qmin,
        qmax=qmax,
        qdamp=qdamp,
        qbroad=qbroad,
        delta1=delta1,
        delta2=delta2,
        scale=scale,
        stretch=stretch,
        rmin=rmin,
        rmax=rmax,
        rstep=rstep,
        grid=grid,
        precision=precision,
        chunk=chunk,
    )


def evaluate(
    positions: Tensor,
    lengths: Tensor,
    *,
    u_iso: Number,
    qmin: float,
    qmax: float,
    qdamp: Number,
    qbroad: Number,
    delta1: Number,
    delta2: Number,
    scale: Number,
    stretch: Number,
    rmin: float,
    rmax: float,
    rstep: float,
    grid: str,
    precision: float,
    chunk: int | None = None,
    cached: Pairs | None = None,
) -> Tensor:
    """`debye_pdf` of checked positions; cached has their pairs."""
    check_ranges(
        qmin=qmin,
        qmax=qmax,
        rmin=rmin,
        rmax=rmax,
        rstep=rstep,
        precision=precision,
    )
    if grid not in ("native", "integral"):
        raise CbldmError(
            f"grid is {grid!r}; expected 'native' or 'integral': pass one."
        )

    def number(name: str, value: Number, low: float = 0.0) -> Tensor:
        return numbers(name, value, positions, low)

    widths = Widths(
        number("u_iso", u_iso),
        number("delta1", delta1, -math.inf),
        number("delta2", delta2, -math.inf),
        number("qbroad", qbroad),
    )
    qdamp = number("qdamp", qdamp)
    scale = number("scale", scale, -math.inf)
    stretch = number("stretch", stretch, 1e-6)
    r = r_grid(rmin, rmax, rstep).to(positions.device)
    if not len(positions):
        return positions.new_zeros(0, len(r))
    positions = positions * stretch[:, None, None]

    if grid == "native":
        with torch.no_grad():
            ends = r.new_tensor([max(rmin, 1e-9), rmax])
            ratio = float(widths.ratio(ends.to(positions.dtype)).max())
            reach, dq, first, count = native_range(
                float(widths.u.max()), ratio, qmin, qmax, rmax, rstep
            )
        cut = reach
        plan = _native_plan(
            dq, count, precision, positions.dtype, positions.device
        )
    else:
        with torch.no_grad():
            far = (positions.square().sum(2).amax().sqrt() * 2).item()
        cut = 4.0 * math.ceil(far / 4 + 0.5)
        nodes, weights = _quadrature(qmin, qmax, cut + rmax)
        q = positions.new_tensor(nodes)
        plan = Plan(q, cut, False, precision)
        waves = torch.sin(q.double()[:, None] * r) * (2 / math.pi)
        waves = waves * r.new_tensor(weights)[:, None]
        waves = waves.to(positions.dtype)

    direct = precision < EXACT or widths.u.dim() == 2
    damped = qdamp.requires_grad or bool((qdamp != 0).any())
    out, order = [], []
    for part in chunks(
        positions, lengths, 8 * len(r) + 8 * len(plan.q), chunk
    ):
        size = lengths[part]
        x = positions[part, : int(size.max())]
        if direct:
            f = _direct(x, size, widths.take(part), cut, plan.q)
        else:
            pairs = cached or Pairs(
                functools.partial(_gather, x, size),
                functools.partial(_near, x, size),
            )
            f = _gridded(pairs, widths.take(part), cut, plan)
        f = f / size[:, None]
        if grid == "native":
            g = native_curves(f, dq, first, r, rstep)
        else:
            g = f @ waves
        if damped:
            fall = (qdamp[part, None] * r.to(g.dtype)).square()
            g = g * torch.exp(-0.5 * fall)
        out.append(g * scale[part, None])
        order.append(part)
    place = torch.cat(order)
    if bool((place[1:] > place[:-1]).all()):
        return torch.cat(out)
    return torch.cat(out)[torch.argsort(place)]
