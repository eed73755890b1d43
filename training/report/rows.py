"""The figures of the comparison: its files, their rows, and means of these."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from diffpy_cbldm.settings import CRYSTAL_TYPES
from training.baselines.tune import RESULTS as TUNING
from training.evaluation.cases import TIE
from training.evaluation.systems import (
    NETWORK,
    SPLITS,
    SYSTEMS,
    TRAINED,
    WORSE,
    file_name,
)

Row = dict[str, Any]

ABLATIONS = "ablations.json"
"""Figures of the ways to sample."""

QUANTITIES: dict[str, tuple[str, Callable[[Row], float | None], str]] = {
    "rwp": ("Rwp, nothing refined", lambda r: r["rwp"], ".3f"),
    "rw": ("Rw, refined by SrFit", lambda r: r["rw"], ".4f"),
    "right_n": ("right N", lambda r: r["right_n"], ".0%"),
    "rmsd": ("RMSD (A) where N is right", lambda r: r["rmsd"], ".3f"),
    "solved": ("solved", lambda r: r["solved"], ".0%"),
}
"""What the tables show: title, value of a row, format."""

SHIPPED = ("cbldm", "library", "screen")
"""Generators of the package."""

LOWER = ("rwp", "rw")
"""Quantities by which systems are compared, lower being better."""


def mean(
    rows: Sequence[Row], system: str, kind: str, quantity: str
) -> float | None:
    """Mean of a quantity over the PDFs of a type, or of all ("total")."""
    value = QUANTITIES[quantity][1]
    found = [
        value(r)
        for r in rows
        if r["system"] == system and kind in (r["truth"], "total")
    ]
    # An RMSD is there only where N is right.
    known = [float(x) for x in found if x is not None]
    return float(np.mean(known)) if known else None


def kinds_of(rows: Sequence[Row]) -> tuple[str, ...]:
    """The types among the rows, and "total"."""
    return (
        *(k for k in CRYSTAL_TYPES if any(r["truth"] == k for r in rows)),
        "total",
    )


def systems_of(rows: Sequence[Row]) -> tuple[str, ...]:
    """The systems that solved every PDF of the rows."""
    indices = {r["index"] for r in rows}
    return tuple(
        s
        for s in SYSTEMS
        if {r["index"] for r in rows if r["system"] == s} == indices
    )


def count_of(rows: Sequence[Row]) -> int:
    """How many PDFs there are."""
    return len({r["index"] for r in rows})


def seconds(rows: Sequence[Row], system: str) -> float:
    """Mean seconds that a system takes to propose."""
    return float(
        np.mean([r["seconds"] for r in rows if r["system"] == system])
    )


def share(rows: Sequence[Row], system: str, other: str) -> tuple[float, float]:
    """How often a system's Rw is lower than another's, and higher."""
    mine = {r["index"]: r["rw"] for r in rows if r["system"] == system}
    theirs = {r["index"]: r["rw"] for r in rows if r["system"] == other}
    gain = np.array([theirs[i] - mine[i] for i in mine])
    return float(np.mean(gain > TIE)), float(np.mean(gain < -TIE))


def load(folder: Path) -> dict[str, Any]:
    """The files of the comparison that are there, by name."""
    names = [f"{s}.json" for s in SPLITS]
    names += [ABLATIONS, TRAINED, TUNING.name, NETWORK]
    names += [file_name("geometry", c) for c in WORSE]
    return {
        name: json.loads((folder / name).read_text())
        for name in names
        if (folder / name).is_file()
    }


def by_split(files: dict[str, Any]) -> dict[str, list[Row]]:
    """The rows of each split, of those from `load`."""
    return {
        s: files[f"{s}.json"]["rows"] for s in SPLITS if f"{s}.json" in files
    }


def by_condition(files: dict[str, Any]) -> dict[str, list[Row]]:
    """The rows under each condition of `WORSE`, of those from `load`."""
    names = {c: file_name("geometry", c) for c in WORSE}
    return {c: files[n]["rows"] for c, n in names.items() if n in files}


def shared(
    found: dict[str, list[Row]], plain: Sequence[Row]
) -> tuple[tuple[str, ...], int, list[Row]]:
    """What worse data are compared with: systems, PDFs, rows of good data."""
    rows = next(iter(found.values()))
    count = count_of(rows)
    return systems_of(rows), count, [r for r in plain if r["index"] < count]
