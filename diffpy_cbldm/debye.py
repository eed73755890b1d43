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
on the distance, exp(-U Q^2 s) is expanded in Chebyshev polynomials of s.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from diffpy_cbldm.errors import CbldmError
from diffpy_cbldm.pairgrid import (
    TOUCHING,
    PairGrid,
    fast_length,
    fold,
    sine,
    sine_back,
    spline,
    symbol,
    window,
)

Number = float | Tensor
Limits = tuple[Tensor, Tensor] | None

EXACT = 1e-11
"""A precision below this is reached by the direct sum alone."""


# ------------------------------------------------------ checks of the input


def _check_positions(
    positions: Tensor, lengths: Tensor | None
) -> tuple[Tensor, Tensor]:
    if not isinstance(positions, Tensor) or not positions.is_floating_point():
        raise CbldmError(
            f"positions is {type(positions).__name__}; expected a floating "
            "point torch tensor: pass torch.as_tensor(x, dtype=float64)."
        )
    if positions.dim() != 3 or positions.shape[2] != 3:
        raise CbldmError(
            f"positions has shape {tuple(positions.shape)}; expected "
            "(B, N, 3): pass positions[None] for one cluster."
        )
    batch, n = positions.shape[:2]
    if lengths is None:
        lengths = torch.full((batch,), n)
    lengths = torch.as_tensor(lengths).to(positions.device, torch.int64)
    if lengths.shape != (batch,):
        raise CbldmError(
            f"lengths has shape {tuple(lengths.shape)}; expected ({batch},), "
            "one number of atoms per cluster."
        )
    if batch and (int(lengths.min()) < 1 or int(lengths.max()) > n):
        raise CbldmError(
            f"lengths run from {int(lengths.min())} to {int(lengths.max())}; "
            f"expected 1 to {n}, the size of positions."
        )
    real = torch.arange(n, device=positions.device) < lengths[:, None]
    if not bool((torch.isfinite(positions).all(2) | ~real).all()):
        raise CbldmError(
            "positions hold NaN or infinite values; expected finite "
            "numbers: check how the cluster was made."
        )
    # Padding may hold anything, and must not reach the distances.
    if not bool(real.all()):
        positions = torch.where(real[..., None], positions, 0.0)
    return positions, lengths


def _number(name: str, value: Number, like: Tensor, low: float) -> Tensor:
    """One value per cluster, (B,), checked against its lower limit."""
    if not isinstance(value, Tensor):
        value = torch.as_tensor(value, dtype=torch.float64)
    value = value.to(like.device, like.dtype)
    batch = len(like)
    if value.shape not in ((), (batch,)) and not (
        name == "u_iso" and value.shape == like.shape[:2]
    ):
        raise CbldmError(
            f"{name} has shape {tuple(value.shape)}; expected one number "
            f"or ({batch},), one per cluster."
        )
    least = float(value.detach().min()) if value.numel() else low
    most = float(value.detach().max()) if value.numel() else low
    if not (least >= low and math.isfinite(most) and math.isfinite(least)):
        shown = most if least >= low else least
        limit = f"at least {low:g}" if low > -math.inf else "a finite number"
        raise CbldmError(
            f"{name} is {shown:g}; expected {limit}: correct {name}."
        )
    return value.expand(batch) if value.dim() == 0 else value


def _check_ranges(**values: float) -> None:
    for name, value in values.items():
        if not math.isfinite(value) or value < 0:
            raise CbldmError(
                f"{name} is {value:g}; expected a finite number of at "
                f"least 0: correct {name}."
            )
    for low, high in (("qmin", "qmax"), ("rmin", "rmax")):
        if values[low] >= values[high]:
            raise CbldmError(
                f"{low} is {values[low]:g} and {high} is {values[high]:g}; "
                f"expected {low} < {high}: exchange or correct them."
            )
    if values["rstep"] <= 0 or values["rstep"] > values["rmax"]:
        raise CbldmError(
            f"rstep is {values['rstep']:g}; expected more than 0 and at "
            "most rmax: pass rstep=0.01."
        )
    if not 0 < values["precision"] <= 0.1:
        raise CbldmError(
            f"precision is {values['precision']:g}; expected 1e-14 to 0.1, "
            "relative to the highest peak: pass precision=1e-6."
        )


# ------------------------------------------------------------- the Q ranges


@dataclasses.dataclass
class _Widths:
    """What decides exp(-U Q^2 s(d)); each (B,), u also (B, N)."""

    u: Tensor
    delta1: Tensor
    delta2: Tensor
    qbroad: Tensor

    def take(self, index: Tensor | slice) -> _Widths:
        return _Widths(self.u[index], *(x[index] for x in self._factors()))

    def _factors(self) -> tuple[Tensor, Tensor, Tensor]:
        return self.delta1, self.delta2, self.qbroad

    @property
    def plain(self) -> bool:
        """Whether the width is the same at every distance."""
        return not any(
            x.requires_grad or bool((x != 0).any()) for x in self._factors()
        )

    def ratio(self, d: Tensor) -> Tensor:
        """The factor s(d) before it is cut at 0; d (B, n) or (n,)."""
        d1, d2, qb = (x[:, None] for x in self._factors())
        return 1 - d1 / d - d2 / (d * d) + (qb * d) ** 2

    @torch.no_grad()
    def edge(self) -> Tensor:
        """The distance (B,) below which s is cut to 0."""
        d1, d2, qb = self._factors()
        d = (d1 + (d1 * d1 + 4 * d2).clamp(min=0).sqrt()) / 2
        d = d.clamp(min=0)
        for _ in range(12):  # Newton, from above on a convex function
            value = d * d + qb**2 * d**4 - d1 * d - d2
            slope = (2 * d + 4 * qb**2 * d**3 - d1).clamp(min=1e-9)
            d = (d - value / slope).clamp(min=0)
        return d


def native_range(
    widths_max: float,
    ratio_max: float,
    qmin: float,
    qmax: float,
    rmax: float,
    rstep: float,
) -> tuple[float, float, int, int]:
    """The Q grid of diffpy.srreal's DebyePDFCalculator.

    Parameters
    ----------
    widths_max : float, largest Uiso, A^2
    ratio_max : float, largest factor s at the two ends of the r range
    qmin, qmax : float, 1/A
    rmax, rstep : float, A

    Returns
    -------
    (extended rmax in A, dQ in 1/A, first k, number of k)

    Source: libdiffpy 1.4, PDFUtils and DebyePDFCalculator.
    """
    fwhm = 2 * math.sqrt(2 * math.log(2)) * math.sqrt(2 * widths_max)
    fwhm *= math.sqrt(max(1.0, ratio_max))
    tail = fwhm * math.sqrt(-math.log(3.33e-6) / (4 * math.log(2)))
    extension = min(10.0, 6 * 2 * math.pi / qmax + tail)
    extended = math.ceil((rmax + extension) / rstep - 1e-9) * rstep
    dq = math.pi / extended
    if qmax * extended / math.pi <= 4:
        dq = qmax / 4
    return extended, dq, math.ceil(qmin / dq), math.ceil(qmax / dq)


def _order(precision: float) -> tuple[int, float]:
    """Spline order and the largest Q * step for a wanted precision."""
    order = 4 if precision >= 3e-5 else 6 if precision >= 3e-7 else 8
    if order == 8:  # wide bins reach to distances where s < 0 explodes
        precision = min(precision, 1e-9)
    leak = (precision / 4) ** (1 / order)
    return order, 2 * math.pi * leak / (1 + leak)


def _node_count(exponent: float, base: float, precision: float) -> int:
    """Chebyshev terms that exp(-c (b + 1 + x)), |x| <= 1, needs.

    For every c from 0 to exponent; base = b.  The coefficients are
    2 exp(-c (b + 1)) I_n(c), and I_n(c) <= (c/2)^n / n! exp(c^2 / 4 / (n + 1))
    as well as exp(c).
    """
    rates = [max(exponent, 1e-12) * (k + 1) / 16 for k in range(16)]
    for count in range(2, 200):
        tail = max(
            min(
                count * math.log(c / 2)
                - math.lgamma(count + 1)
                + c * c / (4 * (count + 1)),
                c,
            )
            - c * (base + 1)
            for c in rates
        )
        if tail < math.log(precision / 8):
            return count
    return 200


# ------------------------------------------------------ reduced S(Q) of pairs


def _smooth_terms(
    mass: Tensor,
    x: Tensor,
    widths: _Widths,
    near: Tensor,
    far: float,
    q: Tensor,
    precision: float,
) -> tuple[Tensor, Tensor]:
    """Expand exp(-U Q^2 s(x)) = sum_m a_m(Q) T_m(s); (M, B, n), (M, B, K).

    mass (B, n) stands at the distances x (n,); only near..far matters.
    """
    inside = torch.maximum(x.clamp(max=far), near.clamp(min=1e-3)[:, None])
    s = widths.ratio(inside)
    with torch.no_grad():
        low, high = s.amin(1, keepdim=True), s.amax(1, keepdim=True)
        mid, half = (high + low) / 2, ((high - low) / 2).clamp(min=1e-6)
        rate = float((widths.u * half[:, 0]).max()) * float(q[-1]) ** 2
        base = float((low / half).min())
    count = _node_count(rate, base, precision)
    t = (s - mid) / half
    terms = [mass, mass * t]
    for _ in range(count - 2):
        terms.append(2 * t * terms[-1] - terms[-2])
    angle = torch.arange(count, dtype=q.dtype, device=q.device) + 0.5
    angle = angle * (math.pi / count)
    nodes = mid + half * torch.cos(angle)
    damp = torch.exp(
        -widths.u[:, None, None] * (nodes[..., None] * q.square())
    )
    k = torch.arange(count, dtype=q.dtype, device=q.device)
    turn = torch.cos(k[:, None] * angle) * (2 / count)
    turn[0] /= 2
    return torch.stack(terms[:count]), torch.einsum("mj,bjk->mbk", turn, damp)


@dataclasses.dataclass
class _Plan:
    """The bins and the transform that one wanted precision asks for."""

    q: Tensor  # (K,)
    order: int
    bins: int
    step: float
    precision: float
    waves: Tensor | None  # sin(Q x), where Q is not k pi / (bins * step)

    @classmethod
    def make(
        cls,
        q: Tensor,
        reach: float,
        harmonic: bool,
        precision: float,
        finer: int = 1,
    ) -> _Plan:
        """Cover distances to reach; harmonic: q = k pi / reach, from k = 0."""
        order, angle = _order(precision)
        least = reach * float(q[-1]) / angle
        bins = fast_length(max(least, len(q) if harmonic else 8)) * finer
        step = reach / bins
        waves = None
        if not harmonic:
            x = torch.arange(bins + 1, dtype=torch.float64) * step
            x = x.to(q.device)[:, None]
            waves = torch.sin(x * q.double()).to(q.dtype)
        return cls(q, order, bins, step, precision, waves)

    def transform(self, series: Tensor) -> Tensor:
        """Return sum_m series_m sin(Q m step), (..., K)."""
        if self.waves is None:
            return sine(series, self.bins, len(self.q))
        return series @ self.waves


Gather = Callable[[_Plan, Limits], Tensor]


def _gather(
    positions: Tensor, lengths: Tensor, plan: _Plan, limits: Limits
) -> Tensor:
    """Pairs at distances low < d <= high in bins, (B, bins + 1)."""
    grid = PairGrid.apply(
        positions, lengths, limits, plan.step, plan.bins, plan.order
    )
    return fold(grid, plan.bins, plan.order)


def _gridded(
    gather: Gather, widths: _Widths, cut: float, plan: _Plan
) -> Tensor:
    """F(Q) N, (B, K), by way of bins over the distances."""
    q, bins, order, step = plan.q, plan.bins, plan.order, plan.step
    limits = None
    if cut < bins * step * (1 - 1e-12):
        zero = torch.zeros_like(widths.u)
        limits = zero, torch.full_like(zero, cut)
    grid = gather(plan, limits)
    if widths.plain:
        total = plan.transform(grid) / window(q, step, order)
        return total * torch.exp(-widths.u[:, None] * q.square())
    near, far = _extent(grid, step)
    edge = widths.edge().clamp(max=cut)
    total = torch.zeros((), dtype=q.dtype, device=q.device)
    if bool((edge >= near).any()):
        # Pairs that are cut to width 0 jump there: they get their own bins.
        limits = torch.zeros_like(edge), edge
        sharp = gather(plan, limits)
        total = plan.transform(sharp) / window(q, step, order)
        limits = edge, torch.full_like(edge, cut)
        grid = gather(plan, limits)
    else:
        edge = torch.zeros_like(edge)
    # The inverse of the symbol decays from bin to bin by its pole.
    pole = {4: 0.268, 6: 0.431, 8: 0.536}[order]
    margin = math.ceil(math.log(plan.precision / 20) / math.log(pole)) * step
    start = max(near, float(edge.min()))
    if margin > 0.3 * start and step > 0.002:
        # Nearer to zero the width is no longer a smooth function.
        finer = math.ceil(min(margin / (0.3 * start), 8))
        harmonic = plan.waves is None
        plan = _Plan.make(q, bins * step, harmonic, plan.precision, finer)
        return _gridded(gather, widths, cut, plan)
    # Division by the symbol turns spread pairs into point masses, which
    # may then be multiplied with any smooth function of the distance.
    mass = sine(grid, bins, bins + 1) / symbol(bins, order, grid)
    mass = sine_back(mass, bins)[:, : bins + 1] * (2 / bins)
    terms, damp = _smooth_terms(
        mass,
        _arange(bins + 1, mass) * step,
        widths,
        edge.clamp(min=near) - margin,
        min(far, cut) + margin,
        q,
        plan.precision,
    )
    return total + (plan.transform(terms) * damp).sum(0)


def _direct(
    positions: Tensor, lengths: Tensor, widths: _Widths, cut: float, q: Tensor
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
        s = one.ratio(d).clamp(min=0)[0] * mean
        total = torch.zeros_like(q)
        for part in torch.arange(d.shape[1], device=q.device).split(8192):
            dist = d[0, part, None]
            wave = torch.sin(dist * q) / dist
            total = total + 2 * (
                wave * torch.exp(-s[part, None] * q.square())
            ).sum(0)
        out.append(total)
    return torch.stack(out)


@torch.no_grad()
def _extent(grid: Tensor, step: float) -> tuple[float, float]:
    """Bounds on the shortest and the longest distance in bins (B, n)."""
    filled = grid.any(0).nonzero()
    if not len(filled):
        return 1.0, 1.0
    return float(filled[0]) * step, float(filled[-1]) * step


def _arange(count: int, like: Tensor) -> Tensor:
    return torch.arange(count, dtype=like.dtype, device=like.device)


# ---------------------------------------------------------- from F(Q) to G(r)


def _native_curves(
    f: Tensor, dq: float, first: int, r: Tensor, rstep: float
) -> Tensor:
    """Sine transform as DiffPy does it: padded, then linear in r."""
    count = f.shape[1]
    size = max(count, math.ceil(math.pi / (rstep * dq)))
    size = 1 << math.ceil(math.log2(size))
    f = f * (torch.arange(count, device=f.device) >= first)
    f = torch.nn.functional.pad(f, (0, size + 1 - count))
    g = sine_back(f, size) * (2 / math.pi * dq)
    place = r * (size * dq / math.pi)
    left = place.floor().clamp(max=2 * size - 2)
    part = (place - left).to(f.dtype)
    # The backward pass of gather is a plain scatter.
    left = left.long().expand(len(g), -1)
    return torch.lerp(g.gather(1, left), g.gather(1, left + 1), part)


@functools.lru_cache(maxsize=8)
def _quadrature(
    qmin: float, qmax: float, length: float
) -> tuple[list[float], list[float]]:
    """Gauss-Legendre nodes and weights for waves up to sin(Q length)."""
    import numpy

    panels = math.ceil((qmax - qmin) * length / 2 / 60)
    x, w = numpy.polynomial.legendre.leggauss(48)
    half = (qmax - qmin) / panels / 2
    centre = qmin + half * (2 * numpy.arange(panels)[:, None] + 1)
    nodes = (centre + half * x).ravel()
    return nodes.tolist(), numpy.tile(half * w, panels).tolist()


def r_grid(rmin: float, rmax: float, rstep: float) -> Tensor:
    """The r grid (M,) of `debye_pdf`, angstrom, float64.

    ceil(rmin/rstep) .. ceil(rmax/rstep) - 1, times rstep, as in DiffPy: rmax
    itself is not in it.
    """
    first, last = (math.ceil(x / rstep - 1e-8) for x in (rmin, rmax))
    return torch.arange(first, last, dtype=torch.float64) * rstep


def _chunks(
    positions: Tensor, lengths: Tensor, extra: int, chunk: int | None
) -> Iterator[Tensor]:
    """Split the batch into parts of similar size and bounded memory."""
    order = torch.argsort(lengths, descending=True, stable=True)
    budget = (1 << 21) if positions.device.type == "cpu" else (1 << 27)
    start = 0
    while start < len(order):
        n = int(lengths[order[start]])
        count = chunk or max(1, budget // (4 * n * n + extra))
        yield order[start : start + count]
        start += count


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
    positions, lengths = _check_positions(positions, lengths)
    return _evaluate(
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


def _evaluate(
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
    cached: Gather | None = None,
) -> Tensor:
    """`debye_pdf` of checked positions; cached has their pairs."""
    _check_ranges(
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
        return _number(name, value, positions, low)

    widths = _Widths(
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
        cut, harmonic = reach, True
        reach = math.pi / dq
        q = _arange(count, positions) * dq
    else:
        with torch.no_grad():
            far = (positions.square().sum(2).amax().sqrt() * 2).item()
        reach, harmonic = 4.0 * math.ceil(far / 4 + 0.5), False
        cut = reach
        nodes, weights = _quadrature(qmin, qmax, reach + rmax)
        q = positions.new_tensor(nodes)
        waves = torch.sin(q.double()[:, None] * r) * (2 / math.pi)
        waves = waves * r.new_tensor(weights)[:, None]
        waves = waves.to(positions.dtype)

    plan = None
    direct = precision < EXACT or widths.u.dim() == 2
    if not direct:
        plan = _Plan.make(q, reach, harmonic, precision)
    damped = qdamp.requires_grad or bool((qdamp != 0).any())
    out, order = [], []
    for part in _chunks(positions, lengths, 8 * len(r) + 8 * len(q), chunk):
        size = lengths[part]
        x = positions[part, : int(size.max())]
        if plan is None:
            f = _direct(x, size, widths.take(part), cut, q)
        else:
            gather = cached or functools.partial(_gather, x, size)
            f = _gridded(gather, widths.take(part), cut, plan)
        f = f / size[:, None]
        if grid == "native":
            g = _native_curves(f, dq, first, r, rstep)
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


# --------------------------------------------- the same in units of the bond


def pair_histogram(
    positions: Tensor,
    lengths: Tensor | None = None,
    *,
    step: float,
    bins: int,
    order: int = 4,
    chunk: int | None = None,
) -> Tensor:
    """Spread 1/d of all ordered pairs i != j over bins m * step.

    Parameters
    ----------
    positions : (B, N, 3) tensor, any unit
    lengths : (B,) tensor of int, optional
    step : float, same unit
        Width of the bins.
    bins : int
        Number of bins; distances beyond bins * step are dropped.
    order : int, default 4
        Order of the B-spline; `pdf_from_histogram` must be told the same.
    chunk : int, optional
        Clusters worked on at once.

    Returns
    -------
    (B, bins) tensor.  It depends on the geometry alone: Q range, stretch,
    widths and damping come in `pdf_from_histogram`.
    """
    positions, lengths = _check_positions(positions, lengths)
    spline(order)
    if not (step > 0 and math.isfinite(step)) or bins < 2 * order:
        raise CbldmError(
            f"step is {step:g} and bins {bins}; expected step > 0 and at "
            f"least {2 * order} bins: cover the largest distance."
        )
    out = positions.new_empty(0, bins)
    parts, where = [out], [torch.zeros(0, dtype=torch.int64)]
    for part in _chunks(positions, lengths, 4 * bins, chunk):
        size = lengths[part]
        grid = PairGrid.apply(
            positions[part, : int(size.max())],
            size,
            None,
            step,
            bins,
            order,
        )
        parts.append(fold(grid, bins, order)[:, :bins])
        where.append(part)
    where = [w.to(positions.device) for w in where]
    return torch.cat(parts)[torch.argsort(torch.cat(where))]


def pdf_from_histogram(
    hist: Tensor,
    lengths: Tensor,
    *,
    step: float,
    u_iso: Number,
    qmin: Number,
    qmax: Number,
    qdamp: Number = 0.0,
    rstep_out: float | None = None,
    points: int | None = None,
    order: int = 4,
    padding: int = 1,
) -> Tensor:
    """Turn histograms of pairs into PDFs, each with its own Q range.

    Parameters
    ----------
    hist : (B, bins) tensor
        From `pair_histogram` with the same step and order.
    lengths : (B,) tensor of int
        Numbers of atoms.
    step : float
        Width of the bins; its unit is the unit of everything here.
    u_iso, qmin, qmax, qdamp : float or (B,) tensor
    rstep_out : float, optional
        Step of the r grid: step times or divided by a whole number.
    points : int, optional
        Number of points of the r grid; default bins * step / rstep_out.
    order : int, default 4
    padding : int, default 1
        The step in Q is pi / (padding * bins * step).  Cells that a Q limit
        cuts count by their share, an error of the order of dQ; 2 or 4
        lowers it.

    Returns
    -------
    (B, points) tensor of G(r) at r = 0, rstep_out, 2 rstep_out, ...
    """
    if hist.dim() != 2 or len(lengths) != len(hist):
        raise CbldmError(
            f"hist has shape {tuple(hist.shape)} and lengths "
            f"{tuple(lengths.shape)}; expected (B, bins) and (B,)."
        )
    u_iso, qmin, qmax, qdamp = (
        _number(name, value, hist, 0.0)[:, None]
        for name, value in (
            ("u_iso", u_iso),
            ("qmin", qmin),
            ("qmax", qmax),
            ("qdamp", qdamp),
        )
    )
    if bool((qmin >= qmax).any()):
        bad = int((qmin >= qmax)[:, 0].nonzero()[0])
        raise CbldmError(
            f"qmin is {float(qmin[bad]):g} and qmax is {float(qmax[bad]):g} "
            f"at index {bad}; expected qmin < qmax."
        )
    size = padding * hist.shape[1]
    dq = math.pi / (size * step)
    top = float(qmax.detach().max())
    count = math.ceil(top / dq + 0.5) + 1
    if count > size:
        raise CbldmError(
            f"qmax is {top:g}; bins of {step:g} resolve up to "
            f"{math.pi / step:g}: use a smaller step."
        )
    finer, stride = 1, 1
    if rstep_out is not None:
        finer = max(1, round(step / rstep_out))
        stride = max(1, round(rstep_out / step))
        if abs(rstep_out * finer / (step * stride) - 1) > 1e-6:
            raise CbldmError(
                f"rstep_out is {rstep_out:g}; expected the step {step:g} "
                "times or divided by a whole number."
            )
    q = _arange(count, hist) * dq
    f = sine(hist, size, count) / window(q, step, order)
    f = f * torch.exp(-u_iso * q.square()) / lengths[:, None]
    f = f * (
        ((qmax - q) / dq + 0.5).clamp(0, 1)
        - ((qmin - q) / dq + 0.5).clamp(0, 1)
    )
    spare = size * finer + 1 - count
    g = sine_back(torch.nn.functional.pad(f, (0, spare)), size * finer)
    points = points or hist.shape[1] * finer // stride
    g = g[:, : points * stride : stride] * (2 / math.pi * dq)
    r = _arange(points, hist) * (step * stride / finer)
    return g * torch.exp(-0.5 * (qdamp * r).square())
