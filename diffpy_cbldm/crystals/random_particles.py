"""Large random cuts of crystals: shapes that no list of ideal ones holds.

A cut is drawn from its number alone.  A random gauge, the largest of the
heights over facets and of the distance from the centre, each over a limit of
its own, is taken at every site of a crystal about a random centre; the sites
with the lowest gauge are the particle.  So it is convex, its facets lie where
they may, and its number of atoms is the one that was drawn.

Lengths are in bond lengths.
"""

from __future__ import annotations

import dataclasses
import functools

import numpy as np

from diffpy_cbldm.crystals.lattices import directions, plane_families
from diffpy_cbldm.crystals.particles import (
    MAX_ATOMS,
    STACKINGS,
    crystal_places,
)
from diffpy_cbldm.settings import MAX_ATOMS as SMALL

SEED = 20_261
"""Cut k is drawn with the seed (SEED, k)."""

WEIGHTS = {
    "fcc": 0.35,
    "bcc": 0.1,
    "sc": 0.1,
    "hcp": 0.15,
    "twin": 0.15,
    "lamella": 0.15,
}
"""How often each crystal is drawn."""

ROOM = 1.9
"""Sites are looked at within so many radii of a sphere of the atoms."""

_DENSITY = {"bcc": 0.75 * 3**0.5, "sc": 1.0}
"""Atoms in a bond length cubed; of the others, which are close-packed, 2^0.5.
"""


@dataclasses.dataclass(frozen=True)
class RandomParticle:
    """A random cut.

    Attributes
    ----------
    number : int
        From 0; it tells everything.
    """

    number: int

    def _begun(self) -> tuple[str, np.random.Generator]:
        """Crystal, and the generator of all that follows."""
        rng = np.random.default_rng([SEED, self.number])
        names = list(WEIGHTS)
        return names[rng.choice(len(names), p=list(WEIGHTS.values()))], rng

    @functools.cached_property
    def sites(self) -> np.ndarray:
        """Filled sites in whole steps of the template's basis, (N, 3)."""
        crystal, rng = self._begun()
        between = int(rng.integers(1, 9)) if crystal == "lamella" else 0
        count = np.exp(rng.uniform(np.log(SMALL + 1), np.log(MAX_ATOMS)))
        density = _DENSITY.get(crystal, 2**0.5)
        radius = (count / density / (4 / 3 * np.pi)) ** (1 / 3)
        sites, places = crystal_places(crystal, between)
        # Of layers with faults not every height is alike: the whole of the
        # fault's surroundings, or the cell of the others.
        spread = 0.3 * radius if crystal in STACKINGS[2:] else 0.8
        places = places - rng.uniform(-spread, spread, 3)
        near = (places**2).sum(1) < (ROOM * radius) ** 2
        gauge = _gauge(places[near], _template(crystal), rng)
        order = np.argsort(gauge, kind="stable")
        count = min(int(count), len(order))
        # Sites of one height come together.
        last = gauge[order[count - 1]] + 1e-6
        count = int(np.searchsorted(gauge[order], last, side="right"))
        return sites[near][order[: min(count, MAX_ATOMS)]]

    @functools.cached_property
    def crystal(self) -> str:
        """As of `diffpy_cbldm.crystals.particles.Particle`."""
        return self._begun()[0]

    @property
    def template(self) -> str:
        """The template of `diffpy_cbldm.crystals.lattices` it stands on."""
        return _template(self.crystal)

    @property
    def structure_type(self) -> str:
        """As candidates name it."""
        return "stacked" if self.crystal in STACKINGS[2:] else self.crystal

    @property
    def positions(self) -> np.ndarray:
        """Positions about their mean, (N, 3), bond lengths."""
        from diffpy_cbldm.crystals.lattice_pairs import site_steps

        xyz = self.sites @ site_steps(self.template)
        return xyz - xyz.mean(0)

    def __len__(self) -> int:
        return len(self.sites)


def _template(crystal: str) -> str:
    return "stack" if crystal in STACKINGS[1:] else crystal


def _gauge(
    places: np.ndarray, template: str, rng: np.random.Generator
) -> np.ndarray:
    """How far out each place lies, (n,), by random facets and a spheroid."""
    normals, family = directions(template), plane_families(template)
    # Limits of each family, and of its facets one by one: a Wulff shape
    # about its centre, or one that grew more on one side.
    limits = rng.uniform(0.85, 1.25, family.max() + 1)
    kept = rng.random(family.max() + 1) < 0.6
    uneven = rng.choice([0.0, 0.05, 0.15])
    each = limits[family] * np.exp(uneven * rng.normal(size=len(family)))
    facets = kept[family]
    # A spheroid rounds the corners off, or is all there is.
    axis = rng.normal(size=3)
    axis /= np.linalg.norm(axis)
    aspect = np.exp(rng.choice([0.0, 0.25]) * rng.normal())
    along = places @ axis
    square = (places**2).sum(1) - along**2 + (along / aspect) ** 2
    round_limit = rng.uniform(1.0, 1.4) if facets.any() else 1.0
    gauge = np.sqrt(square) / round_limit
    if facets.any():
        heights = places @ (normals[facets] / each[facets, None]).T
        gauge = np.maximum(gauge, heights.max(1))
    return gauge
