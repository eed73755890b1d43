"""Elements and positions to and from diffpy, ASE and pymatgen.

The three libraries are imported by the functions that need them; importing
this module needs numpy alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from diffpy_cbldm.errors import CbldmError
from diffpy_cbldm.formula import atom_symbol, element_and_mass

Atoms = tuple[tuple[str, ...], np.ndarray]
"""Elements and (n, 3) Cartesian positions in angstrom."""

REACH = 6.0
"""How far (A) a peak of G(r) reaches, by its width and its ripples."""

UISO = "U_iso_or_equiv"
"""The site property of pymatgen with Uiso (A^2), as cif files call it."""

ISOTOPE = "isotope"
"""The site property of pymatgen under which symbols such as D are kept."""

LAYERS = 4.0
"""Layers of one cluster lie closer than this (A) along any direction."""


def to_diffpy(
    elements: Sequence[str],
    positions: np.ndarray,
    uiso: Mapping[str, float],
    rmax: float | None,
    title: str,
) -> Any:
    """Return a ``diffpy.structure.Structure``; see `Cluster.to_diffpy`.

    In a box for G(r) up to `rmax`, or without one where that is None; with
    Uiso (A^2) by element, 0 for those that are not in `uiso`.
    """
    from diffpy.structure import Atom, Lattice, Structure

    edge, sites = (1.0, positions) if rmax is None else box(positions, rmax)
    atoms = [
        Atom(s, xyz=x / edge, Uisoequiv=uiso.get(s, 0.0))
        for s, x in zip(elements, sites, strict=True)
    ]
    lattice = Lattice(edge, edge, edge, 90, 90, 90)
    return Structure(atoms, lattice=lattice, title=title)


def to_ase(elements: Sequence[str], positions: np.ndarray) -> Any:
    """Return an ``ase.Atoms`` without cell, pbc False."""
    import ase

    parts = [element_and_mass(symbol) for symbol in elements]
    atoms = ase.Atoms([symbol for symbol, _ in parts], positions, pbc=False)
    if any(mass for _, mass in parts):
        # None leaves an atom at the mean mass of its element.
        atoms.set_masses([mass or None for _, mass in parts])
    return atoms


def to_pymatgen(
    elements: Sequence[str],
    positions: np.ndarray,
    uiso: Mapping[str, float],
    rmax: float | None,
) -> Any:
    """Return a ``Molecule`` or ``Structure``; see `Cluster.to_pymatgen`.

    In a box for G(r) up to `rmax`, or without one where that is None.
    """
    try:
        from pymatgen.core import Lattice, Molecule, Structure
    except ImportError as error:
        raise CbldmError(
            f"structures of pymatgen and cif files need pymatgen, which does "
            f"not load ({error}); expected all dependencies: pip install "
            f"pymatgen, or write xyz."
        ) from error

    symbols = [element_and_mass(symbol)[0] for symbol in elements]
    properties: dict[str, list[Any]] = {}
    # pymatgen knows no isotopes but those of hydrogen.
    if any(s != e for s, e in zip(symbols, elements, strict=True)):
        properties[ISOTOPE] = list(elements)
    if uiso:
        properties[UISO] = [uiso.get(e, 0.0) for e in elements]
    if rmax is None:
        # The check refuses an odd number of electrons.
        return Molecule(
            symbols,
            positions,
            charge_spin_check=False,
            site_properties=properties or None,
        )
    edge, sites = box(positions, rmax)
    return Structure(
        Lattice.cubic(edge),
        symbols,
        sites,
        coords_are_cartesian=True,
        site_properties=properties or None,
    )


def cif_text(structure: Any) -> str:
    """Return a boxed pymatgen ``Structure`` as a P1 cif file, with Uiso."""
    from pymatgen.io.cif import CifWriter

    # The writer takes every property for a number.
    others = set(structure.site_properties) - {UISO}
    for name in others:
        structure.remove_site_property(name)
    return str(CifWriter(structure, write_site_properties=True))


def box(positions: np.ndarray, rmax: float) -> tuple[float, np.ndarray]:
    """Put a cluster in a cubic cell whose images no G(r) up to `rmax` meets.

    Programs for crystals repeat the cell, and take the mean density of its
    atoms off: the edge is the diameter, `rmax` and `REACH`.

    Parameters
    ----------
    positions : (n, 3) array, angstrom
    rmax : float, angstrom
        The end of the range of r.

    Returns
    -------
    edge : float, angstrom
        Rounded up to 0.1.
    positions : (n, 3) array, angstrom
        Around the middle of the cell.
    """
    middle = 0.5 * (positions.min(axis=0) + positions.max(axis=0))
    away = positions - middle
    # No two atoms are farther apart than this.
    diameter = 2 * float(np.linalg.norm(away, axis=1).max())
    edge = float(np.ceil(10 * (diameter + rmax + REACH)) / 10)
    return edge, away + 0.5 * edge


def from_diffpy(structure: Any) -> Atoms:
    """Return the atoms of a ``diffpy.structure.Structure``."""
    for k, atom in enumerate(structure):
        check_whole(k, {str(atom.element): atom.occupancy})
    elements = tuple(atom.element for atom in structure)
    positions = np.array(structure.xyz_cartn).reshape(-1, 3)
    return elements, in_free_space(positions, structure.lattice.base)


def from_ase(atoms: Any) -> Atoms:
    """Return the atoms of an ``ase.Atoms``, joined across its cell."""
    # The reader of cif files puts fractions of atoms there.
    for k, sites in enumerate((atoms.info.get("occupancy") or {}).values()):
        check_whole(k, sites)
    elements = atoms.get_chemical_symbols()
    if atoms.has("masses"):
        masses = atoms.get_masses()
        elements = map(_isotope, elements, masses)
    positions = atoms.get_positions()
    cell = atoms.cell.complete().array
    return tuple(elements), in_free_space(positions, cell, atoms.pbc)


def _isotope(element: str, mass: float) -> str:
    """The symbol of an isotope by its mass in u, or the element's own."""
    from ase.data import atomic_masses, atomic_numbers

    number = round(mass)
    usual = abs(mass - atomic_masses[atomic_numbers[element]]) < 0.5
    if usual or abs(mass - number) > 0.1:
        return element
    return atom_symbol(f"{number}-{element}") or element


def from_pymatgen(structure: Any) -> Atoms:
    """Return the atoms of a ``Molecule`` or a boxed ``Structure``.

    Raises
    ------
    CbldmError
        Its sites hold several elements each, or parts of an atom.
    """
    elements = []
    for k, site in enumerate(structure):
        if not site.is_ordered:
            check_whole(k, {str(s): n for s, n in site.species.items()})
        symbol = getattr(site.specie, "symbol", "?")
        elements.append(str(site.properties.get(ISOTOPE) or symbol))
    positions = np.array(structure.cart_coords)
    if hasattr(structure, "lattice"):
        positions = in_free_space(positions, structure.lattice.matrix)
    return tuple(elements), positions


def check_whole(place: int, occupancies: Mapping[str, float]) -> None:
    """Raise `CbldmError` where a site holds parts of atoms.

    Parameters
    ----------
    place : int
        Of the site, from 0.
    occupancies : dict
        What it holds.
    """
    if len(occupancies) == 1 and abs(sum(occupancies.values()) - 1) < 1e-3:
        return
    what = ", ".join(f"{name} {n:g}" for name, n in occupancies.items())
    raise CbldmError(
        f"site {place} is disordered or partly occupied ({what}); expected "
        "one whole atom on each site: order the structure first."
    )


def in_free_space(
    positions: np.ndarray, cell: np.ndarray, pbc: Sequence[bool] = (True,) * 3
) -> np.ndarray:
    """Take a cluster out of a periodic cell, put together again.

    Parameters
    ----------
    positions : (n, 3) array, angstrom
    cell : (3, 3) array, angstrom
        The edges; the unit matrix stands for no cell.
    pbc : three bool
        Along which edges the cell repeats; default all.

    Raises
    ------
    CbldmError
        The cell has no empty space around the atoms: it is a crystal.
    """
    cell = np.asarray(cell, dtype=float)
    if not np.any(pbc) or len(positions) == 0:
        return positions
    if np.allclose(cell, np.eye(3)):
        # diffpy reads an xyz file into the unit lattice, which is no cell.
        if len(positions) > 4 and np.ptp(positions, axis=0).max() <= 1.0:
            raise CbldmError(
                "all atoms lie within a cell of 1 A, as diffpy.structure "
                "writes a cluster without a cell, but wrapped into it; "
                "expected Cartesian coordinates: write it as xyz."
            )
        return positions
    positions = _joined(positions, cell, pbc)
    normals = np.linalg.inv(cell)
    extent = np.ptp(positions @ normals, axis=0)
    empty = (1 - extent) / np.linalg.norm(normals, axis=0)
    gap = float(empty[np.flatnonzero(pbc)].min())
    if gap < LAYERS:
        raise CbldmError(
            f"{gap:.2f} A of empty space between the cluster and its "
            f"images; expected {LAYERS:g} A or more: a crystal has to be cut "
            "into a cluster first."
        )
    return positions


def _joined(
    positions: np.ndarray, cell: np.ndarray, pbc: Sequence[bool]
) -> np.ndarray:
    """Move atoms by whole cell edges to where the widest gap is outside.

    A boxed cluster that stands across a face of its cell appears in pieces;
    along each edge the widest empty interval is the vacuum around it.  What
    neither leaves half of the edge empty nor lies close to its own image is
    left as it is.
    """
    normals = np.linalg.inv(cell)
    fractional = positions @ normals
    for axis in np.flatnonzero(pbc):
        inside = fractional[:, axis] % 1.0
        ordered = np.sort(inside)
        gaps = np.diff(ordered, append=ordered[0] + 1.0)
        widest = int(np.argmax(gaps))
        across = gaps[-1] / np.linalg.norm(normals[:, axis])
        near = gaps[widest] > 0.5 or across < LAYERS
        if widest < len(gaps) - 1 and near:
            inside = np.where(inside > ordered[widest], inside - 1.0, inside)
            fractional[:, axis] = inside
        elif gaps[widest] > 0.5:
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
