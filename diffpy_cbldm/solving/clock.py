"""Times the steps of a job and tells the caller where they stand."""

from __future__ import annotations

import time
from collections.abc import Callable

Progress = Callable[[str, int, int], None]
"""Called with what is done next, steps done, steps in all."""


class Clock:
    """Times the steps and tells the caller where they stand."""

    def __init__(self, progress: Progress | None, steps: int) -> None:
        self.progress = progress or (lambda what, done, steps: None)
        self.steps, self.done = steps, 0
        self.times: dict[str, float] = {}
        self.what: str | None = None
        self.start = self.since = time.perf_counter()

    def begin(self, what: str) -> None:
        self._close()
        self.progress(what, self.done, self.steps)
        self.what, self.since = what, time.perf_counter()

    def end(self) -> dict[str, float]:
        self._close()
        self.progress("done", self.steps, self.steps)
        self.times["total"] = time.perf_counter() - self.start
        return self.times

    def _close(self) -> None:
        if self.what is not None:
            spent = time.perf_counter() - self.since
            self.times[self.what] = self.times.get(self.what, 0.0) + spent
            self.done += 1
