"""The packaged sketches of large particles: their pairs in few numbers.

All particles of one crystal have the same distances, and differ by how many
pairs have each.  These numbers lie near few directions (`training.make_large`
finds them): a particle is kept as its place along each.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from importlib import resources
from typing import Any

import numpy as np

from diffpy_cbldm.crystals.particles import (
    MultiplyTwinned,
    Particle,
    pair_counts,
)
from diffpy_cbldm.crystals.random_particles import RandomParticle
from diffpy_cbldm.errors import CbldmError
from diffpy_cbldm.files import packaged
from diffpy_cbldm.memory import PROPOSALS, quickly_made

FILES = {"ideal": "large.npz", "random": "large_cuts.npz"}
"""The packaged sketches."""

AnyParticle = Particle | MultiplyTwinned | RandomParticle


class Rows(Sequence[AnyParticle]):
    """Particles of one crystal, each made from its row when it is asked for.

    A search looks at a few of thousands, and what it has counted of these
    need not stay.

    Parameters
    ----------
    crystal : str
        "random" for `RandomParticle`.
    rows : (C, k) array
        See `packed`.
    """

    def __init__(self, crystal: str, rows: np.ndarray) -> None:
        self.crystal, self._rows = crystal, rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, place: Any) -> Any:
        return _particle(self.crystal, self._rows[place].tolist())


@dataclasses.dataclass(frozen=True)
class Group:
    """Particles of one crystal and their pairs.

    Attributes
    ----------
    particles : sequence of Particle, MultiplyTwinned or RandomParticle
    atoms : (C,) array of int
    distances : (S,) array, bond lengths
    modes : (k, S) array
    weights : (C, k) array or None
        Twice the pairs an atom at each distance are ``weights @ modes``;
        None: they are the modes themselves.
    """

    particles: Sequence[AnyParticle]
    atoms: np.ndarray
    distances: np.ndarray
    modes: np.ndarray
    weights: np.ndarray | None = None

    def shares(
        self, curves: np.ndarray, fall: np.ndarray, data: np.ndarray
    ) -> np.ndarray:
        """How much of some curves each particle explains, (Z, C).

        Parameters
        ----------
        curves : (n, k) array
            Of the modes.
        fall : (n,) array
            The damping of the particles' curves.
        data : (n, Z) array
            Curves of length 1.
        """
        curves = curves * fall[:, None]
        cross = data.T @ curves
        if self.weights is None:
            power = np.einsum("nk,nk->k", curves, curves)
        else:
            square = self.weights @ (curves.T @ curves)
            power = np.einsum("ck,ck->c", square, self.weights)
            cross = cross @ self.weights.T
        return cross.clip(min=0) ** 2 / power.clip(min=1e-20)


def exactly(particles: Sequence[AnyParticle]) -> Group:
    """Particles of one crystal with their exact pairs."""
    counted = [pair_counts(p) for p in particles]
    keys = np.unique(np.concatenate([np.round(d, 5) for d, _ in counted]))
    pairs = np.zeros((len(particles), len(keys)))
    for row, particle, (d, m) in zip(pairs, particles, counted):
        row[np.searchsorted(keys, np.round(d, 5))] = 2 * m / len(particle)
    atoms = np.array([len(p) for p in particles])
    return Group(tuple(particles), atoms, keys, pairs)


@quickly_made(PROPOSALS)
@functools.cache
def load_groups(kind: str = "ideal") -> tuple[Group, ...]:
    """A packaged sketch, one group a crystal or a template.

    Parameters
    ----------
    kind : {"ideal", "random"}

    Raises
    ------
    CbldmError
        The file is damaged, or its random particles are not those that are
        drawn here.
    """
    name = FILES[kind]
    path = resources.files("diffpy_cbldm.search").joinpath(name)
    with packaged(name), path.open("rb") as stream:
        with np.load(stream, allow_pickle=False) as data:
            groups = unpacked(dict(data))
    if kind == "random":
        # One tells for all: they are drawn from their numbers.
        if len(groups[0].particles[0]) != groups[0].atoms[0]:
            raise CbldmError(
                f"the large clusters of {name} are not those that NumPy "
                f"{np.__version__} draws; expected the same: leave out the "
                "generator screen."
            )
    return groups


def packed(groups: list[Group]) -> dict[str, np.ndarray]:
    """The arrays of a file, see `unpacked`."""
    arrays: dict[str, np.ndarray] = {}
    for k, group in enumerate(groups):
        first = group.particles[0]
        rows = np.array([_numbers(p) for p in group.particles])
        short = rows.astype(np.float32)
        if not isinstance(first, Particle):
            short = rows.astype(np.int16)
        kind = "random" if isinstance(first, RandomParticle) else first.crystal
        assert group.weights is not None  # of a sketch
        arrays |= {
            f"crystal_{k}": np.array([kind]),
            f"particles_{k}": short,
            f"atoms_{k}": group.atoms.astype(np.int16),
            f"distances_{k}": group.distances.astype(np.float32),
            f"modes_{k}": group.modes.astype(np.float16),
            f"weights_{k}": group.weights.astype(np.float16),
        }
    return arrays


def unpacked(arrays: dict[str, np.ndarray]) -> tuple[Group, ...]:
    """The groups that `packed` took apart."""
    groups = []
    for k in range(len(arrays) // 6):
        crystal = str(arrays[f"crystal_{k}"][0])
        groups.append(
            Group(
                Rows(crystal, arrays[f"particles_{k}"]),
                arrays[f"atoms_{k}"].astype(int),
                arrays[f"distances_{k}"].astype(float),
                arrays[f"modes_{k}"].astype(float),
                arrays[f"weights_{k}"].astype(float),
            )
        )
    return tuple(groups)


def _numbers(p: AnyParticle) -> Sequence[float]:
    """A particle as a row of numbers."""
    if isinstance(p, RandomParticle):
        return [p.number]
    if isinstance(p, MultiplyTwinned):
        return p.parameters
    shape = [p.radius, p.axis, p.aspect, *p.caps, p.between]
    return [p.centre, *shape, *p.limits]


def _particle(crystal: str, row: Sequence[float]) -> AnyParticle:
    """The particle of a row of numbers."""
    if crystal == "random":
        return RandomParticle(int(row[0]))
    if crystal in ("dec", "ico"):
        return MultiplyTwinned(crystal, tuple(int(v) for v in row))
    centre, radius, axis, aspect, low, high, between, *limits = row
    return Particle(
        crystal,
        int(centre),
        tuple(limits),
        radius,
        int(axis),
        aspect,
        (low, high),
        int(between),
    )
