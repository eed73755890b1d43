"""The networks in NumPy, for sampling without PyTorch."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from diffpy_cbldm.crystals.table import Table
from diffpy_cbldm.model import blocks, numpy_layers
from diffpy_cbldm.model.architecture import (
    ConditionEncoderBase,
    DecoderBase,
    OutlineDecoderBase,
    PriorBase,
    SitesBase,
    UNetBase,
)
from diffpy_cbldm.model.arrays import Array
from diffpy_cbldm.model.blocks import (
    ConvBlockBase,
    DenseBlockBase,
    SelfAttentionBase,
)
from diffpy_cbldm.model.drawing import Drawing
from diffpy_cbldm.model.numpy_layers import Layer
from diffpy_cbldm.settings import Model


class ConvBlock(ConvBlockBase, Layer):
    """`ConvBlockBase` in NumPy."""

    kit = numpy_layers


class DenseBlock(DenseBlockBase, Layer):
    """`DenseBlockBase` in NumPy."""

    kit = numpy_layers


class SelfAttention(SelfAttentionBase, Layer):
    """`SelfAttentionBase` in NumPy."""

    kit = numpy_layers


AT_ONCE = 16
"""Latents that go through the denoiser at a time."""

KIT = SimpleNamespace(
    **{name: getattr(numpy_layers, name) for name in blocks.LAYERS},
    ConvBlock=ConvBlock,
    DenseBlock=DenseBlock,
    SelfAttention=SelfAttention,
)
"""NumPy's layers and the blocks of them."""


class ConditionEncoder(ConditionEncoderBase, Layer):
    """`ConditionEncoderBase` in NumPy."""

    kit = KIT


class Prior(PriorBase, Layer):
    """`PriorBase` in NumPy."""

    kit = KIT


class UNet(UNetBase, Layer):
    """`UNetBase` in NumPy."""

    kit = KIT

    def forward(
        self, x: Array, t: Array, c_0: Array, hints: Array
    ) -> np.ndarray:
        """See `UNetBase.forward`."""
        # What one layer leaves is still in the cache for the next one.
        parts = [slice(i, i + AT_ONCE) for i in range(0, len(x), AT_ONCE)]
        base = super().forward
        return np.concatenate(
            [base(x[some], t[some], c_0[some], hints[some]) for some in parts]
        )


class Decoder(DecoderBase, Layer):
    """`DecoderBase` in NumPy."""

    kit = KIT


class OutlineDecoder(OutlineDecoderBase, Layer):
    """`OutlineDecoderBase` in NumPy."""

    kit = KIT


class Structure(Layer):
    """Conditional prior and decoder of the structure."""

    def __init__(self, settings: Model, table: Table, condition: int):
        super().__init__()
        self.sites = SitesBase(table)
        self.prior = Prior(settings, condition)
        self.decoder: Decoder | OutlineDecoder
        if settings.network == "sites":
            self.decoder = Decoder(settings, self.sites)
        else:
            self.decoder = OutlineDecoder(settings)


class NumpyCbLDM(Drawing, Layer):
    """Condition encoder, conditional prior, decoder and denoiser.

    Parameters
    ----------
    settings : Model
        Of network ``sites`` or ``outline``.
    table : Table, optional
        The template sites; the packaged ones by default.
    """

    latent_scale: np.ndarray

    def __init__(self, settings: Model, table: Table | None = None):
        super().__init__(settings, table)
        self.condition = ConditionEncoder(settings)
        size = self.condition.size
        self.structure = Structure(settings, self.table, size)
        self.denoiser = UNet(settings, size)
        self.shapes = {"latent_scale": ()}
