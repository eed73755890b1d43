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
from array_api_compat import (
    array_namespace,
    device,
    is_numpy_array,
    is_torch_array,
)

from diffpy_cbldm.debye import (
    chebyshev,
    form_factors,
    pairgrid,
    qgrid,
    sum_kernels,
)
from diffpy_cbldm.debye.arguments import (
    Number,
    as_other,
    check_least_zero,
    checked_positions,
    converted,
    numbers,
    one_number,
)
from diffpy_cbldm.debye.conditions import Conditions, Grid, check_curve
from diffpy_cbldm.debye.pair_blocks import (
    TOUCHING,
    Array,
    arange,
    detached,
)
from diffpy_cbldm.debye.pair_sums import distances, plain_sum
from diffpy_cbldm.debye.pairgrid import (
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
    positions: Array,
    elements: Sequence[str],
    *,
    u_iso: Number,
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
) -> Array:
    """Simulate G(r) of a cluster of any elements, X-ray or neutron.

    Parameters
    ----------
    positions : (N, 3) array or tensor, angstrom
    elements : N str
        Symbols as in diffpy, such as "Cd" or "Cd2+".
    u_iso : float or (N,) array or tensor, A^2
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
    (M,) array or tensor of float64, as the positions are, 1/A^2, on
    ``debye.r_grid(rmin, rmax, rstep)``.  Tensors are differentiable with
    respect to positions and u_iso.

    Raises
    ------
    CbldmError
        Wrong shapes, values outside their limits, two atoms at one place,
        an atom without scattering factor, a vanishing mean factor.

    Source: Farrow & Billinge, Acta Cryst. A 65, 232 (2009); Faber & Ziman,
    Phil. Mag. 11, 153 (1965), for the weights; grid rules of libdiffpy 1.4.
    """
    plain = {
        "delta1": delta1,
        "delta2": delta2,
        "qbroad": qbroad,
        "qdamp": qdamp,
        "scale": scale,
    }
    each = {name: one_number(name, value) for name, value in plain.items()}
    conditions = Conditions(u_iso, qmin=qmin, qmax=qmax, **each)
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
    positions: Array,
    elements: Sequence[str],
    conditions: Conditions,
    grid: Grid,
    *,
    discretisation: str = "whole",
    stype: str,
    precision: float,
) -> Array:
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
    xp, (i, j, d) = array_namespace(x), _pairs(x)
    (cut, dq, first, count, parts), rstep = _q_range(
        u, d, conditions, grid, discretisation
    )
    # The native calculator leaves out pairs; of others none is so long.
    near = d <= cut
    i, j, d = i[near], j[near], d[near]
    q = arange(count, x) * dq
    kinds, factors, mean = scattering(elements, np.arange(count) * dq, stype)
    f, kind = as_other(factors, x), xp.asarray(kinds, device=device(x))

    w = (u[i] + u[j]) / 2 * xp.clip(width_ratio(d, *law), min=0.0)
    # Each unordered pair of elements has its own histogram.
    low = xp.minimum(kind[i], kind[j])
    high = xp.maximum(kind[i], kind[j])
    code = high * (high + 1) // 2 + low
    sums = _sums(d, w, code, len(f) * (len(f) + 1) // 2, q, precision)
    total = xp.zeros_like(q)
    for b in range(len(f)):
        for a in range(b + 1):
            total = total + f[a] * f[b] * sums[b * (b + 1) // 2 + a]
    total = total / as_other(len(elements) * mean**2, x)

    r = grid.points()
    g = qgrid.native_curves(total[None], dq, first, r, rstep, parts)[0]
    fall = conditions.scale * np.exp(-0.5 * (conditions.qdamp * r) ** 2)
    return g * as_other(fall, x)


def _q_range(
    u: Array,
    d: Array,
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
    widest = float(detached(u).max())
    if native:
        cut, dq, first, count = qgrid.native_range(
            widest, ratio, *qs, grid.rmax, grid.rstep
        )
        return (cut, dq, first, count, 1), grid.rstep
    longest = float(detached(d).max()) if len(d) else 0.0
    # A coarse grid of r takes its points from a fine curve.
    return (
        qgrid.whole_range(widest, ratio, *qs, grid.rmax, longest),
        min(grid.rstep, qgrid.R_STEP),
    )


def _checked(
    positions: Array, elements: Sequence[str], u_iso: Number
) -> tuple[Array, Array]:
    """Positions (N, 3) and widths (N,) in float64, or CbldmError."""
    batch: Any = positions
    if is_numpy_array(positions) or is_torch_array(positions):
        # Whole numbers serve, too.
        xp = array_namespace(positions)
        batch = xp.astype(positions, xp.float64, copy=False)[None]
    batch, _ = checked_positions(batch, None)
    if len(elements) != batch.shape[1]:
        raise CbldmError(
            f"positions has shape {tuple(positions.shape)} for "
            f"{len(elements)} elements; expected (N, 3) and one symbol for "
            "each atom."
        )
    xp, u = array_namespace(batch), converted("u_iso", u_iso, batch)
    if u.shape not in ((), (len(elements),)):
        raise CbldmError(
            f"u_iso has shape {tuple(u.shape)}; expected one number or "
            f"({len(elements)},), one for each atom."
        )
    u = xp.broadcast_to(u, (1, len(elements)))
    return batch[0], numbers("u_iso", u, batch, 0.0)[0]


def scattering(
    elements: Sequence[str], q: np.ndarray, stype: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Kinds of the atoms, scattering factors of kinds, mean over the atoms.

    (N,) int from 0, (kinds, K) and (K,), at q (K,).
    """
    kinds = sorted(set(elements))
    table = form_factors.factors(kinds, q, stype)
    f = np.stack([table[kind] for kind in kinds])
    kind = np.array([kinds.index(symbol) for symbol in elements])
    mean = np.bincount(kind, minlength=len(kinds)) @ f / len(kind)
    # Neutron scattering lengths have both signs: a mean may be zero.
    if (np.abs(mean) < 1e-6 * np.abs(f).max()).any():
        raise CbldmError(
            "the mean scattering factor vanishes, by which G(r) is divided; "
            "expected a composition that scatters: correct the elements."
        )
    return kind, f, mean


def _pairs(x: Array) -> tuple[Any, Any, Array]:
    """First and second atom and distance of all pairs, none at one place."""
    i, j, d = distances(x)
    shortest = float(detached(d).min()) if len(d) else math.inf
    if shortest < TOUCHING:
        at = int(detached(d).argmin())
        raise CbldmError(
            f"atoms {int(i[at])} and {int(j[at])} are {shortest:.2g} "
            f"apart; expected at least {TOUCHING:g}: remove the atom "
            "that stands twice at one place."
        )
    return i, j, d


def _in_bins(
    d: Array, t: Array, code: Any, out: Array, step: float, order: int
) -> Array:
    """Spread 2/d T_m(t) of pairs (P,) over bins, by code.

    Parameters
    ----------
    d, t, code : (P,) arrays or tensors
    out : (codes, bins + order + 1, M), zeros
        Column c stands for the distance (c - order/2) * step.  An array is
        changed in place.
    step : float, A
    order : int
        Of the spline.
    """
    if not isinstance(out, np.ndarray):
        return _in_bins_of_tensor(d, t, code, out, step, order)
    pieces = np.array(spline(order))
    for k, bins in enumerate(out):
        mine = code == k
        few = d[mine], np.ones(mine.sum()), t[mine]
        # No transform of a spline is divided out: any spacing serves.
        sum_kernels.spread_widths(
            *few, step, pieces, 1.0, 0, bins[order // 2 :]
        )
    return out


def _in_bins_of_tensor(
    d: Any, t: Any, code: Any, out: Any, step: float, order: int
) -> Any:
    """`_in_bins` of tensors, with their gradients."""
    xp = array_namespace(d)
    codes, width, count = out.shape
    rows = xp.asarray(spline(order), dtype=d.dtype, device=device(d))
    pieces = xp.arange(order, 0, -1, device=device(d))[:, None]
    flat = out.reshape(-1, count)
    # Parts bound the memory: each pair has order * count values.
    for k in range(0, len(d), PAIRS):
        part = slice(k, k + PAIRS)
        place = d[part] / step
        cell = xp.clip(xp.floor(detached(place)), max=width - order - 1)
        powers = [xp.ones_like(place)]
        for _ in range(order - 1):
            powers.append(powers[-1] * (place - cell))
        spread = rows @ xp.stack(powers)
        terms = xp.stack(chebyshev.terms(2 / d[part], t[part], count), axis=1)
        index = xp.astype(cell, xp.int64) + code[part] * width + pieces
        values = (spread[:, :, None] * terms).reshape(-1, count)
        flat = flat.index_add(0, index.reshape(-1), values)
    return flat.reshape(codes, width, count)


def _sums(
    d: Array, w: Array, code: Any, codes: int, q: Array, precision: float
) -> Array:
    """Return 2 sum_p sin(Q d_p)/d_p exp(-w_p Q^2) by code, (codes, K).

    ``q`` (K,) is k dq from k = 0; ``d``, ``w`` and ``code`` are (P,).
    """
    xp = array_namespace(q)
    if not len(d):
        return as_other(np.zeros((codes, len(q))), q)
    order, angle = pairgrid.spline_order(precision / 5)
    reach = math.pi / float(q[1])
    least = max(reach * float(q[-1]) / angle, len(q), 2 * order)
    bins = fast_length(least)
    step = reach / bins

    narrow, most = float(detached(w).min()), float(detached(w).max())
    half, count = max((most - narrow) / 2, 1e-12), 1
    if most > narrow:
        count = chebyshev.node_count(
            half * float(q[-1]) ** 2, 0.0, precision / 3
        )
    if count == chebyshev.TOO_MANY:
        # The widest pairs are few, and would ask for terms without end.
        wide = w > narrow + half
        rest = _sums(d[~wide], w[~wide], code[~wide], codes, q, precision)
        few = [
            plain_sum(d[wide & (code == k)], w[wide & (code == k)], q)
            for k in range(codes)
        ]
        return rest + xp.stack(few)
    mid = (most + narrow) / 2
    empty = as_other(np.zeros((codes, bins + order + 1, count)), q)
    grid = _in_bins(d, (w - mid) / half, code, empty, step, order)
    rows = xp.permute_dims(grid, (0, 2, 1)).reshape(codes * count, -1)
    waves = sine(fold(rows, bins, order), bins, len(q))
    waves = waves / window(q, step, order)

    t, matrix = chebyshev.coefficients(count, q)
    damp = xp.exp(-(mid + half * t)[:, None] * q**2)
    waves = waves.reshape(codes, count, -1)
    return xp.sum(waves * (matrix @ damp), axis=1)
