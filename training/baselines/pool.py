"""The first PDFs of the training stream, drawn once for all systems.

Simulating a PDF costs more than a step of a small network.  The pool keeps
what `training.data.Stream` draws, so that in equal times all systems take as
many steps as they can, on the same structures.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from diffpy_cbldm.settings import MAX_ATOMS, Model
from training.data import Stream

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
    digest : str
        SHA-256 of all.
    """

    g: np.ndarray
    atoms: np.ndarray
    starts: np.ndarray
    digest: str

    def __len__(self) -> int:
        return len(self.g)

    def batch(self, rows: np.ndarray) -> tuple[Tensor, Tensor, Tensor]:
        """PDFs, positions and numbers of atoms of some rows.

        Returns
        -------
        g : (B, POINTS) tensor
        positions : (B, 256, 3) tensor, bond lengths
        lengths : (B,) tensor
        """
        xyz = np.zeros((len(rows), MAX_ATOMS, 3), np.float32)
        lengths = self.starts[rows + 1] - self.starts[rows]
        for place, row, n in zip(xyz, rows, lengths):
            place[:n] = self.atoms[self.starts[row] : self.starts[row] + n]
        return (
            torch.as_tensor(self.g[rows].astype(np.float32)),
            torch.as_tensor(xyz),
            torch.as_tensor(lengths),
        )


def drawn(stream: Stream, rng: np.random.Generator, size: int) -> dict:
    """One batch of the stream as the pool keeps it."""
    batch = stream.batch(size, rng)
    on = torch.arange(MAX_ATOMS) < batch.lengths[:, None]
    return {
        "g": curves(batch.g).numpy().astype(np.float16),
        "atoms": batch.positions[on].numpy().astype(np.float16),
        "lengths": batch.lengths.numpy(),
    }


def load_pool(
    folder: str | os.PathLike[str], parts: int = 48, seed: int = 0
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
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    stream = Stream(Model())
    for k in tqdm(range(parts), desc="pool"):
        path = folder / f"seed{seed}-{k:03d}.npz"
        if not path.exists():
            rng = np.random.default_rng([seed, k])
            rows = [drawn(stream, rng, BATCH) for _ in range(PART)]
            part = path.with_suffix(".part.npz")
            np.savez(
                part,
                **{n: np.concatenate([r[n] for r in rows]) for n in rows[0]},
            )
            os.replace(part, path)
    return read(sorted(folder.glob(f"seed{seed}-???.npz"))[:parts])


def read(paths: list[Path]) -> Pool:
    """The pool of some files."""
    found: dict[str, list[np.ndarray]] = {"g": [], "atoms": [], "lengths": []}
    state = hashlib.sha256()
    for path in paths:
        with np.load(path) as data:
            for name, values in found.items():
                values.append(data[name])
                state.update(np.ascontiguousarray(data[name]))
    joined = {n: np.concatenate(values) for n, values in found.items()}
    starts = np.concatenate([[0], np.cumsum(joined["lengths"])])
    return Pool(joined["g"], joined["atoms"], starts, state.hexdigest())
