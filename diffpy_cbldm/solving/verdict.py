"""The answer in a few lines: what it is, how good, and what is in doubt.

One function makes the headline that `explain`, pages, tables and results
show; `Verdict` is what it says, for programs.
"""

from __future__ import annotations

import dataclasses

from diffpy_cbldm.cluster import Candidate
from diffpy_cbldm.crystals.bonds import diameter
from diffpy_cbldm.crystals.stacking import stacking_words
from diffpy_cbldm.protocols import Stored
from diffpy_cbldm.solving.abstaining import reason
from diffpy_cbldm.solving.atom_range import AtomRange
from diffpy_cbldm.solving.doubt_facts import CORNERS, DOUBTED
from diffpy_cbldm.solving.doubt_table import (
    Answer,
    Doubt,
    family,
    measured,
    types_alike,
)

WORDS = {0.05: "very well", 0.092: "well", 0.2: "fairly", 0.3: "poorly"}
"""How good a fit is called below these Rw; "well" ends where the doubts of a
large misfit begin (`FACTS`)."""

OF_DATA = ("neighbours", "before", "range")
"""Doubts that look at no structure: they stand beside a range that is too
short; any other reason says more of the data than they do."""


@dataclasses.dataclass(frozen=True)
class Verdict(Stored):
    """How far an answer can be trusted.

    Attributes
    ----------
    state : {"good", "doubted", "none"}
        "none": the data tell no structure, see `kind`.
    score : float
        The weights of the doubts that were raised; from 1 on an answer is
        doubted.
    doubts : tuple of Doubt
        All tests, raised or not.
    types : tuple of str
        The answer's type, and those that fit as well, by their packing: an
        octahedron (``oct``) is fcc.
    kind : str
        Why there is no structure, in a word; empty for others.
    reason, advice : str
        The same in a sentence, and what to do.
    at_least : int or None
        A lower limit of the number of atoms, where only that is known.
    """

    state: str
    score: float
    doubts: tuple[Doubt, ...]
    types: tuple[str, ...]
    kind: str = ""
    reason: str = ""
    advice: str = ""
    at_least: int | None = None

    @property
    def raised(self) -> tuple[Doubt, ...]:
        """The doubts that were raised, the weightiest first."""
        raised = [doubt for doubt in self.doubts if doubt.raised]
        return tuple(sorted(raised, key=lambda doubt: -doubt.weight))

    @property
    def texts(self) -> tuple[str, ...]:
        """The doubts that were raised, in sentences.

        Where the data tell no structure, what one leaves open is beside the
        point, and would contradict `reason` and `advice`.
        """
        return tuple(
            doubt.text
            for doubt in self.raised
            if self.state != "none"
            or (self.kind == "short range" and doubt.name in OF_DATA)
        )


def judge(answer: Answer) -> Verdict:
    """Say whether an answer is good, doubted, or none.

    Parameters
    ----------
    answer : Answer

    Returns
    -------
    Verdict
    """
    doubts = measured(answer)
    raised = {doubt.name: doubt for doubt in doubts if doubt.raised}
    score = sum(doubt.weight for doubt in raised.values())
    alike = [family(answer.best.structure_type)]
    if "types" in raised:
        alike += types_alike(answer)
    if answer.beside is not None:
        alike.append(family(answer.beside.structure_type))
    alike = list(dict.fromkeys(alike))
    found = reason(answer)
    if found:
        return Verdict(
            "none",
            score,
            doubts,
            tuple(alike),
            found.kind,
            found.text,
            found.advice,
            found.at_least,
        )
    # Only that much of a particle at the limit is known.
    least = len(answer.best) if "limit" in raised else answer.at_least
    state = "doubted" if score >= DOUBTED else "good"
    return Verdict(state, score, doubts, tuple(alike), at_least=least)


def headline(
    best: Candidate,
    verdict: Verdict | None,
    atoms: AtomRange | None,
    rmax: float,
    warnings: int = 0,
) -> str:
    """The answer in at most four lines of plain English.

    Parameters
    ----------
    best : Candidate
        The first of the ranked ones.
    verdict : Verdict or None
        None in results of older versions: the warnings are pointed at.
    atoms : AtomRange or None
    rmax : float, angstrom
        End of the fitted range.
    warnings : int
        How many there are; default 0.
    """
    if verdict is not None and verdict.state == "none":
        return "\n".join(
            [
                f"No structure: {verdict.reason}.",
                f"What to do: {verdict.advice}.",
                f"Listed below all the same: {_described(best)}.",
            ]
        )
    lines = [_what(best, verdict, atoms, rmax), _quality(best, rmax)]
    if verdict is not None:
        lines.append(_doubts(verdict))
    elif warnings:
        lines.append(f"Not judged by tests: read the warnings ({warnings}).")
    return "\n".join(lines)


def _what(
    best: Candidate,
    verdict: Verdict | None,
    atoms: AtomRange | None,
    rmax: float,
) -> str:
    """Type and size."""
    kinds = verdict.types if verdict else (best.structure_type,)
    kind = " or ".join(filter(None, kinds)) or "a cluster"
    if best.structure_type == "stacked":
        order = stacking_words(best.positions)
        kind += f" ({order})" if order else ""
    length = diameter(best.positions)
    across = f"{length:.0f} A across"
    if length > CORNERS * rmax:
        across += ", farther than the data reach"
    if verdict and verdict.at_least:
        size = f"at least {verdict.at_least:,} atoms"
    elif atoms is not None and atoms.evidence and atoms.evidence.second:
        size = f"{atoms} beside a second phase (best alone {len(best)})"
    elif atoms is not None:
        size = f"{atoms} (best {len(best)})"
    else:
        size = f"{len(best)} atoms, without a range"
    return f"Answer: {kind}, {size}, {across}."


def _quality(best: Candidate, rmax: float) -> str:
    """How well it fits."""
    if best.rw is None:
        return f"Not refined: Rw {best.rw_raw or 0:.3f} with the scale alone."
    words = (word for rw, word in WORDS.items() if best.rw < rw)
    word = next(words, "badly")
    edits = " after edits" if best.edits else ""
    return f"It fits {word}{edits}: Rw {best.rw:.3f} up to {rmax:g} A."


def _doubts(verdict: Verdict) -> str:
    """What speaks against it, in one line."""
    raised = verdict.raised
    if not raised:
        return "No test puts it in doubt."
    said = "; ".join(doubt.short for doubt in raised)
    word = "Doubted" if verdict.state == "doubted" else "To know"
    return f"{word}: {said}."


def _described(best: Candidate) -> str:
    rw = best.rw if best.rw is not None else best.rw_raw
    text = f"{best.structure_type} with {len(best)} atoms"
    return text if rw is None else f"{text}, Rw {rw:.3f}"
