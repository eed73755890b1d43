"""Fit a CdSe quantum dot with SrFit, without diffpy.srreal.

The measurement and the cluster of 91 atoms are those of chapter 11 of "PDF
to the People", and come with diffpy.cmi.  The recipe is an ordinary SrFit
recipe; the one line that differs from the stock way is marked.

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

# Instead of: from diffpy.srfit.pdf import DebyePDFGenerator
from diffpy_cbldm.fitting.generator import DebyeGenerator

EXAMPLE = "docs/examples/pdf/ch11ClusterXYZ/data"


def data_folder() -> Path:
    """Return the folder of CdSe.gr and CdSe.xyz inside diffpy.cmi."""
    return Path(str(resources.files("diffpy.cmi"))) / EXAMPLE


def make_recipe(folder: Path) -> FitRecipe:
    """Return the recipe: scale, size, one U for each element, delta2."""
    profile = Profile()
    parser = PDFParser()
    parser.parseFile(str(folder / "CdSe.gr"))
    profile.loadParsedData(parser)
    profile.setCalculationRange(xmin=1.5, xmax=20.0, dx=0.01)  # angstrom

    generator = DebyeGenerator("G1")
    generator.setStructure(Structure(filename=str(folder / "CdSe.xyz")))
    generator.setQmin(1.0)  # 1/angstrom, as are the next
    generator.setQmax(20.0)
    generator.qdamp.value = 0.06

    contribution = FitContribution("dot")
    contribution.addProfileGenerator(generator)
    contribution.setProfile(profile, xname="r")
    contribution.setEquation("scale * G1")

    recipe = FitRecipe()
    recipe.clearFitHooks()
    recipe.addContribution(contribution)
    recipe.addVar(contribution.scale, 1.0)
    recipe.addVar(generator.delta2, 5.0)
    recipe.newVar("zoom", 1.0)
    lattice = generator.phase.getLattice()
    for edge in (lattice.a, lattice.b, lattice.c):
        recipe.constrain(edge, "zoom")
    for element in ("Cd", "Se"):
        recipe.newVar(f"{element}_Uiso", 0.01)
    for atom in generator.phase.getScatterers():
        recipe.constrain(atom.Uiso, f"{atom.element}_Uiso")
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
