"""What `solve` adds to the best structure where it is asked for."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from diffpy_cbldm import settings
from diffpy_cbldm.cluster import Candidate
from diffpy_cbldm.crystals.table import load_table
from diffpy_cbldm.errors import CbldmError
from diffpy_cbldm.fitting.distribution import (
    SizeDistribution,
    size_distribution,
)
from diffpy_cbldm.fitting.ligands import LigandShell, ligand_shell
from diffpy_cbldm.fitting.quickfit import START, QuickFit
from diffpy_cbldm.fitting.target import Target
from diffpy_cbldm.fitting.two_phases import (
    TwoPhases,
    best_of_types,
    two_phases,
)
from diffpy_cbldm.formula import read_formula
from diffpy_cbldm.polishing.crystal import Measured
from diffpy_cbldm.threads import side_by_side

STRETCHES = (0.98, 0.99, 1.0, 1.01, 1.02)
"""Factors of their size at which these are tried."""

LOOKED_AT = 20
"""Structures of each type that are tried at these."""

TRIED = 3
"""So many of each structure type, the best, are fitted together with the
first."""

LEAST = 1 / 3
"""A second particle has at least so many of the atoms of the first: a smaller
one imitates ligands."""

BINDERS = ("S", "Se", "P", "N", "O", "Cl", "Br", "I")
"""Elements of ligands that bind to a metal, the likeliest first."""


@dataclasses.dataclass(frozen=True)
class OnDemand:
    """What was asked for beside the structures, and why something is missing.

    Attributes
    ----------
    distribution : SizeDistribution or None
    ligands : LigandShell or None
    phases : TwoPhases or None
    notes : tuple of str
    """

    distribution: SizeDistribution | None = None
    ligands: LigandShell | None = None
    phases: TwoPhases | None = None
    notes: tuple[str, ...] = ()


def on_demand(
    candidates: list[Candidate], target: Target, used: settings.Solve
) -> OnDemand:
    """Fit what the settings ask for.

    Parameters
    ----------
    candidates : list of Candidate
        As ranked.
    target : Target
    used : settings.Solve
    """
    best, notes = candidates[0], list(_ligand_offer(target, used))
    widths = shell = pair = None
    if used.distribution == "yes":
        try:
            widths = size_distribution(best, target)
        except CbldmError as error:
            notes.append(f"No distribution of sizes was fitted: {error}")
    if used.ligand is not None:
        try:
            shell = ligand_shell(best, target, used.ligand)
        except CbldmError as error:
            notes.append(f"No shell of ligands was fitted: {error}")
    if used.phases == 2:
        seconds = second_particles(candidates, target)
        if not seconds or best.rw is None:
            notes.append(
                "No second particle was fitted: no structure of another type, "
                "or the best one was not refined."
            )
        else:
            pair = _best_pair(best, seconds, target)
    return OnDemand(widths, shell, pair, tuple(notes))


def _best_pair(
    best: Candidate, seconds: dict[str, list[Candidate]], target: Target
) -> TwoPhases:
    """The best pair: of each type some, and then more of its type."""

    def pairs(some: Sequence[Candidate]) -> list[TwoPhases]:
        return side_by_side(lambda c: two_phases(best, c, target), some)

    first = pairs([c for same in seconds.values() for c in same[:TRIED]])
    found = min(first, key=lambda pair: pair.rw)
    more = pairs(seconds[found.types[1]][TRIED:])
    return best_of_types([*first, *more], target.independent_points)


def _ligand_offer(target: Target, used: settings.Solve) -> Iterable[str]:
    """Offer the ligand that a composition names."""
    if target.pdf.composition is None or used.ligand is not None:
        return
    amounts = read_formula(target.pdf.composition).amounts
    binder = next((symbol for symbol in BINDERS if symbol in amounts), None)
    # An oxide is no metal with ligands: those have carbon as well.
    if binder and "C" in amounts and target.element != binder:
        yield (
            f"The composition names ligands: --ligand {binder} "
            f"(ligand={binder!r}) fits a shell of {binder} about the particle."
        )


def second_particles(
    candidates: list[Candidate], target: Target
) -> dict[str, list[Candidate]]:
    """The structures of other types that best add to the first one.

    Parameters
    ----------
    candidates : list of Candidate
        As ranked; of them, and of the ideal clusters of the library, those
        with which two scales leave the least of the data.
    target : Target

    Returns
    -------
    dict of str to list of Candidate
        `LOOKED_AT` of each type at most, the best first.
    """
    best = candidates[0]
    gain = _gain(best, target)
    others = [c for c in candidates[1:] if _another(c, best)]
    others += _library(target, best)
    gains = [gain(c.positions, (1.0,)) for c in others]
    chosen: dict[str, list[tuple[float, Candidate]]] = {}
    for k in np.argsort(gains, kind="stable")[::-1]:
        same = chosen.setdefault(others[k].structure_type, [])
        if len(same) < LOOKED_AT:
            # A stretch that fits all of the sample is not that of a part.
            again = gain(others[k].positions, STRETCHES)
            same.append((again, others[k]))
    return {
        kind: [c for _, c in sorted(same, key=lambda pair: -pair[0])]
        for kind, same in chosen.items()
    }


def _gain(
    best: Candidate, target: Target
) -> Callable[[np.ndarray, Sequence[float]], float]:
    """How much a second structure explains of what the best one leaves.

    Of positions (n, 3), A, at some stretches: the part of the data along
    what the second has and the first has not, both scales at their best.
    """
    known = {name: value for name, (value, _) in best.parameters.items()}
    fit = QuickFit(
        1.0,
        1.0,
        stretch=1.0,
        uiso=known.get(f"{target.element}_Uiso", START["uiso"]),
        delta2=known.get("delta2", START["delta2"]),
        qdamp=known.get("qdamp", target.first_qdamp),
    )
    basis = Measured(target).basis(fit, best.positions)
    first = _unit(basis.total(best.positions))
    rest = basis.data - first * max(first @ basis.data, 0.0)

    def gain(positions: np.ndarray, stretches: Sequence[float]) -> float:
        most = 0.0
        for stretch in stretches:
            own = basis.total(stretch * positions)
            own = _unit(own - first * (first @ own))
            most = max(most, float(own @ rest))
        return most

    return gain


def _another(candidate: Candidate, best: Candidate) -> bool:
    """Whether a structure is of another type, and large enough."""
    other = candidate.structure_type != best.structure_type
    return other and len(candidate) >= LEAST * len(best)


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / (np.linalg.norm(vector) or 1.0)


def _library(target: Target, best: Candidate) -> list[Candidate]:
    """All ideal clusters of other types, at the bond length of the data."""
    table = load_table()
    return [
        Candidate(
            elements=(target.element,) * len(one.members),
            positions=table.positions(place) * target.bond,
            structure_type=one.structure_type,
            generator="library",
        )
        for place, one in enumerate(table.geometries)
        if one.structure_type != best.structure_type
        and len(one.members) >= LEAST * len(best)
    ]
