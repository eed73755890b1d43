"""The native SrFit recipe of one cluster and one PDF."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from diffpy.srfit.fitbase import FitContribution, FitRecipe, Profile
from diffpy.srfit.fitbase.parameter import ParameterAdapter

from diffpy_cbldm.cluster import Candidate, Cluster, as_cluster
from diffpy_cbldm.crystals.bonds import shortest_bond
from diffpy_cbldm.errors import CbldmError
from diffpy_cbldm.fitting import moves as moving
from diffpy_cbldm.fitting.generator import (
    choose_backend,
    generator_of,
    make_generator,
)
from diffpy_cbldm.fitting.quickfit import QuickFit
from diffpy_cbldm.fitting.recipe_moves import shared_moves
from diffpy_cbldm.fitting.recipe_start import REFINED, Start, start_of
from diffpy_cbldm.fitting.target import Target
from diffpy_cbldm.fitting.together import Together, with_others
from diffpy_cbldm.pdfdata import PDFData
from diffpy_cbldm.renames import modern
from diffpy_cbldm.settings import Refinement, Solve

NARROWEST = 0.95
"""delta2 of several elements is at most this share of the square of the
shortest distance, where the peak would have no width."""

_LEAST_SCALE = 1e-3
"""A fit does not begin with less of `scale_unit`."""


def make_recipe(
    cluster: Cluster | Any,
    pdf: PDFData | Target,
    *,
    backend: str = "auto",
    rmin: float = Solve.rmin,
    rmax: float | None = Solve.rmax,
    start: Start = None,
    moves: Sequence[str] = (),
    together: Together = (),
) -> FitRecipe:
    """Make the native recipe that fits a cluster to a PDF.

    As the diffpy.cmi example ch11ClusterXYZ: contribution ``cluster`` with
    generator ``G1`` and the equation ``s1*G1``; variables ``s1`` (scale),
    ``zoomscale`` (of the lattice a, b, c), ``<El>_Uiso`` (A^2) for each
    element, delta2 (A^2) named by the elements, as ``Pt_Delta2`` or
    ``CdSe_Delta2`` (see `NARROWEST`), and, where ``pdf.qdamp`` is None,
    ``qdamp`` (1/A).

    With ``moves=("strain", "surface")`` also the variables ``strain_xx``,
    ``strain_yy``, ``strain_xy``, ``strain_xz``, ``strain_yz`` (traceless,
    zz = -xx - yy; zoomscale stays the isotropic part) and ``surface_1``,
    ``surface_2`` (radial moves of the two outermost shells in
    nearest-neighbour distances, positive outwards); `moves.moved` has the
    equations.  They begin at 0, where the slopes of G(r) with the strain of
    a symmetric cluster vanish: give ``start`` a small value, as `refine`
    does.  With ``"orbits"`` atoms go together that are equal by symmetry:
    ``orbit_1``, ... from the centre (radial), ``orbit_2b``, ``orbit_2c``
    (across); many orbits as ``shell_1``, ..., or with ``"across"`` all ways.

    With other PDFs of the sample, ``together=neutrons``, the contribution
    ``cluster_2`` with the generator ``G2`` and the equation ``s2*G2`` stands
    beside, over the same structure: zoomscale, Uiso and delta2 are shared,
    ``s2`` and, where its Qdamp is not known, ``qdamp_2`` are its own.  Its
    weight in the recipe makes the sum of squares that of w Rw^2.

    A single atom is freed with the means of SrFit, in a recipe without
    moves, which set all coordinates::

        atom = recipe.cluster.G1.phase.get_scatterers()[3]
        recipe.add_variable(atom.x, name="x3")

    Its x, y and z are Cartesian, in A, before zoomscale.

    Parameters
    ----------
    cluster : Cluster or Candidate
        Of one or several elements; structures of ASE, diffpy and pymatgen
        do as well.
    pdf : PDFData
        Its grid, dG, Q range, qdamp and qbroad are used as they are.
    backend : {"auto", "torch", "srreal"}
        The Debye calculator: built in ("auto" is "torch"), or native.
    rmin, rmax : float, A
        Fitted range, cut to the data.  Default 1.5 and where the signal
        ends, 30 A or more.
    start : dict or "refined", optional
        Start values by variable name; default: `settings.Refinement`, and
        for s1 the least-squares scale.  "refined" takes those of a refined
        Candidate: on the data and the range of its fit the recipe has the
        Rw of the Candidate.  Its positions are those after zoomscale and
        moves, so zoomscale begins at 1 and moves at 0.
    moves : sequence of {"strain", "surface", "orbits", "across"}
        How the atoms may move besides zoomscale.  Default: not at all.
        Variables that the cluster cannot tell are left out
        (`moves.move_names`).
    together : PDFData, or sequence of PDFData or (PDFData, weight w)
        Other PDFs of the same sample, such as one of neutrons; w is 1 where
        it is not given, as for ``pdf``.

    Returns
    -------
    diffpy.srfit.fitbase.FitRecipe
        With bounds on each variable, for
        ``least_squares(recipe.residual, recipe.values, x_scale="jac")``.

    Raises
    ------
    CbldmError
        No data in the range, an unknown start value or kind of moves, or
        "refined" values of what was not refined.
    """
    target = Target.of(pdf, rmin, rmax)
    if together:
        target = with_others(target, together)
    return recipe_of(as_cluster(cluster), target, backend, start, moves, True)


def recipe_of(
    cluster: Cluster,
    target: Target,
    backend: str,
    start: Start,
    moves: Sequence[str],
    atoms: bool,
) -> FitRecipe:
    """As `make_recipe`; `atoms` as for `ClusterParSet`."""
    elements = sorted(set(cluster.elements))
    for element in elements:
        if not element.isidentifier():
            raise CbldmError(
                f"SrFit cannot name a parameter after {element!r}; expected "
                "elements, D or T: simulate takes isotopes, refine them as "
                "their element."
            )
    recipe = FitRecipe()
    modern(recipe).clear_fit_hooks()
    backend, phase, first = choose_backend(backend), None, 0.0
    for k, part in enumerate((target, *target.together), start=1):
        generator = (
            make_generator(backend, cluster.to_diffpy(), atoms)
            if phase is None
            else generator_of(backend, phase, f"G{k}")
        )
        phase = generator.phase
        contribution = _contribution(k, generator, part)
        # What is squared and summed is Rw, times a common factor.
        size = _size(contribution.profile)
        first = first or size
        modern(recipe).add_contribution(
            contribution, math.sqrt(part.share) * first / size
        )
    _add_variables(recipe, elements, moving.check_kinds(moves), target)
    begin = start_of(cluster, start, plain_names(recipe, elements))
    _bound(recipe, elements, target, begin if start == REFINED else {})
    if len(elements) > 1:
        begin = _keep_widths(recipe, cluster, begin, start == REFINED)
    _begin_at(recipe, begin)
    return recipe


def _contribution(k: int, generator: Any, target: Target) -> FitContribution:
    """The k-th contribution of a recipe, ``cluster`` for k = 1."""
    contribution = FitContribution(numbered("cluster", k))
    modern(contribution).add_profile_generator(generator)
    modern(contribution).set_profile(profile_of(target), xname="r")
    modern(contribution).set_equation(f"s{k}*G{k}")
    # The Q range before the first curve: later it would go unnoticed.
    with_new_names = modern(generator)
    with_new_names.set_scattering_type(target.stype)
    with_new_names.set_qmax(target.qmax)
    with_new_names.set_qmin(target.qmin)
    generator.qbroad.value = target.qbroad
    generator.qdamp.value = target.first_qdamp
    return contribution


def numbered(name: str, k: int) -> str:
    """The name of something of the k-th PDF: as it is, ``NAME_2``, ..."""
    return name if k == 1 else f"{name}_{k}"


def qdamp_names(target: Target) -> list[str]:
    """The variables of Qdamp that a recipe of a target has."""
    return [
        numbered("qdamp", k)
        for k, part in enumerate((target, *target.together), start=1)
        if part.qdamp is None
    ]


def contributions_of(recipe: FitRecipe) -> list[tuple[Any, float]]:
    """The contributions of a recipe with their weights, in their order.

    SrFit multiplies a residual by its weight before it is squared.
    """
    return list(
        zip(recipe._contributions.values(), recipe._weights, strict=True)
    )


def _size(profile: Profile) -> float:
    """The square root of the sum of squares of G over dG."""
    return float(np.linalg.norm(profile.y / profile.dy))


def _add_variables(
    recipe: FitRecipe,
    elements: Sequence[str],
    kinds: Sequence[str],
    target: Target,
) -> None:
    """The variables of a recipe, in the order of its results."""
    contribution = recipe.cluster
    generator = contribution.G1
    variable = modern(recipe).add_variable
    variable(contribution.s1, 1.0, tag="scale")
    modern(recipe).create_new_variable("zoomscale", 1.0, tag="lat")
    for element in elements:
        shared = shared_uiso(generator.phase, element)
        variable(shared, Refinement.uiso, tag="adp")
    variable(
        generator.delta2,
        Refinement.delta2,
        name=delta2_name(elements),
        tag="d2",
    )
    if target.qdamp is None:
        variable(generator.qdamp, generator.qdamp.value, tag="qdamp")
    for shared in shared_moves(generator.phase, kinds) if kinds else ():
        variable(shared, 0.0, tag="moves")
    # A cluster of an xyz file sits in a lattice of 1 A: its edges scale it.
    lattice = modern(generator.phase).get_lattice()
    for edge in (lattice.a, lattice.b, lattice.c):
        modern(recipe).add_constraint(edge, "zoomscale")
    for k, part in enumerate(target.together, start=2):
        other = getattr(recipe, numbered("cluster", k))
        variable(getattr(other, f"s{k}"), 1.0, tag="scale")
        own = getattr(other, f"G{k}")
        modern(recipe).add_constraint(own.delta2, delta2_name(elements))
        if part.qdamp is None:
            name = numbered("qdamp", k)
            variable(own.qdamp, own.qdamp.value, name=name, tag="qdamp")


def _bound(
    recipe: FitRecipe,
    elements: Sequence[str],
    target: Target,
    refined: Mapping[str, float],
) -> None:
    """Bounds on each variable of a recipe.

    refined : values of a fit whose range of Qdamp may have been another
    """
    bounds = {
        "zoomscale": (Refinement.zoom_min, Refinement.zoom_max),
        delta2_name(elements): (0.0, Refinement.delta2_max),
    }
    for k, part in enumerate((target, *target.together), start=1):
        bounds[f"s{k}"] = 0.0, math.inf
        low, high = part.qdamp_range
        own = refined.get(numbered("qdamp", k), low)
        bounds[numbered("qdamp", k)] = min(low, own), max(high, own)
    for element in elements:
        bounds[f"{element}_Uiso"] = Refinement.uiso_min, Refinement.uiso_max
    for name in move_names_of(recipe):
        bounds[name] = -moving.limit_of(name), moving.limit_of(name)
    for name in variable_names(recipe):
        modern(getattr(recipe, name)).bound_range(*bounds[name])


def _keep_widths(
    recipe: FitRecipe,
    cluster: Cluster,
    start: Mapping[str, float],
    refined: bool,
) -> Mapping[str, float]:
    """Bound delta2 so that the nearest peak keeps a width; the start values.

    Else weak bonds to light elements become lines, whose ripples imitate.
    """
    top = NARROWEST * shortest_bond(cluster.positions) ** 2
    name = delta2_name(cluster.elements)
    if refined:
        # The bound of that fit was of the positions before they moved.
        top = max(top, start.get(name, 0.0))
    if top >= Refinement.delta2_max:
        return start
    modern(getattr(recipe, name)).bound_range(0.0, top)
    return {**start, name: min(start.get(name, Refinement.delta2), top)}


def _begin_at(recipe: FitRecipe, start: Mapping[str, float]) -> None:
    """Set start values; the scale that is not given is the best one."""
    names = variable_names(recipe)
    for name, value in start.items():
        if name not in names:
            raise CbldmError(
                f"start names {name!r}; expected some of {', '.join(names)}."
            )
        getattr(recipe, name).value = value
    for k, _ in enumerate(contributions_of(recipe), start=1):
        if f"s{k}" not in start:
            scale, unit = best_scale_of(recipe, k), scale_unit(recipe, k)
            # From a scale of 0 no other variable has a slope.
            enough = scale > _LEAST_SCALE * unit
            getattr(recipe, f"s{k}").value = scale if enough else unit


def variable_names(recipe: FitRecipe) -> list[str]:
    """The free variables of a recipe, in their order."""
    return list(modern(recipe).get_names())


def plain_names(recipe: FitRecipe, elements: Iterable[str]) -> dict[str, str]:
    """The name that a Candidate has for each variable of a recipe."""
    plain = {delta2_name(elements): "delta2"}
    for k, _ in enumerate(contributions_of(recipe), start=1):
        plain[f"s{k}"] = numbered("scale", k)
    return {name: plain.get(name, name) for name in variable_names(recipe)}


def delta2_name(elements: Iterable[str]) -> str:
    """The variable of delta2, as ``CdSe_Delta2``."""
    return "".join(sorted(set(elements))) + "_Delta2"


def _first_uiso(atoms: list[Any]) -> float:
    return float(atoms[0].Uisoequiv)


def _set_uiso(atoms: list[Any], value: float) -> None:
    for atom in atoms:
        atom.Uisoequiv = value


def shared_uiso(phase: Any, element: str) -> ParameterAdapter:
    """Add one Parameter ``<El>_Uiso`` to a phase for all atoms of an element.

    A constraint for each atom says the same, and costs SrFit more time than
    the curve itself.
    """
    atoms = [atom for atom in phase.stru if atom.element == element]
    shared = ParameterAdapter(f"{element}_Uiso", atoms, _first_uiso, _set_uiso)
    modern(phase).add_parameter(shared)
    return shared


def move_names_of(recipe: FitRecipe, kind: str = "") -> list[str]:
    """The free variables of a recipe that are moves, of one kind or all."""
    return [
        name
        for name in modern(recipe).get_names()
        if moving.kind_of(name) and kind in ("", moving.kind_of(name))
    ]


def profile_of(target: Target) -> Profile:
    """All data points, with those of the fitting range chosen.

    Who goes on with the recipe may choose another range.
    """
    pdf = target.pdf
    profile = Profile()
    modern(profile).set_observed_profile(
        pdf.r.copy(), pdf.g.copy(), None if pdf.dg is None else pdf.dg.copy()
    )
    modern(profile).set_calculation_range(
        float(target.r[0]), float(target.r[-1]), "obs"
    )
    return profile


def best_scale_of(recipe: FitRecipe, k: int = 1) -> float:
    """The scale of least squares of the k-th PDF, at the others' values.

    0 where the curve goes against the data: no scale makes it fit.
    """
    curve, measured = _curve_and_data(recipe, k)
    power = float(curve @ curve)
    return max(float(curve @ measured), 0.0) / power if power else 0.0


def scale_unit(recipe: FitRecipe, k: int = 1) -> float:
    """The scale at which the curve is as high as the data, root mean square.

    The scale has the unit of the data, which may be any: what is small for
    it can only be said in this.
    """
    curve, measured = _curve_and_data(recipe, k)
    power = float(curve @ curve)
    return math.sqrt(float(measured @ measured) / power) if power else 1.0


def scale_number(name: str) -> int:
    """Of which PDF a variable is the scale, from 1; 0 for another one."""
    found = re.fullmatch(r"s(\d+)", name)
    return int(found[1]) if found else 0


def _curve_and_data(
    recipe: FitRecipe, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """The k-th curve at a scale of 1 and the data, (n,), over their dG."""
    profile = contributions_of(recipe)[k - 1][0].profile
    variable = getattr(recipe, f"s{k}")
    scale = variable.value
    if not scale:
        # Of a scale of 0 no curve could be told.
        variable.value = 1.0
    recipe.residual()
    curve = profile.ycalc / profile.dy / variable.value
    variable.value = scale
    return curve, profile.y / profile.dy


def start_values(
    candidate: Candidate, target: Target, fit: QuickFit
) -> dict[str, float]:
    """Start values of the refinement, from the quick fit."""
    element = candidate.elements[0]
    start = {
        "zoomscale": fit.stretch,
        f"{element}_Uiso": fit.uiso,
        f"{element}_Delta2": fit.delta2,
    }
    return start if target.qdamp is not None else start | {"qdamp": fit.qdamp}
