"""The columns of a .gr file: which is r, which G(r), which dG.

A heading such as ``#L r(A) G(A^-2) dr dG`` is taken at its word: columns are
found by name wherever they stand, and a heading that names another function
than G(r) is refused with the way to convert it.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence

import numpy as np

from diffpy_cbldm.errors import CbldmError

Columns = tuple[np.ndarray, np.ndarray, "np.ndarray | None"]
"""r, G(r) and dG or None, each (n,)."""

_UNCERTAINTY = re.compile(
    r"(?:d|e|sig(?:ma)?|err(?:or)?|esd|std|unc(?:ertainty)?)_?"
    r"(?:g(?:r|ofr|obs|exp)?|y)"
    r"|(?:g|gr|y)_?(?:e|err(?:or)?|esd|std|sig(?:ma)?|unc)"
    r"|e|sig(?:ma)?|err(?:or)?s?|esd|std(?:dev)?|unc(?:ertainty)?"
)

_OBSERVED = re.compile(
    r"(?:g|gr|y)?(?:obs|observed|exp|experiment(?:al)?|meas|measured|data)"
)

_NAMES = {
    "r": {"r", "ra", "rå", "rang", "rangstrom", "distance", "dist", "x"},
    "dr": {"dr", "er", "sigr", "sigmar", "rerr", "errr", "dx"},
    "Q": {"q", "qa", "qinv", "2theta", "tth", "twotheta", "2th"},
    "G": {"g", "gr", "gofr", "pdf", "y"},
    "F(Q)": {"fq", "fofq"},
    "S(Q)": {"sq", "sofq"},
    "I(Q)": {"iq", "iofq", "i", "intensity", "counts"},
    "R(r)": {"rdf", "rofr"},
    "T(r)": {"tr", "tofr"},
    "D(r)": {"dofr"},
}
"""What the names of columns stand for, without case, signs and spaces."""

_TYPES = re.compile(r"^\W*output_?types?\s*[=:]([^#]*)", re.I)
"""What was written, in a header of PDFgetX3 and its kin: one or a list."""

_CONVERSIONS = {
    "F(Q)": "G(r) = 2/pi times the integral of F(Q) sin(Q r) dQ, as "
    "pdfgetx3 -t gr writes it",
    "S(Q)": "F(Q) = Q [S(Q) - 1], and G(r) = 2/pi times the integral of "
    "F(Q) sin(Q r) dQ",
    "I(Q)": "reduce the pattern with pdfgetx3 -t gr or the like first",
    "Q": "the columns are functions of Q: transform F(Q) to G(r), as "
    "pdfgetx3 -t gr does",
    "g(r)": "G(r) = 4 pi r rho0 [g(r) - 1], rho0 in atoms per A^3",
    "R(r)": "G(r) = R(r) / r - 4 pi r rho0, rho0 in atoms per A^3",
    "T(r)": "G(r) = T(r) - 4 pi r rho0, with T(r) normalised to one at each "
    "pair (divide by the square of the mean scattering length)",
    "D(r)": "G(r) = D(r) / <b>^2, the square of the mean scattering length "
    "in the units of D(r)",
    "calculated": "fit the measured G(r), or add the difference column to "
    "the calculated one",
    "difference": "add the calculated G(r) to it: that is the measured one",
}
"""How to come to G(r) from what else a column may hold."""


@dataclasses.dataclass(frozen=True)
class _Heading:
    """Names of the columns, and what each stands for (None: unknown)."""

    names: tuple[str, ...]
    kinds: tuple[str | None, ...]


def read_columns(
    rows: Sequence[Sequence[float]], header: Sequence[str], notes: list[str]
) -> Columns:
    """Return r, G and dG; `notes` tells how further columns were read.

    Parameters
    ----------
    rows : sequence of sequence of float
        The numbers of each data line, two or more.
    header : sequence of str
        The lines before, stripped.
    notes : list of str
        Is appended to.

    Raises
    ------
    CbldmError
        The heading names another function than G(r), or another unit of r.
    """
    _refuse_other_units(header)
    fewest, most = min(map(len, rows)), max(map(len, rows))
    heading = _find_heading(header, fewest)
    at_r, at_g = _places(heading, fewest, header, notes)
    table = np.array([row[:fewest] for row in rows])
    r, g = table[:, at_r], table[:, at_g]
    if fewest != most:
        notes.append(
            f"The lines have {fewest} to {most} columns: the first two were "
            "read as r and G, the others were ignored."
        )
        return r, g, None
    column = _place_of_dg(heading, fewest, notes)
    if column is None:
        return r, g, None
    return _checked_dg(r, g, table[:, column], notes)


def place_of_r(header: Sequence[str], count: int) -> int:
    """The column of r among `count`, by the heading; else the first."""
    heading = _find_heading(header, count)
    kinds = heading.kinds if heading else ()
    return kinds.index("r") if "r" in kinds else 0


def _refuse_other_units(header: Sequence[str]) -> None:
    """Raise `CbldmError` where a heading gives r in another unit."""
    heading = next((ln for ln in header if ln.startswith("#L")), "")
    match = re.search(
        r"\br(?:\(r\))?\s*[(\[_/,]?\s*(nm|nanomet\w+|pm|picomet\w+|bohr)\b",
        heading or "".join(header[-1:]),
        re.I,
    )
    if match is None:
        return
    unit, r_way, g_way = {
        "n": ("nanometres", "multiply r by 10", "divide G by 100"),
        "p": ("picometres", "divide r by 100", "multiply G by 10000"),
        "b": ("bohr", "multiply r by 0.529177", "divide G by 0.280029"),
    }[match[1][0].lower()]
    raise CbldmError(
        f"r is in {unit} by its heading; expected angstrom: {r_way} and "
        f"{g_way}."
    )


def _find_heading(header: Sequence[str], count: int) -> _Heading | None:
    """The heading over the columns: the last #L line, or names alone."""
    for line in reversed(header):
        # PDFgetX2's header has a table of elements with an #L of its own.
        if re.match(r"#+\s*L\s", line) and "symbol" not in line:
            return _read_heading(re.sub(r"^#+\s*L\s", "", line))
    near = [line for line in header if line.strip("# ")][-6:]
    for line in reversed(near):
        if "=" in line or "://" in line:
            continue
        heading = _read_heading(line)
        kinds = heading.kinds
        # Prose may hold an r by chance, but not names alone.
        sure = None not in kinds or len(kinds) == count
        if len(kinds) > 1 and sure and ("r" in kinds or kinds[0] == "Q"):
            return heading
    return None


def _read_heading(line: str) -> _Heading:
    """Take a heading apart into names without units."""
    text = re.sub(r"\$|\\[A-Za-z]+|[{}\"'|]", " ", line.lstrip("#!% "))

    def bracket(match: re.Match[str]) -> str:
        # "(r)" and "(Q)" belong to the name, other brackets hold units.
        inside = match[1].strip().lower()
        return f"({inside})" if inside in ("r", "q") else " "

    text = re.sub(r"\s*[(\[]([^()\[\]]*)[)\]]", bracket, text)
    text = re.sub(r"\s*/\s*[^\s,;]+", " ", text)
    split = r"\s*[,;\t]\s*" if re.search("[,;\t]", text.strip()) else r"\s+"
    names = tuple(n for n in re.split(split, text.strip(" ,;\t")) if n)
    return _Heading(names, tuple(map(_kind, names)))


def _kind(name: str) -> str | None:
    """What the name of a column stands for, None for an unknown one."""
    base, _, inside = name.partition("(")
    base, of = base.strip(), inside.partition(")")[0]
    low = re.sub(r"[\s_.^-]", "", base).lower()
    for kind, pattern in (
        ("calculated", "calc|gcal|model|fit|simul|theor"),
        ("difference", "diff|resid"),
    ):
        if re.search(pattern, low):
            return kind
    if of:
        # The letter alone would be r, or its uncertainty.
        exact = {"R": "R(r)", "T": "T(r)", "D": "D(r)", "g": "g(r)"}
        if of == "r" and base in exact:
            return exact[base]
        if of == "q":
            return {"s": "S(Q)", "i": "I(Q)"}.get(low[:1], "F(Q)")
    if _UNCERTAINTY.fullmatch(low):
        return "dG"
    if _OBSERVED.fullmatch(low):
        return "observed"
    return next((kind for kind, known in _NAMES.items() if low in known), None)


def _places(
    heading: _Heading | None,
    count: int,
    header: Sequence[str],
    notes: list[str],
) -> tuple[int, int]:
    """The columns of r and G(r); 0 and 1 where no heading names them."""
    kinds = heading.kinds if heading else ()
    at_g = next(
        (kinds.index(k) for k in ("observed", "G") if k in kinds), None
    )
    # The header is that of the program's settings; a heading knows better.
    if at_g is None:
        _refuse_other_types(header)
    if heading is None:
        return 0, 1
    # PDFgui's .fgr: what is called G(r) beside a difference is calculated.
    if at_g is not None and kinds[at_g] == "G" and "difference" in kinds:
        _refuse("calculated", heading.names[at_g])
    if at_g is None:
        for kind, name in zip(kinds, heading.names, strict=True):
            if kind in _CONVERSIONS and kind != "Q":
                _refuse(kind, name)
        if kinds[0] == "Q":
            _refuse("Q", heading.names[0])
    at_r = kinds.index("r") if "r" in kinds else 0
    if at_g is None:
        at_g = 1 if at_r == 0 else 0
        if len(heading.names) > at_g:
            notes.append(
                f"The heading calls column {at_g + 1} "
                f"{heading.names[at_g]!r}: it was read as G(r)."
            )
    if max(at_r, at_g) >= count or at_r == at_g:
        raise CbldmError(
            f"the heading {' '.join(heading.names)!r} puts r in column "
            f"{at_r + 1} and G in column {at_g + 1}, the data have {count} "
            "columns; expected both: correct the heading."
        )
    if (at_r, at_g) != (0, 1):
        notes.append(
            f"By the heading, r was read from column {at_r + 1} and G from "
            f"column {at_g + 1}."
        )
    return at_r, at_g


def _refuse_other_types(header: Sequence[str]) -> None:
    """Raise `CbldmError` where a header has other output types than G(r)."""
    for match in filter(None, map(_TYPES.match, header)):
        names = [name for name in re.split(r"[^\w()]+", match[1]) if name]
        # G(r) is no g(r), but F(Q), S(Q) and I(Q) may be spelled anyhow.
        kinds = [
            _kind(name if name.startswith(("G", "g")) else name.lower())
            for name in names
        ]
        # All files of one run have the same list, that of G(r) as well.
        if names and all(kind in _CONVERSIONS for kind in kinds):
            _refuse(str(kinds[-1]), names[-1], "outputtype of the header")


def _refuse(kind: str, name: str, place: str = "heading") -> None:
    raise CbldmError(
        f"the {place} says that the data are {name!r}"
        + (f" ({kind})" if kind not in (name, "Q") else "")
        + f"; expected a measured G(r): {_CONVERSIONS[kind]}; if it is G(r) "
        f"after all, correct the {place}."
    )


def _place_of_dg(
    heading: _Heading | None, count: int, notes: list[str]
) -> int | None:
    """The column of dG, None where there is none; says what is ignored."""
    if heading is not None and len(heading.names) >= count > 2:
        kinds = heading.kinds[:count]
        used = ("r", "G", "observed", "dG", "dr")
        ignored = [
            name
            for name, kind in zip(heading.names, kinds, strict=False)
            if kind not in used
        ]
        if ignored:
            notes.append(f"Columns that were ignored: {', '.join(ignored)}.")
        return kinds.index("dG") if "dG" in kinds else None
    if count > 4:
        notes.append(
            f"The file has {count} columns: the first two were read as r "
            f"and G; columns 3 to {count} were ignored."
        )
    if count == 3:
        notes.append("The file has 3 columns: the third was read as dG.")
    return count - 1 if count in (3, 4) else None


def _checked_dg(
    r: np.ndarray, g: np.ndarray, dg: np.ndarray, notes: list[str]
) -> Columns:
    """r, G and dG; without dG where not all of it can be."""
    usable = np.isfinite(dg) & (dg > 0)
    if usable.all():
        return r, g, dg
    # A column of zeros is the usual sign of no uncertainty.
    if not np.any(dg):
        return r, g, None
    # G(0) is 0 exactly: that point tells nothing and can go.
    if usable[1:].all() and abs(r[0]) < 1e-6:
        notes.append("dG is not positive at r = 0: that point was left out.")
        return r[1:], g[1:], dg[1:]
    first = int(np.argmin(usable))
    notes.append(
        f"The column dG has values that are not positive ({np.sum(~usable)} "
        f"of {len(dg)}, the first at r = {r[first]:g} A): it was ignored, "
        "and all points count alike."
    )
    return r, g, None
