"""Whether a measured PDF holds the small-angle scattering of the particle.

Below about 0.7 1/A a particle scatters as a whole: that part of S(Q) lifts
G(r) above zero.  Headers often name a Qmin below it although the sample, the
beamstop or the data reduction have removed it; a PDF calculated from that
Qmin then fits no structure.
"""

from __future__ import annotations

import dataclasses

from diffpy_cbldm.pdfdata import PDFData
from diffpy_cbldm.search.by_library import library_rw
from diffpy_cbldm.settings import Simulation

LIMIT = Simulation.qmin
"""Q (1/A) above which a particle of 5 atoms or more scatters by its atoms."""

WORTH = 0.75
"""Rw has to fall to this share for the header to be disbelieved."""


def settle(
    pdf: PDFData, mode: str, rmin: float, rmax: float
) -> tuple[PDFData, str | None]:
    """Raise a Qmin that lies in the small angles, if the data ask for it.

    Parameters
    ----------
    pdf : PDFData
    mode : {"auto", "yes", "no"}
        Whether the data hold the small-angle scattering; "auto" asks which
        fits the nearest ideal cluster better.
    rmin, rmax : float, angstrom
        The compared range.

    Returns
    -------
    pdf : PDFData
        The same, or with `LIMIT` as its Qmin.
    note : str or None
        What a user must know of it.
    """
    if mode == "yes" or pdf.qmin >= LIMIT:
        return pdf, None
    without = dataclasses.replace(pdf, qmin=LIMIT)
    if mode == "no":
        return without, None
    as_given = library_rw(pdf, rmin, rmax)
    raised = library_rw(without, rmin, rmax)
    if raised >= WORTH * as_given:
        return pdf, None
    return without, (
        f"Qmin is {pdf.qmin:g} 1/A, but the data do not hold a particle's "
        f"small-angle scattering: {LIMIT:g} 1/A is used (Rw of the nearest "
        f"ideal cluster {raised:.2f} in place of {as_given:.2f}); pass "
        f'small_angle="yes" (--small-angle yes) to keep it.'
    )
