"""The first PDFs of the training stream, drawn once for all systems.

Simulating a PDF costs more than a step of a small network.  The pool keeps
what `training.stream.Stream` draws, so that in equal times all systems take as
many steps as they can, on the same structures.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from diffpy_cbldm.files import appearing
from diffpy_cbldm.model.laplacian import mask
from diffpy_cbldm.settings import MAX_ATOMS, Model
from training.settings import World
from training.stream import Batch, Stream

THIN = 2
"""Every second point of the stream's grid is kept: steps of 0.02 bonds."""

POINTS = Model.pdf_channels * Model.pdf_length // THIN
"""Points of a PDF that the systems read, up to 12 bonds."""

FIRST = 0.7
"""What lies below (bonds) is background and ripples, and not read."""

BATCH, PART = 64, 50
"""PDFs of a batch and batches of a file."""


def curves(g: Tensor) -> Tensor:
    """PDFs as all systems read them.

    Parameters
    ----------
    g : (B, M) tensor
        On the stream's grid (steps of 0.01 bonds), any scale.

    Returns
    -------
    (B, M / 2) tensor
        Zero below `FIRST`, root mean square 1.
    """
    x = g[:, ::THIN].float().clone()
    x[:, : round(FIRST / (THIN * Model.pdf_step))] = 0.0
    return x / x.square().mean(1, keepdim=True).sqrt().clamp_min(1e-12)


class Rows(NamedTuple):
    """PDFs with their structures, as a loss reads them.

    Attributes
    ----------
    g : (B, POINTS) tensor
        From `curves`.
    positions : (B, 256, 3) tensor, bond lengths
        Zero beyond the atoms.
    lengths : (B,) tensor
        Numbers of atoms.
    kinds : (B,) tensor
        Places in `diffpy_cbldm.settings.CRYSTAL_TYPES`.
    sites : (B, 256) tensor
        The filled sites among those of all templates, -1 beyond the atoms.
    """

    g: Tensor
    positions: Tensor
    lengths: Tensor
    kinds: Tensor
    sites: Tensor


def rows_of(batch: Batch) -> Rows:
    """What the compared systems read of a batch of the stream."""
    on = mask(batch.lengths, MAX_ATOMS)
    sites = torch.full(on.shape, -1)
    sites[on] = batch.target["filled"].nonzero()[:, 1]
    kinds = batch.target["type"]
    return Rows(curves(batch.g), batch.positions, batch.lengths, kinds, sites)


@dataclasses.dataclass(frozen=True)
class Pool:
    """PDFs with their structures.

    Attributes
    ----------
    g : (P, POINTS) float16 array
        From `curves`.
    atoms : (A, 3) float16 array, bond lengths
        The atoms of all structures, one after another, in the order of the
        sites of their templates.
    starts : (P + 1,) array of int
        Where the atoms of each structure begin.
    kinds : (P,) int8 array
        Places in `diffpy_cbldm.settings.CRYSTAL_TYPES`.
    sites : (A,) int16 array
        The filled sites of each structure, see `Rows`.
    digest : str
        SHA-256 of the PDFs, atoms and numbers of atoms.
    """

    g: np.ndarray
    atoms: np.ndarray
    starts: np.ndarray
    kinds: np.ndarray
    sites: np.ndarray
    digest: str

    def __len__(self) -> int:
        return len(self.g)

    def batch(self, rows: np.ndarray) -> Rows:
        """Some rows by their places."""
        xyz = np.zeros((len(rows), MAX_ATOMS, 3), np.float32)
        sites = np.full((len(rows), MAX_ATOMS), -1)
        lengths = self.starts[rows + 1] - self.starts[rows]
        for k, (row, n) in enumerate(zip(rows, lengths)):
            own = slice(self.starts[row], self.starts[row] + n)
            xyz[k, :n], sites[k, :n] = self.atoms[own], self.sites[own]
        return Rows(
            torch.as_tensor(self.g[rows].astype(np.float32)),
            torch.as_tensor(xyz),
            torch.as_tensor(lengths),
            torch.as_tensor(self.kinds[rows].astype(int)),
            torch.as_tensor(sites),
        )


def drawn(stream: Stream, rng: np.random.Generator, size: int) -> dict:
    """One batch of the stream as the pool keeps it."""
    rows = rows_of(stream.batch(size, rng))
    on = mask(rows.lengths, MAX_ATOMS)
    return {
        "g": rows.g.numpy().astype(np.float16),
        "atoms": rows.positions[on].numpy().astype(np.float16),
        "lengths": rows.lengths.numpy(),
        "kinds": rows.kinds.numpy().astype(np.int8),
        "sites": rows.sites[on].numpy().astype(np.int16),
    }


def load_pool(
    folder: str | os.PathLike[str],
    parts: int = 48,
    seed: int = 0,
    world: World | None = None,
) -> Pool:
    """Read the pool; what is missing is drawn first.

    Parameters
    ----------
    folder : path
        Of the files; made where it is not there.
    parts : int
        Files of 3200 PDFs each.
    seed : int
        Of the stream.  What a file holds follows from it and its number.
    world : World, optional
        Ranges of the stream.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    stream = Stream(Model(), world)
    for k in tqdm(range(parts), desc="pool"):
        path = folder / f"seed{seed}-{k:03d}.npz"
        if not path.exists():
            # A seed for each file: one that is missing is drawn as it was.
            rng = np.random.default_rng([seed, k])
            rows = [drawn(stream, rng, BATCH) for _ in range(PART)]
            joined = {n: np.concatenate([r[n] for r in rows]) for n in rows[0]}
            with appearing(path) as unfinished:
                np.savez(unfinished, **joined)
    return read(sorted(folder.glob(f"seed{seed}-???.npz"))[:parts])


def read(paths: list[Path]) -> Pool:
    """The pool of some files."""
    names = ("g", "atoms", "lengths", "kinds", "sites")
    found: dict[str, list[np.ndarray]] = {name: [] for name in names}
    state = hashlib.sha256()
    for path in paths:
        with np.load(path) as data:
            for name, values in found.items():
                values.append(data[name])
                # Kinds and sites follow from the atoms.
                if name in names[:3]:
                    state.update(np.ascontiguousarray(data[name]))
    joined = {n: np.concatenate(values) for n, values in found.items()}
    starts = np.concatenate([[0], np.cumsum(joined.pop("lengths"))])
    return Pool(starts=starts, digest=state.hexdigest(), **joined)
