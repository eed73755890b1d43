"""Seconds and residuals of the generator screen, next to the library's.

    python -m tests.benchmarks.screen [--build 100000] [--structures 28]

A set is made in a temporary folder and timed; then the PDFs of random cuts
that neither it nor the library holds (`training.evaluation.cases`, split
``cuts``) get candidates from the shipped set, from the one just made, and from
the library.  Printed are seconds, and Rw of the best quick fit of each.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable

import numpy as np
import torch

from diffpy_cbldm.cluster import Candidate
from diffpy_cbldm.fitting.quickfit import quick_fit
from diffpy_cbldm.fitting.target import Target
from diffpy_cbldm.pdfdata import PDFData
from diffpy_cbldm.search.by_library import library_generator
from diffpy_cbldm.search.by_screening import rough_rw, screen_generator
from diffpy_cbldm.search.matching import BOND_CHANGES, Motion
from diffpy_cbldm.search.screening_set import build_set, load_set
from training.evaluation.cases import Conditions, cases, measured


def screened(pdf: PDFData) -> float:
    """Seconds to read the set and to compare all its clusters."""
    start = time.perf_counter()
    rough_rw(load_set(), Target.of(pdf), BOND_CHANGES, Motion())
    return time.perf_counter() - start


def row(
    generator: Callable[..., list[Candidate]],
    pdf: PDFData,
    count: int,
    truth: int,
) -> tuple[float, float, float]:
    """Seconds, Rw of the best quick fit, and its relative error of N."""
    start = time.perf_counter()
    found = generator(pdf, count=count)
    seconds = time.perf_counter() - start
    fits = quick_fit([c.positions for c in found], pdf)
    best = min(range(len(fits)), key=lambda i: fits[i].rw)
    return seconds, fits[best].rw, abs(len(found[best]) - truth) / truth


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", type=int, default=100_000)
    parser.add_argument("--structures", type=int, default=28)
    parser.add_argument("--count", type=int, default=64)
    parser.add_argument("--seed", type=int, default=11)
    options = parser.parse_args()
    torch.set_num_threads(1)
    tests = cases("cuts", options.structures, options.seed)
    pdfs = [measured(c, Conditions(), i) for i, c in enumerate(tests)]
    with tempfile.TemporaryDirectory() as folder:
        os.environ["CBLDM_CACHE"] = f"{folder}/made"
        start = time.perf_counter()
        build_set(options.build)
        seconds = time.perf_counter() - start
        print(f"{options.build} clusters made in {seconds:.0f} s")
        print(
            f"{'generator':10s}{'set':>8s}{'screen/s':>10s}{'all/s':>8s}"
            f"{'Rw mean':>9s}{'median':>9s}{'N error':>9s}"
        )
        for name in ("none", "made"):
            os.environ["CBLDM_CACHE"] = f"{folder}/{name}"
            screened(pdfs[0])  # the shipped set is unpacked once
            rough = np.median([screened(p) for p in pdfs])
            found = [
                row(screen_generator, p, options.count, len(c.positions))
                for p, c in zip(pdfs, tests)
            ]
            report("screen", f"{len(load_set())}", rough, found)
    found = [
        row(library_generator, p, options.count, len(c.positions))
        for p, c in zip(pdfs, tests)
    ]
    report("library", "", np.nan, found)
    own = [quick_fit([c.positions], p)[0].rw for p, c in zip(pdfs, tests)]
    print(f"{'truth':36s}{np.mean(own):9.4f}{np.median(own):9.4f}")


def report(
    name: str,
    size: str,
    rough: float,
    rows: list[tuple[float, float, float]],
) -> None:
    """Print one line."""
    seconds, rw, error = np.array(rows).T
    print(
        f"{name:10s}{size:>8s}{rough:10.2f}{np.median(seconds):8.2f}"
        f"{rw.mean():9.4f}{np.median(rw):9.4f}{error.mean():9.1%}",
        flush=True,
    )


if __name__ == "__main__":
    main()
