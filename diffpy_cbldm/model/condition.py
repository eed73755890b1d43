"""The condition: a PDF tensor and its compressive VAE (Algorithm 1)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from diffpy_cbldm.model.layers import ConvBlock, gaussian_kl, gaussian_sample
from diffpy_cbldm.settings import Model

QDAMP_UNIT = 10.0
"""Brings Qdamp times the bond length to the order of one."""


def tell_qdamp(g: Tensor, qdamp: Tensor) -> Tensor:
    """Curves that say whether Qdamp is known, for `Model.tells_qdamp`.

    Parameters
    ----------
    g : (B, M) tensor
        From x = 0 on; the first two points, where no pair stands, are lost.
    qdamp : (B,) tensor
        Times the bond length; NaN where it is not known.
    """
    known = qdamp.isfinite()
    told = torch.stack([known.to(g), qdamp.nan_to_num().to(g)], 1)
    return torch.cat([told, g[:, 2:]], 1)


def pdf_tensor(g: Tensor, settings: Model) -> Tensor:
    """Bring G(x) to the tensor that the condition VAE reads.

    Parameters
    ----------
    g : (B, M) tensor
        G on the grid x = 0, step, ... in bond lengths, any scale; zero where
        nothing was measured.
    settings : Model
        Gives the shape; M = pdf_channels * pdf_length.

    Returns
    -------
    (B, pdf_channels, pdf_length) tensor: neighbouring points share a column;
    the root mean square of each PDF from 0.7 bonds on is 1.
    """
    start = round(0.7 / settings.pdf_step)
    norm = g[:, start:].square().mean(1, keepdim=True).sqrt()
    # What lies below the first peak is background and ripples.
    head = torch.zeros_like(g[:, :start])
    if settings.tells_qdamp:
        # Half of it says whether Qdamp is known, half of it its value.
        known, qdamp = g[:, :1], QDAMP_UNIT * g[:, 1:2]
        half = start // 2
        head = torch.cat([known + head[:, :half], qdamp + head[:, half:]], 1)
    g = torch.cat([head, g[:, start:] / norm.clamp_min(1e-12)], 1)
    # Neighbours go to one column, so that a kernel sees a stretch of r.
    shape = (len(g), settings.pdf_length, settings.pdf_channels)
    return g.reshape(shape).transpose(1, 2)


class ConditionVAE(nn.Module):
    """E_c and D_c: (6, n) <-> (c, n / 4) by 1-D convolutions."""

    def __init__(self, settings: Model):
        super().__init__()
        rows, w = settings.pdf_channels, settings.condition_width
        z = settings.condition_channels
        self.encoder = nn.Sequential(
            nn.Conv1d(rows, w, 5, padding=2),
            ConvBlock(w, 1),
            nn.Conv1d(w, w, 4, stride=2, padding=1),
            ConvBlock(w, 1),
            nn.Conv1d(w, w, 4, stride=2, padding=1),
            ConvBlock(w, 1),
            nn.SiLU(),
            nn.Conv1d(w, 2 * z, 3, padding=1),
        )
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
        self.size = z * settings.pdf_length // 4

    def encode(self, c: Tensor) -> tuple[Tensor, Tensor]:
        """E_c: (B, 6, n) -> mean and log-variance, (B, c, n / 4) each."""
        mean, logvar = self.encoder(c).chunk(2, dim=1)
        # Far from what is learnt: a wild first step cannot overflow exp.
        return mean, logvar.clamp(-12, 4)

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
        From `pdf_tensor`.
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
