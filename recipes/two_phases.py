"""A particle and its ligands in one FitRecipe.

The PDF is that of a gold particle plus a share of that of its ligands, with
peaks at short r that no metal has.  Distances between metal and ligand are
left out: they are spread over many.  The particle is proposed from the data
beyond the ligand's bonds, the ligand is added as a second generator, and both
are refined together.

Another phase is added in the same way: a second particle, or, where
diffpy.srreal is installed, the bulk metal of sintered particles by SrFit's
``PDFGenerator`` and a cif file.

    python recipes/two_phases.py
"""

import numpy as np
from ase.build import molecule
from ase.cluster import Octahedron
from diffpy.srfit.fitbase import FitRecipe, FitResults
from scipy.optimize import least_squares

import diffpy_cbldm as cb
from diffpy_cbldm import modern
from diffpy_cbldm.fitting import DebyeGenerator

SHARE = 0.2
FIRST = 2.5  # A: the shortest bond of the metal is longer
LIGAND = cb.Cluster.from_ase(molecule("C6H6"))


def simulated() -> cb.PDFData:
    """Return the PDF of 79 gold atoms and of benzene rings."""
    particle = cb.Cluster("Au", Octahedron("Au", 5, cutoff=1).positions)
    metal, ring = cb.simulate([particle, LIGAND], qdamp=0.03)
    g = (1 - SHARE) * metal.g + SHARE * ring.g
    return cb.PDFData(
        r=metal.r,
        g=g,
        composition="Au",
        qmin=metal.qmin,
        qmax=metal.qmax,
        qdamp=0.03,
        stype="X",
    )


def make_recipe(seed: cb.Candidate, pdf: cb.PDFData) -> FitRecipe:
    """Return the recipe of a proposal, with the ligand as second phase."""
    recipe = cb.make_recipe(seed, pdf, rmin=0.8)
    contribution = recipe.cluster

    second = DebyeGenerator("ligand")
    second.set_structure(LIGAND.to_diffpy())
    second.set_qmin(pdf.qmin)
    second.set_qmax(pdf.qmax)
    second.qdamp.value = pdf.qdamp
    modern(contribution).add_profile_generator(second)
    modern(contribution).set_equation(
        "s1 * ((1 - share) * G1 + share * ligand)"
    )
    share = modern(recipe).add_variable(contribution.share, 0.1)
    modern(share).bound_range(0, 1)

    uiso = modern(recipe).create_new_variable("ligand_Uiso", 0.005)
    modern(uiso).bound_range(0.0005, 0.05)
    for atom in second.phase.get_scatterers():
        modern(recipe).add_constraint(atom.Uiso, "ligand_Uiso")
    return recipe


def main() -> tuple[float, FitResults]:
    """Return Rw of the particle alone, and the results with the ligand."""
    pdf = simulated()
    (seed,) = cb.propose(pdf, count=1, generators=("library",), rmin=FIRST)
    alone = cb.refine(seed, pdf, rmin=0.8)
    print(f"The particle alone: {alone}.")
    recipe = make_recipe(seed, pdf)
    low, high = np.transpose(modern(recipe).get_bounds_pairs())
    least_squares(
        recipe.residual, recipe.values, bounds=(low, high), x_scale="jac"
    )
    results = FitResults(recipe)
    print(f"with the ligand: Rw {results.rw:.5f}")
    for name, value in zip(results.varnames, results.varvals, strict=True):
        print(f"{name:<12} {value:8.4f}")
    return alone.rw, results


if __name__ == "__main__":
    main()
