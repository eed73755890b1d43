"""Polishing as a user meets it: edits, guard-rails, and native refinement.

The engine is `diffpy_cbldm.polish`; here its structures become candidates
whose Rw and uncertainties come from SrFit recipes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.spatial import cKDTree

from diffpy_cbldm.cluster import (
    POLISHED,
    REFUSED,
    Candidate,
    Cluster,
    candidate_of,
)
from diffpy_cbldm.crystals.bonds import nearest_neighbour_distance
from diffpy_cbldm.fitting import moves
from diffpy_cbldm.fitting.refinement import refine
from diffpy_cbldm.fitting.target import Target
from diffpy_cbldm.pdfdata import PDFData
from diffpy_cbldm.polishing.crystal import Polished
from diffpy_cbldm.polishing.front import (
    KINDS,
    ROUGHNESS,
    best,
    check_kinds,
    front,
    other_sizes,
    pareto,
    predicted,
)
from diffpy_cbldm.settings import R_MAX

LATTICE = {"oct": "fcc"}
"""What an edited cluster is called: its crystal, not its shape."""


@dataclasses.dataclass(frozen=True, eq=False)
class Front:
    """What the edits of one candidate gave.

    Attributes
    ----------
    start : Candidate
    found : tuple of Polished
        The start as fitted, and structures of rising roughness.
    seen : tuple of float
        Rw on blocks of r that were left out, of the start and of the
        polished structure, both fitted to the rest.
    """

    start: Candidate
    found: tuple[Polished, ...]
    seen: tuple[float, float]

    @property
    def changed(self) -> tuple[Polished, ...]:
        """The edited structures, without those equal to the start."""
        first = self.found[0]
        return tuple(p for p in self.found[1:] if what_changed(first, p))

    @property
    def holds(self) -> bool:
        """Whether polishing helps on r that was not fitted."""
        return self.seen[1] < self.seen[0]


def what_changed(start: Polished, p: Polished) -> tuple[str, ...]:
    """Which kinds of edits lie between two structures."""
    changed = list(p.values)
    kinds = [k for k in moves.KINDS if any(n.startswith(k) for n in changed)]
    if p.displaced:
        kinds.append("displacements")
    same = len(p.lattice) == len(start.lattice) and _same_atoms(
        start.lattice, p.lattice
    )
    if not same:
        kinds.append("sites")
    return tuple(kind for kind in KINDS if kind in kinds)


def _same_atoms(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two structures of one frame are the same but for a stretch."""
    x = (a - a.mean(0)) / nearest_neighbour_distance(a)
    y = (b - b.mean(0)) / nearest_neighbour_distance(b)
    return bool(cKDTree(x).query(y)[0].max() < 0.2)


def edit(
    start: Candidate,
    target: Target,
    *,
    kinds: Sequence[str] = KINDS,
    limit: float = ROUGHNESS,
    device: str = "cpu",
) -> Front:
    """Edit a candidate, and see whether that holds on r left out.

    Parameters
    ----------
    start : Candidate
    target : Target
    kinds, limit, device
        As for `diffpy_cbldm.polishing.front.front`.
    """
    x, kind = start.positions, start.structure_type
    found = front(
        x,
        kind,
        target,
        kinds=kinds,
        limit=limit,
        device=device,
    )
    made = Front(start, tuple(found), (1.0, 0.0))
    if not made.changed:
        return made
    seen = predicted(x, kind, target, kinds=kinds, limit=limit)
    return dataclasses.replace(made, seen=seen)


def as_candidate(
    p: Polished,
    made: Front,
    target: Target,
    *,
    backend: str = "auto",
) -> Candidate:
    """Refine an edited structure with a native recipe.

    Strain and surface relaxation are variables of the recipe
    (`make_recipe` with ``moves``); edited sites and displacements are in
    the positions that it starts from, and in the flags.
    """
    kinds = what_changed(made.found[0], p)
    start = made.start
    kind = start.structure_type
    if "sites" in kinds:
        kind = LATTICE.get(kind, kind)
    element = start.elements[0]
    lattice = p.positions if p.displaced else p.lattice
    free = () if p.displaced else tuple(k for k in moves.KINDS if k in kinds)
    names = moves.move_names(lattice, free)
    values = {n: float(v) for n, v in p.values.items() if n in names}
    values |= {
        "zoomscale": 1.0,
        f"{element}_Uiso": p.fit.uiso,
        f"{element}_Delta2": p.fit.delta2,
    }
    if target.qdamp is None:
        values["qdamp"] = p.fit.qdamp
    flags = [
        f for f in start.flags if not f.startswith((POLISHED, "backend: "))
    ]
    text = f"{POLISHED}{', '.join(kinds)}; from {start.structure_type} with "
    text += f"{len(start)} atoms"
    return refine(
        Candidate(
            elements=(element,) * len(lattice),
            positions=lattice,
            structure_type=kind,
            generator=start.generator,
            flags=(*flags, text) if kinds else tuple(flags),
        ),
        target,
        backend=backend,
        start=values,
        moves=free,
    )


def polish(
    candidate: Cluster | Any,
    pdf: PDFData,
    *,
    kinds: Sequence[str] = KINDS,
    roughness: float = ROUGHNESS,
    rmin: float = 1.5,
    rmax: float = R_MAX,
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
        that continue the crystal), "strain", "surface" (radial moves of the
        two outermost shells) and "displacements" (all atoms, by 0.15 A at
        most).  All by default; each is taken only where it is worth its
        parameters.
    roughness : float
        How much rougher than the most compact cluster of the library a
        structure may become; default 1.25 times.
    rmin, rmax : float, angstrom
        The fitted range.
    backend : {"auto", "torch", "srreal"}
        The Debye calculator of the refinement.
    device : str
        Where the edits are scored.

    Returns
    -------
    list of Candidate
        The front, from smooth to rough, with rising roughness and falling
        Rw; the first is the candidate itself, refined.  Where the edits do
        not predict r that was left out better than the candidate does, it is
        alone, and a flag says so.

    Raises
    ------
    CbldmError
        An unknown kind, a range without data.
    """
    target = Target.of(pdf, rmin, rmax)
    candidate = candidate_of(candidate)
    made = edit(
        candidate,
        target,
        kinds=check_kinds(kinds),
        limit=roughness,
        device=device,
    )
    first = refine(candidate, target, backend=backend)
    if not made.changed:
        return [first]
    if not made.holds:
        return [
            dataclasses.replace(first, flags=(*first.flags, refusal(made)))
        ]
    more = other_sizes(
        best(made.found),
        candidate.structure_type,
        target,
        kinds=kinds,
        limit=roughness,
        device=device,
    )
    made = dataclasses.replace(made, found=(*made.found, *more))
    kept = [p for p in pareto(made.found) if p in made.changed]
    return [
        first,
        *(as_candidate(p, made, target, backend=backend) for p in kept),
    ]


def refusal(made: Front) -> str:
    """The flag of a structure that edits did not truly improve."""
    before, after = made.seen
    return f"{REFUSED}Rw on r left out {before:.4f}, {after:.4f} after edits"
