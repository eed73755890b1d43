"""The databases of ASE: SQLite files, PostgreSQL, MySQL.

What is written to them is the affair of others: a row for each structure in
`diffpy_cbldm.output.database`, one for each PDF in
`diffpy_cbldm.series.store`.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import re
import urllib.parse
from collections.abc import Iterator
from typing import Any

from diffpy_cbldm.errors import CbldmError
from diffpy_cbldm.files import check_folder

SERVERS = ("postgresql", "postgres", "mysql", "mariadb")
"""How addresses begin."""

WAIT = 30.0
"""So long is waited for a database that another program writes to, s."""


_ADVISORY = 0xCB1D
"""The number of the lock that writers to PostgreSQL take in turn."""

_LACKS_INDEXES = """
SELECT to_regclass('keys_of_row') IS NULL AND coalesce(
    (SELECT pg_get_userbyid(relowner) = current_user
     FROM pg_class WHERE oid = to_regclass('keys')),
    true)
"""
"""Whether tables of PostgreSQL are without `_index_rows`, and ours or none:
of those of others only their owner can make indexes."""


def check(address: str, option: str = "--database") -> None:
    """Find out before any work whether a database can be written.

    Parameters
    ----------
    address : str
        A file ``NAME.db``, or ``postgresql://`` or ``mysql://`` with user,
        host and name.
    option : str
        The option that named it, for messages.

    Raises
    ------
    CbldmError
        It is something else, a package is missing, the folder cannot be
        made, another program does not end writing to it, or the database
        does not answer.
    """
    if "://" in address:
        _check_server(address, option)
    elif not address.endswith(".db"):
        raise CbldmError(
            f"the database is {masked(address)}; expected a file NAME.db or "
            f"an address postgresql://user@host/name: change {option}."
        )
    elif not os.path.exists(os.path.expanduser(address)):
        # The file is made when rows are written.
        check_folder(pathlib.Path(address).expanduser().parent, option)
        return
    with opened(address, option) as rows:
        rows.count()


def _check_server(address: str, option: str) -> None:
    import importlib.util

    scheme = address.split("://")[0]
    if scheme not in SERVERS:
        raise CbldmError(
            f"databases of the kind {scheme} are not known; expected "
            f"postgresql or mysql: change {option}."
        )
    if importlib.util.find_spec("ase_db_backends") is None:
        raise CbldmError(
            f"{scheme} databases need the package ase-db-backends: pip "
            f"install ase-db-backends, or give {option} NAME.db."
        )


@contextlib.contextmanager
def opened(
    address: str, option: str = "--database", lock_file: bool = True
) -> Iterator[Any]:
    """An open database of ASE, whose rows are kept at the end, all or none.

    Whatever goes wrong is a `CbldmError`.

    Parameters
    ----------
    address : str
    option : str
        The option that named it, for messages.
    lock_file : bool
        Whether a SQLite file is locked as ASE locks it, by a file beside it;
        otherwise by SQLite alone, whose lock goes with a process that is
        killed at any moment.
    """
    try:
        if "://" in address:
            from ase.db import connect

            with connect(address) as rows:
                _wait_for_turn(rows, address)
                yield rows
        else:
            path = pathlib.Path(address).expanduser()
            path.parent.mkdir(parents=True, exist_ok=True)
            # ASE's lock holds once for all rows, not for each by itself.
            lock = _locked(path) if lock_file else contextlib.nullcontext()
            with lock, opened_file(path) as rows:
                if not lock_file:
                    _take_turn(rows)
                yield rows
    except CbldmError:
        raise
    except Exception as error:  # each driver has errors of its own
        raise CbldmError(
            f"the database {masked(address)} cannot be written "
            f"({type(error).__name__}: {_without_secrets(error, address)}): "
            f"check {option} and that it can be reached."
        ) from None  # the cause may show the password


def _take_turn(rows: Any) -> None:
    """Wait until no other program writes to a SQLite file, and keep it so."""
    rows.connection.execute("BEGIN IMMEDIATE")
    rows.count()
    # Where it had to make its tables, ASE has ended the turn.
    if not rows.connection.in_transaction:
        rows.connection.execute("BEGIN IMMEDIATE")
    _index_rows(rows)


def _index_rows(rows: Any) -> None:
    """Let a row be replaced without a search through all others.

    ASE removes the keys of a row by its number, which none of the tables of
    keys has in an index: with 10,000 rows that took longer than all else.
    """
    from ase.db.sqlite import all_tables

    cursor = rows.connection.cursor()
    for table in all_tables:
        if table != "systems":
            cursor.execute(
                f"CREATE INDEX IF NOT EXISTS {table}_of_row ON {table}(id)"
            )


def _wait_for_turn(rows: Any, address: str) -> None:
    """Let one program at a time write to a PostgreSQL database.

    ASE takes the last number that any writer was given for that of its own
    row: with several at once, keys and values go to the rows of others.
    """
    if address.startswith("postgres"):
        # Held until the connection is closed, also by a process that dies.
        cursor = rows.connection.cursor()
        cursor.execute(f"SELECT pg_advisory_lock({_ADVISORY})")
        cursor.execute(_LACKS_INDEXES)
        if cursor.fetchone()[0]:
            rows.count()  # makes the tables where there are none
            _index_rows(rows)
            rows.connection.commit()


@contextlib.contextmanager
def opened_file(path: pathlib.Path) -> Iterator[Any]:
    """An open SQLite file of ASE, made where it is missing."""
    from ase.db import connect

    _clear_unfinished(path)
    with connect(path, type="db", use_lock_file=False) as rows:
        yield rows


def _clear_unfinished(path: pathlib.Path) -> None:
    """Let ASE begin again where its tables were never completed.

    ASE makes them one by one, and takes a file without the last of them for
    one of an old version.  Rows are only written when all are there.
    """
    import sqlite3

    from ase.db.sqlite import all_tables

    if not os.path.exists(path):
        return
    with contextlib.closing(sqlite3.connect(path, timeout=WAIT)) as file:
        names = file.execute("SELECT name FROM sqlite_master").fetchall()
        made = [t for t in (*all_tables, "information") if (t,) in names]
        if (
            not made
            or len(made) > len(all_tables)
            and file.execute(
                "SELECT * FROM information WHERE name = 'version'"
            ).fetchone()
        ):
            return
        if file.execute("SELECT * FROM systems LIMIT 1").fetchone():
            return  # a file of an old version: ASE says what to do
        with file:
            file.execute("BEGIN IMMEDIATE")
            for table in made:
                file.execute(f"DROP TABLE {table}")


@contextlib.contextmanager
def _locked(path: pathlib.Path) -> Iterator[None]:
    """Hold ASE's lock of a database file, as other programs with ASE do.

    Raises
    ------
    CbldmError
        Another program holds it for longer than `WAIT`.
    """
    from ase.parallel import DummyMPI
    from ase.utils import Lock

    name = pathlib.Path(f"{path}.lock")
    owner = _owner(name)
    if owner is not None and not runs(owner):
        # It was killed.  SQLite undoes by itself what was half written.
        name.unlink(missing_ok=True)
    lock = Lock(name, world=DummyMPI(), timeout=WAIT)
    try:
        lock.acquire()
    except TimeoutError:
        raise CbldmError(
            f"the database {path} was locked for {WAIT:g} s: {name} exists; "
            f"expected no other program that writes to it: where none runs, "
            f"one was killed: remove {name}."
        ) from None
    try:
        # ASE's lock is empty; with its owner it can be told from one that a
        # killed process left.
        lock.fd.write(f"{_machine()} {os.getpid()}\n".encode())
        lock.fd.flush()
        yield
    finally:
        # Somebody may have removed it meanwhile: the rows are written.
        with contextlib.suppress(FileNotFoundError):
            lock.release()


def _machine() -> str:
    import platform  # the help does without

    return platform.node()


def _owner(lock: pathlib.Path) -> int | None:
    """The process of this machine that made a lock, where that is known."""
    try:
        host, process = lock.read_text(encoding="utf-8").split()
        return int(process) if host == _machine() else None
    except (OSError, ValueError):
        return None


def runs(process: int) -> bool:
    """Whether a process of this machine runs, as far as can be told."""
    if os.name == "nt":  # there, signal 0 would end it
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True


def masked(text: str) -> str:
    """A text without the user and the password in addresses."""
    # The last @ of a word counts: a password may hold others, and anything.
    for scheme in (
        r"\b(?!https?:)\w+:/+",
        rf"\b(?:{'|'.join(SERVERS)}):(?!/)",
    ):
        text = re.sub(rf"({scheme})[^@\n]*@(?:\S*@)?", r"\1***@", text)
    return re.sub(r"(?i)(password=)[^&\s'\"]+", r"\1***", text)


def _without_secrets(error: Exception, address: str) -> str:
    """What a driver says, unless it repeats a part of the password."""
    said = masked(str(error).replace(address, masked(address)))
    secret = re.sub(r"^\w+:/+", "", address).rpartition("@")[0]
    # A driver may have cut the address at any sign, and decoded it.
    secret = f"{secret} {urllib.parse.unquote(secret)}".partition(":")[2]
    pieces = [p for p in re.split(r"\W+", secret) if len(p) > 1]
    if any(piece in said for piece in pieces):
        return "what it says repeats a part of the password"
    return " ".join(said.split())
