"""The main job in one function: propose, refine, polish, rank, explain."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from diffpy_cbldm import options, settings
from diffpy_cbldm._version import __version__
from diffpy_cbldm.cluster import Candidate
from diffpy_cbldm.compiled import compile_ahead
from diffpy_cbldm.errors import CbldmError
from diffpy_cbldm.fitting.attenuated import fit_crystal
from diffpy_cbldm.fitting.distribution import (
    SizeDistribution,
    size_distribution,
)
from diffpy_cbldm.fitting.generator import choose_backend
from diffpy_cbldm.fitting.quickfit import (
    QuickFit,
)
from diffpy_cbldm.fitting.recipe import start_values
from diffpy_cbldm.fitting.refinement import refine as refine_one
from diffpy_cbldm.fitting.signal_end import signal_end
from diffpy_cbldm.fitting.target import Target
from diffpy_cbldm.memory import give_back
from diffpy_cbldm.pdfdata import PDFData, check_pdf
from diffpy_cbldm.search.generators import generator_names, propose
from diffpy_cbldm.solving.clock import Clock, Progress
from diffpy_cbldm.solving.doubt_table import Answer
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
from diffpy_cbldm.solving.headers import settle
from diffpy_cbldm.solving.polish_stage import (
    Edits,
    edit_best,
    kinds_of,
    without_copies,
)
from diffpy_cbldm.solving.ranking import ordered, rank_quickly, to_refine
from diffpy_cbldm.solving.sizes import sizes_by_qdamp
from diffpy_cbldm.solving.solution import Solution
from diffpy_cbldm.solving.verdict import judge
from diffpy_cbldm.solving.world_range import on_powders
from diffpy_cbldm.threads import one_thread


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
    clock = Clock(progress, steps=len(generators) + 3 + refine)
    compile_ahead()
    # The pieces are small: on a busy machine threads would wait for one
    # another at every step, ten times as long as the work takes.
    with one_thread():
        return _solve(target, used, generators, clock)


def _solve(
    target: Target,
    used: settings.Solve,
    generators: Sequence[str],
    clock: Clock,
) -> Solution:
    """The steps of `solve`, with settings that were checked."""
    given = target.pdf
    target, notes = settle(target, used.small_angle)
    pool, silent = _proposed(target, used, generators, clock)
    crystal = fit_crystal(target)
    notes += [f"The generator {name} proposed nothing." for name in silent]

    clock.begin("quick fit")
    ranked = rank_quickly(pool, target)
    give_back()
    chosen = to_refine(ranked, used.refine, generators)
    refined = [_refined(*ranked[i], target, used, clock) for i in chosen]
    edits = Edits([], (), None)
    if used.polish != "no":
        clock.begin("polish")
        edits = edit_best([ranked[i][0] for i in chosen], target, used)
        refined += without_copies(edits.refined, [c for c, _ in refined])
    known = [c for c, _ in refined]
    order = ordered(known, target)
    rest = [(c, f.rw) for i, (c, f) in enumerate(ranked) if i not in chosen]
    everything = [refined[i] for i in order] + rest
    candidates = [c for c, _ in everything]
    too_short = range_doubts(target)
    largest = largest_proposed(generators)
    about_size = size_doubts(candidates[0], target, largest)
    clock.begin("sizes")
    sizes = () if too_short else sizes_by_qdamp(ranked, crystal, target)
    verdict = judge(Answer(candidates, target, crystal, largest, given))
    atoms = None if too_short else edits.atoms
    if atoms:
        atoms = on_powders(atoms, candidates[0], sizes, crystal, target)
        atoms = dataclasses.replace(atoms, doubted=verdict.state != "good")
    widths, missing = _distribution(candidates[0], target, used)
    return Solution(
        candidates=candidates,
        rw_quick=[quick for _, quick in everything],
        settings=_resolved(used, target.pdf),
        timings=clock.end(),
        warnings=_once(
            *target.pdf.warnings,
            *notes,
            *label_doubts(target),
            *too_short,
            *about_size,
            *qdamp_doubts(candidates[0], target),
            *plainness_doubts(candidates),
            *crystal_doubts(candidates[0], crystal),
            *(doubt.text for doubt in verdict.raised),
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
        verdict=verdict,
    )


def _proposed(
    target: Target,
    used: settings.Solve,
    generators: Sequence[str],
    clock: Clock,
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
    clock: Clock,
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


def _once(*texts: str) -> tuple[str, ...]:
    """Each text once: a doubt may have been said already."""
    return tuple(dict.fromkeys(filter(None, texts)))


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


def _resolved(used: settings.Solve, pdf: PDFData) -> dict[str, Any]:
    """All settings as one flat table, the names as on the command line."""
    names = [o.name for o in options.options(settings.Reading)]
    return {
        "version": __version__,
        **{name: getattr(pdf, name) for name in names},
        **dataclasses.asdict(used),
        "backend": choose_backend(used.backend),
    }
