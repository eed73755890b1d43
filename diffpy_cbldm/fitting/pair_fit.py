"""A fast fit of one measured G(r) by particles of several elements.

    F(Q) = sum_p f_a f_b / <f>^2 sum_s n_ps sin(Q d_s) / d_s
           exp(-(U_a + U_b) / 2 Q^2 s(d_s))

over the pairs p of elements a and b and their shells s, n_ps neighbours an
atom.  Scale, stretch, one Uiso for each element, delta2 and Qdamp are fitted,
with derivatives that are sums as well.  The number of pairs may also be that
of a crystal times an envelope (`diffpy_cbldm.fitting.envelope`).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from diffpy_cbldm.debye.form_factors import factors
from diffpy_cbldm.debye.widths import width_ratio
from diffpy_cbldm.fitting.kernels import damped_waves
from diffpy_cbldm.fitting.pair_shells import PairShells
from diffpy_cbldm.fitting.quickfit import BOUNDS, START
from diffpy_cbldm.fitting.shell_sums import structure_factors
from diffpy_cbldm.fitting.target import Target
from diffpy_cbldm.fitting.waves import FADE

STRETCH = (0.95, 1.05)
"""Between what the stretch lies: crystals are scaled to the data before."""

STEPS = 15

_UNITS = {"stretch": 0.003, "delta2": 1.0, "qdamp": 0.02}
"""Changes that matter; those of other parameters, the Uiso, are `_UISO`."""

_UISO = 0.003


@dataclasses.dataclass(frozen=True)
class PairFit:
    """What a particle of several elements can do for a measured G(r).

    Attributes
    ----------
    rw : float
        On all data points of the range, after the fit.
    scale, stretch : float
    uiso : dict of str to float, A^2
        By element.
    delta2 : float, A^2
    qdamp : float, 1/A
    """

    rw: float
    scale: float
    stretch: float
    uiso: dict[str, float]
    delta2: float
    qdamp: float

    @property
    def values(self) -> dict[str, float]:
        """The fitted parameters by name, without the scale."""
        others = {
            "stretch": self.stretch,
            "delta2": self.delta2,
            "qdamp": self.qdamp,
        }
        return others | self.uiso


class PairCurves:
    """Curves of several elements at the points of a measured one.

    Parameters
    ----------
    target : Target
    elements : sequence of str
        By alphabet.
    density : float, optional
        Points, in units of what G(r) needs to be known (`Target.thinned`);
        default: all data points.
    """

    def __init__(
        self,
        target: Target,
        elements: Sequence[str],
        density: float | None = None,
    ) -> None:
        self.target, self.elements = target, tuple(elements)
        points = target if density is None else target.thinned(density)
        self.r, root = points.r, np.sqrt(points.weights)
        self.norm = float(np.linalg.norm(root * points.g))
        self.data = root * points.g / self.norm
        self.grid = target.q_grid(START["uiso"], START["delta2"])
        q = self.grid.q
        told = factors(self.elements, q, target.stype)
        self.factors = np.stack([told[e] for e in self.elements])
        # What is left of a curve times these is in units of the data's norm.
        sines = np.sin(self.r[:, None] * q) * self.grid.weights
        step = float(q[1] - q[0])
        self.sines = sines * (2 / math.pi * step) * (root / self.norm)[:, None]

    @property
    def reach(self) -> float:
        """Distances beyond this (A) do not count."""
        return self.target.rmax + FADE

    def weights(self, fractions: np.ndarray) -> np.ndarray:
        """f_a f_b / <f>^2 of each pair of elements, (pairs, K)."""
        mean = fractions @ self.factors
        size = len(self.elements)
        return np.stack(
            [
                self.factors[a] * self.factors[b] / mean**2
                for b in range(size)
                for a in range(b + 1)
            ]
        )

    def faded(self, distance: np.ndarray) -> np.ndarray:
        """How much pairs count that may lie beyond the range, (S,)."""
        beyond = ((distance - self.target.rmax) / FADE).clip(0, 1)
        return np.cos(0.5 * math.pi * beyond) ** 2

    def fall(self, qdamp: float) -> np.ndarray:
        """What Qdamp leaves of G at each point."""
        return np.exp(-0.5 * (qdamp * self.r) ** 2)

    def transform(
        self,
        distance: np.ndarray,
        values: Mapping[str, float],
        fractions: np.ndarray,
    ) -> list[np.ndarray]:
        """G(r) without Qdamp of one neighbour an atom at each distance.

        Parameters
        ----------
        distance : (S,) array, angstrom
            The same for all pairs of elements.
        values : mapping
            ``stretch``, ``delta2`` and each element's Uiso by its name.
        fractions : (e,) array

        Returns
        -------
        list of (S, n) arrays
            One for each pair of elements, over the norm of the data.
        """
        q, size = self.grid.q, len(self.elements)
        d = values["stretch"] * distance
        ratio = width_ratio(d, 0.0, values["delta2"], self.target.qbroad).clip(
            min=0
        )
        held = self.faded(distance) / d
        u = [values[e] for e in self.elements]
        pairs = [(a, b) for b in range(size) for a in range(b + 1)]
        out, waves = [], np.empty((len(q), len(d)))
        step = float(q[1] - q[0])
        for (a, b), weight in zip(pairs, self.weights(fractions)):
            width = 0.5 * (u[a] + u[b]) * ratio
            damped_waves(float(q[0]), step, d, width, held, waves)
            out.append(waves.T @ (self.sines * weight).T)
        return out

    def at(
        self, particle: PairShells, p: Mapping[str, float]
    ) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """G(r) before the scale and its derivatives by name, (n,) each."""
        pairs, used = particle.pairs, particle.elements
        u = np.array([p[e] for e in used])
        mean = np.array([0.5 * (u[a] + u[b]) for a, b in pairs])
        known = [self.elements.index(e) for e in used]
        fractions = np.zeros(len(self.elements))
        fractions[known] = particle.fractions
        weights = self.weights(fractions)[_codes(known)]
        some = [k for k, s in enumerate(particle.shells) if len(s.distance)]
        same = np.ones(len(some))
        sums = structure_factors(
            [particle.shells[k] for k in some],
            p["stretch"] * same,
            mean[some],
            p["delta2"] * same,
            self.target.qbroad,
            self.grid,
        )
        parts = sums * weights[some][:, None]
        rows = {"": parts[:, 0].sum(0), "stretch": parts[:, 1].sum(0)}
        rows["delta2"] = parts[:, 3].sum(0)
        for k, name in enumerate(used):
            held = [0.5 * ((a == k) + (b == k)) for a, b in pairs]
            rows[name] = np.array(held)[some] @ parts[:, 2]
        fall = self.fall(p["qdamp"])
        # One product for all: the sines are read once.
        made = (self.sines @ np.array(list(rows.values())).T).T * fall
        slopes = dict(zip(rows, made))
        g = slopes.pop("")
        slopes["qdamp"] = -p["qdamp"] * self.r**2 * g
        return g, slopes


def _codes(known: Sequence[int]) -> list[int]:
    """Places of the pairs of some elements among those of all."""
    return [
        max(known[a], known[b]) * (max(known[a], known[b]) + 1) // 2
        + min(known[a], known[b])
        for b in range(len(known))
        for a in range(b + 1)
    ]


def first_values(target: Target, elements: Sequence[str]) -> dict[str, float]:
    """Where a fit begins that knows nothing better."""
    return {
        "stretch": 1.0,
        "delta2": START["delta2"],
        "qdamp": target.first_qdamp,
        **dict.fromkeys(elements, START["uiso"]),
    }


def fit_pairs(
    particle: PairShells,
    curves: PairCurves,
    start: Mapping[str, float],
    steps: int = STEPS,
) -> dict[str, float]:
    """Fit scale, stretch, Uiso by element, delta2 and Qdamp.

    Parameters
    ----------
    particle : PairShells
    curves : PairCurves
    start : mapping
        ``stretch``, ``delta2``, ``qdamp`` and each element's Uiso.
    steps : int
        At most so many.

    Returns
    -------
    dict
        As `start`, fitted.
    """
    return minimised(
        lambda p: curves.at(particle, p),
        curves.data,
        start,
        limits_of(particle, curves.target),
        steps,
    )


def limits_of(
    particle: PairShells, target: Target
) -> dict[str, tuple[float, float]]:
    """Between what each parameter is fitted, by name."""
    limits = {"stretch": STRETCH, "delta2": BOUNDS["delta2"]}
    limits |= dict.fromkeys(particle.elements, BOUNDS["uiso"])
    # The nearest peak must keep a width.
    top = 0.95 * particle.shortest**2
    limits["delta2"] = (0.0, min(limits["delta2"][1], top))
    if target.qdamp is None:
        limits["qdamp"] = target.qdamp_range
    return limits


def minimised(
    curve: Callable[
        [dict[str, float]], tuple[np.ndarray, dict[str, np.ndarray]]
    ],
    data: np.ndarray,
    start: Mapping[str, float],
    limits: Mapping[str, tuple[float, float]],
    steps: int,
) -> dict[str, float]:
    """Least squares with the scale eliminated (Kaufman's projection).

    Parameters
    ----------
    curve : callable
        From parameters by name to G(r) and its derivatives by name.
    data : (n,) array
    start : mapping
        All parameters by name.
    limits : mapping
        Of those that are fitted, (low, high).
    steps : int
    """
    from scipy.optimize import least_squares

    names = list(limits)
    low, high = np.array([limits[name] for name in names]).T
    last: dict[bytes, tuple[np.ndarray, np.ndarray]] = {}

    def at(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        key = x.tobytes()
        if key not in last:
            last.clear()
            p = {**start, **dict(zip(names, x.tolist()))}
            g, slopes = curve(p)
            power = float(g @ g) or 1.0
            scale = max(float(g @ data) / power, 0.0)
            j = np.stack([slopes[name] for name in names], 1)
            # What a slope shares with the curve, the scale takes up.
            j = scale * (j - np.outer(g, g @ j) / power)
            last[key] = scale * g - data, j
        return last[key]

    x0 = np.array([start[name] for name in names])
    margin = 1e-6 * (high - low)
    fit = least_squares(
        lambda x: at(x)[0],
        x0.clip(low + margin, high - margin),
        jac=lambda x: at(x)[1],
        bounds=(low, high),
        x_scale=[_UNITS.get(name, _UISO) for name in names],
        max_nfev=steps,
        xtol=1e-4,
        ftol=1e-4,
        gtol=1e-8,
    )
    return {**start, **dict(zip(names, fit.x.tolist()))}


def finished(
    particle: PairShells, curves: PairCurves, p: Mapping[str, float]
) -> PairFit:
    """The fit at some parameters, with the best scale.

    Parameters
    ----------
    particle : PairShells
    curves : PairCurves
        Of all data points.
    p : mapping
        All parameters by name.
    """
    rw, scale = curves_rw(curves, curves.at(particle, p)[0])
    return PairFit(
        rw=rw,
        scale=scale,
        stretch=p["stretch"],
        uiso={e: p[e] for e in particle.elements},
        delta2=p["delta2"],
        qdamp=p["qdamp"],
    )


def curves_rw(curves: PairCurves, g: np.ndarray) -> tuple[float, float]:
    """Rw and the best scale, not below 0, of a curve."""
    scale = max(float(g @ curves.data) / (float(g @ g) or 1.0), 0.0)
    return float(np.linalg.norm(curves.data - scale * g)), scale


def fit_cluster(
    elements: Sequence[str],
    positions: np.ndarray,
    target: Target,
    start: Mapping[str, float] | None = None,
) -> PairFit:
    """Fit one measured G(r) by a cluster of any elements.

    Parameters
    ----------
    elements : sequence of str
    positions : (N, 3) array, angstrom
    target : Target
    start : mapping, optional
        As for `fit_pairs`.
    """
    names = sorted(set(elements))
    few = PairCurves(target, names, 2.0)
    particle = PairShells.of(elements, positions, few.reach)
    begin = {**first_values(target, names), **(start or {})}
    found = fit_pairs(particle, few, begin)
    return finished(particle, PairCurves(target, names), found)
