"""Memory that the work has freed, given back to the system."""

from __future__ import annotations

import ctypes
import functools
import sys
from collections.abc import Callable
from typing import Any, TypeVar

Cached = TypeVar("Cached")

_QUICKLY_MADE: list[Any] = []
"""Functions whose caches are cleared by `forget`."""


def quickly_made(function: Cached) -> Cached:
    """Mark a function with a cache whose entries are quickly made again.

    Parameters
    ----------
    function : callable
        With a method ``cache_clear``, as those of functools; see `forget`.
    """
    _QUICKLY_MADE.append(function)
    return function


def forget() -> None:
    """Free what is quickly made again, and give it back to the system.

    A step that needs memory of its own does without what those before it
    left behind, and so do the next jobs of a process: 0.1 GB and more.
    """
    for function in _QUICKLY_MADE:
        function.cache_clear()
    give_back()


def give_back() -> None:
    """Return free memory to the system, where its library keeps it.

    That of Linux keeps what lies below anything still in use, for each
    thread apart: between the steps of a job that is up to 100 MB.  Takes
    some milliseconds; elsewhere nothing is done.
    """
    trim = _trim()
    if trim is not None:
        trim(0)


@functools.cache
def _trim() -> Callable[[int], int] | None:
    """``malloc_trim`` of glibc; None where there is no such function."""
    if sys.platform != "linux":
        return None
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:  # not in musl
        trim.argtypes = [ctypes.c_size_t]
    return trim
