"""The pairs of one cluster, kept so that each next curve is cheap.

With Uiso, delta2 and a stretch z of the positions, the Debye sum is::

    N F(Q) = 1/z sum_p 2 sin(zQ d_p) / d_p exp(-U Q^2 (1 - delta2 v_p / z^2))

with v_p = 1 / d_p^2.  The exponential is a smooth function of v, so that it
may be taken at M Chebyshev nodes v_j and interpolated, whatever U and delta2
are (`chebyshev`)::

    N F(Q) = 1/z sum_j exp(-U Q^2 (1 - delta2 v_j / z^2)) C_j(zQ)

That is `PairTable`.  With delta1 or Qbroad the same is done in v = log d
(`LawTable`), in which every law of the width is smooth, with more nodes.

The C_j depend on the distances alone.  They hold no distance beyond the
longest, so that a table at even steps of Q has them at every Q, by splines
(`pairgrid`).  A curve of a fit then costs no loop over pairs.
"""

from __future__ import annotations

import dataclasses
import functools
import math

import numpy as np

from diffpy_cbldm.debye import chebyshev, sum_kernels
from diffpy_cbldm.debye.pairgrid import fast_length, spline, spline_order
from diffpy_cbldm.debye.widths import width_ratio

_ORDER = 12
"""Of the spline between the steps of Q."""

_ROOM = 1.1
"""The table goes so far beyond the largest Q asked for: a fit stretches."""

Law = tuple[float, float, float]
"""delta1 (A), delta2 (A^2) and Qbroad (1/A)."""

_FEWEST = 12
"""At least so many widths: Uiso and delta2 grow in a fit."""

_MOST = 96
"""A `LawTable` has at most so many widths."""

_EXPONENTS = (np.arange(1, 17) / 16) ** 2
"""Parts of U Qmax^2 for which the number of widths must do."""


@dataclasses.dataclass(frozen=True, eq=False)
class _Table:
    """The C_j at even steps of Q, for one precision.

    Attributes
    ----------
    step : float, 1/A
    top : float, 1/A
        The largest Q.
    precision : float
    nodes : (M,) array
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

    def summed(
        self,
        q: np.ndarray,
        squared: np.ndarray,
        weights: np.ndarray,
        u: float,
        ratios: np.ndarray,
        stretch: float,
    ) -> np.ndarray:
        """N F(Q) times weights, (K,), with the factors s (M,) of the nodes."""
        terms = np.empty(len(q))
        sum_kernels.sum_widths(
            self.values,
            self.pieces,
            self.places(q * stretch),
            u,
            ratios,
            squared,
            weights / stretch,
            terms,
        )
        return terms

    def serves(self, top: float, count: int, precision: float) -> bool:
        """Whether it has the Q and the widths that a sum needs."""
        return (
            self.precision <= precision
            and self.top >= top
            and len(self.nodes) >= count
        )


class _KeptTable:
    """The C_j of one cluster; made when a sum asks for them.

    Parameters
    ----------
    distances, pairs : (S,) arrays, A and 1
        Distances of two atoms, none 0, and how many pairs have each.
    variable : (S,) array
        The v_p.
    """

    def __init__(
        self, distances: np.ndarray, pairs: np.ndarray, variable: np.ndarray
    ) -> None:
        self.distances = np.ascontiguousarray(distances, dtype=float)
        self.pairs = np.ascontiguousarray(pairs, dtype=float)
        self.longest = float(self.distances.max())
        low, high = float(variable.min()), float(variable.max())
        self._middle = (high + low) / 2
        self._half = max((high - low) / 2, 1e-9)
        self._places = (variable - self._middle) / self._half
        self._asked = False
        self._table: _Table | None = None

    def _serving(
        self,
        q: np.ndarray,
        stretch: float,
        needed: int,
        precision: float,
    ) -> _Table:
        """A table with at least so many nodes, up to the largest Q."""
        table, top = self._table, stretch * float(q[-1])
        if not self._asked:
            # Where atoms move there is one curve of each place.
            self._asked = True
            return self._steps(
                stretch * float(q[1]), len(q), needed, precision
            )
        if table is None or not table.serves(top, needed, precision):
            count = max(_FEWEST, needed + 2 * (table is not None))
            table = self._splines(_ROOM * top, count, precision)
            self._table = table
        return table

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
        sum_kernels.spread_widths(
            self.distances,
            self.pairs,
            self._places,
            width,
            np.array(spline(order)),
            step,
            power,
            bins,
        )
        # The sine is odd about the end of the bins as well.
        half = order // 2
        bins[size - half : size] -= bins[size + 1 : size + half + 1][::-1]
        waves = sine(bins[: size + 1].T, rows)
        waves /= np.sinc(np.arange(rows) * (step * width / 2 / math.pi)) ** (
            order
        )
        angles, matrix = _polynomials(count)
        return waves.T @ matrix, self._middle + self._half * angles


class PairTable(_KeptTable):
    """The C_j of one cluster where delta2 alone moves the widths.

    Parameters
    ----------
    distances, pairs : (S,) arrays, A and 1
        Distances of two atoms, none 0, and how many pairs have each.
    """

    def __init__(self, distances: np.ndarray, pairs: np.ndarray) -> None:
        d = np.asarray(distances, dtype=float)
        super().__init__(d, pairs, d**-2.0)

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
        table = self._serving(q, stretch, needed, precision)
        ratios = 1 - pull * table.nodes
        return table.summed(q, squared, weights, u, ratios, stretch)


class LawTable(_KeptTable):
    """The C_j of one cluster for every law of the width.

    Parameters
    ----------
    distances, pairs : (S,) arrays, A and 1
        Distances of two atoms, none 0, and how many pairs have each.
    """

    def __init__(self, distances: np.ndarray, pairs: np.ndarray) -> None:
        super().__init__(distances, pairs, np.log(distances))

    def sum(
        self,
        q: np.ndarray,
        squared: np.ndarray,
        weights: np.ndarray,
        u: float,
        law: Law,
        stretch: float,
        precision: float,
    ) -> np.ndarray | None:
        """As `PairTable.sum`, with delta1, delta2 and Qbroad for a law.

        None also where the widths would ask for too many nodes.
        """
        if self.longest * stretch * q[1] >= math.pi:
            return None
        angles, matrix = _polynomials(_MOST)
        ratios = self._ratios(angles, law, stretch)
        if ratios.min() < 0:
            return None
        # What the polynomials beyond some degree would add at most.
        powers = u * float(squared[-1]) * _EXPONENTS
        sizes = np.abs(np.exp(-powers[:, None] * ratios) @ matrix.T)
        tails = np.cumsum(sizes[:, ::-1], 1)[:, ::-1].max(0)
        if tails[-1] >= precision / 8:
            return None
        needed = max(2, int(np.argmax(tails < precision / 8)))
        table = self._serving(q, stretch, needed, precision)
        nodes = (table.nodes - self._middle) / self._half
        ratios = self._ratios(nodes, law, stretch)
        return table.summed(q, squared, weights, u, ratios, stretch)

    def _ratios(
        self,
        places: np.ndarray,
        law: Law,
        stretch: float,
    ) -> np.ndarray:
        """The factors s at places (M,) between -1 and 1."""
        d = np.exp(self._middle + self._half * places) * stretch
        return width_ratio(d, *law)


class WidthTables:
    """The tables of one cluster, by what moves the widths.

    Parameters
    ----------
    distances, pairs : (S,) arrays, A and 1
        Distances of two atoms, none 0, and how many pairs have each.
    """

    def __init__(self, distances: np.ndarray, pairs: np.ndarray) -> None:
        self._by_delta2 = PairTable(distances, pairs)
        self._by_law: LawTable | None = None
        self.longest = self._by_delta2.longest

    def sum(
        self,
        q: np.ndarray,
        squared: np.ndarray,
        weights: np.ndarray,
        u: float,
        law: Law,
        stretch: float,
        precision: float,
    ) -> np.ndarray | None:
        """As `PairTable.sum`, with delta1, delta2 and Qbroad for a law."""
        given = q, squared, weights, u
        delta1, delta2, qbroad = law
        if delta1 or qbroad:
            if self._by_law is None:
                ours = self._by_delta2
                self._by_law = LawTable(ours.distances, ours.pairs)
            return self._by_law.sum(*given, law, stretch, precision)
        return self._by_delta2.sum(*given, delta2, stretch, precision)


@functools.cache
def _polynomials(count: int) -> tuple[np.ndarray, np.ndarray]:
    """`chebyshev.coefficients` in float64, each made once."""
    return chebyshev.coefficients(count, np.zeros(0))


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
