"""The generator ``cut``: particles cut from crystals.

Crystals are given, or common ones of the composition are tried
(`diffpy_cbldm.crystals.prototypes`).  Each is fitted as a sphere without
atoms first; of those that fit, thousands of particles are compared.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from diffpy_cbldm.cluster import Candidate
from diffpy_cbldm.crystals.charges import charge_of, oxidation_states
from diffpy_cbldm.crystals.crystal import Crystal, crystal_of
from diffpy_cbldm.crystals.prototypes import NAMES, measured, prototypes_of
from diffpy_cbldm.crystals.shape_class import shape_class
from diffpy_cbldm.errors import CbldmError
from diffpy_cbldm.fitting.attenuated import AttenuatedCrystal
from diffpy_cbldm.fitting.envelope import fit_envelope, reshaped
from diffpy_cbldm.fitting.pair_fit import (
    PairCurves,
    PairFit,
    curves_rw,
    first_values,
)
from diffpy_cbldm.fitting.pair_shells import PairShells
from diffpy_cbldm.fitting.target import Target
from diffpy_cbldm.formula import read_formula
from diffpy_cbldm.pdfdata import PDFData
from diffpy_cbldm.protocols import Stored
from diffpy_cbldm.search.cut import Cut
from diffpy_cbldm.search.cut_screening import Screening
from diffpy_cbldm.settings import Refinement, Solve

FAR, FAR_MORE = 1.3, 0.05
"""Crystals whose sphere has so many times the least Rw, and that much more,
are not cut."""


@dataclasses.dataclass(frozen=True)
class CrystalTried(Stored):
    """What one crystal can do for a measured G(r).

    Attributes
    ----------
    name, formula : str
    edges : (a, b, c), angstrom
        Of its cell, at the best fit.
    rw_sphere : float
        Rw of a spherical piece without atoms.
    diameter : float, angstrom
        Of that sphere.
    cuts : int
        Particles that were compared; 0 where the sphere is far off.
    rw : float or None
        The least Rw of its particles in the quick fit.
    n_atoms : int or None
        Of that particle.
    """

    name: str
    formula: str
    edges: tuple[float, float, float]
    rw_sphere: float
    diameter: float
    cuts: int = 0
    rw: float | None = None
    n_atoms: int | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class Cuts:
    """What particles of some crystals can do for a measured G(r).

    Attributes
    ----------
    candidates : list of Candidate
        The best fit first.
    fits : list of PairFit
        In the order of the candidates.
    crystals : tuple of CrystalTried
        The best first.
    spheres : list of Sphere
        The crystals as they fit, in the order of `crystals`.
    alloys : tuple of str
        Names of crystals whose sites hold parts of several atoms, which were
        drawn.
    """

    candidates: list[Candidate]
    fits: list[PairFit]
    crystals: tuple[CrystalTried, ...]
    spheres: list[tuple[Crystal, AttenuatedCrystal]]
    alloys: tuple[str, ...]


def crystals_for(pdf: PDFData, given: Sequence[Any] = ()) -> list[Crystal]:
    """The crystals that are tried for a PDF.

    Parameters
    ----------
    pdf : PDFData
    given : sequence of crystals
        As `crystal_of` takes them; without any the prototypes of the
        composition.

    Raises
    ------
    CbldmError
        No crystal is given and none is known, or one holds other elements.
    """
    composition = pdf.composition or ""
    amounts = read_formula(composition).amounts
    if given:
        found = _named_apart([crystal_of(one) for one in given])
        for crystal in found:
            if amounts and not set(crystal.elements) <= set(amounts):
                raise CbldmError(
                    f"the crystal {crystal.name} is {crystal.formula}, the "
                    f"composition {composition}; expected the same elements: "
                    "pass another crystal or composition."
                )
        return found
    found = prototypes_of(amounts) if len(amounts) > 1 else []
    if not found:
        raise CbldmError(
            f"no common crystal has the composition {composition!r}; "
            "expected a crystal: where it counts the atoms of a particle, "
            "such as Cd41Se37, pass the formula of its crystal (--composition "
            "CdSe); else pass crystals=[...] (--crystal FILE.cif), "
            'or for a heavy sublattice as a metal sublattice="Bi" '
            "(--sublattice Bi) with its element."
        )
    return found


def _named_apart(crystals: Sequence[Crystal]) -> list[Crystal]:
    """The same crystals, further ones of a name with their number."""
    names: dict[str, int] = {}
    apart = []
    for crystal in crystals:
        count = names[crystal.name] = names.get(crystal.name, 0) + 1
        if count > 1:
            # Structures are known by the names of their crystals.
            name = f"{crystal.name} ({count})"
            crystal = dataclasses.replace(crystal, name=name)
        apart.append(crystal)
    return apart


Sphere = tuple[Crystal, AttenuatedCrystal]
"""A crystal at the lattice parameters that fit, and its fit as a sphere."""


def fit_spheres(target: Target, crystals: Sequence[Crystal]) -> list[Sphere]:
    """Fit some crystals as spheres without atoms.

    The lattice parameters of prototypes may be far off
    (`diffpy_cbldm.crystals.prototypes.measured`).
    """
    return [
        fit_envelope(
            crystal,
            target,
            wide=crystal.name in NAMES and not measured(crystal),
        )
        for crystal in crystals
    ]


def furthest(spheres: Sequence[Sphere]) -> float:
    """The Rw of a sphere above which a crystal is not cut."""
    return FAR * min(sphere.rw for _, sphere in spheres) + FAR_MORE


def cut_particles(
    target: Target,
    spheres: Sequence[Sphere],
    count: int,
    seed: int,
    edits: bool = False,
    neutral: bool = False,
) -> Cuts:
    """Compare particles of some crystals with a measured PDF.

    Parameters
    ----------
    target : Target
    spheres : sequence of Sphere
        As of `fit_spheres`.
    count : int
        Candidates, at most; 0 where the spheres alone are looked at.
    seed : int
        Of all random choices.
    edits : bool
        Whether single atoms come and go at the surface of the best
        (`diffpy_cbldm.search.cut_edits`).
    neutral : bool
        Whether these edits balance the charge.
    """
    limit = furthest(spheres)
    tried = []
    for crystal, sphere in spheres:
        found: list[Cut] = []
        cuts = 0
        if count and sphere.rw <= limit:
            crystal, sphere = reshaped(crystal, sphere, target)
            screening = Screening(crystal, target, sphere, seed)
            found = screening.best(count, edits, neutral)
            cuts = screening.count
        tried.append(
            (
                _tried(crystal, sphere, found, cuts),
                (crystal, sphere),
                found,
            )
        )
    tried.sort(key=lambda one: _least(one[0]))
    pool = [(one, cut) for one, _, found in tried for cut in found]
    pool.sort(key=lambda pair: pair[1].fit.rw)
    chosen = _chosen(pool, count)
    candidates = _candidates(chosen, target)
    if neutral:
        candidates = _with_charges(candidates, [c for c, _ in spheres])
    return Cuts(
        candidates=candidates,
        fits=[cut.fit for _, cut in chosen],
        crystals=tuple(one for one, _, _ in tried),
        spheres=[sphere for _, sphere, _ in tried],
        alloys=tuple(c.name for c, _ in spheres if not c.ordered),
    )


def _tried(
    crystal: Crystal,
    sphere: AttenuatedCrystal,
    found: Sequence[Cut],
    cuts: int,
) -> CrystalTried:
    return CrystalTried(
        name=crystal.name,
        formula=crystal.formula,
        edges=crystal.edges,
        rw_sphere=sphere.rw,
        diameter=sphere.diameter,
        cuts=cuts,
        rw=found[0].fit.rw if found else None,
        n_atoms=len(found[0].positions) if found else None,
    )


def _least(one: CrystalTried) -> float:
    """By what crystals are ordered: those that were cut come first."""
    return one.rw if one.rw is not None else 10.0 + one.rw_sphere


def _chosen(
    pool: list[tuple[CrystalTried, Cut]], count: int
) -> list[tuple[CrystalTried, Cut]]:
    """The best, and of each crystal its best one."""
    firsts = {one.name: k for k, (one, _) in reversed(list(enumerate(pool)))}
    kept = sorted(firsts.values())[:count]
    others = [k for k in range(len(pool)) if k not in kept]
    return [pool[k] for k in sorted(kept + others[: count - len(kept)])]


def _candidates(
    chosen: Sequence[tuple[CrystalTried, Cut]], target: Target
) -> list[Candidate]:
    """Candidates with Rw of the scale alone."""
    candidates = []
    raw = RawFit(target)
    for one, cut in chosen:
        kind = shape_class(cut.positions)
        notes = [f"shape: {kind} (cut as {cut.shape})"]
        if cut.trimmed:
            notes.append("without atoms of one bond")
        edits = ("sites",) if cut.edited else ()
        start = (one.name, cut.whole) if cut.edited else None
        candidates.append(
            Candidate(
                elements=cut.elements,
                positions=cut.positions,
                structure_type=one.name,
                generator="cut",
                notes=tuple(notes),
                edits=edits,
                edited_from=start,
                rw_raw=raw(cut.elements, cut.positions),
            )
        )
    return candidates


def _with_charges(
    candidates: Sequence[Candidate], crystals: Sequence[Crystal]
) -> list[Candidate]:
    """The same with notes on their charges, where there are any states."""
    states = {c.name: (c.elements, oxidation_states(c)) for c in crystals}
    noted = []
    for one in candidates:
        elements, known = states[one.structure_type]
        if known is not None:
            kind = np.array([elements.index(e) for e in one.elements])
            signs = ", ".join(f"{e} {q:+.3g}" for e, q in zip(elements, known))
            note = f"charge {charge_of(kind, known):+.3g} e ({signs})"
            one = dataclasses.replace(one, notes=(*one.notes, note))
        noted.append(one)
    return noted


class RawFit:
    """Rw of clusters with only the scale fitted, Uiso at its default.

    Parameters
    ----------
    target : Target
    """

    def __init__(self, target: Target) -> None:
        self.target = target
        self._curves: dict[tuple[str, ...], PairCurves] = {}

    def __call__(
        self, elements: Sequence[str], positions: np.ndarray
    ) -> float:
        """Of one cluster; its positions are (n, 3), angstrom."""
        names = tuple(sorted(set(elements)))
        # Sines of all points and Q take longer than the pairs.
        if names not in self._curves:
            self._curves[names] = PairCurves(self.target, names)
        curves = self._curves[names]
        values = first_values(self.target, names) | {"delta2": 0.0}
        values |= dict.fromkeys(names, Refinement.uiso)
        particle = PairShells.of(elements, positions, curves.reach)
        return curves_rw(curves, curves.at(particle, values)[0])[0]


def cut_generator(
    pdf: PDFData | Target,
    *,
    count: int = 64,
    seed: int = 0,
    device: str = "auto",
    rmin: float = 1.5,
    rmax: float | None = Solve.rmax,
    crystals: Sequence[Any] = (),
) -> list[Candidate]:
    """Cut particles from crystals, and fit the best of them.

    Parameters
    ----------
    pdf : PDFData
        Of one or several elements.
    count : int
        Candidates, at most.
    seed : int
        Seed of all random choices.
    device
        Of no effect.
    rmin, rmax : float, angstrom
        The compared range.
    crystals : sequence
        As `diffpy_cbldm.crystals.crystal.crystal_of` takes them; default:
        the prototypes of the composition.

    Returns
    -------
    list of Candidate
        The best fit first.

    Raises
    ------
    CbldmError
        No crystal is given, and no prototype has the composition.
    """
    target = Target.of(pdf, rmin, rmax)
    spheres = fit_spheres(target, crystals_for(target.pdf, crystals))
    return cut_particles(target, spheres, count, seed).candidates
