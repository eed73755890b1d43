"""Clusters as filled sites of a template, and how their surfaces move.

A decoder tells a logit for each site.  Which sites are filled follows from
their ranks and from how many atoms there may be; a surface moves where the
logits change before the sites are ranked.
"""

from __future__ import annotations

import dataclasses
import math
from typing import NamedTuple

import numpy as np
from scipy.spatial import cKDTree

from diffpy_cbldm.crystals.cuts import BOND_SQUARE, deformed
from diffpy_cbldm.crystals.facets import (
    LOGIT_PER_BOND,
    Facets,
    facets,
    moved_facets,
)
from diffpy_cbldm.crystals.kernels import drop_overlaps
from diffpy_cbldm.crystals.symmetry import Symmetry
from diffpy_cbldm.crystals.table import TEMPLATE_OF, Table
from diffpy_cbldm.settings import MAX_ATOMS, MIN_ATOMS

_TOO_CLOSE = 0.9
"""Sites closer than this, in bond lengths, exclude each other."""

DOUBT = 0.02
"""Sites with an occupancy between this and one minus it are in doubt."""

DOUBTFUL = math.log((1 - DOUBT) / DOUBT)
"""The same as a logit."""

SHAPE_UNIT = 0.01
"""Scale of strain and relaxation in the network, and half its dead zone."""

# The network tells strain, in the first two, more finely than relaxation.
_DEAD_ZONE = 2 * SHAPE_UNIT * np.array([0.2, 0.2, 1.0])


def overlapping(sites: np.ndarray) -> np.ndarray:
    """Which sites are too near to each one to be filled, too.

    Parameters
    ----------
    sites : (S, 3) array

    Returns
    -------
    (S, k) array of int, rows filled up with S; k is 0 where none overlap.
    """
    return _within(sites, _TOO_CLOSE)


def _within(sites: np.ndarray, reach: float) -> np.ndarray:
    """The other sites within reach of each one, (S, k), filled up with S."""
    pairs = cKDTree(sites).query_pairs(reach, output_type="ndarray")
    both = np.concatenate([pairs, pairs[:, ::-1]])
    both = both[np.argsort(both[:, 0], kind="stable")]
    counts = np.bincount(both[:, 0], minlength=len(sites))
    table = np.full((len(sites), counts.max(initial=0)), len(sites))
    table[np.arange(table.shape[1]) < counts[:, None]] = both[:, 1]
    return table


def ranked_sites(
    logits: np.ndarray, close: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The sites of a decoded structure, the likeliest first.

    Parameters
    ----------
    logits : (S,) array
        Of the occupancies of a template's sites.
    close : (S, k) array
        From `overlapping`.

    Returns
    -------
    index, logits : (n,) arrays
        Sites that may be filled, with an occupancy above `DOUBT`.  Where two
        overlap, as the A, B and C sites of a layer do, the less likely one
        is left out.
    """
    likely = np.flatnonzero(logits > -DOUBTFUL)
    # Some sites more than atoms: of those that overlap half will go.
    n = min(max(len(likely), MIN_ATOMS), 2 * MAX_ATOMS)
    # Where enough are likely, the others need no order.
    if len(likely) < n:
        likely = np.arange(len(logits))
    index = likely[np.argsort(-logits[likely], kind="stable")[:n]]
    if close.shape[1]:
        rank = np.full(len(logits) + 1, n)
        rank[index] = np.arange(n)
        keep = np.ones(n, bool)
        drop_overlaps(index, close, rank, keep)
        index = index[keep]
    return index, logits[index]


def likely_numbers(
    logits: np.ndarray, count: int, whole: bool = False
) -> list[int]:
    """How many of the ranked sites may be filled, the likeliest first.

    Parameters
    ----------
    logits : (n,) array, falling
        From `ranked_sites`.
    count : int
        How many numbers, at most.
    whole : bool
        Leave out numbers that divide sites of the same logit.

    Returns
    -------
    list of int
        Between the sites that are filled for certain (occupancy above 1 -
        `DOUBT`) and those that may be, 5 to 256; the nearest to the number
        of those more likely than not first.
    """
    most = min(len(logits), MAX_ATOMS)

    def above(bound: float) -> int:
        held = int(np.count_nonzero(logits > bound))
        return min(max(held, MIN_ATOMS), most)

    likely = above(0.0)
    numbers = np.arange(above(DOUBTFUL), most + 1)
    if whole:
        # The last of n sites and the next one must differ.
        ends = np.append(logits, -np.inf)
        numbers = numbers[ends[numbers - 1] - ends[numbers] > 1e-6]
    order = np.argsort(abs(numbers - likely), kind="stable")
    return numbers[order][:count].tolist()


class TemplateSites(NamedTuple):
    """The sites of a template and how they lie to one another.

    Attributes
    ----------
    xyz : (S, 3) array, bond lengths
    close : (S, k) array of int
        From `overlapping`.
    bonded : (S, k) array of int
        The neighbours of each site, filled up with S.
    """

    xyz: np.ndarray
    close: np.ndarray
    bonded: np.ndarray

    @classmethod
    def of(cls, xyz: np.ndarray) -> TemplateSites:
        """Found for some sites, (S, 3)."""
        bonded = _within(xyz, math.sqrt(BOND_SQUARE))
        return cls(xyz, overlapping(xyz), bonded)

    def deformed(self, members: np.ndarray, shape: np.ndarray) -> np.ndarray:
        """The positions of a cluster, see `cuts.deformed`, (n, 3)."""
        neighbours = None
        if shape[2]:
            filled = np.zeros(len(self.xyz) + 1, bool)
            filled[members] = True
            neighbours = filled[self.bonded[members]].sum(1)
        return deformed(self.xyz[members], shape, neighbours)


def _no_sites() -> np.ndarray:
    """An array of its own for each proposal."""
    return np.zeros(0, int)


@dataclasses.dataclass(frozen=True)
class Proposal:
    """A decoded structure in bond lengths.

    Attributes
    ----------
    structure_type : str
        One of `diffpy_cbldm.settings.CRYSTAL_TYPES`; empty where a Laplacian
        was decoded.
    place : (n, 3) array, or a template's sites
        Where the atoms stand, or what tells it from the sites and the shape:
        a search holds thousands of structures.
    sites : (n,) array of int
        The filled sites of the type's template; empty where a Laplacian was
        decoded.
    logits : (S,) array
        Of the occupancies of all sites of the template; empty where the
        surface is not to be moved.
    shape : (3,) array
        Strain and relaxation, see `diffpy_cbldm.crystals.cuts.deformed`.
    """

    structure_type: str
    place: np.ndarray | TemplateSites
    sites: np.ndarray = dataclasses.field(default_factory=_no_sites)
    logits: np.ndarray = dataclasses.field(default_factory=_no_sites)
    shape: np.ndarray = dataclasses.field(default_factory=_no_sites)

    @property
    def positions(self) -> np.ndarray:
        """(n, 3) array; made at each call where only the sites are held."""
        if isinstance(self.place, TemplateSites):
            return self.place.deformed(self.sites, self.shape)
        return self.place

    @property
    def size(self) -> int:
        """The number of atoms."""
        return len(self.sites) or len(self.positions)

    @property
    def key(self) -> tuple[str, bytes, bytes]:
        """The same for the same structure at the same place."""
        told = self.place
        if isinstance(told, TemplateSites):
            told = self.sites
        return self.structure_type, told.tobytes(), self.shape.tobytes()

    def without_logits(self) -> Proposal:
        """The same structure in a small part of the memory."""
        return dataclasses.replace(self, logits=_no_sites())


def _told(shape: np.ndarray) -> np.ndarray:
    """Strain and relaxation without changes that are too small to tell."""
    return np.where(np.abs(shape) < _DEAD_ZONE, 0.0, shape)


class Filling:
    """Fills the sites of a table's templates, and moves what bounds them.

    No weights are needed: what a decoder told of a structure, its logits,
    strain and relaxation, stays with the `Proposal`.

    Parameters
    ----------
    table : Table
        The template sites.
    """

    def __init__(self, table: Table) -> None:
        self.table = table
        self.symmetry = Symmetry(table)
        self._known_sites: dict[str, TemplateSites] = {}

    def moved(
        self, parent: Proposal, moves: np.ndarray, sizes: int
    ) -> list[Proposal]:
        """Fill the sites again after the surface has moved a little.

        Parameters
        ----------
        parent : Proposal
            Of `decode_sizes` or `decode_hulls`.
        moves : (m, 13) array
            Of each way how far the surface moves outwards in direction u, in
            bond lengths: m_0 + m_1..3 . u + sum_ij M_ij u_i u_j, with M =
            m_4..9 as (xx, yy, zz, yz, xz, xy).  The last three are added to
            strain and relaxation, where the parent has any.
        sizes : int
            Numbers of atoms for each way, at most.
        """
        kind = parent.structure_type
        sites = self.table.sites[TEMPLATE_OF[kind]]
        # Directions from the middle of the structure; a site there has none.
        u = sites - sites[parent.sites].mean(0)
        u = u / np.linalg.norm(u, axis=1).clip(1e-3)[:, None]
        x, y, z = u.T
        parts = [np.ones_like(x), x, y, z]
        parts += [x * x, y * y, z * z, 2 * y * z, 2 * x * z, 2 * x * y]
        outwards = np.array(parts, float)
        children = []
        for move in moves:
            # Where the surface lies farther out, sites lie deeper inside it.
            logits = parent.logits + LOGIT_PER_BOND * (move[:10] @ outwards)
            shape = np.where(parent.shape, parent.shape + move[10:], 0.0)
            children += self.filled(kind, [(logits, False)], shape, sizes)
        return children

    def reshaped(self, parent: Proposal, shape: np.ndarray) -> Proposal:
        """The same sites with other strain and relaxation, (3,)."""
        place = self._sites(TEMPLATE_OF[parent.structure_type])
        return dataclasses.replace(parent, place=place, shape=shape)

    def facets(self, parent: Proposal) -> Facets | None:
        """The facets of a structure, see `facets.facets`."""
        return facets(self.table, parent.structure_type, parent.sites)

    def moved_facets(
        self,
        parent: Proposal,
        bounds: Facets,
        count: int,
        rng: np.random.Generator,
    ) -> list[Proposal]:
        """Polyhedra like a structure, with facets moved by whole layers.

        Parameters
        ----------
        parent : Proposal
            Gives the type, strain and relaxation.
        bounds : Facets
            Of the parent, see `facets`.
        count : int
            How many, at most.
        rng : numpy Generator
            Draws which, where there are more.
        """
        kind, shape = parent.structure_type, _told(parent.shape)
        polyhedra = []
        for logits in moved_facets(self.table, kind, bounds, count, rng):
            members = np.flatnonzero(logits > 0).astype(np.uint16)
            if MIN_ATOMS <= len(members) <= MAX_ATOMS:
                polyhedra.append(self._on(kind, members, logits, shape))
        return polyhedra

    def _sites(self, template: str) -> TemplateSites:
        """What is known of the sites of a template; made once."""
        if template not in self._known_sites:
            xyz = self.table.sites[template].astype(float)
            self._known_sites[template] = TemplateSites.of(xyz)
        return self._known_sites[template]

    def filled(
        self,
        kind: str,
        variants: list[tuple[np.ndarray, bool]],
        shape: np.ndarray,
        sizes: int,
    ) -> list[Proposal]:
        """Fill sites by their logits, each variant to several numbers.

        Where its flag says so, sites of the same logit stay together.
        """
        close = self._sites(TEMPLATE_OF[kind]).close
        shape = _told(shape)
        # Variants often lead to the same sites.
        structures, known = [], set()
        for logits, whole in variants:
            index, values = ranked_sites(logits, close)
            for n in likely_numbers(values, sizes, whole):
                # As the table holds them, which is a quarter of the memory.
                chosen = np.sort(index[:n]).astype(np.uint16)
                name = chosen.tobytes()
                if name not in known:
                    known.add(name)
                    structures.append(self._on(kind, chosen, logits, shape))
        return structures

    def _on(
        self,
        kind: str,
        members: np.ndarray,
        logits: np.ndarray,
        shape: np.ndarray,
    ) -> Proposal:
        """The structure on some sites, strained and relaxed."""
        place = self._sites(TEMPLATE_OF[kind])
        return Proposal(kind, place, members, logits, shape)
