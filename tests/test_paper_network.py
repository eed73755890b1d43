"""The paper's own network, taken apart: errors go where they belong."""

import dataclasses
import math
import types

import numpy as np
import pytest
import torch

from diffpy_cbldm.crystals.table import load_table
from diffpy_cbldm.model.cbldm import CbLDM
from diffpy_cbldm.model.laplacian import (
    DEGREE_SCALE,
    from_blocks,
    laplacian_of,
    laplacian_tensor,
    to_blocks,
)
from diffpy_cbldm.search.by_model import _likeliest
from diffpy_cbldm.settings import PRESETS
from training.evaluation.cases import Case
from training.evaluation.paper_network import (
    WAYS,
    fewer,
    misses,
    neighbours,
    recovered,
    scored,
    seen,
)
from training.report import network
from training.report.curve import falling, joined

SETTINGS = dataclasses.replace(
    PRESETS["paper"],
    condition_width=8,
    encoder_width=8,
    decoder_width=8,
    decoder_blocks=2,
    prior_width=16,
    denoiser_width=8,
)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return CbLDM(SETTINGS).eval()


@pytest.fixture(scope="module")
def one(model):
    xyz = 2.8 * load_table().positions(20).astype(float)
    return seen(model, Case("bcc", xyz, 0.4), 0)


def exact(one):
    return laplacian_tensor(one.xyz, one.lengths, SETTINGS.sigma2)


def test_an_exact_laplacian_has_no_error_and_gives_the_curve(one):
    parts = misses(exact(one), one, SETTINGS.sigma2)
    assert max(parts.values()) < 1e-2
    assert parts["diagonal"] + parts["near"] + parts["far"] == 0
    xyz = recovered(laplacian_of(exact(one)), SETTINGS.sigma2, "ours")
    assert neighbours(xyz, one) < 1e-3
    # All that is wrong is the bond length, which the first peak tells.
    assert abs(one.bond - 2.8) < 0.05 and scored(one, xyz) < 0.2


def test_errors_are_counted_where_they_are(one):
    """One entry of each kind, as large as the loss sees it."""
    n = one.n
    d = torch.cdist(one.xyz[0, :n], one.xyz[0, :n])
    near = (d[0] < 1.1).nonzero()[1, 0]
    far = (d[0] > 1.5).nonzero()[0, 0]
    for name, (i, j) in {
        "diagonal": (3, 3),
        "near": (0, int(near)),
        "far": (0, int(far)),
        "outside": (n + 2, 1),
    }.items():
        full = from_blocks(exact(one))
        full[0, i, j] += 0.25
        parts = misses(to_blocks(full), one, SETTINGS.sigma2)
        for other in ("diagonal", "near", "far", "outside"):
            want = 0.25**2 if other == name else 0.0
            assert parts[other] == pytest.approx(want, abs=1e-4), other
    # Distances follow from W: 0.01 less is 0.17 bond lengths more.
    full = from_blocks(exact(one))
    full[0, :n, :n] += 0.01 * (1 - torch.eye(n))
    apart = misses(to_blocks(full), one, SETTINGS.sigma2)["apart"]
    w = math.exp(-0.5 / SETTINGS.sigma2)
    moved = math.sqrt(-2 * SETTINGS.sigma2 * math.log(w - 0.01)) - 1
    assert apart == pytest.approx(moved, rel=0.05)
    assert DEGREE_SCALE == 64


def test_sites_that_are_missing_leave_the_others_exact(one):
    kept = fewer(one, 0.1)
    assert len(kept) == one.n - round(0.1 * one.n)
    truth = {tuple(x) for x in one.xyz[0, : one.n].double().numpy()}
    assert all(tuple(x) in truth for x in kept)
    assert 0 < scored(one, kept) < 0.5


def test_every_way_to_a_latent_is_decoded(model, one):
    with torch.no_grad():
        latents = {way: draw(model, one) for way, draw in WAYS.items()}
    for z in latents.values():
        assert z.shape == (1, 1, 16, 16) and torch.isfinite(z).all()
    # One seed: what differs is the way.
    assert not torch.equal(latents["skip, derived"], latents["no skip"])
    assert not torch.equal(latents["skip, derived"], latents["skip, printed"])


def row(split, way, n, far, **more):
    return {
        "split": split,
        "way": way,
        "n": n,
        "atoms": n,
        "diagonal": 1.0,
        "near": 2.0,
        "far": far,
        "outside": 0.0,
        "rms_near": 0.1,
        "rms_far": 0.2,
        "apart": 0.3,
        "neighbours": 0.1,
        "rwp": 0.9,
        **more,
    }


def test_tables_of_known_rows():
    rows = [
        row(split, way, n, n / 10)
        for split in ("training", "geometry")
        for way in WAYS
        for n in (70, 170)
    ]
    rows[0]["rwp_paper"] = 0.8
    assert network.ways(rows).splitlines()[2] == (
        "| trained: encoder, which is told the structure | 15.0 | 0.900 "
        "| 0.900 | 0.900 | 0.800 | 100% | 0% |"
    )
    assert "| 7% | 13% | 80% | 0% |" in network.errors(rows).splitlines()[2]
    sizes = network.sizes(rows).splitlines()[2:]
    assert sizes == [
        "| 60 to 149 | 1 | 10.0 | 0.0452 | 0.900 |",
        "| 150 to 256 | 1 | 20.0 | 0.0263 | 0.900 |",
    ]


def test_a_power_law_is_read_off_the_curve():
    seconds = np.arange(40) * 5.0 + 30.0
    spent = seconds - 30.0 + 5.0
    curve = [
        {
            "stage": "prior",
            "step": "9",
            "seconds": str(s),
            "unread": str(900 * t**-0.5),
        }
        for s, t in zip(seconds, spent)
    ]
    # Its time counts where the figure is not told, too.
    curve[7]["unread"] = ""
    text = " ".join(falling(curve).split())
    assert "to the power -0.50" in text
    assert f"fell to {900 / math.sqrt(spent[-1]):.0f};" in text


def test_the_curve_of_weights_that_were_trained_further_is_one():
    """Each run counts its own seconds and steps, and has other stages."""
    spent = np.arange(1, 41) * 5.0

    def run(times, start):
        for number, time in enumerate(times):
            yield {
                "stage": "prior",
                "step": str(number),
                "seconds": str(start + 5.0 * (number + 1)),
                "unread": str(900 * time**-0.5),
            }

    other = {"stage": "denoiser", "step": "7", "unread": ""}
    runs = [*run(spent[:15], 30.0), other | {"seconds": "700"}]
    runs += [*run(spent[15:], 0.0), other | {"seconds": "300"}]
    curve = joined(runs)
    seconds = [float(r["seconds"]) for r in curve]
    assert seconds == sorted(seconds) and seconds[-1] == 1000.0
    assert curve[-1]["step"] == "14" and curve[-2]["step"] == str(24 + 14)
    text = " ".join(falling(curve).split())
    assert "to the power -0.50" in text
    assert f"fell to {900 / math.sqrt(spent[-1]):.0f};" in text


class Reader:
    """A prior that is surest where a peak lies at 1.003 of its grid."""

    def grid(self):
        return np.linspace(0.9, 1.1, 401)

    def to_own(self, array):
        return array

    to_numpy = to_own

    def prior_of(self, g):
        off = round((self.grid()[g.argmax()] - 1.003) * 1000)
        side = (1, 1, 2, 2)
        return np.full(side, float(off)), np.full(side, 0.12 * abs(off))


def test_a_pdf_is_read_where_the_prior_is_surest():
    """The bond length is in doubt by 1 %: readings as sure are averaged."""
    r = np.linspace(2.0, 4.0, 4001)
    peak = np.exp(-0.5 * ((r - 2.8) / 0.02) ** 2)
    # The peak lies at 1.003 in units of 2.8 / 1.003 alone.
    target = types.SimpleNamespace(bond=2.8, curve=(r, peak))
    found = _likeliest(Reader(), target)
    assert [one.shape for one in found] == [(1, 1, 2, 2)] * 4
    mean, surest, shorter, longer = (one.flat[0] for one in found)
    assert surest == 0
    # Log-widths 0.06 a thousandth: one step to either side is as sure.
    assert (mean, {shorter, longer}) == (0, {-0.5, 0.5})


def test_commands_that_repeat_the_training_are_told():
    """Each run goes on from the weights of the last one."""
    first = {
        "seed": 0,
        "slices": ["condition=4", "prior=9000"],
        "changes": ["prior=8701: rate=0.1"],
        "steps": {"condition": 4, "prior": 9000},
    }
    second = {
        "seed": 1,
        "set": ["rate=0.1"],
        "slices": ["prior=50"],
        "steps": {"prior": 50, "denoiser": 7},
    }
    known = second | {"runs_before": [first]}
    assert network.commands(known).splitlines()[2:-1] == [
        "python -m training.train --preset paper \\",
        "    --slice condition=4 \\",
        "    --slice prior=9000",
        "# from prior step 8,701 on with --set rate=0.1",
        "python -m training.train --preset paper \\",
        "    --init runs/paper/paper.safetensors \\",
        "    --out runs/paper-2 --seed 1 \\",
        "    --set rate=0.1 \\",
        "    --slice prior=50",
    ]
    assert network.steps_of(known) == [
        ("condition", 4),
        ("prior", 9050),
        ("denoiser", 7),
    ]
