"""Gaussian diffusion: schedule, noising, loss, samplers, Algorithm 4.

Nothing here knows a network, a file or a device: the denoiser is a callable
``denoise(x, t) -> eps`` with x of any shape (B, ...) and t of shape (B,).
Noise is drawn by a callable ``noise() -> (B, ...)`` so that each candidate
can have its own seed.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import torch
from torch import Tensor

Denoiser = Callable[[Tensor, Tensor], Tensor]

Noise = Callable[[], Tensor]

ANCESTRAL_TREND = 0.9
"""Share of the last change of x_0 that ancestral steps extrapolate: each
change holds the answer to the noise just drawn, and a slope that is told with
noise is expected to be less steep (1 gains 3.5 % of a Gaussian's spread at
20 calls, 0.9 gains 1 %)."""


@dataclasses.dataclass(frozen=True)
class Schedule:
    """The proportions of signal abar_t, t = 0 .. T - 1.

    Attributes
    ----------
    abar : (T,) float64 tensor
        prod_{s <= t} (1 - beta_s), falling.
    """

    abar: Tensor

    @classmethod
    def cosine(cls, steps: int) -> Schedule:
        """The cosine schedule (Nichol and Dhariwal, 2021)."""
        s = 0.008
        u = torch.arange(steps + 1, dtype=torch.float64) / steps
        f = torch.cos((u + s) / (1 + s) * math.pi / 2) ** 2
        beta = (1 - f[1:] / f[:-1]).clamp(max=0.999)
        return cls(torch.cumprod(1 - beta, 0))

    @property
    def steps(self) -> int:
        """T."""
        return len(self.abar)

    def at(self, t: int) -> tuple[float, float]:
        """sqrt(abar_t) and sqrt(1 - abar_t); t = -1 is the clean sample."""
        abar = 1.0 if t < 0 else float(self.abar[t])
        return math.sqrt(abar), math.sqrt(1.0 - abar)


def add_noise(schedule: Schedule, x_0: Tensor, t: Tensor, eps: Tensor):
    """Eq. (6): x_t = sqrt(abar_t) x_0 + sqrt(1 - abar_t) eps."""
    abar = schedule.abar.to(x_0.device)[t].to(x_0.dtype)
    abar = abar.reshape(-1, *([1] * (x_0.ndim - 1)))
    return abar.sqrt() * x_0 + (1 - abar).sqrt() * eps


def algorithm_3(
    denoise: Denoiser,
    schedule: Schedule,
    z_0: Tensor,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Algorithm 3: L1 between the added and the predicted noise.

    t is uniform over all of 0 .. T - 1.
    """
    t = torch.randint(
        0,
        schedule.steps,
        (len(z_0),),
        generator=generator,
        device=z_0.device,
    )
    eps = torch.randn(
        z_0.shape, generator=generator, dtype=z_0.dtype, device=z_0.device
    )
    x_t = add_noise(schedule, z_0, t, eps)
    return (eps - denoise(x_t, t)).abs().mean()


def visited(start: int, end: int, calls: int) -> list[int]:
    """The steps at which the network is called, falling, none twice.

    Parameters
    ----------
    start, end : int
        First step (called) and the step to arrive at (not called); -1 is
        the clean sample.
    calls : int
        How many calls at most.
    """
    calls = min(calls, start - end)
    if calls <= 0:
        return []
    return [
        start - math.floor(i * (start - end) / calls) for i in range(calls)
    ]


def ddpm(
    denoise: Denoiser,
    schedule: Schedule,
    x: Tensor,
    start: int,
    end: int,
    calls: int,
    noise: Noise,
    order: int = 2,
) -> Tensor:
    """Ancestral sampling from step `start` down to step `end`.

    Skipped steps use the coefficients of the skipped interval (DDIM's form
    with eta = 1, which for an interval of one is DDPM).  Over long intervals
    that loses spread, by a twentieth and more at 20 calls whatever their
    spacing; order 2 corrects the predicted x_0 by its change since the last
    call (SDE-DPM-Solver++(2M) of Lu et al., 2022, the change times
    `ANCESTRAL_TREND`), order 1 does not.
    """
    times = [*visited(start, end, calls), end]
    before: tuple[Tensor, float] | None = None
    for t, s in zip(times[:-1], times[1:]):
        a_t, b_t = schedule.at(t)
        a_s, b_s = schedule.at(s)
        x_0 = (x - b_t * denoise(x, _full(x, t))) / a_t
        if s < 0:
            return x_0
        h = math.log(a_s / b_s) - math.log(a_t / b_t)
        blend = x_0
        if before is not None and order > 1:
            trend = ANCESTRAL_TREND * (x_0 - before[0]) / before[1]
            blend = x_0 + trend * h / 2
        kept = math.exp(-2 * h)
        x = a_s * (1 - kept) * blend + (b_s / b_t) * math.exp(-h) * x
        x = x + b_s * math.sqrt(1 - kept) * noise()
        before = (x_0, h)
    return x


def ddim(
    denoise: Denoiser,
    schedule: Schedule,
    x: Tensor,
    start: int,
    end: int,
    calls: int,
    noise: Noise | None = None,
    order: int = 2,
) -> Tensor:
    """DDIM with eta = 0 (Song et al., 2021); draws no noise.

    It is Euler's method for x / a in the variable b / a; order 2 is that of
    Adams and Bashforth (as PNDM, Liu et al., 2022), which keeps the spread
    at few calls, order 1 the published step.
    """
    times = [*visited(start, end, calls), end]
    before: tuple[Tensor, float] | None = None
    for t, s in zip(times[:-1], times[1:]):
        a_t, b_t = schedule.at(t)
        a_s, b_s = schedule.at(s)
        eps = denoise(x, _full(x, t))
        step = b_s / a_s - b_t / a_t
        slope = eps
        if before is not None and order > 1:
            slope = eps + (eps - before[0]) * (step / (2 * before[1]))
        x = a_s * (x / a_t + step * slope)
        before = (eps, step)
    return x


def dpm(
    denoise: Denoiser,
    schedule: Schedule,
    x: Tensor,
    start: int,
    end: int,
    calls: int,
    noise: Noise | None = None,
) -> Tensor:
    """DPM-Solver++(2M) (Lu et al., 2022), the last step of first order."""
    times = [*visited(start, end, calls), end]
    before: tuple[Tensor, float] | None = None
    for t, s in zip(times[:-1], times[1:]):
        a_t, b_t = schedule.at(t)
        a_s, b_s = schedule.at(s)
        x_0 = (x - b_t * denoise(x, _full(x, t))) / a_t
        if s < 0:
            return x_0
        h = math.log(a_s / b_s) - math.log(a_t / b_t)
        blend = x_0
        if before is not None:
            blend = x_0 + (x_0 - before[0]) * (h / (2 * before[1]))
        x = (b_s / b_t) * x - a_s * math.expm1(-h) * blend
        before = (x_0, h)
    return x


SAMPLERS: dict[str, Callable[..., Tensor]] = {
    "ddpm": ddpm,
    "ddim": ddim,
    "dpm": dpm,
}
"""The samplers by name."""


def algorithm_4(
    denoise: Denoiser,
    schedule: Schedule,
    prior: Tensor,
    noise: Noise,
    t1: int,
    t2: int,
    calls: int,
    sampler: str = "dpm",
    printed: bool = False,
) -> Tensor:
    """Algorithm 4: sampling with the steps between T2 and T1 skipped.

    Parameters
    ----------
    denoise : callable
        (x, t) -> predicted noise.
    schedule : Schedule
        Proportions of signal.
    prior : (B, ...) tensor
        X*_0, a sample of the conditional prior.
    noise : callable
        Draws standard normal noise of the same shape.
    t1, t2 : int
        0 <= T1 <= T2 <= T; T1 = T2 is ordinary latent diffusion, T1 = 0 and
        T2 = T is the prior alone.
    calls : int
        Network calls that the whole way from T to 0 would take; the parts
        that are walked take their share.
    sampler : {"ddpm", "ddim", "dpm"}
        The sampler S.
    printed : bool
        Line 6 as printed, a * X*_T1 + u * X_T2, instead of the form that
        Eq. (6) gives when one eps is eliminated, a * X*_0 + u * X_T2.

    Returns
    -------
    (B, ...) tensor, X_0.
    """
    steps = schedule.steps
    if not 0 <= t1 <= t2 <= steps:
        raise ValueError(f"expected 0 <= T1 <= T2 <= {steps}: {t1}, {t2}")
    if t1 == 0 and t2 == steps:
        return prior
    walk = SAMPLERS[sampler]
    x = noise()
    if t1 == t2:
        return walk(denoise, schedule, x, steps - 1, -1, calls, noise)
    upper = steps - t2
    if upper:
        share = max(1, round(calls * upper / steps))
        x = walk(denoise, schedule, x, steps - 1, t2 - 1, share, noise)
    if t1 == 0:
        a_1, b_1 = 1.0, 0.0
    else:
        a_1, b_1 = schedule.at(t1 - 1)
    a_2, b_2 = schedule.at(t2 - 1)
    u = b_1 / b_2
    a = a_1 - a_2 * u
    start = a_1 * prior + b_1 * noise() if printed else prior
    x = a * start + u * x
    if t1 == 0:
        return x
    share = max(1, round(calls * t1 / steps))
    return walk(denoise, schedule, x, t1 - 1, -1, share, noise)


def renew(
    denoise: Denoiser,
    schedule: Schedule,
    x_0: Tensor,
    noise: Noise,
    step: int,
    calls: int,
    sampler: str = "dpm",
) -> Tensor:
    """Noise samples to a step by Eq. (6), and denoise them again.

    Samples of the model's distribution stay samples of it: the smaller the
    step, the nearer to where they were.

    Parameters
    ----------
    denoise, schedule, noise, calls, sampler
        As in `algorithm_4`.
    x_0 : (B, ...) tensor
    step : int
        0 <= step < T.
    """
    a, b = schedule.at(step)
    x = a * x_0 + b * noise()
    share = max(1, round(calls * step / schedule.steps))
    walk = SAMPLERS[sampler]
    return walk(denoise, schedule, x, step, -1, share, noise)


def _full(x: Tensor, t: int) -> Tensor:
    return torch.full((len(x),), t, dtype=torch.long, device=x.device)
