"""The denoiser: a U-Net on the (1, 16, 16) latent."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from diffpy_cbldm.model.layers import (
    ConvBlock,
    SelfAttention,
    groups,
    step_embedding,
)
from diffpy_cbldm.settings import Model


class UNet(nn.Module):
    """The learned part of eps_theta(x_t, c_0, t) of Algorithm 3.

    The condition c_0 enters through the embedding of the step and, as the
    conditional prior's mean and log-variance, as two more input channels.
    """

    def __init__(self, settings: Model, condition: int):
        super().__init__()
        w = settings.denoiser_width
        e = 4 * w
        self.embed_step = nn.Sequential(
            nn.Linear(e, e), nn.SiLU(), nn.Linear(e, e)
        )
        self.embed_condition = nn.Linear(condition, e)
        self.width = e
        self.stem = nn.Conv2d(3, w, 3, padding=1)
        self.down1 = ConvBlock(w, 2, e)
        self.pool1 = nn.Conv2d(w, w, 3, stride=2, padding=1)
        self.down2 = ConvBlock(w, 2, e)
        self.pool2 = nn.Conv2d(w, 2 * w, 3, stride=2, padding=1)
        self.middle1 = ConvBlock(2 * w, 2, e)
        # At 4 x 4 the whole latent is in reach, at hardly any cost.
        self.attention = SelfAttention(2 * w)
        self.middle2 = ConvBlock(2 * w, 2, e)
        self.lift2 = nn.ConvTranspose2d(2 * w, w, 2, stride=2)
        self.join2 = nn.Conv2d(2 * w, w, 1)
        self.up2 = ConvBlock(w, 2, e)
        self.lift1 = nn.ConvTranspose2d(w, w, 2, stride=2)
        self.join1 = nn.Conv2d(2 * w, w, 1)
        self.up1 = ConvBlock(w, 2, e)
        # Untrained it adds nothing, and sampling gives back the prior.
        last = nn.Conv2d(w, 1, 3, padding=1)
        for parameter in last.parameters():
            nn.init.zeros_(parameter)
        self.head = nn.Sequential(nn.GroupNorm(groups(w), w), nn.SiLU(), last)

    def forward(
        self, x: Tensor, t: Tensor, c_0: Tensor, hints: Tensor
    ) -> Tensor:
        """Predict what the conditional prior does not explain of the noise.

        Parameters
        ----------
        x : (B, 1, s, s) tensor
            The noised latent, standardised under the conditional prior.
        t : (B,) tensor
            Steps, 0 to T - 1.
        c_0 : (B, c, n) tensor
            Latent of the condition.
        hints : (B, 2, s, s) tensor
            Mean and log-variance of the conditional prior.
        """
        # Step and condition shift the features of every block alike.
        e = self.embed_step(step_embedding(t, self.width))
        e = e + self.embed_condition(c_0.flatten(1))
        a = self.down1(self.stem(torch.cat([x, hints], 1)), e)
        b = self.down2(self.pool1(a), e)
        m = self.middle1(self.pool2(b), e)
        m = self.middle2(self.attention(m), e)
        h = self.up2(self.join2(torch.cat([self.lift2(m), b], 1)), e)
        h = self.up1(self.join1(torch.cat([self.lift1(h), a], 1)), e)
        return self.head(h)
