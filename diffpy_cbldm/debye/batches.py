"""Clusters of different sizes as one batch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import DTypeLike


def padded(
    structures: Sequence[np.ndarray],
    dtype: DTypeLike = np.float32,
    size: int | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Stack clusters, filled up with zeros to the longest.

    Parameters
    ----------
    structures : sequence of (n, 3) arrays, any unit
    dtype : NumPy type, default float32
    size : int, optional
        Atoms of a row; default those of the largest cluster.

    Returns
    -------
    positions : (B, N, 3) array
    lengths : (B,) array of int64
        Numbers of atoms.
    """
    sizes = [len(structure) for structure in structures]
    if size is None:
        size = max(sizes, default=0)
    positions = np.zeros((len(sizes), size, 3), dtype)
    for row, structure in zip(positions, structures, strict=True):
        row[: len(structure)] = structure
    return positions, np.array(sizes, np.int64)
