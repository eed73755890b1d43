"""Fit a CdSe quantum dot with SrFit, without diffpy.srreal.

The measurement and the cluster of 91 atoms are those of chapter 11 of "PDF
to the People", and come with diffpy.cmi.  The recipe is an ordinary SrFit
recipe; the one line that differs from the stock way is marked.  `modern` gives
the methods of diffpy.srfit 3.2 the names that they have from 3.4 on; where
that is installed, ``recipe.add_variable(...)`` does without.

    python recipes/cluster_cdse.py
"""

from importlib import resources
from pathlib import Path

from diffpy.srfit.fitbase import (
    FitContribution,
    FitRecipe,
    FitResults,
    Profile,
)
from diffpy.srfit.pdf import PDFParser
from diffpy.structure import Structure
from scipy.optimize import least_squares

from diffpy_cbldm import modern

# Instead of: from diffpy.srfit.pdf import DebyePDFGenerator
from diffpy_cbldm.fitting import DebyeGenerator

EXAMPLE = "docs/examples/pdf/ch11ClusterXYZ/data"


def data_folder() -> Path:
    """Return the folder of CdSe.gr and CdSe.xyz inside diffpy.cmi."""
    return Path(str(resources.files("diffpy.cmi"))) / EXAMPLE


def make_recipe(folder: Path) -> FitRecipe:
    """Return the recipe: scale, size, one U for each element, delta2."""
    profile = Profile()
    parser = PDFParser()
    modern(parser).parse_file(str(folder / "CdSe.gr"))
    modern(profile).load_parsed_data(parser)
    modern(profile).set_calculation_range(1.5, 20.0, 0.01)  # angstrom

    generator = DebyeGenerator("G1")
    generator.set_structure(Structure(filename=str(folder / "CdSe.xyz")))
    generator.set_qmin(1.0)  # 1/angstrom, as are the next
    generator.set_qmax(20.0)
    generator.qdamp.value = 0.06

    contribution = FitContribution("dot")
    modern(contribution).add_profile_generator(generator)
    modern(contribution).set_profile(profile, xname="r")
    modern(contribution).set_equation("scale * G1")

    recipe = FitRecipe()
    modern(recipe).clear_fit_hooks()
    modern(recipe).add_contribution(contribution)
    modern(recipe).add_variable(contribution.scale, 1.0)
    modern(recipe).add_variable(generator.delta2, 5.0)
    modern(recipe).create_new_variable("zoom", 1.0)
    lattice = generator.phase.get_lattice()
    for edge in (lattice.a, lattice.b, lattice.c):
        modern(recipe).add_constraint(edge, "zoom")
    for element in ("Cd", "Se"):
        modern(recipe).create_new_variable(f"{element}_Uiso", 0.01)
    for atom in generator.phase.get_scatterers():
        modern(recipe).add_constraint(atom.Uiso, f"{atom.element}_Uiso")
    return recipe


def main() -> FitResults:
    """Refine in steps of more and more variables, and print the results."""
    recipe = make_recipe(data_folder())
    recipe.fix("all")
    for names in (["zoom"], ["scale"], ["Cd_Uiso", "Se_Uiso"], ["delta2"]):
        recipe.free(*names)
        least_squares(recipe.residual, recipe.values, x_scale="jac")
    results = FitResults(recipe)
    print(results)
    return results


if __name__ == "__main__":
    main()
