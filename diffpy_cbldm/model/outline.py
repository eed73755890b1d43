"""The decoder of large particles: crystal, size and outline.

Which sites of a crystal are filled follows from how far out a particle
reaches in each direction, in units of its size; the number of atoms is told
apart.  So what the latent describes does not grow with the particle.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from diffpy_cbldm.crystals.large_cuts import LARGE_TYPES, Outline, template_of
from diffpy_cbldm.crystals.lattices import directions
from diffpy_cbldm.model.layers import dense
from diffpy_cbldm.settings import Model

CRYSTAL_TEMPLATES = tuple(dict.fromkeys(map(template_of, LARGE_TYPES)))
"""The templates on which large particles stand."""

TYPE_WEIGHT = 10.0
"""Of the type in the loss: the extents are many, and would drown it."""

SIZE_WIDTH = 0.02
"""Width of the normal density of the size, ln(N) / 3, in the loss."""

EXTENT_WIDTH = 0.04
"""Width of the Laplace density of extents, in units of the size."""

BETWEEN_WIDTH = 0.3
"""Width of the normal density of ln(1 + layers between two twin planes)."""

SIZE_MIDDLE, SIZE_SPREAD = 2.3, 0.4
"""Of ln(N) / 3: what the networks see is about zero and of order one."""

EXTENT_MIDDLE, EXTENT_SPREAD = 0.65, 0.15
"""Of the extents: the same."""


class OutlineSpace:
    """Places of what is told of a particle in one row of numbers.

    The type as one of `LARGE_TYPES`, size, radius, layers between twin
    planes, and the extents along the directions of each template; NaN where
    a particle has none.
    """

    def __init__(self) -> None:
        start = len(LARGE_TYPES)
        self.scalars = slice(start, start + 3)
        start += 3
        first = start
        self.parts: dict[str, slice] = {}
        for name in CRYSTAL_TEMPLATES:
            count = len(directions(name))
            self.parts[name] = slice(start - first, start - first + count)
            start += count
        self.extents = slice(first, start)
        self.count = start

    def told(self, outline: Outline, atoms: int, between: int) -> np.ndarray:
        """The row of a particle, (count,) float32."""
        row = np.full(self.count, np.nan, np.float32)
        row[: len(LARGE_TYPES)] = [k == outline.crystal for k in LARGE_TYPES]
        size = np.log(atoms) / 3
        layers = np.log(1 + between) if between else np.nan
        row[self.scalars] = size, outline.radius, layers
        part = self.parts[template_of(outline.crystal)]
        row[self.extents][part] = outline.extents
        return row

    def counts(self, told: Tensor) -> Tensor:
        """Numbers of atoms of rows, (B,) int64."""
        size = told[:, self.scalars.start].double()
        return (3 * size).exp().round().long()

    def target(self, told: Tensor) -> dict[str, Tensor]:
        """What the loss asks for, see `outline_errors`.

        ``shape`` is what the encoder is told beside the Laplacian, of the
        order of one and zero where there is nothing to tell.
        """
        kinds, scalars = told[:, : len(LARGE_TYPES)], told[:, self.scalars]
        extents = told[:, self.extents]
        size = (scalars[:, :1] - SIZE_MIDDLE) / SIZE_SPREAD
        out = torch.cat([scalars[:, 1:2], extents], 1)
        out = (out - EXTENT_MIDDLE) / EXTENT_SPREAD
        shape = torch.cat([kinds, size, scalars[:, 2:], out], 1)
        return {
            "type": kinds.argmax(1),
            "scalars": scalars,
            "extents": extents,
            "shape": shape.nan_to_num(),
        }


class Outlined(NamedTuple):
    """What the decoder emits.

    Attributes
    ----------
    kinds : (B, 8) tensor
        Logits of `LARGE_TYPES`.
    scalars : (B, 3) tensor
        ln(N) / 3, radius, ln(1 + layers between twin planes).
    extents : (B, K) tensor
        Along the directions of all templates, one after another.
    """

    kinds: Tensor
    scalars: Tensor
    extents: Tensor


class OutlineDecoder(nn.Module):
    """D_x(z_x): crystal, size and outline; blind to the condition."""

    def __init__(self, settings: Model):
        super().__init__()
        self.space = OutlineSpace()
        width = settings.decoder_width
        extents = self.space.extents
        self.body = dense(
            settings.latent_size**2, width, settings.decoder_blocks
        )
        self.types = nn.Linear(width, len(LARGE_TYPES))
        self.scalars = nn.Linear(width, 3)
        self.extents = nn.Linear(width, extents.stop - extents.start)

    def forward(self, z: Tensor) -> Outlined:
        """(B, 1, 16, 16) -> what a particle is."""
        h = self.body(z.flatten(1))
        s = self.scalars(h)
        scalars = torch.stack(
            [
                SIZE_MIDDLE + SIZE_SPREAD * s[:, 0],
                EXTENT_MIDDLE + EXTENT_SPREAD * s[:, 1],
                1 + s[:, 2],
            ],
            1,
        )
        extents = EXTENT_MIDDLE + EXTENT_SPREAD * self.extents(h)
        return Outlined(self.types(h), scalars, extents)


def outline_errors(
    decoded: Outlined, target: dict[str, Tensor]
) -> dict[str, Tensor]:
    """Negative log densities of what is decoded, nats a particle."""
    widths = decoded.scalars.new_tensor(
        [SIZE_WIDTH, EXTENT_WIDTH, BETWEEN_WIDTH]
    )
    scalars = (decoded.scalars - target["scalars"]) / widths
    # Not a number: this particle has no such plane or direction.
    size, between = scalars[:, 0], scalars[:, 2].nan_to_num()
    extents = (decoded.extents - target["extents"]).nan_to_num()
    apart = extents.abs().sum(1) / EXTENT_WIDTH + scalars[:, 1].abs()
    return {
        "type": nn.functional.cross_entropy(decoded.kinds, target["type"]),
        "shape": 0.5 * (_robust(size) + between.square()).mean(),
        "extents": apart.mean(),
    }


def _robust(x: Tensor) -> Tensor:
    """x^2 near 0, and 2 |x| - 1 far from it."""
    return torch.where(x.abs() < 1, x.square(), 2 * x.abs() - 1)
