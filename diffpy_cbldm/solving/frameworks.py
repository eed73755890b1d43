"""Symmetric frameworks beside other structures: their charge, and their N.

Orbits that were relaxed are coordinates adjusted to the data, up to ten of
them: a framework comes before a structure without them only where it fits
better by more than they are worth.  What was adjusted in the other way, atoms
on sites of a crystal, costs alike.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from diffpy_cbldm.cluster import Candidate
from diffpy_cbldm.crystals.point_groups import operations, orbits
from diffpy_cbldm.fitting.moves import kind_of
from diffpy_cbldm.polishing.costs import edit_cost, rough_beyond
from diffpy_cbldm.solving.atom_range import AtomRange, atom_range, spread


def orbit_choices(candidate: Candidate) -> int:
    """How many coordinates of orbits were refined, and how many orbits are.

    That an orbit is there is a choice as well; those of an ideal cluster of
    the library come with its type and size.  0 where none was relaxed.
    """
    count = sum(kind_of(name) == "orbits" for name in candidate.parameters)
    if not count or candidate.generator == "library":
        return count
    x = candidate.positions
    return count + len(orbits(x, operations(x)))


def charged_rw(
    candidate: Candidate, points: float, edits: bool = False
) -> float | None:
    """Rw with what the relaxed orbits cost; None without a refinement.

    By the Bayesian information criterion a variable is worth a factor of
    points ** (1 / points) in Rw^2; the misfit sets the scale, whether it is
    noise or not.

    Parameters
    ----------
    candidate : Candidate
    points : float
        Independent points of the data.
    edits : bool
        Whether other edits cost as well: broken bonds beyond those of a
        compact cluster, and moves of surface and lattice.  Where some
        structure has relaxed orbits they are told from it by that alone.
    """
    if candidate.rw is None:
        return None
    each = math.log(points)
    cost = orbit_choices(candidate) * each
    kinds = [kind_of(name) for name in candidate.parameters]
    # A framework is no crystal from which atoms are missing.
    if edits and not (cost and candidate.generator != "library"):
        cost += each * sum(kind in ("strain", "surface") for kind in kinds)
        x = candidate.positions
        _, _, beyond = rough_beyond(x, candidate.structure_type)
        cost += edit_cost(len(x), points) * max(beyond, 0.0)
    return candidate.rw * math.exp(0.5 * cost / points)


def charged_rws(
    candidates: Sequence[Candidate], points: float
) -> list[float | None]:
    """`charged_rw` of candidates that are compared with one another."""
    relaxed = any("orbits" in c.edits for c in candidates)
    return [charged_rw(c, points, edits=relaxed) for c in candidates]


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
    values = charged_rws(candidates, points)
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
