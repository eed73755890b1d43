"""A shell of light atoms about a particle: what its ligands add to a PDF.

Gold that thiolates protect has a sulfur atom over each metal atom of its
surface, or nearly so, and its first neighbours add a peak below the bonds of
the metal.  One light atom is put over each surface atom where there is room,
all at one distance, with a Uiso of their own; the rest of the ligand is not
ordered.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from diffpy.srfit.fitbase import FitRecipe
from diffpy.srfit.fitbase.parameter import ParameterAdapter
from scipy.spatial import cKDTree

from diffpy_cbldm.cluster import Candidate, Cluster, candidate_of
from diffpy_cbldm.crystals.bonds import (
    nearest_neighbour_distance,
    surface_shells,
)
from diffpy_cbldm.errors import CbldmError
from diffpy_cbldm.fitting.agreement import EVIDENCE, criterion_gain
from diffpy_cbldm.fitting.recipe import (
    best_scale_of,
    delta2_name,
    recipe_of,
)
from diffpy_cbldm.fitting.refinement import parameters_of, settled
from diffpy_cbldm.fitting.target import Target
from diffpy_cbldm.formula import ELEMENTS, atom_symbol
from diffpy_cbldm.protocols import Stored
from diffpy_cbldm.renames import modern
from diffpy_cbldm.settings import Solve
from diffpy_cbldm.threads import one_thread

STRETCH = 0.15
"""How far (relative) the distance may be from the sum of covalent radii."""

BONDED = 1.25
"""Metal atoms up to so many bond lengths apart are neighbours."""

ROOM = 1.1
"""Ligand atoms stand so many bond lengths of the metal apart, at least."""

CHOICES = 3
"""What is told of a shell: that it is there, its distance, its Uiso."""


@dataclasses.dataclass(frozen=True)
class LigandShell(Stored):
    """What a shell of light atoms adds to the best structure.

    Attributes
    ----------
    element : str
    count : int
        One for each surface atom where there is room.
    distance : (value, uncertainty), angstrom
        From its metal atom.
    uiso : (value, uncertainty), A^2
    rw, rw_bare : float
        Rw with and without the shell, the metal's atoms held.
    gain : float
        By how much the Bayesian information criterion falls.
    supported : bool
        Whether it falls by 10 or more, with the distance inside its bounds.
    """

    element: str
    count: int
    distance: tuple[float, float]
    uiso: tuple[float, float]
    rw: float
    rw_bare: float
    gain: float
    supported: bool

    def __str__(self) -> str:
        (d, error), verdict = self.distance, "left out"
        if self.supported:
            verdict = "supported"
        return (
            f"{self.count} {self.element} at {d:.2f} +- {error:.2f} A of the "
            f"surface: Rw {self.rw:.3f}, {self.rw_bare:.3f} without; the "
            f"criterion falls by {self.gain:.0f} (10 are asked for): {verdict}"
        )


def check_ligand(ligand: str, metal: str | None = None) -> str:
    """The symbol of a ligand.

    Parameters
    ----------
    ligand : str
    metal : str, optional
        The element that it binds to, which it cannot be itself.

    Raises
    ------
    CbldmError
        It is no element, or that of the metal.
    """
    symbol = atom_symbol(ligand)
    if symbol is None or symbol not in ELEMENTS or symbol == metal:
        what = f", the metal {metal}" if symbol == metal else ""
        raise CbldmError(
            f"ligand is {ligand!r}{what}; expected the element that binds to "
            "the surface, such as S, P or N: correct ligand (--ligand)."
        )
    return symbol


def ligand_distance(metal: str, ligand: str) -> float:
    """The sum of covalent radii, angstrom, of ASE's table.

    CbldmError where the ligand is no element.
    """
    from ase.data import atomic_numbers, covalent_radii

    symbol = check_ligand(ligand)
    radii = covalent_radii
    return float(radii[atomic_numbers[metal]] + radii[atomic_numbers[symbol]])


def ligand_places(
    positions: np.ndarray, distance: float
) -> tuple[np.ndarray, np.ndarray]:
    """Which metal atoms bear a ligand atom, and in which direction.

    Parameters
    ----------
    positions : (n, 3) array, angstrom
    distance : float, angstrom

    Returns
    -------
    bearers : (m,) array of int
    directions : (m, 3) array
        Unit vectors, away from the neighbours.
    """
    bond = nearest_neighbour_distance(positions)
    metal = cKDTree(positions)
    outer = np.flatnonzero(surface_shells(positions) == 1)
    around = metal.query_ball_point(positions[outer], BONDED * bond)
    # Corners first: over them there is the most room.
    order = np.argsort([len(near) for near in around], kind="stable")
    bearers: list[int] = []
    ways: list[np.ndarray] = []
    taken: list[np.ndarray] = []
    for k in order:
        atom = positions[outer[k]]
        away = (atom - positions[around[k]]).sum(0)
        size = float(np.linalg.norm(away))
        if size < 0.1 * bond:
            continue
        place = atom + distance * away / size
        free = all(np.linalg.norm(place - x) > ROOM * bond for x in taken)
        if free and metal.query(place)[0] > 0.95 * distance:
            bearers.append(int(outer[k]))
            ways.append(away / size)
            taken.append(place)
    return np.array(bearers, int), np.array(ways).reshape(-1, 3)


class _Shell:
    """The light atoms of a structure, at one distance from their metal."""

    def __init__(
        self, structure: Any, bearers: np.ndarray, ways: np.ndarray
    ) -> None:
        self.structure, self.ways = structure, ways
        self.start = np.array(structure.xyz)
        self.feet = self.start[bearers]
        self.distance = 0.0

    def get(self) -> float:
        """The distance, angstrom."""
        return self.distance

    def set(self, value: float) -> None:
        """Move all light atoms to a distance."""
        self.distance = float(value)
        moved = self.start.copy()
        moved[-len(self.ways) :] = self.feet + self.distance * self.ways
        self.structure.xyz = moved


def ligand_recipe(
    structure: Cluster | Any,
    pdf: Any,
    ligand: str = "S",
    *,
    backend: str = "auto",
    rmin: float = Solve.rmin,
    rmax: float | None = Solve.rmax,
    start: Mapping[str, float] | None = None,
) -> FitRecipe:
    """Make the native recipe of a particle with a shell of light atoms.

    As `make_recipe` of both elements, and the variable ``ligand_distance``
    (A): all light atoms go along the directions in which they stand over
    their metal atoms.

    Parameters
    ----------
    structure : Cluster or Candidate
        The metal, of one element.
    pdf : PDFData
    ligand : str
        The element that binds to the surface.
    backend, rmin, rmax
        As for `make_recipe`.
    start : dict, optional
        Start values by variable name.

    Returns
    -------
    diffpy.srfit.fitbase.FitRecipe

    Raises
    ------
    CbldmError
        An unknown element, or no surface atom with room over it.
    """
    target = Target.of(pdf, rmin, rmax)
    metal = candidate_of(structure)
    ligand = check_ligand(ligand, metal.elements[0])
    first = ligand_distance(metal.elements[0], ligand)
    bearers, ways = ligand_places(metal.positions, first)
    if not len(bearers):
        raise CbldmError(
            f"none of the {len(metal)} atoms has room for {ligand} over it; "
            "expected surface atoms: give a whole particle."
        )
    light = metal.positions[bearers] + first * ways
    both = Cluster(
        (*metal.elements, *(ligand,) * len(light)),
        np.concatenate([metal.positions, light]),
    )
    recipe = recipe_of(both, target, backend, None, (), False)
    phase = recipe.cluster.G1.phase
    shell = _Shell(phase.stru, bearers, ways)
    shell.distance = first
    adapter = ParameterAdapter(
        "ligand_distance", shell, _Shell.get, _Shell.set
    )
    modern(phase).add_parameter(adapter)
    modern(recipe).add_variable(adapter, first, tag="ligand")
    limits = (1 - STRETCH) * first, (1 + STRETCH) * first
    modern(recipe.ligand_distance).bound_range(*limits)
    for name, value in (start or {}).items():
        getattr(recipe, name).value = value
    recipe.s1.value = best_scale_of(recipe) or 1.0
    return recipe


def ligand_shell(
    structure: Cluster | Any,
    pdf: Any,
    ligand: str = "S",
    *,
    rmin: float = Solve.rmin,
    rmax: float | None = Solve.rmax,
) -> LigandShell:
    """Fit a shell of light atoms, and say whether the data support it.

    Parameters
    ----------
    structure : Candidate
        Refined: its Rw is that without the shell, and what was refined is
        where the fit begins.
    pdf : PDFData
    ligand : str
        Such as "S" for thiolates, "P" for phosphines.
    rmin, rmax : float, angstrom

    Returns
    -------
    LigandShell

    Raises
    ------
    CbldmError
        As for `ligand_recipe`; or the structure was not refined.
    """
    target = Target.of(pdf, rmin, rmax)
    metal = candidate_of(structure)
    ligand = check_ligand(ligand, metal.elements[0])
    if metal.rw is None:
        raise CbldmError(
            "the structure was not refined; expected a Candidate with an Rw "
            "to compare with: pass what cb.refine gives."
        )
    with one_thread():
        recipe = ligand_recipe(metal, target, ligand)
        for name, value in _start(metal, ligand).items():
            getattr(recipe, name).value = value
        recipe.s1.value = best_scale_of(recipe) or 1.0
        results = settled(recipe, target)
    found = parameters_of(results)
    rw, points = float(results.rw), results.independent_points
    gain = criterion_gain(metal.rw, rw, CHOICES, points)
    low, high = recipe.ligand_distance.bounds
    distance = found["ligand_distance"]
    inside = low + 1e-3 < distance[0] < high - 1e-3
    return LigandShell(
        element=ligand,
        count=sum(e == ligand for e in (a.element for a in _atoms(recipe))),
        distance=distance,
        uiso=found[f"{ligand}_Uiso"],
        rw=rw,
        rw_bare=metal.rw,
        gain=gain,
        supported=bool(gain >= EVIDENCE and inside),
    )


def _atoms(recipe: FitRecipe) -> Any:
    return recipe.cluster.G1.phase.stru


def _start(metal: Candidate, ligand: str) -> dict[str, float]:
    """Start values from what was refined of the metal."""
    element, known = metal.elements[0], metal.parameters
    plain = {
        f"{element}_Uiso": f"{element}_Uiso",
        "delta2": delta2_name([element, ligand]),
        "qdamp": "qdamp",
    }
    return {plain[n]: known[n][0] for n in plain if n in known}
