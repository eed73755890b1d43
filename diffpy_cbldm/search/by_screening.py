"""The generator ``screen``: many random plausible clusters, compared."""

from __future__ import annotations

import math

import numpy as np

from diffpy_cbldm.cluster import Candidate
from diffpy_cbldm.crystals.table import TEMPLATE_OF, load_table
from diffpy_cbldm.debye.conditions import Conditions
from diffpy_cbldm.debye.histogram import pdf_from_histogram
from diffpy_cbldm.fitting.target import Target
from diffpy_cbldm.memory import PROPOSALS, forget
from diffpy_cbldm.pdfdata import PDFData
from diffpy_cbldm.search.large_set import offered
from diffpy_cbldm.search.matching import (
    BOND_CHANGES,
    Motion,
    stretched,
)
from diffpy_cbldm.search.pool import Pool
from diffpy_cbldm.search.screening_set import (
    SET_BINS,
    SET_ORDER,
    SET_STEP,
    load_set,
    member,
)
from diffpy_cbldm.settings import Solve
from diffpy_cbldm.threads import side_by_side

RANK = 32
"""Numbers to which a cluster is reduced while it is compared."""

ROWS = 2048
"""Clusters compared at once: their arrays stay in the processor's cache."""


def rough_rw(
    hist: np.ndarray,
    target: Target,
    stretches: np.ndarray,
    motion: Motion,
) -> np.ndarray:
    """Rw of all clusters of a set, near enough to choose from them.

    G(r) is linear in the histogram h, G = h T.  The product with the data,
    stretched in place of the cluster, and the square of G are then
    h . (T g) and h (T T^t) h^t; both are taken in the `RANK` directions of h
    that tell most of the set's curves apart.

    Parameters
    ----------
    hist : (C, BINS) array of float16
        A set.
    target : Target
        The measured curve.  Above pi / STEP over the bond its Q range is
        cut.
    stretches : (S,) array
        Relative changes of the bond that are tried.
    motion : Motion
        Widths and dampings that are tried.

    Returns
    -------
    (C,) array
        The least over stretches, widths and dampings, the scale fitted.
    """
    fine = 2  # points a bin
    x = np.arange(SET_BINS * fine) * (SET_STEP / fine)
    bond, (r, _) = target.bond, target.curve
    y = stretched(x, target, bond, stretches)
    # Normalised, so that the share that a cluster explains is a cosine.
    data = y / np.linalg.norm(y, axis=0).clip(min=1e-12)
    # Stretches move the ends of the range little: one mask for all.
    inside = (x * bond >= max(target.rmin, r[0])) & (x * bond <= r[-1])
    ones: np.ndarray = np.eye(SET_BINS, dtype=np.float32)
    products, squares = [], []
    for width in motion.uiso:
        curves = pdf_from_histogram(
            ones,
            np.ones(SET_BINS),
            Conditions(
                u_iso=width / bond**2,
                qmin=target.qmin * bond,
                qmax=min(target.qmax * bond, 0.98 * math.pi / SET_STEP),
            ),
            step=SET_STEP,
            rstep_out=SET_STEP / fine,
            order=SET_ORDER,
            padding=2,
        )
        for q in motion.dampings(target):
            fall = np.exp(-0.5 * (q * bond * x) ** 2)
            damped = curves * fall.astype(np.float32)
            products.append(damped @ data)
            seen = damped[:, inside]
            squares.append(seen @ seen.T)
    # The sets' curves lie near few directions: products in these are cheap.
    reduce, expand = _directions(hist, squares[0])
    cross = np.hstack([expand @ p for p in products])
    power = np.hstack([expand @ s @ expand.T for s in squares])
    ways, tried = len(products), len(stretches)

    def least(start: int) -> np.ndarray:
        z = hist[start : start + ROWS].astype(np.float32) @ reduce
        fit = (z @ cross).reshape(-1, ways, tried).max(2).clip(min=0)
        norms = (z @ power).reshape(len(z), ways, -1)
        norm = np.einsum("cwk,ck->cw", norms, z)
        share = (fit**2 / norm.clip(min=1e-20)).max(1).clip(0, 1)
        return np.sqrt(1 - share)

    parts = side_by_side(least, range(0, len(hist), ROWS))
    return np.concatenate(parts).astype(float)


def _directions(
    hist: np.ndarray, square: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The directions in which the curves of a set differ most.

    Returns
    -------
    reduce : (BINS, k) array of float32
        From histograms to k numbers, k at most `RANK`.
    expand : (k, BINS) array of float32
        Back to the histograms, as the set's own correlations predict them.
    """
    some = np.array(hist[:: max(1, len(hist) // 2000)], float)
    gram = some.T @ some
    values, vectors = np.linalg.eigh(square.astype(float))
    root = vectors * np.sqrt(values.clip(min=0))
    spread, turn = np.linalg.eigh(root.T @ gram @ root)
    keep = np.arange(len(spread)) >= len(spread) - RANK
    keep &= spread > 1e-9 * spread[-1]
    reduce = root @ turn[:, keep]
    expand = reduce.T @ gram / spread[keep, None]
    return reduce.astype(np.float32), expand.astype(np.float32)


CHOSEN = 400
"""Clusters of the set that are drawn again and compared exactly."""

QDAMP_STEP = 0.015
"""Qdamp values of that comparison lie at most so far apart, 1/A."""


def screen_generator(
    pdf: PDFData | Target,
    *,
    count: int = 64,
    seed: int = 0,
    device: str = "auto",
    rmin: float = 1.5,
    rmax: float | None = Solve.rmax,
) -> list[Candidate]:
    """Screen a set of random clusters, and fit the best of them.

    The set is the largest one in the cache folder, or the one that comes
    with the package, see `diffpy_cbldm.search.screening_set`; none is made
    here.  Its clusters are random cuts that no library holds.  The best
    `CHOSEN` of a rough comparison are compared again as the model's
    structures are.

    Parameters
    ----------
    pdf : PDFData
        The data of a particle of one element.
    count : int
        Candidates, at most.
    seed, device
        Of no effect: nothing is drawn, and no model is asked.
    rmin, rmax : float, angstrom
        The compared range.

    Returns
    -------
    list of Candidate
        All different; numbers of atoms vary as in `cbldm_generator`.  Half
        of them are random cuts of 257 to 10,000 atoms where these fit as
        well (`diffpy_cbldm.search.large_set`).

    Raises
    ------
    CbldmError
        The PDF shows no bond, or the packaged set is not this NumPy's.
    """
    from diffpy_cbldm.crystals.filling import Proposal

    target = Target.of(pdf, rmin, rmax)
    rw = rough_rw(load_set(), target, BOND_CHANGES, Motion())
    forget(PROPOSALS)  # the set
    found = []
    for number in np.argsort(rw, kind="stable")[: max(CHOSEN, 2 * count)]:
        kind, sites = member(int(number))
        xyz = load_table().sites[TEMPLATE_OF[kind]][sites].astype(float)
        found.append(Proposal(kind, xyz - xyz.mean(0), sites))
    pool = Pool(target)
    # The rough order is good to some 0.03 in Rw: many are compared exactly.
    pool.queue(None, found)
    pool.compare()
    # Larger clusters with more damping come close to the right ones: what
    # the first few tell of it would hide those.
    pool.learn(target.dampings(QDAMP_STEP))
    small = pool.candidates(count)
    del pool
    forget(PROPOSALS)  # the pairs of sites
    large = offered(
        target, max(count // 2, 1), [c.positions for c in small], "random"
    )
    return [
        *(
            Candidate(
                elements=(target.element,) * m.atoms,
                positions=m.particle.positions * m.bond,
                structure_type=m.particle.structure_type,
            )
            for m in large
        ),
        *small[: count - len(large)],
    ]
