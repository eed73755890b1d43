"""What is kept of each frame of a series: its key, its figures, its result."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from diffpy_cbldm._version import __version__
from diffpy_cbldm.cluster import Candidate
from diffpy_cbldm.crystals.bonds import nearest_neighbour_distance
from diffpy_cbldm.pdfdata import PDFData

if TYPE_CHECKING:
    from diffpy_cbldm.solving.solution import Solution

DONE, FAILED = "done", "failed"
"""How a frame ends."""

NONE = "none"
"""The type of a frame whose data tell no structure."""

KEPT_WITHOUT_REFINEMENT = 8
"""Candidates that are kept of a frame of which none was refined."""


@dataclasses.dataclass(frozen=True)
class Record:
    """The figures of one frame, as trends and tables show them.

    Attributes
    ----------
    key : str
        The frame, its settings and the version as 32 hexadecimal digits.
    source : str
        The file, or what the PDF says of its origin.
    state : {"done", "failed"}
    value : float or None
        What varies along the series, such as the temperature.
    structure_type : str
        Of the best structure; "none" where the verdict is no structure,
        empty for a frame that failed.
    n_atoms, atoms_low, atoms_high : int or None
        Its number of atoms, and the range; None where no range is given, or
        no structure was found.
    bond, uiso, rw : float or None
        Its shortest distance (A), Uiso (A^2) and Rw.
    doubts : int
        How many warnings the result has.
    full : bool
        Whether all generators were asked, and not the neighbours alone.
    reason : str
        Why it failed, or why there is no structure.
    """

    key: str
    source: str
    state: str = DONE
    value: float | None = None
    structure_type: str = ""
    n_atoms: int | None = None
    atoms_low: int | None = None
    atoms_high: int | None = None
    bond: float | None = None
    uiso: float | None = None
    rw: float | None = None
    doubts: int = 0
    full: bool = True
    reason: str = ""

    @property
    def search(self) -> str:
        """How it was searched, in words."""
        if self.state == FAILED:
            return "-"
        return "full" if self.full else "neighbours"


def key_of(pdf: PDFData, asked: Mapping[str, Any]) -> str:
    """The key of a frame: the same data and settings, the same version.

    Parameters
    ----------
    pdf : PDFData
    asked : mapping
        The settings by name: what JSON can hold.

    Returns
    -------
    str
        32 hexadecimal digits.  Where the data lie makes no difference.
    """
    names = ("composition", "qmin", "qmax", "qdamp", "qbroad", "stype")
    told = {name: getattr(pdf, name) for name in names}
    # What was assumed is warned of, and given it is not: two results.
    told["assumed"] = sorted(pdf.assumed)
    digest = _digest({"pdf": told, "asked": dict(asked)})
    for column in (pdf.r, pdf.g, pdf.dg):
        digest.update(b"" if column is None else np.float64(column).tobytes())
        digest.update(b"|")
    return digest.hexdigest()[:32]


def key_of_bytes(content: bytes, asked: Mapping[str, Any]) -> str:
    """The key of a file that cannot be read as a PDF."""
    digest = _digest({"file": True, "asked": dict(asked)})
    digest.update(content)
    return digest.hexdigest()[:32]


def _digest(about: Mapping[str, Any]) -> Any:
    text = json.dumps({"version": __version__, **about}, sort_keys=True)
    return hashlib.sha256(text.encode())


def record_of(
    solution: Solution, key: str, source: str, full: bool = True
) -> Record:
    """The figures of a result.

    Parameters
    ----------
    solution : Solution
    key, source : str
        See `Record`.
    full : bool
        Whether all generators were asked; default True.
    """
    best, verdict = solution.candidates[0], solution.verdict
    if verdict is not None and verdict.state == "none":
        # In trends a type and a size would look like an answer.
        return Record(
            key,
            source,
            structure_type=NONE,
            rw=misfit(best),
            doubts=len(solution.warnings),
            full=full,
            reason=verdict.reason,
        )
    uiso = [
        value
        for name, (value, _) in best.parameters.items()
        if name.endswith("_Uiso")
    ]
    atoms = solution.atoms
    return Record(
        key,
        source,
        structure_type=best.structure_type,
        n_atoms=len(best),
        atoms_low=None if atoms is None else atoms.low,
        atoms_high=None if atoms is None else atoms.high,
        bond=float(nearest_neighbour_distance(best.positions)),
        uiso=float(uiso[0]) if uiso else None,
        rw=misfit(best),
        doubts=len(solution.warnings),
        full=full,
    )


def misfit(candidate: Candidate) -> float:
    """Rw of the refinement, or without one that with the scale fitted."""
    rw = candidate.rw_raw if candidate.rw is None else candidate.rw
    return float("nan") if rw is None else float(rw)


def kept(solution: Solution) -> Solution:
    """A result without the candidates that were only proposed.

    Those of a large particle would take ten times the room of all else.
    """
    count = len(solution.refined) or KEPT_WITHOUT_REFINEMENT
    return dataclasses.replace(
        solution,
        candidates=[_rounded(c) for c in solution.candidates[:count]],
        rw_quick=solution.rw_quick[:count],
    )


def _rounded(candidate: Candidate) -> Candidate:
    """Positions to 1e-5 A, and without the native objects of the fit."""
    return dataclasses.replace(
        candidate, positions=np.round(candidate.positions, 5), results=None
    )
