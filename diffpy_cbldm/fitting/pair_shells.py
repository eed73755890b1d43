"""The distances of a particle of several elements, by pair of elements."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from diffpy_cbldm.crystals.pair_kernels import kind_moments
from diffpy_cbldm.fitting.shell_sums import Shells

BIN = 0.02
"""Distances within one bin (A) are one shell, whose spread is kept."""


@dataclasses.dataclass(frozen=True)
class PairShells:
    """The shells of a particle or a crystal by pair of elements.

    Attributes
    ----------
    elements : tuple of str
    fractions : (e,) array
        The share of each element among the atoms.
    shells : tuple of Shells
        Of elements a <= b in the place b (b + 1) / 2 + a; neighbours an atom.
    """

    elements: tuple[str, ...]
    fractions: np.ndarray
    shells: tuple[Shells, ...]

    @classmethod
    def of(
        cls, elements: Sequence[str], positions: np.ndarray, rmax: float
    ) -> PairShells:
        """Those of a cluster.

        Parameters
        ----------
        elements : sequence of str
        positions : (N, 3) array, angstrom
        rmax : float, angstrom
            Longer distances do not count.
        """
        names = tuple(sorted(set(elements)))
        kind = np.array([names.index(e) for e in elements])
        moments = kind_moments(
            np.ascontiguousarray(positions, dtype=float),
            kind.astype(np.int64),
            BIN,
            math.ceil(rmax / BIN),
            len(names),
        )
        count = np.bincount(kind, minlength=len(names))
        return cls(
            names,
            count / len(kind),
            tuple(shells_of(one, 2.0 / len(kind)) for one in moments),
        )

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """Elements a <= b of each of `shells`."""
        return [
            (a, b) for b in range(len(self.elements)) for a in range(b + 1)
        ]

    @property
    def shortest(self) -> float:
        """The shortest distance, angstrom."""
        ends = [s.distance[0] for s in self.shells if len(s.distance)]
        return float(min(ends, default=math.inf))


def shells_of(moments: np.ndarray, weight: float) -> Shells:
    """Shells out of moments of bins (`kind_moments`), (bins, 3)."""
    some = np.flatnonzero(moments[:, 0])
    count, total, square = moments[some].T
    mean = total / count
    variance = (square / count - mean**2).clip(min=0.0)
    return Shells((some + mean) * BIN, variance * BIN**2, count * weight)
