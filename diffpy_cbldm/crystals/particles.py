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

from diffpy_cbldm.crystals.lattices import (
    AXIS,
    BASES,
    LAYER,
    directions,
    plane_families,
    sphere,
    stacking_sites,
)
from diffpy_cbldm.crystals.pair_kernels import binned_pairs

STACKINGS = ("fcc", "hcp", "twin", "lamella")
"""Sequences of close-packed layers; "lamella" has two twin planes."""

MAX_ATOMS = 10_000
"""Of the largest particle."""

REACH = 20.0
"""No site lies farther from the centre, bond lengths."""

NONE = 99.0
"""A limit that cuts nothing."""

CUBIC_CENTRES = {
    "fcc": ((0.0, 0.0, 0.0), (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)),
    "bcc": ((0.0, 0.0, 0.0), (0.5, 0.5, 0.0)),
    "sc": ((0.0, 0.0, 0.0), (0.5, 0.5, 0.5)),
}
"""Atoms, octahedral and tetrahedral holes, in lattice parameters."""

CELLS = {"fcc": 2**0.5, "bcc": 2 / 3**0.5, "sc": 1.0}
"""Lattice parameters of the cubic crystals, in bond lengths."""

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
        xyz = self.sites @ _steps(self.template)
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
        return _decahedron_atoms(*self.parameters)

    @functools.cached_property
    def positions(self) -> np.ndarray:
        """Positions about their mean, (N, 3), bond lengths."""
        from ase.cluster import Decahedron, Icosahedron

        build = Decahedron if self.crystal == "dec" else Icosahedron
        # Of the unit of length that the table of geometries has.
        atoms = build("Au", *self.parameters, latticeconstant=4.0)
        xyz = atoms.positions / _ASE_BONDS[self.crystal]
        return xyz - xyz.mean(0)

    def signature(self) -> tuple:
        """The same for particles that are one."""
        return self.crystal, *self.parameters


def _decahedron_atoms(p: int, q: int, r: int) -> int:
    """Atoms of a Marks decahedron (p, q, r), without building it.

    Columns stand in pentagons about the axis, each pentagon's an atom
    shorter than those of the one before; re-entrances take the columns near
    the corners.
    """
    height, side = p + q + 2 * r - 1, p + r
    count = height
    for n in range(1, p + 2 * r):
        first = max(n - side + 1, 0)
        columns = max(min(n, side) - first, 0)
        count += 5 * columns * (height - n)
    return count


_ASE_BONDS = {"dec": 8**0.5 / AXIS, "ico": 2.9}
"""The bond length of ASE's builders for a lattice parameter of 4."""


class Sites(Protocol):
    """What `pair_counts` asks of a particle."""

    @property
    def template(self) -> str: ...

    @property
    def sites(self) -> np.ndarray: ...

    @property
    def positions(self) -> np.ndarray: ...


def pair_counts(
    particle: Sites | MultiplyTwinned,
) -> tuple[np.ndarray, np.ndarray]:
    """The distances of a particle's pairs.

    On a lattice exact: the sites as a grid of zeros and ones are correlated
    with themselves, and vectors of one length are one distance.  Those of
    multiply twinned particles are shared by the nearest of bins in steps of
    `BIN`.

    Parameters
    ----------
    particle : Particle, MultiplyTwinned, or another that has a template and
        sites

    Returns
    -------
    distance, pairs : (S,) arrays, bond lengths and pairs i < j
        Rising.
    """
    from scipy import fft

    if particle.template in _ASE_BONDS:
        xyz = particle.positions
        longest = 2 * np.sqrt((xyz**2).sum(1).max())
        pairs = binned_pairs(xyz, BIN, int(longest / BIN) + 2)
        filled = np.flatnonzero(pairs)
        return filled * BIN, pairs[filled]
    assert not isinstance(particle, MultiplyTwinned)
    cells = particle.sites
    cells = cells - cells.min(0)
    if len(cells) < 2:
        return np.zeros(0), np.zeros(0)
    shape = cells.max(0) + 1
    # Twice as large, so that no vector comes back from the other side.
    size = [fft.next_fast_len(int(2 * n - 1), real=True) for n in shape]
    grid = np.zeros(size, np.float32)
    grid[tuple(cells.T)] = 1
    power = np.abs(fft.rfftn(grid)) ** 2
    counts = np.rint(fft.irfftn(power, size)).astype(np.int64)
    keys = _square_keys(particle.template, tuple(size))
    pairs = np.bincount(keys.ravel(), counts.ravel())[1:] / 2
    filled = np.flatnonzero(pairs)
    unit = _KEYS[particle.template]
    return np.sqrt((filled + 1) * unit), pairs[filled]


_KEYS = {"fcc": 0.5, "bcc": 1 / 3, "sc": 1.0, "stack": 1 / 3}
"""Squares of distances on a template are whole multiples of this."""


@functools.lru_cache(maxsize=128)
def _square_keys(template: str, size: tuple[int, ...]) -> np.ndarray:
    """The squared length of each vector of a correlation, in `_KEYS`."""
    # Beyond half of the grid stand the negative components.
    ways = [(np.arange(n) + n // 2) % n - n // 2 for n in size]
    u, v, w = np.meshgrid(*ways, indexing="ij", sparse=True)
    if template == "stack":
        return ((u * u + v * v - u * v) + 2 * w * w).astype(np.int32)
    return (u * u + v * v + w * w).astype(np.int32)


def _steps(template: str) -> np.ndarray:
    """Positions of unit steps of the sites' whole coordinates, rows."""
    if template == "stack":
        return BASES["stack"]
    # Half lattice parameters hold all sites of fcc and bcc.
    half = {"fcc": 0.5, "bcc": 0.5, "sc": 1.0}[template]
    return np.eye(3) * (half * CELLS[template])


@dataclasses.dataclass(frozen=True)
class _Crystal:
    """The sites of a crystal near one of its centres."""

    sites: np.ndarray
    places: np.ndarray
    heights: np.ndarray
    squares: np.ndarray
    axes: np.ndarray

    def along(self, axis: int) -> np.ndarray:
        return self.places @ self.axes[axis]


@functools.lru_cache(maxsize=32)
def _crystal(crystal: str, centre: int, between: int) -> _Crystal:
    """The sites of a crystal about a centre, and how far out they lie."""
    if crystal in CELLS:
        template, family = crystal, "cubic"
        points = sphere(crystal, REACH + 1)
        middle = np.array(CUBIC_CENTRES[crystal][centre]) * CELLS[crystal]
    else:
        template, family = "stack", "stack"
        points = sphere("stack", REACH + 1)
        layer, site = stacking_sites(points)
        points = points[site == layer_sites(crystal, layer, between)]
        middle = np.array(LAYER_CENTRES[centre])
    sites = np.rint(points @ np.linalg.inv(_steps(template))).astype(int)
    places = points - middle
    squares = (places**2).sum(1)
    near = squares <= REACH**2
    sites, places, squares = sites[near], places[near], squares[near]
    seen = places
    normals, numbers = directions(template), plane_families(template)
    if crystal == "twin":
        # The two halves are mirror images: so are their facets.
        seen = places * [1, 1, 0] + np.abs(places) * [0, 0, 1]
        own = _lattice_planes(normals)
        normals, numbers = normals[own], numbers[own]
    out = seen @ normals.T
    heights = np.stack(
        [
            out[:, numbers == k].max(1, initial=-NONE)
            for k in range(max(plane_families(template)) + 1)
        ],
        1,
    )
    axes = np.array(AXES[family], float)
    axes /= np.linalg.norm(axes, axis=1)[:, None]
    return _Crystal(sites, places, heights, squares, axes)


def crystal_sites(
    crystal: str, between: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """The sites of a crystal within `REACH` of an atom.

    Returns
    -------
    sites : (S, 3) array of int
        In whole steps of the template's basis.
    places : (S, 3) array
    """
    here = _crystal(crystal, 0, between)
    return here.sites, here.places


def _lattice_planes(normals: np.ndarray) -> np.ndarray:
    """Which normals are those of {111}, {100} or {110} of layers A B C.

    Layers have twice as many pyramids as one orientation of fcc has facets.
    """
    points = sphere("stack", 3.0)
    layer, site = stacking_sites(points)
    points = points[site == layer % 3]
    spacings = np.array([LAYER, 0.5**0.5, 0.5])
    steps = (points @ normals.T)[:, :, None] / spacings
    return (np.abs(steps - np.rint(steps)).max(0) < 1e-6).any(1)


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
