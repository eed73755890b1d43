"""A search over edits of sites that also goes uphill (tabu search)."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch

from diffpy_cbldm.polishing.editor import Editor

KICKS, TENURE = 12, 8
"""Steps uphill before a search ends, and for how long a site then rests."""


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
        if value < best - 1e-10:
            best, kept, worse = value, editor.filled.clone(), 0
        else:
            worse += 1
    for site in (kept != editor.filled).nonzero()[:, 0].tolist():
        editor.flip(site)
    return int((kept != start).sum())


def _next(editor, price, limit, tabu, value, best):
    """The sites to flip for the best step, and the value after it."""
    square, rough = editor.singles()
    current = editor.missing / editor.atoms ** (2 / 3)

    def priced(square, rough, count, hold):
        total = square + price * rough
        total[(rough > limit(count)) & (rough > current + 1e-9)] = torch.inf
        total[hold & (total > best - 1e-10)] = torch.inf
        return total

    limits = torch.as_tensor(
        limit(np.array([editor.atoms - 1, editor.atoms, editor.atoms + 1]))
    )
    total = square + price * rough
    bound = torch.where(editor.filled, limits[0], limits[2])
    total[(rough > bound) & (rough > current + 1e-9)] = torch.inf
    total[tabu & (total > best - 1e-10)] = torch.inf
    site = int(total.argmin())
    single = float(total[site])
    if single < value - 1e-10:
        return [site], single
    away, there, square, rough = editor.swaps()
    if len(away) and len(there):
        total = square + price * rough
        total[(rough > limits[1]) & (rough > current + 1e-9)] = torch.inf
        hold = tabu[away][:, None] | tabu[there]
        total[hold & (total > best - 1e-10)] = torch.inf
        least = int(total.argmin())
        a, b = divmod(least, len(there))
        swap = float(total[a, b])
        if swap < single:
            return [int(away[a]), int(there[b])], swap
    if single == math.inf:
        return [], value
    return [site], single
