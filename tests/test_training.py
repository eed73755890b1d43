"""Training runs, stops, resumes to the same curve, and refuses nonsense."""

import csv
import dataclasses

import pytest
import torch

from diffpy_cbldm.settings import TRAINING
from training.train import NonFiniteLoss, Trainer, main, run

BRIEF = dataclasses.replace(
    TRAINING["tiny"],
    batch=4,
    condition_steps=2,
    structure_steps=3,
    denoiser_steps=3,
)


def losses(trainer):
    with (trainer.out / "loss.csv").open() as stream:
        return [
            (row["stage"], row["step"], row["loss"])
            for row in csv.DictReader(stream)
        ]


def test_resumed_run_follows_the_same_curve(tmp_path):
    whole = Trainer("tiny", tmp_path / "a", seed=3, training=BRIEF)
    list(run(whole, 10, every=1))
    assert whole.done and len(losses(whole)) == 8

    first = Trainer("tiny", tmp_path / "b", seed=3, training=BRIEF)
    steps = run(first, 10, every=1)
    for _ in range(4):
        next(steps)
    first.save()
    again = Trainer("tiny", tmp_path / "b", seed=3)
    again.load()
    assert again.training == BRIEF and (again.stage, again.step) == (1, 2)
    list(run(again, 10, every=1))
    assert losses(again) == losses(whole)
    for name, value in whole.averaged.items():
        assert torch.equal(value, again.averaged[name]), name


def test_command_leaves_weights_with_their_record(tmp_path, capsys):
    words = ["--preset", "tiny", "--out", str(tmp_path), "--minutes", "0.02"]
    assert main(words) == 0
    assert (tmp_path / "tiny.safetensors").exists()
    assert (tmp_path / "tiny.json").exists()
    assert "weights:" in capsys.readouterr().out
    with pytest.raises(SystemExit):  # a run is there: --resume is needed
        main(words)
    assert main([*words, "--resume"]) == 0


def test_time_budget_stops_at_once_and_keeps_the_state(tmp_path):
    trainer = Trainer("tiny", tmp_path, training=BRIEF)
    list(run(trainer, 0.0))
    assert trainer.step == 0 and (tmp_path / "checkpoint.pt").exists()


def test_another_seed_is_not_resumed(tmp_path):
    Trainer("tiny", tmp_path, seed=1, training=BRIEF).save()
    with pytest.raises(SystemExit, match="seed"):
        Trainer("tiny", tmp_path, seed=2, training=BRIEF).load()


def test_non_finite_loss_stops_and_names_the_batch(tmp_path):
    trainer = Trainer("tiny", tmp_path, training=BRIEF)
    with torch.no_grad():
        next(trainer.model.condition.parameters()).fill_(float("nan"))
    with pytest.raises(NonFiniteLoss, match="step 0.*batch 0 of seed 0"):
        trainer.advance()


def test_adan_is_there_for_the_variational_stages(tmp_path):
    pytest.importorskip("adan_pytorch")
    training = dataclasses.replace(BRIEF, optimizer="adan")
    trainer = Trainer("tiny", tmp_path, training=training)
    assert type(trainer.optimizer).__name__ == "Adan"
    list(run(trainer, 10))
    assert trainer.done and type(trainer.optimizer).__name__ == "AdamW"
