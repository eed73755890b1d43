"""The training stream: clusters and their PDFs, simulated on the fly.

Everything is in units of the bond length, where one geometry serves all
metals: with bond b, the Q range, Uiso and Qdamp of a measurement become
Q b, U / b^2 and Qdamp b.
"""

from __future__ import annotations

import dataclasses
import math

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
from diffpy_cbldm.debye.conditions import Conditions
from diffpy_cbldm.debye.histogram import pair_histogram, pdf_from_histogram
from diffpy_cbldm.settings import (
    CRYSTAL_TYPES,
    MAX_ATOMS,
    MIN_ATOMS,
    STRUCTURE_TYPES,
    Model,
)
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

STEP, BINS = 0.01, 2048
"""Grid of distances and of the PDFs simulated on it, in bond lengths."""

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
        """PDFs under random conditions.

        Returns
        -------
        clean, g : (B, M) tensors
            Without and with noise; both zero beyond the end of the data.
        """
        size, world = len(positions), self.world

        def draw(limits: tuple[float, float]) -> Tensor:
            values = rng.uniform(*limits, size).astype(np.float32)
            return torch.as_tensor(values).to(self.device)

        # The world is in angstrom; over the bond length one geometry serves
        # all metals.
        bond = draw(world.bond)
        u = draw(world.biso) / (8 * math.pi**2) / bond**2
        # Half of the PDFs have correlated motion (delta2), as some fits need.
        sharp = draw(world.sharpening) * (draw((0, 1)) < 0.5)
        # Distances are counted once; widths and damping act on the counts,
        # which is far faster than on every pair.
        hist = pair_histogram(positions, lengths, step=STEP, bins=BINS)
        g = self._sharpened(
            hist,
            lengths,
            u,
            sharp,
            draw(world.qmin) * bond,
            draw(world.qmax) * bond,
            draw(world.qdamp) * bond,
        )
        points = self.settings.pdf_channels * self.settings.pdf_length
        # Whoever reads a PDF must find its bond length in the first peak, and
        # errs: the model has to bear that.
        error = rng.normal(0, world.peak_error, size).astype(np.float32)
        ends = draw(world.rmax).clamp(max=30.0) / bond
        x = torch.arange(points, device=self.device) * self.settings.pdf_step
        clean = _read(g, x[None] * (1 + torch.as_tensor(error)[:, None].to(x)))
        inside = x[None] < ends[:, None]
        # What lies beyond the end of the data is unknown: zero, as for a user.
        clean = clean * inside
        # Relative to the curve, whose height depends on the size.
        rms = clean.square().mean(1, keepdim=True).sqrt()
        level = draw(world.noise)[:, None] * rms
        noisy = clean + level * self._smooth_noise(size, points, rng) * inside
        return clean, noisy

    def _sharpened(
        self,
        hist: Tensor,
        lengths: Tensor,
        u: Tensor,
        sharp: Tensor,
        qmin: Tensor,
        qmax: Tensor,
        qdamp: Tensor,
    ) -> Tensor:
        """PDFs with U (1 - sharp / d^2), in four shells of d."""
        # 1 - sharp / d^2 is taken at the middle of a shell: neighbours at 1,
        # sqrt(2), sqrt(3) bonds, and the rest.
        edges = [0, 120, 160, 185, BINS]
        squares = [1.0, 2.0, 3.0, 4.5]
        parts, widths = [], []
        for low, high, square in zip(edges, edges[1:], squares):
            part = torch.zeros_like(hist)
            part[:, low:high] = hist[:, low:high]
            parts.append(part)
            widths.append(u * (1 - sharp / square))
        n = len(parts)
        g = pdf_from_histogram(
            torch.cat(parts),
            lengths.repeat(n),
            Conditions(
                u_iso=torch.cat(widths),
                qmin=qmin.repeat(n),
                qmax=qmax.repeat(n),
                qdamp=qdamp.repeat(n),
            ),
            step=STEP,
            points=1400,
        )
        return g.reshape(n, len(hist), -1).sum(0)

    def _smooth_noise(
        self, size: int, points: int, rng: np.random.Generator
    ) -> Tensor:
        """Noise of unit variance with the resolution of the data."""
        # A termination at Qmax leaves neighbouring points of G alike: noise of
        # every point would be unlike that of measurements.
        coarse = rng.standard_normal((size, 1, points // 5 + 2), np.float32)
        fine = torch.nn.functional.interpolate(
            torch.as_tensor(coarse).to(self.device),
            scale_factor=5,
            mode="linear",
        )
        return fine[:, 0, :points] * 1.2


def _read(g: Tensor, x: Tensor) -> Tensor:
    """Linear interpolation of curves on the grid STEP at other places."""
    place = x / STEP
    left = place.floor().long().clamp(max=g.shape[1] - 2)
    part = place - left
    return g.gather(1, left) * (1 - part) + g.gather(1, left + 1) * part
