"""Tables of `measured_world`, and the facts of the package that follow.

The package's facts are fitted on all cases.  What is counted is crossed: the
range of each case is widened by what the others ask, and the weights of its
score are fitted on the half of the cases to which it does not belong.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy.optimize import minimize

from diffpy_cbldm.solving.atom_range import AtomRange
from diffpy_cbldm.solving.doubt_facts import DOUBTED, FACTS
from diffpy_cbldm.solving.doubt_table import family
from diffpy_cbldm.solving.world_range import (
    SHARES,
    WIDENING,
    conformal,
    excess,
    stratum_of,
    widened,
    widened_by,
)
from tests.benchmarks.no_particle import KINDS

FALSE_ALARMS = 0.15
"""So many right answers may be doubted."""

NEAR = 0.3
"""N is about right within this share."""

FEW = 3
"""Tests that fewer cases raise are not fitted."""

TUNED = {"rw": 0.9, "misfit": 0.95, "before": 0.95, "uiso": 0.98}
"""Thresholds that are quantiles of right answers; others mean something."""

Row = dict[str, Any]


def particles(rows: Sequence[Row]) -> list[Row]:
    """Cases of metal particles that got an answer."""
    return [r for r in rows if r["kind"] not in KINDS and r["state"] != "none"]


def base(row: Row) -> AtomRange:
    """The range before it is widened: what explains the data as well."""
    low, high = row["alike"]
    return AtomRange(row["atoms"], low, high, 0.9)


def stratum(row: Row) -> str:
    """Its stratum, from what a user sees."""
    return stratum_of(row["diameter"], row["rmax"], row["told"], row["rw"])


def held(row: Row, share: float = 0.9, mean: str = "weight_mean") -> bool:
    """Whether the range of N holds the mean."""
    found = widened(base(row), stratum(row), share)
    return found.low <= row[mean] <= found.high


def named(row: Row) -> bool:
    """Whether the right type is among those that the answer names."""
    return family(row["kind"]) in map(family, [row["type"], *row["types"]])


def right(row: Row) -> bool:
    """Whether the answer has the right type, and about the right N.

    A tenth of the ranges do not hold, as they are made: what is out of them
    by less than `NEAR` of N is no wrong answer.
    """
    off = abs(np.log(row["atoms"] / row["weight_mean"]))
    return named(row) and (held(row) or off < np.log(1 + NEAR))


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
    scores = x @ p
    # The lowest score from which few enough right answers are doubted.
    most = np.ceil(FALSE_ALARMS * (wrong == 0).sum())
    cuts = [
        cut
        for cut in np.unique(scores)
        if (scores[wrong == 0] >= cut - 1e-9).sum() <= most
    ]
    # More than 1 says no more.
    p = np.minimum(np.round(p / max(cuts[0] if cuts else 1.0, 0.2), 2), 1.0)
    return {
        # What next to no case raises cannot be fitted: it keeps its weight.
        name: fact.weight if raised < FEW else float(w)
        for (name, fact), w, raised in zip(FACTS.items(), p, x.sum(0))
    }


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


def crossed_range(row: Row, rows: Sequence[Row], of: float) -> AtomRange:
    """Its range for a share, widened by what the others of its stratum ask."""
    scores = [
        excess(base(r), r["weight_mean"])
        for r in rows
        if stratum(r) == stratum(row) and r is not row
    ]
    return widened_by(base(row), conformal(scores, of), of)


def crossed_score(rows: Sequence[Row]) -> dict[int, float]:
    """Scores by number, with weights fitted on the other half."""
    found = {}
    for part in (0, 1):
        others = [r for r in rows if r["number"] % 2 != part]
        if not others:
            continue
        limits = thresholds(others)
        fitted = weights(others, limits)
        for r in rows:
            if r["number"] % 2 == part:
                found[r["number"]] = sum(
                    fitted[n] for n in FACTS if r["doubts"][n] > limits[n]
                )
    return found


def tables(rows: Sequence[Row]) -> str:
    """All tables as markdown."""
    some = particles(rows)
    first = f"{len(rows)} cases, {len(some)} particles with an answer"
    return "\n\n".join([first, _ranges(some), _doubts(some), _none(rows)])


def _lines(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rule = ["---"] * len(head)
    return "\n".join("| " + " | ".join(x) + " |" for x in [head, rule, *lines])


def _ranges(rows: Sequence[Row]) -> str:
    head = ["stratum", "type right", "N: median, spread", "50 % holds"]
    head += ["90 % holds", "number mean", "90 % range, high over low"]
    half = {r["number"]: crossed_range(r, rows, 0.5) for r in rows}
    most = {r["number"]: crossed_range(r, rows, 0.9) for r in rows}

    def holds(found: dict[int, AtomRange], mean: str) -> Callable[[Row], bool]:
        return lambda r: (
            found[r["number"]].low <= r[mean] <= found[r["number"]].high
        )

    lines = []
    for name in [*WIDENING, "all"]:
        some = [r for r in rows if name in (stratum(r), "all")]
        off = [np.log(r["atoms"] / r["weight_mean"]) for r in some] or [0.0]
        wide = [most[r["number"]] for r in some]
        ratio = [w.high / max(w.low, 1) for w in wide] or [1.0]
        lines.append(
            [
                name,
                share(some, lambda r: family(r["type"]) == family(r["kind"])),
                f"{np.exp(np.median(off)):.2f}, {np.std(off):.2f}",
                share(some, holds(half, "weight_mean")),
                share(some, holds(most, "weight_mean")),
                share(some, holds(most, "number_mean")),
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

        def raised(r: Row, n: str = name, at: float = fact.threshold) -> bool:
            return bool(r["doubts"][n] > at)

        lines.append(
            [
                name,
                f"{fact.threshold:g}",
                f"{fact.weight:g}",
                share(good, raised),
                share(bad, raised),
            ]
        )
    crossed = crossed_score(rows)
    for title, of in (
        ("score", score),
        ("score, crossed", lambda r: crossed[r["number"]]),
    ):
        doubted = [
            share(x, lambda r, of=of: of(r) >= DOUBTED) for x in (good, bad)
        ]
        lines.append([title, f"{DOUBTED:g}", "", *doubted])
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
    """What the tables of the package should hold."""
    some = particles(rows)
    limits = thresholds(some)
    found = weights(some, limits)
    lines = [f"WIDENING = {widening(some)}"]
    lines += [f'"{n}": Fact({limits[n]:g}, {found[n]:g}),' for n in FACTS]
    return "\n".join(lines)
