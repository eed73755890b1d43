"""Which edits of the sites lower the misfit, and by how much.

With t(d) the vector of a pair (`diffpy_cbldm.polishing.basis`) and F the sum
over the pairs of atoms, an atom on site s adds S(s) = sum over atoms of t:

    F' = F + sign S(s),    |F'|^2 = |F|^2 + 2 sign S(s) . F + |S(s)|^2

so that Rw after each single edit needs y . S, F . S and |S|^2 alone, for all
sites at once.  Roughness follows from the bonds that each site would have.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from torch import Tensor

from diffpy_cbldm.crystals.bonds import BOND
from diffpy_cbldm.polishing.basis import PairBasis

CLASH = 0.85
"""Sites nearer than this, in bond lengths, are not filled together: the
shortest bond of a right structure is 0.9 or more."""

_DISTANCE_BIN = 0.01
"""Distances (A) in one bin share the vector at their mean."""


@dataclasses.dataclass(frozen=True)
class Shape:
    """Some of the sites, and how well they do.

    Attributes
    ----------
    filled : (S,) bool array
    rw : float
    roughness : float
        Missing bonds per N^(2/3), see `diffpy_cbldm.crystals.bonds.roughness`.
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
    """

    def __init__(
        self,
        points: np.ndarray,
        filled: np.ndarray,
        basis: PairBasis,
        bond: float,
        bulk: int = 12,
    ):
        self.points, self.basis, self.bulk = points, basis, bulk
        # An adatom on {111} has 3 bonds of the 12 in the bulk.
        self.least = max(1, bulk // 4)
        device = basis.data.device
        self._index, self._pairs = _pair_vectors(points, basis)
        self._pairs_single = self._pairs.float()
        self._pair_norm = (self._pairs**2).sum(1)
        distance = torch.cdist(
            torch.as_tensor(points), torch.as_tensor(points)
        )
        # A site is no neighbour of itself, and does not clash with itself.
        distance.fill_diagonal_(torch.inf)
        self._near = (distance < BOND * bond).double().to(device)
        self._clash = (distance < CLASH * bond).double().to(device)
        self.start(filled)

    def start(self, filled: np.ndarray) -> None:
        """Fill these sites and no others."""
        device = self._near.device
        self.filled = torch.as_tensor(np.array(filled)).to(device)
        kinds = len(self._pairs)
        # How often each kind of pair stands between a site and the atoms:
        # counting is far cheaper than adding up the pairs' vectors.
        index = self._index[:, self.filled]
        rows = torch.arange(len(index), device=device)[:, None] * kinds
        count = torch.bincount(
            (index + rows).flatten(), minlength=kinds * len(index)
        )
        count = count.reshape(-1, kinds).double()
        self._sums = count @ self._pairs  # (S, m): an atom's pairs here
        # Each pair stands at both of its ends.
        self._total = self._sums[self.filled].sum(0) / 2
        atoms = self.filled.double()
        self._bonds = self._near @ atoms
        self._blocked = self._clash @ atoms
        self.atoms = int(atoms.sum())
        self.missing = float((self.bulk - self._bonds[self.filled]).sum())
        self._measure()

    def _measure(self) -> None:
        """Scalar products that all single edits need."""
        self._cross = self._sums @ self.basis.data
        self._along = self._sums @ self._total
        self._sum_norm = (self._sums**2).sum(1)
        self._y = float(self.basis.data @ self._total)
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
        clashes or has hardly a neighbour, a hole inside, a removal that
        leaves a neighbour hanging.
        """
        sign = 1 - 2 * self.filled.double()
        square = self._square_of_flips(sign)
        atoms = self.atoms + sign
        missing = self.missing + sign * (self.bulk - 2 * self._bonds)
        square[~self._allowed()] = torch.inf
        return square, missing / atoms ** (2 / 3)

    def _square_of_flips(self, sign: Tensor) -> Tensor:
        """Rw^2 after each single flip, allowed or not; sign 1 fills, (S,)."""
        cross = self._y + sign * self._cross
        norm = self._norm + 2 * sign * self._along + self._sum_norm
        return self.basis.square(cross, norm)

    def _allowed(self) -> Tensor:
        """Which single flips are allowed, (S,) bool."""
        free = ~self.filled & (self._blocked == 0)
        free &= self._bonds >= self.least
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
        alone = self._square_of_flips(1 - 2 * self.filled.double())
        away = _least(alone, self._loose(), most)
        # What one atom blocks may be the place for just that atom.
        vacant = ~self.filled & (self._blocked <= 1)
        vacant &= self._bonds >= self.least
        there = _least(alone, vacant, most)
        square = self._square_of_swaps(away, there)
        near = self._near[away][:, there]
        bonds = self._bonds[there] - near
        # Bonds broken less bonds made; each misses at two atoms.
        gain = 2 * (self._bonds[away][:, None] - bonds)
        rough = (self.missing + gain) / self.atoms ** (2 / 3)
        freed = self._clash[away][:, there]
        refused = (self._blocked[there] - freed > 0) | (bonds < self.least)
        square[refused] = torch.inf
        return away, there, square, rough

    def _square_of_swaps(self, away: Tensor, there: Tensor) -> Tensor:
        """Rw^2 after moving the atoms `away` (a,) to `there` (b,), (a, b)."""
        # An atom on `there` has its pairs with all atoms but that on `away`.
        index = self._index[away][:, there]
        cross = self._cross[there] - self._cross[away][:, None]
        cross = cross - (self._pairs @ self.basis.data)[index]
        along = self._along[there] - self._along[away][:, None]
        along = along - (self._pairs @ self._total)[index]
        # Single precision will do for what is a small change.
        come, gone = self._sums[there].float(), self._sums[away].float()
        to_come = (come @ self._pairs_single.T).gather(1, index.T).T
        to_gone = (gone @ self._pairs_single.T).gather(1, index)
        # |S(there) - S(away) - t|^2, t the vector of the pair of both sites.
        change = self._sum_norm[there] + self._sum_norm[away][:, None]
        change = change + self._pair_norm[index]
        change = change - 2 * (gone @ come.T + to_come - to_gone).double()
        return self.basis.square(
            self._y + cross, self._norm + 2 * along + change
        )


def _least(value: Tensor, among: Tensor, most: int) -> Tensor:
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
    # Distances of a lattice repeat: few bins are used, and each needs its
    # vector once.
    bins = (distance / _DISTANCE_BIN).astype(np.int64)
    bins[(distance > basis.reach) | (distance < 1e-3)] = 0
    count = np.bincount(bins.ravel())
    used = np.flatnonzero(count)
    mean = np.bincount(bins.ravel(), distance.ravel())[used] / count[used]
    number = np.zeros(len(count), np.int64)
    number[used] = np.arange(len(used))
    if used[0]:  # there is always a diagonal
        raise AssertionError("no pair of a site with itself")
    # Any distance will do for what gets the vector 0; 0 itself would not.
    mean[0] = 1.0
    vectors = basis.vectors(mean)
    vectors[0] = 0
    index = torch.as_tensor(number[bins]).to(vectors.device)
    return index, vectors
