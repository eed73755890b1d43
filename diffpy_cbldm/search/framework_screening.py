"""All known frameworks compared with a PDF, as they are."""

from __future__ import annotations

import numpy as np

from diffpy_cbldm.crystals.frameworks import load_frameworks
from diffpy_cbldm.debye.orbit_histograms import orbit_histograms
from diffpy_cbldm.fitting.target import Target
from diffpy_cbldm.search.matching import (
    HIST_BINS,
    HIST_ORDER,
    HIST_STEP,
    Motion,
    screen,
)

AT_ONCE = 512
"""Frameworks that are compared at a time."""


def compare_frameworks(
    target: Target, bond: float, motion: Motion
) -> tuple[np.ndarray, np.ndarray]:
    """Rw and bond of each of the packaged frameworks, see `screen`.

    Parameters
    ----------
    target : Target
    bond : float, angstrom
        About which the stretches lie.
    motion : Motion
        Widths and dampings that are tried.

    Returns
    -------
    rw : (frameworks,) array
    bonds : (frameworks,) array, angstrom
    """
    known, found = load_frameworks(), []
    # In pieces: histograms and curves of all would take 60 MB.
    for first in range(0, len(known), AT_ONCE):
        part = known[first : first + AT_ONCE]
        hist = orbit_histograms(
            [framework.shells for framework in part],
            step=HIST_STEP,
            bins=HIST_BINS,
            order=HIST_ORDER,
        )
        atoms = np.array([len(framework) for framework in part])
        found.append(screen(hist, atoms, target, bond, motion))
    rw, bonds = zip(*found)
    return np.concatenate(rw), np.concatenate(bonds)
