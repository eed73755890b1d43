"""How sure the first-neighbour distance and the structure type are.

Both were counted on the simulated powders of the ranges of N
(`diffpy_cbldm.solving.size_evidence`), in the same strata.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from diffpy_cbldm.cluster import Candidate
from diffpy_cbldm.crystals.bonds import nearest_neighbour_distance
from diffpy_cbldm.protocols import Stored
from diffpy_cbldm.solving.atom_range import AtomRange
from diffpy_cbldm.solving.size_evidence import SizeEvidence
from diffpy_cbldm.solving.verdict import Verdict

BOND: dict[str, dict[float, float]] = {
    "small, Qdamp known": {0.5: 0.0047, 0.9: 0.0128},
    "small, Qdamp unknown": {0.5: 0.003, 0.9: 0.0141},
    "large, Qdamp known": {0.5: 0.0025, 0.9: 0.0158},
    "large, Qdamp unknown": {0.5: 0.0017, 0.9: 0.0074},
    "misfit, Qdamp known": {0.5: 0.0019, 0.9: 0.0272},
    "misfit, Qdamp unknown": {0.5: 0.0034, 0.9: 0.0172},
}
"""Relative errors of the distance that so many powders stay below, by
stratum; that of the wavelength is one of them."""

TYPES: dict[str, tuple[int, int]] = {
    "small": (88, 88),
    "large": (197, 197),
    "misfit": (26, 30),
    "rivals": (19, 34),
}
"""Answers of the right type, and all: where no other type is named, and where
one fits as well.  Both tables are made by ``python -m
tests.benchmarks.measured_world --facts``."""


@dataclasses.dataclass(frozen=True)
class BondRange(Stored):
    """First-neighbour distances that a particle may have.

    Attributes
    ----------
    length : float, angstrom
        Of the best structure.
    low, high : float, angstrom
    share : float
        Of how many simulated powders such a range holds the distance.
    """

    length: float
    low: float
    high: float
    share: float

    def __str__(self) -> str:
        return f"{self.length:.3f} A ({self.low:.3f} to {self.high:.3f} A)"


def other_ranges(
    best: Candidate, atoms: AtomRange | None, verdict: Verdict
) -> dict[str, Any]:
    """What a solution holds beside N, where powders tell it.

    Parameters
    ----------
    best : Candidate
    atoms : AtomRange or None
    verdict : Verdict
        Whether it names other types.
    """
    seen = atoms and atoms.evidence
    if not seen:
        return {}
    return {
        "bond": bond_range(best, seen),
        "type_probability": type_probability(seen, len(verdict.types) > 1),
    }


def bond_range(
    best: Candidate, seen: SizeEvidence, share: float = 0.9
) -> BondRange:
    """The range of the first-neighbour distance of an answer.

    Parameters
    ----------
    best : Candidate
    seen : SizeEvidence
        Its stratum is taken.
    share : float
        One of those of `BOND`.
    """
    length = nearest_neighbour_distance(best.positions)
    factor = math.exp(BOND[seen.stratum][share])
    return BondRange(length, length / factor, length * factor, share)


def type_probability(seen: SizeEvidence, rivals: bool) -> float:
    """How often the first type of such answers is the right one.

    By Laplace's rule: of all that were counted and two more, of which one is
    right.

    Parameters
    ----------
    seen : SizeEvidence
    rivals : bool
        Whether other types are named beside the first.
    """
    kind = "rivals" if rivals else seen.stratum.split(",")[0]
    right, counted = TYPES[kind]
    return (right + 1) / (counted + 2)
