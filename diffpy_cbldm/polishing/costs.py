"""What the criterion charges for edits, and which moves it takes for real."""

from __future__ import annotations

import math

import numpy as np

from diffpy_cbldm.crystals.bonds import ideal_roughness, roughness
from diffpy_cbldm.fitting.moves import kind_of

GAMMA = 0.5
"""Weight of the number of possible edits in the criterion, 0 to 1."""

BONDS_AN_EDIT = 6
"""Bonds that an atom out of place breaks: an adatom on {111}."""

FARTHEST = {"surface": 0.04, "orbits": 0.1}
"""How far shells may move, in nearest-neighbour distances: surface shells of
metals relax by less, and one that goes farther imitates something else; orbits
of a whole cluster that ligands pull at may go farther."""


def edit_cost(atoms: int, points: float) -> float:
    """What the criterion charges for an edit among so many.

    Parameters
    ----------
    atoms : int
    points : float
        Independent points of the data.
    """
    sites = 8 * atoms ** (2 / 3)  # of the surface
    return math.log(points) + 2 * GAMMA * math.log(sites)


def criterion_of(
    misfit: float,
    points: float,
    atoms: int,
    excess: float,
    variables: float,
) -> float:
    """The extended Bayesian information criterion of a structure.

    Chen and Chen, Biometrika 2008, 95, 759; differences count, lower is
    better.

    Parameters
    ----------
    misfit : float
        Rw^2 without the noise that no structure could show.
    points : float
        Independent points of the data.
    atoms : int
    excess : float
        Edits, each chosen among all sites of the surface.
    variables : float
        Effective number of other parameters: moves and displacements.
    """
    fit, edits = points * math.log(misfit), edit_cost(atoms, points) * excess
    return fit + edits + math.log(points) * variables


def rough_beyond(
    positions: np.ndarray, kind: str
) -> tuple[float, float, float]:
    """How rough a structure is, beside the most compact cluster.

    Parameters
    ----------
    positions : (n, 3) array, angstrom
    kind : str
        The structure type.

    Returns
    -------
    rough, ratio : float
        Roughness, and that over the one of the most compact cluster.
    excess : float
        Broken bonds beyond those of that cluster, in edits.
    """
    count = len(positions)
    rough = roughness(positions, kind)
    ideal = float(ideal_roughness(kind, np.array([count]))[0])
    excess = (rough - ideal) * count ** (2 / 3) / BONDS_AN_EDIT
    return rough, rough / ideal, excess


def too_far(name: str, value: float) -> bool:
    """Whether a surface shell, or an orbit, moves farther than it may."""
    return abs(value) > FARTHEST.get(kind_of(name), math.inf)
