"""Distances of one geometry, and the bins they fill, kept between curves.

`diffpy_cbldm.debye.pair_sums.gridded_sum` makes F(Q) of bins, whatever moves
the widths of the peaks.  A fit asks for the same bins again and again: only a
stretch of the positions makes others.
"""

from __future__ import annotations

import functools

import numpy as np

from diffpy_cbldm.debye.pair_sums import Bins, Limits, Pairs, Plan
from diffpy_cbldm.debye.pairgrid import Moments, fold

KEPT = 4
"""Histograms of one geometry that are kept."""


class KeptBins:
    """Distances, and the last few histograms made of them.

    Parameters
    ----------
    distances, pairs : (S,) arrays, angstrom and 1
        Distances of two atoms, none 0, and how many pairs have each.
    """

    def __init__(self, distances: np.ndarray, pairs: np.ndarray) -> None:
        self._distances = np.asarray(distances, dtype=float)
        self._pairs = np.asarray(pairs, dtype=float)
        self._longest = float(self._distances.max()) if len(distances) else 0.0
        self._kept: dict[tuple, Bins] = {}

    def stretched(self, stretch: float) -> Pairs:
        """The pairs of the positions times a factor."""
        return Pairs(
            functools.partial(self._gather, stretch),
            functools.partial(self._near, stretch),
            np.array([self._longest * stretch]),
        )

    def _gather(self, stretch: float, plan: Plan, limits: Limits) -> Bins:
        """`Pairs.gather` of the kept distances.

        Widths, dampings and the scale change no bin: while an optimiser
        varies those, the bins are those of the last curve.
        """
        key: tuple = (plan.step, plan.bins, plan.order, stretch)
        if limits is not None:
            key += tuple(x.item() for x in limits)
        if key not in self._kept:
            t = self._distances[None] * (stretch / plan.step)
            inverse = self._pairs / t
            outside = t >= plan.bins
            if limits is not None:
                low, high = (x.item() / plan.step for x in limits)
                outside |= (t <= low) | (t > high)
            t[outside] = plan.bins + 0.5
            sums = Moments(1, plan.bins, plan.order, t)
            cell = t.astype(np.int64)
            sums.add(inverse, cell, t - cell)
            grid = sums.grid() * (2 / plan.step)
            while len(self._kept) >= KEPT:
                self._kept.pop(next(iter(self._kept)))
            grid = fold(grid, plan.bins, plan.order)
            self._kept[key] = Bins(grid, plan)
        return self._kept[key]

    def _near(
        self, stretch: float, plan: Plan, limit: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Clusters (all 0) and distances (P,) of the pairs at d <= limit."""
        t = self._distances * (stretch / plan.step)
        near = t <= limit.item() / plan.step
        number = np.rint(self._pairs[near]).astype(np.int64)
        d = np.repeat(t[near] * plan.step, number)
        return np.zeros(len(d), np.int64), d
