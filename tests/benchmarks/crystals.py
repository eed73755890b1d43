"""Simulated particles of several crystals, found from the composition alone.

Facets, rods, plates and spheres, 2 % of vacancies in every second one, noise
of 1 % and a known Qdamp.  The cuts are made here, of shapes and centres that
the package does not draw.  Without arguments all are solved without the
native refinement, which changes no order of crystals:

    python -m tests.benchmarks.crystals [first] [last]
"""

from __future__ import annotations

import dataclasses
import sys
import time

import numpy as np

import diffpy_cbldm as cb
from diffpy_cbldm.crystals.bonds import shortest_bond
from diffpy_cbldm.crystals.crystal import Crystal
from diffpy_cbldm.crystals.prototypes import prototypes_of
from diffpy_cbldm.fitting.pair_fit import fit_cluster
from diffpy_cbldm.fitting.target import Target
from diffpy_cbldm.formula import read_formula
from diffpy_cbldm.search.by_cutting import (
    crystals_for,
    cut_particles,
    fit_spheres,
)
from diffpy_cbldm.solving.compound_sizes import compound_range

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


def main(first: int = 0, last: int = 60) -> None:
    """Solve the cases of some numbers, and print how many were found."""
    right, close, held, times = [], [], [], []
    for number in range(first, last):
        one = case(number)
        begin = time.process_time()
        target = Target.of(one.pdf)
        spheres = fit_spheres(target, crystals_for(one.pdf))
        found = cut_particles(target, spheres, 64, 0, edits=True)
        times.append(time.process_time() - begin)
        best, fit = found.candidates[0], found.fits[0]
        sphere = min(fit.rw for _, fit in found.spheres)
        own = fit_cluster(one.cluster.elements, one.cluster.positions, target)
        right.append(best.structure_type == one.crystal)
        ratio = len(best) / len(one.cluster)
        close.append(abs(ratio - 1) <= 0.1)
        _, ball = found.spheres[0]
        answer = dataclasses.replace(best, rw=fit.rw)
        pairs = list(zip(found.candidates, found.fits))
        atoms = compound_range(pairs, answer, (), ball, target)
        held.append(atoms.low <= len(one.cluster) <= atoms.high)
        print(
            f"{number:3d} {one.formula:7} {one.crystal:11} {one.shape:7} "
            f"{len(one.cluster):5d} -> {best.structure_type:11} "
            f"{len(best):5d} ({ratio:.2f}, {atoms.low} to {atoms.high}) "
            f"Rw {fit.rw:.4f} truth {own.rw:.4f} sphere {sphere:.4f} shortest "
            f"{shortest_bond(best.positions):.2f} A "
            f"{times[-1]:.0f} s {best.notes[0]}",
            flush=True,
        )
    print(
        f"crystal right in {np.mean(right):.0%}, N within 10 % in "
        f"{np.mean(close):.0%}, the range holds it in {np.mean(held):.0%} of "
        f"{len(right)}; {np.median(times):.1f} s of "
        f"processor time each"
    )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:3]))
