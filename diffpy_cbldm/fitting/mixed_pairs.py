"""The pairs of one cluster of several kinds of atoms, kept between curves.

With few kinds of atoms, each an element with one Uiso, the Debye sum has one
term for each pair of kinds, as `diffpy_cbldm.debye.pair_table` keeps them::

    F(Q) = 1/(N <f>^2) sum_(a <= b) f_a f_b S_ab(Q; (U_a + U_b)/2)

with S_ab the sum over the pairs of an atom a and an atom b.  Most often the
kinds are the elements; atoms at the surface may be one of their own.
Factors f that depend on Q multiply a term as a whole, so that X-rays cost
what neutrons do.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from diffpy_cbldm.debye import mixed, quick_sums
from diffpy_cbldm.debye.arguments import check_least_zero, checked_positions
from diffpy_cbldm.debye.conditions import Conditions, Grid, check_curve
from diffpy_cbldm.debye.pair_sums import gridded_sum, native_plan
from diffpy_cbldm.debye.pair_table import Law, WidthTables
from diffpy_cbldm.debye.pairgrid import EXACT, TOUCHING
from diffpy_cbldm.debye.qgrid import R_END, whole_end
from diffpy_cbldm.debye.widths import Widths, end_ratio, width_ratio
from diffpy_cbldm.errors import CbldmError
from diffpy_cbldm.fitting.distances import distances_by_kinds, gathered_values
from diffpy_cbldm.fitting.kept_bins import KeptBins

_FEW = 64
"""Of near distances so many are summed as they are; more are gathered."""

_KEPT = 8
"""Weights of so many Q grids are kept: Uiso moves the grid in jumps."""


class MixedPairs:
    """The pairs of one cluster of several kinds of atoms, by their kinds.

    Parameters
    ----------
    positions : (N, 3) array, angstrom
    elements : N str
    kinds : N int from 0
        Atoms of one kind have one element and one Uiso.

    Raises
    ------
    CbldmError
        NaN, or atoms at one place.
    """

    def __init__(
        self,
        positions: np.ndarray,
        elements: Sequence[str],
        kinds: Sequence[int],
    ) -> None:
        self.elements, self.kinds = list(elements), list(kinds)
        kind = np.array(kinds)
        symbols = sorted(set(elements))
        of_kind = dict(zip(kinds, elements, strict=True))
        # The place of its element among the sorted ones.
        self._element_of = [
            symbols.index(of_kind[k]) for k in range(len(of_kind))
        ]
        x, _ = checked_positions(np.asarray(positions, float)[None], None)
        pairs = distances_by_kinds(x[0], kind)
        shortest = min((d.min() for d, _ in pairs.values()), default=math.inf)
        if shortest < TOUCHING:
            raise CbldmError(
                f"two atoms are {shortest:.2g} apart; expected at least "
                f"{TOUCHING:g}: remove the atom that stands twice at one "
                "place."
            )
        self._sums = {key: _PairSum(d, n) for key, (d, n) in pairs.items()}
        self._longest = max(
            (s.longest for s in self._sums.values()), default=0
        )
        self._weights: dict[Any, dict[tuple[int, int], np.ndarray]] = {}

    def pdf(
        self,
        conditions: Conditions,
        widths: Sequence[float],
        grid: Grid,
        *,
        stretch: float,
        stype: str,
        discretisation: str,
        precision: float,
    ) -> np.ndarray | None:
        """Return G(r) (M,), 1/A^2, as `mixed.evaluate`.

        None where a value is not finite, the precision is that of the plain
        sum, or r goes beyond the half period of the sum over Q.

        Parameters
        ----------
        conditions : Conditions
            Numbers; u_iso is not read.
        widths : sequence of float
            Uiso (A^2, not negative) of each kind.
        grid : Grid
        stretch : float
            Factor on the positions.
        stype : {"X", "N"}
        discretisation : {"whole", "native"}
        precision : float
            Largest deviation relative to the highest peak.

        Raises
        ------
        CbldmError
            Values outside their limits.
        """
        given: Any = vars(conditions)
        if precision < EXACT or not all(map(math.isfinite, given.values())):
            return None
        check_curve(conditions, grid, precision)
        check_least_zero(qdamp=given["qdamp"], qbroad=given["qbroad"])
        law = (given["delta1"], given["delta2"], given["qbroad"])
        native = discretisation == "native"
        end = grid.rmax if native else whole_end(grid.rmax)
        ratio = end_ratio(grid.rmin, end, *law)
        far = self._longest * stretch
        series, reach = quick_sums.series_for(
            max(widths),
            ratio,
            conditions,
            grid,
            native,
            far if far > R_END else 0.0,
        )
        terms = np.zeros(len(series.q))
        for (a, b), weights in self._weights_of(series, stype).items():
            u = (widths[a] + widths[b]) / 2
            terms += self._sums[a, b].sum(
                series, weights, u, law, stretch, reach, precision
            )
        return quick_sums.transformed(
            terms, series, grid, given["qdamp"], given["scale"]
        )

    def _weights_of(
        self, series: quick_sums.Series, stype: str
    ) -> dict[tuple[int, int], np.ndarray]:
        """Weights (K,) of the sum of each pair of kinds."""
        key = series, stype
        if key not in self._weights:
            while len(self._weights) >= _KEPT:
                self._weights.pop(next(iter(self._weights)))
            _, f, mean = mixed.scattering(self.elements, series.q, stype)
            factors = f[self._element_of]
            shared = series.weights / (len(self.elements) * mean**2)
            self._weights[key] = {
                (a, b): shared * factors[a] * factors[b] for a, b in self._sums
            }
        return self._weights[key]


class _PairSum:
    """The sum over the pairs of two kinds, times the factors given.

    Tables have it.  If delta1 or delta2 takes the width of the nearest pairs
    away, these are summed one by one, and a table holds the others.  Where no
    table serves the pairs go to bins.
    """

    def __init__(self, distances: np.ndarray, pairs: np.ndarray) -> None:
        self._distances, self._pairs = distances, pairs
        self.longest = float(distances.max())
        self._shortest = float(distances.min())
        self._bins = KeptBins(distances, pairs)
        self._whole = WidthTables(distances, pairs)
        self._limit = 0.0
        self._near = distances[:0], pairs[:0]
        self._far: WidthTables | None = None

    def sum(
        self,
        series: quick_sums.Series,
        weights: np.ndarray,
        u: float,
        law: Law,
        stretch: float,
        reach: float,
        precision: float,
    ) -> np.ndarray:
        """2 sum_p sin(Q d_p)/d_p exp(-U Q^2 s(d_p)) times weights, (K,).

        Pairs at a distance beyond `reach` do not count.
        """
        terms = None
        if self.longest * stretch <= reach:
            given = series, weights, u, law, stretch, precision
            terms = self._of_tables(*given)
        if terms is not None:
            return terms
        one = np.array([u, *law])[:, None]
        plan = native_plan(float(series.q[1]), len(series.q), precision, one)
        pairs = self._bins.stretched(stretch)
        return weights * gridded_sum(pairs, Widths(*one), reach, plan)[0]

    def _of_tables(
        self,
        series: quick_sums.Series,
        weights: np.ndarray,
        u: float,
        law: Law,
        stretch: float,
        precision: float,
    ) -> np.ndarray | None:
        """`sum` of all pairs, None where no table serves."""

        def summed(tables: WidthTables) -> np.ndarray | None:
            given = series.q, series.squared, weights
            return tables.sum(*given, u, law, stretch, precision)

        # Beyond that no width is 0: Qbroad only adds to them.
        root = math.sqrt(max(law[0] ** 2 + 4 * law[1], 0.0))
        edge = (law[0] + root) / 2 / stretch
        if edge < self._shortest:
            return summed(self._whole)
        # A fit moves the edge a little at a time.
        if not 1.05 * edge <= self._limit <= 1.5 * edge:
            self._split(1.2 * edge)
        near = _one_by_one(*self._near, series, u, law, stretch)
        if self._far is None:
            return weights * near
        rest = summed(self._far)
        return None if rest is None else weights * near + rest

    def _split(self, limit: float) -> None:
        """Keep pairs up to a distance apart from the others."""
        near = self._distances <= limit
        self._limit = limit
        self._near = self._distances[near], self._pairs[near]
        self._far = None
        if not near.all():
            self._far = WidthTables(self._distances[~near], self._pairs[~near])


def _one_by_one(
    d: np.ndarray,
    pairs: np.ndarray,
    series: quick_sums.Series,
    u: float,
    law: Law,
    stretch: float,
) -> np.ndarray:
    """2 sum_p sin(Q d_p)/d_p exp(-U Q^2 s(d_p)), (K,); d before a stretch."""
    cut = width_ratio(d * stretch, *law) <= 0
    total = np.zeros(len(series.q))
    # Apart, as the width has a kink where it ends.
    for mine, wide in ((cut, 0.0), (~cut, u)):
        if not mine.any():
            continue
        few = d[mine], pairs[mine]
        at, number = gathered_values(*few) if mine.sum() > _FEW else few
        at = at * stretch
        s = width_ratio(at, *law).clip(min=0)
        waves = np.sin(series.q[:, None] * at)
        if wide:
            waves *= np.exp(-series.squared[:, None] * (wide * s))
        total += waves @ (2 * number / at)
    return total
