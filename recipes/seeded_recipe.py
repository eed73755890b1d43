"""Seed a SrFit recipe with a proposal, and change it by hand.

`cb.make_recipe` gives a FitRecipe like any other: variables are deleted,
added and constrained with the means of SrFit.  `cb.modern` gives those their
newest names on every version of diffpy.srfit.  Here the one stretch becomes
two, along z and across it, and the one Uiso becomes one for the atoms at the
surface and one for those inside.

    python recipes/seeded_recipe.py
"""

import numpy as np
from ase.cluster import Octahedron
from diffpy.srfit.fitbase import FitRecipe, FitResults
from scipy.optimize import least_squares

import diffpy_cbldm as cb
from diffpy_cbldm.crystals.bonds import surface_shells
from diffpy_cbldm.fitting.calculator import DebyeCalculator

TRUTH = {
    "zoom_z / zoomscale": 1.014,
    "core_Uiso": 0.004,
    "surface_Uiso": 0.009,
}


def at_surface(cluster: cb.Cluster) -> np.ndarray:
    """Return True for the atoms with few neighbours."""
    return surface_shells(cluster.positions) == 1


def simulated() -> cb.PDFData:
    """Return the PDF of a stretched particle with a loose surface."""
    ideal = cb.Cluster("Pt", Octahedron("Pt", 5, cutoff=1).positions)
    stretch = [1.0, 1.0, TRUTH["zoom_z / zoomscale"]]
    real = cb.Cluster("Pt", ideal.positions * stretch)
    structure = real.to_diffpy()
    for atom, outside in zip(structure, at_surface(ideal), strict=True):
        name = "surface_Uiso" if outside else "core_Uiso"
        atom.Uisoequiv = TRUTH[name]
    calculator = DebyeCalculator()
    calculator.qmin, calculator.qmax, calculator.rmax = 0.7, 24.0, 25.0
    calculator.qdamp = 0.03
    r, g = calculator(structure)
    return cb.PDFData(
        r=r, g=g, composition="Pt", qmin=0.7, qmax=24.0, qdamp=0.03, stype="X"
    )


def make_recipe(seed: cb.Candidate, pdf: cb.PDFData) -> FitRecipe:
    """Return the recipe of a proposal, with two stretches and two Uiso."""
    recipe = cb.make_recipe(seed, pdf)
    phase = recipe.cluster.G1.phase
    by_name = cb.modern(recipe)

    # A symmetric cluster's G(r) has no slope where all edges are equal.
    by_name.create_new_variable("zoom_z", 1.005)
    along = cb.modern(phase).get_lattice().c
    by_name.remove_constraint(along)
    by_name.add_constraint(along, "zoom_z")

    by_name.delete_variable(recipe.Pt_Uiso)
    by_name.create_new_variable("core_Uiso", 0.005)
    by_name.create_new_variable("surface_Uiso", 0.005)
    for atom, outside in zip(
        cb.modern(phase).get_scatterers(), at_surface(seed), strict=True
    ):
        name = "surface_Uiso" if outside else "core_Uiso"
        by_name.add_constraint(atom.Uiso, name)
    recipe.fix("Pt_Delta2", Pt_Delta2=0.0)
    return recipe


def main() -> tuple[float, dict[str, float]]:
    """Return Rw and the variables: propose, seed the recipe, refine."""
    pdf = simulated()
    (seed,) = cb.propose(pdf, count=1, generators=("library",))
    print(f"The seed is {seed}.")
    recipe = make_recipe(seed, pdf)
    least_squares(recipe.residual, recipe.values, x_scale="jac")
    results = FitResults(recipe)
    print(results)
    found = dict(zip(results.varnames, results.varvals, strict=True))
    found["zoom_z / zoomscale"] = found["zoom_z"] / found["zoomscale"]
    for name, truth in TRUTH.items():
        print(f"{name:<18} {found[name]:.4f}, truth {truth}")
    return results.rw, found


if __name__ == "__main__":
    main()
