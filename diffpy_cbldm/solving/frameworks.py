"""Symmetric frameworks beside other structures: their charge, and their N.

Orbits that were relaxed are coordinates adjusted to the data, up to ten of
them: a framework comes before a structure without them only where it fits
better by more than they are worth.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from diffpy_cbldm.cluster import Candidate
from diffpy_cbldm.crystals.point_groups import operations, orbits
from diffpy_cbldm.fitting.moves import kind_of
from diffpy_cbldm.solving.atom_range import AtomRange, atom_range, spread


def orbit_choices(candidate: Candidate) -> int:
    """How many coordinates of orbits were refined, and how many orbits are.

    That an orbit is there is a choice as well.  0 where none was relaxed.
    """
    count = sum(kind_of(name) == "orbits" for name in candidate.parameters)
    if not count:
        return 0
    x = candidate.positions
    return count + len(orbits(x, operations(x)))


def charged_rw(candidate: Candidate, points: float) -> float | None:
    """Rw with what the relaxed orbits cost; None without a refinement.

    By the Bayesian information criterion a variable is worth a factor of
    points ** (1 / points) in Rw^2; the misfit sets the scale, whether it is
    noise or not.

    Parameters
    ----------
    candidate : Candidate
    points : float
        Independent points of the data.
    """
    if candidate.rw is None:
        return None
    cost = orbit_choices(candidate) * math.log(points)
    return candidate.rw * math.exp(0.5 * cost / points)


def framework_range(
    candidates: Sequence[Candidate], points: float
) -> AtomRange | None:
    """The range of N around a framework that comes first.

    Parameters
    ----------
    candidates : sequence of Candidate
        As ranked.
    points : float
        Independent points of the data.

    Returns
    -------
    AtomRange or None
        As wide as the refined structures differ, each counting the less the
        worse it fits; None where the first has no relaxed orbits.
    """
    if "orbits" not in candidates[0].edits:
        return None
    values = [charged_rw(c, points) for c in candidates]
    known = [(len(c), v) for c, v in zip(candidates, values) if v]
    if not known:
        return None
    criteria = [2 * points * math.log(value) for _, value in known]
    scale = spread(
        [atoms for atoms, _ in known],
        criteria,
        (len(candidates[0]), criteria[0]),
        edited=True,
    )
    return atom_range(len(candidates[0]), scale)
