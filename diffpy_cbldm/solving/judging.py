"""What is said of an answer: second phase, verdict, range of N."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from diffpy_cbldm.solving.atom_range import AtomRange
from diffpy_cbldm.solving.doubt_table import Answer
from diffpy_cbldm.solving.open_sizes import Ranked
from diffpy_cbldm.solving.second_phase import Beside, beside_crystal
from diffpy_cbldm.solving.sizes import SizeAtQdamp
from diffpy_cbldm.solving.verdict import Verdict, judge
from diffpy_cbldm.solving.world_range import stated_range


def still_true(
    notes: Sequence[str],
    of_g: Sequence[str],
    of_structure: Sequence[str],
    verdict: Verdict,
) -> list[str]:
    """The notes without those that the verdict makes pointless.

    Parameters
    ----------
    notes : sequence of str
    of_g : sequence of str
        Those that hold for a G(r) alone, as of its Qmax.
    of_structure : sequence of str
        Those of structures and their edits.
    verdict : Verdict

    Returns
    -------
    list of str
    """
    left_out = {*of_structure} if verdict.state == "none" else set()
    if verdict.kind == "F(Q)":
        left_out |= {*of_g}
    return [note for note in notes if note not in left_out]


def judged(
    answer: Answer,
    ranked: Ranked,
    edited: AtomRange | None,
    sizes: Sequence[SizeAtQdamp],
) -> tuple[Beside | None, Verdict, AtomRange | None]:
    """What lies beside the particle, the verdict, and the range of N.

    Parameters
    ----------
    answer : Answer
    ranked : sequence of (Candidate, QuickFit)
        As they were fitted alone.
    edited : AtomRange or None
        Of the edits.
    sizes : sequence of SizeAtQdamp
    """
    target = answer.target
    beside = beside_crystal(ranked, target, answer.rw)
    verdict = judge(dataclasses.replace(answer, beside=beside))
    atoms = stated_range(
        answer.candidates,
        ranked,
        edited,
        sizes,
        answer.crystal,
        target,
        beside,
    )
    if atoms:
        doubted = verdict.state != "good"
        atoms = dataclasses.replace(atoms, doubted=doubted)
    return beside, verdict, atoms
