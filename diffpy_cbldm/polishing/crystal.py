"""A crystal under edits: its sites, its moves, and how it fits."""

from __future__ import annotations

import copy
import dataclasses
import functools
import math
from collections.abc import Sequence
from typing import Self

import numpy as np
from scipy.spatial import cKDTree

from diffpy_cbldm.crystals.bonds import (
    BULK,
    diameter,
    ideal_roughness,
    nearest_neighbour_distance,
)
from diffpy_cbldm.fitting import moves
from diffpy_cbldm.fitting.effective_points import FEWEST
from diffpy_cbldm.fitting.quickfit import QuickFit, quick_fit
from diffpy_cbldm.fitting.target import Target
from diffpy_cbldm.polishing.basis import PairBasis
from diffpy_cbldm.polishing.costs import (
    BONDS_AN_EDIT,
    criterion_of,
    edit_cost,
    rough_beyond,
    too_far,
)
from diffpy_cbldm.polishing.descent import descended
from diffpy_cbldm.polishing.editor import Editor
from diffpy_cbldm.polishing.grids import shared_grid
from diffpy_cbldm.polishing.sites import more_sites
from diffpy_cbldm.polishing.tabu import search

FIRST_SHELL = 0.02
"""Relaxation of a shell, in both ways, from which fits of it begin."""

FIRST_STRAIN = 0.008
"""Size of the strains that are tried first."""

BLOCK = 2.5
"""Every third block of r, so wide (A), is left out to be predicted."""

LEVELS, ROUNDS = 12, 3
"""Prices of roughness that are tried at most, and searches at each."""

FINEST = 1e-7
"""Rw^2 below which two calculations of one curve differ."""


@dataclasses.dataclass(frozen=True, eq=False)
class Polished:
    """A structure on the way from ideal to rough.

    Attributes
    ----------
    positions : (n, 3) array, angstrom
        As fitted: with the fit's stretch and the moves.
    lattice : (n, 3) array, angstrom
        Before the moves.
    values : dict
        Strain and surface relaxation, see `diffpy_cbldm.fitting.moves`.
    fit : QuickFit
        Its parameters; the stretch is 1.
    rw : float
    roughness : float
        See `diffpy_cbldm.crystals.bonds.roughness`.
    ratio : float
        Roughness over that of the most compact cluster of the library.
    excess : float
        Effective number of parameters: broken bonds beyond those of the
        most compact cluster, 6 for one; below 0 for a smoother one.
    criterion : float
        See `diffpy_cbldm.polishing.costs.criterion_of`.
    misfit : float
        Rw^2 without the noise that no structure could show.
    displaced : float
        Effective number of parameters of the displacements and of the moves
        that they started from, or 0.
    steps : tuple of (tuple, int)
        Of large particles: by how many steps each parameter of the edits was
        moved (`diffpy_cbldm.polishing.large`).
    kind : str
        Of large particles: the structure type, which faults change.
    """

    positions: np.ndarray
    lattice: np.ndarray
    values: dict[str, float]
    fit: QuickFit
    rw: float
    roughness: float
    ratio: float
    excess: float
    criterion: float
    misfit: float
    displaced: float = 0.0
    steps: tuple[tuple[tuple, int], ...] = ()
    kind: str = ""

    def judged_by(self, points: float) -> Self:
        """The same with the criterion of so many independent points."""
        criterion = criterion_of(
            self.misfit,
            points,
            len(self.lattice),
            self.excess,
            len(self.values) + self.displaced,
        )
        return dataclasses.replace(self, criterion=criterion)


class Measured:
    """What a structure under edits is compared with.

    Parameters
    ----------
    target : Target
        The measured curve on its fitting range.
    part : {"all", "seen", "held"}
        All of the range, or without every third block of r (`BLOCK`), or
        these blocks alone: what was left out judges what was fitted.
    share : float
        Of the independent points that count (`polishing.evidence`).

    Attributes
    ----------
    points : float
        Independent points that count.
    """

    def __init__(
        self, target: Target, part: str = "all", share: float = 1.0
    ) -> None:
        # Three times as dense as G(r) needs to be known.
        target = target.thinned(3.0)
        counts = np.ones(len(target.r))
        if part != "all":
            held = (target.r // BLOCK).astype(int) % 3 == 1
            counts = (held if part == "held" else ~held).astype(float)
            target = target.with_weights(target.weights * counts)
        self.target = target
        width = (target.r[-1] - target.r[0]) * counts.mean()
        q_range = target.qmax - target.qmin
        self.points = max(FEWEST, share * width * q_range / math.pi)

    @property
    def has_signal(self) -> bool:
        """Whether the curve is not 0 at all points that count."""
        return bool((self.target.weights * self.target.g**2).any())

    def at_qdamp(self, qdamp: float) -> Measured:
        """The same with Qdamp (1/A) held at a value."""
        other = copy.copy(self)
        other.target = self.target.with_qdamp(qdamp)
        return other

    def fit(self, x: np.ndarray, start: QuickFit | None = None) -> QuickFit:
        """The five-parameter fit of some positions."""
        values = None
        if start is not None:
            names = ("uiso", "delta2", "qdamp")
            values = {name: getattr(start, name) for name in names}
        return quick_fit([x], self.target, start=values, scan=(0.0,), steps=6)[
            0
        ]

    def rw_of(self, p: Polished) -> float:
        """Rw in this range with what was fitted in another one."""
        scale = 2 * p.fit.scale / len(p.positions)
        return self.basis(p.fit, p.positions).rw_at(p.positions, scale)

    def basis(self, fit: QuickFit, positions: np.ndarray) -> PairBasis:
        """Vectors of pairs at the widths and the damping of a fit.

        positions (n, 3), A, tell how long pairs may be.
        """
        grid = shared_grid(self.target, fit, diameter(positions))
        return PairBasis(self.target, fit, grid=grid)


class Crystal:
    """Sites of which some are filled, moves of them, and how they fit.

    At first the sites are those of the atoms; `edit` adds the shell around.
    A fit of the given positions that is known (`fit`) is not made again.

    Attributes
    ----------
    lattice : (S, 3) array, angstrom
        Sites before strain and relaxation.
    filled : (S,) bool array
    values : dict
        Moves by name, see `diffpy_cbldm.fitting.moves`.
    fit : QuickFit
    basis : PairBasis
        At the widths of the fit.
    """

    def __init__(
        self,
        positions: np.ndarray,
        kind: str,
        data: Measured,
        values: dict[str, float] | None = None,
        fit: QuickFit | None = None,
    ):
        self.data, self.kind = data, kind
        self.bulk = BULK.get(kind, 12)
        self.lattice = np.asarray(positions, float)
        self.filled = np.ones(len(positions), bool)
        self.values = dict(values or {})
        self.bond = nearest_neighbour_distance(self.lattice)
        self.fit = data.fit(self.atoms()) if fit is None else fit
        self._stretch(self.fit.stretch)
        self.basis = data.basis(self.fit, self.atoms())

    def _stretch(self, factor: float) -> None:
        self.lattice = self.lattice * factor
        self.bond *= factor

    def points(self) -> np.ndarray:
        """All sites where the moves bring them, (S, 3)."""
        if not self.values:
            return self.lattice
        return moves.moved(self.lattice, self.values, self._surface())

    def _surface(self) -> np.ndarray:
        """How sites go with the shells; an empty one as an outermost atom."""
        x = self.lattice - self.lattice[self.filled].mean(0)
        radius = np.linalg.norm(x, axis=1, keepdims=True).clip(1e-3)
        found = np.stack([self.bond * x / radius, 0 * x])
        found[:, self.filled] = moves.surface_moves(self.lattice[self.filled])
        return found

    def atoms(self) -> np.ndarray:
        """Positions as fitted, (n, 3)."""
        atoms = self.lattice[self.filled]
        return moves.moved(atoms, self.values) if self.values else atoms

    def grow(self) -> None:
        """Take the sites of the next shell, too."""
        atoms = self.lattice[self.filled]
        self.bond = nearest_neighbour_distance(atoms)
        layers = self.kind in ("hcp", "stacked")
        new = more_sites(atoms, self.bond, layers)
        if len(new):
            new = new[cKDTree(self.lattice).query(new)[0] > 0.2 * self.bond]
        self.lattice = np.concatenate([self.lattice, new])
        self.filled = np.concatenate([self.filled, np.zeros(len(new), bool)])

    def edit(self, price: float | None, limit: float) -> None:
        """Edit the sites at a price of roughness, or at the criterion's."""

        @functools.cache
        def allowed(count: int) -> float:
            ideal = ideal_roughness(self.kind, np.array([count]))
            return limit * float(ideal[0])

        if self.filled.all():
            self.grow()
        for _ in range(ROUNDS):
            self.refit()
            editor = self.editor()
            edits = search(editor, price or self.price(), allowed)
            self.filled = editor.filled
            if not edits:
                return
            self.grow()
        self.refit()

    def refit(self) -> None:
        """Scale, stretch, Uiso, delta2, Qdamp and the moves at their best."""
        if self.values:
            self._relax()
        self.fit = self.data.fit(self.atoms(), self.fit)
        self._stretch(self.fit.stretch)
        self.basis = self.data.basis(self.fit, self.atoms())

    def _relax(self, steps: int = 4) -> None:
        """Stretch and moves by Gauss-Newton steps on the basis.

        Surface shells that go too far are put back, and the rest begins
        again.
        """
        names = list(self.values)
        atoms = self.lattice[self.filled]
        every = (moves.ZOOM, *names)
        surface = None
        if any(name in moves.SURFACE for name in names):
            surface = moves.surface_moves(atoms)
        derivatives = moves.derivatives(atoms, every, surface)

        def misfit(at, changes=derivatives):
            many = moves.moved_at(atoms, every, at, surface)
            return self.basis.residuals(many, changes)

        at = np.array([1.0, *self.values.values()])
        starts = [at]
        if not any(at[1:]):
            # G(r) of a symmetric cluster is even in the strain.
            tries = at + FIRST_STRAIN * self._directions(names)
            if len(tries):
                order = misfit(tries, None)[0].argsort(kind="stable")
                starts += list(tries[order[:4]])
        for k, name in enumerate(names, 1):
            if name not in moves.STRAIN and not at[k]:
                # The shells have minima of their own, inwards and outwards.
                for way in (-FIRST_SHELL, FIRST_SHELL):
                    starts.append(at + way * (np.arange(len(at)) == k))
        at, _ = descended(misfit, np.array(starts), steps)
        far = [n for n, v in zip(names, at[1:]) if too_far(n, v)]
        if far:
            self.values = {
                k: v for k, v in self.values.items() if k not in far
            }
            if self.values:
                self._relax(steps)
            return
        if all(abs(v) < moves.limit_of(n) for n, v in zip(names, at[1:])):
            self._stretch(at[0])
            self.values = dict(zip(names, at[1:].tolist()))

    def _directions(self, names: Sequence[str]) -> np.ndarray:
        """Ways to strain, (t, 1 + moves), about 1 in size."""
        strain = [k for k, n in enumerate(names, 1) if n in moves.STRAIN]
        rng = np.random.default_rng(0)
        found = np.zeros((32 if strain else 0, 1 + len(names)))
        draws = rng.normal(size=(len(found), len(strain)))
        draws /= np.linalg.norm(draws, axis=1, keepdims=True)
        found[:, strain] = draws
        return found

    def try_moves(self, kinds: Sequence[str]) -> None:
        """Strain, and the surface, where they are worth their parameters."""
        for kind in kinds:
            before = self._state(), self.judged().criterion
            names = moves.move_names(self.lattice[self.filled], [kind])
            had = any(name in self.values for name in names)
            kept = {k: v for k, v in self.values.items() if k not in names}
            self.values = kept if had else kept | dict.fromkeys(names, 0.0)
            if not names:
                continue
            self.refit()
            if self.judged().criterion > before[1]:
                self._restore(before[0])

    def _state(self):
        return (
            self.lattice,
            self.bond,
            dict(self.values),
            self.fit,
            self.basis,
        )

    def _restore(self, state) -> None:
        self.lattice, self.bond, self.values, self.fit, self.basis = state

    def eased(self) -> PairBasis:
        """The basis on which the fit's parameters follow."""
        noise = self.misfit() / self.data.points
        free = self.data.target.qdamp is None
        return self.basis.eased(self.atoms(), noise, free)

    def editor(self) -> Editor:
        basis = self.eased()
        return Editor(self.points(), self.filled, basis, self.bond, self.bulk)

    def judged(self) -> Polished:
        """The present state with its figures."""
        atoms = self.atoms()
        lattice = self.lattice[self.filled]
        rough, ratio, excess = rough_beyond(lattice, self.kind)
        plain = Polished(
            positions=atoms,
            lattice=lattice,
            values=dict(self.values),
            fit=dataclasses.replace(self.fit, stretch=1.0),
            rw=self.fit.rw,
            roughness=rough,
            ratio=ratio,
            excess=excess,
            criterion=math.nan,
            misfit=self.misfit(),
        )
        return plain.judged_by(self.data.points)

    def misfit(self) -> float:
        """Rw^2 without the noise that no structure could show."""
        return max(self.fit.rw**2 - self.basis.outside, 0.0) + FINEST

    def cost(self) -> float:
        """What the criterion charges for an edit."""
        return edit_cost(int(self.filled.sum()), self.data.points)

    def price(self) -> float:
        """The price of roughness at which the criterion is stationary."""
        area = int(self.filled.sum()) ** (2 / 3)
        rate = self.cost() * area / BONDS_AN_EDIT / self.data.points
        return self.misfit() * rate
