"""The training of a CbLDM: stages in order, resumable at any moment.

What a step draws follows from the seed, the stage and the step alone, so that
a run which goes on after a stop follows the same loss curve.
`training.train` is the command.
"""

from __future__ import annotations

import dataclasses
import math
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from diffpy_cbldm.files import appearing
from diffpy_cbldm.model.cbldm import CbLDM
from diffpy_cbldm.model.layers import gaussian_sample
from diffpy_cbldm.model.weights import read_weights
from diffpy_cbldm.settings import PRESETS
from training.checkpoints import restore, state_of
from training.decoding import Drawn, reading_of
from training.large import LargeStream
from training.losses import STAGES, laplacians, stage_losses
from training.once import Once
from training.principal import start_from_components
from training.reading import Coded
from training.records import has_bfloat16, runs_of, training_parts
from training.settings import TRAINING, WORLDS, Training, World
from training.stream import Batch, Stream

HELD = 512
"""Large particles that validation draws from."""

DRAWS = {
    "condition": 0,
    "structure": 1,
    "denoiser": 2,
    "prior": 3,
    "decoder": 4,
}
"""What the draws of a stage follow from, beside seed and step."""


class NonFiniteLoss(RuntimeError):
    """The loss is NaN or infinite; training stops here."""


class Trainer:
    """State of a training run.

    Parameters
    ----------
    preset : str
        Key of `PRESETS` and `TRAINING`.
    out : path
        Folder of checkpoint, loss curve and weights.
    seed : int
        Seeds weights, data and noise.
    device : str
        Where to train.
    training : Training, optional
        Replaces the preset's own.
    """

    def __init__(
        self,
        preset: str,
        out: str | os.PathLike[str],
        seed: int = 0,
        device: str = "cpu",
        training: Training | None = None,
    ):
        self.preset, self.seed = preset, seed
        self.out = Path(out)
        self.out.mkdir(parents=True, exist_ok=True)
        self.device = torch.device(device)
        self.training = training or TRAINING[preset]
        self.world = WORLDS.get(preset, World())
        torch.manual_seed(seed)
        self.model = CbLDM(PRESETS[preset]).to(self.device)
        self.stream = self.stream_of("train")
        self.held: Stream | LargeStream | None = None
        self.once = Once()
        self.rank = int(os.environ.get("RANK", 0))
        self.noise = torch.Generator(self.device)
        self.half = self.training.half and has_bfloat16(self.device)
        self.stage, self.step, self.seconds = 0, 0, 0.0
        self.averaged = self._copy()
        self.best: dict[str, Tensor] | None = None
        self.best_loss = math.inf
        self.optimizer = self.make_optimizer()
        # Of stages that were left: where, and the state of the optimiser.
        self.left: dict[int, tuple[int, dict]] = {}
        self.rounds: list[tuple[str, int]] = []
        self.started = dataclasses.asdict(self.training)
        # Where settings were replaced on the way: stage, steps, which.
        self.changes: list[tuple[str, int, str]] = []
        self.endless = False
        # Of earlier runs, whose weights this one started from.
        self.before = 0.0
        self.earlier: dict[str, int] = {}
        self.runs: list[dict[str, Any]] = []

    def stream_of(self, split: str) -> Stream | LargeStream:
        """What batches are drawn from."""
        settings = self.model.settings
        if settings.network == "outline":
            pool = self.training.pool if split == "train" else HELD
            return LargeStream(settings, self.world, split, self.device, pool)
        return Stream(settings, self.world, split, device=self.device)

    def _seeded(self, step: int) -> np.random.Generator:
        """The source of all that a step draws; sets the noise as well.

        Steps below 0 are for what all processes must find alike.
        """
        rank = self.rank if step >= 0 else 0
        # SeedSequence takes no negative numbers, hence + 2.
        draws = DRAWS[STAGES[self.stage]]
        state = np.random.SeedSequence([self.seed, draws, step + 2, rank])
        first, second = state.generate_state(2, np.uint64)
        self.noise.manual_seed(int(second >> np.uint64(1)))
        return np.random.default_rng(int(first))

    def _parameters(self) -> list[torch.nn.Parameter]:
        """What the present stage trains."""
        model, stage = self.model, STAGES[self.stage]
        if stage == "decoder":
            return list(reading_of(model).parameters())
        vae: list[torch.nn.Module] = [model.structure]
        if self.training.joint:
            vae.insert(0, model.condition)
        prior, denoiser = [model.structure.prior], [model.denoiser]
        parts = [[model.condition], vae, prior, denoiser][self.stage]
        return [p for part in parts for p in part.parameters()]

    def make_optimizer(self) -> torch.optim.Optimizer:
        """Adan for the VAEs and AdamW for the denoiser, as in the paper."""
        t = self.training
        if t.optimizer == "adan" and STAGES[self.stage] != "denoiser":
            # Numba compiles it, which only these presets wait for.
            from training.adan import adan

            return adan(
                self._parameters(),
                lr=t.rate,
                betas=(0.02, 0.08, 0.01),
                weight_decay=0.01,
            )
        return torch.optim.AdamW(
            self._parameters(), lr=t.rate, weight_decay=0.01, fused=True
        )

    def _copy(self) -> dict[str, Tensor]:
        state = self.model.state_dict()
        return {k: v.detach().clone() for k, v in state.items()}

    @property
    def stage_steps(self) -> int:
        """How many steps the present stage has."""
        return getattr(self.training, f"{STAGES[self.stage]}_steps")

    @property
    def done(self) -> bool:
        """Whether all stages are trained."""
        return self.stage == len(STAGES)

    def aged(self) -> float:
        """Steps of the present stage over `level`, earlier runs' included."""
        done = self.step + self.earlier.get(STAGES[self.stage], 0)
        return max(1.0, done / self.training.level)

    def batch_size(self) -> int:
        """Structures a step of the present stage."""
        few = self.training.condition_batch if self.stage == 0 else 0
        return few or self.training.batch

    def rate(self) -> float:
        """Learning rate: linear rise, then as `Training.schedule` says."""
        t = self.training
        own = {"structure": t.structure_rate, "prior": t.prior_rate}
        rate = own.get(STAGES[self.stage], 0.0) or t.rate
        rate *= min(1.0, (self.step + 1) / max(1, t.warmup))
        if t.schedule == "constant":
            return rate
        if t.schedule == "root":
            return rate / math.sqrt(self.aged())
        fall = 0.5 * (1 + math.cos(math.pi * self.step / self.stage_steps))
        return rate * (0.01 + 0.99 * fall)

    def losses(
        self, batch: Batch | Coded | Drawn
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of the present stage and its parts."""
        training = self.training
        if training.schedule == "root" and self.stage == 1:
            # The width that gamma stands for shrinks with the error.
            grown = training.gamma * self.aged() ** 2
            training = dataclasses.replace(training, gamma=grown)
        return stage_losses(
            STAGES[self.stage], self.model, batch, training, self.noise
        )

    def advance(self) -> dict[str, float]:
        """One step; returns its figures."""
        start = self._clock()
        if self.step == 0:
            self._begin()
        self.model.train()
        rng = self._seeded(self.step)
        batch: Batch | Coded | Drawn | None = self.once.batch(self, rng)
        if batch is None:
            batch = self.stream.batch(self.batch_size(), rng)
        with torch.autocast(
            self.device.type, torch.bfloat16, enabled=self.half
        ):
            loss, parts = self.losses(batch)
        # A step on it would spoil all weights for good.
        if not torch.isfinite(loss):
            raise NonFiniteLoss(
                f"the loss of stage {STAGES[self.stage]}, step {self.step}, "
                f"batch {self.step} of seed {self.seed}, is {loss.item()}: "
                "resume with a lower rate."
            )
        self._descend(loss)
        self.seconds += self._clock() - start
        row = {
            "stage": STAGES[self.stage],
            "step": self.step,
            "seconds": round(self.seconds, 2),
            "loss": float(loss.detach()),
        }
        row.update({k: float(v.detach()) for k, v in parts.items()})
        self.step += 1
        last = self.step >= self.stage_steps and not self.endless
        if last or self.step % self.training.validate_every == 0:
            row["validation"] = self.validate()
        if last:
            self._next_stage()
        return row

    def _begin(self) -> None:
        """What comes before the first step of a stage."""
        settings = self.model.settings
        fresh = self.stage == 1 and not self.before
        if fresh and settings.network == "laplacian" and settings.patch:
            start_from_components(
                self.model.eval(), self.stream, self.training.gamma
            )
            self.averaged = self._copy()

    def _clock(self) -> float:
        """Seconds: of the processor, or of the wall beside a GPU."""
        if self.device.type == "cpu":
            return time.process_time()
        return time.perf_counter()

    def _descend(self, loss: Tensor) -> None:
        """A step of the optimiser along the mean gradient of all processes."""
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        # Clipped after the mean, so that all processes take the same step.
        self._share_gradients()
        torch.nn.utils.clip_grad_norm_(self._parameters(), self.training.clip)
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate()
        self.optimizer.step()
        self._average()

    def agree(self, stop: bool) -> bool:
        """What the first process decides, in all of them."""
        if not torch.distributed.is_initialized():
            return stop
        flag = torch.tensor(int(stop), device=self.device)
        torch.distributed.broadcast(flag, 0)
        return bool(flag)

    def _share_gradients(self) -> None:
        """Average the gradients over the processes of torchrun."""
        if not torch.distributed.is_initialized():
            return
        count = torch.distributed.get_world_size()
        for parameter in self._parameters():
            if parameter.grad is not None:
                torch.distributed.all_reduce(parameter.grad)
                parameter.grad /= count

    @torch.no_grad()
    def validate(self) -> float:
        """Loss of the averaged weights on structures that are not trained on.

        Half of them are held-out geometries and half random cuts; the same
        ones at every call.  The decoder alone is judged by latents of known
        clusters that are drawn anew.  The best weights of a stage are kept.
        """
        # One copy of the model serves both: it gets its weights back below.
        trained = self.model.state_dict()
        kept = {k: v.clone() for k, v in trained.items()}
        self.model.load_state_dict(self.averaged)
        self.model.eval()
        total = 0.0
        held = self.held = self.held or self.stream_of("heldout")
        size = self.batch_size()
        for number, stream in enumerate((held, self.stream)):
            rng = self._seeded(-1)
            rng = np.random.default_rng([int(rng.integers(1 << 62)), number])
            own = STAGES[self.stage] == "decoder"
            given = self.once.batch(self, rng) if own else None
            loss, _ = self.losses(given or stream.batch(size, rng))
            total += float(loss) / 2
        if total < self.best_loss:
            self.best_loss = total
            self.best = {k: v.clone() for k, v in self.averaged.items()}
        self.model.load_state_dict(kept)
        return total

    @torch.no_grad()
    def _average(self) -> None:
        # The first weights are random: at first they are soon forgotten.
        decay = min(self.training.ema, (1 + self.step) / (10 + self.step))
        for name, value in self.model.state_dict().items():
            if value.is_floating_point():
                self.averaged[name].lerp_(value, 1 - decay)

    @torch.no_grad()
    def _next_stage(self) -> None:
        """Take the best averaged weights over and start the next stage."""
        if self.best is not None:
            self.averaged = self.best
        self.best, self.best_loss = None, math.inf
        self.model.load_state_dict(self.averaged)
        # The diffusion ends in unit variance: it needs latents of that size.
        if self.stage == 1:
            self.model.latent_scale.fill_(self._latent_scale())
            self.averaged = self._copy()
        # The encoders may have learned since they were made.
        if STAGES[self.stage] in ("condition", "structure"):
            self.once.forget()
        self.stage, self.step = self.stage + 1, 0
        while not self.done and self.stage_steps == 0:
            self.stage += 1
        if not self.done:
            self.optimizer = self.make_optimizer()

    def steps_of(self, stage: str) -> int:
        """How many steps a stage has behind it."""
        number = STAGES.index(stage)
        if number == self.stage:
            return self.step
        return self.left.get(number, (0, None))[0]

    def go_to(self, stage: str) -> None:
        """Take a stage up where it was left, with no end to its steps.

        The stage that is left hands its averaged weights over, and may be
        taken up again: the state of its optimiser is kept.
        """
        self.endless = True
        number = STAGES.index(stage)
        if number == self.stage:
            return
        self.left[self.stage] = self.step, self.optimizer.state_dict()
        if self.step:
            self.rounds.append((STAGES[self.stage], self.step))
        # At a constant rate the last average is the best.
        self.best = None
        self._next_stage()
        self.stage = number
        self.step, state = self.left.pop(number, (0, None))
        self.optimizer = self.make_optimizer()
        if state is not None:
            self.optimizer.load_state_dict(state)

    def _latent_scale(self) -> float:
        batch = self.stream.batch(64, self._seeded(-2))
        model = self.model
        c_0 = model.c_0(batch.g)
        x = laplacians(model.settings, batch)
        coded = model.structure.encoder(x, c_0, batch.target["shape"])
        return float(gaussian_sample(*coded, self.noise).std())

    def start(self, init: str | None, skip: str | None) -> None:
        """Take weights over, and go to a stage at once.

        Parameters
        ----------
        init : str, optional
            A preset or path, see `read_weights`.  What has another name or
            shape there starts afresh, and is printed.
        skip : str, optional
            The first stage that is run, one of `STAGES`.
        """
        if init is not None:
            self._take(init)
        if skip is not None:
            self.stage = STAGES.index(skip)
        self.optimizer = self.make_optimizer()

    def _take(self, name: str) -> None:
        """Take over the weights that fit."""
        given, record = read_weights(name)
        self.runs = runs_of(record)
        self.before = record["seconds"] + record.get("seconds_before", 0.0)
        done = record.get("steps", {}), record.get("steps_before", {})
        self.earlier = {s: sum(d.get(s, 0) for d in done) for s in STAGES}
        given |= training_parts(name)
        state = self.model.state_dict()
        fit = {
            k: v
            for k, v in given.items()
            if k in state and state[k].shape == v.shape
        }
        self.model.load_state_dict(fit, strict=False)
        self.averaged = self._copy()
        for key in sorted(set(state) - set(fit)):
            print(f"starts afresh: {key}")

    def save(self) -> None:
        """Write the checkpoint, by rename."""
        with appearing(self.out / "checkpoint.pt") as unfinished:
            torch.save(state_of(self), unfinished)

    def load(self) -> None:
        """Go on from the checkpoint of `out`."""
        restore(self, self.out / "checkpoint.pt")

    def averaged_model(self) -> CbLDM:
        """The model with its averaged weights."""
        model = CbLDM(self.model.settings).to(self.device)
        model.load_state_dict(self.averaged)
        return model.eval()
