"""The tables of the page, in Markdown."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from training.baselines import LEARNED
from training.baselines.train import SETTINGS
from training.evaluation.cases import TIE
from training.evaluation.systems import SYSTEMS
from training.report.rows import (
    LOWER,
    QUANTITIES,
    Row,
    kinds_of,
    mean,
    seconds,
    shared,
    systems_of,
)

PAPER = "paper-table-2.json"
"""What the paper printed; copied from it, not measured here."""


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
        # Shares are the better the higher, all else the lower.
        best = max(known) if shape.endswith("%") else min(known, default=0)
        cells = []
        for v in values:
            text = "-" if v is None else format(v, shape)
            # What is printed alike is alike: all of the best are bold.
            marked = v is not None and text == format(best, shape)
            marked &= text != "0%"
            cells.append(f"**{text}**" if marked else text)
        lines.append([kind, *cells])
    return table([title, *names], lines)


def published(folder: Path) -> dict[str, Any]:
    """The paper's Table 2: ``systems`` and, by type, ``rows``."""
    return json.loads((folder / PAPER).read_text())


def paper_table(paper: dict[str, Any]) -> str:
    """The paper's Table 2 as printed."""
    lines = [
        [k, *(f"{v:.3f}" for v in row)] for k, row in paper["rows"].items()
    ]
    return table(["Rwp, the paper's", *paper["systems"]], lines)


def beside_paper(rows: Sequence[Row], paper: dict[str, Any]) -> str:
    """Rwp of the learned systems, each beside the paper's, in words."""
    totals = dict(zip(paper["systems"], paper["rows"]["total"]))
    parts, above = [], []
    for system in systems_of(rows):
        if system not in (*LEARNED, "cbldm-paper"):
            continue
        own = mean(rows, system, "total", "rwp")
        assert own is not None
        # The network is the paper's: so is the figure beside it.
        printed = totals[system.removesuffix("-paper")]
        parts.append(f"{system} {own:.2f} ({printed:.2f})")
        if own > printed:
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
            # Rw that differ by less are often those of one structure.
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


def robust(found: dict[str, list[Row]], plain: Sequence[Row]) -> str:
    """Mean Rw of the same PDFs under worse data."""
    names, count, first = shared(found, plain)
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
