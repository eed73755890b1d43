"""The state of a training run, from which it goes on along the same curve."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import torch

from training.losses import STAGES
from training.settings import Training

AS_THEY_ARE = (
    *("step", "seconds", "seed", "preset", "averaged", "best", "best_loss"),
    *("rounds", "endless", "before", "earlier", "changes", "runs"),
    "started",
)
"""Attributes of a trainer that a checkpoint holds under their names."""

OLDER = ("condition", "structure", "denoiser", "done")
"""Stages that earlier checkpoints told by their numbers."""


def state_of(trainer: Any) -> dict[str, Any]:
    """What a checkpoint of a `training.trainer.Trainer` holds."""
    return {
        **{name: getattr(trainer, name) for name in AS_THEY_ARE},
        "stage": (*STAGES, "done")[trainer.stage],
        "training": dataclasses.asdict(trainer.training),
        "model": trainer.model.state_dict(),
        "optimizer": trainer.optimizer.state_dict(),
        "left": {STAGES[k]: left for k, left in trainer.left.items()},
    }


def restore(trainer: Any, path: Path) -> None:
    """Let a trainer go on from a checkpoint.

    Raises
    ------
    SystemExit
        If the checkpoint is of another preset or seed.
    """
    state = torch.load(path, map_location=trainer.device, weights_only=True)
    for name in ("preset", "seed"):
        if state[name] != getattr(trainer, name):
            raise SystemExit(
                f"{path} was made with {name} {state[name]}, not "
                f"{getattr(trainer, name)}: give the same or another --out."
            )
    for name in AS_THEY_ARE:
        if name in state:
            setattr(trainer, name, state[name])
    trainer.training = Training(**state["training"])
    trainer.stage = _number(state["stage"])
    trainer.left = {_number(k): v for k, v in state.get("left", {}).items()}
    trainer.model.load_state_dict(state["model"])
    if not trainer.done:
        trainer.optimizer = trainer.make_optimizer()
        trainer.optimizer.load_state_dict(state["optimizer"])


def _number(stage: str | int) -> int:
    name = OLDER[stage] if isinstance(stage, int) else stage
    return (*STAGES, "done").index(name)
