"""The store of a series: one row of an ASE database for each frame.

A row carries the key of its frame as ``unique_id``, which no two rows of a
database of ASE share: whoever finishes a frame second, in this run or in
another one, finds it done.  While a frame is worked on its row is a claim,
which other runs respect until it was not renewed for `LEASE`.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import functools
import json
import math
import os
import platform
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from diffpy_cbldm import databases
from diffpy_cbldm.errors import CbldmError
from diffpy_cbldm.series.records import DONE, FAILED, Record

if TYPE_CHECKING:
    from diffpy_cbldm.cluster import Candidate
    from diffpy_cbldm.solving.solution import Solution

LEASE = 600.0
"""Seconds after which a claim that was not renewed may be taken over."""

CLAIMED = "claimed"
"""The state of a row whose frame is worked on."""

MINE, BUSY = "mine", "busy"
"""Answers of `Store.claim` beside `DONE` and `FAILED`."""

OPTION = "--store"
"""What named the database, in messages."""


@dataclasses.dataclass(frozen=True)
class Ended:
    """A frame that has ended, as `Store.finish` takes it."""

    record: Record
    result: str = ""
    best: Candidate | None = None


class Store:
    """Results of many frames in a database of ASE, safe between programs.

    Parameters
    ----------
    address : str
        A file ``NAME.db``, or ``postgresql://user@host/name``.

    Raises
    ------
    CbldmError
        It cannot be written, or is another kind of database.
    """

    def __init__(self, address: str | os.PathLike[str]) -> None:
        self.address = os.fspath(address)
        # Two stores of one process are two writers, too.
        tag = os.urandom(4).hex()
        self.owner = _word(f"{platform.node()}:{tag}:{os.getpid()}")
        if "://" in self.address and not self.address.startswith("postgres"):
            raise CbldmError(
                f"the store is {databases.masked(self.address)}; expected a "
                f"file NAME.db or postgresql://user@host/name: change "
                f"{OPTION}."
            )
        databases.check(self.address, OPTION)

    @contextlib.contextmanager
    def _opened(self) -> Iterator[Any]:
        # A lock file would outlive a run that is killed.
        with databases.opened(self.address, OPTION, lock_file=False) as rows:
            yield rows

    def claim(
        self, key: str, source: str, again: bool = False
    ) -> tuple[str, Record | None]:
        """Take a frame, unless it is done or another run works on it.

        Parameters
        ----------
        key, source : str
            The frame.
        again : bool
            Whether one that failed is taken; default False.

        Returns
        -------
        answer : {"mine", "busy", "done", "failed"}
        record : Record or None
            Of a frame that is done, or failed.
        """
        return self.claim_all([(key, source)], again)[0]

    def claim_all(
        self, frames: Sequence[tuple[str, str]], again: bool = False
    ) -> list[tuple[str, Record | None]]:
        """Take frames (key, source) in one turn; see `claim`.

        A turn takes some milliseconds, and a disk that is slow far more.
        """
        if not frames:
            return []
        with self._opened() as rows:
            return [self._claimed(rows, *frame, again) for frame in frames]

    def _claimed(
        self, rows: Any, key: str, source: str, again: bool
    ) -> tuple[str, Record | None]:
        """What `claim` answers."""
        row = _find(rows, key)
        if row is not None and not (again and row.state == FAILED):
            if row.state in (DONE, FAILED):
                return row.state, _record(row)
            if self._held_by_another(row):
                return BUSY, None
        pairs = {"source": _word(source), **self._claim_pairs()}
        _put(rows, key, pairs, number=row and row.id)
        return MINE, None

    def _claim_pairs(self) -> dict[str, Any]:
        return {
            "state": CLAIMED,
            "owner": self.owner,
            "renewed": time.time(),
        }

    def _held_by_another(self, row: Any) -> bool:
        if row.owner == self.owner:
            return False
        host, _, process = row.owner.removeprefix("./").split(":")
        if host == platform.node() and not databases.runs(int(process)):
            return False
        return time.time() - row.renewed < LEASE

    def renew(self, keys: Iterable[str]) -> None:
        """Tell other runs that some frames are still worked on."""
        with self._opened() as rows:
            for key in keys:
                row = _find(rows, key)
                if row is not None and row.state == CLAIMED:
                    rows.update(row.id, **self._claim_pairs())

    def release(self, keys: Iterable[str]) -> None:
        """Give back frames that this run claimed and will not finish."""
        with self._opened() as rows:
            for key in keys:
                row = _find(rows, key)
                if (
                    row is not None
                    and row.state == CLAIMED
                    and row.owner == self.owner
                ):
                    rows.delete([row.id])

    def finish(
        self, record: Record, result: str = "", best: Candidate | None = None
    ) -> bool:
        """Keep what came of a frame, once.

        Parameters
        ----------
        record : Record
        result : str
            The result as JSON; see `solution`.
        best : Candidate, optional
            The structure of the row.

        Returns
        -------
        bool
            False where another run had done the frame; its row stays.

        Raises
        ------
        CbldmError
            The database cannot be written, such as on a full disk; nothing
            of the frame is kept then.
        """
        return self.finish_all([Ended(record, result, best)])[0]

    def finish_all(self, frames: Sequence[Ended]) -> list[bool]:
        """Keep what came of frames in one turn, all or none; see `finish`."""
        if not frames:
            return []
        with self._opened() as rows:
            return [_finished(rows, frame) for frame in frames]

    def records(self) -> list[Record]:
        """The frames that are done or failed, in the order they ended."""
        with self._opened() as rows:
            found = rows.select("state", include_data=False)
            return [_record(row) for row in found if row.state != CLAIMED]

    def solution(self, key: str) -> Solution:
        """The full result of a frame that is done.

        Raises
        ------
        CbldmError
            The store has no result of this key.
        """
        from diffpy_cbldm.solving.solution import Solution

        with self._opened() as rows:
            row = _find(rows, key, include_data=True)
            text = row.data.get("result") if row is not None else None
        if not text:
            raise CbldmError(
                f"the store {databases.masked(self.address)} has no result "
                f"under {key}; expected the key of a frame that is done: see "
                f"Store.records()."
            )
        return Solution.from_dict(json.loads(text))


def result_text(solution: Solution) -> str:
    """A result as the JSON that `Store.solution` reads."""
    return json.dumps(solution.as_dict(), separators=(",", ":"))


def _finished(rows: Any, frame: Ended) -> bool:
    """What `Store.finish` answers."""
    row = _find(rows, frame.record.key)
    if row is not None and row.state == DONE:
        return False
    _put(
        rows,
        frame.record.key,
        _pairs(frame.record),
        frame.best.to_ase() if frame.best is not None else None,
        {"result": frame.result} if frame.result else None,
        row and row.id,
    )
    return True


def _find(rows: Any, key: str, include_data: bool = False) -> Any:
    """The row of a key, None where there is none."""
    found = rows.select(unique_id=key, include_data=include_data)
    return next(iter(found), None)


def _put(
    rows: Any,
    key: str,
    pairs: dict[str, Any],
    atoms: Any = None,
    data: dict[str, Any] | None = None,
    number: int | None = None,
) -> None:
    """Write a row under a key, in place of the one with a number."""
    from ase.db.core import now
    from ase.db.row import AtomsRow

    row = copy.copy(_no_atoms()) if atoms is None else AtomsRow(atoms)
    row.unique_id = key
    row.ctime = now()
    row.user = os.getenv("USER")
    rows.write(row, pairs, data=data or {}, id=number)


@functools.cache
def _no_atoms() -> Any:
    """A row without atoms, which takes longer to make than to copy."""
    from ase import Atoms
    from ase.db.row import AtomsRow

    return AtomsRow(Atoms())


def _word(text: str) -> str:
    """A text that ASE takes for one: not 300, nor true."""
    from ase.db.core import convert_str_to_int_float_bool_or_str as converted

    return text if isinstance(converted(text), str) else f"./{text}"


def _pairs(record: Record) -> dict[str, Any]:
    """The figures that are known, as keys and values of ASE."""
    known: dict[str, Any] = {}
    for field in dataclasses.fields(record):
        value = getattr(record, field.name)
        if field.name == "key" or value is None or value == "":
            continue
        if isinstance(value, float) and not math.isfinite(value):
            continue
        if field.name in ("source", "reason"):
            value = _word(value)
        known[field.name] = value
    return known


def _record(row: Any) -> Record:
    pairs = row.key_value_pairs
    names = {f.name for f in dataclasses.fields(Record)} - {"key"}
    known = {name: pairs[name] for name in names if name in pairs}
    # ASE reads truth values back as numbers.
    known["full"] = bool(known.get("full", True))
    for name in ("n_atoms", "atoms_low", "atoms_high", "doubts"):
        if name in known:
            known[name] = int(known[name])
    return Record(row.unique_id, **known)
