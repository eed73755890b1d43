"""Refine one structure on X-rays and neutrons together.

Beside cerium, X-rays hardly see oxygen; neutrons see both alike.  The PDFs
are simulated from a ceria dot whose oxygen is loose, with 2 % of noise.  Each
is refined alone, then both with one structure: each keeps its own scale and
Qdamp, and zoomscale, Uiso and delta2 are shared.

    python recipes/x_rays_and_neutrons.py
"""

import numpy as np
from ase.build import bulk

import diffpy_cbldm as cb
from diffpy_cbldm.fitting.calculator import DebyeCalculator

TRUTH = {"Ce_Uiso": 0.004, "O_Uiso": 0.012}


def dot(radius: float = 8.0) -> cb.Cluster:
    """Return a sphere of fluorite about a cerium; radius in A."""
    atoms = bulk("CeO2", "fluorite", a=5.41, cubic=True).repeat(6)
    atoms.positions -= 3 * 5.41
    inside = (atoms.positions**2).sum(1) < radius**2
    return cb.Cluster.from_ase(atoms[inside])


def measured(cluster: cb.Cluster, stype: str, qdamp: float) -> cb.PDFData:
    """Return the PDF of a dot with noise; its Qdamp is not told."""
    structure = cluster.to_diffpy()
    for atom in structure:
        atom.Uisoequiv = TRUTH[f"{atom.element}_Uiso"]
    calculator = DebyeCalculator()
    calculator.scatteringfactortable = stype
    calculator.qmin, calculator.qmax, calculator.rmax = 0.8, 24.0, 20.0
    calculator.qdamp, calculator.delta2 = qdamp, 2.0
    r, g = calculator(structure)
    noise = np.random.default_rng(len(r) + ord(stype)).normal(size=len(r))
    return cb.PDFData(
        r=r,
        g=g + 0.02 * np.abs(g).max() * noise,
        composition="CeO2",
        qmin=0.8,
        qmax=24.0,
        stype=stype,
    )


def main() -> dict[str, cb.Candidate]:
    """Return what was refined: simulate, refine, print."""
    cluster = dot()
    x_rays = measured(cluster, "X", 0.04)
    neutrons = measured(cluster, "N", 0.02)
    fits = {
        "X-rays": cb.refine(cluster, x_rays),
        "neutrons": cb.refine(cluster, neutrons),
        "together": cb.refine(cluster, x_rays, together=neutrons),
    }
    print(f"{'':10}{'Rw':>8}{'Ce_Uiso':>20}{'O_Uiso':>20}")
    for name, fit in fits.items():
        each = [fit.parameters[u] for u in TRUTH]
        text = "".join(f"{v:11.5f} +- {esd:.5f}" for v, esd in each)
        print(f"{name:10}{fit.rw:8.4f}{text}")
    print(f"{'truth':18}{TRUTH['Ce_Uiso']:11.5f}{TRUTH['O_Uiso']:22.5f}")
    print("Rw of each:", [round(rw, 4) for rw in fits["together"].rw_of_each])
    return fits


if __name__ == "__main__":
    main()
