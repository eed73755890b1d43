"""One shape in several sizes: the members of a distribution of sizes.

A cluster on a lattice, or on stacked layers, is cut again from it, with all
facets farther out or in by one factor.  Icosahedra and decahedra have their
own series.  For what stands on no lattice, a crystal is cut by spheres.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from diffpy_cbldm.crystals.bonds import nearest_neighbour_distance
from diffpy_cbldm.crystals.lattice_pairs import (
    site_distances,
    site_steps,
    sites_of,
)
from diffpy_cbldm.crystals.lattices import sphere, stacking_sites
from diffpy_cbldm.crystals.particles import MultiplyTwinned, pair_counts

FACTORS = np.exp(np.linspace(-0.85, 0.75, 9))
"""Sizes of the members over that of the structure."""

LAYER = 0.35
"""Half a layer, bond lengths: the surface lies so far beyond its atoms."""

_DECAHEDRA = tuple((p, p, 1) for p in range(1, 14))

_SPHERES = {"hcp": "hcp", "bcc": "bcc", "sc": "sc"}
"""Crystals that spheres are cut from; all others are fcc."""


@dataclasses.dataclass(frozen=True)
class Family:
    """Members of one shape.

    Attributes
    ----------
    name : str
    atoms : (M,) array
        Rising.
    distances : (S,) array, angstrom
    pairs : (M, S) array
        Twice the pairs an atom.
    """

    name: str
    atoms: np.ndarray
    distances: np.ndarray
    pairs: np.ndarray


def family_of(positions: np.ndarray, structure_type: str) -> Family:
    """The members of a cluster's shape.

    Parameters
    ----------
    positions : (N, 3) array, angstrom
    structure_type : str
        As candidates name it.
    """
    bond = nearest_neighbour_distance(positions)
    if structure_type in ("dec", "ico"):
        return _twinned(structure_type, len(positions), bond)
    standing = sites_of(positions)
    if standing is not None:
        return _scaled(*standing)
    crystal = _SPHERES.get(structure_type, "fcc")
    return _spheres(crystal, len(positions), bond)


def _gathered(
    name: str,
    bond: float,
    counted: Sequence[tuple[int, np.ndarray, np.ndarray]],
) -> Family:
    """Members of (atoms, distances, pairs), each size once."""
    sizes = {atoms: (d, m) for atoms, d, m in counted if atoms > 1}
    keys = np.unique(
        np.concatenate([np.round(d, 5) for d, _ in sizes.values()])
    )
    pairs = np.zeros((len(sizes), len(keys)))
    atoms = np.array(sorted(sizes))
    for row, n in zip(pairs, atoms.tolist()):
        d, m = sizes[n]
        row[np.searchsorted(keys, np.round(d, 5))] = 2 * m / n
    return Family(name, atoms, bond * keys, pairs)


def _scaled(template: str, sites: np.ndarray, bond: float) -> Family:
    """The lattice within the hull of some sites, made larger and smaller."""
    cuts = scaled_sites(template, sites, FACTORS)
    if cuts is None:
        return _spheres(template, len(sites), bond)
    counted = [
        (len(whole), *site_distances(template, whole)) for whole in cuts
    ]
    return _gathered(template, bond, counted)


def scaled_sites(
    template: str,
    sites: np.ndarray,
    factors: np.ndarray,
    shifts: np.ndarray | None = None,
) -> list[np.ndarray] | None:
    """Cut a lattice by the hull of some sites, made larger and smaller.

    Parameters
    ----------
    template : str
    sites : (N, 3) array of int
        In `site_steps`, as of `sites_of`.
    factors : (M,) array
        Sizes over that of the sites.
    shifts : (M, 3) array, bond lengths, optional
        Where the hull stands on the lattice; by default where it stood.
        Facets that all pass a layer at once leave few numbers of atoms.

    Returns
    -------
    list of (n, 3) arrays of int, or None for too few atoms, or flat ones
    """
    from scipy.spatial import ConvexHull, QhullError

    steps = site_steps(template)
    x = sites @ steps
    middle = x.mean(0)
    try:
        hull = ConvexHull(x).equations
    except QhullError:
        return None
    normals, far = hull[:, :3], -(hull[:, 3] + hull[:, :3] @ middle)
    reach = np.linalg.norm(x - middle, axis=1).max() * max(factors) + 1
    points = sphere(template, float(np.ceil(reach + np.linalg.norm(middle))))
    if template == "stack":
        points = points[_in_order(points, x)]
    inverse = np.linalg.inv(steps)
    # Where layers stand anywhere, the surface itself is the limit; else the
    # last layer of the sites, which must stay within it.
    inward = LAYER if shifts is None else 0.0
    if shifts is None:
        shifts = np.zeros((len(factors), 3))
    cuts = []
    for factor, shift in zip(factors, shifts, strict=True):
        heights = (points - middle - shift) @ normals.T
        limit = (far + LAYER) * factor - inward
        inside = points[(heights <= limit + 1e-6).all(1)]
        cuts.append(np.rint(inside @ inverse).astype(np.int64))
    return cuts


def _in_order(points: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Which of all sites of layers continue the layers of some atoms.

    Beyond these, layers go on as the last ones do: each takes the step from
    site to site that was taken two layers before.
    """
    layer, site = stacking_sites(x)
    known = dict(zip(layer.tolist(), site.tolist()))
    here, places = stacking_sites(points)
    for way in (1, -1):
        end = max(layer * way)
        for k in range(end + 1, max(here * way) + 1):
            one, two, three = (known.get((k - i) * way, 0) for i in (1, 2, 3))
            # Of fewer than three layers nothing tells how they go on.
            step = (two - three) % 3 or 1
            known[k * way] = (one + step) % 3
    wanted = np.array([known.get(k, -1) for k in here.tolist()])
    return places == wanted


def _twinned(kind: str, atoms: int, bond: float) -> Family:
    """Icosahedra or decahedra of about these sizes."""
    numbers = _DECAHEDRA if kind == "dec" else [(n,) for n in range(2, 16)]
    series = [MultiplyTwinned(kind, tuple(n)) for n in numbers]
    low, high = atoms * FACTORS[[0, -1]] ** 3
    sizes = np.array([len(p) for p in series])
    # One more on both sides, so that the range is covered.
    first = max(int(np.searchsorted(sizes, low)) - 1, 0)
    last = int(np.searchsorted(sizes, high)) + 1
    counted = [(len(p), *pair_counts(p)) for p in series[first:last]]
    return _gathered(kind, bond, counted)


def _spheres(crystal: str, atoms: int, bond: float) -> Family:
    """Spheres about an atom, near to those of these numbers of atoms."""
    template = "stack" if crystal == "hcp" else crystal
    reach = (atoms / 2) ** (1 / 3) * FACTORS[-1] + 1
    points = sphere(template, float(np.ceil(reach)))
    if crystal == "hcp":
        layer, site = stacking_sites(points)
        points = points[site == layer % 2]
    radii = np.sort(np.linalg.norm(points, axis=1))
    inverse = np.linalg.inv(site_steps(template))
    counted = []
    for wanted in atoms * FACTORS**3:
        limit = radii[min(int(wanted), len(radii)) - 1] + 1e-6
        inside = points[np.linalg.norm(points, axis=1) <= limit]
        whole = np.rint(inside @ inverse).astype(np.int64)
        counted.append((len(whole), *site_distances(template, whole)))
    return _gathered(f"{crystal} spheres", bond, counted)
