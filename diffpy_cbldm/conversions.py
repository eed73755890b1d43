"""Elements and positions to and from diffpy, ASE and pymatgen.

The three libraries are imported by the functions that need them; importing
this module needs numpy alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from diffpy_cbldm.errors import CbldmError

Atoms = tuple[tuple[str, ...], np.ndarray]
"""Elements and (n, 3) Cartesian positions in angstrom."""

VACUUM = 10.0
"""Space (A) between a cluster and the faces of the cell it is boxed in."""

LAYERS = 4.0
"""Layers of one cluster lie closer than this (A) along any direction."""


def to_diffpy(
    elements: Sequence[str], positions: np.ndarray, boxed: bool, title: str
) -> Any:
    """Return a ``diffpy.structure.Structure``; see `Cluster.to_diffpy`."""
    from diffpy.structure import Atom, Lattice, Structure

    sites, size = positions, np.ones(3)
    if boxed:
        size, sites = _box(positions)
    atoms = [
        Atom(s, xyz=x / size) for s, x in zip(elements, sites, strict=True)
    ]
    lattice = Lattice(*size, 90, 90, 90)
    return Structure(atoms, lattice=lattice, title=title)


def to_ase(elements: Sequence[str], positions: np.ndarray) -> Any:
    """Return an ``ase.Atoms`` without cell, pbc False."""
    import ase

    return ase.Atoms(list(elements), positions, pbc=False)


def to_pymatgen(
    elements: Sequence[str], positions: np.ndarray, boxed: bool
) -> Any:
    """Return a ``Molecule`` or ``Structure``; see `Cluster.to_pymatgen`."""
    from pymatgen.core import Lattice, Molecule, Structure

    if not boxed:
        # The check refuses an odd number of electrons.
        return Molecule(list(elements), positions, charge_spin_check=False)
    size, sites = _box(positions)
    return Structure(
        Lattice.orthorhombic(*size),
        list(elements),
        sites,
        coords_are_cartesian=True,
    )


def _box(positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Edges of the cell around a cluster, and the positions in it."""
    low = positions.min(axis=0) - VACUUM
    size = np.ptp(positions, axis=0) + 2 * VACUUM
    return size, positions - low


def from_diffpy(structure: Any) -> Atoms:
    """Return the atoms of a ``diffpy.structure.Structure``."""
    elements = tuple(_symbol(atom.element) for atom in structure)
    positions = np.array(structure.xyz_cartn).reshape(-1, 3)
    cell = np.array(structure.lattice.base)
    # An xyz file is read into the unit lattice, which is no cell.
    if not np.allclose(cell, np.eye(3)):
        positions = _joined(positions, cell)
    return elements, positions


def _symbol(element: str) -> str:
    """Return the symbol of an ion, such as Pt for Pt4+."""
    return element.strip("0123456789+-")


def from_ase(atoms: Any) -> Atoms:
    """Return the atoms of an ``ase.Atoms``, joined across its cell."""
    positions = atoms.get_positions()
    if atoms.pbc.any() and atoms.cell.rank == 3:
        positions = _joined(positions, atoms.cell.array, atoms.pbc)
    return tuple(atoms.get_chemical_symbols()), positions


def from_pymatgen(structure: Any) -> Atoms:
    """Return the atoms of a ``Molecule`` or a boxed ``Structure``.

    Raises
    ------
    CbldmError
        Its sites hold several elements each.
    """
    if not structure.is_ordered:
        raise CbldmError(
            "the pymatgen structure is disordered; expected one element "
            "on each site: order it first."
        )
    elements = tuple(getattr(s.specie, "symbol", "?") for s in structure)
    positions = np.array(structure.cart_coords)
    if hasattr(structure, "lattice"):
        positions = _joined(positions, structure.lattice.matrix)
    return elements, positions


def _joined(
    positions: np.ndarray, cell: np.ndarray, pbc: Sequence[bool] = (True,) * 3
) -> np.ndarray:
    """Move atoms by whole cell edges to where the widest gap is outside.

    A boxed cluster that stands across a face of its cell appears in pieces;
    along each edge the widest empty interval is the vacuum around it.  What
    is not that close to its own image is left as it is.
    """
    fractional = positions @ np.linalg.inv(cell)
    for axis in np.flatnonzero(pbc):
        inside = fractional[:, axis] % 1.0
        ordered = np.sort(inside)
        gaps = np.diff(ordered, append=ordered[0] + 1.0)
        widest = int(np.argmax(gaps))
        across = gaps[-1] * np.linalg.norm(cell[axis])
        if widest < len(gaps) - 1 and across < LAYERS:
            inside = np.where(inside > ordered[widest], inside - 1.0, inside)
            fractional[:, axis] = inside
    return fractional @ cell


_LIBRARIES: dict[str, tuple[Callable[[Any], Atoms], str]] = {
    "ase": (from_ase, "get_positions"),
    "diffpy": (from_diffpy, "lattice"),
    "pymatgen": (from_pymatgen, "cart_coords"),
}
"""How the structures of a library are read, and an attribute by which they
are told from that library's other objects."""


def reader(given: Any) -> Callable[[Any], Atoms] | None:
    """Return the function that reads an object, None where there is none."""
    # By the names of its classes' modules, so that no library is imported.
    for kind in type(given).__mro__:
        library = kind.__module__.split(".")[0]
        if library in _LIBRARIES:
            read, attribute = _LIBRARIES[library]
            return read if hasattr(given, attribute) else None
    return None
