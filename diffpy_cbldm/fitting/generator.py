"""SrFit's generator of a cluster's PDF, without diffpy.srreal.

SrFit asks a generator for G(r) whenever a Parameter has changed.  Its own,
`DebyePDFGenerator`, needs the compiled diffpy.srreal; `DebyeGenerator` is the
same over `diffpy_cbldm.fitting.calculator.DebyeCalculator`, and
`ClusterParSet` hands it the structure as it is.
"""

from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np
from diffpy.srfit.pdf.basepdfgenerator import BasePDFGenerator
from diffpy.srfit.structure.diffpyparset import DiffpyStructureParSet

from diffpy_cbldm.debye.qgrid import R_STEP
from diffpy_cbldm.errors import CbldmError
from diffpy_cbldm.fitting.calculator import DebyeCalculator

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
    """

    def __init__(self, name: str, stru: Any, atoms: bool = True) -> None:
        self._asleep = not atoms
        super().__init__(name, stru if atoms else _Bare(stru.lattice))
        self.stru = stru

    def _wake(self) -> None:
        """Make the parameter sets of the atoms."""
        if self._asleep:
            self._asleep = False
            add = named(self, "add_parameter_set", "addParameterSet")
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

    G(r) is that of the whole particle at the points of the profile, wherever
    their range ends and however far apart they are.  With
    ``setDiscretisation("native")`` it is that of diffpy.srreal.

    Parameters
    ----------
    name : str
        Name of the generator in the equation.  Default "pdf".
    """

    def __init__(self, name: str = "pdf") -> None:
        super().__init__(name)
        named(self, "_set_calculator", "_setCalculator")(DebyeCalculator())

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
            named(self, "remove_parameter_set", "removeParameterSet")(
                self._phase
            )
        super().setPhase(parset, periodic)
        # SrFit looks at Parameters alone, and would hand out the old curve.
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

    def setDiscretisation(self, grid: str) -> None:
        """Set "whole" (the default) or "native", see `DebyeCalculator`."""
        if grid not in ("whole", "native"):
            raise CbldmError(
                f"grid is {grid!r}; expected 'whole' or 'native': pass one."
            )
        self._calc.grid = grid
        # The points are chosen anew with the next curve.
        self._lastr = np.empty(0)
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
        calculator = self._calc
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


def named(obj: Any, *names: str) -> Any:
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
        loads = importlib.util.find_spec("diffpy.srreal") is not None
        if loads:
            # Its compiled library may be missing all the same.
            import diffpy.srreal.pdfcalculator  # noqa: F401
    except ImportError:
        loads = False
    if backend == "srreal" and not loads:
        raise CbldmError(
            "backend is 'srreal', but diffpy.srreal does not load; expected "
            "its conda package: conda install -c conda-forge diffpy.srreal, "
            "or use backend='torch'."
        )
    return "srreal" if loads else "torch"


def make_generator(backend: str, structure: Any, atoms: bool) -> Any:
    if backend == "srreal":
        from diffpy.srfit.pdf import DebyePDFGenerator

        generator = DebyePDFGenerator("G1")
        generator.setStructure(structure, periodic=False)
        return generator
    generator = DebyeGenerator("G1")
    generator.setPhase(ClusterParSet("phase", structure, atoms))
    return generator
