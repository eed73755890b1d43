"""What shape a particle has: a sphere, one with facets, a rod or a plate.

From the moments of its atoms about their middle.  With l_1 <= l_2 <= l_3 the
eigenvalues of the mean of x x^T, sqrt(l_3 / l_2) and sqrt(l_2 / l_1) tell how
long and how flat it is; <r^4> / <r^2>^2 is 25/21 for a sphere, 1.21 for a
truncated octahedron and 19/15 for a cube, whatever the size and the share of
vacancies.
"""

from __future__ import annotations

import numpy as np

CLASSES = ("sphere", "faceted", "rod", "plate")

LONG = 1.3
"""From this ratio of root mean squares on a particle is a rod or a plate: of
a cylinder as long as wide it is 1.15, of one twice as long 2.3."""

ROUND = 1.2
"""Below this <r^4> / <r^2>^2 a particle that is neither is a sphere."""


def aspect(positions: np.ndarray) -> tuple[float, float]:
    """How long and how flat a particle is, each at least 1.

    Parameters
    ----------
    positions : (n, 3) array

    Returns
    -------
    long, flat : float
        sqrt(l_3 / l_2) and sqrt(l_2 / l_1), infinite where atoms stand in a
        line or a plane.
    """
    x = positions - positions.mean(0)
    low, middle, high = np.linalg.eigvalsh(x.T @ x / len(x)).clip(min=0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = np.sqrt(np.nan_to_num([high / middle, middle / low], nan=1.0))
    return float(ratios[0]), float(ratios[1])


def shape_class(positions: np.ndarray) -> str:
    """One of `CLASSES`.

    Parameters
    ----------
    positions : (n, 3) array
    """
    long, flat = aspect(positions)
    if max(long, flat) >= LONG:
        return "rod" if long >= flat else "plate"
    squares = ((positions - positions.mean(0)) ** 2).sum(1)
    level = float((squares**2).mean() / max(squares.mean() ** 2, 1e-12))
    return "sphere" if level < ROUND else "faceted"
