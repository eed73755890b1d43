"""Distances between the sites of large particles, compiled."""

from __future__ import annotations

import math

import numpy as np

from diffpy_cbldm.compiled import ahead, compiled


@compiled
def farthest_points(places: np.ndarray, count: int, first: int) -> np.ndarray:
    """Points that stand far apart: each is the farthest from those before.

    Parameters
    ----------
    places : (N, 3) array of float64
    count : int
        At most N.
    first : int
        Which one begins.

    Returns
    -------
    (count,) array of int64
    """
    chosen = np.empty(count, np.int64)
    least = np.full(len(places), np.inf)
    here = first
    for k in range(count):
        chosen[k] = here
        x, y, z = places[here, 0], places[here, 1], places[here, 2]
        farthest = -1.0
        for i in range(len(places)):
            dx, dy = places[i, 0] - x, places[i, 1] - y
            dz = places[i, 2] - z
            least[i] = min(least[i], dx * dx + dy * dy + dz * dz)
            # Of several as far the first, whatever the last digits are.
            if least[i] > farthest + 1e-9:
                farthest, here = least[i], i
    return chosen


@ahead("float64[:, ::1], float64[:, ::1], float64[::1], float64, float64")
@compiled
def field_sums(
    sites: np.ndarray,
    places: np.ndarray,
    table: np.ndarray,
    step: float,
    first: float,
) -> np.ndarray:
    """The sum of a function of the distance from each site to all atoms.

    Parameters
    ----------
    sites : (S, 3) array of float64
    places : (N, 3) array of float64
    table : (M,) array of float64
        The function at the distances first, first + step ...; 0 elsewhere.
    step, first : float

    Returns
    -------
    (S,) array of float64
    """
    out = np.empty(len(sites))
    for i in range(len(sites)):
        x, y, z = sites[i, 0], sites[i, 1], sites[i, 2]
        total = 0.0
        for j in range(len(places)):
            dx, dy = places[j, 0] - x, places[j, 1] - y
            dz = places[j, 2] - z
            apart = math.sqrt(dx * dx + dy * dy + dz * dz)
            k = int((apart - first) / step + 0.5)
            if apart > first and k < len(table):
                total += table[k]
        out[i] = total
    return out


@ahead(
    "float64[:, ::1], float32[:, ::1], float64[::1], float64[::1], "
    "float64[::1], float64, float64"
)
@compiled
def growths(
    places: np.ndarray,
    heights: np.ndarray,
    centre: np.ndarray,
    off: np.ndarray,
    extents: np.ndarray,
    radius: float,
    most: float,
) -> np.ndarray:
    """By what factor an outline must grow to hold each site.

    Parameters
    ----------
    places : (S, 3) array of float64
    heights : (S, K) array of float32
        How far out each site lies in each direction.
    centre : (3,) array of float64
        Of the outline.
    off : (K,) array of float64
        Heights of the centre.
    extents : (K,) array of float64
        Of the outline, about its centre.
    radius : float
        Of the sphere about the outline.
    most : float
        Sites that need more than this are not looked at further.

    Returns
    -------
    (S,) array of float64: some value from `most` on for those.
    """
    out = np.empty(len(places))
    for i in range(len(places)):
        dx, dy = places[i, 0] - centre[0], places[i, 1] - centre[1]
        dz = places[i, 2] - centre[2]
        size = math.sqrt(dx * dx + dy * dy + dz * dz) / radius
        for k in range(heights.shape[1]):
            # Most sites lie outside, and the first planes tell it.
            if size >= most:
                break
            size = max(size, (heights[i, k] - off[k]) / extents[k])
        out[i] = size
    return out
