"""Ideal particles of up to 10,000 atoms, compared with a PDF all at once.

All particles of one crystal have the same distances, and differ by how many
pairs have each.  So one set of waves serves them all, and G(r) of a thousand
particles is a product of matrices.  The packaged sketches
(`diffpy_cbldm.search.sketches`) keep few numbers for each; the best ones are
fitted with their exact counts.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from diffpy_cbldm.crystals.particles import NONE, Particle
from diffpy_cbldm.fitting.quickfit import quick_fit
from diffpy_cbldm.fitting.sine_matrix import even_waves, step_of
from diffpy_cbldm.fitting.target import Target
from diffpy_cbldm.fitting.waves import FADE, Waves
from diffpy_cbldm.memory import SITES, forget
from diffpy_cbldm.search.matching import Motion
from diffpy_cbldm.search.pool import as_good
from diffpy_cbldm.search.sketches import AnyParticle, Group, load_groups

STRETCH = 0.03
"""The bond may differ so much (relative) from the first peak's place."""

SHARP = 0.06
"""Stretches move the end of the range in steps of this, A: half a peak."""

NEAR = 0.006
"""`STRETCH` once the best particles have told the bond length."""

START_MOTION = Motion(uiso=(0.004, 0.008, 0.016), delta2=2.0)
"""What is tried before the best particles have told it."""

LEARNED = 2
"""Particles of each crystal whose fits tell widths, damping and delta2."""

WORSE = 1.5
"""Large particles are looked at closely where the first comparison gives them
an Rw below so many times that of the best small cluster."""

FITTED = 4
"""Small clusters that are fitted to tell whether large ones fit."""

FAR = 1.5
"""Crystals whose best particle has so many times the least Rw are left out."""

MOST = 400
"""Particles of a crystal that may be fitted."""

SIZES = 1.12
"""Factor on the number of atoms between sizes that count as different."""

FIT_STEPS = 8
"""Steps of the fits by which particles are ranked."""


@dataclasses.dataclass(frozen=True)
class Match:
    """How a particle compares with a PDF.

    Attributes
    ----------
    particle : Particle or MultiplyTwinned
    atoms : int
    rw : float
        The least over stretches, widths and dampings, the scale fitted.
    bond : float, angstrom
    """

    particle: AnyParticle
    atoms: int
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
        step = step_of(waves.q)
        factors = np.full(len(waves.q), 2 / math.pi * step)
        sines = even_waves(waves.q, self.r, factors).T * self.root[:, None]
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

    def best(self, group: Group) -> list[Match]:
        """The particles of a group that compare best, at most `MOST`."""
        rw, bonds = self(group)
        return [
            Match(
                group.particles[i],
                int(group.atoms[i]),
                float(rw[i]),
                float(bonds[i]),
            )
            for i in np.argsort(rw, kind="stable")[:MOST]
        ]


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


def offered(
    target: Target,
    count: int,
    small: Sequence[np.ndarray],
    kind: str,
) -> list[Match]:
    """Large particles, where they fit as well as small ones do.

    Parameters
    ----------
    target : Target
    count : int
        At most so many.
    small : sequence of (n, 3) arrays, angstrom
        Positions of the best clusters of up to 256 atoms, the best first.
    kind : {"ideal", "random"}
        Which particles.

    Returns
    -------
    list of Match, the best first.
    """
    fits = quick_fit(list(small[:FITTED]), target, scan=(0.0,))
    least = min((f.rw for f in fits), default=1.0)
    # Far from the best small ones, they would only cost time.
    found = best_particles(target, count, kind, WORSE * least + 0.05)
    return [m for m in found if m.rw <= as_good(least)]


def best_particles(
    target: Target,
    count: int,
    kind: str = "ideal",
    worse_than: float = math.inf,
) -> list[Match]:
    """The particles of more than 256 atoms that explain a PDF best.

    Parameters
    ----------
    target : Target
    count : int
        At most so many.
    kind : {"ideal", "random"}
        Which particles.
    worse_than : float
        None are given where a first comparison finds no Rw below this.

    Returns
    -------
    list of Match, the best first.
    """
    first = Comparison(target, target.bond, STRETCH, START_MOTION)
    groups = load_groups(kind)
    found = [first.best(group) for group in groups]
    if min(one[0].rw for one in found) > worse_than:
        return []
    bond, motion = _learned(_near(found), target)
    again = Comparison(target, bond, NEAR, motion)
    found = _near([again.best(group) for group in groups])
    ranked = [m for one in found for m in one]
    ranked.sort(key=lambda m: m.rw)
    # The best of each crystal and size, too: sizes are what data tell least.
    firsts = {_kind(m): m for m in reversed(ranked)}
    varied = sorted(firsts.values(), key=lambda m: m.rw)[:count]
    # And the best compact one of each crystal, which no long one replaces.
    forms = {_form(m): m for m in reversed(ranked)}.values()
    chosen = list(dict.fromkeys([*ranked[:count], *varied, *forms]))
    fits = sorted(_fitted(chosen, target, motion), key=lambda m: m.rw)
    # Each particle that was looked at holds its own sites.
    forget(SITES)
    # Compact ones first: where few are asked for, they are among them.
    best_forms = {_form(m): m for m in reversed(fits)}
    crystals = sorted(best_forms.values(), key=lambda m: (_form(m)[1], m.rw))
    firsts = {_kind(m): m for m in reversed(fits)}
    varied = sorted(firsts.values(), key=lambda m: m.rw)[: 3 * count // 4]
    taken = list(dict.fromkeys([fits[0], *crystals, *varied, *fits]))[:count]
    return sorted(taken, key=lambda m: m.rw)


def _kind(match: Match) -> tuple[str, bool, int]:
    """Crystal, whether it is long, and size in steps of `SIZES`."""
    size = math.log(match.atoms) / math.log(SIZES)
    return *_form(match), math.floor(size)


def _form(match: Match) -> tuple[str, bool]:
    """Crystal, and whether it is a spheroid, a rod or a plate."""
    p = match.particle
    compact = 1.0, -NONE, NONE
    long = isinstance(p, Particle) and (p.aspect, *p.caps) != compact
    return p.crystal, long


def _near(found: Sequence[list[Match]]) -> list[list[Match]]:
    """The groups whose best particle is not far from the best of all."""
    limit = FAR * min(one[0].rw for one in found) + 0.05
    return [one for one in found if one[0].rw <= limit]


def _learned(
    found: Sequence[list[Match]], target: Target
) -> tuple[float, Motion]:
    """The bond length and how atoms move, from fits of the best particles."""
    some = [m for one in found for m in one[:LEARNED]]
    fits = quick_fit(_placed(some), target, scan=(0.0,), steps=FIT_STEPS)
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


def _placed(some: Sequence[Match]) -> list[np.ndarray]:
    """The positions of particles, (N, 3) each, angstrom."""
    # In the order of crystals and centres, whose sites take some MB each: few
    # are held at a time.
    order = sorted(range(len(some)), key=lambda i: _centre(some[i].particle))
    placed = {i: some[i].particle.positions * some[i].bond for i in order}
    return [placed[i] for i in range(len(some))]


def _centre(p: AnyParticle) -> tuple[str, int, int]:
    """Particles with the same one are cut from the same sites."""
    if isinstance(p, Particle):
        return p.crystal, p.centre, p.between
    return p.crystal, 0, 0


def _fitted(
    some: Sequence[Match], target: Target, motion: Motion
) -> list[Match]:
    """The same with Rw and bond lengths of quick fits."""
    start = {"uiso": motion.uiso[1], "delta2": motion.delta2}
    fits = quick_fit(
        _placed(some),
        target,
        start=start,
        scan=(0.0,),
        steps=FIT_STEPS,
    )
    return [
        Match(m.particle, m.atoms, f.rw, m.bond * f.stretch)
        for m, f in zip(some, fits)
    ]
