"""Other PDFs of the same sample, as ``--with`` names them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from diffpy_cbldm.commands.inputs import locate

if TYPE_CHECKING:
    from diffpy_cbldm.pdfdata import PDFData


def read(
    words: Sequence[str], datapath: Sequence[str]
) -> list[tuple[PDFData, float]]:
    """Read the PDFs, each with its weight.

    What else the command line says of the data is said of the inputs: here
    the headers count.

    Parameters
    ----------
    words : sequence of str
        ``FILE`` or ``FILE:WEIGHT``.
    datapath : sequence of str
        Folders to look in.

    Raises
    ------
    CbldmError
        A file that is missing or cannot be read.
    """
    if not words:
        return []
    from diffpy_cbldm.pdfdata import read_pdf

    found = []
    for word in words:
        # A drive of Windows has a colon as well, and no number after it.
        name, weight = word, 1.0
        if told := re.fullmatch(r"(.+):([0-9.eE+-]*[0-9][0-9.eE+-]*)", word):
            name, weight = told[1], float(told[2])
        found.append((read_pdf(locate(name, datapath)), weight))
    return found
