"""The training stream of large particles: 200 to 10,000 atoms, and a few less.

Half of the particles are symmetric about a centre of their crystal (polyhedra,
spheres, spheroids, rods, plates, Marks decahedra, icosahedra), the others are
cut anywhere, with facets that lie at distances of their own.  A particle is
made of its number alone, and kept: each PDF of it is measured anew.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import torch
from torch import Tensor

from diffpy_cbldm.crystals.large_cuts import (
    Ground,
    Outline,
    Piece,
    cube_side,
    distances,
    kept_back,
    landmarks,
    template_of,
)
from diffpy_cbldm.crystals.lattice_pairs import CELLS
from diffpy_cbldm.crystals.lattices import (
    LAYER,
    directions,
    facet_sets,
    plane_families,
)
from diffpy_cbldm.crystals.particles import (
    BETWEEN,
    CUBIC_CENTRES,
    LAYER_CENTRES,
    MultiplyTwinned,
)
from diffpy_cbldm.model.outline import OutlineSpace
from diffpy_cbldm.settings import Model
from training.measuring import LARGE_BINS, Measuring
from training.settings import World
from training.stream import Batch

KIND_WEIGHTS = {
    "fcc": 0.24,
    "bcc": 0.12,
    "sc": 0.08,
    "hcp": 0.14,
    "twin": 0.12,
    "lamella": 0.10,
    "dec": 0.12,
    "ico": 0.08,
}
"""How often each crystal is drawn."""

SIZES = (200, 10_000)
"""Numbers of atoms, drawn evenly on a logarithmic scale."""

SMALL_SIZES, SMALL_SHARE = (30, 256), 0.15
"""A share of particles is smaller: the model must tell them apart."""

TWINNED_MOST = 5_000
"""Atoms of multiply twinned particles, at most: on no lattice, their pairs are
counted one by one."""

LANDMARKS = 128
"""Atoms that stand for a particle in the Laplacian."""

Particle = Piece | MultiplyTwinned


def random_particle(
    rng: np.random.Generator,
    crystal: str | None = None,
    sizes: tuple[int, int] = SIZES,
    test: bool = False,
) -> Particle:
    """Draw a particle.

    Parameters
    ----------
    rng : numpy Generator
    crystal : str, optional
        One of `LARGE_TYPES`; drawn by `KIND_WEIGHTS` by default.
    sizes : tuple of two int
        Fewest and most atoms.
    test : bool
        Draw one of those that are kept back from training, see
        `diffpy_cbldm.crystals.large_cuts.kept_back`.
    """
    if crystal is None:
        weights = list(KIND_WEIGHTS.values())
        crystal = str(rng.choice(list(KIND_WEIGHTS), p=weights))
    if crystal in ("dec", "ico"):
        sizes = sizes[0], min(sizes[1], TWINNED_MOST)
    while True:
        count = math.exp(rng.uniform(*np.log(sizes)))
        whole = crystal in ("dec", "ico") and rng.random() < 0.5
        draw = _multiply_twinned if whole else _piece
        found = draw(crystal, count, rng)
        if not sizes[0] <= len(found) <= sizes[1]:
            continue
        # Icosahedra are too few to keep some back: only their pieces are.
        mackay = whole and crystal == "ico"
        if mackay or kept_back(found) == test:
            return found


def _multiply_twinned(
    crystal: str, count: float, rng: np.random.Generator
) -> MultiplyTwinned:
    """A Marks decahedron or Mackay icosahedron of about so many atoms."""
    if crystal == "ico":
        shells = round((0.3 * count) ** (1 / 3) + 0.5)
        return MultiplyTwinned("ico", (max(3, shells),))
    side = count ** (1 / 3)
    while True:
        p = int(rng.integers(1, 2 + round(0.8 * side)))
        r = int(rng.integers(0, 2 + round(0.2 * side)))
        q = int(rng.integers(1, 2 + round(1.2 * side)))
        found = MultiplyTwinned("dec", (p, q, r))
        if abs(math.log(max(len(found), 1) / count)) < 0.15:
            return found


def _piece(crystal: str, count: float, rng: np.random.Generator) -> Piece:
    """A piece between planes, or of a round outline."""
    ground = Ground.of(crystal, int(rng.choice(BETWEEN)))
    template = template_of(crystal)
    normals = directions(template)
    # That of a sphere of so many atoms.
    radius = 0.62 * cube_side(crystal, round(count))
    symmetric = rng.random() < 0.5
    centre = _centre(crystal, symmetric, radius, rng)
    style = rng.choice(["facets", "round", "rod"], p=[0.65, 0.2, 0.15])
    extents = np.full(len(normals), math.inf)
    bound = math.inf
    if style == "facets":
        extents = radius * _facets(template, symmetric, rng)
        if rng.random() < 0.25:
            bound = radius * rng.uniform(1.0, 1.35)
    axis = normals[rng.integers(len(normals))]
    aspect = 1.0
    if style != "facets" and rng.random() < 0.7:
        aspect = math.exp(rng.normal(0, 0.45))
    if style == "facets" and not symmetric and rng.random() < 0.5:
        # Longer or shorter along an axis, the volume kept.
        aspect = math.exp(rng.normal(0, 0.25))
        along = (normals @ axis) ** 2
        extents *= np.sqrt(along * aspect**2 + 1 - along) * aspect ** (-1 / 3)
    places = ground.places[: np.searchsorted(ground.radii, 2.6 * radius + 2)]
    off = places - centre
    inside = np.ones(len(places), bool)
    bounded = np.flatnonzero(np.isfinite(extents))
    if len(bounded):
        out = ground.heights_to(len(places))[:, bounded]
        out = out - centre @ normals[bounded].T
        inside &= (out <= extents[bounded] + 1e-6).all(1)
    if style == "facets" and math.isfinite(bound):
        inside &= (off**2).sum(1) <= bound**2
    elif style != "facets":
        height = off @ axis
        across = np.sqrt(((off**2).sum(1) - height**2).clip(min=0))
        wide = radius * aspect ** (-1 / 3)
        if style == "rod":
            inside &= (across <= 0.87 * wide) & (
                np.abs(height) <= 0.87 * wide * aspect
            )
        else:
            inside &= across**2 + (height / aspect) ** 2 <= wide**2
    return Piece(ground, np.flatnonzero(inside))


def _facets(
    template: str, symmetric: bool, rng: np.random.Generator
) -> np.ndarray:
    """Distances of planes, (K,), infinite for those that do not bound."""
    family = plane_families(template)
    sets = facet_sets(template)
    bounding = sets[rng.integers(len(sets))]
    ratios = rng.uniform(0.8, 1.25, int(family.max()) + 1)
    out = ratios[family]
    if not symmetric:
        out = out * np.exp(rng.normal(0, 0.13, len(family)))
    # What bounds with few facets must lie nearer for the same volume.
    out = out * (0.85 if bounding.sum() <= 14 else 0.95)
    return np.where(bounding, out, math.inf)


def _centre(
    crystal: str, symmetric: bool, radius: float, rng: np.random.Generator
) -> np.ndarray:
    """Where the particle's centre lies in its crystal, (3,)."""
    if crystal in CELLS:
        if symmetric:
            choices = np.array(CUBIC_CENTRES[crystal]) * CELLS[crystal]
            return choices[rng.integers(len(choices))]
        return rng.uniform(-0.5, 0.5, 3) * CELLS[crystal]
    centre = np.array(LAYER_CENTRES)[rng.integers(len(LAYER_CENTRES))]
    if crystal == "hcp":
        return centre if symmetric else rng.uniform(-0.8, 0.8, 3)
    if crystal in ("twin", "lamella"):
        centre = centre * [1, 1, 0]
        if symmetric:
            return centre
        # Twin planes lie anywhere within the middle of the particle.
        height = 0.5 * radius * rng.uniform(-1, 1) + 0.5 * LAYER
        return np.append(rng.uniform(-0.5, 0.5, 2), height)
    if symmetric:
        return np.zeros(3)
    return 0.35 * radius * rng.uniform(-1, 1, 3)


@dataclasses.dataclass(frozen=True)
class Entry:
    """What is kept of a particle."""

    histogram: Tensor
    landmarks: np.ndarray
    told: np.ndarray


def histogram(particle: Particle) -> Tensor:
    """2 pairs / d an atom, shared by the nearest of `LARGE_BINS`."""
    distance, pairs = distances(particle)
    place = distance / LARGE_BINS.step
    near = place < LARGE_BINS.count - 1
    place = place[near]
    low = place.astype(int)
    part = place - low
    value = 2 * pairs[near] / distance[near] / len(particle)
    row = np.bincount(low, value * (1 - part), LARGE_BINS.count)
    row += np.bincount(low + 1, value * part, LARGE_BINS.count)
    return torch.as_tensor(row, dtype=torch.float16)


class LargeStream:
    """Draws batches of large particles.

    Parameters
    ----------
    settings : Model
        Gives the grid.
    world : World
        Ranges of what varies.
    split : {"train", "heldout"}
        "heldout": particles that are kept back from training.
    device : str
        Where tensors go.
    pool : int
        How many particles there are.
    """

    def __init__(
        self,
        settings: Model,
        world: World,
        split: str = "train",
        device: str | torch.device = "cpu",
        pool: int = 24_000,
    ):
        self.settings, self.split, self.pool = settings, split, pool
        self.device = torch.device(device)
        self.space = OutlineSpace()
        self.measuring = Measuring(settings, world, LARGE_BINS, self.device)
        self._made: dict[int, Entry] = {}

    def entry(self, number: int) -> Entry:
        """A particle of the pool; made when it is first asked for."""
        if number not in self._made:
            test = self.split != "train"
            rng = np.random.default_rng([20, int(test), number])
            small = rng.random() < SMALL_SHARE
            sizes = SMALL_SIZES if small else SIZES
            particle = random_particle(rng, sizes=sizes, test=test)
            self._made[number] = self._entry(particle)
        return self._made[number]

    def _entry(self, particle: Particle) -> Entry:
        outline, turn = Outline.of(particle).upright()
        places = particle.positions @ turn.T
        chosen = places[landmarks(places, LANDMARKS)]
        unit = cube_side(particle.crystal, len(particle))
        padded = np.zeros((LANDMARKS, 3), np.float32)
        padded[: len(chosen)] = chosen / unit
        between = getattr(particle, "between", 0)
        told = self.space.told(outline, len(particle), between)
        return Entry(histogram(particle), padded, told)

    def batch(self, size: int, rng: np.random.Generator) -> Batch:
        """Draw `size` particles and simulate their PDFs."""
        chosen = [
            self.entry(int(i)) for i in rng.integers(self.pool, size=size)
        ]
        hist = torch.stack([e.histogram for e in chosen]).float()
        # The histograms are those of an atom.
        ones = torch.ones(size, dtype=torch.int64, device=self.device)
        clean, g = self.measuring.simulate(hist.to(self.device), ones, rng)
        told = torch.as_tensor(np.stack([e.told for e in chosen]))
        marks = torch.as_tensor(np.stack([e.landmarks for e in chosen]))
        lengths = self.space.counts(told).clamp(max=LANDMARKS)
        return Batch(
            g,
            clean,
            marks.to(self.device),
            lengths.to(self.device),
            self.space.target(told.to(self.device)),
        )
