"""The page of the comparison, ``docs/benchmarks.md``, from its figures.

``python -m training.compare --write`` calls it.  Every number on the page is
read from the files of ``docs/benchmarks`` and from the records of the
weights; the paper's own are in `PAPER`.
"""

from __future__ import annotations

import json
import os
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from diffpy_cbldm.settings import KINDS
from training.ablate import TRAINED
from training.baselines import LEARNED
from training.baselines.train import SETTINGS
from training.baselines.tune import RESULTS as TUNING
from training.compare import SPLITS, SYSTEMS, WORSE, file_name
from training.evaluate import TIE

Row = dict[str, Any]

PAPER = {
    "bcc": (1.512, 1.373, 1.358, 1.584, 0.793, 1.196, 0.410),
    "dec": (1.248, 1.197, 1.214, 1.249, 0.692, 1.116, 0.026),
    "fcc": (1.318, 1.240, 1.286, 1.350, 1.682, 1.221, 0.068),
    "hcp": (1.234, 1.210, 1.152, 1.244, 1.347, 1.145, 0.263),
    "ico": (1.349, 1.298, 1.273, 1.366, 1.605, 0.459, 0.095),
    "oct": (1.344, 1.277, 1.267, 1.359, 1.590, 1.156, 0.151),
    "sc": (1.431, 1.328, 1.346, 1.478, 1.107, 0.808, 0.059),
    "total": (1.278, 1.228, 1.191, 1.299, 1.266, 1.103, 0.380),
}
"""Rwp of Table 2 of arXiv:2509.01370, in the order of `PAPER_SYSTEMS`."""

PAPER_SYSTEMS = (*LEARNED, "cbldm")

TITLES = {
    "geometry": "Held-out geometries",
    "nolibrary": "Clusters that no library holds",
    "training": "Geometries that were trained on",
    "paper": "The paper's random split",
}

QUANTITIES: dict[str, tuple[str, Callable[[Row], float | None], str]] = {
    "rwp": ("Rwp, nothing refined", lambda r: r["rwp"], ".3f"),
    "rw": ("Rw, refined by SrFit", lambda r: r["rw"], ".4f"),
    "right_n": ("right N", lambda r: r["right_n"], ".0%"),
    "rmsd": ("RMSD (A) where N is right", lambda r: r["rmsd"], ".3f"),
    "solved": ("solved", lambda r: r["solved"], ".0%"),
}
"""What the tables show: title, value of a row, format."""

SHIPPED = ("cbldm", "library", "screen")
"""Generators of the package."""

LOWER = ("rwp", "rw")
"""Quantities by which systems are compared, lower being better."""


def mean(
    rows: Sequence[Row], system: str, kind: str, quantity: str
) -> float | None:
    """Mean of a quantity over the PDFs of a type, or of all ("total")."""
    value = QUANTITIES[quantity][1]
    found = [
        value(r)
        for r in rows
        if r["system"] == system and kind in (r["truth"], "total")
    ]
    known = [float(x) for x in found if x is not None]
    return float(np.mean(known)) if known else None


def kinds_of(rows: Sequence[Row]) -> tuple[str, ...]:
    """The types among the rows, and "total"."""
    return (*(k for k in KINDS if any(r["truth"] == k for r in rows)), "total")


def systems_of(rows: Sequence[Row]) -> tuple[str, ...]:
    """The systems that solved every PDF of the rows."""
    indices = {r["index"] for r in rows}
    return tuple(
        s
        for s in SYSTEMS
        if {r["index"] for r in rows if r["system"] == s} == indices
    )


def table(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A table of Markdown."""
    rows = [header, ["---"] * len(header), *lines]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in rows)


def by_type(rows: Sequence[Row], quantity: str) -> str:
    """Types by systems for one quantity, the best in bold."""
    title, _, shape = QUANTITIES[quantity]
    names = systems_of(rows)
    lines = []
    for kind in kinds_of(rows):
        values = [mean(rows, s, kind, quantity) for s in names]
        known = [v for v in values if v is not None]
        best = max(known) if shape.endswith("%") else min(known, default=0)
        cells = []
        for v in values:
            text = "-" if v is None else format(v, shape)
            marked = v is not None and text == format(best, shape)
            marked &= text != "0%"
            cells.append(f"**{text}**" if marked else text)
        lines.append([kind, *cells])
    return table([title, *names], lines)


def paper_table() -> str:
    """The paper's Table 2 as printed."""
    lines = [[k, *(f"{v:.3f}" for v in row)] for k, row in PAPER.items()]
    return table(["Rwp, the paper's", *PAPER_SYSTEMS], lines)


def beside_paper(rows: Sequence[Row]) -> str:
    """Rwp of the learned systems, each beside the paper's, in words."""
    totals = dict(zip(PAPER_SYSTEMS, PAPER["total"]))
    parts, above = [], []
    for system in systems_of(rows):
        if system not in LEARNED:
            continue
        own = mean(rows, system, "total", "rwp")
        assert own is not None
        parts.append(f"{system} {own:.2f} ({totals[system]:.2f})")
        if own > totals[system]:
            above.append(system)
    more = f"; ours is above it for {', '.join(above)}" if above else ""
    return (
        f"Rwp in total of ours, the paper's in brackets: {', '.join(parts)}"
        f"{more}."
    )


def costs(state: dict[str, Any]) -> str:
    """Seconds a PDF, candidates, training time and size by system."""
    rows, lines = state["rows"], []
    for system in systems_of(rows):
        own = [r for r in rows if r["system"] == system]
        known = state["systems"][system]
        trained = ["-"] * 3
        if "minutes" in known:
            trained = [
                f"{known['minutes']:.0f}",
                str(known.get("steps", "-")),
                f"{known['bytes'] / 1e6:.1f}",
            ]
        lines.append(
            [
                system,
                f"{seconds(rows, system):.1f}",
                f"{np.mean([r['seconds_refine'] for r in own]):.1f}",
                f"{np.mean([r['candidates'] for r in own]):.0f}",
                *trained,
            ]
        )
    return table(
        (
            *("system", "s to propose", "s to refine", "candidates"),
            *("minutes of training", "steps", "weights, MB"),
        ),
        lines,
    )


def beaten(rows: Sequence[Row]) -> list[str]:
    """Where a system does better than CbLDM, as words; by type."""
    found = []
    for system in systems_of(rows):
        if system == "cbldm":
            continue
        for quantity in (*LOWER, "solved"):
            sign = 1 if quantity in LOWER else -1
            margin = TIE if quantity in LOWER else 1e-9
            shape = QUANTITIES[quantity][2]
            for kind in kinds_of(rows):
                own = mean(rows, "cbldm", kind, quantity)
                other = mean(rows, system, kind, quantity)
                if sign * (own - other) > margin:
                    found.append(
                        f"{system}, {kind}, {QUANTITIES[quantity][0]}: "
                        f"{other:{shape}} against {own:{shape}}"
                    )
    return found


def share(rows: Sequence[Row], system: str, other: str) -> tuple[float, float]:
    """How often a system's Rw is lower than another's, and higher."""
    mine = {r["index"]: r["rw"] for r in rows if r["system"] == system}
    theirs = {r["index"]: r["rw"] for r in rows if r["system"] == other}
    gain = np.array([theirs[i] - mine[i] for i in mine])
    return float(np.mean(gain > TIE)), float(np.mean(gain < -TIE))


def wrapped(words: str) -> str:
    """A paragraph or item of a list in lines of 79."""
    indent = "  " if words.startswith("- ") else ""
    return textwrap.fill(
        words,
        79,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def answer(found: dict[str, list[Row]]) -> str:
    """What a user wants to know first, from the figures."""
    lines: list[str] = []
    kinds: list[list[Row]] = []
    for split, words in (
        ("geometry", "An ideal cluster that no table has"),
        ("nolibrary", "An irregular or strained one"),
        ("training", "One that every table has"),
    ):
        rows = found.get(split)
        if not rows:
            continue
        means = {s: mean(rows, s, "total", "rw") for s in SHIPPED}
        least = min(means.values())
        # Of those that fit as well, the one that takes the least time.
        first = min(
            (s for s in SHIPPED if means[s] < least + TIE),
            key=lambda s: seconds(rows, s),
        )
        rest = "library" if first != "library" else "cbldm"
        lines.append(
            f"- **{words}**: `{first}`, Rw {means[first]:.4f}; "
            f"{rest} {means[rest]:.4f}."
        )
        kinds.append(rows)
    lower, higher = share(found["geometry"], "cbldm", "library")
    text = (
        "- **CbLDM adds to cluster mining** structures that no table holds: a "
        f"lower Rw in {lower:.0%}, a higher one in {higher:.0%} of such PDFs, "
        f"at {seconds(found['geometry'], 'cbldm'):.0f} s in place of "
        f"{seconds(found['geometry'], 'library'):.1f} s each on a busy "
        "machine."
    )
    lines.append(wrapped(text))
    parts = []
    for system in SHIPPED:
        shares = [mean(rows, system, "total", "solved") for rows in kinds]
        parts.append(f"{system} " + ", ".join(f"{x:.0%}" for x in shares))
    words = f"- **The exact structure**, of these kinds: {'; '.join(parts)}."
    lines.append(wrapped(words))
    rows = found["geometry"]
    others = {
        s: mean(rows, s, "total", "rw")
        for s in systems_of(rows)
        if s in LEARNED
    }
    if others:
        first = min(others, key=lambda s: others[s])
        lines.append(
            wrapped(
                f"- **The paper's other systems**: the best is `{first}` "
                f"(mean Rw {others[first]:.4f} on held-out geometries)."
            )
        )
    own = [r for r in rows if "polished" in r]
    after = {
        system: [
            r["polished"]
            for r in own
            if r["system"] == system and "rw" in r["polished"]
        ]
        for system in SHIPPED
    }
    if all(after.values()):
        parts = [
            f"{system} Rw {np.mean([r['rw'] for r in done]):.4f}, "
            f"{np.mean([r['solved'] for r in done]):.0%} solved"
            for system, done in after.items()
        ]
        text = f"- **With polishing** (the first {len(after['cbldm'])} of "
        lines.append(wrapped(text + f"these PDFs): {'; '.join(parts)}."))
    return "\n".join(lines)


def commands(
    found: dict[str, list[Row]],
    worse: dict[str, list[Row]],
    ablated: int,
    others: Sequence[str] = (),
) -> str:
    """The commands that made the figures."""
    start = "python -m training.compare"
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
        lines.append(f"python -m training.ablate --structures {ablated}")
    lines += [*others, f"{start} --write"]
    return "\n".join(lines)


def count_of(rows: Sequence[Row]) -> int:
    """How many PDFs there are."""
    return len({r["index"] for r in rows})


def seconds(rows: Sequence[Row], system: str) -> float:
    """Mean seconds that a system takes to propose."""
    return float(
        np.mean([r["seconds"] for r in rows if r["system"] == system])
    )


def polished(rows: Sequence[Row]) -> str:
    """Rw before and after polishing, by system."""
    lines = []
    for system in systems_of(rows):
        own = [r for r in rows if r["system"] == system and "polished" in r]
        if not own:
            continue
        done = [r for r in own if "rw" in r["polished"]]
        if not done:
            lines.append([system, f"0 of {len(own)}", *["-"] * 7])
            continue
        after = [r["polished"] for r in done]
        lines.append(
            [
                system,
                f"{len(done)} of {len(own)}",
                f"{np.mean([r['rw'] for r in done]):.4f}",
                f"{np.mean([r['rw'] for r in after]):.4f}",
                f"{np.mean([r['right_n'] for r in done]):.0%}",
                f"{np.mean([r['right_n'] for r in after]):.0%}",
                f"{np.mean([r['solved'] for r in done]):.0%}",
                f"{np.mean([r['solved'] for r in after]):.0%}",
                f"{np.mean([r['seconds'] for r in after]):.1f}",
            ]
        )
    return table(
        (
            *("system", "PDFs", "Rw", "polished", "right N", "polished"),
            *("solved", "polished", "s to polish"),
        ),
        lines,
    )


def robust(found: dict[str, list[Row]], plain: list[Row]) -> str:
    """Mean Rw of the same PDFs under worse data."""
    names = systems_of(found[next(iter(found))])
    count = count_of(found[next(iter(found))])
    first = [r for r in plain if r["index"] < count]
    lines = []
    for condition, rows in {"as in the paper": first, **found}.items():
        cells = [f"{mean(rows, s, 'total', 'rw'):.4f}" for s in names]
        lines.append([condition, *cells])
    return table([f"Rw of {count} PDFs", *names], lines)


def ablations(rows: Sequence[Row]) -> str:
    """The ways to sample."""
    lines = [
        [
            r["way"],
            f"{r['calls']:.0f}",
            f"{r['one']:.3f}",
            f"{r['best']:.3f}",
            f"{r['right_n']:.0%}",
            f"{r['right_type']:.0%}",
            f"{r['seconds']:.2f}",
        ]
        for r in rows
    ]
    return table(
        (
            *("latents from", "network calls", "Rw of one", "best of some"),
            *("right N", "right type", "s a PDF"),
        ),
        lines,
    )


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


OUTPUT_TITLES = {
    "convolutions": "Laplacian, published convolutions",
    "laplacian": "Laplacian, dense",
    "distances": "squared distances, dense",
    "coordinates": "coordinates",
    "sites": "site occupancies",
    "sites-no-cuts": "site occupancies, no random cuts",
}
"""Rows of the trained ablations."""


def outputs(rows: Sequence[Row]) -> str:
    """What each output is worth on held-out geometries and random cuts."""
    lines = []
    for r in rows:
        line = [OUTPUT_TITLES[r["output"]], str(r["steps"])]
        for split in ("geometry", "nolibrary"):
            own = r[split]
            apart = "-" if own["rmsd"] is None else f"{own['rmsd']:.2f}"
            line += [f"{own['rw']:.3f}", f"{own['n_error']:.0%}"]
            line += [f"{own['right_n']:.0%}", apart]
        lines.append(line)
    header = ["output", "steps"]
    for name in ("held-out", "cuts"):
        header += [f"{name}: Rw", "N off", "right N", "RMSD"]
    return table(header, lines)


def outputs_worth(rows: Sequence[Row]) -> str:
    """The trained ablations in words, as far as they were run."""
    by = {r["output"]: r for r in rows}
    lines = []
    for one, other, words in (
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
            lines.append(f"- {words}: not run yet.")
            continue
        parts = [
            f"Rw {by[one][s]['rw']:.3f} against {by[other][s]['rw']:.3f} on "
            f"{name}"
            for s, name in (
                ("geometry", "held-out geometries"),
                ("nolibrary", "random cuts"),
            )
        ]
        lines.append(wrapped(f"- {words}: {', '.join(parts)}."))
    return "\n".join(lines)


def tuning(rows: Sequence[Row]) -> str:
    """Loss on unseen PDFs by system, learning rate and batch."""
    trials = sorted({(r["rate"], r["batch"]) for r in rows})
    systems = [s for s in SYSTEMS if any(r["system"] == s for r in rows)]
    lines = []
    for system in systems:
        own = {
            (r["rate"], r["batch"]): r["validation"]
            for r in rows
            if r["system"] == system
        }
        least = min(v for v in own.values() if v is not None)
        line = [system]
        for trial in trials:
            value = own.get(trial)
            text = "-" if value is None else f"{value:.2f}"
            line.append(f"**{text}**" if value == least else text)
        rate, batch = SETTINGS[system]
        lines.append([*line, f"{rate:g}, {batch}"])
    header = [f"{rate:g}, {batch}" for rate, batch in trials]
    return table(["rate, batch", *header, "in use"], lines)


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
        f"minutes on one thread, as the sum of all times that were measured "
        f"({', '.join(lines)} minutes); two runs of different splits share "
        "two cores."
    )


def load(folder: Path) -> dict[str, Any]:
    """The files of the comparison that are there."""
    names = [f"{s}.json" for s in SPLITS]
    names += ["ablations.json", TRAINED, TUNING.name]
    names += [file_name("geometry", c) for c in WORSE]
    return {
        name: _capped(json.loads((folder / name).read_text()))
        for name in names
        if (folder / name).is_file()
    }


def _capped(state: dict[str, Any]) -> dict[str, Any]:
    """Figures of a file, refined Rw above 1 as 1: a scale of 0 has that.

    For rows alone that were recorded with a calculator whose curves could
    overflow where two atoms stand nearly at one place; `refine` gives no
    such Rw any more.
    """
    for r in state["rows"]:
        for part in (r, r.get("polished", {})):
            if part.get("rw") is not None:
                part["rw"] = min(part["rw"], 1.0)
    return state


def origin(name: str, state: dict[str, Any]) -> str:
    """Where the figures of a file come from."""
    used = ", ".join(f"{k} {v}" for k, v in state["settings"].items())
    return (
        f"- [`{name}`](benchmarks/{name}): {used}; commit "
        f"{', '.join(state['commits'])}; {state['machine']}."
    )


def page(folder: Path) -> str:
    """The whole page."""
    files = load(folder)
    found = {
        s: files[f"{s}.json"]["rows"] for s in SPLITS if f"{s}.json" in files
    }
    worse = {
        c: files[file_name("geometry", c)]["rows"]
        for c in WORSE
        if file_name("geometry", c) in files
    }
    ablated = files.get("ablations.json", {"settings": {"structures": 0}})
    others = []
    if TRAINED in files:
        words = "python -m training.ablate --trained --minutes {minutes:g}"
        words += " --structures {structures}"
        others.append(words.format(**files[TRAINED]["settings"]))
    if TUNING.name in files:
        words = "python -m training.baselines.tune --seconds {seconds:g}"
        others.append(words.format(**files[TUNING.name]["settings"]))
    used = commands(found, worse, ablated["settings"]["structures"], others)
    text = [
        "# Benchmarks",
        "For a PDF like yours, which generator should you run?  (Mean Rw.)",
        answer(found),
        INTRODUCTION.strip().format(commands=used),
    ]
    for split, title in TITLES.items():
        if split not in found:
            continue
        rows = found[split]
        text += [f"## {title}", f"{count_of(rows)} PDFs."]
        text += [by_type(rows, quantity) for quantity in QUANTITIES]
        if split == "training":
            text += [PAPER_WORDS.strip(), paper_table()]
            text.append(wrapped(beside_paper(rows)))
        if any("polished" in r for r in rows):
            text += [POLISHED_WORDS.strip(), polished(rows)]
        lost = beaten(rows)
        if lost:
            text.append("Where CbLDM is not the best:")
            text.append("\n".join(f"- {line}" for line in lost))
            text.append(WHY[split].strip())
        else:
            text.append(
                "No other system has a lower Rwp or Rw or solves more on any "
                "row."
            )
    text += ["## Rw by system and type", "![Rw](benchmarks/rw.png)"]
    text += ["## Examples", EXAMPLE_WORDS.strip()]
    text += ["![examples](benchmarks/examples.png)"]
    text += ["## Time, size and training", costs(files["geometry.json"])]
    text += [TRAINING_WORDS.strip(), "![curves](benchmarks/learning.png)"]
    text.append(wrapped(spent(files)))
    if TUNING.name in files:
        state = files[TUNING.name]
        words = TUNING_WORDS.format(**state["settings"])
        text += [words.strip(), tuning(state["rows"]), TUNED_WORDS.strip()]
    if "ablations.json" in files:
        state = files["ablations.json"]
        words = ABLATION_WORDS.format(**state["settings"])
        text += ["## Ablations", words.strip(), ablations(state["rows"])]
        text.append(wrapped(worth(state["rows"])))
        text.append("![calls](benchmarks/calls.svg)")
    if TRAINED in files:
        state = files[TRAINED]
        words = OUTPUT_WORDS.format(**state["settings"])
        text += ["## What a network should emit", words.strip()]
        text += [outputs(state["rows"]), outputs_worth(state["rows"])]
        text.append(OUTPUT_NOTES.strip())
    if worse:
        text += ["## Worse data", robust(worse, found["geometry"])]
        text.append("![worse](benchmarks/robust.svg)")
    text += ["## What was not done", NOT_DONE.strip()]
    text += ["## Where the figures come from"]
    text.append("\n".join(wrapped(origin(n, s)) for n, s in files.items()))
    return "\n\n".join(text) + "\n"


def write(folder: Path) -> None:
    """Write the page beside the folder of the figures, and the plots."""
    from training import benchmark_plots

    benchmark_plots.draw(load(folder), folder)
    path = folder.parent / "benchmarks.md"
    part = path.with_suffix(".part")
    part.write_text(page(folder))
    os.replace(part, path)


_ORDER = """
Rwp is that of the first candidate, and candidates are put in order by a fit in
which the widths and the damping are free: the first one need not be the best
at the widths of the simulation.
"""

WHY = {
    "geometry": _ORDER,
    "nolibrary": _ORDER,
    "training": """
These structures are what `library` holds and what `mining` tells apart, so
that both can give them back exactly.  The model makes its own, strained and
relaxed ones among them, and now and then such a one comes first.
""",
    "paper": """
Nine in ten of these geometries are what `library` holds and `mining` tells
apart, at other bond lengths.
""",
}
"""Why CbLDM is not the best where it is not."""

INTRODUCTION = """
`cbldm` is the model that ships; `library` fits every known cluster (cluster
mining); `screen` fits random plausible ones by brute force; the others are
the systems of the paper's Table 2, trained by us on the same stream of PDFs
(`training.baselines`): four regressors from G(r) to the Laplacian, a
conditional VAE of coordinates like DeepStruc, and boosted trees like
MLstructureMining.  They are not part of the package.

<!-- not run: takes hours -->
```sh
{commands}
```

trains what has no weights, solves the same PDFs with all systems, goes on
after a stop, and writes this page.  Rwp is the paper's: the first candidate as
it comes against the noise-free PDF, at the Biso and Qdamp of the simulation,
with no parameter fitted, not the scale either.  (All generators stretch their
candidates to the PDF, and all but the regressors and the classifier order
them by a fit.)  Rw is that of the best of 64 candidates (a regressor has one)
after SrFit has refined scale, stretch, Uiso, delta2 and Qdamp; above 1, which
a scale of 0 has, it counts as 1 (atoms that a regressor puts at nearly one
place can make a fit diverge).  Solved: the right N and an RMSD below 0.1 A.
`library` and `mining` know no held-out geometry; conditions are those of the
paper's Table 1.
"""

PAPER_WORDS = """
The paper's own Table 2, measured on its training structures with its own
networks, which are not ours:
"""

POLISHED_WORDS = """
With {doc}`polishing` of the best candidate (the lowest Rw of its front), on
the first PDFs.  Structures with bonds shorter than 0.9 of the usual are no
crystals that could be edited, and left out:
"""

EXAMPLE_WORDS = """
Four of the held-out geometries: the measured curve with the fit of each
system's best candidate, and its atoms beside the truth's.
"""

TRAINING_WORDS = """
One thread of a CPU that had other work; seconds are the processor's.  The six
systems had nine minutes of it each (the trees at most 32 rounds, for the size
of their file), from a pool of 153,600 PDFs of the stream that is drawn once.
The minutes of `cbldm` are those of its last run alone, whose start had been
trained for 105 more ({doc}`model_card`): it had about eighteen times as long
as each of them, on a machine about half as fast.
The curves show what more time would bring.
"""

ABLATION_WORDS = """
Latents of the shipped model drawn in several ways, {draws} for each of
{structures} held-out PDFs, decoded to one structure each, the scale alone
fitted (`python -m training.ablate`).  The generator's search over sizes,
facets and surfaces is left out, which would hide the differences.
"""

OUTPUT_WORDS = """
The trunk of `mlp` with several outputs, each trained for {minutes:g} min of
processor time on the same PDFs ({parts} files of 3,200; without random cuts:
on as many of ideal clusters) and asked for one structure of {structures} PDFs
of held-out geometries and as many of random cuts
(`python -m training.ablate --trained`).  Structures are stretched to the PDF
as all candidates are, the scale alone is fitted; RMSD (A) is that of
structures with the right N.  Laplacians and distances become coordinates by
`diffpy_cbldm.recover`.
"""

OUTPUT_NOTES = """
The convolutions have an eighth of the published channels and batches of 16 in
place of 64: with a quarter of the channels a step of 64 takes 3.6 s on a CPU.
None of them is a generative model, and none searches: this tells outputs
apart, not systems.  Sites know the lattices beforehand, also those of held-out
clusters; the other outputs must learn where atoms can be.  The machine had
other work, which slows a step: the two rows of sites differ in steps, too.
"""

TUNING_WORDS = """
Learning rates and batches were tried for {seconds:g} s of processor time each
(`python -m training.baselines.tune`); the loss on PDFs that are not trained
on, which is comparable within a row alone:
"""

TUNED_WORDS = """
The trees are not in the table: their rounds are bounded by the size of the
file.
"""

NOT_DONE = """
- Every learned system but `cbldm` was trained for nine minutes, once, with one
  seed, at the learning rate and batch that were best after a minute (above;
  the trees with one setting).  Other hyperparameters were not tried.
- The trained ablations had a minute each and one seed: enough for orders of
  magnitude, not for small differences.
- `cbldm-brief`, CbLDM with no more training than the others had, was run on
  held-out geometries and on clusters of no library alone.
- The weights of the published systems are not used: all are our own
  implementations, on our structures.
- Robustness is shown for the systems that emit crystals; the others do not
  fit clean data.
"""
