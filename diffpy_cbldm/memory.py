"""Memory that the work has freed, given back to the system, and garbage."""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import functools
import gc
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

RARER = 10
"""A job makes so many times as many objects before garbage is looked for."""

_LOCK = threading.Lock()

_BEFORE: list[tuple[int, int, int]] = []
"""The thresholds before each of the jobs that run now."""

Cached = TypeVar("Cached")

_QUICKLY_MADE: dict[str, list[Any]] = {}
"""Functions whose caches are cleared by `forget`, by what they keep."""

SITES = "sites"
"""Kept are the sites of crystals: some MB each, made again in 0.03 s."""

PROPOSALS = "proposals"
"""Kept is what one generator asks for and no other step of a job: networks,
frameworks, pairs of sites; 0.1 GB, made again in 0.1 to 0.3 s."""

COUNTS = "counts"
"""Kept are counts of pairs, which serve sites that differ in the last digits:
without them what is found next does not depend on what was found before."""


def quickly_made(kept: str) -> Callable[[Cached], Cached]:
    """Mark a function with a cache whose entries are quickly made again.

    Parameters
    ----------
    kept : str
        What it keeps, such as `SITES`.

    Returns
    -------
    callable
        For functions with a method ``cache_clear``, as those of functools;
        see `forget`.
    """

    def marked(function: Cached) -> Cached:
        _QUICKLY_MADE.setdefault(kept, []).append(function)
        return function

    return marked


def forget(kept: str | None = None) -> None:
    """Free what is quickly made again, and give it back to the system.

    A step that needs memory of its own does without what those before it
    left behind, and so do the next jobs of a process: 0.1 GB and more.
    `COUNTS` are small, and forgotten after each piece of work: the memory
    stays with the process, as the next piece needs as much, and to get it
    anew from the system takes 0.01 s each time.

    Parameters
    ----------
    kept : str, optional
        Only what keeps this, such as `SITES`; default all.
    """
    for name in [kept] if kept else list(_QUICKLY_MADE):
        for function in _QUICKLY_MADE.get(name, ()):
            function.cache_clear()
    if kept != COUNTS:
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


def settle_objects() -> None:
    """Count all present objects as old ones, which are rarely looked through.

    Those of imported libraries stay: the next search for garbage among the
    young ones would pass over all of them, which takes 0.3 s.
    """
    # Who has frozen objects wants them to stay so.
    if gc.get_freeze_count() == 0:
        gc.freeze()
        gc.unfreeze()


def end_at_once() -> None:
    """Let the process end without a last look for garbage.

    For commands alone: the system takes all memory back, and to look through
    what numba and SciPy hold takes 0.4 s.
    """
    atexit.register(gc.freeze)


@contextlib.contextmanager
def rare_collection() -> Iterator[None]:
    """Look for garbage `RARER` times less often while a job runs.

    A job makes few cycles, next to the objects that numba and SrFit hold
    for good.  May be entered by several threads at once; the last one to
    leave restores what was there.
    """
    with _LOCK:
        if not _BEFORE:
            before = gc.get_threshold()
            gc.set_threshold(RARER * before[0], *before[1:])
            _BEFORE.append(before)
        else:
            _BEFORE.append(_BEFORE[0])
    try:
        yield
    finally:
        with _LOCK:
            before = _BEFORE.pop()
            if not _BEFORE:
                gc.set_threshold(*before)


@functools.cache
def _trim() -> Callable[[int], int] | None:
    """``malloc_trim`` of glibc; None where there is no such function."""
    if sys.platform != "linux":
        return None
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:  # not in musl
        trim.argtypes = [ctypes.c_size_t]
    return trim
