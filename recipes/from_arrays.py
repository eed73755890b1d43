"""Begin with the arrays of PDFgetX3, without a file between.

``diffpy.pdfgetx`` is not needed for this: whatever holds r and G in ``gr``
and the settings in ``config`` will do, as PDFgetX3's ``PDFGetter`` does::

    from diffpy.pdfgetx import PDFConfig, PDFGetter

    getter = PDFGetter(PDFConfig(filename="particle.cfg"))
    getter(q, intensity)
    pdf = from_getter(getter, qdamp=0.04)

    python recipes/from_arrays.py
"""

from types import SimpleNamespace
from typing import Any

import numpy as np
from ase.cluster import Decahedron

import diffpy_cbldm as cb

SETTINGS = ("composition", "qmin", "qmax")


def from_getter(getter: Any, **settings: Any) -> cb.PDFData:
    """Return the PDF of a PDFGetter.

    Parameters
    ----------
    getter : object
        ``gr`` holds r (A) and G (1/A^2); ``config`` may hold composition,
        qmin, qmax (1/A) and mode ("xray" or "neutron").
    **settings
        Of `cb.PDFData`; they win over those of the getter.
    """
    config = getter.config
    found = {name: getattr(config, name, None) for name in SETTINGS}
    # Where no composition was given, the text is empty.
    found["composition"] = found["composition"] or None
    mode = getattr(config, "mode", None) or ""
    if mode.startswith("neutron"):
        found["stype"] = "N"
    elif mode:
        found["stype"] = "X"
    return cb.PDFData(
        r=getter.gr[0],
        g=getter.gr[1],
        source=type(getter).__name__,
        **{**found, **settings},
    )


def stand_in() -> SimpleNamespace:
    """Return r, G and settings as PDFGetter holds them after a call."""
    truth = cb.Cluster("Ag", Decahedron("Ag", 3, 3, 0).positions)
    pdf = cb.simulate([truth], qmin=1.0, qmax=22.0)[0]
    config = SimpleNamespace(
        composition="Ag", qmin=1.0, qmax=22.0, qmaxinst=24.0, mode="xray"
    )
    return SimpleNamespace(gr=np.array([pdf.r, pdf.g]), config=config)


def main() -> cb.Solution:
    """Solve the PDF of the arrays and print what was found."""
    pdf = from_getter(stand_in(), qdamp=0.04)
    print(pdf)
    solution = cb.solve(
        pdf, count=16, refine=2, polish=False, generators=("library",)
    )
    print(solution.explain())
    return solution


if __name__ == "__main__":
    main()
