"""SrFit with the built-in Debye calculator: generator, recipe, refinement.

The recipe is native (FitRecipe, FitContribution, Profile) and follows the
diffpy.cmi example ch11ClusterXYZ; only the calculator under the generator is
exchanged where diffpy.srreal is not installed.  Works with diffpy.srfit 3.2
to 3.4, whose method names differ.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from diffpy.srfit.fitbase import FitRecipe, FitResults

from diffpy_cbldm.cluster import Candidate, Cluster, candidate_of
from diffpy_cbldm.fitting import moves as moving
from diffpy_cbldm.fitting.agreement import misfit_by_range
from diffpy_cbldm.fitting.generator import choose_backend, named
from diffpy_cbldm.fitting.recipe import (
    best_scale_of,
    delta2_name,
    move_names_of,
    recipe_of,
    variable_names,
)
from diffpy_cbldm.fitting.target import Target
from diffpy_cbldm.pdfdata import PDFData
from diffpy_cbldm.settings import Refinement, Solve
from diffpy_cbldm.threads import one_thread

_NO_DAMPING = 1e-3
"""A fitted Qdamp (1/A) below this changes no curve to 30 A."""

_ZERO = 1e-6
"""What stands for a refined value of 0 where derivatives are taken."""

_EVEN, _EXPLAINED = 0.6, 0.03
"""Evenness (`agreement.misfit_by_range`) below which, and Rw above which, a
misfit is flagged: noise has 0.9, a wrong structure 0.5 and less."""

_FIRST_STRAIN = 0.005
"""Strains to begin from: at 0 a symmetric cluster's G(r) has no slopes."""

HELD_OUT = 2.0
"""At least so much data (A) beyond the split makes a held-out Rw."""


def _rw(recipe: FitRecipe, values: Any, above: float = 0.0) -> float:
    """Rw of a recipe at given values, over r > above."""
    profile = recipe.cluster.profile
    misfit = recipe.residual(values)[: len(profile.x)]
    part = profile.x > above
    total = np.sum((profile.y / profile.dy)[part] ** 2)
    return float(np.sqrt(np.sum(misfit[part] ** 2) / total))


def _fit(recipe: FitRecipe) -> np.ndarray:
    """Refine all variables of a recipe within their bounds."""
    from scipy.optimize import least_squares

    bounds = named(recipe, "get_bounds_array", "getBounds2")()
    low, high = (np.asarray(b, dtype=float) for b in bounds)
    options: dict[str, Any] = {"x_scale": "jac"}
    if move_names_of(recipe):
        # The slopes of strains can vanish, and are no measure of a step; and
        # strains that G(r) hardly tells apart have no sharp minimum.
        names = variable_names(recipe)
        options = {
            "x_scale": [_step(name) for name in names],
            "ftol": 1e-6,
            "max_nfev": 60,
        }
    fit = least_squares(
        recipe.residual,
        np.clip(recipe.values, low + 1e-9, high - 1e-9),
        bounds=(low, high),
        **options,
    )
    # At 0 the relative step of the derivatives in FitResults would vanish.
    return np.where(np.abs(fit.x) < _ZERO, np.copysign(_ZERO, fit.x), fit.x)


def _step(name: str) -> float:
    """A change of a variable that matters, in its unit."""
    if name.endswith("_Delta2"):
        return 1.0
    if name.endswith("_Uiso"):
        return 0.003
    steps = {"s1": 0.1, "zoomscale": 0.003, "qdamp": 0.02}
    return steps.get(name, 0.01)


def _fit_moves(recipe: FitRecipe) -> np.ndarray:
    """Refine without moves first, and then all variables.

    The strain begins at the best of a few small ones.  Where a move is not
    0 to begin with, all is refined from there.
    """
    moves, strain = move_names_of(recipe), move_names_of(recipe, "strain")
    if not moves or any(getattr(recipe, name).value for name in moves):
        return _fit(recipe)
    recipe.fix(*moves)
    recipe.residual(_fit(recipe))
    recipe.free(*moves)
    plain = np.array(recipe.values)
    names = variable_names(recipe)
    tries = []
    for k in map(names.index, strain):
        for size in (-_FIRST_STRAIN, _FIRST_STRAIN):
            tries.append(plain.copy())
            tries[-1][k] = size
    if tries:
        recipe.residual(min(tries, key=lambda v: _rw(recipe, v)))
        values = _fit(recipe)
        if _rw(recipe, values) < _rw(recipe, plain):
            return values
        recipe.residual(plain)
    return _fit(recipe)


class Results(FitResults):
    """FitResults whose figures belong to the refined values.

    The stock class takes them where its numeric derivatives end, a step
    off.  That step must be long here, since the native Q grid moves in jumps
    with Uiso: central differences of 1e-3 average over them.
    """

    varvals: Any

    def _calculateCovariance(self) -> None:  # srfit up to 3.3
        super()._calculateCovariance()
        self._settle()

    def _calculate_covariance(self) -> None:  # srfit from 3.4
        super()._calculate_covariance()
        self._settle()

    def _settle(self) -> None:
        """Take the recipe to the refined values; a scale of 0 is 0 again.

        Its stand-in serves the derivatives alone (`_fit`): without a scale
        Rw is 1, and with it would be above.
        """
        values = np.array(self.varvals)
        scale = np.array([name == "s1" for name in self.varnames], dtype=bool)
        values[scale & (values <= _ZERO)] = 0.0
        self.varvals = values
        self.recipe.residual(values)


def refine(
    cluster: Cluster | Any,
    pdf: PDFData | Target,
    *,
    backend: str = "auto",
    rmin: float = Solve.rmin,
    rmax: float = Solve.rmax,
    heldout: bool = True,
    start: Mapping[str, float] | None = None,
    moves: Sequence[str] = (),
) -> Candidate:
    """Refine a cluster against a PDF with SrFit.

    Scale, zoomscale, one Uiso for each element, delta2 and, where
    ``pdf.qdamp`` is None, qdamp: see `make_recipe`.  The coordinates move by
    zoomscale and by the moves that are asked for; those are freed after a
    refinement without them.

    Parameters
    ----------
    cluster, pdf, backend, rmin, rmax, start, moves
        As in `make_recipe`.
    heldout : bool
        Also refine up to 20 A and evaluate beyond.  Default True.

    Returns
    -------
    Candidate
        With positions times zoomscale, or with moves those of
        `moves.moved`; ``rw``; ``rw_heldout`` (None where
        the data end before 22 A); ``rw_raw`` where it was missing;
        ``parameters`` named scale, zoomscale, ``<El>_Uiso`` (A^2), delta2
        (A^2) and qdamp (1/A), and the moves by their variables, each with
        its standard uncertainty (0 for a qdamp that vanished);
        ``results`` (FitResults); and of its state ``backend``,
        ``refined_moves`` where coordinates were adjusted to the PDF,
        ``not_determined`` with the moves that the PDF leaves open within
        their bounds, ``at_bounds``, and ``uneven_misfit`` where the misfit
        is no noise.
    """
    target = Target.of(pdf, rmin, rmax)
    backend = choose_backend(backend)
    cluster = candidate_of(cluster)

    def recipe_to(end: float) -> FitRecipe:
        part = Target.of(target.pdf, target.rmin, end)
        return recipe_of(cluster, part, backend, start, moves, False)

    with one_thread():
        recipe = recipe_to(target.rmax)
        raw = _raw(recipe) if cluster.rw_raw is None else cluster.rw_raw
        held, split = None, Refinement.heldout_split
        if heldout and recipe.cluster.profile.x[-1] >= split + HELD_OUT:
            held = _rw(recipe, _fit_moves(recipe_to(split)), above=split)
        results = _fit_results(recipe, target.qdamp is None)
        uneven = _uneven_misfit(recipe, float(results.rw))
    plain = {"s1": "scale", delta2_name(cluster.elements): "delta2"}
    parameters = _parameters(results, plain)
    if target.qdamp is None:
        parameters.setdefault("qdamp", (0.0, 0.0))
    move_names = move_names_of(recipe)
    kinds = (kind for kind in moving.MOVE_KINDS if move_names_of(recipe, kind))
    return dataclasses.replace(
        cluster,
        positions=_moved(cluster, parameters, move_names),
        rw_raw=raw,
        rw=float(results.rw),
        rw_heldout=held,
        parameters=parameters,
        results=results,
        backend=backend,
        at_bounds=_at_bounds(recipe, parameters, plain),
        # Coordinates that an earlier refinement adjusted stay so.
        refined_moves=tuple(dict.fromkeys((*cluster.refined_moves, *kinds))),
        not_determined=_left_open(results, parameters, move_names),
        uneven_misfit=uneven,
    )


def _fit_results(recipe: FitRecipe, fitted_qdamp: bool) -> Results:
    """Refine a recipe, leave it at the best values and return the results."""
    recipe.residual(_fit_moves(recipe))
    if fitted_qdamp and recipe.qdamp.value < _NO_DAMPING:
        # G depends on its square: at 0 there is no uncertainty to give.
        recipe.qdamp.value = 0.0
        recipe.fix("qdamp")
    results = Results(recipe, update=False)
    results.derivstep = 1e-3
    results.update()
    # The derivatives were taken beside the best values.
    recipe.residual()
    return results


def _parameters(
    results: FitResults, plain: Mapping[str, str]
) -> dict[str, tuple[float, float]]:
    """Value and standard uncertainty of each variable by its plain name."""
    names = list(results.varnames)
    # Where the covariance is singular, FitResults has no uncertainties.
    errors = getattr(results, "varunc", None)
    errors = [math.nan] * len(names) if errors is None else errors
    return {
        plain.get(name, name): (float(value), float(error))
        for name, value, error in zip(
            names, results.varvals, errors, strict=True
        )
    }


def _moved(
    cluster: Cluster,
    parameters: Mapping[str, tuple[float, float]],
    move_names: Iterable[str],
) -> np.ndarray:
    """Positions at the refined zoomscale and moves, (n, 3), angstrom."""
    zoom = parameters["zoomscale"][0]
    values = {name: parameters[name][0] for name in move_names}
    if not values:
        return cluster.positions * zoom
    return moving.moved(cluster.positions, {**values, moving.ZOOM: zoom})


def _left_open(
    results: FitResults,
    parameters: Mapping[str, tuple[float, float]],
    move_names: Iterable[str],
) -> tuple[str, ...]:
    """The moves that are not known better than by their bounds."""
    # Without dG the misfit alone tells how uncertain the data are.
    misfit = math.sqrt(results.rchi2)
    return tuple(
        name
        for name in move_names
        # Written so that an unknown uncertainty, NaN, counts as too large.
        if not parameters[name][1] * misfit < moving.LIMITS[name]
    )


def _uneven_misfit(recipe: FitRecipe, rw: float) -> tuple[float, float] | None:
    """Where in r half of the misfit lies, or None where it is noise."""
    profile = recipe.cluster.profile
    evenness, span = misfit_by_range(
        profile.x, (profile.y - profile.ycalc) / profile.dy
    )
    if evenness >= _EVEN or rw <= _EXPLAINED:
        return None
    return span


def _at_bounds(
    recipe: FitRecipe,
    parameters: Iterable[str],
    plain: Mapping[str, str],
) -> tuple[tuple[str, float], ...]:
    """The parameters that ended at a bound, by plain names, with the bound."""
    variable_of = {name: variable for variable, name in plain.items()}
    reached = []
    for name in parameters:
        variable = getattr(recipe, variable_of.get(name, name))
        low, high = variable.bounds
        span = (high if math.isfinite(high) else 1.0) - low
        for limit in (low, high):
            if abs(variable.value - limit) < 1e-3 * span:
                reached.append((name, float(limit)))
    return tuple(reached)


def _raw(recipe: FitRecipe) -> float:
    """Rw with the scale alone fitted, at the default Uiso and no delta2."""
    names = variable_names(recipe)
    moves, before = move_names_of(recipe), list(recipe.values)
    for name in names:
        if name.endswith("_Uiso"):
            getattr(recipe, name).value = Refinement.uiso
        elif name.endswith("_Delta2"):
            getattr(recipe, name).value = 0.0
        elif name == "zoomscale":
            recipe.zoomscale.value = 1.0
        elif name in moves:
            getattr(recipe, name).value = 0.0
    recipe.s1.value = best_scale_of(recipe)
    rw = _rw(recipe, recipe.values)
    for name, value in zip(names, before, strict=True):
        getattr(recipe, name).value = value
    return rw
