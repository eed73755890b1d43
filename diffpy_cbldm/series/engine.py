"""Runs the frames of a series on the workers of Dask, losing none.

A bounded number of tasks is on its way.  A result goes to the store as it
comes; whatever is killed, what the store has is never done again, and what it
lacks is.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from diffpy_cbldm.errors import CbldmError
from diffpy_cbldm.memory import rare_collection, settle_objects
from diffpy_cbldm.pdfdata import read_pdf
from diffpy_cbldm.series import clients
from diffpy_cbldm.series.asked import for_keys, read_crystals
from diffpy_cbldm.series.flights import Flights, gathered, why
from diffpy_cbldm.series.frames import (
    TRIES,
    Feed,
    Heard,
    Told,
    content_of,
    patience_with,
    thin_curve,
)
from diffpy_cbldm.series.jobs import Answer, Job, Known, work
from diffpy_cbldm.series.plan import Plan
from diffpy_cbldm.series.records import (
    DONE,
    FAILED,
    Record,
    key_of,
    key_of_bytes,
)
from diffpy_cbldm.series.store import BUSY, MINE, Ended, Store

if TYPE_CHECKING:
    from distributed import Client

POLL, RENEW = 2.0, 120.0
"""Seconds until what may have changed is looked at: workers and frames of
other runs; claims."""


class Engine:
    """One run of a series.

    Parameters
    ----------
    connect : callable
        Gives a client; see `diffpy_cbldm.series.clients.connected`.
    store : Store
    feed : Feed
    asked : mapping
        Keywords of `diffpy_cbldm.solve`.
    reading : mapping
        Keywords of `diffpy_cbldm.read_pdf`.
    full_every : int
        See `Plan`.
    again : bool
        Whether frames that failed before are tried again.
    heard : callable
        See `Heard`.
    """

    work: Callable[[Job], Answer] = staticmethod(work)
    """What workers do; what measures the engine alone gives them less."""

    def __init__(
        self,
        connect: Callable[[], Client],
        store: Store,
        feed: Feed,
        asked: Mapping[str, Any],
        *,
        reading: Mapping[str, Any] | None = None,
        full_every: int = 1,
        again: bool = False,
        heard: Heard | None = None,
    ) -> None:
        self.connect, self.store, self.feed = connect, store, feed
        self.asked, self.reading = read_crystals(asked), dict(reading or {})
        self.told_asked = for_keys(self.asked)
        self.again, self.heard = again, heard or (lambda told: None)
        self.plan = Plan(full_every)
        self.told: list[Told] = []
        self.known: dict[int, Known | None] = {}
        self.flying = Flights()
        self.outgoing: list[int] = []
        self.busy: list[int] = []
        self.client: Any = None
        self.tries = self.deaths = 0
        self.polled = self.renewed = time.monotonic()

    def run(self) -> list[Told]:
        """Work until all frames are done and no more come.

        Raises
        ------
        CbldmError
            The store cannot be written, or the scheduler was lost and did
            not come back.  What is done is kept.
        """
        # A scheduler in this process makes objects without end: looking for
        # garbage among all the others took half of its time.
        settle_objects()
        try:
            with rare_collection():
                while self._goes_on():
                    self._take_frames()
                    self._fill()
                    self._collect()
                    self._look_around()
        except CbldmError as error:
            done = sum(t.record is not None for t in self.told)
            raise CbldmError(
                f"{error}  {done} of {len(self.told)} frames have ended and "
                f"are kept in the store: run the same command again."
            ) from None
        finally:
            self._give_up()
        return self.told

    def _goes_on(self) -> bool:
        waiting = self.outgoing or self.busy or self.plan.pending
        return bool(waiting or len(self.flying)) or self.feed.open

    def _take_frames(self) -> None:
        """New frames, which begin a part of the plan of their own."""
        new = self.feed.take()
        if new:
            self.told += map(Told, new)
            self.plan.extend(len(new))

    def _link(self) -> None:
        """Connect, and learn how much room there is and how deaths count."""
        self.client = self.connect()
        self.deaths_told = clients.deaths_told(self.client)
        self.flying.measure(self.client)

    def _fill(self) -> None:
        """Send off frames until as many are on their way as there is room."""
        # What the store has makes way for others.
        while numbers := self._next():
            self._begin(numbers)
        if self.client is None and (self.outgoing or self.feed.open):
            self._link()
            self._leave(self.outgoing[self.flying.room :])
        self._send()

    def _leave(self, numbers: Sequence[int]) -> None:
        """Give back frames, the last first, that there is no room for."""
        keys = [job.key for n in numbers if (job := self.told[n].job)]
        if keys:
            self.store.release(keys)
        for number in reversed(numbers):
            self.outgoing.remove(number)
            self.told[number].job = None
            self.plan.put_back(number)

    def _next(self) -> list[int]:
        """As many frames as there is room for."""
        free = self.flying.room - len(self.flying) - len(self.outgoing)
        numbers: list[int] = []
        while len(numbers) < free:
            number = self.plan.next()
            if number is None:
                break
            numbers.append(number)
        return numbers

    def _begin(self, numbers: Sequence[int]) -> None:
        """Read frames, claim them, and send them off; or say how they ended.

        The store is opened once for all: that takes longer than the rest.
        """
        bad: dict[int, Record] = {}
        asked = []
        for number in numbers:
            told = self.told[number]
            if told.job is None:
                told.job, failed = self._read(told)
                if failed is not None:
                    bad[number] = failed
            about = bad.get(number) or told.job
            assert about is not None
            asked.append((about.key, about.source))
        answers = self.store.claim_all(asked, again=self.again)
        mine = [n for n, (a, _) in zip(numbers, answers) if a == MINE]
        self.store.finish_all([Ended(bad[n]) for n in mine if n in bad])
        for number, (answer, record) in zip(numbers, answers, strict=True):
            if record := record or bad.get(number):
                self._end(number, record)
            elif answer == BUSY:
                self.busy.append(number)
            else:
                self.outgoing.append(number)

    def _read(self, told: Told) -> tuple[Job | None, Record | None]:
        """What is sent to a worker, or why a file cannot be."""
        frame, pdf = told.frame, told.frame.pdf
        about = {
            "solve": self.told_asked,
            "full_every": self.plan.full_every,
        }
        try:
            if pdf is None:
                pdf = read_pdf(frame.source, **self.reading)
        except CbldmError as error:
            key = key_of_bytes(
                content_of(frame.source), about | {"reading": self.reading}
            )
            return None, Record(
                key, frame.source, FAILED, frame.value, reason=str(error)
            )
        told.curve = thin_curve(pdf)
        return Job(key_of(pdf, about), frame.source, pdf, self.asked), None

    def _send(self) -> None:
        """Send frames to the workers, with what their neighbours told.

        All at once: each message costs more than a small task.
        """
        if not self.outgoing:
            return
        numbers, self.outgoing = self.outgoing, []
        jobs = {}
        for number in numbers:
            job = self.told[number].job
            assert job is not None
            beside = self.plan.beside[number]
            known = tuple(k for k in map(self._known, beside) if k is not None)
            self.tries += 1
            ready = dataclasses.replace(job, neighbours=known)
            jobs[number] = f"{job.key}-{self.tries}", ready
        self.flying.send(self.client, self.work, jobs)

    def _known(self, number: int) -> Known | None:
        """What a frame tells its neighbours; one of an earlier run is read."""
        if number not in self.known:
            record = self.told[number].record
            assert record is not None
            self.known[number] = (
                Known.of(self.store.solution(record.key))
                if record.state == DONE
                else None
            )
        return self.known[number]

    def _collect(self) -> None:
        """Take what has come back; wait for a moment where nothing has."""
        came = self.flying.come()
        # All deaths before any is judged: a frame that waited beside the one
        # that ends its workers died as often.
        for number in (n for n, f in came.items() if f.status == "error"):
            self.told[number].deaths += self.deaths_told
            self.deaths += self.deaths_told
            self.tries += self.deaths_told - 1
        answers = gathered(self.client, came) if came else {}
        ended = {
            number: frame
            for number, future in came.items()
            if (frame := self._taken(number, future, answers.get(number)))
        }
        self.store.finish_all(list(ended.values()))
        for number, frame in ended.items():
            self._end(number, frame.record)

    def _taken(
        self, number: int, future: Any, answer: Answer | None
    ) -> Ended | None:
        """What came of one frame; None where it is tried again."""
        told = self.told[number]
        if answer is not None:
            if not answer.fault:
                self.known[number] = answer.known
                best = answer.known.starts[0] if answer.known else None
                return Ended(
                    self._named(told, answer.record), answer.result, best
                )
            told.faults += 1
            reason = answer.record.reason
            over = told.faults >= TRIES
        elif future.status == "error":
            reason = why(future.exception(), told.deaths)
            others = self.deaths - told.deaths, self.tries - told.deaths
            over = told.deaths >= patience_with(*others, len(self.told))
        else:  # cancelled, or lost with a scheduler or the answer's worker
            over = False
        if not over:
            self.plan.put_back(number)
            return None
        assert told.job is not None
        record = Record(told.job.key, told.frame.source, FAILED, reason=reason)
        return Ended(self._named(told, record))

    def _named(self, told: Told, record: Record) -> Record:
        """A record with the name and the place of a frame.

        The store may know the same data under others.
        """
        return dataclasses.replace(
            record, source=told.frame.source, value=told.frame.value
        )

    def _end(self, number: int, record: Record) -> None:
        """Tell how a frame ended, also the neighbours that wait."""
        told = self.told[number]
        told.record, told.job = self._named(told, record), None
        told.frame = dataclasses.replace(told.frame, pdf=None)
        for over in self.plan.end(number):
            self.known.pop(over, None)
        self.heard(told)

    def _look_around(self) -> None:
        """See to lost schedulers, frames of other runs, and claims."""
        linked = self.client is not None
        if linked and self.client.status not in ("running", "newly-created"):
            self._reconnect()
        now = time.monotonic()
        if now - self.polled > POLL:
            self.polled = now
            if linked:
                with contextlib.suppress(OSError):  # seen the next time
                    self.flying.measure(self.client)
            waiting, self.busy = self.busy, []
            self._begin(waiting)
        if now - self.renewed > RENEW:
            self.renewed = now
            self.store.renew(self._claimed())

    def _claimed(self) -> list[str]:
        """Keys of the frames that were begun and have not ended."""
        jobs = [t.job for t in self.told if t.record is None]
        return [job.key for job in jobs if job is not None]

    def _reconnect(self) -> None:
        """Send everything off again once a scheduler answers."""
        for number in [*self.flying.drop(), *self.outgoing]:
            self.plan.put_back(number)
        self.outgoing.clear()
        self._close()
        end = time.monotonic() + clients.PATIENCE
        while True:
            try:
                self._link()
                return
            except (CbldmError, OSError) as error:
                if time.monotonic() > end:
                    raise CbldmError(
                        f"the scheduler was lost and did not come back within "
                        f"{clients.PATIENCE:g} s ({error})."
                    ) from None
                time.sleep(POLL)

    def _close(self) -> None:
        """Close a client that has lost its scheduler."""
        with contextlib.suppress(Exception):  # whatever a dead link raises
            self.client.close(timeout=1)

    def _give_up(self) -> None:
        """Take back what is on its way, for other runs to do."""
        claimed = self._claimed()
        self.flying.cancel()
        if claimed:
            with contextlib.suppress(CbldmError):  # such as on a full disk
                self.store.release(claimed)
