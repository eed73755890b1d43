"""Moves of a crystal's particle: its lattice directions, its surface.

stretch_b, stretch_c
    Of crystals whose edges differ: coordinates from the centroid gain this
    share of their part along the edge, beside the common ``zoomscale``.
surface_<El>
    The outermost atoms of an element, those with fewer bonds than the
    crystal gives it, go outwards by so many of its bond lengths.

They are variables of the native recipe, beside those that every cluster has.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from diffpy.srfit.fitbase import FitRecipe
from diffpy.srfit.fitbase.parameter import ParameterAdapter
from scipy.spatial import cKDTree

from diffpy_cbldm.cluster import Candidate
from diffpy_cbldm.crystals.bonds import shortest_bond
from diffpy_cbldm.crystals.crystal import Crystal
from diffpy_cbldm.crystals.crystal_cuts import bond_lengths
from diffpy_cbldm.fitting.envelope import free_axes
from diffpy_cbldm.fitting.generator import choose_backend
from diffpy_cbldm.fitting.recipe import plain_names, recipe_of
from diffpy_cbldm.fitting.recipe_start import refined_values
from diffpy_cbldm.fitting.refinement import settled, state_of_fit
from diffpy_cbldm.fitting.target import Target
from diffpy_cbldm.renames import modern
from diffpy_cbldm.threads import one_thread

KINDS = ("strain", "surface")
"""Stretches along edges, and layers of the surface."""

LIMITS = {"stretch": 0.05, "surface": 0.15}
"""Each stays between minus and plus this."""

PRICE = 2.0
"""A move must lower points * log(Rw^2) by so much (Akaike)."""

SHORTEST = 0.9
"""Moves that bring atoms nearer than this, in the shortest distance of the
crystal, are refused."""

_BEGIN = 0.002
"""Where the moves begin: some have no slope at 0."""


def crystal_moves(
    elements: Sequence[str],
    positions: np.ndarray,
    crystal: Crystal,
    kinds: Sequence[str],
) -> dict[str, np.ndarray]:
    """How the atoms go at each move of 1.

    Parameters
    ----------
    elements : n str
    positions : (n, 3) array, angstrom
        In the frame of the crystal.
    crystal : Crystal
    kinds : sequence of str
        Some of `KINDS`.

    Returns
    -------
    dict of str to (n, 3) array, angstrom
    """
    x = positions - positions.mean(0)
    found = {}
    if "strain" in kinds:
        for axis in free_axes(crystal):
            edge = crystal.cell[axis] / np.linalg.norm(crystal.cell[axis])
            found[f"stretch_{'abc'[axis]}"] = np.outer(x @ edge, edge)
    if "surface" in kinds:
        kind = np.array([crystal.elements.index(e) for e in elements])
        outer = surface_atoms(crystal, positions, kind)
        radius = np.linalg.norm(x, axis=1)
        for k, element in enumerate(crystal.elements):
            some = outer & (kind == k) & (radius > 0)
            # All atoms of an element may be at the surface, not all atoms.
            if some.any() and not outer.all():
                move = np.zeros(x.shape)
                bond = float(crystal.bonds[k].min())
                move[some] = bond * x[some] / radius[some, None]
                found[f"surface_{element}"] = move
    return found


def surface_atoms(
    crystal: Crystal, positions: np.ndarray, kind: np.ndarray
) -> np.ndarray:
    """Which atoms have fewer bonds than the fullest of their element, (n,).

    Parameters
    ----------
    crystal : Crystal
    positions, kind : (n, 3) and (n,) arrays
        Angstrom, and places in `Crystal.elements`.
    """
    limit = bond_lengths(crystal)
    pairs = cKDTree(positions).query_pairs(
        float(limit.max()), output_type="ndarray"
    )
    d = np.linalg.norm(positions[pairs[:, 0]] - positions[pairs[:, 1]], axis=1)
    i, j = pairs[d < limit[kind[pairs[:, 0]], kind[pairs[:, 1]]]].T
    held = np.bincount(np.concatenate([i, j]), minlength=len(kind))
    most = np.zeros(len(crystal.elements), int)
    np.maximum.at(most, kind, held)
    return held < most[kind]


def relaxed(
    candidate: Candidate,
    crystal: Crystal,
    target: Target,
    kinds: Sequence[str],
    backend: str = "auto",
) -> Candidate:
    """Refine a particle once more with its moves, where they are worth it.

    Parameters
    ----------
    candidate : Candidate
        Refined (`diffpy_cbldm.fitting.refinement.refine`).
    crystal : Crystal
        Of which it was cut, in whose frame its atoms stand.
    target : Target
    kinds : sequence of str
        Some of `KINDS`.
    backend : str
        As for `refine`.

    Returns
    -------
    Candidate
        The same one where nothing moves, where the gain is less than `PRICE`
        for each move, or atoms come too near.
    """
    x = np.asarray(candidate.positions, float)
    moves = crystal_moves(candidate.elements, x, crystal, kinds)
    if not moves or candidate.rw is None:
        return candidate
    with one_thread():
        recipe = recipe_of(candidate, target, backend, None, (), False)
        named = plain_names(recipe, candidate.elements)
        for name, value in refined_values(candidate, named).items():
            getattr(recipe, name).value = value
        _add_moves(recipe, moves)
        results = settled(recipe, target)
        state = state_of_fit(recipe, results, target, candidate.elements)
    found = state["parameters"]
    values = {name: found[name][0] for name in moves}
    at = (x + _shift(moves, values)) * found["zoomscale"][0]
    gain = 2 * math.log(candidate.rw / max(state["rw"], 1e-9))
    enough = target.independent_points * gain > PRICE * len(moves)
    if not enough or shortest_bond(at) < SHORTEST * crystal.bonds.min():
        return candidate
    did = (
        kind
        for kind, first in zip(KINDS, LIMITS)
        if any(name.startswith(first) for name in moves)
    )
    return dataclasses.replace(
        candidate,
        positions=at,
        rw_heldout=None,
        **state,
        backend=choose_backend(backend),
        refined_moves=tuple(dict.fromkeys((*candidate.refined_moves, *did))),
    )


def _shift(
    moves: Mapping[str, np.ndarray], values: Mapping[str, float]
) -> np.ndarray:
    """What the moves add to the positions, (n, 3)."""
    return np.sum([values[name] * moves[name] for name in moves], 0)


class _Moved:
    """The atoms of a phase, where they began, and how they have moved."""

    def __init__(
        self, structure: Any, moves: Mapping[str, np.ndarray]
    ) -> None:
        self.structure, self.moves = structure, moves
        self.start = np.array(structure.xyz)
        self.values = dict.fromkeys(moves, 0.0)

    def get(self, name: str) -> float:
        """The value of a variable."""
        return self.values[name]

    def set(self, name: str, value: float) -> None:
        """Set a variable, and with it the coordinates of all atoms."""
        self.values[name] = float(value)
        self.structure.xyz = self.start + _shift(self.moves, self.values)


def _add_moves(recipe: FitRecipe, moves: Mapping[str, np.ndarray]) -> None:
    """Add a variable for each move, with its bounds.

    The lattice is that of an xyz file: coordinates are in angstrom.
    """
    phase = recipe.cluster.G1.phase
    shared = _Moved(phase.stru, moves)
    for name in moves:
        move = ParameterAdapter(
            name, shared, _Moved.get, _Moved.set, attr=name
        )
        modern(phase).add_parameter(move)
        modern(recipe).add_variable(move, _BEGIN, tag="moves")
        limit = LIMITS[name.split("_")[0]]
        modern(getattr(recipe, name)).bound_range(-limit, limit)
