"""The conditional prior that learns alone, on PDFs that are coded once."""

import copy
import dataclasses

import numpy as np
import pytest
import torch

from diffpy_cbldm.model.cbldm import CbLDM
from diffpy_cbldm.model.layers import gaussian_kl
from diffpy_cbldm.settings import PRESETS
from tests.few_clusters import two_of_each
from training.losses import laplacians
from training.principal import start_from_components
from training.reading import FEWEST, RENEWED, Coded, coded, reading_loss
from training.settings import TRAINING, WORLDS
from training.stream import TYPE_WEIGHTS, Stream
from training.train import run
from training.trainer import Trainer

SMALL = dataclasses.replace(
    PRESETS["paper"],
    condition_width=8,
    encoder_width=16,
    prior_width=64,
    denoiser_width=8,
    decoder_width=8,
    decoder_blocks=1,
    decoder_rank=4,
)


@pytest.fixture(scope="module")
def stream():
    """Of 14 clusters, two of each type."""
    return two_of_each(Stream(SMALL, WORLDS["paper"]))


@pytest.fixture(scope="module")
def model(stream):
    torch.manual_seed(0)
    model = CbLDM(SMALL).eval()
    start_from_components(model, stream, 1000.0)
    # What c_0 adds to a latent must be added for each PDF.
    torch.nn.init.normal_(model.structure.encoder.mix.weight, std=0.1)
    return model


def test_codes_are_those_of_the_networks(model, stream):
    codes = coded(model, stream, 1000, np.random.default_rng(0))
    count = torch.bincount(codes.which)
    # As often as they are drawn; icosahedra seldom, and yet often enough.
    shares = [w / 2 for w in TYPE_WEIGHTS.values() for _ in range(2)]
    want = [max(FEWEST, round(1000 * share)) for share in shares]
    assert count.tolist() == want
    rng = np.random.default_rng(0)
    even = coded(model, stream, 1000, rng, alike=0.5)
    want = [max(FEWEST, round(500 * (s + 1 / len(count)))) for s in shares]
    assert torch.bincount(even.which).tolist() == want
    # Weighted, the same PDFs are as often as the stream draws them.
    told = even.some(torch.arange(len(even.which))).weight
    often = torch.zeros(len(want)).index_add(0, even.which, told)
    assert (often / 1000).tolist() == pytest.approx(shares, abs=0.008)
    some = codes.some(torch.tensor([0, 3, len(codes.which) - 1]))
    batch = stream.batch(64, np.random.default_rng(1))
    x = laplacians(SMALL, batch)
    for c_0, mean, logvar, weight in zip(*some):
        # It is the code of one of the clusters that the stream draws.
        with torch.no_grad():
            found = model.structure.encoder(x, c_0.expand(len(x), -1, -1))
        miss = (found[0] - mean).square().sum((1, 2, 3))
        assert float(miss.min()) < 1e-4 < float(miss.max())
        near = found[1][miss.argmin()]
        assert torch.allclose(near, logvar, atol=1e-4)
        assert weight == 1


def test_the_loss_is_least_squares_and_the_divergence(model, stream):
    """Means learn as if all widths were one; widths from what is missed."""
    codes = coded(model, stream, 60, np.random.default_rng(0))
    some = codes.some(torch.arange(20))
    loss, parts = reading_loss(model, some)
    told, width = model.structure.prior(some.c_0)
    own = gaussian_kl(some.mean, some.logvar, told, width).mean()
    assert float(parts["kl"].detach()) == pytest.approx(own.item(), rel=1e-6)
    square = (told - some.mean).square().mean()
    assert float(parts["unread"].detach()) == pytest.approx(
        square.item(), rel=1e-6
    )

    head = model.structure.prior.head

    def gradient(value):
        return torch.autograd.grad(value, head.weight, retain_graph=True)[0]

    half = len(head.weight) // 2
    level = square.item()
    # Of the means, that of the squares alone; of the widths, the KL's.
    squares = gradient(square * 256 / (2 * level))
    assert torch.allclose(gradient(loss)[:half], squares[:half], rtol=1e-3)
    assert torch.allclose(
        gradient(loss)[half:], gradient(own)[half:], rtol=1e-3, atol=1e-4
    )

    # Or the divergence as it is.
    plain, parts = reading_loss(model, some, squares=False)
    assert plain.item() == parts["kl"].item() == pytest.approx(own.item())
    assert torch.allclose(gradient(plain), gradient(own), rtol=1e-3, atol=1e-4)


def test_figures_are_of_pdfs_as_the_stream_draws_them(model, stream):
    """The loss counts each PDF once, whatever its weight."""
    codes = coded(model, stream, 60, np.random.default_rng(0), alike=0.5)
    some = codes.some(torch.arange(20))
    loss, parts = reading_loss(model, some, squares=False)
    plain, figures = reading_loss(
        model, some._replace(weight=torch.ones(20)), squares=False
    )
    assert loss.item() == plain.item() == figures["kl"].item()
    told = model.structure.prior(some.c_0)[0]
    each = (told - some.mean).square().mean((1, 2, 3))
    want = float((some.weight * each).mean().detach())
    assert parts["unread"].item() == pytest.approx(want, rel=1e-5)
    assert parts["kl"].item() != pytest.approx(figures["kl"].item())


def test_a_prior_learns_to_read(model, stream):
    """The clusters of PDFs that it has not seen."""
    codes = coded(model, stream, 600, np.random.default_rng(0))
    fresh = coded(model, stream, 100, np.random.default_rng(1))
    every = Coded(*fresh.some(torch.arange(len(fresh.which))))
    optimizer = torch.optim.AdamW(model.structure.prior.parameters(), 3e-3)
    draws = torch.Generator().manual_seed(0)
    before = reading_loss(model, every)[1]["unread"].item()
    for _ in range(150):
        chosen = torch.randint(len(codes.which), (64,), generator=draws)
        loss, _ = reading_loss(model, codes.some(chosen))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    after = reading_loss(model, every)[1]
    assert after["unread"].item() < 0.1 * before


def test_the_prior_alone_is_a_stage_that_resumes(model, tmp_path):
    """Its PDFs are made again, and are the same."""
    training = dataclasses.replace(
        TRAINING["paper"], batch=2, prior_batch=8, codes=100, structure_steps=1
    )

    # Of a few clusters, with narrow networks.
    def trainer(name):
        found = Trainer("paper", tmp_path / name, training=training)
        found.model = copy.deepcopy(model)
        two_of_each(found.stream)
        found.averaged = found.model.state_dict()
        found.optimizer = found.make_optimizer()
        return found

    def learned(found, *slices):
        for steps in slices:
            found.go_to("prior")
            list(run(found, 10, every=1, until=steps))
        return found

    whole = learned(trainer("a"), 4)
    kept = {k: v.clone() for k, v in whole.model.state_dict().items()}
    changed = {
        k for k, v in kept.items() if not v.equal(model.state_dict()[k])
    }
    assert changed and all(k.startswith("structure.prior") for k in changed)
    assert whole.steps_of("prior") == 4
    learned(trainer("b"), 2).save()
    again = trainer("b")
    again.load()
    learned(again, 4)
    for name, value in again.model.state_dict().items():
        assert torch.equal(value, kept[name]), name
    once = again.once
    first = once.codes
    assert once.batch(again, np.random.default_rng(0)) and once.codes is first
    again.step = RENEWED
    once.batch(again, np.random.default_rng(0))
    assert once.codes.turn == 1 and len(once.codes.c_0) == len(first.c_0)
    assert not torch.equal(once.codes.c_0, first.c_0)
