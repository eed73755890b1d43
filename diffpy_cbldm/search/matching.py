"""How well clusters match a PDF: many at a time, at all stretches."""

from __future__ import annotations

import dataclasses
import functools
import math
import threading
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

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
    hist: Tensor,
    lengths: Tensor,
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
    hist : (C, bins) tensor
        From `pair_histogram` in bond lengths, in `HIST_BINS` of `HIST_STEP`.
    lengths : (C,) tensor
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
    dampings = motion.dampings(target)
    data, mask, total = _stretched_data(target, bond, dampings)
    share = hist / lengths[:, None]
    squares, found = [], []
    for width in motion.uiso:
        # The native Q grid: its limits are off by up to one step, which rods
        # and plates feel at Qmin.
        grid = target.q_grid(width, end=float(target.curve[0][-1]))
        model = _curves(share, grid, len(data), bond, width, motion)
        cross = (model @ data).clamp_min(0)
        power = model.square() @ mask
        miss = 1 - cross**2 / (power * total).clamp_min(1e-20)
        # A parabola between stretches: in steps of 0.2 % peaks at 30 A would
        # miss one another.
        square, stretch = least_between(
            miss.reshape(len(hist) * len(dampings), -1), BOND_CHANGES
        )
        squares.append(square.reshape(len(hist), -1))
        found.append(stretch.reshape(len(hist), -1))
    # (C, dampings, widths): the least of all, and the stretch that gave it.
    square, stretch = torch.stack(squares, 2), torch.stack(found, 2)
    best = square.flatten(1).argmin(1, keepdim=True)
    moved = stretch.flatten(1).gather(1, best)[:, 0].numpy()
    if motion.fine:
        # Widths and dampings lie close: parabolas between them, too.  Widths
        # matter by their ratio, so that the parabola is laid over the log.
        rows = square.reshape(-1, len(motion.uiso))
        rows, _ = least_between(rows, np.log(motion.uiso))
        square, _ = least_between(rows.reshape(len(hist), -1), dampings)
    else:
        square = square.flatten(1).min(1).values
    return square.sqrt().numpy(), bond * (1 + moved)


@functools.lru_cache(maxsize=4)
def _stretched_data(
    target: Target, bond: float, dampings: tuple[float, ...]
) -> tuple[Tensor, Tensor, Tensor]:
    """The measured curve at all stretches and dampings, for `screen`.

    Returns
    -------
    data, mask : (points, dampings * stretches) tensors
        In steps of `HIST_STEP` bonds.
    total : (dampings * stretches,) tensor
        The sums of squares without damping.
    """
    # The longest stretch needs the fewest bond lengths of the curve.
    r, _ = target.curve
    points = int(r[-1] / (bond * (1 + BOND_CHANGES[0])) / HIST_STEP) + 1
    points = min(points, HIST_BINS)
    x = np.arange(points) * HIST_STEP
    data = torch.as_tensor(stretched(x, target, bond, BOND_CHANGES))
    # Where a stretched curve has no data, the model does not count either.
    mask = (data != 0).to(data)
    total = data.square().sum(0).repeat(len(dampings))
    # Damping falls on the curves alike: it is put on the data's side.
    q = torch.tensor(dampings, dtype=data.dtype)
    fall = torch.exp(
        -0.5 * (q * (torch.as_tensor(x).to(q)[:, None] * bond)) ** 2
    )
    data = (fall[:, :, None] * data[:, None]).flatten(1)
    mask = (fall.square()[:, :, None] * mask[:, None]).flatten(1)
    return data, mask, total


def _curves(
    share: Tensor,
    grid: QGrid,
    points: int,
    bond: float,
    width: float,
    motion: Motion,
) -> Tensor:
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
) -> Tensor:
    """What the first bins of a pair histogram add to G(r), each at 1.

    At least `used` of all `bins`: (n, points).
    """
    # In steps, so that what was made serves the next clusters.
    rows = min(bins, math.ceil(used / _ROWS) * _ROWS)
    with _MAKING:  # threads that ask for the same make it once
        return _made_matrix(rows, bins, points, conditions)


@functools.lru_cache(maxsize=8)
def _made_matrix(
    rows: int, bins: int, points: int, conditions: Conditions
) -> Tensor:
    """`_curve_matrix` with so many rows, (rows, points)."""
    # A product with it is faster than two transforms of each cluster, and
    # ends where the clusters end.  In parts, as the transforms take ten times
    # the memory of what they give.
    out = torch.empty(rows, points)
    for first in range(0, rows, _ROWS):
        part = out[first : first + _ROWS]
        ones = torch.zeros(len(part), bins)
        ones.diagonal(first).fill_(1)
        part[:] = pdf_from_histogram(
            ones,
            torch.ones(len(part), dtype=torch.int64),
            conditions,
            step=HIST_STEP,
            points=points,
            order=HIST_ORDER,
        )
    return out


def histograms(structures: Sequence[np.ndarray]) -> Tensor:
    """Pair histograms of positions in bond lengths, (C, HIST_BINS)."""
    return cluster_histograms(
        structures, step=HIST_STEP, bins=HIST_BINS, order=HIST_ORDER
    )


def least_between(
    values: Tensor, places: Sequence[float] | np.ndarray
) -> tuple[Tensor, Tensor]:
    """Least values of rows, by a parabola, and where they are.

    Parameters
    ----------
    values : (C, K) tensor
    places : (K,) array
        Rising.  With fewer than three no parabola is laid.

    Returns
    -------
    lowest : (C,) tensor, not below zero
    place : (C,) tensor
    """
    # Newton's form of the parabola through the least value's neighbours:
    # `down` and `up` are its first, `bend` its second divided difference.
    x = torch.as_tensor(np.asarray(places)).to(values)
    least, k = values.min(1)
    if len(x) < 3:
        return least.clamp_min(0), x[k]
    k = k.clamp(1, len(x) - 2)
    left, here, right = (
        values.gather(1, (k + i)[:, None])[:, 0] for i in (-1, 0, 1)
    )
    h1, h2 = x[k] - x[k - 1], x[k + 1] - x[k]
    down, up = (here - left) / h1, (right - here) / h2
    bend = (up - down) / (h1 + h2)
    slope = (down * h2 + up * h1) / (h1 + h2)
    # A flat or concave triple has no minimum of its own: stay in place.
    safe = bend.clamp_min(1e-12)
    step = torch.minimum(torch.maximum(-0.5 * slope / safe, -h1), h2)
    step = torch.where(bend > 1e-9, step, torch.zeros_like(step))
    lowest = torch.minimum(here + slope * step + bend * step**2, least)
    return lowest.clamp_min(0), x[k] + step


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
    ).numpy()
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
