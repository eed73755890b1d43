"""From a crystal of pymatgen to a refined dot.

The PDF is simulated from a piece of ceria; put
``cb.read_pdf("ceria.gr", composition="CeO2")`` in its place, and a structure
of the Materials Project or of a cif file in that of `fluorite`.  Without
`crystals` the common crystals of the composition are tried.

    python recipes/crystal_dot.py
"""

import dataclasses

import numpy as np
from pymatgen.core import Lattice, Structure

import diffpy_cbldm as cb


def fluorite() -> Structure:
    """Return the crystal, as a database has it."""
    return Structure.from_spacegroup(
        "Fm-3m", Lattice.cubic(5.411), ["Ce", "O"], [[0, 0, 0], [0.25] * 3]
    )


def simulated() -> cb.PDFData:
    """Return the PDF of a sphere of 9 A around a cerium atom."""
    cell = fluorite() * (5, 5, 5)
    middle = cell.lattice.get_cartesian_coords([0.4, 0.4, 0.4])
    inside = cell.get_sites_in_sphere(middle, 9.0)
    dot = cb.Cluster(
        [site.specie.symbol for site in inside],
        np.array([site.coords for site in inside]),
    )
    (pdf,) = cb.simulate([dot], qmin=0.9, qmax=22.0, rmax=25.0, biso=0.5)
    return dataclasses.replace(pdf, composition="CeO2")


def main() -> cb.Solution:
    """Cut particles from the crystal, refine the best, and print it."""
    solution = cb.solve(simulated(), crystals=[fluorite()], count=8, refine=1)
    print(solution.explain())
    best = solution.candidates[0]
    for name, (value, uncertainty) in best.parameters.items():
        print(f"{name:<10} {value:8.4f} +- {uncertainty:.4f}")
    return solution


if __name__ == "__main__":
    main()
