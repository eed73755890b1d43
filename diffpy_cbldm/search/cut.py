"""One particle cut from a crystal, with its fit to a measured G(r)."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from diffpy_cbldm.fitting.pair_fit import PairFit


@dataclasses.dataclass(frozen=True, eq=False)
class Cut:
    """A particle of a crystal, and what it can do for a measured G(r).

    Attributes
    ----------
    shape : str
        What it is called.
    elements : tuple of str
    positions : (N, 3) array, angstrom
        Not stretched.
    fit : PairFit
    trimmed : bool
        Whether atoms with one bond were taken off.
    edited : int
        Atoms that came or went on sites of the surface.
    whole : int
        Atoms before; 0 where none did.
    """

    shape: str
    elements: tuple[str, ...]
    positions: np.ndarray
    fit: PairFit
    trimmed: bool = False
    edited: int = 0
    whole: int = 0


NO_FIT = PairFit(math.inf, 0.0, 1.0, {}, 0.0, 0.0)
"""That of a particle that waits for its own."""
