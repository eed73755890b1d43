"""Seconds of refining two elements, with kept pairs and without.

Run as ``python -m tests.benchmarks.mixed [--old N] [radius ...]``: spheres of
rutile IrO2 of the given radii (A) are refined (`cb.refine` with its held-out
part) on the measured PDF IrO2_3nm where it lies beside this repository, else
on the sphere's own simulated PDF.  "old" sums over all pairs for each curve
(`debye.mixed`), for particles of at most N atoms; both are timed in turn, in
processor time of one thread, and the two Rw stand beside them.
"""

from __future__ import annotations

import argparse
import pathlib
import time
from unittest import mock

import numpy as np
import torch
from ase.spacegroup import crystal

import diffpy_cbldm as cb
from diffpy_cbldm.fitting.mixed_pairs import MixedPairs

MEASURED = (
    pathlib.Path(__file__).resolve().parents[3]
    / "shared/data/experimental/IrO2_3nm.gr"
)
RADII = (9.15, 11.2, 13.0, 23.4)


def rutile(radius: float) -> cb.Cluster:
    """A sphere of IrO2 about an iridium; radius in A.

    Lattice parameters of Bolzan et al., Acta Cryst. B 53, 373 (1997).
    """
    cell = crystal(
        ["Ir", "O"],
        [(0, 0, 0), (0.308, 0.308, 0)],
        spacegroup=136,
        cellpar=[4.505, 4.505, 3.159, 90, 90, 90],
    )
    repeats = [2 * int(radius / edge + 1) for edge in cell.cell.lengths()]
    whole = cell.repeat(repeats)
    symbols = np.array(whole.get_chemical_symbols())
    x = whole.positions - whole.positions.mean(0)
    iridium = x[symbols == "Ir"]
    x = x - iridium[(iridium**2).sum(1).argmin()]
    near = (x**2).sum(1) < radius**2
    return cb.Cluster([str(s) for s in symbols[near]], x[near])


def seconds(
    cluster: cb.Cluster, pdf: cb.PDFData
) -> tuple[float, cb.Candidate]:
    """Processor time of one refinement, and its result."""
    begin = time.process_time()
    one = cb.refine(cluster, pdf)
    return time.process_time() - begin, one


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("radius", type=float, nargs="*", default=RADII)
    parser.add_argument("--old", type=int, default=600, metavar="N")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    seconds(rutile(4.0), cb.simulate([rutile(4.0)])[0])  # what is compiled
    print("  atoms   new s   old s     Rw new     Rw old   shortest A")
    for radius in chosen.radius:
        cluster = rutile(radius)
        if MEASURED.exists():
            pdf = cb.read_pdf(MEASURED, composition="IrO2")
        else:
            (pdf,) = cb.simulate([cluster], biso=0.6, delta2=2.0, qdamp=0.03)
        new, one = seconds(cluster, pdf)
        old, other = "", ""
        if len(cluster.elements) <= chosen.old:
            with mock.patch.object(MixedPairs, "pdf", return_value=None):
                took, before = seconds(cluster, pdf)
            old, other = f"{took:7.2f}", f"{before.rw:10.6f}"
        x = cluster.positions
        bond = np.linalg.norm(x[1:] - x[0], axis=1).min()
        print(
            f"{len(x):7d} {new:7.2f} {old:>7s} {one.rw:10.6f} {other:>10s} "
            f"{bond:10.3f}"
        )


if __name__ == "__main__":
    main()
