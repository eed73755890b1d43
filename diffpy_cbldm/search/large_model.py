"""Large particles by the model: outlines drawn, filled and moved by layers.

The latents of the preset ``large`` tell crystal, size and outline.  Each is
filled on its crystal, the best ones to several sizes, and the facets of the
best of those move by whole layers, as long as the PDF likes it.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from diffpy_cbldm.cluster import Candidate
from diffpy_cbldm.crystals.large_cuts import (
    LARGE_TYPES,
    Ground,
    Piece,
    cube_side,
    template_of,
    whole_piece,
)
from diffpy_cbldm.crystals.lattice_pairs import CELLS
from diffpy_cbldm.crystals.particles import (
    BETWEEN,
    CUBIC_CENTRES,
    LAYER_CENTRES,
    MAX_ATOMS,
    STACKINGS,
    MultiplyTwinned,
)
from diffpy_cbldm.fitting.agreement import EXPLAINED
from diffpy_cbldm.fitting.target import Target, regrid
from diffpy_cbldm.search.facet_walk import FacetWalk
from diffpy_cbldm.search.large_balls import (
    BALL,
    CENTRE,
    balls,
    spheroids,
)
from diffpy_cbldm.search.large_match import Comparison, Conditions
from diffpy_cbldm.search.large_moves import neighbours, restacked
from diffpy_cbldm.search.pool import as_good, varied

if TYPE_CHECKING:
    from diffpy_cbldm.model.drawing import Drawing

FIRST, LATENTS, FEWEST = 16, 64, 16
"""Latents that are read before the bond length is fitted, and after it; and
how many of these are filled at least, however large the particle is."""

GROWN = 12
"""Best latents that are filled to several sizes."""

GROWTH = (0.93, 1.07, 0.86, 1.15)
"""Numbers of atoms over those that the latent tells."""

MOVED, MOVES, FEWEST_MOVES = 4, 14, 3
"""Best particles whose facets move, and how often."""

STEPS = 60
"""How often those of a ball move."""

RESTACKED = 1
"""Best particles whose outlines are filled on other stackings."""

AFFORDED, TWINNED = 3000, 1000
"""Atoms above which fewer particles are looked at; on no lattice, where pairs
are counted one by one, it is the second number, and the square counts."""

TRIED = 6
"""Ways to move facets that are looked at each time."""

WHOLE = 12
"""Decahedra that are near to an outline."""

MOST_FAMILIES = 4
"""Families of crystals that are looked at, those told most often."""

OUTLINES = 2
"""Outlines of each kind of multiply twinned particles near to which whole ones
are looked for."""


def family_of(crystal: str) -> str:
    """What shares bond length and widths: all close-packed layers do."""
    return "fcc" if crystal in STACKINGS else crystal


@dataclasses.dataclass(frozen=True)
class Told:
    """What a latent tells.

    Attributes
    ----------
    crystal : str
    atoms : float
    extents : (K,) array
        In units of the size, along the directions of the template.
    radius : float
    between : int
        Layers between two twin planes.
    """

    crystal: str
    atoms: float
    extents: np.ndarray
    radius: float
    between: int


@dataclasses.dataclass
class Found:
    """A particle of the search.

    Attributes
    ----------
    piece : Piece
    rw : float
    latent : int
        From which it came.
    family : str
    """

    piece: Piece
    rw: float
    latent: int
    family: str


def read_curve(model: Drawing, target: Target, bond: float) -> np.ndarray:
    """The PDF as the model reads it, (M,) float32."""
    from diffpy_cbldm.model.curves import tell_qdamp

    g, measured = regrid(target.pdf, rmax=target.rmax)
    r = np.arange(len(g))[measured] * 0.01
    grid = model.grid() * bond
    points = np.interp(grid, r, g[measured], left=0.0, right=0.0)
    damping = np.nan if target.qdamp is None else target.qdamp * bond
    curve = points[None].astype(np.float32)
    return tell_qdamp(curve, np.array([damping], np.float32))[0]


def drawn(
    model: Drawing, target: Target, bond: float, count: int, seed: int
) -> list[Told]:
    """What latents tell of a PDF, the first the likeliest of all."""
    from diffpy_cbldm.model.outline import OutlineSpace

    curve = model.to_own(read_curve(model, target, bond))
    latents = model.prior_mean(curve), model.sample(curve, count - 1, seed)
    z = np.concatenate([model.to_numpy(part) for part in latents])
    decoded = model.decode_outlines(model.to_own(z))
    space = OutlineSpace()
    logits, scalars, extents = (
        model.to_numpy(part).astype(float) for part in decoded
    )
    kinds = logits.argmax(1).tolist()
    told = []
    for kind, (size, radius, layers), row in zip(kinds, scalars, extents):
        crystal = LARGE_TYPES[kind]
        own = row[space.parts[template_of(crystal)]]
        apart = np.abs(np.log1p(BETWEEN) - layers)
        told.append(
            Told(
                crystal,
                float(np.exp(3 * size).clip(20, MAX_ATOMS)),
                own,
                max(float(radius), 0.4),
                BETWEEN[int(apart.argmin())],
            )
        )
    return told


def filled(
    told: Told, growth: float, rng: np.random.Generator
) -> Piece | None:
    """An outline filled to about its number of atoms; None where it cannot."""
    ground = Ground.of(told.crystal, told.between)
    unit = cube_side(told.crystal, round(told.atoms)) * growth ** (1 / 3)
    centre = _centre(told.crystal, rng)
    index, size = ground.gauge(told.extents * unit, told.radius * unit, centre)
    count = round(told.atoms * growth)
    if not len(index):
        return None
    # What is as deep in the outline stays together.
    end = size[min(count, len(size)) - 1] + 1e-6
    chosen = index[: np.searchsorted(size, end)]
    if not 5 <= len(chosen) <= 1.05 * MAX_ATOMS:
        return None
    return Piece(ground, np.sort(chosen))


def _centre(crystal: str, rng: np.random.Generator) -> np.ndarray:
    """Where the middle of the outline lies in the crystal, (3,)."""
    if crystal in CELLS:
        choices = np.array(CUBIC_CENTRES[crystal]) * CELLS[crystal]
    elif crystal in ("dec", "ico"):
        return np.zeros(3)
    else:
        choices = np.array(LAYER_CENTRES)
    centre = choices[rng.integers(len(choices))]
    if crystal in ("twin", "lamella"):
        # The outline tells where the twin planes lie.
        centre = centre * [1, 1, 0]
    return centre


def near_whole(told: Told, count: int) -> Iterator[Piece]:
    """Marks decahedra and Mackay icosahedra like an outline."""
    if told.crystal == "ico":
        n = (0.3 * told.atoms) ** (1 / 3) + 0.5
        for shells in sorted({int(n), int(n) + 1}):
            yield whole_piece(MultiplyTwinned("ico", (max(3, shells),)))
    if told.crystal != "dec":
        return
    unit = cube_side("dec", round(told.atoms))
    # Half the height over the distance of the side faces.
    tall, wide = told.extents[:2].mean() * unit, told.radius * unit
    rows = []
    for p, r in itertools.product(range(1, 18), range(4)):
        for q in range(1, 24):
            marks = MultiplyTwinned("dec", (p, q, r))
            if p + r > 17 or p + q + 2 * r > 40:
                continue
            off = abs(np.log(len(marks) / told.atoms)) / 0.06
            half = 0.5 * (p + q + 2 * r - 2)
            far = np.hypot(0.85 * (p + r - 1), 0.5 * q)
            off += abs(np.log(max(half, 0.5) / tall)) / 0.15
            off += abs(np.log(max(far, 0.5) / wide)) / 0.15
            rows.append((off, p, q, r))
    for _, p, q, r in sorted(rows)[:count]:
        yield whole_piece(MultiplyTwinned("dec", (p, q, r)))


def affordable(count: int, least: int, crystal: str, atoms: float) -> int:
    """How many particles of a size are looked at: fewer of larger ones."""
    size = atoms / AFFORDED
    if crystal in ("dec", "ico"):
        size = (atoms / TWINNED) ** 2
    return max(least, round(count / max(size, 1.0)))


class Search:
    """Particles for one PDF, compared as they come.

    Parameters
    ----------
    target : Target
    seed : int
    """

    def __init__(self, target: Target, seed: int):
        self.target = target
        self.rng = np.random.default_rng([seed, 20])
        self.comparisons: dict[str, Comparison] = {}
        self.found: dict[tuple, Found] = {}

    def prepare(self, told: list[Told]) -> None:
        """Fit what tells the bond length and widths, by the first latents.

        One particle of each family of crystals that is told.
        """
        families: dict[str, list[Told]] = {}
        for one in told:
            family = family_of(one.crystal)
            families.setdefault(family, []).append(one)
        often = sorted(families, key=lambda name: -len(families[name]))
        for family in often[:MOST_FAMILIES]:
            pieces = (self.fill(one, 1.0) for one in families[family])
            piece = next(filter(None, pieces), None)
            if piece is not None:
                self.comparisons[family] = Comparison(self.target, piece)

    def fill(self, told: Told, growth: float) -> Piece | None:
        """See `filled`."""
        return filled(told, growth, self.rng)

    @property
    def best_conditions(self) -> Conditions:
        """Of the family that fits best."""
        found = [c.conditions for c in self.comparisons.values()]
        return min(found, key=lambda c: c.rw)

    def add(self, piece: Piece | None, latent: int) -> Found | None:
        """Compare a particle; None where it cannot be compared."""
        if piece is None or len(piece) > MAX_ATOMS:
            return None
        family = family_of(piece.crystal)
        comparison = self.comparisons.get(family)
        if comparison is None:
            return None
        key = piece.key
        if key not in self.found:
            rw = comparison.rw(piece)
            self.found[key] = Found(piece, rw, latent, family)
        return self.found[key]

    def best(self, count: int) -> list[Found]:
        """The best particle of each latent, the best first."""
        kept: dict[int, Found] = {}
        for one in sorted(self.found.values(), key=lambda f: f.rw):
            kept.setdefault(one.latent, one)
        return list(kept.values())[:count]

    def fit_again(self) -> None:
        """Fit the best particle of each family, and compare all anew."""
        for family, old in list(self.comparisons.items()):
            own = [f for f in self.found.values() if f.family == family]
            if not own:
                continue
            best = min(own, key=lambda f: f.rw)
            new = Comparison(self.target, best.piece, old.conditions)
            self.comparisons[family] = new
            for one in own:
                one.rw = new.rw(one.piece)

    def move(self, start: Found) -> Found:
        """Move the facets of a particle by layers as long as that helps."""
        here = start
        piece = here.piece
        moves = affordable(MOVES, FEWEST_MOVES, piece.crystal, len(piece))
        for _ in range(moves):
            comparison = self.comparisons[here.family]
            better = here
            for piece in neighbours(here.piece, comparison, TRIED):
                one = self.add(piece, start.latent)
                if one is not None and one.rw < better.rw:
                    better = one
            if better is here:
                break
            here = better
        return here

    def from_ball(self) -> None:
        """Move the facets of the ball that fits best, a single crystal's.

        Latents tell rods, plates and twins that imitate a powder's many
        sizes; the plain particle beside them is looked for as closely.
        """
        found = [
            self.add(piece, BALL)
            for crystal in (*CELLS, "hcp")
            if (like := self.comparisons.get(family_of(crystal)))
            for piece in balls(crystal, CENTRE, like.longest / 2)
        ]
        compared = [one for one in found if one is not None]
        if not compared:
            return
        best = min(compared, key=lambda f: f.rw)
        # Bond and widths that suit imitators do not suit a ball.
        own = self.comparisons[best.family].conditions
        fitted = Comparison(self.target, best.piece, own)
        for piece in spheroids(best.piece, CENTRE):
            walk = FacetWalk(fitted, piece)
            walk.go(affordable(STEPS, FEWEST_MOVES, piece.crystal, len(piece)))
            self.add(walk.piece, BALL)

    def restack(self) -> None:
        """Try other stackings in the outline of the best particles."""
        for one in self.best(RESTACKED):
            for piece in restacked(one.piece):
                self.add(piece, one.latent)

    def candidates(self, count: int) -> list[Candidate]:
        """The particles that fit best; every other one has a new size."""
        ranked = sorted(self.found.values(), key=lambda f: f.rw)
        limit = as_good(ranked[0].rw) if ranked else 0.0
        taken = varied(
            [len(one.piece) for one in ranked],
            [one.rw < limit for one in ranked],
            count,
        )
        # The plain one beside those that imitate a powder.
        balls = (k for k, f in enumerate(ranked) if f.latent == BALL)
        plain = next(balls, None)
        if plain is not None and plain not in taken:
            taken[-1] = plain
        return [self._candidate(ranked[k]) for k in taken]

    def _candidate(self, one: Found) -> Candidate:
        conditions = self.comparisons[one.family].conditions
        bond = self.target.bond * conditions.stretch
        return Candidate(
            elements=(self.target.element,) * len(one.piece),
            positions=one.piece.positions * bond,
            structure_type=one.piece.structure_type,
        )


def search_large(
    model: Drawing, target: Target, seed: int, first: Sequence[Told]
) -> Search:
    """All particles of a search for one PDF.

    Latents are drawn twice: the first few give the bond length, on which the
    model reads the PDF again.

    first : what latents of this seed tell at the bond length of the target,
        `FIRST` or more.
    """
    found = Search(target, seed)
    found.prepare(list(first[:FIRST]))
    # No outline could be filled: there is nothing to propose.
    if not found.comparisons:
        return found
    bond = target.bond * found.best_conditions.stretch
    told = drawn(model, target, bond, LATENTS, seed + 1)
    if not {family_of(t.crystal) for t in told} & set(found.comparisons):
        found.prepare(told)
    for number, one in enumerate(told):
        if number < affordable(LATENTS, FEWEST, one.crystal, one.atoms):
            found.add(found.fill(one, 1.0), number)
    for crystal in ("dec", "ico"):
        some = [i for i, one in enumerate(told) if one.crystal == crystal]
        for number in some[:OUTLINES]:
            one = told[number]
            count = affordable(WHOLE, FEWEST_MOVES, crystal, one.atoms)
            for piece in near_whole(one, count):
                found.add(piece, number)
    for best in found.best(GROWN):
        one = told[best.latent]
        count = affordable(len(GROWTH), 1, one.crystal, one.atoms)
        for growth in GROWTH[:count]:
            found.add(found.fill(one, growth), best.latent)
    found.fit_again()
    found.restack()
    for count in (MOVED, MOVED // 2):
        for best in found.best(count):
            found.move(best)
        # What was fitted to the first particles was not quite right.
        found.fit_again()
    # A free Qdamp stands for any size of a ball.
    if target.qdamp is not None and found.best(1)[0].rw > EXPLAINED:
        found.from_ball()
    return found
