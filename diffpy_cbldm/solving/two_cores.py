"""The steps of a job that two cores share: proposals, refinements, sizes.

What one piece gives does not depend on the others, so that the answer is that
of one core; see `diffpy_cbldm.processes`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from diffpy_cbldm import settings
from diffpy_cbldm.cluster import Candidate
from diffpy_cbldm.errors import CbldmError
from diffpy_cbldm.fitting.attenuated import AttenuatedCrystal
from diffpy_cbldm.fitting.moves import move_names
from diffpy_cbldm.fitting.quickfit import QuickFit
from diffpy_cbldm.fitting.recipe import start_values
from diffpy_cbldm.fitting.refinement import refine
from diffpy_cbldm.fitting.target import Target
from diffpy_cbldm.memory import PROPOSALS, forget
from diffpy_cbldm.processes import in_turn, shared
from diffpy_cbldm.search.asked_before import ANSWERS, Question
from diffpy_cbldm.search.generators import (
    MAY_BE_SILENT,
    built_in,
    propose,
)
from diffpy_cbldm.search.screening_set import state_of_sets
from diffpy_cbldm.solving.clock import Clock
from diffpy_cbldm.solving.polish_stage import kinds_of
from diffpy_cbldm.solving.relaxed_library import Met, relaxed_ahead
from diffpy_cbldm.solving.sizes import SizeAtQdamp, sizes_by_qdamp

AHEAD = "relaxed clusters of the library"
"""What is made beside the proposals, where a core has the time."""

MOVED = 1e-4
"""Where the first orbit of a relaxed framework begins, bond lengths."""


def proposed(
    target: Target,
    used: settings.Solve,
    crystals: Sequence[Any],
    starts: tuple[Candidate, ...],
    clock: Clock,
) -> tuple[list[Candidate], list[str], Met | None]:
    """What the generators propose, and those that proposed nothing.

    And what the edits will need of the library, where a copy of the process
    had the time to make it.
    """
    names = used.generators.split(",")

    def make() -> dict[str, Any]:
        return _drawn(names, target, used, crystals, starts, clock)

    # What others propose may depend on what we cannot know.
    if {*names} <= {*built_in()} and not starts and not crystals:
        asked = (
            *(Question.of(target), used.generators, used.count, used.seed),
            *(used.device, _relaxes(used), *state_of_sets(), propose),
        )
        for name in names if asked in ANSWERS else ():
            clock.begin(f"propose ({name})")
        found = ANSWERS.of(asked, make, _atoms)
    else:
        found = make()
    pool = [candidate for name in names for candidate in found[name]]
    silent = [n for n in names if not found[n] and n not in MAY_BE_SILENT]
    if not pool:
        raise CbldmError(
            "No generator proposed a structure; expected at least one: add "
            "the generator library, which always answers."
        )
    return pool, silent, found.get(AHEAD)


def _atoms(found: dict[str, Any]) -> int:
    """Those of all proposals."""
    some = (found[name] for name in found if name != AHEAD)
    return sum(len(candidate) for drawn in some for candidate in drawn)


def _drawn(
    names: Sequence[str],
    target: Target,
    used: settings.Solve,
    crystals: Sequence[Any],
    starts: tuple[Candidate, ...],
    clock: Clock,
) -> dict[str, Any]:
    """What each generator proposes, and what stands under `AHEAD`."""
    here: dict[str, list[Candidate]] = {}
    order = _in_order(names, used)

    def drawn_by(name: str) -> Any:
        if name == AHEAD:
            # Without the answers of those behind it, as on one core, it
            # would be made in vain where a framework is proposed.
            behind = order[order.index(AHEAD) + 1 :]
            if not {*behind} <= {*here}:
                return None
            return relaxed_ahead([c for n in behind for c in here[n]], target)
        here[name] = proposed_by(name, target, used, starts, crystals)
        # What another generator asks for needs the place.
        forget(PROPOSALS)
        return here[name]

    def begin(name: str) -> None:
        if name != AHEAD:
            clock.begin(f"propose ({name})")

    # What the generators of others need of this process we cannot know.
    ask = shared if {*names} <= {*built_in()} else in_turn
    return dict(zip(order, ask(drawn_by, order, begin)))


def _relaxes(used: settings.Solve) -> bool:
    """Whether clusters of the library may be relaxed in a job."""
    library = "library" in used.generators.split(",")
    return library and "orbits" in kinds_of(used.polish)


def _in_order(names: Sequence[str], used: settings.Solve) -> list[str]:
    """Generators and `AHEAD`, those that this process begins with first."""
    # The model takes the longest, and a copy of a process has no CUDA.
    order = sorted(names, key=lambda name: name != "cbldm")
    if _relaxes(used):
        others = [n for n in order if n not in ("cbldm", "library")]
        if others:
            own = [n for n in order if n not in others]
            return [*own, AHEAD, *others]
    return order


def proposed_by(
    name: str,
    target: Target,
    used: settings.Solve,
    starts: tuple[Candidate, ...],
    crystals: Sequence[Any] = (),
) -> list[Candidate]:
    """What one generator proposes under the settings of a job."""
    return propose(
        target,
        count=used.count,
        seed=used.seed,
        generators=(name,),
        device=used.device,
        starts=starts,
        crystals=crystals,
    )


def fitted(
    ranked: list[tuple[Candidate, QuickFit]],
    chosen: list[int],
    crystal: AttenuatedCrystal,
    target: Target,
    used: settings.Solve,
    clock: Clock,
) -> tuple[list[tuple[Candidate, float]], tuple[SizeAtQdamp, ...]]:
    """The chosen candidates refined, and the sizes at other Qdamp.

    These take longer than a refinement: the second core begins with them.
    """

    def work(place: int | None) -> Any:
        if place is None:
            return sizes_by_qdamp(ranked, crystal, target)
        return _refined(*ranked[place], target, used)

    def begin(place: int | None) -> None:
        if place is not None:
            clock.begin("refine")

    *refined, sizes = shared(work, [*chosen, None], begin)
    return refined, sizes


def _refined(
    candidate: Candidate,
    fit: QuickFit,
    target: Target,
    used: settings.Solve,
) -> tuple[Candidate, float]:
    """A candidate refined from its quick fit, with the Rw of that."""
    start = start_values(candidate, target, fit)
    # What a generator has relaxed goes on being relaxed, with uncertainties.
    relaxed = [k for k in candidate.edits if k in ("orbits", "across")]
    # Not from 0, or a fit without them would come first, for nothing.
    names = move_names(candidate.positions, relaxed)
    start |= dict.fromkeys(names[:1], MOVED)
    done = refine(
        candidate, target, backend=used.backend, start=start, moves=relaxed
    )
    return done, fit.rw
