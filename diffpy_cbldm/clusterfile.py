"""Clusters read from xyz, extended xyz and cif files."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import numpy as np

from diffpy_cbldm.ciffile import read_cif
from diffpy_cbldm.cluster import Cluster
from diffpy_cbldm.conversions import check_whole, in_free_space
from diffpy_cbldm.errors import CbldmError
from diffpy_cbldm.formula import atom_symbol
from diffpy_cbldm.grfile import decode

PLAIN = {"species": 0, "pos": 1}
"""Columns of an xyz file that declares none."""


def read_cluster(path: str | os.PathLike[str]) -> Cluster:
    """Read a cluster from an xyz file, or from a cif file with a boxed one.

    Parameters
    ----------
    path : path
        With the extension ``.cif``, or an xyz file; ``-`` is an xyz file on
        standard input.

    Raises
    ------
    CbldmError
        Where the file is missing or is something else, holds several
        structures or parts of atoms, or its cell has no empty space around
        the atoms.
    """
    if Path(path).suffix.lower() != ".cif":
        return read_xyz(path)
    symbols, positions = read_cif(path)
    try:
        return Cluster(symbols, positions)
    except CbldmError as error:
        raise CbldmError(f"{path}: {error}") from None


def read_xyz(path: str | os.PathLike[str]) -> Cluster:
    """Read a cluster from an xyz file with one frame; "-" is stdin.

    Element, x, y and z stand in the first four columns, or where
    ``Properties=`` of an extended xyz file says.  Its ``Lattice=`` counts as
    a cell.  Lines after the atoms are left out of account.

    Raises
    ------
    CbldmError
        Where the file is missing or is not such an xyz file; the line is
        named.
    """
    try:
        if path == "-":
            path = "standard input"
            stream = getattr(sys.stdin, "buffer", sys.stdin)
            text = decode(stream.read())
        else:
            text = decode(Path(path).read_bytes())
    except OSError as error:
        raise CbldmError(
            f"{path}: cannot be read ({error.strerror}); expected an xyz "
            "file: check the name."
        ) from None
    try:
        return _parse(text)
    except CbldmError as error:
        raise CbldmError(f"{path}: {error}") from None


def _parse(text: str) -> Cluster:
    """The cluster in the text of an xyz file."""
    lines = text.splitlines()
    count = lines[0].strip() if lines else ""
    if not count.isdecimal():
        raise CbldmError(
            f"not an xyz file: line 1 is {count[:40]!r}; expected the number "
            "of atoms, a comment, then lines with element, x, y, z: write it "
            "again in that form."
        )
    said = _declared(lines[1] if len(lines) > 1 else "")
    places = _places(said.get("properties"))
    filled = [(k, ln) for k, ln in enumerate(lines, 1) if k > 2 and ln.strip()]
    rows, rest = filled[: int(count)], filled[int(count) :]
    elements, positions = [], []
    for k, line in rows:
        symbol, position = _atom(line, places, k)
        elements.append(symbol)
        positions.append(position)
    if len(rows) < int(count) or (rest and _is_atom(rest[0][1], places)):
        more = sum(_is_atom(line, places) for _, line in rest)
        raise CbldmError(
            f"{len(rows) + more} atoms found, {count} announced in the first "
            "line: correct it."
        )
    _refuse_frames(rest, places)
    return Cluster(tuple(elements), _free(np.array(positions), said))


def _declared(comment: str) -> dict[str, str]:
    """What the second line of an extended xyz file declares."""
    pairs = re.findall(r"(\w+)\s*=\s*(\"[^\"]*\"|'[^']*'|\S+)", comment)
    return {key.lower(): value.strip("\"'") for key, value in pairs}


def _places(properties: str | None) -> dict[str, int]:
    """First columns of what ``Properties=`` declares."""
    if properties is None:
        return PLAIN
    parts = properties.split(":")
    places: dict[str, int] = {}
    column = 0
    for name, width in zip(parts[::3], parts[2::3], strict=False):
        places[name.lower()] = column
        column += int(width) if width.isdecimal() else 1
    for other in ("element", "symbol", "symbols"):
        if other in places:
            places.setdefault("species", places[other])
    if not {"species", "pos"} <= places.keys():
        raise CbldmError(
            f"Properties={properties!r} declares no species or no pos; "
            "expected both, as in Properties=species:S:1:pos:R:3: correct "
            "the second line."
        )
    return places


def _is_atom(line: str, places: dict[str, int]) -> bool:
    try:
        _atom(line, places, 0)
    except CbldmError:
        return False
    return True


def _atom(
    line: str, places: dict[str, int], number: int
) -> tuple[str, list[float]]:
    """Symbol and position in a line; an error names its number."""
    words = line.split()
    first = places["pos"]
    try:
        label = words[places["species"]]
        # Fortran writes exponents with a D.
        position = [
            float(re.sub("[dD]", "e", word))
            for word in words[first : first + 3]
        ]
        if len(position) < 3:
            raise ValueError
        share = words[places["occupancy"]] if "occupancy" in places else "1"
        occupancy = float(share)
    except (IndexError, ValueError):
        raise CbldmError(
            f"not an xyz file: line {number}, {line.strip()[:40]!r}, is no "
            "atom; expected an element and x, y, z in angstrom: correct it."
        ) from None
    symbol = atom_symbol(label)
    if symbol is None:
        raise CbldmError(
            f"unknown element {label!r} in line {number}; expected a symbol "
            "such as 'Pt': correct it."
        )
    check_whole(number - 3, {symbol: occupancy})
    return symbol, position


def _refuse_frames(
    rest: list[tuple[int, str]], places: dict[str, int]
) -> None:
    """Raise `CbldmError` where another frame follows."""
    for i, (number, line) in enumerate(rest):
        if not line.strip().isdecimal() or int(line) == 0:
            continue
        # The comment between may be empty.
        if any(_is_atom(after, places) for _, after in rest[i + 1 : i + 3]):
            raise CbldmError(
                f"line {number} begins another frame; expected one structure "
                "in a file, one frame only: keep one of them."
            )


def _free(positions: np.ndarray, said: dict[str, str]) -> np.ndarray:
    """Positions out of the cell that ``Lattice=`` gives, if any."""
    if "lattice" not in said:
        return positions
    try:
        cell = np.array(said["lattice"].split(), dtype=float).reshape(3, 3)
    except ValueError:
        raise CbldmError(
            f"Lattice={said['lattice'][:60]!r}; expected nine numbers, the "
            "three edges of the cell in angstrom: correct the second line."
        ) from None
    flags = re.findall(r"[TtFf01]\w*", said.get("pbc", "T T T"))
    pbc = [flag[0] in "Tt1" for flag in flags]
    if len(pbc) != 3 or not np.linalg.matrix_rank(cell) == 3:
        return positions
    return in_free_space(positions, cell, pbc)
