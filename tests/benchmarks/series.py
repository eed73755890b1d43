"""A series as at a beamline: speed, ranges, a change of type, scaling.

    python -m tests.benchmarks.series --count 300 --store series.db
    python -m tests.benchmarks.series --tasks 10000 --threads 64
    python -m tests.benchmarks.series --scaling 32
    python -m tests.benchmarks.series --loop 4 --commit 11088a3 --work builds

The frames are simulated: a particle that grows from 60 to 1,500 atoms and
changes its type on the way, with 1 % of noise.  Its sites come in the order of
a rough outline, so that it is a cluster of no library.  A run that was ended
goes on with the same command, as the store has what was done.  The second form
measures the scheduler's cost of a task that does nothing, the third two
workers against one, the last a loop of ``cbldm`` processes of another build
over some of the frames, two at a time.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import os
import resource
import subprocess
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import ase.cluster
import numpy as np

import diffpy_cbldm as cb
from diffpy_cbldm.pdfdata import write_gr
from diffpy_cbldm.series import clients
from diffpy_cbldm.series.engine import Engine
from diffpy_cbldm.series.frames import Frame
from diffpy_cbldm.series.jobs import Answer, Job
from diffpy_cbldm.series.many import Listed, solve_many
from diffpy_cbldm.series.records import Record
from diffpy_cbldm.series.store import Store
from diffpy_cbldm.solving.size_evidence import conformal
from tests.benchmarks import builds

FIRST, LAST = 60, 1500
"""Atoms of the first and the last frame."""

CHANGE = 0.4
"""Where in the series the type changes."""

NOISE = 0.01
"""Standard deviation over that of G(r), within the range of Q."""

BOND = 2.77

CORES = (2, 16, 64, 256)


@dataclasses.dataclass(frozen=True)
class Growth:
    """The sites of a particle in the order in which they are filled."""

    name: str
    sites: np.ndarray

    @classmethod
    def of(cls, name: str, seed: int) -> Growth:
        """A decahedron, or a truncated octahedron of fcc off its centre."""
        rng = np.random.default_rng([5, seed])
        if name == "dec":
            atoms = ase.cluster.Decahedron("Pt", 9, 6, 0)
            centre = np.zeros(3)
        else:
            atoms = ase.cluster.Octahedron("Pt", 20, 6)
            centre = rng.uniform(-0.35, 0.35, 3) * BOND
        x = atoms.positions - atoms.positions.mean(0) - centre
        far = np.linalg.norm(x, axis=1) * (1 + 0.03 * rng.random(len(x)))
        return cls(name, x[np.argsort(far)][: 2 * LAST])

    def __call__(self, atoms: int) -> cb.Cluster:
        return cb.Cluster("Pt", self.sites[:atoms])


@dataclasses.dataclass(frozen=True)
class Truth:
    """What a frame is made of."""

    kind: str
    atoms: int


def truths(count: int) -> list[Truth]:
    """The type and the number of atoms of each frame."""
    sizes = np.geomspace(FIRST, LAST, count).round().astype(int)
    change = math.ceil(CHANGE * count)
    return [
        Truth("dec" if k < change else "fcc", int(n))
        for k, n in enumerate(sizes)
    ]


def simulated(count: int, seed: int) -> list[cb.PDFData]:
    """The PDFs of a series."""
    growths = {name: Growth.of(name, seed) for name in ("dec", "fcc")}
    rng = np.random.default_rng(seed)
    made = []
    for k, truth in enumerate(truths(count)):
        cluster = growths[truth.kind](truth.atoms)
        (pdf,) = cb.simulate(
            [cluster], qmin=0.8, qmax=24.0, qdamp=0.03, biso=0.4, delta2=2.0,
            rmax=50.0,
        )  # fmt: skip
        knots = np.arange(0.0, pdf.r[-1] + 1, math.pi / pdf.qmax)
        waves = np.sinc((pdf.r[:, None] - knots) * pdf.qmax / math.pi)
        noise = waves @ rng.standard_normal(len(knots))
        made.append(
            cb.PDFData(
                pdf.r,
                pdf.g + NOISE * pdf.g.std() * noise,
                composition="Pt",
                qmin=0.8,
                qmax=24.0,
                qdamp=0.03,
                qbroad=0.0,
                stype="X",
                source=f"frame{k:04d}.gr",
            )
        )
    return made


def main(words: Sequence[str] | None = None) -> None:
    """Run what is asked for and print it."""
    parser = argparse.ArgumentParser("python -m tests.benchmarks.series")
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--full-every", type=int, default=20)
    parser.add_argument("--seed", type=int, default=24)
    parser.add_argument("--part", type=int, nargs=2, metavar=("FROM", "TO"))
    parser.add_argument("--store")
    parser.add_argument("--tasks", type=int)
    parser.add_argument("--threads", type=int, default=64)
    parser.add_argument("--scaling", type=int)
    parser.add_argument("--loop", type=int)
    parser.add_argument("--commit", default="HEAD")
    parser.add_argument("--work", type=Path, default=Path("builds"))
    parser.add_argument("--python", type=Path)
    chosen = parser.parse_args(words)
    if chosen.tasks:
        scheduler_cost(chosen.tasks, chosen.threads)
    elif chosen.scaling:
        scaling(chosen.scaling, chosen)
    elif chosen.loop:
        loop(chosen)
    else:
        growth(chosen)


def growth(chosen: argparse.Namespace) -> None:
    """Solve the growing particle and compare with the truth."""
    part = slice(*(chosen.part or (0, chosen.count)))
    pdfs = simulated(chosen.count, chosen.seed)[part]
    there = len(Store(chosen.store).records()) if chosen.store else 0
    began = time.perf_counter()
    peaks: list[tuple[float, float]] = []

    def progress(ended: int, frames: int) -> None:
        if ended % 10 == 0:
            spent = time.perf_counter() - began
            print(f"{ended} of {frames}, {spent:.0f} s", flush=True)

    with clients.connected(chosen.workers) as connect:
        client = connect()
        series = solve_many(
            pdfs,
            client=client,
            store=chosen.store,
            full_every=chosen.full_every,
            progress=progress,
        )
        peaks += client.run(_peak).values()
        busy = sum(client.run(time.process_time).values())
    spent = time.perf_counter() - began
    told(series.records, truths(chosen.count)[part])
    fresh = len(series.frames) - there
    if fresh < 1:
        return
    rate = 3600 * fresh / spent
    print(
        f"{fresh} frames in {spent:.0f} s on {chosen.workers} workers: "
        f"{rate:.0f} frames an hour, a full search every {chosen.full_every}"
    )
    print(f"processor time: {busy / max(fresh, 1):.2f} s a frame")
    most, own = np.max(peaks, axis=0)
    print(
        f"peak memory of a worker: {most:.0f} MB, {own:.0f} MB with what it "
        f"shares in shares"
    )
    costs(rate / chosen.workers)


def told(records: Sequence[Record], true: Sequence[Truth]) -> None:
    """Print how the answers compare with the truth."""
    rows = list(zip(true, records, strict=True))
    done = [(t, r) for t, r in rows if r.n_atoms is not None]
    ranged = [(t, r) for t, r in done if r.atoms_low is not None]
    held = [r.atoms_low <= t.atoms <= r.atoms_high for t, r in ranged]
    off = [abs(r.n_atoms / t.atoms - 1) for t, r in done]
    wide = [(r.atoms_high - r.atoms_low) / r.atoms_low for _, r in ranged]
    print(f"{len(done)} of {len(rows)} frames done")
    for name, some in (("all", rows), ("neighbours", None), ("full", None)):
        chosen = [
            h
            for h, (_, r) in zip(held, ranged)
            if some is not None or r.full == (name == "full")
        ]
        if chosen:
            print(
                f"range of N holds ({name}): {np.mean(chosen):.1%} of "
                f"{len(chosen)}"
            )
    beyond = [
        0.0 if h else abs(math.log(r.n_atoms / t.atoms))
        for h, (t, r) in zip(held, ranged)
        if not r.full
    ]
    print(
        f"ranges of neighbours hold in 90 % from exp(-x) to exp(x) of N on, "
        f"x = {conformal(beyond, 0.9):.3f}"
    )
    print(f"N off by {np.median(off):.1%} in the median, {np.mean(off):.1%}")
    print(f"ranges are {np.median(wide):.0%} of N wide in the median")
    bonds = [r.bond for _, r in done]
    print(f"bond {min(bonds):.3f} to {max(bonds):.3f} A (true {BOND})")
    print(f"Rw {np.median([r.rw for _, r in done]):.4f} in the median")
    print(f"full searches: {sum(r.full for _, r in done)}")
    change = sum(t.kind == "dec" for t, _ in rows)
    fivefold = [r.structure_type in ("dec", "ico") for _, r in rows]
    best = min(
        range(len(rows) + 1),
        key=lambda k: sum(not f for f in fivefold[:k]) + sum(fivefold[k:]),
    )
    wrong = sum(not f for f in fivefold[:best]) + sum(fivefold[best:])
    print(
        f"type changes at frame {change}, found at {best} ({wrong} frames "
        f"on the wrong side)"
    )


def costs(per_core: float) -> None:
    """What 10,000 PDFs cost at the rate that was measured."""
    print("10,000 PDFs: cores, hours")
    for cores in CORES:
        how = "measured rate" if cores == CORES[0] else "extrapolated"
        print(f"{cores:5d} {10_000 / per_core / cores:8.2f}  ({how})")


def _peak() -> tuple[float, float]:
    """The most memory that this process has taken, MB: in all, and with what
    it shares with others counted in shares.

    Shares are known for now alone; of what is shared since the beginning
    less and less is.
    """
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    now = {}
    for line in Path("/proc/self/smaps_rollup").read_text().splitlines()[1:]:
        name, size = line.split()[:2]
        now[name] = int(size) / 1024
    return most, most - now["Rss:"] + now["Pss:"]


def nothing(job: Job) -> Answer:
    """Work that takes no time."""
    return Answer(Record(job.key, job.source))


class Kept:
    """A store in memory: what a task costs without a database."""

    def claim_all(
        self, frames: Sequence[tuple[str, str]], again: bool = False
    ) -> list[tuple[str, Record | None]]:
        """Everything is there to be done."""
        return [("mine", None)] * len(frames)

    def finish_all(self, frames: object) -> None:
        """Nothing is kept."""

    def renew(self, keys: object) -> None:
        """There is nobody else."""

    release = renew


def scheduler_cost(tasks: int, threads: int) -> None:
    """What a task costs that does nothing, on threads of this process."""
    import dask
    from distributed import Client, LocalCluster

    # Of 64 workers in one process, what watches them takes a third of it.
    quiet = {
        "distributed.worker.profile.enabled": False,
        "distributed.admin.system-monitor.interval": "10s",
        "distributed.admin.tick.interval": "1s",
    }
    r = np.linspace(1, 30, 200)
    frames = [
        Frame(str(k), None, cb.PDFData(r, np.sin(r + k), composition="Pt"))
        for k in range(tasks)
    ]
    with (
        dask.config.set(quiet),
        LocalCluster(
            n_workers=threads,
            threads_per_worker=1,
            processes=False,
            # Each would take the memory of the whole process for its own and
            # pause beyond a 64th of the machine's.
            memory_limit=0,
            dashboard_address="127.0.0.1:0",
            silence_logs=50,
        ) as cluster,
        Client(cluster) as client,
    ):
        began, cpu = time.perf_counter(), time.process_time()
        client.gather(client.map(abs, range(tasks), pure=False))
        spent = time.perf_counter() - began
        cpu = time.process_time() - cpu
        print(
            f"{tasks} tasks on {threads} workers, Dask's map alone: "
            f"{1e3 * spent / tasks:.2f} ms a task "
            f"({1e3 * cpu / tasks:.2f} ms of processor time)",
            flush=True,
        )
        for name, store in (
            ("without a store", Kept()),
            ("with a SQLite file", None),
        ):
            with tempfile.TemporaryDirectory() as folder:
                engine = Engine(
                    lambda: client,
                    store or Store(f"{folder}/a.db"),
                    Listed(frames),
                    {},
                )
                engine.work = nothing
                began, cpu = time.perf_counter(), time.process_time()
                engine.run()
                spent = time.perf_counter() - began
                cpu = time.process_time() - cpu
            print(
                f"{tasks} tasks on {threads} workers {name}: "
                f"{1e3 * spent / tasks:.2f} ms a task "
                f"({1e3 * cpu / tasks:.2f} ms of processor time)",
                flush=True,
            )


def scaling(count: int, chosen: argparse.Namespace) -> None:
    """Two workers against one, on frames that are alike."""
    pdfs = simulated(chosen.count, chosen.seed)[:count]
    asked = {"generators": ("library", "screen"), "refine": 2}
    rates = []
    for workers in (1, 2):
        with clients.connected(workers) as connect:
            client = connect()
            # Tables are loaded and loops compiled before the clock starts.
            warm = [client.submit(_warm, k) for k in range(8 * workers)]
            client.gather(warm)
            began = time.perf_counter()
            solve_many(pdfs, client=client, polish=("sites",), **asked)
            rates.append(count / (time.perf_counter() - began))
        print(f"{workers} workers: {3600 * rates[-1]:.0f} frames an hour")
    print(f"two workers are {rates[1] / rates[0]:.2f} times one")


def _warm(number: int) -> None:
    (pdf,) = simulated(1, number)
    cb.solve(pdf, generators=("library", "screen"), refine=1)


def loop(chosen: argparse.Namespace) -> None:
    """Processes of ``cbldm`` over some of the frames, two at a time."""
    commit = chosen.commit
    build = builds.of_commit(commit, chosen.work, chosen.python)
    pdfs = simulated(chosen.count, chosen.seed)
    places = np.linspace(0, len(pdfs) - 1, chosen.loop).round().astype(int)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with tempfile.TemporaryDirectory() as folder:
        for k in places:
            write_gr(f"{folder}/{k}.gr", pdfs[k])
        began = time.perf_counter()
        with ThreadPoolExecutor(chosen.workers) as pool:
            list(pool.map(lambda k: _process(build, folder, k), places))
        spent = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    busy = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(
        f"a loop of cbldm ({build.name}) over {len(places)} frames: "
        f"{3600 * len(places) / spent:.0f} frames an hour, processor time "
        f"{busy / len(places):.1f} s a frame"
    )


def _process(build: builds.Build, folder: str, number: int) -> None:
    words = [build.python, "-I", "-m", "diffpy_cbldm", f"{number}.gr", "-q"]
    print(f"frame {number}", flush=True)
    subprocess.run(
        words,
        cwd=folder,
        check=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


if __name__ == "__main__":
    main()
