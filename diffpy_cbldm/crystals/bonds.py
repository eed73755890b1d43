"""Bonds of a cluster, and what follows: roughness, surface, diameter.

Two atoms are bonded where they are nearer than `BOND` times the cluster's
own nearest-neighbour distance.  No element's radius is needed, and a
stretched cluster keeps its bonds.
"""

from __future__ import annotations

import contextlib
import functools
import math
import sys
from typing import TYPE_CHECKING, cast

import numpy as np
from scipy.spatial import ConvexHull, QhullError, cKDTree
from scipy.spatial.distance import cdist

from diffpy_cbldm.crystals.lattice_pairs import lattice_distances
from diffpy_cbldm.crystals.table import load_table
from diffpy_cbldm.errors import CbldmError
from diffpy_cbldm.settings import MAX_ATOMS

if TYPE_CHECKING:
    import torch

BOND = 1.2
"""Longest bond, in nearest-neighbour distances."""

MANY = 256
"""Of more atoms not every pair is looked at."""

BULK = {"bcc": 14, "sc": 6}
"""Bonds of an atom inside a crystal; 12 where layers are close-packed."""

_FULL = 0.85
"""Part of the largest coordination from which an atom lacks no neighbour.

Of 12 it takes 11 as full, next to a vacancy inside, and 10 as surface.
"""

_COMPACT_TYPES = ("bcc", "dec", "ico", "sc")
"""Types whose own clusters of the library say how smooth one can be."""


def is_tensor(value: object) -> bool:
    """Whether something is a tensor; there is none before PyTorch is."""
    return isinstance(value, getattr(sys.modules.get("torch"), "Tensor", ()))


def as_positions(positions: np.ndarray | torch.Tensor) -> np.ndarray:
    """Positions of one cluster as a NumPy array of double precision.

    Parameters
    ----------
    positions : (N, 3) array or tensor, angstrom

    Returns
    -------
    (N, 3) array of float64

    Raises
    ------
    CbldmError
        Another shape, or no atom.
    """
    if is_tensor(positions):
        positions = cast("torch.Tensor", positions).detach().cpu().numpy()
    x = np.asarray(positions, dtype=np.float64)
    if x.ndim != 2 or x.shape[1] != 3 or len(x) == 0:
        raise CbldmError(
            f"positions have shape {x.shape}; expected (N, 3): pass one "
            "cluster, without padding."
        )
    return x


def _nearest_distances(x: np.ndarray) -> np.ndarray:
    """The distance from each atom to its nearest neighbour, (N,)."""
    if len(x) < 2:
        return np.full(len(x), np.inf)
    # The nearest point to an atom is the atom itself.
    return cKDTree(x).query(x, k=2)[0][:, 1]


def shortest_bond(positions: np.ndarray | torch.Tensor) -> float:
    """The shortest distance of two atoms, angstrom (inf for one atom)."""
    return float(_nearest_distances(as_positions(positions)).min())


def nearest_neighbour_distance(positions: np.ndarray | torch.Tensor) -> float:
    """The median over atoms of the distance to the nearest one, angstrom.

    The median, so that one stray atom or one clash does not change it.
    """
    return float(np.median(_nearest_distances(as_positions(positions))))


def bonded_pairs(x: np.ndarray) -> np.ndarray:
    """The pairs of bonded atoms.

    Parameters
    ----------
    x : (N, 3) array, angstrom

    Returns
    -------
    (B, 2) array of int
        Each pair once; none for a single atom.
    """
    tree, reach = _tree_and_reach(x)
    return tree.query_pairs(reach, output_type="ndarray")


def _tree_and_reach(x: np.ndarray) -> tuple[cKDTree, float]:
    """The atoms as a tree, and the length below which a pair is bonded."""
    tree = cKDTree(x)
    if len(x) < 2:
        return tree, math.inf
    nearest = tree.query(x, k=2)[0][:, 1]
    return tree, BOND * float(np.median(nearest))


def roughness(
    positions: np.ndarray | torch.Tensor, structure_type: str = "fcc"
) -> float:
    """(12 N - 2 bonds) / N^(2/3): broken bonds per atom of surface.

    A bond is a distance below `BOND` nearest-neighbour distances.  For bcc
    (14 such bonds in the bulk) and sc (6) the constant is theirs.
    """
    x = as_positions(positions)
    bulk = BULK.get(structure_type, 12)
    # Of large ones on a lattice the distances are counted already.
    counted = lattice_distances(x) if len(x) > MAX_ATOMS else None
    if counted is not None:
        distance, pairs = counted
        bonds = float(pairs[distance < BOND * distance[0]].sum())
        return (bulk * len(x) - 2 * bonds) / len(x) ** (2 / 3)
    tree, reach = _tree_and_reach(x)
    # Each atom is counted beside itself, and each bond from both ends.
    bonds_twice = int(tree.count_neighbors(tree, reach)) - len(x)
    return (bulk * len(x) - bonds_twice) / len(x) ** (2 / 3)


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
        structure_type if structure_type in _COMPACT_TYPES else "fcc"
    )
    ratio = np.abs(np.log(size / np.asarray(atoms, float)[:, None]))
    # Where the range of sizes holds no cluster, the nearest one counts.
    near = ratio <= np.maximum(np.log(1.4), ratio.min(1, keepdims=True))
    return np.where(near, rough, np.inf).min(1)


@functools.cache
def _library_roughness(structure_type: str) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of atoms and roughness of the library's clusters."""
    table = load_table()
    # The library calls a full octahedron of fcc "oct".
    types = ("fcc", "oct") if structure_type == "fcc" else (structure_type,)
    measured = [
        (g.n_atoms, roughness(table.positions(i), structure_type))
        for i, g in enumerate(table.geometries)
        if g.structure_type in types
    ]
    size, rough = np.array(measured).T
    return size, rough


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
    x = as_positions(positions)
    i, j = bonded_pairs(x).T
    count = np.bincount(i, minlength=len(x)) + np.bincount(j, minlength=len(x))
    outer = count < _FULL * count.max()
    # Atoms have many bonds: `at` adds up what plain indexing would overwrite.
    below = np.zeros(len(x), bool)
    np.logical_or.at(below, i, outer[j])
    np.logical_or.at(below, j, outer[i])
    return np.where(outer, 1, np.where(below, 2, 0))


def diameter(positions: np.ndarray) -> float:
    """The longest distance between two atoms, angstrom (0 for one atom)."""
    x = np.asarray(positions, dtype=float)
    if len(x) > MANY:
        # Its ends are corners of the convex hull, which are few.
        with contextlib.suppress(QhullError):  # all atoms in one plane
            x = x[ConvexHull(x).vertices]
    # Some atoms at a time: all pairs at once would take N^2 memory.
    blocks = np.split(x, range(128, len(x), 128))
    return float(max(cdist(block, x).max() for block in blocks))
