"""CbLDM: the parts assembled, sampled, saved and loaded."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor, nn

from diffpy_cbldm.crystals.facets import hulls
from diffpy_cbldm.crystals.filling import Filling, Proposal
from diffpy_cbldm.crystals.table import TEMPLATE_OF, Table, load_table
from diffpy_cbldm.errors import CbldmError
from diffpy_cbldm.model.condition import ConditionVAE, pdf_tensor
from diffpy_cbldm.model.denoiser import UNet
from diffpy_cbldm.model.diffusion import (
    Denoiser,
    Noise,
    Schedule,
    SeededNoise,
    algorithm_4,
    renew,
)
from diffpy_cbldm.model.laplacian import laplacian_of, likely_atoms
from diffpy_cbldm.model.outline import Outlined, OutlineDecoder
from diffpy_cbldm.model.recovery import gathered, moved_apart, recover
from diffpy_cbldm.model.structure import Decoder, StructureVAE
from diffpy_cbldm.settings import CRYSTAL_TYPES, MIN_ATOMS, Model, Sampling
from diffpy_cbldm.threads import side_by_side

CHUNK = 32
"""Candidates run in blocks of this size, the last one filled up, so that a
candidate's numbers do not depend on how many are asked for."""

LATENT = 4.0
"""Largest entries of a latent of unit variance, for samplers whose network
predicts the noise outright: what DDPM's clipping of x_0 is for images."""

REACH = 13.0
"""Bond lengths from the centre beyond which no atom of a decoded Laplacian
stands: those of the longest known clusters reach 12.4."""


class CbLDM(nn.Module):
    """Condition VAE, structure VAE with conditional prior, and denoiser.

    Parameters
    ----------
    settings : Model
        Shapes and widths.
    table : Table, optional
        The template sites; the packaged ones by default.
    """

    latent_scale: Tensor

    def __init__(self, settings: Model, table: Table | None = None):
        super().__init__()
        self.settings = settings
        self.table = table or load_table()
        self.condition = ConditionVAE(settings)
        size = self.condition.size
        self.structure = StructureVAE(settings, self.table, size)
        self.denoiser = UNet(settings, size)
        # Turns what the decoder emits into atoms; it has no weights.
        self.filling = Filling(self.table)
        self.schedule = Schedule.cosine(settings.steps)
        # Brings z_x to unit variance for the diffusion; set in training.
        self.register_buffer("latent_scale", torch.ones(()))

    def c_0(self, g: Tensor) -> Tensor:
        """E_c's mean of PDFs on the model's grid, (B, M) -> (B, c, n)."""
        return self.condition.encode(pdf_tensor(g, self.settings))[0]

    def grid(self) -> np.ndarray:
        """The r grid in bond lengths, (M,) array from 0."""
        points = self.settings.pdf_channels * self.settings.pdf_length
        return np.arange(points) * self.settings.pdf_step

    def predict_noise(
        self,
        x: Tensor,
        t: Tensor,
        c_0: Tensor,
        prior: tuple[Tensor, Tensor],
    ) -> Tensor:
        """eps_theta in the scaled latent space.

        Were z_x exactly normal under the conditional prior N(m, v), the
        expected noise in x_t would be b (x_t - a m) / (a^2 v + b^2), with a,
        b = sqrt(abar_t), sqrt(1 - abar_t).  The U-Net adds to that, in units
        of what it leaves uncertain; at first it adds nothing, and sampling
        gives back the prior.  The paper's network predicts the noise
        outright.
        """
        if self.settings.network == "laplacian":
            # The paper's network sees the condition by c_0 alone.
            hints = x.new_zeros(len(x), 2, *x.shape[2:])
            eps = self.denoiser(x, t, c_0, hints)
            return eps if self.training else self._bounded(x, t, eps)
        mean, logvar = prior
        # The prior is that of z_x, the diffusion that of z_x / latent_scale.
        m = mean / self.latent_scale
        v = torch.exp(logvar) / self.latent_scale**2
        abar = self.schedule.abar.to(x.device)[t].to(x.dtype)
        abar = abar.reshape(-1, 1, 1, 1)
        a, b = abar.sqrt(), (1 - abar).sqrt()
        power = a**2 * v + b**2
        unit = (x - a * m) / power.sqrt()
        left = (a**2 * v / power).sqrt()
        # The network need not learn what the prior knows exactly.
        hints = torch.cat([m, logvar], 1)
        return b * unit / power.sqrt() + left * self.denoiser(
            unit, t, c_0, hints
        )

    def _bounded(self, x: Tensor, t: Tensor, eps: Tensor) -> Tensor:
        """The noise for which x_0 is at most `LATENT` in size.

        Near T there is next to no x_0 in x, and what eps is wrong by would
        become the whole of it.
        """
        abar = self.schedule.abar.to(x.device)[t].to(x.dtype)
        abar = abar.reshape(-1, 1, 1, 1)
        a, b = abar.sqrt(), (1 - abar).sqrt()
        x_0 = ((x - b * eps) / a).clamp(-LATENT, LATENT)
        return (x - a * x_0) / b

    @torch.no_grad()
    def sample(
        self,
        g: Tensor,
        count: int,
        seed: int = 0,
        sampling: Sampling | None = None,
    ) -> Tensor:
        """Draw latents for one PDF by Algorithm 4.

        Parameters
        ----------
        g : (M,) tensor
            G on `grid`, any scale.
        count : int
            How many.
        seed : int
            Candidate i has its own stream of noise, from (seed, i).
        sampling : Sampling, optional
            Sampler, number of calls, T1 and T2.

        Returns
        -------
        (count, 1, 16, 16) tensor
        """
        how = sampling or Sampling()
        denoise, (mean, logvar) = self._conditioned(g)
        # X*_0 is drawn in z_x, and scaled as the diffusion is.
        spread = torch.exp(0.5 * logvar)

        def draw(noise: Noise, _: Tensor) -> Tensor:
            prior = (mean + spread * noise()) / self.latent_scale
            return algorithm_4(denoise, self.schedule, prior, noise, how)

        # New latents have no rows to start from: only their number counts.
        return self._in_chunks(draw, mean.new_zeros(count, 1), seed)

    @torch.no_grad()
    def renew(
        self,
        g: Tensor,
        z: Tensor,
        step: int,
        seed: int = 0,
        sampling: Sampling | None = None,
    ) -> Tensor:
        """Draw latents near given ones, from the same distribution.

        Parameters
        ----------
        g : (M,) tensor
            G on `grid`, any scale.
        z : (count, 1, 16, 16) tensor
            From `sample`.
        step : int
            How far they are noised before they are denoised again, up to
            T - 1; 0 leaves them nearly where they are.
        seed, sampling
            As in `sample`.
        """
        how = sampling or Sampling()
        denoise, _ = self._conditioned(g)

        def draw(noise: Noise, block: Tensor) -> Tensor:
            x_0 = block / self.latent_scale
            return renew(denoise, self.schedule, x_0, noise, step, how)

        return self._in_chunks(draw, z, seed)

    def _conditioned(
        self, g: Tensor
    ) -> tuple[Denoiser, tuple[Tensor, Tensor]]:
        """eps_theta and the prior's mean and log-variance under one PDF."""
        # Once for all candidates: the PDF is the same at every step.
        c_0 = self.c_0(g[None]).expand(CHUNK, -1, -1)
        prior = self.structure.prior(c_0)
        return lambda x, t: self.predict_noise(x, t, c_0, prior), prior

    def _in_chunks(
        self,
        draw: Callable[[Noise, Tensor], Tensor],
        rows: Tensor,
        seed: int,
    ) -> Tensor:
        """Draw for `CHUNK` rows at a time, each with noise of its own."""
        side = self.settings.latent_size
        like = rows.new_zeros(1, side, side)

        @torch.no_grad()  # each thread has a setting of its own
        def drawn(chunk: tuple[int, Tensor, Tensor]) -> Tensor:
            start, block, full = chunk
            noise = SeededNoise(seed, range(start, start + CHUNK), like)
            # The rows that fill up the block are thrown away.
            return draw(noise, full)[: len(block)] * self.latent_scale

        return torch.cat(side_by_side(drawn, list(_chunks(rows))))

    @torch.no_grad()
    def decode(self, z: Tensor) -> list[Proposal]:
        """The likeliest structure of each latent, (n, 1, 16, 16) -> n."""
        return [row[0] for row in self.decode_sizes(z, 1)]

    @torch.no_grad()
    def decode_sizes(self, z: Tensor, sizes: int) -> list[list[Proposal]]:
        """Structures of several numbers of atoms for each latent.

        They are nested: the likeliest sites are filled in turn.  With more
        than one, the same again after averaging the occupancies over the
        symmetry that the structure nearly has, orbit by orbit.

        Parameters
        ----------
        z : (n, 1, 16, 16) tensor
        sizes : int
            How many for each latent and symmetry, at most; fewer where
            fewer sites are in doubt.

        Returns
        -------
        n lists of Proposal, the likeliest number of atoms first.

        Raises
        ------
        CbldmError
            The model has the paper's decoder: see `decode_laplacians`.
        """
        if self.settings.network == "laplacian":
            raise CbldmError(
                "this model decodes Laplacians, not sites; expected one of "
                "network 'sites': use diffpy_cbldm.model.cbldm.structures."
            )
        proposals = []
        for kind, logits, shape, _ in self._decoded(z):
            variants = [(logits, False)]
            # The likeliest structure is that of the logits as they are.
            if sizes > 1:
                averages = self.filling.symmetry.averaged(
                    TEMPLATE_OF[kind], logits
                )
                variants += [(average, True) for average in averages]
            proposals.append(self.filling.filled(kind, variants, shape, sizes))
        return proposals

    @torch.no_grad()
    def decode_hulls(self, z: Tensor, sizes: int) -> list[list[Proposal]]:
        """Structures bounded by the planes that each latent tells.

        Parameters
        ----------
        z : (n, 1, 16, 16) tensor
        sizes : int
            How many for each latent and set of facets, at most.

        Returns
        -------
        n lists of Proposal, see `diffpy_cbldm.crystals.facets`.
        """
        proposals = []
        for kind, logits, shape, extents in self._decoded(z):
            planes = hulls(self.filling.symmetry, kind, logits, extents)
            # A facet is whole or not there: its sites have one depth.
            variants = [(depths, True) for depths in planes]
            proposals.append(self.filling.filled(kind, variants, shape, sizes))
        return proposals

    def _decoded(
        self, z: Tensor
    ) -> Iterator[tuple[str, np.ndarray, np.ndarray, np.ndarray]]:
        """Kind, logits of the sites of its template, strain and relaxation,
        and extents, of each latent."""
        sites, decoder = self.structure.sites, self.structure.decoder
        assert isinstance(decoder, Decoder)
        for _, block, full in _chunks(z):
            # Only the sites of the likeliest type's template count.
            kinds = decoder.likeliest(full)
            decoded = decoder(full, kinds)
            shapes = decoded.shape.double().cpu().numpy()
            for i, number in enumerate(kinds[: len(block)].tolist()):
                kind = CRYSTAL_TYPES[number]
                template = TEMPLATE_OF[kind]
                logits = decoded.sites[i, sites.slices[template]]
                extents = decoded.extents[i, sites.extents[template]]
                yield (
                    kind,
                    logits.double().cpu().numpy(),
                    shapes[i],
                    extents.double().cpu().numpy(),
                )

    @torch.no_grad()
    def decode_outlines(self, z: Tensor) -> Outlined:
        """What each latent tells of a large particle, (n, 1, 16, 16) -> n.

        Raises
        ------
        CbldmError
            The model's decoder emits something else.
        """
        decoder = self.structure.decoder
        if not isinstance(decoder, OutlineDecoder):
            raise CbldmError(
                f"this model is of network {self.settings.network!r}; "
                "expected 'outline', which tells large particles: take "
                "weights of the preset large."
            )
        # In blocks of one size: no number depends on how many are asked for.
        parts = [
            [part[: len(block)] for part in decoder(full)]
            for _, block, full in _chunks(z)
        ]
        return Outlined(*(torch.cat(rows) for rows in zip(*parts)))

    @torch.no_grad()
    def decode_laplacians(self, z: Tensor) -> Tensor:
        """L by the paper's decoder, (n, 1, 16, 16) -> (n, 256, 256)."""
        return laplacian_of(self.structure.decoder(z))


def _chunks(rows: Tensor) -> Iterator[tuple[int, Tensor, Tensor]]:
    """Number of the first row, up to `CHUNK` rows, and these filled up."""
    for start in range(0, len(rows), CHUNK):
        block = rows[start : start + CHUNK]
        spare = block[-1:].expand(CHUNK - len(block), *rows.shape[1:])
        yield start, block, torch.cat([block, spare])


def structures(
    model: CbLDM, z: Tensor, sizes: int = 1
) -> list[list[Proposal]]:
    """The structures of latents, whatever the model's decoder emits.

    Parameters
    ----------
    model : CbLDM
    z : (n, 1, 16, 16) tensor
        From `CbLDM.sample`.
    sizes : int
        Numbers of atoms for each latent, at most, see
        `CbLDM.decode_sizes`; a decoded Laplacian has one.

    Returns
    -------
    n lists of Proposal, in bond lengths
    """
    if model.settings.network == "sites":
        return model.decode_sizes(z, sizes)
    L = model.decode_laplacians(z)
    # An untrained decoder may leave fewer rows than a cluster has atoms.
    lengths = likely_atoms(L).clamp(min=MIN_ATOMS)
    xyz = recover(L, lengths, sigma2=model.settings.sigma2)
    return [
        [Proposal("", settled(row[:n].double().cpu().numpy()))]
        for row, n in zip(xyz, lengths.tolist())
    ]


def settled(xyz: np.ndarray) -> np.ndarray:
    """Recovered atoms, (n, 3) in bond lengths, as a cluster can have them."""
    return moved_apart(gathered(xyz, REACH))
