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

import functools
import math
from collections.abc import Sequence

import numpy as np
import torch
from scipy.fft import next_fast_len
from torch import Tensor

from diffpy_cbldm import debye, scattering
from diffpy_cbldm.errors import CbldmError

TOUCHING = 1e-4
"""Atoms closer than this (A) are an error."""

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
    scattering.check_stype(stype)
    u = _check(positions, elements, u_iso, qmin, qmax, rmin, rmax, rstep)
    for name, value in (("qdamp", qdamp), ("qbroad", qbroad)):
        if not value >= 0:
            raise CbldmError(
                f"{name} is {value:g}; expected at least 0: correct {name}."
            )
    ratio = max(
        1 - delta1 / d - delta2 / d**2 + (qbroad * d) ** 2
        for d in (max(rmin, 1e-9), rmax)
    )
    cut, dq, first, count = debye.native_range(
        float(u.detach().max()), ratio, qmin, qmax, rmax, rstep
    )
    q = torch.arange(count, dtype=torch.float64) * dq
    kinds = sorted(set(elements))
    table = scattering.factors(kinds, q.numpy(), stype)
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

    r = debye.r_grid(rmin, rmax, rstep)
    g = debye._native_curves(total[None], dq, first, r, rstep)[0]
    return g * torch.exp(-0.5 * (qdamp * r).square()) * scale


def _check(
    positions: Tensor,
    elements: Sequence[str],
    u_iso: float | Tensor,
    qmin: float,
    qmax: float,
    rmin: float,
    rmax: float,
    rstep: float,
) -> Tensor:
    """Check the arguments and return U of each atom, (N,)."""
    n = len(elements)
    if n < 1 or positions.shape != (n, 3):
        raise CbldmError(
            f"positions has shape {tuple(positions.shape)} for {n} elements; "
            "expected (N, 3) and one symbol for each atom."
        )
    if not bool(torch.isfinite(positions).all()):
        raise CbldmError(
            "positions hold NaN or infinite values; expected finite "
            "numbers: check how the cluster was made."
        )
    u = torch.as_tensor(u_iso, dtype=torch.float64)
    if u.shape not in ((), (n,)):
        raise CbldmError(
            f"u_iso has shape {tuple(u.shape)}; expected one number or "
            f"({n},), one for each atom."
        )
    if not bool((torch.isfinite(u) & (u >= 0)).all()):
        raise CbldmError(
            f"u_iso runs from {float(u.min()):g} to {float(u.max()):g}; "
            "expected finite values of at least 0: correct u_iso."
        )
    for name, low, high in (("q", qmin, qmax), ("r", rmin, rmax)):
        if not 0 <= low < high < math.inf:
            raise CbldmError(
                f"{name}min is {low:g} and {name}max is {high:g}; expected "
                f"0 <= {name}min < {name}max: exchange or correct them."
            )
    if not 0 < rstep <= rmax:
        raise CbldmError(
            f"rstep is {rstep:g}; expected more than 0 and at most rmax: "
            "pass rstep=0.01."
        )
    return u.expand(n)


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


@functools.cache
def _spline(order: int) -> list[list[float]]:
    """Polynomials of the cardinal B-spline, one row per unit interval."""
    from scipy.interpolate import BSpline, PPoly

    spline = BSpline.basis_element(np.arange(order + 1.0))
    pieces = PPoly.from_spline(spline)
    left = pieces.x[:-1]
    real = (np.diff(pieces.x) > 0) & (left >= 0) & (left < order)
    return pieces.c[::-1, real].T.tolist()


def _spread(frac: Tensor, order: int) -> Tensor:
    """Spline weights (order, n) of the pieces at 0 <= frac < 1, (n,)."""
    rows = frac.new_tensor(_spline(order))
    powers = [torch.ones_like(frac)]
    for _ in range(rows.shape[1] - 1):
        powers.append(powers[-1] * frac)
    return rows @ torch.stack(powers)


def _resolution(precision: float) -> tuple[int, float]:
    """Spline order, and the largest Q times bin width.

    The aliasing error of the bins falls as (a / (2 pi - a))^order, a = Q h.
    """
    order = 4 if precision >= 3e-5 else 6 if precision >= 3e-8 else 8
    leak = (precision / 20) ** (1 / order)
    return order, 2 * math.pi * leak / (1 + leak)


def _term_count(rate: float, precision: float) -> int:
    """Chebyshev terms of exp(-c (1 + x)), |x| <= 1, for all c <= rate.

    The coefficients are 2 exp(-c) I_n(c); their envelope over c grows with
    c as long as c < n^2.
    """
    from scipy.special import ive

    count = 2
    while count < 200 and ive(count, rate) > precision / 20:
        count += 1
    return count


def _transform(grid: Tensor, order: int, count: int) -> Tensor:
    """Sine transform of bins (n, bins + order + 1) at k < count, (n, count).

    Column c stands at c - order/2; what lies outside 0..bins is reflected,
    since sin is odd about both ends.
    """
    o = order // 2
    bins = grid.shape[1] - order - 1
    body = grid[:, o : o + bins + 1].clone()
    body[:, 1 : o + 1] -= grid[:, :o].flip(1)
    body[:, bins - o : bins] -= grid[:, bins + o + 1 :].flip(1)
    return -torch.fft.rfft(body, n=2 * bins)[:, :count].imag


def _sums(
    d: Tensor, w: Tensor, code: Tensor, codes: int, q: Tensor, precision: float
) -> Tensor:
    """Return 2 sum_p sin(Q d_p)/d_p exp(-w_p Q^2) by code, (codes, K).

    ``q`` (K,) is k dq from k = 0; ``d``, ``w`` and ``code`` are (P,).
    """
    if not len(d):
        return q.new_zeros(codes, len(q))
    order, angle = _resolution(precision)
    reach = math.pi / float(q[1])
    bins = max(math.ceil(reach * float(q[-1]) / angle), len(q), 2 * order)
    bins = next_fast_len(bins)
    step, width = reach / bins, bins + order + 1

    with torch.no_grad():
        least, most = float(w.min()), float(w.max())
    mid, half = (most + least) / 2, max((most - least) / 2, 1e-12)
    count = 1
    if most > least:
        count = _term_count(half * float(q[-1]) ** 2, precision)
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
    waves = _transform(rows, order, len(q))
    waves = waves / torch.sinc(q * (step / (2 * math.pi))) ** order

    # Chebyshev coefficients of exp(-w Q^2) from its values at the nodes.
    angles = (torch.arange(count, dtype=q.dtype) + 0.5) * (math.pi / count)
    nodes = torch.exp(-(mid + half * torch.cos(angles))[:, None] * q.square())
    orders = torch.arange(count, dtype=q.dtype)
    turn = torch.cos(orders[:, None] * angles) * (2 / count)
    turn[0] /= 2
    return (waves.view(codes, count, -1) * (turn @ nodes)).sum(1)
