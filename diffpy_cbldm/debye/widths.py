"""Widths that depend on the distance: exp(-U Q^2 s(d)) in Chebyshev terms.

s(d) = 1 - delta1/d - delta2/d^2 + (qbroad d)^2, not below 0, as in DiffPy.
"""

from __future__ import annotations

import dataclasses
import functools
import math

import torch
from torch import Tensor

TERMS = 200
"""So many Chebyshev terms and more are too many."""

GROWTH = 8.0
"""Largest exponent -U Q^2 s by which terms may grow where s < 0."""


def width_ratio(d, delta1=0.0, delta2=0.0, qbroad=0.0):
    """s(d) before it is cut at 0; d and the rest broadcast."""
    return 1 - delta1 / d - delta2 / (d * d) + (qbroad * d) ** 2


@dataclasses.dataclass
class Widths:
    """What decides exp(-U Q^2 s(d)); each (B,), u also (B, N)."""

    u: Tensor
    delta1: Tensor
    delta2: Tensor
    qbroad: Tensor

    def take(self, index: Tensor | slice) -> Widths:
        return Widths(self.u[index], *(x[index] for x in self._factors()))

    def _factors(self) -> tuple[Tensor, Tensor, Tensor]:
        return self.delta1, self.delta2, self.qbroad

    @property
    def plain(self) -> bool:
        """Whether the width is the same at every distance."""
        return not any(
            x.requires_grad or bool((x != 0).any()) for x in self._factors()
        )

    @property
    def reopens(self) -> bool:
        """Whether s may be above 0 again below the distance `edge`."""
        pulled = self.delta2 < 0
        return bool(pulled.any()) and bool((pulled & (self.delta1 > 0)).any())

    def ratio(self, d: Tensor) -> Tensor:
        """The factor s(d) before it is cut at 0; d (B, n) or (n,)."""
        d1, d2, qb = (x[:, None] for x in self._factors())
        return 1 - d1 / d - d2 / (d * d) + (qb * d) ** 2

    @torch.no_grad()
    def edge(self) -> Tensor:
        """The distance (B,) below which s is cut to 0."""
        d1, d2, qb = self._factors()
        d = (d1 + (d1 * d1 + 4 * d2).clamp(min=0).sqrt()) / 2
        d = d.clamp(min=0)
        if not bool(qb.any()):
            return d
        for _ in range(12):  # Newton, from above on a convex function
            value = d * d + qb**2 * d**4 - d1 * d - d2
            slope = (2 * d + 4 * qb**2 * d**3 - d1).clamp(min=1e-9)
            d = (d - value / slope).clamp(min=0)
        return d


def node_count(exponent: float, base: float, precision: float) -> int:
    """As `_node_count`, on the safe side by a rounding of its arguments."""
    if exponent > 1e-12:
        exponent = 1.02 ** math.ceil(math.log(exponent, 1.02))
    return _node_count(exponent, math.floor(50 * base) / 50, precision)


@functools.lru_cache(maxsize=1024)
def _node_count(exponent: float, base: float, precision: float) -> int:
    """Chebyshev terms that exp(-c (b + 1 + x)), |x| <= 1, needs.

    For every c from 0 to exponent; base = b.  The coefficients are
    2 exp(-c (b + 1)) I_n(c), and I_n(c) <= (c/2)^n / n! exp(c^2 / 4 / (n + 1))
    as well as exp(c).
    """
    rates = [max(exponent, 1e-12) * (k + 1) / 16 for k in range(16)]
    if exponent * (base + 1) > 64:  # a small c may then ask for the most
        rates += [exponent * 0.87**k for k in range(1, 100)]
    for count in range(2, TERMS):
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
    return TERMS


def smooth_terms(
    mass: Tensor,
    x: Tensor,
    widths: Widths,
    near: Tensor,
    far: float,
    q: Tensor,
    precision: float,
) -> tuple[Tensor, Tensor] | None:
    """Expand exp(-U Q^2 s(x)) = sum_m a_m(Q) T_m(s); (M, B, n), (M, B, K).

    mass (B, n) stands at the distances x (n,); only near..far matters.  None
    where s spans so much that the terms would be too many, or would grow so
    far where s < 0 that their sum has lost its digits.
    """
    inside = torch.maximum(x.clamp(max=far), near.clamp(min=1e-3)[:, None])
    s = widths.ratio(inside)
    with torch.no_grad():
        low, high = s.amin(1, keepdim=True), s.amax(1, keepdim=True)
        mid, half = (high + low) / 2, ((high - low) / 2).clamp(min=1e-6)
        rate = float((widths.u * half[:, 0]).max()) * float(q[-1]) ** 2
        base = float((low / half).min())
    if base < 0:
        growth = (
            -float((widths.u.detach() * low[:, 0]).min()) * float(q[-1]) ** 2
        )
        digits = math.log(precision / torch.finfo(q.dtype).eps)
        if growth > min(GROWTH, max(digits, 2.0)):
            return None
    count = node_count(rate, base, precision)
    if count == TERMS:
        return None
    t = (s - mid) / half
    terms = [mass, mass * t]
    for _ in range(count - 2):
        terms.append(2 * t * terms[-1] - terms[-2])
    angle = torch.arange(count, dtype=q.dtype, device=q.device) + 0.5
    angle = angle * (math.pi / count)
    nodes = mid + half * torch.cos(angle)
    damp = torch.exp(
        -widths.u[:, None, None] * (nodes[..., None] * q.square())
    )
    k = torch.arange(count, dtype=q.dtype, device=q.device)
    turn = torch.cos(k[:, None] * angle) * (2 / count)
    turn[0] /= 2
    return torch.stack(terms[:count]), torch.einsum("mj,bjk->mbk", turn, damp)
