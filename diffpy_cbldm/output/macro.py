"""Macro files of diffpy.apps: a structure and its PDF, ready to refine.

``diffpy.apps runmacro NAME.dp-in`` fits the boxed cluster of a cif file as a
crystal, with diffpy.srfit and diffpy.srreal, which know Qmin.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from diffpy_cbldm.errors import CbldmError

if TYPE_CHECKING:
    from diffpy_cbldm.solving.solution import Solution

MACRO = "dp-in"
"""The output type, and the extension that diffpy.apps gives its macros."""

_VANISHING = 1e-4
"""A delta2 (A^2), Qdamp or Qbroad (1/A) that changes no curve."""

_TEXT = """\
# Rank {rank} of {source}, {composition}; run with
#     diffpy.apps runmacro {macro}
# Paths are absolute: change them where files have moved.
load structure G1 from "{cif}"
load profile measured from "{profile}"

set G1 spacegroup as P1
set measured q_range as {qmin:.6g} {qmax:.6g}
set measured calculation_range as {rmin:.6g} {rmax:.6g} obs
create equation variables s0
set equation as "s0*G1"
save to "{results}"

# All of these are refined, one after the other; the coordinates and Uiso are
# those of the cif file.  Others can be added: G1.a, G1.b, G1.c, G1.Uiso_0, ...
variables:
---
- s0: {scale}
- G1.delta2: {delta2}
- qdamp: {qdamp}
- qbroad: {qbroad}
---
"""


def macro_text(
    solution: Solution, source: str, path: Path, cif: Path, rank: int
) -> str:
    """Return the macro that refines one structure.

    Parameters
    ----------
    solution : Solution
    source : str
        The file of the PDF, as it was named.
    path, cif : Path
        Of the macro, and of the structure's cif file.
    rank : int
        Of the structure, from 1.

    Raises
    ------
    CbldmError
        The PDF came from no file.
    """
    if source == "-":
        raise CbldmError(
            "the PDF came from standard input, and a macro names its file; "
            f"expected a file: pass its name, or leave {MACRO} out of -t."
        )
    candidate, pdf = solution.candidates[rank - 1], solution.pdf
    values = {n: value for n, (value, _) in candidate.parameters.items()}
    used = solution.settings
    return _TEXT.format(
        rank=rank,
        source=source,
        composition=candidate.composition,
        macro=path.name,
        cif=cif.resolve().as_posix(),
        profile=Path(source).resolve().as_posix(),
        results=path.with_suffix(".json").resolve().as_posix(),
        qmin=used["qmin"],
        qmax=used["qmax"],
        rmin=used["rmin"],
        rmax=used["rmax"],
        scale=_number(values.get("scale", 1.0)),
        delta2=_number(values.get("delta2", 0.0)),
        qdamp=_number(values.get("qdamp", pdf.qdamp or 0.0)),
        qbroad=_number(pdf.qbroad or 0.0),
    )


def _number(value: float) -> str:
    """A start value as YAML reads numbers, from which SrFit can step."""
    # SrFit's steps are parts of the value: from 0 there are none.
    text = f"{value or _VANISHING:.8g}"
    # YAML takes 1e-05 for a word.
    return text if "." in text else text.replace("e", ".0e")
