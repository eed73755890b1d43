"""A particle that reaches beyond its data, handed over to PDFgui.

Data that end before the particle does tell no shape: the answer says "at
least", and the crystal that ends at a sphere is the model.  Its phase, the
data and what is refined go to a project that PDFgui opens; the same fit is
made here by diffpy.pdffit2, where that is installed.

    python recipes/beyond_the_data.py
"""

import dataclasses

import numpy as np
from pymatgen.core import Lattice, Structure

import diffpy_cbldm as cb
from diffpy_cbldm.fitting.calibrant import installed
from diffpy_cbldm.fitting.periodic import refine_sphere
from diffpy_cbldm.fitting.target import Target
from diffpy_cbldm.output.pdfgui import write_project

END = 18.0
"""Where the data end, A."""


def simulated() -> cb.PDFData:
    """Return the PDF of a sphere of ceria, 28 A across, up to `END`."""
    fluorite = Structure.from_spacegroup(
        "Fm-3m", Lattice.cubic(5.411), ["Ce", "O"], [[0, 0, 0], [0.25] * 3]
    )
    cell = fluorite * (7, 7, 7)
    middle = cell.lattice.get_cartesian_coords([0.45, 0.45, 0.45])
    inside = cell.get_sites_in_sphere(middle, 14.0)
    dot = cb.Cluster(
        [site.specie.symbol for site in inside],
        np.array([site.coords for site in inside]),
    )
    (pdf,) = cb.simulate(
        [dot], qmin=0.9, qmax=22.0, qdamp=0.04, biso=0.5, rmax=END
    )
    return dataclasses.replace(pdf, composition="CeO2")


def main(path: str = "ceria.ddp3") -> cb.Solution:
    """Solve, write a project of PDFgui and refine its phase."""
    solution = cb.solve(simulated(), count=8, refine=1, polish=False)
    print(solution.headline)
    write_project(solution, "ceria.gr", path)
    print(f"wrote {path}: {solution.crystal}")
    if installed():
        used = solution.settings
        target = Target.of(solution.pdf, used["rmin"], used["rmax"])
        found = refine_sphere(solution.unit_cell, solution.crystal, target)
        for name, value in found.items():
            print(f"{name:<10} {value:9.4f}")
    return solution


if __name__ == "__main__":
    main()
