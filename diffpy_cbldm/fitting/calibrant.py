"""Qdamp and Qbroad of an instrument, from the PDF of a standard.

A standard is a powder of large crystals: what makes its G(r) fall off and its
peaks widen with r is the resolution of the instrument.  Its structure is
known, so that a fit of a periodic structure (PDFfit2) tells both:

    G(r) = exp(-(Qdamp r)^2 / 2) * crystal,   sigma(r)^2 grows by (Qbroad r)^2

(Farrow et al., J. Phys.: Condens. Matter 2007, 19, 335219).
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import math
from collections.abc import Iterator
from typing import Any

from diffpy_cbldm.errors import CbldmError
from diffpy_cbldm.fitting.target import Target
from diffpy_cbldm.pdfdata import PDFData, check_pdf

STANDARDS = {
    "Ni": (225, 3.5238, {"Ni": (0.0, 0.0, 0.0)}),
    "CeO2": (225, 5.4117, {"Ce": (0.0, 0.0, 0.0), "O": (0.25,) * 3}),
    "Si": (227, 5.4312, {"Si": (0.0, 0.0, 0.0)}),
    "LaB6": (221, 4.1568, {"La": (0.0,) * 3, "B": (0.1996, 0.5, 0.5)}),
}
"""Space group (its number, origin choice 1), lattice parameter (A) and sites
of the built-in standards.

Lattice parameters of the NIST standard reference materials 674b (CeO2), 640f
(Si) and 660c (LaB6), and of nickel (Swanson & Tatge, NBS Circular 539, vol. 1,
1953); they are refined, and only start the fit.
"""

RMIN, RMAX = 1.5, 60.0
"""The fitting range, A, as far as the data go."""

FIRST = 20.0
"""The fit begins with r below this (A): far peaks are met only by a lattice
parameter that is nearly right."""

SHORTEST = 10.0
"""Data that end before this (A) show no damping."""

WRONG_RW = 0.25
"""A higher Rw means that the standard is another one than it is said to be."""

STEPS = 15
"""Steps of the fit at most; eight are usual."""

SETTLED = 5e-5
"""The last fit ends where a step changes Rw by less."""

PARTS = 1.4
"""Points that are fitted, for one that G(r) needs to be known."""

_START = {"qdamp": 0.03, "qbroad": 0.01, "u": 0.006, "delta2": 2.0}

INSTALL = "pip install 'diffpy.pdffit2>=1.5,<1.5.2'"
"""Later files of that package are sources alone and lack their extension."""


@dataclasses.dataclass(frozen=True)
class Calibration:
    """What a standard tells of an instrument.

    Attributes
    ----------
    standard : str
        Its formula, or the name of the file of its structure.
    qdamp, qbroad : float, 1/A
    a : float, angstrom
        The refined lattice parameter (of a cubic standard) or first one.
    uiso : dict of str to float
        Of each element, A^2.
    rw : float
        Of the fit.
    rmin, rmax : float, angstrom
        The fitted range.
    """

    standard: str
    qdamp: float
    qbroad: float
    a: float
    uiso: dict[str, float]
    rw: float
    rmin: float
    rmax: float

    def __str__(self) -> str:
        return (
            f"Qdamp {self.qdamp:.4f} 1/A, Qbroad {self.qbroad:.4f} 1/A "
            f"({self.standard}, a {self.a:.4f} A, Rw {self.rw:.3f} from "
            f"{self.rmin:g} to {self.rmax:g} A)"
        )


def calibrate(
    pdf: PDFData,
    structure: Any = None,
    *,
    rmin: float = RMIN,
    rmax: float = RMAX,
) -> Calibration:
    """Fit the PDF of a standard by its crystal.

    Scale, lattice parameters, one Uiso an element, delta2, Qdamp and Qbroad
    are refined by PDFfit2.

    Parameters
    ----------
    pdf : PDFData
        The measured G(r); its composition names the standard where
        `structure` does not.
    structure : str, path, or diffpy Structure, optional
        One of `STANDARDS`, a cif file, or a structure.
    rmin, rmax : float, angstrom
        The fitting range; `rmax` is cut to the end of the data.

    Returns
    -------
    Calibration

    Raises
    ------
    CbldmError
        PDFfit2 is not installed, the standard is not known, or the data are
        too short or not those of it.
    """
    check_pdf(pdf)
    name, crystal = standard(structure or pdf.composition)
    target = Target.of(pdf, rmin, rmax)
    if target.rmax < SHORTEST:
        raise CbldmError(
            f"the data of the standard end at {target.rmax:g} A; expected "
            f"{SHORTEST:g} A or more, better {RMAX:g} A: transform them "
            "again, further in r."
        )
    with engine() as fit:
        found = _fitted(fit, crystal, target)
    if not found.rw <= WRONG_RW:
        raise CbldmError(
            f"{pdf.source or 'the PDF'} is not explained by {name}: Rw "
            f"{found.rw:.2f}, expected {WRONG_RW:g} or less: name the right "
            f"standard ({', '.join(STANDARDS)}, or a cif file), or check the "
            "data."
        )
    return dataclasses.replace(found, standard=name)


def _fitted(fit: Any, crystal: Any, target: Target) -> Calibration:
    """Refine the crystal, near r first; the standard is not named yet."""
    points = target.thinned(PARTS)
    fit.add_structure(crystal)
    fit.read_data_lists(
        target.stype,
        target.qmax,
        _START["qdamp"],
        points.r.tolist(),
        points.g.tolist(),
    )
    elements = _constrain(fit, crystal)
    # A wrong standard shows near r, and would be fitted far for minutes.
    last = float(points.r[-1])
    for end in dict.fromkeys((min(FIRST, last), last)):
        fit.pdfrange(1, float(points.r[0]), end)
        with _told():
            before = math.inf
            for _ in range(STEPS):
                done = fit.refine_step(1e-4)
                settled = abs(fit.getrw() - before) < SETTLED
                # PDFfit2 goes on for some steps that change nothing, but a
                # new range counts only after it has come to its end.
                if done or (settled and end == last):
                    break
                before = fit.getrw()
        if fit.getrw() > WRONG_RW:
            break
    return Calibration(
        standard="",
        qdamp=abs(fit.getvar(fit.qdamp())),
        qbroad=abs(fit.getvar(fit.qbroad())),
        a=fit.getvar(fit.lat("a")),
        uiso={s: fit.getvar(fit.u11(k[0])) for s, k in elements.items()},
        rw=fit.getrw(),
        rmin=float(points.r[0]),
        rmax=target.rmax,
    )


def _constrain(fit: Any, crystal: Any) -> dict[str, list[int]]:
    """Set the parameters of the fit; the atoms of each element, from 1."""
    parameters = iter(range(1, 100))

    def free(variable: Any, value: float, *more: Any) -> None:
        number = next(parameters)
        for each in (variable, *more):
            fit.constrain(each, f"@{number}")
        fit.setpar(number, value)

    free("pscale", 1.0)
    free(fit.qdamp(), _START["qdamp"])
    free(fit.qbroad(), _START["qbroad"])
    free("delta2", _START["delta2"])
    lattice = crystal.lattice
    lengths = {"a": lattice.a, "b": lattice.b, "c": lattice.c}
    # Axes of one length stay alike.
    for length in dict.fromkeys(round(x, 5) for x in lengths.values()):
        names = [n for n, x in lengths.items() if round(x, 5) == length]
        first, *others = map(fit.lat, names)
        free(first, length, *others)
    elements: dict[str, list[int]] = {}
    for k, atom in enumerate(crystal, 1):
        elements.setdefault(atom.element, []).append(k)
    for atoms in elements.values():
        ways = [u(k) for k in atoms for u in (fit.u11, fit.u22, fit.u33)]
        free(ways[0], _START["u"], *ways[1:])
    return elements


def standard(structure: Any) -> tuple[str, Any]:
    """A name and the diffpy Structure of a standard.

    Parameters
    ----------
    structure : str, path, or diffpy Structure
        As for `calibrate`.
    """
    if structure is None:
        raise CbldmError(
            "the header of the standard has no composition; expected one of "
            f"{', '.join(STANDARDS)}, or a cif file: name the standard."
        )
    if not isinstance(structure, (str, bytes)) and hasattr(
        structure, "lattice"
    ):
        return getattr(structure, "title", "") or "structure", structure
    text = str(structure)
    if text in STANDARDS:
        return text, _built_in(text)
    if not text.lower().endswith((".cif", ".stru")):
        raise CbldmError(
            f"{text!r} is no standard that is known; expected one of "
            f"{', '.join(STANDARDS)}, or a cif file."
        )
    from diffpy.structure import loadStructure

    try:
        return text, loadStructure(text)
    except Exception as error:  # whatever the parsers of diffpy raise
        raise CbldmError(
            f"{text}: not read as a crystal structure "
            f"({type(error).__name__}: {error}); expected a cif file of the "
            "standard."
        ) from error


def _built_in(name: str) -> Any:
    from ase.spacegroup import crystal
    from diffpy.structure import Atom, Lattice, Structure

    group, a, sites = STANDARDS[name]
    whole = crystal(
        list(sites),
        list(sites.values()),
        spacegroup=group,
        cellpar=[a, a, a, 90, 90, 90],
    )
    places = zip(whole.get_chemical_symbols(), whole.get_scaled_positions())
    atoms = [
        Atom(symbol, xyz=xyz, Uisoequiv=_START["u"]) for symbol, xyz in places
    ]
    return Structure(atoms, lattice=Lattice(a, a, a, 90, 90, 90), title=name)


def installed() -> bool:
    """Whether PDFfit2 can be imported."""
    try:
        import diffpy.pdffit2  # noqa: F401
    except ImportError:
        return False
    return True


@contextlib.contextmanager
def engine() -> Iterator[Any]:
    """A PDFfit2 that does not print, and afterwards prints where it did."""
    try:
        from diffpy.pdffit2 import PdfFit, output, redirect_stdout
    except ImportError as error:
        raise CbldmError(
            f"a periodic crystal is fitted by diffpy.pdffit2, which cannot "
            f"be imported ({error}); expected it: {INSTALL}."
        ) from error
    before = output.stdout
    redirect_stdout(io.StringIO())
    try:
        yield PdfFit(create_intro=False)
    finally:
        redirect_stdout(before)


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """Say in our words where PDFfit2 finds no fit."""
    try:
        yield
    except Exception as error:  # it has classes of its own, and others
        raise CbldmError(
            f"PDFfit2 cannot fit the standard ({error}); expected the G(r) "
            f"of its powder: name the right standard "
            f"({', '.join(STANDARDS)}, or a cif file), or check the data."
        ) from error
