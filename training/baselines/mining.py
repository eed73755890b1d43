"""A classifier of known clusters, of the kind of MLstructureMining.

Boosted trees (the package xgboost) tell from the PDF which cluster of a
database it belongs to; the likeliest ones are then fitted.  The classes are
the geometries of the table that are not held out.
"""

from __future__ import annotations

import dataclasses
import json
import lzma
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from diffpy_cbldm.crystals.table import load_table
from diffpy_cbldm.debye.batches import padded
from diffpy_cbldm.files import write_atomic
from diffpy_cbldm.settings import Model
from training.baselines.pool import BATCH, POINTS, curves
from training.records import keep, log
from training.settings import World
from training.stream import Stream, held_out

BINS = 4
"""Points of a PDF that make one feature: 0.08 bonds."""

COPIES = 24
"""PDFs of each geometry, each with a Q range, widths and damping of its own.

The first peak's position errs as in the stream of CbLDM, which stretches the
PDFs a little."""

SETTINGS = {
    "objective": "multi:softprob",
    "tree_method": "hist",
    "max_depth": 4,
    "max_bin": 64,
    "eta": 0.4,
    "colsample_bytree": 0.5,
    "lambda": 2.0,
    "min_child_weight": 0.005,
    "nthread": 1,
}
"""Of xgboost."""

ROUNDS = 32
"""Rounds of boosting at most, which bounds the size of the file."""

FILE = "mining.ubj.xz"
"""Name of the packed trees."""

COLUMNS = ("round", "seconds", "loss", "top1", "top5")


def classes() -> np.ndarray:
    """Places in the table of the geometries that are not held out."""
    return np.flatnonzero(~held_out(load_table()))


def features(g: torch.Tensor) -> np.ndarray:
    """What the trees read: (B, POINTS) from `curves` -> (B, POINTS / 4)."""
    return g.reshape(len(g), POINTS // BINS, BINS).mean(2).numpy()


def examples(
    copies: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """PDFs of all classes.

    Returns
    -------
    x : (copies * C, POINTS / 4) array
    y : (copies * C,) array of int, the class
    """
    known = classes()
    table = load_table()
    given = padded([table.positions(int(k)) for k in known])
    positions, lengths = map(torch.as_tensor, given)
    stream = Stream(Model(), dataclasses.replace(World(), deformed=0.0))
    y = np.tile(np.arange(len(known)), copies)
    rows = []
    for part in np.array_split(y, max(1, len(y) // BATCH)):
        drawn = stream.simulate(positions[part], lengths[part], rng)
        rows.append(features(curves(drawn[1])))
    return np.concatenate(rows), y


def train(
    minutes: float,
    seed: int,
    checkpoint: Path,
    curve: Path,
    weights: Path,
    record: dict[str, Any],
) -> None:
    """Boost until minutes or rounds are spent, and write what came out.

    A round adds a tree for each class.  The checkpoint holds all rounds; a
    resumed run goes on with the next one, on the same PDFs.
    """
    import xgboost

    start = time.process_time()
    x, y = examples(COPIES, np.random.default_rng([seed, 3]))
    # Of all classes once, under conditions that training did not see.
    fresh, truth = examples(1, np.random.default_rng([seed, 4]))
    settings = {**SETTINGS, "num_class": len(classes()), "seed": seed}
    data = xgboost.DMatrix(x, y)
    tests = xgboost.DMatrix(fresh, truth)
    booster = xgboost.Booster(settings, [data])
    spent = 0.0
    if checkpoint.exists():
        booster.load_model(bytearray(checkpoint.read_bytes()))
        spent = float(booster.attr("seconds"))
    seconds = spent
    while seconds < 60 * minutes and booster.num_boosted_rounds() < ROUNDS:
        number = booster.num_boosted_rounds()
        booster.update(data, number)
        seconds = spent + time.process_time() - start
        # The time goes with the trees, so that a resumed run keeps its budget.
        booster.set_attr(seconds=str(seconds))
        row = {"round": number + 1, "seconds": round(seconds, 1)}
        row.update(scores(booster.predict(tests), truth))
        log(curve, row, COLUMNS)
        write_atomic(checkpoint, bytes(booster.save_raw("ubj")))
        print(row, flush=True)
    weights.mkdir(parents=True, exist_ok=True)
    write_atomic(weights / FILE, packed(booster))
    record = {
        **record,
        "table": load_table().digest,
        "copies": COPIES,
        "classes": len(classes()),
        "settings": settings,
        "xgboost": xgboost.__version__,
        "rounds": booster.num_boosted_rounds(),
        "seconds": round(seconds, 1),
        "validation": scores(booster.predict(tests), truth),
        "checked": scores(load(weights / FILE).predict(tests), truth),
    }
    keep(weights / "mining.json", record)


def packed(booster: Any) -> bytes:
    """The trees without their statistics, compressed.

    Leaves keep the digits of half precision; the file is a tenth as large.
    """
    import xgboost

    state = json.loads(bytes(booster.save_raw("json")))
    # Prediction reads splits and leaves alone.
    for tree in state["learner"]["gradient_booster"]["model"]["trees"]:
        for name in ("base_weights", "loss_changes", "sum_hessian"):
            tree[name] = [0.0] * len(tree[name])
        values = np.array(tree["split_conditions"], np.float32)
        # Thresholds keep all digits: a feature that falls on the other side of
        # one changes the leaf.
        leaf = np.array(tree["left_children"]) < 0
        values[leaf] = values[leaf].astype(np.float16)
        tree["split_conditions"] = values.tolist()
    small = xgboost.Booster()
    small.load_model(bytearray(json.dumps(state).encode()))
    return lzma.compress(bytes(small.save_raw("ubj")), preset=6)


def scores(chances: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Cross-entropy (nats), and how often the truth is first or in five."""
    rows = np.arange(len(truth))
    own = chances[rows, truth]
    place = (chances > own[:, None]).sum(1)
    return {
        "loss": float(-np.log(own.clip(1e-9)).mean()),
        "top1": float((place < 1).mean()),
        "top5": float((place < 5).mean()),
    }


def load(path: Path) -> Any:
    """The classifier of a packed file."""
    import xgboost

    booster = xgboost.Booster({"nthread": 1})
    booster.load_model(bytearray(lzma.decompress(path.read_bytes())))
    return booster


def likeliest(booster: Any, g: torch.Tensor, count: int) -> list[int]:
    """Places in the table of the likeliest clusters, the likeliest first.

    Parameters
    ----------
    booster : xgboost.Booster
        From `load`.
    g : (1, POINTS) tensor
        From `curves`.
    count : int
    """
    import xgboost

    chances = booster.predict(xgboost.DMatrix(features(g)))[0]
    return classes()[np.argsort(-chances, kind="stable")[:count]].tolist()
