"""Common crystals by their stoichiometry, so that no cif file is needed.

The operations of the space groups are pymatgen's.  Positions: R. W. G.
Wyckoff, Crystal Structures (1963 to 1971), and for brookite Meagher and
Lager, Can. Mineral. 17, 77 (1979).
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Mapping, Sequence

import numpy as np

from diffpy_cbldm.crystals.crystal import Crystal, crystal_of
from diffpy_cbldm.crystals.lattice_facts import LATTICES
from diffpy_cbldm.formula import NO_METALS

Point = tuple[float, float, float]


@dataclasses.dataclass(frozen=True)
class Prototype:
    """A structure type.

    Attributes
    ----------
    name : str
    group : int
        Number of the space group.
    amounts : tuple of int
        Atoms of each role in a formula.
    sites : tuple of (int, (x, y, z))
        The role of each occupied Wyckoff position, and where it is.
    ratios : (b/a, c/a)
    bond : (int, int)
        The roles of which the nearest atoms touch.
    kind : {"salt", "alloy"}
        Of metals and non-metals, or of metals alone.
    """

    name: str
    group: int
    amounts: tuple[int, ...]
    sites: tuple[tuple[int, Point], ...]
    ratios: tuple[float, float] = (1.0, 1.0)
    bond: tuple[int, int] = (0, 1)
    kind: str = "salt"


ORIGIN: Point = (0.0, 0.0, 0.0)
HALF: Point = (0.5, 0.5, 0.5)
QUARTER: Point = (0.25, 0.25, 0.25)
FACE: Point = (0.5, 0.5, 0.0)

PROTOTYPES = (
    Prototype("rock salt", 225, (1, 1), ((0, ORIGIN), (1, HALF))),
    Prototype("zincblende", 216, (1, 1), ((0, ORIGIN), (1, QUARTER))),
    Prototype(
        "wurtzite",
        186,
        (1, 1),
        ((0, (1 / 3, 2 / 3, 0.0)), (1, (1 / 3, 2 / 3, 0.375))),
        (1.0, 1.633),
    ),
    Prototype("CsCl", 221, (1, 1), ((0, ORIGIN), (1, HALF))),
    Prototype("fluorite", 225, (1, 2), ((0, ORIGIN), (1, QUARTER))),
    Prototype(
        "rutile",
        136,
        (1, 2),
        ((0, ORIGIN), (1, (0.3053, 0.3053, 0.0))),
        (1.0, 0.67),
    ),
    Prototype(
        "anatase",
        141,
        (1, 2),
        ((0, ORIGIN), (1, (0.0, 0.0, 0.2081))),
        (1.0, 2.514),
    ),
    Prototype(
        "brookite",
        61,
        (1, 2),
        (
            (0, (0.1289, 0.0972, 0.8628)),
            (1, (0.0095, 0.1491, 0.1835)),
            (1, (0.2314, 0.1110, 0.5366)),
        ),
        (0.594, 0.560),
    ),
    Prototype("cuprite", 224, (2, 1), ((0, QUARTER), (1, ORIGIN))),
    Prototype(
        "corundum",
        167,
        (2, 3),
        ((0, (0.0, 0.0, 0.3553)), (1, (0.3059, 0.0, 0.25))),
        (1.0, 2.73),
    ),
    Prototype(
        "spinel",
        227,
        (1, 2, 4),
        ((0, ORIGIN), (1, (0.625,) * 3), (2, (0.38,) * 3)),
        bond=(1, 2),
    ),
    Prototype(
        "perovskite",
        221,
        (1, 1, 3),
        ((0, ORIGIN), (1, HALF), (2, FACE)),
        bond=(1, 2),
    ),
    Prototype(
        "L1_0",
        123,
        (1, 1),
        ((0, ORIGIN), (1, HALF)),
        (1.0, 1.37),
        kind="alloy",
    ),
    Prototype("B2", 221, (1, 1), ((0, ORIGIN), (1, HALF)), kind="alloy"),
    Prototype("L1_2", 221, (1, 3), ((0, ORIGIN), (1, FACE)), kind="alloy"),
)
"""B2 is the type of CsCl, under the name that alloys have."""

SOLUTIONS = {
    "fcc": (225, (ORIGIN,), (1.0, 1.0)),
    "bcc": (229, (ORIGIN,), (1.0, 1.0)),
    "hcp": (194, ((1 / 3, 2 / 3, 0.25),), (1.0, 1.633)),
}
"""Solid solutions: space group, positions, ratios of the cell's edges."""

NAMES = frozenset((*(p.name for p in PROTOTYPES), *SOLUTIONS))
"""What the prototypes are called."""

EDGE = 5.0
"""The edge a of a cell that waits for its scale, A."""

_DIGITS = 10_000

MAGHEMITE = 5 / 6
"""How full the octahedral sites of a spinel are that has the formula A2B3."""


def prototypes_of(amounts: Mapping[str, float]) -> list[Crystal]:
    """The common crystals of a composition.

    Parameters
    ----------
    amounts : mapping
        Atoms by symbol, as of `diffpy_cbldm.formula.read_formula`.

    Returns
    -------
    list of Crystal
        With the lattice parameters of `LATTICES` (`measured`), or scaled to
        the sum of covalent radii: to be scaled to data.  Empty where no
        prototype has this stoichiometry.
    """
    return list(_prototypes(tuple(amounts.items())))


@functools.lru_cache(maxsize=16)
def _prototypes(told: tuple[tuple[str, float], ...]) -> list[Crystal]:
    """`prototypes_of`; the operations of a group take their time."""
    amounts = dict(told)
    metals = [e for e in amounts if e not in NO_METALS]
    alloy = len(metals) == len(amounts)
    if alloy:
        found = _of_kind("alloy", amounts, {})
        return found + [solution(name, amounts) for name in SOLUTIONS]
    found = _of_kind("salt", amounts, {})
    if not found:
        # Metals, or non-metals, may share the places of one another: those
        # of like size first, as on the two sites of a perovskite.
        for groups in (*_splits(metals), (metals,)):
            whole, mixes = _grouped(amounts, groups)
            if mixes and not found:
                found = _of_kind("salt", whole, mixes)
    if _whole(amounts) == {2: 1, 3: 1}:
        found.append(_maghemite(amounts))
    return found


Mixes = Mapping[str, Mapping[str, float]]
"""What stands for several elements, with their shares."""


def _of_kind(
    kind: str, amounts: Mapping[str, float], mixes: Mixes
) -> list[Crystal]:
    return [
        _built(prototype, roles, mixes)
        for prototype in PROTOTYPES
        if prototype.kind == kind
        for roles in _roles(prototype, amounts)
    ]


def _splits(metals: Sequence[str]) -> list[tuple[Sequence[str], ...]]:
    """Two groups of metals, those of the larger radii first, in all ways."""
    sizes = sorted(metals, key=_radius, reverse=True)
    return [(sizes[:k], sizes[k:]) for k in range(1, len(sizes))]


def _grouped(
    amounts: Mapping[str, float], groups: Sequence[Sequence[str]]
) -> tuple[dict[str, float], Mixes]:
    """Groups of metals as one element each, and all non-metals as another.

    By the first names of the groups.
    """
    others = [e for e in amounts if e in NO_METALS]
    whole: dict[str, float] = {}
    mixes = {}
    for some in (*groups, others):
        name, total = some[0], sum(amounts[e] for e in some)
        whole[name] = total
        if len(some) > 1:
            mixes[name] = {e: amounts[e] / total for e in some}
    return whole, mixes


def measured(crystal: Crystal) -> bool:
    """Whether the lattice parameters of a prototype are facts."""
    return (crystal.name, crystal.formula) in LATTICES


def solution(name: str, amounts: Mapping[str, float]) -> Crystal:
    """A solid solution: one lattice whose sites hold parts of all atoms.

    Parameters
    ----------
    name : {"fcc", "bcc", "hcp"}
    amounts : mapping
        Atoms by symbol.
    """
    group, sites, ratios = SOLUTIONS[name]
    total = sum(amounts.values())
    mixed = {e: n / total for e, n in amounts.items()}
    structure = _structure(group, ratios, [mixed] * len(sites), list(sites))
    radius = sum(x * _radius(e) for e, x in mixed.items())
    crystal = crystal_of(structure, name)
    return crystal.scaled(2 * radius / _shortest(crystal))


def _whole(amounts: Mapping[str, float]) -> dict[int, int]:
    """How often each number of atoms occurs, in a formula of whole ones."""
    least = min(amounts.values())
    for times in range(1, 5):
        scaled = [times * n / least for n in amounts.values()]
        if all(abs(n - round(n)) < 0.02 * n for n in scaled):
            numbers = [round(n) for n in scaled]
            return {n: numbers.count(n) for n in set(numbers)}
    return {}


def _roles(
    prototype: Prototype, amounts: Mapping[str, float]
) -> list[tuple[str, ...]]:
    """Which element may have which role, one tuple for each way."""
    scale = sum(prototype.amounts) / sum(amounts.values())
    ways = []
    for roles in itertools.product(amounts, repeat=len(prototype.amounts)):
        told: dict[str, float] = dict.fromkeys(amounts, 0.0)
        for element, count in zip(roles, prototype.amounts):
            told[element] += count
        right = all(
            abs(told[e] - n * scale) < 0.05 * max(told[e], 0.1)
            for e, n in amounts.items()
        )
        if right and _plausible(prototype, roles):
            ways.append(roles)
    return ways


def _plausible(prototype: Prototype, roles: tuple[str, ...]) -> bool:
    """Whether the elements suit their places."""
    if prototype.kind == "alloy":
        # The two elements of L1_0 and B2 have the same places.
        return len(set(prototype.amounts)) > 1 or list(roles) == sorted(roles)
    last, others = roles[-1], roles[:-1]
    if prototype.name == "fluorite" and last not in NO_METALS:
        # Antifluorite, as of Cu2Se: the places are exchanged.
        return others[0] in NO_METALS
    if last not in NO_METALS and prototype.amounts == (1, 1):
        return False
    if last in others:
        return False  # or V2O5 were a spinel with oxygen for a metal
    if prototype.name == "perovskite":
        return _radius(others[0]) > _radius(others[1])
    return last in NO_METALS and any(e not in NO_METALS for e in others)


def _built(
    prototype: Prototype, roles: tuple[str, ...], mixes: Mixes
) -> Crystal:
    """The crystal of a prototype, at its lattice parameters."""
    species = [
        dict(mixes.get(roles[role], {roles[role]: 1.0}))
        for role, _ in prototype.sites
    ]
    places = [place for _, place in prototype.sites]
    structure = _structure(prototype.group, prototype.ratios, species, places)
    formula = str(structure.composition.reduced_formula)
    edges = LATTICES.get((prototype.name, formula))
    if edges is None:
        crystal = crystal_of(structure, prototype.name)
        first, second = (roles[role] for role in prototype.bond)
        near = _radius(first) + _radius(second)
        return crystal.scaled(near / _shortest(crystal))
    a, c = edges[0], edges[-1]
    b = edges[1] if len(edges) == 3 else a
    ratios = (b / a, c / a)
    known = _structure(prototype.group, ratios, species, places)
    return crystal_of(known, prototype.name).scaled(a / EDGE)


def _maghemite(amounts: Mapping[str, float]) -> Crystal:
    """A spinel with vacancies on its octahedral sites, as of gamma-Fe2O3."""
    metal, other = sorted(amounts, key=amounts.__getitem__)
    spinel = next(p for p in PROTOTYPES if p.name == "spinel")
    species = [{metal: 1.0}, {metal: MAGHEMITE}, {other: 1.0}]
    places = [place for _, place in spinel.sites]
    structure = _structure(spinel.group, (1.0, 1.0), species, places)
    crystal = crystal_of(structure, spinel.name)
    edges = LATTICES.get((spinel.name, crystal.formula))
    if edges is not None:
        return crystal.scaled(edges[0] / EDGE)
    near = _radius(metal) + _radius(other)
    return crystal.scaled(near / _shortest(crystal))


def _structure(
    group: int,
    ratios: tuple[float, float],
    species: list[dict[str, float]],
    places: list[Point],
):
    """All atoms of a cell of edge `EDGE`, by the operations of the group."""
    from pymatgen.core import Lattice, Structure

    b, c = (EDGE * ratio for ratio in ratios)
    gamma = 120 if 143 <= group <= 194 else 90
    lattice = Lattice.from_parameters(EDGE, b, c, 90, 90, gamma)
    orbits = [_orbit(group, place) for place in places]
    mixes = [s for s, orbit in zip(species, orbits) for _ in orbit]
    return Structure(lattice, mixes, np.concatenate(orbits))


def _orbit(group: int, place: Point) -> np.ndarray:
    """Where the operations of a group bring a point, (n, 3) in edges."""
    ops = _operations(group)
    places = (ops[:, :3, :3] @ place + ops[:, :3, 3]) % 1.0
    # Positions are told to four digits.
    whole = np.rint(places * _DIGITS).astype(int) % _DIGITS
    _, first = np.unique(whole, axis=0, return_index=True)
    return places[np.sort(first)]


@functools.cache
def _operations(group: int) -> np.ndarray:
    """Those of a space group, (n, 4, 4)."""
    from pymatgen.symmetry.groups import SpaceGroup

    some = SpaceGroup.from_int_number(group).symmetry_ops
    return np.array([operation.affine_matrix for operation in some])


def _shortest(crystal: Crystal) -> float:
    """The shortest distance of two atoms, angstrom."""
    return float(crystal.bonds.min())


def _radius(element: str) -> float:
    """The covalent radius, angstrom: Cordero et al., Dalton Trans. 2832
    (2008), as ASE keeps it."""
    from ase.data import atomic_numbers, covalent_radii

    return float(covalent_radii[atomic_numbers[element]])
