"""The pairs of one cluster, kept so that each next curve is cheap.

With Uiso, delta2 and a stretch z of the positions, the Debye sum is::

    N F(Q) = 1/z sum_p 2 sin(zQ d_p) / d_p exp(-U Q^2 (1 - delta2 v_p / z^2))

with v_p = 1 / d_p^2.  The exponential is a smooth function of v, so that it
may be taken at M Chebyshev nodes v_j and interpolated, whatever U and delta2
are (`chebyshev`)::

    N F(Q) = 1/z sum_j exp(-U Q^2 (1 - delta2 v_j / z^2)) C_j(zQ)

The C_j depend on the distances alone.  They hold no distance beyond the
longest, so that a table at even steps of Q has them at every Q, by splines
(`pairgrid`).  A curve of a fit then costs no loop over pairs.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import torch

from diffpy_cbldm.debye import chebyshev, sum_kernels
from diffpy_cbldm.debye.pairgrid import fast_length, spline, spline_order

_ORDER = 12
"""Of the spline between the steps of Q."""

_ROOM = 1.1
"""The table goes so far beyond the largest Q asked for: a fit stretches."""

_FEWEST = 12
"""At least so many widths: Uiso and delta2 grow in a fit."""


@dataclasses.dataclass(frozen=True, eq=False)
class _Table:
    """The C_j at even steps of Q, for one precision.

    Attributes
    ----------
    step : float, 1/A
    top : float, 1/A
        The largest Q.
    precision : float
    nodes : (M,) array, 1/A^2
        The v_j.
    values : (rows, M) array
        Coefficients of splines, from -p/2 steps on.
    pieces : (p, p) array
        The spline of `pairgrid.spline`; (1, 1) where values are those at the
        steps, and the first row is not used.
    """

    step: float
    top: float
    precision: float
    nodes: np.ndarray
    values: np.ndarray
    pieces: np.ndarray

    def places(self, q: np.ndarray) -> np.ndarray:
        """Where Q (K,) lies, in steps."""
        places = q / self.step
        # What lies at a step must not come to lie before it.
        return places if len(self.pieces) > 1 else np.rint(places)

    def serves(self, top: float, count: int, precision: float) -> bool:
        """Whether it has the Q and the widths that a sum needs."""
        return (
            self.precision <= precision
            and self.top >= top
            and len(self.nodes) >= count
        )


class PairTable:
    """The C_j of one cluster; made when a sum asks for them.

    Parameters
    ----------
    x : (N, 3) array, A
        Positions, two or more and none at one place.
    shortest, longest : float, A
        Distances.
    counted : tuple of two (S,) arrays, optional
        Distances (A) and how many pairs have each; the positions are not
        looked at then.
    """

    def __init__(
        self,
        x: np.ndarray,
        shortest: float,
        longest: float,
        counted: tuple[np.ndarray, np.ndarray] | None = None,
    ) -> None:
        self.x = np.ascontiguousarray(x, dtype=float)
        self._counted = counted
        self.shortest, self.longest = shortest, longest
        low, high = longest**-2, shortest**-2
        self._middle = (high + low) / 2
        self._half = max((high - low) / 2, 1e-9)
        self._asked = False
        self._table: _Table | None = None

    def sum(
        self,
        q: np.ndarray,
        squared: np.ndarray,
        weights: np.ndarray,
        u: float,
        delta2: float,
        stretch: float,
        precision: float,
    ) -> np.ndarray | None:
        """N F(Q) times weights, (K,), or None where the table does not serve.

        That is where some pairs have no width, and where a pair is longer
        than half a period of the sum.

        Parameters
        ----------
        q, squared : (K,) arrays, 1/A and 1/A^2
            Q in even steps from 0, and its square.
        weights : (K,) array
        u, delta2 : float, A^2
        stretch : float
            Factor on the positions.
        precision : float
            Relative to the highest peak of the curve.
        """
        pull = delta2 / stretch**2
        ends = 1 - pull * (self._middle + self._half * np.array([-1.0, 1.0]))
        # The width is cut at 0 there, which no smooth function is.
        if ends.min() < 0 or self.longest * stretch * q[1] >= math.pi:
            return None
        half = max(abs(pull) * self._half, 1e-6)
        needed = chebyshev.node_count(
            u * half * float(squared[-1]), ends.min() / half, precision / 4
        )
        if needed == chebyshev.TOO_MANY:
            return None
        table, top = self._table, stretch * float(q[-1])
        if not self._asked:
            # Where atoms move there is one curve of each place.
            self._asked = True
            table = self._steps(
                stretch * float(q[1]), len(q), needed, precision
            )
        elif table is None or not table.serves(top, needed, precision):
            count = max(_FEWEST, needed + 2 * (table is not None))
            table = self._splines(_ROOM * top, count, precision)
            self._table = table
        terms = np.empty(len(q))
        sum_kernels.sum_widths(
            table.values,
            table.pieces,
            table.places(q * stretch),
            u,
            1 - pull * table.nodes,
            squared,
            weights / stretch,
            terms,
        )
        return terms

    def _steps(
        self, step: float, rows: int, count: int, precision: float
    ) -> _Table:
        """The C_j at steps of Q alone, from 0."""
        values, nodes = self._values(step, rows, count, precision, 0)
        values = np.concatenate([np.zeros((1, count)), values])
        top = step * rows
        return _Table(step, top, precision, nodes, values, np.ones((1, 1)))

    def _splines(self, top: float, count: int, precision: float) -> _Table:
        """Splines of the C_j up to Q = top."""
        leak = (precision / 8) ** (1 / _ORDER)
        # The step at which the longest distance is as well told.
        step = 2 * math.pi * leak / (1 + leak) / self.longest
        rows = math.ceil(top / step) + _ORDER
        values, nodes = self._values(step, rows, count, precision, _ORDER)
        # A sine is odd.
        before = -values[_ORDER // 2 : 0 : -1]
        pieces = np.array(spline(_ORDER))
        values = np.concatenate([before, values])
        return _Table(step, top, precision, nodes, values, pieces)

    def _values(
        self, step: float, rows: int, count: int, precision: float, power: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """C_j at steps of Q (rows, M), and their nodes (M,).

        Each pair is divided by the transform of a spline of order `power`
        over the steps.
        """
        order, angle = spline_order(precision / 2)
        reach = math.pi / step
        least = max(rows * step * reach / angle, 2 * rows)
        size = 2 * fast_length(least / 2)
        width = reach / size
        bins = np.zeros((size + order, count))
        how = (
            width,
            np.array(spline(order)),
            step,
            power,
            self._middle,
            self._half,
            bins,
        )
        if self._counted is None:
            sum_kernels.spread_widths(self.x, *how)
        else:
            sum_kernels.spread_counted(*self._counted, *how)
        # The sine is odd about the end of the bins as well.
        half = order // 2
        bins[size - half : size] -= bins[size + 1 : size + half + 1][::-1]
        waves = sine(bins[: size + 1].T, rows)
        waves /= np.sinc(np.arange(rows) * (step * width / 2 / math.pi)) ** (
            order
        )
        angles, matrix = chebyshev.coefficients(
            count, torch.zeros((), dtype=torch.float64)
        )
        nodes = self._middle + self._half * angles.numpy()
        return waves.T @ matrix.numpy(), nodes


def sine(series: np.ndarray, count: int) -> np.ndarray:
    """Return sum_j x_j sin(pi j k / n) for k < count, as `sum_kernels`.

    series (M, n + 1), n even.
    """
    n = series.shape[1] - 1
    ahead, back = series[:, :n], series[:, :0:-1]
    sines = np.sin(np.arange(n) * (math.pi / n))
    begun = sines * (ahead + back) + 0.5 * (ahead - back)
    begun[:, 0] = 0.0
    waves = np.fft.rfft(begun)[:, : (count + 1) // 2]
    out = np.empty((len(series), 2 * waves.shape[1]))
    out[:, ::2] = -waves.imag
    out[:, 1::2] = np.cumsum(waves.real, 1) - 0.5 * waves[:, :1].real
    return out[:, :count]
