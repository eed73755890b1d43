"""The paper's own networks of the structure: from the Laplacian and back.

`diffpy_cbldm.model.structure` departs from them; preset ``paper`` keeps them.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from diffpy_cbldm.model.blocks import groups, narrow_normal
from diffpy_cbldm.model.laplacian import from_halves, halves
from diffpy_cbldm.model.layers import ConvBlock, SelfAttention
from diffpy_cbldm.settings import Model


class PaperEncoder(nn.Module):
    """E_x of the paper's kind: convolutions down to (1, 16, 16)."""

    def __init__(self, settings: Model, condition: int):
        super().__init__()
        w, self.side = settings.encoder_width, settings.latent_size
        self.body = nn.Sequential(
            nn.Conv2d(4, w, 4, stride=2, padding=1),
            nn.SiLU(),
            nn.Conv2d(w, 2 * w, 4, stride=2, padding=1),
            ConvBlock(2 * w, 2),
            nn.SiLU(),
            nn.Conv2d(2 * w, 4 * w, 4, stride=2, padding=1),
            ConvBlock(4 * w, 2),
            nn.SiLU(),
        )
        # One shift a channel: the condition has no place in the image.
        self.mix = nn.Linear(condition, 4 * w)
        self.head = nn.Conv2d(4 * w, 2, 1)

    def forward(
        self, x: Tensor, c_0: Tensor, shape: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """(B, 4, 128, 128), (B, c, n) -> two (B, 1, 16, 16); no shape."""
        h = self.body(x) + self.mix(c_0.flatten(1))[..., None, None]
        return narrow_normal(self.head(h).flatten(1), self.side)


class PaperDecoder(nn.Module):
    """D_x of the paper: residual blocks, self-attention, up to L."""

    def __init__(self, settings: Model):
        super().__init__()
        w = settings.decoder_width
        blocks: list[nn.Module] = [nn.Conv2d(1, 4 * w, 3, padding=1)]
        # At 16 x 16 alone: of 128 x 128 pixels there are 2.7e8 pairs.
        for _ in range(settings.decoder_blocks):
            blocks += [ConvBlock(4 * w, 2), SelfAttention(4 * w)]
        for wide, narrow in ((4 * w, 2 * w), (2 * w, w), (w, w)):
            blocks += [
                nn.ConvTranspose2d(wide, narrow, 2, stride=2),
                ConvBlock(narrow, 2),
            ]
        blocks += [nn.GroupNorm(groups(w), w), nn.SiLU()]
        self.body = nn.Sequential(*blocks, nn.Conv2d(w, 4, 3, padding=1))

    def forward(self, z: Tensor) -> Tensor:
        """(B, 1, 16, 16) -> (B, 4, 128, 128), of `laplacian_tensor`."""
        return self.body(z)


WIDER = 4
"""Width of the layers that read a latent, over the numbers that it has: more
than there are clusters in the table."""


def _silence(*layers: nn.Module) -> None:
    """Let layers emit zero until they have learned."""
    for layer in layers:
        for parameter in layer.parameters():
            nn.init.zeros_(parameter)


class ToPatches(nn.Conv2d):
    """A convolution whose stride is its kernel, as one product.

    The numbers are the same.  Kernels of the libraries are made for small
    windows that overlap: the largest one here takes them ten times as long.
    """

    def __init__(self, few: int, many: int, side: int):
        super().__init__(few, many, side, stride=side)

    def forward(self, x: Tensor) -> Tensor:
        """(B, few, h side, w side) -> (B, many, h, w)."""
        side = self.stride[0]
        parts = x.unflatten(2, (-1, side)).unflatten(4, (-1, side))
        flat = parts.permute(0, 2, 4, 1, 3, 5).flatten(3)
        told = nn.functional.linear(flat, self.weight.flatten(1), self.bias)
        return told.permute(0, 3, 1, 2)


class FromPatches(nn.ConvTranspose2d):
    """The same of a transposed convolution."""

    def __init__(self, many: int, few: int, side: int):
        super().__init__(many, few, side, stride=side)

    def forward(
        self, x: Tensor, output_size: list[int] | None = None
    ) -> Tensor:
        """(B, many, h, w) -> (B, few, h side, w side)."""
        side = self.stride[0]
        told = x.permute(0, 2, 3, 1) @ self.weight.flatten(1)
        parts = told.unflatten(3, (-1, side, side)).permute(0, 3, 1, 4, 2, 5)
        whole = parts.flatten(4).flatten(2, 3)
        return whole if self.bias is None else whole + self.bias[:, None, None]


class WideEncoder(nn.Module):
    """E_x of patches, and of a kernel as wide as what they leave.

    It reads what a symmetric Laplacian says once.
    """

    def __init__(self, settings: Model, condition: int):
        super().__init__()
        w, self.side = settings.encoder_width, settings.latent_size
        self.patches = ToPatches(2, w, settings.patch)
        self.mean = ToPatches(w, self.side**2, self.side)
        self.logvar = nn.Conv2d(w, 1, 1)
        self.width = nn.Parameter(torch.zeros(self.side**2))
        self.mix = nn.Linear(condition, self.side**2)
        _silence(self.logvar, self.mix)

    def forward(
        self, x: Tensor, c_0: Tensor, shape: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """(B, 4, 128, 128), (B, c, n) -> two (B, 1, 16, 16); no shape.

        One structure may have many c_0.
        """
        h = self.patches(halves(x))
        # Thousands of numbers meet in a kernel: over its side, they take
        # steps that suit it.
        mean = self.mean(h / self.side).flatten(1) + self.mix(c_0.flatten(1))
        logvar = (self.logvar(h).flatten(1) + self.width).expand_as(mean)
        return narrow_normal(torch.cat([mean, logvar], 1), self.side)


class OwnUnits(nn.Module):
    """A latent in units of its own size, and the logarithm of this.

    Small clusters have small latents, which differ by as little.
    """

    def forward(self, z: Tensor) -> Tensor:
        """(B, n) -> (B, n + 1)."""
        # Beneath 0.01 there is no more than noise.
        size = (z.square().mean(1, keepdim=True) + 1e-4).sqrt()
        return torch.cat([z / size, size.log()], 1)


class WideDecoder(PaperDecoder):
    """D_x of a kernel as wide as the image, refined by residual blocks.

    The kernel reads functions of the latent, more than it has numbers.  What
    it emits goes through residual blocks and self-attention at 16 x 16, which
    add nothing at first.  All emit half of W; Eq. (1) makes the Laplacian of
    it.
    """

    def __init__(self, settings: Model):
        nn.Module.__init__(self)
        w, p = settings.decoder_width, settings.patch
        self.side = side = settings.latent_size
        count = side**2 + settings.decoder_rank
        wide = WIDER * side**2
        self.told = nn.Sequential(
            OwnUnits(),
            nn.Linear(side**2 + 1, wide),
            nn.SiLU(),
            nn.Linear(wide, wide),
            nn.SiLU(),
            nn.Linear(wide, count),
        )
        self.images = FromPatches(count, 2, side * p)
        # All that is the same in every cluster.
        self.place = nn.Parameter(torch.zeros(2, side * p, side * p))
        self.patches = ToPatches(2, w, p)
        blocks: list[nn.Module] = []
        for _ in range(settings.decoder_blocks):
            conv, attention = ConvBlock(w, 2), SelfAttention(w, 2)
            _silence(conv.conv2, attention.attend.out_proj)
            blocks += [conv, attention]
        self.details = nn.Sequential(
            *blocks,
            nn.GroupNorm(groups(w), w),
            nn.Conv2d(w, w, 3, padding=1),
            nn.SiLU(),
            FromPatches(w, 2, p),
        )
        _silence(self.details[-1])

    def forward(self, z: Tensor) -> Tensor:
        """(B, 1, 16, 16) -> (B, 4, 128, 128), of `laplacian_tensor`."""
        # Over the side, as in the encoder.
        told = self.told(z.flatten(1)) / self.side
        image = self.images(told[..., None, None]) + self.place
        # In single precision: degrees are sums of hundreds of entries.
        return from_halves((image + self.details(self.patches(image))).float())
