"""Which layers, rows and atoms to add or to take off, and what that gives.

With t(d) the vector of a pair (`diffpy_cbldm.polishing.basis`) and F the sum
over the pairs of atoms, a group B of sites that is filled makes

    F' = F + sum over B of S(s) + T(B),

S(s) the sum of t from a site to all atoms, T(B) that of the pairs in the
group; a group that is emptied makes F' = F - (sum over B of S(s) - T(B)).
S is kept for the sites of the surface alone, and follows each edit by the
pairs with the group: the pairs of the whole particle are counted once.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from scipy.sparse import csr_array
from scipy.spatial import cKDTree

from diffpy_cbldm.crystals.bonds import BOND
from diffpy_cbldm.polishing.basis import PairBasis
from diffpy_cbldm.polishing.directions import (
    LEVEL,
    corner_directions,
    facet_normals,
    families,
)
from diffpy_cbldm.polishing.editor import CLASH
from diffpy_cbldm.polishing.group_kernels import inner_counts, site_counts

CELL = 0.02
"""Cells of distances (A); pairs of one count at their mean."""

BLOCK = 256
"""Sites whose distances are counted at a time."""

LARGEST = 0.5
"""A group has no larger part of the atoms."""


_MEMBER = 1000
"""No site has so many bonds."""


@dataclasses.dataclass(frozen=True)
class Group:
    """Sites that are filled or emptied together.

    Attributes
    ----------
    sites : (n,) array of int
    sign : int
        1 fills them, -1 empties them.
    kind : {"layers", "sites"}
    key : tuple
        What it is, the number of its atoms and where their mean lies (bonds
        from the start's centre): the same for the edit that takes it back.
    """

    sites: np.ndarray
    sign: int
    kind: str
    key: tuple


class GroupEditor:
    """Sites, some of them filled, and what edits by groups give.

    Parameters
    ----------
    points : (S, 3) array, angstrom
        Sites where they lie after the fit.
    filled : (S,) bool array
    basis : PairBasis
    bond : float, angstrom
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
    ) -> None:
        self.points = np.ascontiguousarray(points)
        self.basis, self.bulk = basis, bulk
        # An adatom on {111} has 3 bonds of the 12 in the bulk.
        self.least = max(1, bulk // 4)
        tree = cKDTree(points)
        self._near = _adjacency(tree, BOND * bond)
        self._clash = _adjacency(tree, CLASH * bond)
        x = points / bond
        normals = facet_normals(x[filled])
        family = families(x[filled], normals)
        corners, likes = corner_directions(x[filled], normals, family)
        self._family = np.concatenate([family, family.max() + 1 + likes])
        self.directions = np.concatenate([normals, corners])
        self._heights = x @ self.directions.T
        self._scaled = x - x[filled].mean(0)
        size = int(basis.reach / CELL) + 1
        self._centres = (np.arange(size) + 0.5) * CELL
        self._vectors: np.ndarray | None = None
        self._inner: dict[bytes, np.ndarray] = {}
        self._sums = np.zeros((len(points), len(basis.data)), np.float32)
        self._known = np.zeros(len(points), bool)
        self.filled = np.array(filled)
        self._recount()
        atoms = self.points[self.filled]
        self.total = basis.total(atoms)

    def _recount(self) -> None:
        """Bonds and clashes of each site, and what they sum up to."""
        here = self.filled.astype(np.int32)
        self._bonds, self._blocked = self._near @ here, self._clash @ here
        self.atoms = int(here.sum())
        bonds = int(self._bonds[self.filled].sum())
        self.missing = self.bulk * self.atoms - bonds

    # Sums of vectors.

    def _counted(self, sites: np.ndarray, atoms: np.ndarray) -> np.ndarray:
        """The sum of the vectors from sites to atoms, (s, m) float32."""
        many, near = self.points[sites], self.points[atoms]
        if self._vectors is None:
            self._vectors = self._tabulated(many, near)
        out = np.empty((len(sites), self._vectors.shape[1]), np.float32)
        unused = np.zeros((2, len(self._centres)))
        for first in range(0, len(sites), BLOCK):
            part = slice(first, first + BLOCK)
            counts = np.zeros((len(many[part]), len(self._centres)), "f4")
            site_counts(
                many[part], near, CELL, self.basis.reach, counts, unused
            )
            out[part] = self._summed(counts)
        return out

    def _tabulated(self, sites: np.ndarray, atoms: np.ndarray) -> np.ndarray:
        """The vector of a pair in each cell, (cells, m) float32."""
        # Distances of a lattice repeat: some sites have seen them all.
        some = sites[:: max(1, len(sites) // BLOCK)]
        counts = np.zeros((len(some), len(self._centres)), np.float32)
        pairs = np.zeros((2, len(self._centres)))
        site_counts(some, atoms, CELL, self.basis.reach, counts, pairs)
        count, total = pairs
        mean = np.where(count > 0, total / np.maximum(count, 1), self._centres)
        return self.basis.vectors(mean)

    def _summed(self, counts: np.ndarray) -> np.ndarray:
        used = np.flatnonzero(counts.any(0))
        assert self._vectors is not None  # made before anything is counted
        return np.ascontiguousarray(counts[:, used]) @ self._vectors[used]

    def _know(self, sites: np.ndarray) -> None:
        """Have the sums of some sites."""
        new = sites[~self._known[sites]]
        if len(new):
            self._sums[new] = self._counted(new, np.flatnonzero(self.filled))
            self._known[new] = True

    def _inside(self, groups: Sequence[Group]) -> np.ndarray:
        """The sum of the vectors in each group, (g, m), each counted once."""
        keys = [group.sites.tobytes() for group in groups]
        new = [k for k, key in enumerate(keys) if key not in self._inner]
        sizes = [len(groups[k].sites) for k in new]
        if new:
            counts = np.zeros((len(new), len(self._centres)), np.float32)
            inner_counts(
                self.points[np.concatenate([groups[k].sites for k in new])],
                np.cumsum([0, *sizes]),
                CELL,
                self.basis.reach,
                counts,
            )
            for k, vector in zip(new, self._summed(counts)):
                self._inner[keys[k]] = vector
        return np.array([self._inner[key] for key in keys])

    # Groups.

    def groups(self, kind: str) -> list[Group]:
        """What may be filled or emptied now.

        Parameters
        ----------
        kind : {"layers", "sites"}
            Whole facets, families of facets, edges and corners; or single
            atoms of the surface.
        """
        outer = np.flatnonzero(self.filled & (self._bonds < self.bulk))
        vacant = np.flatnonzero(~self.filled & (self._blocked == 0))
        # Held by atoms that are there: beyond the rim of a facet its next
        # layer would have nothing to stand on.
        vacant = vacant[self._bonds[vacant] >= self.least]
        if kind == "sites":
            return [
                self._group(np.array([site]), sign, "sites")
                for sites, sign in ((outer, -1), (vacant, 1))
                for site in sites
            ]
        found = []
        for sign, per_way in (
            (-1, [self._top(k, outer) for k in range(len(self.directions))]),
            (1, self._next(outer, vacant)),
        ):
            found += self._as_groups(per_way, sign)
        return found

    def _group(self, sites: np.ndarray, sign: int, kind: str) -> Group:
        """A group with a name that holds when sites are numbered anew."""
        mean = np.round(self._scaled[sites].mean(0), 1) + 0.0
        return Group(sites, sign, kind, (kind, len(sites), *mean.tolist()))

    def _as_groups(self, per_way: list[np.ndarray], sign: int) -> list[Group]:
        """Groups of all directions, and of all of one family."""
        families = [
            np.unique(
                np.concatenate(
                    [per_way[k] for k in np.flatnonzero(self._family == f)]
                )
            )
            for f in range(int(self._family.max(initial=-1)) + 1)
        ]
        most = LARGEST * self.atoms
        once = {s.tobytes(): s for s in (*per_way, *families)}
        return [
            self._group(sites, sign, "layers")
            for sites in once.values()
            if 0 < len(sites) < most
        ]

    def _top(self, way: int, outer: np.ndarray) -> np.ndarray:
        """The outermost layer in a direction."""
        heights = self._heights[outer, way]
        return outer[heights > heights.max() - LEVEL]

    def _next(self, outer: np.ndarray, vacant: np.ndarray) -> list[np.ndarray]:
        """The layer that would come next in each direction."""
        top = self._heights[outer].max(0)
        heights = self._heights[vacant]
        above = np.where(heights > top + LEVEL, heights, np.inf)
        lowest = above.min(0, initial=np.inf)
        # Farther out than a bond nothing would hold.
        lowest[lowest > top + 1.0] = np.inf
        found = []
        for column, low in zip(above.T, lowest):
            found.append(vacant[np.isfinite(column) & (column < low + LEVEL)])
        return found

    # What they give.

    def judged(
        self, groups: Sequence[Group]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """What the curve, the bonds and the number of atoms become.

        Parameters
        ----------
        groups : sequence of g Group

        Returns
        -------
        square, missing, atoms : (g,) arrays
            Rw^2 (infinite for what is not allowed: atoms that clash or hang
            on fewer bonds than an adatom has), missing bonds, atoms.
        """
        self._know(np.unique(np.concatenate([g.sites for g in groups])))
        sizes = np.array([len(g.sites) for g in groups])
        sign = np.array([g.sign for g in groups])
        members = csr_array(
            (
                np.ones(sizes.sum(), np.int32),
                np.concatenate([g.sites for g in groups]),
                np.cumsum([0, *sizes]),
            ),
            shape=(len(groups), len(self.points)),
        )
        bonds = members @ self._bonds
        touched = members @ self._near  # bonds of each site into the group
        within = touched.multiply(members).sum(1)
        # Filled, a group has bonds to atoms; of an emptied one those inside
        # are counted at both ends.
        made = np.where(sign > 0, bonds + within / 2, bonds - within / 2)
        atoms = self.atoms + sign * sizes
        missing = self.missing + sign * (self.bulk * sizes - 2 * made)
        change = members @ self._sums + sign[:, None] * self._inside(groups)
        curve = self.total + sign[:, None] * change
        square = self.basis.square(
            curve @ self.basis.data, np.vecdot(curve, curve)
        )
        allowed = self._allowed(members, touched, sign)
        return np.where(allowed, square, np.inf), missing, atoms

    def _allowed(
        self, members: csr_array, touched: csr_array, sign: np.ndarray
    ) -> np.ndarray:
        """Which groups leave no atom hanging or on top of another."""
        clash = (members @ self._clash).multiply(members).sum(1)
        wrong = (sign > 0) & (clash > 0)
        # One number tells both whether a site is in the group and how many
        # of its bonds lead there: all groups and sites at once are too many.
        both = (touched + _MEMBER * members).tocoo()
        row, site = both.row, both.col
        inside, cut = both.data // _MEMBER > 0, both.data % _MEMBER
        fills, bonds = sign[row] > 0, self._bonds[site]
        hanging = ~fills & ~inside & self.filled[site]
        hanging &= bonds - cut < self.least
        loose = fills & inside & (bonds + cut < self.least)
        blocked = fills & inside & (self._blocked[site] > 0)
        wrong[row[hanging | loose | blocked]] = True
        return ~wrong

    def flip(self, group: Group) -> None:
        """Fill or empty a group."""
        self._know(group.sites)
        around = np.flatnonzero(self._known)
        change = self._sums[group.sites].sum(0, dtype=float)
        change += group.sign * self._inside([group])[0]
        self.total = self.total + group.sign * change
        self._sums[around] += group.sign * self._counted(around, group.sites)
        self.filled[group.sites] = group.sign > 0
        self._recount()


def _adjacency(tree: cKDTree, reach: float) -> csr_array:
    """Which points are nearer to each other than a reach, as 0 and 1."""
    pairs = tree.query_pairs(reach, output_type="ndarray")
    pairs = np.concatenate([pairs, pairs[:, ::-1]])
    ones = np.ones(len(pairs), np.int32)
    return csr_array((ones, pairs.T), shape=(tree.n, tree.n))
