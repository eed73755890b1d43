"""How many atoms a compound's particle has: at each Qdamp, and as a range."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

from diffpy_cbldm.cluster import Candidate
from diffpy_cbldm.crystals.crystal import Crystal
from diffpy_cbldm.crystals.crystal_cuts import LEAST
from diffpy_cbldm.fitting.agreement import EXPLAINED
from diffpy_cbldm.fitting.attenuated import AttenuatedCrystal
from diffpy_cbldm.fitting.envelope import fit_envelope
from diffpy_cbldm.fitting.pair_fit import (
    PairCurves,
    PairFit,
    finished,
    fit_pairs,
)
from diffpy_cbldm.fitting.pair_shells import PairShells
from diffpy_cbldm.fitting.target import FEWEST_INDEPENDENT, Target
from diffpy_cbldm.settings import COMMON_QDAMP
from diffpy_cbldm.solving.atom_range import AtomRange
from diffpy_cbldm.solving.groups import resolved
from diffpy_cbldm.solving.sizes import APART, SizeAtQdamp, covering
from diffpy_cbldm.solving.world_range import on_powders

TRIED = 12
"""Candidates of different sizes that are fitted again."""

STEPS = 5

SHARE = 0.9
"""Of powders so many lie in a range that is widened so."""

WIDENING = 0.16
"""What is added to log N at both ends, so that nine of ten simulated powders
of compounds lie inside; made by
``python -m tests.benchmarks.compound_powders``."""

MISFIT = 0.2
"""None of these powders left a larger Rw: beyond it what holds for metals
holds here."""

BEYOND = (0.25, 1 / 3, 0.4)
"""Shares of the range of r behind which the crystal's sphere is fitted."""

ENOUGH = 3 * FEWEST_INDEPENDENT
"""And so many independent data lie there, at least."""


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


def compound_range(
    found: Sequence[tuple[Candidate, PairFit]],
    best: Candidate,
    sizes: Sequence[SizeAtQdamp],
    sphere: tuple[Crystal, AttenuatedCrystal],
    target: Target,
) -> AtomRange:
    """The numbers of atoms that the data do not tell apart.

    `alike_range`, widened as powders of compounds ask for; where more is left
    unexplained than of any of these, as for metals (`world_range.on_powders`),
    and by what the far distances say alone (`far_sizes`).

    Parameters
    ----------
    found, best, sizes, target
        As of `alike_range`.
    sphere : (Crystal, AttenuatedCrystal)
        The crystal of the answer as it fits.
    """
    alike = alike_range(found, best, sizes, sphere[1], target)
    if best.rw is None or best.rw < EXPLAINED:
        return alike
    factor = math.exp(WIDENING)
    if best.rw < MISFIT:
        return dataclasses.replace(
            alike,
            low=math.ceil(alike.low / factor),
            high=math.floor(alike.high * factor),
            share=SHARE,
        )
    wide = on_powders(alike, alike, best, target) or alike
    # The crystal explains what lies there, as it explains those powders.
    far = far_sizes(*sphere, target)
    wide = dataclasses.replace(
        wide,
        low=min([wide.low, *(math.ceil(n / factor) for n in far)]),
        high=max([wide.high, *(math.floor(n * factor) for n in far)]),
    )
    # None smaller are cut, so that nothing is known of them.
    return dataclasses.replace(wide, low=min(max(wide.low, LEAST), len(best)))


def far_sizes(
    crystal: Crystal, sphere: AttenuatedCrystal, target: Target
) -> list[int]:
    """Atoms of the crystal's sphere by the distances of a particle's inside.

    How peaks fall with r tells the size.  Where half of the matter is
    disordered, or the first shells are of another structure, the first peaks
    are too high for their crystal, and a fit of all r is too small.  What
    lies behind is the crystal's alone.

    Parameters
    ----------
    crystal : Crystal
    sphere : AttenuatedCrystal
        Its fit to all r.
    target : Target

    Returns
    -------
    list of int
        Of each start in `BEYOND` behind which the crystal explains the data
        better than it explains all of them.
    """
    counts: list[int] = []
    if (1 - BEYOND[-1]) * target.independent_points < ENOUGH:
        return counts
    for share in BEYOND:
        behind = target.with_rmin(share * target.rmax)
        _, fit = fit_envelope(crystal, behind)
        if fit.rw < sphere.rw:
            counts.append(fit.n_atoms)
    return counts


def alike_range(
    found: Sequence[tuple[Candidate, PairFit]],
    best: Candidate,
    sizes: Sequence[SizeAtQdamp],
    sphere: AttenuatedCrystal,
    target: Target,
) -> AtomRange:
    """What explains the data as well as the answer does.

    All particles whose quick fits are as good as the best one, the sizes at
    common Qdamp, and the sphere without atoms: it is of no shape, as the mean
    of many sizes is, where one particle imitates them by a shape of its own.

    Parameters
    ----------
    found : sequence of (Candidate, PairFit)
    best : Candidate
        The answer.
    sizes : sequence of SizeAtQdamp
    sphere : AttenuatedCrystal
    target : Target
        Of the quick fits.
    """
    least = min(fit.rw for _, fit in found)
    limit = resolved(least, target.independent_points)
    counts = [len(c) for c, fit in found if fit.rw <= limit] + [len(best)]
    fitting = AtomRange(len(best), min(counts), max(counts), SHARE)
    alike = covering(fitting, sizes, best, sphere)
    if best.rw is None or best.rw < EXPLAINED:
        return alike  # one particle, and no powder
    return dataclasses.replace(
        alike,
        low=min(alike.low, sphere.n_atoms),
        high=max(alike.high, sphere.n_atoms),
    )


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
