"""Balls cut from a crystal: from them facets move to plain particles."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from diffpy_cbldm.crystals.large_cuts import Ground, Piece
from diffpy_cbldm.crystals.particles import MAX_ATOMS
from diffpy_cbldm.settings import MAX_ATOMS as SMALL

BALLS = 32
"""Sizes between those of small and of the largest particles, evenly spaced in
the logarithm."""

CENTRE = (0.3, 0.1, 0.45)
"""Where the middle of balls lies, in bond lengths: near no symmetric place,
where whole sets of facets could only move together."""

SHAPES = (
    ((1.0, 1.0, 1.0), 1.0),
    ((1.0, 1.0, 1.0), 0.85),
    ((1.0, 1.0, 1.0), 1.2),
)
"""Axes, and lengths along them over those across: facets that move by layers
come from each of these to another particle."""

BALL = -1
"""In place of the number of a latent."""


def balls(
    crystal: str, centre: tuple[float, ...], radius: float
) -> Iterator[Piece]:
    """The balls of a crystal of more than 256 atoms, the smallest first.

    Parameters
    ----------
    crystal : str
        One of `diffpy_cbldm.crystals.large_cuts.LARGE_TYPES` without planes.
    centre : (3,) tuple, bond lengths
    radius : float
        The largest one, bond lengths.
    """
    ground = Ground.of(crystal)
    apart = np.linalg.norm(ground.places - np.array(centre), axis=1)
    order = np.argsort(apart, kind="stable")
    for size in np.geomspace(SMALL + 1, 0.9 * MAX_ATOMS, BALLS):
        count = round(float(size))
        if apart[order[count]] > radius:
            return
        yield Piece(ground, np.sort(order[:count]))


def spheroids(ball: Piece, centre: tuple[float, ...]) -> Iterator[Piece]:
    """The `SHAPES` of as many atoms as a ball, it among them.

    Parameters
    ----------
    ball : Piece
    centre : (3,) tuple, bond lengths
    """
    ground, count = ball.ground, len(ball)
    # As far as the longest of them reaches.
    away = ground.places[
        : int(np.searchsorted(ground.radii, 2 * _reach(ball)))
    ]
    away = away - np.array(centre)
    for axis, length in SHAPES:
        along = away @ np.array(axis) / np.linalg.norm(axis)
        far = (away**2).sum(1) + (length**-2 - 1) * along**2
        yield Piece(ground, np.sort(np.argsort(far, kind="stable")[:count]))


def _reach(piece: Piece) -> float:
    return float(piece.ground.radii[piece.index[-1]])
