"""What each part of the sampling is worth, with the shipped weights.

    python -m training.evaluation.ablate --structures 21

Nothing is trained.  For PDFs of held-out geometries at the paper's
conditions, latents are drawn in several ways and decoded to one structure
each; only the scale is fitted, and none of the search goes on that
`cbldm_generator` adds: the rest of the pipeline would hide the differences.

    python -m training.evaluation.ablate --trained --minutes 1 --structures 14

trains one network with several outputs (`training.baselines.outputs`), each
for the same processor time on the same pool, and lets each emit a structure
for held-out geometries and for random cuts.  A run that was stopped goes on;
the weights stay in ``runs/ablations``.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from diffpy_cbldm.crystals.alike import rmsd
from diffpy_cbldm.model.cbldm import CbLDM
from diffpy_cbldm.model.weights import load_weights, read_weights
from diffpy_cbldm.search.matching import rw_raw
from diffpy_cbldm.settings import STRUCTURE_TYPES, Sampling
from training.baselines.generators import emitted
from training.baselines.outputs import BATCHES, OUTPUTS
from training.baselines.pool import load_pool
from training.baselines.train import BATCH, Trainer, run
from training.evaluation.cases import Conditions, cases, measured
from training.evaluation.systems import RESULTS, SPLITS, TRAINED
from training.records import commit, keep, kept, machine
from training.settings import World
from training.stream import Stream
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
            found = [row[0] for row in model.structures(z)]
            g = curves(stream, [p.positions for p in found])
            # More fitted parameters would hide the differences.
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


RUNS = Path("runs/ablations")
"""Checkpoints of the trained ablations, and their second pool."""


def trained(name: str, minutes: float, parts: int) -> Trainer:
    """Train one of `OUTPUTS`, or go on where a stop left it.

    Parameters
    ----------
    name : str
    minutes : float
        Of processor time.
    parts : int
        Files of the pool, see `load_pool`.
    """
    folder, world = Path("runs/baselines/pool"), World()
    if name == "sites-no-cuts":
        # As many PDFs, so that their number makes no difference.
        folder, world = RUNS / "pool-no-cuts", World(cuts=0.0)
    pool = load_pool(folder, parts, world=world)
    trainer = Trainer(
        name,
        pool,
        minutes,
        batch=BATCHES.get(name, BATCH),
        make=OUTPUTS[name],
    )
    # The pool and the seed fix the batches: it goes on where it was.
    path = RUNS / f"{name}.ckpt"
    if path.exists():
        trainer.load(path)
    for row in tqdm(run(trainer, RUNS), desc=name, unit="lines"):
        tqdm.write(json.dumps(row))
    return trainer


def told(model: Any, split: str, count: int) -> dict[str, Any]:
    """Figures of what a network emits for the PDFs of a split.

    Parameters
    ----------
    model : nn.Module
        One of `OUTPUTS`, in evaluation mode.
    split : str
        Key of `training.evaluation.systems.SPLITS`.
    count : int
        PDFs, the first of those that are compared there.

    Returns
    -------
    dict
        Means: ``rw``, after the stretch with the scale alone fitted;
        ``n_error``; ``right_n``; ``rmsd`` (A) where N is right, or None.
    """
    met = read_weights("small")[1].get("met", ())
    rows = []
    for i, case in enumerate(cases(SPLITS[split], count, met=met)):
        pdf = measured(case, Conditions(), i)
        xyz, n = emitted(model, pdf)[0], len(case.positions)
        rw = float(rw_raw([xyz], pdf)[0])
        apart = rmsd(xyz, case.positions)
        rows.append((rw, abs(len(xyz) - n) / n, len(xyz) == n, apart))
    values = np.array(rows, float)
    apart = values[np.isfinite(values[:, 3]), 3]
    names = ("rw", "n_error", "right_n")
    means = values[:, :3].mean(0).round(4).tolist()
    known = round(float(apart.mean()), 4) if len(apart) else None
    return {**dict(zip(names, means)), "rmsd": known}


def ablate_outputs(
    minutes: float, structures: int, parts: int, path: Path
) -> list[dict[str, Any]]:
    """Train and measure all `OUTPUTS`; what is there is kept.

    Parameters
    ----------
    minutes : float
        Of processor time for each.
    structures : int
        PDFs of each split.
    parts : int
        Files of either pool.
    path : Path
        The file of the figures.
    """
    settings = {"minutes": minutes, "structures": structures, "parts": parts}
    state = kept(path, "cbldm-ablate-trained/1", settings)
    RUNS.mkdir(parents=True, exist_ok=True)
    now = commit()  # of the code that runs, whatever follows
    for name in OUTPUTS:
        if name in {row["output"] for row in state["rows"]}:
            continue
        trainer = trained(name, minutes, parts)
        model = trainer.averaged_model()
        row = {
            "output": name,
            "parameters": sum(p.numel() for p in model.parameters()),
            "batch": trainer.batch,
            "steps": trainer.step,
            "seconds": round(trainer.seconds, 1),
        }
        for split in ("geometry", "nolibrary"):
            row[split] = told(model, split, structures)
        state["rows"].append(row)
        state["commits"] = sorted({*state["commits"], now})
        keep(path, state)
    return state["rows"]


def main() -> None:
    """The command line; see the module's text."""
    parser = argparse.ArgumentParser(
        "python -m training.evaluation.ablate",
        description=__doc__.splitlines()[0],
    )
    parser.add_argument("--weights", default="small")
    parser.add_argument("--structures", type=int, default=21)
    parser.add_argument("--draws", type=int, default=8)
    parser.add_argument(
        "--trained",
        action="store_true",
        help="train one network with several outputs",
    )
    parser.add_argument(
        "--minutes", type=float, default=1.0, help="of each, --trained"
    )
    parser.add_argument(
        "--parts", type=int, default=24, help="files of 3200 PDFs, --trained"
    )
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.out.mkdir(parents=True, exist_ok=True)
    if options.trained:
        path = options.out / TRAINED
        rows = ablate_outputs(
            options.minutes, options.structures, options.parts, path
        )
    else:
        model = load_weights(options.weights)
        rows = ablate(model, options.structures, options.draws)
        names = ("weights", "structures", "draws")
        state = {
            "schema": "cbldm-ablate/1",
            "machine": machine(),
            "settings": {name: getattr(options, name) for name in names},
            "commits": [commit()],
            "rows": rows,
        }
        keep(options.out / "ablations.json", state)
    for row in rows:
        print(row)


if __name__ == "__main__":
    main()
