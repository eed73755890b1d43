"""Tables of `measured_world`, and the facts of the package that follow.

Facts are fitted on the cases of even number and counted on those of odd
number, ranges of N as well (split conformal prediction).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
from scipy.optimize import minimize

from diffpy_cbldm.solving.atom_range import AtomRange
from diffpy_cbldm.solving.doubt_facts import DOUBTED, FACTS
from diffpy_cbldm.solving.doubt_table import family
from diffpy_cbldm.solving.sizes import covering
from diffpy_cbldm.solving.world_range import (
    SHARES,
    WIDENING,
    conformal,
    excess,
    stratum_of,
    widened,
)
from tests.benchmarks.no_particle import KINDS

FALSE_ALARMS = 0.15
"""So many right answers may be doubted."""

TUNED = {"misfit": 0.9, "before": 0.9, "uiso": 0.97, "types": 0.8}
"""Thresholds that are quantiles of right answers; others mean something."""

Row = dict[str, Any]


def particles(rows: Sequence[Row]) -> list[Row]:
    """Cases of metal particles that got an answer."""
    return [r for r in rows if r["kind"] not in KINDS and r["state"] != "none"]


def base(row: Row) -> AtomRange:
    """The range before it is widened: what explains the data as well."""
    n = row["atoms"]
    best: Any = _Best(n, row["rw"])
    crystal: Any = SimpleNamespace(
        n_atoms=row["crystal"][0], rw=row["crystal"][1]
    )
    sizes: Any = [
        SimpleNamespace(n_atoms=a, crystal_atoms=b) for a, b in row["sizes"]
    ]
    return covering(AtomRange(n, n, n, 0.9), sizes, best, crystal)


class _Best(list):
    """So many atoms, with an Rw."""

    def __init__(self, atoms: int, rw: float) -> None:
        super().__init__([0] * atoms)
        self.rw = rw


def stratum(row: Row) -> str:
    """Its stratum, from what a user sees."""
    return stratum_of(row["diameter"], row["rmax"], row["told"], row["rw"])


def held(row: Row, share: float = 0.9, mean: str = "weight_mean") -> bool:
    """Whether the range of N holds the mean."""
    found = widened(base(row), stratum(row), share)
    return found.low <= row[mean] <= found.high


def right(row: Row) -> bool:
    """Whether the answer has the right type, and its range holds."""
    kinds = {family(kind) for kind in row["types"]} | {family(row["type"])}
    return family(row["kind"]) in kinds and held(row)


def widening(rows: Sequence[Row]) -> dict[str, dict[float, float]]:
    """What `WIDENING` should be, by stratum and share."""
    found = {}
    for name in WIDENING:
        some = [r for r in rows if stratum(r) == name]
        scores = [excess(base(r), r["weight_mean"]) for r in some]
        found[name] = {s: round(conformal(scores, s), 3) for s in SHARES}
    return found


def thresholds(rows: Sequence[Row]) -> dict[str, float]:
    """Of each test: given, or a quantile of right answers."""
    good = [r for r in rows if right(r)]
    return {
        name: (
            round(
                float(
                    np.quantile([r["doubts"][name] for r in good], TUNED[name])
                ),
                3,
            )
            if name in TUNED
            else fact.threshold
        )
        for name, fact in FACTS.items()
    }


def weights(rows: Sequence[Row], limits: dict[str, float]) -> dict[str, float]:
    """Of each test, none negative: a logistic regression of wrong answers.

    In units of the score from which as many right answers are doubted as may
    be.
    """
    x = np.array(
        [[r["doubts"][n] > limits[n] for n in FACTS] for r in rows], float
    )
    wrong = np.array([not right(r) for r in rows], float)

    def loss(p: np.ndarray) -> float:
        logit = x @ p[1:] + p[0]
        fit = np.mean(np.logaddexp(0, logit) - wrong * logit)
        return float(fit + 0.5 / len(x) * p[1:] @ p[1:])

    bounds = [(None, None)] + [(0.0, 4.0)] * len(FACTS)
    p = minimize(loss, np.zeros(len(FACTS) + 1), bounds=bounds).x[1:]
    scores = np.sort(x[wrong == 0] @ p)
    place = int(np.ceil((1 - FALSE_ALARMS) * len(scores))) - 1
    cut = float(scores[min(place, len(scores) - 1)]) + 1e-3
    return {n: round(float(w / max(cut, 1e-3)), 2) for n, w in zip(FACTS, p)}


def score(row: Row) -> float:
    """Of an answer, by the facts of the package."""
    return sum(
        fact.weight
        for name, fact in FACTS.items()
        if row["doubts"][name] > fact.threshold
    )


def share(rows: Sequence[Row], of: Callable[[Row], Any]) -> str:
    """A percentage with the number of cases."""
    if not rows:
        return "-"
    return f"{np.mean([bool(of(r)) for r in rows]):.0%} of {len(rows)}"


def tables(rows: Sequence[Row]) -> str:
    """All tables as markdown."""
    some = particles(rows)
    odd = [r for r in some if r["number"] % 2]
    parts = [
        f"{len(rows)} cases, {len(some)} particles with an answer; figures "
        f"of the {len(odd)} of odd number.",
        _ranges(odd),
        _doubts(odd),
        _none(rows),
    ]
    return "\n\n".join(parts)


def _lines(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rule = ["---"] * len(head)
    return "\n".join("| " + " | ".join(x) + " |" for x in [head, rule, *lines])


def _ranges(rows: Sequence[Row]) -> str:
    head = ["stratum", "type right", "N: median, spread", "50 % holds"]
    head += ["90 % holds", "number mean", "90 % range, high over low"]
    lines = []
    for name in [*WIDENING, "all"]:
        some = [r for r in rows if name in (stratum(r), "all")]
        off = [np.log(r["atoms"] / r["weight_mean"]) for r in some] or [0.0]
        wide = [widened(base(r), stratum(r), 0.9) for r in some]
        ratio = [w.high / max(w.low, 1) for w in wide] or [1.0]
        lines.append(
            [
                name,
                share(some, lambda r: family(r["type"]) == family(r["kind"])),
                f"{np.exp(np.median(off)):.2f}, {np.std(off):.2f}",
                share(some, lambda r: held(r, 0.5)),
                share(some, held),
                share(some, lambda r: held(r, 0.9, "number_mean")),
                f"{np.median(ratio):.1f}",
            ]
        )
    return _lines(head, lines)


def _doubts(rows: Sequence[Row]) -> str:
    good = [r for r in rows if right(r)]
    bad = [r for r in rows if not right(r)]
    head = ["doubt", "threshold", "weight", "right answers", "wrong answers"]
    lines = []
    for name, fact in FACTS.items():

        def raised(
            r: Row, name: str = name, at: float = fact.threshold
        ) -> bool:
            return bool(r["doubts"][name] > at)

        lines.append(
            [
                name,
                f"{fact.threshold:g}",
                f"{fact.weight:g}",
                share(good, raised),
                share(bad, raised),
            ]
        )
    doubted = [share(x, lambda r: score(r) >= DOUBTED) for x in (good, bad)]
    lines.append(["**score**", f"{DOUBTED:g}", "", *doubted])
    return _lines(head, lines)


def _none(rows: Sequence[Row]) -> str:
    head = ["what it is", "no structure", "reasons"]
    lines = []
    for kind in [*KINDS, "metal particle"]:
        some = [
            r
            for r in rows
            if r["kind"] == kind
            or (kind == "metal particle" and r["kind"] not in KINDS)
        ]
        said = [r["reason"] for r in some if r["reason"]]
        each = [f"{said.count(x)} {x}" for x in dict.fromkeys(said)]
        lines.append(
            [
                kind,
                share(some, lambda r: r["state"] == "none"),
                ", ".join(each) or "-",
            ]
        )
    return _lines(head, lines)


def facts(rows: Sequence[Row]) -> str:
    """What the tables of the package should hold, from the even cases."""
    even = [r for r in particles(rows) if not r["number"] % 2]
    limits = thresholds(even)
    found = weights(even, limits)
    lines = [f"WIDENING = {widening(even)}"]
    lines += [f'"{n}": Fact({limits[n]:g}, {found[n]:g}),' for n in FACTS]
    return "\n".join(lines)
