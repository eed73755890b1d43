"""The seven structure types in units of the bond length.

Every ideal cluster of 5 to 256 atoms that ASE's builders give for the seven
structure types (the ranges of builder parameters are those of Kjaer et al.,
Digital Discovery 2023, 2, 69), each once, is a subset of the *template
sites* of its lattice: fcc and octahedral clusters share one template.  The
table with the sites and the members of each geometry ships with the package;
`build_table` makes it again from ASE.

The unit of length is the bond: the mean of all pair distances below 1.1 of
the shortest one in the type's largest cluster, which is where the first peak
of the PDF stands.  (In decahedra and icosahedra, whose bonds differ by 5 %,
that mean depends a little on the size; one unit a type keeps sites exact.)
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import itertools
from collections.abc import Iterator
from importlib import resources
from typing import Any

import numpy as np

from diffpy_cbldm.crystals.lattices import AXIS, TEMPLATES, place, sphere
from diffpy_cbldm.settings import MAX_ATOMS, MIN_ATOMS, STRUCTURE_TYPES

TEMPLATE_OF = {
    **{t: t for t in STRUCTURE_TYPES},
    **{"oct": "fcc", "hcp": "stack", "stacked": "stack"},
}
"""The template of each structure type."""

RADII = {"fcc": 5.3, "bcc": 5.3, "sc": 5.6, "stack": 5.0, "dec": 5.3}
"""Every site nearer than this to the origin is in the template, in bonds."""

_TABLE = "geometries.npz"

_SAME_SITE = 1e-3


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

    def padded(self) -> tuple[np.ndarray, np.ndarray]:
        """All geometries as one array.

        Returns
        -------
        positions : (G, 256, 3) float32 array, bond lengths
            Centred; zero where there is no atom.
        lengths : (G,) array of int
            Number of atoms.
        """
        out = np.zeros((len(self), MAX_ATOMS, 3), np.float32)
        for i in range(len(self)):
            xyz = self.positions(i)
            out[i, : len(xyz)] = xyz
        lengths = np.array([g.n_atoms for g in self.geometries])
        return out, lengths

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
        xyz = self.sites[template][sites].astype(float)
        members = self.members(template, place(template, xyz))
        return self._names.get((template, members.tobytes()))

    def sites_at(self, template: str, xyz: np.ndarray) -> np.ndarray:
        """Numbers of the sites at some points, (n, 3) -> (n,); -1 for none."""
        distance, index = self._trees[template].query(xyz)
        return np.where(distance < 3 * _SAME_SITE, index, -1)

    @functools.cached_property
    def digest(self) -> str:
        """SHA-256 of sites and members; stored with weights."""
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
    path = resources.files("diffpy_cbldm.crystals").joinpath(_TABLE)
    with path.open("rb") as stream:
        with np.load(stream, allow_pickle=False) as data:
            return _unpack(dict(data))


def build_table(progress: Any = None) -> Table:
    """Enumerate all geometries with ASE; takes about two minutes.

    The templates hold the sites of all geometries, and beyond these every
    site of the lattice near the origin (`RADII`; of icosahedra five shells),
    so that clusters of up to 256 atoms that no library holds fit in.

    Parameters
    ----------
    progress : callable, optional
        Called with the name of each structure type when it is done.
    """
    found: dict[tuple, tuple[str, tuple[int, ...], np.ndarray, bool]] = {}
    for structure_type in ("fcc", "bcc", "sc", "hcp", "ico", "dec", "oct"):
        clusters = [
            (parameters, xyz, published)
            for parameters, xyz, published in _clusters(structure_type)
            if MIN_ATOMS <= len(xyz) <= MAX_ATOMS
        ]
        bond = bond_length(max(clusters, key=lambda c: len(c[1]))[1])
        for parameters, xyz, published in clusters:
            entry = (structure_type, parameters, xyz / bond, published)
            found.setdefault(_signature(xyz / bond, structure_type), entry)
        if progress is not None:
            progress(structure_type)
    entries = _without_shared(list(found.values()))
    entries.sort(key=lambda e: (e[0], len(e[2]), e[1]))
    placed = [
        place(TEMPLATE_OF[e[0]], _on_lattice(e[0], e[2])) for e in entries
    ]
    sites = {}
    for name in TEMPLATES:
        clouds = [
            xyz
            for e, xyz in zip(entries, placed, strict=True)
            if TEMPLATE_OF[e[0]] == name
        ]
        sites[name] = _merge([*clouds, _near_sites(name)])
    bare = Table(sites, ())
    geometries = tuple(
        Geometry(e[0], e[1], bare.members(TEMPLATE_OF[e[0]], xyz), e[3])
        for e, xyz in zip(entries, placed, strict=True)
    )
    return Table(sites, geometries)


def save_table(table: Table, path: str) -> None:
    """Write a table in the package's format (sites and member lists)."""
    parameters = np.zeros((len(table), 3), np.int16) - 1
    for row, geometry in zip(parameters, table.geometries):
        row[: len(geometry.parameters)] = geometry.parameters
    types = [STRUCTURE_TYPES.index(g.structure_type) for g in table.geometries]
    arrays = {f"sites_{n}": table.sites[n].astype("<f4") for n in TEMPLATES}
    arrays["types"] = np.array(types, np.uint8)
    arrays["parameters"] = parameters
    arrays["published"] = np.array([g.published for g in table.geometries])
    arrays["counts"] = np.array(
        [g.n_atoms for g in table.geometries], np.uint16
    )
    arrays["members"] = np.concatenate(
        [g.members.astype(np.uint16) for g in table.geometries]
    )
    np.savez_compressed(path, allow_pickle=False, **arrays)


def bond_length(positions: np.ndarray) -> float:
    """Mean of all pair distances below 1.1 of the shortest.

    Parameters
    ----------
    positions : (n, 3) array
        Any unit of length; the result has the same.
    """
    d = _pair_distances(positions)
    return float(d[d < 1.1 * d.min()].mean())


def _unpack(data: dict[str, np.ndarray]) -> Table:
    ends = np.cumsum(data["counts"].astype(int))
    geometries = []
    for i, end in enumerate(ends):
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


def _clusters(
    structure_type: str,
) -> Iterator[tuple[tuple[int, ...], np.ndarray, bool]]:
    """Yield (parameters, positions, published) of one structure type."""
    from ase.cluster import Decahedron, Icosahedron, Octahedron, cubic
    from ase.lattice.hexagonal import HexagonalClosedPacked

    if structure_type in ("fcc", "bcc", "sc"):
        builder = {
            "fcc": cubic.FaceCenteredCubic,
            "bcc": cubic.BodyCenteredCubic,
            "sc": cubic.SimpleCubic,
        }[structure_type]
        surfaces = [(1, 0, 0), (1, 1, 0), (1, 1, 1)]
        for layers in itertools.product(range(1, 13), repeat=3):
            # Beyond the planes of the cube {100} the others do not cut:
            # the cube alone holds more than 256 atoms there.
            if _too_many(structure_type, layers):
                continue
            atoms = builder("Au", surfaces, layers, latticeconstant=4.0)
            yield layers, atoms.positions, True
    elif structure_type == "hcp":
        for size in itertools.product(range(1, 16), repeat=3):
            if 2 * size[0] * size[1] * size[2] <= MAX_ATOMS:
                atoms = HexagonalClosedPacked(
                    "Au", latticeconstant=(1.0, 1.633), size=size
                )
                yield size, _from_corner(atoms.positions), True
    elif structure_type == "ico":
        for shells in range(2, 6):
            atoms = Icosahedron("Au", shells, latticeconstant=4.0)
            yield (shells,), atoms.positions, True
    elif structure_type == "dec":
        for p, q, r in itertools.product(range(1, 13), range(1, 13), range(8)):
            if p + r > 8 or (p == 1 and q == 1 and r == 0):
                continue
            atoms = Decahedron("Au", p, q, r, latticeconstant=4.0)
            yield (p, q, r), atoms.positions, True
    else:
        for length in range(2, 11):
            for cutoff in range((length - 1) // 2 + 1):
                atoms = Octahedron("Au", length, cutoff, latticeconstant=4.0)
                yield (length, cutoff), atoms.positions, cutoff == 0


def _too_many(structure_type: str, layers: tuple[int, ...]) -> bool:
    """Whether a centred sphere inside all planes holds over 256 atoms."""
    spacing = {  # between lattice planes of {100}, {110}, {111}, in a
        "fcc": (0.5, 8**-0.5, 3**-0.5),
        "bcc": (0.5, 2**-0.5, 12**-0.5),
        "sc": (1.0, 2**-0.5, 3**-0.5),
    }[structure_type]
    per_cell = {"fcc": 4, "bcc": 2, "sc": 1}[structure_type]
    radius = min(n * d for n, d in zip(layers, spacing)) - 0.5
    return radius > 0 and per_cell * 4.19 * radius**3 > 2 * MAX_ATOMS


def _from_corner(positions: np.ndarray) -> np.ndarray:
    return positions - positions[0]


def _pair_distances(positions: np.ndarray) -> np.ndarray:
    i, j = np.triu_indices(len(positions), 1)
    return np.linalg.norm(positions[i] - positions[j], axis=1)


def _signature(xyz: np.ndarray, structure_type: str) -> tuple:
    d = _pair_distances(xyz)
    powers = [float((d**k).mean()) for k in (1, 2, 3, 4)]
    return (structure_type, len(xyz), *np.round(powers, 3))


def _without_shared(entries: list) -> list:
    """Give a geometry one label: fcc builders make octahedra, too.

    A full octahedron is called oct, a truncated one that the fcc builder
    gives as well (a cuboctahedron, say) fcc.
    """
    full = {_signature(e[2], "") for e in entries if e[0] == "oct" and e[3]}
    fcc = {_signature(e[2], "") for e in entries if e[0] == "fcc"}
    return [
        e
        for e in entries
        if not (e[0] == "fcc" and _signature(e[2], "") in full)
        and not (e[0] == "oct" and not e[3] and _signature(e[2], "") in fcc)
    ]


def _on_lattice(structure_type: str, xyz: np.ndarray) -> np.ndarray:
    """Move a cluster of ASE's, in bond lengths, onto its lattice."""
    middle = xyz.mean(0)
    if structure_type == "ico":
        return xyz - middle
    if structure_type == "dec":
        # The axis runs through the middle; an atom on it is the origin.
        d = xyz - middle
        axial = d[np.hypot(d[:, 0], d[:, 1]) < 0.1, 2]
        return d - [0, 0, axial[np.argmin(abs(axial))]]
    return xyz - xyz[0]


def _near_sites(template: str) -> np.ndarray:
    """The sites of a lattice near the origin, see `RADII`."""
    from ase.cluster import Decahedron, Icosahedron

    if template == "ico":
        xyz = Icosahedron("Au", 6, latticeconstant=4.0).positions
        four = Icosahedron("Au", 4, latticeconstant=4.0).positions
        return xyz / bond_length(four)
    if template == "dec":
        xyz = Decahedron("Au", 8, 6, 0, latticeconstant=4.0).positions
        xyz = _on_lattice("dec", xyz * (AXIS / 8**0.5))
        return xyz[np.linalg.norm(xyz, axis=1) <= RADII["dec"]]
    return sphere(template, RADII[template])


def _merge(clouds: list[np.ndarray]) -> np.ndarray:
    """All distinct sites of some clouds, nearest to the origin first."""
    from scipy.spatial import cKDTree

    cloud = np.concatenate(clouds)
    keys = np.round(cloud / _SAME_SITE).astype(int)
    _, first = np.unique(keys, axis=0, return_index=True)
    cloud = cloud[first]
    cloud = cloud[np.argsort(np.round((cloud**2).sum(1), 4), kind="stable")]
    tree = cKDTree(cloud)
    keep = np.ones(len(cloud), bool)
    for i, j in sorted(tree.query_pairs(2 * _SAME_SITE)):
        if keep[i]:
            keep[j] = False
    return cloud[keep].astype(np.float32)
