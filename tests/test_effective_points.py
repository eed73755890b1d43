"""Of how many independent points a misfit speaks."""

import tracemalloc

import numpy as np
import pytest

from diffpy_cbldm.fitting.effective_points import (
    FEWEST,
    _powers,
    effective_points,
    share_of_range,
    share_of_waves,
)
from diffpy_cbldm.fitting.target import Target
from diffpy_cbldm.pdfdata import PDFData

QMAX = 20.0


def target(step, qmin=0.0, rmax=30.0):
    """Any data between 1.5 A and an end."""
    r = np.arange(1.5, rmax + 0.5 * step, step)
    g = np.sin(r)
    return Target.of(PDFData(r=r, g=g, composition="Pt", qmin=qmin, qmax=QMAX))


def band(on, low, high, rng):
    """Noise of all waves between two Q, of one power, on a target's points."""
    length = 3 * (on.r[-1] - on.r[0])  # no period of the range itself
    step = 2 * np.pi / length
    q = np.arange(np.ceil(low / step), high / step) * step
    a, b = rng.normal(size=(2, len(q)))
    return np.cos(on.r[:, None] * q) @ a + np.sin(on.r[:, None] * q) @ b


def points_of(on, misfit):
    """The effective number of a misfit of a target."""
    return effective_points(on.r, misfit, on.qmin, on.qmax)


def mean_of(on, draw, count=60):
    """The mean effective number of some draws."""
    rng = np.random.default_rng(7)
    return np.mean([points_of(on, draw(rng)) for _ in range(count)])


def test_white_noise_at_the_spacing_of_independent_points_counts_fully():
    on = target(np.pi / QMAX)
    found = mean_of(on, lambda rng: rng.normal(size=len(on.r)))
    assert found == pytest.approx(len(on.r), rel=0.08)


@pytest.mark.parametrize("step", [0.02, 0.05])
def test_points_between_are_no_further_data(step):
    on = target(step, qmin=1.0)
    expected = (30 - 1.5) * (QMAX - 1) / np.pi
    found = mean_of(on, lambda rng: band(on, 1, QMAX, rng))
    assert found == pytest.approx(expected, rel=0.08)
    # So is noise of the points themselves, of which fits see the range of Q.
    plain = mean_of(on, lambda rng: rng.normal(size=len(on.r)))
    assert plain == pytest.approx(expected, rel=0.08)


def test_a_misfit_of_few_waves_counts_as_these():
    on = target(0.05)
    for high in (5.0, 10.0):
        found = mean_of(on, lambda rng, high=high: band(on, 0, high, rng))
        assert found == pytest.approx(28.5 * high / np.pi, rel=0.15)


def test_a_misfit_in_a_part_of_the_range_counts_as_that():
    on = target(0.05)

    def draw(rng):
        return band(on, 0, QMAX, rng) * (on.r < 1.5 + 0.25 * 28.5)

    found = mean_of(on, draw)
    assert found == pytest.approx(0.25 * on.independent_points, rel=0.2)


def test_it_is_the_number_of_bartlett():
    # An autoregressive series: rho_k = a^|k|, and the sum of its squares is
    # (1 + a^2) / (1 - a^2).
    on, a = target(np.pi / QMAX, rmax=120.0), 0.6

    def draw(rng):
        noise = rng.normal(size=len(on.r) + 50)
        for k in range(1, len(noise)):
            noise[k] += a * noise[k - 1]
        return noise[50:]

    expected = len(on.r) * (1 - a**2) / (1 + a**2)
    assert mean_of(on, draw, 30) == pytest.approx(expected, rel=0.15)


def test_one_wave_or_one_spike_still_counts_as_the_fewest():
    on = target(0.05)
    assert points_of(on, np.sin(7 * on.r)) == FEWEST
    spike = np.where(np.abs(on.r - 10) < 0.3, 1.0, 0.0)
    assert share_of_range(on.r, spike, on.independent_points) < 0.15
    assert points_of(on, spike) >= FEWEST


def test_no_misfit_says_nothing_against_the_points():
    on = target(0.05)
    assert points_of(on, np.zeros(len(on.r))) == pytest.approx(
        on.independent_points
    )
    assert share_of_waves(on.r, np.zeros(len(on.r)), on.qmin, on.qmax) == 1.0


@pytest.mark.parametrize("off", [0.0, 1e-6, 0.004])
def test_powers_are_those_of_the_sums_also_off_an_even_grid(off):
    rng = np.random.default_rng(3)
    r = np.arange(1.5, 12, 0.02)
    r += off * rng.uniform(-1, 1, len(r))
    misfit, step = rng.normal(size=len(r)), 2 * np.pi / (0.02 * len(r))
    turns = np.arange(2, 60)[:, None] * step * r
    expected = (np.cos(turns) @ misfit) ** 2 + (np.sin(turns) @ misfit) ** 2
    found = _powers(r, misfit, step, 2, 59)
    assert found == pytest.approx(expected, rel=1e-3, abs=1e-3 * len(r))


@pytest.mark.parametrize("off", [0.0, 0.002])
def test_a_long_range_takes_little_memory(off):
    r = np.arange(0, 100, 0.01)
    r[1:-1] += off * np.sin(r[1:-1])
    misfit = np.random.default_rng(4).normal(size=len(r))
    tracemalloc.start()
    share_of_waves(r, misfit, 0.0, 40.0)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 30e6  # all sines at once: 100 MB each
