"""Workers: processes of this machine, or any cluster of Dask by its address.

Each worker is a process with one thread; the memory that it may take is told
to Dask, which ends a worker that takes more.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from diffpy_cbldm.errors import CbldmError

if TYPE_CHECKING:
    from distributed import Client

MEMORY = 1500
"""Megabytes that a worker may take, where nobody says."""

PATIENCE = 300.0
"""Seconds for which a scheduler that was lost is waited for."""

KEEP_UP = 1.0
"""Seconds from one look at the workers of this machine to the next."""

PRELOADED = ["diffpy_cbldm.series.preloaded"]
"""What local workers have imported when they start."""

CONNECT = 20.0
"""Seconds that the first answer of a scheduler may take."""

_START = "distributed.worker.multiprocessing-method"

_ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"
)


def check_installed() -> None:
    """Raise `CbldmError` where Dask is missing."""
    if importlib.util.find_spec("distributed") is None:
        raise CbldmError(
            "a series on several workers needs the package distributed: pip "
            "install 'diffpy_cbldm[series]'."
        )


@contextlib.contextmanager
def connected(
    where: Any = None, memory: int = MEMORY
) -> Iterator[Callable[[], Client]]:
    """Workers for the time of a series.

    Parameters
    ----------
    where : int, str, path, Client or None
        So many local processes; the address of a scheduler; the file that it
        writes; a client, which is left open; None for as many processes as
        there are cores.
    memory : int
        Megabytes that each local process may take.

    Yields
    ------
    callable
        Gives a client that is connected, again after its scheduler was lost.

    Raises
    ------
    CbldmError
        Dask is not installed, or no scheduler answers.
    """
    check_installed()
    if where is None or isinstance(where, int):
        workers = where or len(os.sched_getaffinity(0))
        with contextlib.ExitStack() as stack:
            # Processes start when they are first needed: for a series that
            # is all in the store, never.
            started = functools.cache(
                lambda: stack.enter_context(_local(workers, memory))
            )
            yield started
    elif isinstance(where, str | os.PathLike):
        with contextlib.ExitStack() as stack:
            yield lambda: stack.enter_context(_client(os.fspath(where)))
    else:
        yield lambda: where


@contextlib.contextmanager
def _local(workers: int, memory: int) -> Iterator[Client]:
    """Processes of this machine, gone with this one."""
    import dask
    from distributed import Client, LocalCluster

    # A frame that ends its worker is told at once, as the engine counts; one
    # that waits does so at the scheduler, where it is not to blame.
    how = {
        "distributed.scheduler.allowed-failures": 0,
        "distributed.scheduler.worker-saturation": 1.0,
        "distributed.nanny.pre-spawn-environ": {
            **dask.config.get("distributed.nanny.pre-spawn-environ", {}),
            **_ONE_THREAD,
        },
    }
    if "forkserver" in multiprocessing.get_all_start_methods():
        # Workers are forked off a process that has imported what they need:
        # one that died is back at once, and they share that memory.
        how[_START] = "forkserver"
    with contextlib.ExitStack() as stack:
        try:
            # What is half started, or half closed, nobody could close.
            with uninterrupted():
                stack.enter_context(dask.config.set(how))
                _preload()
                cluster = stack.enter_context(
                    LocalCluster(
                        n_workers=workers,
                        threads_per_worker=1,
                        memory_limit=f"{memory}MB",
                        dashboard_address="127.0.0.1:0",
                        silence_logs=50,
                    )
                )
                client = stack.enter_context(Client(cluster))
                stack.enter_context(_kept_up(cluster, workers))
            yield client
        finally:
            with uninterrupted():
                stack.close()


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Answer Ctrl-C at the end of what is done here, not within."""
    # Of other threads, none is interrupted.
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    pressed: list[int] = []
    before = signal.signal(signal.SIGINT, lambda *_: pressed.append(1))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before or signal.SIG_DFL)
        # Also in place of an error: what was asked to end may have failed.
        if pressed:
            signal.raise_signal(signal.SIGINT)


@contextlib.contextmanager
def _kept_up(cluster: Any, workers: int) -> Iterator[None]:
    """Start workers again whose nannies have given them up.

    A nanny does so where a worker dies while it starts; the cluster would
    go on with fewer of them, or none.
    """
    from tornado.ioloop import PeriodicCallback

    def look() -> None:
        for name, nanny in list(cluster.workers.items()):
            if nanny.status.name in ("closed", "failed"):
                del cluster.workers[name]
        cluster.scale(workers)

    regular = PeriodicCallback(look, 1e3 * KEEP_UP)
    cluster.loop.add_callback(regular.start)
    try:
        yield
    finally:
        cluster.loop.add_callback(regular.stop)


def _preload() -> None:
    """Let the process that workers are forked off import `PRELOADED`."""
    from multiprocessing import forkserver, resource_tracker

    from distributed.utils import get_mp_context

    # Dask sets a list of its own when it first asks for processes.
    context = get_mp_context()
    if context.get_start_method() != "forkserver":
        return
    context.set_forkserver_preload(PRELOADED)
    # Ctrl-C goes to all processes of a terminal.  This one answers it, and
    # ends the others; they inherit that it is blocked.  Not by the start of
    # the tracker, which lifts the block of whoever starts it.
    resource_tracker.ensure_running()
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _client(where: str) -> Client:
    """A client of a scheduler that runs elsewhere.

    Raises
    ------
    CbldmError
        None answers.
    """
    from distributed import Client

    # For a file Dask waits for ever.
    end = time.monotonic() + CONNECT
    while "://" not in where and not os.path.exists(where):
        if time.monotonic() > end:
            raise CbldmError(
                f"the scheduler's file {where} does not exist; expected what "
                f"dask scheduler --scheduler-file wrote: check "
                f"--scheduler-file."
            )
        time.sleep(0.1)
    try:
        if "://" in where:
            return Client(where, timeout=CONNECT, set_as_default=False)
        return Client(
            scheduler_file=where, timeout=CONNECT, set_as_default=False
        )
    except (OSError, ValueError) as error:
        raise CbldmError(
            f"no scheduler answers at {where} ({type(error).__name__}); "
            f"expected one, as dask scheduler starts it: check --scheduler "
            f"or --scheduler-file."
        ) from None


def deaths_told(client: Client) -> int:
    """How many workers a task has ended when Dask gives it up."""
    return 1 + client.run_on_scheduler(_allowed_failures)


def _allowed_failures(dask_scheduler: Any) -> int:
    return dask_scheduler.allowed_failures
