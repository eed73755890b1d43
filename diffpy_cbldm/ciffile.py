"""The atoms of a cif file, as the file gives them.

ASE takes the file apart; which block, which symmetry operations and which
atoms are meant is decided here, so that nothing is taken silently.
"""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from diffpy_cbldm.conversions import Atoms, check_whole, in_free_space
from diffpy_cbldm.errors import CbldmError
from diffpy_cbldm.formula import atom_symbol

SAME_SITE = 1e-3
"""Images of an atom closer than this (A) are one."""

_OPERATIONS = (
    "_space_group_symop_operation_xyz",
    "_space_group_symop.operation_xyz",
    "_symmetry_equiv_pos_as_xyz",
)


_GROUPS = (
    "_space_group_it_number",
    "_symmetry_int_tables_number",
    "_space_group_name_h-m_alt",
    "_symmetry_space_group_name_h-m",
)

_P1 = ("1", "P1", "p1", "?", ".")
"""What names the space group without symmetry, or none."""


def read_cif(path: str | os.PathLike[str]) -> Atoms:
    """Return symbols and positions (n, 3) of the cluster in a cif file.

    Parameters
    ----------
    path : path
        Coordinates are fractional in a cell with empty space around the
        atoms, or Cartesian without a cell, as ASE writes a free cluster.

    Raises
    ------
    CbldmError
        The file is missing or no cif file, holds several blocks with atoms,
        parts of atoms or a crystal.  The text begins with the path.
    """
    from ase.io.cif import parse_cif

    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise CbldmError(
            f"{path}: cannot be read ({error.strerror}); expected a cif "
            "file: check the name."
        ) from None
    try:
        blocks = [
            block for block in parse_cif(io.BytesIO(data)) if _has_atoms(block)
        ]
        if len(blocks) > 1:
            raise CbldmError(
                f"{len(blocks)} blocks hold atoms ("
                f"{', '.join(block.name for block in blocks)}); expected one "
                "structure in a file: keep one of them."
            )
        if not blocks:
            raise ValueError("no atoms")
        return _cluster(blocks[0])
    except CbldmError as error:
        raise CbldmError(f"{path}: {error}") from None
    except Exception as error:  # the reader of ASE raises whatever occurs
        raise CbldmError(
            f"{path}: not a cif file that ASE can read "
            f"({type(error).__name__}: {error}): write it again."
        ) from None


def _has_atoms(block: Mapping[str, Any]) -> bool:
    return any(f"_atom_site_{x}_x" in block for x in ("fract", "cartn"))


def _cluster(block: Any) -> Atoms:
    """The atoms of a block in free space."""
    symbols = _symbols(block)
    cell = block.get_cell()
    if "_atom_site_fract_x" not in block:
        positions = _coordinates(block, "cartn")
        if cell.rank < 3:
            return symbols, positions
        return symbols, in_free_space(positions, cell.array)
    if cell.rank < 3:
        raise CbldmError(
            "fractional coordinates without a cell; expected _cell_length_a "
            "and so on, or Cartesian coordinates (_atom_site_Cartn_x): "
            "write it again."
        )
    sites = _coordinates(block, "fract")
    symbols, sites = _with_images(block, symbols, sites, cell.array)
    return symbols, in_free_space(sites @ cell.array, cell.array)


def _symbols(block: Mapping[str, Any]) -> tuple[str, ...]:
    """The element of each site, by its type or else by its label."""
    labels = block.get("_atom_site_type_symbol") or block.get(
        "_atom_site_label"
    )
    if labels is None:
        raise CbldmError(
            "the sites have neither _atom_site_type_symbol nor "
            "_atom_site_label; expected elements: add them."
        )
    symbols = []
    for k, label in enumerate(labels):
        symbol = atom_symbol(str(label))
        if symbol is None:
            raise CbldmError(
                f"unknown element {str(label)!r} of site {k}; expected a "
                "symbol such as 'Pt': correct it."
            )
        symbols.append(symbol)
    for k, share in enumerate(block.get("_atom_site_occupancy") or ()):
        if isinstance(share, (int, float)):  # "?" and "." say nothing
            check_whole(k, {symbols[k]: float(share)})
    return tuple(symbols)


def _coordinates(block: Mapping[str, Any], kind: str) -> np.ndarray:
    columns = [block[f"_atom_site_{kind}_{axis}"] for axis in "xyz"]
    for k, row in enumerate(zip(*columns, strict=True)):
        if not all(isinstance(x, (int, float)) for x in row):
            raise CbldmError(
                f"site {k} is at {', '.join(map(str, row))}; expected "
                "numbers: remove sites without coordinates."
            )
    return np.array(columns, dtype=float).T


def _with_images(
    block: Any, symbols: tuple[str, ...], sites: np.ndarray, cell: np.ndarray
) -> Atoms:
    """All atoms of the cell, in fractional coordinates."""
    from ase.spacegroup.spacegroup import parse_sitesym

    given = next((block[t] for t in _OPERATIONS if t in block), None)
    if given:
        # They suffice, whatever the name of the space group is.
        listed = [given] if isinstance(given, str) else list(given)
        rotations, shifts = parse_sitesym(listed)
    elif all(str(block.get(t, 1)).replace(" ", "") in _P1 for t in _GROUPS):
        return symbols, sites
    else:
        rotations, shifts = block.get_spacegroup(True).get_op()
    if len(rotations) == 1:
        return symbols, sites  # not wrapped: a cell of 1 A is none
    all_symbols: list[str] = []
    images: list[np.ndarray] = []
    for symbol, site in zip(symbols, sites, strict=True):
        own: list[np.ndarray] = []
        for image in (rotations @ site + shifts) % 1.0:
            apart = [(image - x + 0.5) % 1.0 - 0.5 for x in own]
            if all(np.linalg.norm(d @ cell) > SAME_SITE for d in apart):
                own.append(image)
        all_symbols += [symbol] * len(own)
        images += own
    return tuple(all_symbols), np.array(images)
