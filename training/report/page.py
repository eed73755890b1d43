"""The page of the comparison, ``docs/benchmarks.md``, from its figures.

    python -m training.report.page

Every number on the page is read from the files that the comparison wrote to
``docs/benchmarks``, from the records of the weights, and from the file of what
the paper printed; `training.report.plots` draws the pictures beside them.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from diffpy_cbldm.files import write_atomic
from training.baselines import LEARNED
from training.evaluation.cases import TIE
from training.evaluation.systems import NETWORK, RESULTS, TRAINED
from training.report import words
from training.report.network import network_section
from training.report.rows import (
    ABLATIONS,
    QUANTITIES,
    SHIPPED,
    TUNING,
    Row,
    by_condition,
    by_split,
    count_of,
    load,
    mean,
    seconds,
    share,
    systems_of,
)
from training.report.tables import (
    ablations,
    beaten,
    beside_paper,
    by_type,
    costs,
    outputs,
    paper_table,
    polished,
    published,
    robust,
    tuning,
)
from training.report.words import prose, wrapped


def answer(found: dict[str, list[Row]]) -> str:
    """What a user wants to know first, from the figures."""
    kinds = {
        "geometry": "An ideal cluster that no table has",
        "nolibrary": "An irregular or strained one",
        "training": "One that every table has",
    }
    known = {split: found[split] for split in kinds if found.get(split)}
    lines = [f"- **{kinds[s]}**: {first(rows)}" for s, rows in known.items()]
    lines.append(wrapped(gain(found["geometry"])))
    parts = []
    for system in SHIPPED:
        shares = [
            mean(rows, system, "total", "solved") for rows in known.values()
        ]
        parts.append(f"{system} " + ", ".join(f"{x:.0%}" for x in shares))
    text = f"- **The exact structure**, of these kinds: {'; '.join(parts)}."
    lines.append(wrapped(text))
    lines += [
        wrapped(text)
        for text in (others(found["geometry"]), after(found["geometry"]))
        if text
    ]
    return "\n".join(lines)


def first(rows: Sequence[Row]) -> str:
    """Which generator to run, by its Rw and its time."""
    means = {s: mean(rows, s, "total", "rw") for s in SHIPPED}
    least = min(means.values())
    # Of those that fit as well, the one that takes the least time.
    best = min(
        (s for s in SHIPPED if means[s] < least + TIE),
        key=lambda s: seconds(rows, s),
    )
    rest = "library" if best != "library" else "cbldm"
    return f"`{best}`, Rw {means[best]:.4f}; {rest} {means[rest]:.4f}."


def gain(rows: Sequence[Row]) -> str:
    """What CbLDM adds to cluster mining, and what that takes."""
    lower, higher = share(rows, "cbldm", "library")
    return (
        "- **CbLDM adds to cluster mining** structures that no table holds: a "
        f"lower Rw in {lower:.0%}, a higher one in {higher:.0%} of such PDFs, "
        f"at {seconds(rows, 'cbldm'):.0f} s in place of "
        f"{seconds(rows, 'library'):.1f} s each on a busy machine."
    )


def others(rows: Sequence[Row]) -> str:
    """The best of the paper's other systems; empty where none was run."""
    means = {
        s: mean(rows, s, "total", "rw")
        for s in systems_of(rows)
        if s in LEARNED
    }
    if not means:
        return ""
    best = min(means, key=lambda s: means[s])
    return (
        f"- **The paper's other systems**: the best is `{best}` "
        f"(mean Rw {means[best]:.4f} on held-out geometries)."
    )


def after(rows: Sequence[Row]) -> str:
    """What polishing makes of the proposals; empty where it was not run."""
    done = {
        system: [
            r["polished"]
            for r in rows
            if r["system"] == system and "rw" in r.get("polished", ())
        ]
        for system in SHIPPED
    }
    if not all(done.values()):
        return ""
    parts = [
        f"{system} Rw {np.mean([r['rw'] for r in own]):.4f}, "
        f"{np.mean([r['solved'] for r in own]):.0%} solved"
        for system, own in done.items()
    ]
    return (
        f"- **With polishing** (the first {len(done['cbldm'])} of these "
        f"PDFs): {'; '.join(parts)}."
    )


def commands(
    found: dict[str, list[Row]],
    worse: dict[str, list[Row]],
    ablated: int,
    others: Sequence[str] = (),
) -> str:
    """The commands that made the figures."""
    start = "python -m training.evaluation.compare"
    lines = []
    for split, rows in found.items():
        line = f"{start} --split {split} --structures {count_of(rows)}"
        line += f" --systems {' '.join(systems_of(rows))}"
        more = len({r["index"] for r in rows if "polished" in r})
        lines.append(line + (f" --polish {more}" if more else ""))
    for rows in list(worse.values())[:1]:
        lines.append(
            f"{start} --split geometry --robust --structures "
            f"{count_of(rows)} --systems {' '.join(systems_of(rows))}"
        )
    if ablated:
        lines.append(
            f"python -m training.evaluation.ablate --structures {ablated}"
        )
    lines += [*others, "python -m training.report.page"]
    return "\n".join(lines)


def worth(rows: Sequence[Row]) -> str:
    """What diffusion and the condition are worth, in words."""
    plain = next(r for r in rows if r["way"] == "conditional prior: samples")
    blind = next(r for r in rows if r["way"].startswith("N(0, I)"))
    drawn = [r for r in rows if r["calls"] > 0]
    best = min(drawn, key=lambda r: r["best"])
    verb = "lowers" if best["best"] < plain["best"] - TIE else "does not lower"
    return (
        f"The condition is what counts: without it the best is at "
        f"{blind['best']:.3f}, with it at {plain['best']:.3f}.  Diffusion "
        f"{verb} that any further (at best {best['best']:.3f}: "
        f"{best['way']})."
    )


def outputs_worth(rows: Sequence[Row]) -> str:
    """The trained ablations in words, as far as they were run."""
    by = {r["output"]: r for r in rows}
    lines = []
    for one, other, title in (
        (
            "convolutions",
            "coordinates",
            "The published convolutions against coordinates",
        ),
        ("coordinates", "sites", "Coordinates against occupancies"),
        ("laplacian", "distances", "The Laplacian against distances"),
        (
            "sites",
            "sites-no-cuts",
            "Occupancies with random cuts in training against without",
        ),
    ):
        if one not in by or other not in by:
            lines.append(f"- {title}: not run yet.")
            continue
        parts = [
            f"Rw {by[one][s]['rw']:.3f} against {by[other][s]['rw']:.3f} on "
            f"{name}"
            for s, name in (
                ("geometry", "held-out geometries"),
                ("nolibrary", "random cuts"),
            )
        ]
        lines.append(wrapped(f"- {title}: {', '.join(parts)}."))
    return "\n".join(lines)


def spent(files: dict[str, Any]) -> str:
    """How long the evaluation took, from the seconds of all its rows."""
    lines, total = [], 0.0
    for name, state in files.items():
        rows = state["rows"]
        if not rows or "seconds_refine" not in rows[0]:
            continue
        minutes = sum(
            r["seconds"]
            + r["seconds_refine"]
            + r.get("polished", {}).get("seconds", 0.0)
            for r in rows
        )
        total += minutes / 60
        lines.append(f"{name.removesuffix('.json')} {minutes / 60:.0f}")
    return (
        f"With the weights that are there, the evaluation took {total:.0f} "
        "minutes of processor time, as the sum of all times that were "
        f"measured ({', '.join(lines)} minutes)."
    )


def origin(name: str, state: dict[str, Any]) -> str:
    """Where the figures of a file come from."""
    used = ", ".join(f"{k} {v}" for k, v in state["settings"].items())
    return (
        f"- [`{name}`](benchmarks/{name}): {used}; commit "
        f"{', '.join(state['commits'])}; {state['machine']}."
    )


def page(folder: Path) -> str:
    """The whole page.

    Parameters
    ----------
    folder : Path
        Of the files of the figures.
    """
    files = load(folder)
    found, known = by_split(files), words.figures(files)
    text = [
        "# Benchmarks",
        "This page says which generator to run for which PDF (mean Rw), and "
        "how the\nsystems compare on simulated data.",
        answer(found),
        prose(words.INTRODUCTION, known),
        prose(words.SYSTEMS, known),
        "<!-- not run: takes hours -->\n" f"```sh\n{all_commands(files)}\n```",
        prose(words.METHOD, known),
        prose(words.COLUMNS, known),
    ]
    for split in words.TITLES:
        if split in found:
            text += split_section(split, found[split], folder, known)
    text += ["## Rw by system and type", "![Rw](benchmarks/rw.png)"]
    text += ["## Examples", prose(words.EXAMPLE_WORDS, known)]
    text += ["![examples](benchmarks/examples.png)"]
    text += training_section(files, known)
    text += ablation_sections(files, known)
    text += network_section(files, folder)
    worse = by_condition(files)
    if worse:
        text += ["## Worse data", robust(worse, found["geometry"])]
        text.append("![worse](benchmarks/robust.svg)")
    text += ["## What was not done", prose(words.NOT_DONE, known)]
    text += ["## Where the figures come from"]
    text.append("\n".join(wrapped(origin(n, s)) for n, s in files.items()))
    return "\n\n".join(text) + "\n"


def all_commands(files: dict[str, Any]) -> str:
    """The commands that made all the files."""
    more = []
    if TRAINED in files:
        settings = files[TRAINED]["settings"]
        more.append(
            "python -m training.evaluation.ablate --trained --minutes "
            f"{settings['minutes']:g} --structures {settings['structures']}"
        )
    if NETWORK in files:
        more.append(
            "python -m training.evaluation.paper_network --structures "
            f"{files[NETWORK]['settings']['structures']}"
        )
    if TUNING.name in files:
        trial = files[TUNING.name]["settings"]["seconds"]
        more.append(f"python -m training.baselines.tune --seconds {trial:g}")
    ablated = files.get(ABLATIONS, {"settings": {"structures": 0}})
    return commands(
        by_split(files),
        by_condition(files),
        ablated["settings"]["structures"],
        more,
    )


def split_section(
    split: str, rows: Sequence[Row], folder: Path, known: dict[str, Any]
) -> list[str]:
    """The tables of a split, and where CbLDM is not the best there."""
    text = [f"## {words.TITLES[split]}", f"{count_of(rows)} PDFs."]
    text += [by_type(rows, quantity) for quantity in QUANTITIES]
    # The paper measured on structures that it had trained on.
    if split == "training":
        paper = published(folder)
        text += [prose(words.PAPER_WORDS), paper_table(paper)]
        text.append(wrapped(beside_paper(rows, paper)))
    if any("polished" in r for r in rows):
        text += [prose(words.POLISHED_WORDS, known), polished(rows)]
    lost = beaten(rows)
    if not lost:
        return [
            *text,
            "No other system has a lower Rwp or Rw or solves more on any row.",
        ]
    return [
        *text,
        "Where CbLDM is not the best:",
        "\n".join(f"- {line}" for line in lost),
        prose(words.WHY[split]),
    ]


def training_section(
    files: dict[str, Any], known: dict[str, Any]
) -> list[str]:
    """What the systems cost, and how their settings were chosen."""
    text = ["## Time, size and training", costs(files["geometry.json"])]
    text += [prose(words.TRAINING_WORDS, known)]
    text += ["![curves](benchmarks/learning.png)", wrapped(spent(files))]
    if TUNING.name in files:
        text += [prose(words.TUNING_WORDS, known)]
        text += [tuning(files[TUNING.name]["rows"]), prose(words.TUNED_WORDS)]
    return text


def ablation_sections(
    files: dict[str, Any], known: dict[str, Any]
) -> list[str]:
    """The ways to sample, and the networks with several outputs."""
    text = []
    if ABLATIONS in files:
        rows = files[ABLATIONS]["rows"]
        text += ["## Ablations", prose(words.ABLATION_WORDS, known)]
        text += [ablations(rows), wrapped(worth(rows))]
        text.append("![calls](benchmarks/calls.svg)")
    if TRAINED in files:
        rows = files[TRAINED]["rows"]
        text += ["## What a network should emit"]
        text += [prose(words.OUTPUT_WORDS, known), outputs(rows)]
        text += [outputs_worth(rows), prose(words.OUTPUT_NOTES, known)]
    return text


def write(folder: Path) -> None:
    """Write the page beside the folder of the figures, and the plots."""
    from training.report import plots

    plots.draw(load(folder), folder)
    write_atomic(folder.parent / "benchmarks.md", page(folder))


def main() -> None:
    """The command line; see the module's text."""
    parser = argparse.ArgumentParser(
        "python -m training.report.page", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--folder", type=Path, default=RESULTS)
    write(parser.parse_args().folder)


if __name__ == "__main__":
    main()
