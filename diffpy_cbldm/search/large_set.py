"""Ideal particles of up to 10,000 atoms, compared with a PDF all at once.

All particles of one crystal have the same distances, and differ by how many
pairs have each.  So one set of waves serves them all, and G(r) of a thousand
particles is a product of matrices.  The packaged *sketch* keeps the numbers
of pairs in few numbers for each particle (made by `training.make_large`);
the best ones are compared again with their exact counts.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Sequence
from importlib import resources

import numpy as np

from diffpy_cbldm.crystals.particles import (
    MultiplyTwinned,
    Particle,
    pair_counts,
)
from diffpy_cbldm.files import packaged
from diffpy_cbldm.fitting.quickfit import START
from diffpy_cbldm.fitting.target import Target
from diffpy_cbldm.fitting.waves import FADE, Points, Waves
from diffpy_cbldm.settings import MAX_ATOMS

STRETCHES = np.linspace(-0.03, 0.03, 13)
"""Relative changes of the PDF's bond length that are tried."""

UISO = (0.004, 0.008, 0.016)
"""Uiso values that are tried, A^2."""

QDAMP = (0.0, 0.02, 0.04, 0.06)
"""Qdamp values that are tried where the header gives none, 1/A."""

_FILE = "large.npz"


@dataclasses.dataclass(frozen=True)
class Group:
    """Particles of one crystal and their pairs.

    Attributes
    ----------
    particles : tuple of Particle or MultiplyTwinned
    distances : (S,) array, bond lengths
    modes : (k, S) array
    weights : (C, k) array or None
        Twice the pairs an atom at each distance are ``weights @ modes``;
        None: they are the modes themselves.
    """

    particles: tuple[Particle | MultiplyTwinned, ...]
    distances: np.ndarray
    modes: np.ndarray
    weights: np.ndarray | None = None

    def shares(
        self, curves: np.ndarray, data: np.ndarray, norm: float
    ) -> np.ndarray:
        """How much of the data each particle explains, (C,).

        Parameters
        ----------
        curves : (n, k) array
            Of the modes.
        data : (n,) array
        norm : float
            Of the data.
        """
        cross = data @ curves / norm
        if self.weights is None:
            power = np.einsum("nk,nk->k", curves, curves)
        else:
            square = self.weights @ (curves.T @ curves)
            power = np.einsum("ck,ck->c", square, self.weights)
            cross = self.weights @ cross
        return cross.clip(min=0) ** 2 / power.clip(min=1e-20)


@dataclasses.dataclass(frozen=True)
class Match:
    """How a particle compares with a PDF.

    Attributes
    ----------
    particle : Particle or MultiplyTwinned
    rw : float
        The least over stretches, widths and dampings, the scale fitted.
    bond : float, angstrom
    """

    particle: Particle | MultiplyTwinned
    rw: float
    bond: float


def compare(group: Group, target: Target) -> tuple[np.ndarray, np.ndarray]:
    """Compare all particles of a group with a PDF.

    Returns
    -------
    rw : (C,) array
        The least over stretches, widths and dampings, the scale fitted.
    bonds : (C,) array, angstrom
        The bond length of each that gives it.
    """
    bond = target.bond
    seen = group.distances * (bond * (1 + STRETCHES[0])) < target.rmax + FADE
    waves = Waves(target, group.distances[seen] * bond)
    points = Points(target.thinned(2.0), waves.q)
    modes = group.modes[:, seen].T
    dampings = QDAMP if target.qdamp is None else (target.qdamp,)
    shares = np.zeros((len(STRETCHES), len(group.particles)))
    for row, change in zip(shares, STRETCHES):
        for uiso in UISO:
            f = waves.at(1 + change, uiso, START["delta2"]) @ modes
            for qdamp in dampings:
                curves = points.curve(f, qdamp)
                share = group.shares(curves, points.data, points.norm)
                np.maximum(row, share, out=row)
    best = shares.argmax(0)
    # A parabola between stretches: peaks at the range's end are narrow.
    k = best.clip(1, len(STRETCHES) - 2)
    left, here, right = (
        np.take_along_axis(shares, (k + i)[None], 0)[0] for i in (-1, 0, 1)
    )
    bend = (2 * here - left - right).clip(min=1e-9)
    move = (0.5 * (right - left) / bend).clip(-1, 1)
    top = here + 0.25 * (right - left) * move
    step = STRETCHES[1] - STRETCHES[0]
    rw = np.sqrt((1 - np.maximum(top, shares.max(0))).clip(min=0))
    return rw, bond * (1 + STRETCHES[k] + step * move)


def exactly(particles: list[Particle | MultiplyTwinned]) -> Group:
    """Particles of one crystal with their exact pairs."""
    counted = [pair_counts(p) for p in particles]
    keys = np.unique(np.concatenate([np.round(d, 5) for d, _ in counted]))
    pairs = np.zeros((len(particles), len(keys)))
    for row, particle, (d, m) in zip(pairs, particles, counted):
        row[np.searchsorted(keys, np.round(d, 5))] = 2 * m / len(particle)
    return Group(tuple(particles), keys, pairs)


def best_particles(target: Target, count: int) -> list[Match]:
    """The particles of more than 256 atoms that explain a PDF best.

    Parameters
    ----------
    target : Target
    count : int
        At most so many.

    Returns
    -------
    list of Match, the best first.
    """
    rough = []
    for group in load_groups():
        rw, _ = compare(group, target)
        rough += list(zip(rw, group.particles))
    rough.sort(key=lambda pair: pair[0])
    # Smaller ones are clusters of the table of geometries.
    chosen = [p for _, p in rough[: 6 * count] if len(p) > MAX_ATOMS]
    chosen = chosen[: 4 * count]
    matches: list[Match] = []
    chosen.sort(key=_crystal_of)
    for _, some in itertools.groupby(chosen, _crystal_of):
        group = exactly(list(some))
        rw, bonds = compare(group, target)
        matches += map(Match, group.particles, rw.tolist(), bonds.tolist())
    return sorted(matches, key=lambda m: m.rw)[:count]


@functools.cache
def load_groups() -> tuple[Group, ...]:
    """The packaged sketch, one group a crystal.

    Raises
    ------
    CbldmError
        The file is damaged.
    """
    path = resources.files("diffpy_cbldm.search").joinpath(_FILE)
    with packaged(_FILE), path.open("rb") as stream:
        with np.load(stream, allow_pickle=False) as data:
            return unpacked(dict(data))


def packed(groups: list[Group]) -> dict[str, np.ndarray]:
    """The arrays of a file, see `unpacked`."""
    arrays: dict[str, np.ndarray] = {}
    for k, group in enumerate(groups):
        first = group.particles[0]
        twinned = isinstance(first, MultiplyTwinned)
        rows = [_numbers(p) for p in group.particles]
        assert group.weights is not None  # of a sketch
        arrays |= {
            f"crystal_{k}": np.array([first.crystal]),
            f"particles_{k}": np.array(
                rows, np.int16 if twinned else np.float32
            ),
            f"distances_{k}": group.distances.astype(np.float32),
            f"modes_{k}": group.modes.astype(np.float16),
            f"weights_{k}": group.weights.astype(np.float16),
        }
    return arrays


def unpacked(arrays: dict[str, np.ndarray]) -> tuple[Group, ...]:
    """The groups that `packed` took apart."""
    groups = []
    for k in range(len(arrays) // 5):
        crystal = str(arrays[f"crystal_{k}"][0])
        rows = arrays[f"particles_{k}"].tolist()
        particles = [_particle(crystal, row) for row in rows]
        groups.append(
            Group(
                tuple(particles),
                arrays[f"distances_{k}"].astype(float),
                arrays[f"modes_{k}"].astype(float),
                arrays[f"weights_{k}"].astype(float),
            )
        )
    return tuple(groups)


def _numbers(p: Particle | MultiplyTwinned) -> Sequence[float]:
    """A particle as a row of numbers."""
    if isinstance(p, MultiplyTwinned):
        return p.parameters
    shape = [p.radius, p.axis, p.aspect, *p.caps, p.between]
    return [p.centre, *shape, *p.limits]


def _particle(
    crystal: str, row: Sequence[float]
) -> Particle | MultiplyTwinned:
    """The particle of a row of numbers."""
    if crystal in ("dec", "ico"):
        return MultiplyTwinned(crystal, tuple(int(v) for v in row))
    centre, radius, axis, aspect, low, high, between, *limits = row
    return Particle(
        crystal,
        int(centre),
        tuple(limits),
        radius,
        int(axis),
        aspect,
        (low, high),
        int(between),
    )


def _crystal_of(particle: Particle | MultiplyTwinned) -> tuple:
    return particle.crystal, getattr(particle, "between", 0)
