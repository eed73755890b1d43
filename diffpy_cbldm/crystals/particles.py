"""Large ideal particles, as cuts of a lattice that are told by few numbers.

A particle is what planes of low-index facets, a sphere or spheroid and two
caps leave of a crystal about one of its centres: truncated octahedra, cubes,
spheres, Wulff shapes, rods and plates of fcc, bcc and sc, the same of hcp,
and of fcc with one or two twin planes.  Nothing but these numbers is kept;
the sites follow from them, and exact pair counts from the sites
(`pair_counts`), since on a lattice few distances differ.

Lengths are in bond lengths.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Protocol

import numpy as np

from diffpy_cbldm.crystals.lattice_pairs import (
    CELLS,
    site_distances,
    site_steps,
)
from diffpy_cbldm.crystals.lattices import (
    AXIS,
    LAYER,
    directions,
    lattice_planes,
    layered,
    plane_families,
    sphere,
)
from diffpy_cbldm.crystals.pair_kernels import binned_pairs, column_pairs
from diffpy_cbldm.memory import SITES, quickly_made

STACKINGS = ("fcc", "hcp", "twin", "lamella")
"""Sequences of close-packed layers; "lamella" has two twin planes."""

MAX_ATOMS = 10_000
"""Of the largest particle."""

REACH = 20.0
"""No site lies farther from the centre, bond lengths."""

BETWEEN = (1, 2, 3, 4, 6, 8)
"""Layers between the two twin planes of a "lamella", of those that are listed
and learned."""

NONE = 99.0
"""A limit that cuts nothing."""

CUBIC_CENTRES = {
    "fcc": ((0.0, 0.0, 0.0), (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)),
    "bcc": ((0.0, 0.0, 0.0), (0.5, 0.5, 0.0)),
    "sc": ((0.0, 0.0, 0.0), (0.5, 0.5, 0.5)),
}
"""Atoms, octahedral and tetrahedral holes, in lattice parameters."""

LAYER_CENTRES = (
    (0.0, 0.0, 0.0),
    (0.0, 3**-0.5, 0.0),
    (0.5, 0.0, 0.0),
    (0.0, 0.0, 0.5 * LAYER),
    (0.0, 3**-0.5, 0.5 * LAYER),
)
"""Of stacked layers: an atom, the hole between three, a bond; and the last
but one and the last one between two layers."""

BIN = 0.01
"""Of the distances that stand on no lattice, bond lengths."""

AXES = {
    "cubic": ((0, 0, 1), (1, 1, 1), (1, 1, 0)),
    "stack": ((0, 0, 1), (1, 0, 0), (0, 1, 0)),
}
"""Axes along which caps cut and spheroids are longer."""


class OnLattice(Protocol):
    """A particle whose atoms are sites of a template."""

    @property
    def template(self) -> str:
        """As of `diffpy_cbldm.crystals.lattices`."""

    @property
    def sites(self) -> np.ndarray:
        """In whole steps of the template's basis, (N, 3)."""


@dataclasses.dataclass(frozen=True)
class Particle:
    """An ideal particle.

    Attributes
    ----------
    crystal : str
        "fcc", "bcc", "sc", or one of `STACKINGS` but "fcc": of layers.
    centre : int
        Of `CUBIC_CENTRES` or `LAYER_CENTRES`.
    limits : tuple of float
        How far the facets of each family of `diffpy_cbldm.crystals.lattices.
        plane_families` lie from the centre; `NONE` for no facets.
    radius : float
        Of the sphere, or of the spheroid across its axis.
    axis : int
        Of `AXES`.
    aspect : float
        Length over width of the spheroid.
    caps : tuple of two floats
        Lowest and highest place along the axis.
    between : int
        Layers between two twin planes.
    """

    crystal: str
    centre: int
    limits: tuple[float, ...]
    radius: float = NONE
    axis: int = 0
    aspect: float = 1.0
    caps: tuple[float, float] = (-NONE, NONE)
    between: int = 0

    @property
    def template(self) -> str:
        """The template of `diffpy_cbldm.crystals.lattices` it stands on."""
        return self.crystal if self.crystal in CELLS else "stack"

    @property
    def structure_type(self) -> str:
        """As candidates name it."""
        return "stacked" if self.crystal in STACKINGS[2:] else self.crystal

    @property
    def _crystal(self) -> _Crystal:
        return _crystal(self.crystal, self.centre, self.between)

    def _inside(self) -> np.ndarray:
        """Which sites of the crystal are filled, bool."""
        crystal = self._crystal
        inside = np.ones(len(crystal.sites), bool)
        for heights, limit in zip(crystal.heights.T, self.limits):
            if limit < NONE:
                inside &= heights <= limit + 1e-6
        if self.radius < NONE:
            along = crystal.along(self.axis)
            across = crystal.squares - along**2
            inside &= across + (along / self.aspect) ** 2 <= (
                self.radius**2 + 1e-6
            )
        if self.caps != (-NONE, NONE):
            along = crystal.along(self.axis)
            inside &= (along >= self.caps[0] - 1e-6) & (
                along <= self.caps[1] + 1e-6
            )
        return inside

    @functools.cached_property
    def sites(self) -> np.ndarray:
        """Filled sites in whole steps of the template's basis, (N, 3)."""
        return self._crystal.sites[self._inside()]

    def __len__(self) -> int:
        return int(self._inside().sum())

    def signature(self) -> tuple:
        """The same for particles that are one: crystal, N, moments."""
        places = self._crystal.places[self._inside()]
        places = places - places.mean(0)
        squares = (places**2).sum(1)
        moments = squares.mean(), (squares**2).mean(), (places**4).mean()
        return (
            self.crystal,
            self.between,
            len(places),
            *np.round(moments, 4).tolist(),
        )

    @property
    def positions(self) -> np.ndarray:
        """Positions about their mean, (N, 3), bond lengths."""
        xyz = self.sites @ site_steps(self.template)
        return xyz - xyz.mean(0)


@dataclasses.dataclass(frozen=True)
class MultiplyTwinned:
    """A Marks decahedron or a Mackay icosahedron.

    Attributes
    ----------
    crystal : {"dec", "ico"}
    parameters : tuple of int
        Of ``ase.cluster``: (p, q, r) of the decahedron, shells of the
        icosahedron.
    """

    crystal: str
    parameters: tuple[int, ...]

    @property
    def template(self) -> str:
        """The template of `diffpy_cbldm.crystals.lattices` it stands on."""
        return self.crystal

    @property
    def structure_type(self) -> str:
        """As candidates name it."""
        return self.crystal

    def __len__(self) -> int:
        if self.crystal == "ico":
            n = self.parameters[0]
            return n * (10 * n * n - 15 * n + 11) // 3 - 1
        return int(decahedron_columns(*self.parameters)[1].sum())

    @functools.cached_property
    def positions(self) -> np.ndarray:
        """Positions about their mean, (N, 3), bond lengths."""
        if self.crystal == "dec":
            return _stacked(*decahedron_columns(*self.parameters)[:2])
        from ase.cluster import Icosahedron

        # Of the unit of length that the table of geometries has.
        atoms = Icosahedron("Au", *self.parameters, latticeconstant=4.0)
        xyz = atoms.positions / _ICO_BOND
        return xyz - xyz.mean(0)

    def signature(self) -> tuple:
        """The same for particles that are one."""
        return self.crystal, *self.parameters


_ICO_BOND = 2.9
"""The bond length of ASE's icosahedra for a lattice parameter of 4."""


def decahedron_columns(
    p: int, q: int, r: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The columns of atoms along the axis of a Marks decahedron.

    They stand in pentagons about the axis, each pentagon's an atom shorter
    than those of the one before; the re-entrances take the columns near the
    corners (Marks, Philos. Mag. A 49, 1984, 81).

    Parameters
    ----------
    p, q, r : int
        Atoms along the edges of the {100} facets, across and along the axis,
        and depth of the re-entrances, as in ``ase.cluster``.

    Returns
    -------
    places : (C, 2) array, bond lengths
    heights : (C,) array of int
        Atoms in each column.
    share : (C,) array
        5 for the columns of one of the five sectors and 1 for the axis, 0
        for those that the five-fold axis carries onto them.
    """
    height, side = p + q + 2 * r - 1, p + r
    ring = np.arange(1, p + 2 * r)[:, None]
    along = np.arange(side)
    # Steps along two neighbouring corners, the first one included.
    filled = (along < ring) & (ring - along < side)
    n, i = (ring + 0 * along)[filled], (0 * ring + along)[filled]
    angles = 2 * np.pi / 5 * np.arange(6) + np.pi / 2
    corners = 0.75**0.5 * AXIS * np.stack([np.cos(angles), np.sin(angles)], 1)
    sectors = [
        (n - i)[:, None] * here + i[:, None] * there
        for here, there in zip(corners, corners[1:])
    ]
    places = np.concatenate([np.zeros((1, 2)), *sectors])
    heights = np.concatenate([[height], np.tile(height - n, 5)])
    share = np.zeros(len(places))
    share[0], share[1 : len(n) + 1] = 1, 5
    return places, heights, share


def _stacked(places: np.ndarray, heights: np.ndarray) -> np.ndarray:
    """The atoms of columns that are centred at z = 0, (N, 3)."""
    last = np.cumsum(heights)
    number = np.arange(last[-1]) - np.repeat(last - heights, heights)
    z = AXIS * (number - 0.5 * (np.repeat(heights, heights) - 1))
    return np.column_stack([np.repeat(places, heights, axis=0), z])


def pair_counts(
    particle: OnLattice | MultiplyTwinned,
) -> tuple[np.ndarray, np.ndarray]:
    """The distances of a particle's pairs.

    On a lattice exact: the sites as a grid of zeros and ones are correlated
    with themselves, and vectors of one length are one distance.  Those of
    multiply twinned particles are shared by the nearest of bins in steps of
    `BIN`.

    Parameters
    ----------
    particle : Particle, RandomParticle or MultiplyTwinned

    Returns
    -------
    distance, pairs : (S,) arrays, bond lengths and pairs i < j
        Rising.
    """
    if isinstance(particle, MultiplyTwinned):
        pairs = _twinned_pairs(particle)
        filled = np.flatnonzero(pairs)
        return filled * BIN, pairs[filled]
    return site_distances(particle.template, particle.sites)


def _twinned_pairs(particle: MultiplyTwinned) -> np.ndarray:
    """Pairs in bins of `BIN`."""
    if particle.crystal == "ico":
        xyz = particle.positions
        longest = 2 * np.sqrt((xyz**2).sum(1).max())
        return binned_pairs(xyz, BIN, int(longest / BIN) + 2)
    places, heights, share = decahedron_columns(*particle.parameters)
    longest = 2 * np.sqrt((places**2).sum(1).max()) + heights[0] * AXIS
    bins = int(longest / BIN) + 2
    return column_pairs(places, heights, share, AXIS, BIN, bins)


@dataclasses.dataclass(frozen=True)
class _Crystal:
    """The sites of a crystal near one of its centres."""

    crystal: str
    template: str
    sites: np.ndarray
    places: np.ndarray
    squares: np.ndarray
    axes: np.ndarray

    @functools.cached_property
    def heights(self) -> np.ndarray:
        """How far out the sites lie in each family of planes, (S, F)."""
        seen = self.places
        families = plane_families(self.template)
        normals, numbers = directions(self.template), families
        if self.crystal == "twin":
            # The two halves are mirror images: so are their facets.
            seen = seen * [1, 1, 0] + np.abs(seen) * [0, 0, 1]
            own = lattice_planes(normals)
            normals, numbers = normals[own], numbers[own]
        # Family by family: the heights over all facets are much larger.
        return np.stack(
            [
                (seen @ normals[numbers == k].T).max(1, initial=-NONE)
                for k in range(max(families) + 1)
            ],
            1,
        )

    def along(self, axis: int) -> np.ndarray:
        return self.places @ self.axes[axis]


@quickly_made(SITES)
@functools.lru_cache(maxsize=4)
def _crystal(crystal: str, centre: int, between: int) -> _Crystal:
    """The sites of a crystal about a centre."""
    if crystal in CELLS:
        template, family = crystal, "cubic"
        points = sphere(crystal, REACH + 1)
        middle = np.array(CUBIC_CENTRES[crystal][centre]) * CELLS[crystal]
    else:
        template, family = "stack", "stack"
        points, layer, site = layered(REACH + 1)
        points = points[site == layer_sites(crystal, layer, between)]
        middle = np.array(LAYER_CENTRES[centre])
    sites = np.rint(points @ np.linalg.inv(site_steps(template))).astype(int)
    places = points - middle
    squares = (places**2).sum(1)
    near = squares <= REACH**2
    sites, places, squares = sites[near], places[near], squares[near]
    axes = np.array(AXES[family], float)
    axes /= np.linalg.norm(axes, axis=1)[:, None]
    return _Crystal(crystal, template, sites, places, squares, axes)


def layer_sites(crystal: str, layer: np.ndarray, between: int) -> np.ndarray:
    """The site (0, 1, 2 for A, B, C) that each layer fills.

    Parameters
    ----------
    crystal : str
        One of `STACKINGS`.
    layer : (n,) array of int
    between : int
        Layers between the twin planes of "lamella": they are the layers 0
        and `between`.
    """
    if crystal == "hcp":
        return layer % 2
    if crystal == "twin":
        return np.abs(layer) % 3
    if crystal == "lamella":
        # Down to the first plane, up to the second one, and down again.
        folded = np.where(layer < 0, -layer, layer)
        folded = np.where(layer > between, 2 * between - layer, folded)
        return folded % 3
    return layer % 3


def crystal_places(
    crystal: str, between: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """The sites of a crystal about an atom, and where they are.

    Returns
    -------
    sites, places : (n, 3) arrays, whole steps and bond lengths
    """
    here = _crystal(crystal, 0, between)
    return here.sites, here.places


def layers_of(crystal: str, centre: int, between: int = 0) -> list[np.ndarray]:
    """Where limits make a difference: the places of layers and shells.

    Returns
    -------
    list of arrays, rising: for each family of facets the distances of its
    layers from the centre, and last those of the shells of atoms.
    """
    here = _crystal(crystal, centre, between)
    places = [np.unique(np.round(column, 4)) for column in here.heights.T]
    return [
        *(p[(p > 0.5) & (p < REACH / 1.2)] for p in places),
        np.unique(np.round(np.sqrt(here.squares), 4))[1:],
    ]
