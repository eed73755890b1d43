"""How many threads the work takes, and work done side by side."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """One cluster is too small to share between cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


Item = TypeVar("Item")

Answer = TypeVar("Answer")


def side_by_side(
    function: Callable[[Item], Answer], items: Sequence[Item]
) -> list[Answer]:
    """What a function gives for each item, several at a time.

    As many at once as PyTorch may use threads, each with one thread, so that
    the results do not depend on how many there are.
    """
    threads = torch.get_num_threads()
    # Threads suffice: nearly all of the time is spent in PyTorch and NumPy,
    # which let the others run.
    workers = ThreadPoolExecutor(
        threads, initializer=torch.set_num_threads, initargs=(1,)
    )
    try:
        return list(workers.map(function, items))
    finally:
        # After an error, what has not begun would only delay it.
        workers.shutdown(cancel_futures=True)
        # The initializer may have changed the number for this thread, too.
        torch.set_num_threads(threads)
