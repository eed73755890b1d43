"""Clusters of different sizes as one batch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor


def padded(
    structures: Sequence[np.ndarray],
    dtype: torch.dtype = torch.float32,
    size: int | None = None,
) -> tuple[Tensor, Tensor]:
    """Stack clusters, filled up with zeros to the longest.

    Parameters
    ----------
    structures : sequence of (n, 3) arrays, any unit
    dtype : torch.dtype, default float32
    size : int, optional
        Atoms of a row; default those of the largest cluster.

    Returns
    -------
    positions : (B, N, 3) tensor
    lengths : (B,) tensor of int64
        Numbers of atoms.
    """
    sizes = [len(structure) for structure in structures]
    if size is None:
        size = max(sizes, default=0)
    positions = torch.zeros(len(sizes), size, 3, dtype=dtype)
    for row, structure in zip(positions, structures, strict=True):
        row[: len(structure)] = torch.tensor(np.asarray(structure))
    return positions, torch.tensor(sizes, dtype=torch.int64)
