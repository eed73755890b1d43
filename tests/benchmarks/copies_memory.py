"""Memory of a job and of the copies that it makes of itself, from outside.

    python -m tests.benchmarks.copies_memory PDF [--composition Pt] [--cores 1]

A thread inside would keep the process from being copied.  Of a copy the
private pages count: the others are those of the first process.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

EVERY = 0.03
"""Seconds between two looks."""


def kib(pid: int | str, *fields: str) -> int:
    """The sum of fields of a process's pages, KiB; 0 where it has ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(x.split()[1]) for x in lines if x.startswith(fields))


def copies(pid: int) -> list[str]:
    """The processes that the main thread of a process has made."""
    try:
        return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []


def main() -> None:
    """Run a job and print the peaks."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pdf")
    parser.add_argument("--composition")
    parser.add_argument("--cores")
    given = parser.parse_args()
    words = [sys.executable, "-m", "diffpy_cbldm", given.pdf, "--quiet"]
    for name in ("composition", "cores"):
        if getattr(given, name):
            words += [f"--{name}", getattr(given, name)]
    job = subprocess.Popen(words)
    first = both = 0
    while job.poll() is None:
        own = kib(job.pid, "Rss:")
        others = sum(kib(pid, "Private_") for pid in copies(job.pid))
        first, both = max(first, own), max(both, own + others)
        time.sleep(EVERY)
    print(f"first process {first / 1024:.0f} MiB")
    print(f"with its copies {both / 1024:.0f} MiB")
    raise SystemExit(job.returncode)


if __name__ == "__main__":
    main()
