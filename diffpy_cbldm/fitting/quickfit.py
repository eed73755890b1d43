"""A fast fit of one measured G(r) by many ideal clusters.

It ranks candidates before the native refinement: five parameters (scale,
stretch, Uiso, delta2, Qdamp), analytic derivatives, some ten milliseconds a
cluster.  The Q grid is that of the refinement (`whole_range`), so that the Rw
found here is the one to expect there; G(r) is summed at the data's points.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Generator, Mapping, Sequence

import numpy as np

from diffpy_cbldm.debye.qgrid import QGrid
from diffpy_cbldm.errors import CbldmError
from diffpy_cbldm.fitting.agreement import best_scale, rw
from diffpy_cbldm.fitting.shell_sums import Shells, structure_factors
from diffpy_cbldm.fitting.sine_matrix import sine_matrix
from diffpy_cbldm.fitting.target import Target
from diffpy_cbldm.pdfdata import PDFData

PARAMETERS = ("stretch", "uiso", "delta2", "qdamp")

START = {"stretch": 1.0, "uiso": 0.008, "delta2": 2.0, "qdamp": 0.04}

BOUNDS = {
    "stretch": (0.9, 1.1),
    "uiso": (1e-4, 0.1),
    "delta2": (0.0, 8.0),
}
"""The bounds of the native refinement; uiso and delta2 in A^2.  Those of
qdamp are `Target.qdamp_range`."""

STRETCHES = tuple(0.01 * k for k in range(-5, 6))
"""Relative stretches tried first: a peak at 20 A must not be missed."""

# A parameter's change that matters, for damping and for stopping.
_UNIT = np.array([0.003, 0.003, 1.0, 0.02])

_TOGETHER = 16
"""Clusters that are fitted side by side."""

AFTER = 3
"""Gauss-Newton steps, at most, on the Q grid of the Uiso that was found."""

_SAME_GRID = 0.02
"""Ends of the range of r (A) that differ by less share a Q grid."""


@dataclasses.dataclass(frozen=True)
class QuickFit:
    """What a cluster can do for a measured G(r).

    Attributes
    ----------
    rw : float
        Rw on all data points of the range, after the fit.
    scale, stretch : float
        The factors of G(r) and of the coordinates.
    uiso, delta2 : float, A^2
    qdamp : float, 1/A
    """

    rw: float
    scale: float
    stretch: float
    uiso: float
    delta2: float
    qdamp: float


class _Data:
    """The measured curve, its sine matrix, and the misfit of clusters."""

    def __init__(self, target: Target, grid: QGrid):
        self.grid, self.qbroad = grid, target.qbroad
        self.r, self.g, self.w = target.r, target.g, target.weights
        self.waves = sine_matrix(target.r, grid)

    def curves(
        self, clusters: Sequence[Shells], p: np.ndarray, slopes: bool = False
    ) -> np.ndarray:
        """G(r) before the scale, and its derivatives if asked: (C, 1 or 5, n).

        p (C, 4): `PARAMETERS`, which the derivatives are by, too.
        """
        z, uiso, delta2, qdamp = p.T
        f = structure_factors(
            clusters, z, uiso, delta2, self.qbroad, self.grid
        )
        damping = qdamp[:, None]
        fall = np.exp(-0.5 * (damping * self.r) ** 2)[:, None]
        if not slopes:
            g = (f[:, 0] @ self.waves)[:, None]
            return np.multiply(g, fall, out=g)
        # One product of two matrices: NumPy would make one a cluster.
        g = f.reshape(-1, f.shape[2]) @ self.waves
        out = np.empty((len(f), 5, len(self.r)))
        np.multiply(g.reshape(len(f), 4, -1), fall, out=out[:, :4])
        np.multiply(-damping * self.r**2, out[:, 0], out=out[:, 4])
        return out

    def rw(
        self, clusters: Sequence[Shells], p: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Rw with the best scale, and that scale (not below zero): (C,)."""
        g = self.curves(clusters, p)[:, 0]
        scale = best_scale(self.g, g, self.w).clip(min=0.0)
        return rw(self.g, scale[:, None] * g, self.w), scale

    def linearised(
        self, clusters: Sequence[Shells], p: np.ndarray
    ) -> list[tuple[float, np.ndarray, np.ndarray]]:
        """Cost, gradient and normal matrix of each cluster at p (C, 4).

        Of the least squares of what the scale leaves (Kaufman's variable
        projection), in parts of `_UNIT`.
        """
        curves = self.curves(clusters, p, slopes=True)
        # All that is asked for are products of curves with one another and
        # with the data.
        products = (curves * self.w) @ curves.transpose(0, 2, 1)
        with_data = curves @ (self.w * self.g)
        own, slopes = products[:, 0, 0], products[:, 0, 1:]
        norm = own + (own == 0)  # of a curve that is 0 at all points
        seen = with_data[:, 0]
        scale = (seen / norm).clip(min=0.0)
        total = float((self.w * self.g**2).sum())
        # Of a perfect fit nothing is left but rounding, which has a sign.
        cost = (scale**2 * own - 2 * scale * seen + total).clip(min=0.0)
        # The scale is linear and eliminated: what a slope shares with the
        # curve itself, the scale would take up (Kaufman's approximation).
        share = slopes / norm[:, None]
        normal = products[:, 1:, 1:] - share[:, :, None] * slopes[:, None]
        left = (scale * own - seen)[:, None]
        gradient = scale[:, None] * slopes - with_data[:, 1:] - share * left
        gradient = gradient * scale[:, None] * _UNIT
        normal = normal * scale[:, None, None] ** 2 * np.outer(_UNIT, _UNIT)
        return list(zip(cost, gradient, normal))


def _step(gradient, normal, p, damping, free, low, high):
    """A Levenberg-Marquardt step that stays between the bounds."""
    # At a bound a parameter moves only inwards.
    move = free & ~((p <= low) & (gradient > 0))
    move &= ~((p >= high) & (gradient < 0))
    new = p.copy()
    while move.any():
        a = normal[move][:, move]
        own = a.diagonal()
        size = own.sum()
        if not size > 0:
            break  # nothing that may move changes the curve
        a.flat[:: len(a) + 1] = own + damping * (own + 1e-12 * size)
        step = np.linalg.solve(a, -gradient[move]) * _UNIT[move]
        new[move] = p[move] + step
        out = move & ((new < low) | (new > high))
        new = np.clip(new, low, high)
        if not out.any():
            break
        # The others are solved again with these held at their bounds.
        gradient = gradient + normal @ np.where(out, (new - p) / _UNIT, 0.0)
        move = move & ~out
    return new


Asked = Generator[np.ndarray, tuple[float, np.ndarray, np.ndarray], np.ndarray]
"""A fit asks for what is known at some parameters, and ends at others."""


def _search(p, free, low, high, steps) -> Asked:
    """Damped Gauss-Newton from p; the parameters it ends at."""
    damping = 1e-2
    cost, gradient, normal = yield p
    for _ in range(steps):
        new = _step(gradient, normal, p, damping, free, low, high)
        cost_new, *slopes_new = yield new
        # Worse, or not a number: shorter steps, towards the gradient's.
        if not cost_new < cost:
            damping *= 8.0
            if damping > 1e4 or np.all(np.abs(new - p) < 1e-3 * _UNIT):
                break
            continue
        gain = (cost - cost_new) / cost
        p, cost, (gradient, normal) = new, cost_new, slopes_new
        damping *= 0.2
        if gain < 1e-3:
            break
    return p


def _searched(
    searches: Sequence[Asked],
    clusters: Sequence[Shells],
    data: Sequence[_Data],
) -> list[np.ndarray]:
    """Run fits side by side, so that the products of matrices are large."""
    ends: list[np.ndarray] = [np.empty(0)] * len(searches)
    # Those on one Q grid together.
    order = sorted(range(len(searches)), key=lambda i: data[i].grid.parts)
    waiting, at = order[::-1], {}
    running: list[int] = []
    while waiting or running:
        while waiting and len(running) < _TOGETHER:
            i = waiting.pop()
            at[i] = next(searches[i])
            running.append(i)
        # Of one grid at a time: the others wait for their turn.
        here = data[running[0]]
        group = [i for i in running if data[i] is here]
        found = here.linearised(
            [clusters[i] for i in group], np.array([at[i] for i in group])
        )
        for i, known in zip(group, found):
            try:
                at[i] = searches[i].send(known)
            except StopIteration as end:
                ends[i] = end.value
                running.remove(i)
    return ends


def quick_fit(
    positions_list: Sequence[np.ndarray],
    target: PDFData | Target,
    *,
    fit: Sequence[str] = PARAMETERS,
    start: Mapping[str, float] | None = None,
    scan: Sequence[float] = STRETCHES,
    steps: int = 12,
) -> list[QuickFit]:
    """Fit one measured G(r) by each of many one-element clusters.

    Scale, stretch, one Uiso, delta2 and, where it is not given, Qdamp, each
    within `BOUNDS` and `Target.qdamp_range` (delta2 also below 0.95 of the
    shortest bond squared).
    The clusters are finite: G(r) is the sine transform of F(Q) between
    qmin and qmax, without a baseline.

    Parameters
    ----------
    positions_list : list of (N, 3) arrays, angstrom
    target : Target, or PDFData with the default range
        The measured curve; a Qdamp that it gives is not fitted.
    fit : sequence of str
        Those of `PARAMETERS` that are fitted; the scale always is.
    start : mapping, optional
        Start values by name in place of `START`.
    scan : sequence of float
        Relative changes of the start's stretch that are tried first.
        With ``(0.0,)``, or with the stretch fixed, none is.
    steps : int
        At most so many Gauss-Newton steps.

    Returns
    -------
    list of QuickFit, in the order given.

    Raises
    ------
    CbldmError
        A name or shape is wrong, or no Q range is left.
    """
    _check_names(fit, start)
    target = Target.of(target)
    values = {**START, "qdamp": target.first_qdamp, **(start or {})}
    before = target.q_grid(values["uiso"], values["delta2"])
    # Twice as dense as G(r) needs to be known.
    few = target.thinned(2.0)
    grids = _Grids(target, few)
    if target.qdamp is not None:
        values["qdamp"] = target.qdamp
        fit = [name for name in fit if name != "qdamp"]
    p0 = np.array([values[name] for name in PARAMETERS])
    free = np.array([name in fit for name in PARAMETERS])
    bounds = {**BOUNDS, "qdamp": target.qdamp_range}
    low, high = np.array([bounds[name] for name in PARAMETERS]).T
    p0 = np.where(free, np.clip(p0, low, high), p0)
    low, high = np.where(free, low, -np.inf), np.where(free, high, np.inf)
    clusters = [Shells.of(positions) for positions in positions_list]
    data = [
        grids.at(values["uiso"], values["delta2"], p0[0], one)
        for one in clusters
    ]
    first, tops = _first(clusters, data, p0, free, high, scan)
    ends = _searched(
        [_search(p, free, low, top, steps) for p, top in zip(first, tops)],
        clusters,
        data,
    )
    # The end of the range, and with it the Q grid, depends on Uiso: where
    # the start's was far off, the fits go on upon the grid of their own.
    _, uiso, delta2, _ = np.median(ends, axis=0) if ends else p0
    if abs(target.q_grid(uiso, delta2).base - before.base) > _SAME_GRID:
        grids = _Grids(target, few)
        data = [
            grids.at(uiso, delta2, p[0], one) for one, p in zip(clusters, ends)
        ]
        ends = _searched(
            [_search(p, free, low, top, AFTER) for p, top in zip(ends, tops)],
            clusters,
            data,
        )
    return _finish(clusters, ends, target)


def scaled_fit(
    positions_list: Sequence[np.ndarray],
    target: Target,
    values: Mapping[str, float],
) -> list[QuickFit]:
    """Fit the scale alone, everything else held.

    Parameters
    ----------
    positions_list : list of (N, 3) arrays, angstrom
    target : Target
        A Qdamp that it gives is taken.
    values : mapping
        Each of `PARAMETERS`.

    Returns
    -------
    list of QuickFit, in the order given.
    """
    clusters = [Shells.of(positions) for positions in positions_list]
    p = np.array([values[name] for name in PARAMETERS])
    if target.qdamp is not None:
        p[PARAMETERS.index("qdamp")] = target.qdamp
    return _finish(clusters, [p] * len(clusters), target)


def left_over(
    positions: np.ndarray, target: Target, fit: QuickFit
) -> np.ndarray:
    """What a quick fit leaves of the data over their norm, (n,)."""
    cluster = Shells.of(positions)
    grid = target.q_grid(
        fit.uiso, fit.delta2, longest=fit.stretch * cluster.longest
    )
    p = np.array([[getattr(fit, name) for name in PARAMETERS]])
    curve = fit.scale * _Data(target, grid).curves([cluster], p)[0, 0]
    root = np.sqrt(target.weights)
    return root * (target.g - curve) / np.linalg.norm(root * target.g)


class _Grids:
    """The data on the Q grids that clusters of different lengths need."""

    def __init__(self, target: Target, points: Target):
        self.target, self.points = target, points
        self._data: dict[int, _Data] = {}

    def at(self, uiso, delta2, stretch, cluster) -> _Data:
        """The data for a cluster."""
        longest = stretch * cluster.longest
        grid = self.target.q_grid(uiso, delta2, longest=longest)
        if grid.parts not in self._data:
            self._data[grid.parts] = _Data(self.points, grid)
        return self._data[grid.parts]


def _first(clusters, data, p0, free, high, scan):
    """Where the fit of each cluster begins, and its upper bounds."""
    first = np.tile(p0, (len(clusters), 1))
    tops = np.tile(high, (len(clusters), 1))
    if free[0] and len(scan) > 1:
        # A peak at 20 A must not be missed: stretches are tried one by one.
        tries = np.clip(p0[0] * (1.0 + np.array(scan)), *BOUNDS["stretch"])
        many = np.tile(p0, (len(tries), 1))
        many[:, 0] = tries
        for p, one, known in zip(first, clusters, data):
            found, _ = known.rw([one] * len(tries), many)
            p[0] = tries[np.argmin(found)]
    if free[2]:
        # Beyond d^2 the nearest peak has no width left, and the fit a false
        # minimum.
        shortest = np.array([one.shortest for one in clusters])
        tops[:, 2] = np.minimum(high[2], 0.95 * (first[:, 0] * shortest) ** 2)
        first[:, 2] = np.minimum(first[:, 2], tops[:, 2])
    return first, tops


def _finish(clusters, ends, target):
    """Rw on all points, each on the Q grid that its widths ask for."""
    grids = [
        target.q_grid(p[1], p[2], longest=p[0] * one.longest)
        for p, one in zip(ends, clusters)
    ]
    fits = [None] * len(ends)
    # By reach, so that neighbours share one sine matrix.
    order = sorted(range(len(ends)), key=lambda i: grids[i].reach)
    data = None
    while order:
        grid = grids[order[0]]
        del data  # before the next one, which is as large
        data = _Data(target, grid)
        while order and grids[order[0]].reach <= grid.reach + _SAME_GRID:
            some = [
                i
                for i in order[:_TOGETHER]
                if grids[i].reach <= grid.reach + _SAME_GRID
            ]
            order = order[len(some) :]
            p = np.array([ends[i] for i in some])
            found, scale = data.rw([clusters[i] for i in some], p)
            for i, one, factor in zip(some, found, scale):
                values = (float(x) for x in ends[i])
                fits[i] = QuickFit(float(one), float(factor), *values)
    return fits


def _check_names(fit, start):
    for name in (*fit, *(start or ())):
        if name not in PARAMETERS:
            raise CbldmError(
                f"{name!r} is no parameter of the quick fit; expected some "
                f"of {', '.join(PARAMETERS)}."
            )
