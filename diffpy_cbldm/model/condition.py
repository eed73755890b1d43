"""The condition: the compressive VAE of the PDF (Algorithm 1)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from diffpy_cbldm.model.architecture import ConditionEncoderBase
from diffpy_cbldm.model.layers import (
    KIT,
    ConvBlock,
    gaussian_kl,
    gaussian_sample,
)
from diffpy_cbldm.settings import Model


class ConditionVAE(ConditionEncoderBase, nn.Module):
    """E_c and D_c: (6, n) <-> (c, n / 4) by 1-D convolutions."""

    kit = KIT

    def __init__(self, settings: Model):
        super().__init__(settings)
        rows, w = settings.pdf_channels, settings.condition_width
        z = settings.condition_channels
        self.decoder = nn.Sequential(
            nn.Conv1d(z, w, 3, padding=1),
            ConvBlock(w, 1),
            nn.ConvTranspose1d(w, w, 4, stride=2, padding=1),
            ConvBlock(w, 1),
            nn.ConvTranspose1d(w, w, 4, stride=2, padding=1),
            ConvBlock(w, 1),
            nn.SiLU(),
            nn.Conv1d(w, rows, 5, padding=2),
        )

    def decode(self, z: Tensor) -> Tensor:
        """D_c: (B, c, n / 4) -> (B, 6, n)."""
        return self.decoder(z)


def algorithm_1(
    vae: ConditionVAE,
    c: Tensor,
    generator: torch.Generator | None = None,
    beta: float = 1e-3,
    target: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Algorithm 1: loss of the compressive VAE for the condition.

    L_rec(c, D_c(E_c(c))) + beta * KL(p(z_c | c) || N(0, I)), with the mean
    square as L_rec and the KL per dimension of z_c.

    Parameters
    ----------
    vae : ConditionVAE
        The network.
    c : (B, 6, n) tensor
        From `diffpy_cbldm.model.curves.pdf_tensor`.
    generator : torch.Generator, optional
        Source of the noise.
    beta : float
        Weight of the divergence.
    target : (B, 6, n) tensor, optional
        What to reconstruct; `c` by default (the clean PDF where `c` has
        noise).

    Returns
    -------
    loss : scalar tensor
    c_0 : (B, c, n / 4) tensor, the latent mean
    """
    mean, logvar = vae.encode(c)
    z = gaussian_sample(mean, logvar, generator)
    # From a noisy PDF to the clean one: c_0 learns to leave the noise out.
    goal = c if target is None else target
    rec = (vae.decode(z) - goal).square().mean()
    zero = torch.zeros_like(mean)
    kl = gaussian_kl(mean, logvar, zero, zero).mean() / mean[0].numel()
    return rec + beta * kl, mean
