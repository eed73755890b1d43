"""The scattering of shells of distances, as far as a fitting range sees it.

A large particle has millions of pairs, but its lattice few distances: F(Q) is
a sum over these, with the number of pairs as weight.  Pairs beyond the range
fade out within `FADE`, so that their sum has no end that would show.
"""

from __future__ import annotations

import math

import numpy as np

from diffpy_cbldm.debye.widths import width_ratio
from diffpy_cbldm.fitting.kernels import damped_waves
from diffpy_cbldm.fitting.quickfit import START
from diffpy_cbldm.fitting.sine_matrix import even_waves, step_of
from diffpy_cbldm.fitting.target import Target

FADE = 10.0
"""Length over which pairs beyond the fitting range fade out, A."""


class Waves:
    """sin(Q d) / d of some distances with their widths.

    Parameters
    ----------
    target : Target
        The measured curve.
    distances : (S,) array, angstrom
        At a stretch of 1.
    """

    def __init__(self, target: Target, distances: np.ndarray) -> None:
        self.target, self.distances = target, distances
        self.q = target.q_grid(START["uiso"], START["delta2"]).q

    def at(self, stretch: float, uiso: float, delta2: float) -> np.ndarray:
        """F(Q) of one pair an atom at each distance, (K, S)."""
        d = stretch * self.distances
        ratio = width_ratio(d, 0.0, delta2, self.target.qbroad).clip(min=0)
        beyond = ((d - self.target.rmax) / FADE).clip(0, 1)
        held = np.cos(0.5 * math.pi * beyond) ** 2 / d
        out = np.empty((len(self.q), len(d)))
        first, step = float(self.q[0]), float(self.q[1] - self.q[0])
        damped_waves(first, step, d, uiso * ratio, held, out)
        return out


class Points:
    """Data points, and curves at them.

    Parameters
    ----------
    target : Target
    q : (K,) array, 1/A
        Where F(Q) is given.
    """

    def __init__(self, target: Target, q: np.ndarray) -> None:
        self.r, self.root = target.r, np.sqrt(target.weights)
        self.data = self.root * target.g
        self.norm = float(np.linalg.norm(self.data))
        factors = np.full(len(q), 2 / math.pi * step_of(q))
        self.sines = even_waves(q, self.r, factors).T

    def curve(self, f: np.ndarray, qdamp: float) -> np.ndarray:
        """G(r) of F(Q) times the root of the weights; columns stay."""
        fall = np.exp(-0.5 * (qdamp * self.r) ** 2) * self.root
        g = self.sines @ f
        return g * (fall if g.ndim == 1 else fall[:, None])

    def scaled(self, f: np.ndarray, qdamp: float) -> tuple[np.ndarray, float]:
        """`curve` with the best scale that is not negative, and the scale."""
        g = self.curve(f, qdamp)
        power = float(g @ g)
        scale = max(float(self.data @ g) / (power or 1.0), 0.0)
        return scale * g, scale

    def misfit(self, f: np.ndarray, qdamp: float) -> np.ndarray:
        """What is left of the data, over their norm; its length is Rw."""
        return (self.data - self.scaled(f, qdamp)[0]) / self.norm
