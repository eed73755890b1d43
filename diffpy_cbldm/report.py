"""The table on the terminal, the result as JSON, and the output files."""

from __future__ import annotations

import contextlib
import json
import math
import os
import pathlib
import re
import tempfile
from collections.abc import Collection, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from diffpy_cbldm.errors import CbldmError
from diffpy_cbldm.settings import OUTPUT_TYPES

if TYPE_CHECKING:
    from diffpy_cbldm.cluster import Candidate
    from diffpy_cbldm.solve import Solution

SCHEMA = "cbldm-result/1"

WITHOUT_REFINEMENT = 8
"""So many candidates are shown and written where none was refined."""


def shown(solution: Solution) -> list[Candidate]:
    """The candidates that are shown and written: those refined."""
    return solution.refined or solution.candidates[:WITHOUT_REFINEMENT]


def with_esd(value: float, esd: float | None) -> str:
    """A number with its uncertainty in the last digit, such as 1.0012(3).

    Where the uncertainty is not known, zero or not finite, the value has four
    significant digits and no brackets.
    """
    from uncertainties import ufloat

    if esd is None or not math.isfinite(esd) or esd <= 0:
        return f"{value:.4g}"
    return f"{ufloat(value, esd):.1uS}"


def table(solution: Solution) -> str:
    """The ranked candidates as lines of text."""
    rows = shown(solution)
    names = list(dict.fromkeys(n for c in rows for n in c.parameters))
    head = ["rank", "atoms", "type", "generator", *_RWS]
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
    return _aligned(lines, words={2, 3})


_RWS = ("Rw raw", "Rw", "held-out")


def summary(rows: Iterable[tuple[str, Solution | str]]) -> str:
    """One line of text for each input: the best structure, or the mistake.

    Parameters
    ----------
    rows : iterable of (str, Solution or str)
        The name of each input, with what was found or why nothing was.
    """
    lines = [["input", "type", "generator", "atoms", *_RWS]]
    for name, found in rows:
        if isinstance(found, str):
            lines.append([name, found, *"-----"])
            continue
        best = found.candidates[0]
        rws = (best.rw_raw, best.rw, best.rw_heldout)
        lines.append(
            [name, best.structure_type, best.generator]
            + [str(len(best.positions)), *map(_rw, rws)]
        )
    return _aligned(lines, words={0, 1, 2})


def _aligned(lines: list[list[str]], words: Collection[int]) -> str:
    """Cells in columns; those of `words` are set flush left."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
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
                "parameters": _parameters(c),
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
    database: str | None = None,
) -> list[pathlib.Path]:
    """Write all outputs of one input, or none of them.

    Each file is written under a temporary name beside its place; once all of
    them are complete, they are renamed.

    Parameters
    ----------
    solution : Solution
    source : str
        The input as it was named.
    planned : dict
        The path of each output by type and rank, from `plan`.
    database : str, optional
        A database to add rows to, besides.

    Returns
    -------
    list of Path
        The files written.

    Raises
    ------
    CbldmError
        A file could not be written.
    """
    best = shown(solution)
    waiting: dict[pathlib.Path, pathlib.Path] = {}
    try:
        for (kind, rank), path in planned.items():
            if rank is not None and rank > len(best):
                continue
            part = path.with_name(f".{path.name}.{os.getpid()}.tmp")
            waiting[part] = path
            if rank is None:
                _WHOLE[kind](solution, source, part)
            else:
                _EACH[kind](solution, source, part, rank)
        if database is not None:
            add_rows(solution, source, database)
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


def stream_type(types: Collection[str]) -> str:
    """The one type that goes to standard output.

    Raises
    ------
    CbldmError
        There are several, none, or one that is not text.
    """
    texts = [t for t in OUTPUT_TYPES if t != "db"]
    if len(types) != 1 or not set(types) <= set(texts):
        raise CbldmError(
            f"-o - with the output types {', '.join(types) or 'none'}; "
            f"expected one of {', '.join(texts)}: change -t."
        )
    return next(iter(types))


def text(solution: Solution, source: str, kind: str, count: int) -> str:
    """What goes to standard output, one structure after another.

    Where a file of this type can hold one structure alone, that is the best.
    """
    with tempfile.TemporaryDirectory() as folder:
        best = 1 if kind in ("cif", "stru") else count
        planned = plan(f"{folder}/@k.@o", (kind,), "result", best)
        paths = write(solution, source, planned)
        return "".join(path.read_text(encoding="utf-8") for path in paths)


def figures(solution: Solution, source: str, rank: int) -> dict[str, Any]:
    """What is known of a structure as numbers and words, without gaps."""
    c = solution.candidates[rank - 1]
    known = {
        "source": source,
        "rank": rank,
        "generator": c.generator,
        "structure_type": c.structure_type,
        "rw_raw": _finite(c.rw_raw),
        "rw_quick": _finite(solution.rw_quick[rank - 1]),
        "rw": _finite(c.rw),
        "rw_heldout": _finite(c.rw_heldout),
    }
    return {name: v for name, v in known.items() if v not in (None, "")}


def _parameters(c: Candidate) -> dict[str, dict[str, float | None]]:
    return {
        name: {"value": _finite(value), "esd": _finite(esd)}
        for name, (value, esd) in c.parameters.items()
    }


def _write_xyz(
    solution: Solution, source: str, path: pathlib.Path, rank: int
) -> None:
    c = solution.candidates[rank - 1]
    rw = _rw(c.rw_raw if c.rw is None else c.rw)
    about = f"{c.structure_type} from {c.generator}, Rw {rw}"
    c.write_xyz(path, f"rank {rank} of {source}: {about}")


def _write_cif(
    solution: Solution, source: str, path: pathlib.Path, rank: int
) -> None:
    solution.candidates[rank - 1].write_cif(path)


def _write_stru(
    solution: Solution, source: str, path: pathlib.Path, rank: int
) -> None:
    c = solution.candidates[rank - 1]
    values = {name: value for name, (value, _) in c.parameters.items()}
    uiso = {
        name.removesuffix("_Uiso"): value
        for name, value in values.items()
        if name.endswith("_Uiso")
    }
    c.write_stru(path, uiso, values.get("delta2", 0.0))


def _write_extxyz(
    solution: Solution, source: str, path: pathlib.Path, rank: int
) -> None:
    from ase.io import write as write_atoms

    c = solution.candidates[rank - 1]
    atoms = c.to_ase()
    atoms.info = figures(solution, source, rank)
    for name, pair in _parameters(c).items():
        atoms.info[name] = pair["value"]
        atoms.info[f"{name}_esd"] = pair["esd"]
    atoms.info = {n: v for n, v in atoms.info.items() if v is not None}
    if c.flags:
        atoms.info["flags"] = "; ".join(c.flags)
    write_atoms(path, atoms, format="extxyz")


def _write_res(solution: Solution, source: str, path: pathlib.Path) -> None:
    from diffpy_cbldm.pdfdata import write_atomic

    data = result(solution, source)
    write_atomic(path, json.dumps(data, indent=1, allow_nan=False) + "\n")


def _write_db(solution: Solution, source: str, path: pathlib.Path) -> None:
    from ase.db import connect

    with connect(path, type="db", use_lock_file=False) as rows:
        _add(solution, source, rows)


_EACH = {
    "xyz": _write_xyz,
    "cif": _write_cif,
    "stru": _write_stru,
    "extxyz": _write_extxyz,
}
"""Writers of one structure, by output type."""

_WHOLE = {"res": _write_res, "db": _write_db}
"""Writers of a whole result, by output type."""


def _add(solution: Solution, source: str, rows: Any) -> None:
    """Add the structures that are shown to an open database of ASE."""
    for rank, c in enumerate(shown(solution), start=1):
        rows.write(
            c.to_ase(),
            figures(solution, source, rank),
            data={
                "parameters": _parameters(c),
                "flags": list(c.flags),
                "settings": solution.settings,
            },
        )


def check_database(address: str) -> None:
    """Find out before any work whether a database can be written.

    Parameters
    ----------
    address : str
        A file ``NAME.db``, or ``postgresql://`` or ``mysql://`` with user,
        host and name.

    Raises
    ------
    CbldmError
        It is something else, a package is missing, the folder is missing,
        or the database does not answer.
    """
    if "://" in address:
        _check_server(address)
    elif not address.endswith(".db"):
        raise CbldmError(
            f"the database is {address}; expected a file NAME.db or an "
            f"address postgresql://user@host/name: change --database."
        )
    elif not pathlib.Path(address).parent.is_dir():
        raise CbldmError(
            f"the folder of the database {address} does not exist: make it, "
            f"or change --database."
        )
    if "://" in address or pathlib.Path(address).exists():
        with _database(address) as rows:
            rows.count()


def _check_server(address: str) -> None:
    import importlib.util

    scheme = address.split("://")[0]
    if scheme not in ("postgresql", "postgres", "mysql", "mariadb"):
        raise CbldmError(
            f"databases of the kind {scheme} are not known; expected "
            f"postgresql or mysql: change --database."
        )
    if importlib.util.find_spec("ase_db_backends") is None:
        raise CbldmError(
            f"{scheme} databases need the package ase-db-backends: pip "
            f"install ase-db-backends, or give --database NAME.db."
        )


def add_rows(solution: Solution, source: str, address: str) -> None:
    """Add the structures that are shown to a database, all or none.

    Raises
    ------
    CbldmError
        The database cannot be reached or written.
    """
    with _database(address) as rows, rows:
        _add(solution, source, rows)


@contextlib.contextmanager
def _database(address: str) -> Iterator[Any]:
    from ase.db import connect

    # What is printed must not hold the password.
    shown_as = re.sub(r"//[^@/]*@", "//", address)
    try:
        if "://" in address:
            yield connect(address)
        else:
            yield connect(address, type="db")
    except Exception as error:  # each driver has errors of its own
        raise CbldmError(
            f"the database {shown_as} cannot be written "
            f"({type(error).__name__}: "
            f"{str(error).replace(address, shown_as)}): check --database and "
            f"that it can be reached."
        ) from error
