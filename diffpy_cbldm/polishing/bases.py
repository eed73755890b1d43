"""Orthonormal bases of what the waves of a Q grid can show."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.linalg import lapack

UNSEEN = 1e-8
"""Share of a wave's square that nothing shows in the range."""

KEPT = 4
"""Bases of one grid that are kept."""

Basis = tuple[np.ndarray, np.ndarray, np.ndarray]
"""The triangular factor (m, m) of the products of the waves that are kept,
their numbers (m,), and all waves (K, m) on the basis."""


class Bases:
    """The bases of one grid, by the weights of the points of r.

    Fits ask for the same again: Qdamp is often known, or at a bound.

    Parameters
    ----------
    gram : callable
        The products (K, K) of the waves under weights (n,).
    """

    def __init__(self, gram: Callable[[np.ndarray], np.ndarray]) -> None:
        self._gram = gram
        self._made: dict[bytes, Basis] = {}

    def of(self, fall: np.ndarray) -> Basis:
        """The basis where the points of r multiply curves by some factors.

        fall : (n,) array
        """
        key = fall.tobytes()
        found = self._made.get(key)
        if found is None:
            found = decomposed(self._gram(fall**2))
            if len(self._made) >= KEPT:
                # A list at once: other threads may share the grid.
                self._made.pop(list(self._made)[0], None)
            self._made[key] = found
        return found


def decomposed(gram: np.ndarray) -> Basis:
    """A basis of waves of which these, (K, K), are the products."""
    # Of the waves many combinations do not show in the range: they are left
    # out.  Any orthonormal basis of the others serves, and Cholesky's takes a
    # tenth of the time of the eigenvectors.
    least = UNSEEN * gram.diagonal().max()
    factor, order, rank, _ = lapack.dpstrf(gram, tol=least, lower=1)
    # gram[order][:, order] is L L^T, and the basis holds the waves
    # order[:rank] in turn.
    columns = np.tril(factor[:, :rank])
    rows = np.empty((len(gram), rank))
    rows[order - 1] = columns
    return columns[:rank], order[:rank] - 1, rows
