"""Surfaces, facets and strain of the best structures, tried again and again.

The decoder knows a surface to a few tenths of a bond length, a facet to a row
or so, and strain hardly at all.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import numpy as np

from diffpy_cbldm.crystals.cuts import random_shape
from diffpy_cbldm.crystals.facets import Facets
from diffpy_cbldm.crystals.filling import Filling, Proposal
from diffpy_cbldm.search.pool import Pool

MOVES, PARENTS, CHILDREN = 10, 24, 6
"""How often the surfaces of the best structures are moved, of how many, and
how many ways each."""

MOVED, NARROWER = 0.12, 0.85
"""By how much, at first, in bond lengths (standard deviation), and its ratio
from each time to the next."""

FACET_STEPS, FACET_PARENTS, FACET_CHILDREN = 8, 6, 64
"""How often, at most, facets are moved by whole layers at the end (and after
every other of these moves), of how many polyhedra, and how many ways each."""

SHAPE_PARENTS, SHAPE_CHILDREN = 8, 24
"""How many structures are strained and relaxed, and how many ways each."""

# Strain and relaxation (the last three) change by less than surfaces move.
_MOVE_WIDTHS = np.array([1.0] * 10 + [0.02, 0.02, 0.1])


def move_surfaces(filling: Filling, pool: Pool, seed: int) -> None:
    """Move the surfaces of the best structures, as far as they are in doubt.

    As a whole, to a side, or to an ellipsoid; between times strain and
    relaxation are tried, and facets moved.

    Parameters
    ----------
    filling : Filling
        Fills the sites again.
    pool : Pool
        Holds the structures, and takes the new ones.
    seed : int
        Of all that is drawn.
    """
    rng = np.random.default_rng([seed, 1])
    facets = _Facets(filling)
    parents: list[tuple] = []
    looked_at = 0
    for step in range(MOVES):
        if step % 3 == 0:
            _try_shapes(filling, pool, rng)
        # Wide at first, to leave a wrong size; narrow at the end, to settle.
        spread = MOVED * NARROWER**step * _MOVE_WIDTHS
        fresh = itertools.islice(pool.entries, looked_at, None)
        held = {*parents, *fresh}
        parents = pool.order()[:PARENTS]
        looked_at = len(pool.entries)
        _release_logits(pool, held.difference(parents))
        for key in parents:
            entry = pool.entries[key]
            moves = rng.normal(0, 1, (CHILDREN, len(spread))) * spread
            pool.queue(entry.latent, filling.moved(entry.proposal, moves, 3))
        pool.compare()
        if step % 2:
            _move_facets(facets, pool, rng)
    # Whole layers are steps that small moves do not make.
    for _ in range(FACET_STEPS):
        before = pool.order()[0]
        _move_facets(facets, pool, rng)
        if pool.order()[0] == before:
            break


def _release_logits(pool: Pool, keys: Iterable[tuple]) -> None:
    """Free what only the parents of moved surfaces need.

    Structures that are no parents now never will be: others that come can
    only push them down.
    """
    for key in keys:
        entry = pool.entries[key]
        entry.proposal = entry.proposal.without_logits()


def _try_shapes(
    filling: Filling, pool: Pool, rng: np.random.Generator
) -> None:
    """Strain and relax the best structures, each in random ways.

    The decoder hardly tells these; where one of them fits better, the moves
    of surfaces go on from it.
    """
    for key in pool.order()[:SHAPE_PARENTS]:
        entry = pool.entries[key]
        drawn = [random_shape(rng) for _ in range(SHAPE_CHILDREN)]
        row = [
            filling.reshaped(
                entry.proposal, np.where(shape, shape, entry.proposal.shape)
            )
            for shape in drawn
        ]
        pool.queue(entry.latent, row)
    pool.compare()


class _Facets:
    """The facets of structures, each found once, and what was tried."""

    def __init__(self, filling: Filling) -> None:
        self.filling = filling
        self.known: dict[tuple, Facets | None] = {}
        self.tried: set[tuple] = set()

    def untried(self, key: tuple, proposal: Proposal) -> Facets | None:
        """The facets of a polyhedron; None where they were tried before.

        Parameters
        ----------
        key : tuple
            Names the structure.
        proposal : Proposal
        """
        if key not in self.known:
            self.known[key] = self.filling.facets(proposal)
        bounds = self.known[key]
        if bounds is None:
            return None
        name = (proposal.structure_type, bounds.sites.tobytes())
        if name in self.tried:
            return None
        self.tried.add(name)
        return bounds


def _move_facets(
    facets: _Facets, pool: Pool, rng: np.random.Generator
) -> None:
    """Move facets of the best polyhedra that were not tried before."""
    parents = 0
    for key in pool.order():
        entry = pool.entries[key]
        bounds = facets.untried(key, entry.proposal)
        if bounds is None:
            continue
        found = facets.filling.moved_facets(
            entry.proposal, bounds, FACET_CHILDREN, rng
        )
        pool.queue(entry.latent, found)
        parents += 1
        if parents == FACET_PARENTS:
            break
    pool.compare()
