"""Rw and where along r a misfit stands."""

import numpy as np
import pytest
import torch

from diffpy_cbldm.errors import CbldmError
from diffpy_cbldm.fitting import agreement


def test_rw_of_known_curves():
    g = np.sin(np.arange(100.0))
    assert agreement.rw(g, g) == 0
    assert agreement.rw(g, 0 * g) == pytest.approx(1)
    assert agreement.rw(g, 0.9 * g) == pytest.approx(0.1)
    assert agreement.best_scale(g, 4 * g) == pytest.approx(0.25)
    assert agreement.rw_scaled(g, 4 * g) == pytest.approx(0)
    assert agreement.rw_scaled(g, -g) == pytest.approx(1)
    assert agreement.best_scale(g, 0 * g) == 0


def test_rw_takes_weights_batches_and_tensors():
    rng = np.random.default_rng(0)
    obs, calc, w = rng.normal(size=(3, 4, 50))
    w = w**2
    expected = [
        sum(w[i] * (obs[0] - calc[i]) ** 2) / sum(w[i] * obs[0] ** 2)
        for i in range(4)
    ]
    found = agreement.rw(obs[0], calc, w)
    assert found == pytest.approx(np.sqrt(expected))
    tensors = [torch.from_numpy(a) for a in (obs, calc, w)]
    for f in (agreement.rw, agreement.best_scale, agreement.rw_scaled):
        assert f(*tensors).numpy() == pytest.approx(f(obs, calc, w))
    scale = agreement.best_scale(obs, calc, w)[:, None]
    best = agreement.rw(obs, scale * calc, w)
    for change in (0.999, 1.001):
        assert (agreement.rw(obs, change * scale * calc, w) >= best).all()


def test_a_curve_of_zeros_has_no_rw():
    with pytest.raises(CbldmError, match="zero everywhere"):
        agreement.rw(np.zeros(5), np.ones(5))


def test_noise_is_even_and_a_missing_peak_is_not():
    r = np.arange(1.5, 30.0, 0.01)
    noise = np.random.default_rng(0).normal(size=len(r))
    assert agreement.misfit_by_range(r, noise)[0] > 0.95
    # Scale does not matter, nor where one block has all: 1 of 11.
    assert agreement.misfit_by_range(r, 7 * noise)[0] == pytest.approx(
        agreement.misfit_by_range(r, noise)[0]
    )
    peak = np.exp(-0.5 * ((r - 5.0) / 0.2) ** 2)
    evenness, (low, high) = agreement.misfit_by_range(r, peak)
    assert evenness == pytest.approx(1 / 11, rel=0.01)
    assert low <= 5.0 <= high and high - low < 2.5
    assert agreement.misfit_by_range(r, 0 * r) == (1.0, (r[0], r[-1]))
