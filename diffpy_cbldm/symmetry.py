"""Symmetry that a decoded structure nearly has, made exact.

A decoder's occupancies of equivalent sites differ by chance.  Where turning a
structure by an operation of its lattice leaves most of it in place, averaging
the logits over these operations lets equivalent sites speak with one voice,
and filling whole orbits leaves few numbers of atoms to choose from.
"""

from __future__ import annotations

import numpy as np

from diffpy_cbldm.families import Table
from diffpy_cbldm.lattices import nearest, turns

OVERLAPS = (0.8, 0.6)
"""Shares of a structure that an operation must leave in place to count."""

_EMPTY = -8.0
"""Logit of sites outside the template, and the largest that counts."""


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
            One of `diffpy_cbldm.lattices.TEMPLATES`.
        turn : int
            Number of R in `diffpy_cbldm.lattices.turns`.
        move : (3,) array
            t, a translation of the template.
        """
        key = (template, turn, *np.round(move, 3))
        if key not in self._known:
            sites = self.table.sites[template]
            at = sites @ turns(template)[turn].T + move
            self._known[key] = self.table.sites_at(template, at)
        return self._known[key]

    def operations(
        self, template: str, occupancy: np.ndarray
    ) -> list[tuple[float, np.ndarray]]:
        """Operations about the middle of a structure.

        Parameters
        ----------
        template : str
        occupancy : (S,) array, 0 to 1

        Returns
        -------
        list of (share, permutation)
            For each operation of the point group, the share of the structure
            that stays in place under the best translation.
        """
        sites = self.table.sites[template]
        weight = occupancy / (occupancy**2).sum()
        middle = occupancy @ sites / occupancy.sum()
        group = turns(template)
        moves = nearest(template, middle - group @ middle)
        padded = np.append(occupancy, 0.0)
        found = []
        for k, move in enumerate(moves):
            goes = self.permutation(template, k, move)
            found.append((float(weight @ padded[goes]), goes))
        return found

    def averaged(self, template: str, logits: np.ndarray) -> list[np.ndarray]:
        """Logits averaged over the operations that nearly hold.

        Parameters
        ----------
        template : str
        logits : (S,) array
            Of the occupancies of the template's sites.

        Returns
        -------
        list of (S,) arrays
            One for each of `OVERLAPS` that adds operations to the identity
            and to those before.
        """
        clipped = logits.clip(_EMPTY, -_EMPTY).astype(float)
        operations = self.operations(template, 1 / (1 + np.exp(-clipped)))
        padded = np.append(clipped, _EMPTY)
        found, before = [], 1
        for least in OVERLAPS:
            good = [goes for share, goes in operations if share > least]
            if len(good) > before:
                found.append(np.mean([padded[goes] for goes in good], axis=0))
                before = len(good)
        return found
