"""Pair distances on a grid of bins: B-splines, scatter, sine transforms.

A distance d is spread over the p bins around it with the weights of the
cardinal B-spline of order p.  Within one cell the weights are polynomials of
the fraction f of d / step, so the pairs leave p moments sum w f^k per cell,
and one small matrix turns moments into bins.

All of it takes NumPy arrays, or tensors whose gradients are followed.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.fft
from array_api_compat import array_namespace, device
from scipy.spatial.distance import cdist

from diffpy_cbldm.debye.pair_blocks import (
    TOUCHING,
    Array,
    apart_of,
    arange,
    blocks,
    detached,
    doubled,
    on_cpu,
    place_of,
)
from diffpy_cbldm.errors import CbldmError

if TYPE_CHECKING:
    from torch import Tensor

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


def window(q: Array, step: float, order: int) -> Array:
    """Fourier transform of the spline at Q: sinc(Q h / 2)^p."""
    return array_namespace(q).sinc(q * (step / (2 * math.pi))) ** order


def symbol(bins: int, order: int, like: Array) -> Array:
    """Transform of the spline sampled on its grid, (bins + 1,)."""
    xp = array_namespace(like)
    angle = arange(bins + 1, like) * (math.pi / bins)
    # Piece j at its left end is the spline at the integer j - p/2.
    out = xp.zeros_like(angle)
    for j, row in enumerate(spline(order)):
        out += row[0] * xp.cos((j - order // 2) * angle)
    return out


# ------------------------------------------------------------ pairs to bins


def near_pairs(
    positions: Array,
    lengths: Array,
    limit: Array,
    step: float,
    bins: int,
) -> tuple[Array, Array, Array]:
    """Cluster, first and second atom, each (P,), of pairs at d <= limit (B,).

    The distance is taken and compared as in `pair_grid` with the same step:
    what is in here is what lies outside of its limits (limit, ...).
    """
    xp = array_namespace(positions)
    x = doubled(detached(positions), lengths, step, bins)
    limit, n = detached(limit), positions.shape[1]
    limits = xp.zeros_like(limit), limit / step
    parts = []
    for block in blocks(x):
        first, _, atoms = block
        apart = apart_of(x, block)
        cell = place_of(apart, first, bins, limits, TOUCHING / step)[1]
        b, place = xp.nonzero(cell < bins)
        i, k = place % atoms, place // atoms
        parts.append(xp.stack([b, i, (i + k + first) % n]))
    if not parts:  # one atom has no pairs
        parts.append(xp.zeros((3, 0), dtype=xp.int64, device=device(x)))
    b, i, j = xp.concat(parts, axis=1)
    return b, i, j


def longest_distances(
    positions: Array, lengths: Array, beyond: float
) -> Array:
    """The longest distance in each cluster (B,), or 0 where below a limit."""
    xp = array_namespace(positions)
    norm = xp.linalg.vector_norm
    x = detached(positions)
    real = (arange(x.shape[1], x) < lengths[:, None])[..., None]
    centre = (x * real).sum(1) / xp.astype(lengths, x.dtype)[:, None]
    # No pair is longer than twice the radius: few clusters have to be
    # looked at pair by pair.
    radius = xp.max(norm((x - centre[:, None]) * real, axis=2), axis=1)
    longest = xp.zeros_like(radius)
    for b in xp.nonzero(2 * radius > beyond)[0].tolist():
        some = x[b, : int(lengths[b])]
        away = norm(some - centre[b], axis=1)
        # The longest distance from the outermost atom is a lower bound, and
        # atoms too near to the centre for more need not be looked at.
        least = float(norm(some - some[xp.argmax(away)], axis=1).max())
        some = some[away >= least - float(away.max()) - TOUCHING]
        longest[b] = max(
            float(_distances(some[k : k + 1024], some).max())
            for k in range(0, len(some), 1024)
        )
    return longest


_BY_DIFFERENCES = "donot_use_mm_for_euclid_dist"


def _distances(some: Array, others: Array) -> Array:
    """Distances (n, m) between two sets of points, (n, 3) and (m, 3)."""
    if isinstance(some, np.ndarray):
        return cdist(some, others)
    import torch

    # Not by products, in which short distances lose their digits.
    return torch.cdist(some, others, compute_mode=_BY_DIFFERENCES)


def pair_grid(
    positions: Array,
    lengths: Array,
    limits: tuple[Array, Array] | None,
    step: float,
    bins: int,
    order: int,
) -> Array:
    """Spread 2/d of every pair i < j over its bins.

    Column c of the result (B, bins + order + 1) stands for the distance
    (c - order/2) * step.  Distances of bins * step and more are dropped, and
    with limits = (low, high), each (B,), those outside low < d <= high.  For
    the gradient the distances are computed again, so that no pair is kept.
    """
    if limits is not None:
        limits = detached(limits[0]) / step, detached(limits[1]) / step

    def value(positions: Array) -> Array:
        x = doubled(positions, lengths, step, bins)
        total = Moments(len(x), bins, order, x)
        for block in blocks(x):
            apart = apart_of(x, block)
            place = place_of(apart, block[0], bins, limits, TOUCHING / step)
            total.add(*place)
        return total.grid() * (2 / step)

    if isinstance(positions, np.ndarray):
        return value(positions)

    def back(positions: Tensor, grad: Tensor) -> Tensor:
        x = doubled(positions, lengths, step, bins)
        return _pulled(x, grad, limits, step, bins) * (2 / step**2)

    from diffpy_cbldm.debye import gradients

    return gradients.once(positions, value, back)


def _pulled(
    x: Tensor,
    grad: Tensor,
    limits: tuple[Tensor, Tensor] | None,
    step: float,
    bins: int,
) -> Tensor:
    """The gradient (B, N, 3) by positions of that by their bins.

    x (B, 3, 2 N) from `doubled`, and grad (B, bins + order + 1).
    """
    xp, (batch, _, n) = array_namespace(x), x.shape
    n, order = n // 2, grad.shape[1] - bins - 1
    shifted = xp.stack(
        [grad[:, order - j : order - j + bins] for j in range(order)]
    )
    terms = grad.new_zeros(order, batch, bins + 1)
    pieces = grad.new_tensor(spline(order)).T
    terms[..., :bins] = (pieces @ shifted.view(order, -1)).view(
        order, batch, bins
    )
    # The force on i + k stands at column i + k - 1 of its shift's row.
    out = x.new_zeros(batch, 3, 2 * n)
    rows = x.new_zeros(0)
    for block in blocks(x):
        first, count, atoms = block
        apart = apart_of(x, block)
        inverse, cell, frac = place_of(
            apart, first, bins, limits, TOUCHING / step
        )
        value = terms[-1].gather(1, cell)
        slope = xp.zeros_like(value)
        for k in range(order - 2, -1, -1):
            slope.mul_(frac).add_(value)
            value.mul_(frac).add_(terms[k].gather(1, cell))
        pull = slope.sub_(value.mul_(inverse)).mul_(inverse.square_())
        width = atoms + count - 1
        if rows.shape != (batch, 3, count, width):
            rows = x.new_zeros(batch, 3, count, width)
        size = 3 * count * width, count * width, width + 1, 1
        force = rows.as_strided(apart.shape, size)
        xp.multiply(pull.view(batch, 1, count, atoms), apart, out=force)
        out[..., :atoms] -= force.sum(2)
        total = rows.sum(2)
        start = first
        while total.shape[2]:
            room = min(2 * n - start, total.shape[2])
            out[..., start : start + room] += total[..., :room]
            total, start = total[..., room:], 0
    return (out[..., :n] + out[..., n:]).transpose(1, 2)


class Moments:
    """Sums of w f^k, k < order, over the pairs of each cell."""

    def __init__(self, batch: int, bins: int, order: int, like: Any):
        xp = array_namespace(like)
        self.exact, self.like = on_cpu(like), like
        # Atomic additions of floats come in any order; of integers they
        # agree.
        self.cells = xp.zeros(
            (order, batch, bins + 1),
            dtype=like.dtype if self.exact else xp.int64,
            device=device(like),
        )

    def add(self, weight: Array, cell: Array, frac: Array) -> None:
        """Add pairs, each (B, n); the last cell counts for nothing."""
        value = weight
        if isinstance(cell, np.ndarray):
            _, batch, width = self.cells.shape
            cell = cell + np.arange(0, batch * width, width)[:, None]
        for k, cells in enumerate(self.cells):
            if k:
                value = value * frac
            if isinstance(cell, np.ndarray):
                sums = np.bincount(cell.ravel(), value.ravel(), cells.size)
                cells += sums.reshape(cells.shape)
            elif self.exact:
                cells.scatter_add_(1, cell, value)
            else:
                whole = (value.double() * 2.0**40).round_().long()
                cells.scatter_add_(1, cell, whole)

    def grid(self) -> Any:
        """Return the bins (B, bins + order + 1)."""
        cells = self.cells[:, :, :-1]
        if not self.exact:
            cells = (cells.double() * 2.0**-40).to(self.like.dtype)
        return from_moments(array_namespace(cells).moveaxis(cells, 0, 1))


def from_moments(cells: Array) -> Array:
    """The bins (B, n + order + 1) of the moments of n cells (B, order, n)."""
    xp = array_namespace(cells)
    batch, order, count = cells.shape
    kind = {"dtype": cells.dtype, "device": device(cells)}
    # One product for each cluster: OpenBLAS takes a hundred times as long for
    # low matrices of more than some 20,000 columns.
    spread = xp.asarray(spline(order), **kind) @ cells
    out = xp.zeros((batch, count + order + 1), **kind)
    for j in range(order):
        out[:, order - j : order - j + count] += spread[:, j]
    return out


# --------------------------------------------------------- sine transforms


def fold(grid: Array, bins: int, order: int) -> Array:
    """Reflect what lies outside 0..bins: sin is odd about both ends."""
    xp, o = array_namespace(grid), order // 2
    body = xp.astype(grid[:, o : o + bins + 1], grid.dtype)  # a copy
    body[:, 1 : o + 1] -= xp.flip(grid[:, :o], axis=1)
    body[:, bins - o : bins] -= xp.flip(grid[:, bins + o + 1 :], axis=1)
    return body


def sine(series: Array, size: int, count: int) -> Array:
    """Return sum_m x_m sin(pi k m / size) for k = 0 .. count - 1."""

    def value(series: Array, fft: Any) -> Array:
        return -fft.rfft(series, n=2 * size)[..., :count].imag

    if isinstance(series, np.ndarray):
        return value(series, scipy.fft)
    length = series.shape[-1]

    def back(grad: Tensor) -> Tensor:
        # The matrix is symmetric: a sine again.
        if length <= size + 1:
            return sine(grad, size, length)
        return sine_back(grad, size)[..., :length]

    from diffpy_cbldm.debye import gradients

    fft = array_namespace(series).fft
    return gradients.linear(series, lambda x: value(x, fft), back)


def sine_back(spectrum: Array, size: int) -> Array:
    """Return sum_k S_k sin(pi k m / size) for m = 0 .. 2 size - 1.

    spectrum (..., K), K at most size + 1: what is missing is zero.
    """

    def value(spectrum: Array, fft: Any) -> Array:
        wave = fft.irfft(-1j * spectrum, n=2 * size, norm="forward")
        wave *= 0.5
        return wave

    if isinstance(spectrum, np.ndarray):
        return value(spectrum, scipy.fft)
    length = spectrum.shape[-1]

    from diffpy_cbldm.debye import gradients

    fft = array_namespace(spectrum).fft
    return gradients.linear(
        spectrum,
        lambda x: value(x, fft),
        lambda grad: sine(grad, size, length),
    )


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


def chunks(
    positions: Array, lengths: Array, extra: int, chunk: int | None
) -> Iterator[Array]:
    """Split the batch into parts of similar size and bounded memory."""
    # Clusters of one size together: padding is met in pairs as well.
    order = array_namespace(lengths).argsort(
        lengths, descending=True, stable=True
    )
    budget = (1 << 21) if on_cpu(positions) else (1 << 27)
    start = 0
    while start < len(order):
        n = int(lengths[order[start]])
        count = chunk or max(1, budget // (4 * n * n + extra))
        yield order[start : start + count]
        start += count
