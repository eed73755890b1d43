"""Building blocks that several networks share."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


def groups(channels: int) -> int:
    """Number of normalisation groups for a number of channels."""
    return math.gcd(channels, 8)


class ConvBlock(nn.Module):
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
        conv = nn.Conv1d if dim == 1 else nn.Conv2d
        self.dim = dim
        self.norm1 = nn.GroupNorm(groups(channels), channels)
        self.conv1 = conv(channels, channels, 3, padding=1)
        self.norm2 = nn.GroupNorm(groups(channels), channels)
        self.conv2 = conv(channels, channels, 3, padding=1)
        self.shift = nn.Linear(embedding, channels) if embedding else None

    def forward(self, x: Tensor, e: Tensor | None = None) -> Tensor:
        """(B, C, ...) and an optional (B, E) embedding -> (B, C, ...)."""
        h = self.conv1(nn.functional.silu(self.norm1(x)))
        if self.shift is not None and e is not None:
            # One shift a channel, the same at every place.
            s = self.shift(nn.functional.silu(e))
            h = h + s.reshape(*s.shape, *([1] * self.dim))
        return x + self.conv2(nn.functional.silu(self.norm2(h)))


class DenseBlock(nn.Module):
    """Residual block of two dense layers."""

    def __init__(self, width: int):
        super().__init__()
        self.body = nn.Sequential(
            nn.LayerNorm(width),
            nn.Linear(width, width),
            nn.SiLU(),
            nn.Linear(width, width),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, width) -> (B, width)."""
        return x + self.body(x)


def dense(inputs: int, width: int, blocks: int) -> nn.Sequential:
    """A dense layer followed by residual blocks and a normalisation."""
    return nn.Sequential(
        nn.Linear(inputs, width),
        *(DenseBlock(width) for _ in range(blocks)),
        nn.LayerNorm(width),
        nn.SiLU(),
    )


class SelfAttention(nn.Module):
    """Self-attention over the pixels of a feature map."""

    def __init__(self, channels: int, heads: int = 4):
        super().__init__()
        # The heads share the channels evenly.
        heads = math.gcd(channels, heads)
        self.norm = nn.GroupNorm(groups(channels), channels)
        self.attend = nn.MultiheadAttention(channels, heads, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        flat = self.norm(x).flatten(2).transpose(1, 2)
        out, _ = self.attend(flat, flat, flat, need_weights=False)
        return x + out.transpose(1, 2).reshape(x.shape)


def step_embedding(t: Tensor, width: int) -> Tensor:
    """Sinusoidal embedding of the diffusion step.

    Parameters
    ----------
    t : (B,) tensor
        Step numbers.
    width : int
        Even width of the result.
    """
    # Periods from a few steps to many times T: near and far steps differ.
    rates = torch.exp(
        torch.arange(width // 2, device=t.device)
        * (-math.log(10000.0) / (width // 2))
    )
    angle = t[:, None].float() * rates
    return torch.cat([angle.sin(), angle.cos()], dim=1)


def narrow_normal(flat: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """Mean and log-variance of a latent, the latter between -10 and 0.

    It starts at -5: with little noise in z_x the decoder learns at once, and
    the widths open later where the PDF leaves a choice.

    Parameters
    ----------
    flat : (B, 2 * side^2) tensor
        What a network emits.
    side : int
        Side of the latent.

    Returns
    -------
    mean, logvar : (B, 1, side, side) tensors
    """
    mean, logvar = flat.reshape(len(flat), 2, 1, side, side).unbind(1)
    # Smooth, where a clamp would leave what lies outside without gradient.
    return mean, 5.0 * torch.tanh(logvar / 5.0) - 5.0


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
