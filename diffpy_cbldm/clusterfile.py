"""Clusters read from xyz, extended xyz and cif files."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np

from diffpy_cbldm.cluster import Cluster
from diffpy_cbldm.conversions import LAYERS
from diffpy_cbldm.errors import CbldmError


def read_cluster(path: str | os.PathLike[str]) -> Cluster:
    """Read a cluster from an xyz file, or from a cif file with a boxed one.

    Parameters
    ----------
    path : path
        With the extension ``.cif``, or an xyz file; ``-`` is an xyz file on
        standard input.

    Raises
    ------
    CbldmError
        Where the file is missing or is something else, or the cell of a cif
        file has no empty space around the atoms.
    """
    if Path(path).suffix.lower() != ".cif":
        return read_xyz(path)
    from ase.io import read

    try:
        atoms = read(path, format="cif")
    except OSError as error:
        raise CbldmError(
            f"{path}: cannot be read ({error.strerror}); expected a cif "
            "file: check the name."
        ) from None
    except Exception as error:  # the reader of ASE raises whatever occurs
        raise CbldmError(
            f"{path}: not a cif file that ASE can read "
            f"({type(error).__name__}: {error}): write it again."
        ) from None
    try:
        cluster = Cluster.from_ase(atoms)
    except CbldmError as error:
        raise CbldmError(f"{path}: {error}") from None
    normals = np.linalg.inv(atoms.cell.array)
    extent = np.ptp(cluster.positions @ normals, axis=0)
    gap = float(min((1 - extent) / np.linalg.norm(normals, axis=0)))
    if gap < LAYERS:
        raise CbldmError(
            f"{path}: {gap:.2f} A of empty space between the cluster and "
            f"its images; expected {LAYERS:g} A or more: a crystal has to "
            "be cut into a cluster first."
        )
    return cluster


def read_xyz(path: str | os.PathLike[str]) -> Cluster:
    """Read a cluster from an xyz file with one frame; "-" is stdin.

    Columns after the fourth are ignored.

    Raises
    ------
    CbldmError
        Where the file is missing or is not such an xyz file.
    """
    try:
        if path == "-":
            path, text = "standard input", sys.stdin.read()
        else:
            text = Path(path).read_text(encoding="utf-8-sig")
        lines = text.splitlines()
        n_atoms = int(lines[0])
        rows = [line.split() for line in lines[2:] if line.strip()]
        if any(len(row) < 4 for row in rows):
            raise ValueError
        elements = tuple(row[0] for row in rows)
        positions = [[float(word) for word in row[1:4]] for row in rows]
    except OSError as error:
        raise CbldmError(
            f"{path}: cannot be read ({error.strerror}); expected an xyz "
            "file: check the name."
        ) from None
    except (ValueError, IndexError):
        raise CbldmError(
            f"{path}: not an xyz file; expected the number of atoms, a "
            "comment, then lines with element, x, y, z and one frame only: "
            "write it again in that form."
        ) from None
    if n_atoms != len(rows):
        raise CbldmError(
            f"{path}: {len(rows)} atoms found, {n_atoms} announced in the "
            "first line: correct it."
        )
    try:
        return Cluster(elements, np.asarray(positions))
    except CbldmError as error:
        raise CbldmError(f"{path}: {error}") from None
