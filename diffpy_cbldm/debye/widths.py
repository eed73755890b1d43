"""The width of a peak of G(r), and how it depends on the distance.

The pairs at distance d scatter with exp(-U Q^2 s(d)), where, as in DiffPy,

    s(d) = 1 - delta1/d - delta2/d^2 + (qbroad d)^2,  not below 0

`width_ratio` is s before it is cut at 0: the one place where the law stands.
`Widths` holds it for a batch of clusters, and `smooth_terms` expands the
exponential in Chebyshev polynomials of s, which bins of distances need.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from array_api_compat import array_namespace, device

from diffpy_cbldm.debye import chebyshev
from diffpy_cbldm.debye.pair_blocks import Array, detached

NEAR_ZERO = 1e-9
"""Stands for r = 0 (A), where s has no value."""

GROWTH = 8.0
"""Largest exponent -U Q^2 s by which terms may grow where s < 0."""


def width_ratio(
    d: Any,
    delta1: Any = 0.0,
    delta2: Any = 0.0,
    qbroad: Any = 0.0,
) -> Any:
    """Return s(d), what correlated motion and resolution make of U.

    Parameters
    ----------
    d : float, array or tensor, angstrom
        Distances, none of them zero.
    delta1, delta2 : as d, A and A^2
        Sharpening of near pairs, which move together.
    qbroad : as d, 1/A
        Broadening of far pairs by the Q resolution.

    Returns
    -------
    As d (broadcast with the others).  It is not cut: where it is negative
    the peak has no width, and callers take 0.
    """
    return 1 - delta1 / d - delta2 / (d * d) + (qbroad * d) ** 2


def end_ratio(
    rmin: float,
    rmax: float,
    delta1: float = 0.0,
    delta2: float = 0.0,
    qbroad: float = 0.0,
) -> float:
    """The largest s at the two ends of the r range, for the Q grid."""
    return max(
        width_ratio(d, delta1, delta2, qbroad)
        for d in (max(rmin, NEAR_ZERO), rmax)
    )


@dataclasses.dataclass
class Widths:
    """What decides exp(-U Q^2 s(d)); each (B,), u also (B, N)."""

    u: Any
    delta1: Any
    delta2: Any
    qbroad: Any

    def take(self, index: Any) -> Widths:
        return Widths(self.u[index], *(x[index] for x in self._factors()))

    def _factors(self) -> tuple[Any, Any, Any]:
        return self.delta1, self.delta2, self.qbroad

    @property
    def plain(self) -> bool:
        """Whether the width is the same at every distance."""
        return not any(
            getattr(x, "requires_grad", False) or bool((x != 0).any())
            for x in self._factors()
        )

    @property
    def reopens(self) -> bool:
        """Whether s may be above 0 again below the distance `edge`."""
        pulled = self.delta2 < 0
        return bool(pulled.any()) and bool((pulled & (self.delta1 > 0)).any())

    def ratio(self, d: Array) -> Array:
        """The factor s(d) before it is cut at 0; d (B, n) or (n,)."""
        return width_ratio(d, *(x[:, None] for x in self._factors()))

    def end_ratio(self, rmin: float, rmax: float) -> float:
        """As the function, the largest of all clusters."""
        xp = array_namespace(self.u)
        ends = xp.asarray(
            [max(rmin, NEAR_ZERO), rmax],
            dtype=self.u.dtype,
            device=device(self.u),
        )
        return float(detached(self.ratio(ends)).max())

    def edge(self) -> Any:
        """The distance (B,) below which s is cut to 0."""
        xp = array_namespace(self.u)
        d1, d2, qb = (detached(x) for x in self._factors())
        d = (d1 + xp.sqrt(xp.clip(d1 * d1 + 4 * d2, min=0.0))) / 2
        d = xp.clip(d, min=0.0)
        if not bool((qb != 0).any()):  # d^2 = delta1 d + delta2
            return d
        for _ in range(12):  # Newton, from above on a convex function
            value = d * d + qb**2 * d**4 - d1 * d - d2
            slope = xp.clip(2 * d + 4 * qb**2 * d**3 - d1, min=1e-9)
            d = xp.clip(d - value / slope, min=0.0)
        return d


def smooth_terms(
    mass: Array,
    x: Array,
    widths: Widths,
    near: Array,
    far: float,
    q: Array,
    precision: float,
) -> tuple[Array, Array] | None:
    """Expand exp(-U Q^2 s(x)) = sum_m a_m(Q) T_m(s); (M, B, n), (M, B, K).

    mass (B, n) stands at the distances x (n,); only near..far matters.  None
    where s spans so much that the terms would be too many, or would grow so
    far where s < 0 that their sum has lost its digits.
    """
    # Beyond near and far no pair is felt: s is held there, which keeps its
    # span, and with it the number of terms, small.
    xp, u = array_namespace(q), detached(widths.u)
    inside = xp.maximum(xp.clip(x, max=far), xp.clip(near, min=1e-3)[:, None])
    s = widths.ratio(inside)
    low = xp.min(detached(s), axis=1, keepdims=True)
    high = xp.max(detached(s), axis=1, keepdims=True)
    mid, half = (high + low) / 2, xp.clip((high - low) / 2, min=1e-6)
    top = float(q[-1]) ** 2
    rate = float((u * half[:, 0]).max()) * top
    base = float((low / half).min())
    if base < 0:  # s < 0 somewhere: exp(-U Q^2 s) grows there
        growth = -float((u * low[:, 0]).min()) * top
        digits = math.log(precision / float(xp.finfo(q.dtype).eps))
        if growth > min(GROWTH, max(digits, 2.0)):
            return None
    count = chebyshev.node_count(rate, base, precision)
    if count == chebyshev.TOO_MANY:
        return None
    terms = chebyshev.terms(mass, (s - mid) / half, count)
    t, matrix = chebyshev.coefficients(count, q)
    nodes = mid + half * t
    damp = xp.exp(-widths.u[:, None, None] * (nodes[..., None] * q**2))
    # The sum over nodes, with the terms in front as they are.
    damp = xp.permute_dims(matrix @ damp, (1, 0, 2))
    return xp.stack(terms), damp
