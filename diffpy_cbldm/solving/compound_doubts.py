"""Why an answer for a compound may be wrong."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from diffpy_cbldm.cluster import Candidate
from diffpy_cbldm.crystals.bonds import diameter
from diffpy_cbldm.debye.form_factors import factors
from diffpy_cbldm.fitting.attenuated import DIAMETERS, AttenuatedCrystal
from diffpy_cbldm.fitting.crystal_moves import KINDS
from diffpy_cbldm.fitting.target import Target
from diffpy_cbldm.search.by_cutting import CrystalTried
from diffpy_cbldm.settings import Solve
from diffpy_cbldm.solving.abstaining import rounded
from diffpy_cbldm.solving.polish_stage import CHARGE, kinds_of

NEAR = 1.15
"""Crystals whose best particles differ by less in Rw are not told apart."""

CONTRAST = 0.02
"""Below this share of the scattering the order of two elements is not seen."""

HAND_OVER = (
    "fit the crystal with an envelope (-t ddp3 writes it with the data as a "
    "project of PDFgui)"
)
"""What to do where a crystal without atoms is the better model."""


def bulk_doubts(
    best: Candidate, sphere: AttenuatedCrystal, target: Target
) -> list[str]:
    """Say so where the particle reaches beyond the data.

    Parameters
    ----------
    best : Candidate
    sphere : AttenuatedCrystal
        Its crystal as a sphere without atoms.
    target : Target
    """
    reach = max(width_of(len(best), sphere), sphere.diameter)
    longest = diameter(best.positions)
    if reach >= target.rmax:
        bulk = sphere.diameter > 0.95 * DIAMETERS[-1]
        what = "a bulk crystal" if bulk else f"{sphere.diameter:.0f} A across"
        return [
            f"The particle reaches beyond the data, which end at "
            f"{target.rmax:g} A: it has a diameter of at least that (as a "
            f"sphere without atoms: {what}), and its shape and number of "
            f"atoms are not told; {HAND_OVER}."
        ]
    if longest >= target.rmax:
        return [
            f"The longest distances of the best structure, up to "
            f"{longest:.0f} A, lie beyond the data, which end at "
            f"{target.rmax:g} A: how long it is was told by its shorter ones "
            f"alone."
        ]
    return []


def sphere_doubts(best: Candidate, sphere: AttenuatedCrystal) -> list[str]:
    """Say so where the crystal without atoms explains the data better.

    Parameters
    ----------
    best : Candidate
    sphere : AttenuatedCrystal
        Its crystal as a sphere without atoms.
    """
    rw = best.rw_of_first
    if rw is None or rw <= sphere.rw:
        return []
    least = min(sphere.diameter, width_of(len(best), sphere))
    return [
        f"The crystal that ends at a sphere ({sphere}, {sphere.n_atoms} "
        f"atoms, Qdamp {sphere.qdamp:.3f} 1/A) has Rw {sphere.rw:.3f} without "
        f"any atoms, the best structure {rw:.3f}: the particle is at least "
        f"{least:.0f} A across, larger than the candidates or of many sizes; "
        f"{HAND_OVER}."
    ]


def width_of(atoms: int, sphere: AttenuatedCrystal) -> float:
    """The diameter of a sphere of so many atoms of its crystal, angstrom."""
    own = sphere.n_atoms or 1
    return sphere.diameter * (atoms / own) ** (1 / 3)


def least_atoms(
    best: Candidate, sphere: AttenuatedCrystal, target: Target
) -> int | None:
    """The least number of atoms of a particle that reaches beyond the data.

    None where it does not.
    """
    if max(width_of(len(best), sphere), sphere.diameter) < target.rmax:
        return None
    whole = dataclasses.replace(sphere, diameter=target.rmax).n_atoms
    return rounded(min(whole, len(best)))


def width_doubts(best: Candidate) -> list[str]:
    """Say so where the Uiso of an element ended at a bound.

    Parameters
    ----------
    best : Candidate
        Refined.
    """
    seen = [
        f"{name.removesuffix('_Uiso')} {limit:g} A^2"
        for name, limit in best.at_bounds
        if name.endswith("_Uiso")
    ]
    if not seen:
        return []
    return [
        f"The Uiso of some elements ended at a bound ({', '.join(seen)}): "
        f"the data hardly show them where this crystal has them; the sample "
        f"may be of another crystal, or of the other elements alone."
    ]


def prototype_doubts(
    crystals: Sequence[CrystalTried], given: bool
) -> list[str]:
    """Say so where two crystals fit alike, or none of the common ones does.

    Parameters
    ----------
    crystals : sequence of CrystalTried
        The best first.
    given : bool
        Whether the user gave them.
    """
    cut = [c for c in crystals if c.rw is not None]
    doubts = []
    first = cut[0].rw if cut else None
    if first is not None:
        like = [c.name for c in cut[1:] if (c.rw or 0.0) < NEAR * first]
        if like:
            doubts.append(
                f"The data hardly tell {cut[0].name} from "
                f"{', '.join(like)} (quick fits: "
                f"{', '.join(f'{c.name} {c.rw:.3f}' for c in cut)})."
            )
    if not given and first is not None and first > 0.4:
        doubts.append(
            f"None of the common crystals fits well "
            f"({', '.join(c.name for c in crystals)}; the best, "
            f"{cut[0].name}, has Rw {first:.3f}): the sample may be of "
            f"another; pass its crystal (--crystal FILE.cif)."
        )
    return doubts


def mixture_notes(
    best: Candidate, alloys: Sequence[str], target: Target, seed: int
) -> list[str]:
    """What a user must know of solid solutions and of order.

    Parameters
    ----------
    best : Candidate
    alloys : sequence of str
        Crystals whose sites hold parts of several atoms.
    target : Target
    seed : int
        With which their atoms were drawn.
    """
    notes = []
    if best.structure_type in alloys:
        notes.append(
            f"{best.structure_type} is a solid solution: which atom stands on "
            f"a mixed site was drawn at random (seed {seed}), another draw "
            f"(--seed) is as good, and the sphere without atoms has average "
            f"ones."
        )
    elements = sorted(set(best.elements))
    if alloys and len(elements) == 2:
        share = order_contrast(best.elements, target)
        if share < CONTRAST:
            kind = "X-rays" if target.stype == "X" else "neutrons"
            notes.append(
                f"{elements[0]} and {elements[1]} scatter {kind} so alike "
                f"(their difference carries {share:.1%} of the scattering) "
                f"that the data cannot tell an ordered arrangement from a "
                f"random one."
            )
    return notes


def left_out(used: Solve) -> list[str]:
    """Say so where only metals have what was asked for, or it has a price.

    Parameters
    ----------
    used : settings.Solve
    """
    missing = {
        "A distribution of sizes (distribution)": used.distribution == "yes",
        "A shell of ligands (ligand)": used.ligand is not None,
        "A second particle (phases)": used.phases == 2,
    }
    asked = [name for name, wanted in missing.items() if wanted]
    notes = [
        f"{name} was not fitted: that is for metals, of compounds there is "
        f"none yet."
        for name in asked
    ]
    known = ("sites", *KINDS, CHARGE)
    if used.polish != "yes" and CHARGE in kinds_of(used.polish):
        notes.append(
            "The range of the number of atoms holds particles without charge "
            "alone, as was asked for (polish: charge); those that carry some "
            "may be of other sizes."
        )
    others = [k for k in kinds_of(used.polish) if k not in known]
    if others and used.polish != "yes":
        notes.append(
            f"Of the edits of compounds there are none of the kind "
            f"{', '.join(others)}, but {', '.join(known)} (polish)."
        )
    return notes


def order_contrast(elements: Sequence[str], target: Target) -> float:
    """The share of scattering that depends on the order of two elements.

    x_a x_b (f_a - f_b)^2 / <f>^2 (Laue), at the lowest Q of the data.
    """
    names = sorted(set(elements))
    f = factors(names, np.array([target.qmin]), target.stype)
    share = np.array([list(elements).count(e) for e in names]) / len(elements)
    values = np.array([f[e][0] for e in names])
    mean = float(share @ values)
    return float(np.prod(share) * np.ptp(values) ** 2 / mean**2)
