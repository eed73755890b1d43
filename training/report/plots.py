"""The plots of the comparison, drawn by `training.report.page`."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from diffpy_cbldm.cluster import Cluster
from diffpy_cbldm.debye.simulation import simulate
from diffpy_cbldm.files import appearing
from diffpy_cbldm.fitting.agreement import best_scale
from training.baselines import LEARNED, WEIGHTS
from training.evaluation.cases import Case, Conditions, cases, measured
from training.evaluation.systems import EXAMPLES, NETWORK, SPLITS, WORSE
from training.report.curve import paper_figure
from training.report.rows import (
    ABLATIONS,
    Row,
    by_condition,
    kinds_of,
    mean,
    shared,
    systems_of,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FLOOR = 1e-5
"""Rw below this are drawn there: the truth itself was found."""

COLOURS = {
    "cbldm": "#c1272d",
    "cbldm-brief": "#f08080",
    "cbldm-paper": "#8b008b",
    "library": "#0b5394",
    "screen": "#3d9bd9",
    "mlp": "#7f7f7f",
    "cnn": "#a6761d",
    "resnet": "#e6ab02",
    "transformer": "#66a61e",
    "deepstruc": "#7570b3",
    "mining": "#1b9e77",
}


def draw(files: dict[str, Any], folder: Path) -> None:
    """Draw what there are figures for.

    Parameters
    ----------
    files : dict
        From `training.report.rows.load`.
    folder : Path
        Where the pictures go.
    """
    import matplotlib

    matplotlib.use("Agg")
    # The same file for the same figures.
    matplotlib.rcParams["svg.hashsalt"] = "cbldm"
    rows = files["geometry.json"]["rows"]
    keep(distributions(rows), folder / "rw.png")
    keep(examples(files["geometry.json"]), folder / "examples.png")
    keep(learning(), folder / "learning.png")
    if ABLATIONS in files:
        keep(calls(files[ABLATIONS]["rows"]), folder / "calls.svg")
    if NETWORK in files:
        keep(paper_figure(), folder / "paper-network.svg")
    worse = by_condition(files)
    if worse:
        keep(conditions(worse, rows), folder / "robust.svg")


def keep(figure: Figure, path: Path) -> None:
    """Write a figure, without the date."""
    import matplotlib.pyplot as plt

    words = {"Date": None} if path.suffix == ".svg" else {}
    with appearing(path) as unfinished:
        figure.savefig(unfinished, dpi=80, bbox_inches="tight", metadata=words)
    plt.close(figure)


def distributions(rows: Sequence[Row]) -> Figure:
    """Rw of every PDF, by system and type."""
    import matplotlib.pyplot as plt

    names, kinds = systems_of(rows), kinds_of(rows)
    figure, axes = plt.subplots(
        2, 4, figsize=(11, 5.5), sharex=True, sharey=True
    )
    for axis, kind in zip(axes.flat, kinds):
        for place, system in enumerate(names):
            rw = [
                max(FLOOR, r["rw"])
                for r in rows
                if r["system"] == system and kind in (r["truth"], "total")
            ]
            # Points of one row are spread, or they would hide one another.
            y = place + np.linspace(-0.25, 0.25, len(rw))
            axis.plot(rw, y, ".", color=COLOURS[system], ms=4, alpha=0.7)
            axis.plot(np.median(rw), place, "|", color="k", ms=12)
        axis.set_title(kind)
        axis.set_xscale("log")
        axis.set_yticks(range(len(names)), names)
        axis.grid(axis="x", alpha=0.3)
    axes[0, 0].invert_yaxis()
    for axis in axes[-1]:
        axis.set_xlabel("Rw (bar: median)")
    figure.tight_layout()
    return figure


def examples(state: dict[str, Any]) -> Figure:
    """Some PDFs with the truth's atoms and each system's best."""
    import matplotlib.pyplot as plt

    settings, rows = state["settings"], state["rows"]
    names = systems_of(rows)
    known = cases(
        SPLITS[settings["split"]], max(EXAMPLES) + 1, settings["seed"]
    )
    wide, high = len(names) + 1, len(EXAMPLES)
    figure = plt.figure(figsize=(1.7 * wide, 3.3 * high))
    for line, index in enumerate(EXAMPLES):
        found = {
            r["system"]: r
            for r in rows
            if r["index"] == index and "positions" in r
        }
        # Two rows of the grid for each PDF: atoms above, curves below.
        for column, name in enumerate(("truth", *names)):
            place = 2 * line * wide + column + 1
            if name == "truth" or name in found:
                above = figure.add_subplot(
                    2 * high, wide, place, projection="3d"
                )
                below = figure.add_subplot(2 * high, wide, place + wide)
                example(above, below, known[index], index, name, found)
    figure.tight_layout(pad=0.4)
    return figure


def example(
    above: Any,
    below: Any,
    case: Case,
    index: int,
    name: str,
    found: dict[str, Row],
) -> None:
    """Atoms and curve of one system, or of the truth, for one PDF."""
    pdf = measured(case, Conditions(), index)
    truth = name == "truth"
    xyz = case.positions if truth else np.array(found[name]["positions"])
    balls(above, xyz, COLOURS.get(name, "#444444"))
    title = f"{name}, {len(xyz)} atoms"
    above.set_title(f"{case.kind}: {title}" if truth else title, fontsize=7)
    below.plot(pdf.r, pdf.g, color="k", lw=0.6)
    if not truth:
        g = curve(xyz, case.qdamp)
        g = best_scale(pdf.g, g) * g
        # The difference, under all of the curve.
        shift = 1.3 * pdf.g.min() - 0.3 * pdf.g.max()
        below.plot(pdf.r, g, color=COLOURS[name], lw=0.6)
        below.plot(pdf.r, pdf.g - g + shift, color="#999999", lw=0.6)
        below.set_title(f"Rw {found[name]['rw']:.4f}", fontsize=7)
    below.set_xlim(1.5, 20)
    below.set_yticks([])
    below.tick_params(labelsize=6)


def curve(xyz: np.ndarray, damping: float) -> np.ndarray:
    """The PDF of a structure as the examples' PDFs are simulated."""
    how = Conditions()
    low, high = how.qdamp
    (pdf,) = simulate(
        [Cluster("Pt", xyz)],
        qmin=how.qmin,
        qmax=how.qmax,
        qdamp=low + (high - low) * damping,
        biso=how.biso,
    )
    return pdf.g


def balls(axis: Any, xyz: np.ndarray, colour: str) -> None:
    """Atoms along their principal axes, the far ones paler."""
    x = xyz - xyz.mean(0)
    # The longest axis lies across the picture.
    x = x @ np.linalg.svd(x, full_matrices=False)[2].T
    size = 1500 / max(20.0, np.ptp(x) ** 2)
    axis.scatter(
        *x.T, s=size * 6, color=colour, edgecolors="k", linewidths=0.2
    )
    axis.set_box_aspect(np.maximum(1e-3, np.ptp(x, axis=0)))
    axis.set_axis_off()


def learning() -> Figure:
    """The learning curves of the compared systems."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 3, figsize=(11, 3.2))
    for system in LEARNED:
        path = WEIGHTS / f"{system}-loss.csv"
        if not path.is_file():
            continue
        with path.open() as stream:
            rows = list(csv.DictReader(stream))
        if system == "mining":
            shares(axes[2], rows)
        else:
            losses(axes[1] if system == "deepstruc" else axes[0], system, rows)
    axes[0].set_title("regressors (dashed: held-out geometries)", fontsize=9)
    axes[0].set_ylabel("squared error of K, per atom")
    axes[1].set_ylabel("nats per atom")
    axes[2].set_ylabel("share of unseen PDFs")
    for axis in axes[:2]:
        axis.set_yscale("log")
    for axis in axes:
        axis.set_xlabel("minutes")
        axis.legend(fontsize=8)
        axis.grid(alpha=0.3)
    figure.tight_layout()
    return figure


def shares(axis: Any, rows: Sequence[dict[str, str]]) -> None:
    """How often the classifier's first, and first five, hold the truth."""
    minutes = [float(r["seconds"]) / 60 for r in rows]
    for name in ("top1", "top5"):
        share = [float(r[name]) for r in rows]
        axis.plot(minutes, share, label=f"mining, {name}")


def losses(axis: Any, system: str, rows: Sequence[dict[str, str]]) -> None:
    """The loss of a network, and that on held-out geometries."""
    for name, style in (("loss", "-"), ("heldout", "--")):
        part = [r for r in rows if r[name]]
        axis.plot(
            [float(r["seconds"]) / 60 for r in part],
            [float(r[name]) for r in part],
            style,
            color=COLOURS[system],
            lw=1,
            label=system if name == "loss" else None,
        )


def calls(rows: Sequence[Row]) -> Figure:
    """Rw of one candidate and of the best against network calls."""
    import matplotlib.pyplot as plt

    figure, axis = plt.subplots(figsize=(6, 3.5))
    for row in rows:
        alone = row["way"].startswith("diffusion")
        mark = "s" if alone else "o" if row["calls"] else "^"
        for name, colour in (("one", "#0b5394"), ("best", "#c1272d")):
            axis.plot(row["calls"], row[name], mark, color=colour, ms=5)
    for mark, words in (
        ("^", "no diffusion"),
        ("o", "Algorithm 4"),
        ("s", "diffusion alone"),
    ):
        axis.plot([], [], mark, color="k", label=words)
    axis.plot([], [], color="#0b5394", label="one candidate")
    axis.plot([], [], color="#c1272d", label="the best of some")
    axis.set_xscale("symlog", linthresh=1)
    axis.set_yscale("log")
    axis.set_xlabel("network calls")
    axis.set_ylabel("Rw, scale alone fitted")
    axis.legend(fontsize=8)
    axis.grid(alpha=0.3)
    figure.tight_layout()
    return figure


def conditions(found: dict[str, list[Row]], plain: Sequence[Row]) -> Figure:
    """Rw of the same PDFs under noise and under a wrong Qmax."""
    import matplotlib.pyplot as plt

    names, _, first = shared(found, plain)
    rows = {None: first, **found}
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.5), sharey=True)
    for axis, steps, label in (
        (
            axes[0],
            {0: None, 1: "noise 1 %", 2: "noise 2 %"},
            "noise, % of the spread of G",
        ),
        (
            axes[1],
            {-10: WORSE[2], 0: None, 10: WORSE[3]},
            "error of the header's Qmax, %",
        ),
    ):
        for system in names:
            points = [
                (x, max(FLOOR, mean(rows[c], system, "total", "rw")))
                for x, c in steps.items()
                if c in rows
            ]
            axis.plot(
                *zip(*points), "o-", color=COLOURS[system], label=system, ms=4
            )
        axis.set_xlabel(label)
        axis.set_yscale("log")
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("mean Rw")
    axes[1].legend(fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5))
    figure.tight_layout()
    return figure
