"""FitResults whose uncertainties are those of independent data.

``docs/reference/conventions.md`` has the equations.
"""

from __future__ import annotations

import collections
import math
import types
from collections.abc import Iterator, Mapping
from typing import Any, Self

import numpy as np
from diffpy.srfit.fitbase import FitRecipe, FitResults
from diffpy.srfit.fitbase.fitresults import ContributionResults

from diffpy_cbldm.fitting.agreement import power_in_range
from diffpy_cbldm.fitting.recipe import (
    contributions_of,
    scale_number,
    scale_unit,
    variable_names,
)
from diffpy_cbldm.fitting.target import Target
from diffpy_cbldm.protocols import plain, tagged
from diffpy_cbldm.renames import modern

_ZERO = 1e-3
"""What stands for a refined value of 0 where derivatives are taken, in
changes that matter (`step_of`)."""

_WIDE_STEP = 0.03
"""Share of a Uiso over which derivatives by it are taken where there are
several: that of a light element among heavy ones changes G(r) by less than
the jumps of the Q grid within a short step."""

_SINGULAR = 1e-10
"""Variables that the data tell apart by less are not determined."""

_ARRAYS = ("cov", "cumchi2", "cumrw", "varvals", "x", "y", "dy", "ycalc")
"""What results hold as arrays, where there is something to hold."""

_LIVE = ("recipe", "target", "_dcon", "conresults")
"""Of the fit itself; the contributions are written one by one."""


def units_of(recipe: FitRecipe) -> np.ndarray:
    """In what each variable is counted: `scale_unit`, and 1."""
    of_scales = map(scale_number, variable_names(recipe))
    return np.array([scale_unit(recipe, k) if k else 1.0 for k in of_scales])


def step_of(name: str) -> float:
    """A change of a variable that matters, in its unit (`units_of`)."""
    if name.endswith("_Delta2"):
        return 1.0
    if name.endswith("_Uiso"):
        return 0.003
    if name.startswith("qdamp"):
        return 0.02
    return 0.1 if scale_number(name) else {"zoomscale": 0.003}.get(name, 0.01)


class Results(FitResults):
    """FitResults whose figures belong to the refined values and their data.

    The stock class takes them where its numeric derivatives end, a step
    off.  That step must be long here, since the native Q grid moves in jumps
    with Uiso: central differences of 1e-3 average over them.

    The stock covariance takes the points of r as independent, and where
    there is no dG their variance as 1.  Here the independent data are as
    many as the range of r times that of Q, over pi, and what is not known of
    their variance is taken from the misfit: see
    ``docs/reference/conventions.md``.

    Attributes
    ----------
    uncertainties : {"misfit", "dG"}
        Where they come from.
    independent_points : float
    """

    varvals: Any

    @property
    def _parts(self) -> tuple[Target, ...]:
        """The targets of the contributions, in their order."""
        return self.target, *self.target.together

    def __init__(self, recipe: FitRecipe, target: Target) -> None:
        self.target = target
        self.uncertainties = target.pdf.uncertainties
        self.independent_points = sum(map(_independent, self._parts))
        super().__init__(recipe, update=False)
        self.derivstep = 1e-3

    def _calculateCovariance(self) -> None:  # srfit up to 3.3
        self._set_covariance()

    def _calculate_covariance(self) -> None:  # srfit from 3.4
        self._set_covariance()

    def as_dict(self) -> dict[str, Any]:
        """Return plain data, by the conventions of monty.

        All but the recipe: figures, covariance, and for each contribution
        the curves.
        """
        known = {n: v for n, v in vars(self).items() if n not in _LIVE}
        contributions = {
            name: {
                **vars(con),
                # Where a parameter stands, in the names of the recipe.
                "conlocs": [[part.name for part in at] for at in con.conlocs],
                # Sums that are made again from the curves.
                "cumchi2": None,
                "cumrw": None,
            }
            for name, con in self.conresults.items()
        }
        return tagged(self, {**known, "conresults": contributions})

    @classmethod
    def from_dict(cls, d: Mapping[str, Any]) -> Self:
        """Return the results that `as_dict` wrote, without a recipe.

        They can be read, printed and saved, but not updated.
        """
        new = cls.__new__(cls)
        known = {n: plain(v) for n, v in d.items() if n[0] != "@"}
        contributions = known.pop("conresults")
        new.__dict__ |= dict.fromkeys(_LIVE) | _with_arrays(known)
        new.conresults = collections.OrderedDict()
        for name, values in contributions.items():
            con = ContributionResults.__new__(ContributionResults)
            con.__dict__ |= _with_arrays(values)
            con.conlocs = [
                [types.SimpleNamespace(name=part) for part in at]
                for at in values["conlocs"]
            ]
            modern(con)._calculate_metrics()
            new.conresults[name] = con
        return new

    def _calculateMetrics(self) -> None:  # srfit up to 3.3
        self._set_metrics()

    def _calculate_metrics(self) -> None:  # srfit from 3.4
        self._set_metrics()

    def _set_metrics(self) -> None:
        """Set chi2 and Rw of the recipe.

        The stock class counts a contribution by its weight, though the
        residual that is squared has been multiplied by it.
        """
        weights = [con.weight for con in self.conresults.values()]
        for con in self.conresults.values():
            con.weight **= 2
        modern(super())._calculate_metrics()
        for con, weight in zip(self.conresults.values(), weights, strict=True):
            con.weight = weight

    def formatResults(self, *args: Any, **options: Any) -> str:
        """As in the stock class, which knows no uncertainties without dG."""
        return self._with_origin(super().formatResults(*args, **options))

    def format_results(self, *args: Any, **options: Any) -> str:
        """`formatResults` of srfit from 3.4."""
        return self._with_origin(super().format_results(*args, **options))

    def _with_origin(self, text: str) -> str:
        return text.replace(
            "(Uncertainties invalid)", f"(uncertainties: {self.uncertainties})"
        )

    def _set_covariance(self) -> None:
        """Set `cov`, NaN where the data do not determine a variable.

        The recipe is left at the refined values.
        """
        values = np.array(self.varvals)
        jacobian = self._jacobian(values)
        misfit = self.recipe.residual(values)
        inverse = _inverse_normal(jacobian)
        variances = [
            (rows, self._variance(part, misfit[rows], weight))
            for part, rows, weight in self._rows()
        ]
        if len(variances) == 1:
            self.cov = inverse * variances[0][1]
            return
        # What the data do not determine is NaN, and stays so.
        seen = np.isfinite(np.diag(inverse))
        self.cov = np.full_like(inverse, np.nan)
        block = np.ix_(seen, seen)
        self.cov[block] = 0.0
        for rows, variance in variances:
            moved = jacobian[rows][:, seen] @ inverse[block]
            self.cov[block] += moved.T @ moved * variance

    def _rows(self) -> Iterator[tuple[Target, slice, float]]:
        """Each PDF with its rows of the residual, and its weight."""
        first = 0
        for part, (contribution, weight) in zip(
            self._parts, contributions_of(self.recipe), strict=True
        ):
            last = first + len(contribution.profile.x)
            yield part, slice(first, last), weight
            first = last

    def _jacobian(self, values: np.ndarray) -> np.ndarray:
        """Derivatives of the residual, (points, variables), at the values."""
        names, units = list(self.varnames), units_of(self.recipe)
        steps = units * [step_of(name) for name in names]
        # The stock derivatives take relative steps, and at 0 none.
        self.varvals = np.where(
            np.abs(values) < _ZERO * steps,
            np.copysign(_ZERO * steps, values),
            values,
        )
        jacobian = modern(self)._calculate_jacobian()
        widths = [k for k, n in enumerate(names) if n.endswith("_Uiso")]
        if len(widths) > 1:
            for k in widths:
                jacobian[:, k] = self._slope(k)
        self.varvals = values
        for k, (_, rows, _) in enumerate(self._rows(), start=1):
            scale = names.index(f"s{k}")
            if not values[scale] > _ZERO * units[scale]:
                # A curve of height 0 tells nothing of the other variables.
                others = [name != f"s{k}" for name in names]
                jacobian[rows, others] = 0.0
        return jacobian

    def _slope(self, k: int) -> np.ndarray:
        """The derivative by a variable over a step of `_WIDE_STEP`."""
        ends = []
        step = _WIDE_STEP * self.varvals[k]
        for end in (step, -step):
            values = np.array(self.varvals)
            values[k] += end
            ends.append(self.recipe.residual(values))
        return (ends[0] - ends[1]) / (2 * step)

    def _variance(
        self, target: Target, misfit: np.ndarray, weight: float
    ) -> float:
        """Variance of the data, over that of the stock covariance.

        With n points that are m independent data, the noise has m
        components, each of n / m times the variance of a point; and so has
        the misfit, less one for each of p variables:

            misfit   (sum of squares) / (m - p)
            dG       n / m

        Of noise beyond the range of Q, which moves no variable, only that in
        the range counts in both.  Of several PDFs each has its own variance,
        and its part of the variables by its independent data; dG counts
        times its weight in the recipe.
        """
        total = float(misfit @ misfit)
        free = self.independent_points - len(self.varnames)
        if free <= 0:
            return math.nan
        free *= _independent(target) / self.independent_points
        felt = power_in_range(target.r, misfit, target.qmin, target.qmax)
        if target.pdf.uncertainties == "misfit":
            return felt / free
        share = felt / total if total else 1.0
        return weight**2 * share * len(misfit) / free


def _independent(target: Target) -> float:
    """Independent points, no more than there are points."""
    return min(target.independent_points, float(len(target.r)))


def _with_arrays(values: Mapping[str, Any]) -> dict[str, Any]:
    """What `vars` of results held, of plain data."""
    return {
        name: (
            np.array(value, dtype=float)
            if name in _ARRAYS and value is not None
            else value
        )
        for name, value in values.items()
    }


def _inverse_normal(jacobian: np.ndarray) -> np.ndarray:
    """The inverse of J^T J, with NaN for what it does not determine.

    Parameters
    ----------
    jacobian : (n, p) array

    Returns
    -------
    (p, p) array
    """
    # Variables have units of their own: columns of one length are compared.
    length = np.linalg.norm(jacobian, axis=0)
    seen = np.isfinite(length) & (length > 0)
    inverse = np.full(2 * (len(length),), np.nan)
    if not seen.any():
        return inverse
    _, size, turn = np.linalg.svd(
        jacobian[:, seen] / length[seen], full_matrices=False
    )
    if size[-1] > _SINGULAR * size[0]:
        part = (turn.T / size**2) @ turn
        part /= np.outer(length[seen], length[seen])
        inverse[np.ix_(seen, seen)] = part
    return inverse


def rw_of_each(results: Any) -> tuple[float, ...]:
    """Rw of each PDF that was fitted, in their order."""
    return tuple(float(con.rw) for con in results.conresults.values())


def misfits(results: Any) -> np.ndarray:
    """What a fit leaves of the data, as it was squared; of all PDFs."""
    parts = results.conresults.values()
    return np.concatenate(
        [con.weight * (con.y - con.ycalc) / con.dy for con in parts]
    )


def fitted_curve(results: Any) -> Any | None:
    """SrFit's record (x, y, ycalc, dy, rw) of the one PDF that was fitted.

    None where `results` are none, or those of several contributions.
    """
    left = list(getattr(results, "conresults", {}).values())
    return left[0] if len(left) == 1 else None
