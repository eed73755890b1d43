"""SrFit with the built-in Debye calculator: generator, recipe, refinement.

The recipe is native (FitRecipe, FitContribution, Profile) and follows the
diffpy.cmi example ch11ClusterXYZ; only the calculator under the generator is
exchanged where diffpy.srreal is not installed.  Works with diffpy.srfit 3.2
to 3.4, whose method names differ.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from diffpy.srfit.fitbase import (
    FitContribution,
    FitRecipe,
    FitResults,
    Profile,
)
from diffpy.srfit.fitbase.parameter import ParameterAdapter
from diffpy.srfit.pdf.basepdfgenerator import BasePDFGenerator
from diffpy.srfit.structure.diffpyparset import DiffpyStructureParSet

from diffpy_cbldm import debye, mixed, scattering
from diffpy_cbldm import moves as moving
from diffpy_cbldm.cluster import (
    Candidate,
    Cluster,
    as_cluster,
    candidate_of,
)
from diffpy_cbldm.errors import CbldmError
from diffpy_cbldm.paircache import PairCache
from diffpy_cbldm.pdfdata import PDFData, check_pdf
from diffpy_cbldm.score import misfit_by_range
from diffpy_cbldm.settings import Refinement, Solve

PRECISION = 1e-10
"""Deviation of the built-in calculator from the native one."""

_NO_DAMPING = 1e-3
"""A fitted Qdamp (1/A) below this changes no curve to 30 A."""

_ZERO = 1e-6
"""What stands for a refined value of 0 where derivatives are taken."""

UNEVEN = "uneven misfit: "
"""How the flag begins of a fit whose misfit is no noise."""

_EVEN, _EXPLAINED = 0.6, 0.03
"""Evenness (`score.misfit_by_range`) below which, and Rw above which, a
misfit is flagged: noise has 0.9, a wrong structure 0.5 and less."""

_OWN_FLAGS = ("backend: ", "at bound: ", "not determined: ", UNEVEN)

_FIRST_STRAIN = 0.005
"""Strains to begin from: at 0 a symmetric cluster's G(r) has no slopes."""

BACKENDS = ("auto", "torch", "srreal")

HELD_OUT = 2.0
"""At least so much data (A) beyond the split makes a held-out Rw."""


class DebyeCalculator:
    """Stand-in for diffpy.srreal's DebyePDFCalculator.

    Attributes, with the native defaults: ``qmin`` 0, ``qmax`` 25 (1/A),
    ``rmin`` 0, ``rmax`` 10, ``rstep`` 0.01 (A), ``scale`` 1, ``delta1``
    (A), ``delta2`` (A^2), ``qdamp``, ``qbroad`` (1/A) 0, ``precision``
    1e-10 of the highest peak.
    """

    def __init__(self) -> None:
        self.qmin, self.qmax = 0.0, 25.0
        self.rmin, self.rmax, self.rstep = 0.0, 10.0, 0.01
        self.scale = 1.0
        self.delta1 = self.delta2 = self.qbroad = self.qdamp = 0.0
        self.precision = PRECISION
        self._radiation = "X"
        self._last: tuple[np.ndarray, np.ndarray] | None = None
        self._pairs: PairCache | None = None

    @property
    def scatteringfactortable(self) -> str:
        """The radiation, "X" or "N"."""
        return self._radiation

    @scatteringfactortable.setter
    def scatteringfactortable(self, stype: str) -> None:
        self._radiation = scattering.check_stype(stype)

    def setScatteringFactorTableByType(self, stype: str) -> None:
        """Set the radiation, "X" or "N"."""
        self.scatteringfactortable = stype

    def getRadiationType(self) -> str:
        """Return the radiation, "X" or "N"."""
        return self._radiation

    def _unstretched(self, structure: Any) -> tuple[np.ndarray, float]:
        """Positions (n, 3) in A, and the stretch that is still to come.

        As long as all edges of the lattice move together, as under
        zoomscale, the positions stay those of the first call.
        """
        xyz, base = structure.xyz, structure.lattice.base
        if self._last is not None:
            first, before = self._last
            stretch = float(np.linalg.norm(base) / np.linalg.norm(before))
            if np.array_equal(xyz, first) and np.allclose(
                base, stretch * before, rtol=0, atol=1e-14 * np.abs(base).max()
            ):
                return first @ before, stretch
        self._last = np.array(xyz), np.array(base)
        self._pairs = None
        return xyz @ base, 1.0

    def __call__(self, structure: Any) -> tuple[np.ndarray, np.ndarray]:
        """Return r (m,) in A and G (m,) in 1/A^2 of a diffpy Structure.

        The atoms are taken as a finite cluster, of any elements and with a
        Uiso each.  CbldmError where atoms are anisotropic or partly
        occupied.
        """
        elements, widths = [], []
        for atom in structure:
            if atom.anisotropy or atom.occupancy != 1:
                raise CbldmError(
                    "the structure has anisotropic or partly occupied atoms; "
                    "expected isotropic, full ones: set anisotropy to False "
                    "and occupancy to 1."
                )
            elements.append(atom.element)
            widths.append(atom.Uisoequiv)
        if not elements:
            raise CbldmError(
                "the structure has no atoms; expected a cluster: pass one to "
                "setStructure."
            )
        unstretched, stretch = self._unstretched(structure)
        # An optimiser without bounds may try U < 0; DiffPy's peaks then
        # have no width.
        u = np.array(widths).clip(0)
        settings: dict[str, Any] = {
            name: getattr(self, name)
            for name in (
                "qmin qmax delta1 delta2 scale rmin rmax rstep precision"
            ).split()
        }
        settings["qdamp"] = abs(self.qdamp)
        settings["qbroad"] = abs(self.qbroad)
        with torch.no_grad():
            if len(set(elements)) == 1 and np.all(u == u[0]):
                if self._pairs is None:
                    self._pairs = PairCache(unstretched)
                g = self._pairs.pdf(
                    u_iso=float(u[0]), stretch=stretch, **settings
                )
            else:
                g = mixed.mixed_pdf(
                    torch.tensor(unstretched * stretch),
                    elements,
                    u_iso=torch.tensor(u),
                    stype=self._radiation,
                    **settings,
                ).numpy()
        r = debye.r_grid(self.rmin, self.rmax, self.rstep)
        return r.numpy(), g


class _Bare(tuple):
    """No atoms in a lattice."""

    lattice: Any

    def __new__(cls, lattice: Any) -> _Bare:
        new = super().__new__(cls)
        new.lattice = lattice
        return new


class ClusterParSet(DiffpyStructureParSet):
    """A structure's parameters, handed on without diffpy.srreal.

    Parameters
    ----------
    name : str
    stru : diffpy Structure
    atoms : bool
        Whether the parameter sets of the atoms are made at once.  Without,
        they are made when one is asked for: they cost more time than a fit
        that does not use them.
    """

    def __init__(self, name: str, stru: Any, atoms: bool = True) -> None:
        self._asleep = not atoms
        super().__init__(name, stru if atoms else _Bare(stru.lattice))
        self.stru = stru

    def _wake(self) -> None:
        """Make the parameter sets of the atoms."""
        if self._asleep:
            self._asleep = False
            add = _named(self, "add_parameter_set", "addParameterSet")
            for atom in DiffpyStructureParSet("all", self.stru).atoms:
                add(atom)
                self.atoms.append(atom)

    def getScatterers(self) -> Any:
        """The parameter sets of the atoms."""
        self._wake()
        return super().getScatterers()

    def get_scatterers(self) -> Any:  # srfit from 3.4
        """The parameter sets of the atoms."""
        self._wake()
        return super().get_scatterers()

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            # Atoms are called Pt0, Pt1, ...
            if not (name[-1].isdigit() and self.__dict__.get("_asleep")):
                raise
        self._wake()
        return super().__getattr__(name)

    def _getSrRealStructure(self) -> Any:
        return self.stru

    def _get_srreal_structure(self) -> Any:
        return self.stru


class DebyeGenerator(BasePDFGenerator):
    """SrFit's DebyePDFGenerator over the built-in calculator.

    Takes the place of ``DebyePDFGenerator`` in a recipe for a finite
    cluster, with its methods and parameter names; diffpy.srreal is not
    needed.  A changed Q range, radiation, structure or Parameter is
    noticed; after a direct edit of the structure's atoms, which SrFit cannot
    see, call `refresh`.

    Parameters
    ----------
    name : str
        Name of the generator in the equation.  Default "pdf".
    """

    def __init__(self, name: str = "pdf") -> None:
        super().__init__(name)
        _named(self, "_set_calculator", "_setCalculator")(DebyeCalculator())

    def setStructure(
        self, stru: Any, name: str = "phase", periodic: bool = False
    ) -> None:
        """Set the diffpy Structure; it is taken as a finite cluster."""
        self.setPhase(ClusterParSet(name, stru), periodic)

    def setPhase(self, parset: Any, periodic: bool = False) -> None:
        """Set the parameter set that holds the structure."""
        if periodic:
            raise CbldmError(
                "periodic is True; the Debye equation is for a finite "
                "cluster: pass periodic=False."
            )
        if self._phase is not None:
            _named(self, "remove_parameter_set", "removeParameterSet")(
                self._phase
            )
        super().setPhase(parset, periodic)
        self.refresh()

    def parallel(self, ncpu: int, mapfunc: Any = None) -> None:
        """Accept DiffPy's call; torch already uses the cores it is given."""

    def setQmax(self, qmax: float) -> None:
        """Set Qmax, 1/A."""
        super().setQmax(qmax)
        self.refresh()

    def setQmin(self, qmin: float) -> None:
        """Set Qmin, 1/A."""
        super().setQmin(qmin)
        self.refresh()

    def setScatteringType(self, stype: str = "X") -> None:
        """Set the radiation, "X" or "N"."""
        super().setScatteringType(stype)
        self.refresh()

    def refresh(self) -> None:
        """Forget the last curve, so that the next one is calculated."""
        self._flush(other=(self,))

    def _prepare(self, r: np.ndarray) -> None:
        super()._prepare(r)
        steps = np.diff(r)
        if len(steps) and np.ptp(steps) > 1e-3 * steps.min():
            # G is interpolated to r: a mean step would be too coarse.
            self._calc.rstep = min(float(steps.min()), 0.01)


def _named(obj: Any, *names: str) -> Any:
    """The first of the names that this version of srfit knows."""
    for name in names:
        if hasattr(obj, name):
            return getattr(obj, name)
    raise CbldmError(
        f"diffpy.srfit has no {type(obj).__name__}.{names[0]}; expected a "
        "version from 3.2 to 3.4: install one of these."
    )


def choose_backend(backend: str) -> str:
    """Return "torch" or "srreal" for "auto", "torch" or "srreal".

    "auto" is the native calculator where it is installed.  CbldmError where
    srreal is asked for and is not there.
    """
    if backend not in BACKENDS:
        raise CbldmError(
            f"backend is {backend!r}; expected one of {', '.join(BACKENDS)}."
        )
    if backend == "torch":
        return backend
    try:
        found = importlib.util.find_spec("diffpy.srreal") is not None
        if found:
            import diffpy.srreal.pdfcalculator  # noqa: F401
    except ImportError:
        found = False
    if backend == "srreal" and not found:
        raise CbldmError(
            "backend is 'srreal', but diffpy.srreal does not load; expected "
            "its conda package: conda install -c conda-forge diffpy.srreal, "
            "or use backend='torch'."
        )
    return "srreal" if found else "torch"


def _generator(backend: str, structure: Any, atoms: bool) -> Any:
    if backend == "srreal":
        from diffpy.srfit.pdf import DebyePDFGenerator

        generator = DebyePDFGenerator("G1")
        generator.setStructure(structure, periodic=False)
        return generator
    generator = DebyeGenerator("G1")
    generator.setPhase(ClusterParSet("phase", structure, atoms))
    return generator


def make_recipe(
    cluster: Cluster | Any,
    pdf: PDFData,
    *,
    backend: str = "auto",
    rmin: float = Solve.rmin,
    rmax: float = Solve.rmax,
    start: Mapping[str, float] | None = None,
    moves: Sequence[str] = (),
) -> FitRecipe:
    """Make the native recipe that fits a cluster to a PDF.

    As the diffpy.cmi example ch11ClusterXYZ: contribution ``cluster`` with
    generator ``G1`` and the equation ``s1*G1``; variables ``s1`` (scale),
    ``zoomscale`` (of the lattice a, b, c), ``<El>_Uiso`` (A^2) for each
    element, delta2 (A^2) named by the elements, as ``Pt_Delta2`` or
    ``CdSe_Delta2``, and, where ``pdf.qdamp`` is None, ``qdamp`` (1/A).

    With ``moves=("strain", "surface")`` also the variables ``strain_xx``,
    ``strain_yy``, ``strain_xy``, ``strain_xz``, ``strain_yz`` (traceless,
    zz = -xx - yy; zoomscale stays the isotropic part) and ``surface_1``,
    ``surface_2`` (radial moves of the two outermost shells in
    nearest-neighbour distances, positive outwards); `moves.moved` has the
    equations.  They begin at 0, where the slopes of G(r) with the strain of
    a symmetric cluster vanish: give ``start`` a small value, as `refine`
    does.

    A single atom is freed with the means of SrFit, in a recipe without
    moves, which set all coordinates::

        atom = recipe.cluster.G1.phase.getScatterers()[3]
        recipe.addVar(atom.x, name="x3")

    Its x, y and z are Cartesian, in A, before zoomscale.

    Parameters
    ----------
    cluster : Cluster or Candidate
        Of one or several elements; structures of ASE, diffpy and pymatgen
        do as well.
    pdf : PDFData
        Its grid, dG, Q range, qdamp and qbroad are used as they are.
    backend : {"auto", "torch", "srreal"}
        The Debye calculator: native where installed, or built in.
    rmin, rmax : float, A
        Fitted range, cut to the data.  Default 1.5 and 30.
    start : dict, optional
        Start values by variable name; default: `settings.Refinement`, and
        for s1 the least-squares scale.
    moves : sequence of {"strain", "surface"}
        How the atoms may move besides zoomscale.  Default: not at all.
        Variables that the cluster cannot tell are left out
        (`moves.move_names`).

    Returns
    -------
    diffpy.srfit.fitbase.FitRecipe
        With bounds on each variable, for
        ``least_squares(recipe.residual, recipe.values, x_scale="jac")``.

    Raises
    ------
    CbldmError
        No data in the range, an unknown start value or kind of moves.
    """
    return _recipe(
        as_cluster(cluster), pdf, backend, (rmin, rmax), start, moves, True
    )


def _recipe(
    cluster: Cluster,
    pdf: PDFData,
    backend: str,
    limits: tuple[float, float],
    start: Mapping[str, float] | None,
    moves: Sequence[str],
    atoms: bool,
) -> FitRecipe:
    """As `make_recipe`; `atoms` as for `ClusterParSet`."""
    check_pdf(pdf)
    elements = sorted(set(cluster.elements))
    backend = choose_backend(backend)
    profile = _profile(pdf, *limits)
    generator = _generator(backend, cluster.to_diffpy(), atoms)
    contribution = FitContribution("cluster")
    _named(contribution, "add_profile_generator", "addProfileGenerator")(
        generator
    )
    _named(contribution, "set_profile", "setProfile")(profile, xname="r")
    _named(contribution, "set_equation", "setEquation")("s1*G1")

    generator.setScatteringType(pdf.stype)
    generator.setQmax(pdf.qmax)
    generator.setQmin(pdf.qmin)
    generator.qbroad.value = pdf.qbroad
    generator.qdamp.value = (
        Refinement.qdamp if pdf.qdamp is None else pdf.qdamp
    )

    recipe = FitRecipe()
    _named(recipe, "clear_fit_hooks", "clearFitHooks")()
    _named(recipe, "add_contribution", "addContribution")(contribution)
    variable = _named(recipe, "add_variable", "addVar")
    create = _named(recipe, "create_new_variable", "newVar")
    constrain = _named(recipe, "add_constraint", "constrain")

    delta2 = _delta2_name(elements)
    variable(contribution.s1, 1.0, tag="scale")
    create("zoomscale", 1.0, tag="lat")
    for element in elements:
        shared = _shared_uiso(generator.phase, element)
        variable(shared, Refinement.uiso, tag="adp")
    variable(generator.delta2, Refinement.delta2, name=delta2, tag="d2")
    if pdf.qdamp is None:
        variable(generator.qdamp, Refinement.qdamp, tag="qdamp")
    kinds = moving.check_kinds(moves)
    for shared in _shared_moves(generator.phase, kinds) if kinds else ():
        variable(shared, 0.0, tag="moves")
    lattice = generator.phase.getLattice()
    for edge in (lattice.a, lattice.b, lattice.c):
        constrain(edge, "zoomscale")

    bounds = {
        "s1": (0.0, math.inf),
        "zoomscale": (Refinement.zoom_min, Refinement.zoom_max),
        delta2: (0.0, Refinement.delta2_max),
        "qdamp": (0.0, Refinement.qdamp_max),
    }
    for element in elements:
        bounds[f"{element}_Uiso"] = Refinement.uiso_min, Refinement.uiso_max
    names = list(_named(recipe, "get_names", "getNames")())
    for name in _move_names(recipe):
        bounds[name] = -moving.LIMITS[name], moving.LIMITS[name]
    for name in names:
        _named(getattr(recipe, name), "bound_range", "boundRange")(
            *bounds[name]
        )
    for name, value in (start or {}).items():
        if name not in names:
            raise CbldmError(
                f"start names {name!r}; expected some of {', '.join(names)}."
            )
        getattr(recipe, name).value = value
    if "s1" not in (start or {}):
        recipe.s1.value = _best_scale(recipe)
    return recipe


def _delta2_name(elements: Iterable[str]) -> str:
    return "".join(sorted(set(elements))) + "_Delta2"


def _first_uiso(atoms: list[Any]) -> float:
    return float(atoms[0].Uisoequiv)


def _set_uiso(atoms: list[Any], value: float) -> None:
    for atom in atoms:
        atom.Uisoequiv = value


def _shared_uiso(phase: Any, element: str) -> ParameterAdapter:
    """Add one Parameter ``<El>_Uiso`` to a phase for all atoms of an element.

    A constraint for each atom says the same, and costs SrFit more time than
    the curve itself.
    """
    atoms = [atom for atom in phase.stru if atom.element == element]
    shared = ParameterAdapter(f"{element}_Uiso", atoms, _first_uiso, _set_uiso)
    _named(phase, "add_parameter", "addParameter")(shared)
    return shared


class _Moves:
    """The atoms of a phase, where they began, and how they have moved."""

    def __init__(self, structure: Any, names: Iterable[str]) -> None:
        self.structure = structure
        self.start = np.array(structure.xyz)
        self.surface = moving.surface_moves(self.start)
        self.values = dict.fromkeys(names, 0.0)

    def get(self, name: str) -> float:
        """The value of a variable."""
        return self.values[name]

    def set(self, name: str, value: float) -> None:
        """Set a variable, and with it the coordinates of all atoms."""
        self.values[name] = float(value)
        self.structure.xyz = moving.moved(
            self.start, self.values, self.surface
        )


def _shared_moves(
    phase: Any, kinds: Sequence[str]
) -> Iterator[ParameterAdapter]:
    """Add one Parameter for each move of all atoms to a phase.

    The lattice is that of an xyz file: coordinates are in angstrom.
    """
    structure = phase.stru
    names = moving.move_names(structure.xyz, kinds)
    shared = _Moves(structure, names)
    for name in names:
        move = ParameterAdapter(
            name, shared, _Moves.get, _Moves.set, attr=name
        )
        _named(phase, "add_parameter", "addParameter")(move)
        yield move


def _move_names(recipe: FitRecipe, kind: str = "") -> list[str]:
    """The free variables of a recipe that are moves, of one kind or all."""
    return [
        name
        for name in _named(recipe, "get_names", "getNames")()
        if name in moving.LIMITS and name.startswith(kind)
    ]


def _profile(pdf: PDFData, rmin: float, rmax: float) -> Profile:
    """The points of a PDF from rmin to rmax, on the grid of the data."""
    inside = int(np.count_nonzero((pdf.r >= rmin) & (pdf.r <= rmax)))
    if inside < 20:
        raise CbldmError(
            f"{inside} data points lie between rmin {rmin:g} and rmax "
            f"{rmax:g} A, the data from {pdf.r[0]:g} to {pdf.r[-1]:g} A; "
            "expected at least 20: change rmin and rmax."
        )
    profile = Profile()
    _named(profile, "set_observed_profile", "setObservedProfile")(
        pdf.r.copy(), pdf.g.copy(), None if pdf.dg is None else pdf.dg.copy()
    )
    _named(profile, "set_calculation_range", "setCalculationRange")(
        rmin, rmax, "obs"
    )
    return profile


def _best_scale(recipe: FitRecipe) -> float:
    """The scale of least squares at the other variables' values."""
    profile = recipe.cluster.profile
    recipe.residual()
    curve = profile.ycalc / profile.dy / recipe.s1.value
    power = float(curve @ curve)
    scale = float(curve @ (profile.y / profile.dy)) / power if power else 0.0
    return scale if scale > 1e-3 else 1.0


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

    bounds = _named(recipe, "get_bounds_array", "getBounds2")()
    low, high = (np.asarray(b, dtype=float) for b in bounds)
    options: dict[str, Any] = {"x_scale": "jac"}
    if _move_names(recipe):
        # The slopes of strains can vanish, and are no measure of a step; and
        # strains that G(r) hardly tells apart have no sharp minimum.
        names = _named(recipe, "get_names", "getNames")()
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
    moves, strain = _move_names(recipe), _move_names(recipe, "strain")
    if not moves or any(getattr(recipe, name).value for name in moves):
        return _fit(recipe)
    recipe.fix(*moves)
    recipe.residual(_fit(recipe))
    recipe.free(*moves)
    plain = np.array(recipe.values)
    names = list(_named(recipe, "get_names", "getNames")())
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


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """One cluster is too small to share between cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def refine(
    cluster: Cluster | Any,
    pdf: PDFData,
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
        ``results`` (FitResults); ``flags`` with the calculator used, "strain
        refined" and "surface refined" where coordinates were adjusted to
        the PDF, the moves that the PDF leaves open within their bounds,
        the variables that ended at a bound, and where the misfit lies if it
        is no noise.
    """
    backend = choose_backend(backend)
    cluster = candidate_of(cluster)
    with one_thread():
        recipe = _recipe(
            cluster, pdf, backend, (rmin, rmax), start, moves, False
        )
        raw = _raw(recipe) if cluster.rw_raw is None else cluster.rw_raw
        held = None
        split = Refinement.heldout_split
        if heldout and recipe.cluster.profile.x[-1] >= split + HELD_OUT:
            short = _recipe(
                cluster, pdf, backend, (rmin, split), start, moves, False
            )
            held = _rw(recipe, _fit_moves(short), above=split)
        values = _fit_moves(recipe)
        recipe.residual(values)
        if pdf.qdamp is None and recipe.qdamp.value < _NO_DAMPING:
            # G depends on its square: at 0 there is no uncertainty to give.
            recipe.qdamp.value = 0.0
            recipe.fix("qdamp")
        results = Results(recipe, update=False)
        results.derivstep = 1e-3
        results.update()
        recipe.residual()
        profile = recipe.cluster.profile
        uneven = _uneven(
            profile.x,
            (profile.y - profile.ycalc) / profile.dy,
            float(results.rw),
        )
    names = list(results.varnames)
    errors = getattr(results, "varunc", None)
    errors = [math.nan] * len(names) if errors is None else errors
    plain = {"s1": "scale", _delta2_name(cluster.elements): "delta2"}
    parameters = {
        plain.get(name, name): (float(value), float(error))
        for name, value, error in zip(
            names, results.varvals, errors, strict=True
        )
    }
    everything = names
    if pdf.qdamp is None and "qdamp" not in names:
        everything = [*names, "qdamp"]
        parameters["qdamp"] = (0.0, 0.0)
    flags = [f for f in cluster.flags if not f.startswith(_OWN_FLAGS)]
    flags.append(f"backend: {backend}")
    flags += _at_bounds(recipe, everything, plain)
    zoom = parameters["zoomscale"][0]
    positions = cluster.positions * zoom
    if moved := {name: parameters[name][0] for name in _move_names(recipe)}:
        positions = moving.moved(
            cluster.positions, {**moved, moving.ZOOM: zoom}
        )
    for kind in moving.KINDS:
        flag = f"{kind} refined"
        if flag not in flags and _move_names(recipe, kind):
            flags.append(flag)
    # Without dG the misfit alone tells how uncertain the data are.
    misfit = math.sqrt(results.rchi2)
    flags += [
        f"not determined: {name}"
        for name in moved
        if not parameters[name][1] * misfit < moving.LIMITS[name]
    ]
    flags += uneven
    return dataclasses.replace(
        cluster,
        positions=positions,
        rw_raw=raw,
        rw=float(results.rw),
        rw_heldout=held,
        parameters=parameters,
        flags=tuple(flags),
        results=results,
    )


def _uneven(r: np.ndarray, misfit: np.ndarray, rw: float) -> list[str]:
    """A flag where the misfit is no noise, with where it lies."""
    evenness, (low, high) = misfit_by_range(r, misfit)
    if evenness >= _EVEN or rw <= _EXPLAINED:
        return []
    return [f"{UNEVEN}half of it from {low:.1f} to {high:.1f} A"]


def _at_bounds(
    recipe: FitRecipe, names: Iterable[str], plain: Mapping[str, str]
) -> list[str]:
    """A flag for each variable that ended at a bound."""
    flags = []
    for name in names:
        variable = getattr(recipe, name)
        low, high = variable.bounds
        span = (high if math.isfinite(high) else 1.0) - low
        for limit in (low, high):
            if abs(variable.value - limit) < 1e-3 * span:
                flags.append(f"at bound: {plain.get(name, name)} {limit:g}")
    return flags


def _raw(recipe: FitRecipe) -> float:
    """Rw with the scale alone fitted, at the default Uiso and no delta2."""
    names = list(_named(recipe, "get_names", "getNames")())
    moves, before = _move_names(recipe), list(recipe.values)
    for name in names:
        if name.endswith("_Uiso"):
            getattr(recipe, name).value = Refinement.uiso
        elif name.endswith("_Delta2"):
            getattr(recipe, name).value = 0.0
        elif name == "zoomscale":
            recipe.zoomscale.value = 1.0
        elif name in moves:
            getattr(recipe, name).value = 0.0
    recipe.s1.value = _best_scale(recipe)
    rw = _rw(recipe, recipe.values)
    for name, value in zip(names, before, strict=True):
        getattr(recipe, name).value = value
    return rw
