"""A finite cluster of atoms, and a candidate: one with what is known of it.

Importing this module needs numpy and monty alone; `conversions` knows the
forms in diffpy, ASE and pymatgen.
"""

from __future__ import annotations

import collections
import dataclasses
import os
from collections.abc import Iterable, Mapping
from typing import Any, Self

import numpy as np

from diffpy_cbldm import conversions
from diffpy_cbldm.errors import CbldmError
from diffpy_cbldm.files import write_atomic
from diffpy_cbldm.formula import atom_symbol
from diffpy_cbldm.protocols import Displayed, Stored
from diffpy_cbldm.settings import Refinement
from diffpy_cbldm.state import State, read_flags

COINCIDENT = 1e-3
"""Atoms closer than this (A) are one atom written twice."""


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Cluster(Stored):
    """Atoms in free space; checked and read-only.

    Parameters
    ----------
    elements : str or sequence of str
        One symbol for all atoms, or one for each.  Labels such as ``Pt1``,
        ``PT`` and ``Pt4+`` are Pt; D, T and ``13-C`` stay what they are.
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
        labels = tuple(map(str, given))
        symbols = {label: atom_symbol(label) for label in set(labels)}
        for label in labels:
            if symbols[label] is None:
                raise CbldmError(
                    f"unknown element {label!r}; expected a symbol such as "
                    "'Pt': correct the elements."
                )
        elements = tuple(str(symbols[label]) for label in labels)
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
        # The mass number of an isotope must not be taken for a count.
        names = [(f"({s})" if "-" in s else s, n) for s, n in count]
        return "".join(f"{s}{n if n > 1 else ''}" for s, n in names)

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
            Put the cluster in the middle of an orthogonal cell, 10 A away
            from each face.  Default: as read from an xyz file, with
            a = b = c = 1, in which fractional and Cartesian coordinates are
            the same, and Uiso 0: what SrFit's ``zoomscale`` idiom expects.
        """
        return conversions.to_diffpy(
            self.elements, self.positions, boxed, self.composition
        )

    def to_ase(self) -> Any:
        """Return an ``ase.Atoms`` without cell, pbc False."""
        return conversions.to_ase(self.elements, self.positions)

    def to_pymatgen(self, boxed: bool = False) -> Any:
        """Return a pymatgen ``Molecule``, or a ``Structure`` when boxed.

        Parameters
        ----------
        boxed : bool
            Put the cluster in the middle of an orthogonal cell, 10 A away
            from each face.  Default: a free molecule.
        """
        return conversions.to_pymatgen(self.elements, self.positions, boxed)

    @classmethod
    def from_diffpy(cls, structure: Any) -> Self:
        """Return the atoms of a ``diffpy.structure.Structure``.

        In a cell larger than the unit lattice of an xyz file, a cluster
        that the cell's faces cut is put together again.

        Raises
        ------
        CbldmError
            A crystal, or sites with parts of atoms.
        """
        return cls(*conversions.from_diffpy(structure))

    @classmethod
    def from_ase(cls, atoms: Any) -> Self:
        """Return the atoms of an ``ase.Atoms``, joined across its cell.

        Without periodic boundary conditions the cell has no meaning.

        Raises
        ------
        CbldmError
            A crystal, or sites with parts of atoms.
        """
        return cls(*conversions.from_ase(atoms))

    @classmethod
    def from_pymatgen(cls, structure: Any) -> Self:
        """Return the atoms of a ``Molecule`` or a boxed ``Structure``.

        In a Structure, a cluster that the cell's faces cut is put together
        again.

        Raises
        ------
        CbldmError
            A crystal, or sites with several elements or parts of atoms.
        """
        return cls(*conversions.from_pymatgen(structure))

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


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Candidate(Cluster, State, Displayed):
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
        Rw with the scale alone fitted; all points count alike, also where
        the file has dG, by which `rw` is weighted.
    rw : float, optional
        Rw after the SrFit refinement.
    rw_heldout : float, optional
        Rw beyond the range that was refined.
    parameters : dict
        Refined parameters, {name: (value, standard uncertainty)}.
    flags : iterable of str, optional
        What a user must know of the structure, as texts.  They stand for
        all of `state`: texts in the form of the package, as in a result
        file, set its fields, others are its notes.
    results : object, optional
        The ``diffpy.srfit.fitbase.FitResults`` of the refinement.
    **state
        The fields of `State`, by name; `flags` renders them.
    """

    structure_type: str = ""
    generator: str = ""
    rw_raw: float | None = None
    rw: float | None = None
    rw_heldout: float | None = None
    parameters: Mapping[str, tuple[float, float]] = dataclasses.field(
        default_factory=dict
    )
    results: Any = None

    # Written out because of `flags`, which is no field: a field beside those
    # that it renders could contradict them after `dataclasses.replace`.
    def __init__(
        self,
        elements: str | Iterable[str],
        positions: Any,
        structure_type: str = "",
        generator: str = "",
        rw_raw: float | None = None,
        rw: float | None = None,
        rw_heldout: float | None = None,
        parameters: Mapping[str, tuple[float, float]] | None = None,
        flags: Iterable[str] | None = None,
        results: Any = None,
        **state: Any,
    ) -> None:
        for name, value in (
            ("structure_type", structure_type),
            ("generator", generator),
            ("rw_raw", rw_raw),
            ("rw", rw),
            ("rw_heldout", rw_heldout),
            ("parameters", dict(parameters or {})),
            ("results", results),
        ):
            object.__setattr__(self, name, value)
        State.__init__(self, **(state if flags is None else read_flags(flags)))
        Cluster.__init__(self, elements, positions)  # type: ignore[arg-type]

    @property
    def proposed_by(self) -> tuple[str, ...]:
        """The generators that proposed this structure, its own first."""
        return tuple(dict.fromkeys((self.generator, *self.also_proposed_by)))

    def __repr__(self) -> str:
        parts = [self.composition, self.structure_type, self.generator]
        if self.rw_raw is not None:
            parts.append(f"rw_raw={self.rw_raw:.4f}")
        if self.rw is not None:
            parts.append(f"rw={self.rw:.4f}")
        return f"Candidate({', '.join(filter(None, parts))})"


def is_structure(given: Any) -> bool:
    """Whether `as_cluster` takes it."""
    return isinstance(given, Cluster) or conversions.reader(given) is not None


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
    read = conversions.reader(given)
    if read is None:
        raise CbldmError(
            f"the structure is of the type {type(given).__name__}; expected "
            "a Cluster, or a structure of ASE, diffpy or pymatgen: "
            'cb.Cluster("Pt", positions) makes one of coordinates.'
        )
    return Cluster(*read(given))


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
        close = np.flatnonzero(gap < COINCIDENT)
        if len(close):
            a, b = sorted((order[close[0]], order[close[0] + shift]))
            return int(a), int(b)
    return None
