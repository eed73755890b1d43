"""The paper's own networks of the structure: from the Laplacian and back.

`diffpy_cbldm.model.structure` departs from them; preset ``paper`` keeps them.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from diffpy_cbldm.model.blocks import groups, narrow_normal
from diffpy_cbldm.model.laplacian import from_halves, halves
from diffpy_cbldm.model.layers import ConvBlock, SelfAttention, dense
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


def _silence(*layers: nn.Module) -> None:
    """Let layers emit zero until they have learned."""
    for layer in layers:
        for parameter in layer.parameters():
            nn.init.zeros_(parameter)


class WideEncoder(nn.Module):
    """E_x of patches, and of a kernel as wide as what they leave.

    It reads what a symmetric Laplacian says once.
    """

    def __init__(self, settings: Model, condition: int):
        super().__init__()
        w, self.side = settings.encoder_width, settings.latent_size
        self.patches = nn.Conv2d(2, w, settings.patch, stride=settings.patch)
        self.mean = nn.Conv2d(w, self.side**2, self.side)
        self.logvar = nn.Conv2d(w, 1, 1)
        self.width = nn.Parameter(torch.zeros(self.side**2))
        self.mix = nn.Linear(condition, self.side**2)
        _silence(self.logvar, self.mix)

    def forward(
        self, x: Tensor, c_0: Tensor, shape: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """(B, 4, 128, 128), (B, c, n) -> two (B, 1, 16, 16); no shape."""
        h = self.patches(halves(x))
        # Thousands of numbers meet in a kernel: over its side, they take
        # steps that suit it.
        mean = self.mean(h / self.side).flatten(1) + self.mix(c_0.flatten(1))
        logvar = self.logvar(h).flatten(1) + self.width
        return narrow_normal(torch.cat([mean, logvar], 1), self.side)


class WideDecoder(PaperDecoder):
    """D_x of patches, from a kernel as wide as the latent.

    Behind it stand residual blocks and self-attention, which add nothing at
    first.  It emits half of W, and Eq. (1) makes the Laplacian of that.
    """

    def __init__(self, settings: Model):
        nn.Module.__init__(self)
        w = settings.decoder_width
        self.side = side = settings.latent_size
        more = settings.decoder_rank
        # Curved functions of the latent, which the kernel reads beside it.
        self.more = nn.Sequential(
            dense(side**2, 2 * more, 1), nn.Linear(2 * more, more)
        )
        self.stem = nn.ConvTranspose2d(side**2 + more, w, side)
        # Attention and convolutions alike do not know where a pixel lies.
        self.place = nn.Parameter(torch.zeros(w, side, side))
        blocks: list[nn.Module] = []
        for _ in range(settings.decoder_blocks):
            conv, attention = ConvBlock(w, 2), SelfAttention(w, 2)
            _silence(conv.conv2, attention.attend.out_proj)
            blocks += [conv, attention]
        self.body = nn.Sequential(*blocks)
        p = settings.patch
        self.patches = nn.ConvTranspose2d(w, 2, p, stride=p)
        self.details = nn.Sequential(
            nn.GroupNorm(groups(w), w),
            nn.Conv2d(w, w, 3, padding=1),
            nn.SiLU(),
            nn.ConvTranspose2d(w, 2, p, stride=p),
        )
        _silence(self.more[-1], self.details[-1])

    def forward(self, z: Tensor) -> Tensor:
        """(B, 1, 16, 16) -> (B, 4, 128, 128), of `laplacian_tensor`."""
        flat = z.flatten(1)
        # Over the side, as in the encoder.
        told = torch.cat([flat, self.more(flat)], 1) / self.side
        h = self.body(self.stem(told[..., None, None]) + self.place)
        # In single precision: degrees are sums of hundreds of entries.
        return from_halves((self.patches(h) + self.details(h)).float())
