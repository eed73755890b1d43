"""One PDF to a refined structure, in an xyz file.

The PDF is simulated from a platinum particle of 79 atoms; put
``cb.read_pdf("particle.gr", composition="Pt")`` in its place.  `cb.solve`
without `count`, `refine` and `polish` searches longer, and edits the best
structures as far as the data support it.

    python recipes/one_pdf.py
"""

from pathlib import Path

from ase.cluster import Octahedron

import diffpy_cbldm as cb


def simulated() -> cb.PDFData:
    """Return the PDF of a truncated octahedron, as measured at 100 K."""
    truth = cb.Cluster("Pt", Octahedron("Pt", 5, cutoff=1).positions)
    return cb.simulate([truth], qmax=24.0, biso=0.3, delta2=3.0)[0]


def main(path: str = "particle.xyz") -> cb.Solution:
    """Solve, explain, and write the best structure."""
    solution = cb.solve(simulated(), count=16, refine=2, polish=False)
    print(solution.explain())
    best = solution.candidates[0]
    for name, (value, uncertainty) in best.parameters.items():
        print(f"{name:<10} {value:8.4f} +- {uncertainty:.4f}")
    best.write_xyz(path, comment=f"Rw {best.rw:.4f}")
    print(f"wrote {Path(path).resolve()}")
    return solution


if __name__ == "__main__":
    main()
