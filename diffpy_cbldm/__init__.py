"""From the PDF of a metal nanoparticle to refined atomic structures.

A measured G(r) goes in; ranked structures, refined by diffpy.srfit, come
out.  The names below are imported when they are first used, so that
``import diffpy_cbldm`` itself costs nothing.

>>> import diffpy_cbldm as cb
>>> pdf = cb.read_pdf("particle.gr", composition="Pt")  # doctest: +SKIP
>>> print(cb.solve(pdf).explain())  # doctest: +SKIP
"""

from __future__ import annotations

import importlib
import sys
import types
from typing import TYPE_CHECKING, Any

from diffpy_cbldm.errors import CbldmError

if TYPE_CHECKING:
    from diffpy_cbldm import debye
    from diffpy_cbldm.cluster import Candidate, Cluster
    from diffpy_cbldm.pdfdata import PDFData, read_pdf
    from diffpy_cbldm.plots import plot
    from diffpy_cbldm.propose import propose
    from diffpy_cbldm.simulate import simulate
    from diffpy_cbldm.solve import Solution, solve
    from diffpy_cbldm.srfit import make_recipe, refine

__version__ = "0.1.0"

__all__ = [
    "Candidate",
    "CbldmError",
    "Cluster",
    "PDFData",
    "Solution",
    "__version__",
    "debye",
    "make_recipe",
    "polish",
    "plot",
    "propose",
    "read_pdf",
    "refine",
    "simulate",
    "solve",
]

_HOMES = {
    "Candidate": "cluster",
    "Cluster": "cluster",
    "PDFData": "pdfdata",
    "Solution": "solve",
    "make_recipe": "srfit",
    "polish": "polished",
    "plot": "plots",
    "propose": "propose",
    "read_pdf": "pdfdata",
    "refine": "srfit",
    "simulate": "simulate",
    "solve": "solve",
}


def __getattr__(name: str) -> Any:
    if name == "debye":
        return importlib.import_module("diffpy_cbldm.debye")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = importlib.import_module(f"diffpy_cbldm.{_HOMES[name]}")
    value = getattr(home, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


class _Package(types.ModuleType):
    """Keeps ``cb.solve`` a function although a submodule has its name.

    The import system sets every submodule as an attribute of its package
    once it has run; for those named after a function, the function is set in
    place of the module, or looked up later where it lives in another one.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, types.ModuleType) and name in _HOMES:
            if _HOMES[name] != name:
                return
            value = getattr(value, name)
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
