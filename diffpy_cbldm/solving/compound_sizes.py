"""The number of atoms of a compound's particle at the Qdamp of instruments."""

from __future__ import annotations

from collections.abc import Sequence

from diffpy_cbldm.cluster import Candidate
from diffpy_cbldm.crystals.crystal import Crystal
from diffpy_cbldm.fitting.envelope import fit_envelope
from diffpy_cbldm.fitting.pair_fit import (
    PairCurves,
    PairFit,
    finished,
    fit_pairs,
)
from diffpy_cbldm.fitting.pair_shells import PairShells
from diffpy_cbldm.fitting.target import Target
from diffpy_cbldm.settings import COMMON_QDAMP
from diffpy_cbldm.solving.sizes import APART, SizeAtQdamp

TRIED = 12
"""Candidates of different sizes that are fitted again."""

STEPS = 5


def compound_sizes(
    found: Sequence[tuple[Candidate, PairFit]],
    crystal: Crystal,
    target: Target,
) -> tuple[SizeAtQdamp, ...]:
    """As `diffpy_cbldm.solving.sizes.sizes_by_qdamp`, for several elements.

    Parameters
    ----------
    found : sequence of (Candidate, PairFit)
        By Rw.
    crystal : Crystal
        Of the best one.
    target : Target

    Returns
    -------
    tuple of SizeAtQdamp
        Empty where Qdamp is known.
    """
    if target.qdamp is not None:
        return ()
    some = _varied(found)
    elements = sorted({e for c, _ in some for e in c.elements})
    few = PairCurves(target, elements, 2.0)
    shells = [
        PairShells.of(c.elements, c.positions, few.reach) for c, _ in some
    ]
    low, high = target.qdamp_range
    sizes = []
    for qdamp in COMMON_QDAMP:
        if not low <= qdamp <= high:
            continue
        held = PairCurves(target.with_qdamp(qdamp), elements, 2.0)
        rws = []
        for one, (_, fit) in zip(shells, some):
            start = dict.fromkeys(elements, 0.01)
            start |= fit.values | {"qdamp": qdamp}
            values = fit_pairs(one, held, start, STEPS)
            rws.append(finished(one, held, values).rw)
        k = min(range(len(rws)), key=rws.__getitem__)
        _, sphere = fit_envelope(crystal, target.with_qdamp(qdamp))
        sizes.append(
            SizeAtQdamp(
                qdamp=qdamp,
                n_atoms=len(some[k][0]),
                structure_type=some[k][0].structure_type,
                rw=rws[k],
                crystal_atoms=sphere.n_atoms,
                crystal_rw=sphere.rw,
            )
        )
    return tuple(sizes)


def _varied(
    found: Sequence[tuple[Candidate, PairFit]],
) -> list[tuple[Candidate, PairFit]]:
    """The best one of each number of atoms, as many as are tried."""
    chosen: list[tuple[Candidate, PairFit]] = []
    for one in found:
        near = (len(one[0]) / len(c) for c, _ in chosen)
        if all(not 1 / APART < ratio < APART for ratio in near):
            chosen.append(one)
        if len(chosen) == TRIED:
            break
    return chosen
