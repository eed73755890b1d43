"""The order of the frames of a series, and what varies along it."""

from __future__ import annotations

import math
import os
import pathlib
import re
from collections.abc import Sequence

from diffpy_cbldm.errors import CbldmError

ORDERS = ("given", "names", "times")
"""Orders beside that of a table."""

HEAD = 16384
"""Bytes of a file in which its header is looked for."""

_VARIED = re.compile(
    rb"^[#;\s]*(?:sample[_ ]?)?(temperature|temp|time|elapsed)[\w ()/]*?"
    rb"\s*[=:]\s*([-+]?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?)\b",
    re.MULTILINE | re.IGNORECASE,
)
"""A line of a header that tells the temperature or the time."""

Frame = tuple[str, float | None]
"""A file and what varies along the series, None where that is not known."""


def natural_key(name: str) -> list[tuple[int, str]]:
    """A key to sort by that puts run2 before run10."""
    parts = re.findall(r"(\d+)|(\D+)", name)
    return [(int(n or -1), text) for n, text in parts]


def in_order(paths: Sequence[str], order: str = "given") -> list[Frame]:
    """The files of a series in their order.

    Parameters
    ----------
    paths : sequence of str
    order : str
        "given"; "names", with numbers in names by their values; "times" of
        the files; or a table: a csv file whose first column names files, and
        whose second one holds what varies, by which they are ordered.

    Returns
    -------
    list of (str, float or None)
        Each file with what varies: of the table, else the temperature or
        time of its header.

    Raises
    ------
    CbldmError
        A table that cannot be read or lacks a file, or a file is missing
        whose time is asked for.
    """
    if order not in ORDERS:
        values = _table(order)
        return sorted(
            ((path, _value(values, path, order)) for path in paths),
            key=lambda frame: (frame[1], natural_key(frame[0])),
        )
    chosen = list(paths)
    if order == "names":
        chosen.sort(key=lambda path: natural_key(os.path.basename(path)))
    elif order == "times":
        chosen.sort(key=_changed)
    return [(path, header_value(path)) for path in chosen]


def _changed(path: str) -> float:
    try:
        return os.stat(path).st_mtime
    except OSError as error:
        raise CbldmError(
            f"{path}: its time cannot be told ({error.strerror}); expected a "
            f"file: change the inputs or --order."
        ) from None


def _table(path: str) -> dict[str, float]:
    """What varies, by the names of files without folders."""
    import csv  # the help does without

    try:
        text = pathlib.Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise CbldmError(
            f"the order is {path!r}, which cannot be read as a table "
            f"({type(error).__name__}); expected given, names, times or a "
            f"csv file of file names and numbers: change --order."
        ) from None
    comma = "\t" if "\t" in text else ","
    rows = csv.reader(text.splitlines(), delimiter=comma)
    values = {}
    for number, row in enumerate(rows, start=1):
        if not row or row[0].startswith("#"):
            continue
        try:
            value = float(row[1])
        except (IndexError, ValueError):
            if number == 1:  # the heads of the columns
                continue
            value = math.nan
        if not math.isfinite(value):
            raise CbldmError(
                f"{path}, line {number}: {','.join(row)!r}; expected a file "
                f"name and a number: change the table of --order."
            )
        values[os.path.basename(row[0].strip())] = value
    return values


def _value(values: dict[str, float], path: str, table: str) -> float:
    try:
        return values[os.path.basename(path)]
    except KeyError:
        raise CbldmError(
            f"{path} is not in {table}; expected a line with its name and a "
            f"number: change the table of --order, or leave the file out."
        ) from None


def header_value(path: str) -> float | None:
    """The temperature, or else the time, that a file's header tells."""
    try:
        with open(path, "rb") as stream:
            head = stream.read(HEAD)
    except OSError:  # told where the file is read
        return None
    found = {
        name.lower()[:4]: float(number)
        for name, number in _VARIED.findall(head)
    }
    return found.get(b"temp", next(iter(found.values()), None))
