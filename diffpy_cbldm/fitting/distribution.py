"""The distribution of sizes of a powder, as one native SrFit recipe.

Particles of one shape whose diameters D have a lognormal distribution of
width w, the standard deviation of ln D.  An atom lies in a larger particle
the more often, so that the curve is a mean over atoms,

    G(r) = sum_k v_k G_k(r),   ln D of atoms: normal, of width w

with G_k that of some members an atom (`diffpy_cbldm.crystals.sizes`), between
which a cubic spline in ln D interpolates.  A fit by a single particle tells
about the weight mean <N^2> / <N> of the number of atoms; the number mean is
smaller by exp(9 w^2) (lognormal moments, N as D^3).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from diffpy.srfit.fitbase import FitContribution, FitRecipe, ProfileGenerator
from diffpy.srfit.fitbase.parameter import ParameterAdapter

from diffpy_cbldm.cluster import Candidate, Cluster, candidate_of
from diffpy_cbldm.crystals.sizes import Family, family_of
from diffpy_cbldm.errors import CbldmError
from diffpy_cbldm.fitting.agreement import EVIDENCE
from diffpy_cbldm.fitting.recipe import (
    best_scale_of,
    delta2_name,
    profile_of,
    variable_names,
)
from diffpy_cbldm.fitting.refinement import settled
from diffpy_cbldm.fitting.target import Target
from diffpy_cbldm.fitting.together import with_others
from diffpy_cbldm.fitting.uncertainties import Results
from diffpy_cbldm.fitting.waves import Waves
from diffpy_cbldm.pdfdata import PDFData
from diffpy_cbldm.protocols import Stored
from diffpy_cbldm.renames import modern
from diffpy_cbldm.settings import Refinement, Solve
from diffpy_cbldm.threads import one_thread

WIDTHS = (0.0, 0.45)
"""Bounds of the width of ln D."""

SIZES = (0.7, 1.4)
"""Bounds of the size: the weight mean of N is that of the structure times the
cube of it."""

FIRST_WIDTH = 0.15

FEWEST = 4
"""Members are at least so many: a cubic spline joins them."""

_POINTS = 401
"""Sizes between the members at which the distribution is summed."""


@dataclasses.dataclass(frozen=True)
class SizeDistribution(Stored):
    """The lognormal distribution of sizes that a PDF tells.

    Attributes
    ----------
    family : str
        What the members are.
    members : tuple of int
        Their numbers of atoms.
    width : (value, uncertainty)
        Standard deviation of ln D.
    number_mean, weight_mean : (value, uncertainty)
        <N> and <N^2> / <N> of the number of atoms.
    determined : bool
        Whether the width is at least twice its uncertainty and within its
        bounds, and the data support it: by `rw` and `rw_single`, the
        Bayesian information criterion falls by 10 or more.
    rw, rw_single : float
        Rw of the fit, and of that with a width of 0.  There the size is
        fitted as well, between those of the members: it is not quite the Rw
        of the structure.
    parameters : dict
        Value and uncertainty of the other variables, as of a `Candidate`.
    """

    family: str
    members: tuple[int, ...]
    width: tuple[float, float]
    number_mean: tuple[float, float]
    weight_mean: tuple[float, float]
    determined: bool
    rw: float
    rw_single: float
    parameters: dict[str, tuple[float, float]]

    def __str__(self) -> str:
        # As many digits as the table has: it shows a third fit beside.
        gain = (
            f"Rw {self.rw:.4f}; of one size, fitted as well, "
            f"{self.rw_single:.4f}"
        )
        if not self.determined:
            return f"the width of the sizes is not determined ({gain})"
        (width, error), number = self.width, self.number_mean
        weight = self.weight_mean
        return (
            f"lognormal width of the diameter {width:.2f} +- {error:.2f}, "
            f"number mean {number[0]:.0f} +- {number[1]:.0f} atoms, weight "
            f"mean {weight[0]:.0f} +- {weight[1]:.0f} ({gain})"
        )


class _Ensemble:
    """The curve of a family; its attributes are the variables."""

    def __init__(self, family: Family, target: Target, atoms: int) -> None:
        self.family, self.target, self.atoms = family, target, atoms
        self.waves = Waves(target, family.distances)
        self.size, self.width, self.stretch = 1.0, 0.0, 1.0
        self.uiso, self.delta2 = Refinement.uiso, Refinement.delta2
        self.qdamp = target.first_qdamp
        from scipy.interpolate import make_interp_spline

        nodes = np.log(family.atoms) / 3
        self.places = np.linspace(nodes[0], nodes[-1], _POINTS)
        spline = make_interp_spline(nodes, np.eye(len(nodes)), k=3)
        self.shares = spline(self.places)
        self._r, self._sines = np.empty(0), np.empty((0, 0))

    def weights(self) -> np.ndarray:
        """The share of atoms that each member stands for, (M,)."""
        # Below a step the sum would see single points.
        width = max(self.width, 1.5 * (self.places[1] - self.places[0]))
        mean = math.log(self.atoms) / 3 + math.log(self.size)
        # Of atoms; the weight mean of N lies above their median.
        off = self.places - (mean - 1.5 * width**2)
        density = np.exp(-0.5 * (off / width) ** 2)
        return density @ self.shares / density.sum()

    def curve(self, r: np.ndarray) -> np.ndarray:
        """G (n,), 1/A^2, at r (n,), angstrom."""
        if not np.array_equal(r, self._r):
            q = self.waves.q
            factor = 2 / math.pi * float(q[1] - q[0])
            self._r, self._sines = r.copy(), factor * np.sin(r[:, None] * q)
        pairs = self.weights() @ self.family.pairs
        f = self.waves.at(self.stretch, self.uiso, self.delta2) @ pairs
        return self._sines @ f * np.exp(-0.5 * (self.qdamp * r) ** 2)


class EnsembleGenerator(ProfileGenerator):
    """SrFit's generator of the PDF of particles of many sizes.

    Its Parameters are ``size``, ``width``, ``stretch``, ``uiso`` and
    ``delta2`` (A^2), and ``qdamp`` (1/A).

    Parameters
    ----------
    name : str
    family : Family
    target : Target
        Its Q range, Qbroad and end of r.
    atoms : int
        Weight mean of N at a size of 1.
    """

    def __init__(
        self, name: str, family: Family, target: Target, atoms: int
    ) -> None:
        super().__init__(name)
        self.ensemble = _Ensemble(family, target, atoms)
        for attribute in (
            *("size", "width", "stretch", "uiso", "delta2", "qdamp"),
        ):
            modern(self).add_parameter(
                ParameterAdapter(attribute, self.ensemble, attr=attribute)
            )

    def __call__(self, r: np.ndarray) -> np.ndarray:
        """Return G (n,), 1/A^2, at r (n,), A."""
        return self.ensemble.curve(r)


def distribution_recipe(
    structure: Cluster | Any,
    pdf: PDFData | Target,
    *,
    rmin: float = Solve.rmin,
    rmax: float | None = Solve.rmax,
    start: Mapping[str, float] | None = None,
) -> FitRecipe:
    """Make the native recipe that fits a distribution of sizes.

    Contribution ``cluster`` with the generator ``G1`` (`EnsembleGenerator`)
    and the equation ``s1*G1``; variables ``s1``, ``zoomscale``,
    ``<El>_Uiso``, ``<El>_Delta2``, ``size``, ``width`` and, where Qdamp is
    not known, ``qdamp``.

    Parameters
    ----------
    structure : Cluster or Candidate
        Of one element: its shape is that of all particles.
    pdf : PDFData
    rmin, rmax : float, angstrom
    start : dict, optional
        Start values by variable.

    Returns
    -------
    diffpy.srfit.fitbase.FitRecipe
        With bounds on each variable.
    """
    target = Target.of(pdf, rmin, rmax)
    cluster = candidate_of(structure)
    element = target.element
    family = family_of(cluster.positions, cluster.structure_type)
    sizes = family.atoms
    if len(sizes) < FEWEST or not sizes[0] < len(cluster) < sizes[-1]:
        raise CbldmError(
            f"a cluster of {len(cluster)} atoms has {len(sizes)} sizes of its "
            f"shape; expected {FEWEST} or more, smaller and larger ones: so "
            "small particles have no distribution to fit."
        )
    generator = EnsembleGenerator("G1", family, target, len(cluster))
    contribution = FitContribution("cluster")
    modern(contribution).add_profile_generator(generator)
    modern(contribution).set_profile(profile_of(target), xname="r")
    modern(contribution).set_equation("s1*G1")
    recipe = FitRecipe()
    modern(recipe).clear_fit_hooks()
    modern(recipe).add_contribution(contribution)
    bounds: dict[str, tuple[Any, float, tuple[float, float]]] = {
        "s1": (contribution.s1, 1.0, (0.0, math.inf)),
        "zoomscale": (
            generator.stretch,
            1.0,
            (Refinement.zoom_min, Refinement.zoom_max),
        ),
        f"{element}_Uiso": (
            generator.uiso,
            Refinement.uiso,
            (Refinement.uiso_min, Refinement.uiso_max),
        ),
        delta2_name([element]): (
            generator.delta2,
            Refinement.delta2,
            (0.0, Refinement.delta2_max),
        ),
        "size": (generator.size, 1.0, SIZES),
        "width": (generator.width, FIRST_WIDTH, WIDTHS),
    }
    if target.qdamp is None:
        bounds["qdamp"] = (
            generator.qdamp,
            target.first_qdamp,
            target.qdamp_range,
        )
    for name, (parameter, value, limits) in bounds.items():
        first = (start or {}).get(name, value)
        modern(recipe).add_variable(parameter, first, name=name)
        modern(getattr(recipe, name)).bound_range(*limits)
    recipe.s1.value = best_scale_of(recipe) or 1.0
    return recipe


def size_distribution(
    structure: Cluster | Any,
    pdf: PDFData | Target,
    *,
    rmin: float = Solve.rmin,
    rmax: float | None = Solve.rmax,
) -> SizeDistribution:
    """Fit the distribution of sizes of particles of one shape.

    Parameters
    ----------
    structure : Cluster or Candidate
        The best single particle: its shape is that of all, and what was
        refined of it is where the fit begins.
    pdf : PDFData
    rmin, rmax : float, angstrom

    Returns
    -------
    SizeDistribution

    Raises
    ------
    CbldmError
        A particle too small for other sizes of its shape.
    """
    # Of several PDFs the first tells the sizes.
    target = with_others(Target.of(pdf, rmin, rmax), ())
    candidate = candidate_of(structure)
    with one_thread():
        recipe = distribution_recipe(
            candidate, target, start=_start(candidate, target)
        )
        recipe.width.value = 0.0
        recipe.fix("width")
        rw_single = settled(recipe, target).rw
        recipe.free("width")
        recipe.width.value = FIRST_WIDTH
        results = settled(recipe, target)
    return _told(recipe, results, float(rw_single), len(candidate))


def _start(candidate: Candidate, target: Target) -> dict[str, float]:
    """Start values from what was refined of a single particle."""
    element = target.element
    plain = {
        f"{element}_Uiso": f"{element}_Uiso",
        "delta2": delta2_name([element]),
        "qdamp": "qdamp",
    }
    known = candidate.parameters
    return {plain[n]: known[n][0] for n in plain if n in known}


def _told(
    recipe: FitRecipe, results: Results, rw_single: float, atoms: int
) -> SizeDistribution:
    """What the refined recipe says of the sizes."""
    names = variable_names(recipe)
    found = {
        name: (float(value), float(error))
        for name, value, error in zip(
            names, results.varvals, results.varunc, strict=True
        )
    }
    (size, size_error), (width, error) = found.pop("size"), found.pop("width")
    weight = atoms * size**3
    # ln <N> is ln of the weight mean less 9 w^2; both vary together.
    slopes = np.zeros(len(names))
    slopes[names.index("size")] = 3 / size
    slopes[names.index("width")] = -18 * width
    number = weight * math.exp(-9 * width**2)
    spread = math.sqrt(max(float(slopes @ results.cov @ slopes), 0.0))
    rw = float(results.rw)
    points = results.independent_points
    gain = 2 * points * math.log(rw_single / rw) - math.log(points)
    family = recipe.cluster.G1.ensemble.family
    return SizeDistribution(
        family=family.name,
        members=tuple(family.atoms.tolist()),
        width=(width, error),
        number_mean=(number, number * spread),
        weight_mean=(weight, 3 * weight * size_error / size),
        # Written so that an unknown uncertainty, NaN, is none.
        determined=bool(
            2 * error <= width < 0.99 * WIDTHS[1] and gain >= EVIDENCE
        ),
        rw=rw,
        rw_single=rw_single,
        parameters=found,
    )
