"""A search over layers, rows and atoms of a large particle."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Mapping

import numpy as np

from diffpy_cbldm.polishing.group_editor import Group, GroupEditor

KICKS, TENURE = 5, 3
"""Steps uphill before a search ends, and for how long a direction rests."""

MOST_STEPS = 80
"""Steps of one search."""

LEAST_GAIN = 1e-6
"""Of the criterion: rounding makes no step."""


@dataclasses.dataclass(frozen=True)
class Rules:
    """What the criterion of a large particle is made of.

    Attributes
    ----------
    points : float
        Independent points of the data.
    charge : float
        What a parameter costs.
    roughest : float
        The greatest roughness allowed.
    outside, finest : float
        Rw^2 that no structure could show, and that of rounding.
    """

    points: float
    charge: float
    roughest: float
    outside: float
    finest: float

    def value(
        self, square: np.ndarray, parameters: np.ndarray | float
    ) -> np.ndarray:
        """The criterion, from Rw^2 and the number of parameters."""
        misfit = np.maximum(square - self.outside, 0.0) + self.finest
        return self.points * np.log(misfit) + self.charge * parameters


def search(
    editor: GroupEditor, kind: str, rules: Rules, done: Mapping[tuple, int]
) -> tuple[np.ndarray, Counter]:
    """Lower the criterion by one group at a time, with tabu.

    Parameters
    ----------
    editor : GroupEditor
    kind : {"layers", "sites"}
    rules : Rules
    done : mapping
        By how many steps each parameter was moved before.

    Returns
    -------
    filled : (S,) bool array
        The best state.
    done : Counter
        The steps of each parameter that lead there.
    """
    steps = Counter(done)
    square = editor.basis.square(
        editor.total @ editor.basis.data, editor.total @ editor.total
    )
    best = float(rules.value(square, parameters(steps)))
    kept = editor.filled.copy(), steps.copy()
    resting: dict[tuple, int] = {}
    worse = 0
    for step in range(MOST_STEPS):
        group, value = _best(editor, kind, rules, steps, resting, step, best)
        if group is None:
            break
        editor.flip(group)
        steps[group.key] += group.sign
        resting[group.key] = step + TENURE
        if value < best - LEAST_GAIN:
            best, worse = value, 0
            kept = editor.filled.copy(), steps.copy()
        else:
            worse += 1
            if worse > KICKS:
                break
    return kept


def parameters(steps: Mapping[tuple, int]) -> int:
    """How many parameters were moved."""
    return sum(1 for count in steps.values() if count)


def _best(
    editor: GroupEditor,
    kind: str,
    rules: Rules,
    steps: Counter,
    resting: dict[tuple, int],
    step: int,
    best: float,
) -> tuple[Group | None, float]:
    """The group with the least criterion, and that."""
    groups = editor.groups(kind)
    if not groups:
        return None, math.inf
    square, missing, atoms = editor.judged(groups)
    now = parameters(steps)
    after = np.array(
        [now + _more(steps[group.key], group.sign) for group in groups]
    )
    value = rules.value(square, after)
    value[~np.isfinite(square)] = np.inf
    rough = missing / atoms ** (2 / 3)
    current = editor.missing / editor.atoms ** (2 / 3)
    # A start that is too rough may be edited, if that smoothens.
    value[(rough > rules.roughest) & (rough > current + 1e-9)] = np.inf
    rests = np.array([resting.get(g.key, -1) >= step for g in groups])
    value[rests & (value > best - LEAST_GAIN)] = np.inf
    place = int(value.argmin())
    if not np.isfinite(value[place]):
        return None, math.inf
    return groups[place], float(value[place])


def _more(count: int, sign: int) -> int:
    """How many parameters a step adds: back at 0 it is none any more."""
    return int(count + sign != 0) - int(count != 0)
