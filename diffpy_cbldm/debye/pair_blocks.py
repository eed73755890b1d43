"""All pairs of a batch of clusters, in blocks that stay in the cache.

Atom i meets atom i + k (modulo N) for k = 1 .. N // 2: distances are
differences of slices, and no index of pairs is ever made.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from array_api_compat import array_namespace, device
from numpy.lib.stride_tricks import sliding_window_view

from diffpy_cbldm.errors import CbldmError

if TYPE_CHECKING:
    from torch import Tensor

Array = TypeVar("Array", np.ndarray, "Tensor")
"""Of one kind, arguments and results: arrays, or tensors."""

TOUCHING = 1e-4
"""Atoms closer than this (same unit as the positions) are an error."""

PAIRS = 1 << 17
"""Pairs on the CPU at once: their arrays stay in the cache."""


def arange(count: int, like: Array) -> Array:
    """0 .. count - 1 in the type and on the device of an array."""
    xp = array_namespace(like)
    return xp.arange(count, dtype=like.dtype, device=device(like))


def on_cpu(x: Array) -> bool:
    """Whether an array lies in the memory of the processor."""
    return isinstance(x, np.ndarray) or x.device.type == "cpu"


def detached(x: Array) -> Array:
    """The numbers alone, of which no gradient is followed."""
    return x if isinstance(x, np.ndarray) else x.detach()


def as_array(x: Array) -> np.ndarray:
    """The numbers alone as an array, over the same memory where it can be.

    NumPy knows no negated views, nor the type bfloat16.
    """
    if isinstance(x, np.ndarray):
        return x
    import torch

    plain = x.detach().cpu().resolve_neg()
    if plain.dtype is torch.bfloat16:
        plain = plain.double()
    return plain.numpy()


def blocks(x: Array) -> Iterator[tuple[int, int, int]]:
    """First shift, number of shifts and atoms of each block of pairs.

    For even N the last shift meets every pair twice: half its atoms do.
    """
    batch, _, n = x.shape
    n //= 2
    pairs = PAIRS if on_cpu(x) else PAIRS << 8
    rows = max(1, pairs // (batch * n))
    full = (n - 1) // 2
    for first in range(1, full + 1, rows):
        yield first, min(rows, full + 1 - first), n
    if n % 2 == 0:
        yield n // 2, 1, n // 2


def apart_of(x: Array, block: tuple[int, int, int]) -> Array:
    """Return x_(i + k) - x_i (B, 3, shifts, atoms); x (B, 3, 2 N) repeats."""
    first, count, atoms = block
    xp = array_namespace(x)
    part = x[:, :, first : first + count + atoms - 1]
    # Windows are views: the result alone takes memory.
    if isinstance(part, np.ndarray):
        ahead = sliding_window_view(part, atoms, axis=2)
    else:
        ahead = part.unfold(2, atoms, 1)
    out = xp.empty(ahead.shape, dtype=x.dtype, device=device(x))
    return xp.subtract(ahead, x[:, :, None, :atoms], out=out)


def place_of(
    apart: Array,
    first: int,
    bins: int,
    limits: tuple[Array, Array] | None,
    touching: float,
) -> tuple[Array, Array, Array]:
    """Return 1/d, cell and fraction (B, pairs); d in bins.

    What is beyond the bins or outside limits goes to the cell number bins.
    """
    xp = array_namespace(apart)
    square = xp.square(apart[:, 0])
    for axis in (1, 2):
        square += xp.square(apart[:, axis])
    if float(xp.min(square)) < touching**2:
        b, k, i = (int(n[0]) for n in xp.nonzero(square < touching**2))
        raise CbldmError(
            f"two atoms of cluster {b} ({i}, and {k + first} after it) are "
            f"{float(square[b, k, i]) ** 0.5 * TOUCHING / touching:.2g} "
            f"apart; expected at least {TOUCHING:g}: remove the atom that "
            "stands twice at one place."
        )
    t = xp.sqrt(square).reshape(len(square), -1)
    inverse = 1 / t
    outside = t >= bins
    if limits is not None:
        low, high = limits
        outside |= (t <= low[:, None]) | (t > high[:, None])
    t[outside] = bins + 0.5
    cell = xp.astype(t, xp.int64)
    t -= cell
    return inverse, cell, t


def doubled(positions: Array, lengths: Array, step: float, bins: int) -> Array:
    """Positions (B, 3, 2 N) in bins, twice; padding is far from all."""
    xp = array_namespace(positions)
    x = positions / step
    batch, n, _ = x.shape
    at = arange(n, x)
    padding = at >= lengths[:, None]
    # Farther than all bins from each other too: such pairs drop out.
    if bool(padding.any()):
        far = 2.0 * bins + 4.0 * float(xp.abs(x).max()) + 1.0
        x = xp.where(padding[..., None], far * (at[:, None] + 2.0), x)
    out = xp.empty((batch, 3, 2 * n), dtype=x.dtype, device=device(x))
    out[..., :n] = out[..., n:] = xp.permute_dims(x, (0, 2, 1))
    return out
