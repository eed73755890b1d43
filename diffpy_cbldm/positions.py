"""The coordinates of a cluster, checked."""

from __future__ import annotations

from typing import Any

import numpy as np

from diffpy_cbldm.errors import CbldmError

COINCIDENT = 1e-3
"""Atoms closer than this (A) are one atom written twice."""

_GENERAL = np.array([0.80133, 0.51792, 0.29947])
"""A direction, of length 1, in which no two atoms of a crystal agree."""


def distinct(values: Any) -> np.ndarray:
    """Return a checked, read-only (n, 3) copy of coordinates in A.

    Raises
    ------
    CbldmError
        Wrong shape, values that are not finite, two atoms at one place.
    """
    try:
        positions = np.array(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise CbldmError(
            "the positions do not hold numbers; expected an (n, 3) array in "
            "angstrom: pass x, y, z for each atom."
        ) from None
    if positions.ndim != 2 or positions.shape[1] != 3 or not len(positions):
        raise CbldmError(
            f"the positions have the shape {positions.shape}; expected "
            "(n, 3) with one atom or more: pass x, y, z for each atom."
        )
    finite = np.isfinite(positions).all(axis=1)
    if not finite.all():
        k = int(np.argmin(finite))
        raise CbldmError(
            f"atom {k} is at {positions[k].tolist()}; expected finite "
            "coordinates: remove or correct it."
        )
    pair = _coincident(positions)
    if pair is not None:
        where = ", ".join(f"{x:.3f}" for x in positions[pair[0]])
        raise CbldmError(
            f"atoms {pair[0]} and {pair[1]} are at the same place "
            f"({where}); expected distinct atoms: remove one."
        )
    positions.setflags(write=False)
    return positions


def _coincident(positions: np.ndarray) -> tuple[int, int] | None:
    """Return the first pair of atoms closer than `COINCIDENT`, if any."""
    # Only neighbours in one direction can coincide, which costs n log n; in
    # a general one, since whole planes of a crystal share a coordinate.
    along = positions @ _GENERAL
    order = np.argsort(along, kind="stable")
    x, along = positions[order], along[order]
    for shift in range(1, len(x)):
        near = along[shift:] - along[:-shift] < COINCIDENT
        if not near.any():
            return None
        gap = np.linalg.norm(x[shift:] - x[:-shift], axis=1)
        close = np.flatnonzero(gap < COINCIDENT)
        if len(close):
            a, b = sorted((order[close[0]], order[close[0] + shift]))
            return int(a), int(b)
    return None
