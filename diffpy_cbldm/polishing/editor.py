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
from scipy.spatial.distance import cdist

from diffpy_cbldm.crystals.bonds import BOND
from diffpy_cbldm.polishing.basis import PairBasis
from diffpy_cbldm.polishing.kernels import add_atoms, swapped

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
        distance = cdist(points, points)
        self._index, self._pairs = _pair_vectors(distance, basis)
        # A site is no neighbour of itself, and does not clash with itself.
        np.fill_diagonal(distance, np.inf)
        self._near = distance < BOND * bond
        self._clash = distance < CLASH * bond
        self.start(filled)

    def start(self, filled: np.ndarray) -> None:
        """Fill these sites and no others."""
        self.filled = np.array(filled)
        atoms = np.flatnonzero(self.filled)
        # (S, m): the sum of an atom's pairs at each site.
        self._sums = np.zeros((len(filled), self._pairs.shape[1]))
        add_atoms(atoms, 1.0, self._index, self._pairs, self._sums)
        # Each pair stands at both of its ends.
        self._total = self._sums[atoms].sum(0) / 2
        self._bonds = self._near[:, atoms].sum(1)
        self._blocked = self._clash[:, atoms].sum(1)
        self.atoms = len(atoms)
        self.missing = int((self.bulk - self._bonds[atoms]).sum())
        self._measure()

    def _measure(self) -> None:
        """Scalar products that all single edits need."""
        self._cross = np.vecdot(self._sums, self.basis.data)
        self._along = np.vecdot(self._sums, self._total)
        self._sum_norm = np.vecdot(self._sums, self._sums)
        self._y = float(self.basis.data @ self._total)
        self._norm = float(self._total @ self._total)
        self._free_to_go = self._loose()

    def shape(self) -> Shape:
        """The present state."""
        # Rounded as in the figures of `docs/reference/polishing.md`: a search
        # whose start seems higher by 1e-7 may come back to it once.
        single = np.array([[self._y], [self._norm]], np.float32)
        y, norm = single.astype(float)
        square = self.basis.square(y, norm)
        return Shape(
            self.filled.copy(),
            float(np.sqrt(square[0])),
            self.missing / self.atoms ** (2 / 3),
        )

    def flip(self, site: int) -> None:
        """Fill an empty site, or empty a filled one."""
        sign = -1 if self.filled[site] else 1
        # An atom and each of its bonds: both ends miss one neighbour less.
        self.missing += sign * (self.bulk - 2 * int(self._bonds[site]))
        self._total = self._total + sign * self._sums[site]
        add_atoms(
            np.array([site]), float(sign), self._index, self._pairs, self._sums
        )
        self._bonds += sign * self._near[site]
        self._blocked += sign * self._clash[site]
        self.atoms += sign
        self.filled[site] = sign > 0
        self._measure()

    def singles(self) -> tuple[np.ndarray, np.ndarray]:
        """Rw^2 and roughness after each single flip, (S,) each.

        Rw^2 is infinite for edits that are not allowed: an atom that
        clashes or has hardly a neighbour, a hole inside, a removal that
        leaves a neighbour hanging.
        """
        sign = np.where(self.filled, -1, 1)
        square = self._square_of_flips(sign)
        missing = self.missing + sign * (self.bulk - 2 * self._bonds)
        square[~self._allowed()] = np.inf
        return square, missing / (self.atoms + sign) ** (2 / 3)

    def _square_of_flips(self, sign: np.ndarray) -> np.ndarray:
        """Rw^2 after each single flip, allowed or not; sign 1 fills, (S,)."""
        cross = self._y + sign * self._cross
        norm = self._norm + 2 * sign * self._along + self._sum_norm
        return self.basis.square(cross, norm)

    def _allowed(self) -> np.ndarray:
        """Which single flips are allowed, (S,) bool."""
        free = ~self.filled & (self._blocked == 0)
        free &= self._bonds >= self.least
        return free | self._free_to_go

    def _loose(self) -> np.ndarray:
        """Atoms that may go: not inside, and no neighbour left hanging."""
        few = self.filled & (self._bonds <= self.least)
        holds = self._near[few].any(0)
        return self.filled & (self._bonds < self.bulk) & ~holds

    def swaps(
        self, most: int = 40
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Rw^2 and roughness after moving an atom to an empty site.

        The `most` atoms and sites that are best on their own are combined.

        Returns
        -------
        away, there : (a,), (b,) arrays of int
            Sites of atoms, and empty sites.
        square, roughness : (a, b) arrays
        """
        alone = self._square_of_flips(np.where(self.filled, -1, 1))
        away = _least(alone, self._free_to_go, most)
        # What one atom blocks may be the place for just that atom.
        vacant = ~self.filled & (self._blocked <= 1)
        vacant &= self._bonds >= self.least
        there = _least(alone, vacant, most)
        near = self._near[away][:, there]
        bonds = self._bonds[there] - near
        # Bonds broken less bonds made; each misses at two atoms.
        gain = 2 * (self._bonds[away][:, None] - bonds)
        rough = (self.missing + gain) / self.atoms ** (2 / 3)
        freed = self._clash[away][:, there]
        allowed = (self._blocked[there] == freed) & (bonds >= self.least)
        cross, norm = swapped(
            away,
            there,
            np.ascontiguousarray(allowed),
            self._index,
            self._pairs,
            self._sums,
            self.basis.data,
            self._total,
        )
        square = np.where(allowed, self.basis.square(cross, norm), np.inf)
        return away, there, square, rough


def _least(value: np.ndarray, among: np.ndarray, most: int) -> np.ndarray:
    """Places of the least values among some, (n,), n at most `most`."""
    places = np.flatnonzero(among)
    if len(places) > most:
        places = places[np.argpartition(value[places], most)[:most]]
    return places[value[places].argsort()]


def _pair_vectors(
    distance: np.ndarray, basis: PairBasis
) -> tuple[np.ndarray, np.ndarray]:
    """Kinds of pairs: (S, S) numbers, and the vector of each, (k, m).

    Kind 0 is no pair: a site with itself, and pairs out of reach.
    """
    # Distances of a lattice repeat: few bins are used, and each needs its
    # vector once.
    bins = (distance / _DISTANCE_BIN).astype(np.int64)
    bins[(distance > basis.reach) | (distance < 1e-3)] = 0
    count = np.bincount(bins.ravel())
    used = np.flatnonzero(count)
    mean = np.bincount(bins.ravel(), distance.ravel())[used] / count[used]
    number = np.zeros(len(count), np.int32)
    number[used] = np.arange(len(used))
    if used[0]:  # there is always a diagonal
        raise AssertionError("no pair of a site with itself")
    # Any distance will do for what gets the vector 0; 0 itself would not.
    mean[0] = 1.0
    # Sums of them change with every edit: in double precision.
    vectors = basis.vectors(mean).astype(float)
    vectors[0] = 0
    return number[bins], vectors
