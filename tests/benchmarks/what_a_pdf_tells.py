"""How much of a powder a PDF can tell, by its Qmax, noise and range of r.

    python -m tests.benchmarks.what_a_pdf_tells [--noise 0.02]

Spheres of platinum with a lognormal distribution of diameters, a loose
surface and thiol ligands (sulfur), about points at random.  The derivatives
of G(r) by the number of atoms, the width of the distribution, the surface's
Uiso and the ligands' coverage, together with those by scale, bond length,
Uiso, delta2 and Qdamp, give the smallest standard deviation that any fit can
reach under noise of that size (Cramer and Rao): noise of the range of Q,
whose root mean square is so much of that of G(r) up to 20 A.  A twin plane
through each particle is told by so many standard deviations of what all
these cannot imitate.
"""

from __future__ import annotations

import argparse
import math

import numpy as np
from scipy.stats import norm

from diffpy_cbldm.crystals.lattices import sphere, stacking_sites
from diffpy_cbldm.crystals.powder import Member, covered, weathered
from diffpy_cbldm.fitting.measured import structure_function

MEMBERS = 41

BOND, UISO, DELTA2, QDAMP = 2.77, 0.006, 3.0, 0.04

BASE = {"size": 0.0, "spread": 0.1, "surface": 0.5, "coverage": 0.3}
"""log N over that of the base, width of ln D, share by which the surface's
Uiso is larger, and share of the surface atoms with a ligand."""

STEPS = {"size": 0.15, "spread": 0.05, "surface": 0.25, "coverage": 0.15}

QMIN, STEP = 0.8, 0.01

CASES = [(18, 30), (22, 30), (26, 30), (30, 30), (22, 20), (22, 50)]
"""Qmax (1/A) and end of the range of r (A)."""


def places(radius: float, twin: bool) -> np.ndarray:
    """fcc about the origin, with a twin plane through it or without."""
    points = sphere("stack", radius)
    layer, site = stacking_sites(points)
    return points[site == (np.abs(layer) if twin else layer) % 3]


def powder(
    diameter: float, p: dict[str, float], twin: bool = False
) -> list[Member]:
    """The particles; the same points and ligands at all parameters."""
    rng = np.random.default_rng(3)
    z = norm.ppf((np.arange(MEMBERS) + 0.5) / MEMBERS)
    factors = np.exp(p["spread"] * z / z.std() + p["size"] / 3)
    lattice = places(0.5 * diameter / BOND * 1.8 + 1, twin)
    members = []
    for factor in factors:
        # Across the twin plane they would miss it.
        shift = rng.uniform(-0.5, 0.5, 3) * [1, 1, 0.2]
        inside = np.linalg.norm(lattice - shift, axis=1) < (
            0.5 * diameter * factor / BOND
        )
        member = weathered(BOND * lattice[inside], rng)
        members.append(
            covered(member, np.random.default_rng(5), p["coverage"], 2.3)
        )
    return members


def scattering(
    members: list[Member],
    q: np.ndarray,
    surface: float,
    uiso: float = UISO,
    delta2: float = DELTA2,
) -> np.ndarray:
    """F(Q) of the powder."""
    widths = (uiso, uiso * (1 + surface), 0.02)
    law = {"delta2": delta2, "qbroad": 0.0}
    return structure_function(members, q, ("Pt", "Pt", "S"), widths, "X", law)


def derivatives(
    diameter: float, q: np.ndarray
) -> tuple[np.ndarray, dict[str, np.ndarray], np.ndarray]:
    """F(Q), its derivatives by name, and the change by a twin plane."""
    base = powder(diameter, BASE)
    f = scattering(base, q, BASE["surface"])
    slopes = {}
    for name, step in STEPS.items():
        ends = []
        for sign in (1, -1):
            p = BASE | {name: BASE[name] + sign * step}
            # The surface's Uiso changes no atom.
            some = base if name == "surface" else powder(diameter, p)
            ends.append(scattering(some, q, p["surface"]))
        slopes[name] = (ends[0] - ends[1]) / (2 * step)
    wide = scattering(base, q, BASE["surface"], uiso=1.05 * UISO)
    slopes["uiso"] = (wide - f) / (0.05 * UISO)
    sharp = scattering(base, q, BASE["surface"], delta2=DELTA2 + 0.2)
    slopes["delta2"] = (sharp - f) / 0.2
    twinned = scattering(powder(diameter, BASE, True), q, BASE["surface"])
    return f, slopes, twinned - f


def told(
    q: np.ndarray,
    made: tuple[np.ndarray, dict[str, np.ndarray], np.ndarray],
    case: tuple[int, int],
    noise: float,
    known: bool,
) -> dict[str, float]:
    """Standard deviations of `BASE`, and of what a twin plane changes."""
    f, slopes, twin = made
    qmax, rmax = case
    some = (q >= QMIN) & (q <= qmax)
    r = np.arange(1.5, rmax, STEP)
    wave = 2 / math.pi * (q[1] - q[0]) * np.sin(r[:, None] * q[some])
    wave *= np.exp(-0.5 * (QDAMP * r[:, None]) ** 2)
    g = wave @ f[some]
    columns = {name: wave @ slope[some] for name, slope in slopes.items()}
    columns["scale"], columns["bond"] = g, np.gradient(r * g, r)
    if not known:
        columns["qdamp"] = -QDAMP * r**2 * g
    j = np.stack(list(columns.values()), 1)
    # Points nearer than pi / Qmax tell nothing new.
    point = (
        noise
        * float(np.std(g[r < 20]))
        * math.sqrt(math.pi / (qmax - QMIN) / STEP)
    )
    norms = np.linalg.norm(j, axis=0)
    covariance = np.linalg.inv((j / norms).T @ (j / norms))
    deviation = point * np.sqrt(np.diag(covariance)) / norms
    found = dict(zip(columns, deviation.tolist()))
    change = wave @ twin[some]
    left = change - j @ np.linalg.lstsq(j, change, rcond=None)[0]
    found["twin"] = float(np.linalg.norm(left)) / point
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--noise", type=float, default=0.02)
    noise = parser.parse_args().noise
    print(
        "| D (A) | Qdamp | Qmax | r to | N | width | surface Uiso | coverage "
        "| twin plane |\n" + "| --- " * 9 + "|"
    )
    for diameter in (16.0, 24.0, 36.0):
        dq = math.pi / (50 + 1.8 * diameter + 10)
        q = np.arange(1, math.ceil(30 / dq) + 1) * dq
        made = derivatives(diameter, q)
        for known in (True, False):
            for case in CASES:
                s = told(q, made, case, noise, known)
                print(
                    f"| {diameter:g} | {'known' if known else 'fitted'} | "
                    f"{case[0]} | {case[1]} | {s['size']:.1%} | "
                    f"{s['spread']:.3f} | {s['surface']:.0%} | "
                    f"{s['coverage']:.0%} | {s['twin']:.0f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
