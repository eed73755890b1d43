"""Whether two clusters are the same, and how far they are apart."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist, pdist
from scipy.spatial.transform import Rotation

from diffpy_cbldm.crystals.bonds import _array, roughness

SAME = 1e-4
"""Rw that differ by less are the same."""


def simplest_first(
    rw: Sequence[float | None], positions: Sequence[np.ndarray]
) -> list[int]:
    """Order by Rw, and where that is the same by roughness.

    An octahedron and the pyramid that is one atom short have the same PDF up
    to its scale: the smoother structure comes first.

    Parameters
    ----------
    rw : sequence of float or None
        What is missing or not a number comes last.
    positions : sequence of (n, 3) arrays, angstrom

    Returns
    -------
    list of int
    """
    value = np.array([np.nan if x is None else x for x in rw], float)
    order = np.argsort(value, kind="stable").tolist()
    found: list[int] = []
    while order:
        limit = value[order[0]] + SAME
        same = [i for i in order if value[i] <= limit] or order[:1]
        if len(same) > 1:
            same.sort(key=lambda i: roughness(positions[i]))
        found += same
        order = order[len(same) :]
    return found


def fingerprint(positions: np.ndarray | torch.Tensor) -> np.ndarray:
    """All distances in ascending order, (N (N - 1) / 2,), angstrom.

    It does not know rotation, reflection and the order of the atoms.
    """
    return np.sort(pdist(_array(positions)))


def duplicates(
    clusters: Sequence[np.ndarray | torch.Tensor],
    tolerance: float = 0.01,
    stretch: float = 0.0,
) -> list[list[int]]:
    """Group clusters that have the same distances.

    Two structures with the same distances are one here; they have the
    same PDF as well.

    Parameters
    ----------
    clusters : list of (N, 3) arrays, angstrom
    tolerance : float, angstrom
        The root mean square difference of the sorted distances; a vacancy
        on another site of a 150-atom cluster makes about 0.02.
    stretch : float
        The relative difference in size that still counts as the same
        (0.005 is 0.5 %).

    Returns
    -------
    list of lists of indices
        In the order of the first members; each list begins with it, and
        its members are like it.
    """
    groups: list[list[int]] = []
    firsts: list[np.ndarray] = []
    for i, cluster in enumerate(clusters):
        mine = fingerprint(cluster)
        for group, first in zip(groups, firsts, strict=True):
            if len(first) == len(mine) and _same(
                first, mine, tolerance, stretch
            ):
                group.append(i)
                break
        else:
            groups.append([i])
            firsts.append(mine)
    return groups


def _same(a, b, tolerance, stretch):
    if len(a) == 0:
        return True
    if stretch > 0:
        ratio = (a @ b) / max(b @ b, 1e-300)
        b = b * np.clip(ratio, 1 / (1 + stretch), 1 + stretch)
    return np.sqrt(np.mean((a - b) ** 2)) <= tolerance


def rmsd(
    a: np.ndarray | torch.Tensor,
    b: np.ndarray | torch.Tensor,
    *,
    keep: int = 6,
) -> float:
    """RMSD of two clusters up to everything that leaves G(r) alone.

    Up to translation, rotation, reflection and permutation.  Rotations to
    start from put pairs of a's outer atoms on pairs of b's that lie at
    nearly the same radii and angle, which is exact for copies however
    symmetric they are; principal axes and a coarse grid of rotations serve
    where the clusters differ.  The best ones are refined in turns of
    assignment and superposition (Kabsch).  For clusters that are no
    copies the result is an upper bound, as a rule the minimum.

    Parameters
    ----------
    a, b : (N, 3) arrays, angstrom
    keep : int
        How many starts are refined.

    Returns
    -------
    float, angstrom
        nan where the numbers of atoms differ.
    """
    a, b = _array(a), _array(b)
    if len(a) != len(b):
        return float("nan")
    a, b = a - a.mean(0), b - b.mean(0)
    if len(a) == 1:
        return 0.0
    starts = np.concatenate([_frame_rotations(a, b), _other_rotations(a, b)])
    cost = _mean_nearest(a, b, starts)
    best = np.inf
    for i in np.argsort(cost, kind="stable")[:keep]:
        best = min(best, _refined(a, b, starts[i]))
        if best < 1e-3:
            break
    return float(best)


def _refined(a, b, rotation, rounds=30):
    """RMSD after turns of assignment and superposition."""
    last = None
    for _ in range(rounds):
        order = linear_sum_assignment(cdist(a @ rotation.T, b, "sqeuclidean"))
        if last is not None and np.array_equal(order[1], last):
            break
        last = order[1]
        rotation = _kabsch(a, b[last])
    return np.sqrt(np.mean(((a @ rotation.T - b[last]) ** 2).sum(1)))


def _kabsch(a, b):
    """The rotation or rotoreflection R that minimises |a R^T - b|."""
    u, _, vt = np.linalg.svd(b.T @ a)
    return u @ vt


def _mean_nearest(a, b, rotations, chunk=64):
    """Mean squared distance of a's turned atoms to the nearest of b's."""
    far = slice(None)
    if len(a) > 64:
        # The outer atoms tell rotations apart best.
        far = np.argsort(-(a**2).sum(1), kind="stable")[:64]
    a2, tree = a[far], cKDTree(b)
    out = [
        (tree.query(a2 @ r.transpose(0, 2, 1))[0] ** 2).mean(1)
        for r in np.split(rotations, range(chunk, len(rotations), chunk))
    ]
    return np.concatenate(out)


def _frames(u, v):
    """Right-handed frames from pairs of vectors, (n, 3, 3) columns."""
    e1 = u / np.linalg.norm(u, axis=1, keepdims=True)
    e3 = np.cross(u, v)
    e3 /= np.linalg.norm(e3, axis=1, keepdims=True)
    return np.stack([e1, np.cross(e3, e1), e3], axis=2)


def _frame_rotations(a, b, most=400):
    """Rotations, and their mirror images, of pairs of a onto pairs of b."""
    ra, rb = (np.linalg.norm(x, axis=1) for x in (a, b))
    found = [np.empty((0, 3, 3))]
    for i, j in _pairs_of(a, ra):
        gap = np.abs(rb[:, None] - ra[None, [i, j]])
        d = np.linalg.norm(a[i] - a[j])
        for tolerance in (0.01, 0.1, 0.4):
            k, m = (np.flatnonzero(g <= tolerance) for g in gap.T)
            k, m = (x.ravel() for x in np.meshgrid(k, m, indexing="ij"))
            off = np.abs(np.linalg.norm(b[k] - b[m], axis=1) - d)
            size = np.linalg.norm(np.cross(b[k], b[m]), axis=1)
            ok = (off <= 2 * tolerance) & (size > 1e-3)
            if ok.any():
                break
        else:
            continue
        k, m = k[ok][:most], m[ok][:most]
        here = _frames(a[[i]], a[[j]])
        there = _frames(b[k], b[m])
        flip = np.diag([1.0, 1.0, -1.0])
        found += [there @ x @ here[0].T for x in (np.eye(3), flip)]
    return np.concatenate(found)


def _pairs_of(a, radius):
    """Three pairs of outer atoms at about right angles, rare radii first."""
    outer = np.flatnonzero(radius >= 0.6 * radius.max())
    alike = (np.abs(radius[outer][:, None] - radius) < 0.05).sum(1)
    pairs = []
    for n in np.lexsort((-radius[outer], alike))[:3]:
        i = outer[n]
        lever = np.linalg.norm(np.cross(a[i], a[outer]), axis=1)
        j = outer[np.argmax(lever / np.sqrt(alike))]
        if lever.max() > 1e-3:
            pairs.append((i, j))
    return pairs


def _other_rotations(a, b, count=60):
    """Principal axes, both hands, and fixed random rotations."""
    axes = [np.linalg.eigh(x.T @ x)[1] for x in (a, b)]
    signs = np.array(np.meshgrid(*[[1, -1]] * 3)).reshape(3, -1).T
    principal = np.stack([axes[1] @ np.diag(s) @ axes[0].T for s in signs])
    spread = Rotation.random(count, rng=np.random.default_rng(0)).as_matrix()
    return np.concatenate([principal, spread, -spread])
