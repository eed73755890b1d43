"""Two clusters laid on top of one another, atom on atom.

Sought are the rotation R, the stretch f and the partners p that make

    sqrt(1/N sum_i |R a_i - f b_p(i)|^2)

least, both clusters about their centroids, which is the best translation.
For given partners R follows by the singular value decomposition (W. Kabsch,
Acta Cryst. A 34, 827, 1978) and f by least squares; for given R and f the
partners are a linear assignment.  In turns these come down to a minimum.
Which one depends on the rotation at the start, and so there are many starts.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Iterator

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist
from scipy.spatial.transform import Rotation

COPY = 1e-3
"""RMSD (A) of copies: no start can be better than one that comes below."""

_OUTER = 64
"""So many outer atoms tell most rotations apart."""

_CLOSER = 400
"""So many rotations are looked at with all atoms."""

_ASSIGNED = 120
"""So many have their atoms matched: the operations of an icosahedron."""

_EQUAL = 1e-9
"""Mean squares (A^2) that differ by less are equal."""


@dataclasses.dataclass(frozen=True, eq=False)
class Pair:
    """Two clusters of the same atoms, about their centroids.

    Attributes
    ----------
    a, b : (N, 3) arrays, angstrom
    labels_a, labels_b : (N,) arrays of int
        The kind of each atom; partners are of one kind.
    stretch : float
        b may be stretched by a factor of 1 / (1 + stretch) to 1 + stretch.
    reflection : bool
        Whether a mirror image counts as the same.
    """

    a: np.ndarray
    b: np.ndarray
    labels_a: np.ndarray
    labels_b: np.ndarray
    stretch: float = 0.0
    reflection: bool = True

    @functools.cached_property
    def kinds(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Places of each kind of atoms in a and in b."""
        return [
            (
                np.flatnonzero(self.labels_a == kind),
                np.flatnonzero(self.labels_b == kind),
            )
            for kind in np.unique(self.labels_a)
        ]

    @functools.cached_property
    def trees(self) -> list[tuple[cKDTree, cKDTree]]:
        """Of each kind's atoms in a and in `sized`."""
        return [
            (cKDTree(self.a[here]), cKDTree(self.sized[there]))
            for here, there in self.kinds
        ]

    @functools.cached_property
    def sized(self) -> np.ndarray:
        """b, stretched to the size of a as far as it may be."""
        size_a, size_b = (float(np.linalg.norm(x)) for x in (self.a, self.b))
        return self.b * best_factor(size_a, size_b, self.stretch)


def best_factor(top: float, bottom: float, stretch: float) -> float:
    """top / bottom, within 1 / (1 + stretch) and 1 + stretch."""
    # All atoms at one place give 0 / 0.
    ratio = top / max(bottom, 1e-300)
    return float(np.clip(ratio, 1 / (1 + stretch), 1 + stretch))


def least_rmsd(pair: Pair, keep: int, enough: float = COPY) -> float:
    """The RMSD of two clusters at their best found superposition.

    Parameters
    ----------
    pair : Pair
    keep : int
        How many starts are refined.
    enough : float, angstrom
        No further start is refined below this.

    Returns
    -------
    float, angstrom
    """
    best = np.inf
    for rotation in itertools.islice(_starts(pair), keep):
        best = min(best, _refined(pair, rotation))
        if best < enough:
            break
    return float(best)


def _starts(pair: Pair) -> Iterator[np.ndarray]:
    """Rotations, (3, 3), those first that bring atoms onto atoms."""
    starts = np.concatenate(
        [_rotations_onto_pairs(pair), _general_rotations(pair.a, pair.sized)]
    )
    if not pair.reflection:
        starts = starts[np.linalg.det(starts) > 0]
    # Symmetric clusters give the same rotation by several pairs.
    starts = starts[np.unique(starts.round(6), axis=0, return_index=True)[1]]
    # An assignment takes N^3 steps; the nearest atoms tell cheaply which
    # rotations are worth one.  Outer atoms tell best, but not all: two
    # vacancies inside an icosahedron leave its outer shell as it is.
    outer = np.argsort(-(pair.a**2).sum(1), kind="stable")[:_OUTER]
    for chosen, most in (
        (outer, _CLOSER),
        (np.arange(len(pair.a)), _ASSIGNED),
    ):
        cost = _mean_square_nearest(pair, chosen, starts)
        starts = starts[np.argsort(cost, kind="stable")[:most]]
    yield starts[0]  # that of a copy
    cost = np.array([_mean_square_matched(pair, r) for r in starts])
    order = np.argsort(cost, kind="stable")
    # Rotations of one cost are the same up to the clusters' own symmetry.
    yield from starts[order][np.diff(cost[order], prepend=-np.inf) > _EQUAL]


def _refined(pair: Pair, rotation: np.ndarray, rounds: int = 30) -> float:
    """RMSD after turns of assignment and superposition."""
    a, b = pair.a, pair.sized
    partners = None
    for _ in range(rounds):
        new = _partners(pair, a @ rotation.T, b)
        # The same assignment would give the same rotation again.
        if partners is not None and np.array_equal(new, partners):
            break
        partners = new
        rotation = _kabsch(a, pair.b[partners], pair.reflection)
        along = (a @ rotation.T * pair.b[partners]).sum()
        b = pair.b * best_factor(along, (pair.b**2).sum(), pair.stretch)
    square = ((a @ rotation.T - b[partners]) ** 2).sum(1)
    return float(np.sqrt(np.mean(square)))


def _partners(pair: Pair, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """For each of a's atoms the place of its partner in b, (N,)."""
    partners = np.empty(len(a), dtype=int)
    for here, there in pair.kinds:
        cost = cdist(a[here], b[there], "sqeuclidean")
        partners[here] = there[linear_sum_assignment(cost)[1]]
    return partners


def _kabsch(a: np.ndarray, b: np.ndarray, reflection: bool) -> np.ndarray:
    """The R that minimises |a R^T - b|, with the mirror images or without."""
    u, _, vt = np.linalg.svd(b.T @ a)
    if not reflection and np.linalg.det(u @ vt) < 0:
        # Of the axes the one that costs least is turned round.
        u = u * [1, 1, -1]
    return u @ vt


def _mean_square_nearest(
    pair: Pair, chosen: np.ndarray, rotations: np.ndarray, chunk: int = 64
) -> np.ndarray:
    """Mean squared distance of turned atoms to the nearest of b's.

    Parameters
    ----------
    pair : Pair
    chosen : (m,) array of int
        Which of a's atoms are turned.
    rotations : (n, 3, 3) array
    chunk : int
        So many are done at once, so that all need not fit in memory.

    Returns
    -------
    (n,) array
    """
    total = np.zeros(len(rotations))
    for (here, _), (_, tree) in zip(pair.kinds, pair.trees, strict=True):
        atoms = pair.a[np.intersect1d(here, chosen)]
        for k in range(0, len(rotations), chunk):
            turned = atoms @ rotations[k : k + chunk].transpose(0, 2, 1)
            total[k : k + chunk] += (tree.query(turned)[0] ** 2).sum(1)
    return total / len(chosen)


def _mean_square_matched(pair: Pair, rotation: np.ndarray) -> float:
    """Mean squared distance of partners, those nearest to one another first.

    Only what is left by those is assigned.
    """
    total = 0.0
    for (here, there), (tree_a, tree_b) in zip(
        pair.kinds, pair.trees, strict=True
    ):
        a, b = pair.a[here] @ rotation.T, pair.sized[there]
        near, k = tree_b.query(a)
        mutual = tree_a.query(b @ rotation)[1][k] == np.arange(len(a))
        total += (near[mutual] ** 2).sum()
        rest = np.setdiff1d(np.arange(len(b)), k[mutual])
        cost = cdist(a[~mutual], b[rest], "sqeuclidean")
        total += cost[linear_sum_assignment(cost)].sum()
    return total / len(pair.a)


def _frames(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Right-handed frames from pairs of vectors, (n, 3, 3) columns."""
    e1 = u / np.linalg.norm(u, axis=1, keepdims=True)
    e3 = np.cross(u, v)
    e3 /= np.linalg.norm(e3, axis=1, keepdims=True)
    return np.stack([e1, np.cross(e3, e1), e3], axis=2)


def _rotations_onto_pairs(pair: Pair, most: int = 400) -> np.ndarray:
    """Rotations, and their mirror images, of pairs of a onto pairs of b."""
    a, b = pair.a, pair.sized
    radius_a, radius_b = (np.linalg.norm(x, axis=1) for x in (a, b))
    rotations = [np.empty((0, 3, 3))]
    for i, j in _outer_pairs(a, radius_a, pair.labels_a):
        gap = np.abs(radius_b[:, None] - radius_a[None, [i, j]])
        gap[pair.labels_b[:, None] != pair.labels_a[None, [i, j]]] = np.inf
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


def _outer_pairs(
    a: np.ndarray, radius: np.ndarray, labels: np.ndarray
) -> list[tuple[int, int]]:
    """Three pairs of outer atoms at about right angles, rare ones first."""
    outer = np.flatnonzero(radius >= 0.6 * radius.max())
    # An atom whose radius and kind few others share has few partners in b.
    near = np.abs(radius[outer][:, None] - radius) < 0.05
    sharing = (near & (labels[outer][:, None] == labels)).sum(1)
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
