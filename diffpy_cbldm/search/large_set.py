"""Ideal particles of up to 10,000 atoms, compared with a PDF all at once.

All particles of one crystal have the same distances, and differ by how many
pairs have each.  So one set of waves serves them all, and G(r) of a thousand
particles is a product of matrices.  The packaged *sketch* keeps the numbers
of pairs in few numbers for each particle (made by `training.make_large`); the
best ones are fitted with their exact counts.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Sequence
from importlib import resources

import numpy as np

from diffpy_cbldm.crystals.particles import (
    MultiplyTwinned,
    Particle,
    pair_counts,
)
from diffpy_cbldm.files import packaged
from diffpy_cbldm.fitting.quickfit import quick_fit
from diffpy_cbldm.fitting.target import Target
from diffpy_cbldm.fitting.waves import FADE, Waves
from diffpy_cbldm.search.matching import Motion
from diffpy_cbldm.search.pool import as_good

STRETCH = 0.03
"""The bond of particles may differ so much (relative) from the first peak's."""

SHARP = 0.06
"""Stretches move the end of the range in steps of this, A: half a peak."""

NEAR = 0.006
"""`STRETCH` once the best particles have told the bond length."""

START_MOTION = Motion(
    uiso=(0.004, 0.008, 0.016), qdamp=(0.0, 0.02, 0.04, 0.06), delta2=2.0
)
"""What is tried before the best particles have told it."""

LEARNED = 2
"""Particles of each crystal whose fits tell widths, damping and delta2."""

FAR = 1.5
"""Crystals whose best particle has so many times the least Rw are left out."""

MOST = 400
"""Particles of a crystal that may be fitted."""

SIZES = 1.12
"""Factor on the number of atoms between sizes that count as different."""

FIT_STEPS = 8
"""Steps of the fits by which particles are ranked."""

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
        self, curves: np.ndarray, fall: np.ndarray, data: np.ndarray
    ) -> np.ndarray:
        """How much of some curves each particle explains, (Z, C).

        Parameters
        ----------
        curves : (n, k) array
            Of the modes.
        fall : (n,) array
            The damping of the particles' curves.
        data : (n, Z) array
            Curves of length 1.
        """
        curves = curves * fall[:, None]
        cross = data.T @ curves
        if self.weights is None:
            power = np.einsum("nk,nk->k", curves, curves)
        else:
            square = self.weights @ (curves.T @ curves)
            power = np.einsum("ck,ck->c", square, self.weights)
            cross = cross @ self.weights.T
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


class Comparison:
    """A measured curve at all stretches, for particles of any crystal.

    In place of the particles the curve is stretched, the other way, as in
    `diffpy_cbldm.search.matching.screen`: one curve of a particle serves all
    stretches.

    Parameters
    ----------
    target : Target
        The measured curve.
    bond : float, angstrom
        About which the stretches lie.
    reach : float
        The largest relative change of it.
    motion : Motion
        Widths, dampings and delta2 that are tried.
    """

    def __init__(
        self, target: Target, bond: float, reach: float, motion: Motion
    ) -> None:
        self.target, self.bond, self.motion = target, bond, motion
        side = math.ceil(reach * target.rmax / SHARP)
        self.stretches = np.arange(-side, side + 1) * (reach / side)
        # All stretches see the same points, which lie inside the data.
        step = math.pi / target.qmax / 2
        r = np.arange(
            target.r[0] / (1 - reach), target.rmax / (1 + reach), step
        )
        self.r, self.root = r, np.sqrt(np.interp(r, target.r, target.weights))
        fine, g = target.far_curve
        seen = r[:, None] * (1 + self.stretches)
        data = np.interp(seen, fine, g) * self.root[:, None]
        self.data = data / np.linalg.norm(data, axis=0).clip(min=1e-20)

    def __call__(self, group: Group) -> tuple[np.ndarray, np.ndarray]:
        """Compare all particles of a group with the curve.

        Returns
        -------
        rw : (C,) array
            The least over stretches, widths and dampings, the scale fitted.
        bonds : (C,) array, angstrom
            The bond length of each that gives it.
        """
        d = group.distances * self.bond
        seen = d < self.target.rmax + FADE
        waves = Waves(self.target, d[seen])
        step = float(waves.q[1] - waves.q[0])
        sines = np.sin(self.r[:, None] * waves.q) * (2 / math.pi * step)
        sines *= self.root[:, None]
        modes = group.modes[:, seen].T
        shares = np.zeros((len(self.stretches), len(group.particles)))
        for uiso in self.motion.uiso:
            curves = sines @ (waves.at(1, uiso, self.motion.delta2) @ modes)
            for qdamp in self.motion.dampings(self.target):
                fall = np.exp(-0.5 * (qdamp * self.r) ** 2)
                share = group.shares(curves, fall, self.data)
                np.maximum(shares, share, out=shares)
        share, change = _highest(shares, self.stretches)
        return np.sqrt((1 - share).clip(min=0)), self.bond * (1 + change)


def _highest(
    values: np.ndarray, places: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The highest of values (Z, C) at even places (Z,), by a parabola."""
    k = values.argmax(0).clip(1, len(places) - 2)
    left, here, right = (
        np.take_along_axis(values, (k + i)[None], 0)[0] for i in (-1, 0, 1)
    )
    bend = (2 * here - left - right).clip(min=1e-9)
    move = (0.5 * (right - left) / bend).clip(-1, 1)
    top = here + 0.25 * (right - left) * move
    return (
        np.maximum(top, values.max(0)),
        places[k] + (places[1] - places[0]) * move,
    )


def exactly(particles: Sequence[Particle | MultiplyTwinned]) -> Group:
    """Particles of one crystal with their exact pairs."""
    counted = [pair_counts(p) for p in particles]
    keys = np.unique(np.concatenate([np.round(d, 5) for d, _ in counted]))
    pairs = np.zeros((len(particles), len(keys)))
    for row, particle, (d, m) in zip(pairs, particles, counted):
        row[np.searchsorted(keys, np.round(d, 5))] = 2 * m / len(particle)
    return Group(tuple(particles), keys, pairs)


def best_particles(
    target: Target, count: int, worse_than: float = math.inf
) -> list[Match]:
    """The particles of more than 256 atoms that explain a PDF best.

    Parameters
    ----------
    target : Target
    count : int
        At most so many.
    worse_than : float
        None are given where a first comparison finds no Rw below this.

    Returns
    -------
    list of Match, the best first.
    """
    first = Comparison(target, target.bond, STRETCH, START_MOTION)
    found = _compared(first)
    best = min(rw[0] for rw, _, _ in found)
    if best > worse_than:
        return []
    bond, motion = _learned(_near(found), target)
    found = _near(_compared(Comparison(target, bond, NEAR, motion)))
    ranked = [m for one in found for m in _matches(*one, MOST)]
    ranked.sort(key=lambda m: m.rw)
    # The best of each crystal and size, too: sizes are what data tell least.
    firsts = {_kind(m): m for m in reversed(ranked)}
    varied = sorted(firsts.values(), key=lambda m: m.rw)[:count]
    chosen = list(dict.fromkeys([*ranked[:count], *varied]))
    fits = sorted(_fitted(chosen, target, motion), key=lambda m: m.rw)
    firsts = {_kind(m): m for m in reversed(fits)}
    varied = sorted(firsts.values(), key=lambda m: m.rw)[: count // 2]
    taken = list(dict.fromkeys([*varied, *fits]))[:count]
    return sorted(taken, key=lambda m: m.rw)


def _kind(match: Match) -> tuple[str, int]:
    """Crystal and size, in steps of `SIZES`."""
    size = math.log(len(match.particle)) / math.log(SIZES)
    return match.particle.crystal, math.floor(size)


_Found = tuple[np.ndarray, np.ndarray, Sequence[Particle | MultiplyTwinned]]


def _compared(compare: Comparison) -> list[_Found]:
    """Rw, bonds and particles of each group, the best first."""
    found = []
    for group in load_groups():
        rw, bonds = compare(group)
        order = np.argsort(rw, kind="stable")
        particles = [group.particles[i] for i in order]
        found.append((rw[order], bonds[order], particles))
    return found


def _near(found: Sequence[_Found]) -> list[_Found]:
    """The groups whose best particle is not far from the best of all."""
    limit = FAR * min(rw[0] for rw, _, _ in found) + 0.05
    return [one for one in found if one[0][0] <= limit]


def _matches(
    rw: np.ndarray,
    bonds: np.ndarray,
    particles: Sequence[Particle | MultiplyTwinned],
    count: int,
) -> list[Match]:
    """The first ones of a group."""
    return [
        Match(p, float(value), float(bond))
        for p, value, bond in zip(particles[:count], rw, bonds)
    ]


def _learned(found: Sequence[_Found], target: Target) -> tuple[float, Motion]:
    """The bond length and how atoms move, from fits of the best particles."""
    some = sum((_matches(*one, LEARNED) for one in found), [])
    xyz = [m.particle.positions * m.bond for m in some]
    fits = quick_fit(xyz, target, scan=(0.0,), steps=FIT_STEPS)
    # A poor fit's widths make up for a wrong structure: left out.
    limit = as_good(min(f.rw for f in fits))
    good = [(m, f) for m, f in zip(some, fits) if f.rw < limit]
    u, delta2, bond = np.median(
        [(f.uiso, f.delta2, m.bond * f.stretch) for m, f in good], axis=0
    )
    # Size and damping stand for one another: all dampings stay.
    widths = (0.9 * u, u, 1.1 * u)
    return float(bond), dataclasses.replace(
        START_MOTION, uiso=widths, delta2=float(delta2)
    )


def _fitted(
    some: Sequence[Match], target: Target, motion: Motion
) -> list[Match]:
    """The same with Rw and bond lengths of quick fits."""
    start = {"uiso": motion.uiso[1], "delta2": motion.delta2}
    fits = quick_fit(
        [m.particle.positions * m.bond for m in some],
        target,
        start=start,
        scan=(0.0,),
        steps=FIT_STEPS,
    )
    return [
        Match(m.particle, f.rw, m.bond * f.stretch) for m, f in zip(some, fits)
    ]


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
