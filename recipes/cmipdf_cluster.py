"""A recipe of diffpy.cmipdf with the built-in generator in place.

diffpy.cmipdf goes on with the PDF part of diffpy.srfit under new names.  Its
``PDFContribution`` fits a cluster with ``DebyePDFGenerator``; the generator of
this package has the same methods and is added instead.  diffpy.cmipdf can be
imported where diffpy.srreal is installed; elsewhere the FitContribution of
diffpy.srfit, on which it builds, does the same here.

    python recipes/cmipdf_cluster.py
"""

import numpy as np
from ase.cluster import Icosahedron
from diffpy.srfit.fitbase import (
    FitContribution,
    FitRecipe,
    FitResults,
    Profile,
)
from scipy.optimize import least_squares

import diffpy_cbldm as cb
from diffpy_cbldm import modern
from diffpy_cbldm.fitting import DebyeGenerator

TRUTH = {"scale": 0.8, "zoom": 1.01, "Au_Uiso": 0.006}


def simulated() -> tuple[cb.Cluster, cb.PDFData]:
    """Return an icosahedron of 55 atoms, and the PDF of a larger one."""
    ideal = cb.Cluster("Au", Icosahedron("Au", 3).positions)
    (pdf,) = cb.simulate(
        [ideal.scaled(TRUTH["zoom"])],
        biso=8 * np.pi**2 * TRUTH["Au_Uiso"],
        rmax=20.0,
    )
    g = TRUTH["scale"] * pdf.g
    return ideal, cb.PDFData(
        r=pdf.r, g=g, composition="Au", qmin=pdf.qmin, qmax=pdf.qmax
    )


def make_contribution(pdf: cb.PDFData) -> FitContribution:
    """Return the contribution of diffpy.cmipdf with the PDF in it."""
    try:
        from diffpy.cmipdf import PDFContribution
    except ImportError as error:
        print(f"without diffpy.cmipdf ({error})")
        contribution = FitContribution("particle")
        modern(contribution).set_profile(Profile(), xname="r")
        modern(contribution).new_parameter("scale", 1.0)
    else:
        contribution = PDFContribution("particle")
    # With a file: contribution.load_data("particle.gr")
    profile = modern(contribution.profile)
    profile.set_observed_profile(pdf.r, pdf.g)
    profile.set_calculation_range(1.5, 20.0, "obs")
    return contribution


def make_recipe(cluster: cb.Cluster, pdf: cb.PDFData) -> FitRecipe:
    """Return the recipe: scale, size and one Uiso."""
    contribution = make_contribution(pdf)

    # Instead of: contribution.add_structure(structure, "G1", periodic=False)
    generator = DebyeGenerator("G1")
    generator.set_structure(cluster.to_diffpy())
    modern(contribution).add_profile_generator(generator)
    modern(contribution).set_equation("scale * G1")
    generator.set_qmin(pdf.qmin)
    generator.set_qmax(pdf.qmax)
    generator.qdamp.value = 0.04

    recipe = FitRecipe()
    modern(recipe).clear_fit_hooks()
    modern(recipe).add_contribution(contribution)
    modern(recipe).add_variable(contribution.scale, 1.0)
    modern(recipe).create_new_variable("zoom", 1.0)
    lattice = generator.phase.get_lattice()
    for edge in (lattice.a, lattice.b, lattice.c):
        modern(recipe).add_constraint(edge, "zoom")
    modern(recipe).create_new_variable("Au_Uiso", 0.004)
    for atom in generator.phase.get_scatterers():
        modern(recipe).add_constraint(atom.Uiso, "Au_Uiso")
    return recipe


def main() -> FitResults:
    """Refine, and print what was found beside the truth."""
    recipe = make_recipe(*simulated())
    least_squares(recipe.residual, recipe.values, x_scale="jac")
    results = FitResults(recipe)
    print(f"Rw {results.rw:.5f}")
    for name, value in zip(results.varnames, results.varvals, strict=True):
        print(f"{name:<8} {value:.4f}, truth {TRUTH[name]}")
    return results


if __name__ == "__main__":
    main()
