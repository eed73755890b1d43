"""The structures of a result as rows of the databases of ASE."""

from __future__ import annotations

import pathlib
from typing import TYPE_CHECKING, Any

from diffpy_cbldm.databases import opened, opened_file
from diffpy_cbldm.output.results import figures, parameters, shown

if TYPE_CHECKING:
    from diffpy_cbldm.solving.solution import Solution


def write(solution: Solution, source: str, path: pathlib.Path) -> None:
    """Write the structures that are shown to a new SQLite file."""
    with opened_file(path) as rows:
        _add(solution, source, rows)


def _add(solution: Solution, source: str, rows: Any) -> None:
    """Add the structures that are shown to an open database of ASE."""
    from ase.db.core import convert_str_to_int_float_bool_or_str as converted

    # ASE refuses texts that look like a number or a truth value: as a path,
    # the name 300 is the same file and no number.
    if not isinstance(converted(source), str):
        source = f"./{source}"
    for rank, c in enumerate(shown(solution), start=1):
        rows.write(
            c.to_ase(),
            figures(solution, source, rank),
            data={
                "parameters": parameters(c),
                "flags": list(c.flags),
                "settings": solution.settings,
            },
        )


def add_rows(solution: Solution, source: str, address: str) -> None:
    """Add the structures that are shown to a database, all or none.

    Raises
    ------
    CbldmError
        The database cannot be reached or written.
    """
    with opened(address) as rows:
        _add(solution, source, rows)
