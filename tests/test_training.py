"""Training runs, stops, resumes to the same curve, and refuses nonsense."""

import csv
import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest
import torch

from diffpy_cbldm.crystals.cuts import kept_back
from diffpy_cbldm.crystals.filling import Proposal
from diffpy_cbldm.crystals.table import TEMPLATE_OF
from diffpy_cbldm.model.weights import load_weights
from diffpy_cbldm.settings import CRYSTAL_TYPES, PRESETS
from training import pieces, records
from training.datasets import paper_dataset, tuning_set
from training.evaluation.evaluate import excess
from training.losses import STAGES, laplacians
from training.settings import TRAINING, World
from training.stream import Stream
from training.train import main, run
from training.trainer import NonFiniteLoss, Trainer
from training.validate import shared_sites

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


def sliced(trainer, *slices):
    for stage, steps in slices:
        trainer.go_to(stage)
        list(run(trainer, 10, every=1, until=steps))


def test_stages_in_slices_follow_the_same_curve(tmp_path):
    """Stopped within a slice and taken up again, or not stopped at all."""
    training = dataclasses.replace(BRIEF, schedule="constant")
    whole = Trainer("tiny", tmp_path / "a", seed=3, training=training)
    plan = [("condition", 2), ("structure", 3), ("denoiser", 4)]
    sliced(whole, *plan, ("structure", 5), ("denoiser", 5))
    assert not whole.done and whole.steps_of("structure") == 5
    # Beyond `structure_steps`, which bind no slice.
    assert [row[:2] for row in losses(whole)[-3:]] == [
        *(("structure", "3"), ("structure", "4"), ("denoiser", "4"))
    ]

    first = Trainer("tiny", tmp_path / "b", seed=3, training=training)
    sliced(first, *plan, ("structure", 4))
    again = Trainer("tiny", tmp_path / "b", seed=3)
    again.load()
    sliced(again, ("structure", 5), ("denoiser", 5))
    assert losses(again) == losses(whole)
    for name, value in whole.averaged.items():
        assert torch.equal(value, again.averaged[name]), name


def test_checkpoints_that_number_their_stages_are_read(tmp_path):
    """Earlier ones had three stages, and told them by their places."""
    trainer = Trainer("tiny", tmp_path, seed=3, training=BRIEF)
    sliced(trainer, ("condition", 2), ("structure", 1), ("denoiser", 2))
    trainer.save()
    path = tmp_path / "checkpoint.pt"
    state = torch.load(path, weights_only=True)
    assert (state["stage"], list(state["left"])) == (
        *("denoiser", ["condition", "structure"]),
    )
    numbers = {"condition": 0, "structure": 1, "denoiser": 2}
    state["stage"] = numbers[state["stage"]]
    state["left"] = {numbers[k]: v for k, v in state["left"].items()}
    torch.save(state, path)
    again = Trainer("tiny", tmp_path, seed=3)
    again.load()
    assert (again.stage, again.left.keys()) == (
        *(trainer.stage, trainer.left.keys()),
    )
    sliced(trainer, ("denoiser", 3))
    sliced(again, ("denoiser", 3))
    for name, value in trainer.averaged.items():
        assert torch.equal(value, again.averaged[name]), name


def test_settings_that_change_on_the_way_are_recorded(tmp_path):
    """A rate that is lowered later is part of how weights were made."""
    words = ["--preset", "tiny", "--out", str(tmp_path), "--resume"]
    few = ["--set", "batch=2"]
    assert main([*words, *few, "--slice", "condition=2"]) == 0
    lower = ["--set", "batch=2", "--set", "rate=0.0001"]
    assert main([*words, *lower, "--slice", "condition=4"]) == 0
    assert main([*words, *lower, "--slice", "condition=5"]) == 0
    record = json.loads((tmp_path / "tiny.json").read_text())
    assert record["changes"] == ["condition=2: rate=0.0001"]
    # It started with the preset's rate.
    assert record["set"] == ["batch=2"]
    assert record["training"]["rate"] == 1e-4


def test_a_slice_that_is_done_is_not_trained_again(tmp_path):
    words = ["--preset", "tiny", "--out", str(tmp_path), "--resume"]
    words += ["--set", "batch=2", "--slice", "condition=2"]
    assert main([*words, "--slice", "structure=1"]) == 0
    assert main([*words, "--slice", "structure=1"]) == 0
    record = json.loads((tmp_path / "tiny.json").read_text())
    assert record["steps"] == {"condition": 2, "structure": 1}
    assert record["slices"] == ["condition=2", "structure=1"]
    with pytest.raises(SystemExit):
        main([*words, "--slice", "structure=1.5"])


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--slice", "prior=2"], "--slice prior=2: the prior learns alone"),
        (["--skip", "decoder"], "--skip decoder: the decoder learns alone"),
        (
            ["--set", "decoder_steps=9"],
            "--set decoder_steps=9: the decoder learns alone",
        ),
        (["--slice", "rest=2"], "--slice rest=2: expected STAGE=STEPS"),
        (["--set", "batch=few"], "--set batch=few: expected a whole number"),
        (["--set", "rate=low"], "--set rate=low: expected a number"),
        (["--set", "half=yes"], "--set half=yes: expected True or False"),
        (["--set", "speed=1"], "--set speed=1: there is no such field"),
    ],
)
def test_words_that_training_cannot_read_are_named(
    tmp_path, capsys, words, expected
):
    with pytest.raises(SystemExit) as refused:
        main(["--preset", "tiny", "--out", str(tmp_path / "a"), *words])
    assert refused.value.code == 2
    assert expected in capsys.readouterr().err
    assert not (tmp_path / "a").exists()


def test_a_constant_rate_has_no_end(tmp_path):
    training = dataclasses.replace(BRIEF, schedule="constant", warmup=4)
    trainer = Trainer("tiny", tmp_path, training=training)
    rates = []
    for trainer.step in (0, 1, 3, 10, 10**6):
        rates.append(trainer.rate() / training.rate)
    assert rates == [0.25, 0.5, 1, 1, 1]


def test_a_rate_falls_as_the_root_of_the_steps(tmp_path):
    training = dataclasses.replace(
        BRIEF, schedule="root", warmup=4, level=100, condition_batch=2
    )
    trainer = Trainer("tiny", tmp_path, training=training)
    rates = []
    for trainer.step in (0, 10, 100, 400, 10_000):
        rates.append(trainer.rate() / training.rate)
    assert rates == [0.25, 1, 1, 0.5, 0.1]
    # Weights that were trained before are as old as they are.
    trainer.step, trainer.earlier = 100, {"condition": 1500}
    assert trainer.rate() == 0.25 * training.rate
    # Algorithm 1 alone takes few PDFs.
    assert trainer.batch_size() == 2
    trainer.go_to("structure")
    assert trainer.batch_size() == 4


def test_the_papers_network_sees_the_papers_conditions(tmp_path):
    """Table 1, and ideal clusters that are not held out."""
    trainer = Trainer("paper", tmp_path, training=BRIEF)
    batch = trainer.stream.batch(8, np.random.default_rng(0))
    assert torch.equal(batch.g, batch.clean)
    assert float(batch.target["shape"].abs().max()) == 0
    x = laplacians(trainer.model.settings, batch)
    assert x.shape == (8, 4, 128, 128)


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
    package = pytest.importorskip("adan_pytorch")
    training = dataclasses.replace(BRIEF, optimizer="adan")
    trainer = Trainer("tiny", tmp_path, training=training)
    assert isinstance(trainer.optimizer, package.Adan)
    list(run(trainer, 10))
    assert trainer.done and type(trainer.optimizer).__name__ == "AdamW"


def test_pieces_of_a_checkpoint_join_again(tmp_path):
    Trainer("tiny", tmp_path, training=BRIEF).save()
    path = tmp_path / "checkpoint.pt"
    content = path.read_bytes()
    parts = pieces.split(path, 0.5)
    assert len(parts) == -(-len(content) // 2**19) > 1
    assert max(p.stat().st_size for p in parts) <= 2**19
    path.unlink()
    assert pieces.join(path).read_bytes() == content
    parts[0].write_bytes(b"x" + parts[0].read_bytes()[1:])
    with pytest.raises(SystemExit, match="SHA-256"):
        pieces.join(path)
    parts[1].unlink()
    with pytest.raises(SystemExit, match="lacks checkpoint.pt.01"):
        pieces.join(path)


def test_best_weights_of_a_stage_are_taken_over(tmp_path):
    trainer = Trainer("tiny", tmp_path, training=BRIEF)
    list(run(trainer, 10, every=1))
    rows = list(csv.DictReader((tmp_path / "loss.csv").open()))
    assert [r["stage"] for r in rows if r["validation"]] == [
        *("condition", "structure", "denoiser")
    ]


def test_validation_is_the_same_at_every_call(tmp_path):
    trainer = Trainer("tiny", tmp_path, training=BRIEF)
    assert trainer.validate() == trainer.validate()
    before = {k: v.clone() for k, v in trainer.model.state_dict().items()}
    list(run(trainer, 10, every=1))
    assert not trainer.best and trainer.done
    assert any(
        not torch.equal(v, before[k])
        for k, v in trainer.model.state_dict().items()
    )


def test_two_processes_share_their_gradients(tmp_path):
    """torchrun with two CPU processes trains and leaves one set of files."""
    words = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    words += ["--nproc_per_node", "2", "-m", "training.train"]
    words += ["--preset", "tiny", "--minutes", "0.01", "--out", str(tmp_path)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    assert (tmp_path / "tiny.safetensors").exists()
    assert done.stdout.count("weights:") == 1


def test_data_sets_are_the_papers_and_repeatable():
    data = paper_dataset()
    assert len(data.geometry) == 13_210
    assert data.validation.sum() == round(0.05 * 13_210)
    assert data.digest == paper_dataset().digest
    # A geometry is on one side of the split of geometries alone.
    for index in np.unique(data.geometry[data.held_out]):
        assert data.held_out[data.geometry == index].all()
    kinds = [kind for kind, _, _ in tuning_set()]
    assert (kinds.count("bcc"), kinds.count("sc")) == (36, 19)


def test_weights_are_trained_on(tmp_path, capsys):
    """--init and --skip start a later stage from given weights."""
    first, second = tmp_path / "a", tmp_path / "b"
    words = ["--preset", "tiny", "--minutes", "2", "--out"]
    assert main([*words, str(first)]) == 0
    given = str(first / "tiny.safetensors")
    more = ["--init", given, "--skip", "denoiser", "--set", "batch=4"]
    assert main([*words, str(second), *more]) == 0
    record = json.loads((second / "tiny.json").read_text())
    assert record["training"]["batch"] == 4 and record["stage"] == "done"
    earlier = json.loads((first / "tiny.json").read_text())
    (kept,) = record["runs_before"]
    assert kept == {name: earlier[name] for name in records.RUN}
    assert (earlier["set"], record["set"]) == ([], ["batch=4"])
    steps = earlier["steps"]
    assert record["steps_before"] == {
        stage: steps.get(stage, 0) for stage in STAGES
    }
    before = load_weights(given).state_dict()
    after = load_weights(str(second / "tiny.safetensors")).state_dict()
    same = {k for k, v in before.items() if torch.equal(v, after[k])}
    assert all(k in same for k in before if k.startswith("structure."))
    assert not all(k in same for k in before if k.startswith("denoiser."))
    capsys.readouterr()


def test_cuts_for_tests_are_never_trained_on():
    """The two streams share no cut, and tests hold nothing of the table."""
    world = World(cuts=1.0)
    streams = {s: Stream(PRESETS["tiny"], world, s) for s in ("train", "test")}
    table = streams["test"].table
    known = {
        (TEMPLATE_OF[g.structure_type], g.members.tobytes())
        for g in table.geometries
    }
    for split, stream in streams.items():
        rng = np.random.default_rng(0)
        for _ in range(100):
            kind, members, _ = stream.structure(rng)
            template = TEMPLATE_OF[CRYSTAL_TYPES[kind]]
            assert kept_back(template, members) == (split == "test")
            if split == "test":
                assert (template, members.tobytes()) not in known


def test_shared_sites():
    """Half of the sites are common to two; bcc and fcc have none."""

    def proposal(kind, sites):
        sites = np.array(sites)
        return Proposal(kind, np.zeros((len(sites), 3)), sites)

    a, b = proposal("fcc", [1, 2, 3, 4]), proposal("oct", [3, 4, 5, 6])
    c = proposal("bcc", [1, 2, 3, 4])
    assert shared_sites([a, b]) == 0.5
    assert shared_sites([a, a, c]) == pytest.approx(1 / 3)


def test_excess_is_the_rw_at_which_the_sizes_bracket_the_truth():
    rw = np.array([0.1, 0.2, 0.15])
    assert excess(rw, [5, 8, 6], 7) == pytest.approx(0.1)
    assert excess(rw, [7, 8, 6], 7) == 0.0
    assert excess(rw, [5, 8, 6], 9) is None


def test_figures_of_other_settings_are_not_gone_on_with(tmp_path):
    path = tmp_path / "figures.json"
    state = records.kept(path, "cbldm-test/1", {"count": 4})
    assert (state["rows"], state["commits"]) == ([], [])
    state["rows"].append({"rw": 0.1})
    records.keep(path, state)
    assert [p.name for p in tmp_path.iterdir()] == ["figures.json"]
    again = records.kept(path, "cbldm-test/1", {"count": 4})
    assert again == state
    other = records.kept(path, "cbldm-test/1", {"count": 5})
    assert other["rows"] == [] and other["settings"] == {"count": 5}


def test_a_learning_curve_keeps_whole_seconds(tmp_path):
    path = tmp_path / "loss.csv"
    columns = ("step", "seconds", "loss", "validation")
    row = {"step": 1, "seconds": 123456.7, "loss": 0.123456789}
    for _ in range(2):
        records.log(path, row, columns)
    first = "step,seconds,loss,validation"
    assert path.read_text().split() == [first, *2 * ["1,123456.7,0.12346,"]]
