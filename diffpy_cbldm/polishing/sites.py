"""Sites that continue a cluster's own lattice outwards."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from diffpy_cbldm.crystals.bonds import BOND


def more_sites(
    atoms: np.ndarray, bond: float, layers: bool = False
) -> np.ndarray:
    """Sites that continue a cluster's own lattice by one shell.

    Around each atom the vectors between its neighbours and theirs are those
    of the lattice there, in whichever grain of a twin it lies.  A site to
    which these lead from three atoms or more, and from no fewer than from
    its rival a fraction of a bond away, continues the crystal.

    Parameters
    ----------
    atoms : (N, 3) array, angstrom
    bond : float, angstrom
    layers : bool
        Whether close-packed layers may go on in either of two ways: sites
        over every triangle of atoms are taken as well.

    Returns
    -------
    (n, 3) array: new sites, farther than 0.7 bonds from all atoms.
    """
    found = _continued(atoms / bond)
    if layers:
        caps = _caps(atoms / bond)
        new = caps
        if len(found):
            new = caps[cKDTree(found).query(caps)[0] > 0.2]
        found = np.concatenate([found, new])
    return found * bond


def _caps(x: np.ndarray) -> np.ndarray:
    """Points one bond from three atoms that are bonded to each other."""
    tree = cKDTree(x)
    pairs = tree.query_pairs(1.1)
    around: dict[int, set[int]] = {}
    for i, j in pairs:
        around.setdefault(i, set()).add(j)
        around.setdefault(j, set()).add(i)
    triangles = np.array(
        [
            (i, j, k)
            for i, j in pairs
            for k in around[i] & around[j]
            if k > max(i, j)
        ]
    )
    if not len(triangles):
        return np.zeros((0, 3))
    a, b, c = (x[part] for part in triangles.T)
    normal = np.cross(b - a, c - a)
    normal *= (2 / 3) ** 0.5 / np.linalg.norm(normal, axis=1)[:, None]
    caps = (a + b + c) / 3 + np.stack([normal, -normal])
    caps = caps.reshape(-1, 3)
    caps = caps[tree.query(caps)[0] > 0.9]
    alike = cKDTree(caps).query_pairs(0.2, output_type="ndarray")
    return np.delete(caps, np.unique(alike[:, 1]), axis=0)


def _twice(count: int) -> np.ndarray:
    """Each number beside itself, (count, 2)."""
    return np.arange(count)[:, None].repeat(2, axis=1)


def _continued(x: np.ndarray) -> np.ndarray:
    """`more_sites` without caps, in bond lengths."""
    tree = cKDTree(x)
    first = tree.query_pairs(BOND, output_type="ndarray")
    first = np.concatenate([first, first[:, ::-1], _twice(len(x))])
    second = tree.query_pairs(1.5, output_type="ndarray")
    second = np.concatenate([second, second[:, ::-1]])
    # From atom i over its neighbour j all the steps that lead on from j.
    second = second[np.argsort(second[:, 0], kind="stable")]
    starts = np.searchsorted(second[:, 0], np.arange(len(x) + 1))
    many = np.diff(starts)[first[:, 1]]
    row = np.repeat(starts[first[:, 1]], many)
    row += np.arange(len(row)) - np.repeat(np.cumsum(many) - many, many)
    owner = np.repeat(first[:, 0], many)
    step = x[second[row, 1]] - x[second[row, 0]]
    owner, step = np.tile(owner, 2), np.concatenate([step, -step])
    code = np.round(step / 0.2).astype(np.int64) + 20
    code = ((owner * 41 + code[:, 0]) * 41 + code[:, 1]) * 41 + code[:, 2]
    _, once = np.unique(code, return_index=True)
    owner, place = owner[once], x[owner[once]] + step[once]
    outside = tree.query(place)[0] > 0.5
    owner, place = owner[outside], place[outside]
    # What several atoms point at is one site, at the mean.
    while True:
        _, group = np.unique(
            np.round(place / 0.15), axis=0, return_inverse=True
        )
        group = group.ravel()
        count = np.bincount(group)
        mean = np.stack(
            [np.bincount(group, c) / count for c in place.T], axis=1
        )
        pairs = cKDTree(mean).query_pairs(0.2, output_type="ndarray")
        if not len(pairs):
            break
        # Groups that a boundary of the grid cut: the smaller one joins.
        small, large = pairs.T
        turned = count[small] > count[large]
        small, large = (
            np.where(turned, large, small),
            np.where(turned, small, large),
        )
        target = np.arange(len(mean))
        target[small] = large
        place = mean[target[group]]
    pointed = np.unique(np.stack([group, owner]), axis=1)[0]
    support = np.bincount(pointed, minlength=len(mean))
    rivals = cKDTree(mean).query_pairs(0.8, output_type="ndarray")
    beaten = np.zeros(len(mean), bool)
    for here, there in (rivals.T, rivals[:, ::-1].T):
        beaten[here[support[here] < 0.6 * support[there]]] = True
    good = (support >= 3) & ~beaten
    near = tree.query(mean)[0]
    return mean[good & (near > 0.7) & (near < BOND)]
