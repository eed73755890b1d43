"""How often simulated frameworks are found again.

    python -m tests.benchmarks.frameworks [--cases 40] [--seed 21]
        [--generators library,screen,shells] [--polish no] [--first 0]

Frameworks of 25 to 250 atoms are drawn from all that are known, one group
after the other; each orbit is moved by up to 3 % of the bond, in all ways that
leave the symmetry; every second one bears sulfur atoms over its surface; Uiso
0.01 A^2, Qmax 25 1/A, Qdamp 0.04 1/A, which the fit does not know, and noise
of 1 % of the signal in the measured range of Q.  The frameworks are those of
the table: what is held out are the moves.  For each case: the answer and its
Rw, whether it is the framework (all orbits of the same sizes), whether N is
right, and whether the range holds it; at the end the shares, and those of
the cases without and with sulfur.  ``--first`` goes on from a later case.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

import diffpy_cbldm as cb
from diffpy_cbldm.crystals.bonds import shortest_bond
from diffpy_cbldm.crystals.frameworks import Framework, load_frameworks
from diffpy_cbldm.crystals.point_groups import (
    ROTATION_GROUPS,
    operations,
    orbit_fields,
    orbits,
    rotations,
)
from diffpy_cbldm.fitting.ligand_sites import places
from diffpy_cbldm.fitting.ligands import ligand_distance
from diffpy_cbldm.fitting.orbit_moves import MOST_ORBITS

BOND, MOVED, NOISE = 2.86, 0.03, 0.01
FEWEST, MOST = 25, 250
CLOSEST = 0.88
"""No two atoms of a case are closer, bond lengths."""


def drawn(count: int, rng: np.random.Generator) -> list[Framework]:
    """Frameworks with few enough ways to move, group after group."""
    pools = []
    for group in ROTATION_GROUPS:
        known = [f for f in load_frameworks() if f.group == group]
        pools.append([f for f in known if FEWEST <= len(f) <= MOST])
    found: list[Framework] = []
    while len(found) < count:
        pool = pools[len(found) % len(pools)]
        framework = pool[rng.integers(len(pool))]
        if len(framework.shells) <= MOST_ORBITS:
            found.append(framework)
    return found


def displaced(framework: Framework, rng: np.random.Generator) -> np.ndarray:
    """Positions with each orbit moved, (n, 3), angstrom."""
    turns = rotations(framework.group)
    while True:
        moved = []
        for shell in framework.shells:
            fields = orbit_fields(shell, turns)
            size = rng.uniform(-MOVED, MOVED, len(fields))
            moved.append(shell + np.tensordot(size, fields, 1))
        x = np.concatenate(moved)
        if shortest_bond(x) > min(CLOSEST, shortest_bond(framework.positions)):
            return BOND * x


def measured(
    x: np.ndarray, capped: bool, rng: np.random.Generator
) -> cb.PDFData:
    """Its PDF, with or without sulfur, and noise in the range of Q."""
    elements, positions = ["Au"] * len(x), x
    if capped:
        distance = ligand_distance("Au", "S")
        over = places(x, distance, "atom")
        positions = np.concatenate([x, over.at(distance)])
        elements += ["S"] * len(over)
    qmax = 25.0
    pdf = cb.simulate(
        cb.Cluster(tuple(elements), positions),
        qmin=0.8,
        qmax=qmax,
        qdamp=0.04,
        biso=0.01 * 8 * np.pi**2,
        delta2=3.0,
    )[0]
    knots = np.arange(0, pdf.r[-1], np.pi / qmax)
    waves = np.sinc((pdf.r[:, None] - knots) * qmax / np.pi)
    noise = waves @ rng.normal(size=len(knots))
    return cb.PDFData(
        pdf.r,
        pdf.g + NOISE * pdf.g.std() * noise,
        composition="Au",
        qmin=0.8,
        qmax=qmax,
        stype="X",
    )


def sizes(x: np.ndarray) -> list[int]:
    """Atoms of each orbit under the rotations of a cluster."""
    turns = operations(x)
    proper = turns[np.linalg.det(turns) > 0]
    return sorted(len(orbit.places) for orbit in orbits(x, proper))


def main() -> None:
    """Print one line for each case, and the shares."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cases", type=int, default=40)
    parser.add_argument("--seed", type=int, default=21)
    parser.add_argument("--generators", default="library,screen,shells")
    parser.add_argument("--polish", choices=("yes", "no"), default="no")
    parser.add_argument("--first", type=int, default=0)
    asked = parser.parse_args()
    rng = np.random.default_rng(asked.seed)
    right = []
    for place, framework in enumerate(drawn(asked.cases, rng)):
        x, capped = displaced(framework, rng), bool(place % 2)
        pdf = measured(x, capped, rng)
        if place < asked.first:
            continue
        begin = time.process_time()
        sol = cb.solve(
            pdf, generators=asked.generators, polish=asked.polish == "yes"
        )
        best = sol.candidates[0]
        n = len(best) == len(x)
        same = n and sizes(best.positions) == sorted(
            map(len, framework.shells)
        )
        held = sol.atoms and sol.atoms.low <= len(x) <= sol.atoms.high
        right.append((capped, same, n, held))
        print(
            f"{framework.group:2} {len(x):3} {'S' if capped else '-'} "
            f"{best.generator:8}{best.structure_type:7} {len(best):3} "
            f"Rw {best.rw:.3f} "
            f"{shortest_bond(best.positions):.2f} A "
            f"{'framework' if same else 'N' if n else 'wrong':9} "
            f"{sol.atoms or 'no range'} "
            f"{time.process_time() - begin:.0f} s",
            flush=True,
        )
    for words, kinds in (
        ("all", (False, True)),
        ("without sulfur", (False,)),
        ("with sulfur", (True,)),
    ):
        some = [row for row in right if row[0] in kinds]
        _, same, n, held = (sum(map(bool, col)) for col in zip(*some))
        print(
            f"{words}: {len(some)} cases, framework right in {same}, N in "
            f"{n}, in the range in {held}"
        )


if __name__ == "__main__":
    main()
