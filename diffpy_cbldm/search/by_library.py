"""The generator ``library``: all ideal clusters and particles, mined."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np

from diffpy_cbldm.cluster import Candidate
from diffpy_cbldm.crystals.table import load_table
from diffpy_cbldm.fitting.target import Target
from diffpy_cbldm.pdfdata import PDFData
from diffpy_cbldm.search.large_set import offered
from diffpy_cbldm.search.matching import histograms, screen
from diffpy_cbldm.settings import Solve


def library_generator(
    pdf: PDFData | Target,
    *,
    count: int = 64,
    seed: int = 0,
    device: str = "auto",
    rmin: float = 1.5,
    rmax: float | None = Solve.rmax,
    exclude: Sequence[int] = (),
) -> list[Candidate]:
    """Mine all ideal clusters: every type, every size, stretch fitted.

    Up to 256 atoms those of the table of geometries, beyond it the particles
    of `diffpy_cbldm.search.large_set`, up to 10,000 atoms.

    Parameters
    ----------
    exclude : sequence of int
        Places in the table of geometries that are left out.
    """
    target = Target.of(pdf, rmin, rmax)
    table = load_table()
    rw, bonds = map(np.copy, screened_library(target))
    # For evaluation: what counts as unseen must not be found here.
    rw[list(exclude)] = np.inf
    order = [int(i) for i in np.argsort(rw)[:count] if np.isfinite(rw[i])]
    small = [
        (table.geometries[i].structure_type, table.positions(i) * bonds[i])
        for i in order
    ]
    large = [
        (m.particle.structure_type, m.particle.positions * m.bond)
        for m in offered(
            target, max(count // 2, 1), [xyz for _, xyz in small], "ideal"
        )
    ]
    # Smaller ones are left out from the end.
    proposed = large + small[: count - len(large)]
    return [
        Candidate(
            elements=(target.element,) * len(xyz),
            positions=xyz,
            structure_type=structure_type,
        )
        for structure_type, xyz in proposed
    ]


def library_rw(target: Target) -> float:
    """Rw of the ideal cluster nearest to a PDF, only the scale fitted."""
    rw, _ = screened_library(target)
    return float(rw.min())


@functools.lru_cache(maxsize=3)
def screened_library(target: Target) -> tuple[np.ndarray, np.ndarray]:
    """Rw and bond lengths of all ideal clusters; not to be changed.

    Those of the data as given, and of what `solve` corrects in them.
    """
    return screen(*_library(), target, target.bond)


@functools.cache
def _library() -> tuple[np.ndarray, np.ndarray]:
    """Pair histograms of all ideal clusters, in bond lengths."""
    table = load_table()
    hist = histograms([table.positions(k) for k in range(len(table))])
    return hist, np.array([g.n_atoms for g in table.geometries])
