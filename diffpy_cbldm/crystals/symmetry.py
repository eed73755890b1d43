"""Symmetry that a decoded structure nearly has, made exact.

A decoder's occupancies of equivalent sites differ by chance.  Where turning a
structure by an operation of its lattice leaves most of it in place, averaging
the logits over these operations lets equivalent sites speak with one voice,
and filling whole orbits leaves few numbers of atoms to choose from.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import expit

from diffpy_cbldm.crystals.lattices import nearest, turns
from diffpy_cbldm.crystals.table import Table

OVERLAPS = (0.8, 0.6)
"""Shares of a structure that an operation must leave in place to count."""

_EMPTY = -8.0
"""Logit of sites outside the template; no logit counts for more."""


class Symmetry:
    """Operations of a table's templates, as permutations of their sites.

    Parameters
    ----------
    table : Table
    """

    def __init__(self, table: Table):
        self.table = table
        self._known: dict[tuple, np.ndarray] = {}

    def permutation(
        self, template: str, turn: int, move: np.ndarray
    ) -> np.ndarray:
        """Where each site goes under x -> R x + t, (S,); -1 for outside.

        Parameters
        ----------
        template : str
            One of `diffpy_cbldm.crystals.lattices.TEMPLATES`.
        turn : int
            Number of R in `diffpy_cbldm.crystals.lattices.turns`.
        move : (3,) array
            t, a translation of the template.
        """
        return self._permutations(template, [turn], move[None])[0]

    def _permutations(
        self, template: str, numbers: Sequence[int], moves: np.ndarray
    ) -> list[np.ndarray]:
        """`permutation` of several operations, with moves (m, 3)."""
        # Structures share operations: each is worked out once.
        found = []
        rounded = np.round(moves, 3).tolist()
        for turn, move, near in zip(numbers, moves, rounded, strict=True):
            key = (template, turn, *near)
            if key not in self._known:
                sites = self.table.sites[template]
                at = sites @ turns(template)[turn].T + move
                self._known[key] = self.table.sites_at(template, at)
            found.append(self._known[key])
        return found

    def operations(
        self, template: str, occupancy: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Operations about the middle of a structure.

        Parameters
        ----------
        template : str
        occupancy : (S,) array, 0 to 1

        Returns
        -------
        shares : (g,) array
            For each operation of the point group, the share of the structure
            that stays in place under the best translation.
        moves : (g, 3) array
            These translations.
        """
        sites = self.table.sites[template]
        # So that the identity gives 1.
        weight = occupancy / (occupancy**2).sum()
        middle = occupancy @ sites / occupancy.sum()
        group = turns(template)
        moves = nearest(template, middle - group @ middle)
        # What an operation carries outside, -1, finds the 0 at the end.
        padded = np.append(occupancy, 0.0)
        goes = self._permutations(template, range(len(moves)), moves)
        return padded[np.array(goes)] @ weight, moves

    def near(
        self, template: str, logits: np.ndarray
    ) -> list[list[tuple[int, np.ndarray]]]:
        """Operations (turn, move) that nearly hold.

        Parameters
        ----------
        template : str
        logits : (S,) array
            Of the occupancies of the template's sites.

        Returns
        -------
        list of lists
            One for each of `OVERLAPS` that adds operations to the identity
            and to those before.
        """
        occupancy = expit(logits.clip(_EMPTY, -_EMPTY))
        shares, moves = self.operations(template, occupancy)
        lists, before = [], 1
        for least in OVERLAPS:
            nearly = np.flatnonzero(shares > least)
            # A looser bound that adds nothing would give the same averages.
            if len(nearly) > before:
                lists.append([(int(k), moves[k]) for k in nearly])
                before = len(nearly)
        return lists

    def averaged(self, template: str, logits: np.ndarray) -> list[np.ndarray]:
        """Logits averaged over each list of operations of `near`.

        Parameters
        ----------
        template : str
        logits : (S,) array

        Returns
        -------
        list of (S,) arrays
        """
        # Bounded, so that one sure site does not outvote its equivalents.
        padded = np.append(logits.clip(_EMPTY, -_EMPTY).astype(float), _EMPTY)
        averages = []
        for operations in self.near(template, logits):
            numbers, moves = zip(*operations)
            goes = self._permutations(template, numbers, np.array(moves))
            averages.append(padded[np.array(goes)].mean(0))
        return averages
