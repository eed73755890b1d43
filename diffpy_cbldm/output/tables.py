"""Tables for people: candidates, front, summary of several inputs."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING

from diffpy_cbldm.output.results import shown, with_esd

if TYPE_CHECKING:
    from diffpy_cbldm.cluster import Candidate
    from diffpy_cbldm.fitting.attenuated import AttenuatedCrystal
    from diffpy_cbldm.series.records import Record
    from diffpy_cbldm.solving.solution import Solution


def table(solution: Solution) -> str:
    """The ranked candidates as lines of text."""
    rows = shown(solution)
    # Candidates that were refined with different moves differ in parameters.
    names = list(dict.fromkeys(n for c in rows for n in c.parameters))
    head = ["rank", "atoms", "type", "generator", "edited", *RW_HEADS]
    # Of each PDF where several were refined together.
    several = max((len(c.rw_of_each) for c in rows), default=0)
    head += [f"Rw {k + 1}" for k in range(several)]
    lines = [head + names]
    for rank, c in enumerate(rows, start=1):
        lines.append(
            [
                str(rank),
                str(len(c.positions)),
                c.structure_type,
                c.generator,
                ",".join(c.edits) or "-",
                *(rw_text(x) for x in (c.rw_raw, c.rw, c.rw_heldout)),
                *_padded(c.rw_of_each, several),
                *(
                    with_esd(*c.parameters[n]) if n in c.parameters else "-"
                    for n in names
                ),
            ]
        )
    if solution.crystal is not None:
        lines.append(_baseline(solution.crystal, rows, names, several))
    return _aligned(lines, flush_left={2, 3, 4})


def _baseline(
    crystal: AttenuatedCrystal,
    rows: list[Candidate],
    names: list[str],
    several: int,
) -> list[str]:
    """The cells of the attenuated crystal, which is no candidate."""
    values = {"scale": crystal.scale, "delta2": crystal.delta2}
    values |= {"qdamp": crystal.qdamp}
    widths = crystal.uiso_by_element or {rows[0].elements[0]: crystal.uiso}
    values |= {f"{e}_Uiso": u for e, u in widths.items()}
    return [
        *("-", str(crystal.n_atoms), crystal.lattice, "crystal", "-"),
        # Of several PDFs it is fitted to the first.
        *("-", "-" if several else rw_text(crystal.rw), "-"),
        *_padded([crystal.rw], several),
        *(f"{values[n]:.3g}" if n in values else "-" for n in names),
    ]


def _padded(rws: Sequence[float], several: int) -> list[str]:
    """Rw of the first of several PDFs, and dashes for the others."""
    return [*map(rw_text, rws), *["-"] * several][:several]


RW_HEADS = ("Rw raw", "Rw", "held-out")
"""The heads over `rw_raw`, `rw` and `rw_heldout`."""


def summary_row(solution: Solution) -> list[str]:
    """The best structure in the cells of `summary`.

    Where there is no structure to tell, its Rw alone.
    """
    best, verdict = solution.candidates[0], solution.verdict
    told = verdict is None or verdict.state != "none"
    what = (best.structure_type, best.generator, str(len(best.positions)))
    return [
        *(what if told else ("none", "-", "-")),
        *(rw_text(x) for x in (best.rw_raw, best.rw, best.rw_heldout)),
    ]


def summary(rows: Iterable[tuple[str, list[str] | None]]) -> str:
    """One line of text for each input.

    Parameters
    ----------
    rows : iterable of (str, list of str or None)
        The name of each input, with the cells of its `summary_row`, or None
        where it failed.
    """
    lines = [["input", "type", "generator", "atoms", *RW_HEADS]]
    for name, cells in rows:
        lines.append([name, *(cells or ["failed", *"-----"])])
    return _aligned(lines, flush_left={0, 1, 2})


def _aligned(lines: list[list[str]], flush_left: Collection[int]) -> str:
    """Cells in columns, flush left where they are words, else flush right."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(w) if i in flush_left else cell.rjust(w)
            for i, (cell, w) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def front_table(solution: Solution) -> str:
    """The front of Rw against roughness as lines of text."""
    head = ["atoms", "type", "generator", "edited", "Rw", "roughness"]
    lines = [[*head, "of ideal", "parameters", ""]]
    for p in solution.front:
        lines.append(
            [
                str(p.n_atoms),
                p.structure_type,
                p.generator,
                ",".join(p.edits) or "-",
                f"{p.rw:.4f}",
                f"{p.roughness:.1f}",
                f"{p.ratio:.2f}",
                f"{p.parameters:.1f}",
                "<- as far as the data go" if p.knee else "",
            ]
        )
    return _aligned(lines, flush_left={1, 2, 3, 8})


def sizes_table(solution: Solution) -> str:
    """The sizes at the Qdamp of common instruments as lines of text."""
    lines = [["Qdamp", "atoms", "type", "Rw", "crystal", "Rw"]]
    for s in solution.sizes:
        lines.append(
            [
                f"{s.qdamp:g}",
                str(s.n_atoms),
                s.structure_type,
                f"{s.rw:.4f}",
                str(s.crystal_atoms),
                f"{s.crystal_rw:.4f}",
            ]
        )
    return _aligned(lines, flush_left={2})


def crystals_table(solution: Solution) -> str:
    """The crystals that particles were cut from as lines of text."""
    lines = [["crystal", "a", "b", "c", "sphere", "D", "cuts", "atoms", "Rw"]]
    for c in solution.crystals:
        lines.append(
            [
                c.name,
                *(f"{edge:.3f}" for edge in c.edges),
                rw_text(c.rw_sphere),
                f"{c.diameter:.1f}",
                str(c.cuts),
                "-" if c.n_atoms is None else str(c.n_atoms),
                rw_text(c.rw),
            ]
        )
    return _aligned(lines, flush_left={0})


def rw_text(value: float | None) -> str:
    """An Rw with four digits, a dash where it is missing."""
    return "-" if value is None else f"{value:.4f}"


def series_summary(records: Iterable[Record]) -> str:
    """One line of text for each frame of a series."""
    lines = [["input", "type", "atoms", "range", "Rw", "doubts", "search"]]
    for r in records:
        span = "-"
        if r.atoms_low is not None:
            span = f"{r.atoms_low} to {r.atoms_high}"
        lines.append(
            [
                r.source,
                r.structure_type or r.state,
                "-" if r.n_atoms is None else str(r.n_atoms),
                span,
                rw_text(r.rw),
                str(r.doubts),
                r.search,
            ]
        )
    return _aligned(lines, flush_left={0, 1, 3, 6})
