"""Pair histograms of clusters, and the curves that follow from them.

`pair_histogram` spreads the distances of clusters over bins, and
`pdf_from_histogram` makes G(r) of the bins, under as many conditions as are
asked for: the pairs are met once.  `SitePairs` counts them faster still where
the atoms stand on the sites of a template.

The sites of a template have few distances: 100 on a cubic lattice, 1500 in a
decahedron.  Clusters that a search makes in turn differ by a few sites, so
that counting the pairs of these is enough.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from array_api_compat import array_namespace, device
from numpy.typing import DTypeLike
from scipy.spatial.distance import cdist

from diffpy_cbldm.debye.arguments import checked_positions
from diffpy_cbldm.debye.batches import padded
from diffpy_cbldm.debye.conditions import Conditions
from diffpy_cbldm.debye.kernels import (
    MOMENTS,
    class_moments,
    pair_moments,
    site_counts,
)
from diffpy_cbldm.debye.pair_blocks import (
    TOUCHING,
    Array,
    arange,
    detached,
    on_cpu,
)
from diffpy_cbldm.debye.pairgrid import (
    chunks,
    fold,
    from_moments,
    pair_grid,
    sine,
    sine_back,
    spline,
    window,
)
from diffpy_cbldm.debye.widths import width_ratio
from diffpy_cbldm.errors import CbldmError

SAME_DISTANCE = 0.001
"""Distances that differ by less, in bond lengths, are counted together, at
their mean: what their spread takes from a peak is far below its own width."""

_AT_ONCE = 1 << 18
"""Moments of pairs that are held at a time: 2 MB."""


class SitePairs:
    """The distances between sites, in classes.

    Parameters
    ----------
    sites : (S, 3) array
    step : float, unit of the sites
    bins, order : int
        Of the histograms, see `diffpy_cbldm.debye.histogram.pair_histogram`.
    """

    def __init__(
        self, sites: np.ndarray, *, step: float, bins: int, order: int
    ):
        self.classes, mean = _classes(sites)
        self.count = len(mean)
        self._grid = step, bins, order
        # Class 0 is each site with itself; what lies beyond the bins does
        # not count.
        t = mean[1:] / step
        self._t = t[t < bins]

    def counts(self, clusters: Sequence[np.ndarray]) -> np.ndarray:
        """How many ordered pairs of each class clusters have.

        Parameters
        ----------
        clusters : sequence of (n,) arrays of int
            Sites, none twice.  Neighbours in the sequence that share most of
            them are counted fast.

        Returns
        -------
        (C, K) array of int; class 0 is each site with itself.
        """
        out = np.zeros((len(clusters), self.count), np.int64)
        if len(clusters):
            sites = np.concatenate(clusters).astype(np.int64)
            state, members = np.zeros((2, len(self.classes)), np.int64)
            site_counts(
                self.classes, sites, _starts(clusters), state, members, out
            )
        return out

    def histograms(self, clusters: Sequence[np.ndarray]) -> np.ndarray:
        """Pair histograms of clusters, (C, bins) float32 array.

        As `diffpy_cbldm.debye.histogram.pair_histogram` makes them.
        """
        counts = self.counts(clusters)
        # Classes stand in the order of their distances: the sums end at the
        # longest one that is there.
        last = int(np.flatnonzero(counts.any(0)).max(initial=0))
        t = self._t[:last]
        cells = 1 + int(t.max(initial=0.0))
        moments = np.zeros((len(clusters), cells, MOMENTS))
        class_moments(counts, t, moments)
        return spread_moments(moments, *self._grid).astype(np.float32)


def _classes(sites: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Classes of distances between sites, `SAME_DISTANCE` wide.

    Returns
    -------
    classes : (S, S) array of uint16
        The class of each pair; 0 is each site with itself.
    mean : (K,) array, unit of the sites
        The mean distance of each class, rising.
    """
    longest = np.linalg.norm(np.ptp(sites, axis=0))
    top = int(longest / SAME_DISTANCE) + 2
    cells = np.empty((len(sites), len(sites)), np.min_scalar_type(top))
    sizes, total = np.zeros(top), np.zeros(top)
    # In parts, as the distances take four times the memory of the classes.
    parts = [slice(k, k + 64) for k in range(0, len(sites), 64)]
    for part in parts:
        d = cdist(sites[part], sites)
        cells[part] = np.rint(d / SAME_DISTANCE)
        flat = cells[part].ravel()
        sizes += np.bincount(flat, minlength=top)
        total += np.bincount(flat, d.ravel(), minlength=top)
    used = np.flatnonzero(sizes)
    number = np.zeros(top, np.uint16)
    number[used] = np.arange(len(used))
    for part in parts:
        cells[part] = number[cells[part]]
    return cells.astype(np.uint16, copy=False), total[used] / sizes[used]


def _starts(clusters: Sequence[np.ndarray]) -> np.ndarray:
    """Where each cluster begins in a row of all, and where the row ends."""
    sizes = [0, *(len(cluster) for cluster in clusters)]
    return np.cumsum(sizes, dtype=np.int64)


def pair_histogram(
    positions: Array,
    lengths: Array | None = None,
    *,
    step: float,
    bins: int,
    order: int = 4,
    chunk: int | None = None,
) -> Array:
    """Spread 1/d of all ordered pairs i != j over bins m * step.

    Parameters
    ----------
    positions : (B, N, 3) array or tensor, any unit
    lengths : (B,) array or tensor of int, optional
    step : float, same unit
        Width of the bins.
    bins : int
        Number of bins; distances beyond bins * step are dropped.
    order : int, default 4
        Order of the B-spline; `pdf_from_histogram` must be told the same.
    chunk : int, optional
        Clusters worked on at once.

    Returns
    -------
    (B, bins) array, or tensor where one is given.  It depends on the
    geometry alone: Q range, stretch, widths and damping come in
    `pdf_from_histogram`.
    """
    positions, lengths = checked_positions(positions, lengths)
    spline(order)
    if not (step > 0 and math.isfinite(step)) or bins < 2 * order:
        raise CbldmError(
            f"step is {step:g} and bins {bins}; expected step > 0 and at "
            f"least {2 * order} bins: cover the largest distance."
        )
    xp = array_namespace(positions)
    followed = getattr(positions, "requires_grad", False)
    if on_cpu(positions) and not followed and order <= MOMENTS:
        clusters = [
            np.asarray(x[:n]) for x, n in zip(positions, lengths.tolist())
        ]
        hist = cluster_histograms(
            clusters, step=step, bins=bins, order=order, dtype=np.float64
        )
        return xp.asarray(hist, dtype=positions.dtype)
    parts = [
        xp.zeros((0, bins), dtype=positions.dtype, device=device(positions))
    ]
    where = [lengths[:0]]
    for part in chunks(positions, lengths, 4 * bins, chunk):
        size = lengths[part]
        grid = pair_grid(
            positions[part, : int(size.max())],
            size,
            None,
            step,
            bins,
            order,
        )
        parts.append(fold(grid, bins, order)[:, :bins])
        where.append(part)
    return xp.concat(parts)[xp.argsort(xp.concat(where))]


def cluster_histograms(
    clusters: Sequence[np.ndarray],
    *,
    step: float,
    bins: int,
    order: int,
    dtype: DTypeLike = np.float32,
) -> np.ndarray:
    """`pair_histogram` of clusters of different sizes.

    Parameters
    ----------
    clusters : sequence of (n, 3) arrays, any unit
    step, bins, order
        As there; an order of at most `MOMENTS`.
    dtype : NumPy type, default float32
        Of the result; sums are taken in double precision.

    Returns
    -------
    (C, bins) array
    """
    out = np.zeros((len(clusters), bins), dtype)
    # The moments of so many clusters stay in the processor's cache.
    count = max(1, _AT_ONCE // (bins * MOMENTS))
    for first in range(0, len(clusters), count):
        part = clusters[first : first + count]
        moments, below = distance_moments(
            part, step, low=TOUCHING / step, high=bins, inverse=True
        )
        if below:
            # The slower way names the atoms in its error.
            pair_grid(*padded(part, np.float64), None, step, bins, order)
        out[first : first + count] = spread_moments(moments, step, bins, order)
    return out


def spread_moments(
    moments: np.ndarray, step: float, bins: int, order: int
) -> np.ndarray:
    """What pairs leave in the bins, from their moments in cells.

    Parameters
    ----------
    moments : (C, cells, MOMENTS) array
        Of pairs, each met once.
    step, bins, order
        As in `pair_histogram`.

    Returns
    -------
    (C, bins) float64 array; each pair counts both ways.
    """
    filled = from_moments(np.moveaxis(moments[:, :, :order], 2, 1))
    grid = np.zeros((len(moments), bins + order + 1))
    np.multiply(filled, 2 / step, out=grid[:, : filled.shape[1]])
    return fold(grid, bins, order)[:, :bins]


def distance_moments(
    clusters: Sequence[np.ndarray],
    step: float,
    *,
    low: float,
    high: float,
    inverse: bool,
) -> tuple[np.ndarray, int]:
    """Sums over the pairs in each cell of distance: see `pair_moments`.

    Parameters
    ----------
    clusters : sequence of (n, 3) arrays, any unit
    step : float, same unit
        Width of a cell.
    low, high : float
        In steps; pairs outside [low, high) are left out.
    inverse : bool
        Whether a pair counts 1/distance (in steps) in place of 1.

    Returns
    -------
    moments : (C, cells, MOMENTS) array
        Cells as far as the clusters reach.
    below : int
        Pairs nearer than `low`.
    """
    flat = np.concatenate(clusters).T.astype(float, order="C")
    starts = _starts(clusters)
    # No pair is longer than the diagonal of the box around its cluster.
    box = np.maximum.reduceat(flat, starts[:-1], axis=1)
    box -= np.minimum.reduceat(flat, starts[:-1], axis=1)
    longest = float(np.sqrt((box**2).sum(0).max()))
    cells = math.ceil(min(longest / step + 1, high))
    out = np.zeros((len(clusters), cells, MOMENTS))
    # As floats alone: for other types the loop would be compiled again.
    ends = float(low), float(min(high, cells))
    every = np.zeros(flat.shape[1])
    below = pair_moments(flat, starts, every, 1 / step, *ends, inverse, out)
    return out, below


def pdf_from_histogram(
    hist: Array,
    lengths: Array,
    conditions: Conditions,
    *,
    step: float,
    order: int = 4,
    rstep_out: float | None = None,
    points: int | None = None,
    padding: int = 1,
) -> Array:
    """Turn histograms of pairs into PDFs, each with its own Q range.

    Parameters
    ----------
    hist : (B, bins) array or tensor
        From `pair_histogram` with the same step and order.
    lengths : (B,) array or tensor of int
        Numbers of atoms.
    conditions : Conditions
        All in the unit of `step`.  One u_iso, delta1, delta2 and qbroad is
        expected for all clusters where the width depends on the distance.
    step : float
        Width of the bins; its unit is the unit of everything here.
    order : int, default 4
    rstep_out : float, optional
        Step of the r grid: step times or divided by a whole number.
    points : int, optional
        Number of points of the r grid; default bins * step / rstep_out.
    padding : int, default 1
        The step in Q is pi / (padding * bins * step).  Cells that a Q limit
        cuts count by their share, an error of the order of dQ; 2 or 4
        lowers it.

    Returns
    -------
    (B, points) array or tensor of G(r) at r = 0, rstep_out, 2 rstep_out, ...
    """
    if hist.ndim != 2 or len(lengths) != len(hist):
        raise CbldmError(
            f"hist has shape {tuple(hist.shape)} and lengths "
            f"{tuple(lengths.shape)}; expected (B, bins) and (B,)."
        )
    xp = array_namespace(hist)
    u_iso, qmin, qmax, qdamp, scale = (
        conditions.of_each(name, hist)[:, None]
        for name in ("u_iso", "qmin", "qmax", "qdamp", "scale")
    )
    if bool((qmin >= qmax).any()):
        bad = int(xp.nonzero(qmin >= qmax)[0][0])
        raise CbldmError(
            f"qmin is {float(qmin[bad]):g} and qmax is {float(qmax[bad]):g} "
            f"at index {bad}; expected qmin < qmax."
        )
    size = padding * hist.shape[1]
    dq = math.pi / (size * step)
    top = float(detached(qmax).max())
    count = math.ceil(top / dq + 0.5) + 1
    if count > size:
        raise CbldmError(
            f"qmax is {top:g}; bins of {step:g} resolve up to "
            f"{math.pi / step:g}: use a smaller step."
        )
    finer, stride = _r_steps(step, rstep_out)
    q = arange(count, hist) * dq
    f = sine(hist, size, count) * xp.exp(-u_iso * xp.square(q))
    f = f + _by_distance(hist, step, q, conditions)
    f = f / window(q, step, order) / xp.astype(lengths, f.dtype)[:, None]
    # Each cell of Q counts by its share inside Qmin..Qmax.
    f = f * (
        ((qmax - q) / dq + 0.5).clip(0, 1) - ((qmin - q) / dq + 0.5).clip(0, 1)
    )
    points = points or hist.shape[1] * finer // stride
    g = sine_back(f, size * finer)[:, : points * stride : stride]
    r = arange(points, hist) * (step * stride / finer)
    fall = xp.exp(-0.5 * xp.square(qdamp * r))
    return g * (2 / math.pi * dq) * fall * scale


def _r_steps(step: float, rstep_out: float | None) -> tuple[int, int]:
    """(n, m): the step of r is that of the bins over n times m."""
    if rstep_out is None:
        return 1, 1
    finer = max(1, round(step / rstep_out))
    stride = max(1, round(rstep_out / step))
    if abs(rstep_out * finer / (step * stride) - 1) > 1e-6:
        raise CbldmError(
            f"rstep_out is {rstep_out:g}; expected the step {step:g} "
            "times or divided by a whole number."
        )
    return finer, stride


def _by_distance(
    hist: Array, step: float, q: Array, conditions: Conditions
) -> Array | float:
    """What widths that depend on the distance add to the sums of sines.

    (B, count), or 0 where they do not.
    """
    xp = array_namespace(hist)
    values = {
        name: conditions.of_each(name, hist)
        for name in ("delta1", "delta2", "qbroad", "u_iso")
    }
    u_iso = values.pop("u_iso")
    law = {name: float(value[0]) for name, value in values.items()}
    if not any(bool(value.any()) for value in values.values()):
        return 0.0
    for name, value in {"u_iso": u_iso, **values}.items():
        if not bool((value == value[:1]).all()):
            raise CbldmError(
                f"{name} differs from cluster to cluster; expected one value "
                "where the width depends on the distance: call once for each."
            )
    near = hist.shape[1]
    if not law["delta1"] and not law["qbroad"]:
        # Beyond, delta2 changes the width by less than 2 %.
        reach = 7 * math.sqrt(abs(law["delta2"]))
        near = min(near, math.ceil(reach / step) + 1)
    d = arange(near, hist)[1:, None] * step
    width = u_iso[:1] * width_ratio(d, **law).clip(min=0)
    q2 = xp.square(q)
    change = xp.exp(-width * q2) - xp.exp(-u_iso[:1] * q2)
    return hist[:, 1:near] @ (xp.sin(q * d) * change)
