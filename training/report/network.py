"""The section on the paper's own network: tables, words and curve.

Its figures are those of `training.evaluation.paper_network`, and the record
beside the weights.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from diffpy_cbldm.settings import PRESETS
from training.evaluation.systems import NETWORK, PAPER
from training.records import runs_of
from training.report.curve import falling, paper_curve
from training.report.rows import Row
from training.report.tables import published, table
from training.report.words import prose, wrapped

if TYPE_CHECKING:
    from pathlib import Path

WAYS = {
    "encoder": "encoder, which is told the structure",
    "prior": "mean of the conditional prior",
    "skip, derived": "skip, Eq. (8) as derived",
    "skip, printed": "skip, Eq. (8) as printed",
    "no skip": "no skip",
}
"""Where latents come from, as the tables name it."""

SPLITS = {"training": "trained", "geometry": "held out"}
"""Splits of the comparison that it stands in."""

BESIDE = ("cbldm-paper", "cbldm", "mlp", "deepstruc", "mining")
"""Systems that are shown beside it."""

SIZES = ((5, 60), (60, 150), (150, 257))
"""Bins of the number of atoms."""

WORDS = """
Algorithms 1 to 3 with the Laplacian as the decoder's output: preset `paper`,
with the published tensors and optimisers.  The paper gives neither widths nor
kernels ({parameters} weights here).  The encoder reads patches of {patch} x
{patch} entries, and these by a kernel as wide as the latent; the decoder adds
up {images} images, of each as much as two dense layers make of the latent;
residual blocks and self-attention refine the sum; it emits each W_ij once,
and the rows of L go through the cluster row by row (`Model.atom_order`).  The
images begin as the principal components of the Laplacians that are trained on
(`training.principal`).  More steps of Algorithm 2 as a whole only spoiled this
start, so its parts learn alone: the conditional prior on {codes} PDFs that are
simulated and encoded once, its means by least squares at first
(`training.reading`); the two layers of the decoder on latents of the encoder
with noise of up to {widest:g} times the width of the posterior, since prior
and denoiser err by more (`training.decoding`).

It was trained on ideal clusters that are not held out, at the conditions of
Table 1, for {minutes} minutes of the processor; steps: {steps}; batches of
{few} (condition), {batch} (structure, {decoded} of each decoded; denoiser) and
{read} (prior).
With `--resume` and more steps a run goes on; from the weights alone, which
`python -m training.pieces join {weights}` makes of their pieces,
`python -m training.train --preset paper --init {weights} --seed {seed} --slice
prior=STEPS --slice denoiser=STEPS` does.  From nothing to these weights:
"""

FIRST_WORDS = """
As a generator, on PDFs of the comparison above, all systems on the same ones:
"""

TABLE_WORDS = """
One latent for each of {count} PDFs a split, the squared error of its Laplacian
(all entries, degrees over 64), and Rwp of the recovered structure with nothing
fitted and nothing searched; the paper's solver (trust-constr from the
generalised eigenproblem, at most {slow_steps} steps) on the first {slow} of
them, ours beside it on the same
(`python -m training.evaluation.paper_network`).
"""

ERROR_WORDS = """
Where the squared error lies, and the root mean squares of W and of the
distances d between neighbours (in bond lengths: read off W entry by entry, and
in the recovered structure where N is right), on trained geometries:
"""

NEEDED_WORDS = """
How exact a decoder must be: Rwp of structures recovered from exact Laplacians
that were made wrong (root mean square of W), and of exact structures without
their outermost atoms.
"""


def record() -> dict[str, Any]:
    """The record of the weights."""
    return json.loads(PAPER.with_suffix(".json").read_text())


def commands(known: dict[str, Any]) -> str:
    """What repeats the training from nothing, run by run."""
    lines, name = ["<!-- not run: takes hours -->", "```sh"], PAPER.name
    for number, run in enumerate(runs_of(known), 1):
        words = ["python -m training.train --preset paper"]
        if number > 1:
            before = "paper" if number == 2 else f"paper-{number - 1}"
            words.append(f"--init runs/{before}/{name}")
            words.append(f"--out runs/paper-{number} --seed {run['seed']}")
        words += [f"--set {item}" for item in run.get("set", [])]
        words += [f"--slice {item}" for item in run["slices"]]
        lines.append(" \\\n    ".join(words))
        for text in run.get("changes", []):
            at, item = text.split(": ")
            stage, step = at.split("=")
            lines.append(
                f"# from {stage} step {int(step):,} on with --set {item}"
            )
    return "\n".join([*lines, "```"])


def steps_of(known: dict[str, Any]) -> list[tuple[str, int]]:
    """The steps of each stage, of all runs."""
    runs = [run["steps"] for run in runs_of(known)]
    names = dict.fromkeys(stage for steps in runs for stage in steps)
    return [(name, sum(s.get(name, 0) for s in runs)) for name in names]


def network_section(files: dict[str, Any], folder: Path) -> list[str]:
    """The paragraphs of the section; none where it was not run."""
    if NETWORK not in files:
        return []
    state, known = files[NETWORK], record()
    rows = state["rows"]
    seconds = known["seconds"] + known.get("seconds_before", 0.0)
    figures = {
        "parameters": f"{known['parameters']:,}",
        "patch": known["model"]["patch"],
        "batch": known["training"]["batch"],
        "few": known["training"]["condition_batch"],
        "decoded": known["training"]["decoded"],
        "read": known["training"]["prior_batch"],
        "codes": f"{known['training']['codes']:,}",
        "images": known["model"]["latent_size"] ** 2
        + known["model"]["decoder_rank"],
        "widest": known["training"]["widest"],
        "minutes": f"{seconds / 60:.0f}",
        "steps": ", ".join(f"{s} {n:,}" for s, n in steps_of(known)),
        "seed": len(runs_of(known)),
        "weights": PAPER,
        "count": state["settings"]["structures"],
        "slow": state["settings"]["slow"],
        "slow_steps": state["settings"]["slow_steps"],
    }
    text = ["## The paper's own network", prose(WORDS, figures)]
    text.append(commands(known))
    text.append("![curve](benchmarks/paper-network.svg)")
    text.append(falling(paper_curve()))
    found = compared(files)
    if found:
        text += [prose(FIRST_WORDS), first_pdfs(found)]
    text += [prose(TABLE_WORDS, figures), ways(rows)]
    text += [prose(ERROR_WORDS, figures), errors(rows), sizes(rows)]
    text += [prose(NEEDED_WORDS, figures), needed(state["needed"])]
    return [*text, lessons(rows, state["needed"], folder, files)]


def _mean(rows: Sequence[Row], name: str) -> float:
    values = [r[name] for r in rows if r.get(name) is not None]
    return float(np.mean(values)) if values else float("nan")


def _of(rows: Sequence[Row], split: str, way: str) -> list[Row]:
    return [r for r in rows if r["split"] == split and r["way"] == way]


def missed(row: Row) -> float:
    """The squared error of a decoded Laplacian, degrees as in the loss."""
    return sum(row[k] for k in ("diagonal", "near", "far", "outside"))


def ways(rows: Sequence[Row]) -> str:
    """Error, Rwp by both solvers and N by the origin of the latent."""
    lines = []
    for split, title in SPLITS.items():
        for way, name in WAYS.items():
            own = _of(rows, split, way)
            slow = [r for r in own if "rwp_paper" in r]
            right = np.mean([r["atoms"] == r["n"] for r in own])
            off = np.mean([abs(r["atoms"] - r["n"]) / r["n"] for r in own])
            lines.append(
                [
                    f"{title}: {name}",
                    f"{np.mean([missed(r) for r in own]):.1f}",
                    f"{_mean(own, 'rwp'):.3f}",
                    f"{np.median([r['rwp'] for r in own]):.3f}",
                    *(
                        f"{_mean(slow, name):.3f}" if slow else "-"
                        for name in ("rwp", "rwp_paper")
                    ),
                    f"{right:.0%}",
                    f"{off:.0%}",
                ]
            )
    return table(
        (
            *("latent from", "squared error", "Rwp", "median"),
            *("Rwp, ours, first", "Rwp, paper's solver", "right N", "N off"),
        ),
        lines,
    )


def errors(rows: Sequence[Row]) -> str:
    """Where the error lies."""
    lines = []
    for way in WAYS:
        own = _of(rows, "training", way)
        total = sum(missed(r) for r in own)
        parts = [
            f"{sum(r[k] for r in own) / total:.0%}"
            for k in ("diagonal", "near", "far", "outside")
        ]
        lines.append(
            [
                WAYS[way],
                *parts,
                f"{_mean(own, 'rms_near'):.4f}",
                f"{_mean(own, 'rms_far'):.4f}",
                f"{_mean(own, 'apart'):.3f}",
                f"{_mean(own, 'neighbours'):.3f}",
            ]
        )
    return table(
        (
            *("latent from", "diagonal", "neighbours", "other pairs"),
            *("rows of no atom", "rms W, neighbours", "rms W, others"),
            *("rms d, read", "rms d, recovered"),
        ),
        lines,
    )


def sizes(rows: Sequence[Row]) -> str:
    """Error and Rwp by the number of atoms, of the encoder's latents."""
    lines = []
    for low, high in SIZES:
        own = [
            r for r in _of(rows, "training", "encoder") if low <= r["n"] < high
        ]
        if own:
            each = np.mean([missed(r) / r["n"] ** 2 for r in own])
            lines.append(
                [
                    f"{low} to {high - 1}",
                    str(len(own)),
                    f"{np.mean([missed(r) for r in own]):.1f}",
                    f"{each**0.5:.4f}",
                    f"{_mean(own, 'rwp'):.3f}",
                ]
            )
    return table(
        ("atoms", "PDFs", "squared error", "root per entry", "Rwp"), lines
    )


def needed(rows: Sequence[Row]) -> str:
    """Rwp of structures that are wrong by a known amount."""
    titles = {
        "each entry": "W, each entry for itself",
        "all alike": "W, all entries alike",
        "sites": "sites: this share left out",
    }
    lines = []
    for what, title in titles.items():
        own = [r for r in rows if r["what"] == what]
        means = []
        for size in sorted({r["size"] for r in own}):
            rwp = _mean([r for r in own if r["size"] == size], "rwp")
            means.append(f"{size:g}: {rwp:.3f}")
        lines.append([title, *means, *[""] * (4 - len(means))])
    return table(("what is wrong", *["size: Rwp"] * 4), lines)


def lessons(
    rows: Sequence[Row],
    wrong: Sequence[Row],
    folder: Path,
    files: dict[str, Any],
) -> str:
    """What the comparison of the two decoders teaches."""
    coded = _of(rows, "training", "encoder")
    drawn = _of(rows, "training", "skip, derived")
    lines = [*of_laplacians(coded), *of_sites(wrong)]
    own = np.mean([missed(r) for r in coded])
    read = np.mean([missed(r) for r in drawn])
    lines.append(
        f"- Reading the PDF is the other half: with latents by Algorithm 4 "
        f"the squared error is {read:.0f}, {read / own:.1f} times that of the "
        "encoder's own latents, which only compress."
    )
    lines += beside(compared(files), folder)
    return "\n".join(wrapped(line) for line in lines)


def of_laplacians(coded: Sequence[Row]) -> list[str]:
    """Where the decoder's error lies, and what recovery makes of it."""
    total = sum(missed(r) for r in coded)
    part = {
        k: sum(r[k] for r in coded) / total
        for k in ("diagonal", "near", "far", "outside")
    }
    # -dW / dd at d = 1, where neighbours are.
    sigma2 = PRESETS["paper"].sigma2
    slope = math.exp(-0.5 / sigma2) / sigma2
    lines = [
        f"- Of the error of L, {part['far']:.0%} lies in pairs that are no "
        f"neighbours, {part['near']:.0%} in neighbours, "
        f"{part['diagonal']:.0%} on the diagonal, {part['outside']:.0%} in "
        "rows of no atom.  Most entries are far pairs.",
        "- The peaks of G(r) count near pairs: a W that is wrong by "
        f"{_mean(coded, 'rms_near'):.3f} there puts neighbours "
        f"{_mean(coded, 'apart'):.2f} bond lengths off, read entry by entry: "
        f"the kernel is flat at short distances (dW = {slope:.2f} dd).",
    ]
    found = [r for r in coded if r["neighbours"] is not None]
    if found:
        read, left = _mean(found, "apart"), _mean(found, "neighbours")
        verb = "lowers" if left < read else "does not lower"
        lines.append(
            f"- Recovery {verb} that ({read:.2f} to {left:.2f} where N is "
            f"right, {len(found)} of {len(coded)}): all pairs of an atom vote "
            "on its place, but what they have wrong in common stays."
        )
    return lines


def of_sites(wrong: Sequence[Row]) -> list[str]:
    """What errors of L and of sites do to G(r), and why sites learn faster."""

    def rwp_at(what: str, size: float) -> float:
        kind = (what, size)
        own = [r for r in wrong if (r["what"], r["size"]) == kind]
        return _mean(own, "rwp")

    return [
        "- Errors that differ from entry to entry average out: at a root mean "
        f"square of 0.01, Rwp is {rwp_at('each entry', 0.01):.2f}.  Errors "
        "that entries share do not: "
        f"{rwp_at('all alike', 0.01):.2f}.  A decoder's are of both kinds: "
        "it mixes the Laplacians of clusters that it cannot tell apart.",
        "- So a Laplacian is of little use until nearly all of it is right; "
        "a site decoder that errs in every tenth atom has "
        f"{rwp_at('sites', 0.1):.2f}, for the others stand exactly where they "
        "should.",
        "- Sites learn faster as they are told where atoms can be, and learn "
        "which are there: bits, each of which the PDF speaks on.  The "
        "Laplacian's decoder has to learn geometry as numbers, to three "
        "digits, in an order of the atoms that is no property of the cluster.",
    ]


def compared(files: dict[str, Any]) -> dict[str, list[Row]]:
    """The rows of the PDFs that `cbldm-paper` solved, by split."""
    found = {}
    for split in SPLITS:
        rows = files.get(f"{split}.json", {"rows": []})["rows"]
        known = {r["index"] for r in rows if r["system"] == "cbldm-paper"}
        if known:
            found[split] = [r for r in rows if r["index"] in known]
    return found


def first_pdfs(found: dict[str, list[Row]]) -> str:
    """`cbldm-paper` beside other systems, on the PDFs that it solved."""
    lines = []
    for split, rows in found.items():
        for system in BESIDE:
            own = [r for r in rows if r["system"] == system]
            cells = [f"{_mean(own, name):.3f}" for name in ("rwp", "rw")]
            cells += [
                f"{np.mean([r[name] for r in own]):.0%}"
                for name in ("right_n", "solved")
            ]
            apart = [r["rmsd"] for r in own if r["rmsd"] is not None]
            cells.append(f"{np.mean(apart):.3f}" if apart else "-")
            lines.append([f"{SPLITS[split]}, {system}", str(len(own)), *cells])
    return table(
        (
            *("", "PDFs", "Rwp, nothing refined", "Rw, refined"),
            *("right N", "solved", "RMSD (A) where N is right"),
        ),
        lines,
    )


def beside(found: dict[str, list[Row]], folder: Path) -> list[str]:
    """Rwp of the whole generator beside the paper's, where it was run."""
    if "training" not in found:
        return []
    paper = published(folder)
    total = dict(zip(paper["systems"], paper["rows"]["total"]))["cbldm"]
    rows = found["training"]
    own = [r for r in rows if r["system"] == "cbldm-paper"]
    site = [r for r in rows if r["system"] == "cbldm"]
    return [
        f"- As a generator (a few latents, the best by a fit first) it has "
        f"Rwp {_mean(own, 'rwp'):.3f} on {len(own)} trained structures, where "
        f"the paper prints {total:.3f} and our site decoder has "
        f"{_mean(site, 'rwp'):.3f}."
    ]
