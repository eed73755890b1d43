"""The loss of each stage of the training: Algorithms 1 to 3 on a batch."""

from __future__ import annotations

import torch
from torch import Tensor

from diffpy_cbldm.model.cbldm import CbLDM
from diffpy_cbldm.model.condition import algorithm_1
from diffpy_cbldm.model.curves import pdf_tensor
from diffpy_cbldm.model.diffusion import algorithm_3
from diffpy_cbldm.model.laplacian import by_rows, laplacian_tensor
from diffpy_cbldm.model.layers import gaussian_sample
from diffpy_cbldm.model.structure import algorithm_2
from diffpy_cbldm.settings import Model
from training.decoding import Drawn, decoding_loss
from training.reading import Coded, reading_loss
from training.settings import Training
from training.stream import Batch

STAGES = ("condition", "structure", "prior", "denoiser", "decoder")
"""The stages in their order."""

ALONE = ("prior", "decoder")
"""Those that are a part of Algorithm 2 alone, of the paper's own network."""


def stage_losses(
    stage: str,
    model: CbLDM,
    batch: Batch | Coded | Drawn,
    training: Training,
    noise: torch.Generator,
) -> tuple[Tensor, dict[str, Tensor]]:
    """The loss of a stage and its parts.

    Parameters
    ----------
    stage : str
        One of `STAGES`.
    model : CbLDM
    batch : Batch, Coded or Drawn
        The last three stages take what is coded already.
    training : Training
        Weights of the parts.
    noise : torch.Generator
        Source of the noise.

    Returns
    -------
    loss : scalar tensor
    parts : dict of scalar tensors
    """
    if isinstance(batch, Drawn):
        return decoding_loss(model, batch, training, noise)
    if isinstance(batch, Coded):
        return _of_codes(stage, model, batch, training, noise)
    c = pdf_tensor(batch.g, model.settings)
    if stage == "condition":
        loss = _condition(model, batch, c, training, noise)
        return loss, {"condition": loss}
    if stage == "structure":
        return _structure(model, batch, c, training, noise)
    with torch.no_grad():
        some = _coded(model, batch, c)
    return _of_codes(stage, model, some, training, noise)


def _of_codes(
    stage: str,
    model: CbLDM,
    some: Coded,
    training: Training,
    noise: torch.Generator,
) -> tuple[Tensor, dict[str, Tensor]]:
    """The losses of stages in which the encoders learn no more."""
    if stage == "prior":
        return reading_loss(model, some, training.squares)
    loss = _denoiser(model, some, noise)
    return loss, {"denoiser": loss}


def laplacians(settings: Model, batch: Batch) -> Tensor:
    """What the encoder of the structure reads, (B, 4, 128, 128)."""
    xyz = batch.positions
    if settings.atom_order == "rows":
        xyz = by_rows(xyz, batch.lengths)
    return laplacian_tensor(xyz, batch.lengths, settings.sigma2)


def _condition(
    model: CbLDM,
    batch: Batch,
    c: Tensor,
    training: Training,
    noise: torch.Generator,
) -> Tensor:
    """Algorithm 1 on the PDFs c, the first of a batch."""
    clean = pdf_tensor(batch.clean, model.settings)[: len(c)]
    loss, _ = algorithm_1(
        model.condition, c, noise, training.beta_condition, clean
    )
    return loss


def _structure(
    model: CbLDM,
    batch: Batch,
    c: Tensor,
    training: Training,
    noise: torch.Generator,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Algorithm 2; the condition encoder may go on to learn with it."""
    if training.joint:
        # A quarter of the batch keeps c_0 a code of the PDF.
        part = c[: (len(c) + 3) // 4]
        loss_c = _condition(model, batch, part, training, noise)
    with torch.set_grad_enabled(training.joint and torch.is_grad_enabled()):
        c_0 = model.condition.encode(c)[0]
    model.structure.decoded = training.decoded
    loss, parts = algorithm_2(
        model.structure,
        laplacians(model.settings, batch),
        c_0,
        batch.target,
        noise,
        training.beta_structure,
        training.gamma,
        model.settings.sigma2,
    )
    if training.joint:
        return loss + loss_c, {**parts, "condition": loss_c}
    return loss, parts


def _denoiser(model: CbLDM, some: Coded, noise: torch.Generator) -> Tensor:
    """Algorithm 3 on latents of the encoder."""
    c_0 = some.c_0
    with torch.no_grad():
        z_0 = gaussian_sample(some.mean, some.logvar, noise)
        prior = model.structure.prior(c_0)
    return algorithm_3(
        lambda x_t, step: model.predict_noise(x_t, step, c_0, prior),
        model.schedule,
        z_0 / model.latent_scale,
        noise,
    )


def _coded(model: CbLDM, batch: Batch, c: Tensor) -> Coded:
    """What the encoders make of a batch."""
    c_0 = model.condition.encode(c)[0]
    x = laplacians(model.settings, batch)
    shape = batch.target["shape"]
    mean, logvar = model.structure.encoder(x, c_0, shape)
    return Coded(c_0, mean, logvar, mean.new_ones(len(mean)))
