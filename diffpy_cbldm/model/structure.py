"""The structure: Laplacian VAE with a conditional prior (Algorithm 2).

The encoder reads the Laplacian as a (4, 128, 128) tensor, as the paper does.
The decoder, blind to the condition, departs from the paper: it emits a
structure type and the occupancy of template sites, from which coordinates, W
and L follow exactly.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from diffpy_cbldm.crystals.filling import SHAPE_UNIT
from diffpy_cbldm.crystals.lattices import PLANE_MARGIN, TEMPLATES
from diffpy_cbldm.crystals.table import TEMPLATE_OF, Table
from diffpy_cbldm.model.layers import (
    ConvBlock,
    dense,
    gaussian_kl,
    gaussian_sample,
    narrow_normal,
)
from diffpy_cbldm.model.outline import (
    TYPE_WEIGHT,
    OutlineDecoder,
    OutlineSpace,
    outline_errors,
)
from diffpy_cbldm.model.paper_networks import (
    PaperDecoder,
    PaperEncoder,
    PatchDecoder,
    PatchEncoder,
)
from diffpy_cbldm.settings import CRYSTAL_TYPES, Model

SHAPE_WIDTHS = (0.005, 0.005, 0.02)
"""Widths of the normal densities of strain and relaxation in the loss."""

EXTENT_WIDTH = 0.25
"""Width of the Laplace density of extents in the loss, bond lengths."""


class Sites(nn.Module):
    """The template sites as tensors, all templates one after another.

    Attributes
    ----------
    xyz : (S, 3) tensor
        Positions in bond lengths.
    slices : dict of str to slice
        Where the sites of each template lie.
    allowed : (8, S) bool tensor
        Which sites each of `diffpy_cbldm.settings.CRYSTAL_TYPES` may fill.
    extents : dict of str to slice
        Where the directions of each template lie among all.
    """

    xyz: Tensor
    allowed: Tensor

    def __init__(self, table: Table):
        super().__init__()
        self.slices: dict[str, slice] = {}
        start = 0
        for name in TEMPLATES:
            end = start + len(table.sites[name])
            self.slices[name] = slice(start, end)
            start = end
        xyz = np.concatenate([table.sites[n] for n in TEMPLATES])
        allowed = torch.zeros(len(CRYSTAL_TYPES), start, dtype=torch.bool)
        for i, kind in enumerate(CRYSTAL_TYPES):
            allowed[i, self.slices[TEMPLATE_OF[kind]]] = True
        # Not among the weights: the table, which they name, holds them.
        self.register_buffer("xyz", torch.as_tensor(xyz), persistent=False)
        self.register_buffer("allowed", allowed, persistent=False)
        self.count = start
        self.extents: dict[str, slice] = {}
        start = 0
        for name in TEMPLATES:
            heights = table.heights(name)
            self.register_buffer(
                f"heights_{name}",
                torch.as_tensor(heights, dtype=torch.float32),
                persistent=False,
            )
            self.extents[name] = slice(start, start + heights.shape[1])
            start += heights.shape[1]
        self.directions = start

    def depths(self, extents: Tensor, kinds: Tensor | None = None) -> Tensor:
        """How deep each site lies inside the planes that bound a cluster.

        Parameters
        ----------
        extents : (B, K) tensor
            How far out the atoms of each cluster lie in the directions of
            each template (`diffpy_cbldm.crystals.lattices.directions`).
        kinds : (B,) tensor, optional
            Spares what these types (places in `CRYSTAL_TYPES`) do not need:
            there the depth is 0.

        Returns
        -------
        (B, S) tensor, bond lengths; below zero outside.
        """
        depths = []
        for name, part in self.extents.items():
            heights = getattr(self, f"heights_{name}")
            rows = torch.arange(len(extents), device=extents.device)
            # (B, S, K) is large: only the rows that the loss will read.
            if kinds is not None:
                on_template = self.allowed[:, self.slices[name].start]
                rows = on_template[kinds].nonzero()[:, 0]
            room = extents[rows, None, part] + PLANE_MARGIN - heights
            depth = extents.new_zeros(len(extents), len(heights))
            # The nearest plane bounds: a site is as deep as it lies inside.
            depths.append(depth.index_copy(0, rows, room.min(2).values))
        return torch.cat(depths, 1)


class Encoder(nn.Module):
    """E_x(x, c_0): (4, 128, 128) -> mean, log-variance of (1, 16, 16)."""

    def __init__(self, settings: Model, condition: int, told: int = 3):
        super().__init__()
        w, s = settings.encoder_width, settings.latent_size
        self.side = s
        # Of the order of one, but strain and relaxation.
        self.unit = SHAPE_UNIT if settings.network == "sites" else 1.0
        # Used in training alone: patches of 8 x 8 entries keep it cheap.
        self.body = nn.Sequential(
            nn.Conv2d(4, w, 8, stride=8),
            ConvBlock(w, 2),
            nn.SiLU(),
            nn.Conv2d(w, 4, 1),
        )
        self.mix = dense(4 * s * s + condition, settings.prior_width, 1)
        self.head = nn.Linear(settings.prior_width, 2 * s * s)
        # W is too wide to show strain and relaxation: they are given, too;
        # and of a large particle what its landmarks do not show.
        self.shape = nn.Linear(told, 4 * s * s, bias=False)
        nn.init.zeros_(self.shape.weight)

    def forward(
        self, x: Tensor, c_0: Tensor, shape: Tensor
    ) -> tuple[Tensor, Tensor]:
        """(B, 4, 128, 128), (B, c, n), (B, 3) -> two (B, 1, 16, 16).

        The last is of another length for networks that are told more.
        """
        image = self.body(x).flatten(1) + self.shape(shape / self.unit)
        flat = torch.cat([image, c_0.flatten(1)], 1)
        return narrow_normal(self.head(self.mix(flat)), self.side)


class Prior(nn.Module):
    """q(z_x | c_0): a normal with mean and width from an MLP."""

    def __init__(self, settings: Model, condition: int):
        super().__init__()
        width, self.side = settings.prior_width, settings.latent_size
        self.body = dense(condition, width, settings.prior_blocks)
        self.head = nn.Linear(width, 2 * self.side**2)

    def forward(self, c_0: Tensor) -> tuple[Tensor, Tensor]:
        """(B, c, n) -> mean and log-variance, (B, 1, 16, 16) each."""
        flat = self.head(self.body(c_0.flatten(1)))
        return narrow_normal(flat, self.side)


class Decoded(NamedTuple):
    """What the decoder of sites emits.

    Attributes
    ----------
    kinds : (B, 8) tensor
        Logits of `diffpy_cbldm.settings.CRYSTAL_TYPES`.
    sites : (B, S) tensor
        Logits of the occupancies.
    shape : (B, 3) tensor
        Strain and relaxation as in `diffpy_cbldm.crystals.cuts.deformed`.
    extents : (B, K) tensor
        How far out the atoms lie, see `Sites.depths`.
    """

    kinds: Tensor
    sites: Tensor
    shape: Tensor
    extents: Tensor


class Decoder(nn.Module):
    """D_x(z_x): structure type and occupancies of the template sites.

    A cluster is bounded by planes, whose distances the network finds as
    plain numbers; the depth of a site inside them, times a sharpness, is
    added to a logit of its own.  So unseen polyhedra come out whole.
    """

    template: Tensor

    def __init__(self, settings: Model, sites: Sites):
        super().__init__()
        width = settings.decoder_width
        self.body = dense(
            settings.latent_size**2, width, settings.decoder_blocks
        )
        self.types = nn.Linear(width, len(CRYSTAL_TYPES))
        # Occupancies go by shapes: few combinations of them are needed.
        rank = settings.decoder_rank
        last = nn.Linear(rank or width, sites.count)
        # At first most sites are empty, as in the end.
        nn.init.constant_(last.bias, -2.0)
        self.sites: nn.Module = last
        if rank:
            first = nn.Linear(width, rank, bias=False)
            self.sites = nn.Sequential(first, last)
        self.shape = nn.Linear(width, 3)
        self.extents = nn.Linear(width, sites.directions)
        self.sharpness = nn.Linear(width, len(TEMPLATES))
        # At first the same for every latent, with planes at 2 bonds.
        nn.init.zeros_(self.shape.weight)
        nn.init.zeros_(self.extents.weight)
        nn.init.constant_(self.extents.bias, 2.0)
        nn.init.zeros_(self.sharpness.weight)
        nn.init.constant_(self.sharpness.bias, 1.0)
        self.depths = sites.depths
        # Which template, and so which sharpness, each site belongs to.
        counts = [part.stop - part.start for part in sites.slices.values()]
        template = torch.repeat_interleave(torch.tensor(counts))
        self.register_buffer("template", template, persistent=False)

    def likeliest(self, z: Tensor) -> Tensor:
        """(B, 1, 16, 16) -> places in `CRYSTAL_TYPES`, (B,)."""
        return self.types(self.body(z.flatten(1))).argmax(1)

    def forward(self, z: Tensor, kinds: Tensor | None = None) -> Decoded:
        """(B, 1, 16, 16) -> what a cluster is.

        `kinds` tells whose sites will be read, see `Sites.depths`.
        """
        h = self.body(z.flatten(1))
        extents = self.extents(h)
        # Above 0: planes never favour a site outside over one inside.
        sharpness = nn.functional.softplus(self.sharpness(h))
        depths = self.depths(extents, kinds)
        logits = self.sites(h) + depths * sharpness[:, self.template]
        shape = SHAPE_UNIT * self.shape(h)
        return Decoded(self.types(h), logits, shape, extents)


class StructureVAE(nn.Module):
    """Encoder, conditional prior and decoder of the structure."""

    def __init__(self, settings: Model, table: Table, condition: int):
        super().__init__()
        self.sites = Sites(table)
        self.prior = Prior(settings, condition)
        self.encoder: Encoder | PaperEncoder
        self.decoder: Decoder | OutlineDecoder | PaperDecoder
        if settings.network == "sites":
            self.encoder = Encoder(settings, condition)
            self.decoder = Decoder(settings, self.sites)
        elif settings.network == "outline":
            told = OutlineSpace().count
            self.encoder = Encoder(settings, condition, told)
            self.decoder = OutlineDecoder(settings)
        elif settings.patch:
            self.encoder = PatchEncoder(settings, condition)
            self.decoder = PatchDecoder(settings)
        else:
            self.encoder = PaperEncoder(settings, condition)
            self.decoder = PaperDecoder(settings)


def algorithm_2(
    vae: StructureVAE,
    x: Tensor,
    c_0: Tensor,
    target: dict[str, Tensor],
    generator: torch.Generator | None = None,
    beta: float = 1.0,
    gamma: float = 1.0,
    sigma2: float = Model.sigma2,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Algorithm 2: loss of the compressive VAE for the structure.

    L_rec(x, D_x(E_x(x, c_0))) + beta * KL(p(z_x | x) || q(z_x | c_0)).  With
    a decoder of occupancies, L_rec is their cross-entropy (of the type, and
    summed over the sites of the type's template) plus gamma times the error
    of the soft Laplacian; with that of outlines, the negative log densities
    of `outline_errors`; with the paper's decoder, gamma times the squared
    error of L alone.

    Parameters
    ----------
    vae : StructureVAE
        The networks.
    x : (B, 4, 128, 128) tensor
        From `laplacian_tensor`.
    c_0 : (B, c, n) tensor
        Latent of the condition.
    target : dict
        ``type`` (B,) index of `CRYSTAL_TYPES`; ``filled`` (B, S) the
        occupancies, 0 or 1; ``shape`` (B, 3) strain and relaxation;
        ``extents`` (B, K) how far out the atoms lie, NaN for other
        templates.
    generator : torch.Generator, optional
        Source of the noise.
    beta, gamma : float
        Weights of the divergence and of the Laplacian error.
    sigma2 : float
        sigma^2 of the kernel, bond lengths squared.

    Returns
    -------
    loss : scalar tensor, nats per structure
    parts : dict of scalar tensors
        ``sites``, ``type``, ``shape``, ``extents``, ``laplacian``, ``kl``.
    """
    mean, logvar = vae.encoder(x, c_0, target["shape"])
    z = gaussian_sample(mean, logvar, generator)
    prior = vae.prior(c_0)
    kl = gaussian_kl(mean, logvar, *prior).mean()
    if isinstance(vae.decoder, PaperDecoder):
        # The squared error of L, summed: a normal density of unit width.
        miss = (vae.decoder(z) - x).square().sum((1, 2, 3)).mean()
        parts = {"laplacian": miss, "kl": kl}
        return gamma * miss + beta * kl, parts
    if isinstance(vae.decoder, OutlineDecoder):
        # What the PDF alone tells is decoded as well: the hybrid objective
        # of Sohn et al. (NeurIPS 2015), which learns in far fewer steps.
        guess = gaussian_sample(prior[0], prior[1], generator)
        two = [outline_errors(vae.decoder(x), target) for x in (z, guess)]
        loss = beta * kl
        for parts in two:
            loss = loss + TYPE_WEIGHT * parts["type"]
            loss = loss + parts["shape"] + parts["extents"]
        alone = {f"prior_{name}": value for name, value in two[1].items()}
        return loss, {**two[0], **alone, "kl": kl}
    decoded = vae.decoder(z, target["type"])
    parts = reconstruction(vae.sites, decoded.kinds, decoded.sites, target)
    parts |= shape_errors(decoded, target)
    parts["laplacian"] = soft_laplacian_error(
        vae.sites, decoded.sites, target, sigma2, generator
    )
    parts["kl"] = kl
    loss = parts["sites"] + parts["type"] + parts["shape"] + parts["extents"]
    return loss + gamma * parts["laplacian"] + beta * kl, parts


def reconstruction(
    sites: Sites,
    type_logits: Tensor,
    site_logits: Tensor,
    target: dict[str, Tensor],
) -> dict[str, Tensor]:
    """Cross-entropies of the type and of the sites that it may fill."""
    entropy = nn.functional.binary_cross_entropy_with_logits(
        site_logits, target["filled"], reduction="none"
    )
    # The type decides the template: the sites of others are not read.
    mask = sites.allowed[target["type"]]
    return {
        "sites": (entropy * mask).sum(1).mean(),
        "type": nn.functional.cross_entropy(type_logits, target["type"]),
    }


def shape_errors(
    decoded: Decoded, target: dict[str, Tensor]
) -> dict[str, Tensor]:
    """Negative log densities of strain and relaxation, and of extents."""
    widths = decoded.shape.new_tensor(SHAPE_WIDTHS)
    miss = (decoded.shape - target["shape"]) / widths
    extents = target["extents"]
    # The directions of other templates have no extent that could be missed.
    known = torch.where(extents.isnan(), decoded.extents.detach(), extents)
    apart = (decoded.extents - known).abs() / EXTENT_WIDTH
    return {
        "shape": 0.5 * miss.square().sum(1).mean(),
        "extents": apart.sum(1).mean(),
    }


def soft_laplacian_error(
    sites: Sites,
    site_logits: Tensor,
    target: dict[str, Tensor],
    sigma2: float,
    generator: torch.Generator | None = None,
    pick: int = 96,
) -> Tensor:
    """Squared error of W_ij = p_i p_j exp(-d_ij^2 / 2 sigma^2), Eq. (1).

    All pairs of a template are too many, so that the sum over pairs is
    estimated from `pick` sites a structure, drawn from those that are
    filled or doubtful; it is given per atom.
    """
    mask = sites.allowed[target["type"]]
    filled = target["filled"]
    p = torch.sigmoid(site_logits) * mask
    # A little for every site, so that `pick` of them can always be drawn.
    weight = torch.maximum(p.detach(), filled) + 1e-3 * mask
    index = torch.multinomial(weight, pick, generator=generator)
    xyz = sites.xyz[index]
    kernel = torch.exp(-torch.cdist(xyz, xyz).square() / (2 * sigma2))
    p, filled = p.gather(1, index), filled.gather(1, index)
    got = p[:, :, None] * p[:, None, :] * kernel
    want = filled[:, :, None] * filled[:, None, :] * kernel
    return (got - want).square().sum((1, 2)).mean() / pick
