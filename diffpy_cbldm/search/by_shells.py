"""The generator ``shells``: symmetric frameworks, relaxed orbit by orbit."""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import TYPE_CHECKING

import numpy as np

from diffpy_cbldm.cluster import Candidate
from diffpy_cbldm.crystals.bonds import (
    nearest_neighbour_distance,
    shortest_bond,
)
from diffpy_cbldm.crystals.frameworks import Framework, load_frameworks
from diffpy_cbldm.crystals.point_groups import orbits, rotations
from diffpy_cbldm.fitting.quickfit import quick_fit
from diffpy_cbldm.fitting.target import Target
from diffpy_cbldm.pdfdata import PDFData
from diffpy_cbldm.polishing.basis import PairBasis
from diffpy_cbldm.polishing.crystal import FINEST, Measured, Polished
from diffpy_cbldm.polishing.front import SHORTEST
from diffpy_cbldm.polishing.orbits import descend, relaxed_orbits
from diffpy_cbldm.search.matching import histograms, screen
from diffpy_cbldm.settings import R_MAX
from diffpy_cbldm.threads import side_by_side

if TYPE_CHECKING:
    from torch import Tensor

LOOKED_AT = 96
"""Frameworks whose orbits are moved a few steps downhill, by the rough
comparison."""

HOPELESS, HOPELESS_RATIO = 0.45, 1.5
"""Rw of the rough comparison above which, and how much above the least one,
no framework is moved: orbits go a tenth of a bond, and no farther."""

RELAXED = 8
"""Of these so many are relaxed."""

FEW_STEPS = 5

TURN = 0.1
"""How far (A) an orbit is turned out of a mirror plane at the start."""


@dataclasses.dataclass(frozen=True)
class _Rough:
    """A framework as the comparison leaves it."""

    framework: Framework
    positions: np.ndarray
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
    ones differ by several per cent.  So the best by the rough comparison are
    moved a few steps towards the data, and the best of these are relaxed
    (`diffpy_cbldm.polishing.orbits`) and ordered by an information criterion
    that charges for each variable.

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
        First those whose orbits were relaxed (their ``edits`` say so), the
        best first; then ideal ones.
    """
    target = Target.of(pdf, rmin, rmax)
    hist, lengths = _histograms()
    rw, bonds = screen(hist, lengths, target, target.bond)
    order = np.argsort(rw)
    promising = order[: max(LOOKED_AT, count)]
    worst = min(HOPELESS, HOPELESS_RATIO * rw[order[0]])
    known = load_frameworks()
    ideal = [(known[i], known[i].positions * bonds[i]) for i in promising]
    moved = [pair for pair, i in zip(ideal, promising) if rw[i] <= worst]
    relaxed = _relaxed(moved[:LOOKED_AT], Measured(target)) if moved else []
    used = {id(framework) for framework, _ in relaxed}
    found = [_candidate(f, p, target) for f, p in relaxed]
    found += [
        _ideal(framework, x, target)
        for framework, x in ideal
        if id(framework) not in used
    ]
    return found[:count]


def _relaxed(
    ideal: list[tuple[Framework, np.ndarray]], data: Measured
) -> list[tuple[Framework, Polished]]:
    """The best frameworks with their orbits relaxed, by the criterion."""
    fits = quick_fit([x for _, x in ideal[:1]], data.target)
    # One basis serves the rough steps of all: broad peaks, as a framework
    # that is not relaxed yet has them, pull from farther away.
    basis = data.basis(fits[0], max((x for _, x in ideal), key=np.ptp))
    rough = side_by_side(lambda pair: _moved(*pair, data, basis), ideal)
    rough.sort(key=lambda r: r.value)
    best = side_by_side(lambda r: _best(r, data), rough[:RELAXED])
    found = [(r.framework, p) for r, p in zip(rough, best) if p is not None]
    return sorted(found, key=lambda pair: pair[1].criterion)


def _moved(
    framework: Framework, x: np.ndarray, data: Measured, basis: PairBasis
) -> _Rough:
    """A few steps downhill, the mirrors broken at the start."""
    found = orbits(x, rotations(framework.group))
    fields = np.zeros((sum(len(o.fields) for o in found), *x.shape))
    at, row = np.zeros(len(fields)), 0
    for orbit in found:
        rows = slice(row, row + len(orbit.fields))
        fields[rows, orbit.places] = orbit.fields
        # Out of mirror planes: there G(r) has no slope across them.
        at[rows][1:] = TURN
        row = rows.stop
    at, square = descend(basis, x, fields, at[None], FEW_STEPS)
    value = data.points * math.log(max(square - basis.outside, FINEST))
    value += math.log(data.points) * len(fields)
    return _Rough(framework, x, value)


def _best(rough: _Rough, data: Measured) -> Polished | None:
    """The relaxed framework that the criterion prefers, or None."""
    kind = rough.framework.structure_type
    found = [
        p
        for p in relaxed_orbits(rough.positions, kind, data)
        if shortest_bond(p.positions)
        > SHORTEST * nearest_neighbour_distance(p.positions)
    ]
    return min(found, key=lambda p: p.criterion, default=None)


def _candidate(framework: Framework, p: Polished, target: Target) -> Candidate:
    return Candidate(
        elements=(target.element,) * len(p.positions),
        positions=p.positions,
        structure_type=framework.structure_type,
        edits=("orbits",),
        edited_from=(framework.structure_type, len(p.positions)),
        notes=(f"framework {framework}",),
    )


def _ideal(framework: Framework, x: np.ndarray, target: Target) -> Candidate:
    return Candidate(
        elements=(target.element,) * len(x),
        positions=x,
        structure_type=framework.structure_type,
        notes=(f"framework {framework}",),
    )


@functools.cache
def _histograms() -> tuple[Tensor, Tensor]:
    """Pair histograms of all frameworks, in bond lengths."""
    import torch

    known = load_frameworks()
    hist = histograms([framework.positions for framework in known])
    return hist, torch.tensor([len(framework) for framework in known])
