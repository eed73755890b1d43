"""The training stream: clusters and their PDFs, simulated on the fly."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from torch import Tensor

from diffpy_cbldm.crystals.cuts import (
    CUT_WEIGHTS,
    deformed,
    kept_back,
    random_cut,
    random_shape,
)
from diffpy_cbldm.crystals.lattices import TEMPLATES, directions
from diffpy_cbldm.crystals.table import TEMPLATE_OF, Table, load_table
from diffpy_cbldm.debye.histogram import pair_histogram
from diffpy_cbldm.settings import (
    CRYSTAL_TYPES,
    MAX_ATOMS,
    MIN_ATOMS,
    STRUCTURE_TYPES,
    Model,
)
from training.measuring import SMALL_BINS, Measuring
from training.settings import World

TYPE_WEIGHTS = {
    "bcc": 0.11,
    "dec": 0.18,
    "fcc": 0.10,
    "hcp": 0.42,
    "ico": 0.04,
    "oct": 0.06,
    "sc": 0.09,
}
"""How often each structure type is drawn among ideal clusters."""

SPLIT_SEED = 42
"""Of the paper's split, and of all choices of what is held out."""


@dataclasses.dataclass(frozen=True)
class Batch:
    """Structures with their PDFs.

    Attributes
    ----------
    g, clean : (B, M) tensors
        G on the model's grid, with and without noise.
    positions : (B, 256, 3) tensor, bond lengths
    lengths : (B,) tensor
    target : dict
        ``type`` (B,), ``filled`` (B, S), ``shape`` (B, 3) and ``extents``
        (B, K), see
        `diffpy_cbldm.model.structure.algorithm_2`.
    """

    g: Tensor
    clean: Tensor
    positions: Tensor
    lengths: Tensor
    target: dict[str, Tensor]


def held_out(table: Table, share: float = 0.1) -> np.ndarray:
    """The geometries that are never trained on: a tenth of each type.

    Returns
    -------
    (G,) bool array; at least one geometry of each type is held out.
    """
    rng = np.random.default_rng(SPLIT_SEED)
    out = np.zeros(len(table), bool)
    for structure_type in STRUCTURE_TYPES:
        index = [
            i
            for i, g in enumerate(table.geometries)
            if g.structure_type == structure_type
        ]
        # Of icosahedra there are three: a tenth of them would be none.
        count = max(1, round(share * len(index)))
        out[rng.choice(index, count, replace=False)] = True
    return out


class Stream:
    """Draws batches.

    Parameters
    ----------
    settings : Model
        Gives the grid.
    world : World
        Ranges of what varies.
    split : {"train", "heldout", "all", "test"}
        Which geometries.  Cuts are drawn for "train" and "all", and others
        (`kept_back`) for "test", which shuns all geometries of the table.
    table : Table, optional
        The packaged one by default.
    device : str
        Where tensors go.
    """

    def __init__(
        self,
        settings: Model,
        world: World | None = None,
        split: str = "train",
        table: Table | None = None,
        device: str | torch.device = "cpu",
    ):
        self.settings = settings
        self.world = world or World()
        self.table = table or load_table()
        self.device = torch.device(device)
        self.measuring = Measuring(
            settings, self.world, SMALL_BINS, self.device
        )
        self.split = split
        # Small and symmetric cuts are few: tests would meet known ones.
        self.symmetric = split != "test"
        self.sizes = (13 if self.symmetric else 30, MAX_ATOMS)
        held = split == "heldout"
        self.cuts = 0.0 if held else self.world.cuts
        self.deformed = 0.0 if held else self.world.deformed
        # One vector holds the occupancies of all templates, one after another.
        starts = np.cumsum([0, *(len(self.table.sites[n]) for n in TEMPLATES)])
        self.offset = dict(zip(TEMPLATES, starts))
        self.sites = int(starts[-1])
        # The same for how far a cluster reaches along each direction.
        ends = np.cumsum([0, *(len(directions(n)) for n in TEMPLATES)])
        self.extents = dict(zip(TEMPLATES, zip(ends, ends[1:])))
        self.directions = int(ends[-1])
        out = held_out(self.table)
        every = out | True
        keep = {"train": ~out, "heldout": out, "all": every, "test": out}
        keep = keep[split]
        self.by_type = {
            t: np.array(
                [
                    i
                    for i, g in enumerate(self.table.geometries)
                    if g.structure_type == t and keep[i]
                ]
            )
            for t in STRUCTURE_TYPES
        }
        # A cut that is a held-out cluster would leak it.
        self.refused = {
            (TEMPLATE_OF[g.structure_type], g.members.tobytes())
            for g, hidden in zip(self.table.geometries, out)
            if hidden or split == "test"
        }

    def batch(self, size: int, rng: np.random.Generator) -> Batch:
        """Draw `size` structures and simulate their PDFs."""
        chosen = [self.structure(rng) for _ in range(size)]
        positions = np.zeros((size, MAX_ATOMS, 3), np.float32)
        filled = torch.zeros(size, self.sites)
        extents = torch.full((size, self.directions), torch.nan)
        for i, (kind, members, shape) in enumerate(chosen):
            template = TEMPLATE_OF[CRYSTAL_TYPES[kind]]
            # The shape is emitted apart from the sites, which stay where the
            # ideal lattice has them.
            xyz = self.table.sites[template][members]
            positions[i, : len(xyz)] = deformed(xyz, shape)
            filled[i, members.astype(int) + self.offset[template]] = 1.0
            # Directions of other templates have no value, and no loss.
            reach = (xyz @ directions(template).T).max(0)
            extents[i, slice(*self.extents[template])] = torch.as_tensor(
                reach, dtype=torch.float32
            )
        xyz = torch.as_tensor(positions).to(self.device)
        lengths = torch.tensor([len(m) for _, m, _ in chosen])
        shapes = np.stack([s for _, _, s in chosen]).astype(np.float32)
        clean, g = self.simulate(xyz, lengths.to(self.device), rng)
        target = {
            "type": torch.tensor([k for k, _, _ in chosen]).to(self.device),
            "filled": filled.to(self.device),
            "shape": torch.as_tensor(shapes).to(self.device),
            "extents": extents.to(self.device),
        }
        return Batch(g, clean, xyz, lengths.to(self.device), target)

    def structure(
        self, rng: np.random.Generator
    ) -> tuple[int, np.ndarray, np.ndarray]:
        """Draw a type (place in `CRYSTAL_TYPES`), filled sites and a shape."""
        shape = np.zeros(3)
        if rng.random() < self.deformed:
            shape = random_shape(rng)
        if rng.random() < self.cuts:
            names = list(CUT_WEIGHTS)
            kind = names[rng.choice(len(names), p=[*CUT_WEIGHTS.values()])]
            while True:
                found = random_cut(
                    self.table, kind, rng, *self.sizes, self.symmetric
                )
                template = TEMPLATE_OF[kind]
                key = (template, found.tobytes())
                # A cut may be a cluster that is held out.
                if len(found) < MIN_ATOMS or key in self.refused:
                    continue
                # A hash decides for good which cuts are for tests alone.
                if kept_back(template, found) == (self.split == "test"):
                    return CRYSTAL_TYPES.index(kind), found, shape
        names = list(TYPE_WEIGHTS)
        kind = names[rng.choice(len(names), p=[*TYPE_WEIGHTS.values()])]
        geometry = self.table.geometries[rng.choice(self.by_type[kind])]
        return CRYSTAL_TYPES.index(kind), geometry.members, shape

    def simulate(
        self, positions: Tensor, lengths: Tensor, rng: np.random.Generator
    ) -> tuple[Tensor, Tensor]:
        """PDFs under random conditions, see `Measuring.simulate`."""
        # Distances are counted once; widths and damping act on the counts,
        # which is far faster than on every pair.
        bins = self.measuring.bins
        hist = pair_histogram(
            positions, lengths, step=bins.step, bins=bins.count
        )
        return self.measuring.simulate(hist, lengths, rng)
