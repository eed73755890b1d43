"""The distances of atoms on a lattice, counted without looking at pairs.

The sites as a grid of zeros and ones are correlated with themselves by
Fourier transforms: the result says how many pairs have each vector, and
vectors of one length are one distance.  The work grows with the volume, not
with the number of pairs, and the counts are exact.
"""

from __future__ import annotations

import numpy as np

from diffpy_cbldm.crystals.lattices import BASES
from diffpy_cbldm.crystals.pair_kernels import counted_squares
from diffpy_cbldm.crystals.remembered import remembered

CELLS = {"fcc": 2**0.5, "bcc": 2 / 3**0.5, "sc": 1.0}
"""Lattice parameters of the cubic crystals, in bond lengths."""

KEYS = {"fcc": 0.5, "bcc": 1 / 3, "sc": 1.0, "stack": 1 / 3}
"""Squares of distances on a template are whole multiples of this."""

OFF = 1e-5
"""So near (bond lengths) to sites atoms stand on them."""

_FULLEST = 64
"""A grid may have so many points for each atom: rods in a corner of a large
one would take more time than their pairs."""


def site_steps(template: str) -> np.ndarray:
    """Unit steps of the sites' whole coordinates, rows in bond lengths.

    Half lattice parameters hold all sites of fcc and bcc.

    Parameters
    ----------
    template : {"fcc", "bcc", "sc", "stack"}
    """
    if template == "stack":
        return BASES["stack"]
    half = {"fcc": 0.5, "bcc": 0.5, "sc": 1.0}[template]
    return np.eye(3) * (half * CELLS[template])


def site_distances(
    template: str, sites: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The distances of sites of a template, exactly.

    Parameters
    ----------
    template : {"fcc", "bcc", "sc", "stack"}
    sites : (N, 3) array of int
        In `site_steps`, none twice.

    Returns
    -------
    distance, pairs : (S,) arrays, bond lengths and pairs i < j
        Rising.
    """
    from scipy import fft

    if len(sites) < 2:
        return np.zeros(0), np.zeros(0)
    cells = sites - sites.min(0)
    shape = cells.max(0) + 1
    # Twice as large, so that no vector comes back from the other side.
    size = [fft.next_fast_len(int(2 * n - 1), real=True) for n in shape]
    grid = np.zeros(size, np.float32)
    grid[tuple(cells.T)] = 1
    waves = fft.rfftn(grid, overwrite_x=True)
    # Not by abs, which takes roots.
    power = waves.real**2 + waves.imag**2
    counts = fft.irfftn(power, size, overwrite_x=True)
    pairs = counted_squares(counts, shape, template == "stack")[1:] / 2
    filled = np.flatnonzero(pairs)
    return np.sqrt((filled + 1) * KEYS[template]), pairs[filled]


@remembered(1, 0)
def lattice_distances(
    positions: np.ndarray,
) -> tuple[np.ndarray, np.ndarray] | None:
    """The distances of a cluster whose atoms stand on a lattice.

    Parameters
    ----------
    positions : (N, 3) array, angstrom

    Returns
    -------
    distance, pairs : (S,) arrays, angstrom and pairs i < j
        Rising; None where `sites_of` finds no lattice.
    """
    standing = sites_of(positions)
    if standing is None:
        return None
    template, sites, bond = standing
    distance, pairs = site_distances(template, sites)
    return bond * distance, pairs


def sites_of(positions: np.ndarray) -> tuple[str, np.ndarray, float] | None:
    """The lattice on which the atoms of a cluster stand.

    The lattices of fcc, bcc, sc and close-packed layers are tried with the
    axes of their templates and the cluster's own bond length, as all our
    generators place them.

    Parameters
    ----------
    positions : (N, 3) array, angstrom

    Returns
    -------
    template : {"fcc", "bcc", "sc", "stack"}
    sites : (N, 3) array of int
        In `site_steps`, from the first atom.
    bond : float, angstrom

        None where the atoms stand on none of the lattices, or two of them on
        one site.
    """
    from scipy.spatial import cKDTree

    if len(positions) < 2:
        return None
    x = positions - positions[0]
    bond = float(cKDTree(x).query(x[:50], k=2)[0][:, 1].min())
    if not bond > 0:
        return None
    for template in KEYS:
        sites = _whole(x / bond, site_steps(template))
        if sites is None:
            continue
        points = np.ptp(sites, axis=0) + 1
        if points.prod() > _FULLEST * len(sites):
            continue
        places = np.ravel_multi_index((sites - sites.min(0)).T, points)
        if len(np.unique(places)) < len(sites):
            return None
        # The mean over the cluster tells the step better than one bond.
        flat = (sites @ site_steps(template)).ravel()
        bond = float(flat @ x.ravel() / (flat @ flat))
        return template, sites, bond
    return None


def _whole(x: np.ndarray, steps: np.ndarray) -> np.ndarray | None:
    """Positions in whole steps, (N, 3); None where they are not."""
    inverse = np.linalg.inv(steps)
    # The bond is known to rounding alone: that grows across the cluster.
    near = x[:50] @ inverse
    if np.abs(near - np.rint(near)).max() > 0.01:
        return None
    whole = np.rint(x @ inverse)
    flat = (whole @ steps).ravel()
    stretch = float(flat @ x.ravel() / (flat @ flat))
    if np.abs(x - stretch * (whole @ steps)).max() > OFF:
        return None
    return whole.astype(np.int64)
