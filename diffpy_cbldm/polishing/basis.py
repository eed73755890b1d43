"""Site editing: every added, removed or moved atom scored at once.

A pair of atoms at distance d adds one vector to the PDF; on an orthonormal
basis of what the measured range can show, Rw is an angle between the sum of
these vectors and the data:

    Rw^2 = 1 - (y . F)^2 / (|F|^2 |g|^2),    F = sum over pairs of t(d)

An atom on a site adds the sum of its pairs' vectors.  With one such sum kept
for each site the exact Rw after each single edit, the scale at its best,
costs two scalar products.
"""

from __future__ import annotations

import copy
import math

import numpy as np
from scipy.linalg import solve_triangular

from diffpy_cbldm.debye.widths import width_ratio
from diffpy_cbldm.fitting.pair_kernels import pair_cells, pair_waves
from diffpy_cbldm.fitting.quickfit import QuickFit
from diffpy_cbldm.fitting.target import Target
from diffpy_cbldm.polishing.grids import SineGrid
from diffpy_cbldm.polishing.kernels import atom_rates

FOLLOWING = (0.003, 0.3, 1.0, 0.001)
"""By how much stretch and Uiso (both relative), delta2 (A^2) and the square
of Qdamp (1/A^2) may follow an edit."""

_CELL = 0.02
"""Cells of distances (A) about whose centres vectors are linear."""

_MANY = 128
"""Distances whose waves are held at a time."""

_MARGIN = 50
"""Cells beyond the longest distance that are tabulated, for longer ones."""


class PairBasis:
    """What a pair of atoms adds to a measured PDF, on an orthonormal basis.

    Parameters
    ----------
    target : Target
        The measured curve on its fitting range.
    fit : QuickFit
        Uiso, delta2 and Qdamp; its stretch is not used: positions are
        those of the fit.
    grid : SineGrid, optional
        From a basis at nearly the same Uiso; a new one by default.
    longest : float, angstrom
        The longest distance between two atoms, where it may lie beyond 30.

    Attributes
    ----------
    data : (m,) array
        The measured curve on the basis.
    power : float
        Its weighted sum of squares on all points: what the basis cannot
        show counts as misfit.
    outside : float
        The share of `power` that the basis cannot show: noise above Qmax.
    reach : float, angstrom
        Pairs beyond it do not count.
    """

    def __init__(
        self,
        target: Target,
        fit: QuickFit,
        *,
        grid: SineGrid | None = None,
        longest: float = 0.0,
    ):
        grid = grid or SineGrid(target, fit, longest)
        self.grid, self.reach = grid, grid.reach
        self._fit, self._qbroad, self._r = fit, target.qbroad, target.r
        root = np.sqrt(target.weights)
        # What the points of r make of a curve before damping and weights.
        self._fall = root * np.exp(-0.5 * (fit.qdamp * target.r) ** 2)
        measured = root * target.g
        self._decompose()
        self.data = self._seen(measured)
        self.power = float(measured @ measured)
        shown = float(self.data @ self.data)
        self.outside = max(0.0, 1 - shown / self.power)
        self.shown = 1.0
        self._table: tuple[np.ndarray, np.ndarray] | None = None

    def _decompose(self) -> None:
        """Find the curves that the waves can make in the range."""
        self._lower, self._kept, self._rows = self.grid.bases.of(self._fall)

    def _seen(self, curve: np.ndarray) -> np.ndarray:
        """A curve at the points of r, (n,), on the basis, (m,)."""
        waves = self.grid.sines.T @ (self._fall * curve)
        seen = solve_triangular(self._lower, waves[self._kept], lower=True)
        return np.asarray(seen)

    def _waves_of(self, total: np.ndarray) -> np.ndarray:
        """The waves, (K,), whose sum has some coordinates, (m,)."""
        waves = np.zeros(self.grid.count)
        waves[self._kept] = solve_triangular(
            self._lower, total, lower=True, trans="T"
        )
        return waves

    def _drawn(self, vector: np.ndarray) -> np.ndarray:
        """The curve at the points of r, (n,), of a vector, (m,)."""
        return self._fall * (self.grid.sines @ self._waves_of(vector))

    def vectors(self, distance: np.ndarray) -> np.ndarray:
        """(n,) distances, A -> (n, m): what pairs i < j add, without scale.

        Of single precision: they rank edits, and fits judge.
        """
        rows = self._rows.astype(np.float32)
        out = np.empty((len(distance), rows.shape[1]), np.float32)
        # The waves of all distances of a table would take tens of MB.
        for first in range(0, len(distance), _MANY):
            part = slice(first, first + _MANY)
            wave = self._waves(distance[part])[0].astype(np.float32)
            np.matmul(wave, rows, out=out[part])
        return out

    def rw_at(self, positions: np.ndarray, scale: float) -> float:
        """Rw of (n, 3) positions with a given factor of the pair sums."""
        counts, offsets = self._cells(positions[None])
        some = np.flatnonzero(counts[:, 0, 0])
        count, square = counts[some, 0].T
        off = offsets[some, 0, 0] / count
        # The pairs of a cell at their mean; their variance widens the peak.
        variance = square / count - off**2
        waves, _ = self._waves((some + 0.5) * _CELL + off, variance / 2)
        total = self._rows.T @ (waves.T @ count)
        left = self.data - scale * total
        return math.sqrt(float(left @ left) / self.power + self.outside)

    def total(self, positions: np.ndarray) -> np.ndarray:
        """The sum of the vectors of all pairs of (n, 3) positions, (m,)."""
        kept = self._table
        total = self._sums(*self._cells(positions[None]))[0, 0]
        # It is asked for once, and its waves would stay: 20 MB.
        self._table = kept
        return total

    def atom_slopes(
        self, positions: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """What is left of the curve, and how each coordinate changes it.

        Parameters
        ----------
        positions : (n, 3) array, angstrom

        Returns
        -------
        residual : (m,) array
            As for `residuals`.
        slopes : (3n, m) array
            The scale following.
        """
        counts, rates = self._cells(positions[None])
        _, slope = self._tables(len(counts))
        change = atom_rates(positions, slope, self.reach, _CELL)
        change = change.reshape(-1, self.grid.count) @ self._rows
        left, slopes = self._fitted(
            np.concatenate([self._sums(counts, rates)[0], change])[None]
        )
        return left[0], slopes[0]

    def _cells(
        self, many: np.ndarray, changes: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Pairs and their rates by cells of distances, see `pair_cells`.

        many (t, n, 3), changes (k, n, 3)
        """
        if changes is None:
            changes = np.zeros((0, *many.shape[1:]))
        counts, rates = pair_cells(
            np.ascontiguousarray(many.swapaxes(1, 2)),
            np.ascontiguousarray(changes.swapaxes(1, 2)),
            self.reach,
            _CELL,
            int(self.reach / _CELL) + 1,
        )
        used = counts[:, :, 0].any(1)
        last = int(np.flatnonzero(used).max(initial=0)) + 1
        return counts[:last], rates[:last]

    def _sums(self, counts: np.ndarray, rates: np.ndarray) -> np.ndarray:
        """The sums of all vectors, and what changes make of them.

        (t, 1 + k, m)
        """
        # Most cells hold no pair: a crystal has few distances.
        some = np.flatnonzero(counts[..., 0].any(1))
        wave, slope = (part[some] for part in self._tables(len(counts)))
        counts, rates = counts[some], rates[some]
        cells, states, moves = rates.shape
        # Linear in the distance within a cell: its number of pairs and the
        # sum of their offsets say all.
        rows = rates.reshape(cells, -1).T @ slope
        rows = rows.reshape(states, moves, -1)
        rows[:, 0] += np.ascontiguousarray(counts[..., 0].T) @ wave
        rows = rows.reshape(states * moves, -1) @ self._rows
        return rows.reshape(states, moves, -1)

    def _fitted(self, curves: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What is left of the curve, and its changes, the scale following.

        Of curves (t, 1 + k, m), each with its changes behind it: (t, m) and
        (t, k, m), both over the norm of the measured curve.
        """
        total, rates = curves[:, 0], curves[:, 1:]
        # The part of a change that lies along the curve, the scale takes.
        norm = _not_zero((total**2).sum(1))
        scale = (total @ self.data).clip(0) / norm
        along = rates @ total[:, :, None] / norm[:, None, None]
        rates = scale[:, None, None] * (rates - along * total[:, None])
        size = math.sqrt(self.power)
        return (self.data - scale[:, None] * total) / size, rates / size

    def _tables(self, cells: int) -> tuple[np.ndarray, np.ndarray]:
        """Waves at the centres of so many cells of distances, their slopes."""
        if self._table is None or len(self._table[0]) < cells:
            centres = (np.arange(cells + _MARGIN) + 0.5) * _CELL
            self._table = self._waves(centres)
        wave, slope = self._table
        return wave[:cells], slope[:cells]

    def residuals(
        self, many: np.ndarray, changes: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Rw^2, what is left of the curve, and how moves would change it.

        Parameters
        ----------
        many : (t, n, 3) array, angstrom
            Positions of the same atoms in several states.
        changes : (k, n, 3) array, angstrom, optional
            Derivatives of the positions, the same for all states.

        Returns
        -------
        square : (t,) array
        residual : (t, m) array
            y - s F with the best scale s, over the norm of g.
        jacobian : (t, k, m) array
            Of s F, the scale following.
        """
        left, slopes = self._fitted(self._sums(*self._cells(many, changes)))
        return (left**2).sum(1) + self.outside, left, slopes

    def _waves(
        self, distance: np.ndarray, wider: np.ndarray | float = 0.0
    ) -> tuple[np.ndarray, np.ndarray]:
        """Waves of pairs on the Q grid and their slopes, (n, K) each.

        The widths hardly change with d: the slope is that of 1/d and of the
        phase.
        """
        return pair_waves(
            distance,
            self._fit.uiso * self._ratio(distance).clip(0) + wider,
            self.grid.first,
            self.grid.step,
            self.grid.count,
        )

    def _ratio(self, distance: np.ndarray) -> np.ndarray:
        """The factor of Uiso at some distances, not cut at 0."""
        return width_ratio(distance, 0.0, self._fit.delta2, self._qbroad)

    def square(self, cross: np.ndarray, norm: np.ndarray) -> np.ndarray:
        """Rw^2 from y . F and |F|^2, the scale at its best."""
        part = np.maximum(cross, 0) ** 2 / np.maximum(norm, 1e-30)
        return np.maximum(self.shown - part / self.power, 0)

    def eased(
        self, positions: np.ndarray, noise: float, damping: bool
    ) -> PairBasis:
        """The basis on which the fit's parameters follow every edit.

        Stretch, Uiso, delta2 and Qdamp change the curve along one vector
        each (here, at the present structure).  What lies along them counts
        as little as a change of the parameter by `FOLLOWING` explains it: to
        first order Rw is that after a fit of them.

        Parameters
        ----------
        positions : (n, 3) array, angstrom
        noise : float
            Rw^2 over the number of independent points.
        damping : bool
            Whether Qdamp is fitted.
        """
        changes = self._tangents(positions)[: 4 if damping else 3]
        # Parameters that change the curve alike share a direction.
        turn, size, _ = np.linalg.svd(changes.T, full_matrices=False)
        level = noise * self.power
        keep = np.sqrt(level / (size**2 + level))
        eased = copy.copy(self)

        def ease(vectors: np.ndarray) -> np.ndarray:
            return vectors - ((vectors @ turn) * (1 - keep)) @ turn.T

        eased._rows, eased.data = ease(self._rows), ease(self.data)
        # What of the data the parameters explain is no misfit any more.
        lost = float(self.data @ self.data - eased.data @ eased.data)
        eased.shown = self.shown - lost / self.power
        return eased

    def _tangents(self, positions: np.ndarray) -> np.ndarray:
        """Changes of the curve by `FOLLOWING`, (4, m), the scale at best."""
        counts, offsets = self._cells(positions[None])
        # Pairs of one cell change the curve alike: once, at their mean.
        some = np.flatnonzero(counts[:, 0, 0])
        count = counts[some, 0, 0]
        d = (some + 0.5) * _CELL + offsets[some, 0, 0] / count
        pair, slope = self._waves(d)
        ratio = self._ratio(d)
        weights = [count * ratio.clip(0), count * (ratio > 0) / d**2, count]
        wide, sharp, plain = np.array(weights) @ pair
        # By log(stretch) all distances grow in proportion; U stays, and
        # delta2 as well.
        swell = slope.T @ (count * d)
        decay = self.grid.wave**2 * self._fit.uiso
        rows = np.array([swell, -decay * wide, decay * sharp, plain])
        curves = rows @ self._rows
        total = curves[3]
        scale = max(self.data @ total, 0.0) / float(_not_zero(total @ total))
        curve = self._drawn(total)
        # By the square of Qdamp, which dampens on the points of r: from the
        # basis to the curve and back.
        curves[3] = self._seen(-0.5 * self._r**2 * curve)
        widths = np.array(FOLLOWING, np.float32)[:, None]
        return scale * widths.astype(float) * curves


def _not_zero(norm: np.ndarray) -> np.ndarray:
    """Sums of squares to divide by: of a curve that is 0, 1."""
    return np.where(norm > 0, norm, 1.0)
