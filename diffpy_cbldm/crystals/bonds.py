"""What a cluster measures: bonds, roughness, surface, diameter."""

from __future__ import annotations

import functools

import numpy as np
import torch
from scipy.spatial import cKDTree

from diffpy_cbldm.cluster import Candidate
from diffpy_cbldm.crystals.table import load_table
from diffpy_cbldm.errors import CbldmError

BOND = 1.2
"""Longest bond, in nearest-neighbour distances."""

BULK = {"bcc": 14, "sc": 6}
"""Bonds of an atom inside a crystal; 12 where layers are close-packed."""

_FULL = 0.85
"""Part of the largest coordination from which an atom lacks no neighbour.

Of 12 it takes 11 as full, next to a vacancy inside, and 10 as surface.
"""


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


def diameter(candidate: Candidate) -> float:
    """The longest distance between two atoms, angstrom."""
    x = np.asarray(candidate.positions, dtype=float)
    if len(x) < 2:
        return 0.0
    return float(max(np.linalg.norm(x - p, axis=1).max() for p in x))
