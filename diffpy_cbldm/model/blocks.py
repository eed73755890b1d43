"""Blocks that several networks share, of any layers.

Each class is one block without the machinery that holds weights: with the
layers of PyTorch (`diffpy_cbldm.model.layers`) it is a module for training
and GPUs, with those of `diffpy_cbldm.model.numpy_layers` it samples without
PyTorch.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from array_api_compat import array_namespace, device

from diffpy_cbldm.model.arrays import Array, silu

LAYERS = (
    *("Linear", "Conv1d", "Conv2d", "ConvTranspose2d", "MultiheadAttention"),
    *("GroupNorm", "LayerNorm", "SiLU", "Sequential"),
)
"""What a kit has of PyTorch's layers, by their names there."""


def groups(channels: int) -> int:
    """Number of normalisation groups for a number of channels."""
    return math.gcd(channels, 8)


class Network:
    """What is made of layers.

    Attributes
    ----------
    kit : namespace
        Where the layers come from: `LAYERS`, and for whole networks
        ConvBlock, DenseBlock and SelfAttention made of them.
    """

    kit: Any

    def keep(self, name: str, array: np.ndarray) -> None:
        """Hold an array that is no weight, as the layers take it."""
        setattr(self, name, array)


class ConvBlockBase(Network):
    """Residual block of two convolutions, in one or two dimensions.

    Parameters
    ----------
    channels : int
        Channels in and out.
    dim : int
        1 or 2.
    embedding : int
        Width of an embedding that shifts the features; 0 for none.
    """

    def __init__(self, channels: int, dim: int, embedding: int = 0):
        super().__init__()
        kit = self.kit
        conv = kit.Conv1d if dim == 1 else kit.Conv2d
        self.norm1 = kit.GroupNorm(groups(channels), channels)
        self.conv1 = conv(channels, channels, 3, padding=1)
        self.norm2 = kit.GroupNorm(groups(channels), channels)
        self.conv2 = conv(channels, channels, 3, padding=1)
        self.shift = kit.Linear(embedding, channels) if embedding else None

    def forward(self, x: Array, e: Array | None = None) -> Array:
        """(B, C, ...) and an optional (B, E) embedding -> (B, C, ...)."""
        h = self.conv1(silu(self.norm1(x)))
        if self.shift is not None and e is not None:
            # One shift a channel, the same at every place.
            s = self.shift(silu(e))
            h = h + s.reshape(*s.shape, *([1] * (x.ndim - 2)))
        return x + self.conv2(silu(self.norm2(h)))


class DenseBlockBase(Network):
    """Residual block of two dense layers."""

    def __init__(self, width: int):
        super().__init__()
        kit = self.kit
        self.body = kit.Sequential(
            kit.LayerNorm(width),
            kit.Linear(width, width),
            kit.SiLU(),
            kit.Linear(width, width),
        )

    def forward(self, x: Array) -> Array:
        """(B, width) -> (B, width)."""
        return x + self.body(x)


def dense(kit: Any, inputs: int, width: int, blocks: int) -> Any:
    """A dense layer followed by residual blocks and a normalisation."""
    return kit.Sequential(
        kit.Linear(inputs, width),
        *(kit.DenseBlock(width) for _ in range(blocks)),
        kit.LayerNorm(width),
        kit.SiLU(),
    )


class SelfAttentionBase(Network):
    """Self-attention over the pixels of a feature map."""

    def __init__(self, channels: int, heads: int = 4):
        super().__init__()
        # The heads share the channels evenly.
        heads = math.gcd(channels, heads)
        self.norm = self.kit.GroupNorm(groups(channels), channels)
        self.attend = self.kit.MultiheadAttention(
            channels, heads, batch_first=True
        )

    def forward(self, x: Array) -> Array:
        """(B, C, H, W) -> (B, C, H, W)."""
        xp = array_namespace(x)
        pixels = self.norm(x).reshape(*x.shape[:2], -1)
        flat = xp.permute_dims(pixels, (0, 2, 1))
        out, _ = self.attend(flat, flat, flat, need_weights=False)
        return x + xp.permute_dims(out, (0, 2, 1)).reshape(x.shape)


def step_embedding(t: Array, width: int) -> Array:
    """Sinusoidal embedding of the diffusion step.

    Parameters
    ----------
    t : (B,) array
        Step numbers.
    width : int
        Even width of the result.
    """
    xp = array_namespace(t)
    # Periods from a few steps to many times T: near and far steps differ.
    places = xp.arange(width // 2, dtype=xp.float32, device=device(t))
    rates = xp.exp(places * (-math.log(10000.0) / (width // 2)))
    angle = xp.astype(t, xp.float32)[:, None] * rates
    return xp.concat([xp.sin(angle), xp.cos(angle)], axis=1)


def narrow_normal(flat: Array, side: int) -> tuple[Array, Array]:
    """Mean and log-variance of a latent, the latter between -10 and 0.

    It starts at -5: with little noise in z_x the decoder learns at once, and
    the widths open later where the PDF leaves a choice.

    Parameters
    ----------
    flat : (B, 2 * side^2) array
        What a network emits.
    side : int
        Side of the latent.

    Returns
    -------
    mean, logvar : (B, 1, side, side) arrays
    """
    both = flat.reshape(len(flat), 2, 1, side, side)
    # Smooth, where a clamp would leave what lies outside without gradient.
    logvar = 5.0 * array_namespace(flat).tanh(both[:, 1] / 5.0) - 5.0
    return both[:, 0], logvar
