"""A project of PDFgui: the crystal that ends at a sphere, and the data.

A ``.ddp3`` file is a zip archive: for each fit the phases as texts of PDFfit2
(``initial``), the data sets as texts (``obs``) with a pickle of their range,
and pickles of constraints, objects of PDFgui's own.  PDFgui need not be
installed: its class is named in the pickle, and its attributes are put
beside.  It makes the parameters of a fit from the constraints.
"""

from __future__ import annotations

import io
import pathlib
import pickle
import zipfile
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote_plus

import numpy as np

from diffpy_cbldm.crystals.crystal import Crystal
from diffpy_cbldm.crystals.prototypes import SOLUTIONS, solution
from diffpy_cbldm.errors import CbldmError
from diffpy_cbldm.fitting.attenuated import AttenuatedCrystal
from diffpy_cbldm.fitting.periodic import Freed, freed, phase_of
from diffpy_cbldm.fitting.target import Target
from diffpy_cbldm.pdfdata import PDFData
from diffpy_cbldm.renames import modern

if TYPE_CHECKING:
    from diffpy_cbldm.solving.solution import Solution

CONSTRAINT = ("diffpy.pdfgui.control.constraint", "Constraint")
"""The class of a constraint: module and name."""

_PROTOCOL = 2
"""Of the pickles: all versions of Python 3 read it."""


def write_project(
    answer: Solution, source: str, path: str | pathlib.Path
) -> None:
    """Write the crystal of an answer and its data as a project of PDFgui.

    Parameters
    ----------
    answer : Solution
    source : str
        The name of the data.
    path : path
        Of the file, ``.ddp3``.

    Raises
    ------
    CbldmError
        The answer has no crystal.
    """
    crystal, sphere = crystal_of_answer(answer)
    used = answer.settings
    target = Target.of(
        answer.pdf,
        float(used.get("rmin", answer.pdf.r[0])),
        float(used.get("rmax", answer.pdf.r[-1])),
    )
    phase = phase_of(crystal, sphere)
    known = target.qdamp
    qdamp = sphere.qdamp if known is None else known
    parameters = freed(phase, sphere.qdamp if known is None else None)
    stem = pathlib.Path(source).stem or "data"
    root = quote_plus(stem)
    fit = f"{root}/{quote_plus(sphere.lattice)}"
    of_phase = f"{fit}/structure/{quote_plus(sphere.lattice)}"
    of_data = f"{fit}/dataset/{root}"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in {
            f"{of_phase}/initial": modern(phase).write_structure("pdffit"),
            f"{of_phase}/constraints": _constraints(parameters, False),
            f"{of_phase}/selected_pairs": "all-all",
            f"{of_phase}/sgoffset": "0 0 0",
            f"{of_data}/obs": _observed(answer.pdf, target, qdamp),
            f"{of_data}/calc": _data_set(answer.pdf, target, qdamp),
            f"{of_data}/constraints": _constraints(parameters, True),
            f"{root}/journal": _journal(answer, sphere),
            f"{root}/fits": sphere.lattice,
        }.items():
            file.writestr(name, content)


def crystal_of_answer(
    answer: Solution,
) -> tuple[Crystal, AttenuatedCrystal]:
    """The crystal of an answer, with its fit as a sphere.

    Raises
    ------
    CbldmError
        There is none.
    """
    sphere = answer.crystal
    if answer.unit_cell is not None and sphere is not None:
        return answer.unit_cell, sphere
    if sphere is not None and sphere.lattice in SOLUTIONS:
        metal = solution(sphere.lattice, {answer.candidates[0].elements[0]: 1})
        return metal.scaled(sphere.a / metal.edges[0]), sphere
    what = "no crystal" if sphere is None else f"the lattice {sphere.lattice}"
    raise CbldmError(
        f"the answer has {what}; expected a crystal of a compound, or "
        f"{', '.join(SOLUTIONS)}: leave ddp3 out of the output types (-t)."
    )


def _journal(answer: Solution, sphere: AttenuatedCrystal) -> str:
    return (
        f"{answer.headline}\n\nThe phase is the crystal of this answer as a "
        f"sphere without atoms ({sphere}); its Rw was {sphere.rw:.3f}, with "
        f"form factors that depend on Q, which PDFgui has at one Q.\n"
    )


def _observed(pdf: PDFData, target: Target, qdamp: float) -> str:
    """The measured data as PDFgui keeps them: r, G, dr, dG."""
    dg = np.zeros(len(pdf.r)) if pdf.dg is None else pdf.dg
    lines = [
        "##### PDFgui",
        f"stype={target.stype}",
        f"qmax={target.qmax:g}",
        f"qdamp={qdamp:g}",
        f"qbroad={target.qbroad:g}",
        "dscale=1",
        "##### start data",
        "#L r(A) G(r) d_r d_Gr",
        *(
            f"{r:.8g} {g:.8g} 0 {d:.8g}"
            for r, g, d in zip(pdf.r, pdf.g, dg, strict=True)
        ),
    ]
    return "\n".join(lines) + "\n"


def _data_set(pdf: PDFData, target: Target, qdamp: float) -> bytes:
    """What PDFgui keeps with a data set: its range, nothing calculated."""
    content = {
        "rcalc": [],
        "Gcalc": [],
        "dGcalc": [],
        "fitrmin": float(target.rmin),
        "fitrmax": float(target.rmax),
        "fitrstep": float(np.median(np.diff(pdf.r))),
        "initial": {
            "qdamp": float(qdamp),
            "qbroad": float(target.qbroad),
            "dscale": 1.0,
        },
        "refined": {},
    }
    return pickle.dumps(content, _PROTOCOL)


def _constraints(parameters: Iterable[Freed], of_data: bool) -> bytes:
    """A pickled dict: a constraint for each variable that is refined."""
    made = {}
    for number, one in enumerate(parameters, 1):
        for variable, times in one.variables.items():
            if one.of_data == of_data:
                plain = f"@{number}"
                formula = plain if times == 1 else f"{times:.8g}*{plain}"
                made[variable] = {
                    "_Constraint__lhs": None,
                    "parguess": {number: one.value},
                    "formula": formula,
                }
    return _objects(made, *CONSTRAINT)


def _objects(
    made: Mapping[str, Mapping[str, Any]], module: str, name: str
) -> bytes:
    """A pickle of a dict of objects of a class that need not be there.

    Each value is the attributes of one object.
    """
    out = io.BytesIO()
    out.write(pickle.PROTO + bytes([_PROTOCOL]) + pickle.EMPTY_DICT)
    for key, attributes in made.items():
        out.write(_bare(key))
        out.write(pickle.GLOBAL + f"{module}\n{name}\n".encode())
        out.write(pickle.EMPTY_TUPLE + pickle.NEWOBJ)
        out.write(_bare(dict(attributes)) + pickle.BUILD + pickle.SETITEM)
    out.write(pickle.STOP)
    return out.getvalue()


def _bare(value: Any) -> bytes:
    """The pickle of plain data without its first and last mark."""
    return pickle.dumps(value, _PROTOCOL)[2:-1]
