"""The start of the paper's network, and the optimiser that goes on."""

import copy
import dataclasses

import adan_pytorch
import numpy as np
import pytest
import torch

from diffpy_cbldm.model.cbldm import CbLDM
from diffpy_cbldm.model.laplacian import from_halves
from diffpy_cbldm.model.paper_networks import FromPatches, ToPatches
from diffpy_cbldm.model.structure import algorithm_2
from diffpy_cbldm.settings import PRESETS
from training.adan import FastAdan, adan
from training.losses import laplacians
from training.principal import (
    all_laplacians,
    components,
    conditions,
    shares,
    start_from_components,
)
from training.settings import WORLDS
from training.stream import Stream

SMALL = dataclasses.replace(
    PRESETS["paper"],
    condition_width=8,
    prior_width=16,
    denoiser_width=8,
    decoder_blocks=1,
    decoder_rank=8,
)


@pytest.fixture(scope="module")
def stream():
    """Of 44 clusters: each can be told apart by far fewer components."""
    found = Stream(SMALL, WORLDS["paper"])
    found.by_type = {
        t: index[:: 1 + len(index) // 7] for t, index in found.by_type.items()
    }
    return found


@pytest.fixture(scope="module")
def known(stream):
    found = shares(stream)
    return all_laplacians(stream, found.index), found.share


def started(stream, width):
    torch.manual_seed(0)
    settings = dataclasses.replace(
        SMALL, encoder_width=width, decoder_width=width
    )
    model = CbLDM(settings).eval()
    start_from_components(model, stream, 0.5)
    return model


@torch.no_grad()
def coded(model, x):
    return model.structure.encoder(x, torch.zeros(len(x), 2, 125))


def test_shares_are_those_of_the_stream(stream, known):
    x, share = known
    assert share.sum() == pytest.approx(1, abs=1e-6)
    assert len(x) == sum(map(len, stream.by_type.values())) > 30
    batch = stream.batch(3, np.random.default_rng(0))
    for one in laplacians(SMALL, batch):
        assert (x - one).square().sum((1, 2, 3)).min() < 1e-4


def test_components_are_those_of_the_covariance(known):
    x, share = known
    found = components(x, share, 5)
    mean = torch.tensordot(share, x, 1)
    off = (x - mean).flatten(1)
    axes = torch.einsum("gk,ge->ke", found.scores * share[:, None], off)
    # Apart from one another, and as strong as they are said to be.
    gram = axes @ axes.mT
    assert torch.allclose(gram.diagonal(), found.power, rtol=1e-3)
    assert (gram - gram.diagonal().diag()).abs().max() < 1e-2
    assert (found.power.diff() <= 0).all()
    square = (share[:, None] * off.square()).sum()
    assert float(components(x, share, len(x)).power.sum()) == pytest.approx(
        float(square), rel=1e-3
    )


def test_the_start_knows_all_clusters_by_their_components(stream, known):
    x, share = known
    model = started(stream, 128)
    mean, logvar = coded(model, x)
    decoder, whole = model.structure.decoder, x.square().sum((1, 2, 3))
    with torch.no_grad():
        miss = (decoder(mean) - x).square().sum((1, 2, 3))
        # The images add up to every cluster, by its components themselves.
        size = decoder.images.in_channels
        told = torch.zeros(len(x), size)
        told[:, : len(x) - 1] = mean.flatten(1)[:, : len(x) - 1]
        image = decoder.images(told[..., None, None] / decoder.side)
        exact = (from_halves(image + decoder.place) - x).square()
    assert float(exact.sum((1, 2, 3)).max()) < 1e-3 * float(whole.mean())
    # What a latent calls for, by layers that have not learned.
    assert float(miss.mean()) < 3e-3 * float(whole.mean())
    # Scores of unit variance, told the more exactly the more they count.
    z = mean.flatten(1)[:, : len(x) - 1]
    often = shares(stream).often
    assert (often @ z).abs().max() < 0.05
    spread = (often[:, None] * z.square()).sum(0)
    assert spread[:10].numpy() == pytest.approx(1, abs=0.05)
    told = logvar.flatten(1)[0, : len(x)]
    assert told[0] < -9 and told[5] < told[20] < told[-1]
    # The prior begins as wide as they are.
    with torch.no_grad():
        prior = model.structure.prior(torch.randn(4, 2, 125))
    assert float(prior[0].abs().max()) < 0.5
    assert float((prior[1] - -0.3).abs().max()) < 0.2


def test_the_prior_begins_with_what_tells_clusters_apart(stream):
    """What clusters differ by, over what conditions change, in its layer."""
    model = started(stream, 16)
    rng = np.random.default_rng(5)
    index = shares(stream).index
    with torch.no_grad():
        c = torch.stack([conditions(model, stream, i, rng) for i in index])
        c = c.flatten(2)
        told = model.structure.prior.body[0](c)

    def apart(x):
        mean = x.mean(1, keepdim=True)
        between = (mean - mean.mean(0)).square().sum()
        return float(x.shape[1] * between / (x - mean).square().sum())

    # These conditions were not those of the start.
    assert apart(told) > 2.5 * apart(c)
    assert float(told.mean((0, 1)).abs().max()) < float(told.std())


def test_products_are_the_convolutions_of_the_library():
    """Kernels as large as their stride, forward and back."""
    torch.manual_seed(0)
    for few, many, side, places in ((2, 5, 8, 3), (5, 7, 4, 1)):
        whole = torch.randn(3, few, side * places, side * places)
        parts = torch.randn(3, many, places, places)
        for layer, x, library in (
            (ToPatches(few, many, side), whole, torch.nn.functional.conv2d),
            (
                FromPatches(many, few, side),
                parts,
                torch.nn.functional.conv_transpose2d,
            ),
        ):
            there = library(x, layer.weight, layer.bias, stride=side)
            assert torch.allclose(layer(x), there, atol=1e-5)
            weight = layer.weight
            ours, theirs = (
                torch.autograd.grad(y.square().sum(), weight)[0]
                for y in (layer(x), there)
            )
            assert torch.allclose(ours, theirs, rtol=1e-4, atol=1e-3)


def test_the_decoder_tells_what_the_latent_has_no_number_for(stream, known):
    """By least squares: the other components, from the first sixteen."""
    x, share = known
    every = components(x, share, len(x)).power

    def miss(rank):
        torch.manual_seed(0)
        settings = dataclasses.replace(
            SMALL, latent_size=4, patch=32, decoder_rank=rank
        )
        settings = dataclasses.replace(settings, encoder_width=64)
        model = CbLDM(settings).eval()
        start_from_components(model, stream, 1e4)
        mean, _ = coded(model, x)
        with torch.no_grad():
            off = model.structure.decoder(mean) - x
        return float((share * off.square().sum((1, 2, 3))).sum())

    left = float(every[16:].sum())
    for rank in (1, 8, 20):
        best = float(every[16 + rank :].sum())
        assert 0.99 * best < miss(rank) < best + 0.2 * left


def test_part_of_a_batch_is_decoded(stream):
    model = started(stream, 16)
    batch = stream.batch(6, np.random.default_rng(1))
    x, c_0 = laplacians(SMALL, batch), model.c_0(batch.g)

    def parts(decoded, rows=slice(None)):
        noise = torch.Generator().manual_seed(0)
        target = {k: v[rows] for k, v in batch.target.items()}
        model.structure.decoded = decoded
        with torch.no_grad():
            given = x[rows], c_0[rows], target, noise
            return algorithm_2(model.structure, *given)[1]

    whole, part, two = parts(0), parts(2), parts(0, slice(2))
    # The divergence is of all, the error of L of those that are decoded.
    assert float(part["kl"]) == pytest.approx(float(whole["kl"]), rel=1e-5)
    assert float(part["laplacian"]) == pytest.approx(
        float(two["laplacian"]), rel=1e-4
    )
    assert float(part["laplacian"]) != float(whole["laplacian"])


def test_adan_goes_the_steps_of_the_package():
    draw = torch.Generator().manual_seed(0)
    start = [torch.randn(5, 3, 2, generator=draw), torch.randn(7)]
    words = {"lr": 0.01, "betas": (0.02, 0.08, 0.01), "weight_decay": 0.1}
    ours = [p.clone().requires_grad_() for p in start]
    theirs = [p.clone().requires_grad_() for p in start]
    pair = FastAdan(ours, **words), adan_pytorch.Adan(theirs, **words)
    for _ in range(8):
        for a, b in zip(ours, theirs):
            a.grad = torch.randn(a.shape, generator=draw) + 0.3
            b.grad = a.grad.clone()
        for optimizer in pair:
            optimizer.step()
        for a, b in zip(ours, theirs):
            assert torch.allclose(a, b, rtol=1e-3, atol=1e-4)
    assert type(adan(ours, **words)) is FastAdan
    elsewhere = [torch.zeros(3, device="meta", requires_grad=True)]
    assert type(adan(elsewhere, **words)) is adan_pytorch.Adan
    # One goes on from the state of the other.
    pair[0].load_state_dict(copy.deepcopy(pair[1].state_dict()))
    ours[0].grad = theirs[0].grad = torch.ones(5, 3, 2)
    ours[1].grad = theirs[1].grad = None
    for optimizer in pair:
        optimizer.step()
    assert torch.allclose(ours[0], theirs[0], rtol=1e-3, atol=1e-4)
