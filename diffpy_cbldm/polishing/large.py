"""Edits of particles of more than 256 atoms: planes, layers, rows, atoms.

A single atom of thousands changes the PDF by less than the data show, so
what is edited first is what keeps the particle an ideal one: stacking faults
and twins by planes, facets by whole layers, edges and corners by rows.  Each
is one parameter of the criterion, chosen among all of its kind.  Single atoms
come last, each as a parameter of its own.
"""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
from scipy.spatial import cKDTree

from diffpy_cbldm.crystals.bonds import (
    ideal_roughness,
    nearest_neighbour_distance,
    roughness,
)
from diffpy_cbldm.memory import give_back
from diffpy_cbldm.polishing.basis import PairBasis
from diffpy_cbldm.polishing.crystal import (
    FINEST,
    Crystal,
    Measured,
    Polished,
)
from diffpy_cbldm.polishing.faults import (
    MOST_FAULTS,
    FaultTable,
    Stacking,
    stackings,
    structure_type,
)
from diffpy_cbldm.polishing.group_editor import GroupEditor
from diffpy_cbldm.polishing.group_search import Rules, parameters, search
from diffpy_cbldm.polishing.long_basis import LongMeasured
from diffpy_cbldm.polishing.sites import more_sites
from diffpy_cbldm.settings import MAX_ATOMS

ROUNDS = 4
"""Searches of one kind, each after a fit and on fresh sites."""

SHELLS = 2
"""Shells of sites around the atoms."""

MOST_MOVED = 1000
"""Strain and surface are fitted up to so many atoms: each step takes all
pairs."""

DEPTH = 2.3
"""The lattice is continued from atoms so near (bonds) to the surface."""


class LargeCrystal(Crystal):
    """A crystal that is edited by groups of atoms.

    Attributes
    ----------
    steps : Counter
        By how many steps each parameter of the edits was moved.
    """

    def __init__(
        self,
        positions: np.ndarray,
        kind: str,
        data: Measured,
        start: Polished | None = None,
    ) -> None:
        values = None if start is None else start.values
        super().__init__(positions, kind, data, values)
        self.steps: Counter = Counter(dict(start.steps) if start else {})
        self._without_fault: Counter | None = None
        # Of shapes that are as compact at any size, the library knows the
        # small ones.
        size = np.array([min(len(positions), MAX_ATOMS)])
        self.ideal = float(ideal_roughness(kind, size)[0])

    def begin(self, start: Polished) -> None:
        """Go on from a structure that was judged before."""
        self.lattice, self.kind = start.lattice, start.kind
        self.filled = np.ones(len(start.lattice), bool)
        self.steps, self.values = Counter(dict(start.steps)), dict(
            start.values
        )
        self.bond = nearest_neighbour_distance(self.lattice)
        self.fit = start.fit
        self.basis = self.data.basis(self.fit, self.atoms())

    def grow(self) -> None:
        """Keep the atoms, and take the sites of the next shells."""
        atoms = self.lattice[self.filled]
        self.bond = nearest_neighbour_distance(atoms)
        sites = atoms
        for _ in range(SHELLS):
            outer = sites[self._outer(sites)]
            new = more_sites(outer, self.bond)
            if len(new):
                # The core was left out, and is not free.
                free = cKDTree(sites).query(new)[0] > 0.7 * self.bond
                new = new[free]
            sites = np.concatenate([sites, new])
        self.lattice = sites
        self.filled = np.arange(len(sites)) < len(atoms)

    def _outer(self, sites: np.ndarray) -> np.ndarray:
        """Which sites lie near the surface, bool."""
        tree = cKDTree(sites)
        count = tree.query_ball_point(
            sites, 1.2 * self.bond, return_length=True
        )
        bare = sites[count <= self.bulk]  # each counts itself
        near = cKDTree(bare).query(sites)[0]
        return near < DEPTH * self.bond

    def edit(self, price: float | None, limit: float) -> None:
        """Edit the shape; the criterion is the price."""
        self.edit_layers(limit)

    def edit_layers(self, limit: float) -> None:
        """Edit facets, edges and corners."""
        self._edit_groups("layers", limit)

    def edit_atoms(self, limit: float) -> None:
        """Edit single atoms of the surface."""
        self._edit_groups("sites", limit)

    def _edit_groups(self, kind: str, limit: float) -> None:
        """Edit by groups of one kind until the criterion asks for no more."""
        for _ in range(ROUNDS):
            before = self._state(), self.filled, self.steps
            value = self.judged().criterion
            self.grow()
            give_back()
            filled, steps = search(
                self.group_editor(), kind, self._rules(limit), self.steps
            )
            if (filled == self.filled).all():
                self._restore(before[0])
                self.filled = before[1]
                return
            self.filled, self.steps = filled, steps
            self.refit()
            if self.judged().criterion >= value:
                self._restore(before[0])
                self.filled, self.steps = before[1:]
                return

    def group_editor(self) -> GroupEditor:
        """Of the present sites."""
        return GroupEditor(
            self.points(), self.filled, self._eased(), self.bond, self.bulk
        )

    def _eased(self) -> PairBasis:
        """The basis on which the fit's parameters follow each edit."""
        return self.basis.eased(
            self.atoms(),
            self.misfit() / self.data.points,
            self.data.target.qdamp is None,
        )

    def _rules(self, limit: float) -> Rules:
        return Rules(
            self.data.points,
            self.cost(),
            limit * self.ideal,
            self.basis.outside,
            FINEST,
        )

    def judged(self) -> Polished:
        """The present state with its figures; each edit is a parameter."""
        atoms, lattice = self.atoms(), self.lattice[self.filled]
        rough = roughness(lattice, self.kind)
        plain = Polished(
            positions=atoms,
            lattice=lattice,
            values=dict(self.values),
            fit=dataclasses.replace(self.fit, stretch=1.0),
            rw=self.fit.rw,
            roughness=rough,
            ratio=rough / self.ideal,
            excess=float(parameters(self.steps)),
            criterion=math.nan,
            misfit=self.misfit(),
            steps=tuple(sorted(self.steps.items(), key=str)),
            kind=self.kind,
        )
        return plain.judged_by(self.data.points)

    def edit_planes(self, limit: float) -> None:
        """Make stacking faults and twins while they are worth it."""
        for _ in range(MOST_FAULTS):
            if self._without_fault == self.steps:
                return  # tried before: all pairs of layers are counted
            before = self._state(), self.filled, self.steps, self.kind
            start = self.judged()
            value = start.criterion
            chosen = self._best_fault(value)
            if chosen is None:
                self._without_fault = self.steps.copy()
                return
            key, stacking, senses = chosen
            shift = stacking.shifts(senses)[stacking.layer]
            self.lattice = self.lattice[self.filled]
            self.lattice = self.lattice + shift[:, None] * stacking.step
            self.filled = np.ones(len(self.lattice), bool)
            self.steps = self.steps + Counter({key: 1})
            self.kind = structure_type(senses)
            self.refit()
            now = self.judged()
            if now.criterion >= value or now.ratio > max(limit, start.ratio):
                self._restore(before[0])
                self.filled, self.steps, self.kind = before[1:]
                return

    def _best_fault(
        self, value: float
    ) -> tuple[tuple, Stacking, np.ndarray] | None:
        """The fault with the least criterion below a value, on its plane."""
        basis, atoms = self._eased(), self.lattice[self.filled]
        total, rules = basis.total(atoms), self._rules(1.0)
        many = parameters(self.steps) + 1
        best = None
        for stacking in stackings(atoms, self.bond):
            table = FaultTable(stacking, atoms, basis)
            edits = stacking.edits(stacking.senses)
            curves = total + np.array([table.change(s) for _, s in edits])
            square = basis.square(
                curves @ basis.data, np.vecdot(curves, curves)
            )
            values = rules.value(square, many)
            k = int(values.argmin())
            if values[k] < value:
                value, best = values[k], (edits[k][0], stacking, edits[k][1])
        return best


def large_front(
    positions: np.ndarray,
    kind: str,
    data: LongMeasured,
    kinds: Sequence[str],
    limit: float,
) -> list[Polished]:
    """Edit a large particle: planes, layers, atoms, then its moves.

    Parameters
    ----------
    positions, kind, limit
        As for `diffpy_cbldm.polishing.front.front`.
    data : LongMeasured
    kinds : sequence of str
        Of these displacements are not made: the data hold fewer independent
        points than thousands of atoms have coordinates.

    Returns
    -------
    list of Polished
        The start, and the structure after each kind of edit.
    """
    crystal = LargeCrystal(positions, kind, data)
    start = crystal.judged()
    found = [start]
    planes = [crystal.edit_planes] if "faults" in kinds else []
    layers = [crystal.edit_layers] if "layers" in kinds else []
    # A fault may pass for facets farther in, and the reverse: both orders
    # are tried where there is a fault at all.
    orders = [[*planes, *layers, *planes]]
    if planes and layers:
        orders.append([*layers, *planes, *layers])
    ends = []
    for order in orders:
        crystal.begin(start)
        for edit in order:
            edit(limit)
            found.append(crystal.judged())
        ends.append(found[-1])
        if not any("faults" in large_edits(p) for p in found):
            break
    crystal.begin(min(ends, key=lambda p: p.criterion))
    if "sites" in kinds:
        crystal.edit_atoms(limit)
        found.append(crystal.judged())
    some = [k for k in kinds if k in ("strain", "surface")]
    if some and len(positions) <= MOST_MOVED:
        crystal.try_moves(some)
        found.append(crystal.judged())
    return found


def large_edits(p: Polished) -> list[str]:
    """Which kinds of edits by groups lie between the start and a structure."""
    made = {key[0] for key, count in p.steps if count}
    kinds = {"layers": "layers", "sites": "sites"}
    return sorted({kinds.get(name, "faults") for name in made})
