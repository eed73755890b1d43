"""How good a structure is: Rw, bonds, RMSD, duplicates, roughness."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist, pdist
from scipy.spatial.transform import Rotation

from diffpy_cbldm.errors import CbldmError
from diffpy_cbldm.families import load_table

Curve = TypeVar("Curve", np.ndarray, torch.Tensor)

BOND = 1.2
"""Longest bond, in nearest-neighbour distances."""

BULK = {"bcc": 14, "sc": 6}
"""Bonds of an atom inside a crystal; 12 where layers are close-packed."""

_FULL = 0.85
"""Part of the largest coordination from which an atom lacks no neighbour.

Of 12 it takes 11 as full, next to a vacancy inside, and 10 as surface.
"""


def rw(g_obs: Curve, g_calc: Curve, weights: Curve | None = None) -> Curve:
    """Rw = sqrt(sum w (G_obs - G_calc)^2 / sum w G_obs^2), section 4.1.

    Parameters
    ----------
    g_obs, g_calc : (..., n) arrays or tensors
        Observed and calculated G(r) on one grid; leading axes broadcast.
    weights : (..., n) array or tensor, optional
        One over the variance; default 1.

    Returns
    -------
    (...) array or tensor

    Raises
    ------
    CbldmError
        The observed curve is zero everywhere.
    """
    w = 1.0 if weights is None else weights
    norm = (w * g_obs**2).sum(-1)
    if not (norm > 0).all():
        raise CbldmError(
            "G(r) is zero everywhere, so Rw has no meaning; expected peaks: "
            "check the data file and the range of r."
        )
    return ((w * (g_obs - g_calc) ** 2).sum(-1) / norm) ** 0.5


def best_scale(
    g_obs: Curve, g_calc: Curve, weights: Curve | None = None
) -> Curve:
    """The factor of G_calc that minimises Rw (0 where G_calc is zero).

    Shapes as in `rw`.
    """
    w = 1.0 if weights is None else weights
    norm = (w * g_calc**2).sum(-1)
    return (w * g_obs * g_calc).sum(-1) / (norm + (norm == 0))


def rw_scaled(
    g_obs: Curve, g_calc: Curve, weights: Curve | None = None
) -> Curve:
    """Rw with the best scale that is not negative; shapes as in `rw`."""
    scale = best_scale(g_obs, g_calc, weights)
    scale = scale * (scale > 0)
    return rw(g_obs, scale[..., None] * g_calc, weights)


def misfit_by_range(
    r: np.ndarray, misfit: np.ndarray, width: float = 2.5
) -> tuple[float, tuple[float, float]]:
    """How evenly a misfit lies over r, and where most of it lies.

    Noise lies evenly; what a structure cannot explain does not.

    Parameters
    ----------
    r : (n,) array, angstrom
    misfit : (n,) array
        Measured minus calculated curve, over the uncertainty.
    width : float, angstrom
        Of the blocks whose mean squares are compared; default 2.5.

    Returns
    -------
    evenness : float
        The participation of the blocks, (sum m)^2 / (B sum m^2): 1 where
        all are alike, 1 / B where one has all; 0.9 or more for noise in the
        usual Q ranges.
    where : tuple of two floats, angstrom
        The shortest run of blocks with half of the misfit.
    """
    block = ((r - r[0]) / width + 1e-6).astype(int)
    count = np.bincount(block)
    block[block == len(count) - 1] -= int(count[-1] < 0.5 * count.max())
    power = np.bincount(block, misfit**2)
    mean = power / np.bincount(block)
    if not mean.any():
        return 1.0, (float(r[0]), float(r[-1]))
    evenness = mean.sum() ** 2 / (len(mean) * (mean**2).sum())
    until = np.concatenate([[0.0], np.cumsum(power)])
    runs = [
        (b - a, a, b)
        for a in range(len(power))
        for b in range(a + 1, len(power) + 1)
        if until[b] - until[a] >= 0.5 * until[-1]
    ]
    _, a, b = min(runs)
    return float(evenness), (
        float(r[block == a][0]),
        float(r[block == b - 1][-1]),
    )


def _array(positions: np.ndarray | torch.Tensor) -> np.ndarray:
    if isinstance(positions, torch.Tensor):
        positions = positions.detach().cpu().numpy()
    x = np.asarray(positions, dtype=np.float64)
    if x.ndim != 2 or x.shape[1] != 3 or len(x) == 0:
        raise CbldmError(
            f"positions have shape {x.shape}; expected (N, 3): pass one "
            "cluster, without padding."
        )
    return x


def _nearest(x: np.ndarray) -> np.ndarray:
    """The distance from each atom to its nearest one, (N,)."""
    if len(x) < 2:
        return np.full(len(x), np.inf)
    return cKDTree(x).query(x, k=2)[0][:, 1]


def shortest_bond(positions: np.ndarray | torch.Tensor) -> float:
    """The shortest distance of two atoms, angstrom (inf for one atom)."""
    return float(_nearest(_array(positions)).min())


def nearest_neighbour_distance(positions: np.ndarray | torch.Tensor) -> float:
    """The median over atoms of the distance to the nearest one, angstrom.

    The median, so that one stray atom or one clash does not change it.
    """
    return float(np.median(_nearest(_array(positions))))


def roughness(
    positions: np.ndarray | torch.Tensor, structure_type: str = "fcc"
) -> float:
    """(12 N - 2 bonds) / N^(2/3): broken bonds per atom of surface.

    A bond is a distance below `BOND` nearest-neighbour distances.  For bcc
    (14 such bonds in the bulk) and sc (6) the constant is theirs.
    """
    x = _array(positions)
    bulk = BULK.get(structure_type, 12)
    return (bulk * len(x) - 2 * len(_bonds(x))) / len(x) ** (2 / 3)


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


def ideal_roughness(structure_type: str, atoms: np.ndarray) -> np.ndarray:
    """Roughness of the most compact cluster of a type and about a size.

    The least among the clusters of the library with 0.7 to 1.4 times as many
    atoms, or of the one nearest in size.  That of close-packed layers is
    taken from fcc and octahedra: the library's hcp clusters are blocks.

    Parameters
    ----------
    structure_type : str
    atoms : (n,) array of int

    Returns
    -------
    (n,) array
    """
    size, rough = _library_roughness(
        structure_type if structure_type in _OWN_KIND else "fcc"
    )
    ratio = np.abs(np.log(size / np.asarray(atoms, float)[:, None]))
    near = ratio <= np.maximum(np.log(1.4), ratio.min(1, keepdims=True))
    return np.where(near, rough, np.inf).min(1)


_OWN_KIND = ("bcc", "dec", "ico", "sc")


@functools.cache
def _library_roughness(kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of atoms and roughness of the library's clusters."""
    table = load_table()
    kinds = ("fcc", "oct") if kind == "fcc" else (kind,)
    found = [
        (g.n_atoms, roughness(table.positions(i), kind))
        for i, g in enumerate(table.geometries)
        if g.structure_type in kinds
    ]
    size, rough = np.array(found).T
    return size, rough


def _bonds(x: np.ndarray) -> np.ndarray:
    """The pairs (i, j) of bonded atoms, (B, 2)."""
    reach = BOND * nearest_neighbour_distance(x)
    return cKDTree(x).query_pairs(reach, output_type="ndarray")


def surface_shells(positions: np.ndarray | torch.Tensor) -> np.ndarray:
    """The two outermost shells of a cluster.

    A bond is a distance below `BOND` nearest-neighbour distances.  An
    atom is at the surface where its coordination is below 0.85 of the
    largest one in the cluster, so below 10.2 of 12.

    Parameters
    ----------
    positions : (N, 3) array, angstrom

    Returns
    -------
    (N,) array of int
        1 for atoms at the surface, 2 for other atoms bonded to one of
        them, 0 for the core.
    """
    x = _array(positions)
    i, j = _bonds(x).T
    count = np.bincount(i, minlength=len(x)) + np.bincount(j, minlength=len(x))
    outer = count < _FULL * count.max()
    below = np.zeros(len(x), bool)
    np.logical_or.at(below, i, outer[j])
    np.logical_or.at(below, j, outer[i])
    return np.where(outer, 1, np.where(below, 2, 0))


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
