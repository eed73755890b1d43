"""Moves of all atoms of a phase as Parameters of SrFit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from diffpy.srfit.fitbase.parameter import ParameterAdapter

from diffpy_cbldm.fitting.moves import (
    kind_of,
    move_names,
    moved,
    surface_moves,
)
from diffpy_cbldm.fitting.orbit_moves import every_orbit_move
from diffpy_cbldm.renames import modern


class _Moves:
    """The atoms of a phase, where they began, and how they have moved."""

    def __init__(self, structure: Any, names: Iterable[str]) -> None:
        self.structure = structure
        self.start = np.array(structure.xyz)
        self.surface = surface_moves(self.start)
        self.values = dict.fromkeys(names, 0.0)
        # Looked for once: at each change of a value it would take longer
        # than the curve.
        orbits = any(kind_of(name) == "orbits" for name in self.values)
        self.fields = every_orbit_move(self.start) if orbits else {}

    def get(self, name: str) -> float:
        """The value of a variable."""
        return self.values[name]

    def set(self, name: str, value: float) -> None:
        """Set a variable, and with it the coordinates of all atoms."""
        if self.values[name] == value:
            return  # SrFit sets all variables, also those that stay
        self.values[name] = float(value)
        self.structure.xyz = moved(
            self.start, self.values, self.surface, self.fields
        )


def shared_moves(
    phase: Any, kinds: Sequence[str]
) -> Iterator[ParameterAdapter]:
    """Add one Parameter for each move of all atoms to a phase.

    The lattice is that of an xyz file: coordinates are in angstrom.
    """
    structure = phase.stru
    names = move_names(structure.xyz, kinds)
    shared = _Moves(structure, names)
    for name in names:
        move = ParameterAdapter(
            name, shared, _Moves.get, _Moves.set, attr=name
        )
        modern(phase).add_parameter(move)
        yield move
