"""How many atoms a particle has at the Qdamp of common instruments.

A larger particle under more damping has nearly the same PDF: where Qdamp is
not known, neither is the size, however well a structure fits.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from diffpy_cbldm.cluster import Candidate
from diffpy_cbldm.fitting.attenuated import AttenuatedCrystal, fit_crystal
from diffpy_cbldm.fitting.quickfit import QuickFit, quick_fit
from diffpy_cbldm.fitting.target import Target
from diffpy_cbldm.protocols import Stored
from diffpy_cbldm.settings import COMMON_QDAMP
from diffpy_cbldm.solving.atom_range import AtomRange
from diffpy_cbldm.solving.doubts import range_doubts

FIRSTS = 12
"""So many of the best candidates are fitted again."""

SIZES = 12
"""And the best one of so many other numbers of atoms."""

APART = 1.1
"""Factor between numbers of atoms that count as other ones."""

STEPS = 5

AVERAGE = 1.5
"""A crystal whose Rw is below this times that of the best structure tells the
size as well as it does."""


@dataclasses.dataclass(frozen=True)
class SizeAtQdamp(Stored):
    """What the particle would be at one Qdamp.

    Attributes
    ----------
    qdamp : float, 1/A
    n_atoms : int
        Of the candidate with the lowest Rw at this Qdamp.
    structure_type : str
    rw : float
        Of its quick fit.
    crystal_atoms : int
        Of the attenuated crystal.
    crystal_rw : float
    """

    qdamp: float
    n_atoms: int
    structure_type: str
    rw: float
    crystal_atoms: int
    crystal_rw: float


def by_qdamp(sizes: Sequence[SizeAtQdamp], edited: bool) -> str:
    """The sizes at common Qdamp in a sentence.

    Parameters
    ----------
    sizes : sequence of SizeAtQdamp
        One at least.
    edited : bool
        Whether the answer is an edited structure: these are not.
    """
    atoms = [s.n_atoms for s in sizes]
    whose = " of the best structure without edits" if edited else ""
    if max(atoms) >= APART * min(atoms):
        each = ", ".join(f"{s.n_atoms} at {s.qdamp:g}" for s in sizes)
        return (
            f"Qdamp is not known, and with it the size: atoms{whose} at the "
            f"Qdamp (1/A) of common instruments: {each}."
        )
    qdamps = [s.qdamp for s in sizes]
    span = f"{min(qdamps):g} to {max(qdamps):g}"
    least, most = min(atoms), max(atoms)
    count = str(least) if least == most else f"{least} to {most}"
    return (
        f"Qdamp is not known; at those of common instruments ({span} 1/A) "
        f"the number of atoms{whose} is {count}."
    )


def sizes_by_qdamp(
    ranked: Sequence[tuple[Candidate, QuickFit]],
    crystal: AttenuatedCrystal,
    target: Target,
) -> tuple[SizeAtQdamp, ...]:
    """The best size at each of `COMMON_QDAMP` in the range of Qdamp.

    Parameters
    ----------
    ranked : sequence of (Candidate, QuickFit)
        The best first.
    crystal : AttenuatedCrystal
        Its lattice is fitted again.
    target : Target

    Returns
    -------
    tuple of SizeAtQdamp
        Empty where Qdamp is known, or the data end before they tell a size.
    """
    if target.qdamp is not None or range_doubts(target):
        return ()
    low, high = target.qdamp_range
    some = _varied(ranked)
    candidates = [c for c, _ in some]
    first = some[0][1]
    start = {"uiso": first.uiso, "delta2": first.delta2}
    positions = [c.positions * f.stretch for c, f in some]
    found = []
    for qdamp in COMMON_QDAMP:
        if not low <= qdamp <= high:
            continue
        held = target.with_qdamp(qdamp)
        fits = quick_fit(
            positions, held, start=start, scan=(0.0,), steps=STEPS
        )
        k = min(range(len(fits)), key=lambda k: fits[k].rw)
        sphere = fit_crystal(held, (crystal.lattice,))
        found.append(
            SizeAtQdamp(
                qdamp=qdamp,
                n_atoms=len(candidates[k]),
                structure_type=candidates[k].structure_type,
                rw=fits[k].rw,
                crystal_atoms=sphere.n_atoms,
                crystal_rw=sphere.rw,
            )
        )
    return tuple(found)


def _varied(
    ranked: Sequence[tuple[Candidate, QuickFit]],
) -> list[tuple[Candidate, QuickFit]]:
    """The first ones, and the first of other numbers of atoms."""
    chosen = list(ranked[:FIRSTS])
    left = SIZES
    for one in ranked[FIRSTS:]:
        if not left:
            break
        atoms = len(one[0])
        near = (len(c) for c, _ in chosen)
        if all(not 1 / APART < atoms / n < APART for n in near):
            chosen.append(one)
            left -= 1
    return chosen


def covering(
    atoms: AtomRange,
    sizes: Sequence[SizeAtQdamp],
    best: Candidate,
    crystal: AttenuatedCrystal,
) -> AtomRange:
    """A range of N that holds what else explains the data as well.

    Parameters
    ----------
    atoms : AtomRange
    sizes : sequence of SizeAtQdamp
        The sizes at common Qdamp are held.
    best : Candidate
        The refined answer, which is held as well.
    crystal : AttenuatedCrystal
        Its size is held where its Rw is within `AVERAGE` of the answer's: a
        sample of many sizes and shapes has a mean that one long or twinned
        particle can imitate, and a sphere without a surface as well.
    """
    counts = [len(best), *(one.n_atoms for one in sizes)]
    rw = best.rw_of_first
    if rw is not None and crystal.rw < AVERAGE * rw:
        counts += [crystal.n_atoms, *(one.crystal_atoms for one in sizes)]
    return dataclasses.replace(
        atoms,
        low=min([atoms.low, *counts]),
        high=max([atoms.high, *counts]),
    )
