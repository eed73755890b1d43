"""Results in the databases of ASE: SQLite files, PostgreSQL, MySQL."""

from __future__ import annotations

import contextlib
import pathlib
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from diffpy_cbldm.errors import CbldmError
from diffpy_cbldm.output.results import figures, parameters, shown

if TYPE_CHECKING:
    from diffpy_cbldm.solving.solution import Solution


def write(solution: Solution, source: str, path: pathlib.Path) -> None:
    """Write the structures that are shown to a new SQLite file."""
    from ase.db import connect

    with connect(path, type="db", use_lock_file=False) as rows:
        _add(solution, source, rows)


def _add(solution: Solution, source: str, rows: Any) -> None:
    """Add the structures that are shown to an open database of ASE."""
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


def check(address: str) -> None:
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
    # A file that is not there yet is made when rows are written.
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
    # The second context is one transaction: all rows or none.
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
