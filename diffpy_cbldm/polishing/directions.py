"""Along which directions a particle has facets, edges and corners.

No type of lattice is told.  The planes that hold many atoms follow from the
steps between neighbours, and the facets of multiply twinned particles from
the convex hull.  An edge lies farthest out between its two facets, a corner
between three or more.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial import ConvexHull, QhullError, cKDTree

from diffpy_cbldm.polishing.sites import STEP_REACH, merged

DENSE = 1.45
"""Area (bonds^2) of the cell of a plane that may be a facet: those of {111},
{100} and {110} of fcc are 0.87, 1 and 1.41."""

MOST_STEPS = 60
"""Crystals with more different steps are multiply twinned."""

PAIRS = 4000
"""So many pairs of neighbours tell the steps of a crystal."""

LEVEL = 0.12
"""Atoms within this height (bonds) are of one layer."""

_SHARE = 0.012
"""Of the hull's area: smaller faces are no facets."""

_ALIKE = 0.995
"""Cosine from which two directions are one."""


def facet_normals(x: np.ndarray) -> np.ndarray:
    """Directions in which facets may lie.

    Parameters
    ----------
    x : (n, 3) array, bond lengths

    Returns
    -------
    (f, 3) array of unit vectors
        Both signs of each plane of the crystal, and the faces of the hull.
    """
    chosen: list[np.ndarray] = []
    for normal in [*_dense_planes(_steps(x)), *_hull_faces(x)]:
        if not chosen or (np.array(chosen) @ normal).max() < _ALIKE:
            chosen.append(normal)
    return np.array(chosen).reshape(-1, 3)


def _steps(x: np.ndarray) -> np.ndarray:
    """The vectors between neighbours up to the second ones, (s, 3)."""
    pairs = cKDTree(x).query_pairs(STEP_REACH, output_type="ndarray")
    if len(pairs) > PAIRS:
        pairs = np.random.default_rng(0).permutation(pairs)[:PAIRS]
    step = x[pairs[:, 0]] - x[pairs[:, 1]]
    mean, group = merged(np.concatenate([step, -step]))
    # Those that few pairs have belong to the seam of two grains.
    count = np.bincount(group, minlength=len(mean))
    return mean[count > 0.01 * len(pairs)]


def _dense_planes(steps: np.ndarray) -> np.ndarray:
    """Normals of the planes that two short steps span, (p, 3)."""
    if len(steps) > MOST_STEPS:
        return np.zeros((0, 3))
    i, j = np.triu_indices(len(steps), 1)
    normal = np.cross(steps[i], steps[j])
    area = np.linalg.norm(normal, axis=1)
    dense = (area > 0.3) & (area < DENSE)
    normal = normal[dense] / area[dense, None]
    normal = normal[np.argsort(area[dense], kind="stable")]
    return np.stack([normal, -normal], 1).reshape(-1, 3)


def _hull_faces(x: np.ndarray) -> np.ndarray:
    """Normals of the large faces of the convex hull, the largest first."""
    try:
        hull = ConvexHull(x)
    except (QhullError, ValueError):  # flat, or of too few atoms
        return np.zeros((0, 3))
    a, b, c = (x[hull.simplices[:, k]] for k in range(3))
    area = np.linalg.norm(np.cross(b - a, c - a), axis=1)
    # Triangles of one plane differ by rounding, and by strain.
    mean, group = merged(hull.equations[:, :3])
    total = np.bincount(group, area, minlength=len(mean))
    order = np.argsort(-total, kind="stable")
    faces = mean[order[total[order] > _SHARE * total.sum()]]
    return faces / np.linalg.norm(faces, axis=1)[:, None]


def families(x: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """Which facets are of one kind: their layers are as far apart, (f,).

    Parameters
    ----------
    x : (n, 3) array, bond lengths
    normals : (f, 3) array
    """
    spacing = []
    for normal in normals:
        heights = np.sort(x @ normal)[::-1]
        below = heights[heights < heights[0] - LEVEL]
        spacing.append(heights[0] - below[0] if len(below) else 0.0)
    _, family = np.unique(np.round(spacing, 1), return_inverse=True)
    return family.ravel()


def corner_directions(
    x: np.ndarray, normals: np.ndarray, family: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Directions in which edges and corners of facets lie farthest out.

    Parameters
    ----------
    x : (n, 3) array, bond lengths
    normals : (f, 3) array
    family : (f,) array of int
        From `families`.

    Returns
    -------
    directions : (c, 3) array of unit vectors
    family : (c,) array of int
        Corners of facets of the same families are alike.
    """
    heights = x @ normals.T
    on = heights > heights.max(0) - LEVEL
    on = np.unique(on[on.sum(1) > 1], axis=0)
    found = on @ normals
    length = np.linalg.norm(found, axis=1)
    # Facets across from each other, of a plate one layer thick, have none.
    some = length > 0.5
    found, on = found[some] / length[some, None], on[some]
    fresh = (found @ normals.T).max(1, initial=-1.0) < _ALIKE
    found, on = found[fresh], on[fresh]
    kinds = on @ (family[:, None] == np.arange(family.max(initial=0) + 1))
    if not len(found):
        return found, np.zeros(0, int)
    _, alike = np.unique(kinds, axis=0, return_inverse=True)
    return found, alike.ravel()
