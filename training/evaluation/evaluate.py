"""How good the proposals are, on structures that the weights have not seen.

    python -m training.evaluation.evaluate --split geometry --count 64

For each PDF, `--count` candidates of the model and as many of the library,
from which the held-out geometries are removed, get a fit of five parameters;
the best ones are refined with SrFit, the coordinates moved by zoomscale
alone.  The truth is used for nothing but the figures.

Splits: ``geometry`` (geometries that are never trained on), ``paper`` (the
paper's random split: a geometry may be known at other bond lengths),
``cuts`` (random cuts, stacking faults, strain and relaxed surfaces, which no
library holds), ``training`` (the geometries that are trained on).
``--robust`` repeats the split under worse data.  ``large``: particles of 257
to 5,000 atoms, see `training.evaluation.large`.
"""

from __future__ import annotations

import argparse
import functools
import json
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from diffpy_cbldm.cluster import Candidate
from diffpy_cbldm.crystals.table import load_table
from diffpy_cbldm.files import write_atomic
from diffpy_cbldm.fitting.quickfit import quick_fit
from diffpy_cbldm.fitting.target import Target
from diffpy_cbldm.model.weights import read_weights
from diffpy_cbldm.search.by_library import library_generator
from diffpy_cbldm.search.by_model import cbldm_generator
from diffpy_cbldm.search.matching import rw_raw
from diffpy_cbldm.search.pool import as_good
from diffpy_cbldm.settings import CRYSTAL_TYPES
from training.evaluation.cases import (
    ROBUST,
    SPLITS,
    TIE,
    Case,
    Conditions,
    beside_truth,
    best_of,
    cases,
    measured,
    target_of,
)
from training.evaluation.jobs import solved
from training.evaluation.large import ROWS as LARGE_ROWS
from training.evaluation.large import (
    large_cases,
    large_report,
    solve_large,
)
from training.stream import held_out

GENERATORS = ("cbldm", "library")
"""What is evaluated, one beside the other."""


def propose(
    generator: str, target: Target, count: int, weights: str, seed: int
) -> list[Candidate]:
    """Candidates of one generator; the library without held-out geometries."""
    if generator == "library":
        exclude = np.flatnonzero(held_out(load_table())).tolist()
        return library_generator(target, count=count, exclude=exclude)
    return cbldm_generator(target, count=count, seed=seed, weights=weights)


def figures(
    generator: str, case: Case, target: Target, count: int, weights: str
) -> dict[str, Any]:
    """Everything that is reported of one generator on one PDF."""
    start = time.perf_counter()
    found = propose(generator, target, count, weights, seed=0)
    best, rw = best_of(found, target, warm=True)
    seconds = time.perf_counter() - start
    n = len(case.positions)
    good = [found[i] for i in np.flatnonzero(rw < as_good(rw.min()))]
    sizes = [len(c) for c in good]
    return {
        "generator": generator,
        "truth": case.kind,
        "n": n,
        "rw_raw": float(rw_raw([best.positions], target.pdf)[0]),
        "rw_heldout": best.rw_heldout,
        **beside_truth(best, case),
        "type_in_set": case.kind in {c.structure_type for c in good},
        "n_in_set": min(sizes) <= n <= max(sizes),
        "excess": excess(rw, [len(c) for c in found], n),
        "set": len(good),
        "distinct": len(found),
        "seconds": seconds,
    }


def excess(rw: np.ndarray, sizes: list[int], truth: int) -> float | None:
    """How far above the best Rw candidates must be taken to bracket N.

    Returns
    -------
    float, or None where all together do not
    """
    order = np.argsort(rw)
    # The set grows from the best fit on, until it has N between its ends.
    n = np.array(sizes)[order]
    inside = np.minimum.accumulate(n) <= truth
    inside &= np.maximum.accumulate(n) >= truth
    first = np.flatnonzero(inside)
    return float(rw[order][first[0]] - rw.min()) if len(first) else None


def solve_case(
    job: tuple[int, Case, Conditions, int, str, tuple[str, ...]],
) -> list[dict[str, Any]]:
    """The figures of all generators for one case, and the truth's own Rw."""
    index, case, how, count, weights, generators = job
    torch.set_num_threads(1)
    target = target_of(measured(case, how, index), how)
    own = quick_fit([case.positions], target)[0].rw
    return [
        {**figures(g, case, target, count, weights), "rw_truth": own}
        for g in generators
    ]


COLUMNS = (
    *("rw_raw", "rw", "rw_heldout", "rw_truth", "n_error", "right_n"),
    *("rmsd", "solved", "bond", "type_in_set", "n_in_set", "seconds"),
)


def table_of(rows: list[dict[str, Any]], generators: tuple[str, ...]) -> str:
    """The means per type and in total, a line for each generator."""
    kinds = [k for k in CRYSTAL_TYPES if any(r["truth"] == k for r in rows)]
    lines = [
        f"{'truth':9s}{'generator':10s}"
        + "".join(f"{c:>11s}" for c in COLUMNS)
    ]
    for kind in (*kinds, "total"):
        for name in generators:
            part = [
                r
                for r in rows
                if r["generator"] == name and kind in (r["truth"], "total")
            ]
            cells = []
            for column in COLUMNS:
                values = [r[column] for r in part if r[column] is not None]
                mean = float(np.mean(values)) if values else math.nan
                cells.append(f"{mean:11.4f}")
            lines.append(f"{kind:9s}{name:10s}" + "".join(cells))
    return "\n".join(lines)


def comparison(rows: list[dict[str, Any]]) -> str:
    """How often the model's best has a lower Rw than the library's."""
    ours = [r["rw"] for r in rows if r["generator"] == "cbldm"]
    theirs = [r["rw"] for r in rows if r["generator"] == "library"]
    if not ours or not theirs:
        return ""
    gain = np.array(theirs) - np.array(ours)
    return (
        f"cbldm refines to a lower Rw than library in "
        f"{np.mean(gain > TIE):.0%} of cases, to a higher one in "
        f"{np.mean(gain < -TIE):.0%}, by more than {TIE:g}"
    )


def calibration(rows: list[dict[str, Any]]) -> str:
    """How wide a set of candidates must be to hold the truth's N.

    A set has all candidates whose Rw is at most so much above the best.  The
    widths of the sets that hold N (between their smallest and largest) in 50
    and in 90 % of cases are read off every other case and tried on the rest,
    and the other way round.
    """
    values = np.array(
        [
            math.inf if r["excess"] is None else r["excess"]
            for r in rows
            if r["generator"] == "cbldm"
        ]
    )
    bracketed = np.mean(np.isfinite(values))
    lines = []
    for level in (0.5, 0.9):
        widths, held = [], []
        # Every other case calibrates the rest: no case judges itself.
        for first in (0, 1):
            fit, rest = np.sort(values[first::2]), values[1 - first :: 2]
            place = min(len(fit), math.ceil(level * len(fit))) - 1
            widths.append(fit[place])
            held += list(rest <= fit[place])
        if not np.isfinite(widths).all():
            lines.append(
                f"no narrower set than that of all candidates holds it in "
                f"{level:.0%}; all together bracket N in {bracketed:.0%}"
            )
            continue
        lines.append(
            f"the {level:.0%} set (Rw within {widths[0]:.4f} or "
            f"{widths[1]:.4f} of the best, from every other case) holds the "
            f"truth's N in {np.mean(held):.0%} of the {len(held)} others"
        )
    return "\n".join(lines)


def report(rows: list[dict[str, Any]], names: tuple[str, ...]) -> str:
    """Everything that is printed of one evaluation."""
    parts = [table_of(rows, names), comparison(rows)]
    if len(rows) >= 40 and "excess" in rows[0]:
        parts.append(calibration(rows))
    return "\n".join(parts)


def evaluate(
    split: str,
    structures: int,
    count: int = 64,
    weights: str = "small",
    how: Conditions | None = None,
    generators: tuple[str, ...] = ("cbldm", "library"),
    workers: int = 1,
    seed: int = 11,
    known: Sequence[dict[str, Any]] = (),
    keep: Callable[[list[dict[str, Any]]], None] = lambda rows: None,
) -> list[dict[str, Any]]:
    """Solve the PDFs of a split; one row a generator and PDF.

    The first rows may be `known`; `keep` is called with all after each PDF.
    """
    how = how or Conditions()
    met = read_weights(weights)[1].get("met", ())
    jobs = [
        (i, case, how, count, weights, generators)
        for i, case in enumerate(cases(split, structures, seed, met))
    ]
    return solved(
        jobs, solve_case, len(generators), split, workers, known, keep
    )


def evaluate_large(options: argparse.Namespace) -> None:
    """The split of large particles, see `training.evaluation.large`."""
    known: list[dict[str, Any]] = []
    if options.resume and options.json and options.json.exists():
        known = json.loads(options.json.read_text())["large"]

    def keep(rows: list[dict[str, Any]]) -> None:
        if options.json:
            write_atomic(options.json, json.dumps({"large": rows}) + "\n")

    weights = "large" if options.weights == "small" else options.weights
    cases = large_cases(options.structures, options.seed)
    jobs = [(case, weights) for case in cases]
    rows = solved(
        jobs,
        solve_large,
        len(LARGE_ROWS),
        "large",
        options.workers,
        known[: len(LARGE_ROWS) * len(jobs)],
        keep,
    )
    print(f"\n{options.structures} PDFs of large particles")
    print(large_report(rows), flush=True)


def make_parser() -> argparse.ArgumentParser:
    """The options of the command."""
    parser = argparse.ArgumentParser(
        "python -m training.evaluation.evaluate",
        description=__doc__.splitlines()[0],
    )
    parser.add_argument("--weights", default="small")
    parser.add_argument(
        "--split", choices=(*SPLITS, "large"), default="geometry"
    )
    parser.add_argument("--count", type=int, default=64)
    parser.add_argument("--structures", type=int, default=203)
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--robust", action="store_true")
    parser.add_argument("--json", type=Path, help="rows are written here")
    parser.add_argument(
        "--resume",
        action="store_true",
        help="go on from the rows in --json, of the same settings",
    )
    parser.add_argument(
        "--read", type=Path, help="print again what --json wrote"
    )
    return parser


def main() -> None:
    """The command line; see the module's text."""
    options = make_parser().parse_args()
    if options.split == "large" and not options.read:
        evaluate_large(options)
        return
    if options.read and options.split == "large":
        print(large_report(json.loads(options.read.read_text())["large"]))
        return
    if options.read:
        for name, rows in json.loads(options.read.read_text()).items():
            print(f"\n{len(rows) // len(GENERATORS)} PDFs, {name}")
            print(report(rows, GENERATORS))
        return
    everything: dict[str, list[dict[str, Any]]] = {}
    if options.resume and options.json and options.json.exists():
        everything = json.loads(options.json.read_text())

    def keep(name: str, rows: list[dict[str, Any]]) -> None:
        everything[name] = rows
        if options.json:
            # Thousands of rows: one line, and not one a figure.
            write_atomic(options.json, json.dumps(everything) + "\n")

    ways = ROBUST if options.robust else {"as in the paper": Conditions()}
    for name, how in ways.items():
        rows = evaluate(
            options.split,
            options.structures,
            options.count,
            options.weights,
            how,
            GENERATORS,
            options.workers,
            options.seed,
            everything.get(name, ()),
            functools.partial(keep, name),
        )
        print(f"\n{options.split} split, {options.structures} PDFs, {name}")
        print(report(rows, GENERATORS), flush=True)


if __name__ == "__main__":
    main()
