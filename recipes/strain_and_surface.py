"""Find the strain and the relaxed surface of a cluster with SrFit.

The PDF is simulated from a strained cuboctahedron of 147 atoms; the recipe
begins with the ideal one.  Its moves are ordinary SrFit variables: they can
be fixed, constrained and bounded, and FitResults has their uncertainties.

    python recipes/strain_and_surface.py
"""

import numpy as np
from ase.cluster import Octahedron
from diffpy.srfit.fitbase import FitResults
from scipy.optimize import least_squares

import diffpy_cbldm as cb
from diffpy_cbldm.fitting.moves import moved

TRUTH = {"strain_xx": 0.015, "strain_xy": 0.01, "surface_1": -0.02}


def main() -> FitResults:
    """Simulate, refine and print."""
    ideal = cb.Cluster("Pt", Octahedron("Pt", 7, cutoff=3).positions)
    real = cb.Cluster("Pt", moved(ideal.positions, TRUTH))
    pdf = cb.simulate([real])[0]

    # The slopes of G(r) vanish for a symmetric cluster without strain.
    start = {"strain_xx": 0.005, "strain_xy": 0.005}
    moves = ("strain", "surface")
    recipe = cb.make_recipe(ideal, pdf, moves=moves, start=start)
    recipe.fix("strain_xz", "strain_yz")
    low, high = np.transpose(cb.modern(recipe).get_bounds_pairs())
    # Steps as large as matter, for the same reason.
    steps = [0.1, 0.003, 0.003, 1.0] + [0.01] * (len(low) - 4)
    least_squares(
        recipe.residual, recipe.values, bounds=(low, high), x_scale=steps
    )
    results = FitResults(recipe)
    print(f"Rw {results.rw:.5f}\n{'variable':<10} {'found':>8} {'truth':>8}")
    for name, value in zip(results.varnames, results.varvals, strict=True):
        print(f"{name:<10} {value:8.4f} {TRUTH.get(name, ''):>8}")
    return results


if __name__ == "__main__":
    main()
