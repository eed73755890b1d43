"""The table of doubts: named tests of an answer, each with its number.

A test measures one number of an answer and is raised where that exceeds its
threshold.  How much each one tells, how often it is raised by right answers
and by wrong ones, was counted on simulated measured PDFs
(`diffpy_cbldm.debye.world`); the weights of those raised add up to the score
of the answer.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from diffpy_cbldm.cluster import Candidate
from diffpy_cbldm.crystals.bonds import diameter, shortest_bond
from diffpy_cbldm.crystals.radii import neighbour_distance
from diffpy_cbldm.fitting.attenuated import AttenuatedCrystal
from diffpy_cbldm.fitting.refinement import HELD_OUT
from diffpy_cbldm.fitting.target import Target
from diffpy_cbldm.pdfdata import PDFData
from diffpy_cbldm.protocols import Stored
from diffpy_cbldm.settings import Refinement
from diffpy_cbldm.solving import doubts
from diffpy_cbldm.solving.doubt_facts import FACTS
from diffpy_cbldm.solving.second_phase import Beside

FROM, BEFORE = 1.0, 0.8
"""Nearer than that (A) a background is usual, and does no harm; no atom of a
metal is nearer than so many bond lengths."""


@dataclasses.dataclass(frozen=True)
class Doubt(Stored):
    """One named test of an answer.

    Attributes
    ----------
    name : str
        As in the table of the documentation.
    value, threshold : float
        What was measured; the test is raised where it exceeds the threshold.
    text : str
        What a raised one means; empty for others.
    short : str
        The same in a few words.
    weight : float
        What a raised one adds to the score of the answer.
    """

    name: str
    value: float
    threshold: float
    text: str
    short: str
    weight: float

    @property
    def raised(self) -> bool:
        """Whether it puts the answer in doubt."""
        return self.value > self.threshold


Sphere = Callable[[Target, float | None], AttenuatedCrystal]


@dataclasses.dataclass(frozen=True)
class Answer:
    """What the tests look at.

    Attributes
    ----------
    candidates : sequence of Candidate
        As ranked, the answer first.
    target : Target
    crystal : AttenuatedCrystal
        The baseline.
    largest : int
        Atoms of the largest particles that were proposed.
    given : PDFData, optional
        The data as they were given; default those of the target, whose
        header may have been corrected.
    sublattice : bool
        Whether the atoms are those of one element of a compound, with others
        between them.
    sphere : callable, optional
        Of a compound: how its crystal is fitted to a target as a sphere, of
        a diameter that is held or None.
    at_least : int, optional
        The least number of atoms, where the particle reaches beyond the data.
    beside : Beside, optional
        The particle that explains the data beside a second phase.
    """

    candidates: Sequence[Candidate]
    target: Target
    crystal: AttenuatedCrystal
    largest: int
    given: PDFData | None = None
    sublattice: bool = False
    sphere: Sphere | None = None
    at_least: int | None = None
    beside: Beside | None = None

    @property
    def best(self) -> Candidate:
        """The first of the candidates."""
        return self.candidates[0]

    @property
    def rw(self) -> float:
        """Its Rw, with the scale alone where it was not refined."""
        best = self.best
        return float((best.rw if best.rw is not None else best.rw_raw) or 0.0)

    @property
    def left(self) -> float:
        """Rw of what nothing explains, a second phase neither.

        Without edits: none were made where the thresholds were counted.
        """
        if self.beside is not None:
            return self.beside.rw
        if not self.best.edits:
            return self.rw
        return doubts.unedited(self.candidates).rw or self.rw

    @property
    def uiso(self) -> float:
        """The least Uiso (A^2) of the best structure without edits.

        Light atoms of a compound move more, and hide behind its heavy ones.
        """
        best = self.best
        if best.edits:
            best = doubts.unedited(self.candidates)
        return min(best.uiso.values(), default=0.0)

    @property
    def bond(self) -> float | None:
        """Of the first peak, angstrom; None where there is none."""
        return doubts.bond_of(self.target)

    @property
    def kinds(self) -> str:
        """What particles were proposed, in words."""
        return "one element" if self.sphere is None else "pieces of crystals"

    @property
    def nearest(self) -> float | None:
        """Nearer than this (A) there are no atoms: of a compound its own."""
        if self.sphere is None:
            return self.bond
        return shortest_bond(self.best.positions)


@dataclasses.dataclass(frozen=True)
class _Test:
    """How one doubt is measured and said.

    `say` is called for raised ones alone, with the value.
    """

    name: str
    short: str
    measure: Callable[[Answer], float]
    say: Callable[[Answer, float], str]


def measured(answer: Answer) -> tuple[Doubt, ...]:
    """All tests of an answer, raised or not, in the order of the table.

    Parameters
    ----------
    answer : Answer

    Returns
    -------
    tuple of Doubt
    """
    found = []
    for test in TESTS:
        fact = FACTS[test.name]
        value = float(test.measure(answer))
        text = test.say(answer, value) if value > fact.threshold else ""
        found.append(
            Doubt(
                test.name,
                value,
                fact.threshold,
                text,
                test.short,
                fact.weight,
            )
        )
    return tuple(found)


def neighbours_off(answer: Answer) -> float:
    """How far (relative) the first neighbours are from the element's.

    Those of a compound are its crystal's, and of a sublattice other atoms are
    nearer.
    """
    if answer.sphere is not None or answer.sublattice:
        return 0.0
    bond, expected = answer.bond, neighbour_distance(answer.target.element)
    if bond is None or expected is None:
        return 0.0
    return abs(bond / expected - 1)


def family(structure_type: str) -> str:
    """The crystal of a type: an octahedron is cut from fcc."""
    return "fcc" if structure_type == "oct" else structure_type


def rivals(answer: Answer) -> dict[str, float]:
    """The least Rw of each type that is not the answer's."""
    least: dict[str, float] = {}
    for c in answer.candidates:
        kind = family(c.structure_type)
        if c.rw is not None and kind != family(answer.best.structure_type):
            least[kind] = min(c.rw, least.get(kind, np.inf))
    return least


def _heldout(answer: Answer) -> float:
    best, split = answer.best, Refinement.heldout_split
    # A small particle has nothing there that could be predicted.
    if diameter(best.positions) < split + HELD_OUT:
        return 0.0
    return best.rw_heldout or 0.0


def _qdamp(answer: Answer) -> float:
    return float(bool(doubts.qdamp_doubts(answer.best, answer.target)))


def _beyond(answer: Answer) -> float:
    reach = doubts.explained_reach(answer.best, answer.largest)
    return doubts.signal_beyond(answer.target, reach)


def _before(answer: Answer) -> float:
    """What lies before the first peak, over the size of the data.

    There G(r) of a metal is a line through 0 and ripples; the fit may begin
    behind it.
    """
    r, g = answer.target.pdf.r, answer.target.pdf.g
    before = (r > FROM) & (r < BEFORE * (answer.nearest or 0.0))
    if before.sum() < 2:
        return 0.0
    line = r[before] * (g[before] @ r[before]) / (r[before] @ r[before])
    size = float(np.mean(answer.target.g**2))
    return float(np.sqrt(np.mean((g[before] - line) ** 2) / size))


def _misfit(answer: Answer) -> float:
    return answer.left if answer.best.uneven_misfit is not None else 0.0


def _second(answer: Answer) -> float:
    """By how much of its own a crystal of a second phase lowers Rw."""
    both = answer.beside
    return 0.0 if both is None else 1 - both.rw / both.rw_alone


def types_alike(answer: Answer) -> dict[str, float]:
    """The least Rw of each other type that fits about as well."""
    limit = answer.rw / FACTS["types"].threshold
    return {kind: rw for kind, rw in rivals(answer).items() if rw < limit}


def _types(answer: Answer) -> float:
    """Rw of the answer over that of the next type, at most 1 or so."""
    least = min(rivals(answer).values(), default=np.inf)
    return answer.rw / max(least, 1e-9)


def _edits(answer: Answer) -> float:
    before = answer.best.edited_from
    if before is None:
        return 0.0
    return float(family(before[0]) != family(answer.best.structure_type))


def _crystal(answer: Answer) -> float:
    return answer.rw / max(answer.crystal.rw, 1e-9)


def _limit(answer: Answer) -> float:
    return len(answer.best) / answer.largest


def _range(answer: Answer) -> float:
    if answer.bond is None:
        return 0.0
    return doubts.SIZE_RANGE * answer.bond / answer.target.rmax


def _said(texts: Callable[[Answer], list[str]]) -> Callable[..., str]:
    """A text that stands in `doubts` already."""
    return lambda answer, value: " ".join(texts(answer))


def _of_size(word: str) -> Callable[..., str]:
    """That text of `doubts.size_doubts` in which a word stands."""

    def say(answer: Answer, value: float) -> str:
        texts = doubts.size_doubts(
            answer.best, answer.target, answer.largest, answer.kinds
        )
        return next((text for text in texts if word in text), "")

    return say


TESTS = (
    _Test(
        "rw",
        "the misfit is larger than usual",
        lambda answer: answer.left,
        lambda answer, value: _of_size("The best Rw")(answer, value)
        or f"Rw {value:.3f} (without edits) is more than such data usually "
        f"leave (19 in 20 right answers: {FACTS['rw'].threshold:g}): type "
        f"and size are less sure.",
    ),
    _Test(
        "misfit",
        "the misfit is no noise",
        _misfit,
        _of_size("The misfit of"),
    ),
    _Test(
        "second",
        "a second phase lies beside it",
        _second,
        lambda answer, value: f"The data hold a second phase: "
        f"{answer.beside}.  The range of N and the types are those of the "
        f"particle beside it.",
    ),
    _Test(
        "held-out",
        "it predicts r left out worse than nothing",
        _heldout,
        lambda answer, value: f"Refined below {Refinement.heldout_split:g} A, "
        f"the best structure has Rw {value:.2f} beyond: it predicts the data "
        f"there worse than no particle at all would, and its size or shape is "
        f"wrong.",
    ),
    _Test(
        "neighbours",
        "its first neighbours are not those of the element",
        neighbours_off,
        _said(lambda answer: doubts.label_doubts(answer.target)),
    ),
    _Test(
        "before",
        "there is something before the first peak",
        _before,
        lambda answer, value: f"Before its first peak the data have "
        f"{value:.0%} of their size: atoms that it has not (an oxide, "
        f"ligands), or a background that was badly subtracted.",
    ),
    _Test(
        "beyond",
        "there is signal beyond it",
        _beyond,
        _of_size("signal beyond"),
    ),
    _Test(
        "limit", "it is as large as any proposed", _limit, _of_size("limit")
    ),
    _Test(
        "range",
        "the range of r is too short",
        _range,
        _said(lambda answer: doubts.range_doubts(answer.target)),
    ),
    _Test(
        "qdamp",
        "Qdamp ended at a bound",
        _qdamp,
        _said(lambda answer: doubts.qdamp_doubts(answer.best, answer.target)),
    ),
    _Test(
        "crystal",
        "a crystal without atoms fits better",
        _crystal,
        _said(
            lambda answer: doubts.crystal_doubts(answer.best, answer.crystal)
        ),
    ),
    _Test(
        "types",
        "other types fit as well",
        _types,
        lambda answer, value: "Other types fit about as well as "
        f"{answer.best.structure_type}, Rw {answer.rw:.3f}: "
        + ", ".join(f"{k} {rw:.3f}" for k, rw in types_alike(answer).items())
        + ".",
    ),
    _Test(
        "edits",
        "edits changed its type",
        _edits,
        lambda answer, value: f"Edits made {answer.best.structure_type} of "
        f"{(answer.best.edited_from or ('another type', 0))[0]}: the type "
        f"is told by them alone.",
    ),
    _Test(
        "uiso",
        "its atoms would move too far",
        lambda answer: answer.uiso,
        lambda answer, value: f"Uiso is {value:.3f} A^2"
        f"{' without edits' if answer.best.edits else ''}, more than atoms of "
        f"a crystal usually move: the structure is blurred to fit, which a "
        f"wrong type, a liquid or particles unlike one another ask for.",
    ),
)
"""All tests; `FACTS` has their thresholds and weights."""
