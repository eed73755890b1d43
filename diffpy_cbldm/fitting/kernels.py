"""Compiled sums over the distances of a cluster."""

from __future__ import annotations

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
