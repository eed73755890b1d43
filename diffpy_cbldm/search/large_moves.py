"""Ways to move the facets of a large particle by whole layers."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from diffpy_cbldm.crystals.large_cuts import Ground, Piece
from diffpy_cbldm.crystals.particles import BETWEEN, STACKINGS
from diffpy_cbldm.search.large_match import Comparison

_EVEN = 1e-3
"""Sites whose heights differ by less are of one layer, bond lengths."""

_ROUND = 0.3
"""Thickness of what a sphere gains or loses, bond lengths."""


def layers(piece: Piece) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """The layers that facets may lose, and those that may come upon them.

    The sphere about the reference point counts as one more facet.

    Returns
    -------
    inner, outer : lists of arrays of int
        Sites of the ground; layers of the same sites once.
    """
    ground, index = piece.ground, piece.index
    places = ground.places
    centre = ground.reference(places[index])
    top = int(np.searchsorted(ground.radii, ground.radii[index[-1]] + 1.5))
    apart = np.linalg.norm(places[:top] - centre, axis=1)
    heights = np.column_stack([ground.heights_to(top), apart])
    own = heights[index]
    limits = own.max(0)
    inner = [
        index[own[:, k] > limits[k] - _EVEN] for k in range(len(limits) - 1)
    ]
    inner.append(index[own[:, -1] > limits[-1] - _ROUND])
    # A layer may come where a single plane is in the way.
    filled = np.zeros(top, bool)
    filled[index] = True
    over = heights - limits > _EVEN
    alone = np.flatnonzero((over.sum(1) == 1) & ~filled)
    which = over[alone].argmax(1)
    outer = []
    for k in np.unique(which):
        sites = alone[which == k]
        above = heights[sites, k] - limits[k]
        thick = _ROUND if k == len(limits) - 1 else above.min() + _EVEN
        outer.append(sites[above <= thick])
    # Empty sites inside all planes: what an edge or corner lacks.
    inside = np.flatnonzero(~over.any(1) & ~filled)
    if len(inside):
        outer.append(inside)
    return _different(inner), _different(outer)


def _different(parts: list[np.ndarray]) -> list[np.ndarray]:
    known = {part.tobytes(): part for part in parts if len(part)}
    return list(known.values())


def neighbours(
    piece: Piece, comparison: Comparison, count: int
) -> Iterator[Piece]:
    """Particles with a facet or two moved, the most promising ones.

    Parameters
    ----------
    piece : Piece
    comparison : Comparison
        Tells what an atom on each site would gain.
    count : int
        How many, about.
    """
    inner, outer = layers(piece)
    index = piece.index
    # No facet takes a third of the particle.
    inner = [part for part in inner if 3 * len(part) < len(index)]
    parts = inner + outer
    if not parts:
        return
    sites = np.unique(np.concatenate(parts))
    gains = comparison.gains(piece, sites)
    total = []
    for k, part in enumerate(parts):
        gain = gains[np.searchsorted(sites, part)].sum()
        total.append(-gain if k < len(inner) else gain)
    order = np.argsort(-np.asarray(total))
    ways: list[tuple[int, ...]] = [(int(k),) for k in order[:count]]
    # The best ones together: a shift, or a change of size.
    ways += [(int(order[0]), int(k)) for k in order[1 : count // 2]]
    if len(order) > 3:
        ways.append(tuple(int(k) for k in order[:4]))
    for way in ways:
        filled = np.zeros(int(sites.max(initial=index[-1])) + 1, bool)
        filled[index] = True
        for k in way:
            filled[parts[k]] = k >= len(inner)
        yield Piece(piece.ground, np.flatnonzero(filled))


OFFSETS = (-0.3, 0.0, 0.3)
"""Where the twin planes of another stacking lie, over half the height."""


def restacked(piece: Piece) -> Iterator[Piece]:
    """The same outline on other sequences of close-packed layers.

    Stackings have nearly the same outlines and PDFs: what a model tells of
    them is uncertain where only few layers differ.
    """
    if piece.crystal not in STACKINGS:
        return
    x = piece.positions
    if piece.crystal == "fcc":
        # Each of the four axes across close-packed layers comes upright.
        ways = [x @ (_UPRIGHT @ turn).T for turn in _four_axes()]
    else:
        ways = [x]
        yield from _refilled(x @ _UPRIGHT, "fcc", 0, 0.0)
    for places in ways:
        half = 0.5 * float(np.ptp(places[:, 2]))
        yield from _refilled(places, "hcp", 0, 0.0)
        for offset in OFFSETS:
            yield from _refilled(places, "twin", 0, offset * half)
            for between in BETWEEN:
                yield from _refilled(places, "lamella", between, offset * half)


def _refilled(
    places: np.ndarray, crystal: str, between: int, offset: float
) -> Iterator[Piece]:
    """As many atoms of a crystal in the outline of some places."""
    ground = Ground.of(crystal, between)
    moved = places + [0, 0, offset]
    extents = ground.seen(moved).max(0)
    radius = float(np.linalg.norm(moved, axis=1).max())
    index, _ = ground.gauge(extents, radius, np.zeros(3))
    if len(index) >= len(places):
        yield Piece(ground, np.sort(index[: len(places)]))


_UPRIGHT = np.array([[1, -1, 0], [1, 1, -2], [1, 1, 1]]) / np.sqrt(
    np.array([[2], [6], [3]])
)
"""Turns fcc so that close-packed layers lie across z, rows of them along x."""


def _four_axes() -> list[np.ndarray]:
    """Quarter turns that carry each [111] of a cube to the first one."""
    quarter = np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1.0]])
    return [np.linalg.matrix_power(quarter, k) for k in range(4)]
