"""Which sizes a PDF leaves open where no single particle explains it.

A powder of many sizes and shapes has no particle of its own; each candidate
imitates the mixture.  How far sizes may differ is then no matter of noise but
of what the structures leave unexplained: two sizes count as told apart where
the test of Vuong (`diffpy_cbldm.solving.plainest`) says so at 5 %.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

import numpy as np

from diffpy_cbldm.cluster import Candidate
from diffpy_cbldm.fitting.agreement import EXPLAINED
from diffpy_cbldm.fitting.attenuated import (
    AttenuatedCrystal,
    crystal_misfit,
    weight_mean,
)
from diffpy_cbldm.fitting.quickfit import QuickFit, left_over
from diffpy_cbldm.fitting.target import Target
from diffpy_cbldm.settings import MAX_ATOMS
from diffpy_cbldm.solving.atom_range import AtomRange
from diffpy_cbldm.solving.plainest import complexity, distinction
from diffpy_cbldm.solving.sizes import AVERAGE, SizeAtQdamp, covering

TOLD_APART = 1.645
"""Standard deviations from which a worse fit is worse: one in twenty, each
way."""

STEP, STEPS = 1.03, 12
"""Factor between diameters of the crystal that are tried, and how many on
each side."""

SHAPES = 1.15
"""By this factor a powder of facetted particles has more atoms than the single
ones and spheres tell that fit it, at most in nine of ten; simulated, by
``python -m tests.benchmarks.powders``."""

FAR = 2.0
"""Candidates with so many times the Rw of the first are not looked at."""

SHARE = 0.9
"""Of simulated particles, as stated where nothing was edited."""

UNEDITED = (
    "Nothing was edited: structures that fit better than the plainest one are "
    "not surely told from it, and edited ones could not be either; name the "
    'kinds (polish=("layers",), --polish layers) to have them made.'
)
"""What the result says where edits are `futile`."""

Ranked = Sequence[tuple[Candidate, QuickFit]]
"""Candidates and their quick fits, the first one first."""


def unexplained(ranked: Ranked) -> bool:
    """Whether the first candidate is large and leaves more than noise."""
    first, fit = ranked[0]
    return len(first) > MAX_ATOMS and fit.rw >= EXPLAINED


def futile(ranked: Ranked) -> bool:
    """Whether edits of the first candidate could not come before it.

    That is where it came before the lowest Rw as the plainer structure: what
    the data do not tell from better fits they do not tell from edited ones.
    """
    plainer = ranked[0][1].rw > min(fit.rw for _, fit in ranked)
    return unexplained(ranked) and plainer


def alike_sizes(
    best: Candidate,
    ranked: Ranked,
    sizes: Sequence[SizeAtQdamp],
    crystal: AttenuatedCrystal,
    target: Target,
) -> AtomRange:
    """The sizes that explain the data as well as the best structure does.

    Parameters
    ----------
    best : Candidate
        The refined answer.
    ranked : sequence of (Candidate, QuickFit)
    sizes : sequence of SizeAtQdamp
        At the Qdamp of common instruments, where it is not known.
    crystal : AttenuatedCrystal
    target : Target
    """
    n = len(best)
    alone = AtomRange(n, n, n, SHARE)
    wide = with_open_sizes(alone, ranked, crystal, target)
    return covering(wide or alone, sizes, best, crystal)


def with_open_sizes(
    atoms: AtomRange | None,
    ranked: Ranked,
    crystal: AttenuatedCrystal,
    target: Target,
) -> AtomRange | None:
    """A range of N that holds the sizes that are not told apart.

    Held are the first candidate and the one with the lowest Rw, all that are
    no more complex than the first and not told from it, and, where the Rw of
    the crystal is near to that of the first, its sizes that are not told from
    its best and the weight mean of a lognormal distribution of them.

    Parameters
    ----------
    atoms : AtomRange or None
        The range so far; None where nothing was edited.
    ranked : sequence of (Candidate, QuickFit)
    crystal : AttenuatedCrystal
    target : Target

    Returns
    -------
    AtomRange or None
        `atoms` where the first candidate explains the data or has at most
        256 atoms.
    """
    if not unexplained(ranked):
        return atoms
    first, fit = ranked[0]
    least = min(ranked, key=lambda pair: pair[1].rw)[0]
    counts = [len(first), *_as_plain(ranked, target)]
    if crystal.rw < AVERAGE * fit.rw:
        counts += crystal_sizes(crystal, target)
        counts.append(round(weight_mean(target, crystal)))
    if atoms is None:
        atoms = AtomRange(len(first), len(first), len(first), SHARE)
    highest = round(SHAPES * max(counts))
    return dataclasses.replace(
        atoms,
        low=min(atoms.low, len(least), *counts),
        high=max(atoms.high, len(least), highest),
    )


def _as_plain(ranked: Ranked, target: Target) -> list[int]:
    """The least and the greatest N of those no more complex than the first
    that the data do not tell from it."""
    first, fit = ranked[0]
    left = left_over(first.positions, target, fit)
    level = complexity(first)

    def alike(candidate: Candidate, other: QuickFit) -> bool:
        if other.rw > FAR * fit.rw or complexity(candidate) > level:
            return False
        worse = left_over(candidate.positions, target, other)
        return distinction(target.r, left, worse) < TOLD_APART

    def end(some: Iterable[tuple[Candidate, QuickFit]]) -> int:
        """The first that is alike: at the latest the first candidate."""
        return next(len(c) for c, f in some if c is first or alike(c, f))

    rising = sorted(ranked, key=lambda pair: len(pair[0]))
    return [end(rising), end(reversed(rising))]


def crystal_sizes(crystal: AttenuatedCrystal, target: Target) -> list[int]:
    """Atoms in the smallest and the largest sphere that may be meant.

    Parameters
    ----------
    crystal : AttenuatedCrystal
        The best fit; its other parameters are fitted again at each diameter.
    target : Target
    """
    r, best = crystal_misfit(target, crystal, crystal.diameter)
    found = []
    for factor in (1 / STEP, STEP):
        diameter = crystal.diameter
        for _ in range(STEPS):
            tried = diameter * factor
            worse = crystal_misfit(target, crystal, tried)[1]
            if distinction(r, best, worse) >= TOLD_APART:
                break
            diameter = tried
        share = (diameter / crystal.diameter) ** 3
        found.append(int(np.rint(crystal.n_atoms * share)))
    return found
