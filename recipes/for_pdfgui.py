"""A structure and its PDF for PDFgui, which knows no Qmin.

A measured G(r) lacks what a particle scatters below Qmin, and goes below 0
between its peaks; PDFgui calculates all of it, and a cluster in a box fits
badly there, however right it is.  Here the missing part is calculated for the
answer and added to the data, from which PDFgui can then fit positions, widths
and occupancies.  What is added follows from the structure and is no evidence
for it: compare structures by the Rw of `cb.solve`.

    python recipes/for_pdfgui.py
"""

import dataclasses

import numpy as np
from ase.cluster import Octahedron

import diffpy_cbldm as cb
from diffpy_cbldm.fitting import DebyeGenerator
from diffpy_cbldm.pdfdata import write_gr


def simulated() -> cb.PDFData:
    """Return the PDF of a truncated octahedron of 79 atoms."""
    truth = cb.Cluster("Pt", Octahedron("Pt", 5, cutoff=1).positions)
    return cb.simulate([truth], qdamp=0.03, delta2=2.0)[0]


def curve(fit: cb.Candidate, pdf: cb.PDFData, qmin: float) -> np.ndarray:
    """Return the calculated G(r) of a refined candidate from a Qmin on."""
    generator = DebyeGenerator()
    generator.set_structure(fit.to_diffpy())  # with its Uiso
    generator.set_scattering_type(pdf.stype)
    generator.set_qmax(pdf.qmax)
    generator.set_qmin(qmin)
    generator.qdamp.value = pdf.qdamp or 0.0
    for name in ("scale", "delta2", "qdamp"):
        if name in fit.parameters:
            getattr(generator, name).value = fit.parameters[name][0]
    return generator(pdf.r)


def main(stem: str = "particle") -> tuple[cb.Candidate, cb.PDFData]:
    """Write ``STEM.stru`` and ``STEM-all-q.gr``; return what is in them."""
    pdf = simulated()
    solution = cb.solve(
        pdf, count=8, refine=1, polish=False, generators=("library",)
    )
    best = solution.candidates[0]
    below = curve(best, pdf, 0.0) - curve(best, pdf, pdf.qmin)
    whole = dataclasses.replace(pdf, g=pdf.g + below, qmin=0.0)
    # Images of the particle begin beyond the data; the larger the box, the
    # less the mean density that PDFgui takes off.
    best.write_stru(f"{stem}.stru", rmax=3 * pdf.r[-1])
    write_gr(f"{stem}-all-q.gr", whole)
    print(f"{best}\nwrote {stem}.stru and {stem}-all-q.gr")
    return best, whole


if __name__ == "__main__":
    main()
