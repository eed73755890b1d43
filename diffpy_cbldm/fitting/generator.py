"""SrFit's generator of a cluster's PDF, without diffpy.srreal.

SrFit asks a generator for G(r) whenever a Parameter has changed.  Its own,
`DebyePDFGenerator`, needs the compiled diffpy.srreal; `DebyeGenerator` is the
same over `diffpy_cbldm.fitting.calculator.DebyeCalculator`, and
`ClusterParSet` hands it the structure as it is.

Methods have the names of diffpy.cmipdf and diffpy.cmistructure, which take
over the parts ``pdf`` and ``structure`` of diffpy.srfit, and the older ones
of diffpy.srfit beside them.  Nothing of diffpy.srfit.pdf is used.
"""

from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np
from diffpy.srfit.exceptions import SrFitError
from diffpy.srfit.fitbase import ProfileGenerator
from diffpy.srfit.fitbase.parameter import ParameterAdapter
from diffpy.srfit.structure.diffpyparset import DiffpyStructureParSet

from diffpy_cbldm.debye.qgrid import R_STEP
from diffpy_cbldm.errors import CbldmError
from diffpy_cbldm.fitting.calculator import DebyeCalculator
from diffpy_cbldm.renames import modern

BACKENDS = ("auto", "torch", "srreal")


class _Bare(tuple):
    """No atoms in a lattice: what SrFit makes no parameter sets of."""

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

    Attributes
    ----------
    stru, structure : diffpy Structure
    """

    def __init__(self, name: str, stru: Any, atoms: bool = True) -> None:
        self._asleep = not atoms
        super().__init__(name, stru if atoms else _Bare(stru.lattice))
        self.stru = stru
        # What space groups ask a lattice for, in srfit and in cmistructure.
        self.getLattice().angle_units = "deg"

    @property
    def structure(self) -> Any:
        """The structure whose parameters these are."""
        return self.stru

    @property
    def asleep(self) -> bool:
        """Whether no parameter set of an atom was made yet."""
        return bool(self.__dict__.get("_asleep"))

    def _wake(self) -> None:
        """Make the parameter sets of the atoms."""
        if self._asleep:
            self._asleep = False
            add = modern(self).add_parameter_set
            for atom in DiffpyStructureParSet("all", self.stru).atoms:
                add(atom)
                self.atoms.append(atom)

    def get_scatterers(self) -> Any:
        """The parameter sets of the atoms."""
        self._wake()
        return self.atoms

    def get_lattice(self) -> Any:
        """The parameter set of the lattice."""
        return self.lattice

    def use_symmetry(self, use: bool = True) -> None:
        """Say whether the structure is periodic."""
        self._usesymmetry = bool(use)

    def using_symmetry(self) -> bool:
        """Whether the structure is periodic."""
        return self._usesymmetry

    @classmethod
    def can_adapt(cls, structure: Any) -> bool:
        """Whether these can be the parameters of an object."""
        return cls.canAdapt(structure)

    def getScatterers(self) -> Any:
        """`get_scatterers`, as diffpy.srfit calls it."""
        return self.get_scatterers()

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            # Atoms are called Pt0, Pt1, ...
            if not (name[-1].isdigit() and self.__dict__.get("_asleep")):
                raise
        self._wake()
        return super().__getattr__(name)

    def _get_srreal_structure(self) -> Any:
        return self.stru

    def _getSrRealStructure(self) -> Any:  # srfit 3.2
        return self.stru


class DebyeGenerator(ProfileGenerator):
    """SrFit's DebyePDFGenerator over the built-in calculator.

    Takes the place of ``DebyePDFGenerator`` of diffpy.srfit and of
    diffpy.cmipdf in a recipe for a finite cluster, with the methods of both
    (``set_qmax`` and ``setQmax``) and the same parameter names; diffpy.srreal
    is not needed.  A changed Q range, radiation, structure or Parameter is
    noticed; after a direct edit of the structure's atoms, which SrFit cannot
    see, call `refresh`.

    G(r) is that of the whole particle at the points of the profile, wherever
    their range ends and however far apart they are.  With
    ``set_discretisation("native")`` it is that of diffpy.srreal.

    Its Parameters are ``scale``, ``delta1`` (A), ``delta2`` (A^2), ``qbroad``
    and ``qdamp`` (1/A); those of the structure are in ``phase``, or under the
    name that was given with it.

    Parameters
    ----------
    name : str
        Name of the generator in the equation.  Default "pdf".
    """

    def __init__(self, name: str = "pdf") -> None:
        super().__init__(name)
        self._phase: Any = None
        self._lastr = np.empty(0)
        self._calc = DebyeCalculator()
        for parameter in ("delta1", "delta2", "qbroad", "scale", "qdamp"):
            modern(self).add_parameter(
                ParameterAdapter(parameter, self._calc, attr=parameter)
            )

    @property
    def structure(self) -> Any:
        """The diffpy Structure, None before one is set."""
        # cmistructure has renamed it.
        for name in ("stru", "structure"):
            if hasattr(self._phase, name):
                return getattr(self._phase, name)
        return None

    @property
    def stru(self) -> Any:
        """`structure`, as diffpy.srfit calls it."""
        return self.structure

    def set_structure(
        self, structure: Any, name: str = "phase", periodic: bool = False
    ) -> None:
        """Set the diffpy Structure; it is taken as a finite cluster."""
        self.set_structure_from_parset(
            ClusterParSet(name, structure), periodic
        )

    def set_structure_from_parset(
        self, parset: Any, periodic: bool = False
    ) -> None:
        """Set the parameter set that holds the structure.

        Parameters
        ----------
        parset : ClusterParSet or DiffpyStructureParSet
            Of diffpy.srfit or diffpy.cmistructure.
        periodic : bool
            The Debye equation is for a finite cluster: False alone.
        """
        if periodic:
            raise CbldmError(
                "periodic is True; the Debye equation is for a finite "
                "cluster: pass periodic=False."
            )
        if self._phase is not None:
            modern(self).remove_parameter_set(self._phase)
        self._phase = parset
        modern(self).add_parameter_set(parset)
        modern(parset).use_symmetry(periodic)
        # SrFit looks at Parameters alone, and would hand out the old curve.
        self.refresh()

    def parallel(self, ncpu: int, mapfunc: Any = None) -> None:
        """Accept DiffPy's call; large sums share the cores by themselves."""

    def set_qmax(self, qmax: float) -> None:
        """Set Qmax, 1/A."""
        self._calc.qmax = qmax
        self.meta["qmax"] = self.get_qmax()
        self.refresh()

    def get_qmax(self) -> float:
        """Return Qmax, 1/A."""
        return self._calc.qmax

    def set_qmin(self, qmin: float) -> None:
        """Set Qmin, 1/A."""
        self._calc.qmin = qmin
        self.meta["qmin"] = self.get_qmin()
        self.refresh()

    def get_qmin(self) -> float:
        """Return Qmin, 1/A."""
        return self._calc.qmin

    def set_scattering_type(self, stype: str = "X") -> None:
        """Set the radiation, "X" or "N"."""
        self._calc.scatteringfactortable = stype
        # The metadata only where the calculator has taken it.
        self.meta["stype"] = self.get_scattering_type()
        self.refresh()

    def get_scattering_type(self) -> str:
        """Return the radiation, "X" or "N"."""
        return self._calc.getRadiationType()

    def set_discretisation(self, grid: str) -> None:
        """Set "whole" (the default) or "native", see `DebyeCalculator`."""
        if grid not in ("whole", "native"):
            raise CbldmError(
                f"grid is {grid!r}; expected 'whole' or 'native': pass one."
            )
        self._calc.grid = grid
        # The points are chosen anew with the next curve.
        self._lastr = np.empty(0)
        self.refresh()

    def refresh(self) -> None:
        """Forget the last curve, so that the next one is calculated."""
        self._calc.forget()
        self._flush(other=(self,))

    def setStructure(
        self, stru: Any, name: str = "phase", periodic: bool = False
    ) -> None:
        """`set_structure`, as diffpy.srfit calls it."""
        self.set_structure(stru, name, periodic)

    # Also the names of diffpy.srfit.pdf.
    setPhase = set_structure_from_parset  # noqa: N815
    setQmax, getQmax = set_qmax, get_qmax  # noqa: N815
    setQmin, getQmin = set_qmin, get_qmin  # noqa: N815
    setScatteringType = set_scattering_type  # noqa: N815
    getScatteringType = get_scattering_type  # noqa: N815
    setDiscretisation = set_discretisation  # noqa: N815

    def _process_metadata(self) -> None:
        """Take over what the profile's file says."""
        for name, take in (
            ("stype", self.set_scattering_type),
            ("qmax", self.set_qmax),
            ("qmin", self.set_qmin),
        ):
            if self.meta.get(name) is not None:
                take(self.meta[name])
        for name in ("delta1", "delta2", "qbroad", "scale", "qdamp"):
            if self.meta.get(name) is not None:
                modern(self.get(name)).set_value(self.meta[name])

    def processMetaData(self) -> None:  # srfit 3.2
        """Take over what the profile's file says."""
        self._process_metadata()

    def _validate(self) -> None:
        """Raise SrFitError where a structure or a profile is missing."""
        if self._phase is None:
            raise SrFitError("_phase is None")
        super()._validate()

    def __call__(self, r: np.ndarray) -> np.ndarray:
        """Return G (n,), 1/A^2, at r (n,), A."""
        if not np.array_equal(r, self._lastr):
            self._prepare(r)
        # No atom has parameters of its own that could have changed.
        self._calc.alike = getattr(self._phase, "asleep", False)
        at, g = self._calc(self.structure)
        if np.isnan(g).any():
            return np.zeros_like(r)
        return np.interp(r, at, g)

    def _prepare(self, r: np.ndarray) -> None:
        """Set the calculator to new points."""
        self._lastr = r.copy()
        calculator = self._calc
        calculator.rstep = float(np.ptp(r)) / max(len(r) - 1, 1)
        calculator.rmin = float(r.min())
        calculator.rmax = float(r.max()) + 0.5 * calculator.rstep
        places = r / R_STEP
        steps = np.diff(np.rint(places))
        even = np.abs(places - np.rint(places)).max() < 1e-3
        calculator.points = None
        if even and np.all(steps == 1):
            return
        if calculator.grid == "native":
            gaps = np.diff(r)
            if len(gaps) and np.ptp(gaps) > 1e-3 * gaps.min():
                # G is interpolated to r: a mean step would be too coarse.
                calculator.rstep = min(float(gaps.min()), R_STEP)
            return
        # SrFit interpolates G to r, which costs a coarse or uneven grid its
        # peaks: G is calculated at these points.
        calculator.points = np.array(r, dtype=float)
        calculator.rstep = R_STEP
        calculator.rmax = float(r.max())


def choose_backend(backend: str) -> str:
    """Return "torch" or "srreal" for "auto", "torch" or "srreal".

    "auto" is the built-in calculator, so that a result does not depend on
    what else is installed.  CbldmError where srreal is asked for and is not
    there.
    """
    if backend not in BACKENDS:
        raise CbldmError(
            f"backend is {backend!r}; expected one of {', '.join(BACKENDS)}."
        )
    if backend != "srreal":
        return "torch"
    try:
        loads = importlib.util.find_spec("diffpy.srreal") is not None
        if loads:
            # Its compiled library may be missing all the same.
            import diffpy.srreal.pdfcalculator  # noqa: F401
    except ImportError:
        loads = False
    if not loads:
        raise CbldmError(
            "backend is 'srreal', but diffpy.srreal does not load; expected "
            "its conda package: conda install -c conda-forge diffpy.srreal, "
            "or use backend='torch'."
        )
    return backend


def make_generator(backend: str, structure: Any, atoms: bool) -> Any:
    if backend == "srreal":
        from diffpy.srfit.pdf import DebyePDFGenerator

        generator = DebyePDFGenerator("G1")
        generator.setStructure(structure, periodic=False)
        return generator
    generator = DebyeGenerator("G1")
    generator.set_structure_from_parset(
        ClusterParSet("phase", structure, atoms)
    )
    return generator


def generator_of(backend: str, phase: Any, name: str) -> Any:
    """A generator of the structure that another one has already.

    Parameters
    ----------
    backend : {"torch", "srreal"}
    phase : parameter set
        Of the other generator: its Parameters become those of both.
    name : str
    """
    if backend == "srreal":
        from diffpy.srfit.pdf import DebyePDFGenerator

        generator = DebyePDFGenerator(name)
        generator.setPhase(phase, periodic=False)
        return generator
    generator = DebyeGenerator(name)
    generator.set_structure_from_parset(phase)
    return generator
