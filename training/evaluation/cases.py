"""The structures whose PDFs are solved, their conditions, and the best fit.

`SOLVED` and `TIE` are what all evaluations count by.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Collection
from typing import Any

import numpy as np

from diffpy_cbldm.cluster import Candidate, Cluster
from diffpy_cbldm.crystals.alike import rmsd, simplest_first
from diffpy_cbldm.crystals.bonds import (
    nearest_neighbour_distance,
    shortest_bond,
)
from diffpy_cbldm.crystals.cuts import CUT_KINDS, code, deformed
from diffpy_cbldm.crystals.table import TEMPLATE_OF, load_table
from diffpy_cbldm.debye.simulation import simulate
from diffpy_cbldm.fitting.quickfit import quick_fit
from diffpy_cbldm.fitting.target import Target
from diffpy_cbldm.pdfdata import PDFData
from diffpy_cbldm.settings import CRYSTAL_TYPES, STRUCTURE_TYPES, Model
from diffpy_cbldm.solving.headers import settle
from training.datasets import BONDS, paper_dataset
from training.settings import World
from training.stream import Stream, held_out

SPLITS = ("geometry", "paper", "cuts", "training")

SOLVED = 0.1
"""RMSD (A) below which a structure with the right N counts as solved."""

TIE = 5e-4
"""Rw that differ by less are the same: often the same structure."""


@dataclasses.dataclass(frozen=True)
class Conditions:
    """How the PDFs of an evaluation are measured; the paper's Table 1."""

    qmin: float = 0.7
    qmax: float = 25.0
    qdamp: tuple[float, float] = (0.0, 0.1)
    biso: float = 0.3
    noise: float = 0.0  # over the standard deviation of G
    header_qmax: float = 1.0  # what the header says over what is true
    background: float = 0.0  # below the first peak, over the highest peak


ROBUST = {
    "as in the paper": Conditions(),
    "Qmax 18": Conditions(qmax=18.0),
    "Qmax 30": Conditions(qmax=30.0),
    "noise 1 %": Conditions(noise=0.01),
    "noise 2 %": Conditions(noise=0.02),
    "header Qmax 10 % high": Conditions(header_qmax=1.1),
    "header Qmax 10 % low": Conditions(header_qmax=0.9),
    "Biso 0.2": Conditions(biso=0.2),
    "Biso 1": Conditions(biso=1.0),
    "background": Conditions(background=0.3),
}


@dataclasses.dataclass(frozen=True)
class Case:
    """A structure whose PDF is to be solved."""

    kind: str
    positions: np.ndarray  # angstrom
    qdamp: float


def cases(
    split: str, count: int, seed: int = 11, met: Collection[int] = ()
) -> list[Case]:
    """Structures of a split, balanced over the types.

    Parameters
    ----------
    split : str
        One of `SPLITS`.
    count : int
        How many.
    seed : int
        Seed of the choice.
    met : collection of int
        Cuts, by `diffpy_cbldm.crystals.cuts.code`, that are left out: the
        record of weights names those that they met in training.
    """
    rng = np.random.default_rng([seed, SPLITS.index(split)])
    draw = _unmet_cuts(met) if split == "cuts" else _geometries(split)
    found = []
    for k in range(count):
        bond = rng.uniform(*BONDS)
        kind, xyz, own = draw(k, rng)
        # The paper's rows have bond lengths of their own.
        xyz = xyz * (bond if own is None else own)
        found.append(Case(kind, xyz, float(rng.uniform(0, 1))))
    return found


Draw = Callable[
    [int, np.random.Generator], tuple[str, np.ndarray, float | None]
]
"""From the number of a case: type, positions in bonds, bond if it is set."""


def _unmet_cuts(met: Collection[int]) -> Draw:
    """Random cuts that nobody has trained on, a type after the other."""
    stream = Stream(Model(), World(cuts=1.0, deformed=0.25), "test")
    sites = load_table().sites

    def draw(
        k: int, rng: np.random.Generator
    ) -> tuple[str, np.ndarray, float | None]:
        kind = CUT_KINDS[k % len(CUT_KINDS)]
        while True:
            place, members, shape = stream.structure(rng)
            known = code(TEMPLATE_OF[CRYSTAL_TYPES[place]], members) in met
            # The stream draws types as it likes: wait for the one in turn.
            if place == CRYSTAL_TYPES.index(kind) and not known:
                break
        xyz = sites[TEMPLATE_OF[kind]][members].astype(float)
        return kind, deformed(xyz, shape), None

    return draw


def _geometries(split: str) -> Draw:
    """Clusters of the table, a type after the other."""
    table, data = load_table(), paper_dataset(load_table())
    hidden = held_out(table)
    types = np.array([g.structure_type for g in table.geometries])

    def draw(
        k: int, rng: np.random.Generator
    ) -> tuple[str, np.ndarray, float | None]:
        kind = STRUCTURE_TYPES[k % len(STRUCTURE_TYPES)]
        if split == "paper":
            rows = data.validation & (types[data.geometry] == kind)
            row = rng.choice(np.flatnonzero(rows))
            index, bond = int(data.geometry[row]), float(data.bond[row])
            return kind, table.positions(index), bond
        wanted = hidden if split == "geometry" else ~hidden
        index = int(rng.choice(np.flatnonzero(wanted & (types == kind))))
        return kind, table.positions(index), None

    return draw


def measured(case: Case, how: Conditions, seed: int) -> PDFData:
    """The PDF of a case under some conditions."""
    rng = np.random.default_rng(seed)
    low, high = how.qdamp
    (pdf,) = simulate(
        [Cluster("Pt", case.positions)],
        qmin=how.qmin,
        qmax=how.qmax,
        qdamp=low + (high - low) * case.qdamp,
        biso=how.biso,
    )
    # The seed is the number of the case: all systems see the same noise.
    g = pdf.g + how.noise * pdf.g.std() * rng.standard_normal(len(pdf.g))
    if how.background:
        # A half wave below the first peak, where nothing real can stand.
        first = nearest_neighbour_distance(case.positions)
        inside = np.clip(pdf.r / (0.85 * first), 0, 1)
        wave = np.sin(2 * np.pi * inside) * (1 - inside)
        g = g + how.background * np.abs(pdf.g).max() * wave
    return PDFData(
        r=pdf.r,
        g=g,
        composition="Pt",
        qmin=how.qmin,
        qmax=how.qmax * how.header_qmax,
    )


def target_of(pdf: PDFData, how: Conditions) -> Target:
    """The data of a case as `solve` fits them.

    Qdamp is free where it was drawn, and what the data tell against their
    header is corrected (`diffpy_cbldm.solving.headers.settle`).
    """
    target = Target.of(pdf, qdamp_range=how.qdamp)
    return settle(target, "auto")[0]


def best_of(
    candidates: list[Candidate],
    pdf: PDFData | Target,
    refined: int = 2,
    heldout: bool = True,
    warm: bool = False,
) -> tuple[Candidate, np.ndarray]:
    """Fit all, refine the best few with SrFit; the best, and all fits' Rw.

    With `warm` the refinement starts from the fit, as in `solve`: far faster
    where nothing fits.
    """
    from diffpy_cbldm.fitting.recipe import start_values
    from diffpy_cbldm.fitting.refinement import refine

    target = Target.of(pdf)
    fits = quick_fit([c.positions for c in candidates], target)
    rw = np.array([f.rw for f in fits])
    # Of equal fits the structure with the fewest missing bonds counts.
    order = simplest_first(rw.tolist(), [c.positions for c in candidates])
    done = []
    for i in order[:refined]:
        own = candidates[i]
        start = start_values(own, target, fits[i]) if warm else None
        done.append(refine(own, target, heldout=heldout, start=start))
    first = simplest_first([c.rw for c in done], [c.positions for c in done])
    return done[first[0]], rw


def beside_truth(best: Candidate, case: Case) -> dict[str, Any]:
    """What is told of a refined structure beside the truth."""
    truth = case.positions
    apart = rmsd(best.positions, truth)
    bond = shortest_bond(best.positions)
    return {
        "rw": float(best.rw),
        "atoms": len(best),
        "n_error": abs(len(best) - len(truth)) / len(truth),
        "right_n": len(best) == len(truth),
        "rmsd": None if math.isnan(apart) else round(apart, 5),
        "solved": bool(apart < SOLVED),
        "bond": round(bond / nearest_neighbour_distance(best.positions), 4),
    }
