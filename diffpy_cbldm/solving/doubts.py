"""Why an answer may be wrong: what `solve` says with its result."""

from __future__ import annotations

from collections.abc import Sequence

from diffpy_cbldm import settings
from diffpy_cbldm.cluster import Candidate
from diffpy_cbldm.crystals.bonds import diameter, nearest_neighbour_distance
from diffpy_cbldm.crystals.particles import MAX_ATOMS
from diffpy_cbldm.crystals.radii import neighbour_distance
from diffpy_cbldm.errors import CbldmError
from diffpy_cbldm.fitting.attenuated import AttenuatedCrystal
from diffpy_cbldm.fitting.reach import signal_beyond
from diffpy_cbldm.fitting.target import Target

DOUBTFUL_RW = 0.3
"""A best Rw above this usually means that the particle is something else."""

SIGNAL_LEFT = 0.1
"""Signal beyond every candidate, relative to that inside, that is reported."""

UNLIKE = 0.08
"""First neighbours this far (relative) from the metal's are doubted."""

SIZE_RANGE = 2.5
"""A range that ends below so many bond lengths does not tell a size."""


def label_doubts(target: Target) -> list[str]:
    """Say so where the first neighbours are not those of the element.

    The curve of another metal, or of a compound taken for its metal, fits
    as well as its own: the bond length is read from the data.

    Parameters
    ----------
    target : Target

    Returns
    -------
    list of str
        Empty where the distance fits the element, or is not known.
    """
    bond, expected = bond_of(target), neighbour_distance(target.element)
    if bond is None or expected is None:
        return []
    off = bond / expected - 1
    if abs(off) <= UNLIKE:
        return []
    return [
        f"The first neighbours are {bond:.2f} A apart, those of metallic "
        f"{target.element} {expected:.2f} A ({off:+.0%}, up to "
        f"{UNLIKE:.0%} is usual): the composition may be wrong, or the sample "
        f"is no pure metal, such as an oxide; pass composition "
        f"(--composition) where another metal is meant."
    ]


def range_doubts(target: Target) -> list[str]:
    """Say so where the fitted range is too short to tell a size.

    Parameters
    ----------
    target : Target

    Returns
    -------
    list of str
        Empty where it holds `SIZE_RANGE` bond lengths or more.
    """
    bond = bond_of(target)
    if bond is None or target.rmax >= SIZE_RANGE * bond:
        return []
    shells = target.rmax / bond
    return [
        f"The fitted range ends at {target.rmax:g} A, {shells:.1f} bond "
        f"lengths: so few shells do not tell the size of a particle, and no "
        f"number of atoms is given; expected {SIZE_RANGE * bond:.1f} A or "
        f"more."
    ]


def bond_of(target: Target) -> float | None:
    """The bond length of the data, None where they show no first peak."""
    try:
        return target.bond
    except CbldmError:
        return None


def largest_proposed(generators: Sequence[str]) -> int:
    """The atoms of the largest particles that some generators propose."""
    known = {"cbldm", "library", "screen"}.intersection(generators)
    return MAX_ATOMS if known else settings.MAX_ATOMS


def size_doubts(
    best: Candidate,
    target: Target,
    largest: int = settings.MAX_ATOMS,
    kinds: str = "one element",
) -> list[str]:
    """Say why the particle may not be what the model covers.

    A range of its number of atoms means little then.

    Parameters
    ----------
    best : Candidate
        The first of the ranked ones.
    target : Target
    largest : int
        Atoms of the largest particles that were proposed; default 256.
    kinds : str
        What is covered, in words.

    Returns
    -------
    list of str
        Empty where nothing puts the answer in doubt.
    """
    doubts: list[str] = []
    covered = f"{kinds}, {settings.MIN_ATOMS} to {largest} atoms"
    if best.rw is not None and not best.rw <= DOUBTFUL_RW:
        doubts.append(
            f"The best Rw is {best.rw:.3f}, above {DOUBTFUL_RW:g}: the "
            f"particle may lie outside what the model covers ({covered}), or "
            f"the composition or Q range is wrong."
        )
    reach = explained_reach(best, largest)
    left = signal_beyond(target, reach)
    if left > SIGNAL_LEFT:
        doubts.append(
            f"The data have signal beyond {reach:.1f} A ({left:.0%} of that "
            f"inside), where neither the best structure nor a compact one of "
            f"{largest} atoms has distances: the particle is "
            f"larger than what the model covers."
        )
    n_atoms = len(best.positions)
    if n_atoms >= 0.95 * largest:
        where = "beyond" if n_atoms > largest else "at"
        doubts.append(
            f"The best structure has {n_atoms} atoms, {where} the limit of "
            f"{largest} that generators propose: the particle may "
            f"be larger."
        )
    if best.uneven_misfit is not None:
        low, high = best.uneven_misfit
        doubts.append(
            f"The misfit of the best structure is no noise, half of it from "
            f"{low:.1f} to {high:.1f} A: the data show something that no "
            f"candidate has, such as ligands, particles of several sizes, "
            f"another structure or composition, a background or a wrong Qmax."
        )
    return doubts


def crystal_doubts(best: Candidate, crystal: AttenuatedCrystal) -> list[str]:
    """Say so where a crystal without atoms explains the data better.

    Parameters
    ----------
    best : Candidate
        The first of the ranked ones.
    crystal : AttenuatedCrystal
        The baseline.

    Returns
    -------
    list of str
        Empty where the best structure has the lower Rw.
    """
    rw = best.rw_of_first
    if rw is None or rw <= crystal.rw:
        return []
    return [
        f"A crystal that ends at a sphere ({crystal}), with five parameters "
        f"and no atoms, has Rw {crystal.rw:.3f}, the best structure "
        f"{rw:.3f}: the particle is as large as {crystal.n_atoms} atoms "
        f"of {crystal.lattice}, at Qdamp {crystal.qdamp:.3f} 1/A, or has many "
        f"sizes, rather than being one of the candidates."
    ]


def qdamp_doubts(best: Candidate, target: Target) -> list[str]:
    """Say so where a fitted Qdamp ended at a bound of its range.

    Parameters
    ----------
    best : Candidate
        The first of the ranked ones.
    target : Target

    Returns
    -------
    list of str
        Empty where Qdamp is known, or was found inside the range.
    """
    ends = [limit for name, limit in best.at_bounds if name == "qdamp"]
    if target.qdamp is not None or not ends:
        return []
    low, high = target.qdamp_range
    size = "smaller" if ends[0] == low else "larger"
    return [
        f"Qdamp is not known, and its fit ends at {ends[0]:g} 1/A, a bound "
        f"of its range ({low:g} to {high:g}): the particle may be {size} than "
        f"the best structure says, or the instrument unusual; measure a "
        f"standard (--calibrant), or pass qdamp or qdamp_range."
    ]


def plainness_doubts(candidates: Sequence[Candidate]) -> list[str]:
    """Say so where a plainer structure was put before the lowest Rw.

    Parameters
    ----------
    candidates : sequence of Candidate
        As ranked, see `diffpy_cbldm.solving.plainest`.
    """
    first = candidates[0]
    refined = [c for c in candidates if c.rw is not None]
    least = min(refined, key=lambda c: c.rw or 0.0, default=first)
    if first.rw is None or least.rw is None or least.rw > first.rw - 1e-3:
        return []
    if any("orbits" in c.edits for c in refined):
        # Charged for, see `frameworks.charged_rws`.
        relaxed = "orbits" in least.edits
        return [
            f"{'A framework' if relaxed else 'An edited structure'} with more "
            f"that was adjusted to the data fits "
            f"better ({least.structure_type} with {len(least)} atoms, Rw "
            f"{least.rw:.3f}; the first one {first.rw:.3f}), but not by more "
            f"than its variables, orbits and edited sites are worth."
        ]
    return [
        f"Longer, twinned or edited particles fit better (at best "
        f"{least.structure_type} with {len(least)} atoms, Rw "
        f"{least.rw:.3f}; the first one {first.rw:.3f}), as they imitate "
        f"particles of many sizes and shapes; the plainest that the data do "
        f"not surely tell from them comes first."
    ]


def origin_doubts(
    candidates: Sequence[Candidate], generators: Sequence[str]
) -> list[str]:
    """Say so where the best of the ranked ones is not the model's.

    Parameters
    ----------
    candidates : sequence of Candidate
        Ranked, the refined ones first.
    generators : sequence of str
        The generators that were asked.
    """
    best = candidates[0]
    if "cbldm" not in generators or "cbldm" in best.proposed_by:
        return []
    of_model = (c.rw for c in candidates if "cbldm" in c.proposed_by)
    least = min((rw for rw in of_model if rw is not None), default=None)
    if least is None:
        reached = "proposed nothing that was refined"
    elif best.rw is not None and least < best.rw:
        return []  # a plainer one was put first: `plainness_doubts`
    else:
        reached = f"reaches Rw {least:.3f} at best"
    return [
        f"The best structure came from {best.generator}; the model itself "
        f"(cbldm) {reached}."
    ]


def explained_reach(best: Candidate, largest: int) -> float:
    """The longest distance that the answer may explain, angstrom.

    Parameters
    ----------
    best : Candidate
    largest : int
        Atoms of the largest particles that were proposed.
    """
    # A rod of 256 atoms reaches far; that counts only where it fits.
    reach = compact_diameter(best, largest)
    if best.rw is not None and best.rw <= DOUBTFUL_RW:
        reach = max(reach, diameter(best.positions))
    return reach


def unedited(candidates: Sequence[Candidate]) -> Candidate:
    """The best without edits: what was counted on powders had none.

    Edits lower Rw whatever the data lack; the first where all were edited.
    """
    plain = [c for c in candidates if c.rw is not None and not c.edits]
    return min(plain, key=lambda c: c.rw or 0.0, default=candidates[0])


def compact_diameter(candidate: Candidate, atoms: int) -> float:
    """What a close-packed sphere of so many atoms measures, angstrom."""
    share_of_space = 0.74
    bond = nearest_neighbour_distance(candidate.positions)
    return bond * (atoms / share_of_space) ** (1 / 3)


def once(*texts: str) -> tuple[str, ...]:
    """Each text once: a doubt may have been said already."""
    return tuple(dict.fromkeys(filter(None, texts)))
