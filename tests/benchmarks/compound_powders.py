"""How far outside of what fits alike the N of simulated compounds lies.

    python -m tests.benchmarks.compound_powders [first] [last] [--keep FILE]

Each powder has particles of one crystal of a lognormal width of 3 to 20 % in
diameter.  Atoms of the surface are missing, shifted and looser; a background,
the polynomial of the data reduction and noise are added.  Of every third one
Qdamp is known.  The weight mean of N is compared with the range of N before
it is widened; printed are the widening that holds nine of ten, by what is
known of Qdamp, and how often the stated range holds N.

With ``--disordered`` as much disordered matter of the same compound lies
beside it, which no particle explains: N is that of the crystalline ones.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

import diffpy_cbldm as cb
from diffpy_cbldm.crystals.bonds import shortest_bond
from diffpy_cbldm.crystals.crystal import Crystal
from diffpy_cbldm.crystals.powder import Member
from diffpy_cbldm.fitting.crystal_moves import surface_atoms
from diffpy_cbldm.fitting.envelope import fit_envelope
from diffpy_cbldm.fitting.measured import polynomial, structure_function
from diffpy_cbldm.fitting.target import Target
from diffpy_cbldm.search.by_cutting import (
    crystals_for,
    cut_particles,
    fit_spheres,
)
from diffpy_cbldm.solving.atom_range import AtomRange
from diffpy_cbldm.solving.compound_sizes import (
    alike_range,
    compound_range,
    compound_sizes,
)
from diffpy_cbldm.solving.size_evidence import conformal
from tests.benchmarks.crystals import CRYSTALS, SHAPES, crystal_named, inside
from tests.benchmarks.simulated_cases import numbered_rows, numbers_parser

SEED = 23_000

MEMBERS = 9

Z = np.linspace(-1.6, 1.6, MEMBERS)
"""Normal deviates of the sizes, of the standard deviation 1."""


def excess(atoms: AtomRange, true: float) -> float:
    """How far log N lies outside of a range; negative inside."""
    return max(math.log(atoms.low / true), math.log(true / atoms.high))


def member(
    crystal: Crystal, shape: str, radius: float, rng: np.random.Generator
) -> Member:
    """A weathered particle; kinds are elements, and those of its surface."""
    x, site = crystal.ball(rng.random(3) @ crystal.cell, 2.2 * radius)
    kept = inside(x, shape, radius, rng)
    x, kind = x[kept], crystal.shares.argmax(1)[site[kept]]
    outer = surface_atoms(crystal, x, kind)
    there = ~(outer & (rng.random(len(x)) < rng.uniform(0, 0.3)))
    shift = rng.normal(0, rng.uniform(0, 0.15), x.shape) * outer[:, None]
    return Member(
        (x + shift)[there],
        (kind + len(crystal.elements) * outer)[there],
    )


def beside(
    crystal: Crystal, members: Sequence[Member], rng: np.random.Generator
) -> list[Member]:
    """Disordered matter of the same compound, as of a hydrous part.

    Pieces of one or two shells, their atoms moved by a tenth of an angstrom
    or so, with one to four times as many atoms as the particles.
    """
    wanted = rng.uniform(1.0, 4.0) * sum(len(m.positions) for m in members)
    moved = rng.uniform(0.05, 0.2)
    pieces: list[Member] = []
    while sum(len(m.positions) for m in pieces) < wanted:
        reach = rng.uniform(2.5, 4.0)
        x, site = crystal.ball(rng.random(3) @ crystal.cell, reach)
        kind = crystal.shares.argmax(1)[site]
        pieces.append(Member(x + rng.normal(0, moved, x.shape), kind))
    return pieces


@dataclasses.dataclass(frozen=True)
class Powder:
    """A simulated powder: its PDF, and the weight mean of its N."""

    formula: str
    crystal: str
    shape: str
    pdf: cb.PDFData
    atoms: float


def powder(number: int, disordered: bool = False) -> Powder:
    """The powder of a number, always the same."""
    rng = np.random.default_rng([SEED, number])
    formula, name = CRYSTALS[number % len(CRYSTALS)]
    shape = SHAPES[int(rng.integers(len(SHAPES)))]
    crystal = crystal_named(formula, name)
    radius, width = rng.uniform(7.0, 15.0), rng.uniform(0.03, 0.2)
    members = [
        member(crystal, shape, radius * math.exp(width * z), rng) for z in Z
    ]
    crystalline = len(members)
    if disordered:
        members += beside(crystal, members, np.random.default_rng(number))
    qmax, qdamp = rng.uniform(18, 25), rng.uniform(0.015, 0.06)
    r = np.arange(0.0, 30.005, 0.01)
    reach = 30.0 + 4 * radius
    q = np.arange(1, math.ceil(qmax * reach / math.pi)) * math.pi / reach
    inner = rng.uniform(0.004, 0.012, len(crystal.elements))
    f = structure_function(
        members,
        q,
        crystal.elements * 2,
        (*inner, *(inner * rng.uniform(1, 3))),
        "X",
        {"delta2": float(rng.uniform(0, 3)), "qbroad": 0.0},
    )
    waves = np.sin(q[:, None] * rng.uniform(0.1, 1.2, 6)) @ rng.normal(size=6)
    error = rng.uniform(0, 0.1) * waves * np.std(f) / np.std(waves)
    error -= polynomial(q, f + error, rng.uniform(0.7, 1.0))
    seen = q > rng.uniform(0.5, 1.2)
    sines = 2 / math.pi * q[0] * np.sin(r[:, None] * q[seen])
    g = sines @ f[seen] * np.exp(-0.5 * (qdamp * r) ** 2)
    g += sines @ error[seen]
    noise = sines @ (rng.normal(size=seen.sum()) * q[seen])
    g += rng.uniform(0.01, 0.08) * noise * np.std(g) / np.std(noise)
    atoms = np.array([len(m.positions) for m in members[:crystalline]], float)
    pdf = cb.PDFData(
        r=r[1:],
        g=g[1:],
        composition=formula,
        qmin=float(q[seen][0]),
        qmax=float(qmax),
        qdamp=None if number % 3 else float(qdamp),
    )
    weight = float((atoms**2).sum() / atoms.sum())
    return Powder(formula, name, shape, pdf, weight)


def solved(number: int, disordered: bool = False) -> dict[str, Any]:
    """What is found of the powder of a number."""
    one = powder(number, disordered)
    begin = time.process_time()
    target = Target.of(one.pdf)
    spheres = fit_spheres(target, crystals_for(one.pdf))
    found = cut_particles(target, spheres, 32, 0, edits=True)
    best, fit = found.candidates[0], found.fits[0]
    crystal, _ = next(
        s for s in found.spheres if s[0].name == best.structure_type
    )
    crystal, sphere = fit_envelope(crystal, target)
    pairs = list(zip(found.candidates, found.fits))
    answer = dataclasses.replace(best, rw=fit.rw)
    sizes = compound_sizes(pairs, crystal, target)
    alike = alike_range(pairs, answer, sizes, sphere, target)
    atoms = compound_range(pairs, answer, sizes, (crystal, sphere), target)
    return {
        "number": number,
        "about": f"{one.formula} {one.crystal} {one.shape}",
        "known": one.pdf.qdamp is not None,
        "atoms": one.atoms,
        "right": best.structure_type == one.crystal,
        "found": len(best),
        "alike": [alike.low, alike.high],
        "stated": [atoms.low, atoms.high],
        "sizes": [[s.qdamp, s.n_atoms, s.rw, s.crystal_rw] for s in sizes],
        "rw": fit.rw,
        "rw_sphere": sphere.rw,
        "n_sphere": sphere.n_atoms,
        "excess": excess(alike, one.atoms),
        "shortest": shortest_bond(best.positions),
        "seconds": time.process_time() - begin,
    }


def told(row: dict[str, Any]) -> str:
    """A line for a powder."""
    low, high = row["stated"]
    holds = low <= row["atoms"] <= high
    return (
        f"{row['number']:3d} {row['about']:27} Qdamp "
        f"{'known' if row['known'] else 'open '} {row['atoms']:6.0f} -> "
        f"{row['found']:5d} (alike {row['alike'][0]} to {row['alike'][1]}, "
        f"stated {low} to {high}: {'holds' if holds else 'misses'}) Rw "
        f"{row['rw']:.3f} sphere {row['rw_sphere']:.3f}, {row['n_sphere']}; "
        f"shortest {row['shortest']:.2f} A {row['seconds']:.0f} s"
        f"{'' if row['right'] else ' OTHER CRYSTAL'}"
    )


def shares(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    """What the range needs, and how often it holds, by what is known."""
    for known in (True, False):
        some = [r for r in rows if r["known"] == known]
        if not some:
            continue
        held = [r["stated"][0] <= r["atoms"] <= r["stated"][1] for r in some]
        more = conformal([r["excess"] for r in some], 0.9)
        wide = np.mean(
            [math.log(r["stated"][1] / r["stated"][0]) for r in some]
        )
        yield (
            f"Qdamp {'known' if known else 'open'}: widening {more:.3f}, "
            f"the stated range holds N in {np.mean(held):.0%} of "
            f"{len(some)} (high over low {math.exp(wide):.1f}), crystal "
            f"right in {np.mean([r['right'] for r in some]):.0%}"
        )


def main() -> None:
    """Solve the powders of some numbers, and print how wide ranges are."""
    parser = numbers_parser(__doc__, 48)
    parser.add_argument(
        "--disordered",
        action="store_true",
        help="powders beside disordered matter, which leaves a misfit",
    )
    options = parser.parse_args()
    rows = numbered_rows(
        options, lambda number: solved(number, options.disordered), told
    )
    print(*shares(rows), sep="\n")


if __name__ == "__main__":
    main()
