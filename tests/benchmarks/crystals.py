"""Simulated particles of several crystals, found from the composition alone.

Facets, rods, plates and spheres, 2 % of vacancies in every second one, atoms
of the surface shifted by up to 3 % of a bond in every third, noise of 1 % and
a known Qdamp.  The cuts are made here, of shapes and centres that
the package does not draw.  Without arguments all are solved without the
native refinement, which changes no order of crystals:

    python -m tests.benchmarks.crystals [first] [last] [--keep FILE]

The class of a shape (`diffpy_cbldm.crystals.shape_class`) is that of the
answer's atoms beside what the truth was cut with.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

import diffpy_cbldm as cb
from diffpy_cbldm.crystals.bonds import shortest_bond
from diffpy_cbldm.crystals.crystal import Crystal
from diffpy_cbldm.crystals.prototypes import prototypes_of
from diffpy_cbldm.crystals.shape_class import shape_class
from diffpy_cbldm.fitting.crystal_moves import surface_atoms
from diffpy_cbldm.fitting.pair_fit import fit_cluster
from diffpy_cbldm.fitting.target import Target
from diffpy_cbldm.formula import read_formula
from diffpy_cbldm.search.by_cutting import (
    crystals_for,
    cut_particles,
    fit_spheres,
)
from diffpy_cbldm.solving.compound_sizes import compound_range
from tests.benchmarks.simulated_cases import numbered_rows, numbers_parser

SEED = 22_000

CRYSTALS = (
    ("CdSe", "zincblende"),
    ("CdSe", "wurtzite"),
    ("CeO2", "fluorite"),
    ("TiO2", "anatase"),
    ("TiO2", "rutile"),
    ("TiO2", "brookite"),
    ("MgO", "rock salt"),
    ("Fe3O4", "spinel"),
    ("Fe2O3", "corundum"),
    ("SrTiO3", "perovskite"),
    ("FePt", "L1_0"),
    ("Cu2O", "cuprite"),
)

SHAPES = ("facets", "rod", "plate", "sphere")

CLASS = {s: s for s in SHAPES} | {"facets": "faceted"}
"""The class of each shape."""


@dataclasses.dataclass(frozen=True)
class Case:
    """One simulated PDF and what it was made of."""

    formula: str
    crystal: str
    shape: str
    cluster: cb.Cluster
    pdf: cb.PDFData


def crystal_named(formula: str, name: str) -> Crystal:
    """The prototype of a composition."""
    found = prototypes_of(read_formula(formula).amounts)
    return next(c for c in found if c.name == name)


def inside(
    x: np.ndarray, shape: str, radius: float, rng: np.random.Generator
) -> np.ndarray:
    """Which sites of a crystal a shape of a radius (A) holds, (n,)."""
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    y = x @ turn
    if shape == "sphere":
        return np.linalg.norm(x, axis=1) < radius
    if shape in ("rod", "plate"):
        ratio = 1.8 if shape == "rod" else 0.55
        side = radius / ratio ** (1 / 3)
        round_ = np.linalg.norm(x[:, :2], axis=1) < side
        return round_ & (np.abs(x[:, 2]) < ratio * side)
    # A box of six planes along the cell, with corners cut anywhere.
    box = np.abs(x).max(1) < 0.9 * radius
    return box & (np.abs(y).sum(1) < 1.5 * radius)


def strained(
    crystal: Crystal, x: np.ndarray, kind: np.ndarray, strain: float
) -> np.ndarray:
    """Positions with the surface moved outwards by a share of a bond."""
    outer = surface_atoms(crystal, x, kind)[:, None]
    middle = x - x.mean(0)
    radius = np.linalg.norm(middle, axis=1, keepdims=True).clip(min=1.0)
    return x + strain * crystal.bonds.min() * outer * middle / radius


def case(number: int) -> Case:
    """The case of a number, always the same."""
    rng = np.random.default_rng(SEED + number)
    formula, name = CRYSTALS[number % len(CRYSTALS)]
    shape = SHAPES[(number // len(CRYSTALS) + number) % len(SHAPES)]
    crystal = crystal_named(formula, name)
    radius = float(rng.uniform(7.0, 13.0))
    x, site = crystal.ball(rng.random(3) @ crystal.cell, 2.2 * radius)
    kept = inside(x, shape, radius, rng)
    if number % 2:
        kept &= rng.random(len(x)) > 0.02
    kind = crystal.shares.argmax(1)[site[kept]]
    positions = x[kept] * float(rng.uniform(0.99, 1.01))
    if number % 3 == 0:
        strain = np.random.default_rng(SEED - number).uniform(-0.03, 0.03)
        positions = strained(crystal, positions, kind, float(strain))
    cluster = cb.Cluster([crystal.elements[k] for k in kind], positions)
    (pdf,) = cb.simulate(
        [cluster],
        qmin=0.9,
        qmax=float(rng.uniform(19, 24)),
        qdamp=0.035,
        biso=float(rng.uniform(0.4, 0.9)),
        delta2=2.0,
    )
    noise = 0.01 * np.abs(pdf.g).max() * rng.normal(size=len(pdf.g))
    told = dataclasses.replace(pdf, g=pdf.g + noise, composition=formula)
    return Case(formula, name, shape, cluster, told)


def solved(number: int) -> dict[str, Any]:
    """What is found of the case of a number."""
    one = case(number)
    begin = time.process_time()
    target = Target.of(one.pdf)
    spheres = fit_spheres(target, crystals_for(one.pdf))
    found = cut_particles(target, spheres, 64, 0, edits=True)
    took = time.process_time() - begin
    best, fit = found.candidates[0], found.fits[0]
    crystal, ball = found.spheres[0]
    pairs = list(zip(found.candidates, found.fits))
    answer = dataclasses.replace(best, rw=fit.rw)
    atoms = compound_range(pairs, answer, (), (crystal, ball), target)
    own = fit_cluster(one.cluster.elements, one.cluster.positions, target)
    return {
        "number": number,
        "formula": one.formula,
        "crystal": one.crystal,
        "shape": CLASS[one.shape],
        "atoms": len(one.cluster),
        "found": best.structure_type,
        "found_shape": shape_class(best.positions),
        "found_atoms": len(best),
        "low": atoms.low,
        "high": atoms.high,
        "rw": fit.rw,
        "rw_truth": own.rw,
        "rw_sphere": min(fit.rw for _, fit in found.spheres),
        "shortest": shortest_bond(best.positions),
        "seconds": took,
        "note": best.notes[0],
    }


def told(row: dict[str, Any]) -> str:
    """A line for a case."""
    ratio = row["found_atoms"] / row["atoms"]
    return (
        f"{row['number']:3d} {row['formula']:7} {row['crystal']:11} "
        f"{row['shape']:7} {row['atoms']:5d} -> {row['found']:11} "
        f"{row['found_shape']:7} {row['found_atoms']:5d} ({ratio:.2f}, "
        f"{row['low']} to {row['high']}) Rw {row['rw']:.4f} truth "
        f"{row['rw_truth']:.4f} sphere {row['rw_sphere']:.4f} shortest "
        f"{row['shortest']:.2f} A {row['seconds']:.0f} s {row['note']}"
    )


def shares(rows: Sequence[dict[str, Any]]) -> str:
    """How often crystal, N and shape are right."""
    right = [row["found"] == row["crystal"] for row in rows]
    off = [abs(row["found_atoms"] / row["atoms"] - 1) for row in rows]
    alike = [row["found_shape"] == row["shape"] for row in rows]
    held = [row["low"] <= row["atoms"] <= row["high"] for row in rows]
    width = np.mean([math.log(row["high"] / row["low"]) for row in rows])
    seconds = float(np.median([row["seconds"] for row in rows]))
    return (
        f"crystal right in {np.mean(right):.0%}, N within 10 % in "
        f"{np.mean(np.array(off) <= 0.1):.0%}, shape class right in "
        f"{np.mean(alike):.0%}, the range holds N in {np.mean(held):.0%} "
        f"(high over low {math.exp(width):.2f} in the mean) of {len(rows)}; "
        f"{seconds:.1f} s of processor time each"
    )


def main() -> None:
    """Solve the cases of some numbers, and print how many were found."""
    options = numbers_parser(__doc__, 60).parse_args()
    print(shares(numbered_rows(options, solved, told)))


if __name__ == "__main__":
    main()
