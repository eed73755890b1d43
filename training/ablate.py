"""What each part of the sampling is worth, with the shipped weights.

    python -m training.ablate --structures 21

Nothing is trained.  For PDFs of held-out geometries at the paper's
conditions, latents are drawn in several ways and decoded to one structure
each; only the scale is fitted, and none of the search goes on that
`cbldm_generator` adds: the rest of the pipeline would hide the differences.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from diffpy_cbldm.model.cbldm import CbLDM, load_weights
from diffpy_cbldm.recover import structures
from diffpy_cbldm.settings import STRUCTURE_TYPES, Sampling
from training.compare import RESULTS, commit, machine
from training.data import Stream
from training.tune import Counter
from training.validate import FIRST, FIXED, curves, scaled_rw

Draw = Callable[[CbLDM, Tensor, int], Tensor]


def prior_mean(model: CbLDM, g: Tensor, count: int) -> Tensor:
    """The mean of the conditional prior, once: no diffusion, no noise."""
    return model.structure.prior(model.c_0(g[None]))[0]


def standard_normal(model: CbLDM, g: Tensor, count: int) -> Tensor:
    """Latents from N(0, I), whatever the PDF: no condition at all."""
    noise = torch.Generator().manual_seed(0)
    side = model.settings.latent_size
    return torch.randn(count, 1, side, side, generator=noise).to(g)


def algorithm(t1: int, t2: int, calls: int) -> Draw:
    """Algorithm 4 with an interval and a number of steps."""

    def draw(model: CbLDM, g: Tensor, count: int) -> Tensor:
        return model.sample(g, count, 0, Sampling("dpm", calls, t1, t2))

    return draw


WAYS: dict[str, Draw] = {
    "N(0, I), no condition": standard_normal,
    "conditional prior: its mean": prior_mean,
    "conditional prior: samples": algorithm(0, 1000, 20),
    **{
        f"T1 = {t1}, T2 = {t2}, {calls} steps": algorithm(t1, t2, calls)
        for t1, t2, calls in (
            *((400, 800, 10), (400, 800, 20), (400, 800, 50)),
            *((200, 900, 20), (600, 900, 20)),
        )
    },
    **{
        f"diffusion alone, {calls} steps": algorithm(0, 0, calls)
        for calls in (5, 10, 20, 50)
    },
}
"""Ways to draw latents."""


@torch.no_grad()
def ablate(
    model: CbLDM, count: int, draws: int = 8, seed: int = 0
) -> list[dict[str, Any]]:
    """Mean figures of every way.

    Parameters
    ----------
    model : CbLDM
        In evaluation mode.
    count : int
        PDFs of held-out geometries, balanced over the types.
    draws : int
        Candidates of each PDF.
    seed : int
        Of the choice.

    Returns
    -------
    list of dict
        ``way``; ``calls`` of the denoiser a candidate; ``one`` and ``best``,
        Rw of one candidate and of the best; ``right_n``, share of best ones
        with the right number of atoms; ``right_type``; ``seconds`` a PDF.
    """
    stream = Stream(model.settings, FIXED, "heldout")
    rng = np.random.default_rng(seed)
    kinds = [STRUCTURE_TYPES[i % len(STRUCTURE_TYPES)] for i in range(count)]
    truth = [
        model.table.positions(int(rng.choice(stream.by_type[kind])))
        for kind in kinds
    ]
    targets = curves(stream, truth)
    start = round(FIRST / model.settings.pdf_step)
    counter = Counter(model)
    out = []
    for way, draw in tqdm(WAYS.items(), desc="ways"):
        rows = []
        counter.calls, begin = 0, time.perf_counter()
        for target, kind, xyz in zip(targets, kinds, truth):
            z = draw(model, target, draws)
            found = [row[0] for row in structures(model, z)]
            g = curves(stream, [p.positions for p in found])
            rw = scaled_rw(target[start:], g[:, start:])
            best = found[int(rw.argmin())]
            right = len(best.positions) == len(xyz)
            rows.append(
                (rw.mean(), rw.min(), right, best.structure_type == kind)
            )
        seconds = (time.perf_counter() - begin) / count
        names = ("one", "best", "right_n", "right_type")
        means = np.array(rows, float).mean(0).round(4).tolist()
        out.append(
            {
                "way": way,
                "calls": counter.calls / count,
                **dict(zip(names, means)),
                "seconds": round(seconds, 3),
            }
        )
    return out


def main() -> None:
    """The command line; see the module's text."""
    parser = argparse.ArgumentParser(
        "python -m training.ablate", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--weights", default="small")
    parser.add_argument("--structures", type=int, default=21)
    parser.add_argument("--draws", type=int, default=8)
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    model = load_weights(options.weights)
    state = {
        "schema": "cbldm-ablate/1",
        "settings": {
            "weights": options.weights,
            "structures": options.structures,
            "draws": options.draws,
        },
        "machine": machine(),
        "commits": [commit()],
        "rows": ablate(model, options.structures, options.draws),
    }
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / "ablations.json"
    part = path.with_suffix(".part")
    part.write_text(json.dumps(state, indent=1) + "\n")
    os.replace(part, path)
    for row in state["rows"]:
        print(row)


if __name__ == "__main__":
    main()
