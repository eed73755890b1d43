"""The stage of `solve` that edits the best candidates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from diffpy_cbldm import settings
from diffpy_cbldm.cluster import Candidate
from diffpy_cbldm.crystals.alike import duplicates
from diffpy_cbldm.pdfdata import PDFData
from diffpy_cbldm.polishing.candidates import (
    LATTICE,
    Front,
    as_candidate,
    edit,
    what_changed,
)
from diffpy_cbldm.polishing.crystal import Polished
from diffpy_cbldm.polishing.front import (
    KINDS,
    best,
    check_kinds,
    other_sizes,
    pareto,
)
from diffpy_cbldm.solving.atom_range import AtomRange, atom_range, spread
from diffpy_cbldm.solving.solution import FrontPoint
from diffpy_cbldm.threads import side_by_side

STRETCH = 0.05
"""Structures that differ by less in size alone are one: it is refined."""

SAME = 0.005
"""An edit that changes the size by less than this changes nothing."""

POLISHED = 4
"""Candidates that are polished: the best, and the first of each generator."""

SPREAD = 3
"""Further structures of the front that are refined, from smooth to rough."""


def _kinds(text: str) -> tuple[str, ...]:
    """The kinds of edits that the setting `polish` names."""
    if text in ("yes", "no"):
        return KINDS if text == "yes" else ()
    return check_kinds([kind.strip() for kind in text.split(",")])


def _polished(
    starts: list[Candidate], pdf: PDFData, used: settings.Solve
) -> tuple[
    list[tuple[Candidate, float]], tuple[FrontPoint, ...], AtomRange | None
]:
    """Edit some candidates: what to refine, the front, the range of N."""
    words: dict[str, Any] = {
        "kinds": _kinds(used.polish),
        "limit": used.roughness,
        "rmin": used.rmin,
        "rmax": used.rmax,
    }
    firsts = {c.generator: c for c in reversed(starts)}.values()
    order = sorted(firsts, key=starts.index)
    order += [c for c in starts if c not in order]
    every = side_by_side(
        lambda start: edit(start, pdf, **words), order[:POLISHED]
    )
    made = [m for m in every if m.holds]
    origin = {id(p): m for m in made for p in m.found}
    changed = [p for m in made for p in m.changed]
    if not every:
        return [], (), None
    if not changed:
        plain = [m.found[0] for m in every]
        top = min(plain, key=_criterion)
        preferred = min((best(m.found) for m in every), key=_criterion)
        return [], (), _atoms(top, every, (), preferred not in plain)
    top = min((best(m.found) for m in made), key=_criterion)
    source = origin[id(top)]
    kind = source.start.structure_type
    more = other_sizes(top, kind, pdf, **words)
    origin |= {id(p): source for p in more}
    everything = [p for m in made for p in m.found] + more
    top, kept = best([top, *more], lower=False), pareto(everything)
    chosen = [top, *sorted(kept, key=_criterion)[:SPREAD]]
    chosen += [best(m.found) for m in made]
    edited = [p for p in chosen if what_changed(origin[id(p)].found[0], p)]
    alike = duplicates([p.positions for p in edited], stretch=STRETCH)
    refined = [
        (
            as_candidate(
                p,
                origin[id(p)],
                pdf,
                backend=used.backend,
                rmin=used.rmin,
                rmax=used.rmax,
            ),
            p.rw,
        )
        for p in (edited[places[0]] for places in alike)
    ]
    points = []
    for p in dict.fromkeys([*kept, top]):
        first = origin[id(p)]
        edits = what_changed(first.found[0], p)
        named = first.start.structure_type
        points.append(
            FrontPoint(
                generator=first.start.generator,
                structure_type=LATTICE.get(named, named) if edits else named,
                n_atoms=len(p.positions),
                rw=p.rw,
                roughness=p.roughness,
                ratio=p.ratio,
                edits=edits,
                parameters=max(p.excess, 0.0) + len(p.values) + p.displaced,
                knee=p is top,
            )
        )
    points.sort(key=lambda point: point.roughness)
    atoms = _atoms(top, every, more, top in edited)
    return refined, tuple(points), atoms


def _atoms(
    top: Polished,
    fronts: Sequence[Front],
    more: Sequence[Polished],
    edited: bool,
) -> AtomRange:
    """The range of N around an answer, from all structures that were met."""
    found = [*(p for m in fronts for p in m.found), *more]
    scale = spread(
        [len(p.positions) for p in found],
        [p.criterion for p in found],
        (len(top.positions), top.criterion),
        edited,
    )
    return atom_range(len(top.positions), scale)


def _unlike(
    edited: list[tuple[Candidate, float]], plain: Sequence[Candidate]
) -> list[tuple[Candidate, float]]:
    """What editing changed: what coincides with an unedited one is left."""
    clusters = [c.positions for c in (*plain, *(c for c, _ in edited))]
    known = len(plain)
    again = {
        place
        for places in duplicates(clusters, stretch=SAME)
        if places[0] < known
        for place in places
    }
    return [e for i, e in enumerate(edited, known) if i not in again]


def _criterion(p: Polished) -> float:
    return p.criterion
