"""Edits that keep a structure a plausible crystal, and what they are worth.

Real particles are cut off-centre, faulted, strained; the best ideal cluster
is only near.  From it atoms are added, removed and moved on sites that
continue its own lattice, at a falling price for roughness, so that every step
of the way is the best structure of its roughness: the front from ideal to
rough.  Strain, relaxed surface shells and small displacements are fitted
along.  Where to stop is for an information criterion to say: each further
broken bond, and each parameter, must lower the misfit by more than chance
would.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from diffpy_cbldm.crystals.bonds import (
    nearest_neighbour_distance,
    shortest_bond,
)
from diffpy_cbldm.errors import CbldmError
from diffpy_cbldm.fitting.agreement import EVIDENCE
from diffpy_cbldm.fitting.moves import kind_of
from diffpy_cbldm.fitting.target import Target
from diffpy_cbldm.pdfdata import PDFData
from diffpy_cbldm.polishing.crystal import (
    LEVELS,
    Crystal,
    Measured,
    Polished,
)
from diffpy_cbldm.polishing.displacements import displaced_atoms
from diffpy_cbldm.polishing.large import LargeCrystal, large_front
from diffpy_cbldm.polishing.long_basis import LongMeasured
from diffpy_cbldm.polishing.orbits import relaxed_ideal
from diffpy_cbldm.settings import MAX_ATOMS
from diffpy_cbldm.threads import one_thread

P = TypeVar("P", bound=Polished)

EDIT_KINDS = (
    *("sites", "layers", "faults"),
    *("strain", "surface", "orbits", "displacements"),
)
"""What may be edited; layers and faults of more than 256 atoms alone, and
orbits and displacements of no more."""

SYMMETRIC = ("ico", "dec")
"""Types whose orbits may move: they are grown about an axis or a centre that
strains them, and so are what others grow on them."""

ROUGHNESS = 1.25
"""Default limit of the roughness over that of the most compact cluster."""

_BY_LEVEL = ("sites", "strain", "surface")
"""What is edited again at each price of roughness."""

SHORTEST = 0.9
"""Bonds shorter than this, in nearest-neighbour distances, are refused."""

QDAMP_CHANGES = (-0.02, -0.01, 0.01, 0.02)
"""Changes of Qdamp (1/A) at which other sizes are looked for."""


def front(
    positions: np.ndarray,
    structure_type: str,
    target: PDFData | Target,
    *,
    kinds: Sequence[str] = EDIT_KINDS,
    limit: float = ROUGHNESS,
    beyond: int = 1,
) -> list[Polished]:
    """Edit a cluster towards a PDF, from ideal to rough.

    Parameters
    ----------
    positions : (n, 3) array, angstrom
        Where it starts.
    structure_type : str
        One of `settings.CRYSTAL_TYPES`; decides the bonds of the bulk.
    target : Target, or PDFData with the default range
    kinds : sequence of str
        Some of `EDIT_KINDS`.
    limit : float
        Edits may not make the roughness larger than this times that of the
        most compact cluster of the library.
    beyond : int
        Further levels after the criterion asks for no more: the rough side
        of the front.

    Returns
    -------
    list of Polished
        The start, and what each price of roughness gave.  The least
        `criterion` marks what the data support.

    Raises
    ------
    CbldmError
        An unknown kind.
    """
    data = _measured(len(positions) > MAX_ATOMS, Target.of(target))
    # The matrices are small: threads of BLAS would wait for one another.
    with one_thread():
        return _front(positions, structure_type, data, kinds, limit, beyond)


def _front(
    positions: np.ndarray,
    structure_type: str,
    data: Measured,
    kinds: Sequence[str],
    limit: float,
    beyond: int,
) -> list[Polished]:
    """`front` on data that were prepared."""
    kinds = check_kinds(kinds)
    if isinstance(data, LongMeasured):
        large = large_front(positions, structure_type, data, kinds, limit)
        return [large[0]] + [p for p in large[1:] if sound(p, limit)]
    crystal = Crystal(positions, structure_type, data)
    found = [crystal.judged()]
    if "orbits" in kinds and structure_type in SYMMETRIC:
        relaxed = relaxed_ideal(crystal)
        found += [relaxed] if relaxed else []
    price = crystal.price()
    for _ in range(LEVELS if set(kinds) & set(_BY_LEVEL) else 0):
        if "sites" in kinds:
            crystal.edit(price, limit)
            for factor in 3.0 ** np.arange(1, 6):
                if crystal.judged().ratio <= limit:
                    break  # a start may be too rough
                crystal.edit(factor * price, limit)
        crystal.try_moves([k for k in kinds if k in _BY_LEVEL[1:]])
        found.append(crystal.judged())
        wanted = crystal.price()
        if wanted < 0.7 * price:
            price = max(wanted, 0.1 * price)
        elif beyond > 0 and "sites" in kinds:
            beyond, price = beyond - 1, 0.3 * price
        else:
            break
    if "displacements" in kinds:
        found += displaced_atoms(best(found), structure_type, data)
    return [found[0]] + [p for p in found[1:] if sound(p, limit)]


def other_sizes(
    polished: Polished,
    structure_type: str,
    target: PDFData | Target,
    *,
    kinds: Sequence[str] = EDIT_KINDS,
    limit: float = ROUGHNESS,
    share: float = 1.0,
) -> list[Polished]:
    """Look for larger and smaller particles that fit as well.

    A larger particle under more damping has nearly the same PDF.  No single
    edit leads along this valley: Qdamp is held at other values, the sites
    are edited for it, and then all is fitted again.

    Parameters
    ----------
    polished : Polished
        Usually the best of `front`.
    structure_type, target, kinds, limit
        As for `front`.
    share : float
        Of the independent points, see `polishing.evidence`.

    Returns
    -------
    list of Polished
        None where the header gives Qdamp, where sites are not edited, and
        for relaxed orbits.
    """
    found: list[Polished] = []
    if any(kind_of(name) == "orbits" for name in polished.values):
        return found  # no site can be added, and the symmetry stay
    target = Target.of(target)
    needed = "layers" if polished.kind else "sites"
    if target.qdamp is not None or needed not in check_kinds(kinds):
        return found
    data = _measured(bool(polished.kind), target, share=share)
    low, high = target.qdamp_range
    for change in QDAMP_CHANGES:
        start = best([polished, *found], lower=False)
        held = start.fit.qdamp + change
        if not low <= held <= high:
            continue
        at_held = data.at_qdamp(held)
        crystal = (
            LargeCrystal(start.lattice, start.kind, at_held, start)
            if start.kind
            else Crystal(start.lattice, structure_type, at_held, start.values)
        )
        crystal.edit(None, limit)
        crystal.data = data
        crystal.edit(None, limit)
        found.append(crystal.judged())
    return [p for p in found if sound(p, limit)]


def best(found: Sequence[P], lower: bool = True) -> P:
    """The one that the criterion prefers to the first by more than chance.

    Parameters
    ----------
    found : sequence of Polished
        The first stays unless another one's criterion is lower by
        `EVIDENCE`.
    lower : bool
        Whether Rw must be lower as well: that it would be smoother is no
        reason to edit a structure that fits.
    """
    start = found[0]
    least = min(
        (p for p in found if not lower or p is start or p.rw < start.rw),
        key=lambda p: p.criterion,
    )
    return least if least.criterion < start.criterion - EVIDENCE else start


def pareto(found: Sequence[P]) -> list[P]:
    """Those that none beats in both Rw and roughness, the smoothest first."""
    kept: list[P] = []
    for p in sorted(found, key=lambda p: (round(p.roughness, 6), p.rw)):
        if not kept or p.rw < kept[-1].rw - 1e-6:
            kept.append(p)
    return kept


def predicted(
    positions: np.ndarray,
    structure_type: str,
    target: PDFData | Target,
    *,
    kinds: Sequence[str] = EDIT_KINDS,
    limit: float = ROUGHNESS,
    share: float = 1.0,
) -> tuple[float, float]:
    """How well a polished structure predicts r that it has not seen.

    Every third block of r (`BLOCK`) is left out, the structure is polished
    on the rest, and with nothing fitted any more compared with what was left
    out.

    Parameters
    ----------
    positions, structure_type, target, kinds, limit
        As for `front`.
    share : float
        Of the independent points, see `polishing.evidence`.

    Returns
    -------
    before, after : float
        Rw on the blocks left out, of the start and of what the criterion
        prefers; both were fitted to the other blocks.
    """
    target = Target.of(target)
    large = len(positions) > MAX_ATOMS
    seen, held = (
        _measured(large, target, part, share) for part in ("seen", "held")
    )
    if not (seen.has_signal and held.has_signal):
        return 1.0, 1.0  # a single spike: nothing to learn, or to predict
    found = _front(positions, structure_type, seen, kinds, limit, 0)
    # What was left out is the judge: a smoother structure may fit worse here.
    return held.rw_of(found[0]), held.rw_of(best(found, lower=False))


def _measured(
    large: bool, target: Target, part: str = "all", share: float = 1.0
) -> Measured:
    """The data as edits of small and of large particles see them."""
    return (LongMeasured if large else Measured)(target, part, share)


def check_kinds(kinds: Sequence[str]) -> tuple[str, ...]:
    """Return the kinds in the order of `EDIT_KINDS`, each once.

    CbldmError where one is unknown.
    """
    wrong = [kind for kind in kinds if kind not in EDIT_KINDS]
    if isinstance(kinds, str) or wrong:
        raise CbldmError(
            f"kinds of edits are {kinds!r}; expected a list with some of "
            f"{', '.join(EDIT_KINDS)}, such as ('sites',)."
        )
    return tuple(kind for kind in EDIT_KINDS if kind in kinds)


def sound(p: Polished, limit: float) -> bool:
    """Whether it is smooth enough, and no bond too short."""
    bond = nearest_neighbour_distance(p.positions)
    short = shortest_bond(p.positions) < SHORTEST * bond
    return not short and p.ratio <= limit + 1e-9
