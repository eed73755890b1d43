"""Pair distances on a grid of bins: B-splines, scatter, sine transforms.

A distance d is spread over the p bins around it with the weights of the
cardinal B-spline of order p.  Within one cell the weights are polynomials of
the fraction f of d / step, so the pairs leave p moments sum w f^k per cell,
and one small matrix turns moments into bins.  Atom i meets atom i + k
(modulo N) for k = 1 .. N // 2: distances are differences of slices, and no
index of pairs is ever made.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator

import torch
from torch import Tensor

from diffpy_cbldm.errors import CbldmError

TOUCHING = 1e-4
"""Atoms closer than this (same unit as the positions) are an error."""

PAIRS = 1 << 17
"""Pairs on the CPU at once: their arrays stay in the cache."""


# ---------------------------------------------------------------- B-splines


@functools.cache
def spline(order: int) -> tuple[tuple[float, ...], ...]:
    """Polynomials of the cardinal B-spline, one row per unit interval."""
    if order % 2 or not 2 <= order <= 12:
        raise CbldmError(
            f"order is {order}; expected an even number from 2 to 12: "
            "pass order=4."
        )
    pieces = [[1.0]]
    for n in range(2, order + 1):
        new = []
        for j in range(n):
            out = [0.0] * n
            if j < n - 1:
                for k, c in enumerate(pieces[j]):
                    out[k] += j * c
                    out[k + 1] += c
            if j > 0:
                for k, c in enumerate(pieces[j - 1]):
                    out[k] += (n - j) * c
                    out[k + 1] -= c
            new.append([c / (n - 1) for c in out])
        pieces = new
    return tuple(tuple(row) for row in pieces)


def window(q: Tensor, step: float, order: int) -> Tensor:
    """Fourier transform of the spline at Q: sinc(Q h / 2)^p."""
    return torch.sinc(q * (step / (2 * math.pi))) ** order


def symbol(bins: int, order: int, like: Tensor) -> Tensor:
    """Transform of the spline sampled on its grid, (bins + 1,)."""
    angle = torch.arange(bins + 1, dtype=like.dtype, device=like.device)
    angle = angle * (math.pi / bins)
    # Piece j at its left end is the spline at the integer j - p/2.
    out = torch.zeros_like(angle)
    for j, row in enumerate(spline(order)):
        out = out + row[0] * torch.cos((j - order // 2) * angle)
    return out


# ------------------------------------------------------------ pairs to bins


def _blocks(x: Tensor) -> Iterator[tuple[int, int, int]]:
    """First shift, number of shifts and atoms of each block of pairs.

    For even N the last shift meets every pair twice: half its atoms do.
    """
    batch, _, n = x.shape
    n //= 2
    pairs = PAIRS if x.device.type == "cpu" else PAIRS << 8
    rows = max(1, pairs // (batch * n))
    full = (n - 1) // 2
    for first in range(1, full + 1, rows):
        yield first, min(rows, full + 1 - first), n
    if n % 2 == 0:
        yield n // 2, 1, n // 2


def _apart(x: Tensor, block: tuple[int, int, int]) -> Tensor:
    """Return x_(i + k) - x_i (B, 3, shifts, atoms); x (B, 3, 2 N) repeats."""
    first, count, atoms = block
    batch, _, width = x.shape
    ahead = x.as_strided(
        (batch, 3, count, atoms), (3 * width, width, 1, 1), first
    )
    out = x.new_empty(ahead.shape)
    return torch.sub(ahead, x[:, :, None, :atoms], out=out)


def _place(
    apart: Tensor,
    first: int,
    bins: int,
    limits: tuple[Tensor, Tensor] | None,
    touching: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return 1/d, cell and fraction (B, pairs); d in bins.

    What is beyond the bins or outside limits goes to the cell number bins.
    """
    square = apart[:, 0].square()
    for axis in (1, 2):
        square.addcmul_(apart[:, axis], apart[:, axis])
    if bool(square.amin() < touching**2):
        b, k, i = (square < touching**2).nonzero()[0].tolist()
        raise CbldmError(
            f"two atoms of cluster {b} ({i}, and {k + first} after it) are "
            f"{float(square[b, k, i]) ** 0.5 * TOUCHING / touching:.2g} "
            f"apart; expected at least {TOUCHING:g}: remove the atom that "
            "stands twice at one place."
        )
    square = square.view(len(square), -1)
    inverse = square.rsqrt()
    t = square.mul_(inverse)
    if limits is None:
        t.clamp_(max=bins + 0.5)
    else:
        low, high = limits
        outside = (t <= low[:, None]) | (t > high[:, None]) | (t >= bins)
        t.masked_fill_(outside, bins + 0.5)
    return inverse, t.long(), t.frac_()


def _doubled(
    positions: Tensor, lengths: Tensor, step: float, bins: int
) -> Tensor:
    """Positions (B, 3, 2 N) in bins, twice; padding is far from all."""
    x = positions / step
    n = x.shape[1]
    at = torch.arange(n, device=x.device)
    padding = at >= lengths[:, None]
    # Farther than all bins from each other too: such pairs drop out.
    if bool(padding.any()):
        far = 2.0 * bins + 4.0 * float(x.abs().max()) + 1.0
        x = torch.where(padding[..., None], far * (at[:, None] + 2.0), x)
    x = x.transpose(1, 2).contiguous()
    return torch.cat([x, x], 2)


@torch.no_grad()
def near_pairs(
    positions: Tensor,
    lengths: Tensor,
    limit: Tensor,
    step: float,
    bins: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """Cluster, first and second atom, each (P,), of pairs at d <= limit (B,).

    The distance is taken and compared as in `PairGrid` with the same step:
    what is in here is what lies outside of its limits (limit, ...).
    """
    x = _doubled(positions, lengths, step, bins)
    n = positions.shape[1]
    limits = torch.zeros_like(limit), limit / step
    parts = [torch.zeros(3, 0, dtype=torch.int64, device=x.device)]
    for block in _blocks(x):
        first, _, atoms = block
        apart = _apart(x, block)
        cell = _place(apart, first, bins, limits, TOUCHING / step)[1]
        b, place = (cell < bins).nonzero().unbind(1)
        i, k = place % atoms, place // atoms
        parts.append(torch.stack([b, i, (i + k + first) % n]))
    b, i, j = torch.cat(parts, 1)
    return b, i, j


@torch.no_grad()
def longest_distances(
    positions: Tensor, lengths: Tensor, beyond: float
) -> Tensor:
    """The longest distance in each cluster (B,), or 0 where below a limit."""
    x = positions.detach()
    n = x.shape[1]
    real = (torch.arange(n, device=x.device) < lengths[:, None])[..., None]
    centre = (x * real).sum(1, keepdim=True) / lengths[:, None, None]
    # No pair is longer than twice the radius: few clusters have to be
    # looked at pair by pair.
    radius = ((x - centre) * real).norm(dim=2).amax(1)
    longest = torch.zeros_like(radius)
    for b in (2 * radius > beyond).nonzero()[:, 0].tolist():
        some = x[b, : int(lengths[b])]
        away = (some - centre[b]).norm(dim=1)
        # The longest distance from the outermost atom is a lower bound, and
        # atoms too near to the centre for more need not be looked at.
        least = float((some - some[away.argmax()]).norm(dim=1).max())
        some = some[away >= least - float(away.max()) - TOUCHING]
        longest[b] = max(
            float(torch.cdist(rows, some).max()) for rows in some.split(1024)
        )
    return longest


class PairGrid(torch.autograd.Function):
    """Spread 2/d of every pair i < j over its bins.

    ``PairGrid.apply(positions, lengths, limits, step, bins, order)``; column
    c of the result (B, bins + order + 1) stands for the distance
    (c - order/2) * step.  Distances of bins * step and more are dropped, and
    with limits = (low, high), each (B,), those outside low < d <= high.  The
    backward pass computes the distances again, so that no pair is kept.
    """

    @staticmethod
    def forward(ctx, positions, lengths, limits, step, bins, order):
        limits = limits and tuple(limit / step for limit in limits)
        ctx.save_for_backward(positions, lengths)
        ctx.grid = limits, step, bins, order
        x = _doubled(positions, lengths, step, bins)
        total = Moments(len(x), bins, order, x)
        for block in _blocks(x):
            apart = _apart(x, block)
            place = _place(apart, block[0], bins, limits, TOUCHING / step)
            total.add(*place)
        return total.grid() * (2 / step)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad):
        positions, lengths = ctx.saved_tensors
        limits, step, bins, order = ctx.grid
        x = _doubled(positions, lengths, step, bins)
        batch, n = positions.shape[:2]
        grad = torch.stack(
            [grad[:, order - j : order - j + bins] for j in range(order)]
        )
        rows = grad.new_tensor(spline(order)).T
        terms = (rows @ grad.view(order, -1)).view(order, batch, bins)
        terms = torch.nn.functional.pad(terms, (0, 1))
        # The force on i + k stands at column i + k - 1 of its shift's row.
        out = positions.new_zeros(batch, 3, 2 * n)
        rows = positions.new_zeros(0)
        for block in _blocks(x):
            first, count, atoms = block
            apart = _apart(x, block)
            inverse, cell, frac = _place(
                apart, first, bins, limits, TOUCHING / step
            )
            value = terms[-1].gather(1, cell)
            slope = torch.zeros_like(value)
            for k in range(order - 2, -1, -1):
                slope.mul_(frac).add_(value)
                value.mul_(frac).add_(terms[k].gather(1, cell))
            pull = slope.sub_(value.mul_(inverse)).mul_(inverse.square_())
            width = atoms + count - 1
            if rows.shape != (batch, 3, count, width):
                rows = positions.new_zeros(batch, 3, count, width)
            size = 3 * count * width, count * width, width + 1, 1
            force = rows.as_strided(apart.shape, size)
            torch.mul(pull.view(batch, 1, count, atoms), apart, out=force)
            out[..., :atoms] -= force.sum(2)
            total = rows.sum(2)
            start = first
            while total.shape[2]:
                room = min(2 * n - start, total.shape[2])
                out[..., start : start + room] += total[..., :room]
                total, start = total[..., room:], 0
        out = (out[..., :n] + out[..., n:]).transpose(1, 2)
        return out * (2 / step**2), None, None, None, None, None


class Moments:
    """Sums of w f^k, k < order, over the pairs of each cell."""

    def __init__(self, batch: int, bins: int, order: int, like: Tensor):
        self.exact = like.device.type == "cpu"
        self.like = like
        # Atomic additions of floats come in any order; of integers they
        # agree.
        self.cells = torch.zeros(
            (order, batch, bins + 1),
            dtype=like.dtype if self.exact else torch.int64,
            device=like.device,
        )

    def add(self, weight: Tensor, cell: Tensor, frac: Tensor) -> None:
        """Add pairs, each (B, n); the last cell counts for nothing."""
        value = weight
        for k, cells in enumerate(self.cells):
            if k:
                value = value * frac
            if self.exact:
                cells.scatter_add_(1, cell, value)
            else:
                whole = (value.double() * 2.0**40).round_().long()
                cells.scatter_add_(1, cell, whole)

    def grid(self) -> Tensor:
        """Return the bins (B, bins + order + 1)."""
        order, batch, bins = self.cells.shape
        cells = self.cells
        if not self.exact:
            cells = (cells.double() * 2.0**-40).to(self.like.dtype)
        rows = self.like.new_tensor(spline(order))
        spread = (rows @ cells.view(order, -1)).view(cells.shape)
        bins -= 1
        out = self.like.new_zeros(batch, bins + order + 1)
        for j in range(order):
            out[:, order - j : order - j + bins] += spread[j, :, :bins]
        return out


# --------------------------------------------------------- sine transforms


def fold(grid: Tensor, bins: int, order: int) -> Tensor:
    """Reflect what lies outside 0..bins: sin is odd about both ends."""
    o = order // 2
    body = grid[:, o : o + bins + 1].clone()
    body[:, 1 : o + 1] -= grid[:, :o].flip(1)
    body[:, bins - o : bins] -= grid[:, bins + o + 1 :].flip(1)
    return body


class _Sine(torch.autograd.Function):
    """`sine`; its matrix is symmetric, so the backward is a sine again."""

    @staticmethod
    def forward(ctx, series, size, count):
        ctx.size, ctx.length = size, series.shape[-1]
        full = torch.fft.rfft(series, n=2 * size)
        return -full[..., :count].imag

    @staticmethod
    def backward(ctx, grad):
        size, length = ctx.size, ctx.length
        if length <= size + 1:
            return sine(grad, size, length), None, None
        spare = size + 1 - grad.shape[-1]
        grad = torch.nn.functional.pad(grad, (0, spare))
        return sine_back(grad, size)[..., :length], None, None


class _SineBack(torch.autograd.Function):
    """`sine_back`, likewise."""

    @staticmethod
    def forward(ctx, spectrum, size):
        ctx.size = size
        packed = torch.complex(torch.zeros_like(spectrum), -spectrum)
        return torch.fft.irfft(packed, n=2 * size, norm="forward").div_(2)

    @staticmethod
    def backward(ctx, grad):
        return sine(grad, ctx.size, ctx.size + 1), None


def sine(series: Tensor, size: int, count: int) -> Tensor:
    """Return sum_m x_m sin(pi k m / size) for k = 0 .. count - 1."""
    return _Sine.apply(series, size, count)


def sine_back(spectrum: Tensor, size: int) -> Tensor:
    """Return sum_k S_k sin(pi k m / size) for m = 0 .. 2 size - 1.

    spectrum (..., size + 1).
    """
    return _SineBack.apply(spectrum, size)


def fast_length(least: float) -> int:
    """The next size that a fast Fourier transform likes."""
    best = 1 << max(3, math.ceil(math.log2(max(least, 8))))
    for three in (1, 3, 9, 27):
        for five in (1, 5, 25):
            odd = three * five
            power = max(0, math.ceil(math.log2(least / odd)))
            if odd << power >= least:
                best = min(best, odd << power)
    return best


EXACT = 1e-11
"""A precision below this is reached by the direct sum alone."""


def spline_order(precision: float) -> tuple[int, float]:
    """Spline order and the largest Q * step for a wanted precision."""
    order = 4 if precision >= 3e-5 else 6 if precision >= 3e-7 else 8
    if order == 8:  # wide bins reach to distances where s < 0 explodes
        precision = min(precision, 1e-9)
    leak = (precision / 4) ** (1 / order)
    return order, 2 * math.pi * leak / (1 + leak)


def arange(count: int, like: Tensor) -> Tensor:
    """0 .. count - 1 in the type and on the device of a tensor."""
    return torch.arange(count, dtype=like.dtype, device=like.device)


def chunks(
    positions: Tensor, lengths: Tensor, extra: int, chunk: int | None
) -> Iterator[Tensor]:
    """Split the batch into parts of similar size and bounded memory."""
    # Clusters of one size together: padding is met in pairs as well.
    order = torch.argsort(lengths, descending=True, stable=True)
    budget = (1 << 21) if positions.device.type == "cpu" else (1 << 27)
    start = 0
    while start < len(order):
        n = int(lengths[order[start]])
        count = chunk or max(1, budget // (4 * n * n + extra))
        yield order[start : start + count]
        start += count
