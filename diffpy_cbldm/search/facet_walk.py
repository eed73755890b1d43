"""A large particle whose facets move, its pairs counted from move to move.

A layer that comes or goes has pairs with some thousand atoms, where the whole
particle has millions: those alone are counted.  With the curves of all layers
at hand, what any two of them do together is known to second order.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from diffpy_cbldm.crystals.large_cuts import Piece
from diffpy_cbldm.crystals.lattice_pairs import KEYS
from diffpy_cbldm.crystals.pair_kernels import cross_squares
from diffpy_cbldm.search.large_match import SQUARES, Comparison
from diffpy_cbldm.search.large_moves import layers

TRIED, LOOKED_AT = 5, 40
"""Moves of which Rw is found each time, the most promising ones, and how many
are looked at for them."""

COMPACT = 1.45
"""Ratio of the largest to the smallest radius of gyration, at most."""

FEWEST = 100
"""Atoms that stay at least."""

_LESS = 1e-7
"""A move lowers Rw by more than this."""


class Layers:
    """The layers of a particle that may come or go, and what each does.

    Attributes
    ----------
    parts : list of arrays of int
        Sites of each layer.
    inner : int
        The first ones are of the particle, the others come upon it.
    foreseen : (M, M) array
        Squares of Rw with two of them moved, to second order and but for
        the pairs between the two; on the diagonal with one.
    """

    def __init__(self, walk: FacetWalk):
        inner, outer = layers(walk.piece)
        # No facet takes a third of the particle.
        inner = [x for x in inner if 3 * len(x) < len(walk.piece)]
        self.parts, self.inner = inner + outer, len(inner)
        known = walk.known
        walk.known = {}
        rows = [walk.counts]
        for k, part in enumerate(self.parts):
            name = part.tobytes()
            own, pairs = walk.known[name] = known.get(name) or (
                walk.within(part),
                walk.between(part, walk.piece.index),
            )
            rows.append(own - pairs if k < self.inner else own + pairs)
        curves = walk.curves_of(np.array(rows))
        curves /= np.linalg.norm(curves[0])
        comparison = walk.comparison
        seen, power = curves @ comparison.data, curves @ curves.T
        # All three of a sum's squares and products, for each two layers.
        to_first, own = power[0, 1:], power.diagonal()[1:]
        cross = seen[0] + seen[1:, None] + seen[1:]
        square = 1 + 2 * (to_first[:, None] + to_first) + 2 * power[1:, 1:]
        square += own[:, None] + own
        share = cross.clip(min=0) ** 2 / square
        one = (seen[0] + seen[1:]).clip(min=0) ** 2 / (1 + 2 * to_first + own)
        np.fill_diagonal(share, one)
        self.foreseen = comparison.left - share


class FacetWalk:
    """A particle on a lattice, and its pairs.

    Parameters
    ----------
    comparison : Comparison
        With particles of its family.
    piece : Piece
        From where the walk starts.

    Attributes
    ----------
    piece : Piece
        Where it is.
    rw : float
        Of that.
    counts : (K,) array
        Its pairs by their squared distances in whole units, as far as the
        comparison sees them.
    known : dict of bytes to two (K,) arrays
        Of the last layers, by their sites: pairs within, and with the piece.
    """

    def __init__(self, comparison: Comparison, piece: Piece):
        self.comparison, self.piece = comparison, piece
        unit = KEYS[piece.template]
        self._places = np.ascontiguousarray(
            piece.ground.places / np.sqrt(unit)
        )
        # The crystals of a family share distances, of which each has some.
        every = round(unit / SQUARES[piece.template])
        self._curves = np.ascontiguousarray(
            comparison.curves[every - 1 :: every]
        )
        self.known: dict[bytes, tuple[np.ndarray, np.ndarray]] = {}
        self.counts = self.within(piece.index)
        self.rw = self._rw(self.counts)

    def between(self, some: np.ndarray, others: np.ndarray) -> np.ndarray:
        """Pairs of two sets of sites by their squares, (K,); of a site with
        itself none."""
        pairs = cross_squares(
            self._places[some], self._places[others], len(self._curves) + 1
        )
        pairs[0] = 0
        return pairs

    def within(self, some: np.ndarray) -> np.ndarray:
        """Pairs i < j of a set of sites, (K,)."""
        return self.between(some, some) / 2

    def curves_of(self, counts: np.ndarray) -> np.ndarray:
        """Curves of counts (M, K), without what the parameters change."""
        g = (counts[:, 1:].astype(np.float32) @ self._curves).astype(float)
        basis = self.comparison.basis
        return g - (g @ basis) @ basis.T

    def _rw(self, counts: np.ndarray) -> float:
        (g,) = self.curves_of(counts[None])
        cross = max(float(self.comparison.data @ g), 0.0)
        share = cross**2 / max(float(g @ g), 1e-30)
        return float(np.sqrt(max(self.comparison.left - share, 0.0)))

    def _moves(self, found: Layers) -> Iterator[_Move]:
        """Compact particles with one or two layers moved, the best first."""
        upper = np.triu_indices(len(found.parts))
        for place in np.argsort(found.foreseen[upper])[:LOOKED_AT]:
            move = self._moved(found, {int(half[place]) for half in upper})
            if len(move.kept) >= FEWEST and _length(move.piece) < COMPACT:
                yield move

    def _moved(self, found: Layers, way: set[int]) -> _Move:
        index = self.piece.index
        last = max(int(index[-1]), *(int(found.parts[k].max()) for k in way))
        before = np.zeros(last + 1, bool)
        before[index] = True
        after = before.copy()
        for k in way:
            after[found.parts[k]] = k >= found.inner
        return _Move(
            Piece(self.piece.ground, np.flatnonzero(after)),
            lost=np.flatnonzero(before & ~after),
            come=np.flatnonzero(after & ~before),
            kept=np.flatnonzero(after & before),
        )

    def _counted(self, move: _Move) -> np.ndarray:
        lost, come = move.lost, move.come
        counts = self.counts.copy()
        if len(lost):
            counts -= self.between(lost, self.piece.index)
            counts += self.within(lost)
        if len(come):
            counts += self.between(come, move.kept) + self.within(come)
        return counts

    def go(self, steps: int) -> None:
        """Move so often at most, as long as that lowers Rw."""
        while steps > 0 and self.step():
            steps -= 1

    def step(self) -> bool:
        """Make the best of some moves; False where none lowers Rw."""
        rw, best, counts = self.rw - _LESS, None, self.counts
        moves = self._moves(Layers(self))
        for move in itertools.islice(moves, TRIED):
            after = self._counted(move)
            if (found := self._rw(after)) < rw:
                rw, best, counts = found, move, after
        if best is None:
            return False
        self.rw, self.piece, self.counts = rw, best.piece, counts
        # Most layers stay, and have pairs with what has moved.
        for sites, factor in ((best.lost, -1.0), (best.come, 1.0)):
            if len(sites):
                for name, (_, pairs) in self.known.items():
                    part = np.frombuffer(name, sites.dtype)
                    pairs += factor * self.between(part, sites)
        return True


class _Move(NamedTuple):
    """A particle beside another one, and the sites in which they differ."""

    piece: Piece
    lost: np.ndarray
    come: np.ndarray
    kept: np.ndarray


def _length(piece: Piece) -> float:
    """The ratio of its largest to its smallest radius of gyration."""
    places = piece.positions
    least, _, most = np.linalg.eigvalsh(places.T @ places)
    return float(np.sqrt(most / max(least, 1e-9)))
