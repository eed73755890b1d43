"""One cluster, many curves: what a fit and a scan of stretches repeat.

`PairCache` keeps the distances of a cluster, so that a new width, range or
stretch costs no pairs.  `stretch_scan` needs one transform for all stretches
of a cluster: with F_1 the unstretched curve, F(Q; z) = F_1(z Q) / z, read off
a fine grid by B-splines whose own transform was divided out beforehand.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from diffpy_cbldm import debye
from diffpy_cbldm.checks import (
    Number,
    check_ranges,
    checked_positions,
    numbers,
)
from diffpy_cbldm.errors import CbldmError
from diffpy_cbldm.pairgrid import (
    TOUCHING,
    Moments,
    PairGrid,
    fast_length,
    fold,
    sine,
    spline,
    window,
)

MAX_PAIRS = 1 << 24
"""More distances than these are not kept."""

KEPT = 4
"""Histograms of one geometry that are kept."""


class PairCache:
    """The pairs of one cluster of one element, kept between curves.

    Parameters
    ----------
    positions : (N, 3) array or tensor, angstrom
    elements : sequence of str, optional
        Only to check that there is one element.

    Raises
    ------
    CbldmError
        Wrong shape, NaN, atoms at one place, several elements.
    """

    def __init__(
        self,
        positions: np.ndarray | Tensor,
        elements: Sequence[str] | None = None,
    ) -> None:
        if elements is not None and len(set(elements)) > 1:
            raise CbldmError(
                f"the cluster has the elements {sorted(set(elements))}; "
                "expected one: pass the atoms of one element."
            )
        x = torch.as_tensor(positions).detach().to(torch.float64)
        self._x, self._lengths = checked_positions(x[None], None)
        self._distances: Tensor | None = None
        self._kept: dict[tuple, debye.Bins] = {}
        n = x.shape[0]
        if n * (n - 1) // 2 <= MAX_PAIRS:
            # pdist does not lose digits as the matrix form would.
            d = torch.pdist(self._x[0])
            if len(d) and float(d.min()) < TOUCHING:
                raise CbldmError(
                    f"two atoms are {float(d.min()):.2g} apart; expected at "
                    f"least {TOUCHING:g}: remove the atom that stands twice "
                    "at one place."
                )
            self._distances = d[None]

    def pdf(
        self,
        *,
        u_iso: float | Tensor,
        delta1: float = 0.0,
        delta2: float = 0.0,
        qbroad: float = 0.0,
        qmin: float = 0.0,
        qmax: float = 25.0,
        qdamp: float = 0.0,
        scale: float = 1.0,
        stretch: float = 1.0,
        rmin: float = 0.0,
        rmax: float = 30.0,
        rstep: float = 0.01,
        precision: float = 1e-10,
    ) -> np.ndarray:
        """Return G(r) (M,), 1/A^2, as `debye.debye_pdf` on the native grid.

        The arguments are those of `debye.debye_pdf`; u_iso (N,) gives one
        value per atom and takes the direct sum.
        """
        if isinstance(u_iso, Tensor) and u_iso.dim() == 1:
            u_iso = u_iso[None]

        pairs = debye.Pairs(
            functools.partial(self._gather, float(stretch)),
            functools.partial(self._near, float(stretch)),
        )
        with torch.no_grad():
            g = debye.evaluate(
                self._x,
                self._lengths,
                u_iso=u_iso,
                qmin=qmin,
                qmax=qmax,
                qdamp=qdamp,
                qbroad=qbroad,
                delta1=delta1,
                delta2=delta2,
                scale=scale,
                stretch=stretch,
                rmin=rmin,
                rmax=rmax,
                rstep=rstep,
                grid="native",
                precision=precision,
                cached=None if self._distances is None else pairs,
            )
        return g[0].numpy()

    def _gather(
        self, stretch: float, plan: debye.Plan, limits: debye.Limits
    ) -> debye.Bins:
        key: tuple = (plan.step, plan.bins, plan.order, stretch)
        if limits is not None:
            key += tuple(float(x) for x in limits)
        if key not in self._kept:
            assert self._distances is not None
            t = self._distances * (stretch / plan.step)
            inverse = 1 / t
            outside = t >= plan.bins
            if limits is not None:
                low, high = (float(x) / plan.step for x in limits)
                outside |= (t <= low) | (t > high)
            t.masked_fill_(outside, plan.bins + 0.5)
            sums = Moments(1, plan.bins, plan.order, t)
            sums.add(inverse, t.long(), t.frac())
            grid = sums.grid() * (2 / plan.step)
            while len(self._kept) >= KEPT:
                self._kept.pop(next(iter(self._kept)))
            grid = fold(grid, plan.bins, plan.order)
            self._kept[key] = debye.Bins(grid, plan)
        return self._kept[key]

    def _near(
        self, stretch: float, plan: debye.Plan, limit: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Clusters (all 0) and distances (P,) of the pairs at d <= limit."""
        assert self._distances is not None
        t = self._distances[0] * (stretch / plan.step)
        d = t[t <= float(limit) / plan.step] * plan.step
        return torch.zeros_like(d, dtype=torch.int64), d


# ------------------------------------------------------------ stretch scans


def _read(table: Tensor, t: Tensor, order: int) -> Tensor:
    """Sum of splines with the odd coefficients table (B, K) at t (B, n)."""
    half = order // 2
    size = int(t.max()) + 1
    odd = torch.cat([-table[:, 1 : half + 1].flip(1), table], 1)
    # Piece j of a point in cell c belongs to the coefficient c + p/2 - j.
    rows = torch.stack(
        [odd[:, order - j : order - j + size] for j in range(order)]
    )
    turn = table.new_tensor(spline(order)).T
    terms = (turn @ rows.view(order, -1)).view(rows.shape)
    cell = t.long()
    frac = t - cell
    out = terms[-1].gather(1, cell)
    for k in range(order - 2, -1, -1):
        out = out * frac + terms[k].gather(1, cell)
    return out


@torch.no_grad()
def stretch_scan(
    positions: Tensor,
    lengths: Tensor | None = None,
    *,
    stretch: Tensor,
    u_iso: Number,
    qmin: float = 0.0,
    qmax: float = 25.0,
    qdamp: Number = 0.0,
    qbroad: Number = 0.0,
    delta1: Number = 0.0,
    delta2: Number = 0.0,
    scale: Number = 1.0,
    rmin: float = 0.0,
    rmax: float = 30.0,
    rstep: float = 0.01,
    precision: float = 1e-4,
    chunk: int | None = None,
) -> Tensor:
    """Simulate G(r) of each cluster at many stretches.

    Parameters
    ----------
    positions, lengths, u_iso, ... : as in `debye.debye_pdf`
    stretch : (B, K) tensor
        Factors on the positions of each cluster; (K,) serves them all.
    precision : float, default 1e-4
        Largest deviation relative to the highest peak of a curve.

    Returns
    -------
    (B, K, M) tensor, 1/A^2, on the native grid, without gradients.  Widths
    that depend on r, and clusters longer than the Q grid's own range, are
    simulated one stretch at a time.
    """
    positions, lengths = checked_positions(positions, lengths)
    batch = len(positions)
    if stretch.dim() == 1:
        stretch = stretch.expand(batch, -1)
    if stretch.dim() != 2 or len(stretch) != batch or not stretch.shape[1]:
        raise CbldmError(
            f"stretch has shape {tuple(stretch.shape)}; expected ({batch}, "
            "K) or (K,): one row of factors per cluster."
        )
    stretch = stretch.to(positions)
    if not (bool((stretch > 0).all()) and bool(stretch.isfinite().all())):
        raise CbldmError(
            f"stretch runs from {float(stretch.min()):g}; expected finite "
            "numbers above 0: correct stretch."
        )
    check_ranges(
        qmin=qmin,
        qmax=qmax,
        rmin=rmin,
        rmax=rmax,
        rstep=rstep,
        precision=precision,
    )
    count = stretch.shape[1]
    like = positions
    given = (u_iso, delta1, delta2, qbroad, qdamp, scale)
    names = ("u_iso", "delta1", "delta2", "qbroad", "qdamp", "scale")
    free = ("delta1", "delta2", "scale")
    values = {
        name: numbers(name, x, like, -math.inf if name in free else 0.0)
        for name, x in zip(names, given, strict=True)
    }
    r = debye.r_grid(rmin, rmax, rstep).to(positions.device)
    if not batch:
        return positions.new_zeros(0, count, len(r))
    plain = values["u_iso"].dim() == 1 and not any(
        bool((values[name] != 0).any())
        for name in ("delta1", "delta2", "qbroad")
    )
    reach, dq, first, points = debye.native_range(
        float(values["u_iso"].max()), 1.0, qmin, qmax, rmax, rstep
    )
    far = 2 * float(positions.square().sum(2).amax().sqrt()) + 1e-3
    top = float(stretch.max())
    if not plain or precision < debye.EXACT or far * top > reach:
        curves = [
            debye.debye_pdf(
                positions,
                lengths,
                stretch=stretch[:, k],
                u_iso=u_iso,
                qmin=qmin,
                qmax=qmax,
                qdamp=qdamp,
                qbroad=qbroad,
                delta1=delta1,
                delta2=delta2,
                scale=scale,
                rmin=rmin,
                rmax=rmax,
                rstep=rstep,
                precision=precision,
                chunk=chunk,
            )
            for k in range(count)
        ]
        return torch.stack(curves, 1)

    q = debye.arange(points, positions) * dq
    order, angle = debye.spline_order(precision)
    reads = 8 if precision > 1e-6 else 12
    leak = (precision / 4) ** (1 / reads)
    length = math.pi * far * (1 + leak) / (2 * math.pi * leak)
    step = angle / (float(q[-1]) * top)
    bins = math.ceil(far / step) + order
    size = fast_length(max(length / step, bins + 1))
    fine = math.pi / (size * step)
    table = math.ceil(float(q[-1]) * top / fine) + reads + 1
    if table > size:
        size = fast_length(table)
        fine = math.pi / (size * step)
        table = math.ceil(float(q[-1]) * top / fine) + reads + 1
    shape = window(debye.arange(bins + 1, positions) * step, fine, reads)
    out, where = [], []
    extra = 2 * count * (len(r) + reads * points) + 4 * size
    for part in debye.chunks(positions, lengths, extra, chunk):
        n, z = lengths[part], stretch[part]
        x = positions[part, : int(n.max())]
        grid = PairGrid.apply(x, n, None, step, bins, order)
        series = fold(grid, bins, order) / shape
        f = sine(series, size, min(table, size + 1))
        at = q * z[..., None]
        f = _read(f, (at / fine).view(len(part), -1), reads)
        f = f.view(at.shape) / window(at, step, order)
        damp = torch.exp(-values["u_iso"][part, None] * q.square())
        f = f * (damp / n[:, None])[:, None] / z[..., None]
        g = debye.native_curves(f.flatten(0, 1), dq, first, r, rstep)
        r_same = r.to(g.dtype)
        fall = (values["qdamp"][part, None] * r_same).square()
        fall = torch.exp(-0.5 * fall) * values["scale"][part, None]
        out.append(g.view(len(part), count, -1) * fall[:, None])
        where.append(part)
    return torch.cat(out)[torch.argsort(torch.cat(where))]
