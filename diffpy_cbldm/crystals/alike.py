"""Whether two clusters are the same, and how far they are apart.

G(r) of one element tells distances alone.  So clusters are compared by their
sorted distances, or atom by atom up to all that leaves the distances as they
are: translation, rotation, reflection, the order of like atoms.
"""

from __future__ import annotations

import collections
import functools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.spatial.distance import pdist

from diffpy_cbldm.cluster import as_cluster
from diffpy_cbldm.crystals.bonds import (
    MANY,
    as_positions,
    diameter,
    is_tensor,
    roughness,
)
from diffpy_cbldm.crystals.lattice_pairs import lattice_distances
from diffpy_cbldm.crystals.pair_kernels import binned_pairs
from diffpy_cbldm.crystals.superposition import (
    Pair,
    best_factor,
    least_rmsd,
)
from diffpy_cbldm.errors import CbldmError

if TYPE_CHECKING:
    import torch

SAME_RW = 1e-4
"""Rw that differ by less are the same."""

STARTS = 12
"""So many superpositions are refined."""

BIN = 0.005
"""Of the distances of large clusters on no lattice, A."""

SAME = 0.05
"""RMSD (A) up to which two clusters are the same.

One of N atoms that sits on another site, a bond b away, makes b / sqrt(N):
more than this up to 3,000 atoms.
"""


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


def fingerprint(
    positions: np.ndarray | torch.Tensor, labels: np.ndarray | None = None
) -> np.ndarray:
    """All distances in ascending order, (N (N - 1) / 2,), angstrom.

    It does not know rotation, reflection and the order of the atoms.

    Parameters
    ----------
    positions : (N, 3) array, angstrom
    labels : (N,) array of int, optional
        Kinds of atoms: the distances of each pair of kinds are sorted by
        themselves, one pair of kinds after another.
    """
    distances = pdist(as_positions(positions))
    if labels is None:
        return np.sort(distances)
    i, j = np.triu_indices(len(labels), 1)
    low, high = np.sort([labels[i], labels[j]], axis=0)
    return distances[np.lexsort((distances, high, low))]


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
    firsts: list[Distances] = []
    for i, cluster in enumerate(clusters):
        distances = Distances(as_positions(cluster))
        # With the first alone, so that a chain of small differences does not
        # join clusters that are far apart.
        for group, first in zip(groups, firsts, strict=True):
            if first.alike(distances, tolerance, stretch):
                group.append(i)
                break
        else:
            groups.append([i])
            firsts.append(distances)
    return groups


class Distances:
    """The distances of a cluster, as far as a comparison asks for them.

    Those of large clusters are counted, not listed: on a lattice exactly,
    elsewhere in bins of `BIN`.

    Parameters
    ----------
    x : (N, 3) array, angstrom
    """

    def __init__(self, x: np.ndarray) -> None:
        self.x = x
        n = len(x)
        squares = ((x - x.mean(0)) ** 2).sum()
        # Root mean square distance, which no list of them is needed for.
        self.size = math.sqrt(2 * squares / max(n - 1, 1))

    @functools.cached_property
    def counted(self) -> tuple[np.ndarray, np.ndarray]:
        """Distances, rising, and the last place of each among all pairs."""
        if len(self.x) <= MANY:
            listed = fingerprint(self.x)
            return listed, np.arange(1.0, len(listed) + 1)
        found = lattice_distances(self.x)
        if found is None:
            pairs = binned_pairs(self.x, BIN, int(diameter(self.x) / BIN) + 2)
            filled = np.flatnonzero(pairs)
            found = filled * BIN, pairs[filled]
        return found[0], np.cumsum(found[1])

    def alike(
        self, other: Distances, tolerance: float, stretch: float
    ) -> bool:
        """Whether the sorted distances differ by at most `tolerance`, A.

        In the root mean square, the other's stretched as far as it may be.
        """
        if len(self.x) != len(other.x):
            return False
        # Root mean squares bound the difference from below.
        factor = best_factor(self.size, other.size, stretch)
        if abs(self.size - factor * other.size) > tolerance + 1e-6:
            return False
        return self._apart(other, stretch) <= tolerance

    def _apart(self, other: Distances, stretch: float) -> float:
        """Root mean square difference of the sorted distances, angstrom."""
        (a, ends_a), (b, ends_b) = self.counted, other.counted
        if len(self.x) <= MANY:
            return _apart(a, b, stretch)
        # Between two ends of either both distances stay what they are.
        ends = np.union1d(ends_a, ends_b)
        many = np.diff(ends, prepend=0.0) / ends[-1]
        a = a[np.searchsorted(ends_a, ends).clip(max=len(a) - 1)]
        b = b[np.searchsorted(ends_b, ends).clip(max=len(b) - 1)]
        b = b * best_factor((many * a) @ b, (many * b) @ b, stretch)
        return float(np.sqrt(many @ (a - b) ** 2))


def _apart(a: np.ndarray, b: np.ndarray, stretch: float) -> float:
    """Root mean square difference of two fingerprints, angstrom.

    The second is stretched as far as it may be, which makes the least.
    """
    if len(a) == 0:
        return 0.0
    if stretch > 0:
        b = b * best_factor(a @ b, b @ b, stretch)
    return float(np.sqrt(np.mean((a - b) ** 2)))


def same_structure(
    a: Any,
    b: Any,
    *,
    tolerance: float = SAME,
    stretch: float = 0.0,
    reflection: bool = True,
) -> bool:
    """Whether two clusters are one structure.

    They are if they have the same atoms and an `rmsd` of at most
    `tolerance`.

    Most pairs are told apart by their distances alone, since these bound
    the RMSD from below: sorted, for each pair of elements by itself, they
    differ by at most sqrt(2 N / (N - 1)) RMSD (root mean square).

    Parameters
    ----------
    a, b, stretch, reflection
        As in `rmsd`.
    tolerance : float, angstrom
        Default 0.05: one of N atoms on another site, a bond of 2.8 A away,
        makes 2.8 / sqrt(N), which is more up to 3,000 atoms.

    Returns
    -------
    bool

    Raises
    ------
    CbldmError
        As in `rmsd`, or a negative tolerance.
    """
    if not tolerance >= 0:
        raise CbldmError(
            f"tolerance is {tolerance} A; expected 0 or more: 0.05 A tells "
            "one moved atom in 3,000."
        )
    pair = _pair(a, b, stretch, reflection)
    if pair is None:
        return False
    n = len(pair.a)
    most = tolerance * math.sqrt(2 * n / max(n - 1, 1))
    if n > MANY and not pair.labels_a.any():
        if not Distances(pair.a).alike(Distances(pair.b), most, stretch):
            return False
    else:
        first = fingerprint(pair.a, pair.labels_a)
        second = fingerprint(pair.b, pair.labels_b)
        if _apart(first, second, stretch) > most:
            return False
    return least_rmsd(pair, STARTS, enough=tolerance) <= tolerance


def rmsd(
    a: Any,
    b: Any,
    *,
    stretch: float = 0.0,
    reflection: bool = True,
    keep: int = STARTS,
) -> float:
    """RMSD of two clusters up to what leaves them the same structure.

    The least root mean square distance of partners::

        sqrt(1/N sum_i |R a_i + t - f b_p(i)|^2),

    over all translations t, rotations R (with reflections, unless these are
    excluded), permutations p of like atoms and factors f from
    1 / (1 + stretch) to 1 + stretch.  All atoms count alike.

    Rotations to start from put pairs of a's outer atoms on pairs of b's that
    lie at nearly the same radii and angle, which is exact for copies however
    symmetric they are; principal axes and a coarse grid of rotations serve
    where the clusters differ.  The best ones are refined in turns of
    assignment and superposition (`superposition`).  For clusters that are no
    copies the result is an upper bound, as a rule the minimum.

    Parameters
    ----------
    a, b : Cluster, ase.Atoms, diffpy or pymatgen structure, or array
        A structure in a periodic box is put together first.  Elements are
        compared unless one of both is an (N, 3) array of positions (A).
    stretch : float
        How far b may be stretched; 0.02 is 2 %.  Default 0.
    reflection : bool
        Whether a mirror image counts as the same, as for G(r).  Default
        True.
    keep : int
        How many starts are refined; more take longer and can come lower.
        Default 12.

    Returns
    -------
    float, angstrom
        nan where the atoms are not the same: another number, or another
        composition.

    Raises
    ------
    CbldmError
        A crystal, atoms on top of one another, or a negative stretch.
    """
    if keep < 1:
        raise CbldmError(
            f"keep is {keep}; expected 1 or more starts: leave it at {STARTS}."
        )
    pair = _pair(a, b, stretch, reflection)
    return math.nan if pair is None else least_rmsd(pair, keep)


def _pair(a: Any, b: Any, stretch: float, reflection: bool) -> Pair | None:
    """Two clusters about their centroids, None where their atoms differ."""
    if not 0 <= stretch < math.inf:
        raise CbldmError(
            f"stretch is {stretch}; expected 0 or more: 0.02 lets b be "
            "stretched by 2 %."
        )
    (x, names_a), (y, names_b) = _atoms(a), _atoms(b)
    if names_a is None or names_b is None:
        names_a, names_b = ("",) * len(x), ("",) * len(y)
    if collections.Counter(names_a) != collections.Counter(names_b):
        return None
    kinds = {name: k for k, name in enumerate(sorted(set(names_a)))}
    return Pair(
        a=x - x.mean(0),
        b=y - y.mean(0),
        labels_a=np.array([kinds[name] for name in names_a]),
        labels_b=np.array([kinds[name] for name in names_b]),
        stretch=stretch,
        reflection=reflection,
    )


def _atoms(given: Any) -> tuple[np.ndarray, tuple[str, ...] | None]:
    """Positions, and elements where they are known."""
    if not (isinstance(given, np.ndarray) or is_tensor(given)):
        cluster = as_cluster(given)
        return as_positions(cluster.positions), cluster.elements
    positions = as_positions(given)
    if not np.isfinite(positions).all():
        raise CbldmError(
            "positions hold what is not finite; expected coordinates in "
            "angstrom: correct them."
        )
    return positions, None
