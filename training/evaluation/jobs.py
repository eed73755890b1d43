"""Solving many cases, on one processor or several, resumable."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from tqdm import tqdm

Job = TypeVar("Job")
Rows = list[dict[str, Any]]


def solved(
    jobs: Sequence[Job],
    solve: Callable[[Job], Rows],
    each: int,
    name: str,
    workers: int = 1,
    known: Sequence[dict[str, Any]] = (),
    keep: Callable[[Rows], None] = lambda rows: None,
) -> Rows:
    """The rows of all jobs, in their order.

    Parameters
    ----------
    jobs : sequence
    solve : callable
        The rows of one job; a function of a module.
    each : int
        Rows of a job.
    name : str
        Shown beside the progress.
    workers : int
        Processes.
    known : sequence of dict
        The rows of the first jobs, which are not solved again.
    keep : callable
        Called with all rows after each job.
    """
    rows = list(known)
    # Each case draws its own noise, so that the rest needs no repeating.
    left = jobs[len(rows) // each :]
    if workers < 2:
        for job in tqdm(left, desc=name):
            rows += solve(job)
            keep(rows)
        return rows
    # Set before the workers start: each gets one core.
    os.environ["OMP_NUM_THREADS"] = "1"
    context = multiprocessing.get_context("spawn")
    with context.Pool(workers) as pool:
        results = pool.imap(solve, left)
        for found in tqdm(results, desc=name, total=len(left)):
            rows += found
            keep(rows)
    return rows
