"""How often the range of N holds that of simulated powders.

    python -m tests.benchmarks.powders [--count 16]

Each powder has 24 fcc particles of platinum, one in four twinned, cut by
planes and spheres about any centre; their diameters have a lognormal width of
8 to 30 %, the noise is 0.5 % of the highest peak.  Of every other one Qdamp is
known.  Without the model, which takes most of the time: library and screening.
Printed are the true weight and number mean of N, the first structure, the
crystal and the stated range; at the end how often it holds the weight mean.
"""

from __future__ import annotations

import argparse
import dataclasses
import math

import numpy as np

import diffpy_cbldm as cb
from diffpy_cbldm.crystals.particles import NONE, Particle

PARTICLES = 24
BOND = 2.772
NOISE = 0.005


@dataclasses.dataclass(frozen=True)
class Powder:
    """A simulated powder.

    Attributes
    ----------
    pdf : PDFData
    weight_mean, number_mean : float
    width : float
        Of ln D.
    known : bool
        Whether the PDF tells Qdamp.
    """

    pdf: cb.PDFData
    weight_mean: float
    number_mean: float
    width: float
    known: bool


def particle(rng: np.random.Generator, atoms: float) -> Particle:
    """A sphere of about so many atoms that some planes cut."""
    twin = rng.random() < 0.25
    radius = (atoms / 2**0.5 / (4 / 3 * math.pi)) ** (1 / 3)
    while True:
        cuts = rng.uniform(0.8, 1.3, 4) * radius
        cut = rng.random(4) < 0.6
        end = radius * rng.uniform(0.95, 1.2)
        centre = 0 if twin else int(rng.integers(3))

        def at(size: float) -> Particle:
            limits = np.where(cut, size * cuts, NONE)  # noqa: B023
            return Particle(
                "twin" if twin else "fcc",
                centre,  # noqa: B023
                tuple(map(float, limits)),
                float(size * end),  # noqa: B023
            )

        found = at(float((atoms / len(at(1.0))) ** (1 / 3)))
        if abs(len(found) / atoms - 1) < 0.2:
            return found


def powder(number: int) -> Powder:
    """A powder with its PDF to 60 A."""
    rng = np.random.default_rng([77, number])
    width = float(rng.uniform(0.08, 0.3))
    middle = math.exp(rng.uniform(math.log(250), math.log(2500)))
    qdamp, biso = float(rng.uniform(0.018, 0.055)), float(
        rng.uniform(0.4, 0.9)
    )
    sizes = middle * np.exp(3 * width * rng.normal(size=PARTICLES))
    some = [particle(rng, n) for n in sizes.clip(40, 9000)]
    atoms = np.array([len(p) for p in some])
    clusters = [cb.Cluster("Pt", p.positions * BOND) for p in some]
    pdfs = cb.simulate(
        clusters, qmin=0.7, qmax=25.0, qdamp=qdamp, biso=biso, rmax=60.0
    )
    g = atoms @ np.array([pdf.g for pdf in pdfs]) / atoms.sum()
    g = g + NOISE * g.max() * rng.standard_normal(len(g))
    known = number % 2 == 0
    pdf = cb.PDFData(
        r=pdfs[0].r,
        g=g,
        composition="Pt",
        qmin=0.7,
        qmax=25.0,
        qdamp=qdamp if known else None,
    )
    weight = float((atoms**2).sum() / atoms.sum())
    return Powder(pdf, weight, float(atoms.mean()), width, known)


def main() -> None:
    """Print a line for each powder, and the shares."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=16)
    parser.add_argument("--first", type=int, default=0)
    options = parser.parse_args()
    rows = []
    for number in range(options.first, options.first + options.count):
        one = powder(number)
        found = cb.solve(one.pdf, generators=("library", "screen"), refine=2)
        best, crystal, stated = (
            found.candidates[0],
            found.crystal,
            found.atoms,
        )
        assert crystal is not None and stated is not None
        holds = stated.low <= one.weight_mean <= stated.high
        rows.append((one.known, holds, stated.high / stated.low))
        print(
            f"{number:3d} Qdamp {'known' if one.known else 'open'}, width "
            f"{one.width:.2f}: weight mean {one.weight_mean:.0f}, number mean "
            f"{one.number_mean:.0f}; {best.structure_type} {len(best)}, Rw "
            f"{best.rw:.3f}; crystal {crystal.n_atoms}, Rw {crystal.rw:.3f}; "
            f"{stated} {'holds' if holds else 'misses'}",
            flush=True,
        )
    for known in (True, False):
        part = [row for row in rows if row[0] == known]
        if part:
            ratio = math.exp(np.mean([math.log(row[2]) for row in part]))
            print(
                f"Qdamp {'known' if known else 'open'}: the range holds the "
                f"weight mean in {np.mean([r[1] for r in part]):.0%} of "
                f"{len(part)}; high over low {ratio:.2f} in the mean"
            )


if __name__ == "__main__":
    main()
