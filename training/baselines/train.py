"""Train one of the compared systems; all on the same PDFs.

    python -m training.baselines.train --system resnet --minutes 8

The PDFs are the first of the stream that CbLDM is trained on, see
`training.baselines.pool`; held-out geometries are not among them.  The rate
falls over the given minutes, so that every system ends its budget trained as
far as it goes.  A stop loses the steps since the last checkpoint, and
``--resume`` goes on.
"""

from __future__ import annotations

import argparse
import functools
import json
import math
import shlex
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from diffpy_cbldm.crystals.table import load_table
from diffpy_cbldm.files import appearing, write_atomic
from diffpy_cbldm.settings import Model
from training.baselines import LEARNED, WEIGHTS, mining
from training.baselines.networks import network
from training.baselines.pool import Pool, Rows, load_pool, rows_of
from training.records import hardware, keep, log
from training.stream import Stream
from training.trainer import NonFiniteLoss

BATCH = 64
RATE, WARMUP, CLIP = 1.5e-3, 100, 5.0
SETTINGS = {
    "mlp": (4.5e-3, BATCH),
    "cnn": (4.5e-3, 32),
    "resnet": (4.5e-3, 32),
    "transformer": (RATE, 32),
    "deepstruc": (RATE, BATCH),
}
"""Highest learning rate and batch of each network, see
`training.baselines.tune`."""

AVERAGE = 0.998
"""Decay of the averaged weights."""

UNSEEN = 256
"""PDFs of either validation: the pool's last, and held-out geometries."""

EVERY = 50
"""Steps of a line of the learning curve."""

COLUMNS = ("step", "seconds", "loss", "validation", "heldout")


def heldout_rows(seed: int, count: int = UNSEEN) -> Rows:
    """PDFs of geometries that nobody trains on."""
    rng = np.random.default_rng([seed, 1])
    return rows_of(Stream(Model(), split="heldout").batch(count, rng))


class Trainer:
    """State of the training of a network.

    Parameters
    ----------
    system : str
        One of those with a network.
    pool : Pool
        Its last `UNSEEN` PDFs are kept for validation.
    minutes : float
        Of processor time, over which the rate falls to zero.
    seed : int
        Seeds weights, order and noise.
    rate : float
        The highest learning rate.
    batch : int
        PDFs of a step.
    make : callable, optional
        Makes the untrained network; that of the system by default.
    """

    def __init__(
        self,
        system: str,
        pool: Pool,
        minutes: float,
        seed: int = 0,
        rate: float = RATE,
        batch: int = BATCH,
        make: Callable[[], nn.Module] | None = None,
    ):
        self.system, self.pool = system, pool
        self.minutes, self.seed = minutes, seed
        self.highest, self.batch = rate, batch
        self.make = make or functools.partial(network, system)
        torch.manual_seed(seed)
        self.model: Any = self.make()
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(), lr=rate, weight_decay=0.01
        )
        state = self.model.state_dict()
        self.averaged = {k: v.clone() for k, v in state.items()}
        self.noise = torch.Generator()
        self.step, self.seconds = 0, 0.0
        last = np.arange(len(pool) - UNSEEN, len(pool))
        self.unseen = (pool.batch(last), heldout_rows(seed))

    @property
    def done(self) -> bool:
        """Whether the minutes are spent."""
        return self.seconds >= 60 * self.minutes

    def rate(self) -> float:
        """Learning rate: linear rise, then a cosine over the minutes."""
        part = min(1.0, self.seconds / max(1e-9, 60 * self.minutes))
        rise = min(1.0, (self.step + 1) / WARMUP)
        return self.highest * rise * 0.5 * (1 + math.cos(math.pi * part))

    def advance(self) -> float:
        """One step; its loss."""
        start = time.process_time()
        rng = np.random.default_rng([self.seed, 2, self.step])
        self.noise.manual_seed(int(rng.integers(1 << 62)))
        # What a step draws follows from seed and step: a resumed run goes on
        # as if it had not been stopped.
        rows = rng.integers(0, len(self.pool) - UNSEEN, self.batch)
        loss = self.model.loss(self.pool.batch(rows), self.noise)
        value = float(loss.detach())
        if not math.isfinite(value):
            raise NonFiniteLoss(
                f"the loss of {self.system}, step {self.step} of seed "
                f"{self.seed}, is {value}."
            )
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), CLIP)
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate()
        self.optimizer.step()
        # The first weights are random: at first they are soon forgotten.
        decay = min(AVERAGE, (1 + self.step) / (10 + self.step))
        for name, new in self.model.state_dict().items():
            self.averaged[name].lerp_(new, 1 - decay)
        self.step += 1
        self.seconds += time.process_time() - start
        return value

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """Losses of the averaged weights on PDFs that are not trained on."""
        model = self.averaged_model()
        self.noise.manual_seed(self.seed)
        names = ("validation", "heldout")
        return {
            name: float(model.loss(rows, self.noise))
            for name, rows in zip(names, self.unseen)
        }

    def averaged_model(self) -> Any:
        """The network with its averaged weights."""
        model: Any = self.make()
        model.load_state_dict(self.averaged)
        return model.eval()

    def save(self, path: Path) -> None:
        """Write the checkpoint, by rename."""
        names = ("system", "seed", "minutes", "step", "seconds", "averaged")
        state = {name: getattr(self, name) for name in names}
        state["model"] = self.model.state_dict()
        state["optimizer"] = self.optimizer.state_dict()
        with appearing(path) as unfinished:
            torch.save(state, unfinished)

    def load(self, path: Path) -> None:
        """Go on from a checkpoint of the same system and seed."""
        state = torch.load(path, weights_only=True)
        for name in ("system", "seed"):
            if state[name] != getattr(self, name):
                raise SystemExit(
                    f"{path} was made with {name} {state[name]}, not "
                    f"{getattr(self, name)}: give the same or another --out."
                )
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.averaged = state["averaged"]
        self.step, self.seconds = state["step"], state["seconds"]


def run(
    trainer: Trainer, out: Path, every: int = EVERY
) -> Iterator[dict[str, float]]:
    """Train until the minutes are spent; yields lines of the curve."""
    losses: list[float] = []
    while not trainer.done:
        losses.append(trainer.advance())
        if len(losses) < every and not trainer.done:
            continue
        row: dict[str, Any] = {
            "step": trainer.step,
            "seconds": round(trainer.seconds, 1),
            "loss": sum(losses) / len(losses),
        }
        if trainer.done or trainer.step % (4 * every) == 0:
            row.update(trainer.validate())
        log(out / f"{trainer.system}-loss.csv", row, COLUMNS)
        trainer.save(out / f"{trainer.system}.ckpt")
        losses = []
        yield row


def finish(trainer: Trainer, weights: Path, record: dict[str, Any]) -> None:
    """Write the averaged weights in half precision, and their record."""
    from safetensors.torch import save

    weights.mkdir(parents=True, exist_ok=True)
    model = trainer.averaged_model()
    tensors = {k: v.half().contiguous() for k, v in model.state_dict().items()}
    write_atomic(weights / f"{trainer.system}.safetensors", save(tensors))
    record = {
        **record,
        "table": load_table().digest,
        "pool": trainer.pool.digest,
        "pool_size": len(trainer.pool),
        "batch": trainer.batch,
        "rate": trainer.highest,
        "steps": trainer.step,
        "seconds": round(trainer.seconds, 1),
        "parameters": sum(p.numel() for p in model.parameters()),
        "validation": trainer.validate(),
    }
    keep(weights / f"{trainer.system}.json", record)


def make_parser() -> argparse.ArgumentParser:
    """The options of the command."""
    parser = argparse.ArgumentParser(
        "python -m training.baselines.train",
        description=__doc__.splitlines()[0],
    )
    parser.add_argument("--system", choices=LEARNED, required=True)
    parser.add_argument("--minutes", type=float, default=8.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("runs/baselines"),
        help="folder of the pool, checkpoints and learning curves",
    )
    parser.add_argument(
        "--weights", type=Path, default=WEIGHTS, help="where weights go"
    )
    parser.add_argument(
        "--parts", type=int, default=48, help="files of 3200 PDFs in the pool"
    )
    return parser


def main(words: list[str] | None = None) -> int:
    """The command line; see the module's text."""
    words = sys.argv[1:] if words is None else words
    parser = make_parser()
    options = parser.parse_args(words)
    if options.threads:
        torch.set_num_threads(options.threads)
    options.out.mkdir(parents=True, exist_ok=True)
    record = {
        "schema": "cbldm-baseline/1",
        "system": options.system,
        "seed": options.seed,
        "minutes": options.minutes,
        "command": "python -m training.baselines.train " + shlex.join(words),
        "hardware": hardware(torch.device("cpu")),
        "torch": torch.__version__,
    }
    path = options.out / f"{options.system}.ckpt"
    if path.exists() and not options.resume:
        parser.error(f"{path} is there: add --resume or take another --out")
    curve = options.out / f"{options.system}-loss.csv"
    # Without its checkpoint a curve is that of another run.
    if not path.exists():
        curve.unlink(missing_ok=True)
    if options.system == "mining":
        mining.train(
            options.minutes, options.seed, path, curve, options.weights, record
        )
    else:
        train_network(options, path, record)
    shutil.copy(curve, options.weights / curve.name)
    return 0


def train_network(
    options: argparse.Namespace, path: Path, record: dict[str, Any]
) -> None:
    """Train a network by the options of the command; go on where it is."""
    pool = load_pool(options.out / "pool", options.parts, options.seed)
    trainer = Trainer(
        options.system,
        pool,
        options.minutes,
        options.seed,
        *SETTINGS[options.system],
    )
    if path.exists():
        trainer.load(path)
    for row in run(trainer, options.out):
        print(json.dumps(row), flush=True)
    finish(trainer, options.weights, record)


if __name__ == "__main__":
    raise SystemExit(main())
