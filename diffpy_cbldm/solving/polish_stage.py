"""The stage of `solve` that edits the best candidates."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

from diffpy_cbldm import settings
from diffpy_cbldm.cluster import Candidate
from diffpy_cbldm.crystals.alike import duplicates
from diffpy_cbldm.fitting.target import Target
from diffpy_cbldm.polishing.candidates import (
    Edited,
    Front,
    as_candidate,
    edit,
    edited_from,
    edited_type,
    predicting,
)
from diffpy_cbldm.polishing.crystal import Measured, Polished
from diffpy_cbldm.polishing.evidence import (
    by_evidence,
    evidence_share,
    supported,
)
from diffpy_cbldm.polishing.front import (
    EDIT_KINDS,
    best,
    check_kinds,
    other_sizes,
    pareto,
)
from diffpy_cbldm.processes import at_once, shared
from diffpy_cbldm.settings import MAX_ATOMS
from diffpy_cbldm.solving.atom_range import AtomRange, atom_range, spread
from diffpy_cbldm.solving.relaxed_library import Met, Relaxed, relaxed_library
from diffpy_cbldm.solving.solution import FrontPoint

STRETCH = 0.05
"""Structures that differ by less in size alone are one: it is refined."""

UNCHANGED = 0.005
"""An edit that changes the size by less than this changes nothing."""

POLISHED_COUNT = 4
"""Candidates that are polished: the best, and the first of each generator."""

LARGE_COUNT = 2
"""Of these at most so many of more than 256 atoms: they take seconds each."""

LAYER = 0.05
"""Particles of one type that differ in N by less are a layer apart."""

MISFIT = 0.1
"""Rw of the best candidate above which no two starts that differ by less than
a layer are edited: what is left is no matter of some surface atoms, and both
end at the same misfit."""

REFINED_COUNT = 3
"""Further structures of the front that are refined, by the criterion."""

REFUSED = (
    "Edits that lower Rw were left: the misfit of all structures is no noise, "
    "and counts as so few independent data that they may imitate it; name the "
    'kinds (polish=("sites",), --polish sites) to have them made.'
)
"""What the result says of edits without evidence."""


@dataclasses.dataclass(frozen=True)
class Edits:
    """What the edits of the best candidates gave.

    Attributes
    ----------
    refined : list of (Candidate, float)
        Edited structures after a native refinement, each with the Rw of its
        quick fit.
    front : tuple of FrontPoint
        From ideal to rough.
    atoms : AtomRange or None
        None where nothing was edited.
    relaxed : AtomRange or None
        The same around the best ideal cluster with relaxed orbits.
    refused : bool
        Whether edits that lower Rw were left, as a misfit that is no noise
        speaks for none.
    """

    refined: list[tuple[Candidate, float]]
    front: tuple[FrontPoint, ...]
    atoms: AtomRange | None
    relaxed: AtomRange | None = None
    refused: bool = False

    def range_of(self, best: Candidate) -> AtomRange | None:
        """The range of N that goes with an answer."""
        ideal = "orbits" in best.edits and best.generator == "library"
        return self.relaxed if ideal and self.relaxed else self.atoms


CHARGE = "charge"
"""Edits of compounds that balance the charge."""


def kinds_of(text: str) -> tuple[str, ...]:
    """The kinds of edits that the setting `polish` names.

    `CHARGE` is of compounds alone, and stands behind the others.
    """
    if text in ("yes", "no"):
        return EDIT_KINDS if text == "yes" else ()
    kinds = [kind.strip() for kind in text.split(",")]
    others = check_kinds([kind for kind in kinds if kind != CHARGE])
    return (*others, CHARGE) if CHARGE in kinds else others


def edit_best(
    starts: list[Candidate],
    target: Target,
    used: settings.Solve,
    made: Met | None = None,
    least: float = 0.0,
) -> Edits:
    """Edit some candidates, and refine what the data support.

    made : what `relaxed_ahead` gave.
    least : Rw of the best that was refined.
    """
    how: dict[str, Any] = {
        "kinds": [k for k in kinds_of(used.polish) if k != CHARGE],
        "limit": used.roughness,
    }
    fronts = at_once(
        lambda start: edit(start, target, **how),
        _to_polish(starts, used.polish == "yes" and least > MISFIT),
    )
    relaxed = Relaxed()
    if "orbits" in how["kinds"]:
        known = [c.rw for c in starts if c.rw is not None]
        known += [p.rw for front in fronts for p in front.found]
        found = min(known, default=math.inf)
        relaxed = relaxed_library(starts, target, used, found, made)
        fronts += relaxed.fronts
    if not fronts:
        return Edits([], (), None)
    own = [front.share for front in fronts]
    fronts, relaxed, share = _judged_alike(fronts, relaxed, target)
    # Kinds that are named are made all the same.
    some = used.polish == "yes" and share < 1
    asked = _asked_for(fronts, target) if some else _any
    unseen = len(fronts) - len(relaxed.fronts)

    def holds(k: int) -> bool:
        if k >= unseen:
            return True  # it was asked before
        made = predicting(fronts[k], target, share=own[k], **how)
        return made.holds

    held = _held(fronts, asked, holds)
    if not any(front.changed for front in held):
        refused = some and any(
            front.changed and holds(k) for k, front in enumerate(fronts)
        )
        atoms = _range_without_edits(fronts)
        return Edits([], (), atoms, refused=refused)
    near = min((best(front.found) for front in held), key=_criterion)
    sizes = other_sizes(
        near, near.start.structure_type, target, share=share, **how
    )
    more = [edited_from(near.start, near.as_fitted, p) for p in sizes]
    more = list(filter(asked, more))
    # Other sizes are judged by the criterion alone: their Rw hardly differs.
    answer = best([near, *more], lower=False)
    kept = pareto([*(p for front in held for p in front.found), *more])
    chosen = _to_refine(answer, kept, held)
    refined = shared(
        lambda p: (as_candidate(p, target, backend=used.backend), p.rw),
        chosen,
    )
    points = [_point(p, p is answer) for p in dict.fromkeys([*kept, answer])]
    points.sort(key=lambda point: point.roughness)
    met = [*more, *relaxed.met]
    atoms = _atoms(answer, fronts, met, bool(answer.edits))
    around = _around_relaxed(held, relaxed)
    return Edits(refined, tuple(points), atoms, around)


def _held(
    fronts: Sequence[Front],
    asked: Callable[[Edited], bool],
    holds: Callable[[int], bool],
) -> list[Front]:
    """The fronts whose edits hold, with those alone that are asked for.

    Edits count only where they predict r that was left out.  What is a third
    of the work: where the misfit asks for none of a front's, they are not
    looked at, and its start stays.

    holds : whether the edits of a front, by its place, hold
    """
    left = [
        dataclasses.replace(front, found=tuple(filter(asked, front.found)))
        for front in fronts
    ]
    open_ones = [k for k, front in enumerate(left) if front.changed]
    known = dict(zip(open_ones, at_once(holds, open_ones)))
    return [front for k, front in enumerate(left) if known.get(k, True)]


def _judged_alike(
    fronts: Sequence[Front], relaxed: Relaxed, target: Target
) -> tuple[list[Front], Relaxed, float]:
    """All structures judged by one number of points, and its share.

    That of the structure that fits best: its misfit is what no edit explains.
    """
    share = evidence_share([p for f in fronts for p in f.found], target)
    if share == 1:
        return list(fronts), relaxed, share
    alike = [
        dataclasses.replace(
            front,
            found=tuple(by_evidence(front.found, target, share)),
            share=share,
        )
        for front in fronts
    ]
    met = by_evidence(relaxed.met, target, share)
    return alike, Relaxed(relaxed.fronts, met), share


def _asked_for(
    fronts: Sequence[Front], target: Target
) -> Callable[[Edited], bool]:
    """Whether the misfit leaves evidence for an edited structure.

    It is held against the start that fits best, of all fronts.
    """
    plain = min((front.found[0] for front in fronts), key=lambda p: p.rw)
    points = Measured(target, share=fronts[0].share).points
    return lambda p: not p.edits or supported(p, plain, points)


def _any(p: Edited) -> bool:
    """All edits are as good: one structure explains the data."""
    return True


def _around_relaxed(
    held: Sequence[Front], relaxed: Relaxed
) -> AtomRange | None:
    """The range of N by what was relaxed alike: clusters with all shells.

    What else fits is in the range of the refined structures.
    """
    met = [p for front in held for p in front.changed if "orbits" in p.edits]
    if not met:
        return None
    best = min(met, key=_criterion)
    return _atoms(best, (), [*met, *relaxed.met], True)


def _to_polish(starts: list[Candidate], misfit: bool) -> list[Candidate]:
    """The first of each generator, and then the best of the others.

    Of those of one generator that are a layer apart the first alone, where a
    misfit is left that neither will explain.
    No framework whose orbits were relaxed: it is edited already, and its
    sites are those of no crystal that could go on.
    """
    starts = [c for c in starts if "orbits" not in c.edits]
    firsts = {c.generator: c for c in reversed(starts)}.values()
    order = sorted(firsts, key=starts.index)
    order += [c for c in starts if c not in order]
    chosen: list[Candidate] = []
    for c in order:
        large = [other for other in chosen if len(other) > MAX_ATOMS]
        if len(c) <= MAX_ATOMS or (
            len(large) < LARGE_COUNT
            and not any(_nearly(c, other) for other in large)
        ):
            chosen.append(c)
    chosen = chosen[:POLISHED_COUNT]
    if not misfit:
        return chosen
    return [
        c
        for k, c in enumerate(chosen)
        if not any(
            c.generator == other.generator and _nearly(c, other)
            for other in chosen[:k]
        )
    ]


def _nearly(a: Candidate, b: Candidate) -> bool:
    """Whether edits lead from one particle to the other."""
    apart = abs(len(a) - len(b)) / len(a)
    return a.structure_type == b.structure_type and apart < LAYER


def _range_without_edits(fronts: Sequence[Front]) -> AtomRange:
    """The range of N where no edit holds: around the best unedited one."""
    plain = [front.found[0] for front in fronts]
    answer = min(plain, key=_criterion)
    preferred = min((best(front.found) for front in fronts), key=_criterion)
    # Edits that the criterion would have taken, though they do not hold,
    # leave N as open as edits that do.
    return _atoms(answer, fronts, (), preferred not in plain)


def _to_refine(
    answer: Edited, kept: Sequence[Edited], fronts: Sequence[Front]
) -> list[Edited]:
    """The edited structures that get a native recipe, each shape once."""
    chosen = [answer, *sorted(kept, key=_criterion)[:REFINED_COUNT]]
    chosen += [best(front.found) for front in fronts]
    edited = [p for p in chosen if p.edits]
    alike = duplicates([p.positions for p in edited], stretch=STRETCH)
    return [edited[places[0]] for places in alike]


def _point(p: Edited, knee: bool) -> FrontPoint:
    """What the result says of a structure of the front."""
    kind = p.start.structure_type
    return FrontPoint(
        generator=p.start.generator,
        structure_type=edited_type(p) if p.edits else kind,
        n_atoms=len(p.positions),
        rw=p.rw,
        roughness=p.roughness,
        ratio=p.ratio,
        edits=p.edits,
        parameters=max(p.excess, 0.0) + len(p.values) + p.displaced,
        knee=knee,
    )


def marked(
    front: Sequence[FrontPoint], best: Candidate
) -> tuple[FrontPoint, ...]:
    """The front with its mark on the answer, where that stands in it.

    The ranking of the refined ones charges orbits, too, and may come to
    another structure than the criterion of the edits.  What another one
    beats in Rw, and is no rougher, stands in the front for the mark alone.

    Parameters
    ----------
    front : sequence of FrontPoint
    best : Candidate
        The first of the ranked ones.
    """

    def names(point: FrontPoint) -> bool:
        return (
            point.generator == best.generator
            and point.n_atoms == len(best)
            and {*point.edits} == {*best.edits}
        )

    places = [k for k, point in enumerate(front) if names(point)]
    if not places:
        return tuple(front)
    # Several may be alike but for which atoms came and went.
    own = min(places, key=lambda k: abs(front[k].rw - (best.rw or 0.0)))
    return tuple(
        dataclasses.replace(point, knee=k == own)
        for k, point in enumerate(front)
        if k == own or not _beaten(point, front)
    )


def _beaten(point: FrontPoint, front: Sequence[FrontPoint]) -> bool:
    """Whether another one has a lower Rw and is no rougher."""
    return any(
        other.rw < point.rw and other.roughness < point.roughness + 1e-6
        for other in front
    )


def _atoms(
    answer: Polished,
    fronts: Sequence[Front],
    more: Sequence[Polished],
    edited: bool,
) -> AtomRange:
    """The range of N around an answer, from all structures that were met."""
    met = [*(p for front in fronts for p in front.found), *more]
    scale = spread(
        [len(p.positions) for p in met],
        [p.criterion for p in met],
        (len(answer.positions), answer.criterion),
        edited,
    )
    return atom_range(len(answer.positions), scale)


def without_copies(
    edited: list[tuple[Candidate, float]], plain: Sequence[Candidate]
) -> list[tuple[Candidate, float]]:
    """What editing changed: what coincides with an unedited one is left."""
    clusters = [c.positions for c in (*plain, *(c for c, _ in edited))]
    known = len(plain)
    # A group that begins with an unedited structure holds nothing new.
    again = {
        place
        for places in duplicates(clusters, stretch=UNCHANGED)
        if places[0] < known
        for place in places
    }
    return [e for i, e in enumerate(edited, known) if i not in again]


def _criterion(p: Polished) -> float:
    return p.criterion
