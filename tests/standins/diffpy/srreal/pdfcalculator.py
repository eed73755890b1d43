"""G(r) of a periodic structure as a sum of peaks over r, and of a cluster.

By the rules of libdiffpy's PDFCalculator, for one element: each pair is a
Gaussian over its distance, as wide as (U_i + U_j)(1 - delta1/d - delta2/d^2 +
(qbroad d)^2); F(Q) of the sum is 0 below Qmin and from Qmax on; then follow
the mean density of the cell, which Qmin does not touch, and the damping.
"""

import itertools

import numpy as np
from scipy.fft import dst

from diffpy_cbldm.fitting.calculator import (  # noqa: F401
    DebyeCalculator as DebyePDFCalculator,
)

TAILS = 5.0
"""Peaks end at so many widths."""


class PDFCalculator:
    """The attributes and calls that diffpy.srfit uses."""

    def __init__(self):
        self.delta1 = self.delta2 = self.qbroad = self.qdamp = 0.0
        self.scale = 1.0
        self.qmin, self.qmax = 0.0, np.inf
        self.rmin, self.rmax, self.rstep = 0.0, 10.0, 0.01
        self.scatteringfactortable = "X"

    def setScatteringFactorTableByType(self, stype):
        self.scatteringfactortable = stype

    def getRadiationType(self):
        return self.scatteringfactortable

    def __call__(self, structure):
        """Return r and G from rmin to rmax of a diffpy Structure."""
        assert len({atom.element for atom in structure}) == 1
        ripples = 12 * np.pi / min(self.qmax, np.pi / self.rstep)
        end = self.rmax + min(10.0, ripples + 2.0)
        r = self.rstep * np.arange(1, int(np.ceil(end / self.rstep)))
        density = len(structure) / structure.lattice.volume
        g = self._peaks(structure, r) - 4 * np.pi * density * r
        g = self._within_q(g)
        g *= self.scale * np.exp(-0.5 * (self.qdamp * r) ** 2)
        kept = (r > self.rmin - 1e-8) & (r < self.rmax - 1e-8)
        return r[kept], g[kept]

    def _peaks(self, structure, r):
        """R(r)/r (n,) of all pairs, images included."""
        distances, u = self._pairs(structure, r[-1] + 2.0)
        narrower = 1 - self.delta1 / distances - self.delta2 / distances**2
        narrower += (self.qbroad * distances) ** 2
        widths = np.sqrt(u * narrower.clip(1e-6))
        # Distances that a symmetric cluster has many times are one peak.
        peaks, counts = np.unique(
            np.round([distances, widths], 7), axis=1, return_counts=True
        )
        g = np.zeros_like(r)
        for (d, width), count in zip(peaks.T, counts):
            low, high = np.searchsorted(
                r, [d - TAILS * width, d + TAILS * width]
            )
            x = (r[low:high] - d) / width
            height = count / (d * width * np.sqrt(2 * np.pi))
            g[low:high] += height * np.exp(-0.5 * x**2)
        return g / len(structure)

    def _pairs(self, structure, end):
        """Distances of the pairs up to `end`, and U_i + U_j of each."""
        x = np.array(structure.xyz_cartn)
        u = np.array([atom.Uisoequiv for atom in structure])
        edges = np.linalg.norm(structure.lattice.base, axis=1)
        turns = np.ceil((end + np.ptp(x, axis=0)) / edges).astype(int)
        found = []
        for turn in itertools.product(*(range(-n, n + 1) for n in turns)):
            shift = np.array(turn) @ structure.lattice.base
            d = np.linalg.norm(x[:, None] - x - shift, axis=-1)
            near = (d > 1e-6) & (d < end)
            found.append([d[near], (u[:, None] + u)[near]])
        return np.concatenate(found, axis=1)

    def _within_q(self, g):
        """What is left of G between Qmin and Qmax."""
        n = 1 << int(np.ceil(np.log2(len(g) + 1)))
        f = dst(np.pad(g, (0, n - 1 - len(g))), type=1)
        q = np.pi / (n * self.rstep) * np.arange(1, n)
        f[(q < self.qmin) | (q >= self.qmax)] = 0.0
        return dst(f, type=1)[: len(g)] / (2 * n)
