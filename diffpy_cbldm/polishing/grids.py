"""The Q grids of polishing, which all structures of a job share."""

from __future__ import annotations

import dataclasses
import functools
import math

import numpy as np

from diffpy_cbldm.fitting.kernels import wave_rows
from diffpy_cbldm.fitting.quickfit import QuickFit
from diffpy_cbldm.fitting.target import Target
from diffpy_cbldm.memory import quickly_made
from diffpy_cbldm.polishing.bases import Bases
from diffpy_cbldm.polishing.kernels import cosine_sums, sine_products

WAVES = "waves"
"""Kept are sines of a Q grid: some MB each, made in 0.002 s."""

KEPT = 3
"""Grids that are kept: fits that are compared have nearly the same Uiso."""

STEP = math.log(1.05)
"""Steps of log Uiso to which grids belong: of 0.01 A and less in their ends,
which no curve shows."""


class SineGrid:
    """The sines of a Q grid at the points of r, which bases share.

    The grid depends on Uiso a little.

    Parameters
    ----------
    target : Target
    fit : QuickFit
        Its Uiso and delta2.
    longest : float, angstrom
        The longest distance between two atoms, where it may lie beyond 30.

    Attributes
    ----------
    first, step, count : int, float (1/A), int
        Q is step times first, first + 1, ..., so many.
    wave : (K,) array, 1/A
        Q.
    sines : (n, K) array
        Times 2/pi and the step in Q.
    reach : float, angstrom
        No pair is longer.
    bases : Bases
        What they can show.
    """

    def __init__(self, target: Target, fit: QuickFit, longest: float = 0.0):
        grid = target.q_grid(fit.uiso, fit.delta2, longest=longest)
        self.wave, self.reach, self._parts = grid.q, grid.reach, grid.parts
        self.count, self.step = len(grid.q), float(grid.q[1] - grid.q[0])
        self.first = round(grid.q[0] / self.step)
        self._r = np.ascontiguousarray(target.r, dtype=float)
        self._factor = 2 / math.pi * self.step * np.ones(self.count)
        if grid.parts > 1:
            self._factor *= grid.weights
        rows = np.empty((self.count, len(self._r)))
        wave_rows(float(grid.q[0]), self.step, self._r, self._factor, rows)
        self.sines = rows.T
        self.bases = Bases(self.gram)

    def gram(self, weights: np.ndarray) -> np.ndarray:
        """Weighted products of the sines, summed over r, (K, K).

        weights : (n,) array
        """
        count = 2 * (self.first + self.count) - 1
        sums = cosine_sums(self.step, count, self._r, weights)
        return sine_products(sums, self.first, self._factor)

    def serves(
        self, target: Target, fit: QuickFit, longest: float = 0.0
    ) -> bool:
        """Whether another fit asks for the same grid, to 0.02 A in r."""
        grid = target.q_grid(fit.uiso, fit.delta2, longest=longest)
        return (
            grid.parts == self._parts
            and abs(grid.base - self.reach / self._parts) < 0.02
        )


@dataclasses.dataclass(frozen=True)
class _Asked:
    """A grid by what tells it from others, and what it is made of."""

    points: bytes
    reach: float
    first: float
    count: int
    target: Target = dataclasses.field(compare=False)
    fit: QuickFit = dataclasses.field(compare=False)
    longest: float = dataclasses.field(compare=False)


def shared_grid(target: Target, fit: QuickFit, longest: float) -> SineGrid:
    """The sines of a Q grid that serves a fit, perhaps made for another one.

    Which one does not depend on what was asked before, so that structures
    may be edited in any order and by several processes.

    Parameters
    ----------
    target : Target
    fit : QuickFit
        Its Uiso and delta2 move the grid a little.
    longest : float, angstrom
        The longest distance between two atoms.
    """
    uiso = math.exp(STEP * round(math.log(fit.uiso) / STEP))
    fit = dataclasses.replace(fit, uiso=uiso)
    grid = target.q_grid(fit.uiso, fit.delta2, longest=longest)
    first, count = float(grid.q[0]), len(grid.q)
    points = target.r.tobytes()
    asked = _Asked(points, grid.reach, first, count, target, fit, longest)
    return _made(asked)


@quickly_made(WAVES)
@functools.lru_cache(maxsize=KEPT)
def _made(asked: _Asked) -> SineGrid:
    return SineGrid(asked.target, asked.fit, asked.longest)
