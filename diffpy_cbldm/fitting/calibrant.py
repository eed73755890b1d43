"""Qdamp and Qbroad of an instrument, from the PDF of a standard.

A standard is a powder of large crystals: what makes its G(r) fall off and its
peaks widen with r is the resolution of the instrument.  Its structure is
known, so that a fit of a periodic structure (PDFfit2) tells both:

    G(r) = exp(-(Qdamp r)^2 / 2) * crystal,   sigma(r)^2 grows by (Qbroad r)^2

(Farrow et al., J. Phys.: Condens. Matter 2007, 19, 335219).
"""

from __future__ import annotations

import dataclasses
from typing import Any

from diffpy_cbldm.errors import CbldmError
from diffpy_cbldm.pdfdata import PDFData, check_pdf

STANDARDS = {
    "Ni": ("Fm-3m", 3.5238, {"Ni": (0.0, 0.0, 0.0)}),
    "CeO2": ("Fm-3m", 5.4113, {"Ce": (0.0, 0.0, 0.0), "O": (0.25,) * 3}),
    "Si": ("Fd-3m", 5.4312, {"Si": (0.125,) * 3}),
    "LaB6": ("Pm-3m", 4.1568, {"La": (0.0,) * 3, "B": (0.1996, 0.5, 0.5)}),
}
"""Space group, lattice parameter (A) and sites of the built-in standards.

Lattice parameters of the NIST standard reference materials 674b (CeO2), 640f
(Si) and 660c (LaB6), and of nickel (Swanson & Tatge, NBS Circular 539, vol. 1,
1953); they are refined, and only start the fit.
"""

RMIN, RMAX = 1.5, 60.0
"""The fitting range, A, as far as the data go."""

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
        PDFfit2 is not installed, or the standard is not known.
    """
    check_pdf(pdf)
    name, crystal = standard(structure or pdf.composition)
    keep = (pdf.r >= rmin) & (pdf.r <= rmax)
    if keep.sum() < 100:
        raise CbldmError(
            f"{int(keep.sum())} data points lie between {rmin:g} and "
            f"{rmax:g} A; expected 100 or more: give longer data of the "
            "standard."
        )
    fit = _engine()
    fit.add_structure(crystal)
    fit.read_data_lists(
        pdf.stype,
        pdf.qmax,
        _START["qdamp"],
        [float(x) for x in pdf.r[keep]],
        [float(x) for x in pdf.g[keep]],
    )
    fit.pdfrange(1, float(pdf.r[keep][0]), float(pdf.r[keep][-1]))
    elements = _constrain(fit, crystal)
    fit.refine(1e-6)
    return Calibration(
        standard=name,
        qdamp=abs(fit.getvar(fit.qdamp())),
        qbroad=abs(fit.getvar(fit.qbroad())),
        a=fit.getvar(fit.lat("a")),
        uiso={s: fit.getvar(fit.u11(k[0])) for s, k in elements.items()},
        rw=fit.getrw(),
        rmin=float(pdf.r[keep][0]),
        rmax=float(pdf.r[keep][-1]),
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
    from diffpy.structure import Atom, Lattice, Structure
    from pymatgen.core import Lattice as Cell
    from pymatgen.core import Structure as Crystal

    group, a, sites = STANDARDS[name]
    whole = Crystal.from_spacegroup(
        group, Cell.cubic(a), list(sites), list(sites.values())
    )
    atoms = [
        Atom(site.specie.symbol, xyz=site.frac_coords, Uisoequiv=_START["u"])
        for site in whole
    ]
    return Structure(atoms, lattice=Lattice(a, a, a, 90, 90, 90), title=name)


def _engine() -> Any:
    """A PDFfit2 that does not print."""
    try:
        from diffpy.pdffit2 import PdfFit, redirect_stdout
    except ImportError as error:
        raise CbldmError(
            f"a standard is fitted by diffpy.pdffit2, which cannot be "
            f"imported ({error}); expected it: {INSTALL}."
        ) from error
    import io

    redirect_stdout(io.StringIO())
    return PdfFit()
