"""Smaller weights: the nearest map of low rank, and what comes apart."""

import json

import pytest
import torch

from diffpy_cbldm.errors import CbldmError
from diffpy_cbldm.model.weights import load_weights, read_weights
from training.compress import low_rank
from training.records import training_parts


def test_low_rank_is_exact_where_the_codes_have_that_rank():
    noise = torch.Generator().manual_seed(0)
    weight = torch.randn(40, 12, generator=noise)
    codes = torch.randn(200, 5, generator=noise)
    codes = codes @ torch.randn(5, 12, generator=noise)
    first, last = low_rank(weight, codes, 5)
    assert first.shape == (5, 12) and last.shape == (40, 5)
    found = codes @ first.T @ last.T
    assert torch.allclose(found, codes @ weight.T, atol=1e-3)


def test_low_rank_is_nearest_on_the_codes():
    """Nearer than the truncated singular values of the map alone."""
    noise = torch.Generator().manual_seed(1)
    weight = torch.randn(60, 16, generator=noise)
    codes = torch.randn(500, 16, generator=noise) * torch.logspace(0, -2, 16)
    first, last = low_rank(weight, codes, 4)
    u, s, v = torch.linalg.svd(weight, full_matrices=False)
    plain = (u[:, :4] * s[:4]) @ v[:4]
    truth = codes @ weight.T

    def error(found):
        return float((codes @ found.T - truth).square().sum())

    assert error(last @ first) < 0.5 * error(plain)


def test_packaged_weights_come_without_what_training_uses():
    model = load_weights("small")
    assert model.structure.encoder is None
    assert model.condition.decoder is None
    with_parts = read_weights("small")[0] | training_parts("small")
    model = type(model)(model.settings)
    model.load_state_dict(with_parts)  # complete


def test_weights_that_lack_more_are_refused(tmp_path):
    from safetensors.torch import save_file

    tensors, record = read_weights("small")
    tensors.pop("structure.prior.head.weight")
    path = tmp_path / "part.safetensors"
    save_file(tensors, path)
    record.pop("sha256")  # that of the whole weights
    path.with_suffix(".json").write_text(json.dumps(record))
    with pytest.raises(CbldmError, match="prior.head.weight"):
        load_weights(str(path))
