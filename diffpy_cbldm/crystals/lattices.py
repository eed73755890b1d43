"""Template lattices: their points, their symmetry, one place for a shape.

The sites of fcc, bcc and sc clusters are lattices of their own.  "stack"
holds close-packed layers on A, B and C sites, and with them hcp and every
stacking fault; "dec" and "ico" are the decahedral and the icosahedral
arrangement about their axis and centre.  All lengths are in bond lengths.

A cluster can stand on its lattice in many equivalent ways: moved by a lattice
vector, or turned by an operation of the point group.  `place` takes one of
them, so that a shape has one set of sites.
"""

from __future__ import annotations

import functools
import itertools

import numpy as np

from diffpy_cbldm.memory import SITES, quickly_made

TEMPLATES = ("bcc", "dec", "fcc", "ico", "sc", "stack")
"""The site templates; each structure type lives on one of them."""

LAYER = (2 / 3) ** 0.5
"""Distance of close-packed layers."""

AXIS = 0.9965072
"""Distance of atoms on the five-fold axis; other bonds are longer."""

PLANE_MARGIN = 0.25
"""How far beyond the outermost atoms a plane that bounds a cluster lies."""

BASES = {
    "fcc": np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]]) / 2**0.5,
    "bcc": np.array([[-1, 1, 1], [1, -1, 1], [1, 1, -1]]) / 3**0.5,
    "sc": np.eye(3),
    "stack": np.array(
        [[0.5, 12**-0.5, 0], [-0.5, 12**-0.5, 0], [0, 0, LAYER]]
    ),
    "layer": np.array([[1, 0, 0], [0.5, 0.75**0.5, 0]]),
    "dec": np.array([[0, 0, AXIS]]),
    "ico": np.zeros((0, 3)),
}
"""Translations, as rows, that carry the sites of a template onto sites."""

_INVERSE_STACK = np.linalg.inv(BASES["stack"])

_RNG = np.random.default_rng(20)

_FIRST_MOMENT = np.array([1.0, 0.61803, 0.27015])
"""Weights of the components of a mean position: no symmetry keeps them.

These and the weights of the higher moments are of no meaning, but they must
stay: the stored geometries and all trained weights stand on them.
"""

_SECOND_MOMENT = np.diag([1.0, 0.4, -0.2]) + 0.1 * _RNG.normal(size=(3, 3))

_THIRD_MOMENT = _RNG.normal(size=(3, 3, 3))

_FOURTH_MOMENT = _RNG.normal(size=(3, 3, 3, 3))


@quickly_made(SITES)
@functools.lru_cache(maxsize=8)
def sphere(template: str, radius: float) -> np.ndarray:
    """The points of a lattice with a full basis, (n, 3), in a sphere.

    Kept, as large ones are asked for again: they cannot be changed.
    """
    basis = BASES[template]
    inverse = np.linalg.inv(basis)
    # No component of a point in the sphere is larger than this.
    reach = int(np.ceil(radius * np.linalg.norm(inverse, axis=0).max()))
    k = np.arange(-reach, reach + 1)
    plane = np.stack(np.meshgrid(k, k, indexing="ij"), -1).reshape(-1, 2)
    parts = []
    # Plane by plane: of all points within reach a tenth lies in the sphere.
    for first in k:
        steps = np.column_stack([np.full(len(plane), first), plane])
        part = steps @ basis
        parts.append(part[np.linalg.norm(part, axis=1) <= radius + 1e-6])
    points = np.concatenate(parts)
    points.setflags(write=False)
    return points


def stacking_sites(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Layer number and site (0, 1, 2 for A, B, C) of "stack" points."""
    # Both short translations lead from A to B, from B to C, from C to A.
    cells = np.round(points @ _INVERSE_STACK).astype(int)
    return cells[:, 2], (cells[:, 0] + cells[:, 1]) % 3


@quickly_made(SITES)
@functools.lru_cache(maxsize=1)
def layered(radius: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All sites of layers in a sphere, and `stacking_sites` of these."""
    points = sphere("stack", radius)
    layer, site = stacking_sites(points)
    return points, layer.astype(np.int16), site.astype(np.int8)


def lattice_planes(normals: np.ndarray) -> np.ndarray:
    """Which normals are those of {111}, {100} or {110} of layers A B C.

    Layers have twice as many pyramids as one orientation of fcc has facets.
    """
    points = sphere("stack", 3.0)
    layer, site = stacking_sites(points)
    points = points[site == layer % 3]
    spacings = np.array([LAYER, 0.5**0.5, 0.5])
    steps = (points @ normals.T)[:, :, None] / spacings
    return (np.abs(steps - np.rint(steps)).max(0) < 1e-6).any(1)


@functools.cache
def turns(template: str) -> np.ndarray:
    """The point group of a template, (g, 3, 3) orthogonal matrices."""
    if template == "ico":
        return _icosahedral_group()
    if template in ("dec", "stack"):
        return _prismatic_group(5 if template == "dec" else 6)
    # The cube's: axes in any order, each of them with either sign.
    operations = [
        np.diag(signs)[:, order]
        for order in itertools.permutations(range(3))
        for signs in itertools.product((1, -1), repeat=3)
    ]
    return np.array(operations, float)


def _prismatic_group(fold: int) -> np.ndarray:
    """The operations of a prism about z with so many sides."""
    operations = []
    angles = 2 * np.pi * np.arange(fold) / fold
    for a, mirror, flip in itertools.product(angles, (1, -1), (1, -1)):
        c, s = np.cos(a), np.sin(a)
        turn = np.array([[c, -s, 0], [s, c, 0], [0, 0, flip]])
        # A pentagon has one of the two mirrors; a hexagon both.
        operations.append(turn @ np.diag([mirror, 1, 1]))
    return np.array(operations)


_CUBIC_FAMILIES = [
    (0, 1, 2, 3),
    (0,),
    (1,),
    (2,),
    (0, 1),
    (0, 2),
    (1, 2),
    (0, 1, 2),
]

_FACET_FAMILIES = {
    **dict.fromkeys(("fcc", "bcc", "sc"), _CUBIC_FAMILIES),
    "ico": [(0, 1, 2), (0,), (2,), (0, 2), (1, 2)],
    "dec": [(0, 1, 2, 3), (3,), (0, 1), (1, 3), (0, 1, 3)],
    "stack": [
        (0, 1, 2, 3, 4, 5, 6, 7, 8),
        (0, 1),
        (0, 2),
        (0, 1, 2),
        (0, 1, 2, 3, 4),
        (0, 1, 2, 5, 6),
        (0, 1, 2, 3, 4, 5, 6),
    ],
}
"""Families of planes, in the order of `_directions`, that may go together."""


def directions(template: str) -> np.ndarray:
    """Unit vectors, (k, 3), in which the extent of a cluster is told.

    They are the normals of low-index planes and of a few planes between
    them: whole orbits of the point group.
    """
    return _directions(template)[0]


def plane_families(template: str) -> np.ndarray:
    """For each of the `directions` the number of its family, (k,)."""
    return _directions(template)[1]


@functools.cache
def facet_sets(template: str) -> np.ndarray:
    """Which planes may bound a cluster together, (m, k) bool.

    The first takes all `directions`; others leave families out, and of
    blocks of layers one pair of sides.
    """
    family = plane_families(template)
    sets = [np.isin(family, chosen) for chosen in _FACET_FAMILIES[template]]
    if template == "stack":
        sides = np.flatnonzero(family == 2)
        d = directions(template)[sides]
        for k in range(3):  # a side and the one across stay out
            out = np.abs(d @ d[k]) > 0.99
            block = np.isin(family, (0, 2))
            block[sides[out]] = False
            sets.append(block)
    return np.array(sets)


@functools.cache
def _directions(template: str) -> tuple[np.ndarray, np.ndarray]:
    """`directions` and the number of the family of each."""
    group = turns(template)
    poles = _poles(template)
    poles = poles / np.linalg.norm(poles, axis=1)[:, None]
    orbit = np.einsum("gij,kj->kgi", group, poles).reshape(-1, 3)
    # An operation that keeps a pole repeats it; adding 0 makes -0 a 0.
    _, first = np.unique(np.round(orbit, 6) + 0.0, axis=0, return_index=True)
    first = np.sort(first)
    _, family = np.unique(first // len(group), return_inverse=True)
    return orbit[first], family


def _poles(template: str) -> np.ndarray:
    """One direction of each family, (f, 3), of any length."""
    if template == "ico":
        corner = icosahedron()
        triangle = next(
            list(three)
            for three in itertools.combinations(range(12), 3)
            if (corner[list(three)] @ corner[three[0]] > 0).all()
            and corner[three[1]] @ corner[three[2]] > 0
        )
        # A corner, the middle of an edge, the middle of a face.
        return np.cumsum(corner[triangle], axis=0)
    if template in ("dec", "stack"):
        between = np.pi / (5 if template == "dec" else 6)
        # Heights of {111} on decahedra; of {111} and {100} on layers.
        tilts = [np.pi / 6, np.arctan(2**0.5)]
        if template == "stack":
            tilts = [np.arcsin(1 / 3), np.arctan(0.5**0.5), np.pi / 3]
        return np.array(
            [[0, 0, 1]]
            + [
                [np.cos(a) * np.cos(up), np.sin(a) * np.cos(up), np.sin(up)]
                for up in (0.0, *tilts)
                for a in (0.0, between)
            ]
        )
    return np.array([[1, 0, 0], [1, 1, 0], [1, 1, 1], [2, 1, 1.0]])


def icosahedron() -> np.ndarray:
    """The twelve vertices in ASE's frame, (12, 3)."""
    golden = (1 + 5**0.5) / 2
    return np.array(
        [
            np.roll([0, a, b * golden], k)
            for k in range(3)
            for a in (1, -1)
            for b in (1, -1)
        ]
    )


def _icosahedral_group() -> np.ndarray:
    """The 120 operations that keep the vertices of the icosahedron."""
    vertices = icosahedron()
    # Three vertices with the same scalar products are the image of these
    # three, and say the operation.
    base = vertices[[0, 4, 8]]
    gram = base @ base.T
    inverse = np.linalg.inv(base)
    operations = []
    for triple in itertools.permutations(range(12), 3):
        image = vertices[list(triple)]
        if np.abs(image @ image.T - gram).max() < 1e-9:
            operations.append((inverse @ image).T)
    return np.array(operations)


@functools.cache
def _turned_weights(
    template: str,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The moments' weights seen from each operation, flattened."""
    r = turns(template)
    two = np.einsum("ij,gia,gjb->gab", _SECOND_MOMENT, r, r)
    three = np.einsum("ijk,gia,gjb,gkc->gabc", _THIRD_MOMENT, r, r, r)
    four = np.einsum("ijkl,gia,gjb,gkc,gld->gabcd", _FOURTH_MOMENT, r, r, r, r)
    n = len(r)
    return two.reshape(n, -1), three.reshape(n, -1), four.reshape(n, -1)


@functools.cache
def _short_translations(template: str) -> np.ndarray:
    """Translations by at most one step along each row of the basis."""
    basis = BASES[template]
    steps = itertools.product((-1, 0, 1), repeat=len(basis))
    return np.array(list(steps)) @ basis


@functools.cache
def _inverse(template: str) -> np.ndarray:
    """From points to their components along the rows of the basis."""
    return np.linalg.pinv(BASES[template])


def nearest(template: str, points: np.ndarray) -> np.ndarray:
    """The translation nearest to each point, (n, 3) -> (n, 3).

    Of several as near, the one from which the point lies most along a fixed
    direction.
    """
    basis = BASES[template]
    if not len(basis):
        return np.zeros_like(points)
    # On an oblique basis the rounded components may miss the nearest point
    # by a step.
    rounded = np.round(points @ _inverse(template)) @ basis
    trial = rounded[:, None] + _short_translations(template)
    off = points[:, None] - trial
    cost = (off**2).sum(-1) - 1e-3 * off @ _FIRST_MOMENT
    return trial[np.arange(len(points)), cost.argmin(1)]


def place(template: str, xyz: np.ndarray) -> np.ndarray:
    """One of the equivalent positions of a cluster on its lattice.

    Parameters
    ----------
    template : str
        One of `TEMPLATES`.
    xyz : (n, 3) array
        Points of the template's lattice, bond lengths.

    Returns
    -------
    (n, 3) array, in the same order: the mean position is near the origin,
    and the moments of the shape point along fixed directions.
    """
    group = turns(template)
    mean = xyz.mean(0)
    d = xyz - mean
    # In units of the radius of gyration, so that moments of different order
    # compare; a single atom has none.
    size = max(float((d**2).sum(1).mean()) ** 0.5, 1e-9)
    d = d / size
    pairs = np.einsum("ni,nj->nij", d, d).reshape(len(d), 9)
    two = pairs.mean(0)
    three = pairs.T @ d / len(d)
    four = pairs.T @ pairs / len(d)
    means = group @ mean
    if template == "stack":
        moves, allowed = _stack_moves(xyz, means)
    else:
        moves, allowed = nearest(template, means), np.ones(len(group), bool)
    # Higher moments break the ties that lower ones leave.
    weights = _turned_weights(template)
    score = weights[0] @ two + 0.3 * weights[1] @ three.ravel()
    score = score + 0.03 * weights[2] @ four.ravel()
    # Little more than a tie-break: parity shall not turn a block.
    score = score + 0.01 * (means - moves) @ _FIRST_MOMENT
    score[~allowed] = -np.inf
    # Operations that are symmetries of the shape tie: the first is taken.
    best = int(np.argmax(score > score.max() - 1e-6))
    return xyz @ group[best].T - moves[best]


def _stack_moves(
    xyz: np.ndarray, means: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Translations that bring the middle layer to A and height zero.

    Returns
    -------
    moves : (g, 3) array
        For each operation, which leaves the mean position at means (g, 3).
    allowed : (g,) array of bool
        Whether the layer above (or else below) then stands on B: so hcp
        always fills the same sites, and faults the others.
    """
    group = turns("stack")
    layers = stacking_sites(xyz)[0]
    heights = np.unique(layers)
    # One atom tells the site of its layer.
    samples = xyz[[int(np.argmax(layers == k)) for k in heights]]
    turned = np.einsum("gij,nj->gni", group, samples)
    layer, site = stacking_sites(turned.reshape(-1, 3))
    layer, site = layer.reshape(len(group), -1), site.reshape(len(group), -1)
    # The layer next to the mean, and of two as near the lower one.
    gap = abs(layer * LAYER - means[:, 2:])
    near = gap < gap.min(1, keepdims=True) + 1e-3
    middle = np.where(near, layer, 1 << 20).min(1)

    def label(height: np.ndarray) -> np.ndarray:
        """The site of a layer, -1 where there is none."""
        return np.where(layer == height[:, None], site, -1).max(1)

    here, above, below = label(middle), label(middle + 1), label(middle - 1)
    beside = np.where(above >= 0, above, below)
    allowed = (beside < 0) | ((beside - here) % 3 == 1)
    moves = here[:, None] * BASES["stack"][0]
    moves = moves + middle[:, None] * [0, 0, LAYER]
    off = (means - moves) * [1, 1, 0]
    # Row by row, not the nearest translation: a block that grows along its
    # rows then stays on them.
    rows = BASES["layer"]
    up = np.floor(off[:, 1] / rows[1, 1] + 0.5 - 1e-6)
    along = np.floor(off[:, 0] - 0.5 * up + 0.5 - 1e-6)
    return moves + up[:, None] * rows[1] + along[:, None] * rows[0], allowed
