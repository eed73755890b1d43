"""The main job for compounds and alloys: particles cut from crystals.

Proposing, refining and ranking go as for metals; the proposals are cut from
crystals, which are a finding of their own, and each answer stands beside its
crystal as a sphere without atoms.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from diffpy_cbldm import settings
from diffpy_cbldm.cluster import Candidate
from diffpy_cbldm.crystals.crystal import Crystal
from diffpy_cbldm.crystals.crystal_cuts import MOST
from diffpy_cbldm.errors import CbldmError
from diffpy_cbldm.fitting.attenuated import AttenuatedCrystal
from diffpy_cbldm.fitting.crystal_moves import KINDS, relaxed
from diffpy_cbldm.fitting.envelope import fit_envelope, reshaped
from diffpy_cbldm.fitting.pair_fit import PairFit, fit_cluster
from diffpy_cbldm.fitting.recipe import delta2_name
from diffpy_cbldm.fitting.refinement import refine as refine_one
from diffpy_cbldm.fitting.target import Target
from diffpy_cbldm.fitting.together import independent_points
from diffpy_cbldm.fitting.waves import FADE
from diffpy_cbldm.memory import give_back
from diffpy_cbldm.pdfdata import PDFData
from diffpy_cbldm.search.by_cutting import (
    Cuts,
    Sphere,
    crystals_for,
    cut_particles,
    fit_spheres,
    furthest,
)
from diffpy_cbldm.search.generators import METALS
from diffpy_cbldm.settings import R_MAX
from diffpy_cbldm.solving.clock import Clock
from diffpy_cbldm.solving.compound_doubts import (
    bulk_doubts,
    least_atoms,
    left_out,
    mixture_notes,
    prototype_doubts,
    sphere_doubts,
    width_doubts,
)
from diffpy_cbldm.solving.compound_sizes import (
    compound_range,
    compound_sizes,
)
from diffpy_cbldm.solving.doubt_table import Answer
from diffpy_cbldm.solving.doubts import once
from diffpy_cbldm.solving.groups import group
from diffpy_cbldm.solving.headers import without_slow
from diffpy_cbldm.solving.judging import still_true
from diffpy_cbldm.solving.polish_stage import CHARGE, kinds_of
from diffpy_cbldm.solving.ranking import filled_up, ordered
from diffpy_cbldm.solving.small_angles import settle
from diffpy_cbldm.solving.solution import Solution
from diffpy_cbldm.solving.two_cores import proposed_by
from diffpy_cbldm.solving.verdict import Verdict, judge

BETTER = 0.97
"""Small angles are left out where the crystal's sphere then has an Rw at most
so many times as large: it may be of any size, as the clusters are not by
which that is told of metals."""

Found = list[tuple[Candidate, PairFit]]
"""Candidates with their quick fits."""


def solve_compound(
    target: Target,
    used: settings.Solve,
    crystals: Sequence[Any],
    starts: tuple[Candidate, ...],
    clock: Clock,
) -> tuple[Solution, settings.Solve]:
    """The steps of `diffpy_cbldm.solve` for several elements.

    Parameters
    ----------
    target : Target
    used : settings.Solve
        Checked.
    crystals : sequence
        Those that are given; without any the prototypes of the composition.
    starts : tuple of Candidate
        Answers of neighbouring PDFs, for the generator ``neighbours``.
    clock : Clock

    Returns
    -------
    Solution
        Its settings are left to the caller.
    settings.Solve
        As they were used: metals are not asked for.
    """
    used, unlike = _as_used(used, bool(starts)), left_out(used)
    given = target.pdf
    tried = crystals_for(given, crystals)
    clock.begin("crystals")
    target, slow = without_slow(target, lambda some: _least_rw(some, tried))
    target, spheres, note = _settled(target, tried, used.small_angle)
    near = _near(target, spheres)
    found, cuts = _proposed(near, spheres, starts, used, clock)
    give_back()
    refined, rest = _refined(found, cuts.spheres, target, used, clock)
    candidates = [c for c, _ in (*refined, *rest)]
    best = candidates[0]
    clock.begin("sizes")
    crystal = _crystal_of(best, cuts.spheres)
    crystal, sphere = fit_envelope(crystal, target)
    sizes = compound_sizes(found, crystal, near)
    verdict = _judged(candidates, target, crystal, sphere, given)
    told = [one for one in (slow, note) if one]
    atoms = None
    if verdict.at_least is None:
        atoms = compound_range(found, best, sizes, (crystal, sphere), near)
        sure = verdict.state == "good" and target.qdamp is not None
        atoms = dataclasses.replace(atoms, doubted=not sure)
    warnings = (
        *target.pdf.warnings,
        *still_true(told, told, (), verdict),
        *verdict.texts,
        *(_doubts(best, sphere, target) if verdict.state != "none" else ()),
        *prototype_doubts(cuts.crystals, bool(crystals)),
        *unlike,
        *mixture_notes(best, cuts.alloys, target, used.seed),
    )
    return (
        Solution(
            candidates=candidates,
            rw_quick=[fit.rw for _, fit in (*refined, *rest)],
            settings={},
            timings=clock.end(),
            warnings=once(*warnings),
            pdf=target.pdf,
            together=tuple(other.pdf for other in target.together),
            groups=tuple(group(candidates, independent_points(target))),
            atoms=atoms,
            crystal=dataclasses.replace(
                sphere, tried={c.name: c.rw_sphere for c in cuts.crystals}
            ),
            sizes=sizes,
            verdict=verdict,
            crystals=cuts.crystals,
            unit_cell=crystal,
        ),
        used,
    )


def _as_used(used: settings.Solve, starts: bool) -> settings.Solve:
    """Settings with the generators and edits that compounds have.

    Particles are cut, but where neighbours alone are asked for, and known.
    """
    names = [n for n in used.generators.split(",") if n not in METALS]
    if names != ["neighbours"] or not starts:
        names = ["cut", *(name for name in names if name != "cut")]
    return dataclasses.replace(
        used,
        generators=",".join(names),
        polish=_edits_of(used.polish),
    )


def _edits_of(polish: str) -> str:
    """The setting `polish` of compounds: by itself atoms come and go alone."""
    if polish == "yes":
        return "sites"
    kinds = [k for k in kinds_of(polish) if k in ("sites", *KINDS, CHARGE)]
    return ",".join(kinds) or "no"


def _proposed(
    target: Target,
    spheres: Sequence[Sphere],
    starts: tuple[Candidate, ...],
    used: settings.Solve,
    clock: Clock,
) -> tuple[Found, Cuts]:
    """All candidates with their quick fits, the best first."""
    names = used.generators.split(",")
    clock.begin("propose (cut)")
    count = used.count if "cut" in names else 0
    kinds = kinds_of(used.polish)
    neutral = CHARGE in kinds
    edits = neutral or "sites" in kinds
    cuts = cut_particles(target, spheres, count, used.seed, edits, neutral)
    found: Found = list(zip(cuts.candidates, cuts.fits))
    for name in names:
        if name != "cut":
            clock.begin(f"propose ({name})")
            found += _of_others(name, target, used, starts)
    if not found:
        raise CbldmError(
            "No particle of the crystals could be cut; expected crystals of "
            "the composition: pass others (--crystal)."
        )
    found.sort(key=lambda one: one[1].rw)
    return found, cuts


def _judged(
    candidates: list[Candidate],
    target: Target,
    crystal: Crystal,
    sphere: AttenuatedCrystal,
    given: PDFData,
) -> Verdict:
    """How far the answer can be trusted; see `judge`."""

    def held(some: Target, diameter: float | None) -> AttenuatedCrystal:
        return fit_envelope(crystal, some, diameter=diameter)[1]

    least = least_atoms(candidates[0], sphere, target)
    return judge(
        Answer(
            candidates,
            target,
            sphere,
            MOST,
            given,
            sphere=held,
            at_least=least,
        )
    )


def _doubts(
    best: Candidate, sphere: AttenuatedCrystal, target: Target
) -> list[str]:
    """Why the particle may be another than the best structure."""
    return [
        *width_doubts(best),
        *sphere_doubts(best, sphere),
        *bulk_doubts(best, sphere, target),
    ]


def _settled(
    target: Target, crystals: Sequence[Crystal], mode: str
) -> tuple[Target, list[Sphere], str | None]:
    """Qmin by what the best crystal says of the small angles.

    Returns
    -------
    target : Target
    spheres : list of Sphere
        The crystals as fitted to it.
    note : str or None
    """
    short = target.with_rmax(min(target.rmax, R_MAX))
    spheres = fit_spheres(short, crystals)
    # Edges that are off would hide what the small angles say.
    best, _ = reshaped(*min(spheres, key=lambda one: one[1].rw), short)
    settled, note = settle(
        short, mode, lambda some: fit_envelope(best, some)[1].rw, BETTER
    )
    if settled is not short:
        target = target.with_qmin(settled.qmin)
    near = _near(target, spheres)
    if settled is not short or near.rmax > short.rmax:
        # Their lattice parameters hardly move; those far off are not cut.
        limit = furthest(spheres)
        spheres = [
            fit_envelope(crystal, near) if fit.rw <= limit else (crystal, fit)
            for crystal, fit in spheres
        ]
    return target, spheres, note


def _least_rw(target: Target, crystals: Sequence[Crystal]) -> float:
    """Rw of the crystal that fits best as a sphere."""
    return min(sphere.rw for _, sphere in fit_spheres(target, crystals))


def _near(target: Target, spheres: Sequence[Sphere]) -> Target:
    """The data as far as the particle reaches, and as far again.

    What lies beyond tells particles by nothing but noise, and takes time.
    """
    diameter = min(spheres, key=lambda one: one[1].rw)[1].diameter
    return target.with_rmax(min(target.rmax, max(R_MAX, 2 * diameter + FADE)))


def _of_others(
    name: str,
    target: Target,
    used: settings.Solve,
    starts: tuple[Candidate, ...],
) -> Found:
    """What another generator proposes, with quick fits."""
    drawn = proposed_by(name, target, used, starts)
    return [(c, fit_cluster(c.elements, c.positions, target)) for c in drawn]


def _refined(
    found: Found,
    spheres: Sequence[Sphere],
    target: Target,
    used: settings.Solve,
    clock: Clock,
) -> tuple[Found, Found]:
    """The refined ones by their Rw, and the others by their quick fits."""
    crystals = {crystal.name: crystal for crystal, _ in spheres}
    moves = [kind for kind in kinds_of(used.polish) if kind in KINDS]
    firsts: dict[str, int] = {}
    for k, (candidate, _) in enumerate(found):
        firsts.setdefault(candidate.structure_type, k)
    chosen = filled_up(firsts.values(), len(found), used.refine)
    done: Found = []
    for k in chosen:
        clock.begin("refine")
        candidate, fit = found[k]
        start = start_of(candidate, target, fit)
        refined = refine_one(
            candidate, target, backend=used.backend, start=start
        )
        own = crystals.get(candidate.structure_type)
        if moves and own and candidate.generator == "cut":
            refined = relaxed(refined, own, target, moves, used.backend)
        done.append((refined, fit))
    order = ordered([c for c, _ in done], target)
    rest = [one for k, one in enumerate(found) if k not in chosen]
    return [done[k] for k in order], rest


def start_of(
    candidate: Candidate, target: Target, fit: PairFit
) -> dict[str, float]:
    """Start values of the refinement, from the quick fit."""
    start = {
        "zoomscale": fit.stretch,
        **{f"{e}_Uiso": u for e, u in fit.uiso.items()},
        delta2_name(candidate.elements): fit.delta2,
    }
    return start if target.qdamp is not None else start | {"qdamp": fit.qdamp}


def _crystal_of(best: Candidate, spheres: Sequence[Sphere]) -> Crystal:
    """The crystal of a structure, or the one that fits best as a sphere."""
    order = sorted(spheres, key=lambda one: one[1].rw)
    named = [c for c, _ in order if c.name == best.structure_type]
    return named[0] if named else order[0][0]
