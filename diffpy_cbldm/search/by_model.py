"""The generator ``cbldm``: latents drawn from the trained model, decoded."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from diffpy_cbldm import memory
from diffpy_cbldm.cluster import Candidate
from diffpy_cbldm.crystals.bonds import shortest_bond
from diffpy_cbldm.fitting.agreement import EXPLAINED
from diffpy_cbldm.fitting.quickfit import quick_fit
from diffpy_cbldm.fitting.target import Target
from diffpy_cbldm.pdfdata import PDFData
from diffpy_cbldm.search.asked_before import ANSWERS, Question
from diffpy_cbldm.search.large_model import Told, drawn, search_large
from diffpy_cbldm.search.pool import POPULATION, Pool, as_good
from diffpy_cbldm.search.surfaces import move_surfaces
from diffpy_cbldm.settings import MAX_ATOMS, Sampling, Solve
from diffpy_cbldm.threads import one_thread

if TYPE_CHECKING:
    from diffpy_cbldm.model.arrays import Array
    from diffpy_cbldm.model.drawing import Drawing

HULLED, FACETED = 16, 6
"""Latents of each round that are decoded to polyhedra as well, and numbers
of atoms for each set of facets."""

SIZES = 24
"""Numbers of atoms that are tried for each latent, at most."""

LAPLACIANS = 8
"""Latents of a network that decodes Laplacians, in one round: each takes half
a second to recover."""

STRETCHED = tuple(1 + k / 1000 for k in range(-12, 9))
"""Bond lengths at which such a network reads a PDF, over that of the first
peak, which icosahedra show up to 0.8 % too long."""

AS_SURE = 0.1
"""By how much the logarithm of the prior's width may lie above the least one,
for readings that are as sure as the surest."""

OF_LAPLACIANS = Sampling(t1=20, t2=1000)
"""How its other latents are drawn."""

OVERLAP = 0.5
"""Bond lengths: candidates with nearer atoms come last."""

SIZED = 32
"""Latents that tell how large a particle may be."""

ROUNDS, NOISED_TO = 2, 400
"""How often `POPULATION` latents are drawn, the first time by Algorithm 4, and
the step, of 1000, to which the best are noised for the later rounds."""

KEPT = 8
"""PDFs whose candidates are kept: to refine or polish them otherwise, or to
have them written again, none need be drawn."""


def cbldm_generator(
    pdf: PDFData | Target,
    *,
    count: int = 64,
    seed: int = 0,
    device: str = "auto",
    rmin: float = 1.5,
    rmax: float | None = Solve.rmax,
    weights: str = "small",
    large: str = "large",
) -> list[Candidate]:
    """Draw candidates from the trained models.

    Two of them share the sizes: `weights` for 5 to 256 atoms, `large` for
    more.  The latter reads the PDF first and tells how many atoms there may
    be; where both sizes are possible, both are asked.  The candidates are
    those of the one that fits the PDF, or half of each where both do.  What
    follows is of the former; for large particles see
    `diffpy_cbldm.search.large_model`.

    The PDF is read in units of the bond length that its first peak shows.
    Each latent is decoded to several numbers of atoms, as far as the decoder
    is in doubt, and the best ones to polyhedra, too; each structure is
    stretched by up to 5 % and compared with the PDF, and the best one of
    each latent stays.  In the rounds that follow, the best quarter of all
    latents are noised a little and denoised again: the sampling turns to
    where the PDF is met, and never leaves the model's distribution.

    Parameters
    ----------
    weights : str
        Preset or path, see `diffpy_cbldm.model.weights.load_weights`.
    large : str
        The same for large particles; none are proposed where it is empty.

    Returns
    -------
    list of Candidate
        The `count` that fit best, all different, the best first; every
        other one has a number of atoms that none before it has, as long as
        such fit as well.
    """
    question = Question.of(Target.of(pdf, rmin, rmax))
    target = question.target
    sizes = _sizes(question, seed, device, large) if large else SMALL_ALONE
    few: tuple[Candidate, ...] = ()
    many: tuple[Candidate, ...] = ()
    theirs = math.inf
    if sizes.large:
        many = _drawn_large(question, count, seed, device, large)
    if sizes.small:
        # Where both are asked, each keeps to its own sizes.
        many = tuple(c for c in many if len(c) > MAX_ATOMS)
        theirs = _least_rw(many, target) if many else theirs
        worth = as_good(theirs) if theirs > EXPLAINED else math.inf
        few = _drawn(question, count, seed, device, weights, worth)
    if few and many:
        ours = _least_rw(few, target)
        # One of them explains the PDF, and the other does not.
        if theirs > as_good(ours):
            many = ()
        elif ours > as_good(theirs):
            few = ()
        else:
            many = many[: count // 2]
    return [*many, *few[: count - len(many)]]


def _least_rw(some: Sequence[Candidate], target: Target) -> float:
    """Rw of the best of some candidates, after a fit."""
    found = [candidate.positions for candidate in some[:FITTED]]
    return min(fit.rw for fit in quick_fit(found, target))


class Sizes(NamedTuple):
    """Which models are asked."""

    small: bool
    large: bool


SMALL_ALONE = Sizes(small=True, large=False)

SMALLEST, LARGEST, DOUBT = 130, 800, 0.05
"""Numbers of atoms below which no large particle is looked for, and above
which no small one, as far as this share of latents tells.  Small blocks of
layers are told up to twice as large as they are."""

FITTED = 4
"""Candidates of each model that are fitted where both were asked."""


@functools.lru_cache(maxsize=KEPT)
def _sizes(question: Question, seed: int, device: str, weights: str) -> Sizes:
    """The sizes that a PDF may be of, as the large model reads it."""
    told = _told(question, seed, device, weights)
    atoms = np.array([one.atoms for one in told])
    large = bool((atoms > SMALLEST).mean() > DOUBT)
    return Sizes(not large or bool((atoms < LARGEST).mean() > DOUBT), large)


@functools.lru_cache(maxsize=KEPT)
def _told(
    question: Question, seed: int, device: str, weights: str
) -> tuple[Told, ...]:
    """What the first latents tell, read at the bond of the first peak."""
    target = question.target
    with one_thread():
        model = _model(weights, device)
        return tuple(drawn(model, target, target.bond, SIZED, seed))


@functools.lru_cache(maxsize=KEPT)
def _drawn_large(
    question: Question, count: int, seed: int, device: str, weights: str
) -> tuple[Candidate, ...]:
    """The large candidates of a PDF, drawn once."""
    model = _model(weights, device)
    told = _told(question, seed, device, weights)
    with one_thread():
        found = search_large(model, question.target, seed, told)
        candidates = tuple(found.candidates(count))
    # What follows needs the memory for its own tables.
    del found
    memory.forget(memory.SITES)
    return candidates


@functools.lru_cache(maxsize=KEPT)
def _drawn(
    question: Question,
    count: int,
    seed: int,
    device: str,
    weights: str,
    worth: float,
) -> tuple[Candidate, ...]:
    """The candidates of a PDF, drawn once: they never change.

    worth : as for `_search`.
    """
    model = _model(weights, device)
    # The pieces are small: threads would wait for one another.
    with one_thread():
        pool = _search(model, question.target, seed, worth)
        found = pool.candidates(count)
    # Atoms that recovery lets fall together are no structure, however it
    # fits where data are.
    near = OVERLAP * question.target.bond
    found.sort(key=lambda c: shortest_bond(c.positions) < near)
    return tuple(found)


def forget() -> None:
    """Draw anew for PDFs that were solved before, as timings need it."""
    for kept in (_drawn, _drawn_large, _sizes, _told, ANSWERS):
        kept.cache_clear()


def _search(model: Drawing, target: Target, seed: int, worth: float) -> Pool:
    """Latents of a model and their structures, compared with a PDF.

    worth : Rw above which latents are not noised and surfaces not moved, as
    larger particles fit.
    """
    pool = Pool(target)
    # Round 0 draws from the model; later rounds noise the best latents and
    # denoise them again, which stays in the model's distribution.
    sites = model.settings.network == "sites"
    for k in range(ROUNDS if sites else 1):
        if k > 0 and pool.least > worth:
            break
        if k == 0:
            z = _first_latents(model, target, seed)
        else:
            parents = pool.best_latents(POPULATION // 4)
            start = np.tile(parents, (4, 1, 1, 1))[:POPULATION]
            near = seed + k * 1_000_003
            curve = _read(model, target)
            z = model.renew(curve, model.to_own(start), NOISED_TO, near)
        fresh = pool.add(model.to_numpy(z), model.structures(z, SIZES))
        if sites:
            # Polyhedra take longer to decode: only of promising latents.
            fresh = pool.best_of(fresh, HULLED)
            planes = model.to_own(np.stack([pool.latents[i] for i in fresh]))
            pool.extend(fresh, model.decode_hulls(planes, FACETED))
        pool.learn()
    pool.settle()
    memory.give_back()
    if sites and pool.least <= worth:
        move_surfaces(model.filling, pool, seed)
    return pool


def _first_latents(model: Drawing, target: Target, seed: int) -> Array:
    """Latents by Algorithm 4.

    Where each takes long to recover they are few, and the likeliest ones of
    the PDF come before them, read at several bond lengths.
    """
    if model.settings.network == "sites":
        return model.sample(_read(model, target), POPULATION, seed)
    likely = _likeliest(model, target)
    drawn = LAPLACIANS - len(likely)
    some = model.sample(_read(model, target), drawn, seed, OF_LAPLACIANS)
    return model.to_own(np.concatenate([*likely, model.to_numpy(some)]))


def _likeliest(model: Drawing, target: Target) -> list[np.ndarray]:
    """Means of the conditional prior, where the bond length is in doubt.

    Read at the right one, the prior is the surest.  Readings that are as
    sure err apart from one another: their mean comes first, then the surest
    and the means of the shorter and of the longer half.
    """
    told = [model.prior_of(_read(model, target, s)) for s in STRETCHED]
    means = np.concatenate([model.to_numpy(mean) for mean, _ in told])
    width = [0.5 * float(model.to_numpy(logvar).mean()) for _, logvar in told]
    surest = int(np.argmin(width))
    sure = np.flatnonzero(np.array(width) <= width[surest] + AS_SURE)
    half = (len(sure) + 1) // 2
    chosen = (sure, [surest], sure[:half], sure[-half:])
    return [means[some].mean(0, keepdims=True) for some in chosen]


def _read(model: Drawing, target: Target, stretch: float = 1.0) -> Array:
    """A PDF as the model reads it, in units of a bond length."""
    grid = model.grid() * (target.bond * stretch)
    points = np.interp(grid, *target.curve, left=0.0, right=0.0)
    return model.to_own(points)


@memory.quickly_made(memory.PROPOSALS)
@functools.cache
def _model(weights: str, device: str) -> Drawing:
    from diffpy_cbldm.model.weights import load_sampler

    with one_thread():
        return load_sampler(weights, device)
