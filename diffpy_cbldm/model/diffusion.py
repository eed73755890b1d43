"""Gaussian diffusion: schedule, noising, loss, samplers, Algorithm 4.

Nothing here knows a network, a file or a device: the denoiser is a callable
``denoise(x, t) -> eps`` with x of any shape (B, ...) and t of shape (B,).
Noise is drawn by a callable ``noise() -> (B, ...)`` so that each candidate
can have its own seed.  A sampler is a function that goes one step; `walk` is
the loop of them all.

An array is one of NumPy or a tensor of PyTorch, and what comes out is of the
same kind.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from array_api_compat import array_namespace, device

from diffpy_cbldm.model.arrays import Array
from diffpy_cbldm.settings import Sampling

if TYPE_CHECKING:
    from torch import Generator, Tensor

Denoiser = Callable[[Array, Array], Array]

Noise = Callable[[], Array]

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
    abar : (T,) float64 array of NumPy
        prod_{s <= t} (1 - beta_s), falling.
    """

    abar: np.ndarray

    @classmethod
    def cosine(cls, steps: int) -> Schedule:
        """The cosine schedule (Nichol and Dhariwal, 2021)."""
        # The offset keeps the first steps from having hardly any noise.
        s = 0.008
        u = np.arange(steps + 1) / steps
        f = np.cos((u + s) / (1 + s) * math.pi / 2) ** 2
        # The last step would wipe out the signal, and x_0 could not be told.
        beta = np.minimum(1 - f[1:] / f[:-1], 0.999)
        return cls(np.cumprod(1 - beta))

    @property
    def steps(self) -> int:
        """T."""
        return len(self.abar)

    def at(self, t: int) -> tuple[float, float]:
        """sqrt(abar_t) and sqrt(1 - abar_t); t = -1 is the clean sample."""
        abar = 1.0 if t < 0 else float(self.abar[t])
        return math.sqrt(abar), math.sqrt(1.0 - abar)

    def amounts(self, t: Array, x: Array) -> tuple[Array, Array]:
        """sqrt(abar_t) and sqrt(1 - abar_t) of each sample of a batch.

        Parameters
        ----------
        t : (B,) array of int
        x : (B, ...) array
            Gives type and device.

        Returns
        -------
        two (B, 1, ...) arrays
        """
        xp = array_namespace(x)
        abar = xp.asarray(self.abar, device=device(x))[t]
        # One t for each sample, the same for all that a sample holds.
        shape = (-1, *([1] * (x.ndim - 1)))
        abar = xp.reshape(xp.astype(abar, x.dtype), shape)
        return xp.sqrt(abar), xp.sqrt(1 - abar)


def add_noise(schedule: Schedule, x_0: Array, t: Array, eps: Array) -> Array:
    """Eq. (6): x_t = sqrt(abar_t) x_0 + sqrt(1 - abar_t) eps."""
    a, b = schedule.amounts(t, x_0)
    return a * x_0 + b * eps


def algorithm_3(
    denoise: Denoiser,
    schedule: Schedule,
    z_0: Tensor,
    generator: Generator | None = None,
) -> Tensor:
    """Algorithm 3: L1 between the added and the predicted noise.

    t is uniform over all of 0 .. T - 1.  Training asks for it: of tensors.
    """
    import torch

    # A step of its own for each: a batch then covers the whole way.
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

    Returns
    -------
    list of int, spread evenly, `start` the first.
    """
    # More calls than steps would visit some of them twice.
    calls = min(calls, start - end)
    if calls <= 0:
        return []
    return [
        start - math.floor(i * (start - end) / calls) for i in range(calls)
    ]


class Interval(NamedTuple):
    """From step t down to step s: the amounts of signal a and of noise b."""

    a_t: float
    b_t: float
    a_s: float
    b_s: float

    @property
    def h(self) -> float:
        """How much log(a / b) rises; not for the clean sample, b_s = 0."""
        return math.log(self.a_s / self.b_s) - math.log(self.a_t / self.b_t)

    def x_0(self, x: Array, eps: Array) -> Array:
        """Eq. (6) solved for the clean sample that x_t and its noise tell."""
        return (x - self.b_t * eps) / self.a_t


Past = tuple[Array, float]
"""What the step before predicted, and the width of its interval."""

Step = Callable[
    [Interval, Array, Array, Past | None, Noise], tuple[Array, Past | None]
]
"""One step of a sampler: (interval, x_t, eps, past, noise) -> x_s, past."""


def ddpm(
    interval: Interval,
    x: Array,
    eps: Array,
    past: Past | None,
    noise: Noise,
    order: int = 2,
) -> tuple[Array, Past | None]:
    """A step of ancestral sampling (DDPM), of order 1 or 2.

    Skipped steps use the coefficients of the skipped interval (DDIM's form
    with eta = 1, which for an interval of one is DDPM).  Over long intervals
    that loses spread, by a twentieth and more at 20 calls whatever their
    spacing; order 2 corrects the predicted x_0 by its change since the last
    call (SDE-DPM-Solver++(2M) of Lu et al., 2022, the change times
    `ANCESTRAL_TREND`), order 1 does not.
    """
    x_0 = interval.x_0(x, eps)
    # The clean sample has no noise to add, and h would be infinite.
    if interval.b_s == 0:
        return x_0, None
    h, blend = interval.h, x_0
    if past is not None and order > 1:
        trend = ANCESTRAL_TREND * (x_0 - past[0]) / past[1]
        blend = x_0 + trend * h / 2
    # The noise of x_t that stays, and as much new noise as makes up b_s.
    kept = math.exp(-2 * h)
    x = (
        interval.a_s * (1 - kept) * blend
        + (interval.b_s / interval.b_t) * math.exp(-h) * x
    )
    x = x + interval.b_s * math.sqrt(1 - kept) * noise()
    return x, (x_0, h)


def ddim(
    interval: Interval,
    x: Array,
    eps: Array,
    past: Past | None,
    noise: Noise,
    order: int = 2,
) -> tuple[Array, Past | None]:
    """A step of DDIM with eta = 0 (Song et al., 2021); draws no noise.

    It is Euler's method for x / a in the variable b / a; order 2 is that of
    Adams and Bashforth (as PNDM, Liu et al., 2022), which keeps the spread
    at few calls, order 1 the published step.
    """
    width = interval.b_s / interval.a_s - interval.b_t / interval.a_t
    # Widths in b / a fall with t: the step before was a wider one.
    slope = eps
    if past is not None and order > 1:
        slope = eps + (eps - past[0]) * (width / (2 * past[1]))
    return interval.a_s * (x / interval.a_t + width * slope), (eps, width)


def dpm(
    interval: Interval,
    x: Array,
    eps: Array,
    past: Past | None,
    noise: Noise,
) -> tuple[Array, Past | None]:
    """A step of DPM-Solver++(2M) (Lu et al., 2022); draws no noise.

    The last step, to the clean sample, is of first order.
    """
    x_0 = interval.x_0(x, eps)
    # There h is infinite, and the formula below tends to x_0.
    if interval.b_s == 0:
        return x_0, None
    h, blend = interval.h, x_0
    if past is not None:
        blend = x_0 + (x_0 - past[0]) * (h / (2 * past[1]))
    shrunk = (interval.b_s / interval.b_t) * x
    # expm1 keeps the digits of 1 - exp(-h) where an interval is short.
    return shrunk - interval.a_s * math.expm1(-h) * blend, (x_0, h)


SAMPLERS: dict[str, Step] = {"ddpm": ddpm, "ddim": ddim, "dpm": dpm}
"""The step of each sampler by its name."""


def walk(
    denoise: Denoiser,
    schedule: Schedule,
    x: Array,
    start: int,
    end: int,
    calls: int,
    noise: Noise,
    step: Step,
) -> Array:
    """The loop of every sampler, from step `start` down to step `end`.

    Parameters
    ----------
    denoise, schedule, noise
        As in `algorithm_4`.
    x : (B, ...) array
        x_t at `start`.
    start, end, calls : int
        As in `visited`.
    step : callable
        One of `SAMPLERS`.

    Returns
    -------
    (B, ...) array, x_t at `end`.
    """
    times = [*visited(start, end, calls), end]
    # The first step has none before it, and is of first order.
    past: Past | None = None
    for t, s in zip(times[:-1], times[1:]):
        eps = denoise(x, _full(x, t))
        interval = Interval(*schedule.at(t), *schedule.at(s))
        x, past = step(interval, x, eps, past, noise)
    return x


def algorithm_4(
    denoise: Denoiser,
    schedule: Schedule,
    prior: Array,
    noise: Noise,
    how: Sampling,
    printed: bool = False,
) -> Array:
    """Algorithm 4: sampling with the steps between T2 and T1 skipped.

    Parameters
    ----------
    denoise : callable
        (x, t) -> predicted noise.
    schedule : Schedule
        Proportions of signal.
    prior : (B, ...) array
        X*_0, a sample of the conditional prior.
    noise : callable
        Draws standard normal noise of the same shape.
    how : Sampling
        The sampler S; T1 and T2, 0 <= T1 <= T2 <= T (T1 = T2 is ordinary
        latent diffusion, T1 = 0 and T2 = T is the prior alone); and the
        network calls that the whole way from T to 0 would take, of which
        the parts that are walked take their share.
    printed : bool
        Line 6 as printed, a * X*_T1 + u * X_T2, instead of the form that
        Eq. (6) gives when one eps is eliminated, a * X*_0 + u * X_T2.

    Returns
    -------
    (B, ...) array, X_0.

    Raises
    ------
    ValueError
        T1 and T2 are not in order, or not between 0 and T.
    """
    steps, t1, t2 = schedule.steps, how.t1, how.t2
    if not 0 <= t1 <= t2 <= steps:
        raise ValueError(f"expected 0 <= T1 <= T2 <= {steps}: {t1}, {t2}")
    if t1 == 0 and t2 == steps:
        return prior
    step = SAMPLERS[how.sampler]
    x = noise()
    if t1 == t2:
        return walk(
            denoise, schedule, x, steps - 1, -1, how.calls, noise, step
        )
    if t2 < steps:
        calls = _share(how.calls, steps - t2, steps)
        x = walk(denoise, schedule, x, steps - 1, t2 - 1, calls, noise, step)
    # T1 steps are the numbers 0 .. T1 - 1: of none, the clean sample is left.
    a_1, b_1 = schedule.at(t1 - 1)
    a_2, b_2 = schedule.at(t2 - 1)
    # Eq. (8): x_T2's noise is scaled to that of T1, the signal replaced.
    u = b_1 / b_2
    a = a_1 - a_2 * u
    start = a_1 * prior + b_1 * noise() if printed else prior
    x = a * start + u * x
    if t1 == 0:
        return x
    calls = _share(how.calls, t1, steps)
    return walk(denoise, schedule, x, t1 - 1, -1, calls, noise, step)


def renew(
    denoise: Denoiser,
    schedule: Schedule,
    x_0: Array,
    noise: Noise,
    step: int,
    how: Sampling,
) -> Array:
    """Noise samples to a step by Eq. (6), and denoise them again.

    Samples of the model's distribution stay samples of it: the smaller the
    step, the nearer to where they were.

    Parameters
    ----------
    denoise, schedule, noise
        As in `algorithm_4`.
    x_0 : (B, ...) array
    step : int
        0 <= step < T.
    how : Sampling
        The sampler, and the network calls of the whole way from T to 0.
    """
    a, b = schedule.at(step)
    # Copies of one sample take different noise, and come out different.
    x = a * x_0 + b * noise()
    calls = _share(how.calls, step, schedule.steps)
    sampler = SAMPLERS[how.sampler]
    return walk(denoise, schedule, x, step, -1, calls, noise, sampler)


def _share(calls: int, part: int, steps: int) -> int:
    """The calls that a part of all steps takes; at least one."""
    return max(1, round(calls * part / steps))


def _full(x: Array, t: int) -> Array:
    """Step t for each sample of a batch, (B,) int64."""
    xp = array_namespace(x)
    return xp.full((len(x),), t, dtype=xp.int64, device=device(x))
