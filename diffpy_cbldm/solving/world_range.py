"""Ranges of N that hold on measured data, as far as they are like powders.

Where one particle explains the data, the range is that of its edits.
Elsewhere the answer stands for a powder, and the range is as wide as such
answers are off (`diffpy_cbldm.solving.size_evidence`).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from diffpy_cbldm.cluster import Candidate
from diffpy_cbldm.fitting.agreement import EXPLAINED
from diffpy_cbldm.fitting.attenuated import AttenuatedCrystal
from diffpy_cbldm.fitting.target import Target
from diffpy_cbldm.settings import MAX_ATOMS
from diffpy_cbldm.solving.atom_range import AtomRange
from diffpy_cbldm.solving.doubts import range_doubts, unedited
from diffpy_cbldm.solving.frameworks import framework_range
from diffpy_cbldm.solving.open_sizes import Ranked, alike_sizes
from diffpy_cbldm.solving.second_phase import Beside
from diffpy_cbldm.solving.size_evidence import FACTORS, SizeEvidence
from diffpy_cbldm.solving.sizes import SizeAtQdamp

EXACT = 0.002
"""A lower Rw still is that of data without noise."""

LARGE_OFF = 0.06
"""By how much log N of a particle of more than 256 atoms that explains the
data is off at most in nine of ten, beside what edits and others say: of the
200 particles of ``training.evaluation.evaluate --split large``, noise 0.5 %.
"""


def stated_range(
    candidates: Sequence[Candidate],
    ranked: Ranked,
    edited: AtomRange | None,
    sizes: Sequence[SizeAtQdamp],
    crystal: AttenuatedCrystal,
    target: Target,
    beside: Beside | None = None,
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
    beside : Beside, optional
        The particle beside a second phase.
    """
    if range_doubts(target):
        return None
    cluster = framework_range(candidates, target.independent_points)
    if cluster is not None:
        # A framework is one cluster; other answers stand for a powder.
        ideal = candidates[0].generator == "library"
        # Others of the library, relaxed as well, were met by the edits.
        return _joined(cluster, edited) if ideal and edited else cluster
    best = candidates[0]
    alike = alike_sizes(best, ranked, sizes, crystal, target)
    if best.edits and (best.rw or 0.0) >= EXPLAINED:
        # Rw that edits have lowered says less of the size than it seems to.
        plain = unedited(candidates)
        n = len(plain)
        alike = _joined(alike, AtomRange(n, n, n, alike.share))
        best = dataclasses.replace(best, rw=plain.rw)
    return on_powders(edited, alike, best, target, beside)


def on_powders(
    atoms: AtomRange | None,
    alike: AtomRange,
    best: Candidate,
    target: Target,
    beside: Beside | None = None,
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
    beside : Beside, optional
        It stands for what alone explains the data less well.

    Returns
    -------
    AtomRange or None
        None where `atoms` is and the structure explains the data.
    """
    if best.rw is None or best.rw < EXPLAINED:
        return atoms and _about_large(_joined(atoms, alike), best)
    seen = SizeEvidence(
        atoms=len(best),
        low=alike.low,
        high=alike.high,
        rw=best.rw,
        reach=across(best.positions) / target.rmax,
        known=target.qdamp is not None,
    )
    if beside is None:
        found = _joined(atoms or alike, range_of(seen))
        return _with_answer(found, len(best))
    seen = dataclasses.replace(
        seen,
        atoms=beside.n_atoms,
        low=beside.low,
        high=beside.high,
        rw=beside.rw,
        second=True,
    )
    return _with_answer(range_of(seen), beside.n_atoms)


def _about_large(atoms: AtomRange, best: Candidate) -> AtomRange:
    """The range of a large particle that explains the data, wide enough.

    Edits meet few sizes of it: its shape has too many ways to differ.
    """
    if len(best) <= MAX_ATOMS or (best.rw or 0.0) < EXACT:
        return atoms
    factor = math.exp(LARGE_OFF)
    n = len(best)
    low, high = math.ceil(n / factor), math.floor(n * factor)
    return _joined(atoms, AtomRange(n, low, high, atoms.share))


def range_of(seen: SizeEvidence, share: float = 0.9) -> AtomRange:
    """The range that holds N in a share of the powders of its stratum."""
    low, high = seen.ends(FACTORS[seen.stratum][share])
    return AtomRange(seen.atoms, low, high, share, evidence=seen)


def _with_answer(found: AtomRange, atoms: int) -> AtomRange:
    """A range that holds the answer's own N, however far the centre lies."""
    return _joined(found, AtomRange(atoms, atoms, atoms, found.share))


def _joined(first: AtomRange, second: AtomRange) -> AtomRange:
    """The first range, with what the second one holds beyond it."""
    return dataclasses.replace(
        first,
        low=min(first.low, second.low),
        high=max(first.high, second.high),
        evidence=first.evidence or second.evidence,
    )


def across(positions: np.ndarray) -> float:
    """Twice the largest distance of an atom from the middle, angstrom."""
    x = positions - positions.mean(0)
    return float(2 * np.linalg.norm(x, axis=1).max())
