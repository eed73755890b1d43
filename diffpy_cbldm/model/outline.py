"""What is told of a large particle: crystal, size and outline.

Which sites of a crystal are filled follows from how far out a particle
reaches in each direction, in units of its size; the number of atoms is told
apart.  So what the latent describes does not grow with the particle.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from array_api_compat import array_namespace

from diffpy_cbldm.crystals.large_cuts import LARGE_TYPES, Outline, template_of
from diffpy_cbldm.crystals.lattices import directions
from diffpy_cbldm.model.arrays import Array

CRYSTAL_TEMPLATES = tuple(dict.fromkeys(map(template_of, LARGE_TYPES)))
"""The templates on which large particles stand."""

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

    def counts(self, told: Array) -> Array:
        """Numbers of atoms of rows, (B,) int64."""
        xp = array_namespace(told)
        size = xp.astype(told[:, self.scalars.start], xp.float64)
        return xp.astype(xp.round(xp.exp(3 * size)), xp.int64)

    def target(self, told: Array) -> dict[str, Array]:
        """What the loss asks for, see `structure.outline_errors`.

        ``shape`` is what the encoder is told beside the Laplacian, of the
        order of one and zero where there is nothing to tell.
        """
        xp = array_namespace(told)
        kinds, scalars = told[:, : len(LARGE_TYPES)], told[:, self.scalars]
        extents = told[:, self.extents]
        size = (scalars[:, :1] - SIZE_MIDDLE) / SIZE_SPREAD
        out = xp.concat([scalars[:, 1:2], extents], axis=1)
        out = (out - EXTENT_MIDDLE) / EXTENT_SPREAD
        shape = xp.concat([kinds, size, scalars[:, 2:], out], axis=1)
        return {
            "type": xp.argmax(kinds, axis=1),
            "scalars": scalars,
            "extents": extents,
            "shape": xp.where(xp.isnan(shape), xp.zeros_like(shape), shape),
        }


class Outlined(NamedTuple):
    """What the decoder emits.

    Attributes
    ----------
    kinds : (B, 8) array
        Logits of `LARGE_TYPES`.
    scalars : (B, 3) array
        ln(N) / 3, radius, ln(1 + layers between twin planes).
    extents : (B, K) array
        Along the directions of all templates, one after another.
    """

    kinds: Array
    scalars: Array
    extents: Array
