"""Clusters as filled sites of a template, and how their surfaces move.

A decoder tells a logit for each site.  Which sites are filled follows from
their ranks and from how many atoms there may be; a surface moves where the
logits change before the sites are ranked.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from scipy.spatial import cKDTree

from diffpy_cbldm.crystals.cuts import deformed
from diffpy_cbldm.crystals.facets import (
    LOGIT_PER_BOND,
    Facets,
    facets,
    moved_facets,
)
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


def overlapping(sites: np.ndarray) -> np.ndarray:
    """Pairs of sites too near to one another to be filled both, (P, 2)."""
    return cKDTree(sites).query_pairs(_TOO_CLOSE, output_type="ndarray")


def ranked_sites(
    logits: np.ndarray, close: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The sites of a decoded structure, the likeliest first.

    Parameters
    ----------
    logits : (S,) array
        Of the occupancies of a template's sites.
    close : (P, 2) array
        From `overlapping`.

    Returns
    -------
    index, logits : (n,) arrays
        Sites that may be filled, with an occupancy above `DOUBT`.  Where two
        overlap, as the A, B and C sites of a layer do, the less likely one
        is left out.
    """
    # Some sites more than atoms: of those that overlap half will go.
    n = int(np.clip((logits > -DOUBTFUL).sum(), MIN_ATOMS, 2 * MAX_ATOMS))
    index = np.argsort(-logits, kind="stable")[:n]
    keep = np.ones(n, bool)
    if len(close):
        rank = np.full(len(logits), n)
        rank[index] = np.arange(n)
        # Pairs of which both are ranked, the likelier site before the other.
        pairs = np.sort(rank[close], axis=1)
        pairs = pairs[pairs[:, 1] < n]
        # In the order of the less likely site: whether the likelier one is
        # itself left out is decided by then.
        for i, j in pairs[np.lexsort(pairs.T)].tolist():
            keep[j] = keep[j] and not keep[i]
    return index[keep], logits[index[keep]]


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
        return min(max(int((logits > bound).sum()), MIN_ATOMS), most)

    likely = above(0.0)
    numbers = np.arange(above(DOUBTFUL), most + 1)
    if whole:
        # The last of n sites and the next one must differ.
        ends = np.append(logits, -np.inf)
        numbers = numbers[ends[numbers - 1] - ends[numbers] > 1e-6]
    order = np.argsort(abs(numbers - likely), kind="stable")
    return numbers[order][:count].tolist()


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
    positions : (n, 3) array
    sites : (n,) array of int
        The filled sites of the type's template; empty where a Laplacian was
        decoded.
    logits : (S,) array
        Of the occupancies of all sites of the template.
    shape : (3,) array
        Strain and relaxation, see `diffpy_cbldm.crystals.cuts.deformed`.
    """

    structure_type: str
    positions: np.ndarray
    sites: np.ndarray = dataclasses.field(default_factory=_no_sites)
    logits: np.ndarray = dataclasses.field(default_factory=_no_sites)
    shape: np.ndarray = dataclasses.field(default_factory=_no_sites)


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
        self._known_sites: dict[str, tuple[np.ndarray, np.ndarray]] = {}

    def moved(
        self, parent: Proposal, move: np.ndarray, sizes: int
    ) -> list[Proposal]:
        """Fill the sites again after the surface has moved a little.

        Parameters
        ----------
        parent : Proposal
            Of `decode_sizes` or `decode_hulls`.
        move : (13,) array
            How far the surface moves outwards in direction u, in bond
            lengths: m_0 + m_1..3 . u + sum_ij M_ij u_i u_j, with M = m_4..9
            as (xx, yy, zz, yz, xz, xy).  The last three are added to strain
            and relaxation, where the parent has any.
        sizes : int
            Numbers of atoms, at most.
        """
        sites = self.table.sites[TEMPLATE_OF[parent.structure_type]]
        # Directions from the middle of the structure; a site there has none.
        u = sites - sites[parent.sites].mean(0)
        u = u / np.linalg.norm(u, axis=1).clip(1e-3)[:, None]
        x, y, z = u.T
        parts = [np.ones_like(x), x, y, z]
        parts += [x * x, y * y, z * z, 2 * y * z, 2 * x * z, 2 * x * y]
        # Where the surface lies farther out, sites lie deeper inside it.
        logits = parent.logits + LOGIT_PER_BOND * (move[:10] @ np.array(parts))
        shape = np.where(parent.shape, parent.shape + move[10:], 0.0)
        return self.filled(
            parent.structure_type, [(logits, False)], shape, sizes
        )

    def reshaped(self, parent: Proposal, shape: np.ndarray) -> Proposal:
        """The same sites with other strain and relaxation, (3,)."""
        sites = self.table.sites[TEMPLATE_OF[parent.structure_type]]
        xyz = deformed(sites[parent.sites].astype(float), shape)
        return dataclasses.replace(parent, positions=xyz, shape=shape)

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
        kind = parent.structure_type
        polyhedra = []
        for logits in moved_facets(self.table, kind, bounds, count, rng):
            members = np.flatnonzero(logits > 0)
            if MIN_ATOMS <= len(members) <= MAX_ATOMS:
                polyhedra.append(
                    self.on_sites(kind, members, logits, parent.shape)
                )
        return polyhedra

    def sites(self, template: str) -> tuple[np.ndarray, np.ndarray]:
        """Sites of a template, and the pairs of them that overlap."""
        if template not in self._known_sites:
            sites = self.table.sites[template].astype(float)
            self._known_sites[template] = sites, overlapping(sites)
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
        _, close = self.sites(TEMPLATE_OF[kind])
        # Variants often lead to the same sites.
        structures, known = [], set()
        for logits, whole in variants:
            index, values = ranked_sites(logits, close)
            for n in likely_numbers(values, sizes, whole):
                chosen = np.sort(index[:n])
                if chosen.tobytes() not in known:
                    known.add(chosen.tobytes())
                    structures.append(
                        self.on_sites(kind, chosen, logits, shape)
                    )
        return structures

    def on_sites(
        self,
        kind: str,
        members: np.ndarray,
        logits: np.ndarray,
        shape: np.ndarray,
    ) -> Proposal:
        """The structure on some sites; changes too small to tell are left."""
        # The network tells strain, in the first two, more finely than
        # relaxation.
        dead = 2 * SHAPE_UNIT * np.array([0.2, 0.2, 1.0])
        changes = np.where(np.abs(shape) < dead, 0.0, shape)
        sites, _ = self.sites(TEMPLATE_OF[kind])
        xyz = deformed(sites[members], changes)
        return Proposal(kind, xyz, members, logits, changes)
