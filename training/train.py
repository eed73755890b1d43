"""Train a CbLDM: stages in order, resumable at any moment.

    python -m training.train --preset small --out runs/small --minutes 120

The first stage trains the condition VAE (Algorithm 1); the next one the
structure VAE with its conditional prior (Algorithm 2), the condition encoder
going on to learn with it; the last one the denoiser (Algorithm 3).  Between
these, the prior may learn alone.  A stop at any moment, by
Ctrl-C, a kill or `--minutes`, loses at most the steps since the last
checkpoint, and `--resume` goes on along the same loss curve: what a step
draws follows from the seed, the stage and the step alone.

Several GPUs: ``torchrun --nproc_per_node 4 -m training.train ...``; each
process draws batches of its own, and gradients are averaged.  ``--half`` takes
bfloat16 where that is safe.  ``--tensorboard`` writes events beside
``loss.csv``.  `training.pieces` splits a checkpoint into small files.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import shlex
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from diffpy_cbldm.model.weights import save_weights
from diffpy_cbldm.settings import PRESETS
from training.losses import ALONE, STAGES
from training.records import hardware, log
from training.settings import TRAINING, Training
from training.trainer import Trainer
from training.validate import validate
from training.validate_large import validate_large

COLUMNS = (
    *("stage", "step", "seconds", "loss"),
    *("condition", "sites", "type", "shape", "extents"),
    *("laplacian", "kl", "denoiser", "validation"),
    *("prior_type", "prior_shape", "prior_extents", "unread"),
)
"""Of ``loss.csv``."""


def run(
    trainer: Trainer,
    minutes: float,
    every: int = 25,
    save_every: float = 60,
    until: int | None = None,
) -> Iterator[dict[str, float]]:
    """Train until all is done, the time is up or a step is reached.

    Yields the mean figures of each `every` steps, after writing them to
    ``loss.csv``.
    """
    start = saved = time.monotonic()
    rows: list[dict[str, Any]] = []
    while not trainer.done and trainer.step != until:
        # Clocks differ: a process that stopped alone would hang the others.
        if trainer.agree(time.monotonic() - start >= 60 * minutes):
            break
        stage = trainer.stage
        rows.append(trainer.advance())
        over = trainer.stage != stage or trainer.done
        if len(rows) == every or over or trainer.step == until:
            if trainer.rank == 0:
                yield _log(trainer.out / "loss.csv", rows)
            rows = []
        if trainer.stage != stage or time.monotonic() - saved > save_every:
            if trainer.rank == 0:
                trainer.save()
            saved = time.monotonic()
    if trainer.rank == 0:
        trainer.save()


def _log(path: Path, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Append the mean of some rows to the loss curve."""
    mean = dict(rows[-1])
    # The validation is of few steps alone: its mean is over those.
    for key in COLUMNS[3:]:
        values = [r[key] for r in rows if key in r]
        if values:
            mean[key] = sum(values) / len(values)
    log(path, mean, COLUMNS)
    return mean


def make_parser() -> argparse.ArgumentParser:
    """The options of the command."""
    parser = argparse.ArgumentParser(
        "python -m training.train", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--preset", choices=sorted(TRAINING), default="small")
    parser.add_argument("--out", help="folder; runs/PRESET by default")
    parser.add_argument("--minutes", type=float, default=1e9)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--optimizer", choices=("adan", "adamw"))
    parser.add_argument(
        "--init", help="weights to start from (a preset or .safetensors)"
    )
    parser.add_argument(
        "--skip", choices=STAGES, help="stages before this one are not run"
    )
    parser.add_argument(
        "--slice",
        action="append",
        default=[],
        metavar="STAGE=STEPS",
        help="trains a stage until it has so many steps, from where it was "
        "left; repeatable",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="replaces a field of the preset's training.settings.Training",
    )
    parser.add_argument("--half", action="store_true")
    parser.add_argument("--tensorboard", action="store_true")
    return parser


def chosen(
    options: argparse.Namespace,
    parser: argparse.ArgumentParser,
    training: Training | None = None,
) -> Training:
    """The preset's settings, or others, with those that options replace."""
    training = training or TRAINING[options.preset]
    if options.optimizer:
        training = dataclasses.replace(training, optimizer=options.optimizer)
    for item in options.set:
        name, _, value = item.partition("=")
        if not hasattr(training, name):
            parser.error(f"--set {item}: there is no such field")
        # The default tells what kind of value a field has.
        kind = type(getattr(training, name))
        try:
            new = ("False", "True").index(value) if kind is bool else value
            training = dataclasses.replace(training, **{name: kind(new)})
        except ValueError:
            names = {bool: "True or False", int: "a whole number"}
            parser.error(
                f"--set {item}: expected {names.get(kind, 'a number')}"
            )
    return training


def planned(
    options: argparse.Namespace, parser: argparse.ArgumentParser
) -> list[tuple[str, int]]:
    """The slices of the options: stages, and steps to go to."""
    slices = []
    for item in options.slice:
        stage, _, steps = item.partition("=")
        if stage not in STAGES or not steps.isdigit():
            parser.error(
                f"--slice {item}: expected STAGE=STEPS, the stage one of "
                f"{', '.join(STAGES)}"
            )
        slices.append((stage, int(steps)))
    asked = {f"--slice {s}": s.partition("=")[0] for s in options.slice}
    asked |= {
        f"--set {s}": s.partition("_steps=")[0]
        for s in options.set
        if not s.endswith("=0")
    }
    asked[f"--skip {options.skip}"] = options.skip
    network = PRESETS[options.preset].network
    for words, stage in asked.items():
        if stage in ALONE and network != "laplacian":
            parser.error(
                f"{words}: the {stage} learns alone in the network of preset "
                f"paper, not in that of {options.preset}"
            )
    return slices


def main(words: list[str] | None = None) -> int:
    """The command line; see the module's text."""
    words = sys.argv[1:] if words is None else words
    parser = make_parser()
    options = parser.parse_args(words)
    if options.threads:
        torch.set_num_threads(options.threads)
    out = Path(options.out or f"runs/{options.preset}")
    training = chosen(options, parser)
    slices = planned(options, parser)
    found = (out / "checkpoint.pt").exists()
    if found and not options.resume:
        parser.error(f"{out} holds a run: add --resume or take another --out")
    device = _join_processes(options.device)
    trainer = Trainer(options.preset, out, options.seed, device, training)
    trainer.half |= options.half
    if found:
        trainer.load()
        if options.set:
            replaced = chosen(options, parser, trainer.training)
            for item in options.set if not trainer.done else ():
                name = item.partition("=")[0]
                at = STAGES[trainer.stage], trainer.step
                if getattr(replaced, name) != getattr(trainer.training, name):
                    trainer.changes.append((*at, item))
            trainer.training = replaced
            trainer.stream = trainer.stream_of("train")
    else:
        trainer.start(options.init, options.skip)
    # A kill that can be caught loses nothing, like Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        # None stands for all stages, one after another.
        start = time.monotonic()
        for stage, steps in slices or [(None, None)]:
            left = options.minutes - (time.monotonic() - start) / 60
            if stage is not None and steps is not None:
                if left <= 0 or trainer.steps_of(stage) >= steps:
                    continue
                trainer.go_to(stage)
            follow(trainer, left, options.tensorboard, steps)
    except KeyboardInterrupt:
        if trainer.rank == 0:
            trainer.save()
        print(f"stopped; go on with --resume --out {out}")
        return 130
    # The weights are the same in all processes: one writes them.
    if trainer.rank == 0:
        finish(trainer, "python -m training.train " + shlex.join(words))
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
    return 0


def follow(
    trainer: Trainer,
    minutes: float,
    tensorboard: bool,
    until: int | None = None,
) -> None:
    """Train, and print the figures on the way."""
    board = _board(trainer.out) if tensorboard else None
    for row in run(trainer, minutes, until=until):
        if board is not None:
            _plot(board, row)
        print(
            "  ".join(
                f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}"
                for k, v in row.items()
            ),
            flush=True,
        )


def _join_processes(device: str) -> str:
    """Join the other processes of torchrun, each on a GPU of its own."""
    if int(os.environ.get("WORLD_SIZE", 1)) < 2:
        return device
    cuda = device.startswith("cuda")
    # Nobody writes a checkpoint before all have looked for one.
    torch.distributed.init_process_group("nccl" if cuda else "gloo")
    torch.distributed.barrier()
    return f"cuda:{os.environ['LOCAL_RANK']}" if cuda else device


def _board(out: Path) -> Any:
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(out / "events"))


def _plot(board: Any, row: dict[str, Any]) -> None:
    """Write the figures of some steps for TensorBoard."""
    done = int(row["step"])
    for name, value in row.items():
        if isinstance(value, float) and name != "seconds":
            board.add_scalar(f"{row['stage']}/{name}", value, done)
    board.flush()


def replaced(trainer: Trainer) -> list[str]:
    """What a run replaced in the preset from its start on, as for --set."""
    known = dataclasses.asdict(TRAINING[trainer.preset])
    return [
        f"{name}={value}"
        for name, value in trainer.started.items()
        if value != known[name]
    ]


def finish(trainer: Trainer, command: str) -> None:
    """Validate the averaged weights and write them with their record."""
    model = trainer.averaged_model()
    network = model.settings.network
    if network == "outline":
        figures = validate_large(model, seed=trainer.seed)
    else:
        # Laplacians take long to recover.
        count, draws = (64, 8) if network == "sites" else (7, 2)
        figures = validate(model, count, draws, trainer.seed)
    stage = "done" if trainer.done else STAGES[trainer.stage]
    now = stage, trainer.step
    record = {
        "preset": trainer.preset,
        "seed": trainer.seed,
        "command": command,
        "hardware": hardware(trainer.device),
        "torch": torch.__version__,
        "seconds": round(trainer.seconds, 1),
        "steps": {s: n for s in STAGES if (n := trainer.steps_of(s))},
        # All that was trained, in its order: slices that repeat it.
        "slices": [
            f"{stage}={steps}"
            for stage, steps in (*trainer.rounds, now)
            if trainer.endless
        ],
        "changes": [
            f"{stage}={steps}: {item}"
            for stage, steps, item in trainer.changes
        ],
        "set": replaced(trainer),
        "runs_before": trainer.runs,
        "seconds_before": trainer.before,
        "steps_before": trainer.earlier,
        "parameters": sum(p.numel() for p in model.parameters()),
        "stage": stage,
        "training": dataclasses.asdict(trainer.training),
        "world": dataclasses.asdict(trainer.world),
        "validation": figures,
    }
    path = trainer.out / f"{trainer.preset}.safetensors"
    save_weights(model, path, record)
    print(json.dumps(figures, indent=1))
    print(f"weights: {path}")


if __name__ == "__main__":
    raise SystemExit(main())
