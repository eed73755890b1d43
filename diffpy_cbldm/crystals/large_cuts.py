"""Pieces of large crystals between planes, each at a distance of its own.

`diffpy_cbldm.crystals.particles` tells symmetric particles by few numbers;
here a piece is told by its sites, and by how far out these lie in each of the
`diffpy_cbldm.crystals.lattices.directions`.  Lengths are in bond lengths.
"""

from __future__ import annotations

import dataclasses
import functools
import zlib

import numpy as np

from diffpy_cbldm.crystals.lattice_pairs import CELLS, site_distances
from diffpy_cbldm.crystals.lattices import LAYER, directions, turns
from diffpy_cbldm.crystals.pair_kernels import binned_pairs
from diffpy_cbldm.crystals.particles import (
    BIN,
    MultiplyTwinned,
    crystal_places,
    pair_counts,
)
from diffpy_cbldm.crystals.site_kernels import farthest_points, growths
from diffpy_cbldm.memory import SITES, quickly_made

LARGE_TYPES = ("fcc", "bcc", "sc", "hcp", "twin", "lamella", "dec", "ico")
"""What the model of large particles tells apart: "twin" and "lamella" are fcc
with one and two twin planes."""

ATOM_VOLUME = {
    "fcc": 0.5**0.5,
    "bcc": 4 / 27**0.5,
    "sc": 1.0,
    "dec": 0.72,
    "ico": 0.76,
}
"""Bond lengths cubed an atom; other crystals have that of "fcc"."""

GROWN = 1.25
"""A piece of a wanted size is looked for up to this factor of its outline."""

AT_ONCE = 4096
"""Sites whose heights are held in double precision."""

_LARGEST = {"dec": (18, 24, 0), "ico": (16,)}
"""Of the multiply twinned particles that others are pieces of."""


def template_of(crystal: str) -> str:
    """The template whose directions bound the pieces of a crystal."""
    own = crystal in CELLS or crystal in ("dec", "ico")
    return crystal if own else "stack"


def cube_side(crystal: str, count: int) -> float:
    """The side of a cube with the volume of some atoms: the unit of size."""
    volume = ATOM_VOLUME.get(crystal, ATOM_VOLUME["fcc"])
    return (count * volume) ** (1 / 3)


@dataclasses.dataclass(frozen=True, eq=False)
class Ground:
    """The sites of a crystal, from the centre outwards.

    Attributes
    ----------
    crystal : str
        One of `LARGE_TYPES`.
    between : int
        Layers between the twin planes of a "lamella".
    places : (S, 3) array
        Twin planes lie at height 0, for a "lamella" at half `between` layers
        above and below; the axis of "dec" and the centre of "ico" at 0.
    radii : (S,) array, rising
    steps : (S, 3) array of int or None
        Places on the template in whole steps; None on no lattice.
    """

    crystal: str
    between: int
    places: np.ndarray
    radii: np.ndarray
    steps: np.ndarray | None
    _kept: list[np.ndarray] = dataclasses.field(default_factory=list)

    @classmethod
    def of(cls, crystal: str, between: int = 0) -> Ground:
        """Made once for each crystal."""
        return _ground(crystal, between if crystal == "lamella" else 0)

    @property
    def heights(self) -> np.ndarray:
        """`heights_to` of all sites."""
        return self.heights_to(len(self.places))

    def heights_to(self, count: int) -> np.ndarray:
        """How far out the first sites lie in each direction, (count, K).

        For "twin" the sites below the plane are seen in its mirror, but for
        directions across it.  Made as far as particles reach: those of all
        sites of all crystals would take most of a job's memory.
        """
        across = len(directions(template_of(self.crystal)))
        none = np.zeros((0, across), np.float32)
        known = self._kept[0] if self._kept else none
        if len(known) < count:
            count_made = min(max(count, 2 * len(known)), len(self.places))
            made = np.empty((count_made, across), np.float32)
            made[: len(known)] = known
            # All at once in double precision would take three times as much.
            for k in range(len(known), count_made, AT_ONCE):
                part = slice(k, min(k + AT_ONCE, count_made))
                made[part] = self.seen(self.places[part])
            known = made
            self._kept[:] = [known]
        return known[:count]

    def seen(self, points: np.ndarray) -> np.ndarray:
        """Heights of points (n, 3) in each direction, (n, K)."""
        normals = directions(template_of(self.crystal))
        heights = points @ normals.T
        if self.crystal == "twin":
            # The two halves are mirror images: so are their facets.
            across = np.abs(normals[:, 2]) > 0.99
            folded = points * [1, 1, 0] + np.abs(points) * [0, 0, 1]
            heights[:, ~across] = folded @ normals[~across].T
        return heights

    def reference(self, places: np.ndarray) -> np.ndarray:
        """From where extents of a piece are told, (3,).

        Its mean, but as far as the crystal has a plane, axis or centre.
        """
        free = {
            "twin": (1, 1, 0),
            "lamella": (1, 1, 0),
            "dec": (0, 0, 1),
            "ico": (0, 0, 0),
        }
        return places.mean(0) * free.get(self.crystal, (1, 1, 1))

    def gauge(
        self, extents: np.ndarray, radius: float, centre: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """The sites in the order in which a growing piece takes them.

        Parameters
        ----------
        extents : (K,) array
            Of a piece of a size near to that wanted.
        radius : float
            Farthest place from the centre.
        centre : (3,) array

        Returns
        -------
        index : (n,) array of int
        size : (n,) array, rising
            By what factor the piece must grow to hold the site.
        """
        reach = GROWN * radius + float(np.linalg.norm(centre))
        count = int(np.searchsorted(self.radii, reach))
        # Heights about the centre; those of the centre itself where the
        # crystal has planes are 0.
        off = centre @ directions(template_of(self.crystal)).T
        size = growths(
            self.places[:count],
            self.heights_to(count),
            np.asarray(centre, float),
            off,
            np.maximum(np.asarray(extents, float), 0.05),
            float(radius),
            GROWN,
        )
        index = np.flatnonzero(size < GROWN)
        order = np.argsort(size[index], kind="stable")
        return index[order], size[index[order]]


@quickly_made(SITES)
@functools.lru_cache(maxsize=24)
def _ground(crystal: str, between: int) -> Ground:
    steps = None
    if crystal in _LARGEST:
        whole = MultiplyTwinned(crystal, _LARGEST[crystal])
        places = whole.positions
        if crystal == "dec":
            # An atom of the axis at height 0.
            axis = np.hypot(*places.T[:2]) < 1e-3
            heights = np.sort(places[axis, 2])
            places = places - [0, 0, heights[len(heights) // 2]]
    else:
        steps, places = crystal_places(crystal, between)
        if crystal == "lamella":
            places = places - [0, 0, 0.5 * between * LAYER]
    radii = np.linalg.norm(places, axis=1)
    order = np.argsort(radii, kind="stable")
    return Ground(
        crystal,
        between,
        places[order],
        radii[order],
        None if steps is None else steps[order],
    )


@dataclasses.dataclass(frozen=True, eq=False)
class Piece:
    """Some sites of a crystal.

    Attributes
    ----------
    ground : Ground
    index : (N,) array of int, rising
    """

    ground: Ground
    index: np.ndarray

    @property
    def crystal(self) -> str:
        """One of `LARGE_TYPES`."""
        return self.ground.crystal

    @property
    def between(self) -> int:
        """Layers between the twin planes."""
        return self.ground.between

    @property
    def template(self) -> str:
        """The template of `diffpy_cbldm.crystals.lattices` it stands on."""
        return template_of(self.crystal)

    @property
    def structure_type(self) -> str:
        """As candidates name it."""
        stacked = self.crystal in ("twin", "lamella")
        return "stacked" if stacked else self.crystal

    @property
    def sites(self) -> np.ndarray:
        """Filled sites in whole steps of the template's basis, (N, 3)."""
        assert self.ground.steps is not None
        return self.ground.steps[self.index]

    @property
    def places(self) -> np.ndarray:
        """Positions in the crystal, (N, 3)."""
        return self.ground.places[self.index]

    @property
    def positions(self) -> np.ndarray:
        """Positions about their mean, (N, 3)."""
        return self.places - self.places.mean(0)

    @functools.cached_property
    def distances(self) -> tuple[np.ndarray, np.ndarray]:
        """Its distances and how many pairs have each, see `distances`.

        Counted once: a search compares the same piece under several
        conditions.
        """
        if self.ground.steps is not None:
            return site_distances(self.template, self.sites)
        xyz = self.positions
        longest = 2 * np.sqrt((xyz**2).sum(1).max())
        pairs = binned_pairs(xyz, BIN, int(longest / BIN) + 2)
        filled = np.flatnonzero(pairs)
        return filled * BIN, pairs[filled]

    def __len__(self) -> int:
        return len(self.index)

    @property
    def key(self) -> tuple[str, int, bytes]:
        """The same for the same sites."""
        sites = self.index.astype(np.int32).tobytes()
        return self.crystal, self.between, sites


def distances(
    particle: Piece | MultiplyTwinned,
) -> tuple[np.ndarray, np.ndarray]:
    """The distances of a particle's pairs, see `particles.pair_counts`."""
    if isinstance(particle, MultiplyTwinned):
        return pair_counts(particle)
    return particle.distances


def whole_piece(particle: MultiplyTwinned) -> Piece:
    """A Marks decahedron or Mackay icosahedron as a piece of a larger one."""
    from scipy.spatial import cKDTree

    ground = Ground.of(particle.crystal)
    places = particle.positions
    if particle.crystal == "dec":
        # An atom of the axis comes to that of the ground.
        axis = np.hypot(*places.T[:2]) < 1e-3
        heights = np.sort(places[axis, 2])
        places = places - [0, 0, heights[len(heights) // 2]]
    apart, index = cKDTree(ground.places).query(places)
    assert apart.max() < 0.02
    return Piece(ground, np.sort(index))


@dataclasses.dataclass(frozen=True)
class Outline:
    """How far out a particle reaches, in units of its size.

    Attributes
    ----------
    crystal : str
    extents : (K,) array
        Along each direction of the crystal's template.
    radius : float
        Of the farthest atom.
    """

    crystal: str
    extents: np.ndarray
    radius: float

    @classmethod
    def of(cls, particle: Piece | MultiplyTwinned) -> Outline:
        """That of a particle, from the crystal's reference point."""
        if isinstance(particle, Piece):
            ground, places = particle.ground, particle.places
            top = int(particle.index[-1]) + 1
            heights = ground.heights_to(top)[particle.index].max(0)
        else:
            ground, places = Ground.of(particle.crystal), particle.positions
            heights = ground.seen(places).max(0)
        centre = ground.reference(places)
        unit = cube_side(ground.crystal, len(places))
        off = centre @ directions(template_of(ground.crystal)).T
        radius = np.linalg.norm(places - centre, axis=1).max()
        return cls(ground.crystal, (heights - off) / unit, radius / unit)

    def upright(self) -> tuple[Outline, np.ndarray]:
        """The one of all equivalent outlines that models are told.

        Particles that are turned by an operation of the crystal have the same
        PDF.

        Returns
        -------
        Outline, and the operation as a (3, 3) matrix
        """
        ways, operations, weights = _ways(self.crystal)
        best = int((self.extents[ways] @ weights).argmax())
        turned = dataclasses.replace(self, extents=self.extents[ways[best]])
        return turned, operations[best]


@functools.cache
def _ways(crystal: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Orders of the directions under each operation, operations, weights."""
    template = template_of(crystal)
    normals, group = directions(template), turns(template)
    if crystal in ("twin", "lamella"):
        group = np.array([g for g in group if _keeps_layers(g)])
    ways = []
    for g in group:
        seen = g
        if crystal == "twin":
            # Facets of both halves are told as those of the upper one.
            seen = g * [1, 1, abs(g[2, 2]) / g[2, 2]]
        way = (normals @ seen @ normals.T).argmax(1)
        if crystal == "twin":
            across = np.abs(normals[:, 2]) > 0.99
            way[across] = (normals[across] @ g @ normals.T).argmax(1)
        ways.append(way)
    # Some fixed preference that no operation keeps.
    spread = normals @ np.array([[1.0, 0.1, 0.06], [0, 0.4, 0.03], [0, 0, 0]])
    weights = (spread * normals).sum(1) + normals @ [0.11, 0.067, 0.03]
    return np.array(ways), group, weights


def _keeps_layers(operation: np.ndarray) -> bool:
    """Whether an operation keeps a twin of close-packed layers."""
    # The neighbours of an atom in the plane, in the layer above.
    above = np.array([[0.0, 3**-0.5, LAYER]])
    turn = np.array([[-0.5, 0.75**0.5, 0], [-(0.75**0.5), -0.5, 0], [0, 0, 1]])
    above = np.concatenate([above, above @ turn, above @ turn @ turn])
    moved = above @ operation.T * [1, 1, 0]
    gaps = np.linalg.norm(moved[:, None] - above * [1, 1, 0], axis=2)
    return bool((gaps.min(1) < 1e-6).all())


def kept_back(piece: Piece | MultiplyTwinned) -> bool:
    """Whether a particle is for tests alone: one in ten, by its shape.

    The same for particles that are one, wherever they stand.
    """
    places = piece.positions
    squares = (places**2).sum(1)
    moments = squares.mean(), (squares**2).mean()
    shape = [round(float(m) / len(piece) ** (2 / 3), 4) for m in moments]
    text = f"{piece.crystal} {len(piece)} {shape}"
    return zlib.crc32(text.encode()) % 10 == 0


def landmarks(places: np.ndarray, count: int) -> np.ndarray:
    """Some atoms that stand far apart, the first the nearest to the mean.

    Parameters
    ----------
    places : (N, 3) array
    count : int
        N where there are fewer.

    Returns
    -------
    (n,) array of int: each one is the farthest from all before it.
    """
    first = int(((places - places.mean(0)) ** 2).sum(1).argmin())
    count = min(count, len(places))
    return farthest_points(np.ascontiguousarray(places, float), count, first)
