"""Tables of `measured_world`, and the facts of the package that follow.

The package's facts are fitted on all cases.  What is counted is crossed: the
centre, spread and factors of a range are those of four fifths of the cases to
which it does not belong, and the weights of its score those of the other
half.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from scipy.optimize import minimize

from diffpy_cbldm.solving import size_evidence
from diffpy_cbldm.solving.doubt_facts import DOUBTED, FACTS
from diffpy_cbldm.solving.doubt_table import family
from diffpy_cbldm.solving.size_evidence import (
    FACTORS,
    SHARES,
    SizeEvidence,
    conformal,
)
from tests.benchmarks.no_particle import KINDS

FALSE_ALARMS = 0.13
"""So many right answers may be doubted, of those that weights are fitted to;
of others it is 15 % then."""

NEAR = 0.3
"""N is about right within this share."""

GROSS = 1.5
"""And far off by this factor."""

FEW = 3
"""Tests that fewer cases raise are not fitted."""

TUNED = {"rw": 0.95, "misfit": 0.95, "before": 0.95, "uiso": 0.98}
"""Thresholds that are quantiles of right answers; others mean something."""

PARTS = 5
"""Of the cases, for what is counted crossed."""

Row = dict[str, Any]

Ends = tuple[int, int]
"""The least and the most atoms."""


def particles(rows: Sequence[Row]) -> list[Row]:
    """Cases of metal particles that got an answer."""
    return [r for r in rows if r["kind"] not in KINDS and r["state"] != "none"]


def seen(row: Row) -> SizeEvidence:
    """What of the answer tells its size."""
    return SizeEvidence(**row["evidence"])


SINGLE = "one particle"
"""The stratum of data that one particle explains."""


def stratum(row: Row) -> str:
    """The part of all answers to which one belongs."""
    return seen(row).stratum if powder(row) else SINGLE


def powder(row: Row) -> bool:
    """Whether the range is that of powders: one particle has no other."""
    return bool(row.get("of_powders", True))


def kept(row: Row) -> Ends:
    """What the stated range holds whatever the facts say: edits, the answer.

    As `diffpy_cbldm.solving.world_range.on_powders` joins them.
    """
    one, edited = seen(row), row.get("edited")
    low, high = edited or (one.low, one.high)
    if one.second:
        return one.atoms, one.atoms
    return min(low, row["atoms"]), max(high, row["atoms"])


def reach(row: Row, mean: str = "weight_mean") -> float:
    """Up to how many spreads the range must go to hold a mean."""
    low, high = kept(row)
    if low <= row[mean] <= high:
        return 0.0
    return seen(row).score(row[mean])


def ends(row: Row, factor: float) -> Ends:
    """The range that is stated with so many spreads."""
    if not powder(row):
        low, high = row["stated"]
        return low, high
    (least, most), (low, high) = kept(row), seen(row).ends(factor)
    return min(least, low), max(most, high)


def held(row: Row, share: float = 0.9, mean: str = "weight_mean") -> bool:
    """Whether the range of N, by the facts of the package, holds the mean."""
    if not powder(row):
        low, high = row["stated"]
        return bool(low <= row[mean] <= high)
    return reach(row, mean) <= FACTORS[seen(row).stratum][share]


def named(row: Row) -> bool:
    """Whether the right type is among those that the answer names."""
    return family(row["kind"]) in map(family, [row["type"], *row["types"]])


def off(row: Row) -> float:
    """By what factor N is off, at least 1."""
    return float(np.exp(abs(np.log(seen(row).atoms / row["weight_mean"]))))


def right(row: Row) -> bool:
    """Whether the answer has the right type, and about the right N.

    A tenth of the ranges do not hold, as they are made: what is out of them
    by less than `NEAR` of N is no wrong answer.
    """
    return named(row) and (held(row) or off(row) < 1 + NEAR)


def gross(row: Row) -> bool:
    """Whether it is wrong by more than a tenth of all ranges are."""
    return not named(row) or (not held(row) and off(row) > GROSS)


def bonds(rows: Sequence[Row]) -> dict[str, dict[float, float]]:
    """What `BOND` should be, by stratum and share."""
    found = {}
    for name in FACTORS:
        some = [
            abs(math.log(r["bond"] / r["true_bond"]))
            for r in rows
            if stratum(r) == name and r.get("true_bond")
        ]
        found[name] = {s: round(conformal(some, s), 4) for s in SHARES}
    return found


def types(rows: Sequence[Row]) -> dict[str, tuple[int, int]]:
    """What `TYPES` should be."""
    found: dict[str, list[bool]] = {}
    for r in filter(powder, rows):
        rivals = len(r["types"]) > 1
        kind = "rivals" if rivals else stratum(r).split(",")[0]
        found.setdefault(kind, []).append(first_right(r))
    return {kind: (sum(some), len(some)) for kind, some in found.items()}


def first_right(row: Row) -> bool:
    """Whether the type of the first structure is the right one."""
    return family(row["type"]) == family(row["kind"])


def factors(rows: Sequence[Row]) -> dict[str, dict[float, float]]:
    """What `FACTORS` should be, by stratum and share."""
    found = {}
    for name in FACTORS:
        some = [r for r in rows if stratum(r) == name]
        scores = list(map(reach, some))
        found[name] = {s: round(conformal(scores, s), 2) for s in SHARES}
    return found


@contextlib.contextmanager
def told_by(rows: Sequence[Row]) -> Iterator[dict[str, dict[float, float]]]:
    """The facts of ranges as these cases ask for, and their `FACTORS`."""
    known = size_evidence.CENTRE, size_evidence.SPREAD
    some = list(filter(powder, rows))
    found = size_evidence.fitted(
        list(map(seen, some)), [r["weight_mean"] for r in some]
    )
    size_evidence.CENTRE, size_evidence.SPREAD = found
    try:
        yield factors(rows)
    finally:
        size_evidence.CENTRE, size_evidence.SPREAD = known


def crossed_ranges(rows: Sequence[Row]) -> dict[int, dict[float, Ends]]:
    """Ranges by number and share, by facts of the other `PARTS`."""
    found: dict[int, dict[float, Ends]] = {}
    for part in range(PARTS):
        mine = [r for r in rows if r["number"] % PARTS == part]
        others = [r for r in rows if r["number"] % PARTS != part]
        if not mine or not others:
            continue
        with told_by(others) as limits:
            for r in mine:
                by_share = limits.get(stratum(r), dict.fromkeys(SHARES, 0.0))
                found[r["number"]] = {s: ends(r, by_share[s]) for s in SHARES}
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


def misfits(rows: Sequence[Row]) -> list[Row]:
    """The answers that leave a misfit, of which few cases have one."""
    return [
        r
        for r in particles(rows)
        if powder(r) and stratum(r).startswith("misfit")
    ]


def tables(rows: Sequence[Row], more: Sequence[Row] = ()) -> str:
    """All tables as markdown.

    Parameters
    ----------
    rows : sequence of Row
    more : sequence of Row
        Of further cases: they count for the ranges of answers with a misfit
        alone, by which they may have been chosen.
    """
    some, extra = particles(rows), misfits(more)
    first = f"{len(rows)} cases, {len(some)} particles with an answer"
    if extra:
        first += f", and {len(extra)} further answers with a misfit"
    parts = [first, _ranges([*some, *extra]), stated([*rows, *extra])]
    return "\n\n".join([*parts, _doubts(some), _none(rows)])


def stated(rows: Sequence[Row]) -> str:
    """How often ranges hold: as they were stated, and by today's facts."""
    head = ["stratum", "as stated", "high over low", "by today's facts"]
    head += ["number mean", "high over low"]
    lines = []
    for name in [*FACTORS, SINGLE, "all"]:
        some = [
            r
            for r in particles(rows)
            if name in (stratum(r), "all") and r.get("stated")
        ]
        then = [r["stated"] for r in some]
        now = [ends(r, FACTORS[seen(r).stratum][0.9]) for r in some]
        wide = [
            f"{np.median([high / low for low, high in x] or [1.0]):.2f}"
            for x in (then, now)
        ]
        shares = [share(some, of) for of in (_as_stated, held, _number_held)]
        lines.append([name, shares[0], wide[0], *shares[1:], wide[1]])
    return _lines(head, lines)


def _as_stated(row: Row) -> bool:
    """Whether the range that was stated holds the weight mean."""
    low, high = row["stated"]
    return bool(low <= row["weight_mean"] <= high)


def _number_held(row: Row) -> bool:
    return held(row, mean="number_mean")


def _lines(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rule = ["---"] * len(head)
    return "\n".join("| " + " | ".join(x) + " |" for x in [head, rule, *lines])


def _ranges(rows: Sequence[Row]) -> str:
    head = [
        "stratum",
        "type first",
        "or named",
        "N: median, spread",
        "50 % holds",
    ]
    head += ["90 % holds", "number mean", "90 % range, high over low"]
    found = crossed_ranges(rows)

    def holds(of: float, mean: str) -> Callable[[Row], bool]:
        def inside(r: Row) -> bool:
            low, high = found[r["number"]][of]
            return bool(low <= r[mean] <= high)

        return inside

    lines = []
    for name in [*FACTORS, SINGLE, "all"]:
        some = [
            r
            for r in rows
            if name in (stratum(r), "all") and r["number"] in found
        ]
        ratios = [np.log(seen(r).atoms / r["weight_mean"]) for r in some]
        nine = [found[r["number"]][0.9] for r in some]
        wide = [high / low for low, high in nine] or [1.0]
        lines.append(
            [
                name,
                share(some, first_right),
                share(some, named),
                f"{np.exp(np.median(ratios or [0.0])):.2f}, "
                f"{np.std(ratios or [0.0]):.2f}",
                share(some, holds(0.5, "weight_mean")),
                share(some, holds(0.9, "weight_mean")),
                share(some, holds(0.9, "number_mean")),
                f"{np.median(wide):.1f}",
            ]
        )
    return _lines(head, lines)


def _doubts(rows: Sequence[Row]) -> str:
    good = [r for r in rows if right(r)]
    bad = [r for r in rows if not right(r)]
    far = [r for r in rows if gross(r)]
    head = ["doubt", "threshold", "weight", "right answers", "wrong answers"]
    head.append("far off")
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
                share(far, raised),
            ]
        )
    crossed = crossed_score(rows)
    for title, of in (
        ("score", score),
        ("score, crossed", lambda r: crossed.get(r["number"], math.nan)),
    ):
        doubted = [
            share(x, lambda r, of=of: of(r) >= DOUBTED)
            for x in (good, bad, far)
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


def facts(rows: Sequence[Row], more: Sequence[Row] = ()) -> str:
    """What the tables of the package should hold; `more` as for `tables`."""
    some, extra = particles(rows), misfits(more)
    limits = thresholds(some)
    found = weights(some, limits)
    with told_by([*some, *extra]) as limits_of_n:
        centre = tuple(round(x, 2) for x in size_evidence.CENTRE)
        spread = {k: round(x, 2) for k, x in size_evidence.SPREAD.items()}
    lines = [f"CENTRE = {centre}", f"SPREAD = {spread}"]
    kinds = types(some)
    if "misfit" in kinds:
        kinds["misfit"] = types([*some, *extra])["misfit"]
    lines.append(f"FACTORS = {limits_of_n}")
    lines.append(f"BOND = {bonds([*some, *extra])}")
    lines.append(f"TYPES = {kinds}")
    lines += [f'"{n}": Fact({limits[n]:g}, {found[n]:g}),' for n in FACTS]
    return "\n".join(lines)
