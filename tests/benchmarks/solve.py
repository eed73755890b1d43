"""How well the main job does on measured PDFs, by generator, in one run.

    python -m tests.benchmarks.solve [--measured FOLDER]

Files are read from FOLDER where it is there.  Printed for each generator: the
number of atoms, Rw raw (only the scale fitted), refined and on r that was
not fitted, the shortest bond over the nearest-neighbour distance, the
roughness (missing bonds per N^(2/3); about 15 for ideal ones), and seconds.
`training.evaluation.evaluate` does the same for simulated PDFs, whose truth is
known.
"""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path

import torch

import diffpy_cbldm as cb
from diffpy_cbldm.crystals.bonds import (
    nearest_neighbour_distance,
    roughness,
    shortest_bond,
)
from diffpy_cbldm.pdfdata import PDFData
from diffpy_cbldm.search.by_library import library_generator
from diffpy_cbldm.search.by_model import cbldm_generator
from diffpy_cbldm.search.matching import rw_raw
from training.evaluation.cases import best_of

MEASURED = {"JQ_S2.gr": "Pt", "Au144pMBA.gr": "Au"}
GENERATORS = {"cbldm": cbldm_generator, "library": library_generator}


def figures(name: str, pdf: PDFData, count: int, refined: int) -> dict:
    """Run one generator on one PDF."""
    start = time.perf_counter()
    found = GENERATORS[name](pdf, count=count)
    best, _ = best_of(found, pdf, refined, warm=True)
    seconds = time.perf_counter() - start
    bond = shortest_bond(best.positions)
    held = math.nan if best.rw_heldout is None else best.rw_heldout
    return {
        "type": best.structure_type,
        "atoms": len(best),
        "rw_raw": rw_raw([best.positions], pdf)[0],
        "rw": best.rw,
        "rw_heldout": held,
        "bond": bond / nearest_neighbour_distance(best.positions),
        "roughness": roughness(best.positions),
        "candidates": len(found),
        "seconds": seconds,
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--count", type=int, default=64)
    parser.add_argument("--refined", type=int, default=8)
    folder = Path(__file__).parents[3] / "shared" / "data" / "experimental"
    parser.add_argument("--measured", type=Path, default=folder)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    for name, element in MEASURED.items():
        path = options.measured / name
        if not path.exists():
            print(f"{name}: not there ({options.measured}), skipped")
            continue
        pdf = cb.read_pdf(path, composition=element)
        for generator in GENERATORS:
            row = figures(generator, pdf, options.count, options.refined)
            cells = "  ".join(
                f"{k} {v:.3f}" if isinstance(v, float) else f"{k} {v}"
                for k, v in row.items()
            )
            print(f"{name:14s} {generator:8s} {cells}", flush=True)


if __name__ == "__main__":
    main()
