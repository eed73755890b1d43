"""The candidates of the model in NumPy beside those in PyTorch, and the time.

    python -m tests.benchmarks.numpy_model [FILE.gr=Pt ...]

Of each PDF, and of a simulated icosahedron of 147 atoms, the candidates of
the generator `cbldm` are drawn in both ways from one seed: how many have the
same type and number of atoms, and how far their atoms are apart.  Then the
processor time of one call of each denoiser, the two ways in turn, and of all
that the networks do in a job.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from ase.cluster import Icosahedron

import diffpy_cbldm as cb
from diffpy_cbldm.model.weights import load_sampler, load_weights
from diffpy_cbldm.pdfdata import PDFData
from diffpy_cbldm.search import by_model
from diffpy_cbldm.settings import Solve
from diffpy_cbldm.threads import one_thread

WAYS: dict[str, Callable[..., Any]] = {
    "PyTorch": lambda name, device: load_weights(name, "cpu"),
    "NumPy": lambda name, device: load_sampler(name, "cpu"),
}

TURNS, CALLS = 5, 4
"""How often the two ways take turns, and calls of each turn."""


def pdfs(files: Sequence[str]) -> Iterator[tuple[str, PDFData]]:
    """Name and PDF of each case."""
    for word in files:
        path, _, metal = word.rpartition("=")
        yield path, cb.read_pdf(path, composition=metal)
    shape = Icosahedron("Pt", 4, latticeconstant=3.92)
    (pdf,) = cb.simulate([cb.Cluster.from_ase(shape)], qdamp=0.03, rmax=30.0)
    yield "icosahedron of 147 atoms", pdf


def drawn(pdf: PDFData, way: str) -> list[cb.Candidate]:
    """The candidates of the generator, the networks in one of `WAYS`."""
    models = {name: WAYS[way](name, "cpu") for name in ("small", "large")}
    usual = by_model._model
    by_model.forget()
    by_model._model = lambda name, device: models[name]
    try:
        return by_model.cbldm_generator(pdf, rmax=Solve.rmax)
    finally:
        by_model._model = usual
        by_model.forget()


def compare(pdf: PDFData) -> str:
    """How the candidates of the two ways differ."""
    ours, theirs = drawn(pdf, "NumPy"), drawn(pdf, "PyTorch")
    apart = [
        np.abs(a.positions - b.positions).max()
        for a, b in zip(ours, theirs)
        if (a.structure_type, len(a)) == (b.structure_type, len(b))
    ]
    return (
        f"{len(ours)} and {len(theirs)} candidates, {len(apart)} of the same "
        f"type and N, atoms at most {max(apart, default=0.0):.1g} A apart"
    )


def timed(work: Callable[[], Any], times: int) -> float:
    """Milliseconds of this thread's processor for one call."""
    start = time.thread_time()
    for _ in range(times):
        work()
    return 1e3 * (time.thread_time() - start) / times


def times(name: str) -> str:
    """What one call of the denoiser and one job's networks take."""
    calls, jobs = [], []
    for way in WAYS:
        model = WAYS[way](name, "cpu")
        curve = model.to_own(np.cos(model.grid()))
        denoise, (mean, _) = model._conditioned(curve)
        t = (
            np.full(len(mean), 500)
            if way == "NumPy"
            else mean.new_full((len(mean),), 500).long()
        )

        def call(model=model, denoise=denoise, x=mean, t=t) -> None:
            with model.untracked():
                denoise(x, t)

        def job(model=model, curve=curve) -> None:
            z = model.sample(curve, by_model.POPULATION)
            if model.settings.network == "outline":
                model.decode_outlines(z)
                return
            model.structures(z, by_model.SIZES)
            z = model.renew(curve, z, by_model.NOISED_TO)
            model.structures(z, by_model.SIZES)

        calls.append(call)
        jobs.append(job)
    lines = []
    for what, pair, count in (("a call", calls, CALLS), ("a job", jobs, 1)):
        for work in pair:
            work()
        rows = [[timed(work, count) for work in pair] for _ in range(TURNS)]
        theirs, ours = (statistics.median(row) for row in zip(*rows))
        ratio = statistics.median(b / a for a, b in rows)
        lines.append(
            f"{name}, {what}: PyTorch {theirs:.1f} ms, NumPy {ours:.1f} ms, "
            f"ratio {ratio:.2f}"
        )
    return "\n".join(lines)


def main(words: Sequence[str] | None = None) -> None:
    """Print the comparison."""
    parser = argparse.ArgumentParser(
        "python -m tests.benchmarks.numpy_model", description=main.__doc__
    )
    parser.add_argument("files", nargs="*", help="FILE.gr=ELEMENT")
    files = parser.parse_args(words).files
    with one_thread():
        for name in ("small", "large"):
            print(times(name), flush=True)
        for name, pdf in pdfs(files):
            print(f"{name}: {compare(pdf)}", flush=True)


if __name__ == "__main__":
    main()
