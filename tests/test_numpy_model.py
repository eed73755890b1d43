"""The model in NumPy: the layers, networks and noise are PyTorch's."""

import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from diffpy_cbldm.errors import CbldmError
from diffpy_cbldm.model import numpy_layers
from diffpy_cbldm.model.cbldm import CbLDM
from diffpy_cbldm.model.noise import SeededNoise, _mix
from diffpy_cbldm.model.numpy_networks import NumpyCbLDM
from diffpy_cbldm.model.weights import (
    TRAINING_ONLY,
    load_sampler,
    load_weights,
    read_arrays,
    save_weights,
)
from diffpy_cbldm.settings import PRESETS
from diffpy_cbldm.threads import one_thread

NARROW = {
    "sites": PRESETS["tiny"],
    "rank": dataclasses.replace(PRESETS["tiny"], decoder_rank=8),
    "outline": dataclasses.replace(
        PRESETS["large"],
        condition_width=8,
        prior_width=32,
        decoder_width=32,
        denoiser_width=12,
    ),
}


@pytest.fixture(autouse=True)
def one():
    """The networks are small: threads would wait for one another."""
    with one_thread():
        yield


def draw(*shape, seed=0):
    """Random numbers as an array and as a tensor."""
    array = np.random.default_rng(seed).normal(size=shape).astype("f4")
    return array, torch.from_numpy(array)


def apart(array, tensor):
    """The largest difference; both are of float32 and of one shape."""
    assert array.dtype == np.float32 and array.shape == tuple(tensor.shape)
    return np.abs(array - tensor.detach().numpy()).max()


@pytest.mark.parametrize("seed", [0, 7, 2**31 + 5, 2**62])
@pytest.mark.parametrize("shape", [(16,), (17,), (1, 16, 16), (3, 25), (640,)])
def test_noise_is_that_of_pytorch(seed, shape):
    """Several draws of each stream, whole blocks of 16 and a rest."""
    places = [0, 3, 2**31]
    noise = SeededNoise(seed, places, np.zeros(shape, np.float32))
    streams = [torch.Generator().manual_seed(_mix(seed, i)) for i in places]
    for _ in range(3):
        rows = [torch.randn(shape, generator=g) for g in streams]
        assert apart(noise(), torch.stack(rows)) < 1e-6


def test_noise_is_of_the_kind_that_is_asked_for():
    like = torch.zeros(4, 8, dtype=torch.float64)
    tensor = SeededNoise(1, [5], like)()
    array = SeededNoise(1, [5], like.float().numpy())()
    assert tensor.dtype == torch.float64 and array.dtype == np.float32
    assert np.array_equal(tensor.numpy(), array)
    with pytest.raises(ValueError, match="16 or more"):
        SeededNoise(1, [5], np.zeros(15, np.float32))


LAYERS = {
    "Linear": ((5, 7), {}, (4, 3, 5)),
    "Linear without bias": ((5, 7), {"bias": False}, (4, 5)),
    "Conv1d": ((6, 9, 5), {"padding": 2}, (3, 6, 20)),
    "Conv1d with a stride": (
        (6, 4, 4),
        {"stride": 2, "padding": 1},
        (1, 6, 9),
    ),
    "Conv2d": ((5, 7, 3), {"padding": 1}, (6, 5, 8, 10)),
    "Conv2d without a rim": ((5, 7, 3), {}, (2, 5, 8, 10)),
    "Conv2d with a stride": ((5, 7, 3), {"stride": 2}, (2, 5, 9, 8)),
    "Conv2d of pixels": ((5, 7, 1), {}, (2, 5, 4, 6)),
    "Conv2d of many": ((48, 8, 3), {"padding": 1}, (7, 48, 16, 16)),
    "ConvTranspose2d": ((6, 5, 2), {"stride": 2}, (3, 6, 4, 5)),
    "GroupNorm": ((4, 12), {}, (3, 12, 6, 5)),
    "GroupNorm of rows": ((2, 12), {}, (3, 12, 7)),
    "LayerNorm": ((12,), {}, (3, 12)),
    "SiLU": ((), {}, (3, 200)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_layers(name):
    """Of random weights and inputs, some of them far from zero."""
    sizes, how, shape = LAYERS[name]
    kind = name.split()[0]
    torch.manual_seed(0)
    theirs = getattr(nn, kind)(*sizes, **how)
    ours = getattr(numpy_layers, kind)(*sizes, **how)
    give(theirs, ours)
    near, _ = draw(*shape)
    # The layout in memory of what comes in changes nothing.
    turned = np.ascontiguousarray(np.moveaxis(near, 1, -1))
    for array in (near, 50 * near + 20, np.moveaxis(turned, -1, 1)):
        with torch.no_grad():
            wanted = theirs(torch.from_numpy(array))
        assert apart(ours(array), wanted) < 2e-6 * float(wanted.abs().max())


def give(theirs, ours):
    """The same random weights for both."""
    weights = {}
    for key, value in theirs.named_parameters():
        nn.init.normal_(value, 0.3, 0.5)
        weights[key] = value.detach().numpy()
    for start, layer in ours.named():
        shapes = {key: weights[start + key].shape for key in layer.shapes}
        assert shapes == layer.shapes
        layer.take({key: weights.pop(start + key) for key in shapes})
    assert not weights


def test_attention_of_three_inputs():
    theirs = nn.MultiheadAttention(12, 3, batch_first=True)
    ours = numpy_layers.MultiheadAttention(12, 3)
    give(theirs, ours)
    # Another stream for each: query, key and value have parts of their own.
    three = [draw(4, 6, 12, seed=k) for k in range(3)]
    found, none = ours(*(array for array, _ in three))
    wanted, _ = theirs(*(tensor for _, tensor in three), need_weights=False)
    assert none is None and apart(found, wanted) < 1e-5
    with pytest.raises(ValueError, match="batch_first"):
        numpy_layers.MultiheadAttention(12, 3, batch_first=False)
    with pytest.raises(ValueError, match="stride"):
        numpy_layers.ConvTranspose2d(4, 4, 4, stride=2)


def both(settings, folder):
    """One model of random weights, none of them zero, in both ways."""
    torch.manual_seed(1)
    model = CbLDM(settings)
    for value in model.parameters():
        if value.ndim > 1:
            nn.init.normal_(value, 0, value[0].numel() ** -0.5)
        else:
            nn.init.normal_(value, 0.5, 0.2)
    model.latent_scale.fill_(0.75)
    path = folder / "random.safetensors"
    save_weights(model, path, {})
    return load_weights(str(path)), load_sampler(str(path))


@pytest.mark.parametrize("name", NARROW)
def test_networks(name, tmp_path):
    theirs, ours = both(NARROW[name], tmp_path)
    assert isinstance(ours, NumpyCbLDM) and isinstance(theirs, CbLDM)
    g, g_t = draw(4, len(theirs.grid()))
    x, x_t = draw(4, 1, 16, 16, seed=2)
    t = np.array([0, 3, 500, 999])
    with torch.no_grad():
        c_0, c_t = ours.c_0(g), theirs.c_0(g_t)
        assert apart(c_0, c_t) < 1e-4
        prior, prior_t = ours.structure.prior(c_0), theirs.structure.prior(c_t)
        for found, wanted in zip(prior, prior_t):
            assert apart(found, wanted) < 1e-4
        eps = ours.predict_noise(x, t, c_0, prior)
        eps_t = theirs.predict_noise(x_t, torch.from_numpy(t), c_t, prior_t)
        assert apart(eps, eps_t) < 1e-4
        decoder, decoder_t = ours.structure.decoder, theirs.structure.decoder
        for found, wanted in zip(decoder(x), decoder_t(x_t)):
            assert apart(found, wanted) < 1e-4
        if name != "outline":
            kinds = decoder.likeliest(x)
            assert np.array_equal(kinds, decoder_t.likeliest(x_t))
            few = decoder(x, kinds).sites
            assert apart(
                few, decoder_t(x_t, torch.from_numpy(kinds)).sites
            ) < (1e-4)
            assert not np.array_equal(few, decoder(x).sites)


def curve(model):
    """Something like a PDF on the grid of a model."""
    r = model.grid()
    return np.sin(2 * np.pi * r) * np.exp(-0.3 * r)


def test_the_shipped_small_model_draws_the_same_structures():
    theirs, ours = load_weights("small"), load_sampler("small")
    g = curve(ours)
    z, z_t = (m.sample(m.to_own(g), 40, seed=4) for m in (ours, theirs))
    assert apart(z, z_t) < 1e-4
    new, new_t = (
        m.renew(m.to_own(g), some, 400, seed=9)
        for m, some in ((ours, z[:4]), (theirs, z_t[:4]))
    )
    assert apart(new, new_t) < 1e-4
    for found, wanted in (
        (ours.structures(z[:6], 4), theirs.structures(z_t[:6], 4)),
        (ours.decode_hulls(z[:3], 2), theirs.decode_hulls(z_t[:3], 2)),
    ):
        for row, row_t in zip(found, wanted, strict=True):
            for one, other in zip(row, row_t, strict=True):
                assert one.structure_type == other.structure_type
                assert np.allclose(one.positions, other.positions, atol=1e-4)


def test_the_shipped_large_model_tells_the_same_outlines():
    theirs, ours = load_weights("large"), load_sampler("large")
    g = curve(ours)
    z, z_t = (m.sample(m.to_own(g), 5, seed=4) for m in (ours, theirs))
    assert apart(z, z_t) < 2e-4
    mean, mean_t = (m.prior_mean(m.to_own(g)) for m in (ours, theirs))
    assert apart(mean, mean_t) < 1e-4
    told, told_t = ours.decode_outlines(z), theirs.decode_outlines(z_t)
    for found, wanted in zip(told, told_t):
        assert apart(found, wanted) < 1e-3


def test_sampling_needs_no_pytorch():
    code = """
        import sys
        import numpy as np
        from diffpy_cbldm.model.weights import load_sampler
        for name in ("small", "large"):
            model = load_sampler(name)
            z = model.sample(model.to_own(np.cos(model.grid())), 2)
            if name == "small":
                model.structures(model.renew(model.to_own(model.grid()), z, 9))
                model.decode_hulls(z, 2)
            else:
                model.decode_outlines(z)
        print("torch" in sys.modules)
    """
    lines = "\n".join(line[8:] for line in code.splitlines())
    done = subprocess.run(
        [sys.executable, "-c", lines], capture_output=True, text=True
    )
    assert done.stdout.strip() == "False", done.stderr


def test_the_device_says_who_computes(tmp_path, monkeypatch):
    for device in ("auto", "cpu"):
        assert isinstance(load_sampler("large", device), NumpyCbLDM)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(CbldmError, match="no CUDA device"):
        load_sampler("large", "cuda")
    # The paper's networks take PyTorch on a CPU as well.
    narrow = dataclasses.replace(
        PRESETS["paper"], encoder_width=8, decoder_width=8, prior_width=16
    )
    path = tmp_path / "paper.safetensors"
    save_weights(CbLDM(narrow), path, {})
    assert isinstance(load_sampler(str(path)), CbLDM)


@pytest.mark.parametrize("load", [load_weights, load_sampler])
def test_weights_that_do_not_fit_their_record(load, tmp_path):
    from safetensors.numpy import load_file, save_file

    path = tmp_path / "odd.safetensors"
    save_weights(CbLDM(NARROW["sites"]), path, {})
    whole = load_file(path)
    record = json.loads(path.with_suffix(".json").read_text())
    path.with_suffix(".json").write_text(json.dumps({**record, "sha256": ""}))
    # Parts that only training uses may be missing.
    lean = {k: v for k, v in whole.items() if not k.startswith(TRAINING_ONLY)}
    save_file(lean, path)
    load(str(path))
    name = "denoiser.stem.weight"
    for odd, said in (
        ({k: v for k, v in lean.items() if k != name}, f"expected {name}"),
        ({**lean, name: lean[name][1:]}, f"expected {name}"),
        ({**lean, "denoiser.extra": lean[name]}, "found denoiser.extra"),
    ):
        save_file(odd, path)
        with pytest.raises(CbldmError, match=said):
            load(str(path))
    record["model"]["colour"] = "red"
    path.with_suffix(".json").write_text(json.dumps({**record, "sha256": ""}))
    with pytest.raises(CbldmError, match="no settings of a model"):
        load(str(path))


def test_weights_of_bfloat16_are_read(tmp_path):
    from safetensors.torch import load_file, save_file

    path = tmp_path / "wide.safetensors"
    save_weights(CbLDM(NARROW["sites"]), path, {})
    record = json.loads(path.with_suffix(".json").read_text())
    path.with_suffix(".json").write_text(json.dumps({**record, "sha256": ""}))
    before = read_arrays(str(path))[0]
    save_file({k: v.bfloat16() for k, v in load_file(path).items()}, path)
    after = read_arrays(str(path))[0]
    assert before.keys() == after.keys()
    for name, array in after.items():
        assert array.dtype == np.float32
        np.testing.assert_allclose(array, before[name], rtol=2**-8)
