"""What polishing makes of clusters that no library holds.

    python -m tests.benchmarks.polish [--count 112] [--json FILE]
    python -m tests.benchmarks.polish --ideal 100
    python -m tests.benchmarks.polish --measured FOLDER [--plot FILE.svg]
    python -m tests.benchmarks.polish --speed 16

The first builds its own clusters: off-centre spheres, ellipsoids and
polyhedra, truncated ideal shapes, random stacking, surface vacancies, strain,
contracted surfaces; PDFs with noise of up to 2 % in the measured Q range,
Qmax 20 to 28, widths and damping unknown.  Starts are the best of each
generator by a quick fit; the truth serves for the figures alone.  The second
polishes the right ideal structure: it should stay.  The third prints the
front of Rw against roughness for measured data, the fourth the seconds that a
start of about 150 atoms takes, one after the other and side by side.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.spatial import cKDTree
from tqdm import tqdm

from diffpy_cbldm.cluster import Candidate, Cluster
from diffpy_cbldm.crystals.bonds import roughness
from diffpy_cbldm.crystals.lattices import BASES, LAYER
from diffpy_cbldm.crystals.table import load_table
from diffpy_cbldm.debye.simulation import simulate
from diffpy_cbldm.files import appearing, write_atomic
from diffpy_cbldm.fitting.quickfit import quick_fit
from diffpy_cbldm.fitting.target import Target
from diffpy_cbldm.pdfdata import PDFData, read_pdf
from diffpy_cbldm.polishing.candidates import Front, what_changed
from diffpy_cbldm.polishing.crystal import Polished
from diffpy_cbldm.polishing.front import (
    best,
    front,
    other_sizes,
    pareto,
    predicted,
)
from diffpy_cbldm.search.generators import find_generator
from diffpy_cbldm.solving.atom_range import FACTORS, atom_range, factor, spread
from diffpy_cbldm.solving.groups import shared
from diffpy_cbldm.threads import side_by_side

KINDS = (
    *("sphere fcc", "sphere bcc", "sphere hcp"),
    *("ellipsoid fcc", "ellipsoid bcc", "ellipsoid hcp"),
    *("polyhedron fcc", "polyhedron bcc", "polyhedron hcp"),
    *("truncated", "stacking", "vacancies", "strain", "contraction"),
)


@dataclasses.dataclass(frozen=True)
class Truth:
    """A cluster to be found."""

    kind: str
    structure_type: str
    positions: np.ndarray  # angstrom


def lattice(kind: str, rng: np.random.Generator) -> np.ndarray:
    """Points of a crystal within 5.5 bond lengths of a random point."""
    if kind in ("fcc", "bcc"):
        k = np.stack(np.meshgrid(*[np.arange(-12, 13)] * 3), -1).reshape(-1, 3)
        points = k @ BASES[kind]
    else:
        turn = rng.random(25) < 0.4
        steps = np.where(np.arange(25) % 2, 1, -1)
        if kind == "stacking":
            steps = np.where(np.cumsum(turn) % 2, 1, -1)
        k = np.stack(np.meshgrid(*[np.arange(-12, 13)] * 3), -1).reshape(-1, 3)
        shift = (np.cumsum(steps) % 3)[k[:, 2] + 12] / 3
        flat = k[:, :2] + shift[:, None]
        height = k[:, 2:] * LAYER
        points = np.hstack([flat @ BASES["layer"][:, :2], height])
    cell = points[np.argsort((points**2).sum(1))[1:4]]
    points = points - rng.random(3) @ cell
    return points[(points**2).sum(1) < 5.5**2]


def cut(
    points: np.ndarray, shape: str, count: int, rng: np.random.Generator
) -> np.ndarray:
    """The `count` points or so that lie deepest in a random shape."""
    if shape == "polyhedron":
        normals = rng.normal(size=(14, 3))
        normals /= np.linalg.norm(normals, axis=1)[:, None]
        depth = (points @ normals.T / rng.uniform(0.85, 1.2, 14)).max(1)
    else:
        axes = np.ones(3)
        if shape == "ellipsoid":
            axes = np.exp(rng.uniform(-0.25, 0.25, 3))
        turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
        depth = np.linalg.norm(points @ turn / axes, axis=1)
    return points[np.argsort(depth)[:count]]


def neighbours(points: np.ndarray) -> np.ndarray:
    """Bonds of each atom, (n,)."""
    tree = cKDTree(points)
    return np.array([len(p) - 1 for p in tree.query_ball_point(points, 1.2)])


def truth(kind: str, rng: np.random.Generator) -> Truth:
    """A random cluster of a kind, 50 to 240 atoms, bonds of 2.6 to 2.9 A."""
    shape, _, crystal = kind.partition(" ")
    count = int(rng.integers(50, 241))
    if shape == "truncated":
        table = load_table()
        ideal = [
            i
            for i, g in enumerate(table.geometries)
            if g.structure_type in ("fcc", "oct", "dec", "ico", "bcc")
            and g.n_atoms > 80
        ]
        k = int(rng.choice(ideal))
        crystal = table.geometries[k].structure_type
        points = table.positions(k)
        normal = rng.normal(size=3)
        depth = points @ normal / np.linalg.norm(normal)
        points = points[np.argsort(depth)]
        points = points[: round(len(points) * rng.uniform(0.75, 0.95))]
    else:
        kinds = ("fcc", "bcc", "hcp")
        if shape == "stacking":
            crystal = "stacked"
        crystal = crystal or str(rng.choice(kinds))
        form = shape
        if shape not in ("sphere", "ellipsoid", "polyhedron"):
            form = str(rng.choice(["sphere", "ellipsoid", "polyhedron"]))
        name = "stacking" if crystal == "stacked" else crystal
        points = cut(lattice(name, rng), form, count, rng)
    bulk = neighbours(points).max()
    if shape == "vacancies":
        surface = np.flatnonzero(neighbours(points) < bulk)
        gone = rng.choice(
            surface, round(len(surface) * rng.uniform(0.03, 0.1)), False
        )
        points = np.delete(points, gone, axis=0)
    # No atom hangs on by one or two bonds.
    while (loose := neighbours(points) < bulk / 4).any():
        points = points[~loose]
    points = points - points.mean(0)
    if shape == "strain":
        strain = rng.normal(size=(3, 3))
        strain = strain + strain.T
        strain -= np.trace(strain) / 3 * np.eye(3)
        points = points @ (np.eye(3) + 0.01 * strain / np.abs(strain).max())
    if shape == "contraction":
        lack = neighbours(points) < bulk
        far = np.linalg.norm(points, axis=1, keepdims=True).clip(0.1)
        inward = rng.uniform(0.01, 0.03)  # of a bond
        points = points - inward * lack[:, None] * points / far
    return Truth(kind, crystal, points * rng.uniform(2.6, 2.9))


def measured(case: Truth, rng: np.random.Generator) -> PDFData:
    """Its PDF; noise in the measured Q range, 0 to 2 % of the signal."""
    qmin, qmax = rng.uniform(0.5, 1.2), rng.uniform(20, 28)
    (pdf,) = simulate(
        [Cluster("Pt", case.positions)],
        qmin=qmin,
        qmax=qmax,
        qdamp=rng.uniform(0.01, 0.06),
        biso=rng.uniform(0.2, 0.8),
        delta2=rng.uniform(0.0, 3.0),
    )
    knots = np.arange(0, pdf.r[-1] + 1, np.pi / qmax)
    noise = np.sinc((pdf.r[:, None] - knots) * qmax / np.pi) @ (
        rng.standard_normal(len(knots))
    )
    g = pdf.g + rng.uniform(0, 0.02) * pdf.g.std() * noise
    return PDFData(r=pdf.r, g=g, composition="Pt", qmin=qmin, qmax=qmax)


def cases(count: int, seed: int = 5) -> list[tuple[Truth, PDFData]]:
    """`count` clusters, all kinds in turn, and their PDFs."""
    found = []
    for k in range(count):
        rng = np.random.default_rng([seed, k])
        case = truth(KINDS[k % len(KINDS)], rng)
        found.append((case, measured(case, rng)))
    return found


STARTS = {"library": 2, "screen": 1, "cbldm": 2}
"""Generators and how many starts are taken of each."""

AS_GOOD = 40.0
"""Structures whose criterion is so much above the best belong to the set."""


def fitted(found: list[Candidate], pdf: PDFData) -> list[float]:
    """Rw of the five-parameter fit of each."""
    return [f.rw for f in quick_fit([c.positions for c in found], pdf)]


def starts(pdf: PDFData) -> list[tuple[str, Candidate, float]]:
    """The best candidates of each generator with their Rw."""
    rows = []
    for name, count in STARTS.items():
        found = find_generator(name)(pdf, count=16)
        rw = fitted(found, pdf)
        for i in np.argsort(rw)[:count]:
            rows.append((name, found[i], rw[i]))
    return rows


def kept_starts(
    pdf: PDFData, path: Path | None
) -> list[tuple[str, Candidate, float]]:
    """`starts`, read from a file where there is one, written otherwise."""
    if path is None:
        return starts(pdf)
    if not path.exists():
        plain = [
            (name, c.structure_type, c.positions.tolist(), rw)
            for name, c, rw in starts(pdf)
        ]
        write_atomic(path, json.dumps(plain, default=float) + "\n")
    return [
        (
            name,
            Candidate(("Pt",) * len(x), np.array(x), structure_type=kind),
            rw,
        )
        for name, kind, x, rw in json.loads(path.read_text())
    ]


def solved(
    case: Truth, pdf: PDFData, path: Path | None = None
) -> dict[str, Any]:
    """All figures of one cluster; its starts may be kept in a file."""
    truth = Candidate(
        ("Pt",) * len(case.positions),
        case.positions,
        structure_type=case.structure_type,
    )
    own = fitted([truth], pdf)[0]
    rough = roughness(case.positions, case.structure_type)
    rows, times, made = kept_starts(pdf, path), [], []
    for _, start, _ in rows:
        begin = time.process_time()
        found = front(start.positions, start.structure_type, pdf)
        times.append(time.process_time() - begin)
        made.append(Front(start, tuple(found), (1.0, 0.0)))
    ends = [best(m.found) for m in made]
    first = int(np.argmin([p.criterion for p in ends]))
    kind = rows[first][1].structure_type
    begin = time.process_time()
    more = other_sizes(ends[first], kind, pdf)
    sizes = time.process_time() - begin
    begin = time.process_time()
    seen = predicted(rows[first][1].positions, kind, pdf)
    check = time.process_time() - begin
    every = [p for m in made for p in m.found] + more
    end = best([ends[first], *more], lower=False)
    near = [
        len(p.positions)
        for p in every
        if p.criterion <= end.criterion + AS_GOOD
    ]
    like = Candidate(
        ("Pt",) * len(end.positions), end.positions, structure_type=kind
    )

    def figures(p: Polished) -> dict[str, float]:
        return {
            "rw": p.rw,
            "n_error": abs(len(p.positions) / len(truth) - 1),
            "roughness": p.roughness / rough,
        }

    def best_of(name: str) -> dict[str, float]:
        mine = [p for (n, _, _), p in zip(rows, ends) if n == name]
        return figures(min(mine, key=lambda p: p.criterion)) | {
            "start": min(rw for n, _, rw in rows if n == name)
        }

    return {
        "kind": case.kind,
        "n": len(truth),
        "rw_truth": own,
        **figures(end),
        "shared": shared(truth, like),
        "in_range": min(near) <= len(truth) <= max(near),
        "range": (max(near) - min(near)) / len(truth),
        "found": [[len(p.positions), p.criterion, p.rw] for p in every],
        "edits": what_changed(made[first].found[0], end),
        "end": [len(end.positions), end.criterion, end.ratio],
        "won": rows[first][0],
        "front": float(np.mean(times)),
        "sizes": sizes,
        "check": check,
        "confirmed": seen[1] < seen[0],
        "by": {name: best_of(name) for name in STARTS},
    }


def ranges(rows: list[dict[str, Any]]) -> list[str]:
    """How often ranges of N hold it, each with the factor of all others."""
    true = np.array([r["n"] for r in rows])
    atoms = np.array([r["end"][0] for r in rows])
    own = np.array([scale_of(r) for r in rows])
    lines = []
    for share, known in FACTORS.items():
        wide = known * own
        held = np.abs(np.log(true / atoms)) <= wide + 1e-9
        lines.append(
            f"range of N for {share:.0%} as reported: holds it in "
            f"{held.mean():.0%}, {np.sinh(wide).mean():.1%} to either side in "
            f"the mean"
        )
    for text, scales in (
        ("spread", own),
        ("one width for all", np.ones(len(rows))),
    ):
        for share in FACTORS:
            factors = [
                factor(
                    *(np.delete(a, k) for a in (true, atoms, scales)), share
                )
                for k in range(len(rows))
            ]
            wide = scales * factors
            held = np.abs(np.log(true / atoms)) <= wide + 1e-9
            side = np.sinh(wide)
            low, high = np.quantile(side, [0.1, 0.9])
            lines.append(
                f"range of N for {share:.0%} ({text}): holds it in "
                f"{held.mean():.0%}, {side.mean():.1%} to either side in the "
                f"mean, {low:.1%} to {high:.1%} in four of five; factor of "
                f"all {factor(true, atoms, scales, share):.2f}"
            )
    return lines


def scale_of(row: dict[str, Any]) -> float:
    """The spread of log N of a row."""
    counts, criteria, _ = zip(*row["found"], strict=True)
    atoms, criterion, _ = row["end"]
    return spread(counts, criteria, (atoms, criterion), bool(row["edits"]))


def table(rows: list[dict[str, Any]]) -> str:
    """The figures per kind and in total."""
    head = ["kind", "mining", "cbldm", "screen", "polished", "truth"]
    head += ["N off", "rough/truth", "shared", "N in set", "set width"]
    head += ["s/start", "s sizes", "s check"]
    lines = ["".join(f"{h:>13s}" for h in head)]
    for kind in (*KINDS, "total"):
        part = [r for r in rows if kind in (r["kind"], "total")]
        if not part:
            continue

        def mean(key: str, part: list[dict[str, Any]] = part) -> float:
            return float(np.mean([r[key] for r in part]))

        def start(name: str, part: list[dict[str, Any]] = part) -> float:
            return float(np.mean([r["by"][name]["start"] for r in part]))

        cells = [
            *(f"{start(n):.4f}" for n in ("library", "cbldm", "screen")),
            *(f"{mean(k):.4f}" for k in ("rw", "rw_truth")),
            f"{mean('n_error'):.1%}",
            f"{mean('roughness'):.2f}",
            *(f"{mean(k):.0%}" for k in ("shared", "in_range", "range")),
            *(f"{mean(k):.1f}" for k in ("front", "sizes", "check")),
        ]
        lines.append("".join(f"{c:>13s}" for c in [kind, *cells]))
    lines.append("")

    def share(test: Any) -> str:
        return f"{np.mean([test(r) for r in rows]):.0%}"

    lines += [
        f"Rw within 0.005 of the truth's own: "
        f"{share(lambda r: r['rw'] <= r['rw_truth'] + 0.005)}",
        f"roughness within 15 % of the truth's: "
        f"{share(lambda r: abs(r['roughness'] - 1) <= 0.15)}",
        f"N within 5 %: {share(lambda r: r['n_error'] <= 0.05)}",
        f"the truth's N in the set: {share(lambda r: r['in_range'])}",
        f"better on r left out than the start: "
        f"{share(lambda r: r['confirmed'])}",
    ]
    lines += ranges(rows)
    for name in STARTS:
        won = share(lambda r, name=name: r["won"] == name)
        close = share(
            lambda r, name=name: r["by"][name]["rw"] <= r["rw_truth"] + 0.005
        )
        size = share(lambda r, name=name: r["by"][name]["n_error"] <= 0.05)
        lines.append(
            f"starts of {name}: best in {won}; from them alone Rw within "
            f"0.005 in {close}, N within 5 % in {size}"
        )
    return "\n".join(lines)


def ideal(count: int) -> str:
    """Polish right structures of the library: they should stay."""
    table, stays, lines = load_table(), [], []
    held: list[bool] = []
    width: list[float] = []
    rng = np.random.default_rng(3)
    for k in rng.choice(len(table.geometries), count, replace=False):
        g = table.geometries[int(k)]
        case = Truth("ideal", g.structure_type, table.positions(int(k)) * 2.75)
        pdf = measured(case, rng)
        found = front(case.positions, g.structure_type, pdf)
        found += other_sizes(found[0], g.structure_type, pdf)
        end = best(found)
        kinds = what_changed(found[0], end)
        stays.append(not kinds)
        scale = spread(
            [len(p.positions) for p in found],
            [p.criterion for p in found],
            (len(end.positions), end.criterion),
            bool(kinds),
        )
        atoms = atom_range(len(end.positions), scale)
        held.append(atoms.low <= g.n_atoms <= atoms.high)
        width.append((atoms.high - atoms.low) / g.n_atoms)
        if kinds:
            lines.append(
                f"{g.structure_type} with {g.n_atoms} atoms: "
                f"{', '.join(kinds)}, Rw {found[0].rw:.4f} to "
                f"{end.rw:.4f}"
            )
    share = np.mean(stays)
    lines.append(
        f"{share:.0%} of {count} right structures stayed; the range of N "
        f"holds it in {np.mean(held):.0%} and is {np.mean(width):.1%} wide"
    )
    return "\n".join(lines)


DATA = {"JQ_S2.gr": ("Pt", 30.0), "Au144pMBA.gr": ("Au", 20.0)}
"""Measured PDFs: element and end of the fitted range."""


def fronts(folder: Path, plot: Path | None) -> str:
    """The fronts of measured data, from all generators together."""
    lines, curves = [], {}
    for name, (element, rmax) in DATA.items():
        pdf = read_pdf(folder / name, composition=element)
        rows = [r for g in STARTS for r in _best(g, pdf, rmax)]
        every = []
        for generator, start, _ in rows:
            found = front(
                start.positions,
                start.structure_type,
                Target.of(pdf, rmax=rmax),
                beyond=4,
            )
            every += [(p, generator, start, found[0]) for p in found]
        kept = pareto([p for p, *_ in every])
        knee = min((p for p, *_ in every), key=lambda p: p.criterion)
        lines.append(f"{name}: start, atoms, Rw, roughness, of ideal, edits")
        for p, generator, start, first in every:
            if p in kept or p is knee or p is first:
                kinds = ", ".join(what_changed(first, p)) or "-"
                mark = " <- criterion" if p is knee else ""
                mark += " (front)" if p in kept else ""
                lines.append(
                    f"  {generator:8s}{start.structure_type:8s}"
                    f"{len(p.positions):4d}  {p.rw:.4f}  {p.roughness:5.2f}  "
                    f"{p.ratio:.2f}  {kinds}{mark}"
                )
        curves[name] = [(p.ratio, p.rw, p is knee) for p in kept]
    if plot is not None:
        _plot(curves, plot)
    return "\n".join(lines)


def speed(count: int) -> str:
    """Seconds a start of 140 to 160 atoms, as `solve` runs them."""
    jobs = []
    for _, pdf in cases(len(KINDS) * count):
        found = find_generator("library")(pdf, count=16, rmax=pdf.r[-1])
        some = [c for c in found if 140 <= len(c) <= 160]
        jobs += [(c.positions, c.structure_type, pdf) for c in some[:1]]
        if len(jobs) == count:
            break
    lines = []
    front(*jobs[0])  # what is read or compiled once is no part of a start
    for threads in (1, min(2, os.cpu_count() or 1)):
        torch.set_num_threads(threads)
        begin = time.perf_counter()
        side_by_side(lambda job: front(*job), jobs)
        each = (time.perf_counter() - begin) / len(jobs)
        lines.append(f"{threads} at a time: {each:.2f} s a start")
    return "\n".join([f"{len(jobs)} starts", *lines])


def _best(
    name: str, pdf: PDFData, rmax: float
) -> list[tuple[str, Candidate, float]]:
    """The best starts of a generator on measured data."""
    found = find_generator(name)(pdf, count=16, rmax=rmax)
    rw = [
        f.rw
        for f in quick_fit(
            [c.positions for c in found], Target.of(pdf, rmax=rmax)
        )
    ]
    return [(name, found[i], rw[i]) for i in np.argsort(rw)[: STARTS[name]]]


def _plot(curves: dict[str, list[tuple[float, float, bool]]], path: Path):
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(5, 3.4), layout="constrained")
    for name, points in curves.items():
        ratio, rw, knee = zip(*points)
        (line,) = axes.plot(ratio, rw, "o-", label=name)
        at = [k for k, flag in enumerate(knee) if flag]
        axes.plot(
            [ratio[k] for k in at],
            [rw[k] for k in at],
            "o",
            ms=13,
            mfc="none",
            color=line.get_color(),
        )
    axes.set_xlabel("roughness over that of the most compact cluster")
    axes.set_ylabel("Rw")
    axes.legend(frameon=False)
    with appearing(path) as unfinished:
        figure.savefig(unfinished, metadata={"Date": None})


def main() -> None:
    """The command line; see the module's text."""
    parser = argparse.ArgumentParser(
        "python -m tests.benchmarks.polish",
        description=__doc__.splitlines()[0],
    )
    parser.add_argument("--count", type=int, default=112)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--only", type=int, nargs="*", help="some clusters")
    parser.add_argument("--json", type=Path, help="rows are written here")
    parser.add_argument("--read", type=Path, nargs="*", help="rows to print")
    parser.add_argument(
        "--starts", type=Path, help="a folder that keeps the starts"
    )
    parser.add_argument("--ideal", type=int)
    parser.add_argument("--measured", type=Path)
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--speed", type=int)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.ideal:
        print(ideal(options.ideal))
        return
    if options.speed:
        print(speed(options.speed))
        return
    if options.measured:
        print(fronts(options.measured, options.plot))
        return
    if options.read:
        rows = [r for p in options.read for r in json.loads(p.read_text())]
        print(table(rows))
        return
    rows = []
    every = cases(options.count)
    for k in tqdm(options.only or range(options.first, options.count)):
        case, pdf = every[k]
        kept = options.starts and options.starts / f"{k}.json"
        rows.append(solved(case, pdf, kept))
        if options.json:
            text = json.dumps(rows, default=float) + "\n"
            write_atomic(options.json, text)
    print(table(rows))


if __name__ == "__main__":
    main()
