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

from diffpy_cbldm.crystals.point_groups import orbit_of, rotations
from diffpy_cbldm.files import packaged

_FILE = "frameworks.npz"

_MERGE = 1e-2
"""Sites nearer (bond lengths) to their images stand on an axis: they were
rounded."""

_TYPES = {"I": "ico", "D5": "dec"}
"""What candidates of a group are called; else `OTHER`."""

OTHER = "shells"
"""The structure type of frameworks without a five-fold axis."""


@dataclasses.dataclass(frozen=True, eq=False)
class Framework:
    """A cluster by its group and one site of each orbit.

    Attributes
    ----------
    group : str
        One of `diffpy_cbldm.crystals.point_groups.ROTATION_GROUPS`.
    sites : (k, 3) array, bond lengths
        About the centre; the orbits in the order in which they grew.
    """

    group: str
    sites: np.ndarray

    @property
    def structure_type(self) -> str:
        """As candidates name it."""
        return _TYPES.get(self.group, OTHER)

    @functools.cached_property
    def shells(self) -> list[np.ndarray]:
        """The atoms of each orbit, (m, 3), bond lengths."""
        turns = rotations(self.group)
        found = [orbit_of(site, turns, _MERGE) for site in self.sites]
        return [shell for shell in found if shell is not None]

    @property
    def positions(self) -> np.ndarray:
        """Positions about the centre, (n, 3), bond lengths."""
        return np.concatenate(self.shells)

    def __len__(self) -> int:
        return sum(map(len, self.shells))

    def __str__(self) -> str:
        sizes = " + ".join(str(len(shell)) for shell in self.shells)
        return f"{self.group}: {sizes}"


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
            ends = np.cumsum(data["orbits"])[:-1]
            groups = data["groups"].tolist()
    parts = np.split(sites, ends)
    return tuple(map(Framework, groups, parts))


def packed(frameworks: list[Framework]) -> dict[str, np.ndarray]:
    """The arrays of the file that `load_frameworks` reads."""
    return {
        "groups": np.array([f.group for f in frameworks]),
        "orbits": np.array([len(f.sites) for f in frameworks], np.uint8),
        "sites": np.concatenate([f.sites for f in frameworks]).astype(
            np.float32
        ),
    }
