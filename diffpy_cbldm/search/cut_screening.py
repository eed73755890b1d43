"""Thousands of particles cut from one crystal, compared with a measured PDF.

First all of them by their numbers of pairs: near the fit of one particle,
G(r) of any other is a product of its numbers of pairs with curves that are
made once, and what its stretch, widths and damping would change is taken out
to first order.  Then the best ones are fitted one by one.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np
from scipy.spatial import cKDTree

from diffpy_cbldm.crystals.charges import charge_of, oxidation_states
from diffpy_cbldm.crystals.crystal import Crystal
from diffpy_cbldm.crystals.crystal_cuts import (
    LEAST,
    MOST,
    Cutter,
    Nest,
    Shape,
    shapes,
    trimmed,
)
from diffpy_cbldm.crystals.pair_kernels import nested_pairs
from diffpy_cbldm.fitting.attenuated import AttenuatedCrystal
from diffpy_cbldm.fitting.envelope import crystal_shells, enveloped
from diffpy_cbldm.fitting.pair_fit import (
    PairCurves,
    finished,
    fit_pairs,
)
from diffpy_cbldm.fitting.pair_shells import PairShells
from diffpy_cbldm.fitting.target import Target
from diffpy_cbldm.search.cut import NO_FIT, Cut
from diffpy_cbldm.search.cut_edits import MOST as MOST_EDITED
from diffpy_cbldm.search.cut_edits import How, edited, sites_around

FAMILIES, SIZES = 400, 14
"""Shapes of a crystal, and particles of each: above 5,000 in all."""

SPAN = (0.12, 5.0)
"""Atoms of the smallest and the largest, over those of the sphere that fits
best: a smooth sphere under a damping that is not known tells no more."""

BINS = 0.04
"""Step of the distances of the first comparison, A."""

EXACT = 250.0
"""Of so many atoms all pairs are counted in the first comparison."""

FIRST, SECOND, NEAR = 12, 32, 24
"""Particles fitted after the first comparison, after the later ones, and
sizes beside the best."""

PARENTS, CHILDREN = 12, 8
"""So many of the best shapes are varied, each so often."""

ROUNDS = 6
"""Times that the best shapes are varied.  After three, five seeds came to an
Rw of 0.117 to 0.118 for a measured ceria, after six to 0.116 to 0.117, after
ten to 0.116: answers then hang less on near-ties."""

ABOUT = (0.75, 1.35)
"""Sizes of these over that of the best particle of the shape."""

EDITED = 4
"""Particles of different shapes whose surface is edited."""

UNBALANCED = 2.2
"""Elements may differ from the crystal's composition by a factor whose
logarithm is this over N^(1/3): the surface may hold more of one."""

OXYGEN_LEFT = 1.0
"""The same for metals in excess of oxygen, which covers them where there is
air or water."""

OF_ONE = 3
"""Of one shape so many sizes are fitted, at most."""

STEPS = 8


Place = tuple[int, int]
"""A particle: its nest, and its number of atoms."""


class Screening:
    """The particles of one crystal against one measured curve.

    Parameters
    ----------
    crystal : Crystal
        At the lattice parameters that fit.
    target : Target
    sphere : AttenuatedCrystal
        Its spherical envelope: where the comparison begins.
    seed : int
    """

    def __init__(
        self,
        crystal: Crystal,
        target: Target,
        sphere: AttenuatedCrystal,
        seed: int,
    ) -> None:
        self.crystal, self.target, self.sphere = crystal, target, sphere
        least, most = (round(x * sphere.n_atoms) for x in SPAN)
        self.sizes = (
            int(np.clip(least, LEAST, MOST // 4)),
            int(np.clip(most, 8 * LEAST, MOST)),
        )
        self.cutter = Cutter(crystal, self.sizes, seed)
        self.rng = np.random.default_rng(seed)
        self.few = PairCurves(target, crystal.elements, 1.5)
        self.nests: list[Nest] = []
        self.states: np.ndarray | None = None
        self._fitted: dict[
            tuple[int, int, bool], tuple[Cut, dict[str, float]]
        ] = {}

    def best(
        self, count: int, edits: bool = False, neutral: bool = False
    ) -> list[Cut]:
        """The particles that fit best, `count` at most, all different.

        Parameters
        ----------
        count : int
        edits : bool
            Whether single atoms of the best come and go (`cut_edits`).
        neutral : bool
            Whether edits balance the charge (`crystals.charges`).
        """
        if neutral:
            self.states = oxidation_states(self.crystal)
        start = {
            "stretch": 1.0,
            "delta2": self.sphere.delta2,
            "qdamp": self.sphere.qdamp,
            **self.sphere.uiso_by_element,
        }
        made = shapes(self.crystal, FAMILIES, self.rng)
        hist, places = self._counted([(shape, None) for shape in made], SIZES)
        shells = crystal_shells(self.crystal, self.few.reach)
        near = enveloped(shells, self.sphere.diameter)
        start, near = self._round(hist, places, (near, start), FIRST)
        start, near = self._round(hist, places, (near, start), SECOND)
        for _ in range(ROUNDS):
            hist, places = self._counted(self._children(), CHILDREN)
            start, near = self._round(hist, places, (near, start), SECOND // 2)
        self._beside(start)
        if edits:
            self._edit()
        return self._different(count)

    def _round(
        self,
        hist: np.ndarray,
        places: Sequence[Place],
        about: tuple[PairShells, dict[str, float]],
        chosen: int,
    ) -> tuple[dict[str, float], PairShells]:
        """Compare all particles, and fit the best of them.

        Parameters
        ----------
        hist, places
            As of `_counted`.
        about : (PairShells, dict)
            The fit about which they are compared.
        chosen : int
            How many are fitted.

        Returns
        -------
        dict, PairShells
            The best fit of all so far, and its particle.
        """
        rw = self._compared(hist, *about)
        for k in self._various(rw, places, chosen):
            place, end = places[k]
            self._fit(place, end, about[1])
        cut, start = min(self._fitted.values(), key=_rw)
        return start, self._shells(cut)

    def _children(self) -> list[tuple[Shape, tuple[float, float]]]:
        """Shapes like those of the best particles, and their sizes."""
        order = sorted(self._fitted, key=lambda k: self._fitted[k][0].fit.rw)
        best: dict[int, int] = {}
        for place, end, _ in order:
            best.setdefault(place, end)
        return [
            (
                self.nests[place].shape.varied(self.crystal.cell, self.rng),
                (ABOUT[0] * end, ABOUT[1] * end),
            )
            for place, end in list(best.items())[:PARENTS]
            for _ in range(CHILDREN)
        ]

    @property
    def count(self) -> int:
        """How many particles were compared."""
        return sum(len(nest.ends) for nest in self.nests)

    def _counted(
        self,
        asked: Sequence[tuple[Shape, tuple[float, float] | None]],
        count: int,
    ) -> tuple[np.ndarray, list[Place]]:
        """Pairs of all particles, (C, pairs bins), neighbours an atom.

        And of each its place in `nests` and its number of atoms.  `asked`
        are shapes with their range of sizes, `count` sizes of each.
        """
        kinds = len(self.crystal.elements)
        bins = math.ceil(self.few.reach / BINS) + 2
        rows, places = [], []
        for shape, sizes in asked:
            nest = self.cutter.nest(shape, count, self.rng.random(), sizes)
            if nest is None:
                continue
            gained = nested_pairs(
                nest.positions,
                nest.kind,
                nest.ends,
                EXACT,
                BINS,
                (kinds, bins),
            )
            pairs = gained.cumsum(0) * (2.0 / nest.ends[:, None, None])
            rows.append(pairs.astype(np.float32).reshape(len(nest.ends), -1))
            places += [(len(self.nests), int(end)) for end in nest.ends]
            self.nests.append(nest)
        return np.concatenate(rows), places

    def _compared(
        self,
        hist: np.ndarray,
        near: PairShells,
        values: Mapping[str, float],
    ) -> np.ndarray:
        """Rw of all particles to first order about a fit, (C,)."""
        bins = hist.shape[1] // len(near.shells)
        curves, data = self._freed(near, values, bins)
        g = hist @ curves.astype(np.float32)
        power = np.einsum("ij,ij->i", g, g).clip(min=1e-12)
        cross = (g @ data.astype(np.float32)).clip(min=0)
        left = float(data @ data) - cross**2 / power
        return np.sqrt(left.clip(min=0))

    def _freed(
        self, near: PairShells, values: Mapping[str, float], bins: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Curves of one pair and the data without what a fit would change.

        Returns
        -------
        curves : (pairs bins, n) array
        data : (n,) array
        """
        few = self.few
        _, slopes = few.at(near, values)
        if self.target.qdamp is not None:
            slopes.pop("qdamp")
        # What these directions explain is left out of data and curves.
        basis, _ = np.linalg.qr(np.stack(list(slopes.values()), 1))
        distance = np.arange(bins) * BINS
        # No pair stands in the first bin, which has no wave.
        distance[0] = BINS
        fall = few.fall(values["qdamp"])
        parts = few.transform(distance, values, near.fractions)
        curves = np.concatenate(parts) * fall
        curves -= (curves @ basis) @ basis.T
        return curves, few.data - basis @ (basis.T @ few.data)

    def _various(
        self, rw: np.ndarray, places: Sequence[Place], count: int
    ) -> list[int]:
        """The best particles, not too many of one shape."""
        chosen: list[int] = []
        times: dict[int, int] = {}
        seen = set()
        for k in np.argsort(rw, kind="stable"):
            nest, end = places[k]
            # Shapes that differ often hold the same atoms.
            same = (end, round(float(rw[k]), 5))
            if (nest, end, False) in self._fitted or same in seen:
                seen.add(same)
                continue
            seen.add(same)
            if not self._balanced(self.nests[nest].kind[:end]):
                continue
            if times.get(nest, 0) < OF_ONE:
                times[nest] = times.get(nest, 0) + 1
                chosen.append(int(k))
            if len(chosen) == count:
                break
        return chosen

    def _balanced(self, kind: np.ndarray) -> bool:
        """Whether a particle has about the composition of the crystal."""
        count = np.bincount(kind, minlength=len(self.crystal.elements))
        share = count.clip(min=0.5) / len(kind)
        off = np.log(share / self.crystal.fractions)
        limit = len(kind) ** (-1 / 3)
        if "O" in self.crystal.elements:
            oxygen = off[self.crystal.elements.index("O")]
            if off.max() - oxygen > OXYGEN_LEFT * limit:
                return False
        # The ratio of two elements, as that of metal and oxygen.
        return float(np.ptp(off)) <= UNBALANCED * limit

    def _shells(self, cut: Cut) -> PairShells:
        return PairShells.of(cut.elements, cut.positions, self.few.reach)

    def _fit(
        self,
        place: int,
        end: int,
        start: Mapping[str, float],
        trim: bool = False,
    ) -> float:
        """Fit one particle, and keep it; its Rw on few points."""
        key = (place, end, trim)
        if key in self._fitted:
            return self._fitted[key][0].fit.rw
        nest = self.nests[place]
        x, kind = nest.positions[:end], nest.kind[:end]
        if trim:
            kept = trimmed(self.crystal, x, kind)
            if kept.all() or kept.sum() < LEAST:
                return math.inf
            x, kind = x[kept], kind[kept]
        if not self._balanced(kind):
            return math.inf
        names = self.crystal.elements
        elements = tuple(names[k] for k in kind)
        cut = Cut(str(nest.shape), elements, x, NO_FIT, trim)
        particle = self._shells(cut)
        values = fit_pairs(particle, self.few, start, STEPS)
        fit = finished(particle, self.few, values)
        # Parameters of elements that it lacks are handed on.
        self._fitted[key] = dataclasses.replace(cut, fit=fit), values
        return fit.rw

    def _beside(self, start: Mapping[str, float]) -> None:
        """Fit sizes beside the best ones, and those without loose atoms."""
        order = sorted(self._fitted, key=lambda k: self._fitted[k][0].fit.rw)
        for place, end, _ in order[: NEAR // 4]:
            self._fit(place, end, start, trim=True)
            shells = self.nests[place].shells
            at = int(np.searchsorted(shells, end))
            for k in (at - 2, at - 1, at + 1, at + 2):
                if 0 <= k < len(shells):
                    self._fit(place, int(shells[k]), start)
        order = sorted(self._fitted, key=lambda k: self._fitted[k][0].fit.rw)
        for place, end, trim in order[: NEAR // 4]:
            if not trim:
                self._fit(place, end, start, trim=True)

    def _edit(self) -> None:
        """Edit the best particles of different shapes, and fit them again."""
        order = sorted(self._fitted, key=lambda k: self._fitted[k][0].fit.rw)
        firsts = {k[0]: k for k in reversed(order) if k[1] <= MOST_EDITED}
        for key in sorted(firsts.values(), key=order.index)[:EDITED]:
            cut, values = self._fitted[key]
            found = self._edited(self.nests[key[0]].shape.centre, cut, values)
            lower = found is not None and found[0].fit.rw < cut.fit.rw
            # What the charge asks for may cost some of the fit.
            if found is not None and (lower or self.states is not None):
                self._fitted[(-1 - key[0], *key[1:])] = found

    def _edited(
        self, centre: np.ndarray, cut: Cut, values: Mapping[str, float]
    ) -> tuple[Cut, dict[str, float]] | None:
        """A particle with atoms that came and went, fitted; None for none."""
        names = self.crystal.elements
        kind = np.array([names.index(e) for e in cut.elements])
        radius = float(np.linalg.norm(cut.positions, axis=1).max()) + 4.0
        around, other = self.cutter.sites(centre, radius)
        free = cKDTree(cut.positions).query(around)[0] > 0.1
        sites = sites_around(
            self.crystal,
            np.concatenate([cut.positions, around[free]]),
            np.concatenate([kind, other[free]]),
            len(kind),
        )
        bins = math.ceil(self.few.reach / BINS) + 2
        curves, data = self._freed(self._shells(cut), values, bins)
        left = edited(
            sites,
            curves.reshape(-1, bins, curves.shape[1]),
            data,
            How(
                BINS,
                self.target.independent_points,
                self._balanced,
                self.states,
            ),
        )
        if left is None:
            return None
        changed = dataclasses.replace(
            cut,
            elements=tuple(names[k] for k in sites.kind[left]),
            positions=sites.positions[left],
            edited=int((left != sites.filled).sum()),
            whole=len(kind),
        )
        particle = self._shells(changed)
        found = fit_pairs(particle, self.few, values, STEPS)
        fit = finished(particle, self.few, found)
        return dataclasses.replace(changed, fit=fit), found

    def _neutral(self, cut: Cut) -> bool:
        """Whether the charge of a particle is 0, to half an electron."""
        assert self.states is not None
        names = self.crystal.elements
        kind = np.array([names.index(e) for e in cut.elements])
        return abs(charge_of(kind, self.states)) < 0.5

    def _different(self, count: int) -> list[Cut]:
        """What was fitted, the best first, on all data points."""
        full = PairCurves(self.target, self.crystal.elements)
        found: list[Cut] = []
        seen = set()
        fitted = sorted(self._fitted.values(), key=_rw)
        if self.states is not None:
            fitted = [one for one in fitted if self._neutral(one[0])] or fitted
        for cut, values in fitted:
            key = (len(cut.positions), round(cut.fit.rw, 6))
            if key in seen:
                continue
            seen.add(key)
            fit = finished(self._shells(cut), full, values)
            found.append(dataclasses.replace(cut, fit=fit))
            if len(found) == count:
                break
        return sorted(found, key=lambda cut: cut.fit.rw)


def _rw(one: tuple[Cut, Mapping[str, float]]) -> float:
    return one[0].fit.rw
