"""The main job in one function: propose, refine, polish, rank, explain."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from diffpy_cbldm import options, settings
from diffpy_cbldm._version import __version__
from diffpy_cbldm.cluster import Candidate
from diffpy_cbldm.compiled import compile_ahead
from diffpy_cbldm.crystals.alike import duplicates, simplest_first
from diffpy_cbldm.errors import CbldmError
from diffpy_cbldm.fitting.attenuated import fit_crystal
from diffpy_cbldm.fitting.distribution import (
    SizeDistribution,
    size_distribution,
)
from diffpy_cbldm.fitting.generator import choose_backend
from diffpy_cbldm.fitting.quickfit import (
    STRETCHES,
    QuickFit,
    left_over,
    quick_fit,
)
from diffpy_cbldm.fitting.recipe import start_values
from diffpy_cbldm.fitting.refinement import refine as refine_one
from diffpy_cbldm.fitting.signal_end import signal_end
from diffpy_cbldm.fitting.target import Target
from diffpy_cbldm.memory import give_back
from diffpy_cbldm.pdfdata import PDFData, check_pdf
from diffpy_cbldm.search.generators import built_in, generator_names, propose
from diffpy_cbldm.settings import MAX_ATOMS
from diffpy_cbldm.solving.doubts import (
    crystal_doubts,
    label_doubts,
    largest_proposed,
    origin_doubts,
    plainness_doubts,
    qdamp_doubts,
    range_doubts,
    size_doubts,
)
from diffpy_cbldm.solving.groups import group
from diffpy_cbldm.solving.plainest import plainest
from diffpy_cbldm.solving.polish_stage import (
    STRETCH,
    Edits,
    edit_best,
    kinds_of,
    without_copies,
)
from diffpy_cbldm.solving.sizes import covering, sizes_by_qdamp
from diffpy_cbldm.solving.small_angles import settle
from diffpy_cbldm.solving.solution import Solution
from diffpy_cbldm.threads import one_thread

NEARLY = 1.25
"""A large particle of another type is refined where its quick fit has an Rw of
at most so many times the least."""

Progress = Callable[[str, int, int], None]
"""Called with what is done next, steps done, steps in all."""


def solve(
    pdf: PDFData,
    *,
    count: int = 64,
    refine: int = 8,
    polish: bool | Sequence[str] = True,
    roughness: float = 1.25,
    seed: int = 0,
    small_angle: str = "auto",
    device: str = "auto",
    generators: str | Sequence[str] = ("cbldm", "library", "screen"),
    backend: str = "auto",
    rmin: float = 1.5,
    rmax: float | None = None,
    qdamp_range: str | Sequence[float] = "auto",
    distribution: bool = False,
    progress: Progress | None = None,
) -> Solution:
    """Find structures that explain a measured PDF.

    Candidates are proposed by each generator, ranked by a quick fit of
    scale, stretch, Uiso, delta2 and Qdamp, freed of duplicates, and the best
    are refined by diffpy.srfit; at least one of each generator is.  The best
    of these are polished, and what comes out is refined as well.

    Parameters
    ----------
    pdf : PDFData
        The measured G(r) of a particle of one element.
    count : int
        Candidates to draw from each generator; default 64.
    refine : int
        Candidates to refine; default 8, 0 for none.
    polish : bool or sequence of str
        Whether the best candidates are edited (`diffpy_cbldm.polish`), or
        which kinds of edits are made; default True, all kinds.
    roughness : float
        How rough edited structures may become, in units of the most compact
        cluster of the library; default 1.25.
    seed : int
        Seed of all random numbers; default 0.
    small_angle : {"auto", "yes", "no"}
        Whether the data hold the particle's small-angle scattering, where
        Qmin is below 0.7 1/A: "yes" keeps Qmin, "no" raises it to 0.7,
        "auto" takes what fits better, and a warning says so.
    device : {"auto", "cpu", "cuda"}
        Where the model runs.
    generators : sequence of str
        Names of the registered generators to ask; one text with commas does
        as well.
    backend : {"auto", "torch", "srreal"}
        The Debye calculator of the refinement.
    rmin, rmax : float, angstrom
        The fitted range; default 1.5 to where the signal ends: 30 A, or up
        to 100 A where data of a large particle go so far.  The settings of
        the result say what was taken.
    qdamp_range : "auto", or (low, high), 1/A
        Between what Qdamp is fitted where `pdf` does not tell it; "auto" is
        0.015 to 0.06 for X-rays, 0.01 to 0.03 for neutrons.
    distribution : bool
        Whether a distribution of sizes is fitted for the shape of the best
        structure, see `diffpy_cbldm.size_distribution`; default False.
    progress : callable, optional
        Called with (what is done next, steps done, steps in all).

    Returns
    -------
    Solution

    Raises
    ------
    CbldmError
        A setting outside its limits, an unknown generator, several elements,
        or data that do not reach the fitted range.
    """
    check_pdf(pdf)
    generators = generator_names(generators)
    end = signal_end(pdf) if rmax is None else rmax
    used = settings.Solve(
        count=count,
        refine=refine,
        generators=",".join(generators),
        rmin=rmin,
        rmax=min(end, float(pdf.r[-1])),
        seed=seed,
        small_angle=small_angle,
        device=device,
        backend=backend,
        qdamp_range=_range_text(qdamp_range),
        distribution="yes" if distribution else "no",
        polish=_kinds_text(polish),
        roughness=roughness,
    )
    _check(used, end, float(pdf.r[-1]))
    _ = pdf.element  # raises where there are several, or none
    target = Target.of(pdf, rmin, end, qdamp_range)
    clock = _Clock(progress, steps=len(generators) + 3 + refine)
    compile_ahead()
    # The pieces are small: on a busy machine threads would wait for one
    # another at every step, ten times as long as the work takes.
    with one_thread():
        return _solve(target, used, generators, clock)


def _solve(
    target: Target,
    used: settings.Solve,
    generators: Sequence[str],
    clock: _Clock,
) -> Solution:
    """The steps of `solve`, with settings that were checked."""
    target, note = settle(target, used.small_angle)
    notes = [note] if note else []
    pool, silent = _proposed(target, used, generators, clock)
    crystal = fit_crystal(target)
    notes += [f"The generator {name} proposed nothing." for name in silent]

    clock.begin("quick fit")
    ranked = _rank_quickly(pool, target)
    give_back()
    chosen = _choose(ranked, used.refine, generators)
    refined = [_refined(*ranked[i], target, used, clock) for i in chosen]
    edits = Edits([], (), None)
    if used.polish != "no":
        clock.begin("polish")
        edits = edit_best([ranked[i][0] for i in chosen], target, used)
        refined += without_copies(edits.refined, [c for c, _ in refined])
    known = [c for c, _ in refined]
    order = _ordered(known, target)
    rest = [(c, f.rw) for i, (c, f) in enumerate(ranked) if i not in chosen]
    everything = [refined[i] for i in order] + rest
    candidates = [c for c, _ in everything]
    too_short = range_doubts(target)
    largest = largest_proposed(generators)
    about_size = size_doubts(candidates[0], target, largest)
    clock.begin("sizes")
    sizes = () if too_short else sizes_by_qdamp(ranked, crystal, target)
    atoms = None if too_short else edits.atoms
    if atoms:
        atoms = covering(atoms, sizes, candidates[0], crystal)
        atoms = dataclasses.replace(atoms, doubted=bool(about_size))
    widths, missing = _distribution(candidates[0], target, used)
    return Solution(
        candidates=candidates,
        rw_quick=[quick for _, quick in everything],
        settings=_resolved(used, target.pdf),
        timings=clock.end(),
        warnings=(
            *target.pdf.warnings,
            *notes,
            *label_doubts(target),
            *too_short,
            *about_size,
            *qdamp_doubts(candidates[0], target),
            *plainness_doubts(candidates),
            *crystal_doubts(candidates[0], crystal),
            *missing,
            *origin_doubts(candidates, generators),
        ),
        pdf=target.pdf,
        front=edits.front,
        groups=tuple(group(candidates, target.independent_points)),
        atoms=atoms,
        crystal=crystal,
        sizes=sizes,
        distribution=widths,
    )


def _proposed(
    target: Target,
    used: settings.Solve,
    generators: Sequence[str],
    clock: _Clock,
) -> tuple[list[Candidate], list[str]]:
    """What the generators propose, and those that proposed nothing."""
    pool: list[Candidate] = []
    silent = []
    for name in generators:
        clock.begin(f"propose ({name})")
        drawn = propose(
            target,
            count=used.count,
            seed=used.seed,
            generators=(name,),
            device=used.device,
        )
        if not drawn:
            silent.append(name)
        pool.extend(drawn)
        give_back()
    if not pool:
        raise CbldmError(
            "No generator proposed a structure; expected at least one: add "
            "the generator library, which always answers."
        )
    return pool, silent


def _refined(
    candidate: Candidate,
    fit: QuickFit,
    target: Target,
    used: settings.Solve,
    clock: _Clock,
) -> tuple[Candidate, float]:
    """A candidate refined from its quick fit, with the Rw of that."""
    clock.begin("refine")
    start = start_values(candidate, target, fit)
    done = refine_one(candidate, target, backend=used.backend, start=start)
    return done, fit.rw


def _distribution(
    best: Candidate, target: Target, used: settings.Solve
) -> tuple[SizeDistribution | None, list[str]]:
    """The distribution of sizes where it is asked for, or why not."""
    if used.distribution != "yes":
        return None, []
    try:
        return size_distribution(best, target), []
    except CbldmError as error:
        return None, [f"No distribution of sizes was fitted: {error}"]


def _ordered(refined: Sequence[Candidate], target: Target) -> list[int]:
    """The refined candidates by Rw, the plainest first where it is open."""
    order = simplest_first(
        [c.rw for c in refined], [c.positions for c in refined]
    )
    # Of the refinement's own range of r, all the same.
    order = [i for i in order if refined[i].rw is not None]
    if order and all(refined[i].results is not None for i in order):

        def misfit(place: int) -> np.ndarray:
            (con,) = refined[order[place]].results.conresults.values()
            return np.asarray((con.y - con.ycalc) / con.dy)

        first = plainest(
            [refined[i] for i in order],
            [refined[i].rw or 0.0 for i in order],
            target.r,
            misfit,
        )
        order.insert(0, order.pop(first))
    return order + [i for i, c in enumerate(refined) if c.rw is None]


def _kinds_text(polish: bool | Sequence[str]) -> str:
    """The setting `polish`: "yes", "no", or kinds with commas."""
    if isinstance(polish, bool):
        return "yes" if polish else "no"
    if isinstance(polish, str):
        return polish
    return ",".join(polish) or "no"


def _range_text(limits: str | Sequence[float]) -> str:
    """The setting `qdamp_range`: "auto", or two numbers with a comma."""
    if isinstance(limits, str):
        return limits
    return ",".join(str(float(limit)) for limit in limits)


def _check(used: settings.Solve, rmax: float, last: float) -> None:
    """Raise `CbldmError` for what cannot be run; data end at `last`."""
    options.validate(dataclasses.replace(used, rmax=rmax))
    kinds_of(used.polish)
    if used.rmin >= min(rmax, last):
        raise CbldmError(
            f"rmin is {used.rmin:g} A and the fitted range ends at "
            f"{min(rmax, last):g} A; expected rmin below rmax and inside "
            f"the data: change rmin or rmax."
        )


def _rank_quickly(
    pool: list[Candidate], target: Target
) -> list[tuple[Candidate, QuickFit]]:
    """Order by the quick fit and drop duplicates, the better one stays.

    Where generators agree on a structure, the one that stays names them all.
    """
    stretched = all(c.generator in built_in() for c in pool)
    fits = quick_fit(
        [c.positions for c in pool],
        target,
        scan=(0.0,) if stretched else STRETCHES,
    )
    order = simplest_first([f.rw for f in fits], [c.positions for c in pool])
    kept = []
    for alike in duplicates(
        [pool[i].positions for i in order], stretch=STRETCH
    ):
        first, *others = (pool[order[place]] for place in alike)
        also = {
            c.generator: 0 for c in others if c.generator != first.generator
        }
        known = (*first.also_proposed_by, *also)
        kept.append(
            (
                dataclasses.replace(first, also_proposed_by=known),
                fits[order[alike[0]]],
            )
        )
    place = plainest(
        [c for c, _ in kept],
        [fit.rw for _, fit in kept],
        target.r,
        lambda k: left_over(kept[k][0].positions, target, kept[k][1]),
    )
    kept.insert(0, kept.pop(place))
    return kept


def _choose(
    ranked: Sequence[tuple[Candidate, QuickFit]],
    refine: int,
    generators: Sequence[str],
) -> list[int]:
    """Places of the candidates to refine: the first ones, and the first of
    each generator as far as there is room.

    And of large particles the first of each structure type that fits nearly
    as well: many that differ by a layer are ahead of it.
    """
    pool = [c for c, _ in ranked]
    firsts: list[int] = []
    for name in generators:
        mine = (i for i, c in enumerate(pool) if name in c.proposed_by)
        first = next(mine, None)
        if first is not None and first not in firsts:
            firsts.append(first)
    types = {
        c.structure_type: i
        for i, (c, fit) in reversed(list(enumerate(ranked)))
        if len(c) > MAX_ATOMS and fit.rw <= NEARLY * ranked[0][1].rw
    }
    firsts += [i for i in types.values() if i not in firsts]
    firsts = sorted(firsts)[:refine]
    others = [i for i in range(len(pool)) if i not in firsts]
    return sorted(firsts + others[: refine - len(firsts)])


def _resolved(used: settings.Solve, pdf: PDFData) -> dict[str, Any]:
    """All settings as one flat table, the names as on the command line."""
    names = [o.name for o in options.options(settings.Reading)]
    return {
        "version": __version__,
        **{name: getattr(pdf, name) for name in names},
        **dataclasses.asdict(used),
        "backend": choose_backend(used.backend),
    }


class _Clock:
    """Times the steps and tells the caller where they stand."""

    def __init__(self, progress: Progress | None, steps: int) -> None:
        self.progress = progress or (lambda what, done, steps: None)
        self.steps, self.done = steps, 0
        self.times: dict[str, float] = {}
        self.what: str | None = None
        self.start = self.since = time.perf_counter()

    def begin(self, what: str) -> None:
        self._close()
        self.progress(what, self.done, self.steps)
        self.what, self.since = what, time.perf_counter()

    def end(self) -> dict[str, float]:
        self._close()
        self.progress("done", self.steps, self.steps)
        self.times["total"] = time.perf_counter() - self.start
        return self.times

    def _close(self) -> None:
        if self.what is not None:
            spent = time.perf_counter() - self.since
            self.times[self.what] = self.times.get(self.what, 0.0) + spent
            self.done += 1
