"""A crystal that ends at a sphere, in the hands of PDFfit2 and PDFgui.

The fit of `diffpy_cbldm.fitting.envelope` as a phase of these programs: the
cell at its lattice parameters, one Uiso for each element, delta2 and the
diameter of the sphere (``spdiameter``).  They know no Qmin, and weigh X-rays
by form factors at one Q, so that their Rw is another.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np

from diffpy_cbldm.crystals.crystal import Crystal
from diffpy_cbldm.errors import CbldmError
from diffpy_cbldm.fitting.attenuated import DIAMETERS, AttenuatedCrystal
from diffpy_cbldm.fitting.calibrant import engine
from diffpy_cbldm.fitting.target import Target
from diffpy_cbldm.renames import modern

STEPS, PARTS = 20, 2.0
"""Steps of a fit by PDFfit2, at most, and points that are fitted for one that
G(r) needs to be known: its time grows with them."""

_SAME_EDGE = 1e-4
"""Edges that differ by less (A) are one parameter."""

_U = ("u11", "u22", "u33", "u12", "u13", "u23")
_PLACES = ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))


@dataclasses.dataclass(frozen=True)
class Freed:
    """A parameter of a fit, and the variables that follow it.

    Attributes
    ----------
    name : str
        Such as "a", "Ce_Uiso", "spdiameter".
    value : float
        Where it begins.
    variables : dict of str to float
        PDFfit2's names, each with what the parameter is multiplied by.
    of_data : bool
        Whether they belong to the data set and not to the phase.
    """

    name: str
    value: float
    variables: dict[str, float]
    of_data: bool = False


def phase_of(crystal: Crystal, sphere: AttenuatedCrystal) -> Any:
    """A ``diffpy.structure.Structure`` of a crystal as it fits.

    Parameters
    ----------
    crystal : Crystal
        At the lattice parameters that fit.
    sphere : AttenuatedCrystal
        Its fit.

    Returns
    -------
    diffpy.structure.Structure
        Its ``pdffit`` holds ``spdiameter`` (0 for a bulk crystal) and
        ``delta2``; ``write("x.stru", "pdffit")`` makes a file of it.
    """
    from diffpy.structure import Atom, Lattice, Structure

    widths = sphere.uiso_by_element or dict.fromkeys(
        crystal.elements, sphere.uiso
    )
    atoms = [
        Atom(e, xyz=place, occupancy=float(share), Uisoequiv=widths[e])
        for place, row in zip(crystal.sites, crystal.shares)
        for e, share in zip(crystal.elements, row)
        if share > 0
    ]
    phase = Structure(
        atoms, lattice=Lattice(base=crystal.cell), title=crystal.name
    )
    bulk = sphere.diameter > 0.95 * DIAMETERS[-1]
    phase.pdffit = {
        "scale": sphere.scale,
        "delta2": sphere.delta2,
        "spdiameter": 0.0 if bulk else sphere.diameter,
    }
    return phase


def freed(phase: Any, qdamp: float | None) -> list[Freed]:
    """What is refined of a phase: as the sphere of `fit_envelope`.

    Parameters
    ----------
    phase : diffpy.structure.Structure
        As of `phase_of`.
    qdamp : float, 1/A, or None
        Where its fit begins; None where it is known.
    """
    told = phase.pdffit
    found = [Freed("scale", told["scale"], {"pscale": 1.0})]
    for name in ("delta2", "spdiameter"):
        if told[name] or name == "delta2":
            found.append(Freed(name, told[name], {name: 1.0}))
    if qdamp is not None:
        found.append(Freed("qdamp", qdamp, {"qdamp": 1.0}, of_data=True))
    return [*found, *_edges(phase), *_widths(phase)]


def _edges(phase: Any) -> Iterator[Freed]:
    """Edges of the cell; those of one length are one parameter."""
    lengths = modern(phase.lattice).cell_parms()[:3]
    seen: list[float] = []
    for name, length in zip("abc", lengths):
        if any(abs(length - one) < _SAME_EDGE for one in seen):
            continue
        seen.append(length)
        same = {
            f"lat({k})": 1.0
            for k, other in enumerate(lengths, 1)
            if abs(other - length) < _SAME_EDGE
        }
        yield Freed(name, float(length), same)


def _widths(phase: Any) -> Iterator[Freed]:
    """One Uiso for each element, whatever the angles of the cell."""
    unit = np.asarray(phase.lattice.isotropicunit)
    for element in dict.fromkeys(atom.element for atom in phase):
        same = {
            f"{u}({k})": float(unit[place])
            for k, atom in enumerate(phase, 1)
            if atom.element == element
            for u, place in zip(_U, _PLACES)
            if abs(unit[place]) > 1e-6
        }
        value = next(a.Uisoequiv for a in phase if a.element == element)
        yield Freed(f"{element}_Uiso", float(value), same)


def refine_sphere(
    crystal: Crystal, sphere: AttenuatedCrystal, target: Target
) -> dict[str, float]:
    """Refine a crystal that ends at a sphere by PDFfit2.

    Parameters
    ----------
    crystal : Crystal
    sphere : AttenuatedCrystal
        Its fit, from where it begins.
    target : Target
        Points of all of its range are fitted (`Target.thinned`).

    Returns
    -------
    dict of str to float
        Each parameter by name, and ``rw``.

    Raises
    ------
    CbldmError
        PDFfit2 is missing, or finds no fit.
    """
    phase = phase_of(crystal, sphere)
    known = target.qdamp
    parameters = freed(phase, sphere.qdamp if known is None else None)
    points = target.thinned(PARTS)
    with engine() as fit:
        fit.read_struct_string(modern(phase).write_structure("pdffit"))
        fit.read_data_lists(
            target.stype,
            target.qmax,
            sphere.qdamp if known is None else known,
            points.r.tolist(),
            points.g.tolist(),
        )
        fit.setvar("qbroad", target.qbroad)
        for number, one in enumerate(parameters, 1):
            for variable, times in one.variables.items():
                fit.constrain(variable, f"{times:.8g}*@{number}")
            fit.setpar(number, one.value)
        try:
            for _ in range(STEPS):
                if fit.refine_step(1e-5):
                    break
        except Exception as error:  # it has classes of its own, and others
            raise CbldmError(
                f"PDFfit2 cannot fit the {crystal.name} ({error}); expected "
                "the G(r) of its particles: check the data and the crystal."
            ) from error
        # Qdamp and the diameter come in squares.
        found = {
            one.name: abs(fit.getpar(number))
            for number, one in enumerate(parameters, 1)
        }
        return found | {"rw": float(fit.getrw())}
