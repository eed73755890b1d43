"""What the data cannot tell apart: candidates that fit equally well."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from diffpy_cbldm.cluster import Candidate
from diffpy_cbldm.crystals.bonds import (
    MANY,
    diameter,
    nearest_neighbour_distance,
    roughness,
)
from diffpy_cbldm.crystals.lattices import turns
from diffpy_cbldm.crystals.table import TEMPLATE_OF
from diffpy_cbldm.protocols import Stored

CHANCE = 11.07
"""Chi-squared that five fitted parameters exceed in 5 % of cases."""

EXACT = 5e-4
"""Rw that differ by less are the same, however good the data."""


@dataclasses.dataclass(frozen=True)
class Group(Stored):
    """Candidates that the data do not tell apart.

    Attributes
    ----------
    members : tuple of int
        Places in the list of candidates, the simplest (smoothest) first.
    rw : tuple of float
        Least and greatest Rw.
    atoms : tuple of int
        Least and greatest number of atoms.
    diameter : tuple of float, angstrom
        Least and greatest distance of two atoms.
    types : tuple of str
    shared : float
        Mean share of atoms that the other members have in common with the
        first: common ones over all, 1 for a member of its own.
    """

    members: tuple[int, ...]
    rw: tuple[float, float]
    atoms: tuple[int, int]
    diameter: tuple[float, float]
    types: tuple[str, ...]
    shared: float

    def __str__(self) -> str:
        parts = [
            _span("Rw", *self.rw, ".4f"),
            _span("atoms", *self.atoms, "d"),
            _span("A across", *self.diameter, ".1f"),
        ]
        text = f"{', '.join(self.types)}: {', '.join(parts)}"
        if len(self.members) > 1:
            text += f", {self.shared:.0%} of the atoms shared"
        return text


def _span(name: str, low: float, high: float, style: str) -> str:
    first, last = format(low, style), format(high, style)
    return f"{name} {first}" if first == last else f"{name} {first}-{last}"


def resolved(rw: float, points: float) -> float:
    """The Rw from which the data tell a fit from a better one.

    A fit of `points` independent data is worse than that of Rw `rw` by
    chance alone, in 95 of 100 cases, up to points * log(ratio of Rw^2) =
    `CHANCE`.
    """
    return rw * math.exp(0.5 * CHANCE / points) + EXACT


def group(candidates: Sequence[Candidate], points: float) -> list[Group]:
    """Group refined candidates whose Rw the data do not tell apart.

    Parameters
    ----------
    candidates : sequence of Candidate
        Those without `rw` are left out.
    points : float
        Independent points of the data: range of r times range of Q over pi.

    Returns
    -------
    list of Group, the best first
    """
    places = [i for i, c in enumerate(candidates) if c.rw is not None]
    places.sort(key=lambda i: candidates[i].rw or 0.0)
    groups = []
    # Each group is measured from its own best, so that small steps of Rw do
    # not chain a poor fit to a good one.
    while places:
        limit = resolved(candidates[places[0]].rw or 0.0, points)
        inside = [i for i in places if (candidates[i].rw or 0.0) <= limit]
        places = places[len(inside) :]
        groups.append(_described(inside, candidates))
    return groups


def _described(inside: list[int], candidates: Sequence[Candidate]) -> Group:
    simple = sorted(
        inside,
        key=lambda i: roughness(
            candidates[i].positions, candidates[i].structure_type
        ),
    )
    members = [candidates[i] for i in simple]
    rw = [c.rw or 0.0 for c in members]
    atoms = [len(c) for c in members]
    size = [diameter(c.positions) for c in members]
    # The first is looked at once: it is what the others are held against.
    near = _Neighbourhood(_scaled(members[0])) if members[1:] else None
    shares = [shared(members[0], c, near) for c in members[1:]]
    return Group(
        tuple(simple),
        (min(rw), max(rw)),
        (min(atoms), max(atoms)),
        (min(size), max(size)),
        tuple(dict.fromkeys(c.structure_type for c in members)),
        float(np.mean(shares)) if shares else 1.0,
    )


def _scaled(c: Candidate) -> np.ndarray:
    """Positions about their mean, (N, 3), bond lengths."""
    bond = nearest_neighbour_distance(c.positions)
    return (c.positions - c.positions.mean(0)) / bond


def shared(
    a: Candidate, b: Candidate, near: _Neighbourhood | None = None
) -> float:
    """Common atoms of two clusters over all, on top of one another.

    Tried are the operations of the crystal's point group and the shifts that
    bring atoms near the middle of one onto atoms of the other; structures of
    different crystals share what happens to coincide.

    Parameters
    ----------
    a, b : Candidate
    near : optional
        What lies near the atoms of the first, where it is known.

    Returns
    -------
    float, 0 to 1
    """
    x, y = _scaled(a), _scaled(b)
    # An octahedron is cut from the fcc crystal.
    kind = "fcc" if a.structure_type == "oct" else a.structure_type
    near = near or _Neighbourhood(x)
    # Some atoms of a large cluster tell which turn and shift is the best.
    some = y[:: max(1, len(y) // MANY)]
    # Cuts of one crystal have their centroids near one another, so the best
    # shift takes some atom near the one onto some atom near the other.
    innermost = np.argsort((y**2).sum(1))[:2]
    middle = x[np.argsort((x**2).sum(1))[:6]]
    best, found = -1, y
    for turn in turns(TEMPLATE_OF.get(kind, "fcc")):
        inner = y[innermost] @ turn.T
        shifts = (middle[:, None] - inner).reshape(-1, 1, 3)
        count = near.holds(some @ turn.T + shifts).sum(1)
        if count.max() > best:
            best = int(count.max())
            found = y @ turn.T + shifts[int(count.argmax())]
    common = int(near.holds(found).sum())
    return common / (len(x) + len(y) - common)


class _Neighbourhood:
    """What lies near the atoms of a cluster, in cells of a grid.

    Thousands of turned and shifted clusters are held against one: to look
    up a cell is much cheaper than to search for the nearest atom.

    Parameters
    ----------
    x : (n, 3) array, bond lengths
    """

    CELL, NEAR = 0.1, 0.3

    def __init__(self, x: np.ndarray) -> None:
        self.origin = x.min(0) - 2 * self.NEAR
        size = np.ceil((np.ptp(x, axis=0) + 4 * self.NEAR) / self.CELL)
        self.filled = np.zeros(size.astype(int) + 1, bool)
        reach = math.ceil(self.NEAR / self.CELL) + 1
        steps = np.mgrid[(slice(-reach, reach + 1),) * 3].reshape(3, -1).T
        # Some atoms at a time: all cells at once would take much memory.
        for some in np.split(x, range(256, len(x), 256)):
            cells = self._cells(some)[:, None] + steps
            # A cell counts where its middle does.
            middles = self.origin + (cells + 0.5) * self.CELL
            close = ((middles - some[:, None]) ** 2).sum(-1) <= self.NEAR**2
            self.filled[tuple(cells[close].T)] = True

    def _cells(self, places: np.ndarray) -> np.ndarray:
        return np.floor((places - self.origin) / self.CELL).astype(int)

    def holds(self, places: np.ndarray) -> np.ndarray:
        """Whether each place, (..., 3), is near an atom; (...) bool."""
        cells = self._cells(places)
        inside = ((cells >= 0) & (cells < self.filled.shape)).all(-1)
        found = np.zeros(inside.shape, bool)
        found[inside] = self.filled[tuple(cells[inside].T)]
        return found
