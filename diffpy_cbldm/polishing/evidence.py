"""How much evidence for edits a misfit that is no noise leaves.

What no single structure explains stays in the misfit of all, however they are
edited.  As for counts that scatter more than their model says (Burnham &
Anderson, Model Selection and Multimodel Inference, 2002, section 2.5), what it
is like is told by the structure that fits best: by its misfit the criterion of
all counts fewer points (`diffpy_cbldm.fitting.effective_points`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeVar

from diffpy_cbldm.fitting.agreement import EVIDENCE, EXPLAINED
from diffpy_cbldm.fitting.effective_points import effective_points
from diffpy_cbldm.fitting.quickfit import left_over
from diffpy_cbldm.fitting.target import Target
from diffpy_cbldm.polishing.crystal import Measured, Polished

CHANCE = 3.84
"""Chi-squared that one parameter exceeds in 5 % of cases: a smoother structure
must fit better by more, or the criterion takes it for being smooth."""

P = TypeVar("P", bound=Polished)


def evidence_share(found: Sequence[Polished], target: Target) -> float:
    """The share of the independent points that counts as evidence.

    Parameters
    ----------
    found : sequence of Polished
        Structures that were fitted to the target.
    target : Target

    Returns
    -------
    float, 0 to 1
        1 where the best of them explains the data.
    """
    best = min(found, key=lambda p: p.rw)
    if best.rw < EXPLAINED:
        return 1.0
    thin = Measured(target).target
    left = left_over(best.positions, thin, best.fit)
    points = effective_points(thin.r, left, thin.qmin, thin.qmax)
    return min(1.0, points / target.independent_points)


def by_evidence(found: Sequence[P], target: Target, share: float) -> list[P]:
    """The same structures, judged by a share of the independent points."""
    points = Measured(target, share=share).points
    return [p.judged_by(points) for p in found]


def supported(p: Polished, plain: Polished, points: float) -> bool:
    """Whether the data ask for an edited structure in place of a plain one.

    Parameters
    ----------
    p, plain : Polished
        Both judged by `points`.
    points : float
        Independent points that count.

    Returns
    -------
    bool
        True where the criterion is lower by `EVIDENCE`, and the misfit alone
        by more than `CHANCE`.
    """
    gain = points * math.log(plain.misfit / p.misfit)
    return gain > CHANCE and plain.criterion - p.criterion > EVIDENCE
