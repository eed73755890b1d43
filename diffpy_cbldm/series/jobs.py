"""What a worker does with one frame: a search of its own, or beside others.

A frame whose neighbours are known is searched among their answers alone.
That takes a twentieth of the time; where the misfit jumps, all generators are
asked after all.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from diffpy_cbldm.cluster import Candidate
from diffpy_cbldm.errors import CbldmError
from diffpy_cbldm.memory import forget
from diffpy_cbldm.pdfdata import PDFData
from diffpy_cbldm.series.records import FAILED, Record, kept, misfit, record_of
from diffpy_cbldm.series.store import result_text
from diffpy_cbldm.settings import Solve
from diffpy_cbldm.solving.atom_range import AtomRange
from diffpy_cbldm.threads import alone

if TYPE_CHECKING:
    from diffpy_cbldm.solving.solution import Solution

JUMP, ROOM = 1.3, 0.003
"""The misfit jumps where Rw is above so many times that of the worse
neighbour, and by so much."""

HANDED_ON = 2
"""Answers of a frame that its neighbours start from."""

BESIDE = 1
"""Candidates that are refined of a frame that starts from its neighbours."""


@dataclasses.dataclass(frozen=True)
class Known:
    """What a frame that is done tells its neighbours.

    Attributes
    ----------
    starts : tuple of Candidate
        Its best structures.
    rw : float
        Of the best one.
    below, above : float
        The ends of its range of N over N, 1 where it has no range.
    """

    starts: tuple[Candidate, ...]
    rw: float
    below: float = 1.0
    above: float = 1.0

    @classmethod
    def of(cls, solution: Solution) -> Known:
        """What is handed on of a result, without what fits hold."""
        bare = [
            dataclasses.replace(c, results=None)
            for c in solution.candidates[:HANDED_ON]
        ]
        rw = misfit(solution.candidates[0])
        atoms = solution.atoms
        if atoms is None:
            return cls(tuple(bare), rw)
        below, above = atoms.low / atoms.atoms, atoms.high / atoms.atoms
        return cls(tuple(bare), rw, below, above)


@dataclasses.dataclass(frozen=True)
class Job:
    """One frame, as it goes to a worker.

    Attributes
    ----------
    key, source : str
    pdf : PDFData
    asked : mapping
        Keywords of `diffpy_cbldm.solve`.
    neighbours : tuple of Known
        Empty for a full search.
    """

    key: str
    source: str
    pdf: PDFData
    asked: Mapping[str, Any]
    neighbours: tuple[Known, ...] = ()


@dataclasses.dataclass(frozen=True)
class Answer:
    """What comes back from a worker.

    Attributes
    ----------
    record : Record
    result : str
        The result as JSON, empty for a frame that failed.
    known : Known or None
        None for a frame that failed.
    fault : bool
        Whether it failed by what no data should cause: it is tried again.
    """

    record: Record
    result: str = ""
    known: Known | None = None
    fault: bool = False


def work(job: Job) -> Answer:
    """Solve one frame; whatever it raises is told and not raised.

    An exception would have to be known to the one who asks.
    """
    # What the frame before left behind is of no use for this one.
    forget()
    try:
        with alone():
            solution, full = _solved(job)
    except CbldmError as error:
        return Answer(Record(job.key, job.source, FAILED, reason=str(error)))
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        record = Record(job.key, job.source, FAILED, reason=reason)
        return Answer(record, fault=True)
    return Answer(
        record_of(solution, job.key, job.source, full),
        result_text(kept(solution)),
        Known.of(solution),
    )


def _solved(job: Job) -> tuple[Solution, bool]:
    """The result of a frame, and whether all generators were asked."""
    # The engine, which asks for the work, does without all that it takes.
    from diffpy_cbldm.solving.solver import solve

    asked = dict(job.asked)
    starts = [s for known in job.neighbours for s in known.starts]
    if not starts:
        return solve(job.pdf, **asked), True
    solution = solve(job.pdf, starts=starts, **beside(asked))
    worse = max(known.rw for known in job.neighbours)
    if misfit(solution.candidates[0]) <= JUMP * worse + ROOM:
        return with_their_range(solution, job.neighbours), False
    asked["generators"] = (*_names(asked), "neighbours")
    return solve(job.pdf, starts=starts, **asked), True


def beside(asked: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a search among the answers of neighbours."""
    polish = asked.get("polish", True)
    # Other edits of the neighbours' structures are kept; atoms on the
    # surface are what changes from one frame to the next.
    sites = (
        polish is True
        or "yes" in (polish, "sites")
        or (not isinstance(polish, bool | str) and "sites" in polish)
    )
    return {
        **asked,
        "generators": ("neighbours",),
        "refine": min(asked.get("refine", BESIDE), BESIDE),
        "polish": ("sites",) if sites else polish,
    }


def _names(asked: Mapping[str, Any]) -> Sequence[str]:
    names = asked.get("generators", Solve.generators)
    return names.split(",") if isinstance(names, str) else tuple(names)


def with_their_range(
    solution: Solution, neighbours: Sequence[Known]
) -> Solution:
    """A result whose range of N is as wide as those of its neighbours.

    A search among few structures meets few that fit as well, so that its own
    range would look better than that of a full search.  That of the widest
    full search beside it holds at least as often as it says
    (``python -m tests.benchmarks.series``).
    """
    atoms = solution.atoms
    if atoms is None:
        return solution
    below = min(known.below for known in neighbours)
    above = max(known.above for known in neighbours)
    wide = AtomRange(
        atoms.atoms,
        min(atoms.low, math.floor(atoms.atoms * below)),
        max(atoms.high, math.ceil(atoms.atoms * above)),
        atoms.share,
        atoms.doubted,
    )
    return dataclasses.replace(solution, atoms=wide)
