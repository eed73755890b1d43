"""What an answer tells of the number of atoms, and how far that may be off.

The range of N is centred between what explains the data alike, and as wide as
answers that look like this one are off on simulated powders.  So the error of
log N is divided by a spread that is told from what a user can see, and of
that ratio a share of the powders of each stratum lies below a factor (split
conformal prediction with a normalised score: Lei and others, J. Am. Stat.
Assoc. 2018, 113, 1094; by strata: Vovk, Gammerman & Shafer, Algorithmic
Learning in a Random World, 2005).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from diffpy_cbldm.protocols import Stored

SHARES = (0.5, 0.9)

FAR = 0.75
"""A particle of a larger share of the range of r has its end less well seen.
"""

USUAL = 0.1
"""Rw below which a misfit is small for a powder."""

LOWEST = 0.02
"""A lower Rw tells no more of the size."""

SKEW = 1.25
"""Powders have fewer atoms than is told rather than more (atoms are missing
from their surfaces): by so many times as far the range reaches down."""

CENTRE = (0.5, 0.4)
"""How far the centre lies from the answer towards the lower and the upper end
of what explains the data alike, in log N."""

SPREAD = {
    "answer": -2.53,
    "rw": 1.11,
    "alike": 1.1,
    "beyond": 0.13,
    "unknown": 0.17,
    "second": 0.38,
}
"""The logarithm of the spread is the sum of these times the features of
`SizeEvidence.features`."""

FACTORS: dict[str, dict[float, float]] = {
    "small, Qdamp known": {0.5: 0.0, 0.9: 1.2},
    "small, Qdamp unknown": {0.5: 0.0, 0.9: 1.28},
    "large, Qdamp known": {0.5: 0.0, 0.9: 2.25},
    "large, Qdamp unknown": {0.5: 0.0, 0.9: 0.84},
    "misfit, Qdamp known": {0.5: 0.88, 0.9: 3.11},
    "misfit, Qdamp unknown": {0.5: 0.0, 0.9: 2.44},
}
"""Spreads from the centre to the ends of the range, by stratum and share.

All three tables are made by ``python -m tests.benchmarks.measured_world
--facts --misfits FILE`` of 400 default jobs and 25 further ones that leave a
misfit."""


@dataclasses.dataclass(frozen=True)
class SizeEvidence(Stored):
    """What is seen of an answer that tells its size.

    Attributes
    ----------
    atoms : int
        Of the structure that explains the data best; beside a crystal of a
        second phase where there is one.
    low, high : int
        The least and the most atoms of what explains the data as well.
    rw : float
        Of that structure, and of the second phase with it.
    reach : float
        Its diameter over the range of r.
    known : bool
        Whether Qdamp is.
    second : bool
        Whether there is a second phase.
    """

    atoms: int
    low: int
    high: int
    rw: float
    reach: float
    known: bool
    second: bool = False

    @property
    def stratum(self) -> str:
        """The part of all answers to which this one belongs."""
        size = "large" if self.reach > FAR else "small"
        # Where much is left unexplained, the size tells little about how
        # well.
        kind = size if self.rw < USUAL else "misfit"
        return f"{kind}, Qdamp {'known' if self.known else 'unknown'}"

    @property
    def centre(self) -> float:
        """The middle of the range, log N."""
        down = math.log(self.low / self.atoms)
        up = math.log(self.high / self.atoms)
        return math.log(self.atoms) + CENTRE[0] * down + CENTRE[1] * up

    @property
    def features(self) -> dict[str, float]:
        """What the spread depends on, by the names of `SPREAD`."""
        return {
            "answer": 1.0,
            "rw": math.log(max(self.rw, LOWEST) / 0.07),
            "alike": math.log1p(math.log(self.high / self.low)),
            "beyond": float(self.reach > 1),
            "unknown": float(not self.known),
            "second": float(self.second),
        }

    @property
    def spread(self) -> float:
        """How far log N of such answers is off, about."""
        told = self.features
        return math.exp(sum(SPREAD[name] * told[name] for name in SPREAD))

    def ends(self, factor: float) -> tuple[int, int]:
        """The range of N so many spreads about the centre."""
        wide = min(factor * self.spread, 5.0)
        return (
            max(math.floor(math.exp(self.centre - SKEW * wide)), 1),
            math.ceil(math.exp(self.centre + wide / SKEW)),
        )

    def score(self, true: float) -> float:
        """By how many spreads a true N is off the centre."""
        off = math.log(true) - self.centre
        return max(-off / SKEW, off * SKEW) / self.spread


def conformal(scores: Sequence[float], share: float) -> float:
    """The (n + 1) * share-th least of some scores; infinite for too few."""
    place = math.ceil((len(scores) + 1) * share - 1e-9)
    return math.inf if place > len(scores) else sorted(scores)[place - 1]


def fitted(
    some: Sequence[SizeEvidence], true: Sequence[float]
) -> tuple[tuple[float, float], dict[str, float]]:
    """`CENTRE` and `SPREAD` of answers whose N is known.

    The most likely ones for errors that fall off exponentially, with weak
    priors that features say nothing.

    Parameters
    ----------
    some : sequence of SizeEvidence
    true : sequence of float
        The weight mean of N of each.
    """
    from scipy.optimize import minimize

    answer, low, high, n = (
        np.log([one.atoms for one in some]),
        np.log([one.low for one in some]),
        np.log([one.high for one in some]),
        np.log(np.asarray(true, float)),
    )
    told = np.array([list(one.features.values()) for one in some])

    def loss(p: np.ndarray) -> float:
        off = n - answer - p[0] * (low - answer) - p[1] * (high - answer)
        log_spread = told @ p[2:]
        # Smooth where the error is small against the spread.
        size = np.sqrt((off * np.exp(-log_spread)) ** 2 + 0.01)
        return float(np.mean(log_spread + size) + 0.01 * (p[3:] @ p[3:]))

    start = np.array([*CENTRE, *SPREAD.values()])
    p = minimize(loss, start, method="L-BFGS-B").x
    return (float(p[0]), float(p[1])), dict(zip(SPREAD, map(float, p[2:])))
