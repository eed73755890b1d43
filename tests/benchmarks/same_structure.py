"""RMSD of symmetric clusters, beside the matchers of pymatgen.

Each cluster is compared with copies of itself: turned, and its atoms in
another order.  Then an icosahedron is compared with a cuboctahedron.  Prints
the largest RMSD in angstrom and the mean processor time in seconds; the
tables of ``docs/how-to/same_structure.md`` are from here.

    python -m tests.benchmarks.same_structure
"""

from __future__ import annotations

import time
import warnings

import numpy as np
from ase.cluster import Icosahedron, Octahedron
from pymatgen.analysis.molecule_matcher import HungarianOrderMatcher
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Lattice, Structure
from scipy.spatial.transform import Rotation

import diffpy_cbldm as cb
from diffpy_cbldm.crystals.bonds import shortest_bond
from diffpy_cbldm.threads import one_thread

COPIES = 5

LARGEST = 147
"""Atoms up to which pymatgen is asked."""

CLUSTERS = {
    "cuboctahedron": Octahedron("Au", 3, cutoff=1),
    "truncated octahedron": Octahedron("Au", 4, cutoff=1),
    "icosahedron": Icosahedron("Au", 3),
    "larger icosahedron": Icosahedron("Au", 4),
    "largest icosahedron": Icosahedron("Au", 7),
}


def copies(cluster: cb.Cluster) -> list[cb.Cluster]:
    """The cluster in other positions and orders."""
    rng = np.random.default_rng(0)
    turns = Rotation.random(COPIES, rng=rng)
    return [
        cb.Cluster("Au", turn.apply(rng.permutation(cluster.positions)))
        for turn in turns
    ]


def timed(work, first, others) -> str:
    """The largest result, and the mean processor time in s, as text."""
    start = time.thread_time()
    worst = max(float(work(first, other)) for other in others)
    seconds = (time.thread_time() - start) / len(others)
    return f"{worst:10.2g} {seconds:7.3f}"


def hungarian(first: cb.Cluster, other: cb.Cluster) -> float:
    """The RMSD of pymatgen's matcher."""
    matcher = HungarianOrderMatcher(first.to_pymatgen())
    return matcher.fit(other.to_pymatgen())[1]


def boxed(cluster, edge: float) -> Structure:
    """A cluster with bonds of 2.88 A in a cubic cell."""
    x = cluster.positions - cluster.positions.mean(axis=0)
    x = x * 2.88 / shortest_bond(x) + edge / 2
    cell = Lattice.cubic(edge)
    return Structure(cell, ["Au"] * len(x), x, coords_are_cartesian=True)


def main() -> None:
    print(
        "a cluster and itself        N    cb.rmsd       s  Hungarian       s"
    )
    for name, atoms in CLUSTERS.items():
        cluster = cb.Cluster("Au", atoms.positions)
        others = copies(cluster)
        line = f"{name:22s} {len(cluster):6d} "
        line += timed(cb.rmsd, cluster, others)
        if len(cluster) <= LARGEST:
            line += f" {timed(hungarian, cluster, others)}"
        print(line)

    print("\nicosahedron, cuboctahedron   StructureMatcher  cb.same  cb.rmsd")
    matcher = StructureMatcher(scale=False, primitive_cell=False)
    for edge in (10.0, 30.0, 50.0):
        pair = [
            boxed(atoms, edge)
            for atoms in (Icosahedron("Au", 2), CLUSTERS["cuboctahedron"])
        ]
        print(
            f"box {edge:.0f} A {matcher.fit(*pair)!s:>35} "
            f"{cb.same_structure(*pair)!s:>8} {cb.rmsd(*pair):8.2f}"
        )


if __name__ == "__main__":
    with warnings.catch_warnings(), one_thread():
        warnings.simplefilter("ignore")
        main()
