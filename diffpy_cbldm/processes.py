"""Work shared with a copy of the process, on a second core.

Python's lock lets threads gain nothing here: it is free most of the time, but
for microseconds only, too short for another thread to wake up and take it.
A copy of the process (``fork``) has a lock of its own, all libraries loaded
and all tables made, and takes memory for what it changes alone.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import logging
import logging.handlers
import multiprocessing
import pickle
import queue
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from typing import Any, TypeVar

from diffpy_cbldm.memory import COUNTS, forget
from diffpy_cbldm.threads import allowed, alone, side_by_side

Item = TypeVar("Item")

Answer = TypeVar("Answer")

END_WITH_PARENT = 1
"""PR_SET_PDEATHSIG of Linux: the signal that a process gets when the one
that made it ends."""


def shared(
    function: Callable[[Item], Answer],
    items: Sequence[Item],
    begin: Callable[[Item], None] = lambda item: None,
) -> list[Answer]:
    """What a function gives for each item, by two processes where possible.

    This process takes items from the first one on, a copy of it those from
    the last one on, until none is left.  What the copy could not do is done
    here, so that an error is the same as in one process.

    Parameters
    ----------
    function : callable
        What it gives can be pickled, and does not depend on the items
        before.
    items : sequence
        The first one is always taken by this process.
    begin : callable
        Called with each item in this process, before the work on it or, of
        those of the copy, before what came out is waited for.

    Returns
    -------
    list
        In the order of the items, the same as of one process.
    """
    copy = None
    forget(COUNTS)
    if len(items) > 1 and may_split():
        copy = _Copy.start(function, items)
    if copy is None:
        return in_turn(function, items, begin)
    answers: dict[int, Answer] = {}
    try:
        with alone():
            while copy.take(len(answers)):
                item = items[len(answers)]
                begin(item)
                answers[len(answers)] = _alike(function, item)
        for item in items[len(answers) :]:
            begin(item)
        answers |= copy.answers()
    finally:
        copy.end()
    return [
        answers[k] if k in answers else _alike(function, item)
        for k, item in enumerate(items)
    ]


def in_turn(
    function: Callable[[Item], Answer],
    items: Sequence[Item],
    begin: Callable[[Item], None] = lambda item: None,
) -> list[Answer]:
    """As `shared`, by this process alone."""
    forget(COUNTS)
    found = []
    for item in items:
        begin(item)
        found.append(_alike(function, item))
    return found


def at_once(
    function: Callable[[Item], Answer], items: Sequence[Item]
) -> list[Answer]:
    """What a function gives for each item, on all cores that may be used.

    By a copy of this process where it can have one, else by threads, which
    wait for one another most of the time.

    Parameters
    ----------
    function, items
        As for `shared`.
    """
    return (shared if may_split() else side_by_side)(function, items)


def _alike(function: Callable[[Item], Answer], item: Item) -> Answer:
    """What a function gives for an item, whatever was done before.

    What is remembered of another item may change the last digits.
    """
    try:
        return function(item)
    finally:
        forget(COUNTS)


def may_split() -> bool:
    """Whether a copy of this process can work beside it.

    Only on Linux: other systems have no such copies, or none that their
    libraries stand.  Not beside other threads: what one of them holds at
    that moment would stay locked in the copy.  And not where the second core
    is spoken for, as in the workers of a series.
    """
    return (
        sys.platform == "linux"
        and allowed() > 1
        and threading.active_count() == 1
        and threading.current_thread() is threading.main_thread()
        and not multiprocessing.current_process().daemon
        # Who ignores or collects ended processes also collects the copy.
        and signal.getsignal(signal.SIGCHLD) is signal.SIG_DFL
    )


def beside(function: Callable[[Item], None], item: Item) -> bool:
    """Let a copy of this process call a function, and do not wait for it.

    The copy ends with this process at the latest, whatever ends that; what
    the function raises is lost.

    Parameters
    ----------
    function : callable
        What it does is left on disk.
    item : object
        What it is called with.

    Returns
    -------
    bool
        False where the system refuses a copy.
    """
    return _forked(_call_quietly, function, item) is not None


def _call_quietly(
    function: Callable[[Item], None], item: Item, mask: set[signal.Signals]
) -> None:
    """What the copy does that `beside` makes."""
    _become_copy(mask)
    _gathered_records()
    with warnings.catch_warnings(), contextlib.suppress(Exception):
        warnings.simplefilter("ignore")
        function(item)


def _forked(target: Callable[..., None], *args: Any) -> Any:
    """A copy of this process that calls a function; None if refused.

    Its last argument is the mask of signals, which `_become_copy` takes.
    """
    fork = multiprocessing.get_context("fork")
    # None comes to the copy before it has dropped what answers them.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    process = fork.Process(target=target, args=(*args, mask), daemon=True)
    try:
        with warnings.catch_warnings():
            # Newer Pythons warn of the idle threads of BLAS as well,
            # which ends them before a fork.
            warnings.simplefilter("ignore", DeprecationWarning)
            process.start()
    except OSError:  # no memory, or no more processes
        return None
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    return process


def _become_copy(mask: set[signal.Signals]) -> None:
    """What a copy does first: it ends with its parent, and asks nobody."""
    ctypes.CDLL(None).prctl(END_WITH_PARENT, signal.SIGKILL)
    # What a caller does when it is told to end is done once.
    for number in signal.valid_signals():
        if callable(signal.getsignal(number)):
            signal.signal(number, signal.SIG_DFL)
    # Ctrl-C goes to both processes; the other one answers it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    # To look through the objects of before would copy their memory.
    gc.freeze()


class _Copy:
    """The copy of this process, as this process sees it."""

    def __init__(self, process: Any, left: Any, receiver: Connection) -> None:
        self.process, self.left, self.receiver = process, left, receiver

    @classmethod
    def start(
        cls, function: Callable[[Any], Any], items: Sequence[Any]
    ) -> _Copy | None:
        """Split off a copy; None where the system refuses."""
        fork = multiprocessing.get_context("fork")
        try:
            # The first item is taken already.
            left = fork.Semaphore(len(items) - 1)
            receiver, sender = fork.Pipe(duplex=False)
        except (ImportError, OSError):  # no semaphores, as in some containers
            return None
        process = _forked(_work, function, items, left, receiver, sender)
        sender.close()
        if process is None:
            receiver.close()
            return None
        return cls(process, left, receiver)

    def take(self, place: int) -> bool:
        """Whether an item is left for this process."""
        return place == 0 or self.left.acquire(block=False)

    def answers(self) -> dict[int, Any]:
        """What the copy found, by place; without what it could not do."""
        try:
            told = pickle.loads(self.receiver.recv_bytes())
        except (EOFError, OSError):  # it was ended, or could tell nothing
            return {}
        for _, (_, said, logged) in sorted(told.items()):
            for message, category in said:
                warnings.warn(message, category, stacklevel=3)
            for record in logged:
                # Levels and filters of the logger have let it through.
                logging.getLogger(record.name).callHandlers(record)
        return {place: answer for place, (answer, _, _) in told.items()}

    def end(self) -> None:
        """End the copy, which after an error may be at work still."""
        self.process.kill()
        self.process.join()
        self.process.close()
        self.receiver.close()


def _work(
    function: Callable[[Any], Any],
    items: Sequence[Any],
    left: Any,
    receiver: Connection,
    sender: Connection,
    mask: set[signal.Signals],
) -> None:
    """What the copy does: items from the last one on, and tell the answers."""
    _become_copy(mask)
    receiver.close()
    told: dict[int, tuple[Any, list[tuple[str, type]], list[Any]]] = {}
    logged = _gathered_records()
    with warnings.catch_warnings(record=True) as said, alone():
        for place in reversed(range(len(items))):
            if not left.acquire(block=False):
                break
            try:
                answer = _alike(function, items[place])
            except Exception:
                # The other process meets the same and tells the user.
                break
            heard = [(str(w.message), w.category) for w in said or ()]
            told[place] = answer, heard, [*logged]
            logged.clear()
            if said:
                said.clear()
    # Not while there is work: it would wait until the other one listens.
    # And not by `send`, for which PyTorch puts tensors into files that end
    # with this process.  What cannot be pickled is made there again.
    with contextlib.suppress(Exception):
        sender.send_bytes(pickle.dumps(told))


class _Gathering(logging.handlers.QueueHandler):
    """Keeps records as they can be pickled, in a list."""

    def __init__(self, records: list[logging.LogRecord]) -> None:
        super().__init__(queue.SimpleQueue())  # which nobody waits for
        self.records = records

    def enqueue(self, record: logging.LogRecord) -> None:
        """Keep one."""
        self.records.append(record)


def _gathered_records() -> list[logging.LogRecord]:
    """Where the log records of this process go from now on.

    Handlers that write would write here as well as in the process that has
    the answers, and those that keep records in memory would end with this
    one.
    """
    records: list[logging.LogRecord] = []
    for logger in logging.Logger.manager.loggerDict.values():
        if isinstance(logger, logging.Logger):  # not a name in between
            logger.handlers, logger.propagate = [], True
    logging.getLogger().handlers = [_Gathering(records)]
    return records
