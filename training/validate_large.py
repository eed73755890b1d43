"""Figures of a model of large particles, on particles it has not seen.

    python -m training.validate_large --weights large

prints how often the likeliest outline has the right crystal, and how far its
number of atoms is off, where Qdamp is told and where it is not.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
import torch

from diffpy_cbldm.crystals.large_cuts import LARGE_TYPES
from diffpy_cbldm.model.cbldm import CbLDM
from diffpy_cbldm.model.curves import pdf_tensor
from diffpy_cbldm.model.structure import OutlineDecoder
from diffpy_cbldm.model.weights import load_weights
from training.large import LargeStream
from training.settings import WORLDS


@torch.no_grad()
def validate_large(
    model: CbLDM, count: int = 512, seed: int = 0
) -> dict[str, Any]:
    """Score the prior's mean on held-out particles.

    Parameters
    ----------
    model : CbLDM
        In evaluation mode.
    count : int
        Number of PDFs.
    seed : int
        Of particles and measurements.

    Returns
    -------
    dict with, where Qdamp is told and where it is not: ``type`` (share of
    right crystals), ``size`` (median error of ln N), ``near`` (share of N
    within 10 %), ``extents`` (mean error, in units of the size); and
    ``types``, the share for each crystal.
    """
    decoder = model.structure.decoder
    assert isinstance(decoder, OutlineDecoder)
    stream = LargeStream(
        model.settings, WORLDS["large"], "heldout", pool=count
    )
    batch = stream.batch(count, np.random.default_rng(seed))
    c_0 = model.condition.encode(pdf_tensor(batch.g, model.settings))[0]
    decoded = decoder(model.structure.prior(c_0)[0])
    right = decoded.kinds.argmax(1) == batch.target["type"]
    off = 3 * (decoded.scalars - batch.target["scalars"])[:, 0].abs()
    apart = (decoded.extents - batch.target["extents"]).abs().nanmean(1)
    told = batch.g[:, 0] > 0.5

    def share(rows: torch.Tensor) -> dict[str, float]:
        return {
            "type": round(float(right[rows].float().mean()), 4),
            "size": round(float(off[rows].median()), 4),
            "near": round(float((off[rows] < 0.1).float().mean()), 4),
            "extents": round(float(apart[rows].mean()), 4),
        }

    types = {
        name: round(float(right[batch.target["type"] == k].float().mean()), 4)
        for k, name in enumerate(LARGE_TYPES)
    }
    return {
        "split": "particles held out (one in ten, by their shape)",
        "count": count,
        "Qdamp told": share(told),
        "Qdamp not told": share(~told),
        "types": types,
    }


def main() -> None:
    """The command line; see the module's text."""
    parser = argparse.ArgumentParser(
        "python -m training.validate_large",
        description=(__doc__ or "").splitlines()[0],
    )
    parser.add_argument("--weights", default="large")
    parser.add_argument("--count", type=int, default=512)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    model = load_weights(options.weights)
    figures = validate_large(model, options.count, options.seed)
    for name, value in figures.items():
        print(name, value)


if __name__ == "__main__":
    main()
