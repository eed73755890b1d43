"""The decoder's reading of a latent, which learns alone."""

import copy
import dataclasses

import numpy as np
import pytest
import torch

from diffpy_cbldm.model.cbldm import CbLDM
from diffpy_cbldm.model.laplacian import from_halves
from diffpy_cbldm.model.paper_networks import OwnUnits
from diffpy_cbldm.settings import PRESETS
from tests.few_clusters import two_of_each
from training.decoding import decoding_loss, known, reading_of
from training.losses import STAGES
from training.principal import (
    all_laplacians,
    shares,
    start_from_components,
)
from training.settings import TRAINING, WORLDS
from training.stream import Stream
from training.train import run
from training.trainer import Trainer

SMALL = dataclasses.replace(
    PRESETS["paper"],
    condition_width=8,
    encoder_width=64,
    prior_width=16,
    denoiser_width=8,
    decoder_width=8,
    decoder_blocks=1,
    decoder_rank=20,
    latent_size=4,
    patch=32,
)

EXACT = dataclasses.replace(TRAINING["paper"], widest=0.0)


@pytest.fixture(scope="module")
def stream():
    """Of 14 clusters, two of each type."""
    return two_of_each(Stream(SMALL, WORLDS["paper"]))


@pytest.fixture(scope="module")
def model(stream):
    torch.manual_seed(0)
    model = CbLDM(SMALL).eval()
    start_from_components(model, stream, 1000.0)
    return model


@pytest.fixture(scope="module")
def every(model, stream):
    return known(model, stream, np.random.default_rng(0), 0.5)


def test_the_error_is_that_of_the_decoded_laplacian(model, stream, every):
    """In coordinates of the images, whatever they are asked for."""
    x = all_laplacians(stream, shares(stream).index)
    z = every.points.mean + 0.3 * torch.randn(
        every.points.mean.shape, generator=torch.Generator().manual_seed(0)
    )
    with torch.no_grad():
        there = (model.structure.decoder(z) - x).square().sum((1, 2, 3))
        told = reading_of(model)(z.flatten(1))
    here = every.error(told, every.points)
    assert float(there.min()) > 1
    assert here.tolist() == pytest.approx(there.tolist(), rel=1e-3)


@torch.no_grad()
def test_no_shares_of_images_are_better(model, stream, every):
    """What is left is left by the images themselves, whatever is told."""
    x = all_laplacians(stream, shares(stream).index)
    decoder, best = model.structure.decoder, every.points.share

    def missed(told):
        image = decoder.images(told[..., None, None] / decoder.side)
        off = from_halves(image + decoder.place) - x
        return off.square().sum((1, 2, 3))

    left = every.points.left
    assert missed(best).tolist() == pytest.approx(
        left.tolist(), rel=1e-3, abs=0.02
    )
    noise = torch.Generator().manual_seed(0)
    for size in (0.01, 0.1):
        other = best + size * torch.randn(best.shape, generator=noise)
        assert (missed(other) > left).all()


def test_clusters_are_drawn_as_the_stream_has_them_and_alike(stream, every):
    count = len(every.often)
    plain = shares(stream).often.double().numpy()
    assert every.often == pytest.approx((plain + 1 / count) / 2, abs=1e-6)
    drawn = every.some(np.random.default_rng(0), 4000).points
    for name, value in every.points._asdict().items():
        assert getattr(drawn, name).shape == (4000, *value.shape[1:])
    # Each has a weight of its own number of atoms.
    weights = torch.unique(every.points.weight)
    for weight in weights:
        want = every.often[(every.points.weight == weight).numpy()].sum()
        found = (drawn.weight == weight).float().mean()
        assert float(found) == pytest.approx(want, abs=0.04)


def test_the_loss_is_that_of_algorithm_2(model, every):
    """Over the square of the atoms; noise as wide as is asked for."""
    drawn = every.some(np.random.default_rng(0), 30)
    draws = torch.Generator().manual_seed(0)
    with torch.no_grad():
        loss, parts = decoding_loss(model, drawn, EXACT, draws)
        told = reading_of(model)(drawn.points.mean.flatten(1))
        error = every.error(told, drawn.points)
        assert float(parts["laplacian"]) == pytest.approx(float(error.mean()))
        each = EXACT.gamma * drawn.points.weight * error
        assert float(loss) == pytest.approx(float(each.mean()), rel=1e-5)
        wide = [
            float(decoding_loss(model, drawn, one, draws)[0])
            for size in (1.0, 4.0)
            for one in [dataclasses.replace(EXACT, widest=size)]
        ]
    assert float(loss) < wide[0] < wide[1]


def test_a_latent_in_its_own_units_has_size_one():
    z = torch.randn(5, 16, generator=torch.Generator().manual_seed(0))
    told = OwnUnits()(z)
    assert told.shape == (5, 17)
    size = z.square().mean(1).sqrt()
    assert told[:, -1].exp().tolist() == pytest.approx(size.tolist(), rel=1e-2)
    assert torch.allclose(
        OwnUnits()(3 * z)[:, :-1], told[:, :-1], rtol=1e-3, atol=1e-4
    )
    # Nothing is blown up: of zeros it is zero.
    assert (OwnUnits()(torch.zeros(1, 16))[:, :-1] == 0).all()


def trainer(model, folder, **words):
    training = dataclasses.replace(
        TRAINING["paper"], batch=14, validate_every=100, **words
    )
    found = Trainer("paper", folder, training=training)
    found.model = copy.deepcopy(model)
    two_of_each(found.stream)
    found.averaged = found._copy()
    found.go_to("decoder")
    return found


def test_the_decoder_learns_to_see_through_noise(model, stream, tmp_path):
    """Latents of clusters that it knows, drawn anew."""
    found = trainer(
        model, tmp_path, schedule="cosine", decoder_steps=300, rate=0.003
    )
    rows = list(run(found, 10, every=300, until=300))
    assert STAGES[found.stage] == "decoder" and rows[-1]["step"] == 299
    index = shares(stream).index
    x = all_laplacians(stream, index)
    every = known(model, stream, np.random.default_rng(0), 0.0)
    noise = torch.Generator().manual_seed(1)
    z = torch.randn(every.points.mean.shape, generator=noise)
    z = every.points.mean + torch.exp(0.5 * every.points.logvar) * z
    errors = []
    for one in (model, found.averaged_model()):
        with torch.no_grad():
            off = (one.structure.decoder(z) - x).square().sum((1, 2, 3))
        errors.append(float((off * every.points.weight).mean()))
    assert errors[1] < 0.5 * errors[0]
    # Nothing else has changed.
    for name, value in found.model.state_dict().items():
        same = torch.equal(value, model.state_dict()[name])
        assert same != name.startswith("structure.decoder.told."), name


def test_the_stage_goes_on_along_the_same_curve(model, tmp_path):
    whole = trainer(model, tmp_path / "a")
    list(run(whole, 10, every=1, until=4))
    part = trainer(model, tmp_path / "b")
    list(run(part, 10, every=1, until=2))
    part.save()
    again = trainer(model, tmp_path / "b")
    again.load()
    list(run(again, 10, every=1, until=4))
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, again.model.state_dict()[name]), name
    assert again.validate() == whole.validate()


def test_other_networks_have_no_such_decoder():
    with pytest.raises(ValueError, match="'paper', not 'sites'"):
        reading_of(CbLDM(PRESETS["tiny"]))
