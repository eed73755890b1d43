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
from diffpy_cbldm.positions import distinct
from diffpy_cbldm.protocols import Displayed, Stored
from diffpy_cbldm.renames import modern
from diffpy_cbldm.settings import R_MAX, Refinement
from diffpy_cbldm.state import State, read_flags


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
        positions = distinct(self.positions)
        given: Any = self.elements
        if isinstance(given, str):
            given = [given] * len(positions)
        labels = tuple(map(str, given))
        symbols = {label: atom_symbol(label) for label in set(labels)}
        if None in symbols.values():
            label = next(label for label in labels if symbols[label] is None)
            raise CbldmError(
                f"unknown element {label!r}; expected a symbol such as "
                "'Pt': correct the elements."
            )
        elements = labels
        # Of thousands of atoms each loop counts, and most need none.
        if any(label != symbol for label, symbol in symbols.items()):
            elements = tuple(str(symbols[label]) for label in labels)
        if len(elements) != len(positions):
            raise CbldmError(
                f"{len(elements)} elements for {len(positions)} positions; "
                "expected one for each: pass one symbol or equal lengths."
            )
        object.__setattr__(self, "elements", elements)
        object.__setattr__(self, "positions", positions)

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        # Pickles do not tell.
        self.positions.setflags(write=False)

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

    @property
    def uiso(self) -> dict[str, float]:
        """Uiso (A^2) by element, as far as it is known: refined values."""
        return {}

    def to_diffpy(self, boxed: bool = False, rmax: float = R_MAX) -> Any:
        """Return a ``diffpy.structure.Structure``, with the refined Uiso.

        Parameters
        ----------
        boxed : bool
            Put the cluster in the middle of a cubic cell for programs that
            repeat it: its images begin beyond `rmax` (`conversions.box`).
            A Uiso that is not known is `settings.Refinement.uiso` there.
            Default: as read from an xyz file, with a = b = c = 1, in which
            fractional and Cartesian coordinates are the same, and an unknown
            Uiso is 0: what SrFit's ``zoomscale`` idiom expects.
        rmax : float, A
            Up to where G(r) is compared, for the size of the cell.  Default
            30.
        """
        return conversions.to_diffpy(
            self.elements,
            self.positions,
            self._full_uiso() if boxed else self.uiso,
            rmax if boxed else None,
            self.composition,
        )

    def to_ase(self) -> Any:
        """Return an ``ase.Atoms`` without cell, pbc False.

        ASE has no place for Uiso.
        """
        return conversions.to_ase(self.elements, self.positions)

    def to_pymatgen(self, boxed: bool = False, rmax: float = R_MAX) -> Any:
        """Return a pymatgen ``Molecule``, or a ``Structure`` when boxed.

        Uiso (A^2) is the site property ``U_iso_or_equiv``, which
        ``CifWriter(structure, write_site_properties=True)`` writes.

        Parameters
        ----------
        boxed : bool
            Put the cluster in a cubic cell, as `to_diffpy` does.  Default: a
            free molecule; its ``get_boxed_structure`` takes other cells.
        rmax : float, A
            Up to where G(r) is compared, for the size of the cell.  Default
            30.
        """
        return conversions.to_pymatgen(
            self.elements,
            self.positions,
            self._full_uiso() if boxed else self.uiso,
            rmax if boxed else None,
        )

    def _full_uiso(
        self, given: Mapping[str, float] | None = None
    ) -> dict[str, float]:
        """Uiso (A^2) of each element: given, refined or the default."""
        usual = dict.fromkeys(self.elements, Refinement.uiso)
        return {**usual, **self.uiso, **(given or {})}

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

    def write_cif(
        self,
        path: str | os.PathLike[str],
        uiso: Mapping[str, float] | None = None,
        rmax: float = R_MAX,
    ) -> None:
        """Write the boxed cluster as a P1 cif file, whole or not at all.

        Parameters
        ----------
        path : path
            The file; an existing one is replaced.
        uiso : dict, A^2, optional
            Uiso by element, for ``_atom_site_U_iso_or_equiv``: programs take
            0 where that is missing.  Default: the refined values, or
            `settings.Refinement.uiso`.
        rmax : float, A
            Up to where G(r) is compared: images of the cluster begin
            beyond.  Default 30.
        """
        structure = conversions.to_pymatgen(
            self.elements, self.positions, self._full_uiso(uiso), rmax
        )
        write_atomic(path, conversions.cif_text(structure))

    def write_stru(
        self,
        path: str | os.PathLike[str],
        uiso: Mapping[str, float] | None = None,
        delta2: float | None = None,
        rmax: float = R_MAX,
    ) -> None:
        """Write the boxed cluster for PDFgui, whole or not at all.

        Parameters
        ----------
        path : path
            The file; an existing one is replaced.
        uiso, rmax
            As for `write_cif`.
        delta2 : float, A^2, optional
            Sharpening by correlated motion.  Default: the refined value, or
            0.
        """
        structure = conversions.to_diffpy(
            self.elements,
            self.positions,
            self._full_uiso(uiso),
            rmax,
            self.composition,
        )
        known = self._phase_parameters()
        if delta2 is not None:
            known["delta2"] = delta2
        structure.pdffit = known
        write_atomic(path, modern(structure).write_structure("pdffit"))

    def _phase_parameters(self) -> dict[str, float]:
        """What PDFfit2 keeps with a phase besides its atoms."""
        return {}


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Candidate(Cluster, State, Displayed):
    """A proposed structure, with what is known of its agreement.

    Use `dataclasses.replace` to add a result.

    Parameters
    ----------
    elements, positions
        As in `Cluster`.
    structure_type : str
        One of `diffpy_cbldm.settings.STRUCTURE_TYPES`, ``stacked``, of a
        compound the name of its crystal, or empty.
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
    def uiso(self) -> dict[str, float]:
        """Refined Uiso (A^2) by element, empty before the refinement."""
        return {
            name.removesuffix("_Uiso"): float(value)
            for name, (value, _) in self.parameters.items()
            if name.endswith("_Uiso")
        }

    def _phase_parameters(self) -> dict[str, float]:
        return {
            name: float(self.parameters[name][0])
            for name in ("scale", "delta2")
            if name in self.parameters
        }

    @property
    def rw_of_first(self) -> float | None:
        """Rw of the first PDF where several were refined, else `rw`."""
        return self.rw_of_each[0] if self.rw_of_each else self.rw

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
