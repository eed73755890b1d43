"""The main job in one function: propose, refine, polish, rank, explain."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from diffpy_cbldm import __version__, settings
from diffpy_cbldm.atoms import AtomRange, atom_range, spread
from diffpy_cbldm.cluster import Candidate
from diffpy_cbldm.doubts import (
    ALSO,
    origin_doubts,
    size_doubts,
    sources,
)
from diffpy_cbldm.errors import CbldmError
from diffpy_cbldm.groups import Group, group
from diffpy_cbldm.pdfdata import PDFData, check_pdf, regrid
from diffpy_cbldm.polish import (
    KINDS,
    Polished,
    best,
    check_kinds,
    other_sizes,
    pareto,
)
from diffpy_cbldm.polished import (
    LATTICE,
    Front,
    as_candidate,
    edit,
    side_by_side,
    what_changed,
)
from diffpy_cbldm.propose import built_in, generator_names, propose
from diffpy_cbldm.quickfit import SCAN, QuickFit, quick_fit
from diffpy_cbldm.score import duplicates, simplest_first
from diffpy_cbldm.smallangles import settle
from diffpy_cbldm.srfit import choose_backend, one_thread
from diffpy_cbldm.srfit import refine as refine_one

Progress = Callable[[str, int, int], None]
"""Called with what is done next, steps done, steps in all."""

STRETCH = 0.05
"""Structures that differ by less in size alone are one: it is refined."""

SAME = 0.005
"""An edit that changes the size by less than this changes nothing."""

POLISHED = 4
"""Candidates that are polished: the best, and the first of each generator."""

SPREAD = 3
"""Further structures of the front that are refined, from smooth to rough."""


@dataclasses.dataclass(frozen=True)
class FrontPoint:
    """One structure of the front of Rw against roughness.

    Attributes
    ----------
    generator, structure_type : str
        Of the candidate that was edited, and what it is called.
    n_atoms : int
    rw : float
        After the fit of five parameters and of the moves.
    roughness, ratio : float
        Missing bonds per N^(2/3), and over that of the most compact cluster.
    edits : tuple of str
        Kinds of edits; empty for the candidate itself.
    parameters : float
        Effective number of parameters beyond five.
    knee : bool
        Whether this is what the data support, by the criterion.
    """

    generator: str
    structure_type: str
    n_atoms: int
    rw: float
    roughness: float
    ratio: float
    edits: tuple[str, ...]
    parameters: float
    knee: bool


@dataclasses.dataclass(frozen=True)
class Solution:
    """What `solve` found.

    Attributes
    ----------
    candidates : list of Candidate
        The refined ones by Rw, then the others by `rw_quick`.
    rw_quick : list of float
        Rw of the quick five-parameter fit that chose what to refine, in the
        order of `candidates`.
    settings : dict
        Every setting as it was used, read from the header or resolved.
    timings : dict
        Wall time of each step, seconds.
    warnings : tuple of str
        Why the answer may be in doubt.
    pdf : PDFData
        The measured data, with the Qmin that was used.
    front : tuple of FrontPoint
        From ideal to rough: what none beats in both Rw and roughness.
        Empty without polishing.
    groups : tuple of Group
        The refined candidates, those together that the data do not tell
        apart; the simplest of each first.
    atoms : AtomRange or None
        The range of the number of atoms that holds it for nine of ten
        simulated particles.  None without polishing.
    """

    candidates: list[Candidate]
    rw_quick: list[float]
    settings: dict[str, Any]
    timings: dict[str, float]
    warnings: tuple[str, ...]
    pdf: PDFData
    front: tuple[FrontPoint, ...] = ()
    groups: tuple[Group, ...] = ()
    atoms: AtomRange | None = None

    @property
    def refined(self) -> list[Candidate]:
        """The candidates that were refined, best first."""
        return [c for c in self.candidates if c.rw is not None]

    def explain(self, warnings: bool = True) -> str:
        """Say in a few sentences what was found and how far to trust it.

        Parameters
        ----------
        warnings : bool
            Whether `warnings` follow, one a line; default True.
        """
        best = self.candidates[0]
        used = self.settings
        lines = [
            f"{used['composition']}, r from {used['rmin']:g} to "
            f"{used['rmax']:g} A, Q from {used['qmin']:g} to "
            f"{used['qmax']:g} 1/A: {len(self.candidates)} distinct "
            f"candidates, {len(self.refined)} refined."
        ]
        if best.rw is None:
            lines.append(
                f"None was refined; the first is {_describe(best)} with Rw "
                f"{best.rw_raw:.3f} (only the scale fitted)."
            )
        else:
            heldout = (
                ""
                if best.rw_heldout is None
                else f", held-out {best.rw_heldout:.3f}"
            )
            lines.append(
                f"The best is {_describe(best)} from {best.generator}: Rw "
                f"{best.rw:.3f}{heldout} ({best.rw_raw:.3f} before the "
                f"refinement)."
            )
            lines += self._sources()
            if self.groups and len(self.groups[0].members) > 1:
                first = self.groups[0]
                lines.append(
                    f"The data do not tell {len(first.members)} candidates "
                    f"apart ({first}); the simplest is "
                    f"{_describe(self.candidates[first.members[0]])}."
                )
        if self.atoms is not None:
            text = (
                f"The particle has {self.atoms}: {self.atoms.share:.0%} of "
                f"simulated particles of bare metal lie in a range made so"
            )
            if self.atoms.doubted:
                text += ", but the warnings say that this one is not like them"
            lines.append(f"{text}.")
        if warnings:
            lines.extend(f"Warning: {text}" for text in self.warnings)
        return "\n".join(lines)

    def _sources(self) -> list[str]:
        """Which generator gave what, and what came without edits."""
        by_name: dict[str, list[Candidate]] = {}
        for c in self.refined:
            for name in sources(c):
                by_name.setdefault(name, []).append(c)
        lines = []
        if len(by_name) > 1:
            each = [f"{n} {_best_rw(cs)}" for n, cs in by_name.items()]
            lines.append(f"Best Rw by generator: {', '.join(each)}.")
        plain = [c for c in self.refined if not c.edits]
        if plain and self.candidates[0].edits:
            best = min(plain, key=lambda c: _number(c.rw))
            lines.append(
                f"The best without edits is {_describe(best)} from "
                f"{best.generator}: Rw {best.rw:.3f}."
            )
        return lines


def _best_rw(candidates: Sequence[Candidate]) -> str:
    """The least Rw as text, with what was edited for it."""
    best = min(candidates, key=lambda c: _number(c.rw))
    edits = best.edits
    note = f" (edited: {', '.join(edits)})" if edits else ""
    return f"{best.rw:.3f}{note}"


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
    rmax: float = 30.0,
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
        The fitted range; defaults 1.5 and 30, or where the data end.
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
    used = settings.Solve(
        count=count,
        refine=refine,
        generators=",".join(generators),
        rmin=rmin,
        rmax=min(rmax, float(pdf.r[-1])),
        seed=seed,
        small_angle=small_angle,
        device=device,
        backend=backend,
        polish=_kinds_text(polish),
        roughness=roughness,
    )
    _check(used, rmax)
    _ = pdf.element  # raises where there are several, or none
    steps = len(generators) + 2 + refine
    clock = _Clock(progress, steps=steps)
    # The pieces are small: on a busy machine threads would wait for one
    # another at every step, ten times as long as the work takes.
    with one_thread():
        return _solve(pdf, used, generators, clock)


def _solve(
    pdf: PDFData,
    used: settings.Solve,
    generators: Sequence[str],
    clock: _Clock,
) -> Solution:
    """The steps of `solve`, with settings that were checked."""
    pool: list[Candidate] = []
    pdf, note = settle(pdf, used.small_angle, used.rmin, used.rmax)
    notes = [note] if note else []
    for name in generators:
        clock.begin(f"propose ({name})")
        drawn = propose(
            pdf,
            count=used.count,
            seed=used.seed,
            generators=(name,),
            device=used.device,
            rmin=used.rmin,
            rmax=used.rmax,
        )
        if not drawn:
            notes.append(f"The generator {name} proposed nothing.")
        pool.extend(drawn)
    if not pool:
        raise CbldmError(
            "No generator proposed a structure; expected at least one: add "
            "the generator library, which always answers."
        )

    clock.begin("quick fit")
    ranked = _rank_quickly(pool, pdf, used)
    chosen = _choose([c for c, _ in ranked], used.refine, generators)

    refined: list[tuple[Candidate, float]] = []
    for index in chosen:
        clock.begin("refine")
        candidate, fit = ranked[index]
        done = refine_one(
            candidate,
            pdf,
            backend=used.backend,
            rmin=used.rmin,
            rmax=used.rmax,
            start=start_values(candidate, pdf, fit),
        )
        refined.append((done, fit.rw))
    points: tuple[FrontPoint, ...] = ()
    atoms = None
    if used.polish != "no":
        clock.begin("polish")
        starts = [ranked[i][0] for i in chosen]
        more, points, atoms = _polished(starts, pdf, used)
        refined += _unlike(more, [c for c, _ in refined])
    known = [c for c, _ in refined]
    order = simplest_first([c.rw for c in known], [c.positions for c in known])
    refined = [refined[i] for i in order]
    rest = [(c, f.rw) for i, (c, f) in enumerate(ranked) if i not in chosen]
    candidates = [c for c, _ in refined + rest]
    about_size = size_doubts(candidates[0], pdf, used)
    if atoms and about_size:
        atoms = dataclasses.replace(atoms, doubted=True)
    return Solution(
        candidates=candidates,
        rw_quick=[quick for _, quick in refined + rest],
        settings=_resolved(used, pdf),
        timings=clock.end(),
        warnings=(
            *pdf.warnings,
            *notes,
            *about_size,
            *origin_doubts(candidates, generators),
        ),
        pdf=pdf,
        front=points,
        groups=tuple(group(candidates, independent(pdf, used))),
        atoms=atoms,
    )


def independent(pdf: PDFData, used: settings.Solve) -> float:
    """Independent points of the fitted range: its width times Q over pi."""
    return (used.rmax - used.rmin) * (pdf.qmax - pdf.qmin) / math.pi


def _kinds_text(polish: bool | Sequence[str]) -> str:
    """The setting `polish`: "yes", "no", or kinds with commas."""
    if isinstance(polish, bool):
        return "yes" if polish else "no"
    if isinstance(polish, str):
        return polish
    return ",".join(polish) or "no"


def _kinds(text: str) -> tuple[str, ...]:
    """The kinds of edits that the setting `polish` names."""
    if text in ("yes", "no"):
        return KINDS if text == "yes" else ()
    return check_kinds([kind.strip() for kind in text.split(",")])


def _polished(
    starts: list[Candidate], pdf: PDFData, used: settings.Solve
) -> tuple[
    list[tuple[Candidate, float]], tuple[FrontPoint, ...], AtomRange | None
]:
    """Edit some candidates: what to refine, the front, the range of N."""
    words: dict[str, Any] = {
        "kinds": _kinds(used.polish),
        "limit": used.roughness,
        "rmin": used.rmin,
        "rmax": used.rmax,
    }
    firsts = {c.generator: c for c in reversed(starts)}.values()
    order = sorted(firsts, key=starts.index)
    order += [c for c in starts if c not in order]
    every = side_by_side(
        lambda start: edit(start, pdf, **words), order[:POLISHED]
    )
    made = [m for m in every if m.holds]
    origin = {id(p): m for m in made for p in m.found}
    changed = [p for m in made for p in m.changed]
    if not every:
        return [], (), None
    if not changed:
        plain = [m.found[0] for m in every]
        top = min(plain, key=_criterion)
        preferred = min((best(m.found) for m in every), key=_criterion)
        return [], (), _atoms(top, every, (), preferred not in plain)
    top = min((best(m.found) for m in made), key=_criterion)
    source = origin[id(top)]
    kind = source.start.structure_type
    more = other_sizes(top, kind, pdf, **words)
    origin |= {id(p): source for p in more}
    everything = [p for m in made for p in m.found] + more
    top, kept = best([top, *more], lower=False), pareto(everything)
    chosen = [top, *sorted(kept, key=_criterion)[:SPREAD]]
    chosen += [best(m.found) for m in made]
    edited = [p for p in chosen if what_changed(origin[id(p)].found[0], p)]
    alike = duplicates([p.positions for p in edited], stretch=STRETCH)
    refined = [
        (
            as_candidate(
                p,
                origin[id(p)],
                pdf,
                backend=used.backend,
                rmin=used.rmin,
                rmax=used.rmax,
            ),
            p.rw,
        )
        for p in (edited[places[0]] for places in alike)
    ]
    points = []
    for p in dict.fromkeys([*kept, top]):
        first = origin[id(p)]
        edits = what_changed(first.found[0], p)
        named = first.start.structure_type
        points.append(
            FrontPoint(
                generator=first.start.generator,
                structure_type=LATTICE.get(named, named) if edits else named,
                n_atoms=len(p.positions),
                rw=p.rw,
                roughness=p.roughness,
                ratio=p.ratio,
                edits=edits,
                parameters=max(p.excess, 0.0) + len(p.values) + p.displaced,
                knee=p is top,
            )
        )
    points.sort(key=lambda point: point.roughness)
    atoms = _atoms(top, every, more, top in edited)
    return refined, tuple(points), atoms


def _atoms(
    top: Polished,
    fronts: Sequence[Front],
    more: Sequence[Polished],
    edited: bool,
) -> AtomRange:
    """The range of N around an answer, from all structures that were met."""
    found = [*(p for m in fronts for p in m.found), *more]
    scale = spread(
        [len(p.positions) for p in found],
        [p.criterion for p in found],
        (len(top.positions), top.criterion),
        edited,
    )
    return atom_range(len(top.positions), scale)


def _unlike(
    edited: list[tuple[Candidate, float]], plain: Sequence[Candidate]
) -> list[tuple[Candidate, float]]:
    """What editing changed: what coincides with an unedited one is left."""
    clusters = [c.positions for c in (*plain, *(c for c, _ in edited))]
    known = len(plain)
    again = {
        place
        for places in duplicates(clusters, stretch=SAME)
        if places[0] < known
        for place in places
    }
    return [e for i, e in enumerate(edited, known) if i not in again]


def _criterion(p: Polished) -> float:
    return p.criterion


def _check(used: settings.Solve, rmax: float) -> None:
    """Raise `CbldmError` for what cannot be run."""
    settings.validate(dataclasses.replace(used, rmax=rmax))
    _kinds(used.polish)
    if used.rmin >= used.rmax:
        raise CbldmError(
            f"rmin is {used.rmin:g} A and the fitted range ends at "
            f"{used.rmax:g} A; expected rmin below rmax and inside the data: "
            f"change rmin or rmax."
        )


def _rank_quickly(
    pool: list[Candidate], pdf: PDFData, used: settings.Solve
) -> list[tuple[Candidate, QuickFit]]:
    """Order by the quick fit and drop duplicates, the better one stays.

    Where generators agree on a structure, the one that stays says so in its
    flags.
    """
    g, measured = regrid(pdf, rmax=used.rmax + settings.R_STEP)
    stretched = all(c.generator in built_in() for c in pool)
    fits = quick_fit(
        [c.positions for c in pool],
        (np.arange(len(g)) * settings.R_STEP)[measured],
        g[measured],
        qmin=pdf.qmin,
        qmax=pdf.qmax,
        qdamp=pdf.qdamp,
        qbroad=pdf.qbroad,
        rmin=used.rmin,
        rmax=used.rmax,
        scan=(0.0,) if stretched else SCAN,
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
        flags = (*first.flags, *(ALSO + name for name in also))
        kept.append(
            (dataclasses.replace(first, flags=flags), fits[order[alike[0]]])
        )
    return kept


def start_values(
    candidate: Candidate, pdf: PDFData, fit: QuickFit
) -> dict[str, float]:
    """Start values of the refinement, from the quick fit."""
    element = candidate.elements[0]
    start = {
        "zoomscale": fit.stretch,
        f"{element}_Uiso": fit.uiso,
        f"{element}_Delta2": fit.delta2,
    }
    return start if pdf.qdamp is not None else start | {"qdamp": fit.qdamp}


def _choose(
    pool: list[Candidate], refine: int, generators: Sequence[str]
) -> list[int]:
    """Places of the candidates to refine: the first ones, and the first of
    each generator as far as there is room."""
    firsts: list[int] = []
    for name in generators:
        mine = (i for i, c in enumerate(pool) if name in sources(c))
        first = next(mine, None)
        if first is not None and first not in firsts:
            firsts.append(first)
    firsts = sorted(firsts)[:refine]
    others = [i for i in range(len(pool)) if i not in firsts]
    return sorted(firsts + others[: refine - len(firsts)])


def _resolved(used: settings.Solve, pdf: PDFData) -> dict[str, Any]:
    """All settings as one flat table, the names as on the command line."""
    names = [o.name for o in settings.options(settings.Reading)]
    return {
        "version": __version__,
        **{name: getattr(pdf, name) for name in names},
        **dataclasses.asdict(used),
        "backend": choose_backend(used.backend),
    }


def _describe(candidate: Candidate) -> str:
    return f"{candidate.structure_type} with {len(candidate.positions)} atoms"


def _number(value: float | None) -> float:
    """A key to sort by: what is missing or not a number comes last."""
    return float("inf") if value is None or value != value else value


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
