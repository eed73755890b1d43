"""A fast fit of one measured G(r) by many ideal clusters.

It ranks candidates before the native refinement: five parameters (scale,
stretch, Uiso, delta2, Qdamp), analytic derivatives, some ten milliseconds a
cluster.  The Q grid is that of the refinement (`whole_range`), so that the Rw
found here is the one to expect there; G(r) is summed at the data's points.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch

from diffpy_cbldm.debye.qgrid import QGrid
from diffpy_cbldm.debye.widths import width_ratio
from diffpy_cbldm.errors import CbldmError
from diffpy_cbldm.fitting.agreement import best_scale, rw
from diffpy_cbldm.fitting.target import Target
from diffpy_cbldm.pdfdata import PDFData

PARAMETERS = ("stretch", "uiso", "delta2", "qdamp")

START = {"stretch": 1.0, "uiso": 0.008, "delta2": 2.0, "qdamp": 0.04}

BOUNDS = {
    "stretch": (0.9, 1.1),
    "uiso": (1e-4, 0.1),
    "delta2": (0.0, 8.0),
    "qdamp": (0.0, 0.15),
}
"""The bounds of the native refinement; uiso and delta2 in A^2, qdamp 1/A."""

STRETCHES = tuple(0.01 * k for k in range(-5, 6))
"""Relative stretches tried first: a peak at 20 A must not be missed."""

# A parameter's change that matters, for damping and for stopping.
_UNIT = np.array([0.003, 0.003, 1.0, 0.02])

_BIN = 0.02

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


def shells(
    positions: np.ndarray | torch.Tensor, rmax: float = math.inf
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Collapse the pair distances of a cluster into few shells.

    Parameters
    ----------
    positions : (N, 3) array, angstrom
    rmax : float, angstrom
        Longer distances do not count.  Default: all do.

    Returns
    -------
    distance, variance, multiplicity : (S,) arrays; A, A^2, pairs i < j
        Shells are 0.02 A wide; their mean and variance are exact, which
        leaves an error of the third order in 0.02 A times Q.
    """
    # pdist in double precision: the matrix form would lose digits.
    x = torch.tensor(np.asarray(positions), dtype=torch.float64)
    d = torch.pdist(x).numpy()
    d = d[(d <= rmax) & (d > 1e-3)]
    index = (d / _BIN).astype(np.int64)
    count = np.bincount(index).astype(float)
    some = count > 0
    mean = np.bincount(index, d)[some] / count[some]
    # About the middle of the bin, for the sake of rounding.
    middle = (np.flatnonzero(some) + 0.5) * _BIN
    square = np.bincount(index, (d - (index + 0.5) * _BIN) ** 2)[some]
    variance = square / count[some] - (mean - middle) ** 2
    return mean, variance.clip(min=0.0), count[some]


class _Model:
    """F(Q) and G(r) of one cluster with their derivatives."""

    def __init__(self, positions, qbroad):
        if np.ndim(positions) != 2 or len(positions) < 2:
            raise CbldmError(
                f"positions have shape {np.shape(positions)}; expected "
                "(N, 3) with two atoms or more: pass one array per cluster."
            )
        self.d, self.v, self.m = torch.from_numpy(np.stack(shells(positions)))
        self.m *= 2.0 / len(positions)
        self.longest = float(self.d.max())
        self.qbroad = qbroad

    def use(self, q):
        """Set the Q grid."""
        self.q = torch.from_numpy(q)[:, None]

    def f(self, stretch, uiso, delta2, derivatives=False):
        """F(Q), shape (K,), or (K, 4) with its three derivatives."""
        q, z = self.q, stretch
        d = z * self.d
        # sigma^2 = 2 U (1 - delta2 / d^2 + (qbroad d)^2), never negative.
        corr = width_ratio(d, 0.0, delta2, self.qbroad)
        on = (corr > 0.0).to(corr)
        corr = corr * on
        width = uiso * corr + 0.5 * z**2 * self.v
        wave, decay = q * d, torch.exp(-(q**2) * width)
        amp = self.m / d
        sines = torch.sin(wave) * decay
        if not derivatives:
            return sines @ amp
        sharp, broad = delta2 / d**2, (self.qbroad * d) ** 2
        # The width's own change with the stretch, d (width) / d log z.
        turn = uiso * on * 2.0 * (sharp + broad) + z * z * self.v
        columns = torch.stack(
            [amp, amp * corr, amp * on / d**2, amp * turn], 1
        )
        f, f_u, f_d2, f_z = (sines @ columns).unbind(1)
        cosines = (torch.cos(wave).mul_(decay)) @ self.m
        q, q2 = q[:, 0], q[:, 0] ** 2
        return torch.stack(
            [f, (q * cosines - f - q2 * f_z) / z, -q2 * f_u, uiso * q2 * f_d2],
            1,
        )


class _Data:
    """The measured curve, its sine matrix, and the Rw of a model."""

    def __init__(self, target: Target, grid: QGrid):
        self.r, self.g, self.w = (
            torch.tensor(a) for a in (target.r, target.g, target.weights)
        )
        self.root = self.w.sqrt()
        self.q, step = grid.q, float(grid.q[1] - grid.q[0])
        self.sines = torch.sin(self.r[:, None] * torch.from_numpy(self.q))
        self.sines *= 2.0 / math.pi * step
        if grid.parts > 1:
            self.sines *= torch.from_numpy(grid.weights)
        self.norm = float((self.w * self.g**2).sum())

    def curve(self, f, qdamp):
        """G(r) of F(Q) before the scale; columns stay columns."""
        envelope = torch.exp(-0.5 * (qdamp * self.r) ** 2)
        g = self.sines @ f
        return g * (envelope if g.ndim == 1 else envelope[:, None])

    def rw(self, f, qdamp):
        """Rw with the best scale, and that scale (not below zero)."""
        g = self.curve(f, qdamp)
        scale = best_scale(self.g, g, self.w).clamp(min=0.0)
        return float(rw(self.g, scale * g, self.w)), float(scale)


def _linearise(model, data, p):
    """Residual and Jacobian (Kaufman's variable projection) at p."""
    z, u, d2, qdamp = p
    curves = data.curve(model.f(z, u, d2, derivatives=True), qdamp)
    curves = torch.cat(
        [curves, (-qdamp * data.r**2 * curves[:, 0])[:, None]], 1
    )
    curves = curves * data.root[:, None]
    g, slopes = curves[:, 0], curves[:, 1:]
    # The scale is linear and eliminated: what a slope shares with the curve
    # itself, the scale would take up (Kaufman's approximation).
    obs, norm = data.root * data.g, g @ g
    norm = norm + (norm == 0)  # of a curve that is 0 at all points
    scale = torch.clamp(obs @ g / norm, min=0.0)
    jac = scale * (slopes - g[:, None] * (g @ slopes / norm))
    return (scale * g - obs).numpy(), jac.numpy()


def _step(res, jac, p, damping, free, low, high):
    """A Levenberg-Marquardt step that stays between the bounds."""
    jac = jac * _UNIT
    gradient, normal = jac.T @ res, jac.T @ jac
    # At a bound a parameter moves only inwards.
    move = free & ~((p <= low) & (gradient > 0))
    move &= ~((p >= high) & (gradient < 0))
    new = p.copy()
    while move.any():
        a = normal[np.ix_(move, move)]
        size = np.trace(a)
        if not size > 0:
            break  # nothing that may move changes the curve
        a = a + damping * np.diag(np.diag(a) + 1e-12 * size)
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


def _fit_one(model, data, p, free, low, high, steps):
    """Damped Gauss-Newton from p; the parameters it ends at."""
    damping = 1e-2
    res, jac = _linearise(model, data, p)
    cost = res @ res
    for _ in range(steps):
        new = _step(res, jac, p, damping, free, low, high)
        res_new, jac_new = _linearise(model, data, new)
        cost_new = res_new @ res_new
        # Worse, or not a number: shorter steps, towards the gradient's.
        if not cost_new < cost:
            damping *= 8.0
            if damping > 1e4 or np.all(np.abs(new - p) < 1e-3 * _UNIT):
                break
            continue
        gain = (cost - cost_new) / cost
        p, res, jac, cost = new, res_new, jac_new, cost_new
        damping *= 0.2
        if gain < 1e-3:
            break
    return p


def quick_fit(
    positions_list: Sequence[np.ndarray | torch.Tensor],
    target: PDFData | Target,
    *,
    fit: Sequence[str] = PARAMETERS,
    start: Mapping[str, float] | None = None,
    scan: Sequence[float] = STRETCHES,
    steps: int = 12,
) -> list[QuickFit]:
    """Fit one measured G(r) by each of many one-element clusters.

    Scale, stretch, one Uiso, delta2 and, where it is not given, Qdamp, each
    within `BOUNDS` (delta2 also below 0.95 of the shortest bond squared).
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
    values = {**START, **(start or {})}
    before = target.q_grid(values["uiso"], values["delta2"])
    # Twice as dense as G(r) needs to be known.
    few = target.thinned(2.0)
    grids = _Grids(target, few)
    if target.qdamp is not None:
        values["qdamp"] = target.qdamp
        fit = [name for name in fit if name != "qdamp"]
    p0 = np.array([values[name] for name in PARAMETERS])
    free = np.array([name in fit for name in PARAMETERS])
    low, high = np.array([BOUNDS[name] for name in PARAMETERS]).T
    p0 = np.where(free, np.clip(p0, low, high), p0)
    low, high = np.where(free, low, -np.inf), np.where(free, high, np.inf)
    models, ends, tops = [], [], []
    for positions in positions_list:
        model = _Model(positions, target.qbroad)
        data = grids.at(values["uiso"], values["delta2"], p0[0], model)
        first, top = _first(model, data, p0, free, high, scan)
        models.append(model)
        tops.append(top)
        ends.append(_fit_one(model, data, first, free, low, top, steps))
    # The end of the range, and with it the Q grid, depends on Uiso: where
    # the start's was far off, the fits go on upon the grid of their own.
    _, uiso, delta2, _ = np.median(ends, axis=0) if ends else p0
    if abs(target.q_grid(uiso, delta2).base - before.base) > _SAME_GRID:
        grids = _Grids(target, few)
        for i, (model, p, top) in enumerate(zip(models, ends, tops)):
            data = grids.at(uiso, delta2, p[0], model)
            ends[i] = _fit_one(model, data, p, free, low, top, AFTER)
    return _finish(models, ends, target)


class _Grids:
    """The data on the Q grids that clusters of different lengths need."""

    def __init__(self, target: Target, points: Target):
        self.target, self.points = target, points
        self._data: dict[int, _Data] = {}

    def at(self, uiso, delta2, stretch, model):
        """The data for a model, which takes over the Q grid."""
        longest = stretch * model.longest
        grid = self.target.q_grid(uiso, delta2, longest=longest)
        if grid.parts not in self._data:
            self._data[grid.parts] = _Data(self.points, grid)
        data = self._data[grid.parts]
        model.use(data.q)
        return data


def _first(model, data, p0, free, high, scan):
    """Where the fit of a model begins, and its upper bounds."""
    p, top = p0.copy(), high.copy()
    if free[0] and len(scan) > 1:
        # A peak at 20 A must not be missed: stretches are tried one by one.
        tries = np.clip(p0[0] * (1.0 + np.array(scan)), *BOUNDS["stretch"])
        p[0] = min(
            tries,
            key=lambda z: data.rw(model.f(z, p[1], p[2]), p[3])[0],
        )
    if free[2]:
        # Beyond d^2 the nearest peak has no width left, and the fit a false
        # minimum.
        shortest = p[0] * float(model.d.min())
        top[2] = min(high[2], 0.95 * shortest**2)
        p[2] = min(p[2], top[2])
    return p, top


def _finish(models, ends, target):
    """Rw on all points, each on the Q grid that its widths ask for."""
    grids = [
        target.q_grid(p[1], p[2], longest=p[0] * model.longest)
        for p, model in zip(ends, models)
    ]
    fits, data, last = [None] * len(ends), None, None
    # By reach, so that neighbours share one sine matrix.
    for i in sorted(range(len(ends)), key=lambda i: grids[i].reach):
        if last is None or grids[i].reach > last + _SAME_GRID:
            data, last = _Data(target, grids[i]), grids[i].reach
        p = ends[i]
        models[i].use(data.q)
        found, scale = data.rw(models[i].f(*p[:3]), p[3])
        fits[i] = QuickFit(found, scale, *(float(x) for x in p))
    return fits


def _check_names(fit, start):
    for name in (*fit, *(start or ())):
        if name not in PARAMETERS:
            raise CbldmError(
                f"{name!r} is no parameter of the quick fit; expected some "
                f"of {', '.join(PARAMETERS)}."
            )
