"""Icosahedra and decahedra of the library with their orbits relaxed.

Ligands and strain move whole shells of a small cluster, and the ideal one that
fits best before is not the one that fits best after.  So where no ideal
cluster explains the data, several are relaxed, and the best by the criterion
are edits among others: they must predict r that was left out.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from diffpy_cbldm import settings
from diffpy_cbldm.cluster import Candidate
from diffpy_cbldm.crystals.table import load_table
from diffpy_cbldm.fitting.quickfit import quick_fit
from diffpy_cbldm.fitting.target import Target
from diffpy_cbldm.polishing.candidates import Front, edit
from diffpy_cbldm.polishing.crystal import Measured, Polished
from diffpy_cbldm.polishing.front import SYMMETRIC
from diffpy_cbldm.polishing.orbits import relaxed_ideal
from diffpy_cbldm.search.by_library import screened_library
from diffpy_cbldm.search.by_shells import asks_for_shells
from diffpy_cbldm.threads import side_by_side

FEWEST = 20
"""Atoms of a cluster whose orbits are more than its size."""

LOOKED_AT, TRIES = 8, 4
"""Ideal clusters whose orbits are relaxed, and from how many starts."""

EDITED = 2
"""Of these so many, the best, are edited in earnest."""


@dataclasses.dataclass(frozen=True)
class Relaxed:
    """What came of the library's icosahedra and decahedra.

    Attributes
    ----------
    fronts : list of Front
        Those that hold on r left out.
    met : list of Polished
        All that were relaxed, for the range of N.
    """

    fronts: list[Front] = dataclasses.field(default_factory=list)
    met: list[Polished] = dataclasses.field(default_factory=list)


def relaxed_library(
    starts: Sequence[Candidate], target: Target, used: settings.Solve
) -> Relaxed:
    """Relax icosahedra and decahedra.

    Parameters
    ----------
    starts : sequence of Candidate
        What is edited as well: not once more.
    target : Target
    used : settings.Solve

    Returns
    -------
    Relaxed
        Empty where an ideal cluster or a relaxed framework explains the data,
        where the particle is larger than those of the table, and where the
        library was not asked.
    """
    if "library" not in used.generators.split(","):
        return Relaxed()
    known = any("orbits" in c.edits for c in starts)
    if known or not asks_for_shells(target):
        return Relaxed()
    data = Measured(target)

    def relaxed(start: Candidate) -> Polished | None:
        kind = start.structure_type
        return relaxed_ideal(start.positions, kind, data, TRIES)

    ideal = _ideal(target)
    met = {
        start: p
        for start, p in zip(ideal, side_by_side(relaxed, ideal))
        if p is not None
    }
    taken = {(c.structure_type, len(c)) for c in starts}
    best = [
        start
        for start in sorted(met, key=lambda c: met[c].criterion)[:EDITED]
        if (start.structure_type, len(start)) not in taken
    ]
    fronts = side_by_side(
        lambda start: edit(
            start, target, kinds=("orbits",), limit=used.roughness
        ),
        best,
    )
    held = [front for front in fronts if front.changed and front.holds]
    return Relaxed(held, list(met.values()))


def _ideal(target: Target) -> list[Candidate]:
    """The ideal clusters with orbits to relax that fit best as they are."""
    table, (_, bonds) = load_table(), screened_library(target)
    known = [
        Candidate(
            (target.element,) * len(one.members),
            table.positions(k) * bonds[k],
            structure_type=one.structure_type,
            generator="library",
        )
        for k, one in enumerate(table.geometries)
        if one.structure_type in SYMMETRIC and len(one.members) >= FEWEST
    ]
    # The screening does not fit Qdamp and widths, which large ones need.
    fits = quick_fit([c.positions for c in known], target, scan=(0.0,))
    order = sorted(range(len(known)), key=lambda k: fits[k].rw)
    return [known[k] for k in order[:LOOKED_AT]]
