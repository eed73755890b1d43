"""The learning curve of the paper's own network, in words and as a plot."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from training.evaluation.systems import PAPER
from training.report.words import wrapped

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CURVE = PAPER.with_name("paper-loss.csv")
"""The learning curve of the weights."""

SHOWN = {
    "condition": ("loss", "validation"),
    "prior": ("unread", "kl"),
    "denoiser": ("loss", "validation"),
    "decoder": ("laplacian",),
}
"""What is drawn of each stage."""


def paper_curve() -> list[dict[str, str]]:
    """The lines of the learning curve, with seconds and steps of all runs."""
    if not CURVE.is_file():
        return []
    with CURVE.open() as stream:
        rows = list(csv.DictReader(stream))
    return joined(rows)


def joined(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    """Let runs that started from weights go on counting, in place."""
    before = last = 0.0
    done: dict[str, int] = {}
    earlier: dict[str, int] = {}
    for row in rows:
        stage, seconds = row["stage"], float(row["seconds"])
        # Such a run counts its own seconds and steps.
        if seconds < last:
            before, earlier = before + last, dict(done)
        last = seconds
        done[stage] = earlier.get(stage, 0) + int(row["step"])
        row["seconds"], row["step"] = str(before + last), str(done[stage])
    return rows


def falling(curve: Sequence[dict[str, str]]) -> str:
    """How what is not read falls with time, and what more would give."""
    power, last, seconds = _power(curve)
    steps = 1000 * max(int(r["step"]) for r in curve if r["unread"])
    return wrapped(
        "The encoder and the images of the decoder know the trained clusters "
        "from their start on; what takes time is the reading of the PDF.  The "
        "mean square of what the prior's mean misses (of 1) fell to "
        f"{last:.2g}; over the last three quarters of the curve as the "
        "processor time of its stage to the power "
        f"{-power:.2f}.  If it went on like that, "
        "eight hours of it would lead to "
        f"{last * (8 * 3600 / seconds) ** -power:.2g}, and a thousand times "
        f"as many steps, which a GPU takes in a day at {steps / 86400:.0f} a "
        f"second, to {last * 1e3**-power:.2g}."
    )


def _power(curve: Sequence[dict[str, str]]) -> tuple[float, float, float]:
    """Of time by which the error falls; the error at the end, and when."""
    own = np.flatnonzero([r["stage"] == "prior" for r in curve])
    seconds = np.array([float(curve[i]["seconds"]) for i in own])
    # The time of other stages is none in which this error could fall.
    took, follows = np.diff(seconds), np.diff(own) == 1
    usual = float(np.median(took[follows]))
    spent = np.cumsum([usual, *np.where(follows, took, usual)])
    told = [number for number, i in enumerate(own) if curve[i]["unread"]]
    miss = np.array([float(curve[own[number]]["unread"]) for number in told])
    spent = spent[told]
    late = slice(len(told) // 4, None)
    slope, height = np.polyfit(np.log(spent[late]), np.log(miss[late]), 1)
    last = float(np.exp(height + slope * np.log(spent[-1])))
    return -float(slope), last, float(spent[-1])


def paper_figure() -> Figure:
    """The learning curve of the paper's network."""
    import matplotlib.pyplot as plt

    rows = paper_curve()
    figure, axes = plt.subplots(2, 2, figsize=(9, 6))
    for axis, (stage, names) in zip(axes.flat, SHOWN.items()):
        for name in names:
            own = [r for r in rows if r["stage"] == stage and r[name]]
            axis.plot(
                [float(r["seconds"]) / 60 for r in own],
                [float(r[name]) for r in own],
                label=name,
                lw=1,
            )
        axis.set_title(stage, fontsize=9)
        axis.set_xlabel("minutes of the processor")
        axis.set_yscale("log")
        axis.legend(fontsize=8)
        axis.grid(alpha=0.3)
    figure.tight_layout()
    return figure
