"""Every system of the paper's Table 2, and more, on the same PDFs.

    python -m training.evaluation.compare --split geometry

trains what has no weights yet, lets each system propose structures for the
same PDFs, and scores them alike: Rwp as the paper defines it (the first
candidate as it comes, nothing refined, at the widths and damping that the PDF
was simulated with), and Rw of the best candidate after a fit by SrFit, with
the share of right numbers of atoms, RMSD and solved.  The truth is used for
nothing but the figures.  ``--polish K`` also polishes the best candidates of
the first K PDFs, ``--robust`` repeats the split under worse data.

Each PDF is written when it is done, and a run that was stopped goes on where
it was.  ``--redo SYSTEM`` makes its rows again where another commit of the
code made them.  `training.report.page` makes the page of what is there.

Splits: ``geometry`` (geometries that no system was trained on), ``paper``
(the paper's random split), ``training`` (geometries that were trained on),
``nolibrary`` (random cuts, faults and strain, which no library holds).
"""

from __future__ import annotations

import argparse
import hashlib
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from diffpy_cbldm.cluster import Candidate, Cluster
from diffpy_cbldm.crystals.table import load_table
from diffpy_cbldm.debye.simulation import simulate
from diffpy_cbldm.fitting.agreement import rw
from diffpy_cbldm.fitting.target import Target
from diffpy_cbldm.model.weights import read_weights
from diffpy_cbldm.pdfdata import PDFData
from diffpy_cbldm.search.by_library import library_generator
from diffpy_cbldm.search.by_model import cbldm_generator
from diffpy_cbldm.search.by_screening import screen_generator
from diffpy_cbldm.search.generators import Generator
from training import train
from training.baselines import LEARNED, WEIGHTS
from training.baselines import train as baselines
from training.baselines.generators import baseline_generator, record
from training.evaluation.cases import (
    ROBUST,
    Case,
    Conditions,
    beside_truth,
    best_of,
    cases,
    measured,
)
from training.evaluation.results import Results
from training.evaluation.systems import (
    BRIEF,
    EXAMPLES,
    RESULTS,
    SPLITS,
    STRUCTURES,
    SYSTEMS,
    WORSE,
    file_name,
    paper_weights,
)
from training.stream import held_out

BRIEF_STEPS = {"condition": 200, "structure": 1100, "denoiser": 250}
"""Steps of its stages, about nine minutes on one thread."""


def generator(system: str, weights: str = "small") -> Generator:
    """A system by name; none of them knows the held-out geometries."""
    if system == "library":
        # No trained system has met these: a library that held them would be
        # told the answer.
        exclude = np.flatnonzero(held_out(load_table())).tolist()

        def library(pdf: PDFData | Target, **words: Any) -> list[Candidate]:
            return library_generator(pdf, exclude=exclude, **words)

        return library
    if system.startswith("cbldm"):
        alone: dict[str, Any] = {"weights": _weights_of(system, weights)}
        # The paper has no network for larger particles: ours would answer
        # in its place.
        if system == "cbldm-paper":
            alone["large"] = ""

        def model(pdf: PDFData | Target, **words: Any) -> list[Candidate]:
            return cbldm_generator(pdf, **alone, **words)

        return model
    if system == "screen":
        return screen_generator
    return baseline_generator(system)


def _weights_of(system: str, weights: str) -> str:
    """Name or path of the weights of a system that is a CbLDM."""
    if system == "cbldm-paper":
        return str(paper_weights())
    return str(BRIEF) if system == "cbldm-brief" else weights


def rwp(
    candidate: Cluster, case: Case, pdf: PDFData, how: Conditions
) -> float:
    """Rw as the paper defines it: nothing fitted, not even the scale.

    Parameters
    ----------
    candidate : Cluster
        As it was proposed.
    case : Case
        Gives the damping.
    pdf : PDFData
        The curve that is compared with.
    how : Conditions
        Gives the Q range and widths of the simulation.
    """
    low, high = how.qdamp
    (found,) = simulate(
        [candidate],
        qmin=how.qmin,
        qmax=how.qmax,
        qdamp=low + (high - low) * case.qdamp,
        biso=how.biso,
    )
    return float(rw(pdf.g, found.g))


def row(
    system: str,
    make: Generator,
    index: int,
    case: Case,
    how: Conditions,
    count: int,
    polished: bool = False,
) -> dict[str, Any]:
    """Everything that is reported of one system on one PDF.

    Parameters
    ----------
    system : str
    make : callable
        From `generator`.
    index : int
        Number of the case; also the seed of its noise.
    case : Case
    how : Conditions
    count : int
        Candidates, at most.
    polished : bool
        Whether the best one is polished as well.
    """
    pdf = measured(case, how, index)
    # Free where it was drawn: of instruments it is less, and fits would end
    # at that limit.
    target = Target.of(pdf, qdamp_range=how.qdamp)
    # Of the processor: other work on the machine does not count.
    start = time.process_time()
    found = make(target, count=count, seed=0)
    proposed = time.process_time()
    # Two refinements for each system, whatever it proposed.
    best, _ = best_of(found, target, heldout=False, warm=True)
    done = time.process_time()
    out = {
        "system": system,
        "index": index,
        "truth": case.kind,
        "n": len(case.positions),
        "candidates": len(found),
        "rwp": rwp(found[0], case, pdf, how),
        **beside_truth(best, case),
        "seconds": round(proposed - start, 2),
        "seconds_refine": round(done - proposed, 2),
    }
    if polished:
        no = refusal(out["bond"])
        out["polished"] = no or polished_scores(best, target, case)
    # Coordinates of all rows would make the files many times as long.
    if index in EXAMPLES and how == Conditions():
        out["positions"] = np.round(best.positions, 2).tolist()
    return out


def refusal(bond: float) -> dict[str, str] | None:
    """Why a structure is not polished; None where it is.

    Polishing edits crystals: with shorter bonds than it allows a structure
    is none.

    Parameters
    ----------
    bond : float
        The shortest bond in nearest-neighbour distances.
    """
    from diffpy_cbldm.polishing.front import SHORTEST

    if bond >= SHORTEST:
        return None
    return {"refused": f"the shortest bond is {bond:.2f} of the usual"}


def polished_scores(
    best: Candidate, target: Target, case: Case
) -> dict[str, Any]:
    """The lowest Rw of the front that polishing finds."""
    from diffpy_cbldm.polishing.candidates import polish

    start = time.process_time()
    front = polish(best, target)
    # The front goes from rough to smooth; here the fit alone counts.
    last = min(front, key=lambda c: c.rw)
    seconds = round(time.process_time() - start, 2)
    return {**beside_truth(last, case), "seconds": seconds}


def about(system: str, weights: str = "small") -> dict[str, Any]:
    """What a system's figures belong to.

    Returns
    -------
    dict
        ``digest`` (SHA-256 of its weights, or of the table that it searches)
        and, where it was trained, ``minutes``, ``steps`` and ``bytes``.
    """
    if system in LEARNED:
        known = record(system)
        (path,) = (
            p
            for p in WEIGHTS.glob(f"{system}.*")
            if p.suffix in (".safetensors", ".xz")
        )
        return {
            "digest": hashlib.sha256(path.read_bytes()).hexdigest(),
            "minutes": round(known["seconds"] / 60, 1),
            "steps": known.get("steps") or known["rounds"],
            "bytes": path.stat().st_size,
        }
    if system.startswith("cbldm"):
        tensors, known = read_weights(_weights_of(system, weights))
        state = hashlib.sha256()
        for key in sorted(tensors):
            state.update(tensors[key].numpy().tobytes())
        return {
            "digest": state.hexdigest(),
            "minutes": round(
                (known["seconds"] + known.get("seconds_before", 0.0)) / 60, 1
            ),
            "bytes": 2 * sum(t.numel() for t in tensors.values()),
        }
    return {"digest": load_table().digest}


def compare(
    split: str,
    results: Path,
    systems: tuple[str, ...] = SYSTEMS,
    structures: int | None = None,
    count: int = 64,
    seed: int = 11,
    condition: str = "as in the paper",
    polished: int = 0,
    weights: str = "small",
    redo: tuple[str, ...] = (),
) -> list[dict[str, Any]]:
    """Solve the PDFs of a split by all systems; what is there is kept.

    Parameters
    ----------
    split : str
        Key of `SPLITS`.
    results : Path
        The file of the figures.
    systems : tuple of str
        Of `SYSTEMS`.
    structures : int, optional
        How many PDFs; by default `STRUCTURES`.
    count : int
        Candidates of each system, at most.
    seed : int
        Of the choice of structures.
    condition : str
        Key of `training.evaluation.cases.ROBUST`.
    polished : int
        The best candidates of so many PDFs are polished.
    weights : str
        Of CbLDM.
    redo : tuple of str
        Systems whose rows are made again where another commit made them.

    Returns
    -------
    list of dict
        One row a PDF and system.
    """
    results.parent.mkdir(parents=True, exist_ok=True)
    settings = {
        "split": split,
        "condition": condition,
        "count": count,
        "seed": seed,
        "weights": weights,
    }
    found = Results(results, settings)
    for system in systems:
        found.use(system, about(system, weights))
        if system in redo:
            found.drop(system)
    structures = structures or STRUCTURES[split]
    met = read_weights(weights)[1].get("met", ())
    how = ROBUST[condition]
    makers = {system: generator(system, weights) for system in systems}
    chosen = cases(SPLITS[split], structures, seed, met)
    for i, case in enumerate(tqdm(chosen, desc=f"{split}, {condition}")):
        for system, make in makers.items():
            old = found.find(system, i)
            wanted = i < polished
            # A run that was stopped, or polishes more than the last, does only
            # what is missing.
            if old is not None and (not wanted or "polished" in old):
                continue
            no = refusal(old["bond"]) if old is not None else None
            if old is not None and no is not None:
                found.put(old | {"polished": no})
            else:
                found.put(row(system, make, i, case, how, count, wanted))
    return found.rows


def prepare(systems: tuple[str, ...], minutes: float) -> None:
    """Train the systems that have no weights."""
    for system in systems:
        if system in LEARNED and not (WEIGHTS / f"{system}.json").is_file():
            words = ["--system", system, "--minutes", str(minutes)]
            baselines.main([*words, "--resume", "--threads", "1"])
    if "cbldm-brief" in systems and not BRIEF.is_file():
        words = ["--preset", "small", "--out", str(BRIEF.parent)]
        words += ["--threads", "1", "--resume"]
        for stage, steps in BRIEF_STEPS.items():
            words += ["--set", f"{stage}_steps={steps}"]
        train.main(words)


def make_parser() -> argparse.ArgumentParser:
    """The options of the command."""
    parser = argparse.ArgumentParser(
        "python -m training.evaluation.compare",
        description=__doc__.splitlines()[0],
    )
    parser.add_argument("--split", choices=SPLITS, required=True)
    parser.add_argument("--structures", type=int, help="PDFs")
    parser.add_argument("--count", type=int, default=64)
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--weights", default="small", help="of CbLDM")
    parser.add_argument(
        "--systems", nargs="+", choices=SYSTEMS, default=SYSTEMS
    )
    parser.add_argument(
        "--redo",
        nargs="+",
        choices=SYSTEMS,
        default=(),
        help="make rows of another commit again",
    )
    parser.add_argument("--polish", type=int, default=0, metavar="K")
    parser.add_argument("--robust", action="store_true")
    parser.add_argument(
        "--minutes",
        type=float,
        default=9.0,
        help="to train each system that has no weights",
    )
    parser.add_argument("--out", type=Path, default=RESULTS)
    return parser


def main(words: list[str] | None = None) -> int:
    """The command line; see the module's text."""
    options = make_parser().parse_args(words)
    # All systems alike, or their seconds could not be compared.
    torch.set_num_threads(1)
    systems = tuple(options.systems)
    prepare(systems, options.minutes)
    conditions = WORSE if options.robust else ("as in the paper",)
    for condition in conditions:
        compare(
            options.split,
            options.out / file_name(options.split, condition),
            systems,
            options.structures,
            options.count,
            options.seed,
            condition,
            options.polish,
            options.weights,
            tuple(options.redo),
        )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
