"""Polishing as a user meets it: edits, guard-rails, and native refinement.

The engine is `diffpy_cbldm.polishing.front`; here its structures become
candidates whose Rw and uncertainties come from SrFit recipes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.spatial import cKDTree

from diffpy_cbldm.cluster import Candidate, Cluster, candidate_of
from diffpy_cbldm.crystals.bonds import nearest_neighbour_distance
from diffpy_cbldm.fitting import moves
from diffpy_cbldm.fitting.recipe import delta2_name
from diffpy_cbldm.fitting.refinement import refine
from diffpy_cbldm.fitting.target import Target
from diffpy_cbldm.memory import give_back
from diffpy_cbldm.pdfdata import PDFData
from diffpy_cbldm.polishing.costs import too_far
from diffpy_cbldm.polishing.crystal import Polished
from diffpy_cbldm.polishing.evidence import by_evidence, evidence_share
from diffpy_cbldm.polishing.front import (
    EDIT_KINDS,
    ROUGHNESS,
    best,
    check_kinds,
    front,
    other_sizes,
    pareto,
    predicted,
)
from diffpy_cbldm.polishing.large import large_edits
from diffpy_cbldm.polishing.orbits import SIGNIFICANT
from diffpy_cbldm.settings import MAX_ATOMS, Solve

LATTICE = {"oct": "fcc"}
"""What an edited cluster is called: its crystal, not its shape."""


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Edited(Polished):
    """A structure that knows where it comes from.

    Attributes
    ----------
    start : Candidate
        What was edited.
    as_fitted : Polished
        The start with the five parameters fitted.
    edits : tuple of str
        The kinds of edits that lie between `as_fitted` and this structure.
    """

    start: Candidate
    as_fitted: Polished
    edits: tuple[str, ...]


def edited_type(p: Edited) -> str:
    """The structure type of an edited structure, which faults change."""
    kind = p.kind or p.start.structure_type
    return LATTICE.get(kind, kind)


def edited_from(start: Candidate, as_fitted: Polished, p: Polished) -> Edited:
    """Return a structure with its origin; see `Edited`."""
    return Edited(
        **vars(p),
        start=start,
        as_fitted=as_fitted,
        edits=what_changed(as_fitted, p),
    )


@dataclasses.dataclass(frozen=True, eq=False)
class Front:
    """What the edits of one candidate gave.

    Attributes
    ----------
    start : Candidate
    found : tuple of Edited
        The start as fitted, and structures of rising roughness.
    seen : tuple of float
        Rw on blocks of r that were left out, of the start and of the
        polished structure, both fitted to the rest; see `predicting`.
    share : float
        Of the independent points that count as evidence, see
        `diffpy_cbldm.polishing.evidence`.
    """

    start: Candidate
    found: tuple[Edited, ...]
    seen: tuple[float, float]
    share: float = 1.0

    @property
    def changed(self) -> tuple[Edited, ...]:
        """The edited structures, without those equal to the start."""
        return tuple(p for p in self.found[1:] if p.edits)

    @property
    def holds(self) -> bool:
        """Whether polishing helps on r that was not fitted."""
        return self.seen[1] < self.seen[0]


def what_changed(start: Polished, p: Polished) -> tuple[str, ...]:
    """Which kinds of edits lie between two structures."""
    changed = list(p.values)
    kinds = [
        k
        for k in moves.MOVE_KINDS
        if any(moves.kind_of(n) == k for n in changed)
    ]
    if p.displaced:
        kinds.append("displacements")
    if p.kind:
        kinds += large_edits(p)
    elif len(p.lattice) != len(start.lattice) or not _same_atoms(
        start.lattice, p.lattice
    ):
        kinds.append("sites")
    return tuple(kind for kind in EDIT_KINDS if kind in kinds)


def _same_atoms(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two structures of one frame are the same but for a stretch."""
    x = (a - a.mean(0)) / nearest_neighbour_distance(a)
    y = (b - b.mean(0)) / nearest_neighbour_distance(b)
    return bool(cKDTree(x).query(y)[0].max() < 0.2)


def edit(
    start: Candidate,
    target: PDFData | Target,
    *,
    kinds: Sequence[str] = EDIT_KINDS,
    limit: float = ROUGHNESS,
) -> Front:
    """Edit a candidate; whether that holds on r left out, see `predicting`.

    Parameters
    ----------
    start : Candidate
    target : Target, or PDFData with the default range
    kinds, limit
        As for `diffpy_cbldm.polishing.front.front`.

    Returns
    -------
    Front
        As if all edits held.
    """
    target = Target.of(target)
    x, kind = start.positions, start.structure_type
    found = front(
        x,
        kind,
        target,
        kinds=kinds,
        limit=limit,
    )
    if len(x) > MAX_ATOMS:
        give_back()
    share = evidence_share(found, target)
    judged = by_evidence(found, target, share)
    traced = (edited_from(start, judged[0], p) for p in judged)
    return Front(start, tuple(traced), (1.0, 0.0), share)


def predicting(
    made: Front,
    target: Target,
    *,
    kinds: Sequence[str] = EDIT_KINDS,
    limit: float = ROUGHNESS,
    share: float | None = None,
) -> Front:
    """The same with what its edits predict of r that was left out.

    Parameters
    ----------
    made : Front
        Of `edit`.  One in which nothing changed stays as it is.
    target : Target
    kinds, limit
        As for `edit`.
    share : float, optional
        Of the independent points; default that of the front.
    """
    if not made.changed:
        return made
    seen = predicted(
        made.start.positions,
        made.start.structure_type,
        target,
        kinds=kinds,
        limit=limit,
        share=made.share if share is None else share,
    )
    if len(made.start) > MAX_ATOMS:
        give_back()
    return dataclasses.replace(made, seen=seen)


def as_candidate(
    p: Edited,
    target: Target,
    *,
    backend: str = "auto",
) -> Candidate:
    """Refine an edited structure with a native recipe.

    Strain and surface relaxation are variables of the recipe
    (`make_recipe` with ``moves``); edited sites and displacements are in
    the positions that it starts from.
    """
    kinds, start = p.edits, p.start
    kind = start.structure_type
    if {"sites", "layers", "faults"} & set(kinds):
        kind = edited_type(p)
    element = start.elements[0]
    lattice = p.positions if p.displaced else p.lattice
    names = () if p.displaced else moves.move_names(lattice, list(p.values))
    values = {n: float(p.values[n]) for n in names}
    values |= {
        "zoomscale": 1.0,
        f"{element}_Uiso": p.fit.uiso,
        f"{element}_Delta2": p.fit.delta2,
    }
    if target.qdamp is None:
        values["qdamp"] = p.fit.qdamp
    cluster = dataclasses.replace(
        start,
        elements=(element,) * len(lattice),
        positions=lattice,
        structure_type=kind,
        rw_raw=None,  # that of the start is not this structure's
        edits=kinds,
        edited_from=(start.structure_type, len(start)) if kinds else None,
    )
    return _refined(cluster, target, backend, values, names)


def _refined(
    cluster: Candidate,
    target: Target,
    backend: str,
    values: dict[str, float],
    names: Sequence[str],
) -> Candidate:
    """Refine, and put back the shells that are not determined.

    Those that move too far, or by less than `SIGNIFICANT` uncertainties.
    """
    done = refine(cluster, target, backend=backend, start=values, moves=names)
    kept = [n for n in names if not _refused(n, *done.parameters[n])]
    if len(kept) == len(names):
        return done
    left = {moves.kind_of(n) for n in kept}
    edits = tuple(
        kind
        for kind in cluster.edits
        if kind in left or kind not in ("surface", "orbits")
    )
    # From where the fit with all of them ended.
    ended = {name: value for name, (value, _) in done.parameters.items()}
    ended[delta2_name(cluster.elements)] = ended["delta2"]
    values = {
        k: ended.get(k, v)
        for k, v in values.items()
        if k in kept or k not in names
    }
    plainer = dataclasses.replace(cluster, edits=edits)
    if not edits:
        plainer = dataclasses.replace(plainer, edited_from=None)
    return _refined(plainer, target, backend, values, kept)


def _refused(name: str, value: float, error: float) -> bool:
    """Whether a variable is that of a shell that goes back."""
    if moves.kind_of(name) not in ("surface", "orbits"):
        return False
    # Written so that an unknown uncertainty, NaN, counts as too large.
    determined = abs(value) >= SIGNIFICANT * error
    return too_far(name, value) or not determined


def polish(
    candidate: Cluster | Any,
    pdf: PDFData,
    *,
    kinds: Sequence[str] = EDIT_KINDS,
    roughness: float = ROUGHNESS,
    rmin: float = 1.5,
    rmax: float | None = Solve.rmax,
    backend: str = "auto",
    device: str = "cpu",
) -> list[Candidate]:
    """Edit a structure towards a PDF, and refine what comes out.

    Parameters
    ----------
    candidate : Candidate
        Where to start, as proposed or refined; a Cluster, and structures of
        ASE, diffpy and pymatgen do as well.
    pdf : PDFData
    kinds : sequence of str
        What may be edited: "sites" (atoms added, removed and moved on sites
        that continue the crystal), "layers" (whole facets and rows of more
        than 256 atoms), "faults" (stacking faults and twins of these),
        "strain", "surface" (radial moves of the two outermost shells),
        "orbits" (of icosahedra and decahedra, atoms that symmetry makes
        equal, or shells of them) and "displacements" (all of at most 256
        atoms, by 0.15 A at most).  All by default; each is taken only where
        it is worth its parameters.
    roughness : float
        How much rougher than the most compact cluster of the library a
        structure may become; default 1.25 times.
    rmin, rmax : float, angstrom
        The fitted range.
    backend : {"auto", "torch", "srreal"}
        The Debye calculator of the refinement.
    device : str
        Without effect: edits are scored on the processor, where they are
        fastest.

    Returns
    -------
    list of Candidate
        The front, from smooth to rough, with rising roughness and falling
        Rw; the first is the candidate itself, refined.  Where the edits do
        not predict r that was left out better than the candidate does, it is
        alone, and its ``refused_edits`` say so.

    Raises
    ------
    CbldmError
        An unknown kind, a range without data.
    """
    target = Target.of(pdf, rmin, rmax)
    candidate = candidate_of(candidate)
    how: dict[str, Any] = {"kinds": check_kinds(kinds), "limit": roughness}
    made = predicting(edit(candidate, target, **how), target, **how)
    first = refine(candidate, target, backend=backend)
    if not made.changed:
        return [first]
    if not made.holds:
        return [dataclasses.replace(first, refused_edits=made.seen)]
    preferred = best(made.found)
    more = other_sizes(
        preferred,
        candidate.structure_type,
        target,
        kinds=kinds,
        limit=roughness,
        share=made.share,
    )
    of_other_size = (
        edited_from(candidate, preferred.as_fitted, p) for p in more
    )
    # The front begins with the candidate, which is refined as it is.
    kept = [p for p in pareto([*made.found, *of_other_size]) if p.edits]
    return [first, *(as_candidate(p, target, backend=backend) for p in kept)]
