"""The Debye PDF of one cluster with several elements or widths.

Debye scattering equation with scattering factors f_i(Q)::

    F(Q) = 1/(N <f>^2) sum_{i != j} f_i f_j sin(Q d_ij)/d_ij exp(-w_ij Q^2)
    w_ij = (U_i + U_j)/2 max(0, 1 - delta1/d - delta2/d^2 + (qbroad d)^2)

on the Q grid of diffpy.srreal.  exp(-w Q^2) is expanded in Chebyshev
polynomials of w: each term is one histogram of pairs per pair of elements,
whatever the widths of the atoms, and a Fourier transform turns the
histograms into sums over sin(Q d).  One element with one U is faster with
`debye`, whose Q grid and last step this shares.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from diffpy_cbldm.debye import form_factors, pairgrid, qgrid
from diffpy_cbldm.debye.arguments import (
    check_ranges,
    checked_positions,
    numbers,
)
from diffpy_cbldm.debye.pairgrid import (
    TOUCHING,
    fast_length,
    fold,
    sine,
    spline,
    window,
)
from diffpy_cbldm.debye.pure import plain_sum
from diffpy_cbldm.debye.widths import TERMS, node_count
from diffpy_cbldm.errors import CbldmError

PAIRS = 1 << 14
"""Pairs worked on at once: it bounds the memory."""


def mixed_pdf(
    positions: Tensor,
    elements: Sequence[str],
    *,
    u_iso: float | Tensor,
    stype: str = "X",
    qmin: float = 0.0,
    qmax: float = 25.0,
    qdamp: float = 0.0,
    qbroad: float = 0.0,
    delta1: float = 0.0,
    delta2: float = 0.0,
    scale: float = 1.0,
    rmin: float = 0.0,
    rmax: float = 30.0,
    rstep: float = 0.01,
    precision: float = 1e-10,
) -> Tensor:
    """Simulate G(r) of a cluster of any elements, X-ray or neutron.

    Parameters
    ----------
    positions : (N, 3) tensor, angstrom
    elements : N str
        Symbols as in diffpy, such as "Cd" or "Cd2+".
    u_iso : float or (N,) tensor, A^2
        Mean square displacement, for all atoms or for each.
    stype : {"X", "N"}
        X-ray form factors or neutron scattering lengths.
    qmin, qmax : float, 1/A, default 0 and 25
    qdamp, qbroad : float, 1/A, default 0
    delta1, delta2 : float, A and A^2, default 0
    scale : float, default 1
    rmin, rmax, rstep : float, angstrom, default 0, 30, 0.01
    precision : float, default 1e-10
        Largest deviation from the plain sum, relative to the highest peak.

    Returns
    -------
    (M,) tensor, 1/A^2, on ``debye.r_grid(rmin, rmax, rstep)``, with the
    discretisation of diffpy.srreal's DebyePDFCalculator.  Differentiable
    with respect to positions and u_iso.

    Raises
    ------
    CbldmError
        Wrong shapes, values outside their limits, two atoms at one place,
        an atom without scattering factor, a vanishing mean factor.

    Source: Farrow & Billinge, Acta Cryst. A 65, 232 (2009); Faber & Ziman,
    Phil. Mag. 11, 153 (1965), for the weights; grid rules of libdiffpy 1.4.
    """
    form_factors.check_stype(stype)
    check_ranges(
        qmin=qmin,
        qmax=qmax,
        qdamp=qdamp,
        qbroad=qbroad,
        rmin=rmin,
        rmax=rmax,
        rstep=rstep,
        precision=precision,
    )
    if len(elements) != len(positions):
        raise CbldmError(
            f"positions has shape {tuple(positions.shape)} for "
            f"{len(elements)} elements; expected (N, 3) and one symbol for "
            "each atom."
        )
    batch, _ = checked_positions(positions.double()[None], None)
    u_iso = torch.as_tensor(u_iso, dtype=torch.float64)
    if u_iso.shape not in ((), (len(elements),)):
        raise CbldmError(
            f"u_iso has shape {tuple(u_iso.shape)}; expected one number or "
            f"({len(elements)},), one for each atom."
        )
    u_iso = u_iso.expand(1, len(elements))
    u = numbers("u_iso", u_iso, batch, 0.0)[0]
    ratio = max(
        1 - delta1 / d - delta2 / d**2 + (qbroad * d) ** 2
        for d in (max(rmin, 1e-9), rmax)
    )
    cut, dq, first, count = qgrid.native_range(
        float(u.detach().max()), ratio, qmin, qmax, rmax, rstep
    )
    q = torch.arange(count, dtype=torch.float64) * dq
    kinds = sorted(set(elements))
    table = form_factors.factors(kinds, q.numpy(), stype)
    f = torch.as_tensor(np.stack([table[kind] for kind in kinds]))
    kind = torch.tensor([kinds.index(symbol) for symbol in elements])
    mean = f[kind].mean(0)
    if bool((mean.abs() < 1e-6 * f.abs().max()).any()):
        raise CbldmError(
            "the mean scattering factor vanishes, by which G(r) is divided; "
            "expected a composition that scatters: correct the elements."
        )

    i, j, d = _pairs(positions.double(), cut)
    s = 1 - delta1 / d - delta2 / d**2 + (qbroad * d) ** 2
    w = (u[i] + u[j]) / 2 * s.clamp(min=0)
    # Each unordered pair of elements has its own histogram.
    low, high = torch.minimum(kind[i], kind[j]), torch.maximum(
        kind[i], kind[j]
    )
    code = high * (high + 1) // 2 + low
    sums = _sums(d, w, code, len(kinds) * (len(kinds) + 1) // 2, q, precision)
    total = torch.zeros_like(q)
    for b in range(len(kinds)):
        for a in range(b + 1):
            total = total + f[a] * f[b] * sums[b * (b + 1) // 2 + a]
    total = total / (len(elements) * mean.square())

    r = qgrid.r_grid(rmin, rmax, rstep)
    g = qgrid.native_curves(total[None], dq, first, r, rstep)[0]
    return g * torch.exp(-0.5 * (qdamp * r).square()) * scale


def _pairs(x: Tensor, cut: float) -> tuple[Tensor, Tensor, Tensor]:
    """First and second atom and distance of all pairs within the cut."""
    i, j = torch.triu_indices(len(x), len(x), 1)
    d = torch.nn.functional.pdist(x)
    if len(d) and float(d.detach().min()) < TOUCHING:
        at = int(d.argmin())
        raise CbldmError(
            f"atoms {int(i[at])} and {int(j[at])} are {float(d.min()):.2g} "
            f"apart; expected at least {TOUCHING:g}: remove the atom "
            "that stands twice at one place."
        )
    near = d <= cut
    return i[near], j[near], d[near]


def _spread(frac: Tensor, order: int) -> Tensor:
    """Spline weights (order, n) of the pieces at 0 <= frac < 1, (n,)."""
    rows = frac.new_tensor(spline(order))
    powers = [torch.ones_like(frac)]
    for _ in range(rows.shape[1] - 1):
        powers.append(powers[-1] * frac)
    return rows @ torch.stack(powers)


def _sums(
    d: Tensor, w: Tensor, code: Tensor, codes: int, q: Tensor, precision: float
) -> Tensor:
    """Return 2 sum_p sin(Q d_p)/d_p exp(-w_p Q^2) by code, (codes, K).

    ``q`` (K,) is k dq from k = 0; ``d``, ``w`` and ``code`` are (P,).
    """
    if not len(d):
        return q.new_zeros(codes, len(q))
    order, angle = pairgrid.spline_order(precision / 5)
    reach = math.pi / float(q[1])
    least = max(reach * float(q[-1]) / angle, len(q), 2 * order)
    bins = fast_length(least)
    step, width = reach / bins, bins + order + 1

    with torch.no_grad():
        least, most = float(w.min()), float(w.max())
    half, count = max((most - least) / 2, 1e-12), 1
    if most > least:
        count = node_count(half * float(q[-1]) ** 2, 0.0, precision / 3)
    if count == TERMS:
        # The widest pairs are few, and would ask for terms without end.
        wide = w > least + half
        rest = _sums(d[~wide], w[~wide], code[~wide], codes, q, precision)
        few = [
            plain_sum(d[wide & (code == k)], w[wide & (code == k)], q)
            for k in range(codes)
        ]
        return rest + torch.stack(few)
    mid = (most + least) / 2
    grid = q.new_zeros(codes * width, count)
    pieces = torch.arange(order, 0, -1)[:, None]
    for part in torch.arange(len(d)).split(PAIRS):
        terms = [2 / d[part]]
        if count > 1:
            t = (w[part] - mid) / half
            terms.append(terms[0] * t)
        for _ in range(count - 2):
            terms.append(2 * t * terms[-1] - terms[-2])
        place = d[part] / step
        cell = place.detach().floor().clamp(max=bins)
        spread = _spread(place - cell, order)
        index = cell.long() + code[part] * width + pieces
        values = spread[:, :, None] * torch.stack(terms, 1)
        grid = grid.index_add(0, index.reshape(-1), values.reshape(-1, count))
    rows = grid.view(codes, width, count).transpose(1, 2)
    rows = rows.reshape(codes * count, width)
    waves = sine(fold(rows, bins, order), bins, len(q))
    waves = waves / window(q, step, order)

    # Chebyshev coefficients of exp(-w Q^2) from its values at the nodes.
    angles = (torch.arange(count, dtype=q.dtype) + 0.5) * (math.pi / count)
    nodes = torch.exp(-(mid + half * torch.cos(angles))[:, None] * q.square())
    orders = torch.arange(count, dtype=q.dtype)
    turn = torch.cos(orders[:, None] * angles) * (2 / count)
    turn[0] /= 2
    return (waves.view(codes, count, -1) * (turn @ nodes)).sum(1)
