"""Icosahedra and decahedra of the library with their orbits relaxed.

Ligands and strain move whole shells of a small cluster, and the ideal one that
fits best before is not the one that fits best after.  So where no ideal
cluster explains the data, several are relaxed, and the best by the criterion
are edits among others: they must predict r that was left out.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

from diffpy_cbldm import settings
from diffpy_cbldm.cluster import Candidate
from diffpy_cbldm.crystals.table import load_table
from diffpy_cbldm.fitting.quickfit import QuickFit, quick_fit
from diffpy_cbldm.fitting.target import Target
from diffpy_cbldm.memory import give_back
from diffpy_cbldm.polishing.candidates import Front, edited_from
from diffpy_cbldm.polishing.crystal import Crystal, Measured, Polished
from diffpy_cbldm.polishing.front import SYMMETRIC, predicted, sound
from diffpy_cbldm.polishing.orbits import roughly_relaxed, settled
from diffpy_cbldm.processes import at_once
from diffpy_cbldm.search.by_library import screened_library
from diffpy_cbldm.search.by_shells import asks_for_shells
from diffpy_cbldm.solving.plainest import EXPLAINED

FEWEST = 20
"""Atoms of a cluster whose orbits are more than its size."""

FITTED = 32
"""Ideal clusters with orbits that are fitted as they are: the best half of
them as they were screened."""

LOOKED_AT, TRIES = 8, 4
"""Ideal clusters whose orbits are relaxed, and from how many starts."""

SETTLED = 3
"""Of these so many, the best, are relaxed in earnest."""

EDITED = 2
"""Of these the best that predicts r that was left out is an edit; so many are
asked."""

FORESEEN = 0.1
"""Rw of the best proposal so far above which edits of it will hardly explain
the data, so that relaxed clusters will be asked for."""

Ideal = list[tuple[Candidate, QuickFit]]
"""Ideal clusters as they fit."""

Met = tuple[Ideal, dict[int, Polished]]
"""Ideal clusters, and those of them that were relaxed, by their places."""


@dataclasses.dataclass(frozen=True)
class Relaxed:
    """What came of the library's icosahedra and decahedra.

    Attributes
    ----------
    fronts : list of Front
        The best that holds on r left out, or none.
    met : list of Polished
        All that were relaxed, for the range of N.
    """

    fronts: list[Front] = dataclasses.field(default_factory=list)
    met: list[Polished] = dataclasses.field(default_factory=list)


def relaxed_library(
    starts: Sequence[Candidate],
    target: Target,
    used: settings.Solve,
    least: float = math.inf,
    made: Met | None = None,
) -> Relaxed:
    """Relax icosahedra and decahedra.

    Parameters
    ----------
    starts : sequence of Candidate
        What is edited as well: not once more.
    target : Target
    used : settings.Solve
    least : float
        The least Rw of all else, edited or not.
    made : Met, optional
        What `relaxed_ahead` gave.

    Returns
    -------
    Relaxed
        Empty where an ideal cluster, a relaxed framework or anything else
        explains the data, where the particle is larger than those of the
        table, and where the library was not asked.
    """
    if "library" not in used.generators.split(",") or least < EXPLAINED:
        return Relaxed()
    known = any("orbits" in c.edits for c in starts)
    if known or not asks_for_shells(target):
        return Relaxed()
    ideal, met = made or _made(target)
    taken = {(c.structure_type, len(c)) for c in starts}
    for k in sorted(met, key=lambda k: met[k].criterion)[:EDITED]:
        start, fit = ideal[k]
        if (start.structure_type, len(start)) in taken:
            continue
        as_fitted = _crystal(start, fit, target).judged()
        front = _front(start, as_fitted, met[k], target, used.roughness)
        if front.changed and front.holds:
            return Relaxed([front], list(met.values()))
    return Relaxed([], list(met.values()))


def relaxed_ahead(proposed: Sequence[Candidate], target: Target) -> Met | None:
    """What `relaxed_library` will need, on a core that has nothing to do.

    Parameters
    ----------
    proposed : sequence of Candidate
        By generators that have answered already; the best of each before
        its others.
    target : Target

    Returns
    -------
    Met or None
        None where it may be that nothing will be relaxed.
    """
    known = any("orbits" in c.edits for c in proposed)
    if known or not asks_for_shells(target):
        return None
    firsts = {c.generator: c.positions for c in reversed(proposed)}
    fits = quick_fit([*firsts.values()], target, scan=(0.0,))
    if min((fit.rw for fit in fits), default=0.0) < FORESEEN:
        return None
    return _made(target)


def _made(target: Target) -> Met:
    """Ideal clusters with orbits, relaxed."""
    ideal = _ideal(target)
    give_back()  # what the fits of all have left behind
    return ideal, _met(ideal, target)


def _crystal(start: Candidate, fit: QuickFit, target: Target) -> Crystal:
    """An ideal cluster as fitted, on data of its own.

    What is kept with the data must not depend on which cluster is first.
    """
    data, kind = Measured(target), start.structure_type
    return Crystal(start.positions, kind, data, fit=fit)


def _met(
    ideal: Sequence[tuple[Candidate, QuickFit]], target: Target
) -> dict[int, Polished]:
    """Relaxed clusters by their places; without those in which nothing moves.

    Only the best after the first descent go on.
    """

    def first(one: tuple[Candidate, QuickFit]) -> Polished | None:
        rough = roughly_relaxed(_crystal(*one, target), TRIES)
        return rough.judged() if rough else None

    def further(k: int) -> Polished | None:
        kind, p = ideal[k][0].structure_type, found[k]
        data = Measured(target)
        return settled(Crystal(p.lattice, kind, data, p.values, p.fit))

    rough = at_once(first, ideal)
    found = {k: one for k, one in enumerate(rough) if one}
    best = sorted(found, key=lambda k: found[k].criterion)[:SETTLED]
    every = found | dict(zip(best, at_once(further, best)))
    return {k: p for k, p in every.items() if p is not None}


def _front(
    start: Candidate,
    as_fitted: Polished,
    relaxed: Polished,
    target: Target,
    limit: float,
) -> Front:
    """A relaxed cluster as an edit, and what it predicts."""
    found = [as_fitted] + [p for p in [relaxed] if sound(p, limit)]
    traced = tuple(edited_from(start, as_fitted, p) for p in found)
    x, kind = start.positions, start.structure_type
    seen = predicted(x, kind, target, kinds=("orbits",), limit=limit)
    return Front(start, traced, seen)


def _ideal(target: Target) -> Ideal:
    """The ideal clusters with orbits to relax that fit best as they are."""
    table, (rw, bonds) = load_table(), screened_library(target)
    places = [
        k
        for k, one in enumerate(table.geometries)
        if one.structure_type in SYMMETRIC and len(one.members) >= FEWEST
    ]
    places.sort(key=lambda k: rw[k])
    known = [
        Candidate(
            (target.element,) * len(table.geometries[k].members),
            table.positions(k) * bonds[k],
            structure_type=table.geometries[k].structure_type,
            generator="library",
        )
        for k in places[:FITTED]
    ]
    # The screening does not fit Qdamp and widths, which large ones need.
    fits = quick_fit([c.positions for c in known], target, scan=(0.0,))
    order = sorted(range(len(known)), key=lambda k: fits[k].rw)
    return [(known[k], fits[k]) for k in order[:LOOKED_AT]]
