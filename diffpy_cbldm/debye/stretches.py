"""One cluster, many curves: what a fit and a scan of stretches repeat.

`PairCache` keeps the distances of a cluster, so that a new width, range or
stretch costs no pairs.  `stretch_scan` needs one transform for all stretches
of a cluster: with F_1 the unstretched curve, F(Q; z) = F_1(z Q) / z, read off
a fine grid by B-splines whose own transform was divided out beforehand.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from diffpy_cbldm.debye import pairgrid, pure, qgrid
from diffpy_cbldm.debye.arguments import (
    Number,
    check_ranges,
    checked_positions,
    numbers,
)
from diffpy_cbldm.debye.pairgrid import (
    PairGrid,
    fast_length,
    fold,
    sine,
    spline,
    window,
)
from diffpy_cbldm.errors import CbldmError

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
    positions, lengths, u_iso, ... : as in `pure.debye_pdf`
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
    r = qgrid.r_grid(rmin, rmax, rstep).to(positions.device)
    if not batch:
        return positions.new_zeros(0, count, len(r))
    plain = values["u_iso"].dim() == 1 and not any(
        bool((values[name] != 0).any())
        for name in ("delta1", "delta2", "qbroad")
    )
    reach, dq, first, points = qgrid.native_range(
        float(values["u_iso"].max()), 1.0, qmin, qmax, rmax, rstep
    )
    far = 2 * float(positions.square().sum(2).amax().sqrt()) + 1e-3
    top = float(stretch.max())
    if not plain or precision < pairgrid.EXACT or far * top > reach:
        curves = [
            pure.debye_pdf(
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

    q = pairgrid.arange(points, positions) * dq
    order, angle = pairgrid.spline_order(precision)
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
    shape = window(pairgrid.arange(bins + 1, positions) * step, fine, reads)
    out, where = [], []
    extra = 2 * count * (len(r) + reads * points) + 4 * size
    for part in pairgrid.chunks(positions, lengths, extra, chunk):
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
        g = qgrid.native_curves(f.flatten(0, 1), dq, first, r, rstep)
        r_same = r.to(g.dtype)
        fall = (values["qdamp"][part, None] * r_same).square()
        fall = torch.exp(-0.5 * fall) * values["scale"][part, None]
        out.append(g.view(len(part), count, -1) * fall[:, None])
        where.append(part)
    return torch.cat(out)[torch.argsort(torch.cat(where))]
