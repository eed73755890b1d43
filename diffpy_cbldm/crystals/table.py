"""The seven structure types in units of the bond length.

Every ideal cluster of 5 to 256 atoms that ASE's builders give for the seven
structure types (the ranges of builder parameters are those of Kjaer et al.,
Digital Discovery 2023, 2, 69), each once, is a subset of the *template
sites* of its lattice: fcc and octahedral clusters share one template.  The
table with the sites and the members of each geometry ships with the package;
`training.make_table` makes it again from ASE.

The unit of length is the bond: the mean of all pair distances below 1.1 of
the shortest one in the type's largest cluster, which is where the first peak
of the PDF stands.  (In decahedra and icosahedra, whose bonds differ by 5 %,
that mean depends a little on the size; one unit a type keeps sites exact.)
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from importlib import resources
from typing import Any

import numpy as np

from diffpy_cbldm.crystals.lattices import (
    TEMPLATES,
    directions,
    place,
    stacking_sites,
)
from diffpy_cbldm.files import packaged
from diffpy_cbldm.settings import STRUCTURE_TYPES

TEMPLATE_OF = {
    **{t: t for t in STRUCTURE_TYPES},
    **{"oct": "fcc", "hcp": "stack", "stacked": "stack"},
}
"""The template of each structure type."""

_TABLE_FILE = "geometries.npz"

SAME_SITE = 1e-3
"""Sites nearer than about this are one, in bond lengths."""


@dataclasses.dataclass(frozen=True)
class Geometry:
    """One ideal cluster.

    Attributes
    ----------
    structure_type : str
        One of `diffpy_cbldm.settings.STRUCTURE_TYPES`.
    parameters : tuple of int
        The builder's own parameters: layers (h, k, l) for fcc, bcc and sc,
        repeats (n1, n2, n3) for hcp, (p, q, r) for dec, shells for ico,
        (length, cutoff) for oct.
    members : (n,) array of int
        Which sites of the type's template are filled, rising.
    published : bool
        Whether it belongs to the paper's set (truncated octahedra do not).
    """

    structure_type: str
    parameters: tuple[int, ...]
    members: np.ndarray
    published: bool

    @property
    def n_atoms(self) -> int:
        """Number of atoms."""
        return len(self.members)

    @property
    def name(self) -> str:
        """Type and parameters, such as ``dec(4,1,1)``."""
        inside = ",".join(str(p) for p in self.parameters)
        return f"{self.structure_type}({inside})"


@dataclasses.dataclass(frozen=True)
class Table:
    """All geometries and the template sites that they use.

    Attributes
    ----------
    sites : dict of str to (S, 3) array
        Site positions of each template, in bond lengths.
    geometries : tuple of Geometry
        In the order of structure type, then number of atoms.
    """

    sites: dict[str, np.ndarray]
    geometries: tuple[Geometry, ...]

    def __len__(self) -> int:
        return len(self.geometries)

    def positions(self, index: int) -> np.ndarray:
        """Positions of one geometry.

        Parameters
        ----------
        index : int
            Which geometry.

        Returns
        -------
        (n, 3) array, bond lengths, centred on the mean position.
        """
        geometry = self.geometries[index]
        sites = self.sites[TEMPLATE_OF[geometry.structure_type]]
        xyz = sites[geometry.members].astype(float)
        return xyz - xyz.mean(axis=0)

    @functools.cached_property
    def _trees(self) -> dict[str, Any]:
        from scipy.spatial import cKDTree

        return {name: cKDTree(sites) for name, sites in self.sites.items()}

    def members(self, template: str, xyz: np.ndarray) -> np.ndarray:
        """The sites of a template on which atoms stand.

        Parameters
        ----------
        template : str
            One of `diffpy_cbldm.crystals.lattices.TEMPLATES`.
        xyz : (n, 3) array
            From `diffpy_cbldm.crystals.lattices.place`.

        Returns
        -------
        (n,) array of uint16, rising; shorter where atoms lie outside the
        template.
        """
        index = self.sites_at(template, xyz)
        return np.sort(index[index >= 0]).astype(np.uint16)

    @functools.cached_property
    def _heights(self) -> dict[str, np.ndarray]:
        # Column by column in memory: each direction is looked at by itself.
        return {
            n: np.asfortranarray(self.sites[n] @ directions(n).T)
            for n in TEMPLATES
        }

    def heights(self, template: str) -> np.ndarray:
        """How far out each site lies in each of `lattices.directions`.

        Returns
        -------
        (S, K) array, bond lengths
        """
        return self._heights[template]

    @functools.cached_property
    def stacking(self) -> tuple[np.ndarray, np.ndarray]:
        """Layer number and place in the layer of each "stack" site, (S,)."""
        return stacking_sites(self.sites["stack"].astype(float))

    @functools.cached_property
    def _names(self) -> dict[tuple[str, bytes], str]:
        return {
            (TEMPLATE_OF[g.structure_type], g.members.tobytes()): (
                g.structure_type
            )
            for g in self.geometries
        }

    def holds(self, template: str, members: np.ndarray) -> bool:
        """Whether sites from `members` are those of one of the geometries."""
        return (template, members.tobytes()) in self._names

    def known_type(self, template: str, sites: np.ndarray) -> str | None:
        """The structure type of a cluster that is one of the geometries.

        Parameters
        ----------
        template : str
        sites : (n,) array of int
            Filled sites, anywhere on the template.

        Returns
        -------
        str, or None for any other cluster
        """
        # The same shape elsewhere on the lattice: brought to the one place
        # at which the geometries are stored.
        xyz = self.sites[template][sites].astype(float)
        members = self.members(template, place(template, xyz))
        return self._names.get((template, members.tobytes()))

    def sites_at(self, template: str, xyz: np.ndarray) -> np.ndarray:
        """Numbers of the sites at some points, (n, 3) -> (n,); -1 for none."""
        # The table has made one of sites up to two tolerances apart, and a
        # point may be off its site by one.
        distance, index = self._trees[template].query(
            xyz, distance_upper_bound=3 * SAME_SITE
        )
        return np.where(np.isfinite(distance), index, -1)

    @functools.cached_property
    def digest(self) -> str:
        """SHA-256 of sites and members; stored with weights."""
        # Rounded, and in one byte order: the same on every machine.
        state = hashlib.sha256()
        for name in TEMPLATES:
            state.update(np.round(self.sites[name], 5).astype("<f4").tobytes())
        for geometry in self.geometries:
            state.update(geometry.name.encode())
            state.update(geometry.members.astype("<u2").tobytes())
        return state.hexdigest()


@functools.cache
def load_table() -> Table:
    """Read the stored geometry table of the package (numpy alone)."""
    path = resources.files("diffpy_cbldm.crystals").joinpath(_TABLE_FILE)
    with packaged(_TABLE_FILE), path.open("rb") as stream:
        with np.load(stream, allow_pickle=False) as data:
            return _unpack(dict(data))


def _unpack(data: dict[str, np.ndarray]) -> Table:
    """The table of the arrays of a file, see `training.make_table`."""
    # The members of all geometries stand in one array, one after the other.
    ends = np.cumsum(data["counts"].astype(int))
    geometries = []
    for i, end in enumerate(ends):
        # A builder has one to three parameters; -1 stands for no more.
        parameters = tuple(int(p) for p in data["parameters"][i] if p >= 0)
        geometries.append(
            Geometry(
                STRUCTURE_TYPES[data["types"][i]],
                parameters,
                data["members"][end - int(data["counts"][i]) : end],
                bool(data["published"][i]),
            )
        )
    sites = {name: data[f"sites_{name}"] for name in TEMPLATES}
    return Table(sites, tuple(geometries))
