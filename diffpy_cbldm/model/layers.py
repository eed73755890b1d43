"""Blocks of PyTorch's layers, and what their normal densities need.

What the blocks compute is in `diffpy_cbldm.model.blocks`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import torch
from torch import Tensor, nn

from diffpy_cbldm.model import blocks
from diffpy_cbldm.model.blocks import (
    ConvBlockBase,
    DenseBlockBase,
    SelfAttentionBase,
)


class ConvBlock(ConvBlockBase, nn.Module):
    """`ConvBlockBase` in PyTorch."""

    kit = nn


class DenseBlock(DenseBlockBase, nn.Module):
    """`DenseBlockBase` in PyTorch."""

    kit = nn


class SelfAttention(SelfAttentionBase, nn.Module):
    """`SelfAttentionBase` in PyTorch."""

    kit = nn


KIT = SimpleNamespace(
    **{name: getattr(nn, name) for name in blocks.LAYERS},
    ConvBlock=ConvBlock,
    DenseBlock=DenseBlock,
    SelfAttention=SelfAttention,
)
"""PyTorch's layers and the blocks of them."""

dense = functools.partial(blocks.dense, KIT)
"""`blocks.dense` of PyTorch's layers."""


class Buffered:
    """Of modules: arrays that are no weights move with them."""

    register_buffer: Callable[..., None]

    def keep(self, name: str, array: np.ndarray) -> None:
        """Hold an array; it is not among the weights."""
        self.register_buffer(name, torch.as_tensor(array), persistent=False)


def gaussian_sample(
    mean: Tensor, logvar: Tensor, generator: torch.Generator | None = None
) -> Tensor:
    """Draw from N(mean, exp(logvar)) by the reparametrisation."""
    # The noise apart from the width: gradients reach mean and logvar.
    eps = torch.randn(
        mean.shape, generator=generator, dtype=mean.dtype, device=mean.device
    )
    return mean + eps * torch.exp(0.5 * logvar)


def gaussian_kl(
    mean: Tensor, logvar: Tensor, mean0: Tensor, logvar0: Tensor
) -> Tensor:
    """KL(N(mean, exp(logvar)) || N(mean0, exp(logvar0))).

    Returns
    -------
    (B,) tensor: the sum over all dimensions but the first, in nats.
    """
    terms = (
        logvar0
        - logvar
        + (torch.exp(logvar) + (mean - mean0) ** 2) * torch.exp(-logvar0)
        - 1.0
    )
    return 0.5 * terms.flatten(1).sum(1)
