"""The start of the paper's network: principal components of Laplacians.

From random weights the decoder takes an hour to learn what an eigenproblem
tells in seconds.  Its first convolution and the encoder's last one see the
whole latent: they begin as the principal components of the Laplacians of all
trained clusters, and training goes on from there.
"""

from __future__ import annotations

import copy
import dataclasses
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from diffpy_cbldm.debye.batches import padded
from diffpy_cbldm.debye.histogram import pair_histogram
from diffpy_cbldm.model.cbldm import CbLDM
from diffpy_cbldm.model.laplacian import (
    BLOCK,
    by_rows,
    halves,
    laplacian_tensor,
)
from diffpy_cbldm.model.paper_networks import WideDecoder, WideEncoder
from training.stream import TYPE_WEIGHTS, Stream

CONDITIONS = 12
"""PDFs of each cluster that tell what conditions change in c_0."""

NOISED = 6
"""Latents of each cluster that the decoder's reading is fitted to."""

LOGVARS = (-9.5, -0.3)
"""Range of the log-variances at the start, inside of `narrow_normal`'s."""


@dataclasses.dataclass(frozen=True)
class Components:
    """Principal components of the Laplacians of some clusters.

    Attributes
    ----------
    scores : (G, K) tensor
        Of each cluster, of unit variance.
    power : (K,) tensor
        Variance of each component, in the squared error of L; falling.
    """

    scores: Tensor
    power: Tensor


class Shares(NamedTuple):
    """How much the clusters of a stream have to say.

    Attributes
    ----------
    index : (G,) array of int
        The geometries that it draws.
    often : (G,) tensor
        How often; in all 1.
    share : (G,) tensor
        Their shares of the loss of Algorithm 2; in all 1.
    weight : float
        What a squared error of L counts there in the mean.
    """

    index: np.ndarray
    often: Tensor
    share: Tensor
    weight: float

    @property
    def weights(self) -> Tensor:
        """What a squared error of L counts, of each cluster, (G,)."""
        return self.weight * self.share / self.often

    def drawn(self, alike: float) -> Tensor:
        """How often, where all clusters have a part of the draws alike."""
        even = torch.full_like(self.often, 1 / len(self.often))
        return self.often.lerp(even, alike)


def shares(stream: Stream) -> Shares:
    """The geometries that a stream draws, and their shares of the loss."""
    index, often, atoms = [], [], []
    for name, weight in TYPE_WEIGHTS.items():
        for number in stream.by_type[name]:
            index.append(number)
            often.append(weight / len(stream.by_type[name]))
            atoms.append(len(stream.table.geometries[number].members))
    drawn = torch.tensor(often)
    # As in Algorithm 2: over the entries of W.
    each = drawn * (BLOCK / torch.tensor(atoms)) ** 2
    total = each.sum()
    return Shares(np.array(index), drawn, each / total, float(total))


def wide_networks(model: CbLDM, stage: str) -> tuple[WideEncoder, WideDecoder]:
    """Encoder and decoder of the paper's own network in patches.

    Raises
    ------
    ValueError
        If the network is another one; it names the stage.
    """
    encoder, decoder = model.structure.encoder, model.structure.decoder
    if isinstance(encoder, WideEncoder) and isinstance(decoder, WideDecoder):
        return encoder, decoder
    raise ValueError(
        f"the stage {stage!r} is for the network of preset 'paper', not "
        f"{model.settings.network!r}: leave its slice out."
    )


def all_laplacians(stream: Stream, index: np.ndarray) -> Tensor:
    """Of geometries of the table, (G, 4, 128, 128)."""
    found = [stream.table.positions(i).astype(np.float32) for i in index]
    xyz, n = map(torch.as_tensor, padded(found))
    return laplacian_tensor(by_rows(xyz, n), n, stream.settings.sigma2)


def components(x: Tensor, share: Tensor, count: int) -> Components:
    """The first components of x, (G, ...), whose rows have shares.

    By the Gram matrix: there are fewer clusters than entries.
    """
    root = share.sqrt()[:, None]
    off = (x - _mean(x, share)).flatten(1) * root
    power, vectors = torch.linalg.eigh((off @ off.mT).double())
    power = power.flip(0)[:count].clamp(min=1e-6)
    vectors = vectors.flip(1)[:, :count]
    # Either sign would do; this one does not hang on the eigensolver.
    sign = vectors.gather(0, vectors.abs().argmax(0, keepdim=True)).sign()
    return Components((vectors * sign).float() / root, power.float())


def _as_drawn(found: Components, share: Tensor) -> Components:
    """Scores of zero mean and unit variance as clusters are drawn."""
    middle = share @ found.scores
    off = found.scores - middle
    power = share @ off.square()
    return Components(off / power.sqrt(), found.power * power)


def _mean(x: Tensor, share: Tensor) -> Tensor:
    return torch.tensordot(share, x, 1)[None]


def _patches(x: Tensor, side: int) -> Tensor:
    """(B, C, H, W) -> (B, places, C side^2): patches as convolutions see."""
    return torch.nn.functional.unfold(x, side, stride=side).mT


def _basis(x: Tensor, share: Tensor, side: int, count: int) -> Tensor:
    """The directions in which patches are largest, (C side^2, count)."""
    total = torch.zeros(())
    for rows, part in zip(x.split(64), share.split(64)):
        p = _patches(rows, side).double()
        total = total + torch.einsum("g,gti,gtj->ij", part.double(), p, p)
    vectors = torch.linalg.eigh(total)[1].flip(1)[:, :count].float()
    return vectors * vectors.sum(0).sign()


@torch.no_grad()
def start_from_components(model: CbLDM, stream: Stream, gamma: float) -> None:
    """Let the structure VAE begin as principal components.

    Parameters
    ----------
    model : CbLDM
        Of the paper's network in patches; changed in place.
    stream : Stream
        Draws the clusters that are trained on.
    gamma : float
        Weight of the squared error of L: it gives the best widths.
    """
    encoder, decoder = wide_networks(model, "structure")
    index, often, share, weight = shares(stream)
    x = all_laplacians(stream, index)
    parts = halves(x)
    size = encoder.side**2
    count = size + model.settings.decoder_rank
    found = components(x, share, min(count, len(x)))
    found = _as_drawn(found, often)
    _start_encoder(encoder, parts, share, found)
    # Reading one component with this width costs as much as telling it.
    cost = 2 * gamma * weight * found.power[:size]
    logvar = -torch.log1p(cost).clamp(-LOGVARS[1], -LOGVARS[0])
    wide = _inverse(torch.tensor(LOGVARS[1]))
    # There may be fewer components than numbers in the latent.
    encoder.width.fill_(wide)
    encoder.width[: len(logvar)] = _inverse(logvar)
    _start_decoder(decoder, -parts, share, found)
    _start_reading(decoder, share, found, logvar)
    # Scores have unit variance: so does the prior before it has learned.
    head = model.structure.prior.head
    head.weight.mul_(0.1)
    head.bias[:size] = 0.0
    head.bias[size:] = wide
    _start_prior(model, stream, index)


def _inverse(logvar: Tensor) -> Tensor:
    """What `narrow_normal` takes for log-variances."""
    return 5 * torch.atanh((logvar + 5) / 5)


def _start_prior(model: CbLDM, stream: Stream, index: np.ndarray) -> None:
    """The prior's first layer as what tells clusters apart in their PDFs.

    That is Fisher's discriminant: directions of c_0 over what the conditions
    of a measurement change along them.
    """
    first = model.structure.prior.body[0]
    rng = np.random.default_rng(0)
    found = [conditions(model, stream, i, rng) for i in index]
    c = torch.stack(found).flatten(2).cpu()
    mean = c.mean(1, keepdim=True)
    apart = (mean - mean.mean(0))[:, 0]
    within = (c - mean).flatten(0, 1)
    powers, axes = torch.linalg.eigh(
        (within.mT @ within / len(within)).double()
    )
    scale = (powers + 1e-6 * powers.max()).sqrt()
    whiten = axes / scale
    between = apart.double() @ whiten
    signal, turn = torch.linalg.eigh(between.mT @ between / len(between))
    signal = signal.clamp(min=1e-6)
    # Each by its share of signal: what is noise in all PDFs is left out.
    told = whiten @ turn * (signal.sqrt() / (signal + 1))
    off = (c - c.mean((0, 1))).flatten(0, 1).double() @ told
    told = told / off.std()
    spread = torch.linalg.qr(torch.randn(len(first.weight), len(told)))[0]
    # Any layer may be narrower than c_0 has numbers, as in tests.
    kept = spread.shape[1]
    gain = (len(first.weight) / kept) ** 0.5
    weight = gain * spread.double() @ told[:, -kept:].mT
    first.weight.copy_(weight)
    first.bias.copy_(-weight @ c.mean((0, 1)).double())


def conditions(
    model: CbLDM,
    stream: Stream,
    number: int,
    rng: np.random.Generator,
    count: int = CONDITIONS,
) -> Tensor:
    """c_0 of a geometry under several conditions, (count, c, n)."""
    own = torch.as_tensor(stream.table.positions(number))[None].float()
    own = own.to(stream.device)
    n = torch.tensor([own.shape[1]], device=stream.device)
    bins = stream.measuring.bins
    hist = pair_histogram(own, n, step=bins.step, bins=bins.count)
    hist, n = hist.repeat(count, 1), n.repeat(count)
    g = stream.measuring.simulate(hist, n, rng)[1]
    return model.c_0(g)


def _start_encoder(
    encoder: WideEncoder, parts: Tensor, share: Tensor, found: Components
) -> None:
    """z_x as the scores, by the components in a basis of patches."""
    conv, kernel = encoder.patches, encoder.mean
    side, size = conv.stride[0], encoder.side**2
    basis = _basis(parts, share, side, conv.out_channels)
    conv.weight.copy_(basis.mT.reshape(conv.weight.shape))
    conv.bias.zero_()
    told = _patches(parts, side) @ basis
    middle = _mean(told, share)
    off = (told - middle).flatten(1) * share.sqrt()[:, None]
    mean = share @ found.scores[:, :size]
    scores = (found.scores[:, :size] - mean) * share.sqrt()[:, None]
    # The least change that gives the scores: all of them, exactly, where
    # there are no more clusters than numbers in their patches.
    gram = (off @ off.mT).double()
    ridge = 1e-6 * gram.diagonal().mean() * torch.eye(len(gram))
    fit = off.mT @ torch.linalg.solve(gram + ridge, scores.double()).float()
    fit = fit.mT.reshape(len(fit.mT), *told.shape[1:])
    places = (fit.shape[0], told.shape[2], encoder.side, encoder.side)
    kernel.weight[: len(fit)] = fit.mT.reshape(places) * encoder.side
    kernel.bias.zero_()
    kernel.bias[: len(fit)] = mean - (fit * middle).sum((1, 2))


def _start_decoder(
    decoder: WideDecoder, w: Tensor, share: Tensor, found: Components
) -> None:
    """W as the mean and the sum of the components."""
    mean = share @ found.scores
    off = found.scores - mean
    # The components are apart from one another: each is told by itself.
    weighted = off * share[:, None] / (share @ off.square())
    middle = _mean(w, share)[0]
    axes = torch.einsum("gk,gchw->kchw", weighted, w - middle)
    decoder.place.copy_(middle - torch.tensordot(mean, axes, 1))
    decoder.images.weight.zero_()
    decoder.images.weight[: len(axes)] = decoder.side * axes
    decoder.images.bias.zero_()


def _start_reading(
    decoder: WideDecoder, share: Tensor, found: Components, logvar: Tensor
) -> None:
    """How much of each component a latent calls for, by least squares.

    What this is made of stays as it was drawn; the last layer is solved for
    latents as uncertain as the encoder's.
    """
    size = len(logvar)
    noise = torch.Generator().manual_seed(0)
    shape = NOISED, len(found.scores), size
    drawn = torch.randn(shape, generator=noise)
    z = found.scores[:, :size] + torch.exp(0.5 * logvar) * drawn
    # There may be fewer components than numbers in the latent.
    z = torch.nn.functional.pad(z, (0, decoder.side**2 - size))
    # All of the start is done where the clusters are, on the CPU.
    body, last = copy.deepcopy(decoder.told[:-1]).cpu(), decoder.told[-1]
    made = body(z.flatten(0, 1))
    made = torch.cat([made, torch.ones(len(made), 1)], 1).double()
    each = share.repeat(NOISED)[:, None].double()
    gram = made.mT @ (each * made)
    gram += 1e-7 * gram.diagonal().mean() * torch.eye(len(gram))
    goal = made.mT @ (each * found.scores.repeat(NOISED, 1))
    solved = torch.linalg.solve(gram, goal).float().mT
    last.weight.zero_()
    last.bias.zero_()
    last.weight[: len(solved)] = solved[:, :-1]
    last.bias[: len(solved)] = solved[:, -1]
