"""The Debye PDF of batches of clusters: exact, fast and differentiable.

Debye scattering equation for one element, with the widths of DiffPy::

    F(Q) = (1/N) sum_{i != j} sin(Q d_ij) / d_ij exp(-U Q^2 s(d_ij))
    s(d) = 1 - delta1/d - delta2/d^2 + (qbroad d)^2,  not below 0
    G(r) = (2/pi) int_Qmin^Qmax F(Q) sin(Q r) dQ  scale exp(-(qdamp r)^2/2)

The sum is in `diffpy_cbldm.debye.pair_sums`, s in
`diffpy_cbldm.debye.widths`, the transform to G(r) in `_sampled` and
`_integral`, and the damping in `evaluate`.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from array_api_compat import array_namespace, device

from diffpy_cbldm.debye import quick_sums
from diffpy_cbldm.debye.arguments import (
    Number,
    as_other,
    as_tensor,
    checked_positions,
    numbers,
)
from diffpy_cbldm.debye.conditions import Conditions, Grid, check_curve
from diffpy_cbldm.debye.pair_blocks import Array, detached
from diffpy_cbldm.debye.pair_sums import (
    Pairs,
    Plan,
    direct_sum,
    gather_pairs,
    gridded_sum,
    native_plan,
    near_distances,
)
from diffpy_cbldm.debye.pairgrid import EXACT, chunks, longest_distances
from diffpy_cbldm.debye.qgrid import (
    R_END,
    R_STEP,
    native_curves,
    native_range,
    quadrature,
    whole_end,
    whole_range,
)
from diffpy_cbldm.debye.widths import Widths
from diffpy_cbldm.errors import CbldmError

DISCRETISATIONS = ("whole", "native", "integral")


def debye_pdf(
    positions: Array,
    lengths: Any | None = None,
    *,
    u_iso: Number,
    qmin: float = 0.0,
    qmax: float = 25.0,
    qdamp: Number = 0.0,
    qbroad: Number = 0.0,
    delta1: Number = 0.0,
    delta2: Number = 0.0,
    scale: Number = 1.0,
    stretch: Number = 1.0,
    rmin: float = 0.0,
    rmax: float = 30.0,
    rstep: float = 0.01,
    grid: str = "whole",
    precision: float = 1e-6,
    chunk: int | None = None,
) -> Array:
    """Simulate G(r) of a batch of clusters of one element.

    Parameters
    ----------
    positions : (B, N, 3) array or tensor, angstrom
        Clusters, padded to the longest; float32 or float64.  NumPy arrays,
        or tensors of PyTorch on any device.
    lengths : (B,) array or tensor of int, optional
        Numbers of atoms; default N for all.
    u_iso : float, (B,) or (B, N) of them, A^2
        Mean square displacement; one value per atom takes the direct sum.
    qmin, qmax : float, 1/A, default 0 and 25
    qdamp, qbroad : float or (B,) of them, 1/A, default 0
    delta1, delta2 : float or (B,) of them, A and A^2, default 0
    scale, stretch : float or (B,) of them, default 1
        Factors on G and on the positions.
    rmin, rmax, rstep : float, angstrom, default 0, 30, 0.01
    grid : {"whole", "native", "integral"}
        "native" is the discretisation of diffpy.srreal's
        DebyePDFCalculator, with one Q grid for the batch, chosen by its
        largest widths; pairs beyond its range do not count.  "whole", the
        default, is the same at the range of 30 A for every rmax, and finer
        for particles and ranges beyond: all pairs count, and no curve
        depends on rmax.  "integral" evaluates the integral over Q itself.
    precision : float, default 1e-6
        Largest deviation relative to the highest peak.  Below 1e-11 the sum
        over pairs is done directly.
    chunk : int, optional
        Clusters worked on at once; default: what keeps memory bounded.

    Returns
    -------
    (B, M) array or tensor, as the positions are, 1/A^2
        On `r_grid(rmin, rmax, rstep)`.  Tensors are differentiable with
        respect to positions, u_iso, qdamp, qbroad, delta1, delta2, scale and
        stretch, at the Q grid that the values choose.

    Raises
    ------
    CbldmError
        Wrong shapes, negative or non-finite values, qmin >= qmax, two atoms
        at one place.

    Source: Farrow & Billinge, Acta Cryst. A 65, 232 (2009); grid rules of
    libdiffpy 1.4.
    """
    conditions = Conditions(
        u_iso, delta1, delta2, qbroad, qmin, qmax, qdamp, scale
    )
    # A step on a small tensor takes ten times that on an array.
    bare = None
    if isinstance(stretch, (int, float)) and grid != "integral":
        bare = quick_sums.bare(positions, conditions, precision)
    x: Any = positions if bare is None else bare
    x, lengths = checked_positions(x, lengths)
    g: Any = evaluate(
        stretched(x, stretch),
        lengths,
        conditions,
        Grid(rmin, rmax, rstep),
        discretisation=grid,
        precision=precision,
        chunk=chunk,
    )
    out: Any = g if bare is None else as_tensor(g)
    return out


def stretched(positions: Array, stretch: Number) -> Array:
    """Positions (B, N, 3) times a factor for all or for each cluster."""
    if isinstance(stretch, float) and stretch == 1.0:
        return positions
    factor = numbers("stretch", stretch, positions, 1e-6)
    return positions * factor[:, None, None]


def evaluate(
    positions: Array,
    lengths: Array,
    conditions: Conditions,
    grid: Grid,
    *,
    discretisation: str = "whole",
    precision: float,
    chunk: int | None = None,
    cached: Pairs | None = None,
) -> Array:
    """`debye_pdf` of checked, stretched positions; cached has their pairs."""
    check_curve(conditions, grid, precision)
    if discretisation not in DISCRETISATIONS:
        raise CbldmError(
            f"grid is {discretisation!r}; expected one of "
            f"{', '.join(DISCRETISATIONS)}: pass one."
        )
    if cached is None and discretisation != "integral":
        native = discretisation == "native"
        quick = quick_sums.curves(
            positions, lengths, conditions, grid, native, precision
        )
        if quick is not None:
            return quick
    u, d1, d2, qbroad, qdamp, scale = (
        conditions.of_each(name, positions)
        for name in ("u_iso", "delta1", "delta2", "qbroad", "qdamp", "scale")
    )
    widths = Widths(u, d1, d2, qbroad)
    r, xp = grid.points(), array_namespace(positions)
    if not len(positions):
        # The sum over no positions: gradients go on to them.
        return as_other(np.zeros((0, len(r))), positions) + positions.sum()
    if discretisation == "integral":
        transform = _integral(positions, conditions, grid, precision)
        ways = [(np.arange(len(positions)), transform)]
    else:
        longest = None
        if discretisation != "native":
            longest = (
                longest_distances(positions, lengths, R_END)
                if cached is None or cached.longest is None
                else cached.longest
            )
        ways = _sampled(widths, conditions, grid, r, precision, longest)
    damped = getattr(qdamp, "requires_grad", False) or bool((qdamp != 0).any())
    direct = precision < EXACT or widths.u.ndim == 2
    at = as_other(r, positions)
    out, order = [], []
    for part, transform in _parts(ways, positions, lengths, len(r), chunk):
        size = lengths[part]
        x = positions[part, : int(size.max())]
        q, cut = transform.plan.q, transform.cut
        if direct:
            f = direct_sum(x, size, widths.take(part), cut, q)
        else:
            pairs = cached or Pairs(
                functools.partial(gather_pairs, x, size),
                functools.partial(near_distances, x, size),
            )
            f = gridded_sum(pairs, widths.take(part), cut, transform.plan)
        g = transform.curves(f / as_other(size, f)[:, None])
        if damped:
            g = g * xp.exp(-0.5 * (qdamp[part, None] * at) ** 2)
        out.append(g * scale[part, None])
        order.append(part)
    # Parts come by size: back to the order that was given.
    place, curves = xp.concat(order), xp.concat(out)
    if bool((place[1:] > place[:-1]).all()):
        return curves
    return curves[xp.argsort(place)]


@dataclasses.dataclass(frozen=True)
class _Transform:
    """The way from pairs to F(Q) and on to G(r) that a discretisation has.

    Attributes
    ----------
    plan : Plan
        Q, and bins for distances.
    cut : float, A
        Pairs at larger distances do not count.
    curves : callable
        F(Q) (B, K) -> G(r) (B, M) without damping and scale.
    """

    plan: Plan
    cut: float
    curves: Callable[[Any], Any]


def _parts(
    ways: list[tuple[np.ndarray, _Transform]],
    positions: Array,
    lengths: Array,
    points: int,
    chunk: int | None,
) -> Iterator[tuple[Array, _Transform]]:
    """Clusters that are worked on at once, each lot with its transform."""
    for some, transform in ways:
        extra = 8 * points + 8 * len(transform.plan.q)
        rows = as_other(some, lengths)
        for part in chunks(positions, lengths[rows], extra, chunk):
            yield rows[part], transform


def _sampled(
    widths: Widths,
    conditions: Conditions,
    grid: Grid,
    r: np.ndarray,
    precision: float,
    longest: Array | None,
) -> list[tuple[np.ndarray, _Transform]]:
    """Sums at even steps in Q: clusters (rows of the batch), and the sum.

    As diffpy.srreal does it, one Q grid for all clusters, where no longest
    distances (B,) are given; else by `whole_range`, which divides the steps
    of that grid as far as each cluster needs.
    """
    like: Any = widths.u
    qs: tuple[Any, Any] = conditions.qmin, conditions.qmax
    widest = float(detached(widths.u).max())

    def transform(
        reach: float,
        dq: float,
        first: int,
        count: int,
        parts: int,
        rstep: float,
    ) -> _Transform:
        plan = native_plan(dq, count, precision, like)
        return _Transform(
            plan,
            reach,
            lambda f: native_curves(f, dq, first, r, rstep, parts),
        )

    if longest is None:
        ratio = widths.end_ratio(grid.rmin, grid.rmax)
        native = native_range(widest, ratio, *qs, grid.rmax, grid.rstep)
        shared = transform(*native, 1, grid.rstep)
        return [(np.arange(len(widths.delta1)), shared)]
    ratio = widths.end_ratio(grid.rmin, whole_end(grid.rmax))
    groups: dict[tuple[float, float, int, int, int], list[int]] = {}
    for row, far in enumerate(longest.tolist()):
        # Distances that lie inside share one entry of the cache.
        far = far if far > R_END else 0.0
        given = whole_range(widest, ratio, *qs, grid.rmax, far)
        groups.setdefault(given, []).append(row)
    # A coarse grid of r takes its points from a fine curve.
    rstep = min(grid.rstep, R_STEP)
    return [
        (np.array(rows), transform(*given, rstep))
        for given, rows in groups.items()
    ]


def _integral(
    positions: Array,
    conditions: Conditions,
    grid: Grid,
    precision: float,
) -> _Transform:
    """The integral over Q itself, by Gauss-Legendre quadrature."""
    xp = array_namespace(positions)
    norms = xp.linalg.vector_norm(detached(positions), axis=2)
    far = float(norms.max()) * 2
    # In steps of 4 A, so that few sets of nodes are made for many clusters.
    cut = 4.0 * math.ceil(far / 4 + 0.5)
    qs: tuple[Any, Any] = conditions.qmin, conditions.qmax
    nodes, weights = quadrature(*qs, cut + grid.rmax)
    # Phases of hundreds of radians are taken in double precision.
    double = {"dtype": xp.float64, "device": device(positions)}
    q, r = xp.asarray(nodes, **double), xp.asarray(grid.points(), **double)
    parts = xp.asarray(weights, **double) * (2 / math.pi)
    waves = as_other(xp.sin(q[:, None] * r) * parts[:, None], positions)
    plan = Plan(as_other(q, positions), cut, False, precision)
    return _Transform(plan, cut, lambda f: f @ waves)
