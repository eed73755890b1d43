"""The text of a .gr file: its columns and the settings in its header.

Nothing here knows `PDFData`; `diffpy_cbldm.pdfdata.read_pdf` puts the parts
together and checks them.
"""

from __future__ import annotations

import dataclasses
import math
import os
import re
import sys
from pathlib import Path
from typing import IO, Any

import numpy as np

from diffpy_cbldm.errors import CbldmError

_FINITE = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eEdD][+-]?\d+)?"

_NUMBER = re.compile(rf"{_FINITE}|[+-]?(?:nan|inf|infinity)", re.I)
"""A number of a data line; Fortran may write its exponent with a D."""

_DECIMAL_COMMA = re.compile(r"[+-]?\d+(?:,\d+)?(?:[eE][+-]?\d+)?")
"""A number with a decimal comma, or without a fraction."""

_HEADER_NUMBER = r"[+-]?(?:\d+(?:[.,]\d*)?|[.,]\d+)(?:[eE][+-]?\d+)?"

_HEADER_KEYS = {
    "qmin": "qmin",
    "qmax": "qmax",
    "qdamp": "qdamp|qsig",
    "qbroad": "qbroad|qalp",
}
"""Keys of the header by setting; qsig and qalp are the names of PDFFIT."""

_COMMENTS = "#!%"


def parse_stype(word: str) -> str | None:
    """Return X or N for a spelling of the radiation, None for another."""
    word = word.strip().lower()
    if re.fullmatch(r"x|x[-_ ]?rays?", word):
        return "X"
    return "N" if re.fullmatch(r"n|neutrons?", word) else None


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
        return "standard input", _decode(stream.read())
    if hasattr(path, "read"):
        name = getattr(path, "name", None)
        source = name if isinstance(name, str) else "stream"
        try:
            return source, _decode(path.read())
        except UnicodeDecodeError:
            raise CbldmError(
                f"{source}: the text has another encoding than the stream; "
                'expected bytes: open the file with mode "rb".'
            ) from None
    try:
        return str(path), _decode(Path(path).read_bytes())
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


def _decode(raw: bytes | str) -> str:
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
    first, rows, numbers = _rows(lines)
    for row, number in zip(rows, numbers, strict=True):
        if not (math.isfinite(row[0]) and math.isfinite(row[1])):
            raise CbldmError(
                f"line {number}: r is {row[0]:g} A and G is {row[1]:g}; "
                "expected finite numbers: remove such lines."
            )
    notes: list[str] = []
    header = [line.strip() for line in lines[:first]]
    settings = _settings(header, notes)
    return GrText(*_columns(rows, header, notes), settings, notes)


def _row(line: str) -> list[float] | None:
    """Return the numbers of a data line; None where it is something else."""
    text = re.split(rf"(?:^|\s)[{_COMMENTS}]", line, maxsplit=1)[0]
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


def _rows(lines: list[str]) -> tuple[int, list[list[float]], list[int]]:
    """Return the first data line's index, the rows and their line numbers."""
    parsed = [_row(line) for line in lines]
    marks = [
        k for k, ln in enumerate(lines) if re.match(r"\s*#+\s*start data", ln)
    ]
    numeric = [k for k, row in enumerate(parsed) if row and len(row) > 1]
    if marks:
        numeric = [k for k in numeric if k > marks[0]]
    else:
        # A header may hold a few pairs of numbers; data come in long runs.
        runs = (
            a for a, b in zip(numeric, numeric[4:], strict=False) if b == a + 4
        )
        start = next(runs, 0)
        numeric = [k for k in numeric if k >= start]
    if not numeric:
        raise CbldmError(
            "no data columns found; expected lines with r and G(r): check "
            "that this is a .gr file."
        )
    _check_lines(lines, parsed, numeric[0], numeric[-1])
    rows = [parsed[k] or [] for k in numeric]
    return numeric[0], rows, [k + 1 for k in numeric]


def _check_lines(
    lines: list[str], parsed: list[list[float] | None], first: int, last: int
) -> None:
    """Raise `CbldmError` where data lines are damaged, or one is cut off."""
    for k in range(first, last + 1):
        text = lines[k].strip()
        # Empty lines and comments may stand between the data.
        if text and text[0] not in _COMMENTS and len(parsed[k] or ()) < 2:
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


def _columns(
    rows: list[list[float]], header: list[str], notes: list[str]
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Return r, G and dG; say in `notes` how further columns were read."""
    fewest, most = min(map(len, rows)), max(map(len, rows))
    table = np.array([row[:fewest] for row in rows])
    r, g = table[:, 0], table[:, 1]
    if fewest != most:
        notes.append(
            f"The lines have {fewest} to {most} columns: the first two were "
            "read as r and G, the others were ignored."
        )
        return r, g, None
    if fewest > 4:
        notes.append(
            f"The file has {fewest} columns: the first two were read as r "
            f"and G; columns 3 to {fewest} were ignored."
        )
    if fewest not in (3, 4):
        return r, g, None
    column = _column_of_dg(header, fewest)
    if fewest == 3:
        what = "read as dG" if column else "taken for dr and ignored"
        notes.append(f"The file has 3 columns: the third was {what}.")
    dg = table[:, column] if column else np.zeros(len(table))
    if np.all(np.isfinite(dg) & (dg > 0)):
        return r, g, dg
    if np.any(dg):  # a column of zeros is the usual sign of no uncertainty
        notes.append(
            "The column dG has values that are not positive: it was ignored."
        )
    return r, g, None


def _column_of_dg(header: list[str], count: int) -> int | None:
    """The place of dG among `count` columns; None where the last is dr."""
    # The heading is the last line of a header, such as "#L r G dr dG".
    heading = header[-1].lstrip("#").split() if header else []
    names = [name.lower() for name in heading if name.lower() != "l"]
    if len(names) == count:
        named = [bool(re.match(r"(d|sig|err|e)\w*g", n)) for n in names]
        if any(named):
            return named.index(True)
        if re.match(r"d_?r", names[-1]):
            return None
    return count - 1


def _refuse_nanometres(header: list[str]) -> None:
    heading = next((ln for ln in header if ln.startswith("#L")), "")
    if re.search(
        r"\br\s*[(\[_/,]?\s*nm\b", heading or "".join(header[-1:]), re.I
    ):
        raise CbldmError(
            "r is in nanometres by its heading; expected angstrom: multiply "
            "r by 10 and divide G by 100."
        )


def _settings(header: list[str], notes: list[str]) -> dict[str, Any]:
    """Return the settings in the header lines, under `PDFData`'s names."""
    _refuse_nanometres(header)
    # What stands outside comments is a setting; a comment may be prose.
    text = "\n".join(
        sorted((ln for ln in header if ln), key=lambda ln: ln[0] in _COMMENTS)
    )
    settings: dict[str, Any] = {}
    for name, keys in _HEADER_KEYS.items():
        match = re.search(
            rf"\b(?:{keys})\s*[=:]\s*({_HEADER_NUMBER})", text, re.I
        )
        if match:
            settings[name] = float(match[1].replace(",", "."))
    match = re.search(
        r"^[^\w\n]*(?:composition|(?:chemical[_ ])?formula)[ \t]*[=:]"
        r"([^#\n]*)",
        text,
        re.I | re.M,
    )
    if match and match[1].strip(" \t'\"").lower() not in ("", "none"):
        settings["composition"] = match[1].strip(" \t'\"")
    stype = _header_stype(text, notes)
    if stype:
        settings["stype"] = stype
    return settings


def _header_stype(text: str, notes: list[str]) -> str | None:
    """Return the scattering type: by `stype`, by `mode`, then by words."""
    match = re.search(r"\bstype\s*[=:]\s*([\w-]+)", text, re.I)
    if match:
        return match[1]
    match = re.search(r"^[^\w\n]*mode\s*[=:]\s*([\w-]+)", text, re.I | re.M)
    if match and parse_stype(match[1]):
        return parse_stype(match[1])
    # Names of files and folders say nothing about the radiation.
    # The time stays linear: no run of signs or letters is read again from
    # each of its characters, or from each line of an empty comment.
    text = re.sub(
        r"(?im)^[^\w\n]*(?=\w*(?:file|dir|path|title))\w+\s*[=:].*$",
        "",
        text,
    )
    text = re.sub(r"(?<!\S)[^\s/\\]*[/\\]\S*", "", text)
    neutron = re.search(r"neutron|pdfgetn", text, re.I)
    xray = re.search(r"x-?ray|pdfgetx", text, re.I)
    if neutron and xray:
        notes.append("The header names both X-rays and neutrons.")
        return None
    return "N" if neutron else "X" if xray else None
