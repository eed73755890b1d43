"""How many threads the work takes, and work done side by side."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar


class _Visitors:
    """Who computes with one thread now, and the number before all of them.

    PyTorch keeps a number for each thread and one for those that are new: a
    thread that begins while another one computes would take its 1 for the
    number to go back to.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.inside = 0
        self.number = 1
        self.here = threading.local()
        self.busy = 0
        self.blas: Any = None

    def enter(self) -> None:
        self.here.depth = getattr(self.here, "depth", 0) + 1
        if self.here.depth == 1:
            self._limit_blas()
        torch = _torch()
        # Where PyTorch is imported inside, what enters next is the first
        # that can limit it.
        if torch is None or getattr(self.here, "number", None) is not None:
            return
        with self.lock:
            mine = torch.get_num_threads()
            if self.inside == 0:
                self.number = mine
            # A number other than 1 is this thread's own.
            self.here.number = mine if mine > 1 else self.number
            self.inside += 1
            torch.set_num_threads(1)

    def allowed(self) -> int:
        """The threads that the caller may use, `one_thread` or not.

        Those of a computation that is itself one of several side by side
        are spoken for.
        """
        if getattr(self.here, "beside", False):
            return 1
        if getattr(self.here, "asked", None) is not None:
            return self.here.asked
        number = getattr(self.here, "number", None)
        torch = _torch()
        if number is None and torch is not None:
            number = torch.get_num_threads()
        return number or _processors()

    def _limit_blas(self) -> None:
        """One thread for the products of NumPy and SciPy, for the process.

        On matrices as small as ours two of them wait for one another: a
        least-squares step took 45 ms in place of 0.6 ms on busy cores.
        """
        from threadpoolctl import threadpool_limits

        with self.lock:
            if self.busy == 0:
                _control_blas()
                self.blas = threadpool_limits(1, user_api="blas")
            self.busy += 1

    def _free_blas(self) -> None:
        with self.lock:
            self.busy -= 1
            if self.busy == 0:
                _control_blas()
                self.blas.restore_original_limits()
                _control_blas()

    def leave(self) -> None:
        self.here.depth -= 1
        if self.here.depth == 0:
            self._free_blas()
        if self.here.depth or getattr(self.here, "number", None) is None:
            return
        with self.lock:
            self.inside -= 1
            _torch().set_num_threads(self.here.number)
            self.here.number = None


def _control_blas() -> None:
    """Let any thread say how many threads OpenBLAS takes.

    Newer versions of threadpoolctl heed the first thread that said so alone,
    as long as it lives, also after `restore_original_limits`.  Our limit is
    that of the process, and the last one that leaves lifts it.
    """
    import threadpoolctl

    openblas = getattr(threadpoolctl, "OpenBLASController", None)
    clear = getattr(openblas, "clear_controlling_thread", None)
    if clear is not None:
        clear(force=True)


def _processors() -> int:
    """Those that this process may use, fewer where ``OMP_NUM_THREADS`` is."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS and Windows
        processors = len(os.sched_getaffinity(0))
    else:
        processors = os.cpu_count() or 1
    # PyTorch heeds it too: the number is the same with it and without.
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return min(processors, int(asked) if asked.isdigit() else processors) or 1


def _torch() -> Any:
    """PyTorch, where something has imported it; importing it takes long."""
    torch = sys.modules.get("torch")
    # Another thread may be at it.
    return torch if hasattr(torch, "set_num_threads") else None


_VISITORS = _Visitors()


def allowed() -> int:
    """The cores that a computation of this thread may use."""
    return _VISITORS.allowed()


@contextlib.contextmanager
def cores(number: int | None) -> Iterator[None]:
    """Use so many cores at most; None for as many as before.

    That is as many as the process may use, or as ``OMP_NUM_THREADS`` and
    PyTorch are told, where nobody said.  Those of a computation that is
    itself one of several side by side are spoken for, whatever the number.
    """
    before = getattr(_VISITORS.here, "asked", None)
    _VISITORS.here.asked = number or before
    try:
        yield
    finally:
        _VISITORS.here.asked = before


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """One cluster is too small to share between cores.

    May be entered again inside, and by several threads at once; afterwards
    each has the number of threads that it had before.
    """
    _VISITORS.enter()
    try:
        yield
    finally:
        _VISITORS.leave()


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """One thread, and nothing side by side: others have the other cores.

    Where several processes or threads do the same, more of them would only
    wait for one another, and each takes memory of its own.
    """
    before = getattr(_VISITORS.here, "beside", False)
    _VISITORS.here.beside = True
    try:
        with one_thread():
            yield
    finally:
        _VISITORS.here.beside = before


Item = TypeVar("Item")

Answer = TypeVar("Answer")


def side_by_side(
    function: Callable[[Item], Answer], items: Sequence[Item]
) -> list[Answer]:
    """What a function gives for each item, several at a time.

    As many at once as `allowed` says, each with one thread, so that the
    results do not depend on how many there are.  Where the system starts no
    more of them, this thread does the rest.
    """
    threads = min(allowed(), len(items))
    if threads < 2:
        with one_thread():
            return [function(item) for item in items]

    def called(item: Item) -> Answer:
        with alone():
            return function(item)

    # Threads suffice: nearly all of the time is spent in compiled loops
    # and in NumPy, which let the others run.
    workers = ThreadPoolExecutor(threads)
    with one_thread():
        try:
            begun = _begun(workers, called, items)
            return [
                called(item) if answer is None else answer.result()
                for item, answer in zip(items, begun, strict=True)
            ]
        finally:
            # After an error, what has not begun would only delay it.
            workers.shutdown(cancel_futures=True)


def _begun(
    workers: ThreadPoolExecutor,
    function: Callable[[Item], Answer],
    items: Sequence[Item],
) -> list[Future[Answer] | None]:
    """The answers that threads will give; None where none can be started."""
    begun: list[Future[Answer]] = []
    try:
        for item in items:
            begun.append(workers.submit(function, item))
        return [*begun]
    except RuntimeError:  # the system starts no more threads
        # What waits in the queue holds the item that was refused as well:
        # it would be worked on twice.
        workers.shutdown(cancel_futures=True)
    kept = [None if one.cancelled() else one for one in begun]
    return [*kept, *[None] * (len(items) - len(begun))]
