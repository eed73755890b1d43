"""CbLDM in PyTorch: the parts assembled, for training and for GPUs."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from diffpy_cbldm.crystals.filling import Proposal
from diffpy_cbldm.crystals.table import Table
from diffpy_cbldm.model.condition import ConditionVAE
from diffpy_cbldm.model.denoiser import UNet
from diffpy_cbldm.model.drawing import Drawing
from diffpy_cbldm.model.laplacian import laplacian_of, likely_atoms
from diffpy_cbldm.model.recovery import gathered, moved_apart, recover
from diffpy_cbldm.model.structure import StructureVAE
from diffpy_cbldm.settings import MIN_ATOMS, Model

LATENT = 4.0
"""Largest entries of a latent of unit variance, for samplers whose network
predicts the noise outright: what DDPM's clipping of x_0 is for images."""

REACH = 13.0
"""Bond lengths from the centre beyond which no atom of a decoded Laplacian
stands: those of the longest known clusters reach 12.4."""


class CbLDM(Drawing, nn.Module):
    """Condition VAE, structure VAE with conditional prior, and denoiser.

    Parameters
    ----------
    settings : Model
        Shapes and widths.
    table : Table, optional
        The template sites; the packaged ones by default.
    """

    def __init__(self, settings: Model, table: Table | None = None):
        super().__init__(settings, table)
        self.condition = ConditionVAE(settings)
        size = self.condition.size
        self.structure = StructureVAE(settings, self.table, size)
        self.denoiser = UNet(settings, size)
        # Set in training.
        self.register_buffer("latent_scale", torch.ones(()))

    def untracked(self) -> contextlib.AbstractContextManager[Any]:
        """Where networks are called without a record for gradients."""
        return torch.no_grad()

    def to_own(self, array: np.ndarray) -> Tensor:
        """An array as the networks take it: in float32, on their device."""
        own = torch.as_tensor(array, dtype=torch.float32)
        return own.to(self.latent_scale.device)

    def to_numpy(self, array: Tensor) -> np.ndarray:
        """What the networks gave, as an array of NumPy."""
        return array.detach().cpu().numpy()

    def predict_noise(
        self,
        x: Tensor,
        t: Tensor,
        c_0: Tensor,
        prior: tuple[Tensor, Tensor],
    ) -> Tensor:
        """eps_theta in the scaled latent space, see `Drawing`.

        The paper's network predicts the noise outright.
        """
        if self.settings.network != "laplacian":
            return super().predict_noise(x, t, c_0, prior)
        # The paper's network sees the condition by c_0 alone.
        hints = x.new_zeros(len(x), 2, *x.shape[2:])
        eps = self.denoiser(x, t, c_0, hints)
        return eps if self.training else self._bounded(x, t, eps)

    def _bounded(self, x: Tensor, t: Tensor, eps: Tensor) -> Tensor:
        """The noise for which x_0 is at most `LATENT` in size.

        Near T there is next to no x_0 in x, and what eps is wrong by would
        become the whole of it.  Where x is mostly x_0, the few numbers of a
        latent that are larger stay.
        """
        a, b = self.schedule.amounts(t, x)
        most = LATENT * (a / b).clamp(min=1)
        x_0 = ((x - b * eps) / a).clamp(-most, most)
        return (x - a * x_0) / b

    def structures(self, z: Tensor, sizes: int = 1) -> list[list[Proposal]]:
        """The structures of latents, whatever the decoder emits.

        See `Drawing.structures`.
        """
        if self.settings.network != "laplacian":
            return super().structures(z, sizes)
        L = self.decode_laplacians(z)
        # An untrained decoder may leave fewer rows than a cluster has atoms.
        lengths = likely_atoms(L).clamp(min=MIN_ATOMS)
        xyz = recover(L, lengths, sigma2=self.settings.sigma2)
        return [
            [Proposal("", settled(row[:n].double().cpu().numpy()))]
            for row, n in zip(xyz, lengths.tolist())
        ]

    @torch.no_grad()
    def decode_laplacians(self, z: Tensor) -> Tensor:
        """L by the paper's decoder, (n, 1, 16, 16) -> (n, 256, 256)."""
        return laplacian_of(self.structure.decoder(z))


def settled(xyz: np.ndarray) -> np.ndarray:
    """Recovered atoms, (n, 3) in bond lengths, as a cluster can have them."""
    return moved_apart(gathered(xyz, REACH))
