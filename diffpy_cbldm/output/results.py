"""What a run found, as plain data."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any

from diffpy_cbldm.settings import MAX_ATOMS

if TYPE_CHECKING:
    from diffpy_cbldm.cluster import Candidate
    from diffpy_cbldm.solving.solution import Solution


SCHEMA = "cbldm-result/1"

WITHOUT_REFINEMENT = 8
"""So many candidates are shown and written where none was refined."""


def shown(solution: Solution) -> list[Candidate]:
    """The candidates that are shown and written: those refined."""
    return [solution.candidates[k] for k in shown_places(solution)]


def shown_places(solution: Solution) -> list[int]:
    """Where `shown` stand among the candidates of a solution."""
    candidates = solution.candidates
    refined = [k for k, c in enumerate(candidates) if c.rw is not None]
    return refined or list(range(len(candidates)))[:WITHOUT_REFINEMENT]


def with_esd(value: float, esd: float | None) -> str:
    """A number with its uncertainty in the last digit, such as 1.0012(3).

    Where the uncertainty is not known, zero or not finite, the value has four
    significant digits and no brackets.  Where it is more than half of the
    value, the value keeps two digits down to 0.001, such as 0.015(120): what
    ends at a bound can be read, and moves about 0 stay short.
    """
    from uncertainties import ufloat

    if esd is None or not math.isfinite(esd) or esd <= 0:
        return f"{value:.4g}"
    if 5e-4 < abs(value) < 2 * esd:
        places = max(1 - math.floor(math.log10(abs(value))), 0)
        places = min(places, 3)
        # One digit of the uncertainty may be finer than two of the value.
        places = max(places, -math.floor(math.log10(esd)))
        return f"{value:.{places}f}({esd * 10**places:.0f})"
    return f"{ufloat(value, esd):.1uS}"


def result(solution: Solution, source: str) -> dict[str, Any]:
    """The result as plain data, the content of a ``.res`` file.

    Parameters
    ----------
    solution : Solution
    source : str
        The input as it was named.
    """
    told = {
        "schema": SCHEMA,
        "input": source,
        "headline": solution.headline,
        "verdict": solution.verdict and dataclasses.asdict(solution.verdict),
        "settings": solution.settings,
        "uncertainties": solution.uncertainties,
        "candidates": [],
        "front": [dataclasses.asdict(p) for p in solution.front],
        "groups": [dataclasses.asdict(g) for g in solution.groups],
        "atoms": solution.atoms and dataclasses.asdict(solution.atoms),
        "crystal": solution.crystal and dataclasses.asdict(solution.crystal),
        "sizes": [dataclasses.asdict(s) for s in solution.sizes],
        "distribution": solution.distribution
        and dataclasses.asdict(solution.distribution),
        "ligands": solution.ligands and dataclasses.asdict(solution.ligands),
        "phases": solution.phases and dataclasses.asdict(solution.phases),
        "crystals": [dataclasses.asdict(c) for c in solution.crystals],
        "timings": solution.timings,
        "warnings": list(solution.warnings),
    }
    # Of what is fitted on demand uncertainties may not be known either.
    told = without_nan(told)
    # Coordinates, which are numbers, need not be looked through.
    pairs = zip(solution.candidates, solution.rw_quick, strict=True)
    kept = shown_places(solution)
    told["candidates"] = [
        _of_candidate(candidate, rank, quick, rank - 1 in kept)
        for rank, (candidate, quick) in enumerate(pairs, start=1)
    ]
    return told


def _of_candidate(
    c: Candidate, rank: int, quick: float, kept: bool
) -> dict[str, Any]:
    """A candidate as plain data without NaN."""
    # A hundred large ones that were ranked alone would take 10 MB.
    told = kept or len(c) <= MAX_ATOMS
    return {
        "rank": rank,
        "generator": c.generator,
        "structure_type": c.structure_type,
        "n_atoms": len(c.positions),
        "elements": [str(e) for e in c.elements] if told else None,
        "positions": c.positions.tolist() if told else None,
        "rw_raw": finite(c.rw_raw),
        "rw_quick": finite(quick),
        "rw": finite(c.rw),
        "rw_heldout": finite(c.rw_heldout),
        "parameters": parameters(c),
        "flags": list(c.flags),
    }


def without_nan(value: Any) -> Any:
    """Plain data with null for what is no finite number, see `finite`."""
    if isinstance(value, dict):
        return {name: without_nan(x) for name, x in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(x) for x in value]
    return finite(value) if isinstance(value, float) else value


def finite(value: float | None) -> float | None:
    """JSON has no infinity and no NaN; both become null."""
    return None if value is None or not math.isfinite(value) else float(value)


def figures(solution: Solution, source: str, rank: int) -> dict[str, Any]:
    """What is known of a structure as numbers and words, without gaps."""
    c = solution.candidates[rank - 1]
    known = {
        "source": source,
        "rank": rank,
        "generator": c.generator,
        "structure_type": c.structure_type,
        "rw_raw": finite(c.rw_raw),
        "rw_quick": finite(solution.rw_quick[rank - 1]),
        "rw": finite(c.rw),
        "rw_heldout": finite(c.rw_heldout),
    }
    return {name: v for name, v in known.items() if v not in (None, "")}


def parameters(c: Candidate) -> dict[str, dict[str, float | None]]:
    """The refined parameters with ``value`` and ``esd``, None if unknown."""
    return {
        name: {"value": finite(value), "esd": finite(esd)}
        for name, (value, esd) in c.parameters.items()
    }
