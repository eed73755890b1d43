"""Follow one particle through a temperature series.

The first PDF is solved; its structure is then refined against the others,
each fit beginning where the one before it ended.  The PDFs are simulated,
with thermal expansion and growing Uiso.

    python recipes/series.py
"""

from math import pi

from ase.cluster import Icosahedron

import diffpy_cbldm as cb

TEMPERATURES = (100, 200, 300, 400, 500)  # K
EXPANSION = 9e-6  # 1/K
UISO = 1.5e-5  # A^2/K


def simulated() -> list[cb.PDFData]:
    """Return the PDF of an icosahedron of 147 atoms at each temperature."""
    cold = cb.Cluster("Au", Icosahedron("Au", 4).positions)
    pdfs = []
    for t in TEMPERATURES:
        warm = cold.scaled(1 + EXPANSION * t)
        pdfs += cb.simulate([warm], biso=8 * pi**2 * UISO * t, delta2=2.0)
    return pdfs


def main() -> list[tuple[int, float, float, float]]:
    """Return T, stretch against the first, Uiso and Rw for each PDF."""
    pdfs = simulated()
    solution = cb.solve(
        pdfs[0], count=8, refine=1, polish=False, generators=("library",)
    )
    first = solution.candidates[0]
    print(f"{first}\n{'T, K':>5} {'stretch':>9} {'Uiso, A^2':>10} {'Rw':>7}")
    start, rows = {}, []
    for t, pdf in zip(TEMPERATURES, pdfs, strict=True):
        fit = cb.refine(first, pdf, start=start, heldout=False)
        stretch, uiso = fit.parameters["zoomscale"], fit.parameters["Au_Uiso"]
        start = {"zoomscale": stretch[0], "Au_Uiso": uiso[0]}
        rows.append((t, stretch[0], uiso[0], fit.rw))
        print(f"{t:5d} {stretch[0]:9.5f} {uiso[0]:10.5f} {fit.rw:7.4f}")
    return rows


if __name__ == "__main__":
    main()
