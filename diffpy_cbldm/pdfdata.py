"""A measured or simulated PDF, read from .gr files of any origin.

Conventions: r in angstrom; G(r) = 4 pi r (rho(r) - rho0) in 1/A^2; Q, Qdamp
and Qbroad in 1/A.  Only numpy, monty and the standard library are imported
here.
"""

from __future__ import annotations

import dataclasses
import math
import os
from typing import IO, Any

import numpy as np

from diffpy_cbldm.errors import CbldmError
from diffpy_cbldm.files import write_atomic
from diffpy_cbldm.formula import (
    DOMINANT,
    Formula,
    parse_composition,
    read_formula,
)
from diffpy_cbldm.grfile import AT_ZERO, load, parse
from diffpy_cbldm.grheader import parse_stype
from diffpy_cbldm.options import validate
from diffpy_cbldm.pdfchecks import (
    carried,
    check_grid,
    check_lengths,
    check_values,
    column,
    number,
)
from diffpy_cbldm.protocols import Stored
from diffpy_cbldm.settings import Simulation

UNCERTAINTIES = {
    "misfit": "from the misfit, as no dG was used",
    "dG": "from the dG of the data",
}
"""How `PDFData.uncertainties` is said."""

SIMULATED = "simulated "
"""The source of a simulated PDF begins with it."""

_ASSUMED = {
    "qmin": Simulation.qmin,
    "qmax": Simulation.qmax,
    "qbroad": 0.0,
    "stype": "X",
}
"""What is assumed where neither the header nor the user gives a setting."""

_SETTINGS = ("composition", "qmin", "qmax", "qdamp", "qbroad", "stype")
"""What the header of a .gr file may hold, under the names of `PDFData`."""


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class PDFData(Stored):
    """One PDF with the settings it was measured under; checked, read-only.

    Parameters
    ----------
    r : (n,) array, angstrom
        Distances, increasing, at least `MIN_POINTS` of them.
    g : (n,) array, 1/A^2
        The reduced pair distribution function G(r).
    dg : (n,) array, 1/A^2, optional
        Standard uncertainty of `g`, positive; None where unknown, and where
        a few points with a tiny one would carry every fit (see `notes`).
    composition : str, optional
        Chemical formula of the particle.  Of several elements, the metal
        that dominates the X-ray scattering is `element`.
    qmin, qmax : float, 1/A, optional
        Range of the Fourier transform.  Default: 0.7 and 25 are assumed,
        with a warning.
    qdamp : float, 1/A, optional
        Damping by the Q resolution.  None: it is fitted in the refinement.
    qbroad : float, 1/A, optional
        Broadening by the Q resolution.  Default 0.
    stype : {"X", "N"}, optional
        X-ray or neutron.  Default: X-ray is assumed, with a warning.
    source : str
        Where the data come from; precedes every error text.
    notes : tuple of str
        What the reader had to say; part of `warnings`.
    assumed : frozenset of str
        Names of the values that nobody gave; filled in by the constructor.

    Raises
    ------
    CbldmError
        Where the data or a setting cannot be right.
    """

    r: np.ndarray
    g: np.ndarray
    dg: np.ndarray | None = None
    composition: str | None = None
    # None until the constructor has put the assumed value in its place
    qmin: float = None  # type: ignore[assignment]
    qmax: float = None  # type: ignore[assignment]
    qdamp: float | None = None
    qbroad: float = None  # type: ignore[assignment]
    stype: str = None  # type: ignore[assignment]
    source: str = ""
    notes: tuple[str, ...] = ()
    assumed: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        # The instance is frozen; only here its fields take their final values.
        try:
            self._set("notes", tuple(self.notes))
            for name in ("r", "g", "dg"):
                self._set(name, column(name, getattr(self, name)))
            check_lengths(self.r, self.g, self.dg)
            self._leave_out_zero()
            check_values(self.r, self.g, self.dg)
            check_grid(self.r)
            self._check_weights()
            self._check_settings()
        except CbldmError as error:
            text = f"{self.source}: {error}" if self.source else str(error)
            raise CbldmError(text) from None

    def _set(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)

    def _add_note(self, text: str) -> None:
        self._set("notes", (*self.notes, text))

    def _leave_out_zero(self) -> None:
        """Drop a G that is not finite at r = 0 alone: it is 0 / 0 there."""
        bad = ~np.isfinite(self.g)
        if (
            len(bad)
            and bad[0]
            and not bad[1:].any()
            and abs(self.r[0]) < AT_ZERO
        ):
            self._add_note(
                f"G is {self.g[0]:g} at r = 0: that point was left out."
            )
            for name in ("r", "g", "dg"):
                values = getattr(self, name)
                self._set(name, None if values is None else values[1:])

    def _check_weights(self) -> None:
        """Ignore a dG by which few points carry the fit alone."""
        if self.dg is None:
            return
        fault = carried(self.r, self.dg)
        if fault:
            self._set("dg", None)
            self._add_note(fault)

    def _check_settings(self) -> None:
        # A value that was assumed once and then replaced is a given one.
        kept = {n for n in self.assumed if getattr(self, n) == _ASSUMED[n]}
        for name, value in _ASSUMED.items():
            if getattr(self, name) is None:
                kept.add(name)
                self._set(name, value)
        self._set("assumed", frozenset(kept))
        for name in ("qmin", "qmax", "qdamp", "qbroad"):
            self._set(name, number(name, getattr(self, name)))
        # The limits stand in the table of settings, which needs a Qdamp.
        qdamp = Simulation.qdamp if self.qdamp is None else self.qdamp
        validate(Simulation(qmin=self.qmin, qmax=self.qmax, qdamp=qdamp))
        if self.qmin >= self.qmax:
            raise CbldmError(
                f"qmin is {self.qmin:g} and qmax {self.qmax:g} 1/A; expected "
                "qmin < qmax: pass qmin and qmax."
            )
        if not 0 <= self.qbroad <= 1:
            raise CbldmError(
                f"qbroad is {self.qbroad:g} 1/A; expected 0 to 1 1/A: pass "
                "qbroad."
            )
        stype = parse_stype(str(self.stype))
        if stype is None:
            raise CbldmError(
                f"stype is {self.stype!r}; expected X (X-ray) or N "
                "(neutron): pass stype."
            )
        self._set("stype", stype)
        if self.composition is not None:
            self._set("composition", str(self.composition).strip())
            parse_composition(self.composition)

    def __repr__(self) -> str:
        return (
            f"PDFData({self.source or 'arrays'!r}, {self.composition}, "
            f"{len(self.r)} points, r {self.r[0]:g} to {self.r[-1]:g} A, "
            f"Q {self.qmin:g} to {self.qmax:g} 1/A, {self.stype})"
        )

    @property
    def known(self) -> frozenset[str]:
        """Names of the settings that the header or the user gave."""
        given = {n for n in _SETTINGS if getattr(self, n) is not None}
        return frozenset(given - self.assumed)

    @property
    def element(self) -> str:
        """The single element, or the metal that dominates the scattering.

        Raises
        ------
        CbldmError
            The composition is not given; or it has several elements, and
            none is a metal with `formula.DOMINANT` of the X-ray scattering,
            or these are neutrons.
        """
        where = f"{self.source}: " if self.source else ""
        if self.composition is None:
            raise CbldmError(
                f"{where}the composition is not given; expected an element or "
                "a formula: "
                'pass composition="Pt" (--composition Pt).'
            )
        symbols = parse_composition(self.composition)
        if len(symbols) == 1:
            return symbols[0]
        taken = self._dominant
        if taken is None:
            raise CbldmError(
                f"{where}the composition {self.composition!r} has "
                f"{len(symbols)} elements; the model covers one element: "
                "pass the one that dominates the scattering, as in "
                'composition="Pt" (--composition Pt), or let solve cut '
                "particles from crystals of the compound."
            )
        return taken[0]

    @property
    def compound(self) -> Formula | None:
        """The formula where it is that of a compound or an alloy.

        None for one element, for metals with ligands or on supports
        (`Formula.compound`), and where the composition is not given.
        """
        if self.composition is None:
            return None
        formula = read_formula(self.composition)
        return formula if formula.compound else None

    @property
    def _dominant(self) -> tuple[str, float] | None:
        """The metal that stands for several elements, and its share."""
        # Light elements scatter neutrons as well as metals do.
        if self.composition is None or self.stype != "X":
            return None
        formula = read_formula(self.composition)
        if formula.compound or len(formula.amounts) < 2:
            return None
        return formula.dominant

    @property
    def uncertainties(self) -> str:
        """What tells how uncertain G is: its "dG", or the "misfit"."""
        return "misfit" if self.dg is None else "dG"

    @property
    def step(self) -> float:
        """The median r step in angstrom."""
        return float(np.median(np.diff(self.r)))

    @property
    def gaps(self) -> np.ndarray:
        """Indices k where nothing was measured between r[k] and r[k + 1]."""
        # One lost point is no gap; nor is a distance below pi / Qmax, over
        # which the points on both sides determine G(r).
        widest = max(2.001 * self.step, math.pi / self.qmax)
        return np.flatnonzero(np.diff(self.r) > widest)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What was assumed or looks doubtful, one sentence each."""
        texts = list(self.notes)
        if self.composition is None:
            texts.append(
                'The composition is not given: pass composition="Pt" '
                "(--composition Pt)."
            )
        if self._dominant is not None:
            metal, share = self._dominant
            texts.append(
                f"The composition {self.composition!r} was taken for {metal},"
                f" which has {share:.0%} of the X-ray scattering (by n Z^2; "
                f"{DOMINANT:.0%} is asked for): pass composition "
                "(--composition) for another element."
            )
        for name, title in (("qmin", "Qmin"), ("qmax", "Qmax")):
            if name in self.assumed:
                texts.append(
                    f"{title} is not given: {getattr(self, name):g} 1/A "
                    f"assumed; pass {name} (--{name})."
                )
        if "stype" in self.assumed:
            texts.append(
                "The scattering type is not given: X-ray assumed; pass "
                "stype (--stype)."
            )
        nyquist = math.pi / self.qmax
        # A step written with few digits may lie just above the limit.
        if self.step > 1.001 * nyquist:
            texts.append(
                f"The r step is {self.step:g} A, coarser than pi / Qmax = "
                f"{nyquist:.3g} A: details of G(r) are lost; transform "
                "the data again with a smaller step."
            )
        for k in self.gaps:
            texts.append(
                f"Nothing was measured from {self.r[k]:g} to "
                f"{self.r[k + 1]:g} A: that range is left out."
            )
        peak = self.r[np.argmax(self.g)]
        if self.r[-1] < 12 and peak < 1:
            texts.append(
                f"The highest peak is at {peak:g} A, where no metal has "
                "one: if r is in nanometres, multiply it by 10 (and divide "
                "G by 100)."
            )
        return tuple(texts)


def check_pdf(pdf: Any) -> None:
    """Raise `CbldmError` where something else than PDFData was passed."""
    if not isinstance(pdf, PDFData):
        raise CbldmError(
            f"the PDF is of the type {type(pdf).__name__}; expected PDFData: "
            'pass cb.read_pdf("particle.gr", composition="Pt"), or '
            'cb.PDFData(r=r, g=g, composition="Pt") for arrays.'
        )


def read_pdf(
    path: str | os.PathLike[str] | IO[Any],
    composition: str | None = None,
    qmin: float | None = None,
    qmax: float | None = None,
    qdamp: float | None = None,
    qbroad: float | None = None,
    stype: str | None = None,
) -> PDFData:
    """Read a measured PDF from a .gr file of any common origin.

    Headers of PDFgetX3, PDFgetN3, xPDFsuite, PDFgetX2, PDFgetN and Mantid
    are understood, as is none at all.  A header's scale, delta1 and delta2
    are not used.

    Parameters
    ----------
    path : path or open stream
        The file; ``-`` is standard input.
    composition, qmin, qmax, qdamp, qbroad, stype : optional
        Override the header; see `PDFData`.

    Returns
    -------
    PDFData
        Its `warnings` tell what had to be assumed.

    Raises
    ------
    CbldmError
        Where the file cannot be read or its data cannot be right.
    """
    source, text = load(path)
    try:
        read = parse(text)
    except CbldmError as error:
        raise CbldmError(f"{source}: {error}") from None
    given = {
        "composition": composition,
        "qmin": qmin,
        "qmax": qmax,
        "qdamp": qdamp,
        "qbroad": qbroad,
        "stype": stype,
    }
    settings = read.settings | {
        name: value for name, value in given.items() if value is not None
    }
    return PDFData(
        read.r,
        read.g,
        read.dg,
        source=source,
        notes=tuple(read.notes),
        **settings,
    )


def write_gr(path: str | os.PathLike[str], pdf: PDFData) -> None:
    """Write a PDF as a .gr file that `read_pdf` and SrFit read back.

    The file appears whole or not at all; `gr_text` is what it holds.

    Raises
    ------
    CbldmError
        Where the file cannot be written.
    """
    write_atomic(path, gr_text(pdf))


def gr_text(pdf: PDFData) -> str:
    """The text of a .gr file.

    The header holds the known settings only, so that an assumed value does
    not turn into a given one, and how a simulated curve was made.  Columns
    are r, G and, with `pdf.dg`, dr (0)
    and dG.
    """
    lines = ["[DEFAULT]", ""]
    # Nobody shall take a simulated curve for a measured one.
    if pdf.source.startswith(SIMULATED):
        lines.append(f"# {pdf.source}")
    if "stype" in pdf.known:
        lines.append(f"mode = {'xray' if pdf.stype == 'X' else 'neutron'}")
    for name in ("composition", "qmin", "qmax", "qdamp", "qbroad"):
        if name in pdf.known:
            lines.append(f"{name} = {getattr(pdf, name)}")
    lines += ["", "#### start data", "#S 1"]
    if pdf.dg is None:
        lines.append("#L r(A)  G(A^-2)")
        lines += [
            f"{r:.10g} {g:.10g}" for r, g in zip(pdf.r, pdf.g, strict=True)
        ]
    else:
        lines.append("#L r(A)  G(A^-2)  dr  dG")
        lines += [
            f"{r:.10g} {g:.10g} 0 {dg:.10g}"
            for r, g, dg in zip(pdf.r, pdf.g, pdf.dg, strict=True)
        ]
    return "\n".join(lines) + "\n"
