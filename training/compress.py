"""Make weights smaller for the package, at no loss that candidates show.

    python -m training.compress --weights runs/small/small.safetensors \
        --rank 128 --out diffpy_cbldm/weights

The decoder's last map, from its code to thousands of sites, is replaced by
the map of a lower rank that is nearest to it on the codes of the training
stream: of latents of the conditional prior under its PDFs.  What only
training uses goes to a file of its own, ``training/weights``.
"""

from __future__ import annotations

import argparse
import dataclasses
import shlex
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from diffpy_cbldm.model.cbldm import CbLDM
from diffpy_cbldm.model.weights import (
    TRAINING_ONLY,
    load_weights,
    read_weights,
    write_record,
    write_tensors,
)
from training.records import PARTS, training_parts
from training.settings import World
from training.stream import Stream

BATCHES, BATCH = 48, 64
"""Codes of the stream that the map is fitted to, and as many to judge it."""


@torch.no_grad()
def codes(model: CbLDM, seed: int) -> Tensor:
    """Codes of the decoder under PDFs of the stream, (n, width)."""
    stream = Stream(model.settings, World(), "train")
    # A stream of its own, whatever the seed of the training was.
    rng = np.random.default_rng([seed, 7])
    noise = torch.Generator().manual_seed(seed)
    found = []
    for _ in range(BATCHES):
        mean, logvar = model.structure.prior(
            model.c_0(stream.batch(BATCH, rng).g)
        )
        # The decoder sees samples of the prior, not its mean: so do we.
        draws = torch.randn(mean.shape, generator=noise)
        z = mean + torch.exp(0.5 * logvar) * draws
        found.append(model.structure.decoder.body(z.flatten(1)))
    return torch.cat(found)


def low_rank(weight: Tensor, inputs: Tensor, rank: int) -> list[Tensor]:
    """A (r, k) and B (n, r) for which B A x is nearest to W x.

    Parameters
    ----------
    weight : (n, k) tensor
        W.
    inputs : (m, k) tensor
        Over which the squared difference is summed.
    rank : int
    """
    x = inputs.double()
    # The error is summed over the codes that occur, so W is truncated in
    # the metric of their second moments, not in the plain one.
    values, vectors = torch.linalg.eigh(x.T @ x / len(x))
    # Directions that hardly occur are left where they are.
    root = values.clamp_min(1e-6 * float(values.max())).sqrt()
    left, size, right = torch.linalg.svd(
        (weight.double() @ vectors) * root, full_matrices=False
    )
    # The singular values are shared by both factors, so that neither has
    # entries that half precision cannot hold.
    spread = size[:rank].sqrt()
    first = spread[:, None] * (right[:rank] / root) @ vectors.T
    return [first.to(weight), (left[:, :rank] * spread).to(weight)]


def shrink(
    model: CbLDM, tensors: dict[str, Tensor], record: dict[str, Any], rank: int
) -> float:
    """Give the decoder's last map a lower rank, in place.

    Returns
    -------
    float
        The root of the mean square by which logits change.
    """
    name = "structure.decoder.sites"
    # Weights that are compressed already are compressed from their product.
    if model.settings.decoder_rank:
        full = tensors[f"{name}.1.weight"] @ tensors.pop(f"{name}.0.weight")
        bias = tensors.pop(f"{name}.1.bias")
        del tensors[f"{name}.1.weight"]
    else:
        full = tensors.pop(f"{name}.weight")
        bias = tensors.pop(f"{name}.bias")
    first, last = low_rank(full, codes(model, 0), rank)
    tensors[f"{name}.0.weight"] = first
    tensors[f"{name}.1.weight"] = last
    tensors[f"{name}.1.bias"] = bias
    # Judged on codes that the map was not fitted to, as it is stored.
    x = codes(model, 1)
    half = x @ first.half().float().T @ last.half().float().T
    error = float((half - x @ full.T).square().mean().sqrt())
    settings = dataclasses.replace(model.settings, decoder_rank=rank)
    record["model"] = dataclasses.asdict(settings)
    record["compressed"] = {
        "command": shlex.join(["python", "-m", "training.compress"])
        + " "
        + shlex.join(sys.argv[1:]),
        "rank": rank,
        "error of the logits, root of mean square": round(error, 4),
    }
    return error


def compress(weights: str, rank: int, out: Path) -> str:
    """Write smaller weights; what that changes, in one line."""
    model = load_weights(weights)
    tensors, record = read_weights(weights)
    tensors |= training_parts(weights)
    error = 0.0
    # Other decoders have no map to thousands of sites.
    if model.settings.network == "sites":
        error = shrink(model, tensors, record, rank)
    apart = tuple(f"{part}." for part in TRAINING_ONLY)
    stem = record["preset"]
    kept = {k: v for k, v in tensors.items() if not k.startswith(apart)}
    rest = {k: v for k, v in tensors.items() if k.startswith(apart)}
    # Two files: who solves a PDF need not load what only training uses.
    path = out / f"{stem}.safetensors"
    PARTS.mkdir(exist_ok=True)
    write_tensors(kept, path)
    write_tensors(rest, PARTS / path.name)
    write_record(record, path)
    size = path.stat().st_size / 1e6
    return f"{size:.1f} MB; logits differ by {error:.4f} (root mean square)"


def main() -> None:
    """The command line; see the module's text."""
    parser = argparse.ArgumentParser(
        "python -m training.compress", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--weights", default="small")
    parser.add_argument("--rank", type=int, default=128)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    print(compress(options.weights, options.rank, options.out))


if __name__ == "__main__":
    main()
