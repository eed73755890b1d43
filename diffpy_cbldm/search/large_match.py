"""Many large particles compared with a PDF, by their numbers of pairs.

Near the fit of one particle, G(r) of any other is a sum over its distances of
curves that are made once; what its stretch, widths and damping would change
is taken out of the comparison to first order.  So a particle costs the count
of its pairs and one product of a matrix with a vector.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from diffpy_cbldm.crystals.large_cuts import Piece, distances
from diffpy_cbldm.crystals.site_kernels import field_sums
from diffpy_cbldm.fitting.quickfit import BOUNDS, START
from diffpy_cbldm.fitting.target import Target
from diffpy_cbldm.fitting.waves import FADE, Points, Waves

STEP = 0.01
"""Of the distances on no lattice, in bond lengths."""

STRETCHES = np.linspace(-0.03, 0.03, 121)
"""Relative changes of the bond length that are tried first."""

ATOMS = 2500
"""Of a particle that all sites are compared with, at most."""

_SCALES = np.array([0.003, 0.003, 1.0, 0.02])
_CHANGES = np.array([1e-4, 2e-4, 0.05, 2e-3])


@dataclasses.dataclass(frozen=True)
class Conditions:
    """What one particle tells of the measurement.

    Attributes
    ----------
    stretch : float
        Of the target's bond length.
    uiso, delta2 : float, A^2
    qdamp : float, 1/A
    rw : float
        Of the particle.
    """

    stretch: float
    uiso: float
    delta2: float
    qdamp: float
    rw: float

    @property
    def row(self) -> np.ndarray:
        """The parameters, (4,)."""
        return np.array([self.stretch, self.uiso, self.delta2, self.qdamp])


class Shape:
    """The curves of one particle as its parameters change.

    Parameters
    ----------
    target : Target
    points : Target
        Fewer points of it.
    particle : Piece
    """

    def __init__(self, target: Target, points: Target, particle: Piece):
        self.target = target
        distance, pairs = distances(particle)
        near = distance * target.bond < 1.05 * (target.rmax + FADE)
        self.pairs = 2 * pairs[near] / len(particle)
        self.waves = Waves(target, distance[near] * target.bond)
        self.points = Points(points, self.waves.q)

    def curve(self, p: np.ndarray) -> np.ndarray:
        """G(r) at parameters (4,), times the root of the weights."""
        f = self.waves.at(p[0], p[1], p[2]) @ self.pairs
        return self.points.curve(f, p[3])

    def misfit(self, p: np.ndarray) -> np.ndarray:
        """What the best scale leaves of the data, over their norm."""
        g = self.curve(p)
        power = float(g @ g) or 1.0
        scale = max(float(self.points.data @ g) / power, 0.0)
        return (self.points.data - scale * g) / self.points.norm

    def start(self) -> np.ndarray:
        """The best of some stretches, at widths that are usual."""
        known = self.target.qdamp
        qdamp = sum(self.target.qdamp_range) / 2 if known is None else known
        p = np.array([1.0, START["uiso"], START["delta2"], qdamp])
        r, data = self.points.r, self.points.data
        # A stretched particle has the same curve on a stretched r; that the
        # Q range would stretch as well is left for the fit.
        g = self.curve(p)
        fine = np.arange(r[0], r[-1], 0.25 * (r[1] - r[0]))
        dense = np.interp(fine, r, g)
        shares = []
        for change in STRETCHES:
            moved = np.interp(r / (1 + change), fine, dense)
            cross = max(float(data @ moved), 0.0)
            shares.append(cross**2 / (float(moved @ moved) or 1.0))
        p[0] = 1 + STRETCHES[int(np.argmax(shares))]
        return p

    def fitted(self, start: Conditions | None = None) -> Conditions:
        """Fit stretch, widths and damping."""
        from scipy.optimize import least_squares

        p = self.start() if start is None else start.row
        low, high = self._bounds()
        fit = least_squares(
            self.misfit,
            p.clip(low + 1e-9, high - 1e-9),
            bounds=(low, high),
            x_scale=_SCALES,
            max_nfev=8,
            xtol=1e-4,
            ftol=1e-4,
        )
        stretch, uiso, delta2, qdamp = fit.x.tolist()
        rw = float(np.linalg.norm(fit.fun))
        return Conditions(stretch, uiso, delta2, qdamp, rw)

    def _bounds(self) -> tuple[np.ndarray, np.ndarray]:
        limits = [BOUNDS[name] for name in ("uiso", "delta2")]
        damping = self.target.qdamp_range
        if self.target.qdamp is not None:
            damping = (self.target.qdamp - 1e-7, self.target.qdamp + 1e-7)
        low, high = np.array([(0.96, 1.04), *limits, damping]).T
        # The nearest peak must keep a width.
        high[2] = min(high[2], 0.9 * (low[0] * self.target.bond) ** 2)
        return low, high

    def slopes(self, p: np.ndarray) -> np.ndarray:
        """How the curve changes with each parameter, (n, 4 or 3).

        Qdamp does not count where it is known.
        """
        count = 4 if self.target.qdamp is None else 3
        here = self.curve(p)
        changes = np.diag(_CHANGES)[:count]
        return np.stack([self.curve(p + c) - here for c in changes], 1)


class Comparison:
    """Compares particles near the fit of one of them.

    Parameters
    ----------
    target : Target
    particle : Piece
        The one that is fitted; others are of its family of crystals, and at
        most half as long again.
    start : Conditions, optional
        From where its fit starts.
    """

    def __init__(
        self, target: Target, particle: Piece, start: Conditions | None = None
    ):
        points = target.thinned(1.5)
        shape = Shape(target, points, particle)
        self.conditions = shape.fitted(start)
        p = self.conditions.row
        self.longest = 3 * float(
            np.linalg.norm(particle.positions, axis=1).max()
        )
        seen = (target.rmax + FADE) / (target.bond * p[0])
        self.distances = _distances(particle.template, min(self.longest, seen))
        waves = Waves(target, self.distances * target.bond)
        sines = Points(points, waves.q)
        curves = sines.curve(waves.at(p[0], p[1], p[2]), p[3])
        # A curve a row: a particle asks for few of them.
        self.curves = np.ascontiguousarray(curves.T, np.float32)
        basis, _ = np.linalg.qr(shape.slopes(p))
        self.basis = basis
        data = sines.data / sines.norm
        self.data = data - basis @ (basis.T @ data)
        self.left = float(self.data @ self.data)

    def _freed(self, particle: Piece) -> np.ndarray:
        """Its curve without what the parameters would change, (n,)."""
        distance, pairs = distances(particle)
        near = distance < self.distances[-1]
        distance, pairs = distance[near], pairs[near]
        # On no lattice a distance stands between two; on one, on the first.
        high = np.searchsorted(self.distances, distance - _SAME).clip(1)
        gap = self.distances[high] - self.distances[high - 1]
        part = ((self.distances[high] - distance) / gap).clip(0, 1)
        row = np.bincount(high, pairs * (1 - part), len(self.distances))
        row += np.bincount(high - 1, pairs * part, len(self.distances))
        filled = np.flatnonzero(row)
        share = (2 * row[filled] / len(particle)).astype(np.float32)
        g = (share @ self.curves[filled]).astype(float)
        return g - self.basis @ (self.basis.T @ g)

    def rw(self, particle: Piece) -> float:
        """Rw with scale, stretch, widths and damping fitted, about."""
        g = self._freed(particle)
        cross = max(float(self.data @ g), 0.0)
        share = cross**2 / max(float(g @ g), 1e-30)
        return float(np.sqrt(max(self.left - share, 0.0)))

    def gains(self, particle: Piece, sites: np.ndarray) -> np.ndarray:
        """What an atom on each site would take off the misfit, about.

        Parameters
        ----------
        particle : Piece
        sites : (n,) array of int
            Of its ground; what one of its own atoms gives, where it stands
            there already.

        Returns
        -------
        (n,) array
        """
        g = self._freed(particle)
        scale = float(self.data @ g) / max(float(g @ g), 1e-30)
        rest = (self.data - scale * g).astype(np.float32)
        grid = np.arange(self.distances[0], self.distances[-1], STEP)
        table = np.interp(grid, self.distances, self.curves @ rest)
        places = particle.places
        # A part of the atoms tells as much, and large particles have many.
        every = max(1, len(places) // ATOMS)
        near = particle.ground.places[sites]
        first = float(self.distances[0])
        sums = field_sums(near, places[::every], table, STEP, first)
        return 2 * every * scale * sums / len(places)


_SAME = 1e-4
"""Distances on a lattice are known to this, bond lengths."""


def _distances(template: str, end: float) -> np.ndarray:
    """Distances that stand for all others, (M,), rising, bond lengths."""
    unit = SQUARES.get(template)
    if unit is None:
        # None is shorter than a bond, and 0 would have no sine.
        return np.arange(0.7, end + STEP, STEP)
    return np.sqrt(np.arange(1, end**2 / unit + 1) * unit)


SQUARES = {"fcc": 1 / 6, "stack": 1 / 6, "bcc": 1 / 3, "sc": 1.0}
"""Squares of distances are whole multiples of this; fcc and layers share."""
