"""The generator ``shells``: symmetric frameworks, relaxed orbit by orbit."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
from scipy.spatial import cKDTree

from diffpy_cbldm.cluster import Candidate
from diffpy_cbldm.crystals.bonds import (
    diameter,
    nearest_neighbour_distance,
    shortest_bond,
)
from diffpy_cbldm.crystals.frameworks import Framework, load_frameworks
from diffpy_cbldm.crystals.point_groups import orbit_fields, rotations
from diffpy_cbldm.fitting.agreement import EVIDENCE
from diffpy_cbldm.fitting.attenuated import AttenuatedCrystal, fit_crystal
from diffpy_cbldm.fitting.low_pass import low_passed
from diffpy_cbldm.fitting.moves import move_names
from diffpy_cbldm.fitting.orbit_moves import MOST_ORBITS
from diffpy_cbldm.fitting.quickfit import START, QuickFit
from diffpy_cbldm.fitting.reach import signal_beyond
from diffpy_cbldm.fitting.target import Target
from diffpy_cbldm.pdfdata import PDFData
from diffpy_cbldm.polishing.basis import PairBasis
from diffpy_cbldm.polishing.crystal import FINEST, Measured, Polished
from diffpy_cbldm.polishing.front import SHORTEST
from diffpy_cbldm.polishing.orbits import (
    SPREAD,
    STARTS,
    descend,
    relaxed_orbits,
    starts,
    without_roughness,
)
from diffpy_cbldm.search.by_library import library_rw
from diffpy_cbldm.search.framework_screening import compare_frameworks
from diffpy_cbldm.search.matching import Motion
from diffpy_cbldm.settings import MAX_ATOMS, R_MAX
from diffpy_cbldm.threads import side_by_side

LOW_Q = 8.0
"""Qmax (1/A) of the first comparison: the wave of 8 1/A is 0.8 A long, and
shells that lie 0.2 A off hardly change what is below it."""

LOW_UISO = 0.006
"""Uiso (A^2) of that: up to a low Q widths hardly matter."""

LOOKED_AT = 64
"""Frameworks whose orbits are moved a few steps downhill, by the first
comparison."""

RELAXED, VARIANTS = 5, 2
"""So many of these, the best, are relaxed, and of one name at most so many."""

GROWN, LARGER = 2, 3
"""The larger ones of so many, the best, are tried as well, and so many of
them relaxed."""

NEAR_STARTS = 3
"""Places from which a relaxed framework is relaxed further."""

MORE_SHELLS = 2
"""And those with up to so many orbits more are tried as well: what an outer
orbit adds is seen where the inner ones and the widths are right."""

IDEAL = 8
"""Frameworks that are proposed as they are, at most."""

EXPLAINED = 0.12
"""Rw of a library cluster, only the scale and the stretch fitted, below which
the data need no framework."""

SPHERICAL = 0.03
"""Rw of a sphere of crystal, of whatever size, below which the data need no
framework: of 80 simulated frameworks the least had 0.044."""

CRYSTALLINE = 0.2
"""Rw of a sphere of crystal below which it tells the size of a particle: of
120 simulated frameworks those that gave a larger one had Rw 0.30 and more."""

FARTHEST, BEYOND = 7.0, 0.1
"""Signal beyond so many bond lengths, the diameter of a close-packed sphere
of 256 atoms, that is larger than this, relative to that inside, tells a
particle larger than the frameworks."""

SAME = 0.35
"""Atoms of two frameworks so near to one another, bond lengths, are one."""

STEPS = 4
"""Gauss-Newton steps of the orbits, all else as it is."""

TURN = 0.1
"""How far (A) an orbit is turned out of a mirror plane at the start."""

TRIES = 8
"""Starts of each of the frameworks with more orbits."""


@dataclasses.dataclass(frozen=True, eq=False)
class _Moved:
    """A framework whose orbits went a few steps downhill.

    Attributes
    ----------
    framework : Framework
    positions : (n, 3) array, angstrom
    value : float
        The information criterion.
    """

    framework: Framework
    positions: np.ndarray
    value: float

    @property
    def name(self) -> tuple[str | int, ...]:
        """The same for variants of one framework."""
        sizes = sorted(map(len, self.framework.shells))
        return (self.framework.group, *sizes)


@dataclasses.dataclass(frozen=True, eq=False)
class _Ended:
    """A relaxed framework.

    Attributes
    ----------
    moved : _Moved
        From where.
    end : Polished
    value : float
        The criterion with a charge for each orbit as well: that it is there
        is a choice, too.
    plain : _Ended or None
        The same with the moves that orbits have by default, where this one
        moved in all ways.
    """

    moved: _Moved
    end: Polished
    value: float
    plain: _Ended | None = None

    @property
    def framework(self) -> Framework:
        """What was relaxed."""
        return self.moved.framework

    @property
    def edits(self) -> tuple[str, ...]:
        """How its orbits were moved, as of a Candidate."""
        return ("orbits",) if self.plain is None else ("orbits", "across")


def shells_generator(
    pdf: PDFData | Target,
    *,
    count: int = 64,
    seed: int = 0,
    device: str = "auto",
    rmin: float = 1.5,
    rmax: float = R_MAX,
) -> list[Candidate]:
    """Screen symmetric frameworks, and relax the orbits of the best.

    Orbits of a framework lie where bonds of one length put them; measured
    ones differ by several per cent, which moves peaks by more than their
    width.  So all are compared with the data up to a low Q, which hardly
    feels that; the best are moved a few steps towards the whole of the data,
    some of them grown by a further orbit, and the best of these are relaxed
    (`diffpy_cbldm.polishing.orbits`).  An information criterion that charges
    for each variable orders them.

    Parameters
    ----------
    pdf : PDFData
        The data of a particle of one element.
    count : int
        Candidates, at most.
    seed, device
        Of no effect: nothing is drawn, and no model is asked.
    rmin, rmax : float, angstrom
        The compared range.

    Returns
    -------
    list of Candidate
        Those whose orbits were relaxed (their ``edits`` say so), the best
        and what the data hardly tell from it; where no framework has few
        enough ways to move, ideal ones.  None for data of a particle that is
        larger than the frameworks, or that an ideal cluster or a sphere of
        crystal explains as well.
    """
    target = Target.of(pdf, rmin, rmax)
    if not asks_for_shells(target):
        return []
    known = load_frameworks()
    low = low_passed(target, LOW_Q)
    widths = Motion(uiso=(LOW_UISO,))
    rw, bonds = compare_frameworks(low, target.bond, widths)
    order = np.argsort(rw, kind="stable")[:LOOKED_AT]
    ended = _searched([int(i) for i in order], bonds, target)
    if ended is None:
        return []
    found = [_candidate(one, target) for one in ended]
    if not found:
        found = [_ideal(known[i], bonds[i], target) for i in order[:IDEAL]]
    return found[:count]


def asks_for_shells(target: Target) -> bool:
    """Whether no ideal cluster explains the data, and none is too small.

    Nor a sphere of crystal, the less where it is larger than they are.
    """
    if signal_beyond(target, FARTHEST * target.bond) > BEYOND:
        return False
    if library_rw(target) < EXPLAINED:
        return False
    crystal = _sphere(target)
    if crystal.rw < SPHERICAL:
        return False
    return crystal.rw > CRYSTALLINE or crystal.n_atoms <= MAX_ATOMS


def _searched(
    promising: Sequence[int], bonds: np.ndarray, target: Target
) -> list[_Ended] | None:
    """The best frameworks with their orbits relaxed, by the criterion.

    None where something plainer explains the data as well.

    Parameters
    ----------
    promising : sequence of int
        Places of known frameworks.
    bonds : (frameworks,) array, angstrom
        Of each, by the first comparison.
    target : Target
    """
    known, data = load_frameworks(), Measured(target)
    longest = max(bonds[i] * diameter(known[i].positions) for i in promising)
    start = QuickFit(1.0, 1.0, **(START | {"qdamp": target.first_qdamp}))
    # One basis serves the rough steps of all.
    basis = PairBasis(data.target, start, longest=longest)
    first = _downhill(promising, bonds, data, basis)
    # What a sphere of crystal or an ideal cluster explains as well, by five
    # parameters, needs no framework.
    plain = min(library_rw(target), _sphere(target).rw)
    if first and first[0].value > 2 * data.points * math.log(plain):
        return None
    ended = _relaxed(first[:RELAXED], data)
    if not ended:
        return []
    ended.sort(key=lambda one: one.value)
    grown = {i for one in ended[:GROWN] for i in _larger(one.framework)}
    basis = PairBasis(data.target, ended[0].end.fit, longest=longest)
    larger = _downhill(sorted(grown), bonds, data, basis, TRIES)
    ended += _relaxed(larger[:LARGER], data)
    near = _tested(ended, data)
    # The best of each name.
    best = {one.moved.name: one for one in reversed(near)}
    return [one for one in near if best[one.moved.name] is one]


def _downhill(
    places: Sequence[int],
    bonds: np.ndarray,
    data: Measured,
    basis: PairBasis,
    tries: int = 1,
) -> list[_Moved]:
    """Known frameworks after a few steps, the best first.

    Of one name `VARIANTS` at most.
    """
    known = load_frameworks()
    moved = side_by_side(
        lambda i: _moved(known[i], bonds[i], data, basis, tries), places
    )
    best: list[_Moved] = []
    count: Counter[tuple[str | int, ...]] = Counter()
    for one in sorted(filter(None, moved), key=lambda m: m.value):
        count[one.name] += 1
        best += [one] if count[one.name] <= VARIANTS else []
    return best


def _moved(
    framework: Framework,
    bond: float,
    data: Measured,
    basis: PairBasis,
    tries: int,
) -> _Moved | None:
    """A few steps downhill, from one start or more.

    None where the orbits have too many ways to move.
    """
    x = bond * framework.positions
    turns = rotations(framework.group)
    ways = [orbit_fields(shell, turns) for shell in framework.shells]
    if sum(map(len, ways)) > MOST_ORBITS:
        # Outwards alone, where that is few enough.
        ways = [fields[:1] for fields in ways]
    count = sum(map(len, ways))
    if not 0 < count <= MOST_ORBITS:
        return None
    fields = np.zeros((count, *x.shape))
    at = SPREAD * bond * starts(count, tries)
    row, atom = 0, 0
    for own, shell in zip(ways, framework.shells):
        rows = slice(row, row + len(own))
        fields[rows, atom : atom + len(shell)] = own
        # Out of mirror planes: there G(r) has no slope across them.
        at[0, rows][1:] = TURN
        row, atom = rows.stop, atom + len(shell)
    end, square = descend(basis, x, fields, at, STEPS)
    value = data.points * math.log(max(square - basis.outside, FINEST))
    value += math.log(data.points) * (count + len(framework.shells))
    return _Moved(framework, x + np.tensordot(end, fields, 1), value)


def _larger(framework: Framework) -> list[int]:
    """Places of the known frameworks that hold one, and some orbits more."""
    found = []
    own, size = framework.positions, len(framework)
    for place, other in enumerate(load_frameworks()):
        more = len(other.shells) - len(framework.shells)
        if other.group == framework.group and 0 < more <= MORE_SHELLS:
            apart, nearest = cKDTree(other.positions).query(own)
            if apart.max() < SAME and len(set(nearest)) == size:
                found.append(place)
    return found


def _relaxed(moved: Sequence[_Moved], data: Measured) -> list[_Ended]:
    """Relaxed frameworks, without those in which atoms come too close."""
    relaxed = side_by_side(lambda one: _ended(one, data), moved)
    return [one for one in relaxed if one is not None]


def _ended(moved: _Moved, data: Measured) -> _Ended | None:
    """A framework relaxed, in all ways where the data ask for them."""
    kind, each = moved.framework.structure_type, math.log(data.points)
    p = _bonded(moved.positions, kind, data, "orbits", STARTS)
    if p is None:
        return None
    orbits = each * len(moved.framework.shells)
    plain = _Ended(moved, p, p.criterion + orbits)
    # What moves outwards alone may be right and still far off across.
    if len(move_names(p.positions, ["across"])) > len(p.values):
        across = _bonded(p.positions, kind, data, "across", NEAR_STARTS)
        if across and across.criterion < p.criterion - EVIDENCE:
            return _Ended(moved, across, across.criterion + orbits, plain)
    return plain


def _bonded(
    positions: np.ndarray,
    structure_type: str,
    data: Measured,
    kind: str,
    tries: int,
) -> Polished | None:
    """Orbits relaxed, None where atoms come too close."""
    p = relaxed_orbits(positions, structure_type, data, tries, kind)
    if p is None:
        return None
    bond = nearest_neighbour_distance(p.positions)
    if shortest_bond(p.positions) < SHORTEST * bond:
        return None
    return without_roughness(p, data)


def _across_predicts(moved: _Moved, data: Measured) -> bool:
    """Whether moves across help on r that was left out."""
    x, kind = moved.positions, moved.framework.structure_type
    seen, held = (Measured(data.target, part) for part in ("seen", "held"))
    plain = relaxed_orbits(x, kind, seen)
    if plain is None:
        return True
    across = relaxed_orbits(plain.positions, kind, seen, NEAR_STARTS, "across")
    return across is not None and held.rw_of(across) < held.rw_of(plain)


def _tested(ended: Sequence[_Ended], data: Measured) -> list[_Ended]:
    """By the criterion, with those ways across that predict.

    Only as far as it may matter: what is far behind the first is left out.
    """
    order = sorted(ended, key=lambda one: one.value)
    tested: list[_Ended] = []
    while order and order[0].value < min(
        (one.value + EVIDENCE for one in tested), default=math.inf
    ):
        one = order.pop(0)
        if one.plain is None or _across_predicts(one.moved, data):
            tested.append(one)
        else:
            order = sorted([*order, one.plain], key=lambda one: one.value)
    return tested


def _candidate(ended: _Ended, target: Target) -> Candidate:
    kind, x = ended.framework.structure_type, ended.end.positions
    return Candidate(
        elements=(target.element,) * len(x),
        positions=x,
        structure_type=kind,
        edits=ended.edits,
        edited_from=(kind, len(x)),
        notes=(f"framework {ended.framework}",),
    )


def _ideal(framework: Framework, bond: float, target: Target) -> Candidate:
    return Candidate(
        elements=(target.element,) * len(framework),
        positions=bond * framework.positions,
        structure_type=framework.structure_type,
        notes=(f"framework {framework}",),
    )


@functools.lru_cache(maxsize=1)
def _sphere(target: Target) -> AttenuatedCrystal:
    return fit_crystal(target)
