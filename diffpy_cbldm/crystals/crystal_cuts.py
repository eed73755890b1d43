"""Particles cut from a crystal: spheres, ellipsoids, polyhedra, rods, plates.

A shape is a gauge: a function that grows along each ray from the centre.
What lies below a level is a particle, and those of one shape hold one
another, so that many sizes cost little more than the largest.  Facets are of
low index, carried by the crystal's own point group; shifted planes give
other terminations, and where the group does not carry a facet to its
opposite, as in zincblende, the two have distances of their own.
"""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
from scipy.spatial import cKDTree

from diffpy_cbldm.crystals.crystal import Crystal

LEAST, MOST = 20, 10_000
"""Atoms of a particle."""

SHAPES = ("sphere", "ellipsoid", "polyhedron", "rod", "plate")

_ORBITS = 6
"""So many families of facets are used, the widest spacing first."""

_ROUNDED = (1.0, 1.5)
"""Radius of the ball that closes a polyhedron, over that of its facets."""

_LONGEST = 2.3
"""Longest radius over that of a ball of the same volume."""

_VARIED = 0.07
"""Relative changes of distances of a shape that is varied."""

_LEVEL = 1e-6
"""Sites whose gauges differ by less join a particle together."""

_NEIGHBOUR = 1.2
"""Longest bond over the shortest of the same two elements."""


@dataclasses.dataclass(frozen=True, eq=False)
class Shape:
    """A convex shape around a centre.

    Attributes
    ----------
    kind : str
        One of `SHAPES`.
    centre : (3,) array, angstrom
        In the crystal.
    matrix : (3, 3) array
        Its quadratic part: the gauge is at least |matrix x|.
    planes, offsets : (m, 3) and (m,) arrays
        The gauge is at least planes @ x - offsets.
    facets : str
        The families of its facets, such as "{111}{100}".
    """

    kind: str
    centre: np.ndarray
    matrix: np.ndarray
    planes: np.ndarray
    offsets: np.ndarray
    facets: str = ""

    def __str__(self) -> str:
        return f"{self.kind} {self.facets}".strip()

    def gauge(self, x: np.ndarray) -> np.ndarray:
        """The level at which each of some points (n, 3) joins, (n,)."""
        level = np.linalg.norm(x @ self.matrix.T, axis=1)
        for plane, offset in zip(self.planes, self.offsets):
            np.maximum(level, x @ plane - offset, out=level)
        return level

    def varied(self, cell: np.ndarray, rng: np.random.Generator) -> Shape:
        """A shape a little different, about a middle nearby.

        Parameters
        ----------
        cell : (3, 3) array, angstrom
            Of the crystal: middles lie up to some tenths of it apart.
        rng : numpy Generator
        """
        planes = self.planes * np.exp(
            rng.normal(0, _VARIED, (len(self.planes), 1))
        )
        moved = rng.normal(0, 0.2, 3) @ cell * (rng.random() < 0.5)
        stretch = np.exp(rng.normal(0, _VARIED, 3))
        return dataclasses.replace(
            self,
            centre=self.centre + moved,
            matrix=self.matrix * stretch,
            planes=planes,
            offsets=self.offsets + rng.normal(0, 0.03, len(planes)),
        )

    def spread(self) -> tuple[float, float]:
        """The radius of a ball of the same volume, and the longest radius.

        At the level 1, offsets left out.
        """
        plain = dataclasses.replace(self, offsets=0 * self.offsets)
        radius = 1 / plain.gauge(_directions())
        return float(np.cbrt(np.mean(radius**3))), float(radius.max())


def _directions(count: int = 400) -> np.ndarray:
    """Even directions on a sphere, (count, 3): Fibonacci's spiral."""
    k = np.arange(count) + 0.5
    z = 1 - 2 * k / count
    turn = np.pi * (1 + 5**0.5) * k
    flat = np.sqrt(1 - z**2)
    return np.stack([flat * np.cos(turn), flat * np.sin(turn), z], 1)


@dataclasses.dataclass(frozen=True, eq=False)
class Nest:
    """Particles of one shape, the smaller ones inside the larger.

    Attributes
    ----------
    shape : Shape
    positions : (n, 3) array, angstrom
        In the order in which atoms join.
    kind : (n,) array of int
        The element of each, a place in `Crystal.elements`.
    ends : (E,) array of int
        Numbers of atoms at which a shell of equal gauges is complete, of the
        sizes that were asked for.
    shells : (S,) array of int
        All numbers of atoms at which one is.
    """

    shape: Shape
    positions: np.ndarray
    kind: np.ndarray
    ends: np.ndarray
    shells: np.ndarray


Families = list[tuple[str, np.ndarray]]
"""Indices of a facet, and the normals of all that are equivalent, (m, 3)."""


def facet_families(crystal: Crystal) -> Families:
    """Families of low-index facets, those of the widest spacing first.

    Returns
    -------
    list of (str, (m, 3) array)
        Indices of one facet, and the unit normals of all that the point
        group carries it to.
    """
    turns, _ = crystal.symmetry
    inverse = np.linalg.inv(crystal.cell)
    indices = [
        hkl
        for hkl in itertools.product((1, 0, -1, 2, -2), repeat=3)
        if any(hkl) and not all(k % 2 == 0 for k in hkl)
    ]
    vectors = np.array(indices) @ inverse.T
    length = np.linalg.norm(vectors, axis=1)
    found: list[tuple[str, np.ndarray]] = []
    seen = np.zeros(len(indices), bool)
    # Of equal spacings the one with positive indices names the family.
    for k in np.lexsort((-np.array(indices).sum(1), np.round(length, 6))):
        if seen[k]:
            continue
        images = turns @ vectors[k]
        apart = np.abs(images[:, None] - vectors).max(-1)
        seen |= (apart < 1e-4 * length[k]).any(0)
        _, first = np.unique(
            np.round(images / length[k], 6), axis=0, return_index=True
        )
        unique = images[np.sort(first)] / length[k]
        name = "".join(str(i) if i >= 0 else f"-{-i}" for i in indices[k])
        found.append((f"{{{name}}}", unique))
        if len(found) == _ORBITS:
            break
    return found


def centres(crystal: Crystal) -> np.ndarray:
    """Distinct middles for particles, (m, 3), angstrom.

    One site of each kind, the middle of its bonds to the nearest others, and
    the middles of the cell, its faces and its edges.
    """
    _, classes = crystal.symmetry
    points = []
    for site in np.unique(classes):
        here = crystal.sites[site] @ crystal.cell
        x, _ = crystal.ball(here, 4.5)
        points.append(here)
        points += [here + 0.5 * x[k] for k in (1, len(x) // 2) if k < len(x)]
    cells = np.array(list(itertools.product((0.0, 0.5), repeat=3)))
    found = np.concatenate([np.array(points), cells @ crystal.cell])
    fractional = np.round(found @ np.linalg.inv(crystal.cell), 4) % 1.0
    return np.unique(fractional, axis=0) @ crystal.cell


def shapes(
    crystal: Crystal, count: int, rng: np.random.Generator
) -> list[Shape]:
    """Different shapes, the spheres about each of `centres` first.

    Parameters
    ----------
    crystal : Crystal
    count : int
    rng : numpy Generator
    """
    middles = centres(crystal)
    families = facet_families(crystal)
    none = np.zeros((0, 3)), np.zeros(0)
    made = [Shape("sphere", c, np.eye(3), *none) for c in middles[:count]]
    ways = [_ellipsoid, _polyhedron, _polyhedron, _polyhedron, _prism]
    while len(made) < count:
        if rng.random() < 0.7:
            centre = middles[rng.integers(len(middles))]
        else:
            centre = rng.random(3) @ crystal.cell
        way = ways[len(made) % len(ways)]
        made.append(way(centre, families, rng))
    return made


def _ellipsoid(
    centre: np.ndarray, families: Families, rng: np.random.Generator
) -> Shape:
    """An ellipsoid of revolution about the normal of a facet."""
    name, normals = families[rng.integers(min(3, len(families)))]
    axis = normals[rng.integers(len(normals))]
    ratio = np.exp(rng.uniform(-0.8, 0.8))
    along = np.outer(axis, axis)
    matrix = along / ratio + (np.eye(3) - along)
    return Shape(
        "ellipsoid", centre, matrix, np.zeros((0, 3)), np.zeros(0), name
    )


def _polyhedron(
    centre: np.ndarray, families: Families, rng: np.random.Generator
) -> Shape:
    """Facets of one to three families at distances of their own."""
    count = int(rng.choice([1, 2, 3], p=[0.35, 0.45, 0.2]))
    weight = 1.0 / (1 + np.arange(len(families)))
    chosen = rng.choice(
        len(families),
        min(count, len(families)),
        replace=False,
        p=weight / weight.sum(),
    )
    planes, names = [], []
    for k in chosen:
        name, normals = families[k]
        distance = rng.uniform(0.8, 1.25)
        planes.append(normals / distance)
        names.append(name)
        # Without a centre of symmetry the opposite facets are others.
        opposite = np.abs(normals[:, None] + normals).max(-1).min(1) > 1e-4
        if opposite.any():
            distance = rng.uniform(0.8, 1.25)
            planes.append(-normals[opposite] / distance)
    faces = np.concatenate(planes)
    closed = np.eye(3) / rng.uniform(*_ROUNDED)
    # Half of them have planes that are shifted one by one.
    shift = rng.uniform(0, 0.12) if rng.random() < 0.5 else 0.0
    offsets = rng.uniform(-shift, shift, len(faces))
    return Shape("polyhedron", centre, closed, faces, offsets, "".join(names))


def _prism(
    centre: np.ndarray, families: Families, rng: np.random.Generator
) -> Shape:
    """A rod or a plate along the normal of a facet, round or with facets."""
    name, normals = families[rng.integers(min(4, len(families)))]
    axis = normals[rng.integers(len(normals))]
    ratio = float(np.exp(rng.uniform(-1.2, 1.2)))
    ends = np.stack([axis, -axis]) / ratio
    sides = np.concatenate([n for _, n in families])
    sides = sides[np.abs(sides @ axis) < 1e-4]
    across = np.eye(3) - np.outer(axis, axis)
    if len(sides) >= 3 and rng.random() < 0.6:
        sides = np.concatenate([sides, -sides])
        across = across / 1.2
        ends = np.concatenate([ends, sides])
    kind = "rod" if ratio > 1 else "plate"
    return Shape(kind, centre, across, ends, np.zeros(len(ends)), name)


class Cutter:
    """Cuts shapes out of one crystal.

    Parameters
    ----------
    crystal : Crystal
    sizes : (int, int)
        Least and greatest number of atoms.
    seed : int
        Of the atoms on sites that hold parts of several.
    """

    def __init__(
        self, crystal: Crystal, sizes: tuple[int, int], seed: int
    ) -> None:
        self.crystal, self.sizes, self.seed = crystal, sizes, seed
        ball = 3 * sizes[1] / (4 * np.pi * crystal.density)
        self.radius = float(np.cbrt(ball)) + max(crystal.edges)
        # All shapes are cut from one ball about the origin: so a solid
        # solution is drawn once.
        reach = _LONGEST * self.radius + 2 * sum(crystal.edges)
        x, site = crystal.ball(np.zeros(3), reach)
        kind = self._drawn(site)
        self._positions, self._kind = x[kind >= 0], kind[kind >= 0]
        self._far = np.linalg.norm(self._positions, axis=1)

    def sites(
        self, centre: np.ndarray, radius: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """Positions from a centre, and kinds, of atoms within a radius."""
        # Equivalent centres by the origin need the least of the ball.
        inverse = np.linalg.inv(self.crystal.cell)
        home = (centre @ inverse) % 1.0 @ self.crystal.cell
        reach = radius + float(np.linalg.norm(home))
        some = np.searchsorted(self._far, reach)
        x = self._positions[:some] - home
        near = np.einsum("ij,ij->i", x, x) <= radius**2
        return x[near], self._kind[:some][near]

    def _drawn(self, site: np.ndarray) -> np.ndarray:
        """The element on each site, drawn where it may hold several."""
        shares = self.crystal.shares
        if self.crystal.ordered:
            return shares.argmax(1)[site]
        rng = np.random.default_rng(self.seed)
        level = rng.random(len(site))[:, None]
        above = shares.cumsum(1)[site] > level
        # Beyond the last share the site is empty.
        return np.where(above.any(1), above.argmax(1), -1)

    def nest(
        self,
        shape: Shape,
        count: int,
        phase: float,
        sizes: tuple[float, float] | None = None,
    ) -> Nest | None:
        """Particles of a shape, evenly over the logarithm of their sizes.

        Parameters
        ----------
        shape : Shape
        count : int
            Sizes, at most.
        phase : float
            0 to 1: where between even steps the sizes lie.
        sizes : (float, float), optional
            Least and greatest number of atoms; default: the cutter's.
        """
        mean, longest = shape.spread()
        stretch = longest / mean
        if stretch > _LONGEST:
            return None
        x, kind = self.sites(shape.centre, self.radius * stretch)
        level = shape.gauge(x)
        # Beyond, sites are missing that the ball does not hold.
        held = level < self.radius * stretch / longest
        x, kind, level = x[held], kind[held], level[held]
        order = np.argsort(level, kind="stable")
        least, most = sizes or self.sizes
        last = np.flatnonzero(np.diff(level[order]) > _LEVEL) + 1
        last = last[(last >= least) & (last <= most)]
        if not len(last):
            return None
        asked = np.exp(
            np.log(least)
            + np.log(most / least) * (np.arange(count) + phase) / count
        )
        places = np.searchsorted(last, asked).clip(max=len(last) - 1)
        ends = np.unique(last[places])
        order = order[: last[-1]]
        return Nest(shape, x[order], kind[order], ends, last)


def bond_lengths(crystal: Crystal) -> np.ndarray:
    """Up to what distance two elements are bonded, (elements, elements).

    0 where neither is the nearest kind of atom of the other.
    """
    bonds = crystal.bonds
    both = np.zeros(bonds.shape, bool)
    both[np.arange(len(bonds)), bonds.argmin(1)] = True
    longest = np.where(both | both.T, _NEIGHBOUR * bonds, 0.0)
    return np.where(np.isfinite(longest), longest, 0.0)


def trimmed(
    crystal: Crystal, positions: np.ndarray, kind: np.ndarray
) -> np.ndarray:
    """Which atoms are left without those that have one bond or none.

    Parameters
    ----------
    crystal : Crystal
        Its shortest distances are the bonds.
    positions : (n, 3) array, angstrom
    kind : (n,) array of int

    Returns
    -------
    (n,) array of bool
    """
    longest = bond_lengths(crystal)
    pairs = cKDTree(positions).query_pairs(
        float(longest.max()), output_type="ndarray"
    )
    d = np.linalg.norm(positions[pairs[:, 0]] - positions[pairs[:, 1]], axis=1)
    i, j = pairs[d <= longest[kind[pairs[:, 0]], kind[pairs[:, 1]]]].T
    kept = np.ones(len(positions), bool)
    # What loses a neighbour may hang by one bond in turn.
    for _ in range(3):
        held = kept[i] & kept[j]
        ends = np.concatenate([i[held], j[held]])
        kept &= np.bincount(ends, minlength=len(kept)) > 1
    return kept
