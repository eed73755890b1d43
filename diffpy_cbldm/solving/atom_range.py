"""How many atoms a particle has: a range that holds as often as it says.

Structures of different size fit alike, and the search does not meet all of
them.  The range is as wide as those that it met differ, and some more, times
a factor that was calibrated on simulated particles whose number is known
(split conformal prediction: Lei et al., J. Am. Stat. Assoc. 2018, 113, 1094).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from diffpy_cbldm.protocols import Stored
from diffpy_cbldm.solving.size_evidence import SizeEvidence

WITHIN = 40.0
"""Structures count the less the higher their criterion, and from so much above
that of the answer on not at all."""

FLOOR = 0.05
"""Spread (of log N) that edits have beyond what the search met."""

FACTORS = {0.5: 0.16, 0.9: 1.31}
"""By how many spreads N is off at most, in these shares of simulated
particles; made by ``python -m tests.benchmarks.polish``, see the documentation
of polishing."""


@dataclasses.dataclass(frozen=True)
class AtomRange(Stored):
    """Numbers of atoms that a particle may have.

    Attributes
    ----------
    atoms : int
        Of the structure that the criterion prefers.
    low, high : int
    share : float
        Of how many simulated particles such a range holds the number.
    doubted : bool
        Whether the answer is doubted, or none: see
        `diffpy_cbldm.solving.verdict`.
    evidence : SizeEvidence or None
        Of powders: what the range was made of.
    """

    atoms: int
    low: int
    high: int
    share: float
    doubted: bool = False
    evidence: SizeEvidence | None = None

    def __str__(self) -> str:
        if self.low == self.high:
            return f"{self.atoms} atoms"
        return f"{self.low} to {self.high} atoms"


def spread(
    counts: Sequence[int],
    criteria: Sequence[float],
    answer: tuple[int, float],
    edited: bool,
) -> float:
    """The scale of what is not known of log N.

    Parameters
    ----------
    counts, criteria : (n,) sequences
        Numbers of atoms and criteria of all structures that were met.
    answer : tuple of int and float
        Those of the structure that the criterion prefers.
    edited : bool
        Whether that structure was edited; a proposed one that nothing beats
        is right or far off.

    Returns
    -------
    float
        How far log N goes up and down from the answer, each structure by the
        less the higher its criterion, and `FLOOR` for an edited one.
    """
    atoms, criterion = answer
    # One that the criterion likes better counts as much as the answer.
    above = (np.asarray(criteria, float) - criterion).clip(0)
    off = np.log(np.asarray(counts) / atoms) * (1 - above / WITHIN).clip(0)
    return float(max(off.max(), 0) - min(off.min(), 0)) + FLOOR * edited


def atom_range(atoms: int, scale: float, share: float = 0.9) -> AtomRange:
    """The range of N at a spread, for a share of `FACTORS`."""
    wide = FACTORS[share] * scale
    return AtomRange(
        atoms,
        math.ceil(atoms * math.exp(-wide) - 1e-9),
        math.floor(atoms * math.exp(wide) + 1e-9),
        share,
    )


def factor(
    true: Sequence[int],
    atoms: Sequence[int],
    scales: Sequence[float],
    share: float,
) -> float:
    """The factor with which a share of ranges hold the true number.

    Parameters
    ----------
    true, atoms : (n,) sequences of int
        Numbers of atoms, and of the answers.
    scales : (n,) sequence of float
        See `spread`.
    share : float

    Returns
    -------
    float
        The (n + 1) * share-th least error in units of the spread, rounded
        up; infinite for too few cases.
    """
    off = np.abs(np.log(np.asarray(true) / np.asarray(atoms)))
    scores = np.sort(off / np.maximum(scales, 1e-12))
    place = math.ceil((len(scores) + 1) * share - 1e-9)
    return float(scores[place - 1]) if place <= len(scores) else math.inf
