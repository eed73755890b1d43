"""From a measured PDF to ranked candidates, by registered generators.

A generator is a callable ``generator(pdf, *, count, seed, device, rmin,
rmax) -> list[Candidate]`` under the entry-point group
``diffpy_cbldm.generators``.  Six are built in: `cbldm_generator`, the trained
model, `library_generator`, mining of all ideal clusters, `screen_generator`,
screening of many random ones, `shells_generator`, symmetric frameworks of
concentric orbits, `cut_generator`, particles of crystals of any elements, and
`neighbours_generator`, the answers of other PDFs of a series.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from diffpy_cbldm import options, settings
from diffpy_cbldm.cluster import Candidate
from diffpy_cbldm.errors import CbldmError
from diffpy_cbldm.fitting.target import Target
from diffpy_cbldm.pdfdata import PDFData
from diffpy_cbldm.search.by_cutting import RawFit, cut_generator
from diffpy_cbldm.search.by_library import library_generator
from diffpy_cbldm.search.by_model import cbldm_generator
from diffpy_cbldm.search.by_neighbours import neighbours_generator
from diffpy_cbldm.search.by_screening import screen_generator
from diffpy_cbldm.search.by_shells import shells_generator
from diffpy_cbldm.search.matching import rw_raw
from diffpy_cbldm.settings import Solve

Generator = Callable[..., list[Candidate]]

GROUP = "diffpy_cbldm.generators"

METALS = ("cbldm", "library", "screen", "shells")
"""Our own that propose particles of one element."""


MAY_BE_SILENT = ("shells",)
"""Generators that propose nothing where others do as well: no word of it."""


def generator_names(generators: str | Sequence[str]) -> list[str]:
    """The names in a list, or in a text with commas between them."""
    if isinstance(generators, str):
        return [name.strip() for name in generators.split(",")]
    return list(generators)


def find_generator(name: str) -> Generator:
    """The registered generator of a name.

    Raises
    ------
    CbldmError
        None is registered under this name, or it cannot be loaded.
    """
    # Ours first: a package of others cannot take their names.
    own = built_in()
    if name in own:
        return own[name]
    found = _registered()
    if name not in found:
        known = sorted({*own, *found})
        raise CbldmError(
            f"there is no generator {name!r}; expected one of "
            f"{', '.join(known)}: install the package that provides it."
        )
    module, load = found[name]
    try:
        return load()
    except Exception as error:  # whatever a module of others raises
        raise CbldmError(
            f"the generator {name!r} cannot be loaded "
            f"({type(error).__name__}: {error}); expected "
            f"{module} to be importable: install the package that provides "
            f"it again."
        ) from error


def _registered() -> dict[str, tuple[str, Callable[[], Generator]]]:
    """The module and the loader of each entry point of the group, by name.

    Read with entrypoints where that is installed, else with the standard
    library.
    """
    try:
        import entrypoints
    except ImportError:
        points = importlib.metadata.entry_points(group=GROUP)
        return {e.name: (e.module, e.load) for e in points}
    return {
        e.name: (e.module_name, e.load)
        for e in entrypoints.get_group_all(GROUP)
    }


def built_in() -> dict[str, Generator]:
    """Our own generators; their candidates have the PDF's bond length."""
    return {
        "cbldm": cbldm_generator,
        "library": library_generator,
        "neighbours": neighbours_generator,
        "screen": screen_generator,
        "cut": cut_generator,
        "shells": shells_generator,
    }


def _ask(name: str, target: Target, count: int, **more) -> list[Candidate]:
    """What a generator proposes, checked where it is not one of our own."""
    make = find_generator(name)
    more |= {"count": count, "rmin": target.rmin, "rmax": target.rmax}
    if name in built_in():
        return make(target, **more)
    try:
        drawn = list(make(target.pdf, **more))[:count]
    except CbldmError as error:
        raise CbldmError(f"the generator {name!r}: {error}") from error
    except Exception as error:  # whatever the code of others raises
        raise CbldmError(
            f"the generator {name!r} failed ({type(error).__name__}: "
            f"{error}); it is not part of cbldm: tell its authors, or leave "
            f"it out of --generators."
        ) from error
    for candidate in drawn:
        if not isinstance(candidate, Candidate):
            raise CbldmError(
                f"the generator {name!r} proposed an object of the type "
                f"{type(candidate).__name__}; expected Candidate: tell "
                f"its authors, or leave it out of --generators."
            )
        _check_elements(name, candidate, target)
    return drawn


def _check_elements(name: str, candidate: Candidate, target: Target) -> None:
    """Raise `CbldmError` where a candidate has elements of another PDF."""
    compound = target.pdf.compound
    if compound is not None:
        right = set(candidate.elements) <= set(compound.amounts)
        expected = f"elements of {compound}"
    else:
        right = set(candidate.elements) == {target.element}
        expected = f"{target.element} alone"
    if not right:
        raise CbldmError(
            f"the generator {name!r} proposed {candidate.composition}; "
            f"expected {expected}: tell its authors, or leave it out of "
            f"--generators."
        )


def propose(
    pdf: PDFData | Target,
    *,
    count: int = 64,
    seed: int = 0,
    generators: str | Sequence[str] = ("cbldm",),
    device: str = "auto",
    rmin: float = 1.5,
    rmax: float | None = Solve.rmax,
    starts: Sequence[Candidate] = (),
    crystals: Sequence[Any] = (),
) -> list[Candidate]:
    """Propose structures for a measured PDF.

    Parameters
    ----------
    pdf : PDFData
        The data of a particle of one element; for the generator ``cut`` of
        any.
    count : int
        Candidates from each generator, at most.
    seed : int
        Seed of all random choices.
    generators : sequence of str
        Names of registered generators; one text with commas does as well.
    device : {"auto", "cpu", "cuda"}
        Where models run.
    rmin, rmax : float, angstrom
        The range of r on which candidates are compared; defaults 1.5, and
        where the signal ends, 30 A or more.
    starts : sequence of Candidate
        Answers of neighbouring PDFs, for the generator ``neighbours``, which
        proposes nothing without them.
    crystals : sequence
        For the generator ``cut``: paths of cif files, or structures of
        pymatgen, diffpy or ASE.  Default: common crystals of the
        composition.

    Returns
    -------
    list of Candidate
        By `rw_raw`: Rw with only the scale fitted, Uiso at its default.

    Raises
    ------
    CbldmError
        No such generator, one that fails, a PDF without its element, or a
        seed outside its limits.
    """
    target = Target.of(pdf, rmin, rmax)
    options.validate(settings.Solve(seed=seed))
    if count < 1:
        raise CbldmError(f"count is {count}; expected 1 or more.")
    found: list[Candidate] = []
    for name in generator_names(generators):
        more: dict[str, Any] = {"seed": seed, "device": device}
        if name == "neighbours":
            more["starts"] = starts
        if name == "cut":
            more["crystals"] = crystals
        for candidate in _ask(name, target, count, **more):
            found.append(dataclasses.replace(candidate, generator=name))
    if target.pdf.compound is not None:
        fit = RawFit(target)
        raw = [fit(c.elements, c.positions) for c in found]
    else:
        raw = rw_raw([c.positions for c in found], target).tolist()
    return [
        dataclasses.replace(found[i], rw_raw=float(raw[i]))
        for i in np.argsort(raw, kind="stable")
    ]
