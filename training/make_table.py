"""Make the table of geometries of the package again, with ASE's builders.

    python -m training.make_table --out runs/geometries.npz

The package ships the table and reads it with numpy alone; this module is how
it came to be.  It enumerates the clusters of the seven structure types, gives
each one name, and puts their atoms on the sites of few common templates.
The command prints the digest of what it made beside that of the package.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from diffpy_cbldm.crystals.lattices import AXIS, TEMPLATES, place, sphere
from diffpy_cbldm.crystals.table import (
    SAME_SITE,
    TEMPLATE_OF,
    Geometry,
    Table,
    load_table,
)
from diffpy_cbldm.files import appearing
from diffpy_cbldm.settings import MAX_ATOMS, MIN_ATOMS, STRUCTURE_TYPES

RADII = {"fcc": 5.3, "bcc": 5.3, "sc": 5.6, "stack": 5.0, "dec": 5.3}
"""Every site nearer than this to the origin is in the template, in bonds."""


class _Cluster(NamedTuple):
    """One cluster of a builder, in bond lengths."""

    structure_type: str
    parameters: tuple[int, ...]
    xyz: np.ndarray
    published: bool


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
    found: dict[tuple, _Cluster] = {}
    for structure_type in ("fcc", "bcc", "sc", "hcp", "ico", "dec", "oct"):
        for cluster in _of_type(structure_type):
            # Many parameters give one cluster: the first ones name it.
            found.setdefault(_signature(cluster.xyz, structure_type), cluster)
        if progress is not None:
            progress(structure_type)
    clusters = _without_shared(list(found.values()))
    clusters.sort(key=lambda c: (c.structure_type, len(c.xyz), c.parameters))
    return _on_templates(clusters)


def _of_type(structure_type: str) -> list[_Cluster]:
    """The clusters of a type that have 5 to 256 atoms, in bond lengths."""
    known = [
        (parameters, xyz, published)
        for parameters, xyz, published in _clusters(structure_type)
        if MIN_ATOMS <= len(xyz) <= MAX_ATOMS
    ]
    # One unit of length for the whole type keeps its sites exact.
    bond = bond_length(max(known, key=lambda c: len(c[1]))[1])
    return [
        _Cluster(structure_type, parameters, xyz / bond, published)
        for parameters, xyz, published in known
    ]


def _on_templates(clusters: list[_Cluster]) -> Table:
    """The table of clusters, each as members of the sites of its template."""
    placed = [
        place(TEMPLATE_OF[c.structure_type], _on_lattice(c)) for c in clusters
    ]
    sites = {}
    for name in TEMPLATES:
        clouds = [
            xyz
            for c, xyz in zip(clusters, placed, strict=True)
            if TEMPLATE_OF[c.structure_type] == name
        ]
        sites[name] = _merge([*clouds, _near_sites(name)])
    # Members are looked up among the sites, which a table without
    # geometries can do already.
    bare = Table(sites, ())
    geometries = tuple(
        Geometry(
            c.structure_type,
            c.parameters,
            bare.members(TEMPLATE_OF[c.structure_type], xyz),
            c.published,
        )
        for c, xyz in zip(clusters, placed, strict=True)
    )
    return Table(sites, geometries)


def save_table(table: Table, path: Path | str) -> None:
    """Write a table in the package's format (sites and member lists)."""
    # Builders have one to three parameters; -1 stands where one lacks.
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
    with appearing(path) as unfinished:
        np.savez_compressed(unfinished, **arrays)


def bond_length(positions: np.ndarray) -> float:
    """Mean of all pair distances below 1.1 of the shortest.

    Parameters
    ----------
    positions : (n, 3) array
        Any unit of length; the result has the same.
    """
    d = _pair_distances(positions)
    return float(d[d < 1.1 * d.min()].mean())


_Built = Iterator[tuple[tuple[int, ...], np.ndarray, bool]]
"""Parameters, positions in the builder's unit, whether the paper has it."""


def _clusters(structure_type: str) -> _Built:
    """All clusters of one structure type that its builder gives."""
    if structure_type in ("fcc", "bcc", "sc"):
        return _cubic(structure_type)
    builders = {
        "hcp": _hexagonal,
        "ico": _icosahedra,
        "dec": _decahedra,
        "oct": _octahedra,
    }
    return builders[structure_type]()


def _cubic(structure_type: str) -> _Built:
    """Cuts by {100}, {110} and {111}, by the numbers of layers."""
    from ase.cluster import cubic

    builder = {
        "fcc": cubic.FaceCenteredCubic,
        "bcc": cubic.BodyCenteredCubic,
        "sc": cubic.SimpleCubic,
    }[structure_type]
    surfaces = [(1, 0, 0), (1, 1, 0), (1, 1, 1)]
    for layers in itertools.product(range(1, 13), repeat=3):
        # Building all of them would take hours.
        if not _too_many(structure_type, layers):
            atoms = builder("Au", surfaces, layers, latticeconstant=4.0)
            yield layers, atoms.positions, True


def _hexagonal() -> _Built:
    """Blocks of hcp, by the repeats of the cell of two atoms."""
    from ase.lattice.hexagonal import HexagonalClosedPacked

    for size in itertools.product(range(1, 16), repeat=3):
        if 2 * size[0] * size[1] * size[2] <= MAX_ATOMS:
            atoms = HexagonalClosedPacked(
                "Au", latticeconstant=(1.0, 1.633), size=size
            )
            yield size, atoms.positions - atoms.positions[0], True


def _icosahedra() -> _Built:
    from ase.cluster import Icosahedron

    for shells in range(2, 6):
        atoms = Icosahedron("Au", shells, latticeconstant=4.0)
        yield (shells,), atoms.positions, True


def _decahedra() -> _Built:
    from ase.cluster import Decahedron

    for p, q, r in itertools.product(range(1, 13), range(1, 13), range(8)):
        lone = p == 1 and q == 1 and r == 0
        if p + r <= 8 and not lone:
            atoms = Decahedron("Au", p, q, r, latticeconstant=4.0)
            yield (p, q, r), atoms.positions, True


def _octahedra() -> _Built:
    """Whole ones, which the paper has, and truncated ones."""
    from ase.cluster import Octahedron

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


def _pair_distances(positions: np.ndarray) -> np.ndarray:
    i, j = np.triu_indices(len(positions), 1)
    return np.linalg.norm(positions[i] - positions[j], axis=1)


def _signature(xyz: np.ndarray, structure_type: str) -> tuple:
    """What tells clusters apart, however they are turned."""
    d = _pair_distances(xyz)
    powers = [float((d**k).mean()) for k in (1, 2, 3, 4)]
    return (structure_type, len(xyz), *np.round(powers, 3))


def _without_shared(clusters: list[_Cluster]) -> list[_Cluster]:
    """Give a geometry one label: fcc builders make octahedra, too.

    A full octahedron is called oct, a truncated one that the fcc builder
    gives as well (a cuboctahedron, say) fcc.
    """
    full, fcc = set(), set()
    for c in clusters:
        if c.structure_type == "oct" and c.published:
            full.add(_signature(c.xyz, ""))
        if c.structure_type == "fcc":
            fcc.add(_signature(c.xyz, ""))
    refused = {"fcc": full, "oct": fcc - full}
    return [
        c
        for c in clusters
        if _signature(c.xyz, "") not in refused.get(c.structure_type, ())
    ]


def _on_lattice(cluster: _Cluster) -> np.ndarray:
    """Positions of a cluster with the origin on a site of its lattice."""
    structure_type, _, xyz, _ = cluster
    if structure_type == "ico":
        return xyz - xyz.mean(0)
    if structure_type == "dec":
        return _on_axis(xyz)
    return xyz - xyz[0]


def _on_axis(xyz: np.ndarray) -> np.ndarray:
    """Move a decahedron: its axis runs through the middle, and the atom on
    it that is nearest to the middle is the origin."""
    d = xyz - xyz.mean(0)
    axial = d[np.hypot(d[:, 0], d[:, 1]) < 0.1, 2]
    return d - [0, 0, axial[np.argmin(abs(axial))]]


def _near_sites(template: str) -> np.ndarray:
    """The sites of a lattice near the origin, see `RADII`."""
    from ase.cluster import Decahedron, Icosahedron

    if template == "ico":
        xyz = Icosahedron("Au", 6, latticeconstant=4.0).positions
        # The unit is that of the largest icosahedron of the table.
        four = Icosahedron("Au", 4, latticeconstant=4.0).positions
        return xyz / bond_length(four)
    if template == "dec":
        xyz = Decahedron("Au", 8, 6, 0, latticeconstant=4.0).positions
        # Neighbours on the axis are a / sqrt(2) = sqrt(8) apart for a = 4.
        xyz = _on_axis(xyz * (AXIS / 8**0.5))
        return xyz[np.linalg.norm(xyz, axis=1) <= RADII["dec"]]
    return sphere(template, RADII[template])


def _merge(clouds: list[np.ndarray]) -> np.ndarray:
    """All distinct sites of some clouds, nearest to the origin first."""
    from scipy.spatial import cKDTree

    cloud = np.concatenate(clouds)
    # Most sites occur in many clusters: rounding finds these at once.
    keys = np.round(cloud / SAME_SITE).astype(int)
    _, first = np.unique(keys, axis=0, return_index=True)
    cloud = cloud[first]
    cloud = cloud[np.argsort(np.round((cloud**2).sum(1), 4), kind="stable")]
    # Rounding parts sites on two sides of a step: the tree finds these.
    tree = cKDTree(cloud)
    keep = np.ones(len(cloud), bool)
    for i, j in sorted(tree.query_pairs(2 * SAME_SITE)):
        if keep[i]:
            keep[j] = False
    return cloud[keep].astype(np.float32)


def main() -> None:
    """The command line; see the module's text."""
    parser = argparse.ArgumentParser(
        "python -m training.make_table", description=__doc__.splitlines()[0]
    )
    parser.add_argument(
        "--out", type=Path, default=Path("runs/geometries.npz")
    )
    options = parser.parse_args()
    table = build_table(print)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    save_table(table, options.out)
    print(f"{options.out}: {len(table)} geometries, SHA-256 {table.digest}")
    print(f"the package's table: SHA-256 {load_table().digest}")


if __name__ == "__main__":
    main()
