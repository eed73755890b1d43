"""Damped Gauss-Newton steps from several starts at once."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

ENDED = 1e-4
"""Relative fall of Rw^2 in a step below which a descent has ended."""


def descended(
    misfit: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray, np.ndarray]],
    at: np.ndarray,
    steps: int,
    longest: float = 0.02,
    narrowing: bool = False,
) -> tuple[np.ndarray, float]:
    """Damped Gauss-Newton steps from several starts.

    Parameters
    ----------
    misfit : callable
        Rw^2 (t,), residuals (t, m) and their slopes (t, k, m) at t places.
    at : (t, k) array
        Places to start from: they go side by side, so that the products of
        matrices are large.
    steps : int
    longest : float
        No variable changes by more in a step.
    narrowing : bool
        Whether after every second step the better half of the starts goes
        on, and no more where the best one has ended.

    Returns
    -------
    at : (k,) array
        Where the least Rw^2 is.
    square : float
        That Rw^2.
    """
    square, residual, jacobian = misfit(at)
    damping = np.full((len(at), 1), 1e-3)
    own = np.arange(at.shape[1])
    for step_number in range(steps):
        if narrowing and step_number and step_number % 2 == 0:
            kept = square.argsort(kind="stable")[: (len(at) + 1) // 2]
            at, square, damping = at[kept], square[kept], damping[kept]
            residual, jacobian = residual[kept], jacobian[kept]
        before = square.min()
        normal = jacobian @ jacobian.swapaxes(1, 2)
        normal[:, own, own] += damping * (normal[:, own, own] + 1e-12)
        slope = jacobian @ residual[:, :, None]
        step = np.linalg.solve(normal, slope)[:, :, 0]
        new = at + step.clip(-longest, longest)
        found = misfit(new)
        better = found[0] < square
        at = np.where(better[:, None], new, at)
        damping = damping * np.where(better, 0.3, 10.0)[:, None]
        square = np.where(better, found[0], square)
        residual[better], jacobian[better] = found[1][better], found[2][better]
        # One that failed may take a shorter step.
        ended = better.any() and square.min() > (1 - ENDED) * before
        if narrowing and len(at) == 1 and ended:
            break
    return at[square.argmin()], float(square.min())
