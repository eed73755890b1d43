"""A search over edits of sites that also goes uphill (tabu search)."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from diffpy_cbldm.polishing.editor import Editor

KICKS, TENURE = 12, 8
"""Steps uphill before a search ends, and for how long a site then rests."""

LEAST_GAIN = 1e-10
"""A value counts as lower from this difference: rounding makes no step."""


def search(
    editor: Editor,
    price: float,
    limit: Callable[[np.ndarray], np.ndarray],
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
        The greatest roughness allowed, of (n,) numbers of atoms.  Edits
        beyond it must not roughen.
    kicks : int
        How many steps uphill end the search.

    Returns
    -------
    int
        Sites in which the result differs from the start.
    """
    start = editor.filled.clone()
    # For each site the step up to which it rests.
    resting = torch.zeros(len(editor.points), dtype=torch.long)
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
            best, kept, worse = value, editor.filled.clone(), 0
        else:
            worse += 1
    # Back to the best state by flips, which keep the editor's sums.
    for site in (kept != editor.filled).nonzero()[:, 0].tolist():
        editor.flip(site)
    return int((kept != start).sum())


def _next(
    editor: Editor,
    price: float,
    limit: Callable[[np.ndarray], np.ndarray],
    tabu: Tensor,
    value: float,
    best: float,
) -> tuple[list[int], float]:
    """The sites to flip for the best step, and the value after it.

    Parameters
    ----------
    editor, price, limit
        As for `search`.
    tabu : (S,) bool tensor
        Sites that rest.
    value, best : float
        Rw^2 + price * roughness now, and the least so far.
    """
    current = editor.missing / editor.atoms ** (2 / 3)
    fewer, same, more = torch.as_tensor(
        limit(np.array([editor.atoms - 1, editor.atoms, editor.atoms + 1]))
    )

    def priced(
        square: Tensor, rough: Tensor, bound: Tensor, resting: Tensor
    ) -> Tensor:
        """Values after some edits, infinite for those that may not be."""
        total = square + price * rough
        # A start that is too rough may be edited, if that smoothens.
        total[(rough > bound) & (rough > current + 1e-9)] = torch.inf
        # A resting site may move where that leads lower than ever.
        total[resting & (total > best - LEAST_GAIN)] = torch.inf
        return total

    square, rough = editor.singles()
    total = priced(
        square, rough, torch.where(editor.filled, fewer, more), tabu
    )
    site = int(total.argmin())
    single = float(total[site])
    # Swaps cost more to score: only where no single edit leads down.
    if single < value - LEAST_GAIN:
        return [site], single
    away, there, square, rough = editor.swaps()
    if len(away) and len(there):
        total = priced(square, rough, same, tabu[away][:, None] | tabu[there])
        a, b = divmod(int(total.argmin()), len(there))
        swap = float(total[a, b])
        if swap < single:
            return [int(away[a]), int(there[b])], swap
    if single == math.inf:
        return [], value
    return [site], single
