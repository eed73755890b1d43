"""From the PDF of a metal nanoparticle to refined atomic structures.

A measured G(r) goes in; ranked structures, refined by diffpy.srfit, come
out.  The names below are imported when they are first used, so that
``import diffpy_cbldm`` itself costs nothing.

>>> import diffpy_cbldm as cb
>>> pdf = cb.read_pdf("particle.gr", composition="Pt")  # doctest: +SKIP
>>> print(cb.solve(pdf).explain())  # doctest: +SKIP
"""

import gc
from typing import TYPE_CHECKING, Any

import lazy_loader

from diffpy_cbldm._version import __version__
from diffpy_cbldm.errors import CbldmError

if TYPE_CHECKING:
    from diffpy_cbldm import debye
    from diffpy_cbldm.cluster import Candidate, Cluster
    from diffpy_cbldm.crystals.alike import rmsd, same_structure
    from diffpy_cbldm.debye.simulation import simulate
    from diffpy_cbldm.fitting.calibrant import calibrate
    from diffpy_cbldm.fitting.distribution import (
        distribution_recipe,
        size_distribution,
    )
    from diffpy_cbldm.fitting.ligands import ligand_recipe, ligand_shell
    from diffpy_cbldm.fitting.recipe import make_recipe
    from diffpy_cbldm.fitting.refinement import refine
    from diffpy_cbldm.fitting.target import bond_estimate
    from diffpy_cbldm.fitting.two_phases import phases_recipe, two_phases
    from diffpy_cbldm.output.plots import plot
    from diffpy_cbldm.pdfdata import PDFData, read_pdf
    from diffpy_cbldm.polishing.candidates import polish
    from diffpy_cbldm.renames import modern
    from diffpy_cbldm.search.generators import propose
    from diffpy_cbldm.series.many import solve_many
    from diffpy_cbldm.solving.solution import Solution
    from diffpy_cbldm.solving.solver import solve

__all__ = [
    "Candidate",
    "CbldmError",
    "Cluster",
    "PDFData",
    "Solution",
    "__version__",
    "bond_estimate",
    "calibrate",
    "debye",
    "distribution_recipe",
    "ligand_recipe",
    "ligand_shell",
    "make_recipe",
    "modern",
    "phases_recipe",
    "plot",
    "polish",
    "propose",
    "read_pdf",
    "refine",
    "rmsd",
    "same_structure",
    "simulate",
    "size_distribution",
    "solve",
    "solve_many",
    "two_phases",
]

_imported, _, _ = lazy_loader.attach(
    __name__,
    submodules=["debye"],
    submod_attrs={
        "cluster": ["Candidate", "Cluster"],
        "crystals.alike": ["rmsd", "same_structure"],
        "debye.simulation": ["simulate"],
        "fitting.calibrant": ["calibrate"],
        "fitting.distribution": ["distribution_recipe", "size_distribution"],
        "fitting.ligands": ["ligand_recipe", "ligand_shell"],
        "fitting.recipe": ["make_recipe"],
        "fitting.refinement": ["refine"],
        "fitting.target": ["bond_estimate"],
        "fitting.two_phases": ["phases_recipe", "two_phases"],
        "output.plots": ["plot"],
        "pdfdata": ["PDFData", "read_pdf"],
        "polishing.candidates": ["polish"],
        "renames": ["modern"],
        "search.generators": ["propose"],
        "series.many": ["solve_many"],
        "solving.solution": ["Solution"],
        "solving.solver": ["solve"],
    },
)


def __getattr__(name: str) -> Any:
    # Python asks for modules of the package here as well.
    if not gc.isenabled() or name not in __all__:
        return _imported(name)
    from diffpy_cbldm.memory import settle_objects

    # All that numba, SciPy or PyTorch make at their import stays: to look
    # through it for garbage takes 0.3 s each time where PyTorch is.
    gc.disable()
    try:
        return _imported(name)
    finally:
        settle_objects()
        gc.enable()


def __dir__() -> list[str]:
    return sorted(__all__)
