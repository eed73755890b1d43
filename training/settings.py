"""What the training stream varies, and how each preset is trained.

The tables are of the same kind as those of the package: each field stands
once, with its default, unit and help.
"""

from __future__ import annotations

import dataclasses

from diffpy_cbldm.options import parameter


@dataclasses.dataclass(frozen=True)
class World:
    """The stream of simulated PDFs that training draws from.

    Ranges are drawn evenly for each PDF.  Biso, Q range and damping are
    those of measurements, wider than the paper's Table 1.
    """

    cuts: float = parameter(
        0.5, "Share of random cuts; the rest are ideal clusters."
    )
    deformed: float = parameter(
        0.25, "Share with strain, a relaxed surface or both."
    )
    bond: tuple[float, float] = parameter(
        (2.2, 3.4), "Bond lengths.", unit="A"
    )
    qmin: tuple[float, float] = parameter(
        (0.5, 1.5), "Lower ends of the Q range.", unit="1/A"
    )
    qmax: tuple[float, float] = parameter(
        (18.0, 30.0), "Upper ends of the Q range.", unit="1/A"
    )
    qdamp: tuple[float, float] = parameter(
        (0.0, 0.1), "Damping (Table 1).", unit="1/A"
    )
    biso: tuple[float, float] = parameter(
        (0.15, 1.5), "B factors.", unit="A^2"
    )
    sharpening: tuple[float, float] = parameter(
        (0.0, 0.6), "delta2 over the square of the bond, in half the PDFs."
    )
    rmax: tuple[float, float] = parameter(
        (15.0, 40.0), "Ends of the data, cut at `reach`."
    )
    reach: float = parameter(30.0, "The last end of the data.", unit="A")
    noise: tuple[float, float] = parameter(
        (0.0, 0.03), "Noise over the root mean square of G."
    )
    peak_error: float = parameter(
        0.008, "Standard error of the first peak's position.", unit="bond"
    )


@dataclasses.dataclass(frozen=True)
class Training:
    """How the three stages are trained, one after another."""

    batch: int = parameter(64, "Structures a step.")
    condition_batch: int = parameter(
        0, "PDFs a step of Algorithm 1; 0 for `batch`."
    )
    condition_steps: int = parameter(400, "Steps of Algorithm 1.")
    structure_steps: int = parameter(10000, "Steps of Algorithm 2.")
    prior_steps: int = parameter(
        0, "Steps of Algorithm 2 for the conditional prior alone."
    )
    denoiser_steps: int = parameter(2000, "Steps of Algorithm 3.")
    decoder_steps: int = parameter(
        0, "Steps of Algorithm 2 for what the decoder makes of a latent alone."
    )
    rate: float = parameter(1e-3, "Highest learning rate.")
    structure_rate: float = parameter(
        0.0, "The same of Algorithm 2, 0 for `rate`."
    )
    prior_rate: float = parameter(2e-3, "The same of the prior alone.")
    warmup: int = parameter(300, "Steps over which the rate rises.")
    ema: float = parameter(0.999, "Decay of the averaged weights.")
    clip: float = parameter(1.0, "Largest norm of the gradient.")
    joint: bool = parameter(
        True,
        "Whether the condition encoder goes on to learn in Algorithm 2; in "
        "the paper it does not.",
    )
    beta_condition: float = parameter(1e-3, "Weight of KL in Algorithm 1.")
    schedule: str = parameter(
        "cosine",
        "Course of the rate after its rise: down to a hundredth at the last "
        "step, or with no end: constant, or as the root of the steps after "
        "`level` of them; the averaged weights are then the result at any "
        "time.",
        choices=("cosine", "constant", "root"),
    )
    level: int = parameter(
        1000,
        "Of `root`: steps at a level rate and gamma; after it, gamma grows "
        "as the square of the steps.",
    )
    decoded: int = parameter(
        0,
        "Structures of a batch that Algorithm 2 decodes, 0 for all: reading "
        "the PDF takes many more, and decoding is what takes time.",
    )
    codes: int = parameter(
        0,
        "PDFs that are simulated and encoded once, for the prior alone and "
        "the denoiser; 0 for new ones in each step of the latter.",
    )
    alike: float = parameter(
        0.0,
        "Share of these PDFs, and of the latents of the decoder alone, that "
        "all clusters have alike; the others go by structure type, of which "
        "some have few clusters, soon known.",
    )
    widest: float = parameter(
        2.0,
        "Of the decoder alone: largest noise of a latent, in widths of the "
        "posterior; it is drawn from 0 on.",
    )
    squares: bool = parameter(
        True,
        "Whether the prior alone learns its means by least squares, or by "
        "the divergence as Algorithm 2 has it.",
    )
    prior_batch: int = parameter(256, "PDFs a step of the prior alone.")
    half: bool = parameter(
        False, "bfloat16 where it is safe, on processors that have it."
    )
    beta_structure: float = parameter(1.0, "Weight of KL in Algorithm 2.")
    gamma: float = parameter(3.0, "Weight of the soft Laplacian's error.")
    pool: int = parameter(
        24000, "Large particles that are drawn from; others are not kept."
    )
    optimizer: str = parameter(
        "adamw", "Optimiser of the VAEs.", choices=("adan", "adamw")
    )
    validate_every: int = parameter(250, "Steps between validations.")


TRAINING = {
    "tiny": Training(
        batch=8, condition_steps=4, structure_steps=8, denoiser_steps=4
    ),
    "small": Training(),
    "base": Training(
        batch=256, condition_steps=1000, structure_steps=40000, ema=0.9995
    ),
    "large": Training(
        condition_steps=200,
        structure_steps=12000,
        denoiser_steps=2000,
        validate_every=500,
    ),
    "paper": Training(
        batch=128,
        condition_batch=16,
        decoded=32,
        codes=200000,
        optimizer="adan",
        schedule="root",
        half=True,
        joint=False,
        # 1 / (2 width^2) at a width of 0.02 for the entries of L: at 3 the
        # latent has no cause to tell errors that spoil the structure.
        gamma=1000.0,
        rate=1e-3,
        # It begins as the principal components, near to its best.
        structure_rate=1e-4,
        warmup=100,
        ema=0.998,
    ),
}
"""How each preset is trained."""

WORLDS = {
    "large": World(
        qdamp=(0.0, 0.06), rmax=(25.0, 100.0), reach=100.0, peak_error=0.004
    ),
    "paper": World(
        cuts=0.0,
        deformed=0.0,
        qmin=(0.7, 0.7),
        qmax=(25.0, 25.0),
        biso=(0.3, 0.3),
        sharpening=(0.0, 0.0),
        rmax=(30.0, 30.0),
        noise=(0.0, 0.0),
        # Of noise-free data: measured on the comparison's it is 0.0005.
        peak_error=0.002,
    ),
}
"""What presets see in place of `World`: "large" longer data, with the damping
of most instruments and bond lengths that many peaks tell; "paper" Table 1."""
