"""How well the main job does, by generator, on the same PDFs in one run.

    python -m tests.benchmarks.solve [--count 28] [--measured FOLDER]

Simulated PDFs are of geometries that the packaged weights have not seen
(held out, see `training.data.held_out`); the library is mined without them.
Measured files are read from FOLDER where it is there.  Printed for each: the
number of atoms against the truth, Rw raw (only the scale fitted), refined
and on r that was not fitted, RMSD to the truth, the shortest bond over the
nearest-neighbour distance, and seconds.
"""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path

import numpy as np
import torch

import diffpy_cbldm as cb
from diffpy_cbldm.cluster import Candidate
from diffpy_cbldm.families import load_table
from diffpy_cbldm.pdfdata import PDFData
from diffpy_cbldm.propose import (
    cbldm_generator,
    library_generator,
    rw_raw,
)
from diffpy_cbldm.quickfit import quick_fit
from diffpy_cbldm.score import (
    nearest_neighbour_distance,
    rmsd,
    shortest_bond,
)
from diffpy_cbldm.settings import STRUCTURE_TYPES
from training.data import held_out

MEASURED = {"JQ_S2.gr": "Pt", "Au144pMBA.gr": "Au"}
DRAWS, REFINED = 64, 3

TIE = 5e-4
"""Rw that differ by less are the same: often the same structure."""


def best_of(
    candidates: list[Candidate], pdf: PDFData
) -> tuple[Candidate, float]:
    """Quick fit of all, SrFit of the best few; the best and its raw Rw."""
    fits = quick_fit(
        [c.positions for c in candidates],
        pdf.r,
        pdf.g,
        qmin=pdf.qmin,
        qmax=pdf.qmax,
        qdamp=pdf.qdamp,
    )
    order = np.argsort([f.rw for f in fits])[:REFINED]
    done = [cb.refine(candidates[i], pdf) for i in order]
    place = int(np.argmin([c.rw for c in done]))
    raw = rw_raw([candidates[order[place]].positions], pdf)[0]
    return done[place], float(raw)


def figures(
    generator: str, pdf: PDFData, exclude: list[int], truth=None
) -> dict[str, float | str]:
    """Run one generator on one PDF."""
    start = time.perf_counter()
    if generator == "library":
        found = library_generator(pdf, count=DRAWS, exclude=exclude)
    else:
        found = cbldm_generator(pdf, count=DRAWS)
    best, raw = best_of(found, pdf)
    seconds = time.perf_counter() - start
    row = {
        "type": best.structure_type,
        "atoms": len(best),
        "rw_raw": raw,
        "rw": best.rw,
        "rw_heldout": math.nan if best.rw_heldout is None else best.rw_heldout,
        "bond": shortest_bond(best.positions)
        / nearest_neighbour_distance(best.positions),
        "distinct": len(found),
        "seconds": seconds,
    }
    if truth is not None:
        row["n_error"] = abs(len(best) - len(truth)) / len(truth)
        row["right_n"] = float(len(best) == len(truth))
        row["rmsd"] = (
            rmsd(best.positions, truth) if row["right_n"] else math.nan
        )
    return row


def simulated(
    count: int, seed: int = 7
) -> list[tuple[str, int, float, PDFData]]:
    """PDFs of held-out geometries, balanced over the structure types."""
    table, hidden = load_table(), held_out(load_table())
    rng = np.random.default_rng(seed)
    cases = []
    for k in range(count):
        kind = STRUCTURE_TYPES[k % len(STRUCTURE_TYPES)]
        index = int(
            rng.choice(
                [
                    i
                    for i, g in enumerate(table.geometries)
                    if hidden[i] and g.structure_type == kind
                ]
            )
        )
        bond = rng.uniform(2.5, 2.95)
        cluster = cb.Cluster("Pt", table.positions(index) * bond)
        pdf = cb.simulate(
            [cluster],
            qmin=rng.uniform(0.7, 1.3),
            qmax=rng.uniform(20, 27),
            qdamp=rng.uniform(0.02, 0.06),
            biso=rng.uniform(0.3, 1.0),
        )[0]
        noise = 0.01 * pdf.g.std() * rng.standard_normal(len(pdf.g))
        pdf = PDFData(
            r=pdf.r,
            g=pdf.g + noise,
            composition="Pt",
            qmin=pdf.qmin,
            qmax=pdf.qmax,
        )
        cases.append((kind, index, bond, pdf))
    return cases


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=28)
    parser.add_argument("--threads", type=int, default=1)
    folder = Path(__file__).parents[3] / "shared" / "data" / "experimental"
    parser.add_argument("--measured", type=Path, default=folder)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    table = load_table()
    exclude = list(np.flatnonzero(held_out(table)))
    cases = simulated(options.count)
    for generator in ("cbldm", "library"):  # imports and tables, not timed
        figures(generator, cases[0][-1], exclude)
    for name, element in MEASURED.items():
        path = options.measured / name
        if not path.exists():
            print(f"{name}: not there ({options.measured}), skipped")
            continue
        pdf = cb.read_pdf(path, composition=element)
        for generator in ("cbldm", "library"):
            row = figures(generator, pdf, [])
            print(f"{name:14s} {generator:8s} {_line(row)}", flush=True)
    rows = []
    for kind, index, bond, pdf in cases:
        truth = table.positions(index) * bond
        for generator in ("cbldm", "library"):
            row = figures(generator, pdf, exclude, truth)
            rows.append({"truth": kind, "generator": generator, **row})
        print(f"{kind} {len(truth)} atoms", flush=True)
        for row in rows[-2:]:
            print(f"  {row['generator']:8s} {_line(row)}", flush=True)
    _summary(rows)


def _line(row: dict) -> str:
    return "  ".join(
        f"{k} {v:.3f}" if isinstance(v, float) else f"{k} {v}"
        for k, v in row.items()
        if k not in ("truth", "generator")
    )


def _summary(rows: list[dict]) -> None:
    keys = ("rw_raw", "rw", "rw_heldout", "n_error", "right_n", "seconds")
    print(
        f"\n{'truth':6s}{'generator':10s}" + "".join(f"{k:>11s}" for k in keys)
    )
    for kind in (*STRUCTURE_TYPES, "total"):
        for generator in ("cbldm", "library"):
            part = [
                r
                for r in rows
                if r["generator"] == generator
                and kind in (r["truth"], "total")
            ]
            if part:
                means = [np.nanmean([r[k] for r in part]) for k in keys]
                print(
                    f"{kind:6s}{generator:10s}"
                    + "".join(f"{m:11.3f}" for m in means)
                )
    pairs = list(zip(rows[::2], rows[1::2]))
    gain = np.array([b["rw"] - a["rw"] for a, b in pairs])
    lower, higher = np.mean(gain > TIE), np.mean(gain < -TIE)
    print(
        f"cbldm refines to a lower Rw than library in {lower:.0%} of cases, "
        f"to a higher one in {higher:.0%}, by more than {TIE:g}"
    )


if __name__ == "__main__":
    main()
