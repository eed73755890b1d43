"""How well clusters match a PDF: many at a time, at all stretches."""

from __future__ import annotations

import dataclasses
import functools
import math
import threading
from collections.abc import Sequence

import numpy as np

from diffpy_cbldm.debye.batches import padded
from diffpy_cbldm.debye.conditions import Conditions
from diffpy_cbldm.debye.histogram import (
    cluster_histograms,
    pdf_from_histogram,
)
from diffpy_cbldm.debye.pure import debye_pdf
from diffpy_cbldm.debye.qgrid import QGrid
from diffpy_cbldm.fitting.agreement import rw_scaled
from diffpy_cbldm.fitting.quickfit import scaled_fit
from diffpy_cbldm.fitting.target import EDGE, Target
from diffpy_cbldm.pdfdata import PDFData
from diffpy_cbldm.settings import MAX_ATOMS, R_MAX, R_STEP, Refinement

BOND_CHANGES = np.array(
    [
        *np.linspace(-0.05, -0.025, 6),
        *np.linspace(-0.02, 0.02, 21),
        *np.linspace(0.025, 0.05, 6),
    ]
)
"""Relative stretches about the first peak that a cluster is tried at."""

UISO_TRIED = (0.003, 0.006, 0.012)
"""Uiso values of the screening, A^2: cold to warm."""

QDAMP_STEP = 0.03
"""Qdamp values of the screening lie at most so far apart, 1/A."""

HIST_STEP, HIST_BINS, HIST_ORDER = 0.02, 1024, 6
"""Bins of the pair histograms, in bond lengths, and order of their splines."""

BATCH = 128
"""Structures that are worked on at a time, at most."""

_ROWS = 128
"""Bins of histograms are taken in parts of so many."""

_MAKING = threading.Lock()


@dataclasses.dataclass(frozen=True)
class Motion:
    """Widths and dampings at which clusters are compared with a PDF.

    Attributes
    ----------
    uiso : tuple of float
        A^2; each is tried.
    qdamp : tuple of float
        1/A; each is tried where it is not known.  Empty for the range in
        which it lies, in steps of `QDAMP_STEP`.
    delta2 : float
        Correlated motion, A^2.
    fine : bool
        Whether the values lie close enough for parabolas between them.
    """

    uiso: tuple[float, ...] = UISO_TRIED
    qdamp: tuple[float, ...] = ()
    delta2: float = 0.0
    fine: bool = False

    def dampings(self, target: Target) -> tuple[float, ...]:
        """Those that are tried: the known one where there is one."""
        if self.qdamp and target.qdamp is None:
            return self.qdamp
        return target.dampings(QDAMP_STEP)


def screen(
    hist: np.ndarray,
    lengths: np.ndarray,
    target: Target,
    bond: float,
    motion: Motion = Motion(),
) -> tuple[np.ndarray, np.ndarray]:
    """Compare many clusters with a PDF at all stretches.

    A cluster stretched by z has F(Q; z) = F_1(zQ) / z, so that in place of
    the cluster the measured curve is stretched, the other way: one
    transform of each cluster serves all stretches, and the comparison is a
    product of matrices.  (The Q range stretches along, by up to 5 %.)

    Parameters
    ----------
    hist : (C, bins) array of float32
        From `pair_histogram` in bond lengths, in `HIST_BINS` of `HIST_STEP`.
    lengths : (C,) array
        Numbers of atoms.
    target : Target
        The measured curve.
    bond : float, angstrom
        About which the stretches lie.
    motion : Motion
        Widths, dampings and delta2.

    Returns
    -------
    rw : (C,) array
        The least over stretches, widths and dampings, the scale fitted.
    bonds : (C,) array, angstrom
        The bond length that gives it.
    """
    if len(hist) == 1:
        # BLAS sums the product of one row in another order: company is no
        # matter for a cluster.
        rw, bonds = screen(
            hist.repeat(2, 0), lengths.repeat(2, 0), target, bond, motion
        )
        return rw[:1], bonds[:1]
    dampings = motion.dampings(target)
    data, mask, total = _stretched_data(target, bond, dampings)
    share = hist / lengths.astype(hist.dtype)[:, None]
    squares, found = [], []
    for width in motion.uiso:
        # The native Q grid: its limits are off by up to one step, which rods
        # and plates feel at Qmin.
        grid = target.q_grid(width, end=float(target.curve[0][-1]))
        model = _curves(share, grid, len(data), bond, width, motion)
        # What a row shares with the data, 1 - cross^2 / (power total), in
        # place: these arrays are the largest.
        miss, power = model @ data, np.square(model) @ mask
        np.square(miss.clip(min=0, out=miss), out=miss)
        power *= total
        miss /= power.clip(min=1e-20, out=power)
        np.subtract(1, miss, out=miss)
        # A parabola between stretches: in steps of 0.2 % peaks at 30 A would
        # miss one another.
        square, stretch = least_between(
            miss.reshape(len(hist) * len(dampings), -1), BOND_CHANGES
        )
        squares.append(square.reshape(len(hist), -1))
        found.append(stretch.reshape(len(hist), -1))
    # (C, dampings, widths): the least of all, and the stretch that gave it.
    square, stretch = (np.stack(x, 2) for x in (squares, found))
    rows = np.arange(len(hist))
    best = square.reshape(len(hist), -1).argmin(1)
    moved = stretch.reshape(len(hist), -1)[rows, best]
    if motion.fine:
        # Widths and dampings lie close: parabolas between them, too.  Widths
        # matter by their ratio, so that the parabola is laid over the log.
        each = square.reshape(-1, len(motion.uiso))
        each, _ = least_between(each, np.log(motion.uiso))
        least, _ = least_between(each.reshape(len(hist), -1), dampings)
    else:
        least = square.reshape(len(hist), -1)[rows, best]
    return np.sqrt(least), bond * (1 + moved)


@functools.lru_cache(maxsize=4)
def _stretched_data(
    target: Target, bond: float, dampings: tuple[float, ...]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The measured curve at all stretches and dampings, for `screen`.

    Returns
    -------
    data, mask : (points, dampings * stretches) arrays of float32
        In steps of `HIST_STEP` bonds.
    total : (dampings * stretches,) array
        The sums of squares without damping.
    """
    # The longest stretch needs the fewest bond lengths of the curve.
    r, _ = target.curve
    points = int(r[-1] / (bond * (1 + BOND_CHANGES[0])) / HIST_STEP) + 1
    points = min(points, HIST_BINS)
    x = np.arange(points) * HIST_STEP
    data = stretched(x, target, bond, BOND_CHANGES)
    # Where a stretched curve has no data, the model does not count either.
    mask = data != 0
    total = np.tile(np.square(data).sum(0), len(dampings))
    # Damping falls on the curves alike: it is put on the data's side.
    r = bond * x[:, None, None]
    fall = np.exp(-0.5 * (np.array(dampings)[:, None] * r) ** 2)
    fall = fall.astype(data.dtype)
    data = (fall * data[:, None]).reshape(points, -1)
    mask = (fall**2 * mask[:, None]).reshape(points, -1)
    return data, mask, total


def _curves(
    share: np.ndarray,
    grid: QGrid,
    points: int,
    bond: float,
    width: float,
    motion: Motion,
) -> np.ndarray:
    """G(r) of whole clusters, (C, points), in steps of `HIST_STEP` bonds.

    share (C, bins): pair histograms over the numbers of atoms.
    """
    half = 0.5 * (grid.q[1] - grid.q[0])
    conditions = Conditions(
        u_iso=width / bond**2,
        delta2=motion.delta2 / bond**2,
        qmin=max(grid.q[0] - half, 0.0) * bond,
        qmax=(grid.q[-1] + half) * bond,
    )
    # Few bins are fast, and hold all pairs of all but a few clusters.
    near = min(round(grid.reach / bond / HIST_STEP), share.shape[1])
    used = 1 + int(np.flatnonzero(share.sum(0)).max(initial=-1))
    curves = _curve_matrix(used, near, points, conditions)
    model = share[:, : min(near, used)] @ curves[:used]
    if used > near:
        long = share[:, near:].any(1)
        curves = _curve_matrix(used, share.shape[1], points, conditions)
        model[long] = share[long, :used] @ curves[:used]
    return model


def _curve_matrix(
    used: int, bins: int, points: int, conditions: Conditions
) -> np.ndarray:
    """What the first bins of a pair histogram add to G(r), each at 1.

    At least `used` of all `bins`: (n, points).
    """
    # In steps, so that what was made serves the next clusters.
    rows = min(bins, math.ceil(used / _ROWS) * _ROWS)
    with _MAKING:  # threads that ask for the same make it once
        return _matrix(bins, points, conditions).first(rows)


class _Matrix:
    """The rows of `_curve_matrix`, which are made as they are asked for.

    Larger clusters ask for more of them; those of the smaller ones stay.
    """

    def __init__(self, bins: int, points: int, conditions: Conditions):
        self.bins, self.conditions = bins, conditions
        self.rows = np.empty((0, points), np.float32)

    def first(self, count: int) -> np.ndarray:
        """The first rows, (count, points)."""
        # A product with it is faster than two transforms of each cluster, and
        # ends where the clusters end.  In parts, as the transforms take ten
        # times the memory of what they give.
        missing = range(len(self.rows), count, _ROWS)
        parts = [self._part(k, min(_ROWS, count - k)) for k in missing]
        if parts:
            self.rows = np.concatenate([self.rows, *parts])
        return self.rows[:count]

    def _part(self, first: int, count: int) -> np.ndarray:
        ones: np.ndarray = np.eye(count, self.bins, first, dtype=np.float32)
        return pdf_from_histogram(
            ones,
            np.ones(count),
            self.conditions,
            step=HIST_STEP,
            points=self.rows.shape[1],
            order=HIST_ORDER,
        )


_matrix = functools.lru_cache(maxsize=16)(_Matrix)


def histograms(structures: Sequence[np.ndarray]) -> np.ndarray:
    """Pair histograms of positions in bond lengths, (C, HIST_BINS)."""
    return cluster_histograms(
        structures, step=HIST_STEP, bins=HIST_BINS, order=HIST_ORDER
    )


def least_between(
    values: np.ndarray, places: Sequence[float] | np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Least values of rows, by a parabola, and where they are.

    Parameters
    ----------
    values : (C, K) array
    places : (K,) array
        Rising.  With fewer than three no parabola is laid.

    Returns
    -------
    lowest : (C,) array, not below zero
    place : (C,) array
    """
    # Newton's form of the parabola through the least value's neighbours:
    # `down` and `up` are its first, `bend` its second divided difference.
    x = np.asarray(places, values.dtype)
    rows, k = np.arange(len(values)), values.argmin(1)
    least = values[rows, k]
    if len(x) < 3:
        return least.clip(min=0), x[k]
    k = k.clip(1, len(x) - 2)
    left, here, right = (values[rows, k + i] for i in (-1, 0, 1))
    h1, h2 = x[k] - x[k - 1], x[k + 1] - x[k]
    down, up = (here - left) / h1, (right - here) / h2
    bend = (up - down) / (h1 + h2)
    slope = (down * h2 + up * h1) / (h1 + h2)
    # A flat or concave triple has no minimum of its own: stay in place.
    step = (-0.5 * slope / bend.clip(min=1e-12)).clip(-h1, h2)
    step[bend <= 1e-9] = 0
    lowest = np.minimum(here + slope * step + bend * step**2, least)
    return lowest.clip(min=0), x[k] + step


def rw_raw(
    positions: Sequence[np.ndarray], target: PDFData | Target
) -> np.ndarray:
    """Rw of clusters with only the scale fitted, Uiso at its default.

    Parameters
    ----------
    positions : sequence of (n, 3) arrays, angstrom
    target : Target, or PDFData with the default range

    Returns
    -------
    (C,) array
    """
    if not positions:
        return np.zeros(0)
    start, target = Refinement(), Target.of(target)
    large = [i for i, xyz in enumerate(positions) if len(xyz) > MAX_ATOMS]
    if large:
        out = np.empty(len(positions))
        held = {"stretch": 1.0, "delta2": 0.0}
        held |= {"uiso": start.uiso, "qdamp": start.qdamp}
        found = scaled_fit([positions[i] for i in large], target, held)
        out[large] = [fit.rw for fit in found]
        small = [i for i, xyz in enumerate(positions) if len(xyz) <= MAX_ATOMS]
        out[small] = rw_raw([positions[i] for i in small], target)
        return out
    r, g = target.curve
    inside = r >= target.rmin - EDGE
    xyz, lengths = padded(positions)
    curves = debye_pdf(
        xyz,
        lengths,
        u_iso=start.uiso,
        qmin=target.qmin,
        qmax=target.qmax,
        qdamp=target.first_qdamp,
        qbroad=target.qbroad,
        rmax=R_MAX,
        rstep=R_STEP,
        precision=1e-3,
    )
    # The curves start at r = 0, the data where the measurement does.
    places = np.rint(r / R_STEP).astype(int)[inside]
    return rw_scaled(g[inside], curves[:, places])


def stretched(
    x: np.ndarray, target: Target, bond: float, stretches: np.ndarray
) -> np.ndarray:
    """A measured curve as clusters of several bond lengths would see it.

    Parameters
    ----------
    x : (n,) array, bond lengths
    target : Target
        The measured curve.
    bond : float, angstrom
    stretches : (S,) array
        Relative changes of the bond.

    Returns
    -------
    (n, S) float32 array; zero outside the compared range.
    """
    r, g = target.curve
    # The unit of G is of no matter here, but must not end in single
    # precision's last digits or in limits.
    g = g / (np.abs(g).max() or 1.0)
    joined = np.diff(r) < 1.5 * R_STEP
    out = np.zeros((len(x), len(stretches)), np.float32)
    for column, change in zip(out.T, stretches):
        at = x * bond * (1 + change)
        inside = (at >= max(target.rmin, r[0])) & (at <= r[-1])
        # Nothing is known between points that are no neighbours.
        inside &= joined[np.searchsorted(r, at).clip(1, len(r) - 1) - 1]
        column[inside] = np.interp(at[inside], r, g)
    return out
