"""Curves of particles that are longer than the fitted range.

Pairs beyond the range need a Q grid several times as fine as the range does.
What the range can show is the same: its curves are found on a grid of its
own, and the fine waves are brought to them.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.linalg import eigh

from diffpy_cbldm.fitting.quickfit import QuickFit
from diffpy_cbldm.fitting.target import Target
from diffpy_cbldm.polishing.basis import PairBasis
from diffpy_cbldm.polishing.crystal import Measured
from diffpy_cbldm.polishing.grids import SineGrid

PERIOD = 1.2
"""Half the period of the grid that spans the range, over its end."""


class LongBasis(PairBasis):
    """`PairBasis` whose curves are found on the range's own Q grid."""

    def _decompose(self) -> None:
        r = self._r
        step = math.pi / (PERIOD * r[-1])
        low, high = self.grid.wave[0], self.grid.wave[-1]
        # Beyond both ends: what ends sharply at Qmax needs its neighbours.
        q = np.arange(max(low - 2 * step, step), high + 3 * step, step)
        # In place: each of these matrices takes 10 MB and more.
        curves = np.outer(r, q)
        np.sin(curves, out=curves)
        curves *= self._fall[:, None]
        values, turn = eigh(curves.T @ curves, overwrite_a=True, driver="evd")
        keep = values > 1e-9 * values[-1]
        self._curves = curves @ (turn[:, keep] / np.sqrt(values[keep]))
        self._rows = self.grid.sines.T @ (self._fall[:, None] * self._curves)

    def _seen(self, curve: np.ndarray) -> np.ndarray:
        return self._curves.T @ curve

    def _drawn(self, vector: np.ndarray) -> np.ndarray:
        return self._curves @ vector


class LongMeasured(Measured):
    """`Measured` for particles that are longer than the range."""

    def __init__(
        self, target: Target, part: str = "all", share: float = 1.0
    ) -> None:
        super().__init__(target, part, share)
        # Shared with copies at other Qdamp: the grid does not depend on it.
        self._grids: dict[str, SineGrid] = {}

    def basis(self, fit: QuickFit, positions: np.ndarray) -> LongBasis:
        # The longest distance itself would take all pairs; none is longer
        # than the sphere around the atoms is wide.
        away = positions - positions.mean(0)
        longest = 2 * float(np.sqrt((away**2).sum(1).max()))
        grid = self._grids.get("last")
        if grid is None or not grid.serves(self.target, fit, longest):
            grid = SineGrid(self.target, fit, longest)
        self._grids["last"] = grid
        return LongBasis(self.target, fit, grid=grid)
