"""The generator ``library``: all ideal clusters and particles, mined."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from diffpy_cbldm.cluster import Candidate
from diffpy_cbldm.crystals.table import load_table
from diffpy_cbldm.debye.batches import padded
from diffpy_cbldm.debye.histogram import pair_histogram
from diffpy_cbldm.fitting.quickfit import quick_fit
from diffpy_cbldm.fitting.target import Target
from diffpy_cbldm.pdfdata import PDFData
from diffpy_cbldm.search.large_set import best_particles
from diffpy_cbldm.search.matching import (
    HIST_BINS,
    HIST_ORDER,
    HIST_STEP,
    screen,
)
from diffpy_cbldm.search.pool import as_good
from diffpy_cbldm.settings import R_MAX

if TYPE_CHECKING:
    from torch import Tensor


WORSE = 1.5
"""Large particles are looked at closely where the first comparison gives them
an Rw below so many times that of the best cluster of the table."""

FITTED = 4
"""Clusters of the table that are fitted to tell whether large ones fit."""


def library_generator(
    pdf: PDFData | Target,
    *,
    count: int = 64,
    seed: int = 0,
    device: str = "auto",
    rmin: float = 1.5,
    rmax: float = R_MAX,
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
    rw, bonds = screen(*_library(), target, target.bond)
    # For evaluation: what counts as unseen must not be found here.
    rw[list(exclude)] = np.inf
    order = [int(i) for i in np.argsort(rw)[:count] if np.isfinite(rw[i])]
    small = [
        (table.geometries[i].structure_type, table.positions(i) * bonds[i])
        for i in order
    ]
    large = _large(target, count, small, float(rw.min()))
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


def _large(
    target: Target,
    count: int,
    small: list[tuple[str, np.ndarray]],
    rough: float,
) -> list[tuple[str, np.ndarray]]:
    """Types and positions of large particles, where they fit as well.

    Parameters
    ----------
    target : Target
    count : int
        At most half of so many are given.
    small : list of (str, (n, 3) array)
        The best clusters of the table, the best first.
    rough : float
        The least Rw of these in the screening.
    """
    # Far from the best small ones, they would only cost time.
    found = best_particles(target, max(count // 2, 1), WORSE * rough + 0.05)
    if not found:
        return []
    fits = quick_fit([xyz for _, xyz in small[:FITTED]], target, scan=(0.0,))
    limit = as_good(min((f.rw for f in fits), default=np.inf))
    return [
        (m.particle.structure_type, m.particle.positions * m.bond)
        for m in found
        if m.rw <= limit
    ]


def library_rw(target: Target) -> float:
    """Rw of the ideal cluster nearest to a PDF, only the scale fitted."""
    rw, _ = screen(*_library(), target, target.bond)
    return float(rw.min())


@functools.cache
def _library() -> tuple[Tensor, Tensor]:
    """Pair histograms of all ideal clusters, in bond lengths."""
    table = load_table()
    xyz, lengths = padded([table.positions(k) for k in range(len(table))])
    hist = pair_histogram(
        xyz, lengths, step=HIST_STEP, bins=HIST_BINS, order=HIST_ORDER
    )
    return hist, lengths
