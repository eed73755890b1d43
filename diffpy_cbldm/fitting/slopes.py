"""Slopes of a recipe's misfit where atoms move, in one sweep over the pairs.

An optimiser that takes differences asks for one curve of each variable, and
where atoms move each of these counts all pairs anew.  Here the pairs are
counted once, with what each move adds to their distances, and the slopes
follow from

    G(r) = s 2/N sum_p sum_k sin(Q_k d_p) / d_p exp(-U Q_k^2 s(d_p)) w_k(r)

by each variable, w the sine transform with its damping.  They are those of
the curve to 1e-3; the misfit itself stays that of the recipe.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from diffpy.srfit.fitbase import FitRecipe

from diffpy_cbldm.debye.qgrid import q_grid, whole_end
from diffpy_cbldm.debye.widths import end_ratio, width_ratio
from diffpy_cbldm.fitting.generator import DebyeGenerator
from diffpy_cbldm.fitting.moves import ZOOM, moved
from diffpy_cbldm.fitting.pair_kernels import pair_cells, pair_waves
from diffpy_cbldm.fitting.recipe import (
    contributions_of,
    delta2_name,
    move_names_of,
    variable_names,
)
from diffpy_cbldm.fitting.sine_matrix import sine_matrix
from diffpy_cbldm.settings import MAX_ATOMS

_EDGES = 3
"""The constraints of a recipe as it is made: zoomscale sets the edges."""

_CELL = 1e-3
"""Pairs whose distances differ by less (A) are taken at their mean."""


def slopes_of(recipe: FitRecipe) -> Slopes | None:
    """The slopes of a recipe of one PDF and one element with moves.

    Parameters
    ----------
    recipe : FitRecipe

    Returns
    -------
    Slopes or None
        None for any other recipe: without moves curves are cheap, and those
        of large clusters are counted by their lattice.
    """
    moves = move_names_of(recipe)
    if not moves or not _as_made(recipe):
        return None
    generator = recipe.cluster.G1
    structure = getattr(generator, "structure", None)
    if not isinstance(generator, DebyeGenerator) or structure is None:
        return None
    element, *others = {atom.element for atom in structure}
    widths = f"{element}_Uiso", delta2_name([element])
    known = {"s1", ZOOM, *widths, "qdamp", *moves}
    if others or len(structure) > MAX_ATOMS:
        return None
    if not {"s1", ZOOM, *widths} <= {*variable_names(recipe)} <= known:
        return None
    return Slopes(recipe, widths)


def _as_made(recipe: FitRecipe) -> bool:
    """Whether it has one PDF, and nothing that was added after it was made.

    What is added, such as a restraint or a strain that follows another one,
    is part of the misfit, and nothing here knows of it.
    """
    (_, weight), *others = contributions_of(recipe)
    if others or weight != 1 or recipe.cluster.G1.delta1.value:
        return False
    # SrFit gathers restraints and constraints, also those of the parts.
    recipe._prepare()
    return len(recipe._oconstraints) == _EDGES and not recipe._restraintlist


class Slopes:
    """Derivatives of the residual of a recipe; see `slopes_of`.

    Parameters
    ----------
    recipe : FitRecipe
    widths : (str, str)
        The variables of Uiso and delta2.
    """

    def __init__(self, recipe: FitRecipe, widths: tuple[str, str]) -> None:
        self.names, self.moves = variable_names(recipe), move_names_of(recipe)
        self._widths, self._generator = widths, recipe.cluster.G1
        profile = recipe.cluster.profile
        self._r, self._dy = np.array(profile.x), profile.dy
        # The atoms before all moves, which a variable's parameter knows.
        self._atoms = getattr(recipe, self.moves[0]).par.obj
        self._grid: Any = None

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Derivatives (n, p) of (G - data) / dG at values (p,)."""
        at = dict(zip(self.names, map(float, values)))
        qdamp = at.get("qdamp", float(self._generator.qdamp.value))
        uiso, delta2 = (at[name] for name in self._widths)
        d, ways = self._pairs(at)
        factors = self._factors(d, ways, uiso, delta2)
        fall = np.exp(-0.5 * (qdamp * self._r) ** 2) / self._dy
        waves = np.asarray(sine_matrix(self._r, self._grid))
        curve, *slopes = (factors @ waves) * fall
        by = dict(zip((*self._widths, ZOOM, *self.moves), slopes))
        by["qdamp"] = -qdamp * self._r**2 * curve
        columns = [
            curve if name == "s1" else at["s1"] * by[name]
            for name in self.names
        ]
        return np.stack(columns, axis=1)

    def _pairs(self, at: dict[str, float]) -> tuple[np.ndarray, np.ndarray]:
        """Distances (S,), and what they change by, summed over their pairs.

        (2 + k, S): the number of pairs, and how zoomscale and the k moves
        change their distances.
        """
        atoms, zoom = self._atoms, at[ZOOM]
        values = atoms.values | {name: at[name] for name in self.moves}
        fixed = atoms.start, atoms.surface, atoms.fields

        def place(name: str = "") -> np.ndarray:
            ahead = {name: values[name] + 1.0} if name else {}
            start, surface, fields = fixed
            return zoom * moved(start, values | ahead, surface, fields)

        x = place()
        # Places are linear in each variable.
        changes = np.array([(place(name) - x).T for name in self.moves])
        reach = 2 * float(np.linalg.norm(x, axis=1).max()) + _CELL
        counts, rates = pair_cells(
            np.ascontiguousarray(x.T[None]),
            np.ascontiguousarray(changes),
            reach,
            _CELL,
            int(reach / _CELL) + 1,
        )
        some = np.flatnonzero(counts[:, 0, 0])
        count, (off, *along) = counts[some, 0, 0], rates[some, 0].T
        d = (some + 0.5) * _CELL + off / count
        return d, np.array([count, count * d / zoom, *along])

    def _factors(
        self, d: np.ndarray, ways: np.ndarray, uiso: float, delta2: float
    ) -> np.ndarray:
        """F(Q) and its slopes, (4 + k, K): by the widths, zoom and moves."""
        if self._grid is None:
            self._grid = self._q_grid(uiso, delta2, float(d[-1]))
        q = self._grid.q
        qbroad = float(self._generator.qbroad.value)
        ratio = width_ratio(d, 0.0, delta2, qbroad)
        # Below no width nothing changes.
        on = ratio > 0
        widths = uiso * ratio * on
        step = float(q[-1] - q[0]) / (len(q) - 1)
        first = round(float(q[0]) / step)
        waves, bends = pair_waves(d, widths, first, step, len(q))
        # The width of a pair changes with its distance, too.
        wider = 2 * uiso * on * (delta2 / d**3 + qbroad**2 * d)
        count, moving = ways[0], ways[1:]
        sums = np.array([count, count * ratio * on, count * on / d**2])
        sums = np.concatenate([sums, moving * wider]) @ waves
        square, (f, by_uiso, by_delta2) = q**2, sums[:3]
        by_moves = moving @ bends - square * sums[3:]
        rows = f, -square * by_uiso, uiso * square * by_delta2, *by_moves
        return 2 / len(self._atoms.start) * np.array(rows)

    def _q_grid(self, uiso: float, delta2: float, longest: float) -> Any:
        """The Q grid of the recipe's curve, where the fit begins."""
        first, last = float(self._r[0]), float(self._r[-1])
        calculator = self._generator
        ratio = end_ratio(
            first,
            whole_end(last),
            delta2=delta2,
            qbroad=float(calculator.qbroad.value),
        )
        limits = calculator.get_qmin(), calculator.get_qmax()
        return q_grid(*limits, last, uiso, ratio, longest)
