"""The generator ``neighbours``: answers of PDFs measured before and after.

In a series each particle resembles those beside it: their structures are
proposed as they are, and with the same outline a little smaller and larger.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np

from diffpy_cbldm.cluster import Candidate
from diffpy_cbldm.crystals.bonds import nearest_neighbour_distance
from diffpy_cbldm.fitting.target import Target
from diffpy_cbldm.pdfdata import PDFData
from diffpy_cbldm.settings import MIN_ATOMS, Solve

CHANGES = (0.03, -0.03, 0.07, -0.07, 0.12, -0.12)
"""Relative changes of the number of atoms that are tried."""

NEAR = 1.25
"""Atoms nearer than this are neighbours, in shortest distances."""

APART = 0.8
"""Atoms are at least so far apart, in shortest distances."""


def neighbours_generator(
    pdf: PDFData | Target,
    *,
    starts: Sequence[Candidate] = (),
    count: int = 64,
    seed: int = 0,
    device: str = "auto",
    rmin: float = 1.5,
    rmax: float | None = Solve.rmax,
) -> list[Candidate]:
    """Propose the answers of other PDFs, and other sizes of them.

    Parameters
    ----------
    pdf : PDFData or Target
    starts : sequence of Candidate
        Answers of neighbouring PDFs; those of other elements are proposed
        with the element of this one.  Of a compound those of its elements,
        which are proposed as they are, and smaller.
    count : int
        At most so many.

    Returns
    -------
    list of Candidate
        First all starts, then their other sizes.  The notes of each say
        where it comes from.
    """
    target = Target.of(pdf, rmin, rmax)
    if target.pdf.compound is not None:
        elements = set(target.pdf.compound.amounts)
        own = [s for s in starts if set(s.elements) <= elements]
        return _of_compounds(own)[:count]
    # Their own sizes first: of few asked for, those are the ones.
    proposed = [_as_here(start, start.positions, target) for start in starts]
    for change in CHANGES:
        for start in starts:
            atoms = round(len(start) * (1 + change))
            if atoms >= MIN_ATOMS and atoms != len(start):
                xyz = resized(start.positions, atoms)
                proposed.append(_as_here(start, xyz, target))
    return proposed[:count]


def _of_compounds(starts: Sequence[Candidate]) -> list[Candidate]:
    """Structures of several elements as they are, and their inner parts.

    Rows of atoms do not tell which element a larger one goes on with; the
    generator ``cut`` has those.
    """
    proposed = [_told(s, s.positions, s.elements) for s in starts]
    for change in CHANGES:
        for start in starts:
            atoms = round(len(start) * (1 + change))
            if MIN_ATOMS <= atoms < len(start):
                x = start.positions - start.positions.mean(0)
                inner = np.sort(_Outline(x).from_inside(x)[:atoms])
                kept = tuple(start.elements[k] for k in inner)
                proposed.append(_told(start, start.positions[inner], kept))
    return proposed


def _as_here(start: Candidate, xyz: np.ndarray, target: Target) -> Candidate:
    """A structure under the element of the data, with its origin told."""
    return _told(start, xyz, (target.element,) * len(xyz))


def _told(
    start: Candidate, xyz: np.ndarray, elements: tuple[str, ...]
) -> Candidate:
    """A structure made of another, with its origin told."""
    origin = f"from {start.structure_type} with {len(start)} atoms"
    return Candidate(
        elements=elements,
        positions=xyz,
        structure_type=start.structure_type,
        notes=(f"{origin} of a neighbouring PDF",),
    )


def resized(positions: np.ndarray, atoms: int) -> np.ndarray:
    """A particle with the same outline and another number of atoms.

    Parameters
    ----------
    positions : (n, 3) array, angstrom
    atoms : int

    Returns
    -------
    (atoms, 3) array, angstrom
        Of a smaller one the innermost atoms; a larger one goes on along its
        rows of atoms.  Inner and outer are told by the facets of the convex
        hull, so that an octahedron stays one.  Fewer where a particle has no
        rows that go on.
    """
    x = positions - positions.mean(0)
    outline = _Outline(x)
    if atoms < len(x):
        return positions[np.sort(outline.from_inside(x)[:atoms])]
    for layer in _layers(x):
        order = outline.from_inside(layer)
        x = np.concatenate([x, layer[order[: atoms - len(x)]]])
        if len(x) == atoms:
            break
    return x + positions.mean(0)


_DIGITS = 6
"""Places that differ by less are equally far out."""


@dataclasses.dataclass
class _Outline:
    """How far out places lie, 1 on the facets of the convex hull."""

    x: np.ndarray

    def __post_init__(self) -> None:
        from scipy.spatial import ConvexHull, QhullError

        try:
            self.planes = ConvexHull(self.x).equations
        except QhullError:  # all atoms in a plane, or fewer than four
            self.planes = None

    def from_inside(self, places: np.ndarray) -> np.ndarray:
        """The order of places, (n,), from the innermost to the outermost."""
        apart = np.linalg.norm(places, axis=1).round(_DIGITS)
        if self.planes is None:
            return np.argsort(apart, kind="stable")
        normals, offsets = self.planes[:, :3], -self.planes[:, 3]
        out = (places @ normals.T / offsets.clip(1e-9)).max(1)
        # Of a layer upon all facets, the middles of all come first.
        return np.lexsort([apart, out.round(_DIGITS)])


def _layers(x: np.ndarray) -> Iterator[np.ndarray]:
    """Places where the rows of a particle go on, one layer after another."""
    from scipy.spatial import cKDTree

    bond = nearest_neighbour_distance(x)
    while True:
        tree = cKDTree(x)
        pairs = tree.query_pairs(NEAR * bond, output_type="ndarray")
        a, b = x[pairs[:, 0]], x[pairs[:, 1]]
        onward = np.concatenate([2 * a - b, 2 * b - a])
        free = tree.query(onward)[0] > APART * bond
        layer = _distinct(onward[free], APART * bond)
        if not len(layer):
            return
        yield layer
        x = np.concatenate([x, layer])


def _distinct(places: np.ndarray, apart: float) -> np.ndarray:
    """Places of which no two are nearer than a distance."""
    from scipy.spatial import cKDTree

    if not len(places):
        return places
    # Those that more rows lead to are of the crystal: they come first.
    near = cKDTree(places).query_ball_point(places, apart)
    order = np.argsort([-len(some) for some in near], kind="stable")
    taken = np.zeros(len(places), bool)
    blocked = np.zeros(len(places), bool)
    for k in order:
        if not blocked[k]:
            taken[k] = True
            blocked[near[k]] = True
    return places[taken]
