"""The generator ``shells``: symmetric frameworks, relaxed orbit by orbit."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

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
from diffpy_cbldm.fitting.attenuated import fit_crystal
from diffpy_cbldm.fitting.low_pass import low_passed
from diffpy_cbldm.fitting.moves import MOST_ORBITS
from diffpy_cbldm.fitting.quickfit import START, QuickFit
from diffpy_cbldm.fitting.reach import signal_beyond
from diffpy_cbldm.fitting.target import Target
from diffpy_cbldm.pdfdata import PDFData
from diffpy_cbldm.polishing.basis import PairBasis
from diffpy_cbldm.polishing.crystal import FINEST, Measured, Polished
from diffpy_cbldm.polishing.front import SHORTEST
from diffpy_cbldm.polishing.orbits import (
    SPREAD,
    descend,
    relaxed_orbits,
    starts,
)
from diffpy_cbldm.search.by_library import library_rw
from diffpy_cbldm.search.matching import histograms, screen
from diffpy_cbldm.settings import R_MAX
from diffpy_cbldm.threads import side_by_side

if TYPE_CHECKING:
    from torch import Tensor

LOW_Q = 8.0
"""Qmax (1/A) of the first comparison: the wave of 8 1/A is 0.8 A long, and
shells that lie 0.2 A off hardly change what is below it."""

LOOKED_AT = 96
"""Frameworks whose orbits are moved a few steps downhill, by the first
comparison."""

RELAXED = 2
"""So many of these, the best, are relaxed."""

MORE_SHELLS = 2
"""And those with up to so many orbits more are tried as well: what an outer
orbit adds is seen where the inner ones and the widths are right."""

IDEAL = 8
"""Frameworks that are proposed as they are, at most."""

EXPLAINED = 0.12
"""Rw of a library cluster, only the scale and the stretch fitted, below which
the data need no framework."""

FARTHEST, BEYOND = 7.0, 0.1
"""Signal beyond so many bond lengths, the diameter of a close-packed sphere
of 256 atoms, that is larger than this, relative to that inside, tells a
particle larger than the frameworks."""

LARGER = 0.2
"""So does a sphere of crystal with a larger diameter and an Rw below this: of
120 simulated frameworks those that gave such a diameter had Rw 0.30 and
more."""

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
    framework : Framework
    end : Polished
    value : float
        The criterion with a charge for each orbit as well: that it is there
        is a choice, too.
    """

    framework: Framework
    end: Polished
    value: float


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
    reach = FARTHEST * target.bond
    if signal_beyond(target, reach) > BEYOND:
        return []
    if library_rw(target) < EXPLAINED:
        return []
    crystal = fit_crystal(target)
    if crystal.rw < LARGER and crystal.diameter > reach:
        return []
    known = load_frameworks()
    low = low_passed(target, LOW_Q)
    rw, bonds = screen(*framework_histograms(), low, target.bond)
    order = np.argsort(rw, kind="stable")[:LOOKED_AT]
    # What a sphere of crystal or an ideal cluster explains as well, by five
    # parameters, needs no framework.
    plain = min(library_rw(target), crystal.rw)
    ended = _searched([int(i) for i in order], bonds, target, plain)
    if ended is None:
        return []
    found = [_candidate(one, target) for one in ended]
    if not found:
        found = [_ideal(known[i], bonds[i], target) for i in order[:IDEAL]]
    return found[:count]


def _searched(
    promising: Sequence[int], bonds: np.ndarray, target: Target, plain: float
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
    plain : float
        Rw of the plainer one.
    """
    known, data = load_frameworks(), Measured(target)
    longest = max(bonds[i] * diameter(known[i].positions) for i in promising)
    start = QuickFit(1.0, 1.0, **(START | {"qdamp": target.first_qdamp}))
    # One basis serves the rough steps of all.
    basis = PairBasis(data.target, start, longest=longest)
    first = _downhill(promising, bonds, data, basis)
    if first and first[0].value > 2 * data.points * math.log(plain):
        return None
    ended = _relaxed(first, data)
    if not ended:
        return []
    best = min(ended, key=lambda one: one.value)
    more = sorted({i for one in ended for i in _larger(one.framework)})
    basis = PairBasis(data.target, best.end.fit, longest=longest)
    ended += _relaxed(_downhill(more, bonds, data, basis, TRIES), data)
    ended.sort(key=lambda one: one.value)
    return [one for one in ended if one.value < ended[0].value + EVIDENCE]


def _downhill(
    places: Sequence[int],
    bonds: np.ndarray,
    data: Measured,
    basis: PairBasis,
    tries: int = 1,
) -> list[_Moved]:
    """Known frameworks after a few steps, the best of each name first."""
    known = load_frameworks()
    moved = side_by_side(
        lambda i: _moved(known[i], bonds[i], data, basis, tries), places
    )
    best: dict[tuple[str | int, ...], _Moved] = {}
    for one in sorted(filter(None, moved), key=lambda m: m.value):
        best.setdefault(one.name, one)
    return list(best.values())


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
    """The first `RELAXED`, without those in which atoms come too close."""

    def relaxed(one: _Moved) -> Polished | None:
        kind = one.framework.structure_type
        return relaxed_orbits(one.positions, kind, data)

    chosen, each = moved[:RELAXED], math.log(data.points)
    return [
        _Ended(
            one.framework, p, p.criterion + each * len(one.framework.shells)
        )
        for one, p in zip(chosen, side_by_side(relaxed, chosen))
        if p is not None
        and shortest_bond(p.positions)
        > SHORTEST * nearest_neighbour_distance(p.positions)
    ]


def _candidate(ended: _Ended, target: Target) -> Candidate:
    kind, x = ended.framework.structure_type, ended.end.positions
    return Candidate(
        elements=(target.element,) * len(x),
        positions=x,
        structure_type=kind,
        edits=("orbits",),
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


@functools.cache
def framework_histograms() -> tuple[Tensor, Tensor]:
    """Pair histograms of all frameworks, in bond lengths."""
    import torch

    known = load_frameworks()
    hist = histograms([framework.positions for framework in known])
    return hist, torch.tensor([len(framework) for framework in known])
