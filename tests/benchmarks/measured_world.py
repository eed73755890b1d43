"""Answers on simulated measured PDFs: types, ranges of N, doubts.

    python -m tests.benchmarks.measured_world [--count 400] [--json FILE]
    python -m tests.benchmarks.measured_world --first 520 --count 100
    python -m tests.benchmarks.measured_world --json FILE --count 0
    python -m tests.benchmarks.measured_world --json OTHER --cases 4 6 106 \
        --generators library --polish no

Each case is a powder of metal particles with known atoms, measured under its
own conditions (`case`): ideal and random shapes of 20 to 3,000 atoms, spreads
of sizes, rough and loose surfaces, ligands, second phases, backgrounds, the
polynomial correction, noise, a wrong wavelength.  One in seven is something
else: a liquid, a bulk crystal, noise, a compound named after its metal, F(Q)
or g(r).  What `solve` says is kept in the JSON file, from which a run that
was stopped goes on; ``--count 0`` prints the tables of what is there.  Few
answers leave a misfit: cases in which the library alone leaves an Rw above 0.1
are solved again by all, and ``--misfits`` reads their file.

The jobs are those of `solve` with all its defaults, unless generators are
named; the truth serves for the figures alone.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

import diffpy_cbldm as cb
from diffpy_cbldm.crystals.bonds import (
    nearest_neighbour_distance,
    shortest_bond,
)
from diffpy_cbldm.crystals.particles import MultiplyTwinned
from diffpy_cbldm.crystals.radii import neighbour_distance
from diffpy_cbldm.crystals.random_particles import RandomParticle
from diffpy_cbldm.crystals.table import load_table
from diffpy_cbldm.debye.world import World
from diffpy_cbldm.files import write_atomic
from diffpy_cbldm.fitting.measured import powder_of
from diffpy_cbldm.solving import solver
from diffpy_cbldm.solving.atom_range import AtomRange
from diffpy_cbldm.solving.judging import judged
from diffpy_cbldm.solving.size_evidence import SizeEvidence
from diffpy_cbldm.solving.world_range import across
from tests.benchmarks import no_particle, polish, world_tables
from training.evaluation.jobs import solved

SEED = 20_270

METALS = ("Pt", "Au", "Pd", "Ag", "Ni", "Co", "Ru", "Fe", "W")

LARGEST = 3000

ELSE = 1 / 7
"""Share of cases that are no metal particle."""


@dataclasses.dataclass(frozen=True)
class Case:
    """One simulated measurement.

    Attributes
    ----------
    pdf : PDFData
    kind : str
        Structure type, or of what is no particle its name.
    number_mean, weight_mean : float
        Of the atoms of the powder; 0 for what is no particle.
    bond : float, angstrom
        Its first-neighbour distance; 0 as well.
    world : dict
        What was added.
    truth : Candidate or None
        The particle that the powder is made of.
    around : World
    conditions : dict
        Those of the measurement, as `cb.simulate` takes them.
    """

    pdf: cb.PDFData
    kind: str
    number_mean: float
    weight_mean: float
    bond: float
    world: dict[str, Any]
    truth: cb.Candidate | None = None
    around: World = World()
    conditions: dict[str, float] = dataclasses.field(default_factory=dict)


def shape(rng: np.random.Generator) -> tuple[np.ndarray, str]:
    """Positions in bond lengths and the type of a random particle."""
    way = rng.choice(["ideal", "small", "large", "twinned"])
    if way == "ideal":
        table = load_table()
        known = [k for k, g in enumerate(table.geometries) if g.n_atoms > 19]
        k = int(rng.choice(known))
        return table.positions(k), table.geometries[k].structure_type
    if way == "small":
        kinds = [k for k in polish.KINDS if k not in ("strain", "contraction")]
        one = polish.truth(str(rng.choice(kinds)), rng)
        bond = np.linalg.norm(one.positions - one.positions[0], axis=1)
        return one.positions / np.sort(bond)[1], one.structure_type
    if way == "twinned":
        series = [MultiplyTwinned("ico", (n,)) for n in range(3, 9)]
        series += [
            MultiplyTwinned("dec", (p, q, r))
            for p in (2, 3, 4, 5)
            for q in (1, 2, 3)
            for r in (0, 1, 2)
        ]
        some = [one for one in series if 20 <= len(one) <= LARGEST]
        one = some[int(rng.integers(len(some)))]
        return one.positions, one.crystal
    while True:
        cut = RandomParticle(int(rng.integers(10**6, 10**9)))
        if len(cut) <= LARGEST:
            return cut.positions, cut.structure_type


def world(rng: np.random.Generator, biso: float) -> World:
    """What a measurement adds, more or less of each."""

    def some(share: float, low: float, high: float) -> float:
        here, size = rng.random() < share, rng.uniform(low, high)
        return float(size) if here else 0.0

    return World(
        size_spread=some(0.75, 0.03, 0.25),
        missing=some(0.5, 0.0, 0.3),
        shifted=some(0.5, 0.0, 0.15),
        surface_biso=biso + some(0.7, 0.0, 1.0),
        ligand=str(rng.choice(["", "S", "C"])),
        coverage=some(0.7, 0.2, 0.8),
        second=str(rng.choice(["", "fcc", "bcc", "hcp"])),
        second_share=some(0.2, 0.03, 0.2),
        background=some(0.6, 0.0, 0.3),
        rpoly=some(0.8, 0.9, 0.9),
        noise=some(1.0, 0.005, 0.06),
        wavelength_error=float(rng.normal(0, 0.002)),
        qbroad=some(0.3, 0.005, 0.02),
        seed=int(rng.integers(2**31)),
    )


def case(number: int) -> Case:
    """A case by its number."""
    rng = np.random.default_rng([SEED, number])
    element = str(rng.choice(METALS))
    bond = (neighbour_distance(element) or 2.8) * rng.normal(1, 0.01)
    biso = float(rng.uniform(0.25, 0.8))
    conditions = {
        "qmin": float(rng.uniform(0.7, 1.2)),
        "qmax": float(rng.uniform(18, 28)),
        "qdamp": float(rng.uniform(0.015, 0.06)),
        "biso": biso,
        "delta2": float(rng.uniform(0, 4)),
        "rmax": float(rng.choice([20, 30, 30, 40])),
        "rstep": 0.02,
    }
    told = bool(rng.random() < 0.5)
    if rng.random() < ELSE:
        kind, pdf = no_particle.draw(rng, element, bond, conditions)
        return Case(pdf, kind, 0.0, 0.0, 0.0, {})
    x, kind = shape(rng)
    truth = cb.Candidate(element, bond * x, kind)
    around = world(rng, biso)
    try:
        powder = powder_of(truth, around)
    except cb.CbldmError:  # on no lattice: of one size
        around = dataclasses.replace(around, size_spread=0.0)
        powder = powder_of(truth, around)
    (pdf,) = cb.simulate(truth, world=around, **conditions)
    pdf = dataclasses.replace(
        pdf,
        composition=element,
        qdamp=pdf.qdamp if told else None,
        qbroad=0.0,
    )
    means = powder.number_mean, powder.weight_mean
    return Case(
        *(pdf, kind, *means, powder.bond, around.added),
        *(truth, around, conditions),
    )


def record(job: tuple[int, str, bool]) -> list[dict[str, Any]]:
    """What `solve` says of a case, beside its truth.

    Parameters
    ----------
    job : (int, str, bool)
        The number of the case, generators (empty for those of a default
        job), and whether the best candidates are edited.
    """
    number, generators, polish_them = job
    one = case(number)
    begun = time.perf_counter()
    asked = {"generators": generators} if generators else {}
    # A worker is one process: its answer is that of two cores.
    with edits_heard() as edited:
        solution = cb.solve(one.pdf, polish=polish_them, cores=1, **asked)
    atoms = solution.atoms
    best, verdict = solution.candidates[0], solution.verdict
    assert verdict is not None
    # One particle that explains the data has no range without edits.
    seen = (atoms and atoms.evidence) or SizeEvidence(
        *[len(best)] * 3,
        rw=best.rw or 0.0,
        reach=across(best.positions) / solution.settings["rmax"],
        known=one.pdf.qdamp is not None,
    )
    row = {
        "number": number,
        "asked": generators or "default",
        "polish": polish_them,
        "kind": one.kind,
        "number_mean": one.number_mean,
        "weight_mean": one.weight_mean,
        "true_bond": one.bond,
        "bond": nearest_neighbour_distance(best.positions),
        "told": one.pdf.qdamp is not None,
        "rmax": solution.settings["rmax"],
        "world": one.world,
        "type": best.structure_type,
        "atoms": len(best),
        "stated": [atoms.low, atoms.high] if atoms else None,
        "edited": edited[-1],
        "rw": best.rw,
        "evidence": dataclasses.asdict(seen),
        "of_powders": bool(atoms and atoms.evidence),
        "state": verdict.state,
        "reason": verdict.kind,
        "at_least": verdict.at_least,
        "score": verdict.score,
        "types": list(verdict.types),
        "doubts": {d.name: d.value for d in verdict.doubts},
        "candidates": [
            _described(c) for c in solution.candidates if c.rw is not None
        ],
        "seconds": time.perf_counter() - begun,
    }
    return [row]


@contextlib.contextmanager
def edits_heard() -> Iterator[list[list[int] | None]]:
    """The range of N of the edits, which is part of what is stated."""
    heard: list[list[int] | None] = [None]

    def listening(
        answer: Any, ranked: Any, edited: AtomRange | None, sizes: Any
    ) -> Any:
        heard.append(edited and [edited.low, edited.high])
        return judged(answer, ranked, edited, sizes)

    with mock.patch.object(solver, "judged", listening):
        yield heard


def _described(one: cb.Candidate) -> dict[str, Any]:
    """What is kept of a refined candidate."""
    return {
        "generator": one.generator,
        "type": one.structure_type,
        "atoms": len(one),
        "rw": one.rw,
        "heldout": one.rw_heldout,
        "edits": list(map(str, one.edits)),
        "parameters": {
            name: value for name, (value, _) in one.parameters.items()
        },
        "uiso": min(one.uiso.values(), default=0.0),
        "shortest": shortest_bond(one.positions),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=400)
    parser.add_argument(
        "--first",
        type=int,
        default=0,
        help="number of the first case; the package's tables are made of "
        "those below 520",
    )
    parser.add_argument(
        "--facts",
        action="store_true",
        help="also print what the package's tables should hold",
    )
    parser.add_argument("--cases", type=int, nargs="+", help="these alone")
    parser.add_argument("--generators", default="")
    parser.add_argument("--polish", choices=("yes", "no"), default="yes")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--json", type=Path, default=Path("world.json"))
    parser.add_argument(
        "--misfits",
        type=Path,
        metavar="FILE",
        help="rows of further cases, of which those with a misfit count",
    )
    words = parser.parse_args()
    rows: list[dict[str, Any]] = []
    if words.json.exists():
        rows = json.loads(words.json.read_text())
    done = {row["number"] for row in rows}
    numbers = range(words.first, words.first + words.count)
    jobs = [
        (number, words.generators, words.polish == "yes")
        for number in words.cases or numbers
        if number not in done
    ]

    def keep(some: list[dict[str, Any]]) -> None:
        write_atomic(words.json, json.dumps(rows + some))

    rows += solved(jobs, record, 1, "world", words.workers, keep=keep)
    more = json.loads(words.misfits.read_text()) if words.misfits else []
    print(world_tables.tables(rows, more))
    if words.facts:
        print(world_tables.facts(rows, more))


if __name__ == "__main__":
    main()
