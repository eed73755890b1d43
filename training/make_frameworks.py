"""Make the packaged symmetric frameworks.

    python -m training.make_frameworks [--out FILE]

From the centre outwards: to a cluster of whole orbits the next orbit is added
in the hollows of three atoms, and, on axes, over two atoms and over one.  What
comes out is relaxed by a Morse potential within its group, and of those of
one group and number of atoms the most compact go on.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from scipy.spatial import cKDTree

from diffpy_cbldm.crystals.frameworks import Framework, packed
from diffpy_cbldm.crystals.point_groups import (
    ROTATION_GROUPS,
    orbit_of,
    rotations,
)
from diffpy_cbldm.files import appearing

OUT = (
    Path(__file__).parents[1] / "diffpy_cbldm" / "crystals" / "frameworks.npz"
)

FEWEST, MOST = 12, 400
"""Atoms of the frameworks."""

TOUCHING = 0.86
"""No two atoms of a growing cluster lie closer, bond lengths; the edges of an
icosahedron are 1.05 where its radii are 1."""

SHORTEST = 0.8
"""The same once it is relaxed."""

NEAR = 1.8
"""Atoms farther from one another make no hollow, bond lengths."""

MERGE = 0.3
"""A site nearer to its images than this is put on their axis."""

BEAM = {"I": 12, "O": 6, "T": 4, "D5": 4, "D3": 4}
"""So many of one number of atoms go on growing, the most compact."""

LEVELS = {"I": 7, "O": 8, "T": 10, "D5": 11, "D3": 12}
"""Orbits that are added at most."""

KEPT = 6
"""Of one group and number of atoms so many are kept."""

STEEPNESS = 5.0
"""Of the Morse potential, per bond length: soft, as metals are."""

Shells = list[np.ndarray]


def seeds(group: str) -> Iterator[Shells]:
    """Innermost shells: one special orbit, or an axis with a ring about it.

    Nearest neighbours are a bond apart; with an atom at the centre as well
    where there is room.
    """
    centre = np.zeros((1, 3))
    first = _rings(group) if group[0] == "D" else _special(group)
    for shells in first:
        yield shells
        nearest = min(np.linalg.norm(shell[0]) for shell in shells)
        if nearest > TOUCHING:
            yield [centre, *shells]


def _special(group: str) -> Iterator[Shells]:
    """Orbits on the axes of a cubic or icosahedral group."""
    turns = rotations(group)
    # Each rotation leaves its axis alone: the eigenvector of 1.
    axes = [np.linalg.eigh(turn + turn.T)[1][:, 2] for turn in turns[1:]]
    known: set[tuple[int, int]] = set()
    for axis in itertools.chain(axes, [-axis for axis in axes]):
        shell = orbit_of(axis, turns, 1e-6)
        if shell is None:
            continue
        edge = np.linalg.norm(shell[1:] - shell[0], axis=1).min()
        opposite = np.linalg.norm(shell + shell[0], axis=1).min() < 1e-6
        kind = len(shell), int(opposite)
        if kind not in known:
            known.add(kind)
            yield [shell / edge]


def _rings(group: str) -> Iterator[Shells]:
    """Atoms on the axis of a dihedral group, and rings about it."""
    n = int(group[1:])
    turns = rotations(group)
    # Twofold axes at right angles to z: a ring on them lies in the plane.
    flat = [t for t in turns if np.isclose(t[2, 2], -1)]
    twofold = np.linalg.eigh(flat[0] + flat[0].T)[1][:, 2]
    size = 0.5 / np.sin(np.pi / n)
    chains = [[], [0.5], [1.0], [0.5, 1.5], [1.0, 2.0]]
    for chain in chains:
        axis = [orbit_of(np.array([0, 0, z]), turns, 1e-6) for z in chain]
        for way in (twofold, -twofold):
            yield [*axis, orbit_of(size * way, turns, 1e-6)]
        for angle, z in itertools.product((0.0, np.pi / 2 / n), (0.5, 0.43)):
            # Two rings face to face, or turned by half a step.
            across = np.cross([0, 0, 1], twofold)
            way = np.cos(angle) * twofold + np.sin(angle) * across
            ring = orbit_of(size * way + [0, 0, z], turns, 1e-6)
            shells = [*axis, ring]
            if _nearest(shells) > TOUCHING:
                yield shells


def _nearest(shells: Shells) -> float:
    """The shortest distance from an orbit's first atom to any other."""
    x = np.concatenate(shells)
    firsts = np.array([shell[0] for shell in shells])
    return float(cKDTree(x).query(firsts, k=2)[0][:, 1].min())


def sites(shells: Shells, turns: np.ndarray) -> np.ndarray:
    """Where the next orbit may stand, one site of each, (s, 3).

    A bond from three atoms at once; over the middle of two and over one
    where that lies on an axis.
    """
    x = np.concatenate(shells)
    tree = cKDTree(x)
    found = []
    for shell in shells:
        atom = shell[0]
        around = x[tree.query_ball_point(atom, NEAR)] - atom
        around = around[np.linalg.norm(around, axis=1) > 1e-6]
        found.append(atom + _hollows(around))
        found.append(_on_axes(atom + _bridges(atom, around), turns))
        radius = np.linalg.norm(atom)
        if radius > 0.1:
            found.append(_on_axes(atom[None] * (1 + 1 / radius), turns))
    places = np.concatenate(found)
    places = places[tree.query(places)[0] > TOUCHING]
    if not len(places):
        return places
    # Of equal sites the one that lies farthest along an odd direction.
    images = np.einsum("gij,sj->sgi", turns, places)
    best = (images @ [0.6, 0.37, 1.0]).argmax(1)
    places = images[np.arange(len(places)), best]
    return places[np.unique(np.round(places, 2), axis=0, return_index=True)[1]]


def _hollows(around: np.ndarray) -> np.ndarray:
    """Points at a bond from the origin and from two of its neighbours."""
    i, j = np.triu_indices(len(around), 1)
    a, b = around[i], around[j]
    a, b = (v[np.linalg.norm(a - b, axis=1) < NEAR] for v in (a, b))
    normal = np.cross(a, b)
    area = (normal**2).sum(1)
    a, b, normal, area = (v[area > 0.05] for v in (a, b, normal, area))
    # The centre of the circle through the three, and up from there.
    difference = (a**2).sum(1)[:, None] * b - (b**2).sum(1)[:, None] * a
    middle = np.cross(difference, normal) / (2 * area[:, None])
    height = 1 - (middle**2).sum(1)
    flat = height > -0.12
    up = np.sqrt(height.clip(0) / area)[:, None] * normal
    return np.concatenate([(middle + up)[flat], (middle - up)[flat]])


def _bridges(atom: np.ndarray, around: np.ndarray) -> np.ndarray:
    """Points outwards at a bond from the origin and from a neighbour."""
    half = around / 2
    out = atom + half
    along = (out * around).sum(1) / (around**2).sum(1)
    out = out - along[:, None] * around
    length = np.linalg.norm(out, axis=1)
    height = np.sqrt((1 - (half**2).sum(1)).clip(0))
    good = length > 0.1
    return half[good] + (out * (height / length.clip(1e-9))[:, None])[good]


def _on_axes(places: np.ndarray, turns: np.ndarray) -> np.ndarray:
    """Those that some rotation leaves alone."""
    images = np.einsum("gij,sj->sgi", turns, places)
    still = np.linalg.norm(images - places[:, None], axis=2) < 0.05
    return places[still.sum(1) > 1]


def energy(x: np.ndarray) -> float:
    """Morse energy an atom, in wells."""
    i, j = cKDTree(x).query_pairs(NEAR, output_type="ndarray").T
    e = np.exp(STEEPNESS * (1 - np.linalg.norm(x[i] - x[j], axis=1)))
    return float((e * e - 2 * e).sum()) / len(x)


def relaxed(shells: Shells, turns: np.ndarray, steps: int = 25) -> Shells:
    """Shells after some damped steps along the Morse forces.

    Only one atom of each orbit is moved, along what its own symmetry leaves
    free; the others follow.
    """
    at = np.array([shell[0] for shell in shells])
    which = [
        turns[
            np.linalg.norm(
                (turns @ shell[0])[:, None] - shell[None], axis=2
            ).argmin(0)
        ]
        for shell in shells
    ]
    owner = np.repeat(np.arange(len(at)), [len(shell) for shell in shells])
    turn = np.concatenate(which)
    still = np.linalg.norm(turns @ at.T - at.T, axis=1) < 1e-3  # (g, k)
    free = np.array([turns[mine].mean(0) for mine in still.T])
    speed = np.zeros_like(at)
    for _ in range(steps):
        x = np.einsum("nij,nj->ni", turn, at[owner])
        apart = at[:, None] - x
        d = np.linalg.norm(apart, axis=2)
        acts = (d > 1e-6) & (d < 2.0)
        d = np.where(acts, d, 1.0)
        e = np.exp(STEEPNESS * (1 - d))
        pull = np.where(acts, (e * e - e) / d, 0.0)[:, :, None] * apart
        force = np.einsum("kij,kj->ki", free, pull.sum(1))
        speed = 0.6 * speed + 0.06 * force
        size = np.linalg.norm(speed, axis=1, keepdims=True).clip(1e-9)
        at = at + speed * np.minimum(1.0, 0.08 / size)
    return [
        np.einsum("nij,j->ni", turns_of, site)
        for turns_of, site in zip(which, at)
    ]


def signature(shells: Shells) -> tuple:
    """The same for frameworks that differ by small moves alone.

    Orbits from the centre outwards, with the neighbours of an atom of each.
    """
    x = np.concatenate(shells)
    tree = cKDTree(x)
    rows = [
        (
            round(float(np.linalg.norm(shell[0])), 1),
            len(shell),
            len(tree.query_ball_point(shell[0], 1.3)) - 1,
        )
        for shell in shells
    ]
    return tuple(sorted(rows))


def grow(group: str) -> list[Shells]:
    """All frameworks of a group that were met, the most compact first."""
    turns = rotations(group)
    met: dict[tuple, tuple[float, Shells]] = {}
    seen: set[tuple] = set()
    growing = list(seeds(group))
    for level in range(LEVELS[group]):
        new: dict[tuple, tuple[float, Shells]] = {}
        for shells in growing:
            for larger in _with_one_more(shells, turns, seen):
                kind = signature(larger)
                value = energy(np.concatenate(larger))
                known = met.get(kind) or new.get(kind)
                if known is None or value < known[0] - 1e-3:
                    new[kind] = value, larger
        met |= new
        growing = _best(new, BEAM[group])
        print(f"{group}: {level + 1} orbits added, {len(met)} met", flush=True)
    return _best(met, KEPT)


def _with_one_more(
    shells: Shells, turns: np.ndarray, seen: set[tuple]
) -> Iterator[Shells]:
    """A framework with each further orbit that finds room, relaxed."""
    x = np.concatenate(shells)
    tree = cKDTree(x)
    for site in sites(shells, turns):
        shell = orbit_of(site, turns, MERGE)
        if shell is None or len(x) + len(shell) > MOST:
            continue
        apart = np.linalg.norm(shell[1:] - shell[0], axis=1).min(initial=9.0)
        if min(apart, tree.query(shell[0])[0]) < TOUCHING:
            continue
        # The same orbits in another order are known.
        both = np.concatenate([x, shell])
        mark = (
            len(both),
            round(energy(both), 3),
            round(float((both**2).sum()) / len(both), 3),
        )
        if mark in seen:
            continue
        seen.add(mark)
        larger = relaxed([*shells, shell], turns)
        if _nearest(larger) > SHORTEST:
            yield larger


def _best(
    found: dict[tuple, tuple[float, Shells]], count: int
) -> list[Shells]:
    """The most compact of each number of atoms."""
    by_size: dict[int, list[tuple[float, Shells]]] = {}
    for value, shells in found.values():
        atoms = sum(map(len, shells))
        by_size.setdefault(atoms, []).append((value, shells))
    return [
        shells
        for some in by_size.values()
        for _, shells in sorted(some, key=lambda s: s[0])[:count]
    ]


def main(words: list[str] | None = None) -> None:
    """Make the file."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args(words)
    found = []
    for group in ROTATION_GROUPS:
        for shells in grow(group):
            framework = Framework(group, tuple(shells))
            if FEWEST <= len(framework) <= MOST:
                found.append(framework)
    found.sort(key=len)
    with appearing(options.out) as unfinished:
        np.savez_compressed(unfinished, **packed(found))
    print(f"{len(found)} frameworks")


if __name__ == "__main__":
    main()
