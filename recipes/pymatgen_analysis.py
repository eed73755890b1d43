"""Coordination numbers and bond lengths of a result, with pymatgen.

python recipes/pymatgen_analysis.py
"""

import collections

import numpy as np
from ase.cluster import Icosahedron
from pymatgen.core import Structure

import diffpy_cbldm as cb

SHELL = 1.2
"""End of the first shell in units of the shortest distance."""


def neighbours(structure: Structure) -> tuple[list[int], np.ndarray]:
    """Return coordination numbers, and bond lengths in A (each twice)."""
    distances = structure.distance_matrix
    shortest = distances[distances > 0].min()
    found = structure.get_all_neighbors(SHELL * shortest)
    lengths = [n.nn_distance for site in found for n in site]
    return [len(site) for site in found], np.array(lengths)


def main() -> tuple[list[int], np.ndarray]:
    """Solve a simulated PDF, count neighbours and measure bonds."""
    truth = cb.Cluster("Pd", Icosahedron("Pd", 4).positions)
    pdf = cb.simulate([truth], biso=0.4)[0]
    solution = cb.solve(
        pdf, count=16, refine=1, polish=False, generators=("library",)
    )
    best = solution.candidates[0]
    # In a box, as a crystal: most of pymatgen's tools want a Structure.
    numbers, lengths = neighbours(best.to_pymatgen(boxed=True))
    print(f"{best}\nmean coordination {np.mean(numbers):.2f}")
    for number, atoms in sorted(collections.Counter(numbers).items()):
        print(f"{atoms:4d} atoms with {number} neighbours")
    print(f"bonds: mean {lengths.mean():.4f} A, spread {lengths.std():.4f} A")
    counts, edges = np.histogram(lengths, bins=5)
    for count, low, high in zip(counts, edges, edges[1:]):
        print(f"{low:.4f} to {high:.4f} A: {count // 2}")
    return numbers, lengths


if __name__ == "__main__":
    main()
