"""A crystal: its cell, its sites and what stands on them.

Crystals come from cif files and from structures of pymatgen, diffpy and ASE.
pymatgen reads the files and finds the symmetry.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from diffpy_cbldm.conversions import in_free_space
from diffpy_cbldm.errors import CbldmError
from diffpy_cbldm.formula import atom_symbol
from diffpy_cbldm.protocols import Stored

SAME_SITE = 0.05
"""Parts of atoms nearer to one another than this (A) share a site."""

NEAR = 6.0
"""Neighbours are looked for within this distance, A."""

MANY_ATOMS = 5
"""A cluster in a box has at least so many atoms."""

SYMMETRY = 0.01
"""Atoms this near (A) to where an operation brings them are equivalent."""


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Crystal(Stored):
    """The sites of a unit cell.

    Parameters
    ----------
    name : str
        What it is called in tables, such as "rutile".
    cell : (3, 3) array, angstrom
        Its edges as rows.
    sites : (n, 3) array
        In edges of the cell.
    elements : tuple of str
        The elements that occur, by alphabet.
    shares : (n, elements) array
        How much of an atom of each element a site holds: 1 for whole atoms,
        less in solid solutions; a sum below 1 leaves vacancies.
    source : str
        The file from which it was read, empty for others.
    """

    name: str
    cell: np.ndarray
    sites: np.ndarray
    elements: tuple[str, ...]
    shares: np.ndarray
    source: str = ""

    def __post_init__(self) -> None:
        # What was stored comes back as tuples.
        for name in ("cell", "sites", "shares"):
            value = np.asarray(getattr(self, name), float)
            object.__setattr__(self, name, value)

    def __repr__(self) -> str:
        return f"Crystal({self.name}, {self.formula})"

    @property
    def volume(self) -> float:
        """Of the cell, angstrom cubed."""
        return float(abs(np.linalg.det(self.cell)))

    @property
    def density(self) -> float:
        """Atoms in a cubic angstrom."""
        return float(self.shares.sum()) / self.volume

    @property
    def fractions(self) -> np.ndarray:
        """The share of each element among the atoms, (elements,)."""
        return self.shares.sum(0) / self.shares.sum()

    @property
    def ordered(self) -> bool:
        """Whether every site holds one whole atom."""
        return bool((self.shares.max(1) > 1 - 1e-3).all())

    @property
    def formula(self) -> str:
        """Its composition, in whole numbers where there are small ones."""
        from pymatgen.core import Composition

        amounts = self.shares.sum(0)
        for times in range(1, MANY_ATOMS):
            whole = times * amounts / amounts.min()
            if np.abs(whole - np.rint(whole)).max() < 0.02:
                counts = dict(zip(self.elements, np.rint(whole).tolist()))
                return str(Composition(counts).reduced_formula)
        parts = zip(self.elements, self.fractions)
        return "".join(f"{e}{x:.3g}" for e, x in parts)

    @property
    def edges(self) -> tuple[float, float, float]:
        """The lengths of the cell's edges, angstrom."""
        a, b, c = np.linalg.norm(self.cell, axis=1)
        return float(a), float(b), float(c)

    def scaled(self, factor: float) -> Crystal:
        """The same with all lengths times `factor`."""
        return dataclasses.replace(self, cell=self.cell * factor)

    def to_pymatgen(self) -> Any:
        """Return a ``pymatgen.core.Structure``."""
        from pymatgen.core import Lattice, Structure

        species = [
            {e: float(x) for e, x in zip(self.elements, row) if x > 0}
            for row in self.shares
        ]
        return Structure(Lattice(self.cell), species, self.sites)

    @functools.cached_property
    def symmetry(self) -> tuple[np.ndarray, np.ndarray]:
        """The point group and the classes of equivalent sites.

        Returns
        -------
        turns : (g, 3, 3) array
            Cartesian: x becomes turn @ x.
        classes : (n,) array of int
        """
        from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = SpacegroupAnalyzer(self.to_pymatgen(), symprec=SYMMETRY)
            group = found.get_point_group_operations(cartesian=True)
            data = found.get_symmetry_dataset()
        turns = np.array([one.rotation_matrix for one in group])
        return turns, np.asarray(data.equivalent_atoms)

    @functools.cached_property
    def bonds(self) -> np.ndarray:
        """The shortest distance of each pair of elements, angstrom.

        (elements, elements), infinite where none is below `NEAR`.
        """
        first, other, _, distance = self.to_pymatgen().get_neighbor_list(
            NEAR, exclude_self=True
        )
        shortest = np.full((len(self.elements),) * 2, np.inf)
        kind = self.shares.argmax(1)
        apart = distance > SAME_SITE
        pairs = (kind[first[apart]], kind[other[apart]])
        np.minimum.at(shortest, pairs, distance[apart])
        return shortest

    def ball(
        self, centre: np.ndarray, radius: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """The sites within a radius of a point.

        Parameters
        ----------
        centre : (3,) array, angstrom
        radius : float, angstrom

        Returns
        -------
        positions : (m, 3) array, angstrom
            From the centre; by distance from it.
        site : (m,) array of int
            Which site of the cell each is.
        """
        inverse = np.linalg.inv(self.cell)
        middle = centre @ inverse
        # How far the ball reaches along each edge, in cells.
        reach = radius * np.linalg.norm(inverse, axis=0)
        ways = [
            np.arange(np.floor(m - x) - 1, np.ceil(m + x) + 1)
            for m, x in zip(middle, reach)
        ]
        cells = np.stack(np.meshgrid(*ways, indexing="ij"), -1).reshape(-1, 3)
        found, which = [], []
        for k, site in enumerate(self.sites):
            x = (cells + site) @ self.cell - centre
            inside = (x**2).sum(1) <= radius**2
            found.append(x[inside])
            which.append(np.full(int(inside.sum()), k))
        positions, site = np.concatenate(found), np.concatenate(which)
        # Rounded, so that equal distances keep the order of their sites.
        far = np.round(np.linalg.norm(positions, axis=1), 6)
        order = np.argsort(far, kind="stable")
        return positions[order], site[order]


def crystal_of(given: Any, name: str = "") -> Crystal:
    """Return a crystal as it is, or made of what other libraries hold.

    Parameters
    ----------
    given : Crystal, path of a cif file, or structure
        Structures of pymatgen (``Structure``), diffpy or ASE (``Atoms``).
        Parts of atoms on a site make a solid solution.
    name : str
        Default: the file's name, or the formula.

    Raises
    ------
    CbldmError
        It is none of these, or a cluster in a box.
    """
    if isinstance(given, Crystal):
        return given
    if isinstance(given, str | os.PathLike):
        path = Path(given)
        read = _of_pymatgen(_from_file(path), name or path.stem)
        return dataclasses.replace(read, source=os.fspath(given))
    library = type(given).__module__.split(".")[0]
    # Classes derived elsewhere keep the library of their base.
    libraries = {c.__module__.split(".")[0] for c in type(given).__mro__}
    if "pymatgen" in libraries and hasattr(given, "lattice"):
        return _of_pymatgen(given, name)
    if "diffpy" in libraries and hasattr(given, "lattice"):
        return _of_pymatgen(_from_diffpy(given), name)
    if "ase" in libraries and hasattr(given, "get_positions"):
        from pymatgen.io.ase import AseAtomsAdaptor

        if not np.all(given.pbc) or given.cell.rank < 3:
            raise CbldmError(
                "the Atoms are not periodic in three directions; expected a "
                "crystal: set pbc=True and the cell."
            )
        return _of_pymatgen(AseAtomsAdaptor.get_structure(given), name)
    raise CbldmError(
        f"the crystal is of the type {type(given).__name__} ({library}); "
        "expected the path of a cif file, or a structure of pymatgen, diffpy "
        "or ASE."
    )


def each_crystal(given: Any) -> tuple[Any, ...]:
    """What stands for crystals as a tuple, one alone as well.

    Parameters
    ----------
    given : crystal, or sequence of crystals
        Each as `crystal_of` takes it.
    """
    # Structures are sequences of atoms, and names of letters.
    if isinstance(given, str | os.PathLike | Crystal):
        return (given,)
    if hasattr(given, "lattice") or hasattr(given, "get_positions"):
        return (given,)
    try:
        return tuple(given)
    except TypeError:  # what it is says `crystal_of`
        return (given,)


def _from_file(path: Path) -> Any:
    """The structure in a cif file, with all atoms of the cell."""
    from pymatgen.core import Structure

    if not path.is_file():
        raise CbldmError(
            f"{path}: there is no such file; expected the cif file of a "
            "crystal: check the name."
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return Structure.from_file(str(path))
    except Exception as error:  # the readers of pymatgen raise what occurs
        raise CbldmError(
            f"{path}: not a crystal that pymatgen can read "
            f"({type(error).__name__}: {error}): write it as cif again."
        ) from None


def _from_diffpy(structure: Any) -> Any:
    """A structure of pymatgen from one of diffpy; shared sites are joined."""
    from pymatgen.core import Lattice, Structure

    cell = np.array(structure.lattice.base, float)
    places: list[np.ndarray] = []
    species: list[dict[str, float]] = []
    for atom in structure:
        place = np.array(atom.xyz, float)
        apart = (np.array(places).reshape(-1, 3) - place + 0.5) % 1.0 - 0.5
        shared = np.flatnonzero(
            np.linalg.norm(apart @ cell, axis=1) < SAME_SITE
        )
        if not len(shared):
            places.append(place)
            species.append({})
        here = species[shared[0] if len(shared) else -1]
        symbol = atom_symbol(str(atom.element)) or str(atom.element)
        here[symbol] = here.get(symbol, 0.0) + float(atom.occupancy)
    return Structure(Lattice(cell), species, places)


def _boxed(positions: np.ndarray, cell: np.ndarray) -> bool:
    """Whether many atoms have empty space around them: a cluster."""
    # A large cell of few atoms can be that of a simple crystal.
    if len(positions) < MANY_ATOMS:
        return False
    try:
        in_free_space(positions, cell)
    except CbldmError:
        return False
    return True


def _of_pymatgen(structure: Any, name: str) -> Crystal:
    """The crystal of a structure of pymatgen."""
    if not len(structure):
        raise CbldmError(
            f"the crystal {name or type(structure).__name__} has no atoms; "
            "expected at least one in its cell: check what it is made of."
        )
    cell = np.array(structure.lattice.matrix, float)
    sites = np.array(structure.frac_coords, float).reshape(-1, 3)
    if _boxed(sites @ cell, cell):
        raise CbldmError(
            f"{name or structure.composition.reduced_formula}: the atoms "
            "stand in a box with empty space around; expected a crystal: "
            "clusters are refined as they are (diffpy_cbldm.refine)."
        )
    held = [
        {str(s.symbol): float(x) for s, x in site.species.items()}
        for site in structure
    ]
    elements = tuple(sorted({e for one in held for e in one}))
    shares = np.array([[one.get(e, 0.0) for e in elements] for one in held])
    return Crystal(
        name=name or str(structure.composition.reduced_formula),
        cell=cell,
        sites=sites % 1.0,
        elements=elements,
        shares=shares,
    )
