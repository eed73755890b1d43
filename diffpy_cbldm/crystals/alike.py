"""Whether two clusters are the same, and how far they are apart.

G(r) of one element tells distances alone.  So clusters are compared by their
sorted distances, or atom by atom up to all that leaves the distances as they
are: translation, rotation, reflection, the order of the atoms.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist, pdist
from scipy.spatial.transform import Rotation

from diffpy_cbldm.crystals.bonds import as_positions, roughness

if TYPE_CHECKING:
    import torch

SAME_RW = 1e-4
"""Rw that differ by less are the same."""

COPY = 1e-3
"""RMSD (A) of copies: no start can be better than one that comes below."""


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
    ranked: list[int] = []
    while order:
        limit = value[order[0]] + SAME_RW
        # Nothing is below nan: what has no Rw goes one at a time.
        equal = [i for i in order if value[i] <= limit] or order[:1]
        if len(equal) > 1:
            equal.sort(key=lambda i: roughness(positions[i]))
        ranked += equal
        order = order[len(equal) :]
    return ranked


def fingerprint(positions: np.ndarray | torch.Tensor) -> np.ndarray:
    """All distances in ascending order, (N (N - 1) / 2,), angstrom.

    It does not know rotation, reflection and the order of the atoms.
    """
    return np.sort(pdist(as_positions(positions)))


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
        distances = fingerprint(cluster)
        # With the first alone, so that a chain of small differences does not
        # join clusters that are far apart.
        for group, first in zip(groups, firsts, strict=True):
            if len(first) == len(distances) and _same_distances(
                first, distances, tolerance, stretch
            ):
                group.append(i)
                break
        else:
            groups.append([i])
            firsts.append(distances)
    return groups


def _same_distances(
    a: np.ndarray, b: np.ndarray, tolerance: float, stretch: float
) -> bool:
    """Whether two fingerprints agree, b stretched as far as it may be."""
    if len(a) == 0:
        return True
    if stretch > 0:
        # The factor of least squares; two atoms at one place give 0 / 0.
        ratio = (a @ b) / max(b @ b, 1e-300)
        b = b * np.clip(ratio, 1 / (1 + stretch), 1 + stretch)
    return bool(np.sqrt(np.mean((a - b) ** 2)) <= tolerance)


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
    x, y = as_positions(a), as_positions(b)
    if len(x) != len(y):
        return float("nan")
    x, y = x - x.mean(0), y - y.mean(0)
    if len(x) == 1:
        return 0.0
    starts = np.concatenate(
        [_rotations_onto_pairs(x, y), _general_rotations(x, y)]
    )
    # An assignment takes N^3 steps; the nearest atoms tell cheaply which
    # rotations are worth one.
    cost = _mean_square_nearest(x, y, starts)
    best = np.inf
    for i in np.argsort(cost, kind="stable")[:keep]:
        best = min(best, _refined(x, y, starts[i]))
        if best < COPY:
            break
    return float(best)


def _refined(
    a: np.ndarray, b: np.ndarray, rotation: np.ndarray, rounds: int = 30
) -> float:
    """RMSD after turns of assignment and superposition."""
    partners = None
    for _ in range(rounds):
        _, new = linear_sum_assignment(cdist(a @ rotation.T, b, "sqeuclidean"))
        # The same assignment would give the same rotation again.
        if partners is not None and np.array_equal(new, partners):
            break
        partners = new
        rotation = _kabsch(a, b[partners])
    square = ((a @ rotation.T - b[partners]) ** 2).sum(1)
    return float(np.sqrt(np.mean(square)))


def _kabsch(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The rotation or rotoreflection R that minimises |a R^T - b|."""
    # G(r) does not know mirror images: no sign makes a proper rotation of R.
    u, _, vt = np.linalg.svd(b.T @ a)
    return u @ vt


def _mean_square_nearest(
    a: np.ndarray, b: np.ndarray, rotations: np.ndarray, chunk: int = 64
) -> np.ndarray:
    """Mean squared distance of a's turned atoms to the nearest of b's.

    One number for each of the rotations, (n,).
    """
    outer, tree = a, cKDTree(b)
    if len(a) > 64:
        # The outer atoms tell rotations apart best.
        outer = a[np.argsort(-(a**2).sum(1), kind="stable")[:64]]
    # In chunks, so that the turned atoms of all rotations need not fit in
    # memory at once.
    means = [
        (tree.query(outer @ r.transpose(0, 2, 1))[0] ** 2).mean(1)
        for r in np.split(rotations, range(chunk, len(rotations), chunk))
    ]
    return np.concatenate(means)


def _frames(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Right-handed frames from pairs of vectors, (n, 3, 3) columns."""
    e1 = u / np.linalg.norm(u, axis=1, keepdims=True)
    e3 = np.cross(u, v)
    e3 /= np.linalg.norm(e3, axis=1, keepdims=True)
    return np.stack([e1, np.cross(e3, e1), e3], axis=2)


def _rotations_onto_pairs(
    a: np.ndarray, b: np.ndarray, most: int = 400
) -> np.ndarray:
    """Rotations, and their mirror images, of pairs of a onto pairs of b."""
    radius_a, radius_b = (np.linalg.norm(x, axis=1) for x in (a, b))
    rotations = [np.empty((0, 3, 3))]
    for i, j in _outer_pairs(a, radius_a):
        gap = np.abs(radius_b[:, None] - radius_a[None, [i, j]])
        apart = np.linalg.norm(a[i] - a[j])
        # Copies agree to the first tolerance, which leaves few pairs; noisy
        # copies need the wider ones.
        for tolerance in (0.01, 0.1, 0.4):
            k, m = (np.flatnonzero(g <= tolerance) for g in gap.T)
            k, m = (x.ravel() for x in np.meshgrid(k, m, indexing="ij"))
            off = np.abs(np.linalg.norm(b[k] - b[m], axis=1) - apart)
            # Two atoms in line with the centre span no frame.
            area = np.linalg.norm(np.cross(b[k], b[m]), axis=1)
            alike = (off <= 2 * tolerance) & (area > 1e-3)
            if alike.any():
                break
        else:
            continue
        k, m = k[alike][:most], m[alike][:most]
        here = _frames(a[[i]], a[[j]])
        there = _frames(b[k], b[m])
        # The third axis stands on the pair: its sign is the hand.
        mirror = np.diag([1.0, 1.0, -1.0])
        rotations += [there @ x @ here[0].T for x in (np.eye(3), mirror)]
    return np.concatenate(rotations)


def _outer_pairs(a: np.ndarray, radius: np.ndarray) -> list[tuple[int, int]]:
    """Three pairs of outer atoms at about right angles, rare radii first."""
    outer = np.flatnonzero(radius >= 0.6 * radius.max())
    # An atom whose radius few others share has few partners in b.
    sharing = (np.abs(radius[outer][:, None] - radius) < 0.05).sum(1)
    pairs = []
    for n in np.lexsort((-radius[outer], sharing))[:3]:
        i = outer[n]
        lever = np.linalg.norm(np.cross(a[i], a[outer]), axis=1)
        j = outer[np.argmax(lever / np.sqrt(sharing))]
        if lever.max() > 1e-3:
            pairs.append((i, j))
    return pairs


def _general_rotations(
    a: np.ndarray, b: np.ndarray, count: int = 60
) -> np.ndarray:
    """Principal axes, both hands, and fixed random rotations."""
    axes = [np.linalg.eigh(x.T @ x)[1] for x in (a, b)]
    # An axis has no sense: all eight signs, four of which are mirror images.
    signs = np.array(np.meshgrid(*[[1, -1]] * 3)).reshape(3, -1).T
    principal = np.stack([axes[1] @ np.diag(s) @ axes[0].T for s in signs])
    # The same ones at each call: a RMSD must not depend on chance.
    even = Rotation.random(count, rng=np.random.default_rng(0)).as_matrix()
    return np.concatenate([principal, even, -even])
