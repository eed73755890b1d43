"""What a particle is where a crystal of a second phase lies beside it.

A few per cent of larger particles of another crystal add peaks that no small
particle has: the structure that fits best is then one that imitates both, and
its type and size are wrong.  G(r) of a powder is the sum of its phases, each
by its share of the atoms.  So a crystal that ends at a sphere is taken from
the data, the library is asked for what is left, and both are fitted in turn.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from diffpy_cbldm.cluster import Candidate
from diffpy_cbldm.fitting.attenuated import (
    AttenuatedCrystal,
    crystal_curve,
    fit_crystal,
    trial_crystals,
)
from diffpy_cbldm.fitting.quickfit import QuickFit, left_over, quick_fit
from diffpy_cbldm.fitting.target import Target
from diffpy_cbldm.protocols import Stored
from diffpy_cbldm.search.by_library import library_generator
from diffpy_cbldm.solving.doubts import range_doubts
from diffpy_cbldm.solving.open_sizes import Ranked

HELPS, EXPLAINS = 0.98, 0.9
"""A crystal is looked at where it lowers Rw below the first share at once, and
is a second phase where Rw falls below the second share in the end."""

LEFT, POOR = 0.06, 0.2
"""Rw below which nothing is looked for.  Where both together leave more than
the second one, a crystal makes up for what no particle has: ligands, or a
structure that was not proposed."""

SMALLEST, HOPELESS = 20.0, 15.0
"""Smaller crystals (A) are no phase: they make up for the particle's shape.
Below the second diameter at first, they do not become larger."""

DIAMETERS = np.geomspace(12.0, 80.0, 9)
"""Of the crystals that are tried first, A."""

WIDEST = 0.012
"""Uiso of these at most, A^2: that of a structure that imitates both phases
is too large."""

COUNT = 24
"""Structures that are asked for what the crystal leaves."""

TRIED, FEW = 24, 8
"""The best structures that are looked at beside crystals, and those of them
that are fitted before the library is asked."""

ROUNDS = 2

NEAR = 0.98
"""No more is looked for where Rw does not fall below this share with them."""

LIKE = 1.1
"""Particles with at most so many times the least Rw are not told from it."""


@dataclasses.dataclass(frozen=True)
class Beside(Stored):
    """The particle that fits best beside a crystal.

    Attributes
    ----------
    crystal : AttenuatedCrystal
        The second phase; its Rw is that of what the particle leaves.
    structure_type : str
        Of the particle.
    n_atoms : int
    low, high : int
        The least and the most atoms of particles that fit nearly as well.
    rw : float
        Of both together, by a quick fit.
    rw_alone : float
        Of the best particle alone.
    share : float
        Of the crystal, by its atoms.
    """

    crystal: AttenuatedCrystal
    structure_type: str
    n_atoms: int
    low: int
    high: int
    rw: float
    rw_alone: float
    share: float

    def __str__(self) -> str:
        return (
            f"{self.structure_type} of {self.n_atoms} atoms beside a crystal "
            f"({self.crystal}, {self.share:.0%} of the atoms) fits with Rw "
            f"{self.rw:.3f}, {self.rw_alone:.3f} alone"
        )


def beside_crystal(ranked: Ranked, target: Target, rw: float) -> Beside | None:
    """Fit a particle and a crystal of a second phase in turn.

    Parameters
    ----------
    ranked : sequence of (Candidate, QuickFit)
        The best first.
    target : Target
    rw : float
        Of the answer.

    Returns
    -------
    Beside or None
        None where the answer explains the data, where they are too short to
        tell a size, and where no crystal explains what the ranked ones leave.
    """
    alone = min(fit.rw for _, fit in ranked)
    if min(rw, alone) < LEFT or range_doubts(target):
        return None
    some = _foremost(ranked)
    crystal, both, order = _screened(some, target.thinned(2.0))
    if both > HELPS * alone:
        return None
    # Most data have no second phase, and all structures take seconds.
    few = [some[i][0] for i in order[:FEW]]
    found = _in_turn(few, target, crystal)
    least = min(rw, alone)
    if found.rw > NEAR * least or found.crystal.diameter < HOPELESS:
        return None
    if found.of_one_phase:
        return None
    rest = _less(target, crystal_curve(target, crystal))
    pool = [candidate for candidate, _ in some]
    pool += library_generator(_whole(rest), count=COUNT)
    for _ in range(ROUNDS):
        found = _in_turn(pool, target, crystal)
        crystal = found.crystal
        if found.rw > NEAR * least or found.of_one_phase:
            return None
    most = min(EXPLAINS * least, POOR)
    if found.rw > most or crystal.diameter < SMALLEST:
        return None
    fit = found.fits[found.place]
    scales = crystal.scale + fit.scale
    near = [len(x) for x, f in zip(pool, found.fits) if f.rw <= LIKE * fit.rw]
    return Beside(
        crystal=crystal,
        structure_type=found.particle.structure_type,
        n_atoms=len(found.particle),
        low=min(near),
        high=max(near),
        rw=found.rw,
        rw_alone=alone,
        share=crystal.scale / scales if scales else 0.0,
    )


@dataclasses.dataclass(frozen=True)
class _Pair:
    """Structures that were fitted beside a crystal, and it beside the best.

    Attributes
    ----------
    particles : list of Candidate
    fits : list of QuickFit
        To what the crystal left before.
    place : int
        Of the best.
    crystal : AttenuatedCrystal
    rw : float
        Of both.
    """

    particles: list[Candidate]
    fits: list[QuickFit]
    place: int
    crystal: AttenuatedCrystal
    rw: float

    @property
    def particle(self) -> Candidate:
        return self.particles[self.place]

    @property
    def of_one_phase(self) -> bool:
        """Balls of one crystal are of many sizes, and of one phase."""
        return self.crystal.lattice == self.particle.structure_type


def _in_turn(
    particles: list[Candidate], target: Target, crystal: AttenuatedCrystal
) -> _Pair:
    """Fit structures beside a crystal, and a crystal beside the best."""
    rest = _less(target, crystal_curve(target, crystal))
    positions = [c.positions for c in particles]
    fits = quick_fit(positions, rest, scan=(0.0,))
    k = min(range(len(fits)), key=lambda k: fits[k].rw)
    other = _less(target, _curve(positions[k], rest, fits[k]))
    crystal = fit_crystal(other)
    left = crystal.rw * _size(other) / _size(target)
    return _Pair(particles, fits, k, crystal, left)


def _foremost(ranked: Ranked) -> Ranked:
    """The best alone, and the best of each type that is not among them."""
    by_rw = sorted(ranked, key=lambda pair: pair[1].rw)
    others = {c.structure_type: (c, f) for c, f in reversed(by_rw[TRIED:])}
    return [*by_rw[:TRIED], *others.values()]


def _screened(
    ranked: Ranked, target: Target
) -> tuple[AttenuatedCrystal, float, list[int]]:
    """The crystal that fits best beside one of the ranked, and Rw of both.

    The structures as they were fitted alone, both with the best scales that
    are not negative; last, the places of those that fit best so.
    """
    first = ranked[0][1]
    crystals, curves = trial_crystals(
        target, DIAMETERS, min(first.uiso, WIDEST), first.qdamp
    )
    root, norm = np.sqrt(target.weights), _size(target)
    data = root * target.g / norm
    size = np.linalg.norm(root[:, None] * curves, axis=0)
    unit = root[:, None] * curves / size
    told: list[float] = []
    place, beside = 0, 0.0
    for candidate, fit in ranked:
        one = data - left_over(candidate.positions, target, fit)
        one = one / (np.linalg.norm(one) or 1.0)
        seen, others, shared = one @ data, unit.T @ data, unit.T @ one
        apart = (1 - shared**2).clip(1e-9)
        scale = (seen - shared * others) / apart
        second = (others - shared * seen) / apart
        both = np.where(
            (scale > 0) & (second > 0), scale * seen + second * others, 0.0
        )
        j = int(np.argmax(both))
        if both[j] > max(told, default=-1.0):
            place, beside = j, float(second[j])
        told.append(float(both[j]))
    scale_of = beside * norm / float(size[place])
    crystal = dataclasses.replace(crystals[place], scale=scale_of)
    order = sorted(range(len(told)), key=lambda i: -told[i])
    return crystal, math.sqrt(max(1 - max(told), 0.0)), order


def _less(target: Target, curve: np.ndarray) -> Target:
    """The data without a curve: what the other phase has to explain."""
    return dataclasses.replace(target, g=target.g - curve)


def _whole(target: Target) -> Target:
    """The same as if nothing else had been measured, for the library."""
    pdf = dataclasses.replace(target.pdf, r=target.r, g=target.g, dg=None)
    return dataclasses.replace(target, pdf=pdf)


def _curve(positions: np.ndarray, target: Target, fit: QuickFit) -> np.ndarray:
    """G(r) of a structure as it was fitted, (n,)."""
    left = left_over(positions, target, fit) * _size(target)
    return target.g - left / np.sqrt(target.weights)


def _size(target: Target) -> float:
    """The norm of the data, by which Rw is measured."""
    return float(np.linalg.norm(np.sqrt(target.weights) * target.g))
