"""PDFs that come again, and what was proposed for them.

To refine or polish them otherwise, or to have them written again, nothing
need be proposed anew.
"""

from __future__ import annotations

import dataclasses
import hashlib
import threading
from collections.abc import Callable, Hashable
from typing import Any

from diffpy_cbldm.fitting.target import Target

KEPT = 2
"""So many of the last PDFs are known with all proposals."""

MOST = 500_000
"""Atoms of all proposals for a PDF (12 MB) above which they are not kept."""


@dataclasses.dataclass(frozen=True)
class Question:
    """A target by what it holds, so that it is known when it comes again."""

    digest: bytes
    target: Target = dataclasses.field(compare=False)

    @classmethod
    def of(cls, target: Target) -> Question:
        """The question that a target asks."""
        state = hashlib.sha256()
        # Of the data also what lies beyond: between uneven or shifted points
        # all of them tell the curve.
        data = target.pdf.r, target.pdf.g
        fitted = target.r, target.g, target.weights
        for column in (*data, *target.curve, *fitted):
            state.update(column.tobytes())
        plain = (
            *(target.element, target.rmin, target.rmax, target.bond),
            *(target.qmin, target.qmax, target.qdamp, target.qbroad),
            *(target.qdamp_range, target.stype),
        )
        state.update(repr(plain).encode())
        return cls(state.digest(), target)


class Answers:
    """The last `KEPT` answers, by what was asked."""

    def __init__(self) -> None:
        self._known: dict[Hashable, Any] = {}
        self._lock = threading.Lock()

    def __contains__(self, asked: Hashable) -> bool:
        return asked in self._known

    def of(
        self,
        asked: Hashable,
        make: Callable[[], Any],
        atoms: Callable[[Any], int],
    ) -> Any:
        """The answer to a question: the kept one, or one that is made.

        Parameters
        ----------
        asked : hashable
            All that the answer depends on.
        make : callable
            Makes the answer.
        atoms : callable
            How many atoms one holds; it is kept up to `MOST`.
        """
        found = self._known.get(asked)
        if found is None:
            found = make()
        with self._lock:
            self._known.pop(asked, None)
            if atoms(found) <= MOST:
                # Behind the others: it is the one asked last.
                self._known[asked] = found
            while len(self._known) > KEPT:
                del self._known[next(iter(self._known))]
        return found

    def cache_clear(self) -> None:
        """Forget all of them."""
        with self._lock:
            self._known.clear()


ANSWERS = Answers()
"""What all generators proposed for the last PDFs."""
