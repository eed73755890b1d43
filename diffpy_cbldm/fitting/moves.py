"""Low-dimensional moves of a cluster: strain, surface relaxation, orbits.

One function moves the atoms for all fits.  In the order of application:

orbits
    Atoms that the point group makes equal (`point_groups.orbits`, counted
    from the centre) go together by ``orbit_k`` nearest-neighbour distances
    outwards and, where their own symmetry leaves it free, by ``orbit_kb``
    and ``orbit_kc`` across: the cluster stays as symmetric as it is.  Of
    many orbits those about as far from the centre go together, ``shell_k``.
surface
    Atoms of shell k (`bonds.surface_shells`; 1 is outermost) go along the
    unit vector from the centroid by ``surface_k`` nearest-neighbour
    distances, outwards where it is positive.
strain
    Coordinates from the centroid are multiplied by I + E with E symmetric
    and traceless: ``strain_xx``, ``strain_yy``, ``strain_xy``,
    ``strain_xz``, ``strain_yz``, and zz = -xx - yy.
zoomscale
    The one isotropic factor, last.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from diffpy_cbldm.crystals.bonds import (
    nearest_neighbour_distance,
    surface_shells,
)
from diffpy_cbldm.errors import CbldmError
from diffpy_cbldm.fitting.orbit_moves import (
    ORBIT_LIMIT,
    ORBIT_NAME,
    centred,
    every_orbit_move,
    orbit_moves,
)

MOVE_KINDS = ("strain", "surface", "orbits", "across")
"""The kinds of moves; "across" frees all ways of the orbits, also where
"orbits" alone takes those outwards or shells."""

STRAIN = tuple(f"strain_{c}" for c in ("xx", "yy", "xy", "xz", "yz"))
"""The components of the strain."""

SURFACE = ("surface_1", "surface_2")
"""The moves of the two outermost shells."""

ZOOM = "zoomscale"
"""The isotropic factor of all coordinates."""

LIMITS = {**dict.fromkeys(STRAIN, 0.1), **dict.fromkeys(SURFACE, 0.15)}
"""The bounds: a variable stays between minus and plus this."""

_OWN = 0.1
"""Part of a shell's move that no other move makes, at the least."""

_CENTRE = 1e-3
"""An atom closer (A) to the centroid has no outward direction."""

_BASIS = np.array(
    [
        [[1, 0, 0], [0, 0, 0], [0, 0, -1]],
        [[0, 0, 0], [0, 1, 0], [0, 0, -1]],
        [[0, 1, 0], [1, 0, 0], [0, 0, 0]],
        [[0, 0, 1], [0, 0, 0], [1, 0, 0]],
        [[0, 0, 0], [0, 0, 1], [0, 1, 0]],
    ],
    dtype=float,
)


def check_kinds(kinds: Sequence[str]) -> tuple[str, ...]:
    """Return the kinds in the order of `MOVE_KINDS`, and names of single
    variables behind them, each once.

    CbldmError where one is unknown.
    """
    for kind in [kinds] if isinstance(kinds, str) else kinds:
        known = kind in MOVE_KINDS or kind_of(kind)
        if not known or isinstance(kinds, str):
            raise CbldmError(
                f"moves are {kinds!r}; expected a list with some of "
                f"{', '.join(MOVE_KINDS)}, such as moves=('strain',)."
            )
    single = (kind for kind in kinds if kind not in MOVE_KINDS)
    whole = (kind for kind in MOVE_KINDS if kind in kinds)
    return (*whole, *dict.fromkeys(single))


def kind_of(name: str) -> str:
    """The kind of moves that a variable belongs to, "" for none.

    Parameters
    ----------
    name : str
        Such as ``strain_xx``, ``surface_1``, ``orbit_3b`` or ``shell_2``.
    """
    if name in LIMITS:
        return name.split("_")[0]
    return "orbits" if ORBIT_NAME.fullmatch(name) else ""


def limit_of(name: str) -> float:
    """The bound of a variable of `MOVE_KINDS`: minus and plus this."""
    return LIMITS.get(name, ORBIT_LIMIT)


def surface_moves(positions: np.ndarray) -> np.ndarray:
    """How the atoms go at ``surface_1`` = 1 and at ``surface_2`` = 1.

    Parameters
    ----------
    positions : (n, 3) array, angstrom

    Returns
    -------
    (2, n, 3) array, angstrom
        Radial vectors, one nearest-neighbour distance long in their shell
        and 0 elsewhere and for an atom at the centroid.
    """
    shells = surface_shells(positions)
    bond = nearest_neighbour_distance(positions)
    x = centred(positions)
    radius = np.linalg.norm(x, axis=1)
    moves = np.zeros((2, *x.shape))
    for k, move in enumerate(moves, start=1):
        shell = (shells == k) & (radius > _CENTRE)
        move[shell] = bond * x[shell] / radius[shell, None]
    return moves


def moved(
    positions: np.ndarray,
    values: Mapping[str, float],
    surface: np.ndarray | None = None,
    fields: Mapping[str, np.ndarray] | None = None,
) -> np.ndarray:
    """Move the atoms of a cluster.

    Parameters
    ----------
    positions : (n, 3) array, angstrom
    values : mapping
        By the names of `STRAIN`, `SURFACE` and `ZOOM`; those that are
        missing leave the atoms where they are.
    surface : (2, n, 3) array, angstrom, optional
        What `surface_moves` gives for the same positions, where it was
        kept from before.
    fields : mapping, optional
        The same of `orbit_moves`.

    Returns
    -------
    (n, 3) array, angstrom
        With the centroid of the given positions at 0; shells that are not
        symmetric about it leave it by a little.

    Raises
    ------
    CbldmError
        An unknown name.
    """
    names = tuple(values)
    at = np.array([[values[name] for name in names]])
    return moved_at(positions, names, at, surface, fields)[0]


def moved_at(
    positions: np.ndarray,
    names: Sequence[str],
    at: np.ndarray,
    surface: np.ndarray | None = None,
    fields: Mapping[str, np.ndarray] | None = None,
) -> np.ndarray:
    """`moved` at several values of the same variables.

    Parameters
    ----------
    positions, surface, fields
        As for `moved`.
    names : sequence of str
        k of `STRAIN`, `SURFACE`, `ZOOM` and the orbits.
    at : (t, k) array

    Returns
    -------
    (t, n, 3) array, angstrom

    Raises
    ------
    CbldmError
        An unknown name.
    """
    _check_names(names)
    order = (ZOOM, *STRAIN, *SURFACE)
    values = np.zeros((len(at), len(order)))
    values[:, 0] = 1.0
    own = [k for k, name in enumerate(names) if name in order]
    values[:, [order.index(names[k]) for k in own]] = at[:, own]
    zoom, strain, sizes = np.split(values, [1, 1 + len(STRAIN)], axis=1)
    x = centred(positions)[None]
    for k, name in enumerate(names):
        if kind_of(name) == "orbits" and at[:, k].any():
            fields = fields or every_orbit_move(positions)
            x = x + at[:, k, None, None] * fields[name]
    if sizes.any():
        if surface is None:
            surface = surface_moves(positions)
        x = x + np.tensordot(sizes, surface, 1)
    shapes = np.eye(3) + np.tensordot(strain, _BASIS, 1)
    return zoom[:, :, None] * (x @ shapes)


def derivatives(
    positions: np.ndarray,
    names: Sequence[str],
    surface: np.ndarray | None = None,
) -> np.ndarray:
    """Derivatives of `moved` where nothing has moved.

    `moved` is linear in each variable.  With one kind of move at a time it
    is the centred positions plus values times derivatives, exactly; moves
    of different kinds together have products of their values besides.

    Parameters
    ----------
    positions : (n, 3) array, angstrom
    names : sequence of str
        k of `STRAIN`, `SURFACE`, `ZOOM` and the orbits.
    surface : (2, n, 3) array, angstrom, optional
        As for `moved`.

    Returns
    -------
    (k, n, 3) array, angstrom

    Raises
    ------
    CbldmError
        An unknown name.
    """
    _check_names(names)
    x = centred(positions)
    moves = {ZOOM: x, **dict(zip(STRAIN, x @ _BASIS, strict=True))}
    if any(name in SURFACE for name in names):
        if surface is None:
            surface = surface_moves(positions)
        moves |= zip(SURFACE, surface, strict=True)
    if any(kind_of(name) == "orbits" for name in names):
        moves |= every_orbit_move(positions)
    return np.array([moves[name] for name in names]).reshape(-1, *x.shape)


def move_names(positions: np.ndarray, kinds: Sequence[str]) -> tuple[str, ...]:
    """The variables that kinds of moves have in a cluster.

    A flat cluster has no strain.  A shell is left out where it is empty,
    where it holds all atoms that could move, and where a homogeneous
    deformation does nearly the same, as in a 13-atom icosahedron.

    Parameters
    ----------
    positions : (n, 3) array, angstrom
    kinds : sequence of str
        Some of `MOVE_KINDS`, or names of single variables.

    Returns
    -------
    tuple of str
        Names of `STRAIN`, `SURFACE` and orbits, in this order.

    Raises
    ------
    CbldmError
        An unknown kind.
    """
    asked = check_kinds(kinds)
    kinds = [k if k in MOVE_KINDS else kind_of(k) for k in asked]
    kinds += ["orbits"] if "across" in kinds else []
    x = centred(positions)
    names: list[str] = []
    thin = np.linalg.svd(x, compute_uv=False)[-1] if len(x) > 2 else 0.0
    if "strain" in kinds and thin > _CENTRE:
        names += STRAIN
    if "surface" in kinds:
        shells = dict(zip(SURFACE, surface_moves(positions), strict=True))
        names += _independent(x, shells, x @ np.eye(9).reshape(9, 3, 3))
    if "orbits" in kinds:
        # What is as symmetric as the cluster may also be a strain: it counts
        # as an orbit's unless it is a variable already.
        taken = derivatives(positions, (ZOOM, *names))
        own = _orbits_asked(positions, asked)
        names += _independent(x, own, taken)
        asked = (*asked, *own)
    return tuple(n for n in names if n in asked or kind_of(n) in asked)


def _orbits_asked(
    positions: np.ndarray, asked: Sequence[str]
) -> dict[str, np.ndarray]:
    """The moves of orbits that kinds, or names of variables, ask for."""
    every = every_orbit_move(positions)
    if "across" in asked:
        ways = {n: move for n, move in every.items() if n[0] == "o"}
        if ways:
            return ways
    if "orbits" in asked:
        return orbit_moves(positions)
    return {n: move for n, move in every.items() if n in asked}


def _independent(
    x: np.ndarray, shells: Mapping[str, np.ndarray], taken: np.ndarray
) -> list[str]:
    """The moves of shells that others, and those before, do not make.

    Parameters
    ----------
    x : (n, 3) array
        Centred positions.
    shells : mapping of str to (n, 3) array
    taken : (k, n, 3) array
        The others.
    """
    names = []
    rows = taken.reshape(len(taken), -1)
    off_centre = np.linalg.norm(x, axis=1) > _CENTRE
    for name, move in shells.items():
        still = off_centre & ~move.any(axis=1)
        # The PDF does not see a common shift.
        move = (move - move.mean(axis=0)).ravel()
        fit = np.linalg.lstsq(rows.T, move)[0]
        rest = np.linalg.norm(move - fit @ rows)
        if still.any() and rest > _OWN * np.linalg.norm(move):
            names.append(name)
            rows = np.vstack([rows, move])
    return names


def _check_names(names: Mapping[str, float] | Sequence[str]) -> None:
    for name in names:
        if name != ZOOM and not kind_of(name):
            raise CbldmError(
                f"{name!r} is no move; expected some of "
                f"{', '.join((*STRAIN, *SURFACE, ZOOM))}, orbit_1 and so on."
            )
