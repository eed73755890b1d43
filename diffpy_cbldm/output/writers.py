"""The tables on the terminal, and the output files."""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import pathlib
import re
import tempfile
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TYPE_CHECKING

from diffpy_cbldm.errors import CbldmError
from diffpy_cbldm.files import appearing, check_folder
from diffpy_cbldm.output import database
from diffpy_cbldm.output.macro import MACRO, macro_text
from diffpy_cbldm.output.results import (
    figures,
    parameters,
    result,
    shown,
)
from diffpy_cbldm.output.tables import rw_text
from diffpy_cbldm.settings import (
    ALL_TYPES,
    MAX_ATOMS,
    OUTPUT_TYPES,
    PICTURES,
)

if TYPE_CHECKING:
    from diffpy_cbldm.solving.solution import Solution


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
            plot = f", or pass -p {t} for a plot" if t in PICTURES else ""
            raise CbldmError(
                f"output type {t!r} is not known; expected "
                f"{', '.join(ALL_TYPES)} or none: change -t{plot}."
            )
    if MACRO in types and "cif" not in types:
        # The macro names the cif file of its structure.
        types += ("cif",)
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

    Raises
    ------
    CbldmError
        The template can be no name of a file.
    """
    if "\0" in template:
        raise CbldmError(
            f"the output name {template!r} holds a zero byte; expected the "
            f"name of a file: change --output."
        )
    template = template or "@b"
    if "@o" not in template:
        template += ".@o"
    if rank is None:
        # A file of all structures has no rank, nor what joins it to the name.
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
        t: [None] if t in _WHOLE else list(range(1, count + 1)) for t in types
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
) -> list[pathlib.Path]:
    """Find out before any work whether the outputs can be written.

    Parameters
    ----------
    paths : collection of Path
        What will be written.
    force : {"no", "yes", "once"}
        Whether existing files may be overwritten; ``once`` keeps those that
        this run has written.
    written : set of Path
        What this run has written so far, as this function returned it.

    Returns
    -------
    list of Path
        `paths` without links, each file by the same name.

    Raises
    ------
    CbldmError
        A file exists, or its folder cannot be written.
    """
    # Looked at once: many outputs share a folder, and links are slow.
    folders = {folder: folder.resolve() for folder in _folders(paths)}
    resolved = [folders[path.parent] / path.name for path in paths]
    for path, whole in zip(paths, resolved, strict=True):
        if os.path.isdir(path):
            raise CbldmError(
                f"{path} is a folder; expected the name of a file: "
                f"change --output."
            )
        if whole in written and force != "yes":
            raise CbldmError(
                f"{path} was written by this run for another input; expected "
                f"a name of its own for each: use @h or @b in --output."
            )
        if os.path.lexists(path) and force == "no":
            raise CbldmError(
                f"{path} exists: pass --force to overwrite it, or another "
                f"--output."
            )
    for folder in folders:
        check_folder(folder, "--output")
    return resolved


def _folders(paths: Iterable[pathlib.Path]) -> list[pathlib.Path]:
    return list(dict.fromkeys(path.parent for path in paths))


@dataclasses.dataclass(frozen=True)
class Written:
    """What became of the outputs of one input.

    Attributes
    ----------
    files : list of Path
        Those that are whole and in their places.
    failed : list of (str, Exception)
        The others, by path or as "database", with what went wrong.
    """

    files: list[pathlib.Path]
    failed: list[tuple[str, Exception]]


def write(
    solution: Solution,
    source: str,
    planned: Mapping[tuple[str, int | None], pathlib.Path],
    address: str | None = None,
) -> Written:
    """Write the outputs of one input, each of them as a whole or not at all.

    One that cannot be written does not keep the others from it.

    Parameters
    ----------
    solution : Solution
    source : str
        The input as it was named.
    planned : dict
        The path of each output by type and rank, from `plan`.
    address : str, optional
        A database to add rows to, besides.
    """
    best = shown(solution)
    written = Written([], [])
    for (kind, rank), path in planned.items():
        if rank is not None and rank > len(best):
            continue
        try:
            with appearing(path) as unfinished:
                if rank is None:
                    _WHOLE[kind](solution, source, unfinished)
                elif kind == MACRO:
                    cif = planned["cif", rank]
                    text = macro_text(solution, source, path, cif, rank)
                    unfinished.write_text(text, encoding="utf-8")
                else:
                    _EACH[kind](solution, source, unfinished, rank)
        except Exception as error:  # libraries raise whatever occurs
            written.failed.append((str(path), error))
        else:
            written.files.append(path)
    if address is not None:
        try:
            database.add_rows(solution, source, address)
        except Exception as error:
            written.failed.append(("database", error))
    return written


def stream_type(types: Collection[str]) -> str:
    """The one type that goes to standard output.

    Raises
    ------
    CbldmError
        There are several, none, or one that is not text.
    """
    texts = [t for t in OUTPUT_TYPES if t not in ("db", "ddp3", MACRO)]
    if len(types) != 1 or not set(types) <= set(texts):
        raise CbldmError(
            f"-o - with the output types {', '.join(types) or 'none'}; "
            f"expected one of {', '.join(texts)}: change -t."
        )
    return next(iter(types))


def text(solution: Solution, source: str, kind: str, count: int) -> str:
    """What goes to standard output, one structure after another.

    Where a file of this type can hold one structure alone, that is the best.

    Raises
    ------
    CbldmError
        It cannot be written.
    """
    with tempfile.TemporaryDirectory() as folder:
        best = 1 if kind in ("cif", "stru") else count
        planned = plan(f"{folder}/@k.@o", (kind,), "result", best)
        written = write(solution, source, planned)
        for _, error in written.failed:
            raise error
        return "".join(f.read_text(encoding="utf-8") for f in written.files)


def _write_xyz(
    solution: Solution, source: str, path: pathlib.Path, rank: int
) -> None:
    c = solution.candidates[rank - 1]
    rw = rw_text(c.rw_raw if c.rw is None else c.rw)
    about = f"{c.structure_type} from {c.generator}, Rw {rw}"
    c.write_xyz(path, f"rank {rank} of {source}: {about}")


def _end_of_range(solution: Solution) -> float:
    """Up to where r was fitted, A."""
    return float(solution.settings.get("rmax", solution.pdf.r[-1]))


def _write_cif(
    solution: Solution, source: str, path: pathlib.Path, rank: int
) -> None:
    candidate = solution.candidates[rank - 1]
    candidate.write_cif(path, rmax=_end_of_range(solution))


def _write_stru(
    solution: Solution, source: str, path: pathlib.Path, rank: int
) -> None:
    candidate = solution.candidates[rank - 1]
    candidate.write_stru(path, rmax=_end_of_range(solution))


def _write_extxyz(
    solution: Solution, source: str, path: pathlib.Path, rank: int
) -> None:
    from ase.io import write as write_atoms

    c = solution.candidates[rank - 1]
    atoms = c.to_ase()
    atoms.info = figures(solution, source, rank)
    for name, pair in parameters(c).items():
        atoms.info[name] = pair["value"]
        atoms.info[f"{name}_esd"] = pair["esd"]
    atoms.info = {n: v for n, v in atoms.info.items() if v is not None}
    if c.flags:
        atoms.info["flags"] = "; ".join(c.flags)
    write_atoms(path, atoms, format="extxyz")


def _write_res(solution: Solution, source: str, path: pathlib.Path) -> None:
    import numpy as np

    data = result(solution, source)
    # A line for each number is easy to read, but not of thousands of atoms:
    # theirs are one line, to 1e-5 A, put in place of a mark.
    rows = {}
    for c in data["candidates"]:
        if c["positions"] and c["n_atoms"] > MAX_ATOMS:
            c["positions"] = np.round(c["positions"], 5).tolist()
            for name in ("elements", "positions"):
                # No other text of a result has a zero byte.
                mark = f"\0{name} {c['rank']}"
                rows[json.dumps(mark)] = json.dumps(
                    c[name], allow_nan=False, separators=(",", ":")
                )
                c[name] = mark
    text = json.dumps(data, indent=1, allow_nan=False) + "\n"
    if rows:
        marks = "|".join(map(re.escape, rows))
        text = re.sub(marks, lambda m: rows[m[0]], text)
    path.write_text(text, encoding="utf-8")


def _write_project(
    solution: Solution, source: str, path: pathlib.Path
) -> None:
    from diffpy_cbldm.output.pdfgui import write_project

    write_project(solution, source, path)


_EACH = {
    "xyz": _write_xyz,
    "cif": _write_cif,
    "stru": _write_stru,
    "extxyz": _write_extxyz,
}
"""Writers of one structure, by output type."""


def _write_html(solution: Solution, source: str, path: pathlib.Path) -> None:
    from diffpy_cbldm.output.page import write_page

    write_page(solution, path, source)


def _write_picture(
    kind: str, solution: Solution, source: str, path: pathlib.Path
) -> None:
    from diffpy_cbldm.output.plots import plot

    plot(solution, path, kind=kind)


_WHOLE: dict[str, Callable[[Solution, str, pathlib.Path], None]] = {
    "ddp3": _write_project,
    "res": _write_res,
    "html": _write_html,
    "db": database.write,
    **{kind: functools.partial(_write_picture, kind) for kind in PICTURES},
}
"""Writers of a whole result, by output type."""
