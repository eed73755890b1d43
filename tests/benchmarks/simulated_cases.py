"""Twelve simulated PDFs that vary in what the main job depends on.

Type, size, range of Q, Qdamp (in the header or not), range of r and noise
differ from one to the next; the shapes are ideal clusters, spheres cut from
a crystal and random cuts.  The recipe uses ASE and the public API alone, so
that it outlives changes within the package.

Benchmarks of cases by number share the loop over them (`numbered_rows`).
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ase.build
import ase.cluster
import numpy as np

import diffpy_cbldm as cb

SEED = 20

IDEAL: dict[str, Callable[..., Any]] = {
    "icosahedron": ase.cluster.Icosahedron,
    "decahedron": ase.cluster.Decahedron,
    "octahedron": ase.cluster.Octahedron,
}


@dataclasses.dataclass(frozen=True)
class Recipe:
    """One simulated PDF.

    Attributes
    ----------
    element : str
    shape : str
        A name of `IDEAL`, "sphere" or "cut" of the element's crystal.
    size : tuple of int
        Arguments of the ideal cluster, or the number of atoms.
    qmin, qmax, qdamp : float, 1/A
    told : bool
        Whether the header names Qdamp.
    noise : float
        Standard deviation over that of G(r); within the range of Q.
    rmax : float, A
    biso, delta2 : float, A^2
    """

    element: str
    shape: str
    size: tuple[int, ...]
    qmin: float
    qmax: float
    qdamp: float
    told: bool
    noise: float
    rmax: float = 30.0
    biso: float = 0.3
    delta2: float = 0.0


RECIPES = {
    "Pt13": Recipe("Pt", "icosahedron", (2,), 0.8, 20.0, 0.03, True, 0.0),
    "Au27": Recipe(
        "Au", "cut", (27,), 1.0, 22.0, 0.04, False, 0.005, biso=0.5
    ),
    "Pd39": Recipe(
        "Pd", "decahedron", (3, 2, 0), 0.9, 24.0, 0.02, True, 0.002, 25.0
    ),
    "Au55": Recipe(
        "Au", "icosahedron", (3,), 0.7, 25.0, 0.04, False, 0.01, delta2=2.0
    ),
    "Po64": Recipe("Po", "cut", (64,), 1.1, 20.0, 0.05, True, 0.01),
    "Pt79": Recipe(
        "Pt", "octahedron", (5, 1), 1.0, 18.0, 0.05, True, 0.0, 40.0
    ),
    "Fe90": Recipe(
        "Fe", "cut", (90,), 0.8, 23.0, 0.03, False, 0.003, 35.0, biso=0.4
    ),
    "Co112": Recipe(
        "Co", "cut", (112,), 1.0, 26.0, 0.04, True, 0.005, 22.0, biso=0.6
    ),
    "Ag146": Recipe(
        "Ag", "decahedron", (3, 2, 1), 0.6, 21.0, 0.06, False, 0.008
    ),
    "W169": Recipe("W", "sphere", (169,), 1.2, 28.0, 0.01, True, 0.001),
    "Ru190": Recipe(
        "Ru", "cut", (190,), 0.9, 16.0, 0.03, False, 0.01, delta2=3.0
    ),
    "Pt250": Recipe("Pt", "cut", (250,), 0.7, 22.0, 0.04, True, 0.006, 45.0),
}


def cluster(recipe: Recipe, rng: np.random.Generator) -> cb.Cluster:
    """The atoms of a recipe."""
    if recipe.shape in IDEAL:
        atoms = IDEAL[recipe.shape](recipe.element, *recipe.size)
        return cb.Cluster(recipe.element, atoms.positions)
    (number,) = recipe.size
    sites = ase.build.bulk(recipe.element).repeat(17).positions
    middle = sites.mean(axis=0)
    sites = sites - sites[np.linalg.norm(sites - middle, axis=1).argmin()]
    if recipe.shape == "sphere":
        distance = np.linalg.norm(sites, axis=1)
    else:
        # Twelve faces at random around a point that is no site.
        normals = rng.standard_normal((12, 3))
        normals /= np.linalg.norm(normals, axis=1)[:, None]
        sites = sites + rng.uniform(-1, 1, 3)
        distance = (sites @ normals.T / rng.uniform(0.8, 1.2, 12)).max(axis=1)
    nearest = distance.argsort(kind="stable")[:number]
    return cb.Cluster(recipe.element, sites[nearest])


def pdf(name: str) -> cb.PDFData:
    """The PDF of a recipe, as its .gr file will tell it."""
    recipe = RECIPES[name]
    rng = np.random.default_rng([SEED, list(RECIPES).index(name)])
    (made,) = cb.simulate(
        [cluster(recipe, rng)],
        qmin=recipe.qmin,
        qmax=recipe.qmax,
        qdamp=recipe.qdamp,
        biso=recipe.biso,
        delta2=recipe.delta2,
        rmax=recipe.rmax,
    )
    # Noise of a measurement has no waves beyond its Qmax.
    knots = np.arange(0, recipe.rmax + 1, np.pi / recipe.qmax)
    waves = np.sinc((made.r[:, None] - knots) * recipe.qmax / np.pi)
    noise = waves @ rng.standard_normal(len(knots))
    return cb.PDFData(
        made.r,
        made.g + recipe.noise * made.g.std() * noise,
        composition=recipe.element,
        qmin=recipe.qmin,
        qmax=recipe.qmax,
        qdamp=recipe.qdamp if recipe.told else None,
        stype="X",
    )


def write(name: str, path: Path) -> None:
    """Write the .gr file of a recipe."""
    made = pdf(name)
    known = ("composition", "qmin", "qmax", "qdamp")
    lines = ["mode = xray"]
    lines += [f"{k} = {getattr(made, k)}" for k in known if k in made.known]
    lines += ["#### start data", "#L r(A)  G(A^-2)"]
    lines += [f"{r:.10g} {g:.10g}" for r, g in zip(made.r, made.g)]
    path.write_text("\n".join(lines) + "\n")


Row = dict[str, Any]
"""What was found of one case, its ``number`` among it."""


def numbers_parser(text: str, last: int) -> argparse.ArgumentParser:
    """Options of a benchmark of cases by number.

    Parameters
    ----------
    text : str
        The docstring of the benchmark.
    last : int
        Where it ends by default.
    """
    parser = argparse.ArgumentParser(description=text.splitlines()[0])
    parser.add_argument("first", type=int, nargs="?", default=0)
    parser.add_argument("last", type=int, nargs="?", default=last)
    parser.add_argument(
        "--keep",
        type=Path,
        help="a file of one line a case, from which a run goes on",
    )
    return parser


def numbered_rows(
    options: argparse.Namespace,
    solved: Callable[[int], Row],
    told: Callable[[Row], str],
) -> list[Row]:
    """Solve the cases from first to last, and print a line for each.

    Parameters
    ----------
    options : argparse.Namespace
        As of `numbers_parser`.
    solved : callable
        What is found of the case of a number.
    told : callable
        A line for it.
    """
    rows: dict[int, Row] = {}
    if options.keep is not None and options.keep.exists():
        for line in options.keep.read_text().splitlines():
            row = json.loads(line)
            rows[row["number"]] = row
    asked = range(options.first, options.last)
    for number in asked:
        if number not in rows:
            rows[number] = solved(number)
            if options.keep is not None:
                with options.keep.open("a") as file:
                    print(json.dumps(rows[number]), file=file)
        print(told(rows[number]), flush=True)
    return [rows[number] for number in asked]
