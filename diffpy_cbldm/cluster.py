"""A finite cluster of atoms and its forms in diffpy, ASE and pymatgen.

The three libraries are imported by the methods that need them; importing
this module needs numpy alone.
"""

from __future__ import annotations

import collections
import dataclasses
import os
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from diffpy_cbldm.errors import CbldmError
from diffpy_cbldm.files import write_atomic
from diffpy_cbldm.formula import ELEMENTS
from diffpy_cbldm.settings import Refinement

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
from collections.abc import Mapping, Sequence

COINCIDENT = 1e-3
"""Atoms closer than this (A) are one atom written twice."""

MARGIN = 10.0
"""Space (A) between a cluster and the faces of the cell it is boxed in."""


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Cluster:
    """Atoms in free space; checked and read-only.

    Parameters
    ----------
    elements : str or sequence of str
        One symbol for all atoms, or one for each.
    positions : (n, 3) array, angstrom
        Cartesian coordinates.

    Raises
    ------
    CbldmError
        Where a symbol is not an element, the shapes do not match, a
        coordinate is not finite or two atoms coincide.
    """

    elements: tuple[str, ...]
    positions: np.ndarray

    def __post_init__(self) -> None:
        positions = _positions(self.positions)
        given: Any = self.elements
        if isinstance(given, str):
            given = [given] * len(positions)
        elements = tuple(map(str, given))
        for symbol in dict.fromkeys(elements):
            if symbol not in ELEMENTS:
                raise CbldmError(
                    f"unknown element {symbol!r}; expected a symbol such as "
                    "'Pt': correct the elements."
                )
        if len(elements) != len(positions):
            raise CbldmError(
                f"{len(elements)} elements for {len(positions)} positions; "
                "expected one for each: pass one symbol or equal lengths."
            )
        object.__setattr__(self, "elements", elements)
        object.__setattr__(self, "positions", positions)

    def __len__(self) -> int:
        return len(self.elements)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.composition})"

    @property
    def n_atoms(self) -> int:
        """The number of atoms."""
        return len(self.elements)

    @property
    def composition(self) -> str:
        """The formula, such as ``Au144``; several elements by alphabet."""
        count = sorted(collections.Counter(self.elements).items())
        return "".join(f"{s}{n if n > 1 else ''}" for s, n in count)

    def centered(self) -> Self:
        """Return the cluster with the mean of its positions at 0."""
        moved = self.positions - self.positions.mean(axis=0)
        return dataclasses.replace(self, positions=moved)

    def scaled(self, factor: float) -> Self:
        """Return the cluster with all coordinates times `factor`."""
        if not (np.isfinite(factor) and factor > 0):
            raise CbldmError(
                f"the scale factor is {factor}; expected a positive number: "
                "1 leaves the cluster as it is."
            )
        return dataclasses.replace(self, positions=self.positions * factor)

    def to_diffpy(self, boxed: bool = False) -> Any:
        """Return a ``diffpy.structure.Structure``.

        Parameters
        ----------
        boxed : bool
            Put the cluster in the middle of an orthogonal cell, `MARGIN`
            away from each face.  Default: as read from an xyz file, with
            a = b = c = 1, in which fractional and Cartesian coordinates are
            the same, and Uiso 0: what SrFit's ``zoomscale`` idiom expects.
        """
        from diffpy.structure import Atom, Lattice, Structure

        sites, size = self.positions, np.ones(3)
        if boxed:
            size, sites = self._box()
        atoms = [
            Atom(s, xyz=x / size)
            for s, x in zip(self.elements, sites, strict=True)
        ]
        lattice = Lattice(*size, 90, 90, 90)
        return Structure(atoms, lattice=lattice, title=self.composition)

    def _box(self) -> tuple[np.ndarray, np.ndarray]:
        """Edges of the cell around the cluster, and the positions in it."""
        low = self.positions.min(axis=0) - MARGIN
        size = np.ptp(self.positions, axis=0) + 2 * MARGIN
        return size, self.positions - low

    def to_ase(self) -> Any:
        """Return an ``ase.Atoms`` without cell, pbc False."""
        from ase import Atoms

        return Atoms(list(self.elements), self.positions, pbc=False)

    def to_pymatgen(self, boxed: bool = False) -> Any:
        """Return a pymatgen ``Molecule``, or a ``Structure`` when boxed.

        Parameters
        ----------
        boxed : bool
            Put the cluster in the middle of an orthogonal cell, `MARGIN`
            away from each face.  Default: a free molecule.
        """
        from pymatgen.core import Lattice, Molecule, Structure

        elements = list(self.elements)
        if not boxed:
            # The check refuses an odd number of electrons.
            return Molecule(elements, self.positions, charge_spin_check=False)
        size, sites = self._box()
        return Structure(
            Lattice.orthorhombic(*size),
            elements,
            sites,
            coords_are_cartesian=True,
        )

    @classmethod
    def from_diffpy(cls, structure: Any) -> Self:
        """Return the atoms of a ``diffpy.structure.Structure``.

        In a cell larger than the unit lattice of an xyz file, a cluster
        that the cell's faces cut is put together again.
        """
        elements = [_symbol(atom.element) for atom in structure]
        positions = np.array(structure.xyz_cartn).reshape(-1, 3)
        cell = np.array(structure.lattice.base)
        if not np.allclose(cell, np.eye(3)):
            positions = _joined(positions, cell)
        return cls(tuple(elements), positions)

    @classmethod
    def from_ase(cls, atoms: Any) -> Self:
        """Return the atoms of an ``ase.Atoms``, joined across its cell."""
        positions = atoms.get_positions()
        if atoms.pbc.any() and atoms.cell.rank == 3:
            positions = _joined(positions, atoms.cell.array, atoms.pbc)
        return cls(tuple(atoms.get_chemical_symbols()), positions)

    @classmethod
    def from_pymatgen(cls, structure: Any) -> Self:
        """Return the atoms of a ``Molecule`` or a boxed ``Structure``.

        In a Structure, a cluster that the cell's faces cut is put together
        again.
        """
        if not structure.is_ordered:
            raise CbldmError(
                "the pymatgen structure is disordered; expected one element "
                "on each site: order it first."
            )
        elements = [getattr(s.specie, "symbol", "?") for s in structure]
        positions = np.array(structure.cart_coords)
        if hasattr(structure, "lattice"):
            positions = _joined(positions, structure.lattice.matrix)
        return cls(tuple(elements), positions)

    def write_xyz(
        self, path: str | os.PathLike[str], comment: str = ""
    ) -> None:
        """Write a plain xyz file, whole or not at all.

        Parameters
        ----------
        path : path
            The file; an existing one is replaced.
        comment : str
            The second line; line breaks become spaces.
        """
        lines = [str(len(self)), " ".join(comment.split())]
        for symbol, (x, y, z) in zip(
            self.elements, self.positions, strict=True
        ):
            lines.append(f"{symbol:<2} {x:15.8f} {y:15.8f} {z:15.8f}")
        write_atomic(path, "\n".join(lines) + "\n")

    def write_cif(self, path: str | os.PathLike[str]) -> None:
        """Write the boxed cluster as a P1 cif file, whole or not at all."""
        from pymatgen.io.cif import CifWriter

        write_atomic(path, str(CifWriter(self.to_pymatgen(boxed=True))))

    def write_stru(
        self,
        path: str | os.PathLike[str],
        uiso: Mapping[str, float] | None = None,
        delta2: float = 0.0,
    ) -> None:
        """Write the boxed cluster for PDFgui, whole or not at all.

        Parameters
        ----------
        path : path
            The file; an existing one is replaced.
        uiso : dict, A^2, optional
            Uiso by element.  Default: `settings.Refinement.uiso`.
        delta2 : float, A^2
            Sharpening by correlated motion.  Default 0.
        """
        structure = self.to_diffpy(boxed=True)
        for atom in structure:
            atom.Uisoequiv = (uiso or {}).get(atom.element, Refinement.uiso)
        structure.pdffit = {"delta2": delta2}
        write_atomic(path, structure.writeStr("pdffit"))


POLISHED = "polished: "
"""How the flag of a candidate begins whose atoms were edited."""


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Candidate(Cluster):
    """A proposed structure, with what is known of its agreement.

    Use `dataclasses.replace` to add a result.

    Parameters
    ----------
    elements, positions
        As in `Cluster`.
    structure_type : str
        One of `diffpy_cbldm.settings.STRUCTURE_TYPES`, or empty.
    generator : str
        Name of the generator that proposed it.
    rw_raw : float, optional
        Rw with the scale alone fitted.
    rw : float, optional
        Rw after the SrFit refinement.
    rw_heldout : float, optional
        Rw beyond the range that was refined.
    parameters : dict
        Refined parameters, {name: (value, standard uncertainty)}.
    flags : tuple of str
        What a user must know of the structure.
    results : object, optional
        The ``diffpy.srfit.fitbase.FitResults`` of the refinement.
    """

    structure_type: str = ""
    generator: str = ""
    rw_raw: float | None = None
    rw: float | None = None
    rw_heldout: float | None = None
    parameters: Mapping[str, tuple[float, float]] = dataclasses.field(
        default_factory=dict
    )
    flags: tuple[str, ...] = ()
    results: Any = None

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "parameters", dict(self.parameters))
        object.__setattr__(self, "flags", tuple(self.flags))

    @property
    def edits(self) -> tuple[str, ...]:
        """The kinds of edits by which polishing fitted the atoms, or none."""
        for flag in self.flags:
            if flag.startswith(POLISHED):
                kinds = flag[len(POLISHED) :].split(";")[0]
                return tuple(kind.strip() for kind in kinds.split(","))
        return ()

    def __repr__(self) -> str:
        parts = [self.composition, self.structure_type, self.generator]
        if self.rw_raw is not None:
            parts.append(f"rw_raw={self.rw_raw:.4f}")
        if self.rw is not None:
            parts.append(f"rw={self.rw:.4f}")
        return f"Candidate({', '.join(filter(None, parts))})"


_FOREIGN = {
    "ase": (Cluster.from_ase, "get_positions"),
    "diffpy": (Cluster.from_diffpy, "lattice"),
    "pymatgen": (Cluster.from_pymatgen, "cart_coords"),
}
"""How the structures of other libraries are turned into a Cluster, and an
attribute by which they are told from that library's other objects."""


def is_structure(given: Any) -> bool:
    """Whether `as_cluster` takes it."""
    return isinstance(given, Cluster) or _reader(given) is not None


def _reader(given: Any) -> Any:
    for kind in type(given).__mro__:
        library = kind.__module__.split(".")[0]
        if library in _FOREIGN:
            reader, attribute = _FOREIGN[library]
            return reader if hasattr(given, attribute) else None
    return None


def as_cluster(given: Any) -> Cluster:
    """Return a Cluster as it is, or made of what another library holds.

    Parameters
    ----------
    given : Cluster, ase.Atoms, diffpy or pymatgen structure

    Raises
    ------
    CbldmError
        It is something else.
    """
    if isinstance(given, Cluster):
        return given
    reader = _reader(given)
    if reader is None:
        raise CbldmError(
            f"the structure is of the type {type(given).__name__}; expected "
            "a Cluster, or a structure of ASE, diffpy or pymatgen: "
            'cb.Cluster("Pt", positions) makes one of coordinates.'
        )
    return reader(given)


def candidate_of(given: Any) -> Candidate:
    """Return a Candidate as it is, or made of what `as_cluster` takes."""
    cluster = as_cluster(given)
    if isinstance(cluster, Candidate):
        return cluster
    return Candidate(cluster.elements, cluster.positions)


def _positions(values: Any) -> np.ndarray:
    """Return a checked, read-only (n, 3) copy."""
    try:
        positions = np.array(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise CbldmError(
            "the positions do not hold numbers; expected an (n, 3) array in "
            "angstrom: pass x, y, z for each atom."
        ) from None
    if positions.ndim != 2 or positions.shape[1] != 3 or not len(positions):
        raise CbldmError(
            f"the positions have the shape {positions.shape}; expected "
            "(n, 3) with one atom or more: pass x, y, z for each atom."
        )
    finite = np.isfinite(positions).all(axis=1)
    if not finite.all():
        k = int(np.argmin(finite))
        raise CbldmError(
            f"atom {k} is at {positions[k].tolist()}; expected finite "
            "coordinates: remove or correct it."
        )
    pair = _coincident(positions)
    if pair is not None:
        where = ", ".join(f"{x:.3f}" for x in positions[pair[0]])
        raise CbldmError(
            f"atoms {pair[0]} and {pair[1]} are at the same place "
            f"({where}); expected distinct atoms: remove one."
        )
    positions.setflags(write=False)
    return positions


def _coincident(positions: np.ndarray) -> tuple[int, int] | None:
    """Return the first pair of atoms closer than `COINCIDENT`, if any."""
    # Only neighbours in the order of x can coincide, which costs n log n.
    order = np.argsort(positions[:, 0], kind="stable")
    x = positions[order]
    for shift in range(1, len(x)):
        near = x[shift:, 0] - x[:-shift, 0] < COINCIDENT
        if not near.any():
            return None
        gap = np.linalg.norm(x[shift:] - x[:-shift], axis=1)
        found = np.flatnonzero(gap < COINCIDENT)
        if len(found):
            a, b = sorted((order[found[0]], order[found[0] + shift]))
            return int(a), int(b)
    return None


def _symbol(element: str) -> str:
    """Return the symbol of an ion, such as Pt for Pt4+."""
    return element.strip("0123456789+-")


_LAYERS = 4.0
"""Layers of one cluster lie closer than this (A) along any direction."""


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
        if widest < len(gaps) - 1 and across < _LAYERS:
            inside = np.where(inside > ordered[widest], inside - 1.0, inside)
            fractional[:, axis] = inside
    return fractional @ cell


UNEVEN = "uneven misfit: "
"""How the flag begins of a fit whose misfit is no noise."""

REFUSED = "polishing refused: "
"""How the flag begins where a guard-rail kept a structure as it was."""

ALSO = "also proposed by "
"""How a flag begins that names another generator of the structure."""


def sources(candidate: Candidate) -> set[str]:
    """The generators that proposed this structure."""
    also = {f[len(ALSO) :] for f in candidate.flags if f.startswith(ALSO)}
    return {candidate.generator, *also}
