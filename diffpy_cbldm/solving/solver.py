"""The main job in one function: propose, refine, polish, rank, explain."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from typing import Any

from diffpy_cbldm import options, settings
from diffpy_cbldm._version import __version__
from diffpy_cbldm.cluster import Candidate
from diffpy_cbldm.compiled import IN_A_JOB, IN_EDITS
from diffpy_cbldm.compiling import compile_ahead
from diffpy_cbldm.crystals.crystal import crystal_of, each_crystal
from diffpy_cbldm.errors import CbldmError
from diffpy_cbldm.fitting.attenuated import fit_crystal
from diffpy_cbldm.fitting.generator import choose_backend
from diffpy_cbldm.fitting.ligands import check_ligand
from diffpy_cbldm.fitting.quickfit import QuickFit
from diffpy_cbldm.fitting.signal_end import signal_end
from diffpy_cbldm.fitting.target import Target
from diffpy_cbldm.fitting.together import (
    Together,
    independent_points,
    spelled,
    with_others,
)
from diffpy_cbldm.formula import parse_composition
from diffpy_cbldm.memory import forget, give_back, rare_collection
from diffpy_cbldm.pdfdata import PDFData, check_pdf
from diffpy_cbldm.search.generators import (
    generator_names,
)
from diffpy_cbldm.solving.clock import Clock, Progress
from diffpy_cbldm.solving.compositions import (
    as_asked,
    check_composition,
    check_edits,
    is_compound,
    others_as_asked,
)
from diffpy_cbldm.solving.compounds import solve_compound
from diffpy_cbldm.solving.doubt_table import Answer
from diffpy_cbldm.solving.doubts import (
    largest_proposed,
    once,
    origin_doubts,
    plainness_doubts,
)
from diffpy_cbldm.solving.groups import group
from diffpy_cbldm.solving.headers import settle
from diffpy_cbldm.solving.judging import judged, still_true
from diffpy_cbldm.solving.on_demand import on_demand
from diffpy_cbldm.solving.open_sizes import UNEDITED, futile
from diffpy_cbldm.solving.other_ranges import other_ranges
from diffpy_cbldm.solving.polish_stage import (
    REFUSED,
    Edits,
    edit_best,
    kinds_of,
    marked,
    without_copies,
)
from diffpy_cbldm.solving.ranking import ordered, rank_quickly, to_refine
from diffpy_cbldm.solving.relaxed_library import Met
from diffpy_cbldm.solving.solution import Solution
from diffpy_cbldm.solving.two_cores import fitted, proposed
from diffpy_cbldm.threads import cores as use_cores
from diffpy_cbldm.threads import one_thread

UNHEARD = "The generator {} proposed nothing."
"""What is said of one that was asked for."""


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
    cores: int | None = None,
    generators: str | Sequence[str] = (
        *("cbldm", "library", "screen", "shells"),
    ),
    backend: str = "auto",
    rmin: float = 1.5,
    rmax: float | None = None,
    qdamp_range: str | Sequence[float] = "auto",
    distribution: bool = False,
    together: Together = (),
    ligand: str | None = None,
    phases: int = 1,
    starts: Sequence[Candidate] = (),
    crystals: Sequence[Any] = (),
    sublattice: str | None = None,
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
        The measured G(r) of a particle of one element, or of a compound or
        alloy (`PDFData.compound`), whose particles are cut from crystals.
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
    cores : int, optional
        Cores to use at most.  Default: two on Linux, a copy of the process
        (`diffpy_cbldm.processes`), where it may use them and has no other
        threads.  The answer is the same.
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
    together : PDFData, or sequence of PDFData or (PDFData, weight)
        Other PDFs of the same sample, such as one of neutrons, that are
        refined together with `pdf` (`diffpy_cbldm.refine`); by the weighted
        mean of Rw^2 candidates are ranked.  Proposals, quick fits and edits
        look at `pdf` alone.
    ligand : str, optional
        The element of ligands that binds to the surface, such as "S": a
        shell of it is fitted about the best structure, see
        `diffpy_cbldm.ligand_shell`.
    phases : int
        With 2 the best structure and a second one of another type are fitted
        together, see `diffpy_cbldm.two_phases`; default 1.
    starts : sequence of Candidate
        Answers of neighbouring PDFs of a series, for the generator
        ``neighbours``; default none.
    crystals : sequence
        From what particles are cut: paths of cif files, or structures of
        pymatgen, diffpy or ASE.  Default: of compounds the common crystals
        of their composition, and of one element none.
    sublattice : str, optional
        The element of a compound that is taken for a metal by itself.
    progress : callable, optional
        Called with (what is done next, steps done, steps in all).

    Returns
    -------
    Solution

    Raises
    ------
    CbldmError
        A setting outside its limits, an unknown generator, a composition
        without a crystal, or data that do not reach the fitted range.
    """
    check_pdf(pdf)
    crystals = each_crystal(crystals)
    pdf, notes = as_asked(pdf, crystals, sublattice)
    others = others_as_asked(together, sublattice)
    generators = generator_names(generators)
    if crystals and "cut" not in generators:
        generators.append("cut")
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
        cores=cores,
        backend=backend,
        qdamp_range=_range_text(qdamp_range),
        distribution="yes" if distribution else "no",
        together=spelled(together),
        ligand=ligand,
        phases=phases,
        polish=_kinds_text(polish),
        roughness=roughness,
        crystals=tuple(map(_crystal_name, crystals)),
        sublattice=sublattice,
    )
    check_composition(pdf, crystals, None)
    _check(used, end, pdf)
    target = Target.of(pdf, rmin, end, qdamp_range)
    target = with_others(target, others)
    clock = Clock(progress, steps=len(generators) + 3 + refine)
    check_edits(used.polish, is_compound(pdf, crystals))
    # The pieces are small: on a busy machine threads would wait for one
    # another at every step, ten times as long as the work takes.
    with use_cores(cores), one_thread(), rare_collection():
        compile_ahead(IN_A_JOB)
        if is_compound(pdf, crystals):
            found, used = solve_compound(
                target, used, crystals, tuple(starts), clock
            )
            return dataclasses.replace(
                found, settings=_resolved(used, found.pdf)
            )
        return _solve(target, used, crystals, tuple(starts), notes, clock)


def _solve(
    target: Target,
    used: settings.Solve,
    crystals: Sequence[Any],
    starts: tuple[Candidate, ...],
    notes: Sequence[str],
    clock: Clock,
) -> Solution:
    """The steps of `solve` for metals, with settings that were checked."""
    generators = used.generators.split(",")
    given = target.pdf
    target, told = settle(target, used.small_angle)
    pool, silent, made = proposed(target, used, crystals, starts, clock)
    crystal = fit_crystal(target)
    notes = [*notes, *told, *map(UNHEARD.format, silent)]
    clock.begin("quick fit")
    ranked = rank_quickly(pool, target)
    forget()  # edits take the most memory
    chosen = to_refine(ranked, used.refine, generators)
    unedited, first = _left_unedited(ranked, used), len(notes)
    refined, sizes = fitted(ranked, chosen, crystal, target, used, clock)
    if unedited:
        edits = Edits([], (), None)
        notes.append(UNEDITED)
    else:
        give_back()  # what the fits have left behind
        plain = [c for c, _ in refined]
        best = [ranked[i][0] for i in chosen]
        edits = _edited(best, target, used, clock, made, plain)
        refined += without_copies(edits.refined, plain)
        notes += [REFUSED] if edits.refused else []
    rest = [(c, f.rw) for i, (c, f) in enumerate(ranked) if i not in chosen]
    order = ordered([c for c, _ in refined], target)
    everything = [*(refined[i] for i in order), *rest]
    candidates = [c for c, _ in everything]
    largest, part = largest_proposed(generators), used.sublattice is not None
    clock.begin("sizes")
    answer = Answer(candidates, target, crystal, largest, given, part)
    edited = edits.range_of(candidates[0])
    beside, verdict, atoms = judged(answer, ranked, edited, sizes)
    more = on_demand(candidates, target, used)
    notes += plainness_doubts(candidates)
    origin = origin_doubts(candidates, generators)
    return Solution(
        candidates=candidates,
        rw_quick=[quick for _, quick in everything],
        settings=_resolved(used, target.pdf),
        timings=clock.end(),
        warnings=once(
            *target.pdf.warnings,
            *still_true(notes, told, notes[first:], verdict),
            *verdict.texts,
            *more.notes,
            *still_true(origin, (), origin, verdict),
        ),
        pdf=target.pdf,
        together=tuple(other.pdf for other in target.together),
        front=marked(edits.front, candidates[0]),
        groups=tuple(group(candidates, independent_points(target))),
        atoms=atoms,
        crystal=crystal,
        sizes=sizes,
        distribution=more.distribution,
        ligands=more.ligands,
        phases=more.phases,
        verdict=verdict,
        beside=beside,
        **other_ranges(candidates[0], atoms, verdict),
    )


def _left_unedited(
    ranked: Sequence[tuple[Candidate, QuickFit]], used: settings.Solve
) -> bool:
    """Whether edits are asked for in vain; else their loops are compiled."""
    unedited = used.polish == "yes" and futile(ranked)
    if used.polish != "no" and not unedited:
        compile_ahead(IN_EDITS)
    return unedited


def _edited(
    starts: list[Candidate],
    target: Target,
    used: settings.Solve,
    clock: Clock,
    made: Met | None,
    plain: Sequence[Candidate],
) -> Edits:
    """What edits of some candidates give, where any are asked for.

    plain : the same and others as they were refined
    """
    if used.polish == "no":
        return Edits([], (), None)
    clock.begin("polish")
    least = min((c.rw for c in plain if c.rw), default=0.0)
    return edit_best(starts, target, used, made, least)


def _crystal_name(crystal: Any) -> str:
    """A path as it is, and the formula of a structure."""
    if isinstance(crystal, str | os.PathLike):
        return os.fspath(crystal)
    found = crystal_of(crystal)
    return found.source or found.name


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


def _check(used: settings.Solve, rmax: float, pdf: PDFData) -> None:
    """Raise `CbldmError` for what cannot be run."""
    last = float(pdf.r[-1])
    options.validate(dataclasses.replace(used, rmax=rmax))
    kinds_of(used.polish)
    if used.ligand is not None:
        held = parse_composition(str(pdf.composition))
        check_ligand(used.ligand, held[0] if len(held) == 1 else None)
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
