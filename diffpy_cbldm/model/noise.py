"""Standard normal noise of which each sample has a stream of its own."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from array_api_compat import array_namespace, device

from diffpy_cbldm.model.arrays import Array

BLOCK = 16
"""Normal numbers that PyTorch makes at once; of fewer it makes them in
another way."""


class SeededNoise:
    """Standard normal noise, one stream for each sample of a batch.

    So a sample does not depend on which others are drawn beside it.  The
    streams are those of PyTorch's generators on a CPU, to the rounding of
    float32, whatever kind of array holds them.

    Parameters
    ----------
    seed : int
        Of all samples.
    indices : sequence of int
        The number of each sample; with `seed` it gives the stream.
    like : (...) array, 16 numbers or more
        Has the shape of one sample, its type and its device.

    Raises
    ------
    ValueError
        A sample has fewer than 16 numbers.
    """

    def __init__(self, seed: int, indices: Sequence[int], like: Array):
        self.like, self.count = like, math.prod(like.shape)
        if self.count < BLOCK:
            raise ValueError(
                f"samples of {self.count} numbers; expected {BLOCK} or more"
            )
        # PyTorch seeds its Mersenne Twister with the lowest 32 bits.
        self.streams = [
            np.random.RandomState(_mix(seed, i) % 2**32) for i in indices
        ]

    def __call__(self) -> Array:
        """The next (B, ...) of the streams."""
        rows = np.stack([_uniform(s, self.count) for s in self.streams])
        whole = self.count // BLOCK * BLOCK
        noise = rows.copy()
        noise[:, :whole] = _box_muller(rows[:, :whole])
        # A rest goes with the numbers before it, as a block drawn anew.
        if whole < self.count:
            last = np.stack([_uniform(s, BLOCK) for s in self.streams])
            noise[:, -BLOCK:] = _box_muller(last)
        xp = array_namespace(self.like)
        return xp.asarray(
            noise.reshape(-1, *self.like.shape),
            dtype=self.like.dtype,
            device=device(self.like),
        )


def _uniform(stream: np.random.RandomState, count: int) -> np.ndarray:
    """Uniform numbers of [0, 1), (count,) float32, one for each word."""
    words = stream.randint(0, 2**32, count, dtype=np.uint32)
    # As many bits of a word as a float32 holds.
    return (words & (2**24 - 1)).astype(np.float32) * np.float32(2.0**-24)


def _box_muller(uniform: np.ndarray) -> np.ndarray:
    """Normal numbers from uniform ones, (B, 16 n) -> (B, 16 n).

    In each block of 16 the first half gives the radii, the second the
    angles (Box and Muller, 1958).
    """
    halves = uniform.reshape(len(uniform), -1, 2, BLOCK // 2)
    # 1 minus a number of [0, 1) has a logarithm.
    radius = np.sqrt(-2 * np.log(1 - halves[:, :, 0]))
    angle = np.float32(2 * math.pi) * halves[:, :, 1]
    pairs = [radius * np.cos(angle), radius * np.sin(angle)]
    return np.stack(pairs, 2).reshape(uniform.shape)


def _mix(seed: int, index: int) -> int:
    """One 63-bit seed from two numbers."""
    state = np.random.SeedSequence([seed, index]).generate_state(2)
    return int(state[0]) << 31 ^ int(state[1])
