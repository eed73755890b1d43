"""The table on the terminal, the result as JSON, and the output files."""

from __future__ import annotations

import json
import math
import os
import pathlib
import re
import tempfile
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Any

from diffpy_cbldm.errors import CbldmError
from diffpy_cbldm.settings import OUTPUT_TYPES, PICTURES
from diffpy_cbldm.views import shown, with_esd

if TYPE_CHECKING:
    from diffpy_cbldm.solve import Solution

SCHEMA = "cbldm-result/1"

WHOLE = ("res", "html", *PICTURES)
"""Types of which one file holds all candidates."""


def table(solution: Solution) -> str:
    """The ranked candidates as lines of text."""
    rows = shown(solution)
    names = list(dict.fromkeys(n for c in rows for n in c.parameters))
    head = ["rank", "atoms", "type", "generator", "Rw raw", "Rw", "held-out"]
    lines = [head + names]
    for rank, c in enumerate(rows, start=1):
        lines.append(
            [
                str(rank),
                str(len(c.positions)),
                c.structure_type,
                c.generator,
                *(_rw(x) for x in (c.rw_raw, c.rw, c.rw_heldout)),
                *(
                    with_esd(*c.parameters[n]) if n in c.parameters else "-"
                    for n in names
                ),
            ]
        )
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    words = {2, 3}  # set flush left
    return "\n".join(
        "  ".join(
            cell.ljust(w) if i in words else cell.rjust(w)
            for i, (cell, w) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def _rw(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def result(solution: Solution, source: str) -> dict[str, Any]:
    """The result as plain data, the content of a ``.res`` file.

    Parameters
    ----------
    solution : Solution
    source : str
        The input as it was named.
    """
    pairs = zip(solution.candidates, solution.rw_quick, strict=True)
    return {
        "schema": SCHEMA,
        "input": source,
        "settings": solution.settings,
        "candidates": [
            {
                "rank": rank,
                "generator": c.generator,
                "structure_type": c.structure_type,
                "n_atoms": len(c.positions),
                "elements": [str(e) for e in c.elements],
                "positions": [[float(x) for x in row] for row in c.positions],
                "rw_raw": _finite(c.rw_raw),
                "rw_quick": _finite(quick),
                "rw": _finite(c.rw),
                "rw_heldout": _finite(c.rw_heldout),
                "parameters": {
                    name: {"value": _finite(value), "esd": _finite(esd)}
                    for name, (value, esd) in c.parameters.items()
                },
                "flags": list(c.flags),
            }
            for rank, (c, quick) in enumerate(pairs, start=1)
        ],
        "timings": solution.timings,
        "warnings": list(solution.warnings),
    }


def _finite(value: float | None) -> float | None:
    """JSON has no infinity and no NaN; both become null."""
    return None if value is None or not math.isfinite(value) else float(value)


def parse_types(text: str) -> tuple[str, ...]:
    """The output types in a comma-separated list.

    Raises
    ------
    CbldmError
        A type that is not known.
    """
    types = tuple(dict.fromkeys(t.strip() for t in text.split(",")))
    if types == ("none",):
        return ()
    for t in types:
        if t not in OUTPUT_TYPES:
            raise CbldmError(
                f"output type {t!r} is not known; expected "
                f"{', '.join(OUTPUT_TYPES)} or none: change -t."
            )
    return types


def output_name(
    template: str, source: str, extension: str, rank: int | None = None
) -> pathlib.Path:
    """Fill in the tokens of an output template.

    Parameters
    ----------
    template : str
        With ``@h @r @e @t @b @o @k`` as in the help of ``--output``; empty
        is ``@b.@o``.
    source : str
        Path of the input.
    extension : str
        The output extension, without the dot.
    rank : int, optional
        The rank of a structure; None for files that hold all of them.
    """
    template = template or "@b"
    if "@o" not in template:
        template += ".@o"
    if rank is None:
        template = re.sub(r"[-_.]?@k", "", template)
    elif "@k" not in template:
        stem = template.removesuffix(".@o")
        template = f"{stem}-@k{template[len(stem):]}"
    path = pathlib.Path(source)
    tokens = {
        "@h": str(path.parent),
        "@r": str(path.with_suffix("")),
        "@e": path.suffix.removeprefix("."),
        "@t": path.name,
        "@b": path.stem,
        "@o": extension,
        "@k": str(rank),
    }
    # In one pass, so that an @ in a file name is not taken for a token.
    return pathlib.Path(
        re.sub("@[hretbok]", lambda m: tokens[m.group()], template)
    )


def plan(
    template: str, types: Iterable[str], source: str, count: int
) -> dict[tuple[str, int | None], pathlib.Path]:
    """Where each output goes, for the ranks 1 to `count`."""
    ranks: dict[str, list[int | None]] = {
        t: [None] if t in WHOLE else list(range(1, count + 1)) for t in types
    }
    return {
        (t, rank): output_name(template, source, t, rank)
        for t in ranks
        for rank in ranks[t]
    }


def check_outputs(
    paths: Collection[pathlib.Path],
    force: str = "no",
    written: Collection[pathlib.Path] = (),
) -> None:
    """Find out before any work whether the outputs can be written.

    Parameters
    ----------
    paths : collection of Path
        What will be written.
    force : {"no", "yes", "once"}
        Whether existing files may be overwritten; ``once`` keeps those that
        this run has written.
    written : collection of Path
        What this run has written so far.

    Raises
    ------
    CbldmError
        A file exists, or its folder is missing or cannot be written.
    """
    for path in paths:
        mine = path.resolve() in {p.resolve() for p in written}
        if path.is_dir():
            raise CbldmError(
                f"{path} is a folder; expected the name of a file: "
                f"change --output."
            )
        if mine and force != "yes":
            raise CbldmError(
                f"{path} was written by this run for another input; expected "
                f"a name of its own for each: use @h or @b in --output."
            )
        if path.exists() and force == "no":
            raise CbldmError(
                f"{path} exists: pass --force to overwrite it, or another "
                f"--output."
            )
    for folder in {path.parent for path in paths}:
        if not folder.is_dir():
            raise CbldmError(
                f"the output folder {folder} does not exist: make it, or "
                f"change --output."
            )
        try:
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            raise CbldmError(
                f"the output folder {folder} cannot be written "
                f"({error.strerror}): change --output."
            ) from error


def write(
    solution: Solution,
    source: str,
    planned: dict[tuple[str, int | None], pathlib.Path],
) -> list[pathlib.Path]:
    """Write all outputs of one input, or none of them.

    Each file is written under a temporary name beside its place; once all of
    them are complete, they are renamed.

    Returns
    -------
    list of Path
        The files written.

    Raises
    ------
    CbldmError
        A file could not be written.
    """
    from diffpy_cbldm.pdfdata import write_atomic

    best = shown(solution)
    comment = "rank {} of {}: {} from {}, Rw {}"
    waiting: dict[pathlib.Path, pathlib.Path] = {}
    try:
        for (kind, rank), path in planned.items():
            if rank is not None and rank > len(best):
                continue
            part = path.with_name(f".{path.name}.{os.getpid()}.tmp")
            waiting[part] = path
            if kind == "html":
                from diffpy_cbldm.page import write_page

                write_page(solution, part, source)
            elif kind in PICTURES:
                from diffpy_cbldm.plots import plot

                plot(solution, part, kind=kind)
            elif rank is None:
                data = result(solution, source)
                text = json.dumps(data, indent=1, allow_nan=False)
                write_atomic(part, text + "\n")
            elif kind == "cif":
                best[rank - 1].write_cif(part)
            else:
                c = best[rank - 1]
                rw = _rw(c.rw_raw if c.rw is None else c.rw)
                about = (rank, source, c.structure_type, c.generator, rw)
                c.write_xyz(part, comment.format(*about))
        for part, path in waiting.items():
            os.replace(part, path)
    except OSError as error:
        raise CbldmError(
            f"{error.filename or source} cannot be written "
            f"({error.strerror}): make room or change --output."
        ) from error
    finally:
        for part in waiting:
            part.unlink(missing_ok=True)
    return list(waiting.values())
