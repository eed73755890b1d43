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
import functools
import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from diffpy_cbldm.debye.widths import width_ratio
from diffpy_cbldm.fitting.quickfit import QuickFit
from diffpy_cbldm.fitting.target import Target

FOLLOWING = (0.003, 0.3, 1.0, 0.001)
"""By how much stretch and Uiso (both relative), delta2 (A^2) and the square
of Qdamp (1/A^2) may follow an edit."""

_CELL = 0.02
"""Cells of distances (A) about whose centres vectors are linear."""


class SineGrid:
    """The sines of a Q grid at the points of r, which bases share.

    The grid depends on Uiso a little.

    Parameters
    ----------
    target, fit, device
        As for `PairBasis`.
    longest : float, angstrom
        The longest distance between two atoms.

    Attributes
    ----------
    wave : (K,) tensor, 1/A
    sines : (n, K) tensor
        Times 2/pi and the step in Q.
    reach : float, angstrom
        No pair is longer.
    """

    def __init__(
        self,
        target: Target,
        fit: QuickFit,
        device: str = "cpu",
        longest: float = 0.0,
    ):
        grid = target.q_grid(fit.uiso, fit.delta2, longest=longest)
        q, self.reach, self._parts = grid.q, grid.reach, grid.parts
        self.wave = torch.tensor(q).to(device)
        self.sines = torch.sin(
            torch.tensor(target.r).to(device)[:, None] * self.wave
        )
        self.sines *= 2 / math.pi * float(q[1] - q[0])
        if grid.parts > 1:
            self.sines *= torch.tensor(grid.weights).to(device)
        self._cells: tuple[Tensor, Tensor, Tensor] | None = None

    def waves(self) -> tuple[Tensor, Tensor, Tensor]:
        """Centres of cells of distances, (c, 1), and Q d's sines, cosines."""
        if self._cells is None:
            cells = torch.arange(int(self.reach / _CELL) + 1).to(self.wave)
            d = (cells[:, None] + 0.5) * _CELL
            turn = self.wave * d
            self._cells = d, torch.sin(turn), torch.cos(turn)
        return self._cells

    def serves(
        self, target: Target, fit: QuickFit, longest: float = 0.0
    ) -> bool:
        """Whether another fit asks for the same grid, to 0.02 A in r."""
        grid = target.q_grid(fit.uiso, fit.delta2, longest=longest)
        return (
            grid.parts == self._parts
            and abs(grid.base - self.reach / self._parts) < 0.02
        )


class PairBasis:
    """What a pair of atoms adds to a measured PDF, on an orthonormal basis.

    Parameters
    ----------
    target : Target
        The measured curve on its fitting range.
    fit : QuickFit
        Uiso, delta2 and Qdamp; its stretch is not used: positions are
        those of the fit.
    device : str
        Where the vectors lie.
    grid : SineGrid, optional
        From a basis at nearly the same Uiso; a new one by default.
    longest : float, angstrom
        The longest distance between two atoms, where it may lie beyond 30.

    Attributes
    ----------
    data : (m,) tensor
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
        device: str = "cpu",
        grid: SineGrid | None = None,
        longest: float = 0.0,
    ):
        grid = grid or SineGrid(target, fit, device, longest)
        self.grid, self.reach, wave = grid, grid.reach, grid.wave
        r, root = target.r, np.sqrt(target.weights)
        fall = torch.as_tensor(np.exp(-0.5 * (fit.qdamp * r) ** 2)).to(device)
        fall = fall * torch.as_tensor(root).to(device)
        measured = torch.as_tensor(root * target.g).to(device)
        curves = grid.sines * fall[:, None]
        # Of the waves many combinations do not show in the range: what the
        # eigenvalues call nothing is left out.
        values, turn = torch.linalg.eigh(curves.T @ curves)
        keep = values > 1e-9 * values[-1]
        size = values[keep].sqrt()
        self._rows = (turn[:, keep] * size).contiguous()  # (K, m)
        # The orthonormal curves of the basis are curves @ turn, (n, m).
        self._curves, self._turn = curves, turn[:, keep] / size
        self.data = self._turn.T @ (curves.T @ measured)
        self.power = float(measured @ measured)
        shown = float(self.data @ self.data)
        self.outside = max(0.0, 1 - shown / self.power)
        self._q, self._fit, self._qbroad = wave, fit, target.qbroad
        self._r = torch.tensor(r).to(device)
        self.shown = 1.0
        self._table: tuple[Tensor, Tensor] | None = None

    def vectors(self, distance: np.ndarray) -> Tensor:
        """(n,) distances, A -> (n, m): what pairs i < j add, without scale."""
        d = torch.as_tensor(distance).to(self._q)[:, None]
        return self._waves(d, torch.sin(self._q * d)) @ self._rows

    def rw_at(self, positions: np.ndarray, scale: float) -> float:
        """Rw of (n, 3) positions with a given factor of the pair sums."""
        total = self.vectors(self._distances(positions)).sum(0)
        left = self.data - scale * total
        return math.sqrt(float(left @ left) / self.power + self.outside)

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
            As for `residual`.
        slopes : (3n, m) array
            The scale following.
        """
        cell, d, total = self._pairs(positions)
        slope = self._tables()[1][: int(cell.max()) + 1]
        i, j = np.divmod(_upper_triangle(len(positions)), len(positions))
        unit = (positions[i] - positions[j]) / d[:, None]
        # How much each coordinate changes the pairs of each cell.
        size = (len(slope) + 1) * len(positions)
        place = np.concatenate([i, j]) * (len(slope) + 1)
        place += np.concatenate([cell, cell])
        both = np.concatenate([unit, -unit])
        rows = [np.bincount(place, both[:, k], size) for k in range(3)]
        spread = np.stack(rows).reshape(3, len(positions), -1)[..., :-1]
        change = torch.as_tensor(spread.swapaxes(0, 1)).to(slope) @ slope
        left, change = self._fitted(total, change.flatten(0, 1))
        return left.cpu().numpy(), change.cpu().numpy()

    def _pairs(
        self, positions: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, Tensor]:
        """Cells and distances of the pairs i < j, and the sum of all vectors.

        Pairs out of reach lie in a last cell, at a distance of 1.
        """
        value, slope = self._tables()
        d = np.sqrt(_pair_products(positions, positions).clip(0))
        # Linear in the distance within a cell: its number of pairs and the
        # sum of their offsets say all.
        beyond = d >= self.reach
        cell = (d / _CELL).astype(np.int64)
        cell[beyond] = len(value)
        off = d - (cell + 0.5) * _CELL
        d[beyond] = 1.0
        used = min(int(cell.max()) + 1, len(value))
        count, move = np.bincount(cell)[:used], np.bincount(cell, off)[:used]
        total = torch.as_tensor(count).to(value) @ value[:used]
        total += torch.as_tensor(move).to(value) @ slope[:used]
        return cell, d, total

    def _fitted(self, total: Tensor, rates: Tensor) -> tuple[Tensor, Tensor]:
        """What is left of the curve, and its changes, the scale following.

        Both over the norm of the measured curve.
        """
        # The part of a change that lies along the curve, the scale takes.
        norm = _not_zero(total @ total)
        scale = (self.data @ total).clamp_min(0) / norm
        rates = scale * (rates - torch.outer(rates @ total / norm, total))
        size = math.sqrt(self.power)
        return (self.data - scale * total) / size, rates / size

    def _tables(self) -> tuple[Tensor, Tensor]:
        """`vectors` at the centres of cells of distances, and their slopes."""
        if self._table is None:
            d, sines, cosines = self.grid.waves()
            self._table = (
                self._waves(d, sines) @ self._rows,
                self._wave_slopes(d, sines, cosines) @ self._rows,
            )
        return self._table

    def residual(
        self, positions: np.ndarray, changes: Sequence[np.ndarray]
    ) -> tuple[float, np.ndarray, np.ndarray]:
        """Rw^2, what is left of the curve, and how moves would change it.

        Parameters
        ----------
        positions : (n, 3) array, angstrom
        changes : (k, n, 3) array, angstrom
            Derivatives of the positions.

        Returns
        -------
        square : float
        residual : (m,) array
            y - s F with the best scale s, over the norm of g.
        jacobian : (k, m) array
            Of s F, the scale following.
        """
        cell, d, total = self._pairs(positions)
        slope = self._tables()[1][: int(cell.max()) + 1]
        # How fast each change moves the pairs of each cell apart.
        rows = np.zeros((len(changes), len(slope)))
        for row, change in zip(rows, changes):
            weights = _pair_products(positions, change) / d
            row += np.bincount(cell, weights)[: len(slope)]
        rates = torch.as_tensor(rows).to(slope) @ slope
        left, rates = self._fitted(total, rates)
        square = float(left @ left) + self.outside
        return square, left.cpu().numpy(), rates.cpu().numpy()

    def _wave_slopes(
        self, d: Tensor, sines: Tensor, cosines: Tensor
    ) -> Tensor:
        # The widths hardly change with d, 1/d and the phase do.
        return self._waves(d, self._q * cosines - sines / d)

    def _waves(self, d: Tensor, wave: Tensor) -> Tensor:
        ratio = width_ratio(d, 0.0, self._fit.delta2, self._qbroad)
        width = self._fit.uiso * ratio.clamp_min(0)
        return wave * torch.exp(-width * self._q**2) / d

    def square(self, cross: Tensor, norm: Tensor) -> Tensor:
        """Rw^2 from y . F and |F|^2, the scale at its best."""
        part = cross.clamp_min(0) ** 2 / norm.clamp_min(1e-30)
        return (self.shown - part / self.power).clamp_min(0)

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
        turn, size, _ = torch.linalg.svd(changes.T, full_matrices=False)
        level = noise * self.power
        keep = (level / (size**2 + level)).sqrt()
        eased = copy.copy(self)
        eased._table = None  # it was made for the vectors without ease

        def ease(vectors: Tensor) -> Tensor:
            return vectors - ((vectors @ turn) * (1 - keep)) @ turn.T

        eased._rows, eased.data = ease(self._rows), ease(self.data)
        # What of the data the parameters explain is no misfit any more.
        lost = float(self.data @ self.data - eased.data @ eased.data)
        eased.shown = self.shown - lost / self.power
        return eased

    def _distances(self, positions: np.ndarray) -> np.ndarray:
        """Distances of all pairs within reach, each once, angstrom."""
        i, j = np.triu_indices(len(positions), 1)
        d = np.linalg.norm(positions[i] - positions[j], axis=1)
        return d[d < self.reach]

    def _tangents(self, positions: np.ndarray) -> Tensor:
        """Changes of the curve by `FOLLOWING`, (4, m), the scale at best."""
        distance = self._distances(positions)
        # Pairs of one cell change the curve alike: once, at their mean.
        cell = (distance / _CELL).astype(np.int64)
        count = np.bincount(cell)
        used = np.flatnonzero(count)
        mean = np.bincount(cell, distance)[used] / count[used]
        many = torch.as_tensor(count[used].astype(float)).to(self._q)
        d = torch.as_tensor(mean).to(self._q)[:, None]
        turn = self._q * d
        pair = self._waves(d, torch.sin(turn))
        # d/d log(stretch); U stays, and delta2 as well.
        swell = self._waves(d, turn * torch.cos(turn) - torch.sin(turn))
        ratio = width_ratio(d, 0.0, self._fit.delta2, self._qbroad)
        square = self._q**2
        wide = -pair * ratio.clamp_min(0) * square * self._fit.uiso
        sharp = pair * (ratio > 0) * square * self._fit.uiso / d**2
        rows = torch.stack([swell, wide, sharp, pair])
        curves = torch.einsum("b,kbq->kq", many, rows) @ self._rows
        total = curves[3]
        scale = (self.data @ total).clamp_min(0) / _not_zero(total @ total)
        curve = self._curves @ (self._turn @ total)
        # By the square of Qdamp, which dampens on the points of r: from the
        # basis to the curve and back.
        fall = self._turn.T @ (self._curves.T @ (-0.5 * self._r**2 * curve))
        tangents = torch.cat([curves[:3], fall[None]])
        widths = torch.tensor(FOLLOWING).to(tangents)
        return scale * widths[:, None] * tangents


def _not_zero(norm: Tensor) -> Tensor:
    """A sum of squares to divide by: of a curve that is 0, 1."""
    return norm + (norm == 0)


def _pair_products(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(x_i - x_j) . (y_i - y_j) for the pairs of `_upper_triangle`."""
    # As x_i y_i + x_j y_j - x_i y_j - x_j y_i: one product of matrices.
    product = x @ y.T
    itself = np.diagonal(product)
    pairs = itself[:, None] + itself - (product + product.T)
    return pairs.ravel()[_upper_triangle(len(x))]


@functools.lru_cache(maxsize=4)
def _upper_triangle(count: int) -> np.ndarray:
    """Places of the pairs i < j in a raveled (n, n) array."""
    i, j = np.triu_indices(count, 1)
    return i * count + j
