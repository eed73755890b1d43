"""Algorithm 2 for the conditional prior alone: reading the PDF.

The prior has far more to learn than encoder and decoder: every cluster under
all conditions of a measurement.  A step of Algorithm 2 shows it few PDFs, at
the price of decoding.  Here PDFs are simulated and encoded once, by networks
that do not learn meanwhile, and the prior sees hundreds of them in each step.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from diffpy_cbldm.model.cbldm import CbLDM
from diffpy_cbldm.model.layers import gaussian_kl
from training.principal import (
    all_laplacians,
    conditions,
    shares,
    wide_networks,
)
from training.stream import Stream

FEWEST = 12
"""PDFs of each cluster, at least."""


RENEWED = 10_000
"""Steps after which PDFs are drawn anew: the same are learned by heart."""


class Coded(NamedTuple):
    """PDFs and their clusters, as the networks code them.

    Attributes
    ----------
    c_0 : (B, c, n) tensor
    mean, logvar : (B, 1, s, s) tensors
        The encoder's.
    weight : (B,) tensor
        How much more often the stream draws their clusters than these PDFs
        have them.
    """

    c_0: Tensor
    mean: Tensor
    logvar: Tensor
    weight: Tensor


@dataclasses.dataclass(frozen=True)
class Codes:
    """PDFs of the clusters that are trained on, as the networks code them.

    Attributes
    ----------
    c_0 : (P, c, n) tensor
        Of each PDF.
    mean : (P, 1, s, s) tensor
        The encoder's, of its cluster.
    logvar : (G, 1, s, s) tensor
        The encoder's, of each cluster.
    which : (P,) tensor
        The cluster of each PDF.
    weight : (G,) tensor
        How much more often the stream draws each cluster.
    turn : int
        How often others were drawn before.
    """

    c_0: Tensor
    mean: Tensor
    logvar: Tensor
    which: Tensor
    weight: Tensor
    turn: int = 0

    def some(self, chosen: Tensor) -> Coded:
        """The PDFs of these numbers."""
        own = self.which[chosen]
        return Coded(
            self.c_0[chosen],
            self.mean[chosen],
            self.logvar[own],
            self.weight[own],
        )


@torch.no_grad()
def coded(
    model: CbLDM,
    stream: Stream,
    count: int,
    rng: np.random.Generator,
    turn: int = 0,
    alike: float = 0.0,
) -> Codes:
    """Simulate and encode about `count` PDFs, as often as they are drawn.

    Parameters
    ----------
    model : CbLDM
        Of the paper's network.
    stream : Stream
        Draws clusters of the table alone, as they are.
    count : int
    rng : numpy.random.Generator
        Of the conditions.
    turn : int
        Is kept with them.
    alike : float
        Share of the PDFs that all clusters have alike.

    Returns
    -------
    Codes

    Raises
    ------
    ValueError
        If the network is another one.
    """
    encoder, _ = wide_networks(model, "prior")
    found = shares(stream)
    index, often, shown = found.index, found.often, found.drawn(alike)
    each = [max(FEWEST, round(count * share)) for share in shown.tolist()]
    c_0, means, logvars = [], [], []
    x = all_laplacians(stream, index)
    for number, share, one in zip(index, each, x.to(stream.device)):
        c_0.append(conditions(model, stream, number, rng, share))
        shape = one.new_zeros(1, 3)
        mean, logvar = encoder(one[None], c_0[-1], shape)
        means.append(mean)
        logvars.append(logvar[:1])
    which = torch.arange(len(index)).repeat_interleave(torch.tensor(each))
    return Codes(
        torch.cat(c_0),
        torch.cat(means),
        torch.cat(logvars),
        which.to(stream.device),
        (often / shown).to(stream.device),
        turn,
    )


def reading_loss(
    model: CbLDM, some: Coded, squares: bool = True
) -> tuple[Tensor, dict[str, Tensor]]:
    """The divergence of Algorithm 2; at first, apart for means and widths.

    Where the widths learn along with the means, the few PDFs that are read
    well have the narrowest ones and, with these, nearly all of the gradient.
    So by `squares` the means learn with one width for all, that of their own
    error: the least squares, whose best means are those of the divergence.
    The widths learn with the means as they are.  What is known well gains
    from the divergence itself in the end.

    Parameters
    ----------
    model : CbLDM
    some : Coded
    squares : bool
        Whether the means learn by least squares.

    Returns
    -------
    loss : scalar tensor, nats
    parts : dict of scalar tensors
        ``kl``, the divergence itself; ``unread``, the mean square of what
        the means miss; both as the stream draws clusters.
    """
    mean, logvar = some.mean, some.logvar
    told, width = model.structure.prior(some.c_0)
    unread = (told - mean).square().flatten(1).mean(1)
    held = told.detach() if squares else told
    kl = gaussian_kl(mean, logvar, held, width)
    loss = kl.mean()
    if squares:
        missed = (told - mean).detach().square().mean()
        level = missed.log().expand_as(width)
        loss = loss + gaussian_kl(mean, logvar, told, level).mean()
    weight = some.weight
    parts = {"kl": (weight * kl).mean(), "unread": (weight * unread).mean()}
    return loss, parts
