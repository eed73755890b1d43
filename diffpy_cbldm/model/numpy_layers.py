"""The layers of the networks in NumPy, by the names that PyTorch gives them.

Arrays have the axes of PyTorch's, (B, C, ...).  In memory the channels stand
last: all that a window of a convolution sees then lies in a few stretches,
and most of the work is products of matrices.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from diffpy_cbldm.model.arrays import silu

ROUNDING = 1e-5
"""Added to variances before the root, as PyTorch does."""

WINDOWS = 2**17
"""Numbers of the windows that are laid out at a time: 0.5 MB, so that they
are still in the cache when they are multiplied."""


class Layer:
    """A layer, or what is made of layers; it has no weights at first.

    Attributes
    ----------
    shapes : dict of str to tuple of int
        Of the layer's own weights, by the names that PyTorch gives them.
    """

    def __init__(self) -> None:
        self.shapes: dict[str, tuple[int, ...]] = {}

    def __call__(self, *inputs: Any, **how: Any) -> Any:
        """What the layer makes of its inputs."""
        return self.forward(*inputs, **how)

    def forward(self, *inputs: Any, **how: Any) -> Any:
        """The way from input to output."""
        raise NotImplementedError

    def parts(self) -> Iterator[tuple[str, Layer]]:
        """The layers of which this is made, by their names."""
        for name, part in vars(self).items():
            if isinstance(part, Layer):
                yield name, part

    def named(self, prefix: str = "") -> Iterator[tuple[str, Layer]]:
        """All layers that have weights, with the beginning of their names."""
        if self.shapes:
            yield prefix, self
        for name, part in self.parts():
            yield from part.named(f"{prefix}{name}.")

    def take(self, weights: dict[str, np.ndarray]) -> None:
        """Take the layer's own weights, float32 and of `shapes`."""
        for name, array in weights.items():
            setattr(self, name, array)


class Sequential(Layer):
    """Layers one after another."""

    def __init__(self, *layers: Layer):
        super().__init__()
        self.layers = layers

    def parts(self) -> Iterator[tuple[str, Layer]]:
        """The layers by their numbers."""
        return ((str(i), layer) for i, layer in enumerate(self.layers))

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Each one takes what the one before it gives."""
        for layer in self.layers:
            x = layer(x)
        return x


class SiLU(Layer):
    """x / (1 + exp(-x))."""

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Any shape, kept."""
        return silu(x)


class Linear(Layer):
    """x W^T + b along the last axis."""

    weight: np.ndarray
    bias: np.ndarray | None = None

    def __init__(self, inputs: int, outputs: int, bias: bool = True):
        super().__init__()
        self.shapes = {"weight": (outputs, inputs)}
        if bias:
            self.shapes["bias"] = (outputs,)

    def forward(self, x: np.ndarray) -> np.ndarray:
        """(..., inputs) -> (..., outputs)."""
        return _affine(x, self.weight.T, self.bias)


class _Convolution(Layer):
    """A convolution, as networks call the correlation."""

    dim: int
    matrix: np.ndarray
    bias: np.ndarray

    def __init__(
        self,
        inputs: int,
        outputs: int,
        size: int,
        stride: int = 1,
        padding: int = 0,
    ):
        super().__init__()
        self.sizes = (size,) * self.dim
        self.stride, self.padding = stride, padding
        self.shapes = {
            "weight": (outputs, inputs, *self.sizes),
            "bias": (outputs,),
        }

    def take(self, weights: dict[str, np.ndarray]) -> None:
        """Take the weights, laid out as the windows are: channels last."""
        weight = np.moveaxis(weights["weight"], 1, -1)
        flat = weight.reshape(len(weight), -1)
        self.matrix = np.ascontiguousarray(flat.T)
        self.bias = weights["bias"]

    def forward(self, x: np.ndarray) -> np.ndarray:
        """(B, inputs, ...) -> (B, outputs, ...)."""
        # A window of one pixel is the pixel.
        if set(self.sizes) == {1}:
            pixels = np.moveaxis(x, 1, -1)
            return np.moveaxis(_affine(pixels, self.matrix, self.bias), -1, 1)
        pixels = np.moveaxis(x, 1, -1)
        seen, outputs = self.matrix.shape
        rims = [n + 2 * self.padding for n in x.shape[2:]]
        places = [
            (n - size) // self.stride + 1 for n, size in zip(rims, self.sizes)
        ]
        count = math.prod(places)
        step = min(len(x), max(1, WINDOWS // (count * seen)))
        # Written again and again, but for the rim, which stays zero.
        padded = np.zeros((step, *rims, x.shape[1]), x.dtype)
        inner = [slice(self.padding, self.padding + n) for n in x.shape[2:]]
        windows = self._windows(padded)
        laid = np.empty(windows.shape, x.dtype)
        out = np.empty((len(x), count, outputs), x.dtype)
        for start in range(0, len(x), step):
            some = slice(0, min(step, len(x) - start))
            padded[some, *inner] = pixels[start : start + step]
            np.copyto(laid[some], windows[some])
            np.matmul(
                laid[some].reshape(-1, seen),
                self.matrix,
                out=out[start : start + step].reshape(-1, outputs),
            )
        out += self.bias
        return np.moveaxis(out.reshape(len(x), *places, outputs), -1, 1)

    def _windows(self, padded: np.ndarray) -> np.ndarray:
        """What each place sees, (B, places..., sizes..., inputs): a view."""
        axes = tuple(range(1, self.dim + 1))
        windows = sliding_window_view(padded, self.sizes, axes)
        windows = windows[:, *[slice(None, None, self.stride)] * self.dim]
        return np.moveaxis(windows, self.dim + 1, -1)


class Conv1d(_Convolution):
    """In one dimension."""

    dim = 1


class Conv2d(_Convolution):
    """In two dimensions."""

    dim = 2


class ConvTranspose2d(Layer):
    """A transposed convolution whose windows do not overlap.

    Raises
    ------
    ValueError
        The stride is not the size of the windows.
    """

    matrix: np.ndarray
    bias: np.ndarray

    def __init__(self, inputs: int, outputs: int, size: int, stride: int):
        super().__init__()
        if stride != size:
            raise ValueError(f"stride {stride}; expected the size, {size}")
        self.size, self.outputs = size, outputs
        self.shapes = {
            "weight": (inputs, outputs, size, size),
            "bias": (outputs,),
        }

    def take(self, weights: dict[str, np.ndarray]) -> None:
        """Take the weights, laid out as the tiles are: channels last."""
        weight = np.moveaxis(weights["weight"], 1, -1)
        self.matrix = np.ascontiguousarray(weight.reshape(len(weight), -1))
        self.bias = weights["bias"]

    def forward(self, x: np.ndarray) -> np.ndarray:
        """(B, inputs, H, W) -> (B, outputs, size H, size W)."""
        batch, _, height, width = x.shape
        size = self.size
        tiles = _affine(np.moveaxis(x, 1, -1), self.matrix, None)
        tiles = tiles.reshape(batch, height, width, size, size, self.outputs)
        # (row, column, row of the tile, its column) -> rows, columns.
        image = tiles.transpose(0, 1, 3, 2, 4, 5).reshape(
            batch, size * height, size * width, self.outputs
        )
        image += self.bias
        return np.moveaxis(image, -1, 1)


class GroupNorm(Layer):
    """Zero mean and unit variance over each group of channels and all places.

    Then times a weight and plus a bias for each channel.
    """

    weight: np.ndarray
    bias: np.ndarray

    def __init__(self, groups: int, channels: int):
        super().__init__()
        self.shapes = {"weight": (channels,), "bias": (channels,)}
        # Takes means of channels to those of their groups.
        size = channels // groups
        block = np.full((size, size), 1 / size, np.float32)
        self.gather = np.kron(np.eye(groups, dtype=np.float32), block)

    def forward(self, x: np.ndarray) -> np.ndarray:
        """(B, C, ...), kept."""
        pixels = np.moveaxis(x, 1, -1)
        flat = pixels.reshape(len(x), -1, x.shape[1])
        places = flat.shape[1]
        # A product of matrices adds several times as fast as `mean`.
        even = np.full(places, 1 / places, x.dtype)
        mean = even @ flat @ self.gather
        out = flat - mean[:, None]
        power = np.einsum("bpc,bpc->bc", out, out) / places
        width = np.sqrt(power @ self.gather + ROUNDING)
        out *= (self.weight / width)[:, None]
        out += self.bias
        return np.moveaxis(out.reshape(pixels.shape), -1, 1)


class LayerNorm(Layer):
    """Zero mean and unit variance along the last axis, weight and bias."""

    weight: np.ndarray
    bias: np.ndarray

    def __init__(self, width: int):
        super().__init__()
        self.shapes = {"weight": (width,), "bias": (width,)}

    def forward(self, x: np.ndarray) -> np.ndarray:
        """(..., width), kept."""
        out = x - x.mean(-1, keepdims=True)
        variance = np.square(out).mean(-1, keepdims=True)
        return out * (self.weight / np.sqrt(variance + ROUNDING)) + self.bias


class MultiheadAttention(Layer):
    """Scaled dot-product attention of several heads (Vaswani et al., 2017)."""

    in_proj_weight: np.ndarray
    in_proj_bias: np.ndarray

    def __init__(self, channels: int, heads: int, batch_first: bool = True):
        super().__init__()
        if not batch_first:
            raise ValueError("expected (B, L, C): batch_first=True")
        self.heads = heads
        self.shapes = {
            "in_proj_weight": (3 * channels, channels),
            "in_proj_bias": (3 * channels,),
        }
        self.out_proj = Linear(channels, channels)

    def forward(
        self,
        query: np.ndarray,
        key: np.ndarray,
        value: np.ndarray,
        need_weights: bool = False,
    ) -> tuple[np.ndarray, None]:
        """(B, L, C) each -> (B, L, C), and no weights."""
        ways = zip(
            np.split(self.in_proj_weight, 3), np.split(self.in_proj_bias, 3)
        )
        q, k, v = (
            self._split(_affine(x, weight.T, bias))
            for x, (weight, bias) in zip((query, key, value), ways)
        )
        scores = (q / np.float32(math.sqrt(q.shape[-1]))) @ k.mT
        # Nothing but the differences matters, and exp cannot overflow.
        scores -= scores.max(-1, keepdims=True)
        np.exp(scores, out=scores)
        scores /= scores.sum(-1, keepdims=True)
        mixed = (scores @ v).transpose(0, 2, 1, 3).reshape(query.shape)
        return self.out_proj(mixed), None

    def _split(self, x: np.ndarray) -> np.ndarray:
        """(B, L, C) -> (B, heads, L, C / heads)."""
        parts = x.reshape(*x.shape[:2], self.heads, -1)
        return parts.transpose(0, 2, 1, 3)


def _affine(
    x: np.ndarray, matrix: np.ndarray, bias: np.ndarray | None
) -> np.ndarray:
    """x M + b along the last axis, as one product of two matrices."""
    out = x.reshape(-1, x.shape[-1]) @ matrix
    if bias is not None:
        out += bias
    return out.reshape(*x.shape[:-1], matrix.shape[1])
