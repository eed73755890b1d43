"""Small displacements of single atoms, held by springs."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from scipy.linalg import cho_factor, cho_solve, cholesky, solve_triangular
from scipy.spatial import cKDTree

from diffpy_cbldm.crystals.bonds import BOND
from diffpy_cbldm.polishing.crystal import (
    FINEST,
    Crystal,
    Measured,
    Polished,
)

TRUST = 0.15
"""No atom is displaced by more than this (A)."""

STIFFNESSES = 10.0 ** np.arange(0.0, -5.1, -1.0)
"""Stiffness of the springs that are tried, in units of the data's pull."""

NEWTON_STEPS = 2
"""Gauss-Newton steps at each stiffness; the next one goes on from there."""

HOPELESS = 50.0
"""Criterion above the least at which no softer springs are tried."""

HOLD = 0.05
"""Stiffness that holds each atom in place, in that of a bond."""


def displaced_atoms(
    start: Polished, structure_type: str, data: Measured
) -> list[Polished]:
    """Small moves of all atoms, as far as they are worth it.

    Bonds are springs; how stiff is chosen by the criterion, with the
    effective number of parameters of the linear problem (its trace).

    Returns
    -------
    list of Polished
        One structure, or none where no displacement is worth it.
    """
    crystal = Crystal(start.lattice, structure_type, data, start.values)
    freedom, move = _worthwhile(crystal)
    if not freedom:
        return []
    x = crystal.atoms()
    moved = Crystal(x + move.reshape(-1, 3), structure_type, data)
    # Roughness is that of the crystal: displacements break no bonds.
    found = dataclasses.replace(
        moved.judged(),
        roughness=start.roughness,
        ratio=start.ratio,
        excess=start.excess,
        displaced=freedom + len(start.values),
    )
    return [found.judged_by(data.points)]


def _worthwhile(crystal: Crystal) -> tuple[float, np.ndarray]:
    """The displacements with the least criterion, (3n,), angstrom.

    With them, and before them, their effective number of parameters: 0 where
    the structure is best left as it is.
    """
    basis, x, points = crystal.basis, crystal.atoms(), crystal.data.points
    springs = _Springs(x, crystal.bond)
    move = np.zeros(x.size)
    least = points * math.log(crystal.misfit())
    chosen: tuple[float, np.ndarray] = (0.0, move)
    unit = 0.0
    # From stiff to soft, each from where the one before ended.
    for stiffness in STIFFNESSES:
        for _ in range(NEWTON_STEPS):
            left, slopes = basis.atom_slopes(x + move.reshape(-1, 3))
            pull = float((slopes**2).sum())
            if not pull > 0:
                return chosen  # no scale fits: the data pull nowhere
            # Springs as stiff as the data at the start, once for all.
            unit = unit or pull / springs.trace
            step, freedom = springs.step(slopes, left, move, stiffness * unit)
            move = _clipped(move + step)
        (square,) = basis.residuals((x + move.reshape(-1, 3))[None])[0]
        misfit = max(float(square) - basis.outside, 0.0) + FINEST
        value = points * math.log(misfit)
        value += math.log(points) * freedom
        if value < least:
            least, chosen = value, (freedom, move)
        elif value > least + HOPELESS:
            break
    return chosen


def _clipped(move: np.ndarray) -> np.ndarray:
    """Displacements (3n,) of which none is longer than `TRUST`."""
    length = np.linalg.norm(move.reshape(-1, 3), axis=1)
    short = np.minimum(1.0, TRUST / length.clip(1e-12))
    return (move.reshape(-1, 3) * short[:, None]).ravel()


class _Springs:
    """Bonds as springs of one stiffness, and Gauss-Newton steps against them.

    A weak spring holds each atom besides: the surface may not slide off.

    Parameters
    ----------
    x : (n, 3) array, angstrom
    bond : float, angstrom

    Attributes
    ----------
    trace : float
        Of the matrix of stiffness K, (3n, 3n).
    """

    def __init__(self, x: np.ndarray, bond: float):
        i, j = cKDTree(x).query_pairs(BOND * bond, output_type="ndarray").T
        along = x[i] - x[j]
        along /= np.linalg.norm(along, axis=1, keepdims=True)
        # A spring is stretched by what its ends move along it, both ways.
        block = along[:, :, None] * along[:, None, :]
        stiff = np.zeros((len(x), len(x), 3, 3))
        stiff[i, j] = stiff[j, i] = -block
        for ends in (i, j):
            np.add.at(stiff, (ends, ends), block)
        matrix = stiff.swapaxes(1, 2).reshape(x.size, x.size)
        matrix += HOLD * np.eye(x.size)
        self.trace = float(np.trace(matrix))
        self._root = cholesky(matrix, lower=True, overwrite_a=True)

    def step(
        self,
        slopes: np.ndarray,
        left: np.ndarray,
        move: np.ndarray,
        stiffness: float,
    ) -> tuple[np.ndarray, float]:
        """A Gauss-Newton step, and the effective number of parameters.

        With J the slopes and c the stiffness it solves

            (J J^T + c K) step = J left - c K move,

        and the number is the trace of (J J^T + c K)^-1 J J^T.

        Parameters
        ----------
        slopes : (3n, m) array
        left : (m,) array
        move : (3n,) array
            Displacements so far.
        stiffness : float
        """
        # With K = L L^T and B = L^-1 J both follow from the small matrix
        # B^T B (Woodbury): the data are fewer than the coordinates.
        b = solve_triangular(self._root, slopes, lower=True)
        gram = b.T @ b
        inner = cho_factor(gram + stiffness * np.eye(len(gram)), lower=True)
        pull = b @ left - stiffness * (self._root.T @ move)
        step = (pull - b @ cho_solve(inner, b.T @ pull)) / stiffness
        back = solve_triangular(self._root, step, lower=True, trans="T")
        return back, float(cho_solve(inner, gram).trace())
