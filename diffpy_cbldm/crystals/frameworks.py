"""Symmetric frameworks: clusters built of concentric orbits.

Small and ligand-protected clusters need not be pieces of any lattice.  Au144
has 12 + 42 + 60 + 30 gold atoms in shells that the rotations of the
icosahedron leave in place; other clusters are overlayers on icosahedra and
decahedra, hollow at the centre, or icosahedra that share faces and corners.
What they have in common is a point group and atoms that sit where three or
four others leave a hollow.  Such frameworks are enumerated from the centre
outwards (`training.make_frameworks`); no published coordinates are in them.
"""

from __future__ import annotations

import dataclasses
import functools
from importlib import resources

import numpy as np

from diffpy_cbldm.crystals.point_groups import ROTATION_GROUPS, rotations
from diffpy_cbldm.files import packaged
from diffpy_cbldm.memory import PROPOSALS, quickly_made

_FILE = "frameworks.npz"

_AT_ONCE = 512
"""Sites whose images are made at a time."""

_MERGE = 1e-2
"""Sites nearer (bond lengths) to their images stand on an axis: they were
rounded."""

_ODD = np.array([0.6123, 0.4021, 1.0])
"""A direction at right angles to no difference of equal atoms."""

_TYPES = {"I": "ico", "D5": "dec"}
"""What candidates of a group are called; else `OTHER`."""

OTHER = "shells"
"""The structure type of frameworks without a five-fold axis."""


@dataclasses.dataclass(frozen=True, eq=False)
class Framework:
    """A cluster by its group and its orbits.

    Attributes
    ----------
    group : str
        One of `diffpy_cbldm.crystals.point_groups.ROTATION_GROUPS`.
    shells : tuple of (m, 3) arrays, bond lengths
        The atoms of each orbit about the centre, in the order in which they
        grew.
    """

    group: str
    shells: tuple[np.ndarray, ...]

    @property
    def structure_type(self) -> str:
        """As candidates name it."""
        return _TYPES.get(self.group, OTHER)

    @property
    def positions(self) -> np.ndarray:
        """Positions about the centre, (n, 3), bond lengths."""
        return np.concatenate(self.shells)

    def __len__(self) -> int:
        return sum(map(len, self.shells))

    def __str__(self) -> str:
        sizes = " + ".join(str(len(shell)) for shell in self.shells)
        return f"{self.group}: {sizes}"


def shells_of(group: str, sites: np.ndarray) -> list[np.ndarray]:
    """All images of many sites under the rotations of a group.

    Parameters
    ----------
    group : str
    sites : (s, 3) array, bond lengths
        Those nearer than `_MERGE` to their own images are put where they
        meet.

    Returns
    -------
    list of s (m, 3) arrays
    """
    turns = rotations(group)
    images = np.einsum("gij,sj->sgi", turns, sites)
    near = np.linalg.norm(images - sites[:, None], axis=2) < _MERGE
    equal = near.sum(1)
    sites = (near[:, :, None] * images).sum(1) / equal[:, None]
    images = np.einsum("gij,sj->sgi", turns, sites)
    # Each atom of an orbit comes as often as operations leave the site in
    # place: along an odd direction equal ones stand next to one another.
    order = np.argsort(images @ _ODD, axis=1, kind="stable")
    return [
        image[places[::times]]
        for image, places, times in zip(images, order, equal)
    ]


@quickly_made(PROPOSALS)
@functools.cache
def load_frameworks() -> tuple[Framework, ...]:
    """The packaged frameworks.

    Raises
    ------
    CbldmError
        The file is damaged.
    """
    path = resources.files("diffpy_cbldm.crystals").joinpath(_FILE)
    with packaged(_FILE), path.open("rb") as stream:
        with np.load(stream, allow_pickle=False) as data:
            sites = data["sites"].astype(float)
            counts = data["orbits"].astype(int)
            groups = data["groups"]
    of_site = np.repeat(groups, counts)
    shells: list[np.ndarray] = [np.empty(0)] * len(sites)
    # All sites of a group at once: one by one they take seconds.
    for group in ROTATION_GROUPS:
        mine = np.flatnonzero(of_site == group)
        # In pieces, as all images take as much memory as the shells.
        for first in range(0, len(mine), _AT_ONCE):
            part = mine[first : first + _AT_ONCE]
            for place, shell in zip(part, shells_of(group, sites[part])):
                shells[place] = shell
    ends = np.cumsum(counts)
    return tuple(
        Framework(str(group), tuple(shells[end - count : end]))
        for group, count, end in zip(groups, counts, ends)
    )


def packed(frameworks: list[Framework]) -> dict[str, np.ndarray]:
    """The arrays of the file that `load_frameworks` reads."""
    return {
        "groups": np.array([f.group for f in frameworks]),
        "orbits": np.array([len(f.shells) for f in frameworks], np.uint8),
        "sites": np.array(
            [shell[0] for f in frameworks for shell in f.shells], np.float32
        ),
    }
