"""FitResults whose uncertainties are those of independent data.

``docs/reference/conventions.md`` has the equations.
"""

from __future__ import annotations

import collections
import math
import types
from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from diffpy.srfit.fitbase import FitRecipe, FitResults
from diffpy.srfit.fitbase.fitresults import ContributionResults

from diffpy_cbldm.fitting.agreement import power_in_range
from diffpy_cbldm.fitting.recipe import scale_unit, variable_names
from diffpy_cbldm.fitting.target import Target
from diffpy_cbldm.protocols import plain, tagged
from diffpy_cbldm.renames import modern

_ZERO = 1e-3
"""What stands for a refined value of 0 where derivatives are taken, in
changes that matter (`step_of`)."""

_SINGULAR = 1e-10
"""Variables that the data tell apart by less are not determined."""

_ARRAYS = ("cov", "cumchi2", "cumrw", "varvals", "x", "y", "dy", "ycalc")
"""What results hold as arrays, where there is something to hold."""

_LIVE = ("recipe", "target", "_dcon", "conresults")
"""Of the fit itself; the contributions are written one by one."""


def units_of(recipe: FitRecipe) -> np.ndarray:
    """In what each variable is counted: `scale_unit`, and 1."""
    unit = scale_unit(recipe)
    return np.array(
        [unit if name == "s1" else 1.0 for name in variable_names(recipe)]
    )


def step_of(name: str) -> float:
    """A change of a variable that matters, in its unit (`units_of`)."""
    if name.endswith("_Delta2"):
        return 1.0
    if name.endswith("_Uiso"):
        return 0.003
    steps = {"s1": 0.1, "zoomscale": 0.003, "qdamp": 0.02}
    return steps.get(name, 0.01)


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

    def __init__(self, recipe: FitRecipe, target: Target) -> None:
        self.target = target
        self.uncertainties = target.pdf.uncertainties
        self.independent_points = min(
            target.independent_points, float(len(target.r))
        )
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
        misfit = self.recipe.residual(values)[: len(self.target.r)]
        self.cov = _inverse_normal(jacobian) * self._variance(misfit)

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
        take = modern(self)._calculate_jacobian
        jacobian = take()
        self.varvals = values
        if not values[names.index("s1")] > _ZERO * units[names.index("s1")]:
            # A curve of height 0 tells nothing of the other variables.
            jacobian[:, [name != "s1" for name in names]] = 0.0
        return jacobian

    def _variance(self, misfit: np.ndarray) -> float:
        """Variance of the data, over that of the stock covariance.

        With n points that are m independent data, the noise has m
        components, each of n / m times the variance of a point; and so has
        the misfit, less one for each of p variables:

            misfit   (sum of squares) / (m - p)
            dG       n / m

        Of noise beyond the range of Q, which moves no variable, only that in
        the range counts in both.
        """
        target, total = self.target, float(misfit @ misfit)
        free = self.independent_points - len(self.varnames)
        if free <= 0:
            return math.nan
        felt = power_in_range(target.r, misfit, target.qmin, target.qmax)
        if self.uncertainties == "misfit":
            return felt / free
        share = felt / total if total else 1.0
        return share * len(misfit) / free


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


def fitted_curve(results: Any) -> Any | None:
    """SrFit's record (x, y, ycalc, dy, rw) of the one PDF that was fitted.

    None where `results` are none, or those of several contributions.
    """
    left = list(getattr(results, "conresults", {}).values())
    return left[0] if len(left) == 1 else None
