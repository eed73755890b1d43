"""A search over edits of sites that also goes uphill (tabu search)."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from diffpy_cbldm.polishing.editor import Editor

KICKS, TENURE = 12, 8
"""Steps uphill before a search ends, and for how long a site then rests."""

LEAST_GAIN = 1e-10
"""A value counts as lower from this difference: rounding makes no step."""


def search(
    editor: Editor,
    price: float,
    limit: Callable[[int], float],
    kicks: int = KICKS,
) -> int:
    """Lower Rw^2 + price * roughness by one edit at a time, with tabu.

    When no edit lowers it the least bad one is made and its sites rest for a
    while, so that shallow minima are left; the best state is restored.

    Parameters
    ----------
    editor : Editor
        Left at the best state found.
    price : float
    limit : callable
        The greatest roughness allowed, of a number of atoms.  Edits beyond
        it must not roughen.
    kicks : int
        How many steps uphill end the search.

    Returns
    -------
    int
        Sites in which the result differs from the start.
    """
    start = editor.filled.copy()
    # For each site the step up to which it rests.
    resting = np.zeros(len(editor.points), int)
    now = editor.shape()
    value = best = now.rw**2 + price * now.roughness
    kept, worse, step = start, 0, 0
    while worse < kicks:
        step += 1
        tabu = resting >= step
        edits, value = _next(editor, price, limit, tabu, value, best)
        if not edits:
            break
        for site in edits:
            editor.flip(site)
            resting[site] = step + TENURE
        if value < best - LEAST_GAIN:
            best, kept, worse = value, editor.filled.copy(), 0
        else:
            worse += 1
    # Back to the best state by flips, which keep the editor's sums.
    for site in np.flatnonzero(kept != editor.filled).tolist():
        editor.flip(site)
    return int((kept != start).sum())


def _next(
    editor: Editor,
    price: float,
    limit: Callable[[int], float],
    tabu: np.ndarray,
    value: float,
    best: float,
) -> tuple[list[int], float]:
    """The sites to flip for the best step, and the value after it.

    Parameters
    ----------
    editor, price, limit
        As for `search`.
    tabu : (S,) bool array
        Sites that rest.
    value, best : float
        Rw^2 + price * roughness now, and the least so far.
    """
    current = editor.missing / editor.atoms ** (2 / 3)
    fewer, same, more = (limit(editor.atoms + k) for k in (-1, 0, 1))

    def priced(
        square: np.ndarray,
        rough: np.ndarray,
        bound: np.ndarray | float,
        resting: np.ndarray,
    ) -> np.ndarray:
        """Values after some edits, infinite for those that may not be."""
        total = square + price * rough
        # A start that is too rough may be edited, if that smoothens.
        total[(rough > bound) & (rough > current + 1e-9)] = np.inf
        # A resting site may move where that leads lower than ever.
        total[resting & (total > best - LEAST_GAIN)] = np.inf
        return total

    square, rough = editor.singles()
    total = priced(square, rough, np.where(editor.filled, fewer, more), tabu)
    site = int(total.argmin())
    single = float(total[site])
    # Swaps cost more to score: only where no single edit leads down.
    if single < value - LEAST_GAIN:
        return [site], single
    away, there, square, rough = editor.swaps()
    if square.size:
        total = priced(square, rough, same, tabu[away][:, None] | tabu[there])
        a, b = divmod(int(total.argmin()), len(there))
        swap = float(total[a, b])
        if swap < single:
            return [int(away[a]), int(there[b])], swap
    if single == math.inf:
        return [], value
    return [site], single
