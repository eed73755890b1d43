"""Which comes first of the structures that explain large particles alike.

A powder holds particles of many sizes and shapes, and of large ones no single
particle has its PDF.  One that is long or twinned imitates the mixture a
little better than a compact piece of the crystal, and among thousands of
shapes some do by chance.  Where the misfit is no noise, the plainer one comes
first unless the data tell the two apart.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from diffpy_cbldm.cluster import Candidate
from diffpy_cbldm.fitting.agreement import EXPLAINED
from diffpy_cbldm.settings import MAX_ATOMS

BLOCK = 2.5
"""Misfits are summed over blocks of r so wide (A): beyond, they are hardly
correlated."""

DISTINCT = 4.0
"""Standard deviations from which the better fit counts as better: the best of
ten thousand shapes, as many as are tried, reaches 3.9 by chance."""

LONG = 1.5
"""Ratio of the largest to the smallest radius of gyration of a long one."""

_TWINNED = ("stacked", "dec", "ico")


def distinction(r: np.ndarray, better: np.ndarray, worse: np.ndarray) -> float:
    """By how many standard deviations a fit is better than another.

    The test of Vuong (Econometrica 1989, 57, 307) for two models of which
    neither is right: the mean difference of their squares over its own
    scatter, here from block to block of r.

    Parameters
    ----------
    r : (n,) array, angstrom
    better, worse : (n,) arrays
        What each leaves of the data.
    """
    block = ((r - r[0]) / BLOCK).astype(int)
    gain = np.bincount(block, worse**2 - better**2)
    scatter = float(gain.std(ddof=1)) if len(gain) > 1 else 0.0
    if not scatter:
        return 0.0
    return float(gain.mean() * np.sqrt(len(gain)) / scatter)


def apart(ranges: Sequence[np.ndarray]) -> np.ndarray:
    """The r of several PDFs one after the other, in blocks of their own."""
    placed, first = [], 0.0
    for r in ranges:
        placed.append(first + r - r[0])
        blocks = int((r[-1] - r[0]) / BLOCK) + 1
        first += blocks * BLOCK
    return np.concatenate(placed)


def complexity(candidate: Candidate) -> int:
    """How much is told of a structure beyond its crystal and size, 0 to 3.

    One for twins, one for a long shape, one for edits.
    """
    x = candidate.positions - candidate.positions.mean(0)
    widths = np.linalg.svd(x, compute_uv=False)
    return (
        (candidate.structure_type in _TWINNED)
        + bool(widths[0] > LONG * widths[-1])
        + bool(candidate.edits)
    )


def _apart(best: Candidate, other: Candidate) -> bool:
    """Whether two candidates are of different crystals that were given."""
    cut = "cut" in (best.generator, other.generator)
    return cut and best.structure_type != other.structure_type


def plainest(
    candidates: Sequence[Candidate],
    rw: Sequence[float],
    r: np.ndarray,
    misfit: Callable[[int], np.ndarray],
) -> int:
    """The place of the candidate that comes first.

    Parameters
    ----------
    candidates : sequence of Candidate
        The lowest Rw first.
    rw : sequence of float
    r : (n,) array, angstrom
    misfit : callable
        What the candidate at a place leaves of the data, (n,).

    Returns
    -------
    int
        0 for the lowest Rw: always where it has at most 256 atoms or
        explains the data.
    """
    if len(candidates[0]) <= MAX_ATOMS or rw[0] < EXPLAINED:
        return 0
    heads: dict[int, int] = {}
    for place, candidate in enumerate(candidates):
        # Smaller ones leave distances unexplained, and are told apart; of two
        # crystals of a compound neither is the plainer one.
        if len(candidate) > MAX_ATOMS and not _apart(candidates[0], candidate):
            heads.setdefault(complexity(candidate), place)
    best = misfit(0)
    for level in sorted(heads):
        place = heads[level]
        if not place or distinction(r, best, misfit(place)) < DISTINCT:
            return place
    return 0
