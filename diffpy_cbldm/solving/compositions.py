"""What a composition asks for: a metal, a compound, a sublattice of one."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from diffpy_cbldm.crystals.crystal import crystal_of
from diffpy_cbldm.errors import CbldmError
from diffpy_cbldm.fitting.together import Together, with_weights
from diffpy_cbldm.formula import parse_composition
from diffpy_cbldm.pdfdata import PDFData
from diffpy_cbldm.search.by_cutting import crystals_for
from diffpy_cbldm.solving.polish_stage import CHARGE, kinds_of


def is_compound(pdf: PDFData, crystals: Sequence[Any] = ()) -> bool:
    """Whether particles are cut from crystals of several elements.

    Parameters
    ----------
    pdf : PDFData
    crystals : sequence
        Those that are given, with which ligands and supports do not count.
    """
    if pdf.compound is not None:
        return True
    if not crystals or pdf.composition is None:
        return False
    found = crystals_for(pdf, crystals)
    return any(len(crystal.elements) > 1 for crystal in found)


def check_composition(
    pdf: PDFData, crystals: Sequence[Any], sublattice: str | None
) -> None:
    """Raise `CbldmError` where nothing can be proposed for a composition."""
    pdf, _ = as_asked(pdf, crystals, sublattice)
    if is_compound(pdf, crystals):
        crystals_for(pdf, crystals)
        return
    _ = pdf.element  # raises where there are several, or none
    if crystals:
        crystals_for(pdf, crystals)


def as_asked(
    pdf: PDFData, crystals: Sequence[Any], sublattice: str | None
) -> tuple[PDFData, list[str]]:
    """The PDF with the composition that is meant.

    Parameters
    ----------
    pdf : PDFData
    crystals : sequence
        The first tells the composition where nothing else does.
    sublattice : str or None
        The element that is taken for a metal by itself.

    Returns
    -------
    pdf : PDFData
    notes : list of str

    Raises
    ------
    CbldmError
        The composition does not hold the element.
    """
    if sublattice is None:
        if pdf.composition is None and crystals:
            formula = crystal_of(crystals[0]).formula
            pdf = dataclasses.replace(pdf, composition=formula)
        return pdf, []
    held = parse_composition(pdf.composition or sublattice)
    if sublattice not in held:
        raise CbldmError(
            f"sublattice is {sublattice!r}; expected one of the elements of "
            f"{pdf.composition!r}: {', '.join(held)}."
        )
    if held == (sublattice,):
        return pdf, []
    return dataclasses.replace(pdf, composition=sublattice), [
        f"Structures are those of the {sublattice} atoms of "
        f"{pdf.composition} alone (sublattice): the other atoms are left out, "
        f"their peaks are not explained, and N counts {sublattice} only."
    ]


def others_as_asked(
    together: Together, sublattice: str | None
) -> list[tuple[PDFData, float]]:
    """Other PDFs of the sample with the composition that is meant.

    Parameters
    ----------
    together : PDFData, or sequence of PDFData or (PDFData, float)
    sublattice : str or None
        See `as_asked`.

    Returns
    -------
    list of (PDFData, float)
        Each with its weight.
    """
    return [
        (as_asked(pdf, (), sublattice)[0], share)
        for pdf, share in with_weights(together)
    ]


def check_edits(polish: str, compound: bool) -> None:
    """Raise `CbldmError` where edits are asked for that a metal has not.

    Parameters
    ----------
    polish : str
        The setting.
    compound : bool
        Whether particles of several elements are cut.
    """
    if CHARGE in kinds_of(polish) and not compound:
        raise CbldmError(
            f"polish is {polish!r}; a metal has no charge to balance: leave "
            f"{CHARGE!r} out, or give the composition of the compound."
        )
