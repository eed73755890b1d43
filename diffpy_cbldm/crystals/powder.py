"""Particles as a powder has them: of many sizes, rough, covered by ligands."""

from __future__ import annotations

import dataclasses

import numpy as np
from scipy.spatial import cKDTree
from scipy.stats import norm

from diffpy_cbldm.crystals.bonds import (
    BOND,
    nearest_neighbour_distance,
    surface_shells,
)
from diffpy_cbldm.crystals.lattice_pairs import site_steps, sites_of
from diffpy_cbldm.crystals.lattices import sphere, stacking_sites
from diffpy_cbldm.crystals.particles import MultiplyTwinned
from diffpy_cbldm.crystals.sizes import scaled_sites
from diffpy_cbldm.errors import CbldmError

MEMBERS = 9
"""Sizes that stand for a distribution."""

ROOM = 0.95
"""No metal atom is nearer to a ligand than its own one by this factor."""

LIGANDS_APART = 2.8
"""Nor is another ligand nearer, angstrom."""

_DECAHEDRA = tuple(
    (p, q, r) for p in range(1, 9) for q in (1, 2, 3) for r in (0, 1, 2)
)


@dataclasses.dataclass(frozen=True)
class Member:
    """One particle of a powder.

    Attributes
    ----------
    positions : (N, 3) array, angstrom
        Metal atoms first, then the ligands.
    kind : (N,) array of int
        0 inside, 1 at the surface, 2 for ligands.
    """

    positions: np.ndarray
    kind: np.ndarray

    @property
    def atoms(self) -> int:
        """Its metal atoms."""
        return int((self.kind < 2).sum())


def sizes_of_shape(
    positions: np.ndarray,
    structure_type: str,
    spread: float,
    rng: np.random.Generator,
) -> list[np.ndarray]:
    """Particles of one shape with a lognormal distribution of diameters.

    Parameters
    ----------
    positions : (N, 3) array, angstrom
        The one with the median diameter.
    structure_type : str
        "dec" and "ico" have their own series of sizes; all others stand on
        a lattice.
    spread : float
        Standard deviation of ln D.
    rng : np.random.Generator
        Where each of them stands on its lattice.

    Returns
    -------
    list of `MEMBERS` arrays (n, 3), angstrom
        Each stands for as many particles.

    Raises
    ------
    CbldmError
        The atoms stand on no lattice, so that nothing tells a larger one.
    """
    at = norm.ppf((np.arange(MEMBERS) + 0.5) / MEMBERS)
    # A few quantiles are narrower than what they stand for.
    factors = np.exp(spread * at / at.std())
    if structure_type in ("dec", "ico"):
        return _twinned(positions, structure_type, factors)
    standing = sites_of(positions)
    shifts = rng.uniform(-0.5, 0.5, (MEMBERS, 3))
    cuts = standing and scaled_sites(*standing[:2], factors, shifts)
    if not standing or cuts is None:
        raise CbldmError(
            f"the {len(positions)} atoms stand on no lattice; expected a "
            "piece of a crystal, an icosahedron or a decahedron (named by "
            "structure_type) for size_spread: leave size_spread at 0."
        )
    template, _, bond = standing
    return [bond * (sites @ site_steps(template)) for sites in cuts]


def _twinned(
    positions: np.ndarray, kind: str, factors: np.ndarray
) -> list[np.ndarray]:
    """The icosahedra or decahedra nearest to some sizes."""
    bond = nearest_neighbour_distance(positions)
    numbers = _DECAHEDRA if kind == "dec" else [(n,) for n in range(2, 16)]
    series = [MultiplyTwinned(kind, tuple(n)) for n in numbers]
    logs = np.log([len(one) for one in series])
    wanted = np.log(len(positions)) + 3 * np.log(factors)
    nearest = np.abs(wanted[:, None] - logs).argmin(1)
    return [bond * series[k].positions for k in nearest]


def sphere_of(lattice: str, bond: float, diameter: float) -> np.ndarray:
    """A sphere of a crystal about one of its atoms, (N, 3), angstrom.

    Parameters
    ----------
    lattice : {"fcc", "bcc", "hcp", "sc"}
    bond, diameter : float, angstrom
    """
    template = "stack" if lattice == "hcp" else lattice
    points = sphere(template, 0.5 * diameter / bond)
    if lattice == "hcp":
        layer, site = stacking_sites(points)
        points = points[site == layer % 2]
    return bond * points


def weathered(
    positions: np.ndarray,
    rng: np.random.Generator,
    missing: float = 0.0,
    shifted: float = 0.0,
) -> Member:
    """A particle whose surface lost atoms and moved.

    Parameters
    ----------
    positions : (N, 3) array, angstrom
    rng : np.random.Generator
    missing : float
        Share of the surface atoms that are taken away.
    shifted : float, angstrom
        Root mean square shift of those that stay.
    """
    outer = surface_shells(positions) == 1
    lost = outer & (rng.random(len(outer)) < missing)
    # A cluster that is all surface keeps something to measure.
    if (~lost).sum() < 5:
        lost[:] = False
    kept, outer = positions[~lost].copy(), outer[~lost]
    # What was under the lost ones is surface now.
    kind = np.where(outer | (surface_shells(kept) == 1), 1, 0)
    moves = rng.normal(0, shifted / 3**0.5, (len(kept), 3))
    kept[kind == 1] += moves[kind == 1]
    return Member(kept, kind)


def covered(
    member: Member, rng: np.random.Generator, coverage: float, length: float
) -> Member:
    """The same with ligands on some of its surface atoms, pointing outwards.

    Parameters
    ----------
    member : Member
    rng : np.random.Generator
    coverage : float
        Share of the surface atoms that are asked for a ligand; where there
        is no room they have none.
    length : float, angstrom
    """
    x = member.positions
    metal, bond = cKDTree(x), nearest_neighbour_distance(x)
    placed: list[np.ndarray] = []
    for i in rng.permutation(np.flatnonzero(member.kind == 1)):
        if rng.random() >= coverage:
            continue
        near = x[metal.query_ball_point(x[i], BOND * bond)]
        out = x[i] - near.mean(0)
        size = np.linalg.norm(out)
        if size < 1e-6:
            continue
        place = x[i] + length * out / size
        far = np.linalg.norm(np.array(placed) - place, axis=1) if placed else 9
        room = metal.query(place)[0] > ROOM * length
        if room and np.min(far) > LIGANDS_APART:
            placed.append(place)
    if not placed:
        return member
    return Member(
        np.concatenate([x, placed]),
        np.concatenate([member.kind, np.full(len(placed), 2)]),
    )
