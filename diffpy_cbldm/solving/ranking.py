"""The order of candidates, before they are refined and after."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

from diffpy_cbldm.cluster import Candidate
from diffpy_cbldm.crystals.alike import duplicates, simplest_first
from diffpy_cbldm.fitting.quickfit import (
    STRETCHES,
    QuickFit,
    left_over,
    quick_fit,
)
from diffpy_cbldm.fitting.target import Target
from diffpy_cbldm.fitting.uncertainties import misfits
from diffpy_cbldm.search.generators import built_in
from diffpy_cbldm.settings import MAX_ATOMS
from diffpy_cbldm.solving.frameworks import charged_rws
from diffpy_cbldm.solving.plainest import apart, plainest
from diffpy_cbldm.solving.polish_stage import STRETCH

NEARLY = 1.25
"""A large particle of another type is refined where its quick fit has an Rw of
at most so many times the least."""


def rank_quickly(
    pool: list[Candidate], target: Target
) -> list[tuple[Candidate, QuickFit]]:
    """Order by the quick fit and drop duplicates, the better one stays.

    Where generators agree on a structure, the one that stays names them all.
    """
    stretched = all(c.generator in built_in() for c in pool)
    fits = quick_fit(
        [c.positions for c in pool],
        target,
        scan=(0.0,) if stretched else STRETCHES,
    )
    order = simplest_first([f.rw for f in fits], [c.positions for c in pool])
    kept = []
    for alike in duplicates(
        [pool[i].positions for i in order], stretch=STRETCH
    ):
        first, *others = (pool[order[place]] for place in alike)
        also = {
            c.generator: 0 for c in others if c.generator != first.generator
        }
        known = (*first.also_proposed_by, *also)
        kept.append(
            (
                dataclasses.replace(first, also_proposed_by=known),
                fits[order[alike[0]]],
            )
        )
    place = plainest(
        [c for c, _ in kept],
        [fit.rw for _, fit in kept],
        target.r,
        lambda k: left_over(kept[k][0].positions, target, kept[k][1]),
    )
    kept.insert(0, kept.pop(place))
    return kept


def to_refine(
    ranked: Sequence[tuple[Candidate, QuickFit]],
    refine: int,
    generators: Sequence[str],
) -> list[int]:
    """Places of the candidates to refine: the first ones, and the first of
    each generator as far as there is room.

    And of large particles the first of each structure type that fits nearly
    as well: many that differ by a layer are ahead of it.
    """
    pool = [c for c, _ in ranked]
    firsts: list[int] = []
    for name in generators:
        mine = (i for i, c in enumerate(pool) if name in c.proposed_by)
        first = next(mine, None)
        if first is not None and first not in firsts:
            firsts.append(first)
    # Not that of the first: the plainest may have come before it.
    least = min(fit.rw for _, fit in ranked)
    types = {
        c.structure_type: i
        for i, (c, fit) in reversed(list(enumerate(ranked)))
        if len(c) > MAX_ATOMS and fit.rw <= NEARLY * least
    }
    firsts += [i for i in types.values() if i not in firsts]
    return filled_up(firsts, len(pool), refine)


def filled_up(firsts: Iterable[int], total: int, count: int) -> list[int]:
    """So many of `total` places, in order: the given ones before others."""
    chosen = sorted(firsts)[:count]
    others = [i for i in range(total) if i not in chosen]
    return sorted(chosen + others[: count - len(chosen)])


def ordered(refined: Sequence[Candidate], target: Target) -> list[int]:
    """The refined candidates by Rw, the plainest first where it is open.

    Relaxed orbits, and what they are compared with, are charged for
    (`frameworks.charged_rws`).
    """
    points = target.independent_points
    order = simplest_first(
        charged_rws(refined, points),
        [c.positions for c in refined],
    )
    # Of the refinement's own range of r, all the same.
    order = [i for i in order if refined[i].rw is not None]
    if order and all(refined[i].results is not None for i in order):
        first = plainest(
            [refined[i] for i in order],
            [refined[i].rw or 0.0 for i in order],
            apart([part.r for part in (target, *target.together)]),
            lambda k: misfits(refined[order[k]].results),
        )
        order.insert(0, order.pop(first))
    return order + [i for i, c in enumerate(refined) if c.rw is None]
