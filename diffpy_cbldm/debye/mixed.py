"""The Debye PDF of one cluster with several elements or widths.

Debye scattering equation with scattering factors f_i(Q)::

    F(Q) = 1/(N <f>^2) sum_{i != j} f_i f_j sin(Q d_ij)/d_ij exp(-w_ij Q^2)
    w_ij = (U_i + U_j)/2 max(0, s(d_ij))

with s of `width_ratio`, f of `scattering`, the sum in `_sums`, and the Q
grid and the transform to G(r) of diffpy.srreal (`qgrid`).  exp(-w Q^2) is
expanded in Chebyshev polynomials of w: each term is one histogram of pairs
per pair of elements, whatever the widths of the atoms, and a Fourier
transform turns the histograms into sums over sin(Q d).  One element with one
U is faster with `pure`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from diffpy_cbldm.debye import chebyshev, form_factors, pairgrid, qgrid
from diffpy_cbldm.debye.arguments import (
    check_least_zero,
    checked_positions,
    numbers,
)
from diffpy_cbldm.debye.conditions import Conditions, Grid, check_curve
from diffpy_cbldm.debye.pair_sums import plain_sum
from diffpy_cbldm.debye.pairgrid import (
    TOUCHING,
    fast_length,
    fold,
    sine,
    spline,
    window,
)
from diffpy_cbldm.debye.widths import end_ratio, width_ratio
from diffpy_cbldm.errors import CbldmError

PAIRS = 1 << 14
"""Pairs worked on at once."""


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
    grid: str = "whole",
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
    grid : {"whole", "native"}
        As for `diffpy_cbldm.debye.pure.debye_pdf`: by default all pairs
        count wherever the range ends; "native" leaves out what diffpy.srreal
        leaves out.
    precision : float, default 1e-10
        Largest deviation from the plain sum, relative to the highest peak.

    Returns
    -------
    (M,) tensor, 1/A^2, on ``debye.r_grid(rmin, rmax, rstep)``.
    Differentiable with respect to positions and u_iso.

    Raises
    ------
    CbldmError
        Wrong shapes, values outside their limits, two atoms at one place,
        an atom without scattering factor, a vanishing mean factor.

    Source: Farrow & Billinge, Acta Cryst. A 65, 232 (2009); Faber & Ziman,
    Phil. Mag. 11, 153 (1965), for the weights; grid rules of libdiffpy 1.4.
    """
    conditions = Conditions(
        u_iso, delta1, delta2, qbroad, qmin, qmax, qdamp, scale
    )
    return evaluate(
        positions,
        elements,
        conditions,
        Grid(rmin, rmax, rstep),
        discretisation=grid,
        stype=stype,
        precision=precision,
    )


def evaluate(
    positions: Tensor,
    elements: Sequence[str],
    conditions: Conditions,
    grid: Grid,
    *,
    discretisation: str = "whole",
    stype: str,
    precision: float,
) -> Tensor:
    """`mixed_pdf`; all conditions but u_iso are numbers."""
    form_factors.check_stype(stype)
    if discretisation not in ("whole", "native"):
        raise CbldmError(
            f"grid is {discretisation!r}; expected 'whole' or 'native': pass "
            "one."
        )
    check_curve(conditions, grid, precision)
    check_least_zero(qdamp=conditions.qdamp, qbroad=conditions.qbroad)
    x, u = _checked(positions, elements, conditions.u_iso)
    law: tuple[Any, ...] = (
        conditions.delta1,
        conditions.delta2,
        conditions.qbroad,
    )
    i, j, d = _pairs(x)
    (cut, dq, first, count, parts), rstep = _q_range(
        u, d, conditions, grid, discretisation
    )
    # The native calculator leaves out pairs; of others none is so long.
    near = d <= cut
    i, j, d = i[near], j[near], d[near]
    q = torch.arange(count, dtype=torch.float64) * dq
    kind, f, mean = scattering(elements, q, stype)

    w = (u[i] + u[j]) / 2 * width_ratio(d, *law).clamp(min=0)
    # Each unordered pair of elements has its own histogram.
    low = torch.minimum(kind[i], kind[j])
    high = torch.maximum(kind[i], kind[j])
    code = high * (high + 1) // 2 + low
    sums = _sums(d, w, code, len(f) * (len(f) + 1) // 2, q, precision)
    total = torch.zeros_like(q)
    for b in range(len(f)):
        for a in range(b + 1):
            total = total + f[a] * f[b] * sums[b * (b + 1) // 2 + a]
    total = total / (len(elements) * mean.square())

    r = grid.points()
    g = qgrid.native_curves(total[None], dq, first, r, rstep, parts)[0]
    fall = (conditions.qdamp * r).square()
    return g * torch.exp(-0.5 * fall) * conditions.scale


def _q_range(
    u: Tensor,
    d: Tensor,
    conditions: Conditions,
    grid: Grid,
    discretisation: str,
) -> tuple[tuple[float, float, int, int, int], float]:
    """The Q grid as `qgrid.whole_range` has it, and the step in r it is for.

    u (N,) in A^2, and d (P,) in A, all distances.
    """
    native = discretisation == "native"
    end = grid.rmax if native else qgrid.whole_end(grid.rmax)
    law: tuple[Any, ...] = (
        conditions.delta1,
        conditions.delta2,
        conditions.qbroad,
    )
    ratio = end_ratio(grid.rmin, end, *law)
    qs: tuple[Any, Any] = conditions.qmin, conditions.qmax
    widest = float(u.detach().max())
    if native:
        given = qgrid.native_range(widest, ratio, *qs, grid.rmax, grid.rstep)
        return (*given, 1), grid.rstep
    longest = float(d.detach().max()) if len(d) else 0.0
    # A coarse grid of r takes its points from a fine curve.
    return (
        qgrid.whole_range(widest, ratio, *qs, grid.rmax, longest),
        min(grid.rstep, qgrid.R_STEP),
    )


def _checked(
    positions: Tensor, elements: Sequence[str], u_iso: float | Tensor
) -> tuple[Tensor, Tensor]:
    """Positions (N, 3) and widths (N,) in float64, or CbldmError."""
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
    return batch[0], numbers("u_iso", u_iso, batch, 0.0)[0]


def scattering(
    elements: Sequence[str], q: Tensor, stype: str
) -> tuple[Tensor, Tensor, Tensor]:
    """Kinds of the atoms, scattering factors of kinds, mean over the atoms.

    (N,) int from 0, (kinds, K) and (K,), at q (K,).
    """
    kinds = sorted(set(elements))
    table = form_factors.factors(kinds, q.numpy(), stype)
    f = torch.as_tensor(np.stack([table[kind] for kind in kinds]))
    kind = torch.tensor([kinds.index(symbol) for symbol in elements])
    atoms = torch.bincount(kind, minlength=len(kinds)).to(f.dtype)
    mean = atoms @ f / len(kind)
    # Neutron scattering lengths have both signs: a mean may be zero.
    if bool((mean.abs() < 1e-6 * f.abs().max()).any()):
        raise CbldmError(
            "the mean scattering factor vanishes, by which G(r) is divided; "
            "expected a composition that scatters: correct the elements."
        )
    return kind, f, mean


def _pairs(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """First and second atom and distance of all pairs."""
    i, j = torch.triu_indices(len(x), len(x), 1)
    d = torch.nn.functional.pdist(x)
    if len(d) and float(d.detach().min()) < TOUCHING:
        at = int(d.argmin())
        raise CbldmError(
            f"atoms {int(i[at])} and {int(j[at])} are {float(d.min()):.2g} "
            f"apart; expected at least {TOUCHING:g}: remove the atom "
            "that stands twice at one place."
        )
    return i, j, d


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
        count = chebyshev.node_count(
            half * float(q[-1]) ** 2, 0.0, precision / 3
        )
    if count == chebyshev.TOO_MANY:
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
    # Parts bound the memory: each pair has order * count values.
    for part in torch.arange(len(d)).split(PAIRS):
        terms = chebyshev.terms(2 / d[part], (w[part] - mid) / half, count)
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

    t, matrix = chebyshev.coefficients(count, q)
    damp = torch.exp(-(mid + half * t)[:, None] * q.square())
    return (waves.view(codes, count, -1) * (matrix @ damp)).sum(1)
