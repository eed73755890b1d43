"""Small displacements of single atoms, held by springs."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from scipy.spatial import cKDTree

from diffpy_cbldm.polishing.crystal import (
    FINEST,
    Crystal,
    Measured,
    Polished,
)

TRUST = 0.15
"""No atom is displaced by more than this (A)."""


def displaced_atoms(
    start: Polished, structure_type: str, data: Measured
) -> list[Polished]:
    """Small moves of all atoms, as far as they are worth it.

    Bonds are springs; how stiff is chosen by the criterion, with the
    effective number of parameters of the linear problem (its trace).
    """
    crystal = Crystal(start.lattice, structure_type, data, start.values)
    basis, x = crystal.basis, crystal.atoms()
    springs = _springs(x, crystal.bond)
    move = np.zeros(x.size)
    fewest = data.points * math.log(crystal.misfit())
    chosen: tuple[float, float, np.ndarray] = (fewest, 0.0, move)
    unit = 0.0
    for stiffness in 10.0 ** np.arange(0.0, -5.1, -1.0):
        for _ in range(2):
            left, slopes = basis.atom_slopes(x + move.reshape(-1, 3))
            normal = slopes @ slopes.T
            unit = unit or float(np.trace(normal) / np.trace(springs))
            stiff = stiffness * unit * springs
            pull = slopes @ left - stiff @ move
            move = move + np.linalg.solve(normal + stiff, pull)
            length = np.linalg.norm(move.reshape(-1, 3), axis=1)
            short = np.minimum(1.0, TRUST / length.clip(1e-12))
            move = (move.reshape(-1, 3) * short[:, None]).ravel()
        freedom = float(np.trace(np.linalg.solve(normal + stiff, normal)))
        square = basis.residual(x + move.reshape(-1, 3), ())[0]
        misfit = max(square - basis.outside, 0.0) + FINEST
        value = data.points * math.log(misfit)
        value += math.log(data.points) * freedom
        if value < chosen[0]:
            chosen = value, freedom, move
        elif value > chosen[0] + 50:
            break
    _, freedom, move = chosen
    if not freedom:
        return []
    moved = Crystal(x + move.reshape(-1, 3), structure_type, data)
    charge = math.log(data.points) * (freedom + len(start.values))
    return [
        dataclasses.replace(
            moved.judged(),
            roughness=start.roughness,
            ratio=start.ratio,
            excess=start.excess,
            displaced=freedom,
            criterion=data.points * math.log(moved.misfit())
            + moved.cost() * start.excess
            + charge,
        )
    ]


def _springs(x: np.ndarray, bond: float) -> np.ndarray:
    """Stiffness of the bonds against displacements, (3n, 3n).

    A weak spring holds each atom besides: the surface may not slide off.
    """
    i, j = cKDTree(x).query_pairs(1.2 * bond, output_type="ndarray").T
    along = x[i] - x[j]
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    rows = np.zeros((len(i), len(x), 3))
    pair = np.arange(len(i))
    rows[pair, i], rows[pair, j] = along, -along
    flat = rows.reshape(len(i), -1)
    return flat.T @ flat + 0.05 * np.eye(flat.shape[1])
