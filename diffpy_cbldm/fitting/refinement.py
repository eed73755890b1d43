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
from diffpy.srfit.fitbase import FitRecipe

from diffpy_cbldm.cluster import Candidate, Cluster, candidate_of
from diffpy_cbldm.fitting import moves as moving
from diffpy_cbldm.fitting.agreement import EXPLAINED, misfit_by_range
from diffpy_cbldm.fitting.generator import choose_backend
from diffpy_cbldm.fitting.recipe import (
    best_scale_of,
    contributions_of,
    move_names_of,
    plain_names,
    qdamp_names,
    recipe_of,
    scale_number,
    scale_unit,
    variable_names,
)
from diffpy_cbldm.fitting.recipe_start import Start
from diffpy_cbldm.fitting.slopes import slopes_of
from diffpy_cbldm.fitting.target import Target
from diffpy_cbldm.fitting.together import Together, with_others
from diffpy_cbldm.fitting.uncertainties import (
    Results,
    rw_of_each,
    step_of,
    units_of,
)
from diffpy_cbldm.pdfdata import PDFData
from diffpy_cbldm.renames import modern
from diffpy_cbldm.settings import Refinement, Solve
from diffpy_cbldm.threads import one_thread

_NO_DAMPING = 1e-3
"""A fitted Qdamp (1/A) below this changes no curve to 30 A."""

_VANISHED = 1e-6
"""A refined value below this, the scale in `scale_unit`, changes no curve."""

_EVEN = 0.6
"""Evenness (`agreement.misfit_by_range`) below which a misfit is flagged where
it is not small: noise has 0.9, a wrong structure 0.5 and less."""

_FIRST_STRAIN = 0.005
"""Strains to begin from: at 0 a symmetric cluster's G(r) has no slopes."""

HELD_OUT = 2.0
"""At least so much data (A) beyond the split makes a held-out Rw."""


def _rw(recipe: FitRecipe, values: Any, above: float = 0.0) -> float:
    """Rw of a recipe at given values, over r > above.

    Of several PDFs the root of the mean Rw^2, with their weights: the
    weights of the contributions hold the sizes of the data.
    """
    data, far = [], []
    for contribution, weight in contributions_of(recipe):
        profile = contribution.profile
        data.append(weight * profile.y / profile.dy)
        far.append(profile.x > above)
    measured, part = np.concatenate(data), np.concatenate(far)
    misfit = recipe.residual(values)[: len(measured)]
    total = np.sum(measured[part] ** 2)
    return float(np.sqrt(np.sum(misfit[part] ** 2) / total))


def fitted_values(recipe: FitRecipe) -> np.ndarray:
    """Refine all variables of a recipe within their bounds.

    What is varied is the scale in its own unit (`scale_unit`), and what is
    minimised the misfit over the root mean square of the data: the steps and
    the ends of the optimiser do not know the unit of G.
    """
    from scipy.optimize import least_squares

    names = variable_names(recipe)
    units, size = units_of(recipe), _rms_of_data(recipe)
    values = np.array(recipe.values)
    for place, k in enumerate(map(scale_number, names)):
        if k and values[place] < _VANISHED * units[place]:
            # A curve of no height has no slopes to follow: without a scale
            # that makes it fit this is a minimum already.
            values[place] = best_scale_of(recipe, k)
            if not values[place]:
                return values
    bounds = modern(recipe).get_bounds_array()
    low, high = (np.asarray(b, dtype=float) / units for b in bounds)
    options: dict[str, Any] = {"x_scale": "jac"}
    if move_names_of(recipe):
        # The slopes of strains can vanish, and are no measure of a step; and
        # strains that G(r) hardly tells apart have no sharp minimum.
        options = {
            "x_scale": [step_of(name) for name in names],
            "ftol": 1e-6,
            "max_nfev": 60,
        }
    slopes = slopes_of(recipe)
    if slopes is not None:
        options["jac"] = lambda x: slopes(x * units) * (units / size)
    fit = least_squares(
        lambda x: recipe.residual(x * units) / size,
        np.clip(values / units, low + 1e-9, high - 1e-9),
        bounds=(low, high),
        **options,
    )
    # What is 0 but for where the optimiser ended is 0, as on a bound.
    return np.where(np.abs(fit.x) < _VANISHED, 0.0, fit.x) * units


def _rms_of_data(recipe: FitRecipe) -> float:
    """Root mean square of the measured curve over its dG, never 0."""
    profile = recipe.cluster.profile
    return float(np.sqrt(np.mean((profile.y / profile.dy) ** 2))) or 1.0


def _fit_moves(recipe: FitRecipe, raw: tuple[np.ndarray, float]) -> np.ndarray:
    """The best values, never worse than those it begins with.

    Nor than with the scale alone fitted (`_raw`): where a minimum beside the
    right one was met, the fit begins again from there.
    """
    begins = [np.array(recipe.values), raw[0]]
    began = [_rw(recipe, begins[0]), raw[1]]
    ends = [_fit_in_steps(recipe)]
    ended = [_rw(recipe, ends[0])]
    if not ended[0] <= min(began):
        recipe.residual(begins[int(np.argmin(began))])
        ends.append(_fit_in_steps(recipe))
        ended.append(_rw(recipe, ends[1]))
    # The first of equals stays.
    values, rws = [*ends, *begins], [*ended, *began]
    return values[min(range(len(rws)), key=rws.__getitem__)]


def _fit_in_steps(recipe: FitRecipe) -> np.ndarray:
    """Refine without moves first, and then all variables.

    The strain begins at the best of a few small ones.  Where a move is not
    0 to begin with, all is refined from there.
    """
    moves, strain = move_names_of(recipe), move_names_of(recipe, "strain")
    if not moves or any(getattr(recipe, name).value for name in moves):
        return fitted_values(recipe)
    recipe.fix(*moves)
    recipe.residual(fitted_values(recipe))
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
        values = fitted_values(recipe)
        if _rw(recipe, values) < _rw(recipe, plain):
            return values
        recipe.residual(plain)
    return fitted_values(recipe)


def refine(
    cluster: Cluster | Any,
    pdf: PDFData | Target,
    *,
    backend: str = "auto",
    rmin: float = Solve.rmin,
    rmax: float | None = Solve.rmax,
    heldout: bool = True,
    start: Start = None,
    moves: Sequence[str] = (),
    together: Together = (),
) -> Candidate:
    """Refine a cluster against a PDF with SrFit.

    Scale, zoomscale, one Uiso for each element, delta2 and, where
    ``pdf.qdamp`` is None, qdamp: see `make_recipe`.  The coordinates move by
    zoomscale and by the moves that are asked for; those are freed after a
    refinement without them.

    Parameters
    ----------
    cluster, pdf, backend, rmin, rmax, start, moves, together
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
        is no noise.  With other PDFs ``together`` also the parameters
        ``scale_2``, ``qdamp_2``, ...; Rw is the root of their weighted mean
        Rw^2, ``rw_of_each`` has those of each, and the misfit that is looked
        at is that of the first.
    """
    target = Target.of(pdf, rmin, rmax)
    if together:
        target = with_others(target, together)
    backend = choose_backend(backend)
    cluster = candidate_of(cluster)

    def recipe_to(end: float) -> FitRecipe:
        part = target if end == target.rmax else target.with_rmax(end)
        return recipe_of(cluster, part, backend, start, moves, False)

    with one_thread():
        recipe = recipe_to(target.rmax)
        raw = _raw(recipe)
        held, split = None, Refinement.heldout_split
        if heldout and recipe.cluster.profile.x[-1] >= split + HELD_OUT:
            part = recipe_to(split)
            held = _rw(recipe, _fit_moves(part, _raw(part)), above=split)
        results = _fit_results(recipe, target, raw)
        state = state_of_fit(recipe, results, target, cluster.elements)
    parameters = state["parameters"]
    move_names = move_names_of(recipe)
    kinds = (kind for kind in moving.MOVE_KINDS if move_names_of(recipe, kind))
    return dataclasses.replace(
        cluster,
        positions=_moved(cluster, parameters, move_names),
        rw_raw=raw[1] if cluster.rw_raw is None else cluster.rw_raw,
        rw_heldout=held,
        backend=backend,
        # Coordinates that an earlier refinement adjusted stay so.
        refined_moves=tuple(dict.fromkeys((*cluster.refined_moves, *kinds))),
        not_determined=_left_open(parameters, move_names),
        **state,
    )


def state_of_fit(
    recipe: FitRecipe,
    results: Results,
    target: Target,
    elements: Sequence[str],
) -> dict[str, Any]:
    """What a Candidate holds of a fit, by the names of its fields.

    Parameters
    ----------
    recipe : FitRecipe
        At the best values.
    results : Results
    target : Target
    elements : sequence of str
        Of the cluster.
    """
    plain = plain_names(recipe, elements)
    parameters = parameters_of(results, plain)
    for name in qdamp_names(target):
        parameters.setdefault(name, (0.0, 0.0))
    return {
        "rw": float(results.rw),
        "parameters": parameters,
        "results": results,
        "at_bounds": _at_bounds(recipe, parameters, plain),
        "uneven_misfit": _uneven_misfit(recipe, float(results.rw)),
        "rw_of_each": rw_of_each(results) if target.together else (),
    }


def _fit_results(
    recipe: FitRecipe, target: Target, raw: tuple[np.ndarray, float]
) -> Results:
    """Refine a recipe, leave it at the best values and return the results."""
    recipe.residual(_fit_moves(recipe, raw))
    for name in qdamp_names(target):
        if getattr(recipe, name).value < _NO_DAMPING:
            # G depends on its square: at 0 there is no uncertainty to give.
            getattr(recipe, name).value = 0.0
            recipe.fix(name)
    results = Results(recipe, target)
    results.update()
    # The derivatives were taken beside the best values.
    recipe.residual()
    return results


def settled(recipe: FitRecipe, target: Target) -> Results:
    """Refine a recipe of whatever variables, and leave it at the best values.

    Parameters
    ----------
    recipe : FitRecipe
        With the contribution ``cluster`` and the scale ``s1``.
    target : Target
        What it is fitted to.

    Returns
    -------
    Results
    """
    recipe.residual(fitted_values(recipe))
    results = Results(recipe, target)
    results.update()
    recipe.residual()
    return results


def parameters_of(
    results: Results, plain: Mapping[str, str] | None = None
) -> dict[str, tuple[float, float]]:
    """Value and standard uncertainty of each variable.

    Parameters
    ----------
    results : Results
    plain : dict, optional
        Names that take the place of the recipe's.
    """
    plain = plain or {}
    return {
        plain.get(name, name): (float(value), float(error))
        for name, value, error in zip(
            results.varnames, results.varvals, results.varunc, strict=True
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
    parameters: Mapping[str, tuple[float, float]],
    move_names: Iterable[str],
) -> tuple[str, ...]:
    """The moves that are not known better than by their bounds."""
    return tuple(
        name
        for name in move_names
        # Written so that an unknown uncertainty, NaN, counts as too large.
        if not parameters[name][1] < moving.limit_of(name)
    )


def _uneven_misfit(recipe: FitRecipe, rw: float) -> tuple[float, float] | None:
    """Where in r half of the misfit lies, or None where it is noise."""
    profile = recipe.cluster.profile
    evenness, span = misfit_by_range(
        profile.x, (profile.y - profile.ycalc) / profile.dy
    )
    if evenness >= _EVEN or rw <= EXPLAINED:
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
        own = variable_of.get(name, name)
        variable = getattr(recipe, own)
        low, high = variable.bounds
        if not math.isfinite(high):  # that of a scale
            span = scale_unit(recipe, scale_number(own)) - low
        else:
            span = high - low
        for limit in (low, high):
            if abs(variable.value - limit) < 1e-3 * span:
                reached.append((name, float(limit)))
    return tuple(reached)


def _raw_values(recipe: FitRecipe) -> np.ndarray:
    """The variables with the scale alone fitted; the recipe is left there.

    At the default Uiso, no delta2, no stretch and no moves.
    """
    moves = move_names_of(recipe)
    for name in variable_names(recipe):
        if name.endswith("_Uiso"):
            getattr(recipe, name).value = Refinement.uiso
        elif name.endswith("_Delta2"):
            getattr(recipe, name).value = 0.0
        elif name == "zoomscale":
            recipe.zoomscale.value = 1.0
        elif name in moves:
            getattr(recipe, name).value = 0.0
    for k, _ in enumerate(contributions_of(recipe), start=1):
        getattr(recipe, f"s{k}").value = best_scale_of(recipe, k)
    return np.array(recipe.values)


def _raw(recipe: FitRecipe) -> tuple[np.ndarray, float]:
    """`_raw_values` and their Rw; the recipe stays as it is."""
    before = np.array(recipe.values)
    values = _raw_values(recipe)
    rw = _rw(recipe, values)
    recipe.residual(before)
    return values, rw
