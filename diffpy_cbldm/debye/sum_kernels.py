"""The inner loops of the Debye sum, compiled (`diffpy_cbldm.compiled`).

A sine transform of n points is a real Fourier transform of n points between
two short loops, after Cooley, Lewis and Welch, J. Sound Vib. 12, 315
(1970)::

    y_j = sin(pi j / n) (x_j + x_(n-j)) + (x_j - x_(n-j)) / 2
    S_2k = -Im Y_k,  S_(2k+1) = S_(2k-1) + Re Y_k,  S_1 = Re Y_0 / 2

for S_k = sum_j x_j sin(pi j k / n), 0 < j < n, with Y the transform of y.
The loops here stand before, between and after two such transforms: pairs to
bins (`spread_pairs`), F(Q) (`between_transforms`) and G(r) (`sampled`).
Arrays of floats are float64.
"""

from __future__ import annotations

import math

import numpy as np

from diffpy_cbldm.compiled import ahead, compiled


@ahead("float64[::1], float64[::1], float64[::1]")
@compiled
def begin(terms, sines, out):
    """Set out (n,) to the y_j above of terms (n + 1,)."""
    n = len(sines)
    out[0] = 0.0
    for j in range(1, n):
        a, z = terms[j], terms[n - j]
        out[j] = sines[j] * (a + z) + 0.5 * (a - z)


@ahead(
    "float64[:, :, ::1], int64[::1], float64, float64[:, ::1], "
    "float64[::1], float64[:, ::1], float64[::1]"
)
@compiled
def spread_pairs(x, lengths, step, pieces, sines, out, longest):
    """Spread 2/d of all pairs over bins, and begin a sine transform.

    Parameters
    ----------
    x : (B, N, 3) array, A
        Positions.
    lengths : (B,) array of int64
        Numbers of atoms.
    step : float, A
        Width of a bin.
    pieces : (p, p) array
        The spline of `pairgrid.spline`.
    sines : (n,) array
        sin(pi j / n), for n bins.
    out : (B, n) array
        Set to the y_j above.
    longest : (B,) array, A
        Set to the longest distances.

    Returns
    -------
    shortest : float, A
        Distance, of all clusters.
    """
    n, order = len(sines), len(pieces)
    # Within a bin the spline is a polynomial of the fraction f: the pairs
    # leave the sums of 2/d f^k, and what is beyond the bins goes to the last.
    cells, bins = np.empty((n + 1, order)), np.empty(n + 1)
    cells[:], bins[n] = 0.0, 0.0
    square = np.empty(x.shape[1])
    least, inverse = math.inf, 1.0 / step
    for b in range(len(x)):
        most = 0.0
        for i in range(1, lengths[b]):
            # The distances first: that loop runs in wide registers.
            for j in range(i):
                dx = x[b, i, 0] - x[b, j, 0]
                dy = x[b, i, 1] - x[b, j, 1]
                dz = x[b, i, 2] - x[b, j, 2]
                square[j] = dx * dx + dy * dy + dz * dz
            for j in range(i):
                d = math.sqrt(square[j])
                least, most = min(least, d), max(most, d)
                t = d * inverse
                cell = int(min(t, float(n)))
                f = t - cell
                value = 2.0 / d
                for k in range(order):
                    cells[cell, k] += value
                    value *= f
        longest[b], bins[:] = most, 0.0
        for cell in range(n):
            if cells[cell, 0] == 0.0:
                continue
            for j in range(order):
                value = 0.0
                for k in range(order):
                    value += pieces[j, k] * cells[cell, k]
                # A sine is odd about both ends.
                m = cell + order // 2 - j
                if m < 0:
                    bins[-m] -= value
                elif m > n:
                    bins[2 * n - m] -= value
                else:
                    bins[m] += value
        cells[:] = 0.0
        begin(bins, sines, out[b])
    return least


@ahead(
    "complex128[:, ::1], float64[::1], int64[::1], float64[::1], "
    "float64[::1], float64[::1], float64[:, ::1]"
)
@compiled
def between_transforms(waves, u, lengths, squared, weights, sines, out):
    """End one sine transform, and begin the next.

    Parameters
    ----------
    waves : (B, n/2 + 1) array of complex128
        The Y_k above of bins.
    u : (B,) array, A^2
        The width of all peaks.
    lengths : (B,) array of int64
        Numbers of atoms.
    squared : (K,) array
        Q^2, 1/A^2.
    weights : (K,) array
        What makes terms of the sum over Q of the S_k, but for u and N.
    sines : (m,) array
        sin(pi j / m), for m terms.
    out : (B, m) array
        Set to the y_j above of the terms.
    """
    count, m = len(squared), len(sines)
    terms = np.empty(m + 1)
    terms[:] = 0.0
    for b in range(len(waves)):
        odd = -0.5 * waves[b, 0].real
        for k in range(count):
            wave = waves[b, k // 2]
            if k % 2:
                odd += wave.real
            damp = math.exp(-u[b] * squared[k]) / lengths[b]
            terms[k] = (odd if k % 2 else -wave.imag) * weights[k] * damp
        begin(terms, sines, out[b])


@ahead(
    "complex128[:, ::1], float64[::1], float64, float64[::1], "
    "float64[::1], float64[:, ::1]"
)
@compiled
def sampled(waves, r, per_step, fall, scale, out):
    """End a sine transform, and take G(r) between its points.

    Parameters
    ----------
    waves : (B, m/2 + 1) array of complex128
        The Y_k above of the sum over Q.
    r : (M,) array, A
    per_step : float, 1/A
        Points of the transform in 1 A; they reach beyond all r.
    fall, scale : (B,) array, 1/A and 1
        G is multiplied with scale exp(-(fall r)^2 / 2).
    out : (B, M) array
        Set to G(r).
    """
    m = 2 * (waves.shape[1] - 1)
    curve = np.empty(m + 1)
    curve[m] = 0.0
    for b in range(len(waves)):
        odd = -0.5 * waves[b, 0].real
        for k in range(m // 2):
            odd += waves[b, k].real
            curve[2 * k] = -waves[b, k].imag
            curve[2 * k + 1] = odd
        for i in range(len(r)):
            place = min(r[i] * per_step, m - 1.0)
            left = int(place)
            value = curve[left]
            value += (place - left) * (curve[left + 1] - value)
            if fall[b] != 0.0:
                width = fall[b] * r[i]
                value *= math.exp(-0.5 * (width * width))
            out[b, i] = scale[b] * value


@compiled
def _weights(pieces, f, out):
    """Set out (p,) to the spline about a fraction f of a step."""
    order = len(pieces)
    for p in range(order):
        out[p] = pieces[p, order - 1]
    for k in range(order - 2, -1, -1):
        for p in range(order):
            out[p] = out[p] * f + pieces[p, k]


@ahead(
    "float64[::1], float64[::1], float64[::1], float64, float64[:, ::1], "
    "float64, int64, float64[:, ::1]"
)
@compiled
def spread_widths(distances, pairs, t, step, pieces, spacing, power, bins):
    """Spread 2/d T_m(t) of all pairs over bins.

    Parameters
    ----------
    distances, pairs : (S,) arrays, A and 1
        Distances, and how many pairs have each.
    t : (S,) array
        Where 1/d^2 lies between its ends, from -1 to 1.
    step : float, A
        Width of a bin.
    pieces : (p, p) array
        The spline of `pairgrid.spline`.
    spacing : float, 1/A
    power : int
        Each pair is divided by the transform of the spline of that order
        over steps of Q, sinc(d spacing / 2)^power.
    bins : (n, M) array
        To which T_m, m < M, of each pair is added; beyond all distances.
    """
    order, count = len(pieces), bins.shape[1]
    terms, spread = np.empty(count), np.empty(order)
    inverse = 1.0 / step
    for i in range(len(distances)):
        d = distances[i]
        cell = int(d * inverse)
        f = d * inverse - cell
        angle = 0.5 * d * spacing
        terms[0] = pairs[i] * 2.0 / d * (angle / math.sin(angle)) ** power
        if count > 1:
            terms[1] = t[i] * terms[0]
        for m in range(2, count):
            terms[m] = 2.0 * t[i] * terms[m - 1] - terms[m - 2]
        _weights(pieces, f, spread)
        for p in range(order):
            row = cell + order // 2 - p
            # A sine is odd.
            value = spread[p] if row >= 0 else -spread[p]
            row = abs(row)
            for m in range(count):
                bins[row, m] += value * terms[m]


@ahead(
    "float64[:, ::1], float64[:, ::1], float64[::1], float64, "
    "float64[::1], float64[::1], float64[::1], float64[::1]"
)
@compiled
def sum_widths(table, pieces, places, u, ratios, squared, weights, terms):
    """Sum what a table has between its rows over its widths.

    Parameters
    ----------
    table : (rows, M) array
        Sums over sin(Q d) / d at even steps of Q, from -p/2 steps on, of the
        pairs of each of M widths; coefficients of splines.
    pieces : (p, p) array
        The spline of `pairgrid.spline`.
    places : (K,) array
        Where Q lies, in steps.
    u : float, A^2
    ratios : (M,) array
        The factor s of each width.
    squared : (K,) array, 1/A^2
        Q^2.
    weights : (K,) array
        Factors of the terms.
    terms : (K,) array
        Set to the sums of exp(-u s Q^2) times the table.
    """
    order, count = len(pieces), len(ratios)
    sums, spread = np.empty(count), np.empty(order)
    for k in range(len(places)):
        left = int(places[k])
        _weights(pieces, places[k] - left, spread)
        sums[:] = 0.0
        for p in range(order):
            row = left + order - p
            for m in range(count):
                sums[m] += spread[p] * table[row, m]
        total = 0.0
        for m in range(count):
            total += sums[m] * math.exp(-u * ratios[m] * squared[k])
        terms[k] = total * weights[k]
