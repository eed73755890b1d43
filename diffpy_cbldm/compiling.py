"""The first start: kernels are compiled beside the job, not before it.

They are made in the order in which a job calls them, and kept on disk
(`kernel_cache`).  A kernel that is called before its turn is compiled by its
caller, and one that is being made is waited for.
"""

from __future__ import annotations

import atexit
import functools
import gc
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from multiprocessing import spawn

import diffpy_cbldm
from diffpy_cbldm import compiled
from diffpy_cbldm.kernel_cache import OneAtATime
from diffpy_cbldm.processes import beside, may_split
from diffpy_cbldm.threads import allowed

_PAUSE = 0.002
"""Seconds between two kernels: who waits for the compiler gets it."""

_RUN = """
import sys
sys.path[:] = [{folder!r}, *{path!r}]
import diffpy_cbldm
del sys.path[0]
from diffpy_cbldm import compiling
compiling.compile_for_parent({names!r})
"""
"""What an interpreter does that fills the cache.

The cache belongs to the package as this process found it; the folder of that
stands first for no other module.
"""

_STARTED: list[subprocess.Popen[bytes]] = []
"""Such interpreters: each ends with this process, however that ends."""


@functools.cache
def compile_ahead(names: tuple[str, ...]) -> None:
    """Begin to compile kernels that are not on disk, once a process.

    By a copy of this process where there can be one, else by an interpreter
    of its own: a thread would share Python's lock with the job.  There is
    but that where no folder can be written.  On one core nothing is won by
    compiling what a job may never call.

    Parameters
    ----------
    names : tuple of str
        As in `compiled.IN_A_JOB`.
    """
    if allowed() == 1:
        return
    wanted = compiled.typed(names)
    kept = all(isinstance(k._cache, OneAtATime) for k, _ in wanted.values())
    missing = [
        name
        for name, (kernel, types) in wanted.items()
        if not (kept and kernel._cache.has(types, kernel.targetctx))
    ]
    if not missing or (kept and _by_another_process(missing)):
        return
    threading.Thread(
        target=compile_now, args=(missing,), name="compile ahead"
    ).start()


def _by_another_process(names: list[str]) -> bool:
    """Whether a process could be made that fills the cache."""
    if may_split():
        return beside(fill_cache, names)
    return _by_an_interpreter(names)


def compile_now(names: Iterable[str]) -> None:
    """Compile or load kernels, as long as somebody may call them."""
    for kernel, types in compiled.typed(names).values():
        # The process ends once this thread does.
        if not threading.main_thread().is_alive():
            return
        kernel.compile(types)
        time.sleep(_PAUSE)


def fill_cache(names: list[str]) -> None:
    """Compile kernels, but those that other processes compile meanwhile."""
    # Garbage takes a sixth of the time, and the process ends soon.
    gc.disable()
    for kernel, types in compiled.typed(names).values():
        if not kernel._cache.elsewhere():
            kernel.compile(types)


def compile_for_parent(names: list[str]) -> None:
    """`fill_cache` as long as the process lives that writes to this one.

    Its end closes standard input, on any system.
    """

    def end_with_parent() -> None:
        sys.stdin.buffer.read()
        os._exit(0)

    threading.Thread(target=end_with_parent, daemon=True).start()
    fill_cache(names)
    # Not by `sys.exit`, which waits for who reads standard input.
    os._exit(0)


def _by_an_interpreter(names: list[str]) -> bool:
    """The same by an interpreter, which is made on any system."""
    # What holds Python inside says where an interpreter is; a frozen program
    # would start itself again.
    executable = spawn.get_executable()
    if getattr(sys, "frozen", False) or not executable:
        return False
    folder = os.path.dirname(diffpy_cbldm.__path__[0])
    words = _RUN.format(folder=folder, path=sys.path, names=names)
    try:
        made = subprocess.Popen(
            [executable, "-c", words],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            # Ctrl-C is for the job, which then ends both.
            start_new_session=True,
        )
    except OSError:
        return False
    _STARTED.append(made)
    # Python would warn of a process that is left behind.
    atexit.register(_end, made)
    return True


def _end(made: subprocess.Popen[bytes]) -> None:
    """End an interpreter, which what it has not made yet does not harm."""
    made.kill()
    made.communicate()
