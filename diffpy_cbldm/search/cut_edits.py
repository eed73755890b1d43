"""Atoms added to and taken off a crystal's particle on its own sites.

Near a fit, G(r) is a sum over pairs of curves that are made once, so that
what one atom changes costs a product of a matrix with its distances.  Atoms
come and go at the surface one by one, the best first, as long as each is
worth its price in Rw; what is left of stretch, widths and damping is taken
out to first order.

Guard-rails: an added atom has two bonds or more, none that stays is left with
fewer, the composition stays near that of the crystal, and edits made without
the largest r must not predict it worse.
"""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Callable

import numpy as np
from scipy.spatial import cKDTree

from diffpy_cbldm.crystals.crystal import Crystal
from diffpy_cbldm.crystals.crystal_cuts import bond_lengths

PRICE = 2.0
"""An atom must lower points * log(Rw^2) by so much, as a parameter of Akaike's
criterion must."""

LEFT_OUT = 0.3
"""Share of the points, those of the largest r, that edits must predict."""

SHARE = 0.12
"""At most this share of the atoms comes or goes."""

MOST = 1500
"""Larger particles are not edited: single atoms are not seen there."""


@dataclasses.dataclass(frozen=True, eq=False)
class Sites:
    """A particle and the free sites around it.

    Attributes
    ----------
    positions : (S, 3) array, angstrom
    kind : (S,) array of int
    filled : (S,) array of bool
        Which sites are the particle's.
    bonds : (S, S) array of bool
        Which two are as near as bonded atoms.
    """

    positions: np.ndarray
    kind: np.ndarray
    filled: np.ndarray
    bonds: np.ndarray


def sites_around(
    crystal: Crystal, positions: np.ndarray, kind: np.ndarray, inside: int
) -> Sites:
    """The sites of a particle, and those next to two of its atoms.

    Parameters
    ----------
    crystal : Crystal
    positions, kind : (n, 3) and (n,) arrays
        Of the particle first, and then of sites around it.
    inside : int
        How many are the particle's.
    """
    limit = bond_lengths(crystal)
    # Of thousands of sites nearly all are no neighbours of one another.
    pairs = cKDTree(positions).query_pairs(
        float(limit.max()), output_type="ndarray"
    )
    d = np.linalg.norm(positions[pairs[:, 0]] - positions[pairs[:, 1]], axis=1)
    i, j = pairs[d < limit[kind[pairs[:, 0]], kind[pairs[:, 1]]]].T
    ends = np.concatenate([i[j < inside], j[i < inside]])
    held = np.bincount(ends, minlength=len(kind))
    filled = np.arange(len(kind)) < inside
    some = filled | (held >= 2)
    place = np.cumsum(some) - 1
    both = some[i] & some[j]
    bonds = np.zeros((some.sum(), some.sum()), bool)
    bonds[place[i[both]], place[j[both]]] = True
    return Sites(positions[some], kind[some], filled[some], bonds | bonds.T)


def edited(
    sites: Sites,
    curves: np.ndarray,
    data: np.ndarray,
    how: How,
) -> np.ndarray | None:
    """Which sites are filled after the edits that the data support.

    Parameters
    ----------
    sites : Sites
    curves : (pairs, bins, n) array
    data : (n,) array
        Both as `Editor` takes them.
    how : How

    Returns
    -------
    (S,) array of bool
        None where nothing was edited, or edits do not predict what they were
        made without.
    """
    part = round((1 - LEFT_OUT) * len(data))
    whole = Editor(sites, curves, data, how)
    begin = whole.total.copy()
    test = whole.below(part, 1 - LEFT_OUT)
    if test.run():
        after = whole.total + whole.change(test.filled)
        if _misfit(after, data, part) > _misfit(begin, data, part):
            return None
    return whole.filled if whole.run() else None


def _misfit(g: np.ndarray, data: np.ndarray, part: int) -> float:
    """The misfit beyond a point, with the scale of what lies before."""
    scale = (g[:part] @ data[:part]) / max(float(g[:part] @ g[:part]), 1e-12)
    return float(np.linalg.norm(data[part:] - scale * g[part:]))


@dataclasses.dataclass(frozen=True)
class How:
    """What edits go by.

    Attributes
    ----------
    step : float, angstrom
        Of the bins of distances.
    points : float
        Independent points of the data.
    balanced : callable
        Whether the kinds of atoms, (n,), are near the composition.
    states : (elements,) array, optional
        Oxidation states: edits bring the charge to 0 as far as sites allow.
    """

    step: float
    points: float
    balanced: Callable[[np.ndarray], bool]
    states: np.ndarray | None = None


class Editor:
    """Fills and empties sites against one measured curve.

    Parameters
    ----------
    sites : Sites
    curves : (pairs, bins, n) array
        G(r) of one pair at the places of the bins, over the norm of the data,
        freed of what is fitted beside.
    data : (n,) array
        The data over their norm, freed as well.
    how : How
    """

    def __init__(
        self, sites: Sites, curves: np.ndarray, data: np.ndarray, how: How
    ) -> None:
        self.sites, self.curves, self.data = sites, curves, data
        self.how = how
        self.filled = sites.filled.copy()
        # What each site has, or would have, with the atoms of the particle.
        self.rows = self._pairs_of_all()
        self.total = 0.5 * self.rows[self.filled].sum(0)

    def _pairs_of_all(self) -> np.ndarray:
        """The curve of each site's pairs with all that are filled, (S, n)."""
        pairs, bins, points = self.curves.shape
        counts = np.zeros((len(self.filled), pairs * bins))
        flat = self.curves.reshape(-1, points)
        # Far fewer bins than pairs: they are counted, and multiplied once.
        for k in np.flatnonzero(self.filled).tolist():
            near, at, part = self._bins(k)
            counts[near, at] += 1 - part
            counts[near, at + 1] += part
        return counts @ flat

    def _bins(self, site: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Sites within the curves of one site, their bins, parts beyond."""
        x, kind = self.sites.positions, self.sites.kind
        place = np.linalg.norm(x - x[site], axis=1) / self.how.step
        bins = self.curves.shape[1]
        near = np.flatnonzero((place >= 1) & (place < bins - 1))
        place, other = place[near], kind[near]
        high = np.maximum(other, kind[site])
        code = high * (high + 1) // 2 + np.minimum(other, kind[site])
        low = place.astype(int)
        return near, code * bins + low, place - low

    def _pairs_with(self, site: int) -> np.ndarray:
        """The curve of each site's pair with one site, (S, n)."""
        near, at, part = self._bins(site)
        flat = self.curves.reshape(-1, self.curves.shape[2])
        pairs = np.zeros((len(self.filled), flat.shape[1]))
        pairs[near] = (1 - part)[:, None] * flat[at]
        pairs[near] += part[:, None] * flat[at + 1]
        return pairs

    def below(self, part: int, share: float) -> Editor:
        """The same on the first points, with so much of what they tell."""
        some = copy.copy(self)
        some.curves, some.data = self.curves[..., :part], self.data[:part]
        some.how = dataclasses.replace(
            self.how, points=share * self.how.points
        )
        some.filled = self.filled.copy()
        some.rows = self.rows[:, :part].copy()
        some.total = self.total[:part].copy()
        return some

    def change(self, filled: np.ndarray) -> np.ndarray:
        """What G(r) gains where other sites are filled, (n,)."""
        moved = np.flatnonzero(filled != self.filled)
        sign = np.where(filled[moved], 1.0, -1.0)
        gain = sign @ self.rows[moved]
        # Pairs of two that move are in neither row as they should be.
        for k, own in zip(moved.tolist(), sign):
            gain += 0.5 * own * sign @ self._pairs_with(k)[moved]
        return gain

    def run(self) -> int:
        """Edit as long as atoms are worth their price; how many moved."""
        most = math.ceil(SHARE * self.filled.sum())
        moved: list[int] = []
        rw = float(self._squares(self.total[None])[0])
        while len(moved) < most:
            sign = np.where(self.filled, -1.0, 1.0)[:, None]
            squares = self._squares(self.total + sign * self.rows)
            # A site that has changed once is left alone.
            squares[moved] = np.inf
            site = self._best(squares)
            if site is None:
                break
            gain = self.how.points * math.log(rw / max(squares[site], 1e-12))
            if gain < PRICE:
                break
            self._move(site, float(sign[site, 0]))
            rw = float(squares[site])
            moved.append(site)
        return len(moved) + self._neutralised(moved)

    def _neutralised(self, moved: list[int]) -> int:
        """Fill or empty the cheapest sites until the charge is 0; how many."""
        count = 0
        if self.how.states is None:
            return count
        states = self.how.states[self.sites.kind]
        while True:
            sign = np.where(self.filled, -1.0, 1.0)
            charge = float(states[self.filled].sum())
            nearer = np.abs(charge + sign * states) < abs(charge) - 1e-6
            squares = self._squares(self.total + sign[:, None] * self.rows)
            squares[~nearer] = np.inf
            squares[moved] = np.inf
            site = self._best(squares)
            if site is None:
                return count
            self._move(site, float(sign[site]))
            moved.append(site)
            count += 1

    def _squares(self, g: np.ndarray) -> np.ndarray:
        """Rw^2 of curves (m, n) with the best scale, not below 0."""
        power = np.einsum("ij,ij->i", g, g).clip(min=1e-12)
        cross = (g @ self.data).clip(min=0)
        return float(self.data @ self.data) - cross**2 / power

    def _best(self, squares: np.ndarray) -> int | None:
        """The first site by Rw that may change."""
        held = self.sites.bonds[:, self.filled].sum(1)
        for site in np.argsort(squares)[:50]:
            if not np.isfinite(squares[site]):
                return None
            near = self.sites.bonds[site]
            if self.filled[site]:
                # Its neighbours lose a bond each.
                if (held[near & self.filled] <= 2).any():
                    continue
            elif held[site] < 2:
                continue
            after = self.filled.copy()
            after[site] = not after[site]
            if self.how.balanced(self.sites.kind[after]):
                return int(site)
        return None

    def _move(self, site: int, sign: float) -> None:
        self.total += sign * self.rows[site]
        self.rows += sign * self._pairs_with(site)
        self.filled[site] = not self.filled[site]
