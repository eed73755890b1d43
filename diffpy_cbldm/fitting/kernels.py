"""Compiled sums over the distances of a cluster."""

from __future__ import annotations

import math

import numpy as np

from diffpy_cbldm.compiled import ahead, compiled

LANES = 16
"""So many neighbouring points of Q go through the sum together."""


@ahead(
    "float64[:, ::1], float64[::1], float64[:, ::1], int64[::1], "
    "float64[:, ::1]"
)
@compiled
def sine_sums(turn, fall, columns, starts, out):
    """Sums of damped waves at Q = 0, dQ, 2 dQ, ... for many clusters.

    With k the number of a point of Q, cluster c and its distances s,

        A_i(k) = sum_s a_is sin(k dQ d_s) exp(-k^2 w_s),   i = 0 .. 3
        A_4(k) = sum_s a_4s cos(k dQ d_s) exp(-k^2 w_s)

    Each factor follows from those before it by products alone, so that no
    sine and no exponential is taken in here.

    Parameters
    ----------
    turn : (2, n) array of float64
        sin and cos of dQ d_s, for the distances of all clusters in a row.
    fall : (n,) array of float64
        exp(-w_s).
    columns : (5, n) array of float64
        The factors a_is.
    starts : (C + 1,) array of int64
        Where each cluster begins in the row, and where the last one ends.
    out : (C, 80 blocks) array of float64, zeros
        Changed in place: in each block of `LANES` points, A_0 to A_4.
    """
    # Sine, cosine, decay and its ratio in each lane.  Made in here, the
    # compiler knows that it is no part of `out`.
    room = np.empty(64)
    for c in range(len(starts) - 1):
        sums = out[c]
        for s in range(starts[c], starts[c + 1]):
            # What the inner loops read is taken out of the arrays first, as
            # the compiler cannot know that they do not change.
            sin_one, cos_one = turn[0, s], turn[1, s]
            a0, a1, a2 = columns[0, s], columns[1, s], columns[2, s]
            a3, a4 = columns[3, s], columns[4, s]
            # The first 16 points one by one, exp(-(2k + 1) w) between them;
            # from there on all lanes go 16 points at once.
            sine, cosine, decay, ratio = 0.0, 1.0, 1.0, fall[s]
            square, ahead, ahead_square = ratio * ratio, ratio, ratio
            for _ in range(8):
                ahead *= ahead
            for _ in range(5):
                ahead_square *= ahead_square
            leap = ahead
            for i in range(16):
                room[i] = sine
                room[16 + i] = cosine
                room[32 + i] = decay
                room[48 + i] = leap
                turned = sine * cos_one + cosine * sin_one
                cosine = cosine * cos_one - sine * sin_one
                sine = turned
                decay *= ratio
                ratio *= square
                leap *= ahead_square
            leap_square = ahead * ahead
            for block in range(len(sums) // 80):
                k = 80 * block
                for i in range(16):
                    wave = room[i] * room[32 + i]
                    other = room[16 + i] * room[32 + i]
                    sums[k + i] += a0 * wave
                    sums[k + 16 + i] += a1 * wave
                    sums[k + 32 + i] += a2 * wave
                    sums[k + 48 + i] += a3 * wave
                    sums[k + 64 + i] += a4 * other
                    turned = room[i] * cosine + room[16 + i] * sine
                    room[16 + i] = room[16 + i] * cosine - room[i] * sine
                    room[i] = turned
                    room[32 + i] *= room[48 + i]
                    room[48 + i] *= leap_square


@ahead("float64, float64, float64[::1], float64[::1], float64[:, ::1]")
@compiled
def wave_rows(first, step, points, factors, out):
    """sin(Q r) at even steps of Q, one row for each.

    From one Q to the next by products, which takes a quarter of the time of
    the sines.

    Parameters
    ----------
    first, step : float, 1/A
        Q_k = first + k step.
    points : (n,) array of float64, A
    factors : (K,) array of float64
    out : (K, n) array of float64
        Set to factors_k sin(Q_k r).
    """
    size = len(points)
    wave, other = np.empty(size), np.empty(size)
    turn, along = np.empty(size), np.empty(size)
    for i in range(size):
        wave[i] = math.sin(first * points[i])
        other[i] = math.cos(first * points[i])
        turn[i] = math.sin(step * points[i])
        along[i] = math.cos(step * points[i])
    for k in range(len(factors)):
        factor, row = factors[k], out[k]
        for i in range(size):
            row[i] = factor * wave[i]
            new = wave[i] * along[i] + other[i] * turn[i]
            other[i] = other[i] * along[i] - wave[i] * turn[i]
            wave[i] = new


@ahead(
    "float64, float64, float64[::1], float64[::1], float64[::1], "
    "float64[:, ::1]"
)
@compiled
def damped_waves(first, step, distances, widths, factors, out):
    """Waves of distances with their widths, at even steps of Q.

    Sine and Gaussian go from one Q to the next by products, which takes a
    tenth of the time of their functions.

    Parameters
    ----------
    first, step : float, 1/A
        Q_k = first + k step.
    distances, widths, factors : (S,) arrays; A, A^2 and of any unit
    out : (K, S) array
        Set to factors sin(Q_k d) exp(-widths Q_k^2).
    """
    count, size = out.shape
    wave, other = np.empty(size), np.empty(size)
    turn, along = np.empty(size), np.empty(size)
    fall, ratio, again = np.empty(size), np.empty(size), np.empty(size)
    square, change = first * first, 2 * first * step + step * step
    for i in range(size):
        d, w = distances[i], widths[i]
        wave[i], other[i] = math.sin(first * d), math.cos(first * d)
        turn[i], along[i] = math.sin(step * d), math.cos(step * d)
        fall[i] = factors[i] * math.exp(-w * square)
        # To the next Q: exp(-w (2 Q_k step + step^2)), which has a ratio too.
        ratio[i] = math.exp(-w * change)
        again[i] = math.exp(-2 * w * (step * step))
    for k in range(count):
        row = out[k]
        for i in range(size):
            row[i] = fall[i] * wave[i]
            new = wave[i] * along[i] + other[i] * turn[i]
            other[i] = other[i] * along[i] - wave[i] * turn[i]
            wave[i] = new
            fall[i] *= ratio[i]
            ratio[i] *= again[i]
