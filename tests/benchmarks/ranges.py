"""Whether the true structure fits its own PDF wherever the range ends.

    python -m tests.benchmarks.ranges [--refine]

For platinum particles of 13 to 2,057 atoms and ranges that end at 5 to 30 A:
how far (Rw) the native calculator's curve is from that at rmax 30, and the Rw
of the true structure on its noise-free PDF, made to 60 A and cut, by the
quick fit and, with ``--refine``, by SrFit.  The exit code is 1 where one is
0.002 or more.
"""

from __future__ import annotations

import argparse
import math

import numpy as np
import torch
from ase.cluster import Icosahedron, Octahedron

import diffpy_cbldm as cb
from diffpy_cbldm.debye.pure import debye_pdf
from diffpy_cbldm.fitting.agreement import rw_scaled
from diffpy_cbldm.fitting.quickfit import quick_fit
from diffpy_cbldm.fitting.target import Target

RANGES = (5.0, 8.0, 12.0, 20.0, 30.0)

LARGEST = 0.002
"""Rw of the true structure stays below it."""


def particles() -> list[cb.Cluster]:
    """Icosahedra and an octahedron of platinum."""
    atoms = [Icosahedron("Pt", layers) for layers in (2, 3, 4)]
    atoms += [Octahedron("Pt", 7, 0)]
    atoms += [Icosahedron("Pt", layers) for layers in (6, 9)]
    return [cb.Cluster("Pt", a.positions) for a in atoms]


def native_curve(cluster: cb.Cluster, rmax: float, grid: str) -> np.ndarray:
    """G(r) from 1.5 A to rmax at the defaults of `cb.simulate`, 1/A^2."""
    curve = debye_pdf(
        torch.tensor(cluster.positions)[None],
        u_iso=0.3 / (8 * math.pi**2),
        qmin=0.7,
        qdamp=0.04,
        rmin=1.5,
        rmax=rmax,
        grid=grid,
    )
    return curve[0].numpy()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--refine", action="store_true")
    refine = parser.parse_args().refine
    print(f"{'atoms':>5} {'rmax':>5} {'native':>8} {'quick':>8} {'SrFit':>8}")
    worst = 0.0
    for cluster in particles():
        whole = native_curve(cluster, 30.0, "whole")
        (pdf,) = cb.simulate(cluster, rmax=60.0)
        for rmax in RANGES:
            native = native_curve(cluster, rmax, "native")
            (off,) = rw_scaled(whole[: len(native)], native[None])
            target = Target.of(pdf, rmax=rmax)
            rws = [quick_fit([cluster.positions], target)[0].rw]
            if refine:
                best = cb.refine(
                    cluster, target, backend="torch", heldout=False
                )
                rws.append(best.rw)
            worst = max(worst, *rws)
            columns = [f"{x:8.4f}" for x in (off, *rws)]
            print(f"{len(cluster):5} {rmax:5g}", *columns, flush=True)
    print(f"largest Rw of a true structure: {worst:.4f}")
    return int(worst >= LARGEST)


if __name__ == "__main__":
    raise SystemExit(main())
