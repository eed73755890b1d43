"""Make the packaged sketch of large ideal particles.

    python -m training.make_large [--out FILE]

Counts the pairs of every particle of `diffpy_cbldm.crystals.families` exactly
and keeps, for each crystal, the `MODES` directions in which they differ most.
"""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path

import numpy as np
from tqdm import tqdm

from diffpy_cbldm.crystals.families import chosen_particles
from diffpy_cbldm.crystals.particles import pair_counts
from diffpy_cbldm.files import appearing
from diffpy_cbldm.search.large_set import Group, packed

MODES = 40
"""Numbers that stand for the pairs of a particle."""

LONGEST = 36.0
"""Longer distances are left out: 100 A of most metals."""

OUT = Path(__file__).parents[1] / "diffpy_cbldm" / "search" / "large.npz"


def sketch(particles: list) -> Group:
    """The pairs of particles of one crystal in `MODES` numbers each."""
    rows = []
    keys: dict[float, int] = {}
    for particle in tqdm(particles, particles[0].crystal):
        d, pairs = pair_counts(particle)
        near = d < LONGEST
        places = [keys.setdefault(k, len(keys)) for k in np.round(d[near], 4)]
        rows.append((places, 2 * pairs[near] / len(particle)))
    table = np.zeros((len(rows), len(keys)))
    for row, (places, pairs) in zip(table, rows):
        row[places] = pairs
    distances = np.array(list(keys))
    order = np.argsort(distances)
    table, distances = table[:, order], distances[order]
    # Pairs count by 1/d in G(r): so the modes weigh them.
    modes = _main_directions(table / distances)
    return Group(
        tuple(particles),
        distances,
        modes * distances,
        (table / distances) @ modes.T,
    )


def _main_directions(rows: np.ndarray) -> np.ndarray:
    """The first right singular vectors, (k, S) with k at most `MODES`."""
    # By the smaller of the two products: fast, and exact enough for a sketch.
    wide = rows.shape[0] < rows.shape[1]
    values, vectors = np.linalg.eigh(rows @ rows.T if wide else rows.T @ rows)
    keep = np.flatnonzero(values > 1e-12 * values[-1])[::-1][:MODES]
    found = vectors[:, keep].T
    if wide:
        found = found @ rows / np.sqrt(values[keep])[:, None]
    return found


def main(words: list[str] | None = None) -> None:
    """Make the file."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args(words)
    particles = sorted(
        chosen_particles(), key=lambda p: (_place(p.crystal), len(p))
    )
    groups = []
    for _, some in itertools.groupby(particles, lambda p: p.crystal):
        groups.append(sketch(list(some)))
    with appearing(options.out) as unfinished:
        np.savez_compressed(unfinished, **packed(groups))
    count = sum(len(g.particles) for g in groups)
    print(f"{count} particles, {options.out.stat().st_size / 1e6:.1f} MB")


def _place(crystal: str) -> int:
    order = "fcc bcc sc hcp twin lamella dec ico".split()
    return order.index(crystal)


if __name__ == "__main__":
    main()
