"""Try learning rates and batches, for each compared network alike long.

    python -m training.baselines.tune --seconds 60

Every setting is trained for the same processor time on the pool of
`training.baselines.train`, the rate falling to zero over it, and told by the
loss on PDFs that are not trained on.  A setting that beats the one in use by
more than `CLEARLY` is worth a training anew: the command says so.  A run that
was stopped goes on with the next setting.  The trees are not among them:
their rounds are bounded by the size of the file, not by the time.
"""

from __future__ import annotations

import argparse
import itertools
import json
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from training.baselines import LEARNED
from training.baselines.pool import Pool, load_pool
from training.baselines.train import SETTINGS, Trainer
from training.records import commit, keep, kept
from training.trainer import NonFiniteLoss

SYSTEMS = tuple(system for system in LEARNED if system != "mining")

RATES = (5e-4, 1.5e-3, 4.5e-3)
BATCHES = (32, 64)

CLEARLY = 0.05
"""A loss that is lower by more than this share is clearly lower."""

RESULTS = Path("docs/benchmarks/tuning.json")


def tried(
    system: str, pool: Pool, seconds: float, rate: float, batch: int
) -> dict[str, Any]:
    """Train with one setting; what came out.

    Parameters
    ----------
    system : str
        Of `SYSTEMS`.
    pool : Pool
    seconds : float
        Of processor time.
    rate : float
        The highest learning rate.
    batch : int
        PDFs of a step.

    Returns
    -------
    dict
        The setting, ``steps``, ``validation`` and ``heldout`` (losses); these
        are None where the training diverged.
    """
    trainer = Trainer(system, pool, seconds / 60, rate=rate, batch=batch)
    losses: dict[str, Any] = {"validation": None, "heldout": None}
    try:
        while not trainer.done:
            trainer.advance()
        losses = trainer.validate()
    except NonFiniteLoss as error:
        tqdm.write(str(error))
    row = {"system": system, "rate": rate, "batch": batch}
    return {**row, "steps": trainer.step, **losses}


def best(rows: list[dict[str, Any]], system: str) -> dict[str, Any]:
    """The setting of a system with the lowest loss on unseen PDFs."""
    own = [r for r in rows if r["system"] == system and r["validation"]]
    return min(own, key=lambda r: r["validation"])


def verdict(rows: list[dict[str, Any]], system: str) -> str:
    """What the trials say of the setting in use, in words."""
    rate, batch = SETTINGS[system]
    first = best(rows, system)
    (own,) = (
        r
        for r in rows
        if r["system"] == system and (r["rate"], r["batch"]) == (rate, batch)
    )
    # A small gain may be chance: each setting is trained once.
    gain = 1 - first["validation"] / own["validation"]
    words = f"{system}: rate {first['rate']:g}, batch {first['batch']}"
    if gain > CLEARLY:
        return (
            f"{words} is clearly better than {rate:g}, {batch} (by "
            f"{gain:.0%}): put it in training.baselines.train.SETTINGS and "
            "train again."
        )
    return f"{words} is best; {rate:g}, {batch} is worse by {gain:.1%}."


def main() -> None:
    """The command line; see the module's text."""
    parser = argparse.ArgumentParser(
        "python -m training.baselines.tune",
        description=__doc__.splitlines()[0],
    )
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--parts", type=int, default=48)
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    settings = {"seconds": options.seconds, "parts": options.parts}
    state = kept(options.out, "cbldm-tune/1", settings)
    rows = state["rows"]
    known = {(r["system"], r["rate"], r["batch"]) for r in rows}
    pool = load_pool("runs/baselines/pool", options.parts)
    # Asked before the first trial: a commit in between is not its code.
    now = commit()  # of the code that runs, whatever follows
    trials = list(itertools.product(SYSTEMS, RATES, BATCHES))
    for trial in tqdm([t for t in trials if t not in known], desc="settings"):
        system, rate, batch = trial
        rows.append(tried(system, pool, options.seconds, rate, batch))
        tqdm.write(json.dumps(rows[-1]))
        state["commits"] = sorted({*state["commits"], now})
        keep(options.out, state)
    for system in SYSTEMS:
        print(verdict(rows, system))


if __name__ == "__main__":
    main()
