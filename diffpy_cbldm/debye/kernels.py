"""Compiled loops over pairs of atoms and of sites."""

from __future__ import annotations

import math

import numpy as np

from diffpy_cbldm.compiled import ahead, compiled

MOMENTS = 6
"""So many powers are summed by `pair_moments`."""


@ahead(
    "float64[:, ::1], int64[::1], float64[::1], float64, float64, float64, "
    "boolean, float64[:, :, ::1]"
)
@compiled
def pair_moments(x, starts, shares, per_step, low, high, inverse, out):
    """Add up what the pairs of clusters leave in cells of distance.

    With t the distance in steps, each pair i < j adds w f^p to
    ``out[cluster, int(t), p]``, where f = t - int(t) and w is 1/t or 1.  Of a
    cluster that begins with atoms of some share, each of these and any other
    atom make a pair, which counts times the share.

    Parameters
    ----------
    x : (3, n) array of float64
        Positions of all clusters, one after the other.
    starts : (C + 1,) array of int64
        Where each cluster begins in `x`, and where the last one ends.
    shares : (n,) array of float64
        0 for all atoms of a cluster of which all pairs count.
    per_step : float, one over the unit of `x`
    low, high : float
        Pairs with t < low or t >= high are left out.
    inverse : bool
        Whether w is 1/t.
    out : (C, cells, MOMENTS) array of float64, cells >= high
        Changed in place.

    Returns
    -------
    int
        How many pairs had t < low.
    """
    t, per_t = np.empty(x.shape[1]), np.empty(x.shape[1])
    below = 0
    for c in range(len(starts) - 1):
        cells = out[c]
        first, last = starts[c], starts[c + 1]
        xs, ys, zs = x[0, first:last], x[1, first:last], x[2, first:last]
        few = shares[first] > 0
        for i in range(last - first):
            if few and not shares[first + i] > 0:
                break
            xi, yi, zi = xs[i], ys[i], zs[i]
            partners = last - first if few else i
            share = shares[first + i] if few else 1.0
            # Distances first, in a loop that works on several at once.
            for j in range(partners):
                dx, dy, dz = xs[j] - xi, ys[j] - yi, zs[j] - zi
                d = math.sqrt(dx * dx + dy * dy + dz * dz) * per_step
                t[j] = d
                per_t[j] = 1.0 / d
            if few:
                t[i] = high  # no pair of its own
            for j in range(partners):
                d = t[j]
                if d < low:
                    below += 1
                elif d < high:
                    k = int(d)
                    f = d - k
                    w = share * per_t[j] if inverse else share
                    # Written out: products of pairs do not wait in a row.
                    square = f * f
                    w2 = w * square
                    w4 = w2 * square
                    cells[k, 0] += w
                    cells[k, 1] += w * f
                    cells[k, 2] += w2
                    cells[k, 3] += w2 * f
                    cells[k, 4] += w4
                    cells[k, 5] += w4 * f
    return below


@ahead(
    "uint16[:, ::1], int64[::1], int64[::1], int64[::1], int64[::1], "
    "int64[:, ::1]"
)
@compiled
def site_counts(classes, sites, starts, state, members, out):
    """Count the ordered pairs of each class that clusters have.

    A cluster that shares most of its sites with the one before it is counted
    by what changed.

    Parameters
    ----------
    classes : (S, S) array of uint16
        The class of each pair of sites, symmetric; 0 on the diagonal.
    sites : (n,) array of int64
        Of all clusters, one after the other; none twice in one cluster.
    starts : (C + 1,) array of int64
        Where each cluster begins in `sites`, and where the last one ends.
    state : (S,) array of int64, zeros
    members : (S,) array of int64
        Room to work in: 2 for a site that is counted, and 1 more for one that
        is to be; the sites that are counted.
    out : (C, K) array of int64, zeros
        Changed in place.
    """
    size = 0
    for c in range(len(starts) - 1):
        first, last = starts[c], starts[c + 1]
        for i in range(first, last):
            state[sites[i]] += 1
        kept = 0  # the first members are those that stay
        for i in range(size):
            site = members[i]
            if state[site] == 3:
                members[i] = members[kept]
                members[kept] = site
                kept += 1
        if 2 * (size + last - first - 2 * kept) < last - first:
            for k in range(out.shape[1]):
                out[c, k] = out[c - 1, k]
            for i in range(size - 1, kept - 1, -1):
                out[c, 0] -= 1
                for j in range(i):
                    out[c, classes[members[i], members[j]]] -= 2
        else:
            kept = 0
        for i in range(kept, size):
            state[members[i]] -= 2
        size = kept
        for i in range(first, last):
            site = sites[i]
            state[site] -= 1
            if state[site] == 0:
                state[site] = 2
                out[c, 0] += 1
                for j in range(size):
                    out[c, classes[site, members[j]]] += 2
                members[size] = site
                size += 1


@ahead("int64[:, ::1], float64[::1], float64[:, :, ::1]")
@compiled
def class_moments(counts, t, out):
    """`pair_moments` of clusters whose pairs are counted by classes.

    Parameters
    ----------
    counts : (C, K) array of int64
        From `site_counts`: each pair counts twice, class 0 is left out.
    t : (k,) array of float64, k < K
        Distances of the classes 1 .. k in steps, rising.
    out : (C, cells, MOMENTS) array of float64, cells > t
        Changed in place.
    """
    for c in range(len(counts)):
        for i in range(len(t)):
            number = counts[c, i + 1]
            if number:
                k = int(t[i])
                f = t[i] - k
                w = 0.5 * number / t[i]
                for p in range(MOMENTS):
                    out[c, k, p] += w
                    w *= f
