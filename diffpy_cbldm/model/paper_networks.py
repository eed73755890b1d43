"""The paper's own networks of the structure: from the Laplacian and back.

`diffpy_cbldm.model.structure` departs from them; preset ``paper`` keeps them.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from diffpy_cbldm.model.blocks import groups, narrow_normal
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


class PatchEncoder(PaperEncoder):
    """The same of patches: 16 times fewer pixels at the largest width."""

    def __init__(self, settings: Model, condition: int):
        nn.Module.__init__(self)
        w, self.side = settings.encoder_width, settings.latent_size
        self.body = nn.Sequential(
            nn.Conv2d(4, w, settings.patch, stride=settings.patch),
            nn.SiLU(),
            nn.Conv2d(w, 2 * w, 4, stride=2, padding=1),
            ConvBlock(2 * w, 2),
            nn.SiLU(),
        )
        self.mix = nn.Linear(condition, 2 * w)
        self.head = nn.Conv2d(2 * w, 2, 1)


class PatchDecoder(PaperDecoder):
    """The same to patches: residual blocks and self-attention at 16 x 16.

    Of 4 x 4 patches in four blocks of L, 64 channels are all that there is
    to tell: nothing is lost, where 128 x 128 pixels take most of the time.
    """

    def __init__(self, settings: Model):
        nn.Module.__init__(self)
        w, side = settings.decoder_width, settings.latent_size
        self.stem = nn.Conv2d(1, w, 3, padding=1)
        # Attention and convolutions alike do not know where a pixel lies.
        self.place = nn.Parameter(0.02 * torch.randn(w, side, side))
        blocks: list[nn.Module] = []
        # Attention takes as long as two blocks: after every second one.
        for _ in range(settings.decoder_blocks // 2):
            blocks += [ConvBlock(w, 2), ConvBlock(w, 2), SelfAttention(w, 2)]
        blocks += [nn.ConvTranspose2d(w, w, 2, stride=2), ConvBlock(w, 2)]
        blocks += [nn.GroupNorm(groups(w), w), nn.SiLU()]
        last = nn.ConvTranspose2d(w, 4, settings.patch, stride=settings.patch)
        self.body = nn.Sequential(*blocks, last)

    def forward(self, z: Tensor) -> Tensor:
        """(B, 1, 16, 16) -> (B, 4, 128, 128), of `laplacian_tensor`."""
        return self.body(self.stem(z) + self.place)
