"""Objects of diffpy.srfit and diffpy.structure by their newest names.

diffpy.srfit 3.4 and diffpy.structure 3.5 gave their methods new names, and
warn where the old ones are used, which 4.0 removes; diffpy.srfit 3.2, the
last for Python 3.11, has the old ones alone.  A program that calls methods
through `modern` runs on all of them.
"""

from __future__ import annotations

from typing import Any

from diffpy_cbldm.errors import CbldmError

OLD_NAMES = {
    # FitRecipe
    "add_constraint": "constrain",
    "add_contribution": "addContribution",
    "add_soft_bounds": "restrain",
    "add_variable": "addVar",
    "clear_fit_hooks": "clearFitHooks",
    "create_new_variable": "newVar",
    "delete_variable": "delVar",
    "get_bounds_array": "getBounds2",
    "get_bounds_pairs": "getBounds",
    "get_names": "getNames",
    "get_values": "getValues",
    "remove_constraint": "unconstrain",
    # FitContribution and Profile
    "add_profile_generator": "addProfileGenerator",
    "set_calculation_range": "setCalculationRange",
    "set_equation": "setEquation",
    "set_observed_profile": "setObservedProfile",
    "set_profile": "setProfile",
    # PDFParser, and Profile with it
    "load_parsed_data": "loadParsedData",
    "get_data": "getData",
    "get_metadata": "getMetaData",
    "parse_file": "parseFile",
    # Parameter and ParameterSet
    "add_parameter": "addParameter",
    "add_parameter_set": "addParameterSet",
    "bound_range": "boundRange",
    "get_value": "getValue",
    "new_parameter": "newParameter",
    "remove_parameter_set": "removeParameterSet",
    "set_value": "setValue",
    # FitResults
    "_calculate_jacobian": "_calculateJacobian",
    "_calculate_metrics": "_calculateMetrics",
    "print_results": "printResults",
    "save_results": "saveResults",
    # The parameter set of a structure
    "get_lattice": "getLattice",
    "get_scatterers": "getScatterers",
    "use_symmetry": "useSymmetry",
    # PDFGenerator and DebyePDFGenerator: new in diffpy.cmipdf
    "set_qmax": "setQmax",
    "set_qmin": "setQmin",
    "set_scattering_type": "setScatteringType",
    "set_structure": "setStructure",
    # Structure and Lattice
    "cell_parms": "abcABG",
    "place_in_lattice": "placeInLattice",
    "set_latt_parms": "setLatPar",
    "write_structure": "writeStr",
}
"""The names of diffpy.srfit 3.2 and diffpy.structure 3.3, by the newest."""


class _Modern:
    """An object whose attributes are found by their newest names."""

    def __init__(self, of: Any) -> None:
        self._of = of

    def __getattr__(self, name: str) -> Any:
        # The new name first: where it is there, the old one warns.
        for known in filter(None, (name, OLD_NAMES.get(name))):
            if hasattr(self._of, known):
                return getattr(self._of, known)
        kind = type(self._of)
        raise CbldmError(
            f"{kind.__name__} of {kind.__module__} has no {name}; expected "
            "an object of diffpy.srfit 3.2 to 3.4 or diffpy.structure 3.3 "
            "to 3.5: install one of these."
        )


def modern(of: Any) -> Any:
    """Return an object of diffpy to call by its newest names.

    ``modern(recipe).add_variable(par, 1.0)`` is
    ``recipe.add_variable(par, 1.0)`` from diffpy.srfit 3.4 on, and
    ``recipe.addVar(par, 1.0)`` on 3.2.  The object itself is not changed;
    what its methods return is returned as it is.

    Parameters
    ----------
    of : object
        Of diffpy.srfit or diffpy.structure: a FitRecipe, FitContribution,
        Profile, PDFParser, Parameter, FitResults, Structure, ...

    Returns
    -------
    object
        With the attributes of `of`; where one has no newest name there, its
        old one of `OLD_NAMES` is taken.  `CbldmError` where that is missing
        too.
    """
    return _Modern(of)
