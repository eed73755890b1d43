"""Series whose workers and schedulers are killed, and whose disk is full.

    python -m tests.benchmarks.series_faults --workers 100 --schedulers 10
    mount -t tmpfs -o size=4m tmpfs /mnt/small
    python -m tests.benchmarks.series_faults --disk /mnt/small

The work of a frame is a short sleep, so that what is measured is the engine.
One frame ends its worker each time.  After all of it every other frame is done
once, the poisonous one is recorded as failed, and the store is sound.  Each
round begins with an empty store and is one command, run again where it ended.
Without a small file system (``--disk``) a limit of the size of files stands
for a full disk.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import psutil

import diffpy_cbldm as cb
from diffpy_cbldm.series import clients
from diffpy_cbldm.series.engine import Engine
from diffpy_cbldm.series.frames import Frame
from diffpy_cbldm.series.jobs import Answer, Job
from diffpy_cbldm.series.many import Listed
from diffpy_cbldm.series.records import Record
from diffpy_cbldm.series.store import Store

POISON = "poison"

SLEEP = 0.05
"""Seconds that the work of a frame takes."""

BASE, LIMIT = 100_000, 320
"""Bytes that there is room for where the disk is full: in all, and a frame.
That is half of what a store takes."""

ROOT = Path(__file__).resolve().parents[2]


def sleeping(job: Job) -> Answer:
    """Work that takes a moment; the poison ends its worker."""
    if job.source == POISON:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(SLEEP)
    return Answer(Record(job.key, job.source, n_atoms=len(job.pdf.r)), "{}")


def frames(count: int) -> list[Frame]:
    """Frames that differ, with the poison among them."""
    r = np.linspace(1, 30, 200)
    made = [
        Frame(f"{k}.gr", None, cb.PDFData(r, np.sin(r + k), composition="Pt"))
        for k in range(count)
    ]
    poison = cb.PDFData(r, np.cos(r), composition="Pt")
    made.insert(count // 3, Frame(POISON, None, poison))
    return made


def solve(count: int, store: str, where: str) -> None:
    """One run of the series: the command that is run again."""
    workers = int(where) if where.isdigit() else where
    with clients.connected(workers) as connect:
        engine = Engine(connect, Store(store), Listed(frames(count)), {})
        engine.work = sleeping
        engine.run()


def main(words: Sequence[str] | None = None) -> int:
    """Kill and fill; the exit code is 1 where something was lost."""
    parser = argparse.ArgumentParser(
        "python -m tests.benchmarks.series_faults", description=main.__doc__
    )
    parser.add_argument("--workers", type=int, default=100)
    parser.add_argument("--schedulers", type=int, default=10)
    parser.add_argument("--all", type=int, default=10)
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--disk", type=Path, metavar="FOLDER")
    parser.add_argument("--run", nargs=2, metavar=("STORE", "WHERE"))
    parser.add_argument("--limit", type=int, default=0)
    chosen = parser.parse_args(words)
    if chosen.limit:
        resource.setrlimit(resource.RLIMIT_FSIZE, (chosen.limit,) * 2)
    if chosen.run:
        solve(chosen.count, *chosen.run)
        return 0
    choose = random.Random(chosen.seed)
    rounds: dict[str, Callable[[str], None]] = {
        f"{chosen.workers} killed workers": lambda store: kill_workers(
            store, chosen, choose
        ),
        f"{chosen.schedulers} killed schedulers": lambda store: (
            kill_schedulers(store, chosen, choose)
        ),
        f"everything killed {chosen.all} times": lambda store: kill_all(
            store, chosen, choose
        ),
        "a full disk": lambda store: fill_disk(store, chosen),
    }
    if chosen.disk:
        rounds = {"a full file system": lambda store: fill(store, chosen)}
    lost = 0
    for name, work in rounds.items():
        with tempfile.TemporaryDirectory(dir=chosen.disk) as folder:
            began = time.perf_counter()
            work(f"{folder}/series.db")
            spent = time.perf_counter() - began
            fault = wrong(f"{folder}/series.db", chosen.count)
        lost += bool(fault)
        print(f"{name}: {fault or 'nothing lost'} ({spent:.0f} s)", flush=True)
    return 1 if lost else 0


def wrong(path: str, count: int) -> str:
    """What a store lacks, in words; empty where it is as it should be."""
    with contextlib.closing(sqlite3.connect(path)) as file:
        if file.execute("PRAGMA integrity_check").fetchone() != ("ok",):
            return "the store is damaged"
    states = Counter((r.source, r.state) for r in Store(path).records())
    expected = {(f"{k}.gr", "done") for k in range(count)}
    expected.add((POISON, "failed"))
    twice = [name for name, times in states.items() if times > 1]
    off = sorted(expected.symmetric_difference(states))
    if twice or off:
        return f"{len(twice)} twice, {len(off)} missing or wrong: {off[:5]}"
    return ""


def started(
    count: int, store: str, where: str, limit: int = 0
) -> subprocess.Popen[bytes]:
    """A run in a process of its own, whose files grow to a limit, bytes."""
    words = [sys.executable, "-m", "tests.benchmarks.series_faults"]
    words += ["--count", str(count), "--run", store, where]
    words += ["--limit", str(limit)]
    return subprocess.Popen(
        words, cwd=ROOT, stderr=subprocess.DEVNULL, start_new_session=True
    )


def kill_workers(
    store: str, chosen: argparse.Namespace, choose: random.Random
) -> None:
    """Kill workers one after another while they work, then let it end."""
    with clients.connected(2) as connect:
        client = connect()
        killed = 0

        def kill(_: object) -> None:
            nonlocal killed
            if killed < chosen.workers and choose.random() < 0.8:
                # Those that are dead are waited for where they are asked.
                nannies = client.cluster.workers.values()
                numbers = [nanny.pid for nanny in nannies if nanny.pid]
                if not numbers:
                    return
                with contextlib.suppress(ProcessLookupError):
                    os.kill(choose.choice(numbers), signal.SIGKILL)
                    killed += 1

        engine = Engine(
            lambda: client,
            Store(store),
            Listed(frames(chosen.count)),
            {},
            heard=kill,
        )
        engine.work = sleeping
        engine.run()
    print(f"  {killed} workers were killed", flush=True)


@contextlib.contextmanager
def cluster(folder: str, port: int) -> Iterator[Callable[[], None]]:
    """A scheduler and two workers; gives what kills and starts them again."""
    words = [sys.executable, "-m", "distributed.cli.dask_scheduler"]
    parts = [
        [*words, "--port", str(port), "--no-dashboard", "--host", "127.0.0.1"],
        *[
            [
                *(sys.executable, "-m", "distributed.cli.dask_worker"),
                *(f"tcp://127.0.0.1:{port}", "--nthreads", "1"),
                *("--no-dashboard", "--local-directory", f"{folder}/{k}"),
                *("--death-timeout", "60"),
            ]
            for k in range(2)
        ],
    ]
    running: list[subprocess.Popen[bytes]] = []

    def start() -> None:
        for words in parts:
            running.append(
                subprocess.Popen(
                    words,
                    cwd=ROOT,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    start_new_session=True,
                )
            )

    def stop() -> None:
        while running:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(running[-1].pid, signal.SIGKILL)
            running.pop().wait()

    start()
    try:
        yield lambda: (stop(), start())[1]
    finally:
        stop()


def kill_schedulers(
    store: str, chosen: argparse.Namespace, choose: random.Random
) -> None:
    """Kill a scheduler while a run goes on, and start another one."""
    port = 30000 + choose.randrange(20000)
    folder = os.path.dirname(store)
    end = threading.Event()
    with cluster(folder, port) as again:

        def kill() -> None:
            for _ in range(chosen.schedulers):
                before = _done(store)
                while _done(store) < before + 3 and not end.wait(0.2):
                    pass
                if end.is_set():
                    return
                again()

        killer = threading.Thread(target=kill)
        killer.start()
        solve(chosen.count, store, f"tcp://127.0.0.1:{port}")
        end.set()
        killer.join()


def kill_all(
    store: str, chosen: argparse.Namespace, choose: random.Random
) -> None:
    """Kill a run with its scheduler and workers, and run it again."""
    for _ in range(chosen.all):
        run = started(chosen.count, store, "2")
        before = _done(store)
        end = time.monotonic() + 120
        while _done(store) < before + 3 and run.poll() is None:
            if time.monotonic() > end:
                break
            time.sleep(0.1)
        time.sleep(choose.random())
        tree = psutil.Process(run.pid).children(recursive=True)
        for process in [psutil.Process(run.pid), *tree]:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        run.wait()
    if started(chosen.count, store, "2").wait():
        raise RuntimeError("the last run did not end well")


def fill_disk(store: str, chosen: argparse.Namespace) -> None:
    """Let no file grow beyond what half of the frames take, then any."""
    if not started(
        chosen.count, store, "2", BASE + LIMIT * chosen.count
    ).wait():
        raise RuntimeError("the disk was never full")
    print(f"  full after {_done(store)} frames", flush=True)
    if started(chosen.count, store, "2").wait():
        raise RuntimeError("the second run did not end well")


def fill(store: str, chosen: argparse.Namespace) -> None:
    """Leave as much room as half of the frames take, then all of it."""
    ballast = Path(store).with_name("ballast")
    room = BASE + LIMIT * chosen.count
    ballast.write_bytes(bytes(shutil.disk_usage(chosen.disk).free - room))
    if not started(chosen.count, store, "2").wait():
        raise RuntimeError("the file system was never full")
    free = shutil.disk_usage(chosen.disk).free
    print(f"  full after {_done(store)} frames, {free} bytes left", flush=True)
    ballast.unlink()
    if started(chosen.count, store, "2").wait():
        raise RuntimeError("the second run did not end well")


def _done(store: str) -> int:
    """Frames that a store has, without waiting for its lock."""
    if not os.path.exists(store):
        return 0
    with contextlib.closing(sqlite3.connect(store)) as file:
        try:
            query = "SELECT COUNT(*) FROM text_key_values WHERE value='done'"
            return file.execute(query).fetchone()[0]
        except sqlite3.OperationalError:
            return 0


if __name__ == "__main__":
    sys.exit(main())
