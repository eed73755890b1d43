"""Two particles in one sample: a recipe of both, with their shares."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

from diffpy.srfit.fitbase import FitRecipe

from diffpy_cbldm.cluster import Candidate, Cluster, candidate_of
from diffpy_cbldm.errors import CbldmError
from diffpy_cbldm.fitting.agreement import EVIDENCE, criterion_gain
from diffpy_cbldm.fitting.generator import DebyeGenerator
from diffpy_cbldm.fitting.recipe import (
    best_scale_of,
    delta2_name,
    recipe_of,
    shared_uiso,
    variable_names,
)
from diffpy_cbldm.fitting.refinement import parameters_of, settled
from diffpy_cbldm.fitting.target import Target
from diffpy_cbldm.protocols import Stored
from diffpy_cbldm.renames import modern
from diffpy_cbldm.settings import Refinement, Solve
from diffpy_cbldm.threads import one_thread

FIRST_SHARE = 0.25
"""Share of the second particle from which a fit begins."""

CHOICES = 3
"""What is told of a second particle: which it is, its share, its stretch."""


@dataclasses.dataclass(frozen=True)
class TwoPhases(Stored):
    """The best structure and a second one, fitted together.

    Attributes
    ----------
    types : tuple of str
        Structure types of both.
    atoms : tuple of int
    share : (value, uncertainty)
        Of the second particle, by weight; the uncertainty covers what
        seconds of other types give that fit alike.
    rw, rw_single : float
        Rw of both, and of the first alone with its atoms held.
    gain : float
        By how much the Bayesian information criterion falls.
    supported : bool
        Whether it falls by 10 or more, with a share of at least twice its
        uncertainty.
    parameters : dict
        Value and uncertainty of the variables, as of a `Candidate`.
    alike : tuple of str
        Other types of the second particle that the criterion does not tell
        from this one.
    """

    types: tuple[str, str]
    atoms: tuple[int, int]
    share: tuple[float, float]
    rw: float
    rw_single: float
    gain: float
    supported: bool
    parameters: dict[str, tuple[float, float]]
    alike: tuple[str, ...] = ()

    def __str__(self) -> str:
        (share, error), verdict = self.share, "not supported"
        if self.supported:
            verdict = "supported"
        if self.alike:
            verdict += (
                f"; which type it is, the data do not tell "
                f"({', '.join(self.alike)} as well)"
            )
        return (
            f"{self.types[1]} with {self.atoms[1]} atoms beside "
            f"{self.types[0]} with {self.atoms[0]}, {share:.2f} +- "
            f"{error:.2f} of the weight: Rw {self.rw:.3f}, "
            f"{self.rw_single:.3f} of the first alone; the criterion falls "
            f"by {self.gain:.0f} (10 are asked for): {verdict}"
        )


def phases_recipe(
    first: Cluster | Any,
    second: Cluster | Any,
    pdf: Any,
    *,
    rmin: float = Solve.rmin,
    rmax: float | None = Solve.rmax,
) -> FitRecipe:
    """Make the native recipe of two particles of one element.

    As `make_recipe` of the first, with a second generator ``G2`` and the
    equation ``s1*((1-share)*G1+share*G2)``: G(r) is normalised by the atom,
    so that shares are those of the weight.  Variables besides: ``share`` and
    ``zoomscale_2``; Uiso, delta2 and Qdamp are shared.

    Parameters
    ----------
    first, second : Cluster or Candidate
    pdf : PDFData
    rmin, rmax : float, angstrom

    Returns
    -------
    diffpy.srfit.fitbase.FitRecipe

    Raises
    ------
    CbldmError
        Particles of different or several elements.
    """
    target = Target.of(pdf, rmin, rmax)
    one, other = candidate_of(first), candidate_of(second)
    elements = set(one.elements) | set(other.elements)
    if len(elements) > 1:
        raise CbldmError(
            f"the particles are of {', '.join(sorted(elements))}; expected "
            "one element in both: pass candidates of one solution."
        )
    element = elements.pop()
    recipe = recipe_of(one, target, "torch", None, (), False)
    contribution = recipe.cluster
    generator = DebyeGenerator("G2")
    generator.set_structure(other.to_diffpy())
    generator.set_scattering_type(target.stype)
    generator.set_qmax(target.qmax)
    generator.set_qmin(target.qmin)
    generator.qbroad.value = target.qbroad
    generator.qdamp.value = target.first_qdamp
    modern(contribution).add_profile_generator(generator)
    modern(contribution).set_equation("s1*((1-share)*G1+share*G2)")
    modern(recipe).add_variable(contribution.share, FIRST_SHARE)
    modern(recipe.share).bound_range(0, 1)
    modern(recipe).create_new_variable("zoomscale_2", 1.0)
    limits = Refinement.zoom_min, Refinement.zoom_max
    modern(recipe.zoomscale_2).bound_range(*limits)
    constrain = modern(recipe).add_constraint
    lattice = modern(generator.phase).get_lattice()
    for edge in (lattice.a, lattice.b, lattice.c):
        constrain(edge, "zoomscale_2")
    constrain(shared_uiso(generator.phase, element), f"{element}_Uiso")
    constrain(generator.delta2, delta2_name([element]))
    if target.qdamp is None:
        constrain(generator.qdamp, "qdamp")
    recipe.s1.value = best_scale_of(recipe) or 1.0
    return recipe


def two_phases(
    first: Candidate,
    second: Candidate,
    pdf: Any,
    *,
    rmin: float = Solve.rmin,
    rmax: float | None = Solve.rmax,
) -> TwoPhases:
    """Fit two particles together, and say whether the data support both.

    Parameters
    ----------
    first : Candidate
        Refined: its Rw is that of one particle.
    second : Cluster or Candidate
    pdf : PDFData
    rmin, rmax : float, angstrom

    Returns
    -------
    TwoPhases

    Raises
    ------
    CbldmError
        As for `phases_recipe`; or the first was not refined.
    """
    target = Target.of(pdf, rmin, rmax)
    one, other = candidate_of(first), candidate_of(second)
    if one.rw is None:
        raise CbldmError(
            "the first particle was not refined; expected a Candidate with "
            "an Rw to compare with: pass what cb.refine gives."
        )
    element = one.elements[0]
    plain = {f"{element}_Uiso": f"{element}_Uiso", "qdamp": "qdamp"}
    plain["delta2"] = delta2_name([element])
    with one_thread():
        recipe = phases_recipe(one, other, target)
        for name, variable in plain.items():
            if name in one.parameters and variable in variable_names(recipe):
                getattr(recipe, variable).value = one.parameters[name][0]
        recipe.s1.value = best_scale_of(recipe) or 1.0
        results = settled(recipe, target)
    found = parameters_of(results)
    rw, points = float(results.rw), results.independent_points
    gain = criterion_gain(one.rw, rw, CHOICES, points)
    share = found.pop("share")
    # Written so that an unknown uncertainty, NaN, is none.
    determined = share[0] >= 2 * share[1]
    return TwoPhases(
        types=(one.structure_type, other.structure_type),
        atoms=(len(one), len(other)),
        share=share,
        rw=rw,
        rw_single=one.rw,
        gain=gain,
        supported=bool(gain >= EVIDENCE and determined),
        parameters=found,
    )


def best_of_types(pairs: Sequence[TwoPhases], points: float) -> TwoPhases:
    """The best of pairs whose second particles have different types.

    Seconds of several types often fit alike: which of them is lowest by a
    little depends on what was tried.  They are named, and the uncertainty of
    the share covers theirs.

    Parameters
    ----------
    pairs : sequence of TwoPhases
        With the same first particle.
    points : float
        Independent points of the data.
    """
    best = min(pairs, key=lambda pair: pair.rw)
    near = [
        pair
        for pair in pairs
        if 2 * points * math.log(pair.rw / max(best.rw, 1e-9)) < EVIDENCE
        and pair.types[1] != best.types[1]
    ]
    share, error = best.share
    off = max((abs(pair.share[0] - share) for pair in near), default=0.0)
    error = math.hypot(error, off)
    return dataclasses.replace(
        best,
        share=(share, error),
        supported=best.supported and bool(share >= 2 * error),
        alike=tuple(dict.fromkeys(pair.types[1] for pair in near)),
    )
