"""Which large ideal particles there are: about 10,000, of 100 to 10,000 atoms.

`enumerate_particles` lists them in a fixed order; the order is what the
packaged sketch of their pair counts (`diffpy_cbldm.search.large_set`) stands
on.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np

from diffpy_cbldm.crystals.particles import (
    BETWEEN,
    MAX_ATOMS,
    NONE,
    MultiplyTwinned,
    Particle,
    layers_of,
)

FEWEST = 257
"""Smaller ideal clusters stand in the table of geometries."""

ASPECTS = (0.4, 0.55, 0.75, 1.4, 1.9, 2.6)
"""Length over width of spheroids."""

_FACETS = {
    # Families that bound together, each with the share of the layers at
    # which it may cut off what the first one leaves.
    "fcc": ((2, 0), (2, 0, 1)),
    "bcc": ((1, 0), (1, 0, 2)),
    "sc": ((0, 2), (0, 1)),
    "hcp": ((0, 1), (0, 2), (4, 0), (6, 0)),
    "twin": ((4, 0), (4, 6, 0)),
    "lamella": ((0, 1), (0, 2)),
}
"""Families of facets (of `lattices.plane_families`) that bound together."""


def enumerate_particles() -> Iterator[Particle | MultiplyTwinned]:
    """All particles, those of one crystal and kind together.

    Truncated polyhedra about each centre, spheres, spheroids, rods and
    plates (cylinders with caps), Marks decahedra and icosahedra.
    """
    for crystal, centres in (("fcc", 3), ("bcc", 2), ("sc", 2)):
        for centre in range(centres):
            yield from _of_centre(crystal, centre, (0, 1, 2))
    for crystal in ("hcp", "twin"):
        for centre in (0, 1, 3):
            yield from _of_centre(crystal, centre, (0,))
    for between in BETWEEN:
        yield from _of_centre("lamella", 0, (0,), between)
    yield from _multiply_twinned()


def _of_centre(
    crystal: str, centre: int, axes: tuple[int, ...], between: int = 0
) -> Iterator[Particle]:
    yield from _polyhedra(crystal, centre, between)
    yield from _round(crystal, centre, axes, between)


def _open(crystal: str) -> list[float]:
    """Limits that cut nothing."""
    return [NONE] * (4 if crystal in ("fcc", "bcc", "sc") else 9)


def _polyhedra(crystal: str, centre: int, between: int) -> Iterator[Particle]:
    """Polyhedra of a first family, truncated by the layers of others."""
    layers = layers_of(crystal, centre, between)
    # Every second layer of crystals that fewer particles have.
    stride = 1 if crystal in ("fcc", "sc") else 2
    for first, *others in _FACETS[crystal]:
        for outer in layers[first][:: 1 if crystal == "fcc" else stride]:
            # A truncation beyond the corners cuts nothing, one below 0.55
            # of the first family's distance leaves nothing of it.
            choices = [
                layers[k][
                    (layers[k] >= 0.55 * outer) & (layers[k] <= 1.75 * outer)
                ]
                for k in others
            ]
            stride = max(stride, len(choices))
            choices = [c[::stride] for c in choices]
            for cuts in itertools.product(*choices):
                limits = _open(crystal)
                limits[first] = outer
                for k, cut in zip(others, cuts):
                    limits[k] = cut
                yield Particle(crystal, centre, tuple(limits), between=between)


def _round(
    crystal: str, centre: int, axes: tuple[int, ...], between: int
) -> Iterator[Particle]:
    """Spheres of every shell, spheroids, and cylinders between caps."""
    limits = tuple(_open(crystal))
    shells = layers_of(crystal, centre, between)[-1]
    # Steps of 4 % of the volume, as far as shells lie so close.
    steps = np.searchsorted(shells, np.geomspace(2.5, 14.0, 130))
    for radius in shells[np.unique(steps.clip(max=len(shells) - 1))]:
        yield Particle(crystal, centre, limits, float(radius), between=between)
    for axis, aspect in itertools.product(axes, ASPECTS):
        # In steps of a quarter of the volume.
        for radius in np.geomspace(2.5, 14.0, 24):
            yield Particle(
                crystal,
                centre,
                limits,
                float(radius),
                axis,
                aspect,
                between=between,
            )
    for axis in axes:
        for radius, half in itertools.product(
            np.geomspace(2.0, 12.0, 14), np.geomspace(1.5, 12.0, 12)
        ):
            if 0.2 < half / radius < 5:
                yield Particle(
                    crystal,
                    centre,
                    limits,
                    float(radius),
                    axis,
                    NONE,
                    (-float(half), float(half)),
                    between,
                )


def _multiply_twinned() -> Iterator[MultiplyTwinned]:
    for p, r in itertools.product(range(2, 22), range(0, 5)):
        for q in range(1, 3 * (p + r)):
            particle = MultiplyTwinned("dec", (p, q, r))
            if len(particle) > MAX_ATOMS:
                break
            yield particle
    for shells in range(4, 16):
        yield MultiplyTwinned("ico", (shells,))


def chosen_particles() -> list[Particle | MultiplyTwinned]:
    """Each particle of `FEWEST` to `MAX_ATOMS` atoms once.

    Particles of one crystal with the same number of atoms and radius of
    gyration are one.
    """
    kept: dict[tuple, Particle | MultiplyTwinned] = {}
    for particle in enumerate_particles():
        count = len(particle)
        if not FEWEST <= count <= MAX_ATOMS:
            continue
        kept.setdefault(particle.signature(), particle)
    return list(kept.values())
