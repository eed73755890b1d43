"""The denoiser in PyTorch: a U-Net on the (1, 16, 16) latent."""

from __future__ import annotations

from torch import nn

from diffpy_cbldm.model.architecture import UNetBase
from diffpy_cbldm.model.layers import KIT
from diffpy_cbldm.settings import Model


class UNet(UNetBase, nn.Module):
    """`UNetBase` in PyTorch."""

    kit = KIT

    def __init__(self, settings: Model, condition: int):
        super().__init__(settings, condition)
        # Untrained it adds nothing, and sampling gives back the prior.
        for parameter in self.head[-1].parameters():
            nn.init.zeros_(parameter)
