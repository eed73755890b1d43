"""What the model draws and decodes, in NumPy or in PyTorch.

`CbLDM` (`diffpy_cbldm.model.cbldm`, of PyTorch's layers) and `NumpyCbLDM`
(`diffpy_cbldm.model.numpy_networks`) hold the networks and share this.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from array_api_compat import array_namespace, device

from diffpy_cbldm.crystals.facets import hulls
from diffpy_cbldm.crystals.filling import Filling, Proposal
from diffpy_cbldm.crystals.table import TEMPLATE_OF, Table, load_table
from diffpy_cbldm.errors import CbldmError
from diffpy_cbldm.model.arrays import Array
from diffpy_cbldm.model.curves import pdf_tensor
from diffpy_cbldm.model.diffusion import (
    Denoiser,
    Noise,
    Schedule,
    algorithm_4,
    renew,
)
from diffpy_cbldm.model.noise import SeededNoise
from diffpy_cbldm.model.outline import Outlined
from diffpy_cbldm.settings import CRYSTAL_TYPES, Model, Sampling
from diffpy_cbldm.threads import side_by_side

CHUNK = 32
"""Candidates run in blocks of this size, the last one filled up, so that a
candidate's numbers do not depend on how many are asked for."""


class Drawing:
    """Latents drawn for a PDF by Algorithm 4, and what they decode to.

    Parameters
    ----------
    settings : Model
        Shapes and widths.
    table : Table, optional
        The template sites; the packaged ones by default.

    Attributes
    ----------
    condition, denoiser
        The networks E_c and eps_theta.
    structure
        Holds the networks ``prior`` and ``decoder``, and the ``sites``.
    latent_scale : () array
        Brings z_x to unit variance for the diffusion.
    """

    condition: Any
    structure: Any
    denoiser: Any
    latent_scale: Array

    def __init__(self, settings: Model, table: Table | None = None):
        super().__init__()
        self.settings = settings
        self.table = table or load_table()
        # Turns what the decoder emits into atoms; it has no weights.
        self.filling = Filling(self.table)
        self.schedule = Schedule.cosine(settings.steps)

    def untracked(self) -> contextlib.AbstractContextManager[Any]:
        """Where networks are called without a record for gradients."""
        return contextlib.nullcontext()

    def to_own(self, array: np.ndarray) -> Array:
        """An array as the networks take it: in float32, on their device."""
        return np.asarray(array, np.float32)

    def to_numpy(self, array: Array) -> np.ndarray:
        """What the networks gave, as an array of NumPy."""
        return np.asarray(array)

    def c_0(self, g: Array) -> Array:
        """E_c's mean of PDFs on the model's grid, (B, M) -> (B, c, n)."""
        return self.condition.encode(pdf_tensor(g, self.settings))[0]

    def grid(self) -> np.ndarray:
        """The r grid in bond lengths, (M,) array from 0."""
        points = self.settings.pdf_channels * self.settings.pdf_length
        return np.arange(points) * self.settings.pdf_step

    def predict_noise(
        self,
        x: Array,
        t: Array,
        c_0: Array,
        prior: tuple[Array, Array],
    ) -> Array:
        """eps_theta in the scaled latent space.

        Were z_x exactly normal under the conditional prior N(m, v), the
        expected noise in x_t would be b (x_t - a m) / (a^2 v + b^2), with a,
        b = sqrt(abar_t), sqrt(1 - abar_t).  The U-Net adds to that, in units
        of what it leaves uncertain; at first it adds nothing, and sampling
        gives back the prior.
        """
        xp = array_namespace(x)
        mean, logvar = prior
        # The prior is that of z_x, the diffusion that of z_x / latent_scale.
        m = mean / self.latent_scale
        v = xp.exp(logvar) / self.latent_scale**2
        a, b = self.schedule.amounts(t, x)
        power = a**2 * v + b**2
        unit = (x - a * m) / xp.sqrt(power)
        left = xp.sqrt(a**2 * v / power)
        # The network need not learn what the prior knows exactly.
        hints = xp.concat([m, logvar], axis=1)
        return b * unit / xp.sqrt(power) + left * self.denoiser(
            unit, t, c_0, hints
        )

    def sample(
        self,
        g: Array,
        count: int,
        seed: int = 0,
        sampling: Sampling | None = None,
    ) -> Array:
        """Draw latents for one PDF by Algorithm 4.

        Parameters
        ----------
        g : (M,) array
            G on `grid`, any scale.
        count : int
            How many.
        seed : int
            Candidate i has its own stream of noise, from (seed, i).
        sampling : Sampling, optional
            Sampler, number of calls, T1 and T2.

        Returns
        -------
        (count, 1, 16, 16) array
        """
        how = sampling or Sampling()
        denoise, (mean, logvar) = self._conditioned(g)
        # X*_0 is drawn in z_x, and scaled as the diffusion is.
        xp = array_namespace(mean)
        spread = xp.exp(0.5 * logvar)

        def draw(noise: Noise, _: Array) -> Array:
            prior = (mean + spread * noise()) / self.latent_scale
            return algorithm_4(denoise, self.schedule, prior, noise, how)

        # New latents have no rows to start from: only their number counts.
        rows = xp.zeros((count, 1), dtype=mean.dtype, device=device(mean))
        return self._in_chunks(draw, rows, seed)

    def renew(
        self,
        g: Array,
        z: Array,
        step: int,
        seed: int = 0,
        sampling: Sampling | None = None,
    ) -> Array:
        """Draw latents near given ones, from the same distribution.

        Parameters
        ----------
        g : (M,) array
            G on `grid`, any scale.
        z : (count, 1, 16, 16) array
            From `sample`.
        step : int
            How far they are noised before they are denoised again, up to
            T - 1; 0 leaves them nearly where they are.
        seed, sampling
            As in `sample`.
        """
        how = sampling or Sampling()
        denoise, _ = self._conditioned(g)

        def draw(noise: Noise, block: Array) -> Array:
            x_0 = block / self.latent_scale
            return renew(denoise, self.schedule, x_0, noise, step, how)

        return self._in_chunks(draw, z, seed)

    def _conditioned(self, g: Array) -> tuple[Denoiser, tuple[Array, Array]]:
        """eps_theta and the prior's mean and log-variance under one PDF."""
        # Once for all candidates: the PDF is the same at every step.
        with self.untracked():
            c_0 = self.c_0(g[None])
            shape = (CHUNK, *c_0.shape[1:])
            c_0 = array_namespace(c_0).broadcast_to(c_0, shape)
            prior = self.structure.prior(c_0)
        return lambda x, t: self.predict_noise(x, t, c_0, prior), prior

    def _in_chunks(
        self,
        draw: Callable[[Noise, Array], Array],
        rows: Array,
        seed: int,
    ) -> Array:
        """Draw for `CHUNK` rows at a time, each with noise of its own."""
        xp, side = array_namespace(rows), self.settings.latent_size
        like = xp.zeros((1, side, side), dtype=rows.dtype, device=device(rows))

        def drawn(chunk: tuple[int, Array, Array]) -> Array:
            start, block, full = chunk
            noise = SeededNoise(seed, range(start, start + CHUNK), like)
            # Here, since each thread has a setting of its own.
            with self.untracked():
                z = draw(noise, full) * self.latent_scale
            # The rows that fill up the block are thrown away.
            return z[: len(block)]

        return xp.concat(side_by_side(drawn, list(_chunks(rows))), axis=0)

    def prior_mean(self, g: Array) -> Array:
        """The likeliest latent of a PDF before the diffusion.

        Parameters
        ----------
        g : (M,) array
            G on `grid`, any scale.

        Returns
        -------
        (1, 1, 16, 16) array
        """
        return self.prior_of(g)[0]

    def prior_of(self, g: Array) -> tuple[Array, Array]:
        """Mean and log-variance of the conditional prior of a PDF.

        Parameters
        ----------
        g : (M,) array
            G on `grid`, any scale.

        Returns
        -------
        mean, logvar : (1, 1, 16, 16) arrays
        """
        with self.untracked():
            return self.structure.prior(self.c_0(g[None]))

    def structures(self, z: Array, sizes: int = 1) -> list[list[Proposal]]:
        """The structures of latents, whatever the decoder emits.

        Parameters
        ----------
        z : (n, 1, 16, 16) array
            From `sample`.
        sizes : int
            Numbers of atoms for each latent, at most, see `decode_sizes`; a
            decoded Laplacian has one.

        Returns
        -------
        n lists of Proposal, in bond lengths
        """
        return self.decode_sizes(z, sizes)

    def decode(self, z: Array) -> list[Proposal]:
        """The likeliest structure of each latent, (n, 1, 16, 16) -> n."""
        return [row[0] for row in self.decode_sizes(z, 1)]

    def decode_sizes(self, z: Array, sizes: int) -> list[list[Proposal]]:
        """Structures of several numbers of atoms for each latent.

        They are nested: the likeliest sites are filled in turn.  With more
        than one, the same again after averaging the occupancies over the
        symmetry that the structure nearly has, orbit by orbit.

        Parameters
        ----------
        z : (n, 1, 16, 16) array
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
                "network 'sites': call its structures."
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

    def decode_hulls(self, z: Array, sizes: int) -> list[list[Proposal]]:
        """Structures bounded by the planes that each latent tells.

        Parameters
        ----------
        z : (n, 1, 16, 16) array
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
        self, z: Array
    ) -> Iterator[tuple[str, np.ndarray, np.ndarray, np.ndarray]]:
        """Kind, logits of the sites of its template, strain and relaxation,
        and extents, of each latent, in float64."""
        sites, decoder = self.structure.sites, self.structure.decoder
        for _, block, full in _chunks(z):
            # Only the sites of the likeliest type's template count.
            with self.untracked():
                kinds = decoder.likeliest(full)
                _, *told = decoder(full, kinds)
            logits, shapes, extents = (
                self.to_numpy(part[: len(block)]) for part in told
            )
            for i, number in enumerate(kinds[: len(block)].tolist()):
                kind = CRYSTAL_TYPES[number]
                template = TEMPLATE_OF[kind]
                yield (
                    kind,
                    logits[i, sites.slices[template]].astype(float),
                    shapes[i].astype(float),
                    extents[i, sites.extents[template]].astype(float),
                )

    def decode_outlines(self, z: Array) -> Outlined:
        """What each latent tells of a large particle, (n, 1, 16, 16) -> n.

        Raises
        ------
        CbldmError
            The model's decoder emits something else.
        """
        if self.settings.network != "outline":
            raise CbldmError(
                f"this model is of network {self.settings.network!r}; "
                "expected 'outline', which tells large particles: take "
                "weights of the preset large."
            )
        # In blocks of one size: no number depends on how many are asked for.
        with self.untracked():
            parts = [
                [part[: len(block)] for part in self.structure.decoder(full)]
                for _, block, full in _chunks(z)
            ]
        join = array_namespace(z).concat
        return Outlined(*(join(rows, axis=0) for rows in zip(*parts)))


def _chunks(rows: Array) -> Iterator[tuple[int, Array, Array]]:
    """Number of the first row, up to `CHUNK` rows, and these filled up."""
    xp = array_namespace(rows)
    for start in range(0, len(rows), CHUNK):
        block = rows[start : start + CHUNK]
        shape = (CHUNK - len(block), *rows.shape[1:])
        spare = xp.broadcast_to(block[-1:], shape)
        yield start, block, xp.concat([block, spare], axis=0)
