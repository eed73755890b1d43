"""A shell of light atoms about a particle: what its ligands add to a PDF.

Gold that thiolates protect has sulfur atoms over the metal atoms of its
surface, or over two of them in staples S-Au-S, and its first neighbours add a
peak below the bonds of the metal.  One light atom is put over each surface
atom, or over each two, where there is room, all at one distance, with a Uiso
of their own; the rest of the ligand is not ordered.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from diffpy.srfit.fitbase import FitRecipe
from diffpy.srfit.fitbase.parameter import ParameterAdapter

from diffpy_cbldm.cluster import Candidate, Cluster, candidate_of
from diffpy_cbldm.errors import CbldmError
from diffpy_cbldm.fitting.agreement import EVIDENCE, criterion_gain
from diffpy_cbldm.fitting.ligand_sites import SITES, Places, places
from diffpy_cbldm.fitting.moves import kind_of
from diffpy_cbldm.fitting.orbit_moves import every_orbit_move
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

FURTHER = 0.05
"""How far orbits of the metal move once there are light atoms, in
nearest-neighbour distances."""

CHOICES = 4
"""What is told of a shell: that it is there, over one atom or two, its
distance, its Uiso."""


@dataclasses.dataclass(frozen=True)
class LigandShell(Stored):
    """What a shell of light atoms adds to the best structure.

    Attributes
    ----------
    element : str
    count : int
        One for each site where there is room.
    distance : (value, uncertainty), angstrom
        From its metal atom.
    uiso : (value, uncertainty), A^2
    rw, rw_bare : float
        Rw with and without the shell; orbits that were refined of the metal
        go on, its other atoms are held.  With it Rw can be higher: a light
        atom stands on every site with room, and what was refined of the
        metal may have imitated light atoms that stand elsewhere.
    gain : float
        By how much the Bayesian information criterion falls.
    supported : bool
        Whether it falls by 10 or more, with the distance inside its bounds.
    site : {"atom", "bridge"}
        Whether each stands over one surface atom, or over two.
    rw_other : float or None
        Rw with the shell over the other sites, which fits no better; None
        where these have no room.
    """

    element: str
    count: int
    distance: tuple[float, float]
    uiso: tuple[float, float]
    rw: float
    rw_bare: float
    gain: float
    supported: bool
    site: str = "atom"
    rw_other: float | None = None

    def __str__(self) -> str:
        (d, error), verdict = self.distance, "left out"
        where, other = "one surface atom", "over two"
        if self.site == "bridge":
            where, other = "two surface atoms", "over one"
        rw = f"Rw {self.rw:.3f}"
        if self.rw_other is not None:
            rw += f", {other} {self.rw_other:.3f}"
        if self.supported:
            verdict = "supported"
        way = "falls" if self.gain >= 0 else "rises"
        return (
            f"{self.count} {self.element} over {where} at {d:.2f} +- "
            f"{error:.2f} A: {rw}, {self.rw_bare:.3f} without; the "
            f"criterion {way} by {abs(self.gain):.0f} (a fall of 10 is asked "
            f"for): {verdict}"
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


DISTANCE = "ligand_distance"
"""The variable of how far light atoms are from their metal."""


class _Shell:
    """The light atoms of a structure, at one distance from their metal.

    Orbits of the metal may move, and the light atoms go with them.
    """

    def __init__(
        self,
        structure: Any,
        over: Places,
        distance: float,
        fields: Mapping[str, np.ndarray],
    ) -> None:
        self.structure, self.over, self.fields = structure, over, fields
        self.metal = np.array(structure.xyz)[: -len(over)]
        self.values = {DISTANCE: distance, **dict.fromkeys(fields, 0.0)}

    def get(self, name: str) -> float:
        """The distance, angstrom, or how far an orbit has moved."""
        return self.values[name]

    def set(self, name: str, value: float) -> None:
        """Set one of them, and with it all atoms."""
        if self.values[name] == value:
            return  # SrFit sets all variables, also those that stay
        self.values[name] = float(value)
        metal = self.metal.copy()
        for move, field in self.fields.items():
            metal += self.values[move] * field
        light = self.over.over(metal).at(self.values[DISTANCE])
        self.structure.xyz = np.concatenate([metal, light])


def _relaxed_orbits(metal: Candidate) -> dict[str, np.ndarray]:
    """How the atoms go with the moves that were refined of a metal."""
    names = [n for n in metal.parameters if kind_of(n) == "orbits"]
    known = every_orbit_move(metal.positions) if names else {}
    return {name: known[name] for name in names if name in known}


def ligand_recipe(
    structure: Cluster | Any,
    pdf: Any,
    ligand: str = "S",
    *,
    backend: str = "auto",
    rmin: float = Solve.rmin,
    rmax: float | None = Solve.rmax,
    start: Mapping[str, float] | None = None,
    site: str = "atom",
) -> FitRecipe:
    """Make the native recipe of a particle with a shell of light atoms.

    As `make_recipe` of both elements, and the variable ``ligand_distance``
    (A): all light atoms go along the directions in which they stand over
    their metal atoms.  Orbits that were refined of the metal go on, from
    where they are, and take the light atoms with them.

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
    site : {"atom", "bridge"}
        Whether light atoms stand over one surface atom each, or over two.

    Returns
    -------
    diffpy.srfit.fitbase.FitRecipe

    Raises
    ------
    CbldmError
        An unknown element or site, or no surface atom with room over it.
    """
    target = Target.of(pdf, rmin, rmax)
    metal = candidate_of(structure)
    ligand = check_ligand(ligand, metal.elements[0])
    first = ligand_distance(metal.elements[0], ligand)
    if site not in SITES:
        raise CbldmError(
            f"site is {site!r}; expected one of {', '.join(SITES)}: over one "
            "surface atom, or over two."
        )
    over = places(metal.positions, first, site)
    if not len(over):
        raise CbldmError(
            f"none of the {len(metal)} atoms has room for {ligand} over it; "
            "expected surface atoms: give a whole particle."
        )
    light = over.at(first)
    both = Cluster(
        (*metal.elements, *(ligand,) * len(light)),
        np.concatenate([metal.positions, light]),
    )
    recipe = recipe_of(both, target, backend, None, (), False)
    phase = recipe.cluster.G1.phase
    fields = _relaxed_orbits(metal)
    shell = _Shell(phase.stru, over, first, fields)
    limits = dict.fromkeys(fields, (-FURTHER, FURTHER))
    limits[DISTANCE] = ((1 - STRETCH) * first, (1 + STRETCH) * first)
    for name, bounds in limits.items():
        adapter = ParameterAdapter(
            name, shell, _Shell.get, _Shell.set, attr=name
        )
        modern(phase).add_parameter(adapter)
        modern(recipe).add_variable(adapter, shell.get(name), tag="ligand")
        modern(getattr(recipe, name)).bound_range(*bounds)
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

    Over one surface atom each and over two: what fits better is kept.

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
    made = [_fitted(metal, target, ligand, site) for site in SITES]
    best, *others = sorted(filter(None, made), key=lambda shell: shell.rw)
    rw_other = others[0].rw if others else None
    return dataclasses.replace(best, rw_other=rw_other)


def _fitted(
    metal: Candidate, target: Target, ligand: str, site: str
) -> LigandShell | None:
    """One kind of shell; None over two atoms where no two have room."""
    first = ligand_distance(metal.elements[0], ligand)
    if site == "bridge" and not len(places(metal.positions, first, site)):
        return None
    with one_thread():
        recipe = ligand_recipe(metal, target, ligand, site=site)
        for name, value in _start(metal, ligand).items():
            getattr(recipe, name).value = value
        recipe.s1.value = best_scale_of(recipe) or 1.0
        results = settled(recipe, target)
    found = parameters_of(results)
    rw, bare = float(results.rw), float(metal.rw or 0.0)
    gain = criterion_gain(bare, rw, CHOICES, results.independent_points)
    low, high = recipe.ligand_distance.bounds
    distance = found[DISTANCE]
    inside = low + 1e-3 < distance[0] < high - 1e-3
    return LigandShell(
        element=ligand,
        count=sum(e == ligand for e in (a.element for a in _atoms(recipe))),
        distance=distance,
        uiso=found[f"{ligand}_Uiso"],
        rw=rw,
        rw_bare=bare,
        gain=gain,
        supported=bool(gain >= EVIDENCE and inside),
        site=site,
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
