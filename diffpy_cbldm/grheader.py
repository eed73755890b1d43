"""The settings in the header of a .gr file."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from diffpy_cbldm.errors import CbldmError
from diffpy_cbldm.formula import read_formula

COMMENTS = "#!%"
"""Characters that begin a comment."""

_NUMBER = r"[+-]?(?:\d+(?:[.,]\d*)?|[.,]\d+)(?:[eE][+-]?\d+)?"

_KEYS = {
    "qmin": r"q[_ ]?min",
    "qmax": r"q[_ ]?max",
    "qdamp": r"q[_ ]?damp|qsig",
    "qbroad": r"q[_ ]?broad|qalp",
}
"""Keys of the header by setting; qsig and qalp are the names of PDFFIT."""

_LENGTH = r"(?:(?:nm|nanomet\w*|AA?|\u00c5|\u212b|Ang(?:str[o\u00f6]ms?)?))"

_POWER = r"\s*(?:\^|\*\*)?\s*[({]?\s*[-\u2212]\s*1\s*[)}]?|\s*\u207b\u00b9"

_INVERSE = (
    rf"(?:(?:1\s*/\s*|inverse\s+|reciprocal\s+){_LENGTH}|"
    rf"{_LENGTH}(?:{_POWER}))"
)
"""An inverse length, as 1/A, A^-1, nm-1 or inverse angstrom."""

_NOT_GIVEN = {"", "none", "n/a", "na", "unknown", "?", "-", "undefined"}

_FOREIGN = re.compile(r"\b(rmcprofile|gudrun[xn]?|stog)\b", re.I)
"""Programs whose correlation functions have another normalisation."""


def parse_stype(word: str) -> str | None:
    """Return X or N for a spelling of the radiation, None for another."""
    word = word.strip().lower()
    if re.fullmatch(r"x|x[-_ ]?rays?", word):
        return "X"
    return "N" if re.fullmatch(r"n|neutrons?", word) else None


def read_settings(header: Sequence[str], notes: list[str]) -> dict[str, Any]:
    """Return the settings in the header lines, under `PDFData`'s names.

    Parameters
    ----------
    header : sequence of str
        The lines before the data, stripped.
    notes : list of str
        Is appended to: what was converted or not understood.

    Raises
    ------
    CbldmError
        A unit that is no inverse length, data of small angles, or the
        normalisation of another program.
    """
    # What stands outside comments is a setting; a comment may be prose.
    text = "\n".join(
        sorted((ln for ln in header if ln), key=lambda ln: ln[0] in COMMENTS)
    )
    settings: dict[str, Any] = {}
    for name, keys in _KEYS.items():
        value = _quantity(name.capitalize(), keys, text, notes)
        if value is not None:
            settings[name] = value
    # PDFgui writes 0 where its curve was not cut.
    if settings.get("qmax") == 0:
        del settings["qmax"]
        notes.append("The header's Qmax is 0, no cut: taken as not given.")
    composition = _composition(header, text, notes)
    if composition:
        settings["composition"] = composition
    if re.search(r"\bpdf(?:gui|fit2?)\b.*\bcalculat", text, re.I):
        notes.append(
            "By the header this is a calculated curve; expected a measured "
            "one."
        )
    prose = _without_paths(text)
    _refuse_foreign(prose, header)
    stype = _stype(text, prose, notes)
    if stype:
        settings["stype"] = stype
    return settings


def _quantity(
    title: str, keys: str, text: str, notes: list[str]
) -> float | None:
    """The value of a key in 1/A; None where the header has none."""
    bracket = (
        r"(?:[ \t]*(?:\((?P<round>[^)\n=:]*)\)|\[(?P<square>[^]\n=:]*)\])"
    )
    after = rf"(?:[ \t]*[(\[]?[ \t]*(?P<after>{_INVERSE})(?![\w.]))?"
    match = re.search(
        # "Qmax (1/A) = 22", "qmax_1/nm: 220", "Qdamp = 0.04 1/A"
        rf"\b(?:{keys}){bracket}|"
        rf"[ \t_,]+(?:in[ \t]+)?(?P<before>{_INVERSE}))?"
        rf"[ \t]*[=:][ \t]*(?P<number>{_NUMBER}){after}",
        text,
        re.I,
    ) or re.search(
        # "# Qmax 22.0 qmin 0.8", where no sign stands between
        rf"\b(?:{keys}){bracket})?(?P<before>)"
        rf"[ \t]+(?P<number>{_NUMBER})(?![\w.]){after}",
        text,
        re.I,
    )
    if match is None:
        return None
    value = float(match["number"].replace(",", "."))
    units = (match[place] for place in ("round", "square", "before", "after"))
    named = next((u.strip() for u in units if u and u.strip()), None)
    factor = 1.0 if named is None else _factor(title, named, notes)
    if factor != 1.0:
        notes.append(
            f"{title} is {value:g} {named} in the header: converted to "
            f"{value * factor:g} 1/A."
        )
    return value * factor


def _factor(title: str, unit: str, notes: list[str]) -> float:
    """From a unit in the header to 1/A.

    Raises
    ------
    CbldmError
        The unit is no inverse length.
    """
    if re.fullmatch(_INVERSE, unit, re.I):
        return 0.1 if re.search("nm|nano", unit, re.I) else 1.0
    if re.search(
        rf"deg|rad|theta|\u00b0|ev\b|pm\b|bohr|^{_LENGTH}$", unit, re.I
    ):
        raise CbldmError(
            f"{title} has the unit {unit!r} in the header; expected "
            f"1/A or 1/nm: correct the header, or leave the line out and "
            f"pass {title.lower()} (--{title.lower()}) in 1/A."
        )
    notes.append(
        f"The unit {unit!r} of {title} in the header is not known: "
        "1/A was taken."
    )
    return 1.0


def _composition(
    header: Sequence[str], text: str, notes: list[str]
) -> str | None:
    """The composition by its key, or by PDFgetX2's table of elements."""
    match = re.search(
        r"^[^\w\n]*(?:composition|(?:chemical[_ ])?formula)[ \t]*[=:]"
        r"([^#\n]*)",
        text,
        re.I | re.M,
    )
    given = match[1].strip(" \t'\"") if match else ""
    if given.lower() in _NOT_GIVEN:
        return "".join(_table_of_elements(header)) or None
    formula = read_formula(given)
    if not formula.unknown or not formula.amounts:
        return given  # PDFData says what is wrong with it
    # A header may hold prose, which must not stop the reading.
    read = formula.dominant[0] if formula.dominant else str(formula)
    notes.append(
        f"The composition {given!r} in the header was read as {read}; not "
        f"understood: {', '.join(formula.unknown)}."
    )
    return read


def _table_of_elements(header: Sequence[str]) -> Iterator[str]:
    """Symbols with fractions from the table in PDFgetX2's header."""
    names: list[str] = []
    rows: list[tuple[str, float]] = []
    for line in header:
        words = line.split()
        if line.startswith("#L") and "symbol" in words:
            names = words[1:]
        elif names:
            # The table ends where another section begins.
            try:
                row = dict(zip(names, words, strict=False))
                rows.append((row["symbol"], float(row["fractions"])))
            except (KeyError, ValueError):
                break
    for symbol, fraction in rows:
        alone = len(rows) == 1 or fraction == 1
        yield symbol if alone else f"{symbol}{fraction:g}"


def _without_paths(text: str) -> str:
    """The header without names of files and folders.

    They say nothing about the radiation or the program.
    """
    text = re.sub(
        r"(?im)^[^\w\n]*(?=\w*(?:file|dir|path|title))\w+[ \t]*[=:].*$",
        "",
        text,
    )
    # Linear in time: no run of letters is read again from each of them.
    return re.sub(r"(?<!\S)[^\s/\\]*[/\\]\S*", "", text)


def _refuse_foreign(prose: str, header: Sequence[str]) -> None:
    """Raise `CbldmError` for functions normalised by another program."""
    match = _FOREIGN.search(prose)
    # A heading with the unit of G(r) says that it was converted.
    sure = any(
        re.match(r"#+\s*L\s.*\bG\S*[(\[ ]*\S*-\s*2", ln) for ln in header
    )
    if match and not sure:
        raise CbldmError(
            f"the header names {match[1]}, whose D(r), T(r) and G(r) have "
            "another normalisation; expected G(r) = 4 pi r (rho - rho0): "
            "divide its D(r) by the square of the mean scattering length, "
            'then write the heading "#L r(A) G(A^-2)".'
        )


def _stype(text: str, prose: str, notes: list[str]) -> str | None:
    """Return the scattering type: by `stype`, by `mode`, then by words."""
    match = re.search(r"\bstype[ \t]*[=:][ \t]*([\w-]+)", text, re.I)
    if match:
        return match[1]
    match = re.search(
        r"^[^\w\n]*mode[ \t]*[=:][ \t]*([\w-]+)", text, re.I | re.M
    )
    mode = match[1].lower() if match else ""
    if parse_stype(mode):
        return parse_stype(mode)
    if mode in ("sas", "saxs", "sans"):
        raise CbldmError(
            f"the header says mode = {mode}, small-angle scattering; "
            "expected the G(r) of a wide-angle measurement: give such a "
            "file."
        )
    if re.fullmatch("e|electrons?|ed", mode):
        notes.append(
            f"The header says mode = {mode}: electron form factors are not "
            "known here, those of X-rays are used (for one element, G(r) is "
            "the same)."
        )
        return "X"
    neutron = re.search(r"neutron|pdfgetn", prose, re.I)
    xray = re.search(r"x-?ray|pdfgetx", prose, re.I)
    if neutron and xray:
        notes.append("The header names both X-rays and neutrons.")
        return None
    return "N" if neutron else "X" if xray else None
