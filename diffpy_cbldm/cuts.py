"""Random clusters that no library holds: cuts of the template sites.

A cut is what lies inside a random ellipsoid or polyhedron with a random
centre, now and then with a few surface atoms missing.  Its orientation is
one of the equivalent ones under the template's point group; the one whose
mean position points most along a fixed direction is taken, so that a shape
has one set of sites and not up to 120.
"""

from __future__ import annotations

import functools
import itertools

import numpy as np

from diffpy_cbldm.families import Table
from diffpy_cbldm.settings import MAX_ATOMS

_DIRECTION = np.array([1.0, 0.61803, 0.27015])
_PLANES = [
    np.array(p) / np.linalg.norm(p)
    for p in itertools.product((-1, 0, 1), repeat=3)
    if any(p)
]


def random_members(
    table: Table,
    template: str,
    rng: np.random.Generator,
    smallest: int = 13,
    largest: int = MAX_ATOMS,
) -> np.ndarray:
    """Draw the sites of a random cut.

    Parameters
    ----------
    table : Table
        Gives the sites.
    template : str
        One of `diffpy_cbldm.families.TEMPLATES`.
    rng : numpy.random.Generator
        Source of all choices.
    smallest, largest : int
        Range of the number of atoms, drawn evenly on a logarithmic scale.

    Returns
    -------
    (n,) array of int, rising site numbers of the template.
    """
    sites = table.sites[template]
    largest = min(largest, int(0.9 * len(sites)))
    count = round(np.exp(rng.uniform(np.log(smallest), np.log(largest))))
    xyz = sites - _centre(table, template, rng)
    if rng.random() < 0.5:
        axes = np.exp(rng.normal(0.0, 0.15, 3))
        turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
        depth = np.linalg.norm((xyz @ turn) / axes, axis=1)
    else:
        planes = np.array(_PLANES)
        if rng.random() < 0.3:
            planes = rng.normal(size=(12, 3))
            planes /= np.linalg.norm(planes, axis=1)[:, None]
        families = np.abs(planes).astype(bool).sum(1) - 1
        reach = np.exp(rng.normal(0, 0.1, 3))[families]
        reach = reach * np.exp(rng.normal(0.0, 0.08, len(planes)))
        depth = (xyz @ planes.T / reach).max(1)
    order = np.argsort(depth, kind="stable")
    chosen = order[:count]
    if rng.random() < 0.25:
        shell = chosen[count // 2 :]
        drop = rng.random(len(shell)) < rng.uniform(0.0, 0.1)
        chosen = np.concatenate([chosen[: count // 2], shell[~drop]])
    return np.sort(_canonical(table, template, chosen))


def _centre(
    table: Table, template: str, rng: np.random.Generator
) -> np.ndarray:
    """A centre near the origin, or for hcp that of a stored cluster."""
    jitter = rng.uniform(-0.5, 0.5, 3)
    if template != "hcp":
        return jitter
    sites = table.sites[template]
    while True:
        geometry = table.geometries[rng.integers(len(table))]
        p = geometry.parameters
        if geometry.structure_type == "hcp" and max(p) <= 3 * min(p):
            return sites[geometry.members].mean(0) + jitter


def _canonical(table: Table, template: str, members: np.ndarray) -> np.ndarray:
    turns, permutations = _symmetry(table.digest, template)
    mean = table.sites[template][members].mean(0)
    return permutations[np.argmax(turns @ mean @ _DIRECTION)][members]


@functools.cache
def _symmetry(digest: str, template: str) -> tuple[np.ndarray, np.ndarray]:
    """Point group of the packaged table's template, as site permutations.

    Returns
    -------
    turns : (g, 3, 3) array
    permutations : (g, S) array, where each site goes
    """
    from diffpy_cbldm.families import load_table

    sites = load_table().sites[template].astype(float)
    if template == "hcp":  # built from a corner: no symmetry is left
        return np.eye(3)[None], np.arange(len(sites))[None]
    from scipy.spatial import cKDTree

    tree = cKDTree(sites)
    turns, permutations = [], []
    for turn in _candidate_turns(sites):
        distance, index = tree.query(sites @ turn.T)
        if distance.max() < 0.05:
            turns.append(turn)
            permutations.append(index)
    return np.array(turns), np.array(permutations)


def _candidate_turns(sites: np.ndarray) -> list[np.ndarray]:
    """Orthogonal matrices that carry three sites onto three others."""
    norms = np.linalg.norm(sites, axis=1)
    order = [i for i in np.argsort(norms, kind="stable") if norms[i] > 0.1]
    base: list[int] = []
    for i in order:
        trial = sites[[*base, i]]
        if np.linalg.matrix_rank(trial, tol=0.2) == len(trial):
            base.append(i)
        if len(base) == 3:
            break
    inverse = np.linalg.inv(sites[base])
    gram = sites[base] @ sites[base].T
    same = [np.flatnonzero(np.abs(norms - norms[i]) < 0.03) for i in base]
    found: list[np.ndarray] = []
    for triple in itertools.product(*same):
        image = sites[list(triple)]
        if np.abs(image @ image.T - gram).max() < 0.06:
            turn = (inverse @ image).T
            u, _, vt = np.linalg.svd(turn)
            turn = u @ vt
            if all(np.abs(turn - f).max() > 0.05 for f in found):
                found.append(turn)
    return found
