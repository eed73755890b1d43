"""One piece of work, timed, in any build: run by `whole_job`.

    python one_timing.py job PDF COMPOSITION
    python one_timing.py residual|alone|polished FILE.npz

It runs in a process of its own, uses the public API alone where there is one,
and prints what it measured as JSON in its last line.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

RUNS = 200
"""Of a short piece of work, whose shortest time counts."""

BATCHES = 12
"""Of a batch of clusters."""


def job(pdf: str, composition: str) -> dict[str, float]:
    """The default job, and the same PDF again in the same process."""
    import diffpy_cbldm as cb

    data = cb.read_pdf(pdf, composition=composition)
    wall, cpu = time.perf_counter(), _cpu()
    solution = cb.solve(data)
    wall, cpu = time.perf_counter() - wall, _cpu() - cpu
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    again = time.perf_counter()
    cb.solve(data)
    again = time.perf_counter() - again
    return {
        "wall_s": wall,
        "cpu_s": cpu,
        # macOS counts bytes, Linux KiB.
        "peak_mib": used / (2**20 if sys.platform == "darwin" else 2**10),
        "again_s": again,
        "rw": min(c.rw for c in solution.candidates if c.rw is not None),
    }


def residual(file: str) -> dict[str, float]:
    """One SrFit residual of 146 atoms, all variables moving."""
    import diffpy_cbldm as cb

    _one_thread()
    cluster = cb.Cluster("Pt", np.load(file)["x146"][0])
    (pdf,) = cb.simulate([cluster], delta2=2.0)
    recipe = cb.make_recipe(cluster, pdf, backend="torch")
    values = np.array(recipe.values)
    trials = iter(range(2 * RUNS))

    def call() -> None:
        k = next(trials)
        recipe.residual(values * (1 + 1e-4 * np.cos(k + values)))

    return {"residual_ms": _shortest(call)}


def alone(file: str) -> dict[str, float]:
    """One cluster at fresh positions in float32 at 1e-4, one thread."""
    import torch

    from diffpy_cbldm.debye import debye_pdf

    _one_thread()
    settings = {"u_iso": 0.005, "qmin": 0.7, "qmax": 25.0, "precision": 1e-4}
    found = {}
    for name, x in np.load(file).items():
        y = torch.tensor(x).float()
        rows = iter(range(2 * RUNS))

        def call(y: Any = y, rows: Any = rows) -> None:
            debye_pdf(y[[next(rows) % len(y)]], **settings)

        found[f"{name}_ms"] = _shortest(call)
        batch = _shortest(lambda y=y: debye_pdf(y, **settings), BATCHES)
        found[f"{name}_batch_ms"] = batch / len(y)
    return found


def peer(file: str) -> dict[str, float]:
    """The same clusters by DebyeCalculator."""
    import torch
    from debyecalculator import DebyeCalculator

    _one_thread()
    calculator = DebyeCalculator(
        device="cpu", qmin=0.7, qmax=25.0, qstep=np.pi / 40, qdamp=0.0,
        rmin=0.0, rmax=30.0, rstep=0.01, biso=8 * np.pi**2 * 0.005,
    )  # fmt: skip
    found = {}
    for name, x in np.load(file).items():
        y, elements = torch.tensor(x).float(), ["Pt"] * x.shape[1]
        rows = iter(range(2 * RUNS))

        def call(y: Any = y, e: Any = elements, rows: Any = rows) -> None:
            calculator.gr((e, y[next(rows) % len(y)]))

        found[f"{name}_ms"] = _shortest(call)
    return found


def polished(file: str) -> dict[str, float]:
    """One start of about 150 atoms polished: its front."""
    import diffpy_cbldm as cb

    try:
        from diffpy_cbldm.polishing.front import front
    except ImportError:  # before there were folders
        from diffpy_cbldm.polish import front

    _one_thread()
    case = np.load(file)
    settings = {"qmin": float(case["q"][0]), "qmax": float(case["q"][1])}
    pdf = cb.PDFData(
        r=case["r"], g=case["g"], composition="Pt", qbroad=0.0, **settings
    )
    start = case["start"], str(case["type"])
    # The first call reads tables and loads libraries.
    times = []
    for _ in range(3):
        begin = time.perf_counter()
        front(*start, pdf)
        times.append(time.perf_counter() - begin)
    return {"polished_s": min(times)}


def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)


def _cpu() -> float:
    return float(sum(os.times()[:4]))


def _shortest(call: Callable[[], Any], runs: int = RUNS) -> float:
    """Milliseconds: what other processes take away is left out."""
    times = []
    call()
    for _ in range(runs):
        begin = time.perf_counter()
        call()
        times.append(time.perf_counter() - begin)
    return 1e3 * min(times)


if __name__ == "__main__":
    parts = {f.__name__: f for f in (job, residual, alone, peer, polished)}
    print(json.dumps(parts[sys.argv[1]](*sys.argv[2:])))
