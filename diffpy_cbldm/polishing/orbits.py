"""Orbit relaxation: a symmetric cluster fitted shell by shell.

Atoms that the point group makes equal move together (`moves.orbit_moves`):
five to ten numbers in place of hundreds of coordinates, and none of them can
break the symmetry.  It is an edit of the cluster as it is, with no site added
or removed.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from diffpy_cbldm.fitting import moves
from diffpy_cbldm.fitting.orbit_moves import ORBIT_LIMIT
from diffpy_cbldm.polishing.basis import PairBasis
from diffpy_cbldm.polishing.costs import too_far
from diffpy_cbldm.polishing.crystal import (
    Crystal,
    Measured,
    Polished,
    descended,
)

STARTS, SPREAD = 9, 0.04
"""Places near the ideal one from which a relaxation starts, and how far from
it they lie, in nearest-neighbour distances: peaks that lie half an angstrom
apart do not pull at one another."""

STEPS, LONGEST = 8, 0.04
"""Gauss-Newton steps, and how far an orbit goes in one."""

ROUNDS = 2
"""Descents, each followed by a fit of the five parameters."""


def descend(
    basis: PairBasis,
    positions: np.ndarray,
    fields: np.ndarray,
    at: np.ndarray,
    steps: int = STEPS,
) -> tuple[np.ndarray, float]:
    """Move a cluster downhill along some fields, all else as it is.

    Parameters
    ----------
    basis : PairBasis
        At the widths and the damping of a fit.
    positions : (n, 3) array, angstrom
    fields : (k, n, 3) array, angstrom
        How the atoms go with each variable.
    at : (t, k) array
        Places to start from.
    steps : int

    Returns
    -------
    at : (k,) array
    square : float
        Rw^2 there.
    """

    def misfit(many):
        return basis.residuals(
            positions + np.tensordot(many, fields, 1), fields
        )

    return descended(misfit, at, steps, LONGEST)


def starts(variables: int, count: int, seed: int = 0) -> np.ndarray:
    """Places to start from, about 1 from the ideal one, which is the first.

    Parameters
    ----------
    variables, count : int
    seed : int

    Returns
    -------
    (count, variables) array
    """
    rng = np.random.default_rng(seed)
    near = rng.normal(size=(count - 1, variables))
    return np.vstack([np.zeros(variables), near])


def relaxed_orbits(
    positions: np.ndarray,
    structure_type: str,
    data: Measured,
    tries: int = STARTS,
    kind: str = "orbits",
) -> Polished | None:
    """Relax the orbits of a cluster towards a PDF.

    Parameters
    ----------
    positions : (n, 3) array, angstrom
        Its mirrors stay where it has some: `orbit_moves.twisted` breaks them.
    structure_type : str
        For the bonds of the bulk.
    data : Measured
    tries : int
        Places to start from.
    kind : {"orbits", "across"}
        How the orbits may move, see `moves.move_names`.

    Returns
    -------
    Polished or None
        Its ``values`` are the moves, and its criterion charges for them.
        None for a cluster without orbits that could move, and where one ends
        beyond its bound.
    """
    names = moves.move_names(positions, [kind])
    if not names:
        return None
    p = _relaxed(positions, structure_type, data, names, tries)
    inside = max(map(abs, p.values.values())) <= ORBIT_LIMIT
    return p if inside else None


def relaxed_ideal(
    positions: np.ndarray,
    structure_type: str,
    data: Measured,
    tries: int = STARTS,
) -> Polished | None:
    """Relax the orbits of an ideal cluster as far as is likely.

    What moves too far (`diffpy_cbldm.polishing.costs.too_far`) is put back,
    and the rest is relaxed again.

    Parameters
    ----------
    positions, structure_type, data, tries
        As for `relaxed_orbits`.

    Returns
    -------
    Polished or None
        None where no orbit can move, or none does.
    """
    names = moves.move_names(positions, ["orbits"])
    while names:
        p = _relaxed(positions, structure_type, data, names, tries)
        near = tuple(n for n in names if not too_far(n, p.values[n]))
        if len(near) == len(names):
            return p
        names = near
    return None


def _relaxed(
    positions: np.ndarray,
    structure_type: str,
    data: Measured,
    names: tuple[str, ...],
    tries: int,
) -> Polished:
    """Some moves of orbits at their best, however far they go."""
    crystal = Crystal(positions, structure_type, data)
    at = SPREAD * starts(1 + len(names), tries)
    at[:, 0] = 0
    for _ in range(ROUNDS):
        x = crystal.lattice - crystal.lattice.mean(0)
        fields = moves.derivatives(x, (moves.ZOOM, *names))
        (zoom, *found), _ = descend(crystal.basis, x, fields, at)
        # The stretch is a factor of all, the moves as well.
        values = [float(value / (1 + zoom)) for value in found]
        crystal = Crystal(
            x * (1 + zoom), structure_type, data, dict(zip(names, values))
        )
        at = np.array([[0.0, *values]])
    return crystal.judged()


def without_roughness(p: Polished, data: Measured) -> Polished:
    """A structure whose criterion does not charge for broken bonds.

    A framework is no crystal from which atoms are missing.

    Parameters
    ----------
    p : Polished
    data : Measured
    """
    return dataclasses.replace(p, excess=0.0).judged_by(data.points)
