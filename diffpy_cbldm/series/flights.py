"""Frames on their way to workers and back, many of them in one message.

A message to the scheduler costs as much as several tasks that do nothing.
Where frames are short, more of them are on their way, and more come back at
once.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from diffpy_cbldm.series.jobs import Answer, Job

if TYPE_CHECKING:
    from distributed import Client, Future

PER_THREAD, MOST = 2, 16
"""Tasks on their way for each thread of a worker: one runs, one waits; so many
at most, where they are short."""

AHEAD = 4.0
"""Seconds of work that are on their way, where frames are short."""

TICK, TURN, LOOK = 0.2, 1.0, 0.02
"""Seconds for which something is waited for; for which what came back waits
for more of it; from one look to the next."""

UNLINKED = 16
"""Frames that are claimed at once before it is known whether workers are
needed."""

GATHER = 60.0
"""Seconds that an answer may take from its worker to here."""


class Flights:
    """The tasks of a series that were sent off, by the numbers of frames."""

    def __init__(self) -> None:
        self.futures: dict[int, Future] = {}
        self.threads = 0
        self.pace = AHEAD
        self.since = time.monotonic()

    def __len__(self) -> int:
        return len(self.futures)

    @property
    def room(self) -> int:
        """How many tasks may be on their way."""
        if not self.threads:
            return UNLINKED
        each = min(max(AHEAD / self.pace, PER_THREAD), MOST)
        return int(each * self.threads)

    def measure(self, client: Client) -> None:
        """Learn how many threads the workers have by now."""
        self.threads = max(sum(client.nthreads().values()), 1)

    def send(
        self,
        client: Client,
        work: Callable[[Job], Answer],
        jobs: Mapping[int, tuple[str, Job]],
    ) -> None:
        """Send jobs off, with the keys that Dask knows them by."""
        keys, sent = zip(*jobs.values(), strict=True)
        made = client.map(work, sent, key=list(keys), pure=False)
        if not self.futures:
            self.since = time.monotonic()
        self.futures.update(zip(jobs, made, strict=True))

    def come(self) -> dict[int, Future]:
        """Take what has come back; wait for a moment where little has.

        A callback of each future would cost more than looking at all.
        """
        began = time.monotonic()
        while True:
            came = {n: f for n, f in self.futures.items() if _is_over(f)}
            left = len(self.futures) - len(came)
            # Before workers run out of work; the rest comes the next time.
            if came and left <= self.room / 2:
                break
            if time.monotonic() - began > (TURN if came else TICK):
                break
            time.sleep(LOOK)
        for number in came:
            del self.futures[number]
        if came:
            self._note(len(came))
        return came

    def _note(self, count: int) -> None:
        """Follow how long a thread takes for a frame."""
        now = time.monotonic()
        spent, self.since = now - self.since, now
        self.pace += (spent * self.threads / count - self.pace) / 2
        self.pace = max(self.pace, 1e-3)

    def drop(self) -> list[int]:
        """Forget all tasks, such as those of a scheduler that was lost."""
        numbers = list(self.futures)
        self.futures.clear()
        return numbers

    def cancel(self) -> None:
        """Let workers do without what has not come back."""
        for future in self.futures.values():
            with contextlib.suppress(Exception):  # the link may be gone
                future.cancel()


def _is_over(future: Future) -> bool:
    return future.status != "pending"


def gathered(client: Client, came: Mapping[int, Future]) -> dict[int, Answer]:
    """The answers of tasks, without those that were lost on the way."""
    done = {n: f for n, f in came.items() if f.status == "finished"}
    try:
        answers = client.gather(list(done.values()))
        return dict(zip(done, answers, strict=True))
    except Exception:  # whatever dead workers and schedulers leave
        found = {n: _result(future) for n, future in done.items()}
        return {n: a for n, a in found.items() if a is not None}


def _result(future: Future) -> Answer | None:
    """The answer of a task; None where its worker took it along."""
    try:
        return future.result(timeout=GATHER)
    except Exception:  # whatever dead workers and schedulers leave
        return None


def why(error: BaseException | None, deaths: int) -> str:
    """Why a frame was given up, for people."""
    if type(error).__name__ == "KilledWorker":
        return (
            f"its worker died {deaths} times while it worked on this frame, "
            f"such as by taking more memory than it may (--worker-memory)"
        )
    return f"{type(error).__name__}: {error}"
