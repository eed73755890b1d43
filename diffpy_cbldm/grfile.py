"""The text of a .gr file: its columns and the settings in its header.

Nothing here knows `PDFData`; `diffpy_cbldm.pdfdata.read_pdf` puts the parts
together and checks them.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
import re
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np

from diffpy_cbldm.errors import CbldmError
from diffpy_cbldm.grcolumns import place_of_r, read_columns
from diffpy_cbldm.grheader import COMMENTS, read_settings
from diffpy_cbldm.settings import MIN_POINTS

AT_ZERO = 1e-6
"""A distance below this (A) is r = 0."""

_FINITE = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eEdD][+-]?\d+)?"

_NUMBER = re.compile(rf"{_FINITE}|[+-]?(?:nan|inf|infinity)", re.I)
"""A number of a data line; Fortran may write its exponent with a D."""

_DECIMAL_COMMA = re.compile(r"[+-]?\d+(?:,\d+)?(?:[eE][+-]?\d+)?")
"""A number with a decimal comma, or without a fraction."""

_START_DATA = re.compile(r"\s*#+\s*start data")

_NEW_SET = re.compile(r"\s*#+\s*(?:start data|[SL]\s)", re.I)
"""A line that begins another set of data."""


@dataclasses.dataclass
class GrText:
    """What the text of a .gr file says, before it is checked.

    Attributes
    ----------
    r, g : (n,) array
        The first two columns.
    dg : (n,) array or None
        The uncertainty of `g`, where the file has a usable one.
    settings : dict
        Those of composition, qmin, qmax, qdamp, qbroad and stype that the
        header gives.
    notes : list of str
        How columns were read that are not r and G.
    """

    r: np.ndarray
    g: np.ndarray
    dg: np.ndarray | None
    settings: dict[str, Any]
    notes: list[str]


def load(path: str | os.PathLike[str] | IO[Any]) -> tuple[str, str]:
    """Return the name and the text of a file or stream; "-" is stdin."""
    if isinstance(path, str) and path == "-":
        stream = getattr(sys.stdin, "buffer", sys.stdin)
        return "standard input", decode(stream.read())
    if hasattr(path, "read"):
        name = getattr(path, "name", None)
        source = name if isinstance(name, str) else "stream"
        try:
            return source, decode(path.read())
        except UnicodeDecodeError:
            raise CbldmError(
                f"{source}: the text has another encoding than the stream; "
                'expected bytes: open the file with mode "rb".'
            ) from None
    with _named(path):
        return str(path), decode(Path(path).read_bytes())


def check_file(path: str | os.PathLike[str]) -> None:
    """Raise what `load` would for a path that is missing, or a folder.

    It is not opened: a pipe can be read once.
    """
    with _named(path):
        if stat.S_ISDIR(os.stat(path).st_mode):
            raise IsADirectoryError


@contextlib.contextmanager
def _named(path: Any) -> Iterator[None]:
    """Raise `CbldmError` with the name of a file that cannot be read."""
    try:
        yield
    except FileNotFoundError:
        raise CbldmError(
            f"{path}: no such file; expected a .gr file: check the name."
        ) from None
    except IsADirectoryError:
        raise CbldmError(
            f"{path}: is a folder; expected a .gr file: name a file in it."
        ) from None
    except (OSError, TypeError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise CbldmError(
            f"{path}: cannot be read ({reason}); expected a .gr file: check "
            "the name and the permissions."
        ) from None


def decode(raw: bytes | str) -> str:
    """Decode as UTF-8, UTF-16 by its mark, or else Latin-1."""
    if isinstance(raw, str):
        return raw.removeprefix("\ufeff")
    if raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return raw.decode("utf-16", errors="replace")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def parse(text: str) -> GrText:
    """Read columns and settings; see `diffpy_cbldm.pdfdata.read_pdf`."""
    # Carriage returns alone end the lines of old Macintosh files.
    lines = re.split(r"\r\n|\r|\n", text)
    notes: list[str] = []
    first, rows, numbers = _rows(lines, notes)
    header = [line.strip() for line in lines[:first]]
    r, g, dg = read_columns(rows, header, notes)
    # One point at r = 0 is often 0 / 0, and `PDFData` leaves it out.
    offset = len(numbers) - len(r)
    for k in np.flatnonzero(~(np.isfinite(r) & np.isfinite(g))):
        if k > 0 or abs(r[0]) > AT_ZERO or not np.isfinite(g[1:]).all():
            raise CbldmError(
                f"line {numbers[k + offset]}: r is {r[k]:g} A and G is "
                f"{g[k]:g}; expected finite numbers: remove such lines."
            )
    return GrText(r, g, dg, read_settings(header, notes), notes)


def _row(line: str) -> list[float] | None:
    """Return the numbers of a data line; None where it is something else."""
    text = re.split(rf"(?:^|\s)[{COMMENTS}]", line, maxsplit=1)[0]
    text = text.strip().rstrip(",; \t")
    if not text:
        return None
    tokens = re.split(r"\s*;\s*|\s+", text)
    # "1,5 2,5" is one pair with decimal commas, "1,5" a pair without.
    if len(tokens) > 1 and all(map(_DECIMAL_COMMA.fullmatch, tokens)):
        tokens = [token.replace(",", ".") for token in tokens]
    else:
        tokens = re.split(r"\s*[,;]\s*|\s+", text)
    if not all(map(_NUMBER.fullmatch, tokens)):
        return None
    return [float(re.sub("[dD]", "e", token)) for token in tokens]


def _rows(
    lines: list[str], notes: list[str]
) -> tuple[int, list[list[float]], list[int]]:
    """Return the first data line's index, the rows and their line numbers."""
    parsed = [_row(line) for line in lines]
    numeric = [k for k, row in enumerate(parsed) if row and len(row) > 1]
    numeric = _without_header(lines, numeric)
    if not numeric:
        raise CbldmError(
            "no data columns found; expected lines with r and G(r): check "
            "that this is a .gr file."
        )
    header = [line.strip() for line in lines[: numeric[0]]]
    at_r = place_of_r(header, len(parsed[numeric[0]] or ()))
    distances = [_at(parsed[k], at_r) for k in numeric]
    count = _length_of_first_set(lines, numeric, distances)
    end = len(lines)
    if count < len(numeric):
        notes.append(
            f"The file holds several sets of data: the first was read (lines "
            f"{numeric[0] + 1} to {numeric[count - 1] + 1}); what follows "
            f"from line {numeric[count] + 1} on was left out."
        )
        end = numeric[count - 1] + 1
        numeric = numeric[:count]
    _check_lines(lines[:end], parsed, numeric[0], numeric[-1])
    rows = [parsed[k] or [] for k in numeric]
    return numeric[0], rows, [k + 1 for k in numeric]


def _at(row: list[float] | None, place: int) -> float:
    """One number of a row, nan where the row is shorter."""
    return row[place] if row and place < len(row) else math.nan


def _without_header(lines: list[str], numeric: list[int]) -> list[int]:
    """Leave out lines of numbers that belong to the header."""
    mark = next(
        (k for k, ln in enumerate(lines) if _START_DATA.match(ln)), None
    )
    # A mark after so much data begins a second set.
    if mark is not None and sum(k < mark for k in numeric) < MIN_POINTS:
        return [k for k in numeric if k > mark]
    # A header may hold a few pairs of numbers; data come in long runs.
    runs = (
        a for a, b in zip(numeric, numeric[4:], strict=False) if b == a + 4
    )
    start = next(runs, 0)
    return [k for k in numeric if k >= start]


def _length_of_first_set(
    lines: list[str], numeric: list[int], distances: list[float]
) -> int:
    """How many of the data lines come before another measurement begins."""
    rising = len(distances) > 1 and distances[0] < distances[1]
    for i in range(1, len(numeric)):
        between = lines[numeric[i - 1] + 1 : numeric[i]]
        if any(map(_NEW_SET.match, between)):
            return i
        # r that starts again belongs to other data; rows out of order
        # without a line in between are a fault that is named elsewhere.
        again = bool(between) or distances[i] - distances[0] <= AT_ZERO
        if rising and distances[i] < distances[i - 1] and again:
            return i
    return len(numeric)


def _check_lines(
    lines: list[str], parsed: list[list[float] | None], first: int, last: int
) -> None:
    """Raise `CbldmError` where data lines are damaged, or one is cut off."""
    for k in range(first, last + 1):
        text = lines[k].strip()
        # Empty lines and comments may stand between the data.
        if text and text[0] not in COMMENTS and len(parsed[k] or ()) < 2:
            raise CbldmError(
                f"line {k + 1}: {text[:40]!r} is not a row of numbers; "
                "expected r and G(r): correct or remove the line."
            )
    for k in range(last + 1, len(lines)):
        if parsed[k] is not None:
            raise CbldmError(
                f"line {k + 1}: {lines[k].strip()[:40]!r} holds one number; "
                "expected r and G(r): the file seems to be cut off."
            )
