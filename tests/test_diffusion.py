"""The samplers against the exact denoiser of a Gaussian."""

import functools
import math

import pytest
import torch

from diffpy_cbldm.model import diffusion
from diffpy_cbldm.model.diffusion import Schedule, algorithm_4, renew
from diffpy_cbldm.settings import Sampling

MEAN, SPREAD = 0.7, 0.5
SCHEDULE = Schedule.cosine(1000)
COUNT = 60_000

CASES = [
    ("ddpm", 1000, 0.01),
    ("ddim", 1000, 0.01),
    ("dpm", 1000, 0.01),
    ("ddpm", 20, 0.03),
    ("ddim", 20, 0.03),
    ("dpm", 20, 0.03),
]


def exact(x, t):
    """The noise that is expected in x_t where x_0 ~ N(MEAN, SPREAD^2)."""
    a, b = SCHEDULE.at(int(t[0]))
    return b * (x - a * MEAN) / ((a * SPREAD) ** 2 + b**2)


def noise_source(seed=0, shape=(COUNT,)):
    generator = torch.Generator().manual_seed(seed)
    return lambda: torch.randn(shape, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize(("name", "calls", "tolerance"), CASES)
def test_full_way_gives_mean_and_spread(name, calls, tolerance):
    how = Sampling(name, calls, 0, 0)
    x = algorithm_4(exact, SCHEDULE, torch.zeros(COUNT), noise_source(), how)
    assert float(x.mean()) == pytest.approx(MEAN, rel=tolerance)
    assert float(x.std()) == pytest.approx(SPREAD, rel=tolerance)


@pytest.mark.parametrize(("name", "loss"), [("ddpm", 0.15), ("ddim", 0.08)])
def test_published_steps_of_first_order(name, loss):
    """They are right at 1000 calls, and lose spread at 20."""
    step = functools.partial(diffusion.SAMPLERS[name], order=1)
    for calls, tolerance in ((1000, 0.01), (20, loss)):
        noise = noise_source()
        x = diffusion.walk(
            exact, SCHEDULE, noise(), 999, -1, calls, noise, step
        )
        assert float(x.mean()) == pytest.approx(MEAN, rel=tolerance)
        assert float(x.std()) == pytest.approx(SPREAD, rel=tolerance)
    assert float(x.std()) < 0.95 * SPREAD


@pytest.mark.parametrize("name", ["ddpm", "ddim", "dpm"])
@pytest.mark.parametrize("calls", [200, 20])
def test_skip_with_a_prior_sample_keeps_the_mean(name, calls):
    """With the right prior the mean is right and the spread between that
    of the target and what the blend of two independent samples leaves."""
    noise = noise_source()
    prior = MEAN + SPREAD * noise()
    how = Sampling(name, calls, 300, 600)
    x = algorithm_4(exact, SCHEDULE, prior, noise, how)
    assert float(x.mean()) == pytest.approx(MEAN, rel=0.03)
    assert 0.6 * SPREAD < float(x.std()) < 1.03 * SPREAD


def test_skip_is_exact_where_the_target_is_a_point():
    """Eq. (8) in its derived form: with X*_0 = X_0 the skip is exact."""
    schedule = Schedule.cosine(1000)
    x_0, eps = 0.7, 1.3

    def denoise(x, t):
        a, b = schedule.at(int(t[0]))
        return (x - a * x_0) / b

    point = torch.full((1,), x_0, dtype=torch.float64)
    noise = lambda: torch.full((1,), eps, dtype=torch.float64)  # noqa: E731
    how = Sampling("ddim", 20, 300, 600)
    x = algorithm_4(denoise, schedule, point, noise, how)
    assert float(x) == pytest.approx(x_0, abs=1e-9)
    a, b = schedule.at(299)
    a_2, b_2 = schedule.at(599)
    blended = (a - a_2 * b / b_2) * x_0 + b / b_2 * (a_2 * x_0 + b_2 * eps)
    assert blended == pytest.approx(a * x_0 + b * eps, abs=1e-12)


def test_printed_form_blends_with_the_noised_prior():
    """One step only: what reaches T1 is a X*_T1 + u X_T2 as printed."""
    seen = []

    def denoise(x, t):
        seen.append((int(t[0]), x.clone()))
        return torch.zeros_like(x)

    noise = lambda: torch.ones(1, dtype=torch.float64)  # noqa: E731
    prior = torch.full((1,), 2.0, dtype=torch.float64)
    for printed in (False, True):
        seen.clear()
        how = Sampling("ddim", 10, 300, 1000)
        algorithm_4(denoise, SCHEDULE, prior, noise, how, printed)
        a_1, b_1 = SCHEDULE.at(299)
        a_2, b_2 = SCHEDULE.at(999)
        u = b_1 / b_2
        start = a_1 * 2.0 + b_1 if printed else 2.0
        expected = (a_1 - a_2 * u) * start + u * 1.0
        assert seen[0][0] == 299
        assert float(seen[0][1]) == pytest.approx(expected, abs=1e-12)


def test_prior_alone_and_plain_diffusion_are_the_ends():
    prior = torch.randn(5, dtype=torch.float64)
    calls = []

    def denoise(x, t):
        calls.append(int(t[0]))
        return exact(x, t)

    noise = noise_source(shape=(5,))
    how = Sampling(calls=50, t1=0, t2=1000)
    x = algorithm_4(denoise, SCHEDULE, prior, noise, how)
    assert torch.equal(x, prior) and not calls
    how = Sampling(calls=50, t1=500, t2=500)
    algorithm_4(denoise, SCHEDULE, prior, noise, how)
    assert len(calls) == 50 and calls[0] == 999


@pytest.mark.parametrize("name", diffusion.SAMPLERS)
def test_one_loop_serves_every_sampler(name, monkeypatch):
    """It goes once a way, twice around a skip, one network call a step."""
    loop, ways, called = diffusion.walk, [], []

    def counted(denoise, schedule, x, start, end, calls, noise, step):
        ways.append((start, end, calls, step))
        return loop(denoise, schedule, x, start, end, calls, noise, step)

    def denoise(x, t):
        called.append(int(t[0]))
        return exact(x, t)

    monkeypatch.setattr(diffusion, "walk", counted)
    step, noise = diffusion.SAMPLERS[name], noise_source(shape=(2,))
    prior = noise()
    for t1, t2, expected in (
        (0, 0, [(999, -1, 20, step)]),
        (0, 600, [(999, 599, 8, step)]),
        (200, 900, [(999, 899, 2, step), (199, -1, 4, step)]),
        (0, 1000, []),
    ):
        ways.clear(), called.clear()
        how = Sampling(name, 20, t1, t2)
        algorithm_4(denoise, SCHEDULE, prior, noise, how)
        assert ways == expected
        assert len(called) == sum(calls for _, _, calls, _ in ways)
    ways.clear()
    renew(denoise, SCHEDULE, prior, noise, 400, Sampling(name, 20))
    assert ways == [(400, -1, 8, step)]


@pytest.mark.parametrize("calls", [1, 7, 20, 999, 1000, 5000])
def test_visited_steps_fall_from_the_last_and_none_comes_twice(calls):
    steps = diffusion.visited(999, -1, calls)
    assert steps[0] == 999 and len(steps) == min(calls, 1000)
    assert all(a > b for a, b in zip(steps, steps[1:]))
    assert min(steps) >= 0
    if calls >= 1000:
        assert steps[-1] == 0


def test_noising_has_unit_power_and_follows_eq_6():
    generator = torch.Generator().manual_seed(1)
    x_0 = torch.full((50_000, 1), 2.0, dtype=torch.float64)
    eps = torch.randn(x_0.shape, generator=generator, dtype=torch.float64)
    for t in (0, 500, 999):
        step = torch.full((len(x_0),), t)
        x = diffusion.add_noise(SCHEDULE, x_0, step, eps)
        a, b = SCHEDULE.at(t)
        assert a**2 + b**2 == pytest.approx(1.0, abs=1e-12)
        assert float(x.mean()) == pytest.approx(2 * a, abs=0.02)
        assert float(x.std()) == pytest.approx(b, rel=0.02)
    assert math.isclose(SCHEDULE.at(-1)[0], 1.0)


def test_algorithm_3_is_the_l1_of_the_noise():
    """A denoiser that is right has no loss, one that says 0 has E|eps|."""
    z_0 = torch.zeros(20_000, 1, dtype=torch.float64)

    def right(x, t):
        _, b = SCHEDULE.amounts(t, x)
        return x / b

    generator = torch.Generator().manual_seed(0)
    none = diffusion.algorithm_3(
        lambda x, t: torch.zeros_like(x), SCHEDULE, z_0, generator
    )
    assert float(diffusion.algorithm_3(right, SCHEDULE, z_0)) < 1e-9
    assert float(none) == pytest.approx(math.sqrt(2 / math.pi), rel=0.02)


@pytest.mark.parametrize(("t1", "t2"), [(-1, 10), (20, 10), (0, 1001)])
def test_wrong_interval_is_refused(t1, t2):
    with pytest.raises(ValueError, match="T1"):
        algorithm_4(
            exact,
            SCHEDULE,
            torch.zeros(1),
            noise_source(shape=(1,)),
            Sampling(calls=5, t1=t1, t2=t2),
        )
