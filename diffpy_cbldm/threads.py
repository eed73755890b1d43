"""How many threads the work takes, and work done side by side."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
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

    def enter(self) -> None:
        self.here.depth = getattr(self.here, "depth", 0) + 1
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
        """The threads that the caller may use."""
        if getattr(self.here, "depth", 0):
            return 1
        torch = _torch()
        return (
            os.cpu_count() or 1 if torch is None else torch.get_num_threads()
        )

    def leave(self) -> None:
        self.here.depth -= 1
        if self.here.depth or getattr(self.here, "number", None) is None:
            return
        with self.lock:
            self.inside -= 1
            _torch().set_num_threads(self.here.number)
            self.here.number = None


def _torch() -> Any:
    """PyTorch, where something has imported it; importing it takes long."""
    torch = sys.modules.get("torch")
    # Another thread may be at it.
    return torch if hasattr(torch, "set_num_threads") else None


_VISITORS = _Visitors()


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


Item = TypeVar("Item")

Answer = TypeVar("Answer")


def side_by_side(
    function: Callable[[Item], Answer], items: Sequence[Item]
) -> list[Answer]:
    """What a function gives for each item, several at a time.

    As many at once as PyTorch may use threads, each with one thread, so that
    the results do not depend on how many there are.
    """
    threads = _VISITORS.allowed()

    def alone(item: Item) -> Answer:
        with one_thread():
            return function(item)

    if threads == 1 or len(items) < 2:
        return [alone(item) for item in items]
    # Threads suffice: nearly all of the time is spent in PyTorch and NumPy,
    # which let the others run.
    workers = ThreadPoolExecutor(threads)
    try:
        return list(workers.map(alone, items))
    finally:
        # After an error, what has not begun would only delay it.
        workers.shutdown(cancel_futures=True)
        # Not every build of PyTorch keeps a number for each thread.
        if _torch() is not None:
            _torch().set_num_threads(threads)
