"""Random clusters that no library holds: cuts of the template sites.

A cut is what lies inside a random ellipsoid, polyhedron or block about a
random or a symmetric centre, now and then with a few surface atoms missing,
on the sites of a lattice, of an ideal hcp crystal, or of close-packed layers
in an irregular order (stacking faults and twins).
"""

from __future__ import annotations

import itertools
import zlib

import numpy as np

from diffpy_cbldm.crystals.lattices import (
    BASES,
    icosahedron,
    place,
    stacking_sites,
)
from diffpy_cbldm.crystals.table import TEMPLATE_OF, Table
from diffpy_cbldm.settings import MAX_ATOMS

CUT_KINDS = ("bcc", "dec", "fcc", "hcp", "ico", "sc", "stacked")
"""What cuts are made of; "stacked" has faults."""

CUT_WEIGHTS = {
    "bcc": 0.12,
    "dec": 0.16,
    "fcc": 0.25,
    "hcp": 0.17,
    "ico": 0.08,
    "sc": 0.07,
    "stacked": 0.15,
}
"""How often each kind is drawn among random cuts."""

BOND_SQUARE = 1.44
"""Square of the longest bond, `bonds.BOND`, in bond lengths."""


def code(template: str, members: np.ndarray) -> int:
    """A number that tells a cut from others, from its sites."""
    return zlib.crc32(template.encode() + members.astype("<u2").tobytes())


def kept_back(template: str, members: np.ndarray) -> bool:
    """Whether a cut is for tests alone: one in 16, by its `code`."""
    return code(template, members) % 16 == 0


def random_cut(
    table: Table,
    kind: str,
    rng: np.random.Generator,
    smallest: int = 13,
    largest: int = MAX_ATOMS,
    symmetric: bool = True,
) -> np.ndarray:
    """Draw the sites of a random cut.

    Parameters
    ----------
    table : Table
        Gives the sites.
    kind : str
        One of `CUT_KINDS`.
    rng : numpy.random.Generator
        Source of all choices.
    smallest, largest : int
        Range of the number of atoms, drawn evenly or, half of the time, so
        that its logarithm is even.
    symmetric : bool
        Whether centres may be symmetric ones, and cuts blocks.

    Returns
    -------
    (n,) array of uint16, rising site numbers of the kind's template.
    """
    template = TEMPLATE_OF[kind]
    sites = table.sites[template].astype(float)
    if template == "stack":
        sites = sites[_stacked_sites(kind, sites, rng)]
    # Half of the sizes even in their logarithm: else most cuts were large.
    count = int(rng.integers(smallest, largest + 1))
    if rng.random() < 0.5:
        limits = np.log([smallest, largest])
        count = round(np.exp(rng.uniform(*limits)))
    count = min(count, len(sites))
    centre = _centre(template, rng, symmetric)
    depth = _depth(template, sites - centre, rng, symmetric)
    order = np.argsort(depth, kind="stable")
    # Sites as deep as the last one belong to it, in all or not at all.
    whole = int((depth <= depth[order[count - 1]] + 1e-6).sum())
    if whole > largest:
        whole = int((depth < depth[order[count - 1]] - 1e-6).sum())
    chosen = order[: whole or count]
    # In a quarter of the cuts atoms of the outer half are missing.
    if rng.random() < 0.25:
        outer = chosen[count // 2 :]
        missing = rng.random(len(outer)) < rng.uniform(0.0, 0.1)
        chosen = np.concatenate([chosen[: count // 2], outer[~missing]])
    # Brought to its one place on the lattice, so that copies are told.
    return table.members(template, place(template, sites[chosen]))


def _centre(
    template: str, rng: np.random.Generator, symmetric: bool
) -> np.ndarray:
    """A point of the cell, or near the axis or the centre of twins.

    Now and then it may be a symmetric one: a site, or halfway between some.
    """
    # A decahedron is periodic along its axis alone, an icosahedron not at
    # all: a centre off their middle is a cut of a larger particle.
    half = None
    if symmetric and rng.random() < 0.4:
        half = rng.choice([0.0, 0.5], 3)
    if template == "ico":
        spread = rng.choice([0.1, 0.6]) if half is None else 0.0
        return rng.normal(0, spread, 3)
    if template == "dec":
        if half is not None:
            return half[:1] @ BASES["dec"]
        off = rng.normal(0, rng.choice([0.1, 0.8]), 2)
        return np.array([*off, rng.uniform(-0.5, 0.5)])
    part = rng.uniform(-0.5, 0.5, 3) if half is None else half
    return part @ BASES[template]


def _depth(
    template: str,
    xyz: np.ndarray,
    rng: np.random.Generator,
    symmetric: bool,
) -> np.ndarray:
    """How far out each point lies, in units of a random shape, (n,).

    The shape is an ellipsoid, a block of layers or a polyhedron.
    """
    if rng.random() < 0.45:
        axes = np.exp(rng.normal(0.0, rng.choice([0.05, 0.2]), 3))
        # The Q of a random matrix: axes that point anywhere.
        turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
        return np.linalg.norm((xyz @ turn) / axes, axis=1)
    if symmetric and template == "stack" and rng.random() < 0.3:
        # A block between three pairs of close-packed planes.
        angle = np.pi / 6 + np.pi / 3 * (rng.integers(3) + np.arange(2))
        sides = np.stack([np.cos(angle), np.sin(angle), 0 * angle], 1)
        planes = np.array([[0, 0, 1], *sides])
        reach = np.exp(rng.normal(0, 0.6, 3))
        return (np.abs(xyz @ planes.T) / reach).max(1)
    # A fifth of the polyhedra by planes of any direction, as rough particles
    # have them.
    if rng.random() < 0.2:
        planes = rng.normal(size=(12, 3))
        family = np.arange(12)
    else:
        planes, family = _low_index_planes(template)
    planes = planes / np.linalg.norm(planes, axis=1)[:, None]
    # Of a family each plane has its own distance, and all a common one.
    reach = np.exp(rng.normal(0, 0.15, family.max() + 1))[family]
    spread = rng.choice([0.0, 0.05, 0.15])
    reach = reach * np.exp(rng.normal(0.0, spread, len(planes)))
    if rng.random() < 0.5 and len(set(family)) > 1:  # some do not show
        reach[family == rng.integers(family.max() + 1)] *= 3
    return (xyz @ planes.T / reach).max(1)


def _low_index_planes(template: str) -> tuple[np.ndarray, np.ndarray]:
    """Normals of the low-index planes and the family of each."""
    if template in ("fcc", "bcc", "sc"):
        planes = np.array(
            [p for p in itertools.product((-1, 0, 1), repeat=3) if any(p)]
        )
        return planes, np.abs(planes).sum(1) - 1
    if template == "ico":
        return icosahedron(), np.zeros(12, int)
    # About the axis: sides, corners between them, and planes tilted towards
    # either.  (0.8165, 0.577) and (0.8165, 0.5) are, but for their length,
    # the normals of close-packed planes.
    fold = 5 if template == "dec" else 6
    angle = np.pi / fold * np.arange(2 * fold)
    flat = np.stack([np.cos(angle), np.sin(angle), 0 * angle], 1)
    tilted = [
        [*row[:2] * 0.8165, h]
        for row in flat
        for h in ((0.577, -0.577) if fold == 5 else (0.5, -0.5))
    ]
    planes = np.array([[0, 0, 1], [0, 0, -1], *flat, *tilted], float)
    family = [0, 0, *([1, 2] * fold), *([3, 3, 4, 4] * fold)]
    return planes, np.array(family)


def _stacked_sites(
    kind: str, sites: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Which sites a random order of layers fills, (S,) bool."""
    layer, place_in_layer = stacking_sites(sites)
    count = int(layer.max() - layer.min()) + 1
    if kind == "hcp":
        steps = np.where(np.arange(count) % 2, 1, -1)
    else:
        # +1 again and again is fcc, a change of sign a twin, +1 -1 hcp.
        turn = rng.random(count) < rng.choice([0.1, 0.3, 0.5, 0.8])
        middle = count // 2 + rng.integers(-1, 2)
        turn[middle] = True
        turn[middle + rng.choice([-1, 1])] = rng.random() < 0.5
        steps = np.where(np.cumsum(turn) % 2, 1, -1)
    order = np.cumsum(steps) % 3
    return order[layer - layer.min()] == place_in_layer


def random_shape(rng: np.random.Generator) -> np.ndarray:
    """A random strain and relaxation for `deformed`, (3,) array."""
    # Half of the clusters without strain, half without relaxation.
    shape = np.zeros(3)
    if rng.random() < 0.5:
        shape[:2] = rng.uniform(-0.012, 0.012, 2)
    if rng.random() < 0.5:
        shape[2] = rng.uniform(-0.03, 0.12)
    return shape


def deformed(
    xyz: np.ndarray, shape: np.ndarray, neighbours: np.ndarray | None = None
) -> np.ndarray:
    """Strain a cluster and relax its surface.

    Parameters
    ----------
    xyz : (n, 3) array, bond lengths
    shape : (3,) array
        Strain along x and y (that along z keeps the volume), and the way in
        bond lengths that an atom without neighbours would move inwards;
        others move in proportion to the neighbours that they lack.
    neighbours : (n,) array of int, optional
        How many each atom has, where that is known already.

    Returns
    -------
    (n, 3) array, centred.
    """
    xyz = xyz - xyz.mean(0)
    if not shape.any():
        return xyz
    strain = np.array([shape[0], shape[1], -shape[0] - shape[1]])
    if shape[2]:
        if neighbours is None:
            norm = (xyz**2).sum(1)
            square = norm[:, None] + norm - 2 * xyz @ xyz.T
            # Each atom counts itself.
            neighbours = (square < BOND_SQUARE).sum(1) - 1
        lack = 1 - neighbours / max(neighbours.max(), 1)
        radius = np.linalg.norm(xyz, axis=1).clip(1e-6)
        # No atom crosses the middle, however strong the relaxation.
        inwards = np.minimum(shape[2] * lack / radius, 0.2)
        xyz = xyz * (1 - inwards)[:, None]
    xyz = xyz * (1 + strain)
    return xyz - xyz.mean(0)
