"""Milliseconds of SrFit residuals and whole fits with the built-in engine.

Run as ``python -m tests.benchmarks.srfit``: residuals of a 146-atom cluster
when one variable or all change, on one thread, and the two fits whose native
results are in ``tests/reference/srfit_native.json`` (each 5 to 6.5 s with
the native calculator there), where their measured PDFs lie beside this
repository.
"""

from __future__ import annotations

import json
import math
import pathlib
import time

import numpy as np
import torch
from ase.cluster import Decahedron, FaceCenteredCubic

import diffpy_cbldm as cb
from diffpy_cbldm.cluster import Cluster
from diffpy_cbldm.renames import modern
from tests.benchmarks.debye import clusters

ROOT = pathlib.Path(__file__).resolve().parents[2]
MEASURED = ROOT.parent / "shared" / "data" / "experimental"
FITS = ROOT / "tests" / "reference" / "srfit_native.json"


def residuals() -> None:
    """The median and the shortest time of a residual, by what changes."""
    cluster = Cluster("Pt", clusters(146, 1)[0].numpy())
    (pdf,) = cb.simulate([cluster], delta2=2.0)
    recipe = cb.make_recipe(cluster, pdf, backend="torch")
    values = np.array(recipe.values)
    names = list(modern(recipe).get_names())
    print(f"{'residual, 146 atoms':24s} {'median ms':>10s} {'best ms':>10s}")
    for name in [*names, "all"]:
        moved = [name in (n, "all") for n in names]
        times = []
        for k in range(200):
            trial = values * (1 + 1e-4 * np.cos(k + values) * moved)
            begin = time.perf_counter()
            recipe.residual(trial)
            times.append(1e3 * (time.perf_counter() - begin))
        print(f"{name:24s} {np.median(times):10.2f} {min(times):10.2f}")


def built(fit: dict) -> Cluster:
    """The cluster of a native fit."""
    if fit["n"] == 225:
        faces = [[1, 0, 0], [1, 1, 0], [1, 1, 1]]
        edge = 2.775 * math.sqrt(2)
        atoms = FaceCenteredCubic("Pt", faces, (5, 6, 3), edge)
    else:
        atoms = Decahedron("Au", 4, 1, 1, 2.884 * math.sqrt(2))
    return Cluster.from_ase(atoms)


def fits() -> None:
    """The native fits, from the cluster to FitResults; best of five."""
    for fit in json.loads(FITS.read_text())["fits"]:
        path = MEASURED / fit["data"]
        if not path.exists():
            print(f"{fit['data']}: not beside this repository")
            continue
        q = {"qmin": fit["qmin"], "qmax": fit["qmax"], "qdamp": 0.04}
        pdf = cb.read_pdf(path, qbroad=0.0, **q)
        cluster, times = built(fit), []
        for _ in range(5):
            begin = time.perf_counter()
            one = cb.refine(
                cluster,
                pdf,
                backend="torch",
                rmin=fit["range"][0],
                rmax=fit["range"][1],
                heldout=False,
            )
            times.append(time.perf_counter() - begin)
        assert one.rw is not None
        print(
            f"{fit['data']}, {fit['n']} atoms: first {times[0]:.2f} s, best "
            f"{min(times):.2f} s, Rw {one.rw:.5f}, off the native one by "
            f"{abs(one.rw - fit['rw']):.1e}"
        )


if __name__ == "__main__":
    torch.set_num_threads(1)
    residuals()
    fits()
