"""PDFs as measurements give them: what a powder and an instrument add.

A particle of a powder is one of many sizes, its surface is rough and looser
than its inside, ligands cover it, and another phase may lie beside it.  The
measurement adds noise and a background, and the data reduction takes a
polynomial away.  A `World` says how much there is of each, nothing by
default; `diffpy_cbldm.fitting.measured` makes the curves.
"""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

from diffpy_cbldm import options
from diffpy_cbldm.errors import CbldmError
from diffpy_cbldm.formula import ELEMENTS, HYDROGEN
from diffpy_cbldm.options import parameter

SECOND = ("", "fcc", "bcc", "hcp", "sc")
"""Crystals of the second phase; none by default."""


@dataclasses.dataclass(frozen=True)
class World:
    """What a simulated measurement holds beside one ideal particle."""

    size_spread: float = parameter(
        0.0,
        "Width of the lognormal distribution of diameters, the standard "
        "deviation of ln D; the given cluster has the median diameter.",
        limits=(0.0, 0.4),
    )
    missing: float = parameter(
        0.0, "Share of the surface atoms that are missing.", limits=(0, 0.8)
    )
    shifted: float = parameter(
        0.0,
        "Root mean square shift of the surface atoms, at rest.",
        unit="A",
        limits=(0.0, 1.0),
    )
    surface_biso: float | None = parameter(
        None,
        "B factor of the surface atoms; that of all others where it is not "
        "given.",
        unit="A^2",
        limits=(0.0, 20.0),
    )
    ligand: str = parameter(
        "", "Element of the atoms bound to the surface, such as S or C."
    )
    coverage: float = parameter(
        0.0, "Share of the surface atoms that bear a ligand.", limits=(0, 1)
    )
    ligand_length: float = parameter(
        2.3,
        "Distance of a ligand from its metal atom.",
        unit="A",
        limits=(1.0, 4.0),
    )
    second: str = parameter(
        "", "Crystal of a second phase of the same element.", choices=SECOND
    )
    second_share: float = parameter(
        0.0, "Share of its atoms.", limits=(0.0, 0.9)
    )
    second_diameter: float = parameter(
        30.0, "Diameter of its spheres.", unit="A", limits=(6.0, 80.0)
    )
    background: float = parameter(
        0.0,
        "A smooth error of F(Q), as a badly subtracted background leaves: "
        "its root mean square over that of F(Q).",
        limits=(0.0, 5.0),
    )
    rpoly: float = parameter(
        0.0,
        "The polynomial correction of PDFgetX3: its degree is rpoly Qmax / "
        "pi; 0 for none, 0.9 is usual.",
        unit="A",
        limits=(0.0, 3.0),
    )
    noise: float = parameter(
        0.0,
        "Noise of counting, which grows with Q: its root mean square in G(r) "
        "over that of G(r).",
        limits=(0.0, 5.0),
    )
    wavelength_error: float = parameter(
        0.0,
        "Relative error of the wavelength: distances come out longer by it.",
        limits=(-0.05, 0.05),
    )
    qbroad: float = parameter(
        0.0, "Broadening by the Q resolution.", unit="1/A", limits=(0, 0.1)
    )
    seed: int = parameter(
        0, "Seed of all random numbers.", limits=(0, 2**63 - 1)
    )

    def __post_init__(self) -> None:
        options.validate(self)
        for field in dataclasses.fields(self):
            # Only that one may be left out.
            if getattr(self, field.name) is None and field.default is not None:
                raise CbldmError(
                    f"{field.name} is None; expected a value, or nothing said "
                    f"of it: leave {field.name} out."
                )
        if self.ligand not in ("", *ELEMENTS, *HYDROGEN):
            raise CbldmError(
                f"ligand is {self.ligand!r}; expected the symbol of an "
                "element, such as S or C: correct ligand."
            )

    @property
    def added(self) -> dict[str, Any]:
        """What differs from an ideal particle and measurement, by name."""
        fields = dataclasses.fields(self)
        return {
            field.name: getattr(self, field.name)
            for field in fields
            if getattr(self, field.name) != field.default
        }

    def __str__(self) -> str:
        return ", ".join(
            f"{name} {value}" for name, value in self.added.items()
        )


def read_world(path: str | os.PathLike[str]) -> World:
    """Read a world from a JSON file.

    Parameters
    ----------
    path : path
        A JSON object with fields of `World`, such as
        ``{"size_spread": 0.1, "noise": 0.05}``.

    Raises
    ------
    CbldmError
        It cannot be read, or holds something else.
    """
    try:
        given = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise CbldmError(
            f"{path}: cannot be read as JSON ({error}); expected an object "
            'such as {"size_spread": 0.1, "noise": 0.05}: correct the file.'
        ) from None
    return as_world(given)


def as_world(given: World | dict[str, Any] | str | os.PathLike[str]) -> World:
    """Return a World as it is, or made of its fields or of a file.

    Raises
    ------
    CbldmError
        Unknown fields, or values outside their limits.
    """
    if isinstance(given, World):
        return given
    if isinstance(given, str | os.PathLike):
        return read_world(given)
    known = [field.name for field in dataclasses.fields(World)]
    unknown = (
        sorted(set(given) - set(known)) if isinstance(given, dict) else []
    )
    if unknown or not isinstance(given, dict):
        raise CbldmError(
            f"the world is {given!r}; expected fields of World "
            f"({', '.join(known)}): correct {', '.join(unknown) or 'it'}."
        )
    return World(**given)
