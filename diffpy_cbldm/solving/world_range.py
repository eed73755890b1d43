"""Ranges of N that hold on measured data: widened as far as such data ask.

Between what explains the data alike - the best structure, those at other
Qdamp, the attenuated crystal - the number of atoms may lie, and outside, as a
powder is no single particle.  How far outside was measured on simulated
powders (`diffpy_cbldm.debye.world`), in strata that are seen from the data:
the distance of log N from that interval is exceeded by a tenth of them
(split conformal prediction: Romano, Patterson & Candes, Adv. Neural Inf.
Process. Syst. 2019, 32, for intervals that vary).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from diffpy_cbldm.cluster import Candidate
from diffpy_cbldm.fitting.attenuated import AttenuatedCrystal
from diffpy_cbldm.fitting.target import Target
from diffpy_cbldm.solving.atom_range import AtomRange
from diffpy_cbldm.solving.doubts import range_doubts
from diffpy_cbldm.solving.frameworks import framework_range
from diffpy_cbldm.solving.open_sizes import Ranked, alike_sizes
from diffpy_cbldm.solving.sizes import SizeAtQdamp

SHARES = (0.5, 0.9)

FAR = 0.75
"""A particle of a larger share of the range of r has its end less well seen.
"""

EXPLAINED, USUAL = 0.03, 0.1
"""Rw below the first is that of one particle, as those of which the range is
made; below the second the misfit is small for a powder."""

WIDENING: dict[str, dict[float, float]] = {
    "small, Qdamp known": {0.5: 0.014, 0.9: 0.153},
    "small, Qdamp unknown": {0.5: 0.022, 0.9: 0.147},
    "large, Qdamp known": {0.5: 0.0, 0.9: 0.158},
    "large, Qdamp unknown": {0.5: 0.0, 0.9: 0.044},
    "misfit, Qdamp known": {0.5: 0.08, 0.9: 0.42},
    "misfit, Qdamp unknown": {0.5: 0.0, 0.9: 0.916},
}
"""What is added to log N at both ends, by stratum and share; made by
``python -m tests.benchmarks.measured_world --facts``."""


def stated_range(
    candidates: Sequence[Candidate],
    ranked: Ranked,
    edited: AtomRange | None,
    sizes: Sequence[SizeAtQdamp],
    crystal: AttenuatedCrystal,
    target: Target,
) -> AtomRange | None:
    """The range of N of an answer, None where nothing tells one.

    Parameters
    ----------
    candidates : sequence of Candidate
        The answer first.
    ranked : sequence of (Candidate, QuickFit)
    edited : AtomRange or None
        Of its edits, see `diffpy_cbldm.solving.atom_range`.
    sizes : sequence of SizeAtQdamp
    crystal : AttenuatedCrystal
    target : Target
    """
    if range_doubts(target):
        return None
    cluster = framework_range(candidates, target.independent_points)
    if cluster is not None:
        # A framework is one cluster; other answers stand for a powder.
        ideal = candidates[0].generator == "library"
        # Others of the library, relaxed as well, were met by the edits.
        return _joined(cluster, edited) if ideal and edited else cluster
    alike = alike_sizes(candidates[0], ranked, sizes, crystal, target)
    return on_powders(edited, alike, candidates[0], target)


def on_powders(
    atoms: AtomRange | None, alike: AtomRange, best: Candidate, target: Target
) -> AtomRange | None:
    """A range of N that also holds for powders, of a structure that fits.

    Parameters
    ----------
    atoms : AtomRange or None
        As of a single particle; None where nothing tells it.
    alike : AtomRange
        What explains the data as well as the structure does
        (`diffpy_cbldm.solving.open_sizes.alike_sizes`).
    best : Candidate
    target : Target

    Returns
    -------
    AtomRange or None
        None where `atoms` is and the structure explains the data.
    """
    if best.rw is None or best.rw < EXPLAINED:
        return atoms and _joined(atoms, alike)
    known = target.qdamp is not None
    stratum = stratum_of(across(best.positions), target.rmax, known, best.rw)
    return _joined(atoms or alike, widened(alike, stratum))


def _joined(first: AtomRange, second: AtomRange) -> AtomRange:
    """The first range, with what the second one holds beyond it."""
    return dataclasses.replace(
        first,
        low=min(first.low, second.low),
        high=max(first.high, second.high),
    )


def across(positions: np.ndarray) -> float:
    """Twice the largest distance of an atom from the middle, angstrom."""
    x = positions - positions.mean(0)
    return float(2 * np.linalg.norm(x, axis=1).max())


def stratum_of(diameter: float, rmax: float, known: bool, rw: float) -> str:
    """The stratum of an answer, a key of `WIDENING`.

    Parameters
    ----------
    diameter : float, angstrom
        Of the best structure, see `across`.
    rmax : float, angstrom
        End of the fitted range.
    known : bool
        Whether Qdamp is.
    rw : float
        Of the best structure.
    """
    size = "large" if diameter > FAR * rmax else "small"
    # Where much is left unexplained, the size tells little about how well.
    kind = size if rw < USUAL else "misfit"
    return f"{kind}, Qdamp {'known' if known else 'unknown'}"


def widened(atoms: AtomRange, stratum: str, share: float = 0.9) -> AtomRange:
    """A range that holds N in a share of the powders of a stratum.

    Parameters
    ----------
    atoms : AtomRange
        What explains the data alike.
    stratum : str
    share : float
        One of `SHARES`.
    """
    return widened_by(atoms, WIDENING[stratum][share], share)


def widened_by(atoms: AtomRange, more: float, share: float) -> AtomRange:
    """A range with so much added to log N at both ends, and its share."""
    factor = math.exp(min(more, 10.0))
    return dataclasses.replace(
        atoms,
        low=math.ceil(atoms.low / factor - 1e-9),
        high=math.floor(atoms.high * factor + 1e-9),
        share=share,
    )


def excess(atoms: AtomRange, true: float) -> float:
    """How far log N lies outside of a range; negative inside."""
    return max(math.log(atoms.low / true), math.log(true / atoms.high))


def conformal(scores: Sequence[float], share: float) -> float:
    """The (n + 1) * share-th least of some scores, at least 0.

    Infinite for too few of them.
    """
    place = math.ceil((len(scores) + 1) * share - 1e-9)
    if place > len(scores):
        return math.inf
    return max(sorted(scores)[place - 1], 0.0)
