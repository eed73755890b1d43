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
import dataclasses
import functools
import math
from collections.abc import Sequence

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor

from diffpy_cbldm.quickfit import QuickFit, q_grid
from diffpy_cbldm.score import BOND

CLASH = 0.85
"""Sites nearer than this, in bond lengths, are not filled together: the
shortest bond of a right structure is 0.9 or more."""

WIDTHS = (0.003, 0.3, 1.0, 0.001)
"""By how much stretch and Uiso (both relative), delta2 (A^2) and the square
of Qdamp (1/A^2) may follow an edit."""

_BIN = 0.01
"""Distances (A) in one bin share the vector at their mean."""

_GRID = 0.02
"""Cells of distances (A) about whose centres vectors are linear."""


class SineGrid:
    """The sines of a Q grid at the points of r, which bases share.

    The grid of the native calculator depends on Uiso a little.

    Attributes
    ----------
    wave : (K,) tensor, 1/A
    sines : (n, K) tensor
        Times 2/pi and the step in Q.
    reach : float, angstrom
        Where the native calculator ends.
    """

    def __init__(
        self,
        r: np.ndarray,
        qmin: float,
        qmax: float,
        uiso: float,
        device: str = "cpu",
    ):
        q, self.reach = q_grid(qmin, qmax, float(r[-1]), uiso)
        self.wave = torch.as_tensor(q).to(device)
        self.sines = torch.sin(
            torch.as_tensor(r).to(device)[:, None] * self.wave
        )
        self.sines *= 2 / math.pi * float(q[1] - q[0])
        self._cells: tuple[Tensor, Tensor, Tensor] | None = None

    def waves(self) -> tuple[Tensor, Tensor, Tensor]:
        """Centres of cells of distances, (c, 1), and Q d's sines, cosines."""
        if self._cells is None:
            cells = torch.arange(int(self.reach / _GRID) + 1).to(self.wave)
            d = (cells[:, None] + 0.5) * _GRID
            turn = self.wave * d
            self._cells = d, torch.sin(turn), torch.cos(turn)
        return self._cells

    def serves(self, r: np.ndarray, qmax: float, uiso: float) -> bool:
        """Whether another Uiso asks for the same grid, to 0.02 A in r."""
        reach = q_grid(0.0, qmax, float(r[-1]), uiso)[1]
        return abs(reach - self.reach) < 0.02


class PairBasis:
    """What a pair of atoms adds to a measured PDF, on an orthonormal basis.

    Parameters
    ----------
    r, g : (n,) arrays, A and 1/A^2
        The fitted range of the measured curve.
    weights : (n,) array
        One over the variance of g.
    qmin, qmax, qbroad : float, 1/A
    fit : QuickFit
        Uiso, delta2 and Qdamp; its stretch is not used: positions are
        those of the fit.
    device : str
        Where the vectors lie.
    grid : SineGrid, optional
        From a basis at nearly the same Uiso; a new one by default.

    Attributes
    ----------
    target : (m,) tensor
        The measured curve on the basis.
    power : float
        Its weighted sum of squares on all points: what the basis cannot
        show counts as misfit.
    outside : float
        The share of `power` that the basis cannot show: noise above Qmax.
    reach : float, angstrom
        Pairs beyond it leave no trace in the range.
    """

    def __init__(
        self,
        r: np.ndarray,
        g: np.ndarray,
        weights: np.ndarray,
        *,
        qmin: float,
        qmax: float,
        qbroad: float,
        fit: QuickFit,
        device: str = "cpu",
        grid: SineGrid | None = None,
    ):
        grid = grid or SineGrid(r, qmin, qmax, fit.uiso, device)
        self.grid, self.reach, wave = grid, grid.reach, grid.wave
        fall = torch.as_tensor(np.exp(-0.5 * (fit.qdamp * r) ** 2)).to(device)
        fall = fall * torch.as_tensor(np.sqrt(weights)).to(device)
        data = torch.as_tensor(np.sqrt(weights) * g).to(device)
        curves = grid.sines * fall[:, None]
        values, turn = torch.linalg.eigh(curves.T @ curves)
        keep = values > 1e-9 * values[-1]
        size = values[keep].sqrt()
        self._rows = (turn[:, keep] * size).contiguous()  # (K, m)
        # The orthonormal curves of the basis are curves @ turn, (n, m).
        self._curves, self._turn = curves, turn[:, keep] / size
        self.target = self._turn.T @ (curves.T @ data)
        self.power = float(data @ data)
        shown = float(self.target @ self.target)
        self.outside = max(0.0, 1 - shown / self.power)
        self._q, self._fit, self._qbroad = wave, fit, qbroad
        self._r = torch.as_tensor(r).to(device)
        self.shown = 1.0
        self._table: tuple[Tensor, Tensor] | None = None

    def vectors(self, distance: np.ndarray) -> Tensor:
        """(n,) distances, A -> (n, m): what pairs i < j add, without scale."""
        d = torch.as_tensor(distance).to(self._q)[:, None]
        return self._waves(d, torch.sin(self._q * d)) @ self._rows

    def slopes(self, distance: np.ndarray) -> Tensor:
        """(n,) -> (n, m): the change of `vectors` with the distance."""
        d = torch.as_tensor(distance).to(self._q)[:, None]
        turn = self._q * d
        return self._sloped(d, torch.sin(turn), torch.cos(turn)) @ self._rows

    def rw_at(self, positions: np.ndarray, scale: float) -> float:
        """Rw of (n, 3) positions with a given factor of the pair sums."""
        i, j = np.triu_indices(len(positions), 1)
        d = np.linalg.norm(positions[i] - positions[j], axis=1)
        total = self.vectors(d[d < self.reach]).sum(0)
        left = self.target - scale * total
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
        i, j = np.divmod(_upper(len(positions)), len(positions))
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
        """Cells and distances of the pairs of `_upper`, and their vector.

        Pairs out of reach lie in a last cell, at a distance of 1.
        """
        value, slope = self._tables()
        d = np.sqrt(_between(positions, positions).clip(0))
        beyond = d >= self.reach
        cell = (d / _GRID).astype(np.int64)
        cell[beyond] = len(value)
        off = d - (cell + 0.5) * _GRID
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
        norm = total @ total
        scale = (self.target @ total).clamp_min(0) / norm
        rates = scale * (rates - torch.outer(rates @ total / norm, total))
        size = math.sqrt(self.power)
        return (self.target - scale * total) / size, rates / size

    def _tables(self) -> tuple[Tensor, Tensor]:
        """`vectors` and `slopes` on a grid of distances."""
        if self._table is None:
            d, sines, cosines = self.grid.waves()
            self._table = (
                self._waves(d, sines) @ self._rows,
                self._sloped(d, sines, cosines) @ self._rows,
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
        rows = np.zeros((len(changes), len(slope)))
        for row, change in zip(rows, changes):
            weights = _between(positions, change) / d
            row += np.bincount(cell, weights)[: len(slope)]
        rates = torch.as_tensor(rows).to(slope) @ slope
        left, rates = self._fitted(total, rates)
        square = float(left @ left) + self.outside
        return square, left.cpu().numpy(), rates.cpu().numpy()

    def _sloped(self, d: Tensor, sines: Tensor, cosines: Tensor) -> Tensor:
        # The widths hardly change with d, 1/d and the phase do.
        return self._waves(d, self._q * cosines - sines / d)

    def _waves(self, d: Tensor, wave: Tensor) -> Tensor:
        spread = 1 - self._fit.delta2 / d**2 + (self._qbroad * d) ** 2
        width = self._fit.uiso * spread.clamp_min(0)
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
        as little as a change of the parameter by `WIDTHS` explains it: to
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
        turn, size, _ = torch.linalg.svd(changes.T, full_matrices=False)
        level = noise * self.power
        keep = (level / (size**2 + level)).sqrt()
        found = copy.copy(self)
        found._table = None

        def ease(vectors: Tensor) -> Tensor:
            return vectors - ((vectors @ turn) * (1 - keep)) @ turn.T

        found._rows, found.target = ease(self._rows), ease(self.target)
        lost = float(self.target @ self.target - found.target @ found.target)
        found.shown = self.shown - lost / self.power
        return found

    def _tangents(self, positions: np.ndarray) -> Tensor:
        """Changes of the curve by `WIDTHS`, (4, m), the scale at its best."""
        i, j = np.triu_indices(len(positions), 1)
        d = np.linalg.norm(positions[i] - positions[j], axis=1)
        d = d[d < self.reach]
        cell = (d / _GRID).astype(np.int64)
        count = np.bincount(cell)
        used = np.flatnonzero(count)
        mean = np.bincount(cell, d)[used] / count[used]
        many = torch.as_tensor(count[used].astype(float)).to(self._q)
        d1 = torch.as_tensor(mean).to(self._q)[:, None]
        turn = self._q * d1
        pair = self._waves(d1, torch.sin(turn))
        # d/d log(stretch); U stays, and delta2 as well.
        swell = self._waves(d1, turn * torch.cos(turn) - torch.sin(turn))
        spread = 1 - self._fit.delta2 / d1**2 + (self._qbroad * d1) ** 2
        square = self._q**2
        wide = -pair * spread.clamp_min(0) * square * self._fit.uiso
        sharp = pair * (spread > 0) * square * self._fit.uiso / d1**2
        rows = torch.stack([swell, wide, sharp, pair])
        curves = torch.einsum("b,kbq->kq", many, rows) @ self._rows
        total = curves[3]
        scale = (self.target @ total).clamp_min(0) / (total @ total)
        curve = self._curves @ (self._turn @ total)
        # By the square of Qdamp.
        fall = self._turn.T @ (self._curves.T @ (-0.5 * self._r**2 * curve))
        found = torch.cat([curves[:3], fall[None]])
        widths = torch.tensor(WIDTHS).to(found)
        return scale * widths[:, None] * found


def _between(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(x_i - x_j) . (y_i - y_j) for the pairs of `_upper`."""
    product = x @ y.T
    own = np.diagonal(product)
    found = own[:, None] + own - (product + product.T)
    return found.ravel()[_upper(len(x))]


@functools.lru_cache(maxsize=4)
def _upper(count: int) -> np.ndarray:
    """Places of the pairs i < j in a raveled (n, n) array."""
    i, j = np.triu_indices(count, 1)
    return i * count + j


@dataclasses.dataclass(frozen=True)
class Shape:
    """Some of the sites, and how well they do.

    Attributes
    ----------
    filled : (S,) bool array
    rw : float
    roughness : float
        Missing bonds per N^(2/3), see `diffpy_cbldm.score.roughness`.
    """

    filled: np.ndarray
    rw: float
    roughness: float


class Editor:
    """Sites, some of them filled, and the exact score of every edit.

    Parameters
    ----------
    points : (S, 3) array, angstrom
        Sites where they lie after the fit.
    filled : (S,) bool array
    basis : PairBasis
    bond : float, angstrom
        The nearest-neighbour distance.
    bulk : int
        Neighbours (below 1.2 bonds) of an atom in the bulk.
    largest : int
        Most atoms.
    """

    def __init__(
        self,
        points: np.ndarray,
        filled: np.ndarray,
        basis: PairBasis,
        bond: float,
        bulk: int = 12,
        largest: int = 10**6,
    ):
        self.points, self.basis, self.bulk = points, basis, bulk
        self.least, self.largest = max(1, bulk // 4), largest
        device = basis.target.device
        self._index, self._pairs = _pair_vectors(points, basis)
        self._rough_pairs = self._pairs.float()
        self._pair_own = (self._pairs**2).sum(1)
        distance = torch.cdist(
            torch.as_tensor(points), torch.as_tensor(points)
        )
        distance.fill_diagonal_(torch.inf)
        self._near = (distance < BOND * bond).double().to(device)
        self._clash = (distance < CLASH * bond).double().to(device)
        self.start(filled)

    def start(self, filled: np.ndarray) -> None:
        """Fill these sites and no others."""
        device = self._near.device
        self.filled = torch.as_tensor(np.array(filled)).to(device)
        kinds = len(self._pairs)
        index = self._index[:, self.filled]
        rows = torch.arange(len(index), device=device)[:, None] * kinds
        count = torch.bincount(
            (index + rows).flatten(), minlength=kinds * len(index)
        )
        count = count.reshape(-1, kinds).double()
        self._sums = count @ self._pairs  # (S, m): an atom's pairs here
        self._total = self._sums[self.filled].sum(0) / 2
        atoms = self.filled.double()
        self._bonds = self._near @ atoms
        self._blocked = self._clash @ atoms
        self.atoms = int(atoms.sum())
        self.missing = float((self.bulk - self._bonds[self.filled]).sum())
        self._measure()

    def _measure(self) -> None:
        """Scalar products that all single edits need."""
        self._cross = self._sums @ self.basis.target
        self._along = self._sums @ self._total
        self._own = (self._sums**2).sum(1)
        self._y = float(self.basis.target @ self._total)
        self._norm = float(self._total @ self._total)

    def shape(self) -> Shape:
        """The present state."""
        cross, norm = torch.tensor(self._y), torch.tensor(self._norm)
        square = self.basis.square(cross.double(), norm.double())
        return Shape(
            self.filled.cpu().numpy().copy(),
            float(square.sqrt()),
            self.missing / self.atoms ** (2 / 3),
        )

    def flip(self, site: int) -> None:
        """Fill an empty site, or empty a filled one."""
        sign = -1.0 if self.filled[site] else 1.0
        # An atom and each of its bonds: both ends miss one neighbour less.
        bonds = float(self._bonds[site])
        self.missing += sign * (self.bulk - 2 * bonds)
        self._total = self._total + sign * self._sums[site]
        new = self._pairs.index_select(0, self._index[site])
        self._sums.add_(new, alpha=sign)
        self._bonds.add_(self._near[site], alpha=sign)
        self._blocked.add_(self._clash[site], alpha=sign)
        self.atoms += int(sign)
        self.filled[site] = sign > 0
        self._measure()

    def singles(self) -> tuple[Tensor, Tensor]:
        """Rw^2 and roughness after each single flip, (S,) each.

        Rw^2 is infinite for edits that are not allowed: an atom that
        clashes or has hardly a neighbour, a hole inside, one atom too many,
        a removal that leaves a neighbour hanging.
        """
        sign = 1 - 2 * self.filled.double()
        cross = self._y + sign * self._cross
        norm = self._norm + 2 * sign * self._along + self._own
        square = self.basis.square(cross, norm)
        atoms = self.atoms + sign
        missing = self.missing + sign * (self.bulk - 2 * self._bonds)
        square[~self._allowed()] = torch.inf
        return square, missing / atoms ** (2 / 3)

    def _allowed(self) -> Tensor:
        free = ~self.filled & (self._blocked == 0)
        free &= self._bonds >= self.least
        free &= self.atoms < self.largest
        return free | self._loose()

    def _loose(self) -> Tensor:
        """Atoms that may go: not inside, and no neighbour left hanging."""
        few = self.filled & (self._bonds <= self.least)
        holds = (self._near @ few.double()) > 0
        return self.filled & (self._bonds < self.bulk) & ~holds

    def swaps(self, most: int = 40) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Rw^2 and roughness after moving an atom to an empty site.

        The `most` atoms and sites that are best on their own are combined.

        Returns
        -------
        away, there : (a,), (b,) tensors of int
            Sites of atoms, and empty sites.
        square, roughness : (a, b) tensors
        """
        sign = 1 - 2 * self.filled.double()
        alone = self.basis.square(
            self._y + sign * self._cross,
            self._norm + 2 * sign * self._along + self._own,
        )
        away = _first(alone, self._loose(), most)
        open_ = ~self.filled & (self._blocked <= 1)
        open_ &= self._bonds >= self.least
        there = _first(alone, open_, most)
        # An atom on `there` has its pairs with all atoms but that on `away`.
        index = self._index[away][:, there]
        cross = self._cross[there] - self._cross[away][:, None]
        cross = cross - (self._pairs @ self.basis.target)[index]
        along = self._along[there] - self._along[away][:, None]
        along = along - (self._pairs @ self._total)[index]
        # Single precision will do for what is a small change.
        come, gone = self._sums[there].float(), self._sums[away].float()
        to_come = (come @ self._rough_pairs.T).gather(1, index.T).T
        to_gone = (gone @ self._rough_pairs.T).gather(1, index)
        own = self._own[there] + self._own[away][:, None]
        own = own + self._pair_own[index]
        own = own - 2 * (gone @ come.T + to_come - to_gone).double()
        square = self.basis.square(
            self._y + cross, self._norm + 2 * along + own
        )
        near = self._near[away][:, there]
        bonds = self._bonds[there] - near
        gain = 2 * (self._bonds[away][:, None] - bonds)
        rough = (self.missing + gain) / self.atoms ** (2 / 3)
        freed = self._clash[away][:, there]
        bad = (self._blocked[there] - freed > 0) | (bonds < self.least)
        square[bad] = torch.inf
        return away, there, square, rough


def _first(value: Tensor, among: Tensor, most: int) -> Tensor:
    """Places of the least values among some, (n,), n at most `most`."""
    places = among.nonzero()[:, 0]
    return places[value[places].argsort()[:most]]


def _pair_vectors(
    points: np.ndarray, basis: PairBasis
) -> tuple[Tensor, Tensor]:
    """Kinds of pairs: (S, S) numbers, and the vector of each, (k, m).

    Kind 0 is no pair: a site with itself, and pairs out of reach.
    """
    x = torch.as_tensor(points)
    distance = torch.cdist(x, x).numpy()
    bins = (distance / _BIN).astype(np.int64)
    bins[(distance > basis.reach) | (distance < 1e-3)] = 0
    count = np.bincount(bins.ravel())
    used = np.flatnonzero(count)
    mean = np.bincount(bins.ravel(), distance.ravel())[used] / count[used]
    number = np.zeros(len(count), np.int64)
    number[used] = np.arange(len(used))
    if used[0]:  # there is always a diagonal
        raise AssertionError("no pair of a site with itself")
    mean[0] = 1.0
    vectors = basis.vectors(mean)
    vectors[0] = 0
    index = torch.as_tensor(number[bins]).to(vectors.device)
    return index, vectors


def more_sites(
    atoms: np.ndarray, bond: float, layers: bool = False
) -> np.ndarray:
    """Sites that continue a cluster's own lattice by one shell.

    Around each atom the vectors between its neighbours and theirs are those
    of the lattice there, in whichever grain of a twin it lies.  A site to
    which these lead from three atoms or more, and from no fewer than from
    its rival a fraction of a bond away, continues the crystal.

    Parameters
    ----------
    atoms : (N, 3) array, angstrom
    bond : float, angstrom
    layers : bool
        Whether close-packed layers may go on in either of two ways: sites
        over every triangle of atoms are taken as well.

    Returns
    -------
    (n, 3) array: new sites, farther than 0.7 bonds from all atoms.
    """
    found = _continued(atoms / bond)
    if layers:
        caps = _caps(atoms / bond)
        new = caps
        if len(found):
            new = caps[cKDTree(found).query(caps)[0] > 0.2]
        found = np.concatenate([found, new])
    return found * bond


def _caps(x: np.ndarray) -> np.ndarray:
    """Points one bond from three atoms that are bonded to each other."""
    tree = cKDTree(x)
    pairs = tree.query_pairs(1.1)
    around: dict[int, set[int]] = {}
    for i, j in pairs:
        around.setdefault(i, set()).add(j)
        around.setdefault(j, set()).add(i)
    triangles = np.array(
        [
            (i, j, k)
            for i, j in pairs
            for k in around[i] & around[j]
            if k > max(i, j)
        ]
    )
    if not len(triangles):
        return np.zeros((0, 3))
    a, b, c = (x[part] for part in triangles.T)
    normal = np.cross(b - a, c - a)
    normal *= (2 / 3) ** 0.5 / np.linalg.norm(normal, axis=1)[:, None]
    caps = (a + b + c) / 3 + np.stack([normal, -normal])
    caps = caps.reshape(-1, 3)
    caps = caps[tree.query(caps)[0] > 0.9]
    alike = cKDTree(caps).query_pairs(0.2, output_type="ndarray")
    return np.delete(caps, np.unique(alike[:, 1]), axis=0)


def _twice(count: int) -> np.ndarray:
    """Each number beside itself, (count, 2)."""
    return np.arange(count)[:, None].repeat(2, axis=1)


def _continued(x: np.ndarray) -> np.ndarray:
    """`more_sites` without caps, in bond lengths."""
    tree = cKDTree(x)
    first = tree.query_pairs(BOND, output_type="ndarray")
    first = np.concatenate([first, first[:, ::-1], _twice(len(x))])
    second = tree.query_pairs(1.5, output_type="ndarray")
    second = np.concatenate([second, second[:, ::-1]])
    # From atom i over its neighbour j all the steps that lead on from j.
    second = second[np.argsort(second[:, 0], kind="stable")]
    starts = np.searchsorted(second[:, 0], np.arange(len(x) + 1))
    many = np.diff(starts)[first[:, 1]]
    row = np.repeat(starts[first[:, 1]], many)
    row += np.arange(len(row)) - np.repeat(np.cumsum(many) - many, many)
    owner = np.repeat(first[:, 0], many)
    step = x[second[row, 1]] - x[second[row, 0]]
    owner, step = np.tile(owner, 2), np.concatenate([step, -step])
    code = np.round(step / 0.2).astype(np.int64) + 20
    code = ((owner * 41 + code[:, 0]) * 41 + code[:, 1]) * 41 + code[:, 2]
    _, once = np.unique(code, return_index=True)
    owner, place = owner[once], x[owner[once]] + step[once]
    outside = tree.query(place)[0] > 0.5
    owner, place = owner[outside], place[outside]
    # What several atoms point at is one site, at the mean.
    while True:
        _, group = np.unique(
            np.round(place / 0.15), axis=0, return_inverse=True
        )
        group = group.ravel()
        count = np.bincount(group)
        mean = np.stack(
            [np.bincount(group, c) / count for c in place.T], axis=1
        )
        pairs = cKDTree(mean).query_pairs(0.2, output_type="ndarray")
        if not len(pairs):
            break
        # Groups that a boundary of the grid cut: the smaller one joins.
        small, large = pairs.T
        turned = count[small] > count[large]
        small, large = (
            np.where(turned, large, small),
            np.where(turned, small, large),
        )
        target = np.arange(len(mean))
        target[small] = large
        place = mean[target[group]]
    pointed = np.unique(np.stack([group, owner]), axis=1)[0]
    support = np.bincount(pointed, minlength=len(mean))
    rivals = cKDTree(mean).query_pairs(0.8, output_type="ndarray")
    beaten = np.zeros(len(mean), bool)
    for here, there in (rivals.T, rivals[:, ::-1].T):
        beaten[here[support[here] < 0.6 * support[there]]] = True
    good = (support >= 3) & ~beaten
    near = tree.query(mean)[0]
    return mean[good & (near > 0.7) & (near < BOND)]
