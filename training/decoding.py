"""Algorithm 2 for what the decoder makes of a latent, alone.

The images that the decoder adds up are near their best from the start, as
principal components.  How much of each a latent calls for is not: numbers that
are as uncertain as the posterior spoil small clusters, whose latents differ by
little.  A step of Algorithm 2 shows it few latents, at the price of images of
128 x 128.  Here the error of L is told in coordinates of the images, where
clusters are points: the same number, for a tenth of the time.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from diffpy_cbldm.model.cbldm import CbLDM
from diffpy_cbldm.model.laplacian import from_halves
from training.principal import (
    all_laplacians,
    conditions,
    shares,
    wide_networks,
)
from training.settings import Training
from training.stream import Stream


class Points(NamedTuple):
    """Clusters as points in coordinates of the decoder's images.

    Attributes
    ----------
    mean, logvar : (B, 1, s, s) tensors
        The encoder's.
    share : (B, K) tensor
        How much of each image comes nearest to the Laplacian.
    left : (B,) tensor
        The squared error of L there.
    weight : (B,) tensor
        Of squared errors in the loss.
    """

    mean: Tensor
    logvar: Tensor
    share: Tensor
    left: Tensor
    weight: Tensor


@dataclasses.dataclass(frozen=True)
class Known:
    """All clusters that are trained on.

    Attributes
    ----------
    points : Points
        Of G clusters.
    root : (K, E) tensor
        From shares of images to coordinates whose square is the error of L.
    often : (G,) array
        How often they are drawn; in all 1.
    """

    points: Points
    root: Tensor
    often: np.ndarray

    def some(self, rng: np.random.Generator, count: int) -> Drawn:
        """Draw clusters."""
        size = len(self.often)
        chosen = torch.as_tensor(rng.choice(size, count, p=self.often))
        part = Points(*(x[chosen.to(x.device)] for x in self.points))
        return Drawn(part, self)

    def error(self, told: Tensor, points: Points) -> Tensor:
        """The squared error of L by shares of images, (B,)."""
        off = (told - points.share) @ self.root
        return off.square().sum(1) + points.left


class Drawn(NamedTuple):
    """A batch of clusters, and all of them."""

    points: Points
    every: Known


def reading_of(model: CbLDM) -> nn.Sequential:
    """The part of the decoder that learns here.

    Raises
    ------
    ValueError
        If the network is another one.
    """
    return wide_networks(model, "decoder")[1].told


@torch.no_grad()
def known(
    model: CbLDM, stream: Stream, rng: np.random.Generator, alike: float
) -> Known:
    """Encode the clusters that a stream draws, and project them.

    Parameters
    ----------
    model : CbLDM
        Of the paper's network.
    stream : Stream
        Draws clusters of the table alone, as they are.
    rng : numpy.random.Generator
        Of the conditions of one PDF of each.
    alike : float
        Share of the draws that all clusters have alike.
    """
    encoder, decoder = wide_networks(model, "decoder")
    found = shares(stream)
    x = all_laplacians(stream, found.index).to(stream.device)
    coded = [
        encoder(one[None], conditions(model, stream, number, rng, 1))
        for number, one in zip(found.index, x)
    ]
    images = from_halves(decoder.images.weight / decoder.side).flatten(1)
    place = from_halves(decoder.place[None]).flatten(1)
    powers, axes = torch.linalg.eigh((images @ images.mT).double())
    # There may be more images than directions that they span.
    told = powers > 1e-9 * powers[-1]
    powers, axes = powers[told], axes[:, told]
    off = x.flatten(1) - place
    along = (off @ images.mT).double() @ axes
    left = off.square().sum(1).double() - (along.square() / powers).sum(1)
    points = Points(
        torch.cat([mean for mean, _ in coded]),
        torch.cat([logvar for _, logvar in coded]),
        (along / powers @ axes.mT).float(),
        left.clamp(min=0.0).float(),
        found.weights.to(x.device),
    )
    shown = found.drawn(alike).double()
    return Known(
        points, (axes * powers.sqrt()).float(), (shown / shown.sum()).numpy()
    )


def decoding_loss(
    model: CbLDM, drawn: Drawn, training: Training, noise: torch.Generator
) -> tuple[Tensor, dict[str, Tensor]]:
    """L_rec of Algorithm 2, what blocks add to the images left out.

    Parameters
    ----------
    model : CbLDM
    drawn : Drawn
    training : Training
        Has gamma, and how much less certain latents are than the encoder's.
    noise : torch.Generator

    Returns
    -------
    loss : scalar tensor, nats
    parts : dict of scalar tensors
        ``laplacian``, the squared error of L.
    """
    points = drawn.points
    z, width = points.mean.flatten(1), points.logvar.flatten(1) / 2
    # Prior and denoiser err by more than the posterior is wide.
    size = torch.rand(len(z), 1, generator=noise, device=z.device)
    draws = torch.randn(z.shape, generator=noise, device=z.device)
    z = z + training.widest * size * width.exp() * draws
    miss = drawn.every.error(reading_of(model)(z), points)
    loss = training.gamma * (points.weight * miss).mean()
    return loss, {"laplacian": miss.mean()}
