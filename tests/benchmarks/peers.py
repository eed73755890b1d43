"""How well other programs reproduce a perfect answer from our files.

    python -m tests.benchmarks.peers [--runmacro]

The PDF is that of a platinum cuboctahedron of 147 atoms (Qmax 25, Qdamp
0.03, Biso 0.3, delta2 2), without noise; the answer is the same cluster,
refined.  Rw from 1.5 to 30 A with the scale fitted, by PDFfit2, the program
under PDFgui, and, with ``--runmacro``, by diffpy.apps from the macro.  That
needs diffpy.apps, textx and diffpy.srfit 3.4; where diffpy.srreal is missing,
`tests/standins` stands in for its calculator, and the table says so.

``10 A`` is a box with 10 A of empty space on each side of the particle.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import io
import json
import pathlib
import subprocess
import sys
import tempfile
from typing import Any

import numpy as np
from ase.cluster import Octahedron

import diffpy_cbldm as cb
from diffpy_cbldm import conversions
from diffpy_cbldm.output import writers
from diffpy_cbldm.pdfdata import write_gr
from diffpy_cbldm.renames import modern
from diffpy_cbldm.solving.solution import Solution

STANDINS = pathlib.Path(__file__).resolve().parents[1] / "standins" / "diffpy"

RUN = """
import importlib.util, json, sys
from types import SimpleNamespace
import diffpy
if importlib.util.find_spec("diffpy.srreal") is None:
    diffpy.__path__.append(sys.argv[2])
from diffpy.apps.app_runmacro import runmacro
found = runmacro(SimpleNamespace(file=sys.argv[1]))
print(json.dumps([found["rw"], found["variables"]], default=float))
"""


def particle(layers: int = 4) -> cb.Cluster:
    """A cuboctahedron of platinum, of 147 atoms by default."""
    length = 2 * layers - 1
    return cb.Cluster("Pt", Octahedron("Pt", length, layers - 1).positions)


def answer(cluster: cb.Cluster, qmin: float) -> Solution:
    """The PDF of a cluster, and the refined cluster itself as its answer."""
    (pdf,) = cb.simulate([cluster], qmin=qmin, qdamp=0.03, delta2=2.0)
    best = cb.refine(cluster, pdf, heldout=False)
    settings = {
        "qmin": pdf.qmin,
        "qmax": pdf.qmax,
        "rmin": 1.5,
        "rmax": float(pdf.r[-1]),
    }
    return Solution([best], [best.rw or 0.0], settings, {}, (), pdf)


def write(solution: Solution, folder: pathlib.Path, types: str) -> None:
    """Write ``a.gr`` and the outputs of its one structure, ``a-1.*``."""
    source = str(folder / "a.gr")
    write_gr(source, solution.pdf)
    kinds = writers.parse_types(types)
    planned = writers.plan(str(folder / "@b"), kinds, source, 1)
    failed = writers.write(solution, source, planned).failed
    assert not failed, failed


def by_pdffit2(path: pathlib.Path, pdf: cb.PDFData, delta2: float) -> float:
    """Rw by PDFfit2 with the scale refined, from 1.5 to 30 A."""
    from diffpy.pdffit2 import PdfFit, redirect_stdout
    from diffpy.structure import Structure

    redirect_stdout(io.StringIO())
    structure = Structure()
    structure.read(
        str(path), format="pdffit" if path.suffix == ".stru" else "cif"
    )
    points = pdf.r > 0
    with contextlib.redirect_stdout(io.StringIO()):
        fit = PdfFit()
        fit.read_struct_string(modern(structure).write_structure("pdffit"))
        fit.read_data_lists(
            pdf.stype,
            pdf.qmax,
            pdf.qdamp,
            pdf.r[points].tolist(),
            pdf.g[points].tolist(),
        )
        fit.setvar("qbroad", 0.0)
        # A cif file has no place for it: PDFgui's user sets it.
        fit.setvar("delta2", delta2)
        fit.pdfrange(1, 1.5, float(pdf.r[-1]))
        fit.constrain("pscale", 1)
        fit.setpar(1, 1.0)
        fit.refine()
        return float(fit.getrw())


def by_runmacro(macro: pathlib.Path) -> tuple[float, dict[str, Any]]:
    """Rw and the refined variables by diffpy.apps."""
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(macro), str(STANDINS)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    rw, variables = json.loads(done.stdout.splitlines()[-1])
    return rw, variables


def small_box(solution: Solution, path: pathlib.Path, uiso: bool) -> None:
    """Write the structure in a box with 10 A of empty space, as cif."""
    best = solution.candidates[0]
    spans = np.ptp(best.positions, axis=0)
    away = best.positions - best.positions.min(axis=0) - 0.5 * spans
    diameter = 2 * float(np.linalg.norm(away, axis=1).max())
    rmax = float(spans.max()) + 20.0 - diameter - conversions.REACH
    best.write_cif(path, None if uiso else {"Pt": 0.0}, rmax=rmax)
    if not uiso:
        text = path.read_text().replace("_atom_site_U_iso_or_equiv", "_u")
        path.write_text(text)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runmacro", action="store_true")
    runmacro = parser.parse_args().runmacro
    there = importlib.util.find_spec("diffpy.srreal") is not None
    name = f"runmacro with {'srreal' if there else 'a stand-in of srreal'}"
    print(f"{'program':32} {'file':18} {'Qmin 0':>8} {'Qmin 0.7':>8}")
    rows: dict[tuple[str, str], list[float]] = {}
    for qmin in (0.0, 0.7):
        solution = answer(particle(), qmin)
        delta2, _ = solution.candidates[0].parameters["delta2"]
        with tempfile.TemporaryDirectory() as name_of_folder:
            folder = pathlib.Path(name_of_folder)
            write(solution, folder, "cif,stru,dp-in")
            cif, macro = folder / "a-1.cif", folder / "a-1.dp-in"
            for file in (cif, folder / "a-1.stru"):
                rw = by_pdffit2(file, solution.pdf, delta2)
                rows.setdefault(("PDFfit2", file.suffix), []).append(rw)
            if runmacro:
                key = (name, ".dp-in and .cif")
                rows.setdefault(key, []).append(by_runmacro(macro)[0])
            for uiso in (True, False):
                small_box(solution, cif, uiso)
                what = f"10 A, Uiso {'there' if uiso else 'missing'}"
                if uiso:
                    rw = by_pdffit2(cif, solution.pdf, delta2)
                    rows.setdefault(("PDFfit2", what), []).append(rw)
                if runmacro:
                    rw = by_runmacro(macro)[0]
                    rows.setdefault((name, what), []).append(rw)
    for (program, file), rws in rows.items():
        print(f"{program:32} {file:18}", *(f"{rw:8.4f}" for rw in rws))


if __name__ == "__main__":
    main()
