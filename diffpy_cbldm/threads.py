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


T = TypeVar("T")

R = TypeVar("R")


def side_by_side(function: Callable[[T], R], items: Sequence[T]) -> list[R]:
    """What a function gives for each item, several at a time.

    As many at once as PyTorch may use threads, each with one thread, so that
    the results do not depend on how many there are.
    """
    threads = torch.get_num_threads()
    workers = ThreadPoolExecutor(
        threads, initializer=torch.set_num_threads, initargs=(1,)
    )
    try:
        return list(workers.map(function, items))
    finally:
        workers.shutdown(cancel_futures=True)
        torch.set_num_threads(threads)
