"""The structure: Laplacian VAE with a conditional prior (Algorithm 2).

The encoder reads the Laplacian as a (4, 128, 128) tensor, as the paper does.
The decoder, blind to the condition, departs from the paper: it emits a
structure type and the occupancy of template sites, from which coordinates, W
and L follow exactly.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from diffpy_cbldm.crystals.filling import SHAPE_UNIT
from diffpy_cbldm.crystals.lattices import TEMPLATES
from diffpy_cbldm.crystals.table import Table
from diffpy_cbldm.model.architecture import (
    Decoded,
    DecoderBase,
    OutlineDecoderBase,
    PriorBase,
    SitesBase,
)
from diffpy_cbldm.model.blocks import narrow_normal
from diffpy_cbldm.model.laplacian import BLOCK
from diffpy_cbldm.model.layers import (
    KIT,
    Buffered,
    ConvBlock,
    dense,
    gaussian_kl,
    gaussian_sample,
)
from diffpy_cbldm.model.outline import Outlined, OutlineSpace
from diffpy_cbldm.model.paper_networks import (
    PaperDecoder,
    PaperEncoder,
    WideDecoder,
    WideEncoder,
)
from diffpy_cbldm.settings import Model

SHAPE_WIDTHS = (0.005, 0.005, 0.02)
"""Widths of the normal densities of strain and relaxation in the loss."""

EXTENT_WIDTH = 0.25
"""Width of the Laplace density of extents in the loss, bond lengths."""

TYPE_WEIGHT = 10.0
"""Of the type in the loss: the extents are many, and would drown it."""

SIZE_WIDTH = 0.02
"""Width of the normal density of the size, ln(N) / 3, in the loss."""

OUTLINE_WIDTH = 0.04
"""Width of the Laplace density of extents, in units of the size."""

BETWEEN_WIDTH = 0.3
"""Width of the normal density of ln(1 + layers between two twin planes)."""


class Sites(Buffered, SitesBase, nn.Module):
    """`SitesBase` in PyTorch.

    Attributes
    ----------
    xyz : (S, 3) tensor
        Positions in bond lengths.
    """

    xyz: Tensor

    def __init__(self, table: Table):
        super().__init__(table)
        xyz = np.concatenate([table.sites[n] for n in TEMPLATES])
        # Not among the weights: the table, which they name, holds them.
        self.keep("xyz", xyz)


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


class Prior(PriorBase, nn.Module):
    """`PriorBase` in PyTorch."""

    kit = KIT


class Decoder(Buffered, DecoderBase, nn.Module):
    """`DecoderBase` in PyTorch."""

    kit = KIT

    def __init__(self, settings: Model, sites: Sites):
        super().__init__(settings, sites)
        last = self.sites[-1] if settings.decoder_rank else self.sites
        # At first most sites are empty, as in the end.
        nn.init.constant_(last.bias, -2.0)
        # At first the same for every latent, with planes at 2 bonds.
        nn.init.zeros_(self.shape.weight)
        nn.init.zeros_(self.extents.weight)
        nn.init.constant_(self.extents.bias, 2.0)
        nn.init.zeros_(self.sharpness.weight)
        nn.init.constant_(self.sharpness.bias, 1.0)


class OutlineDecoder(OutlineDecoderBase, nn.Module):
    """`OutlineDecoderBase` in PyTorch."""

    kit = KIT


class StructureVAE(nn.Module):
    """Encoder, conditional prior and decoder of the structure.

    Attributes
    ----------
    decoded : int
        How many structures of a batch the paper's decoder decodes in
        Algorithm 2; 0 for all.
    """

    decoded = 0

    def __init__(self, settings: Model, table: Table, condition: int):
        super().__init__()
        self.sites = Sites(table)
        self.prior = Prior(settings, condition)
        self.encoder: Encoder | PaperEncoder | WideEncoder
        self.decoder: Decoder | OutlineDecoder | PaperDecoder
        if settings.network == "sites":
            self.encoder = Encoder(settings, condition)
            self.decoder = Decoder(settings, self.sites)
        elif settings.network == "outline":
            told = OutlineSpace().count
            self.encoder = Encoder(settings, condition, told)
            self.decoder = OutlineDecoder(settings)
        elif settings.patch:
            self.encoder = WideEncoder(settings, condition)
            self.decoder = WideDecoder(settings)
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
    error of L alone, over the square of the number of atoms in units of
    `BLOCK`.

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
        some = slice(vae.decoded or None)
        off = vae.decoder(z[some]) - x[some]
        miss = off.square().sum((1, 2, 3))
        # Over the entries of W: of the sums, large clusters are nearly all.
        each = miss * (BLOCK / target["filled"][some].sum(1)) ** 2
        parts = {"laplacian": miss.mean(), "kl": kl}
        return gamma * each.mean() + beta * kl, parts
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


def outline_errors(
    decoded: Outlined, target: dict[str, Tensor]
) -> dict[str, Tensor]:
    """Negative log densities of an outline, nats a particle."""
    widths = decoded.scalars.new_tensor(
        [SIZE_WIDTH, OUTLINE_WIDTH, BETWEEN_WIDTH]
    )
    scalars = (decoded.scalars - target["scalars"]) / widths
    # Not a number: this particle has no such plane or direction.
    size, between = scalars[:, 0], scalars[:, 2].nan_to_num()
    extents = (decoded.extents - target["extents"]).nan_to_num()
    apart = extents.abs().sum(1) / OUTLINE_WIDTH + scalars[:, 1].abs()
    return {
        "type": nn.functional.cross_entropy(decoded.kinds, target["type"]),
        "shape": 0.5 * (_robust(size) + between.square()).mean(),
        "extents": apart.mean(),
    }


def _robust(x: Tensor) -> Tensor:
    """x^2 near 0, and 2 |x| - 1 far from it."""
    return torch.where(x.abs() < 1, x.square(), 2 * x.abs() - 1)


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
