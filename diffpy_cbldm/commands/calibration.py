"""Qdamp and Qbroad of the command line's ``--calibrant``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from diffpy_cbldm.commands import examples
from diffpy_cbldm.errors import CbldmError

if TYPE_CHECKING:
    from diffpy_cbldm.fitting.calibrant import Calibration


def of_calibrant(given: Mapping[str, Any]) -> Calibration | None:
    """Fit the PDF of the standard that the command line names.

    Parameters
    ----------
    given : dict
        What the command line says.  The calibrant of an example is taken
        where none is named and no Qdamp is.

    Returns
    -------
    Calibration or None
        None where there is no standard to fit.

    Raises
    ------
    CbldmError
        A standard without its data, or that cannot be fitted.
    """
    name = given.get("calibrant")
    if name is None and given.get("standard") is not None:
        raise CbldmError(
            f"--standard is {given['standard']} and no data of it are named; "
            "expected them: pass --calibrant FILE.gr as well."
        )
    if name is None:
        name = _of_example(given)
    if name is None or given.get("list"):
        return None
    from diffpy_cbldm.fitting.calibrant import calibrate
    from diffpy_cbldm.pdfdata import read_pdf

    pdf = read_pdf(name, stype=given.get("stype"))
    return calibrate(pdf, given.get("standard"))


def _of_example(given: Mapping[str, Any]) -> str | None:
    """The calibrant of an example, where it can be of use."""
    from diffpy_cbldm.fitting.calibrant import installed

    asked = given.get("example")
    if asked is None or "qdamp" in given or not installed():
        return None
    example = examples.find(asked)
    path = example.path(example.calibrant) if example.calibrant else None
    return None if path is None else str(path)
