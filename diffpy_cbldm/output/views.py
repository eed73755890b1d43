"""What table, page and plot show: candidates, their curves and shapes."""

from __future__ import annotations

import dataclasses
import importlib.util
import math
from typing import TYPE_CHECKING

import numpy as np

from diffpy_cbldm.errors import CbldmError
from diffpy_cbldm.settings import MAX_ATOMS

if TYPE_CHECKING:
    from diffpy_cbldm.cluster import Candidate
    from diffpy_cbldm.fitting.target import Target
    from diffpy_cbldm.solving.solution import Solution


def need(purpose: str, *modules: str) -> None:
    """Raise `CbldmError` where a module is missing.

    They come with the package; an environment may still lack one, such as a
    container made small by hand.
    """
    for name in modules:
        if importlib.util.find_spec(name) is None:
            raise CbldmError(
                f"{purpose} needs {name}, which is not installed; expected "
                f"all dependencies: pip install {name}"
            )


@dataclasses.dataclass(frozen=True)
class Curve:
    """Measured and calculated G(r) over the fitted range.

    Attributes
    ----------
    r : (n,) array, angstrom
    measured, calculated : (n,) arrays, 1/angstrom^2
    weights : (n,) array
        One over the variance of the data; 1 where it is not known.
    rw : float
        Rw of the two with these weights.
    """

    r: np.ndarray
    measured: np.ndarray
    calculated: np.ndarray
    weights: np.ndarray
    rw: float


def calculated_curve(solution: Solution, candidate: Candidate) -> Curve:
    """The curve that a candidate's Rw belongs to.

    It comes from SrFit, with the calculator and the range of the solution
    and the candidate's fitted parameters.  Where it was not refined, the
    scale alone is fitted, at the default Uiso and without delta2.

    Raises
    ------
    CbldmError
        The data have no points in the fitted range.
    """
    from diffpy_cbldm.cluster import as_cluster
    from diffpy_cbldm.fitting.agreement import rw
    from diffpy_cbldm.fitting.recipe import delta2_name, recipe_of
    from diffpy_cbldm.fitting.recipe_start import REFINED
    from diffpy_cbldm.threads import one_thread

    start: str | dict[str, float] = REFINED
    if not candidate.parameters:
        start = {delta2_name(candidate.elements): 0.0}
    with one_thread():
        recipe = recipe_of(
            as_cluster(candidate),
            _target(solution),
            solution.settings.get("backend", "auto"),
            start,
            (),
            # No variable is an atom's: thousands of parameters less.
            False,
        )
        recipe.residual()
    profile = recipe.cluster.profile
    weights = 1 / np.asarray(profile.dy) ** 2
    measured, calculated = np.array(profile.y), np.array(profile.ycalc)
    return Curve(
        r=np.array(profile.x),
        measured=measured,
        calculated=calculated,
        weights=weights,
        rw=float(rw(measured, calculated, weights)),
    )


def refined_curve(candidate: Candidate) -> Curve | None:
    """The curve that the refinement left, None without one of SrFit."""
    from diffpy_cbldm.fitting.uncertainties import fitted_curve

    con = fitted_curve(candidate.results)
    # Something else was fitted where the Rw is another one.
    if con is None or candidate.results.rw != candidate.rw:
        return None
    return Curve(
        r=con.x,
        measured=con.y,
        calculated=con.ycalc,
        weights=1 / con.dy**2,
        rw=float(con.rw),
    )


def curve_of(solution: Solution, candidate: Candidate) -> Curve:
    """The curve of a candidate on the range of the solution.

    It is calculated again, but of many atoms, where that takes a second, the
    one that the refinement left is taken.
    """
    left = None
    if len(candidate) > MAX_ATOMS:
        left = refined_curve(candidate)
    # Where the fitted range is another one, groups could not be compared.
    if left is None or not np.array_equal(left.r, _target(solution).r):
        return calculated_curve(solution, candidate)
    return left


def _target(solution: Solution) -> Target:
    """The data on the range that was fitted."""
    from diffpy_cbldm.fitting.target import Target

    used, r = solution.settings, solution.pdf.r
    rmin, rmax = used.get("rmin", r[0]), used.get("rmax", r[-1])
    return Target.of(solution.pdf, rmin, rmax)


def difference(a: Curve, b: Curve) -> float:
    """How far two calculated curves are apart, in the unit of Rw.

    sqrt(sum w (G_a - G_b)^2 / sum w G_obs^2), on the grid of both.
    """
    if a.r.shape != b.r.shape:
        raise CbldmError(
            f"the curves have {len(a.r)} and {len(b.r)} points; expected one "
            f"grid: calculate both for one solution."
        )
    top = np.sum(a.weights * (a.calculated - b.calculated) ** 2)
    return float(np.sqrt(top / np.sum(a.weights * a.measured**2)))


DRAWN = 1500
"""Of particles with more atoms the page draws the surface alone."""


@dataclasses.dataclass(frozen=True)
class Shape:
    """The size and the shape of a cluster.

    Attributes
    ----------
    diameter : float, angstrom
        The longest distance of two atoms.
    aspect : float
        The longest over the shortest principal radius of gyration; infinite
        for a flat cluster.
    bonds : (B, 2) array of int
        The bonded pairs.
    neighbours : (n,) array of int
        The bonds of each atom.
    outer : (n,) array of bool
        Which atoms are at the surface (`bonds.surface_shells`).
    """

    diameter: float
    aspect: float
    bonds: np.ndarray
    neighbours: np.ndarray
    outer: np.ndarray

    @property
    def surface(self) -> float:
        """The share of atoms at the surface."""
        return float(np.mean(self.outer))

    @property
    def drawn(self) -> np.ndarray:
        """Places of the atoms that the page draws: all up to `DRAWN`."""
        return np.flatnonzero(self.outer | (len(self.outer) <= DRAWN))


def shape(candidate: Candidate) -> Shape:
    """Measure a candidate; bonds reach 1.2 nearest-neighbour distances."""
    from diffpy_cbldm.crystals.bonds import (
        bonded_pairs,
        diameter,
        surface_shells,
    )

    x = np.asarray(candidate.positions)
    bonds = np.zeros((0, 2), dtype=int)
    outer = np.ones(len(x), bool)
    if len(x) > 1:
        bonds = bonded_pairs(x)
        outer = surface_shells(x) == 1
    # The variances along the principal axes, ascending.
    spread = np.linalg.eigvalsh(np.atleast_2d(np.cov(x.T, bias=True)))
    low, high = math.sqrt(max(spread[0], 0.0)), math.sqrt(spread[-1])
    return Shape(
        diameter=diameter(x),
        aspect=high / low if low > 1e-6 * high > 0 else math.inf,
        bonds=bonds,
        neighbours=np.bincount(bonds.ravel(), minlength=len(x)),
        outer=outer,
    )
