"""Any crystal that ends at a sphere: the baseline of compounds.

As `diffpy_cbldm.fitting.attenuated` for the lattices of metals: G(r) of the
crystal, each pair counted as often as both ends lie in a sphere of diameter
D.  Scale, lattice parameter, D, one Uiso for each element, delta2 and Qdamp.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import numpy as np

from diffpy_cbldm.crystals.crystal import SAME_SITE, Crystal
from diffpy_cbldm.fitting.attenuated import (
    DIAMETERS,
    AttenuatedCrystal,
    attenuation,
)
from diffpy_cbldm.fitting.pair_fit import (
    PairCurves,
    curves_rw,
    first_values,
    limits_of,
    minimised,
)
from diffpy_cbldm.fitting.pair_shells import BIN, PairShells, shells_of
from diffpy_cbldm.fitting.shell_sums import Shells
from diffpy_cbldm.fitting.target import Target

NARROW = np.linspace(-0.03, 0.03, 7)
"""Relative stretches that are tried of a crystal of known lattice."""

WIDE = np.linspace(-0.2, 0.24, 45)
"""And of one that was built of covalent radii."""

SMALL = 15.0
"""Diameter (A) at which these are compared: far peaks would decide by chance
where the lattice is known to one part in a hundred."""

STEPS = 15

COARSE = 0.05
"""Step of the distances of the first comparison, A."""

RATIO = 0.015
"""Relative change of an edge that is tried."""


def crystal_shells(crystal: Crystal, radius: float) -> PairShells:
    """The shells of an endless crystal by pair of elements.

    Parameters
    ----------
    crystal : Crystal
        Parts of atoms count as often as they are there.
    radius : float, angstrom
        The longest distance.
    """
    size = len(crystal.elements)
    bins = math.ceil(radius / BIN)
    moments = np.zeros((size * (size + 1) // 2, bins, 3))
    _, classes = crystal.symmetry
    # Equivalent sites have the same neighbours.
    for site, times in zip(*np.unique(classes, return_counts=True)):
        centre = crystal.sites[site] @ crystal.cell
        x, other = crystal.ball(centre, radius - BIN)
        d = np.linalg.norm(x, axis=1)
        near = d > SAME_SITE
        place = d[near] / BIN
        low = place.astype(int)
        for a, own in enumerate(crystal.shares[site]):
            for b in range(size):
                there = crystal.shares[other[near], b] * own * times
                code = max(a, b) * (max(a, b) + 1) // 2 + min(a, b)
                for k in range(3):
                    part = there * (place - low) ** k
                    moments[code, :, k] += np.bincount(low, part, bins)
    atoms = float(crystal.shares.sum())
    shells = tuple(shells_of(one, 1.0 / atoms) for one in moments)
    return PairShells(crystal.elements, crystal.fractions, shells)


def fit_envelope(
    crystal: Crystal,
    target: Target,
    wide: bool = False,
    diameter: float | None = None,
) -> tuple[Crystal, AttenuatedCrystal]:
    """Fit a measured G(r) by a spherical piece of a crystal.

    Parameters
    ----------
    crystal : Crystal
    target : Target
    wide : bool
        Whether its lattice parameters are a guess: it is scaled to the data
        first, the ratios of its edges kept.
    diameter : float, angstrom, optional
        Held there; `diffpy_cbldm.fitting.attenuated.BULK` is a crystal
        without an end.

    Returns
    -------
    crystal : Crystal
        At the lattice parameters that fit.
    fit : AttenuatedCrystal
    """
    few = PairCurves(target, crystal.elements, 2.0)
    if wide:
        crystal = _scaled(crystal, few)
    # Shells beyond the range would come into it where the crystal shrinks.
    reach = few.reach / (1 + NARROW[0])
    particle = crystal_shells(crystal, reach)
    sizes = DIAMETERS if diameter is None else np.array([diameter])
    best, size = _first(particle, few, sizes)
    fitted = _fitted(particle, few, best, size, diameter is not None)
    full = PairCurves(target, crystal.elements)
    held = enveloped(particle, fitted["diameter"] / fitted["stretch"])
    rw, scale = curves_rw(full, full.at(held, fitted)[0])
    crystal = crystal.scaled(fitted["stretch"])
    uiso = {e: fitted[e] for e in crystal.elements}
    return crystal, AttenuatedCrystal(
        lattice=crystal.name,
        a=crystal.edges[0],
        diameter=fitted["diameter"],
        uiso=float(crystal.fractions @ list(uiso.values())),
        delta2=fitted["delta2"],
        qdamp=fitted["qdamp"],
        scale=scale,
        rw=rw,
        tried={},
        density=crystal.density,
        uiso_by_element=uiso,
    )


def reshaped(
    crystal: Crystal, sphere: AttenuatedCrystal, target: Target
) -> tuple[Crystal, AttenuatedCrystal]:
    """The same with the ratios of its edges fitted, where it has any.

    Parameters
    ----------
    crystal : Crystal
        At the lattice parameters that fit.
    sphere : AttenuatedCrystal
        Its fit.
    target : Target
    """
    best = crystal, sphere
    for axis in free_axes(crystal):
        ends = []
        for change in (-RATIO, RATIO):
            edges = np.ones(3)
            edges[axis] += change
            cell = best[0].cell * edges[:, None]
            changed = dataclasses.replace(best[0], cell=cell)
            ends.append(fit_envelope(changed, target))
        low, high = (fit.rw for _, fit in ends)
        bend = low + high - 2 * best[1].rw
        # Where the parabola through the three has its least value.
        place = 0.5 * (low - high) / bend if bend > 0 else 0.0
        edges = np.ones(3)
        edges[axis] += RATIO * float(np.clip(place, -2, 2))
        cell = best[0].cell * edges[:, None]
        changed = dataclasses.replace(best[0], cell=cell)
        ends.append(fit_envelope(changed, target))
        best = min((best, *ends), key=lambda one: one[1].rw)
    return best


def free_axes(crystal: Crystal) -> list[int]:
    """Edges that the symmetry does not hold at the length of the first."""
    turns, _ = crystal.symmetry
    unit = crystal.cell / np.linalg.norm(crystal.cell, axis=1)[:, None]
    # Where an operation brings the first edge, the length is the same.
    there = np.abs(turns @ unit[0] @ unit.T) > 1 - 1e-3
    return [axis for axis in (1, 2) if not there[:, axis].any()]


def enveloped(particle: PairShells, diameter: float) -> PairShells:
    """A crystal's shells as far as a sphere holds them, D in A."""
    return _weighted(particle, lambda d: attenuation(d, diameter))


def _weighted(
    particle: PairShells, share: Callable[[np.ndarray], np.ndarray]
) -> PairShells:
    """Shells with weights times a share; those that have none are left."""
    shells = []
    for s in particle.shells:
        part = share(s.distance)
        some = part != 0
        shells.append(
            Shells(s.distance[some], s.variance[some], (s.weight * part)[some])
        )
    return dataclasses.replace(particle, shells=tuple(shells))


def _scaled(crystal: Crystal, few: PairCurves) -> Crystal:
    """A crystal at the scale that fits best, as a small sphere."""
    values = first_values(few.target, crystal.elements)
    fall = few.fall(values["qdamp"])
    reach = few.reach / (1 + WIDE[0])
    particle = enveloped(crystal_shells(crystal, reach), SMALL)
    fits = []
    for stretch in 1 + WIDE:
        g = few.at(particle, values | {"stretch": stretch})[0] * fall
        fits.append((curves_rw(few, g)[0], stretch))
    return crystal.scaled(min(fits)[1])


def _first(
    particle: PairShells, few: PairCurves, sizes: np.ndarray
) -> tuple[dict[str, float], float]:
    """The best of some stretches and diameters."""
    values = first_values(few.target, particle.elements)
    fall = few.fall(values["qdamp"])[:, None]
    count = math.ceil(few.reach / (1 + NARROW[0]) / COARSE)
    grid = (np.arange(count) + 0.5) * COARSE
    counts = [
        np.bincount((s.distance / COARSE).astype(int), s.weight, count)[:count]
        for s in particle.shells
    ]
    held = np.stack([attenuation(grid, d) for d in sizes], 1)
    tries = []
    for stretch in 1 + NARROW:
        told = values | {"stretch": stretch}
        parts = few.transform(grid, told, particle.fractions)
        g = sum(
            part.T @ (row[:, None] * held) for part, row in zip(parts, counts)
        )
        g = g * fall
        cross = (few.data @ g).clip(min=0)
        share = cross**2 / (g**2).sum(0)
        k = int(np.argmax(share))
        tries.append((float(share[k]), stretch, float(sizes[k])))
    _, stretch, diameter = max(tries)
    return values | {"stretch": stretch}, diameter * stretch


def _fitted(
    particle: PairShells,
    few: PairCurves,
    start: dict[str, float],
    diameter: float,
    held: bool,
) -> dict[str, float]:
    """All parameters, with ``diameter`` in A, fitted from a start.

    A diameter that is held is so in edges of the cell.
    """

    def curve(
        p: dict[str, float],
    ) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        ratio = math.exp(p["log_size"])
        g, slopes = few.at(enveloped(particle, ratio), p)
        # gamma depends on x = d / D: its slope by log D is -x gamma'(x).
        moved = _weighted(
            particle,
            lambda d: np.where(
                d < ratio, 1.5 * (d / ratio) - 1.5 * (d / ratio) ** 3, 0.0
            ),
        )
        return g, slopes | {"log_size": few.at(moved, p)[0]}

    limits = limits_of(particle, few.target)
    if not held:
        limits["log_size"] = tuple(np.log(DIAMETERS[[0, -1]]))
    begin = start | {"log_size": math.log(diameter / start["stretch"])}
    found = minimised(curve, few.data, begin, limits, STEPS)
    size = math.exp(found.pop("log_size"))
    return found | {"diameter": size * found["stretch"]}
