"""Figures of a model on simulated PDFs of geometries it has not seen.

    python -m training.validate --weights small

prints Rw (only the scale fitted, no refinement) and the share with the right
number of atoms for several ways to sample, by structure type.
"""

from __future__ import annotations

import argparse
import itertools
import math
import time
from typing import Any

import numpy as np
import torch
from torch import Tensor

from diffpy_cbldm.crystals.filling import Proposal
from diffpy_cbldm.crystals.table import TEMPLATE_OF
from diffpy_cbldm.debye.batches import padded
from diffpy_cbldm.model.cbldm import CbLDM
from diffpy_cbldm.model.weights import load_weights
from diffpy_cbldm.settings import STRUCTURE_TYPES, Sampling
from training.settings import World
from training.stream import Stream

FIXED = World(
    cuts=0.0,
    deformed=0.0,
    bond=(2.8, 2.8),
    qmin=(0.7, 0.7),
    qmax=(25.0, 25.0),
    qdamp=(0.04, 0.04),
    biso=(0.3, 0.3),
    sharpening=(0.0, 0.0),
    rmax=(30.0, 30.0),
    noise=(0.0, 0.0),
    peak_error=0.0,
)
"""The paper's conditions (Table 1) at one bond length and damping."""

FIRST = 1.5 / 2.8
"""Where Rw starts: 1.5 A, in bond lengths."""


def curves(stream: Stream, structures: list[np.ndarray]) -> Tensor:
    """PDFs of structures under `FIXED`, (n, M) on the model's grid."""
    xyz, lengths = map(torch.as_tensor, padded(structures))
    device = stream.device
    g, _ = stream.simulate(
        xyz.to(device), lengths.to(device), np.random.default_rng(0)
    )
    return g


def scaled_rw(target: Tensor, found: Tensor) -> Tensor:
    """Rw of (n, M) curves against one (M,), the scale alone fitted."""
    scale = (found @ target) / found.square().sum(1).clamp_min(1e-12)
    miss = (target - scale[:, None] * found).square().sum(1)
    return (miss / target.square().sum()).sqrt()


def shared_sites(proposals: list[Proposal]) -> float:
    """The mean share of filled sites that two structures have in common.

    Over the geometric mean of their numbers of atoms; none between
    structures on different templates, nor of decoded Laplacians, which
    stand on no sites.
    """
    if any(not len(p.sites) for p in proposals):
        return 0.0
    shares = []
    # Sites of two templates have nothing to do with one another.
    for a, b in itertools.combinations(proposals, 2):
        alike = TEMPLATE_OF[a.structure_type] == TEMPLATE_OF[b.structure_type]
        both = len(np.intersect1d(a.sites, b.sites)) if alike else 0
        shares.append(both / math.sqrt(len(a.sites) * len(b.sites)))
    return float(np.mean(shares))


@torch.no_grad()
def validate(
    model: CbLDM,
    count: int = 64,
    draws: int = 8,
    seed: int = 0,
    sampling: Sampling | None = None,
) -> dict[str, Any]:
    """Score proposals for held-out geometries, balanced over the types.

    Parameters
    ----------
    model : CbLDM
        In evaluation mode.
    count : int
        Number of PDFs.
    draws : int
        Candidates a PDF by Algorithm 4.
    seed : int
        Seed of the choice of geometries and of the candidates.
    sampling : Sampling, optional
        Sampler, network calls, T1 and T2.

    Returns
    -------
    dict with, in total and per type: ``prior`` (Rw of the decoded mean of
    the conditional prior), ``single`` (mean Rw of one candidate), ``best``
    (best of `draws`), ``right_n`` (share whose best candidate has the right
    number of atoms), ``distinct`` (how many of the draws are new beside the
    prior's mean), ``shared`` (`shared_sites` of the draws); no parameter but
    the scale is fitted.
    """
    stream = Stream(
        model.settings, FIXED, "heldout", device=model.latent_scale.device
    )
    rng = np.random.default_rng(seed)
    chosen = [
        int(rng.choice(stream.by_type[STRUCTURE_TYPES[i % 7]]))
        for i in range(count)
    ]
    truth = [model.table.positions(i).astype(np.float32) for i in chosen]
    g = curves(stream, truth)
    start = round(FIRST / model.settings.pdf_step)
    c_0 = model.c_0(g)
    mean = model.structure.prior(c_0)[0]
    rows = []
    for i, index in enumerate(chosen):
        z = model.sample(g[i], draws, seed, sampling)
        # The prior's mean goes first: it shows what diffusion adds.
        latents = torch.cat([mean[i : i + 1], z])
        proposals = [row[0] for row in model.structures(latents)]
        found = curves(stream, [p.positions for p in proposals])
        rw = scaled_rw(g[i, start:], found[:, start:]).cpu().numpy()
        # The best of the draws, the prior's mean not counted.
        best = proposals[1 + int(rw[1:].argmin())]
        rows.append(
            {
                "type": model.table.geometries[index].structure_type,
                "prior": rw[0],
                "single": rw[1:].mean(),
                "best": rw[1:].min(),
                "right_n": len(best.positions) == len(truth[i]),
                "distinct": len({p.positions.tobytes() for p in proposals})
                - 1,
                "shared": shared_sites(proposals[1:]),
            }
        )
    return {
        "split": "geometries held out (seed 42, one in ten of each type)",
        "count": count,
        "draws": draws,
        "total": _mean(rows),
        **{
            t: _mean([r for r in rows if r["type"] == t])
            for t in STRUCTURE_TYPES
            if any(r["type"] == t for r in rows)
        },
    }


def _mean(rows: list[dict[str, Any]]) -> dict[str, float]:
    keys = ("prior", "single", "best", "right_n", "distinct", "shared")
    return {k: round(float(np.mean([r[k] for r in rows])), 4) for k in keys}


WAYS = {
    "prior alone (T1 = 0, T2 = T)": Sampling(t1=0, t2=1000),
    "T1 = 200, T2 = 900": Sampling(t1=200, t2=900),
    "T1 = 400, T2 = 800": Sampling(t1=400, t2=800),
    "T1 = 600, T2 = 900": Sampling(t1=600, t2=900),
    "diffusion alone (T1 = T2)": Sampling(t1=0, t2=0),
}
"""Ways to sample that the command compares, with the default's calls."""


def main() -> None:
    """The command line; see the module's text."""
    parser = argparse.ArgumentParser(
        "python -m training.validate", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--weights", default="small")
    parser.add_argument("--count", type=int, default=56)
    parser.add_argument("--draws", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    model = load_weights(options.weights)
    for name, way in WAYS.items():
        start = time.perf_counter()
        figures = validate(
            model, options.count, options.draws, options.seed, way
        )
        seconds = (time.perf_counter() - start) / options.count
        print(f"{name}; {seconds:.2f} s a PDF")
        for part in ("total", *STRUCTURE_TYPES):
            row = "  ".join(f"{k} {v:.3f}" for k, v in figures[part].items())
            print(f"  {part:6s} {row}", flush=True)


if __name__ == "__main__":
    main()
