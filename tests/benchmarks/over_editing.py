"""Whether edits bring answers on measured data nearer to the truth.

    python -m tests.benchmarks.over_editing [--count 40] [--json FILE]
    python -m tests.benchmarks.over_editing --clean [--json FILE]
    python -m tests.benchmarks.over_editing --json FILE --count 0

Each case is a powder of particles with known atoms, as in `measured_world`
(whose own cases end below `FIRST`): several sizes, rough and loose surfaces,
ligands, second phases, backgrounds, noise.  Only particles of 40 to 400 atoms
are taken.  With ``--clean`` the same shapes are measured one by one, with
noise of 1 % and nothing else: there edits are asked for.  Answers are those of
the generator `library` with edits.  Beside the answer stands the best
structure without edits, and beside both the truth: the weight mean of N, the
type, and the roughness over that of the most compact cluster.  What is done is
kept in the JSON file, from which a run that was stopped goes on.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import diffpy_cbldm as cb
from diffpy_cbldm.crystals.bonds import shortest_bond
from diffpy_cbldm.files import write_atomic
from diffpy_cbldm.fitting.measured import powder_of
from diffpy_cbldm.polishing.costs import rough_beyond
from diffpy_cbldm.solving.doubt_table import family
from tests.benchmarks import measured_world
from tests.benchmarks.world_tables import share

FIRST = 2000
"""Number of the first case."""

SMALLEST, LARGEST = 40, 400
"""Atoms of the particles, in the weight mean."""

CLEAN_NOISE = 0.01

NEARLY = 0.02
"""Two answers are as far from the truth as one another within this, of log N
and of the roughness."""

Row = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Truth:
    """A powder, and its PDF.

    Attributes
    ----------
    pdf : PDFData
    kind : str
    atoms, ratio : float
        Weight means of N and of the roughness over the most compact one's.
    """

    pdf: cb.PDFData
    kind: str
    atoms: float
    ratio: float


def case(number: int, clean: bool) -> Truth | None:
    """A case by its number; None for one of another size, or no metal."""
    one = measured_world.case(number)
    if not SMALLEST <= one.weight_mean <= LARGEST:
        return None
    truth, around = one.truth, one.around
    assert truth is not None
    pdf = one.pdf
    if clean:
        # The same particle, alone and ideally measured.
        around = cb.World(noise=CLEAN_NOISE, seed=around.seed)
        (pdf,) = cb.simulate(truth, world=around, **one.conditions)
        known = pdf.qdamp if one.pdf.qdamp is not None else None
        pdf = dataclasses.replace(
            pdf, composition=one.pdf.composition, qdamp=known
        )
    powder = powder_of(truth, around)
    ratios = [
        rough_beyond(m.positions[m.kind < 2], one.kind)[1]
        for m in powder.members
    ]
    weights = [m.atoms for m in powder.members]
    ratio = float(np.average(ratios, weights=weights))
    return Truth(pdf, one.kind, powder.weight_mean, ratio)


def told(candidate: cb.Candidate) -> Row:
    """What is compared of a structure."""
    x, kind = candidate.positions, candidate.structure_type
    return {
        "type": kind,
        "atoms": len(candidate),
        "ratio": rough_beyond(x, kind)[1],
        "rw": candidate.rw,
        "bond": float(shortest_bond(x)),
        "edits": list(candidate.edits),
    }


def record(number: int, clean: bool) -> Row | None:
    """What `solve` says of a case, with edits and without."""
    truth = case(number, clean)
    if truth is None:
        return None
    begun = time.process_time()
    solution = cb.solve(truth.pdf, generators="library", count=24, refine=4)
    # In the order of the answer.
    refined = [c for c in solution.candidates if c.rw is not None]
    plain = [c for c in refined if not c.edits]
    return {
        "number": number,
        "clean": clean,
        "kind": truth.kind,
        "atoms": truth.atoms,
        "ratio": truth.ratio,
        "unedited": told(plain[0]),
        "answer": told(refined[0]),
        "seconds": time.process_time() - begun,
    }


def off(row: Row, which: str) -> tuple[float, float, bool]:
    """How far a structure is from the truth.

    Returns
    -------
    atoms, ratio : float
        Differences of log N and of the roughness.
    wrong : bool
        Whether its type is another one.
    """
    found = row[which]
    return (
        abs(float(np.log(found["atoms"] / row["atoms"]))),
        abs(found["ratio"] - row["ratio"]),
        family(found["type"]) != family(row["kind"]),
    )


def farther(row: Row) -> tuple[bool, bool, bool]:
    """In which of N, roughness and type edits led away from the truth.

    In none where the answer is not edited: what comes first is no matter of
    edits then.
    """
    if not row["answer"]["edits"]:
        return False, False, False
    before, after = off(row, "unedited"), off(row, "answer")
    return (
        after[0] > before[0] + NEARLY,
        after[1] > before[1] + NEARLY,
        after[2] and not before[2],
    )


def nearer(row: Row) -> tuple[bool, bool, bool]:
    """The same the other way round."""
    turned = {**row, "answer": row["unedited"], "unedited": row["answer"]}
    turned["answer"] = {**turned["answer"], "edits": row["answer"]["edits"]}
    return farther(turned)


def table(rows: Sequence[Row]) -> str:
    """Each case, and the shares, as markdown."""
    head = "number, truth: type, N, roughness, without edits, Rw, answer"
    names = [*head.split(", "), "Rw", "edits", "farther"]
    lines = [names, ["---"] * len(names)]
    for row in sorted(rows, key=lambda row: row["number"]):
        cells = [str(row["number"]), row["kind"], f"{row['atoms']:.0f}"]
        cells.append(f"{row['ratio']:.2f}")
        for which in ("unedited", "answer"):
            one = row[which]
            cells.append(f"{one['type']} {one['atoms']}, {one['ratio']:.2f}")
            cells.append(f"{one['rw']:.4f}")
        cells.append(", ".join(row["answer"]["edits"]))
        where = zip(("N", "roughness", "type"), farther(row))
        cells.append(", ".join(name for name, is_so in where if is_so))
        lines.append(cells)
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def shares(rows: Sequence[Row]) -> str:
    """What the edits did, in figures."""
    edited = [row for row in rows if row["answer"]["edits"]]
    text = [
        f"{len(rows)} cases, {len(edited)} of them edited; no farther from "
        f"the truth than without edits: "
        f"{share(rows, lambda row: not any(farther(row)))}"
    ]
    for place, name in enumerate(("N", "roughness", "type")):
        away = sum(farther(row)[place] for row in edited)
        near = sum(nearer(row)[place] for row in edited)
        text.append(f"  {name}: {away} farther, {near} nearer")
    for which in ("unedited", "answer"):
        far = np.array([off(row, which)[:2] for row in edited] or [[0, 0]])
        n, ratio = far.mean(0)
        text.append(
            f"  of the edited ones, {which}: log N off by {n:.3f}, roughness "
            f"by {ratio:.3f} in the mean"
        )
    return "\n".join(text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=40, help="cases")
    parser.add_argument("--first", type=int, default=FIRST)
    parser.add_argument(
        "--clean",
        action="store_true",
        help="the same shapes alone, measured ideally but for noise of 1 %%",
    )
    parser.add_argument("--json", type=Path, default=Path("over_editing.json"))
    words = parser.parse_args()
    rows: list[Row] = []
    if words.json.exists():
        rows = json.loads(words.json.read_text())
    done = {row["number"] for row in rows if row["number"] >= words.first}
    number = words.first
    while len(done) < words.count:
        if number not in done:
            row = record(number, words.clean)
            if row is not None:
                rows.append(row)
                done.add(number)
                write_atomic(words.json, json.dumps(rows))
                print(table([row]).splitlines()[-1], flush=True)
        number += 1
    if rows:
        print(table(rows), shares(rows), sep="\n\n")


if __name__ == "__main__":
    main()
