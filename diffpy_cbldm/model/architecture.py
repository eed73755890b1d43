"""The networks that sampling takes: their layers, and what they compute.

Each class is one network, as in `diffpy_cbldm.model.blocks` without the
machinery that holds weights: a module of PyTorch in `condition`, `structure`
and `denoiser` beside this, one of NumPy in `numpy_networks`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from array_api_compat import array_namespace, device

from diffpy_cbldm.crystals.filling import SHAPE_UNIT
from diffpy_cbldm.crystals.large_cuts import LARGE_TYPES
from diffpy_cbldm.crystals.lattices import PLANE_MARGIN, TEMPLATES
from diffpy_cbldm.crystals.table import TEMPLATE_OF, Table
from diffpy_cbldm.model.arrays import Array, softplus
from diffpy_cbldm.model.blocks import (
    Network,
    dense,
    groups,
    narrow_normal,
    step_embedding,
)
from diffpy_cbldm.model.outline import (
    EXTENT_MIDDLE,
    EXTENT_SPREAD,
    SIZE_MIDDLE,
    SIZE_SPREAD,
    Outlined,
    OutlineSpace,
)
from diffpy_cbldm.settings import CRYSTAL_TYPES, Model


class ConditionEncoderBase(Network):
    """E_c: (6, n) -> (c, n / 4) by 1-D convolutions."""

    def __init__(self, settings: Model):
        super().__init__()
        rows, w = settings.pdf_channels, settings.condition_width
        z, kit = settings.condition_channels, self.kit
        self.encoder = kit.Sequential(
            kit.Conv1d(rows, w, 5, padding=2),
            kit.ConvBlock(w, 1),
            kit.Conv1d(w, w, 4, stride=2, padding=1),
            kit.ConvBlock(w, 1),
            kit.Conv1d(w, w, 4, stride=2, padding=1),
            kit.ConvBlock(w, 1),
            kit.SiLU(),
            kit.Conv1d(w, 2 * z, 3, padding=1),
        )
        self.size = z * settings.pdf_length // 4

    def encode(self, c: Array) -> tuple[Array, Array]:
        """E_c: (B, 6, n) -> mean and log-variance, (B, c, n / 4) each."""
        flat = self.encoder(c)
        half = flat.shape[1] // 2
        # Far from what is learnt: a wild first step cannot overflow exp.
        logvar = array_namespace(flat).clip(flat[:, half:], -12, 4)
        return flat[:, :half], logvar


class PriorBase(Network):
    """q(z_x | c_0): a normal with mean and width from an MLP."""

    def __init__(self, settings: Model, condition: int):
        super().__init__()
        width, self.side = settings.prior_width, settings.latent_size
        self.body = dense(self.kit, condition, width, settings.prior_blocks)
        self.head = self.kit.Linear(width, 2 * self.side**2)

    def forward(self, c_0: Array) -> tuple[Array, Array]:
        """(B, c, n) -> mean and log-variance, (B, 1, 16, 16) each."""
        flat = self.head(self.body(c_0.reshape(len(c_0), -1)))
        return narrow_normal(flat, self.side)


class UNetBase(Network):
    """The learned part of eps_theta(x_t, c_0, t) of Algorithm 3.

    The condition c_0 enters through the embedding of the step and, as the
    conditional prior's mean and log-variance, as two more input channels.
    """

    def __init__(self, settings: Model, condition: int):
        super().__init__()
        w, kit = settings.denoiser_width, self.kit
        e = 4 * w
        self.embed_step = kit.Sequential(
            kit.Linear(e, e), kit.SiLU(), kit.Linear(e, e)
        )
        self.embed_condition = kit.Linear(condition, e)
        self.width = e
        self.stem = kit.Conv2d(3, w, 3, padding=1)
        self.down1 = kit.ConvBlock(w, 2, e)
        self.pool1 = kit.Conv2d(w, w, 3, stride=2, padding=1)
        self.down2 = kit.ConvBlock(w, 2, e)
        self.pool2 = kit.Conv2d(w, 2 * w, 3, stride=2, padding=1)
        self.middle1 = kit.ConvBlock(2 * w, 2, e)
        # At 4 x 4 the whole latent is in reach, at hardly any cost.
        self.attention = kit.SelfAttention(2 * w)
        self.middle2 = kit.ConvBlock(2 * w, 2, e)
        self.lift2 = kit.ConvTranspose2d(2 * w, w, 2, stride=2)
        self.join2 = kit.Conv2d(2 * w, w, 1)
        self.up2 = kit.ConvBlock(w, 2, e)
        self.lift1 = kit.ConvTranspose2d(w, w, 2, stride=2)
        self.join1 = kit.Conv2d(2 * w, w, 1)
        self.up1 = kit.ConvBlock(w, 2, e)
        self.head = kit.Sequential(
            kit.GroupNorm(groups(w), w),
            kit.SiLU(),
            kit.Conv2d(w, 1, 3, padding=1),
        )

    def forward(self, x: Array, t: Array, c_0: Array, hints: Array) -> Array:
        """Predict what the conditional prior does not explain of the noise.

        Parameters
        ----------
        x : (B, 1, s, s) array
            The noised latent, standardised under the conditional prior.
        t : (B,) array
            Steps, 0 to T - 1.
        c_0 : (B, c, n) array
            Latent of the condition.
        hints : (B, 2, s, s) array
            Mean and log-variance of the conditional prior.
        """
        join = array_namespace(x).concat
        # Step and condition shift the features of every block alike.
        e = self.embed_step(step_embedding(t, self.width))
        e = e + self.embed_condition(c_0.reshape(len(c_0), -1))
        a = self.down1(self.stem(join([x, hints], axis=1)), e)
        b = self.down2(self.pool1(a), e)
        m = self.middle1(self.pool2(b), e)
        m = self.middle2(self.attention(m), e)
        h = self.up2(self.join2(join([self.lift2(m), b], axis=1)), e)
        h = self.up1(self.join1(join([self.lift1(h), a], axis=1)), e)
        return self.head(h)


class SitesBase(Network):
    """The template sites, all templates one after another.

    Attributes
    ----------
    slices : dict of str to slice
        Where the sites of each template lie.
    extents : dict of str to slice
        Where the directions of each template lie among all.
    count, directions : int
        The numbers S of all sites, and K of all directions.
    allowed : (8, S) bool array
        Which sites each of `diffpy_cbldm.settings.CRYSTAL_TYPES` may fill.
    """

    allowed: Array

    def __init__(self, table: Table):
        super().__init__()
        heights = {name: table.heights(name) for name in TEMPLATES}
        self.slices = _stretches({n: len(h) for n, h in heights.items()})
        self.extents = _stretches({n: h.shape[1] for n, h in heights.items()})
        self.count = self.slices[TEMPLATES[-1]].stop
        self.directions = self.extents[TEMPLATES[-1]].stop
        allowed = np.zeros((len(CRYSTAL_TYPES), self.count), bool)
        for i, kind in enumerate(CRYSTAL_TYPES):
            allowed[i, self.slices[TEMPLATE_OF[kind]]] = True
        self.keep("allowed", allowed)
        for name, height in heights.items():
            self.keep(f"heights_{name}", height.astype(np.float32))

    def depths(self, extents: Array, kinds: Array | None = None) -> Array:
        """How deep each site lies inside the planes that bound a cluster.

        Parameters
        ----------
        extents : (B, K) array
            How far out the atoms of each cluster lie in the directions of
            each template (`diffpy_cbldm.crystals.lattices.directions`).
        kinds : (B,) array, optional
            Spares what these types (places in `CRYSTAL_TYPES`) do not need:
            there the depth is 0.

        Returns
        -------
        (B, S) array, bond lengths; below zero outside.
        """
        xp = array_namespace(extents)
        like = {"dtype": extents.dtype, "device": device(extents)}
        depths = []
        for name, part in self.extents.items():
            heights = getattr(self, f"heights_{name}")
            rows = xp.arange(len(extents), device=device(extents))
            # (B, S, K) is large: only the rows that will be read.
            if kinds is not None:
                on_template = self.allowed[:, self.slices[name].start]
                (rows,) = xp.nonzero(on_template[kinds])
            room = extents[rows][:, None, part] + PLANE_MARGIN - heights
            depth = xp.zeros((len(extents), len(heights)), **like)
            # The nearest plane bounds: a site is as deep as it lies inside.
            depth[rows] = xp.min(room, axis=2)
            depths.append(depth)
        return xp.concat(depths, axis=1)


class Decoded(NamedTuple):
    """What the decoder of sites emits.

    Attributes
    ----------
    kinds : (B, 8) array
        Logits of `diffpy_cbldm.settings.CRYSTAL_TYPES`.
    sites : (B, S) array
        Logits of the occupancies.
    shape : (B, 3) array
        Strain and relaxation as in `diffpy_cbldm.crystals.cuts.deformed`.
    extents : (B, K) array
        How far out the atoms lie, see `SitesBase.depths`.
    """

    kinds: Array
    sites: Array
    shape: Array
    extents: Array


class DecoderBase(Network):
    """D_x(z_x): structure type and occupancies of the template sites.

    A cluster is bounded by planes, whose distances the network finds as
    plain numbers; the depth of a site inside them, times a sharpness, is
    added to a logit of its own.  So unseen polyhedra come out whole.
    """

    template: Array

    def __init__(self, settings: Model, sites: SitesBase):
        super().__init__()
        kit, width = self.kit, settings.decoder_width
        self.body = dense(
            kit, settings.latent_size**2, width, settings.decoder_blocks
        )
        self.types = kit.Linear(width, len(CRYSTAL_TYPES))
        # Occupancies go by shapes: few combinations of them are needed.
        rank = settings.decoder_rank
        self.sites = kit.Linear(rank or width, sites.count)
        if rank:
            first = kit.Linear(width, rank, bias=False)
            self.sites = kit.Sequential(first, self.sites)
        self.shape = kit.Linear(width, 3)
        self.extents = kit.Linear(width, sites.directions)
        self.sharpness = kit.Linear(width, len(TEMPLATES))
        self.depths = sites.depths
        # Which template, and so which sharpness, each site belongs to.
        counts = [part.stop - part.start for part in sites.slices.values()]
        self.keep("template", np.repeat(np.arange(len(counts)), counts))

    def likeliest(self, z: Array) -> Array:
        """(B, 1, 16, 16) -> places in `CRYSTAL_TYPES`, (B,)."""
        kinds = self.types(self.body(z.reshape(len(z), -1)))
        return array_namespace(z).argmax(kinds, axis=1)

    def forward(self, z: Array, kinds: Array | None = None) -> Decoded:
        """(B, 1, 16, 16) -> what a cluster is.

        `kinds` tells whose sites will be read, see `SitesBase.depths`.
        """
        h = self.body(z.reshape(len(z), -1))
        extents = self.extents(h)
        # Above 0: planes never favour a site outside over one inside.
        sharpness = softplus(self.sharpness(h))
        depths = self.depths(extents, kinds)
        logits = self.sites(h) + depths * sharpness[:, self.template]
        shape = SHAPE_UNIT * self.shape(h)
        return Decoded(self.types(h), logits, shape, extents)


class OutlineDecoderBase(Network):
    """D_x(z_x): crystal, size and outline; blind to the condition."""

    def __init__(self, settings: Model):
        super().__init__()
        kit, width = self.kit, settings.decoder_width
        extents = OutlineSpace().extents
        self.body = dense(
            kit, settings.latent_size**2, width, settings.decoder_blocks
        )
        self.types = kit.Linear(width, len(LARGE_TYPES))
        self.scalars = kit.Linear(width, 3)
        self.extents = kit.Linear(width, extents.stop - extents.start)

    def forward(self, z: Array) -> Outlined:
        """(B, 1, 16, 16) -> what a particle is."""
        h = self.body(z.reshape(len(z), -1))
        s = self.scalars(h)
        scalars = array_namespace(z).stack(
            [
                SIZE_MIDDLE + SIZE_SPREAD * s[:, 0],
                EXTENT_MIDDLE + EXTENT_SPREAD * s[:, 1],
                1 + s[:, 2],
            ],
            axis=1,
        )
        extents = EXTENT_MIDDLE + EXTENT_SPREAD * self.extents(h)
        return Outlined(self.types(h), scalars, extents)


def _stretches(counts: dict[str, int]) -> dict[str, slice]:
    """Where stretches of so many places lie, one after another."""
    stretches, start = {}, 0
    for name, count in counts.items():
        stretches[name] = slice(start, start + count)
        start += count
    return stretches
