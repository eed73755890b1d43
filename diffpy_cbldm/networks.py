"""The settings of the networks and of their sampling."""

from __future__ import annotations

import dataclasses

from diffpy_cbldm.options import parameter


@dataclasses.dataclass(frozen=True)
class Model:
    """Shapes and widths of the networks.

    The paper's tensors are (6, 500) for the PDF, (2, 125) for its latent,
    (4, 128, 128) for the Laplacian and (1, 16, 16) for its latent.  Lengths
    are in units of the bond, so that one model serves every metal.
    """

    network: str = parameter(
        "sites",
        "What the decoder emits: occupancies of sites; outlines of large "
        "particles; or the Laplacian as in the paper, with a denoiser that "
        "predicts the noise outright.",
        choices=("sites", "outline", "laplacian"),
    )
    pdf_step: float = parameter(0.01, "Step of the PDF grid.", unit="bond")
    pdf_channels: int = parameter(6, "Rows of the PDF tensor.")
    pdf_length: int = parameter(200, "Columns of the PDF tensor.")
    condition_channels: int = parameter(4, "Rows of the PDF latent z_c.")
    condition_width: int = parameter(48, "Channels of the condition VAE.")
    sigma2: float = parameter(
        130.0 / 2.8**2, "sigma^2 of the Laplacian kernel.", unit="bond^2"
    )
    latent_size: int = parameter(16, "Side of the structure latent z_x.")
    encoder_width: int = parameter(32, "Channels of the Laplacian encoder.")
    prior_width: int = parameter(512, "Width of the conditional prior.")
    prior_blocks: int = parameter(3, "Residual blocks of the prior.")
    decoder_width: int = parameter(512, "Width of the site decoder.")
    decoder_blocks: int = parameter(3, "Residual blocks of the decoder.")
    decoder_rank: int = parameter(
        128,
        "Rank of the decoder's last map, to the sites, 0 for a full one; of "
        "the paper's decoder in patches, images beyond one for each number "
        "of the latent.",
    )
    denoiser_width: int = parameter(48, "Channels of the U-Net.")
    steps: int = parameter(1000, "Steps T of the diffusion.")
    patch: int = parameter(
        0,
        "Side of the patches of the Laplacian that the paper's networks read "
        "and write at once; 0 for convolutions at all 128 x 128 pixels.",
    )
    atom_order: str = parameter(
        "sites",
        "Order of the rows of the Laplacian: as the sites of the template, "
        "from the centre outwards, or row by row of the cluster.",
        choices=("sites", "rows"),
    )
    tells_qdamp: bool = parameter(
        False, "Whether the PDF tensor's head tells Qdamp, where it is known."
    )


PRESETS = {
    "tiny": Model(
        condition_width=8,
        encoder_width=4,
        prior_width=32,
        prior_blocks=1,
        decoder_width=32,
        decoder_blocks=1,
        decoder_rank=0,
        denoiser_width=8,
    ),
    "small": Model(),
    "base": Model(
        condition_width=96,
        encoder_width=64,
        prior_width=1024,
        prior_blocks=4,
        decoder_width=1024,
        decoder_blocks=4,
        decoder_rank=256,
        denoiser_width=96,
    ),
    "large": Model(
        network="outline",
        pdf_step=0.03,
        pdf_channels=12,
        pdf_length=100,
        condition_channels=8,
        sigma2=0.5,
        tells_qdamp=True,
        condition_width=32,
        encoder_width=16,
        prior_width=384,
        prior_blocks=2,
        decoder_width=384,
        decoder_blocks=2,
        denoiser_width=32,
    ),
    "paper": Model(
        network="laplacian",
        pdf_step=0.01 / 2.8,
        pdf_length=500,
        condition_channels=2,
        condition_width=32,
        encoder_width=64,
        prior_width=1024,
        prior_blocks=2,
        decoder_width=64,
        decoder_blocks=2,
        decoder_rank=256,
        denoiser_width=48,
        patch=8,
        atom_order="rows",
    ),
}
"""The model's presets: ``tiny`` for tests, ``small`` ships with weights,
``large`` is for particles of 200 to 10,000 atoms, ``base`` is wider, and
``paper`` has the published tensors and networks."""


@dataclasses.dataclass(frozen=True)
class Sampling:
    """How candidates are drawn (Algorithm 4)."""

    sampler: str = parameter(
        "dpm", "Sampler of the diffusion.", choices=("ddpm", "ddim", "dpm")
    )
    calls: int = parameter(
        10, "Network calls from T_max to 0 where none is skipped."
    )
    t1: int = parameter(200, "Step at which the conditional prior enters.")
    t2: int = parameter(900, "Step down to which noise is denoised first.")
