"""Functions of a smooth variable as sums of Chebyshev polynomials.

On lowest <= x <= highest, with t = (x - middle) / half running from -1 to 1::

    f(x) = sum_m a_m T_m(t),  T_m(t) = 2 t T_(m-1)(t) - T_(m-2)(t)
    a_m  = (2 / M) sum_j f(x_j) cos(m phi_j),  phi_j = pi (j + 1/2) / M

with half of that for m = 0: `coefficients` has x_j and the cosines, `terms`
the T_m, and `node_count` the M that exp(-c x) needs.
"""

from __future__ import annotations

import functools
import math

from array_api_compat import array_namespace

from diffpy_cbldm.debye.pair_blocks import Array, arange

TOO_MANY = 200
"""So many terms and more cost more than the plain sum over pairs."""


def node_count(exponent: float, base: float, precision: float) -> int:
    """Terms M that exp(-c (base + 1 + t)), |t| <= 1, needs for c <= exponent.

    `TOO_MANY` where there are that many or more.
    """
    # Rounded to the safe side, so that a fit asks for few distinct counts
    # and most are remembered.
    if exponent > 1e-12:
        exponent = 1.02 ** math.ceil(math.log(exponent, 1.02))
    return _node_count(exponent, math.floor(50 * base) / 50, precision)


@functools.lru_cache(maxsize=1024)
def _node_count(exponent: float, base: float, precision: float) -> int:
    """As `node_count`.

    The coefficients are 2 exp(-c (base + 1)) I_n(c), and the Bessel function
    I_n(c) <= (c/2)^n / n! exp(c^2 / 4 / (n + 1)) as well as exp(c).
    """
    rates = [max(exponent, 1e-12) * (k + 1) / 16 for k in range(16)]
    if exponent * (base + 1) > 64:  # a small c may then ask for the most
        rates += [exponent * 0.87**k for k in range(1, 100)]
    for count in range(2, TOO_MANY):
        tail = max(
            min(
                count * math.log(c / 2)
                - math.lgamma(count + 1)
                + c * c / (4 * (count + 1)),
                c,
            )
            - c * (base + 1)
            for c in rates
        )
        if tail < math.log(precision / 8):
            return count
    return TOO_MANY


def terms(factor: Array, t: Array, count: int) -> list[Array]:
    """Return factor T_m(t), m = 0 .. count - 1; t as `factor` or broadcast."""
    out = [factor, factor * t]
    for _ in range(count - 2):
        out.append(2 * t * out[-1] - out[-2])
    return out[:count]


def coefficients(count: int, like: Array) -> tuple[Array, Array]:
    """Nodes t_j (M,), and the matrix (M, M) that makes a_m of f(t_j)."""
    xp, order = array_namespace(like), arange(count, like)
    angle = (order + 0.5) * (math.pi / count)
    matrix = xp.cos(order[:, None] * angle) * (2 / count)
    matrix[0] /= 2
    return xp.cos(angle), matrix
