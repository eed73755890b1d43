"""The data sets: the paper's, its splits, and the tuning set.

    python -m training.datasets [--out runs/data.npz]

The paper has 13,210 structures: ideal clusters times bond lengths, which it
does not print.  Here its 1086 geometries take twelve or thirteen bond lengths
each, drawn evenly from 2.2 to 3.4 A.  A row is a geometry and a bond length;
coordinates and PDFs follow from them, so that the table is small and nothing
has to be downloaded.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
from collections import Counter
from pathlib import Path

import numpy as np

from diffpy_cbldm.crystals.cuts import random_cut
from diffpy_cbldm.crystals.table import Table, load_table
from diffpy_cbldm.files import appearing
from training.stream import SPLIT_SEED, held_out

ROWS = 13_210
BONDS = (2.2, 3.4)
TUNING = {"bcc": 36, "sc": 19}


@dataclasses.dataclass(frozen=True)
class Dataset:
    """The paper's structures.

    Attributes
    ----------
    geometry : (13210,) array of int
        Place in the table of geometries.
    bond : (13210,) array, angstrom
    validation : (13210,) array of bool
        The paper's split: 5 % of the rows, seed 42.  A geometry stands on
        both sides of it, with different bond lengths.
    held_out : (13210,) array of bool
        The rows of geometries that are never trained on.
    """

    geometry: np.ndarray
    bond: np.ndarray
    validation: np.ndarray
    held_out: np.ndarray

    @property
    def digest(self) -> str:
        """SHA-256 of all rows."""
        state = hashlib.sha256()
        for field in dataclasses.fields(self):
            state.update(np.ascontiguousarray(getattr(self, field.name)))
        return state.hexdigest()


def paper_dataset(table: Table | None = None) -> Dataset:
    """The 13,210 structures with both splits; the same at every call."""
    table = table or load_table()
    published = np.array(
        [i for i, g in enumerate(table.geometries) if g.published]
    )
    rng = np.random.default_rng(SPLIT_SEED)
    # Each geometry in turn, so that all have twelve or thirteen rows.
    geometry = np.resize(published, ROWS).astype(np.int32)
    bond = rng.uniform(*BONDS, ROWS).astype(np.float32)
    validation = np.zeros(ROWS, bool)
    validation[rng.permutation(ROWS)[: round(0.05 * ROWS)]] = True
    return Dataset(geometry, bond, validation, held_out(table)[geometry])


def tuning_set(
    table: Table | None = None,
) -> list[tuple[str, np.ndarray, float]]:
    """36 bcc and 19 sc clusters to choose T1 and T2 by.

    Returns
    -------
    list of (kind, members, bond in angstrom): random cuts, which are in no
    library.
    """
    table = table or load_table()
    # Its own seed: the split must not change with what else is drawn.
    rng = np.random.default_rng([SPLIT_SEED, 1])
    return [
        (kind, random_cut(table, kind, rng), float(rng.uniform(*BONDS)))
        for kind, count in TUNING.items()
        for _ in range(count)
    ]


def save(data: Dataset, path: Path) -> None:
    """Write the rows as a compressed npz, by rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = dataclasses.asdict(data)
    with appearing(path) as unfinished:
        np.savez_compressed(unfinished, **rows)


def main() -> None:
    """The command line; see the module's text."""
    parser = argparse.ArgumentParser(
        "python -m training.datasets", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--out", type=Path, default=Path("runs/data.npz"))
    options = parser.parse_args()
    table, data = load_table(), paper_dataset()
    types = np.array([g.structure_type for g in table.geometries])
    for name, rows in (
        ("all structures", np.ones(ROWS, bool)),
        ("paper's split, validation", data.validation),
        ("geometries held out", data.held_out),
    ):
        counts = Counter(types[data.geometry[rows]].tolist())
        shown = ", ".join(f"{t} {n}" for t, n in sorted(counts.items()))
        geometries = len(set(data.geometry[rows].tolist()))
        print(f"{name}: {rows.sum()} of {geometries} geometries ({shown})")
    kinds = Counter(kind for kind, _, _ in tuning_set())
    print("tuning set:", ", ".join(f"{n} {k}" for k, n in kinds.items()))
    save(data, options.out)
    print(f"{options.out}: SHA-256 of the rows {data.digest}")


if __name__ == "__main__":
    main()
