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
from diffpy_cbldm.polishing.crystal import Crystal, Measured, Polished
from diffpy_cbldm.polishing.descent import descended

STARTS, SPREAD = 9, 0.04
"""Places near the ideal one from which a relaxation starts, and how far from
it they lie, in nearest-neighbour distances: peaks that lie half an angstrom
apart do not pull at one another."""

STEPS, LONGEST = 8, 0.04
"""Gauss-Newton steps, and how far an orbit goes in one."""


ROUNDS = 4
"""Descents at the widths that the one before gave, at most."""

SIGNIFICANT = 2.0
"""Uncertainties by which a shell moves at least."""

SETTLED = 0.01
"""Relative fall of Rw in a descent below which no further one is made."""


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

    return descended(misfit, at, steps, LONGEST, narrowing=True)


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
    rough = _round(Crystal(positions, structure_type, data), names, tries)
    p = _again(rough).judged()
    inside = max(map(abs, p.values.values())) <= ORBIT_LIMIT
    return p if inside else None


def relaxed_ideal(ideal: Crystal, tries: int = STARTS) -> Polished | None:
    """Relax the orbits of an ideal cluster as far as is likely.

    What moves too far (`diffpy_cbldm.polishing.costs.too_far`), or is not
    determined, is put back, and the rest is relaxed again.

    Parameters
    ----------
    ideal : Crystal
        The cluster as fitted.
    tries : int
        Places to start from.

    Returns
    -------
    Polished or None
        None where no orbit can move, or none does.
    """
    rough = roughly_relaxed(ideal, tries)
    return None if rough is None else settled(rough)


def roughly_relaxed(ideal: Crystal, tries: int) -> Crystal | None:
    """`relaxed_ideal` after the first descent: near enough to compare."""
    names = moves.move_names(ideal.lattice, ["orbits"])
    while names:
        crystal = _round(ideal, names, tries)
        near = _near(crystal)
        if near == names:
            return crystal
        names = near
    return None


def settled(rough: Crystal) -> Polished | None:
    """`relaxed_ideal` from what `roughly_relaxed` gave, until Rw ends.

    As far as a refinement goes, at a tenth of its cost: what that would put
    back, as it moves too far or is not determined, is put back here.
    """
    crystal, rounds = rough, ROUNDS
    while crystal.values:
        before, crystal = crystal.fit.rw, _again(crystal)
        kept, rounds = _near(crystal), rounds - 1
        if len(kept) == len(crystal.values):
            if rounds > 0 and crystal.fit.rw < (1 - SETTLED) * before:
                continue
            kept = determined(crystal)
            if len(kept) == len(crystal.values):
                return crystal.judged()
        crystal = _with(crystal, kept)
    return None


def determined(crystal: Crystal) -> tuple[str, ...]:
    """The moves that are more than `SIGNIFICANT` of their uncertainties.

    Uiso, delta2, Qdamp and the stretch may follow them.
    """
    names = tuple(crystal.values)
    x = crystal.lattice - crystal.lattice.mean(0)
    fields = moves.derivatives(x, (moves.ZOOM, *names))
    square, _, slopes = crystal.eased().residuals(
        crystal.atoms()[None], fields
    )
    # Of the misfit each independent point has its share.
    normal = slopes[0] @ slopes[0].T * crystal.data.points
    spread = np.linalg.pinv(normal / square[0], hermitian=True).diagonal()
    errors = np.sqrt(spread[1:])
    pairs = zip(names, crystal.values.values(), errors)
    return tuple(n for n, v, error in pairs if abs(v) >= SIGNIFICANT * error)


def _with(crystal: Crystal, names: tuple[str, ...]) -> Crystal:
    """The same with some of its moves alone, from their values."""
    at = np.array([[0.0, *(crystal.values[name] for name in names)]])
    return _descended(crystal, names, at)


def _near(crystal: Crystal) -> tuple[str, ...]:
    """The moves that go no farther than is likely."""
    values = crystal.values.items()
    return tuple(name for name, value in values if not too_far(name, value))


def _round(ideal: Crystal, names: tuple[str, ...], tries: int) -> Crystal:
    """Some moves at their best, however far they go, and a fit there."""
    at = SPREAD * starts(1 + len(names), tries)
    at[:, 0] = 0
    return _descended(ideal, names, at)


def _again(rough: Crystal) -> Crystal:
    """The same at the widths that were found."""
    names = tuple(rough.values)
    return _descended(rough, names, np.array([[0.0, *rough.values.values()]]))


def _descended(
    crystal: Crystal, names: tuple[str, ...], at: np.ndarray
) -> Crystal:
    """A descent from some places, and a fit of the five parameters."""
    x = crystal.lattice - crystal.lattice.mean(0)
    fields = moves.derivatives(x, (moves.ZOOM, *names))
    (zoom, *found), _ = descend(crystal.basis, x, fields, at)
    # The stretch is a factor of all, the moves as well.
    values = {n: float(value / (1 + zoom)) for n, value in zip(names, found)}
    x = x * (1 + zoom)
    fit = crystal.data.fit(moves.moved(x, values), crystal.fit)
    return Crystal(x, crystal.kind, crystal.data, values, fit)


def without_roughness(p: Polished, data: Measured) -> Polished:
    """A structure whose criterion does not charge for broken bonds.

    A framework is no crystal from which atoms are missing.

    Parameters
    ----------
    p : Polished
    data : Measured
    """
    return dataclasses.replace(p, excess=0.0).judged_by(data.points)
