"""Whether sizes that the data do not tell apart should widen small ranges.

    python -m tests.benchmarks.measured_world --json world.json
    python -m tests.benchmarks.alike_sizes --rows world.json --json fits.json

Of the answers of `measured_world` with up to 256 atoms: ideal clusters of
half to twice as many atoms are fitted as the answer is (quick fits), and count
as alike where the answer is better by less than some standard deviations
(`diffpy_cbldm.solving.plainest.distinction`), or where the ratio of the
squares, less one, is below a limit over the effective number of points
(`diffpy_cbldm.fitting.effective_points`).  Three tables say what comes of it:
ranges of today that also hold what is alike, beside ranges that are all wider
by one factor and as wide in the mean; ranges calibrated with it, crossed; and
how often a size far off, or another type, is alike.  A last one has stacked
particles that are smaller than the stacked crystals of the library.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from diffpy_cbldm.crystals.table import load_table
from diffpy_cbldm.files import write_atomic
from diffpy_cbldm.fitting.effective_points import effective_points
from diffpy_cbldm.fitting.quickfit import left_over, quick_fit
from diffpy_cbldm.fitting.target import Target
from diffpy_cbldm.search.by_library import screened_library
from diffpy_cbldm.settings import MAX_ATOMS
from diffpy_cbldm.solving.doubt_facts import DOUBTED
from diffpy_cbldm.solving.doubt_table import family
from diffpy_cbldm.solving.headers import settle
from diffpy_cbldm.solving.plainest import distinction
from diffpy_cbldm.solving.world_range import range_of
from tests.benchmarks.measured_world import case
from tests.benchmarks.world_tables import (
    NEAR,
    Ends,
    Row,
    crossed_ranges,
    named,
    off,
    particles,
    right,
    score,
    seen,
)

FACTOR = 2.2
"""Clusters of so many times more or fewer atoms are fitted."""

STEP = 0.1
"""The best one, by the screening, of each such step of log N and type."""

FAR = 1.25
"""A size that differs by this factor is far off."""

LIMITS = (("sigma", 0.5), ("sigma", 1.0), ("sigma", 1.645), ("points", 4.0))
"""How alike is measured, and up to what."""

BESIDE = {
    "fcc": ("stacked", "hcp", "dec", "ico"),
    "hcp": ("stacked", "fcc"),
    "dec": ("fcc", "ico", "stacked"),
    "ico": ("dec", "fcc"),
    "stacked": ("fcc", "hcp"),
}
"""Types that are near to one another: close packed, and twins of it."""

Fits = dict[str, Any]
"""Of one answer: its own fit, the effective points, and all others."""


def fits_of(row: Row) -> Fits:
    """Quick fits of ideal clusters about the size of an answer."""
    table = load_table()
    kinds = np.array([g.structure_type for g in table.geometries])
    sizes = np.array([g.n_atoms for g in table.geometries])
    target = settle(Target.of(case(row["number"]).pdf), "auto")[0]
    rw, bonds = map(np.copy, screened_library(target))
    first: dict[tuple[str, int], int] = {}
    near = abs(np.log(sizes / row["atoms"])) < math.log(FACTOR)
    for k in sorted(np.flatnonzero(near & (sizes <= MAX_ATOMS)), key=rw.item):
        # What the screening puts so far off no fit brings near.
        if rw[k] < 2 * rw.min() + 0.05:
            step = round(math.log(sizes[k]) / STEP)
            first.setdefault((kinds[k], step), k)
    same = np.flatnonzero(
        (kinds == row["type"]) & (sizes == row["atoms"])
    ).tolist()
    chosen = sorted({*first.values(), *sorted(same, key=rw.item)[:2]})
    positions = [table.positions(k) * bonds[k] for k in chosen]
    fits = quick_fit(positions, target)
    # A relaxed or cut answer is no ideal cluster: the best one stands for it.
    own = [i for i, k in enumerate(chosen) if k in same] or range(len(fits))
    best = min(own, key=lambda i: fits[i].rw)
    left = [
        left_over(x, target, f) for x, f in zip(positions, fits, strict=True)
    ]
    points = effective_points(target.r, left[best], target.qmin, target.qmax)
    told = [(str(kinds[k]), int(sizes[k])) for k in chosen]
    return {
        "number": row["number"],
        "answer": (*told[best], float(fits[best].rw)),
        "n_eff": points,
        "fits": [
            (*name, float(f.rw), distinction(target.r, left[best], other))
            for name, f, other in zip(told, fits, left, strict=True)
        ],
    }


def alike(one: Fits, how: str, limit: float) -> list[tuple[str, int]]:
    """Type and N of all that are not told from the answer."""
    rw = one["answer"][2]
    found = []
    for kind, n, other, sigma in one["fits"]:
        by_points = one["n_eff"] * ((other / rw) ** 2 - 1)
        if (sigma if how == "sigma" else by_points) < limit:
            found.append((family(kind), n))
    return found


def alike_sizes(row: Row, one: Fits, how: str, limit: float) -> list[int]:
    """N of those of the answer's type, or of one beside it."""
    # Beside a second phase the range is that of another particle.
    if row["evidence"]["second"]:
        return []
    own = family(one["answer"][0])
    near = (own, *BESIDE.get(own, ()))
    sizes = [n for kind, n in alike(one, how, limit) if kind in near]
    return [row["atoms"], *sizes]


def line(name: str, rows: Sequence[Row], ends: dict[int, Ends]) -> str:
    """How often ranges hold, how wide they are, and what is doubted."""

    def holds(r: Row) -> bool:
        low, high = ends[r["number"]]
        return bool(low <= r["weight_mean"] <= high)

    def is_right(r: Row) -> bool:
        return named(r) and (holds(r) or off(r) < 1 + NEAR)

    def part(of: Callable[[Row], bool], some: Sequence[Row]) -> str:
        return f"{sum(map(of, some))} of {len(some)}"

    small = [r for r in rows if r["atoms"] <= MAX_ATOMS]
    wide = [ends[r["number"]][1] / ends[r["number"]][0] for r in small]
    bad = [r for r in rows if not is_right(r)]
    good = [r for r in rows if is_right(r)]
    cells = [
        name,
        *(part(holds, rows), part(holds, small), f"{np.median(wide):.2f}"),
        part(lambda r: score(r) >= DOUBTED, bad),
        part(lambda r: score(r) >= DOUBTED, good),
    ]
    return "| " + " | ".join(cells) + " |"


HEAD = """\
| ranges | hold | of small | high over low | wrong doubted | right doubted |
| --- | --- | --- | --- | --- | --- |"""


def stated(row: Row) -> Ends:
    """The range that the package states by the facts of the row."""
    one = range_of(seen(row))
    return one.low, one.high


def wider(row: Row, factor: float) -> Ends:
    """A range whose ends are farther from its centre, in log N."""
    low, high = map(math.log, stated(row))
    centre = seen(row).centre
    return (
        round(math.exp(centre - factor * (centre - low))),
        round(math.exp(centre + factor * (high - centre))),
    )


def joined(rows: Sequence[Row], known: dict[int, Fits]) -> str:
    """Ranges of today with what is alike, and all wider by one factor."""
    today = {r["number"]: stated(r) for r in rows}
    lines = [HEAD, line("of today", rows, today)]
    for how, limit in LIMITS:
        ends = dict(today)
        for r in rows:
            if one := known.get(r["number"]):
                some = alike_sizes(r, one, how, limit)
                low, high = today[r["number"]]
                ends[r["number"]] = min([low, *some]), max([high, *some])
        spans = [
            [math.log(e[n][1] / e[n][0]) for n in known] for e in (today, ends)
        ]
        factor = float(np.mean(spans[1]) / np.mean(spans[0]))
        as_wide = {
            r["number"]: (
                wider(r, factor) if r["number"] in known else stated(r)
            )
            for r in rows
        }
        lines.append(line(f"with alike, {how} {limit:g}", rows, ends))
        lines.append(line(f"all {factor:.3f} as wide", rows, as_wide))
    return "\n".join(lines)


def crossed(rows: Sequence[Row], known: dict[int, Fits]) -> str:
    """Ranges calibrated on the other parts, with what is alike or not."""

    def ends(some: Sequence[Row]) -> dict[int, Ends]:
        return {n: e[0.9] for n, e in crossed_ranges(some).items()}

    lines = [HEAD, line("crossed, of today", rows, ends(rows))]
    for how, limit in LIMITS:
        some = []
        for r in rows:
            told = dict(r["evidence"])
            if one := known.get(r["number"]):
                sizes = alike_sizes(r, one, how, limit)
                told["low"] = min([told["low"], *sizes])
                told["high"] = max([told["high"], *sizes])
            some.append({**r, "evidence": told})
        lines.append(line(f"crossed, {how} {limit:g}", some, ends(some)))
    return "\n".join(lines)


def as_doubt(rows: Sequence[Row], known: dict[int, Fits]) -> str:
    """How often right and wrong small answers have something far alike."""
    lines = [
        "| alike by | what | right | wrong |",
        "| --- | --- | --- | --- |",
    ]
    small = [r for r in rows if r["number"] in known]

    def far(r: Row, how: str, limit: float) -> bool:
        some = alike(known[r["number"]], how, limit)
        return any(
            abs(math.log(n / r["atoms"])) > math.log(FAR) for _, n in some
        )

    def of_type(r: Row, how: str, limit: float) -> bool:
        some = alike(known[r["number"]], how, limit)
        return any(kind != family(r["type"]) for kind, _ in some)

    for how, limit in LIMITS:
        for name, of in (
            (f"N off by {FAR:g}", far),
            ("another type", of_type),
        ):
            shares = []
            for good in (True, False):
                some = [r for r in small if right(r) == good]
                hits = sum(of(r, how, limit) for r in some)
                shares.append(f"{hits} of {len(some)}")
            lines.append(
                "| " + " | ".join([f"{how} {limit:g}", name, *shares]) + " |"
            )
    return "\n".join(lines)


def smallest(rows: Sequence[Row]) -> str:
    """Answers for stacked particles smaller than all of the library."""
    kind = "stacked"
    sizes = [r["atoms"] for r in rows if r["type"] == kind]
    some = [
        r
        for r in rows
        if r["kind"] == kind and r["weight_mean"] < min(sizes, default=0)
    ]
    lines = ["| case | truth | answer | right |", "| --- | --- | --- | --- |"]
    lines += [
        f"| {r['number']} | {kind} {r['weight_mean']:.0f} | {r['type']} "
        f"{r['atoms']} | {'yes' if right(r) else 'no'} |"
        for r in some
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=Path, nargs="+", required=True)
    parser.add_argument("--json", type=Path, default=Path("alike.json"))
    parser.add_argument("--count", type=int, help="fit so many more answers")
    words = parser.parse_args()
    rows = [
        r
        for path in words.rows
        for r in particles(json.loads(path.read_text()))
    ]
    known: dict[int, Fits] = {}
    if words.json.exists():
        kept = json.loads(words.json.read_text())
        known = {one["number"]: one for one in kept}
    todo = [
        r
        for r in rows
        if 20 <= r["atoms"] <= MAX_ATOMS and r["number"] not in known
    ]
    for row in todo[: words.count]:
        known[row["number"]] = fits_of(row)
        write_atomic(words.json, json.dumps([*known.values()]))
    for table in (joined, crossed, as_doubt):
        print(table(rows, known), end="\n\n")
    print(smallest(rows))


if __name__ == "__main__":
    main()
