"""How good the proposals for large particles are.

Particles of 257 to 5,000 atoms that training never meets (`kept_back`), as
the stream draws them: half of them symmetric shapes, half cut anywhere.  Of
every other eight Qdamp is known.  Each generator's candidates get a fit of
five parameters on all data, and nothing is edited.  The whole job tells its
range of N beside them.
"""

from __future__ import annotations

import dataclasses
import time
from typing import Any

import numpy as np
import torch

import diffpy_cbldm as cb
from diffpy_cbldm.cluster import Candidate, Cluster
from diffpy_cbldm.crystals.large_cuts import LARGE_TYPES, Piece
from diffpy_cbldm.debye.simulation import simulate
from diffpy_cbldm.fitting.quickfit import quick_fit
from diffpy_cbldm.fitting.target import Target
from diffpy_cbldm.pdfdata import PDFData
from diffpy_cbldm.search.by_library import library_generator
from diffpy_cbldm.search.by_model import cbldm_generator
from diffpy_cbldm.search.by_screening import screen_generator
from diffpy_cbldm.search.pool import as_good
from training.datasets import BONDS
from training.large import random_particle

GENERATORS = ("cbldm", "library", "screen")
"""What is evaluated side by side."""

STATED = "solve"
"""The whole job with its defaults, for the range that it tells."""

ROWS = (*GENERATORS, STATED)
"""The rows of a case."""

SIZES = (257, 5000)
"""Numbers of atoms, drawn evenly on a logarithmic scale."""

PROPOSED = 24
"""Candidates of each generator."""

TIE = 1e-4
"""Rw that differ by less are the same."""

NEAR = 0.05
"""An error of N below this counts as right."""

_MAKE = {
    "cbldm": cbldm_generator,
    "library": library_generator,
    "screen": screen_generator,
}


@dataclasses.dataclass(frozen=True)
class LargeCase:
    """A large particle and how it is measured.

    Attributes
    ----------
    number : int
        Seeds its noise.
    crystal : str
        One of `LARGE_TYPES`.
    kind : str
        As candidates name it.
    positions : (N, 3) array, angstrom
    qdamp : float, 1/A
    known : bool
        Whether the header tells Qdamp.
    biso : float, A^2
    rmax : float, angstrom
        End of the data.
    """

    number: int
    crystal: str
    kind: str
    positions: np.ndarray
    qdamp: float
    known: bool
    biso: float
    rmax: float


def large_cases(count: int, seed: int = 11) -> list[LargeCase]:
    """Particles that are not trained on, a crystal after the other."""
    return [_case(k, seed) for k in range(count)]


def _case(number: int, seed: int) -> LargeCase:
    rng = np.random.default_rng([seed, 257, number])
    crystal = LARGE_TYPES[number % len(LARGE_TYPES)]
    while True:
        found = random_particle(rng, crystal, SIZES, test=True)
        # Whole icosahedra are so few that all are trained on.
        if crystal != "ico" or isinstance(found, Piece):
            break
    return LargeCase(
        number,
        crystal,
        found.structure_type,
        found.positions * rng.uniform(*BONDS),
        qdamp=float(rng.uniform(0.015, 0.06)),
        known=(number // len(LARGE_TYPES)) % 2 == 0,
        biso=float(rng.uniform(0.3, 0.8)),
        rmax=float(rng.uniform(60, 100)),
    )


def large_pdf(case: LargeCase) -> PDFData:
    """The PDF of a case, with noise of 0.5 %."""
    (pdf,) = simulate(
        [Cluster("Pt", case.positions)],
        qdamp=case.qdamp,
        biso=case.biso,
        rmax=case.rmax,
    )
    rng = np.random.default_rng(case.number)
    noise = 0.005 * pdf.g.std() * rng.standard_normal(len(pdf.g))
    return PDFData(
        r=pdf.r,
        g=pdf.g + noise,
        composition="Pt",
        qmin=pdf.qmin,
        qmax=pdf.qmax,
        qdamp=case.qdamp if case.known else None,
    )


def solve_large(job: tuple[LargeCase, str]) -> list[dict[str, Any]]:
    """The figures of all generators for one case, and the truth's own Rw."""
    case, weights = job
    torch.set_num_threads(1)
    pdf = large_pdf(case)
    target = Target.of(pdf, rmax=case.rmax)
    own = quick_fit([case.positions], target)[0].rw
    rows = [
        {**_figures(name, case, pdf, target, weights), "rw_truth": own}
        for name in GENERATORS
    ]
    return [*rows, _stated(case, pdf)]


def _stated(case: LargeCase, pdf: PDFData) -> dict[str, Any]:
    """The range of N that a user is told: the whole job, all defaults."""
    start = time.perf_counter()
    found = cb.solve(pdf, rmax=case.rmax)
    told = found.atoms
    return {
        "generator": STATED,
        "truth": case.crystal,
        "known": case.known,
        "n": len(case.positions),
        "range": told and [told.low, told.high],
        "seconds": time.perf_counter() - start,
    }


def _figures(
    name: str, case: LargeCase, pdf: PDFData, target: Target, weights: str
) -> dict[str, Any]:
    """What is reported of one generator on one PDF."""
    start = time.perf_counter()
    more = {"large": weights} if name == "cbldm" else {}
    found = _MAKE[name](pdf, count=PROPOSED, rmax=case.rmax, **more)
    if name == "library":
        found = [c for c in found if not _is_truth(c, case)]
    fits = quick_fit([c.positions for c in found], target)
    seconds = time.perf_counter() - start
    rw = np.array([f.rw for f in fits])
    best = found[int(rw.argmin())]
    n = len(case.positions)
    good = [c for c, value in zip(found, rw) if value < as_good(rw.min())]
    return {
        "generator": name,
        "truth": case.crystal,
        "known": case.known,
        "n": n,
        "rw": float(rw.min()),
        "atoms": len(best),
        "n_error": abs(len(best) - n) / n,
        "right_n": abs(len(best) - n) <= NEAR * n,
        "right_type": best.structure_type == case.kind,
        "type_in_set": case.kind in {c.structure_type for c in good},
        "seconds": seconds,
    }


def _is_truth(candidate: Candidate, case: LargeCase) -> bool:
    """Whether a candidate is the very particle that the PDF is of."""
    if len(candidate) != len(case.positions):
        return False
    size, truth = (
        (x - x.mean(0)).std() for x in (candidate.positions, case.positions)
    )
    return bool(abs(size / truth - 1) < 0.01)


ALL = "all three"
"""What the table calls the best of all generators."""

COLUMNS = ("right_type", "type_in_set", "right_n", "n_error", "rw", "rw_truth")
"""Of the table: shares, and means."""


def large_report(rows: list[dict[str, Any]]) -> str:
    """The table, how often which generator fits better, ranges of N."""
    head = "".join(f"{c:>12s}" for c in (*COLUMNS, "seconds"))
    lines = [f"{'Qdamp':8s}{'generator':10s}{'PDFs':>5s}{head}"]
    for known in (True, False):
        for name in (*GENERATORS, ALL):
            part = (
                _best(rows, known) if name == ALL else _of(rows, name, known)
            )
            if not part:
                continue
            cells = [
                f"{np.mean([r[c] for r in part]):12.4f}"
                for c in (*COLUMNS, "seconds")
            ]
            label = "known" if known else "unknown"
            row = f"{label:8s}{name:10s}{len(part):5d}" + "".join(cells)
            lines.append(row)
    for known in (True, False):
        lines += _compared(rows, known)
        lines += _held(rows, known)
    for crystal in LARGE_TYPES:
        part = [r for r in _of(rows, "cbldm") if r["truth"] == crystal]
        if part:
            lines.append(
                f"{crystal}: type right in "
                f"{np.mean([r['right_type'] for r in part]):.0%}, N within "
                f"{NEAR:.0%} in {np.mean([r['right_n'] for r in part]):.0%} "
                f"of {len(part)}"
            )
    return "\n".join(lines)


def _of(
    rows: list[dict[str, Any]], name: str, known: bool | None = None
) -> list[dict[str, Any]]:
    return [
        r
        for r in rows
        if r["generator"] == name and known in (None, r["known"])
    ]


def _best(rows: list[dict[str, Any]], known: bool) -> list[dict[str, Any]]:
    """What a job puts first: of all proposals for a PDF the lowest Rw."""
    each = [_of(rows, name, known) for name in GENERATORS]
    return [min(found, key=lambda r: r["rw"]) for found in zip(*each)]


def _compared(rows: list[dict[str, Any]], known: bool) -> list[str]:
    """The model beside the others, where Qdamp is known or not."""
    ours = _of(rows, "cbldm", known)
    if not ours:
        return []
    label = "known" if known else "not known"
    lines = []
    for name in GENERATORS[1:]:
        theirs = _of(rows, name, known)
        gain = np.array([b["rw"] - a["rw"] for a, b in zip(ours, theirs)])
        lines.append(
            f"Qdamp {label}: cbldm fits better than {name} in "
            f"{np.mean(gain > TIE):.0%}, worse in {np.mean(gain < -TIE):.0%} "
            f"of {len(gain)}, by more than {TIE:g}"
        )
    width, held = held_share(
        [float(np.log(r["atoms"] / r["n"])) for r in ours]
    )
    lines.append(
        f"Qdamp {label}: a range of {np.expm1(width):.0%} about the answer, "
        f"calibrated on every other PDF, holds N in {held:.0%}"
    )
    return lines


def _held(rows: list[dict[str, Any]], known: bool) -> list[str]:
    """How often the range that a user is told holds N."""
    part = _of(rows, STATED, known)
    told = [r for r in part if r["range"]]
    if not told:
        return []
    label = "known" if known else "not known"
    held = [r["range"][0] <= r["n"] <= r["range"][1] for r in told]
    wide = np.median([r["range"][1] / r["range"][0] for r in told])
    return [
        f"Qdamp {label}: the range of the whole job holds N in "
        f"{np.mean(held):.0%} of {len(told)} ({len(part) - len(told)} have "
        f"none), its end over its beginning {wide:.2f} (median)"
    ]


def held_share(errors: list[float], level: float = 0.9) -> tuple[float, float]:
    """A width of ln N, and how often a range of that width holds N.

    Each half of the cases is judged by the width that the other half needs
    for `level` (split conformal prediction).
    """
    values = np.abs(errors)
    widths, held = [], []
    for first in (0, 1):
        fit, rest = np.sort(values[first::2]), values[1 - first :: 2]
        if not len(fit):
            continue
        place = min(len(fit), int(np.ceil(level * (len(fit) + 1)))) - 1
        widths.append(fit[place])
        held += list(rest <= fit[place])
    return float(np.mean(widths)), float(np.mean(held)) if held else 0.0
