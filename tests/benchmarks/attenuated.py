"""Each measured compound beside its crystal as a sphere, by PDFfit2.

    python -m tests.benchmarks.attenuated [name ...] [--seed 0]

The answer of all defaults (chapter 11 to 20 A and chapter 8 with the Qdamp of
its instrument, 0.058), the sphere of the same command, and that sphere
refined by diffpy.pdffit2 on the same points of the same range.  PDFfit2 knows
no Qmin and weighs X-rays at one Q.  Where the command leaves slow waves out
of the data (chapter 8), PDFfit2's Rw on the data as they are stands behind.
The files lie beside this repository
(`data/experimental`) and in diffpy.cmi.
"""

from __future__ import annotations

import argparse
import importlib.resources
import pathlib
import time
from typing import Any

import numpy as np

import diffpy_cbldm as cb
from diffpy_cbldm.crystals.bonds import shortest_bond
from diffpy_cbldm.fitting.periodic import refine_sphere
from diffpy_cbldm.fitting.qmin_edge import waves_below
from diffpy_cbldm.fitting.target import Target

FIELD = (
    pathlib.Path(__file__).resolve().parents[3] / "shared/data/experimental"
)
CMI = importlib.resources.files("diffpy.cmi") / "docs/examples/pdf"

CASES: dict[str, tuple[Any, dict[str, Any], dict[str, Any]]] = {
    "CeO2_nano": (FIELD / "CeO2_nano.gr", {"composition": "CeO2"}, {}),
    "IrO2_3nm": (FIELD / "IrO2_3nm.gr", {"composition": "IrO2"}, {}),
    "CdSe ch11": (
        CMI / "ch11ClusterXYZ/data/CdSe.gr",
        {"composition": "CdSe"},
        {"rmax": 20.0},
    ),
    **{
        f"CdSe-{k} ch8": (
            CMI / f"ch08NPRefinement/data/CdSe-{k}.gr",
            {"composition": "CdSe", "qdamp": 0.058},
            {},
        )
        for k in (1, 2, 3, 4)
    },
}
"""The file, what is told of it, and options of `solve`."""


def row(name: str, seed: int) -> tuple[str, bool]:
    """A line for one sample, and whether the answer has the lowest Rw."""
    path, told, options = CASES[name]
    begin = time.process_time()
    pdf = cb.read_pdf(path, **told)
    solution = cb.solve(pdf, seed=seed, **options)
    took = time.process_time() - begin
    best, sphere = solution.candidates[0], solution.crystal
    assert best.rw is not None and sphere is not None
    assert solution.unit_cell is not None
    used = solution.settings
    target = Target.of(solution.pdf, used["rmin"], used["rmax"])
    by_pdffit = refine_sphere(solution.unit_cell, sphere, target)
    as_given = ""
    if not np.array_equal(pdf.g, solution.pdf.g):
        whole = Target.of(pdf, used["rmin"], used["rmax"])
        other = refine_sphere(solution.unit_cell, sphere, whole)
        as_given = f" ({other['rw']:.3f} of the file)"
    size = str(solution.atoms) if solution.atoms else "no range"
    text = (
        f"{name:10} {target.rmin:g} to {target.rmax:g} A: "
        f"{best.structure_type} {len(best)} ({size}), Rw {best.rw:.3f}, "
        f"shortest {shortest_bond(best.positions):.2f} A; sphere D "
        f"{sphere.diameter:.1f} A, Rw {sphere.rw:.3f}; PDFfit2 D "
        f"{by_pdffit.get('spdiameter', 0.0):.1f} A, Rw {by_pdffit['rw']:.3f}"
        f"{as_given}; F below Qmin {waves_below(pdf):.0%}; "
        f"{took:.0f} s"
    )
    return text, best.rw < min(sphere.rw, by_pdffit["rw"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", nargs="*", default=list(CASES))
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    lower = []
    for name in options.name:
        text, better = row(name, options.seed)
        lower.append(better)
        print(text, flush=True)
    print(f"the particle has the lowest Rw in {sum(lower)} of {len(lower)}")


if __name__ == "__main__":
    main()
