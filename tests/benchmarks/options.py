"""What each option costs in time, and what is lost with it.

    python -m tests.benchmarks.options [--cases Pt13 Au55 ...]

Some of the simulated PDFs of `simulated_cases` are solved with the defaults
and with each of `CHOICES`.  Printed as the table of docs/how-to/time.md: the
mean seconds of a PDF in a process that is warm, the mean Rw of the best
structure, how far its number of atoms is off in the mean, and how often it is
right.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

import diffpy_cbldm as cb
from diffpy_cbldm.search import by_model
from tests.benchmarks import simulated_cases

CHOICES: dict[str, dict[str, Any]] = {
    "": {},
    "--polish no": {"polish": False},
    "--polish sites": {"polish": ["sites"]},
    "--count 16": {"count": 16},
    "--generators cbldm": {"generators": ["cbldm"]},
    "--generators library,screen": {"generators": ["library", "screen"]},
    "--generators library,screen --polish no": {
        "generators": ["library", "screen"],
        "polish": False,
    },
    "--generators library --polish no": {
        "generators": ["library"],
        "polish": False,
    },
    "--generators library --polish no --refine 1": {
        "generators": ["library"],
        "polish": False,
        "refine": 1,
    },
}
"""Options of the command, and the same as arguments of `solve`."""


def row(how: dict[str, Any], names: Sequence[str]) -> list[float]:
    """Seconds, Rw, error of N (%), and how often (%) N is right."""
    figures = []
    for name in names:
        pdf = simulated_cases.pdf(name)
        # The true number stands in the name, as far as there is one element.
        true = int("".join(c for c in name if c.isdigit()))
        by_model.forget()
        start = time.perf_counter()
        best = cb.solve(pdf, **how).candidates[0]
        seconds = time.perf_counter() - start
        assert best.rw is not None
        off = abs(len(best) / true - 1)
        figures.append([seconds, best.rw, 100 * off, 100.0 * (off == 0)])
    return np.mean(figures, axis=0).tolist()


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--cases", nargs="+", default=list(simulated_cases.RECIPES)
    )
    names = parser.parse_args().cases
    cb.solve(simulated_cases.pdf(names[0]))  # loads and compiles
    print("| options | s | Rw | N off, % | N right, % |")
    print("| --- | --- | --- | --- | --- |")
    for options, how in CHOICES.items():
        seconds, rw, off, right = row(how, names)
        shown = f"`{options}`" if options else "none"
        print(
            f"| {shown} | {seconds:.1f} | {rw:.4f} | {off:.1f} | "
            f"{right:.0f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
