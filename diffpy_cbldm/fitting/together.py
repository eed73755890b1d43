"""Several PDFs of one sample, such as one of X-rays and one of neutrons."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence

from diffpy_cbldm.errors import CbldmError
from diffpy_cbldm.fitting.target import Target
from diffpy_cbldm.formula import parse_composition
from diffpy_cbldm.pdfdata import PDFData, check_pdf

Together = PDFData | Sequence[PDFData | tuple[PDFData, float]]
"""Other PDFs of one sample, each with its weight where that is not 1."""


def with_others(target: Target, others: Together) -> Target:
    """A target together with other PDFs of the same sample.

    Parameters
    ----------
    target : Target
    others : PDFData, or sequence of PDFData or (PDFData, float)
        On the same range of r, as far as their data go; the number is the
        weight of Rw^2, where that of the first PDF has 1.  Default 1.

    Raises
    ------
    CbldmError
        Other elements, or a weight that is not positive.
    """
    targets = []
    for pdf, share in with_weights(others):
        if not 0 < share < math.inf:
            raise CbldmError(
                f"the weight of a PDF is {share!r}; expected a positive "
                "number: leave the PDF out where it does not count."
            )
        _check_sample(target.pdf, pdf)
        own = Target.of(pdf, target.rmin, target.rmax)
        targets.append(dataclasses.replace(own, share=float(share)))
    return dataclasses.replace(target, together=tuple(targets))


def independent_points(target: Target) -> float:
    """Independent points of all PDFs of a sample."""
    every = (target, *target.together)
    return sum(part.independent_points for part in every)


def spelled(others: Together) -> tuple[str, ...]:
    """Other PDFs as ``--with`` names them: their files, ``FILE:WEIGHT``."""
    return tuple(
        (pdf.source or "arrays") + (f":{share:g}" if share != 1 else "")
        for pdf, share in with_weights(others)
    )


def with_weights(others: Together) -> Iterator[tuple[PDFData, float]]:
    """Each PDF with its weight, 1 where none is given.

    Raises
    ------
    CbldmError
        Something is no PDF.
    """
    if isinstance(others, PDFData):
        others = (others,)
    for other in others:
        pdf, share = other if isinstance(other, tuple) else (other, 1.0)
        check_pdf(pdf)
        yield pdf, share


def _check_sample(one: PDFData, other: PDFData) -> None:
    """Raise `CbldmError` for PDFs of different elements."""
    given = one.composition, other.composition
    if None in given:
        return
    ours, theirs = (sorted(parse_composition(str(c))) for c in given)
    if ours != theirs:
        raise CbldmError(
            f"the compositions {given[0]!r} and {given[1]!r} differ in their "
            "elements; expected PDFs of one sample: correct composition, or "
            "solve the PDFs one by one."
        )
