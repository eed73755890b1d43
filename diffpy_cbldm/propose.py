"""From a measured PDF to ranked candidates, by registered generators.

A generator is a callable ``generator(pdf, *, count, seed, device, rmin,
rmax) -> list[Candidate]`` under the entry-point group
``diffpy_cbldm.generators``.  Three are built in: `cbldm_generator`, the
trained model, `library_generator`, mining of all ideal clusters, and
`screen_generator`, screening of many random ones.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from diffpy_cbldm.cluster import Candidate
from diffpy_cbldm.errors import CbldmError
from diffpy_cbldm.families import TEMPLATE_OF, load_table
from diffpy_cbldm.histogram import pair_histogram
from diffpy_cbldm.matching import (
    BINS,
    ORDER,
    SCAN,
    STEP,
    Motion,
    bond_estimate,
    curve_of,
    rw_raw,
    screen,
)
from diffpy_cbldm.pdfdata import PDFData, check_pdf
from diffpy_cbldm.pool import POPULATION, Pool
from diffpy_cbldm.screening import load_set, member, rough_rw
from diffpy_cbldm.settings import R_MAX, Sampling
from diffpy_cbldm.surfaces import move_surfaces

Generator = Callable[..., list[Candidate]]

GROUP = "diffpy_cbldm.generators"

HULLED, FACETED = 16, 6
"""Latents of each round that are decoded to polyhedra as well, and numbers
of atoms for each set of facets."""

CHOSEN = 400
"""Clusters of the set that are drawn again and compared exactly."""

SPREAD = (0.0, 0.015, 0.03, 0.045, 0.06, 0.075, 0.09, 0.105)
"""Qdamp values of that comparison, 1/A, where the header gives none."""


def generator_names(generators: str | Sequence[str]) -> list[str]:
    """The names in a list, or in a text with commas between them."""
    if isinstance(generators, str):
        return [name.strip() for name in generators.split(",")]
    return list(generators)


def find_generator(name: str) -> Generator:
    """The registered generator of a name.

    Raises
    ------
    CbldmError
        None is registered under this name, or it cannot be loaded.
    """
    import entrypoints

    own = built_in()
    if name in own:
        return own[name]
    found = {e.name: e for e in entrypoints.get_group_all(GROUP)}
    if name not in found:
        known = sorted({*own, *found})
        raise CbldmError(
            f"there is no generator {name!r}; expected one of "
            f"{', '.join(known)}: install the package that provides it."
        )
    try:
        return found[name].load()
    except Exception as error:  # whatever a module of others raises
        raise CbldmError(
            f"the generator {name!r} cannot be loaded "
            f"({type(error).__name__}: {error}); expected "
            f"{found[name].module_name} to be importable: install the "
            f"package that provides it again."
        ) from error


def built_in() -> dict[str, Generator]:
    """Our own generators; their candidates have the PDF's bond length."""
    return {
        "cbldm": cbldm_generator,
        "library": library_generator,
        "screen": screen_generator,
    }


def _ask(name: str, pdf: PDFData, count: int, **settings) -> list[Candidate]:
    """What a generator proposes, checked where it is not one of our own."""
    make = find_generator(name)
    if name in built_in():
        return make(pdf, count=count, **settings)
    try:
        drawn = list(make(pdf, count=count, **settings))[:count]
    except CbldmError as error:
        raise CbldmError(f"the generator {name!r}: {error}") from error
    except Exception as error:  # whatever the code of others raises
        raise CbldmError(
            f"the generator {name!r} failed ({type(error).__name__}: "
            f"{error}); it is not part of cbldm: tell its authors, or leave "
            f"it out of --generators."
        ) from error
    for candidate in drawn:
        if not isinstance(candidate, Candidate):
            raise CbldmError(
                f"the generator {name!r} proposed an object of the type "
                f"{type(candidate).__name__}; expected Candidate: tell "
                f"its authors, or leave it out of --generators."
            )
        if set(candidate.elements) != {pdf.element}:
            raise CbldmError(
                f"the generator {name!r} proposed {candidate.composition}; "
                f"expected {pdf.element} alone: tell its authors, or leave it "
                f"out of --generators."
            )
    return drawn


def propose(
    pdf: PDFData,
    *,
    count: int = 64,
    seed: int = 0,
    generators: str | Sequence[str] = ("cbldm",),
    device: str = "auto",
    rmin: float = 1.5,
    rmax: float = R_MAX,
) -> list[Candidate]:
    """Propose structures for a measured PDF.

    Parameters
    ----------
    pdf : PDFData
        The data of a particle of one element.
    count : int
        Candidates from each generator, at most.
    seed : int
        Seed of all random choices.
    generators : sequence of str
        Names of registered generators; one text with commas does as well.
    device : {"auto", "cpu", "cuda"}
        Where models run.
    rmin, rmax : float, angstrom
        The range of r on which candidates are compared.

    Returns
    -------
    list of Candidate
        By `rw_raw`: Rw with only the scale fitted, Uiso at its default.

    Raises
    ------
    CbldmError
        No such generator, one that fails, or a PDF without its element.
    """
    check_pdf(pdf)
    if count < 1:
        raise CbldmError(f"count is {count}; expected 1 or more.")
    found: list[Candidate] = []
    for name in generator_names(generators):
        for candidate in _ask(
            name, pdf, count, seed=seed, device=device, rmin=rmin, rmax=rmax
        ):
            found.append(dataclasses.replace(candidate, generator=name))
    raw = rw_raw([c.positions for c in found], pdf, rmin, rmax)
    return [
        dataclasses.replace(found[i], rw_raw=float(raw[i]))
        for i in np.argsort(raw, kind="stable")
    ]


def cbldm_generator(
    pdf: PDFData,
    *,
    count: int = 64,
    seed: int = 0,
    device: str = "auto",
    rmin: float = 1.5,
    rmax: float = R_MAX,
    weights: str = "small",
    sampling: Sampling | None = None,
    sizes: int = 24,
    rounds: int = 2,
    step: int = 400,
) -> list[Candidate]:
    """Draw candidates from the trained model.

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
        Preset or path, see `diffpy_cbldm.model.cbldm.load_weights`.
    sampling : Sampling, optional
        Sampler, network calls, T1 and T2 of Algorithm 4.
    sizes : int
        Numbers of atoms tried for each latent, at most.
    rounds : int
        How often `POPULATION` latents are drawn; the first time by
        Algorithm 4.
    step : int
        To which latents are noised in later rounds, of 1000.

    Returns
    -------
    list of Candidate
        The `count` that fit best, all different, the best first; every
        other one has a number of atoms that none before it has, as long as
        such fit as well.
    """
    from diffpy_cbldm.recover import structures

    model = _model(weights, _device(device))
    bond = bond_estimate(pdf)
    grid, g = model.grid(), curve_of(pdf, rmax)
    points = np.interp(grid * bond, *g, left=0.0, right=0.0)
    curve = torch.as_tensor(points, dtype=torch.float32)
    curve = curve.to(model.latent_scale.device)
    pool = Pool(pdf, bond, rmin, rmax)
    for k in range(rounds):
        if k == 0:
            z = model.sample(curve, POPULATION, seed, sampling)
        else:
            parents = pool.best_latents(POPULATION // 4)
            z = parents.repeat(4, 1, 1, 1)[:POPULATION]
            z = model.renew(curve, z, step, seed + k * 1_000_003, sampling)
        fresh = pool.add(z, structures(model, z, sizes))
        if model.settings.network == "sites":
            fresh = pool.best_of(fresh, HULLED)
            planes = torch.stack([pool.latents[i] for i in fresh])
            pool.extend(fresh, model.decode_hulls(planes, FACETED))
        pool.learn()
    if model.settings.network == "sites":
        move_surfaces(model, pool, seed)
    return pool.candidates(count)


def library_generator(
    pdf: PDFData,
    *,
    count: int = 64,
    seed: int = 0,
    device: str = "auto",
    rmin: float = 1.5,
    rmax: float = R_MAX,
    exclude: Sequence[int] = (),
) -> list[Candidate]:
    """Mine all ideal clusters: every type, every size, stretch fitted.

    Parameters
    ----------
    exclude : sequence of int
        Places in the table of geometries that are left out.
    """
    hist, lengths = _library()
    table = load_table()
    bond = bond_estimate(pdf)
    rw, bonds = screen(hist, lengths, pdf, bond, rmin, rmax)
    rw[list(exclude)] = np.inf
    best = [i for i in np.argsort(rw)[:count] if np.isfinite(rw[i])]
    return [
        Candidate(
            elements=(pdf.element,) * table.geometries[i].n_atoms,
            positions=table.positions(i) * bonds[i],
            structure_type=table.geometries[i].structure_type,
        )
        for i in best
    ]


def library_rw(pdf: PDFData, rmin: float, rmax: float) -> float:
    """Rw of the ideal cluster nearest to a PDF, only the scale fitted."""
    hist, lengths = _library()
    rw, _ = screen(hist, lengths, pdf, bond_estimate(pdf), rmin, rmax)
    return float(rw.min())


def screen_generator(
    pdf: PDFData,
    *,
    count: int = 64,
    seed: int = 0,
    device: str = "auto",
    rmin: float = 1.5,
    rmax: float = R_MAX,
) -> list[Candidate]:
    """Screen a set of random clusters, and fit the best of them.

    The set is the largest one in the cache folder, or the one that comes
    with the package, see `diffpy_cbldm.screening`; none is made here.  Its
    clusters are random cuts that no library holds.  The best `CHOSEN` of a
    rough comparison are compared again as the model's structures are.

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
        All different, the best quick fit first; numbers of atoms vary as in
        `cbldm_generator`.

    Raises
    ------
    CbldmError
        The PDF shows no bond, or the packaged set is not this NumPy's.
    """
    from diffpy_cbldm.model.cbldm import Proposal

    bond = bond_estimate(pdf)
    r, g = curve_of(pdf, rmax)
    start = Motion()
    rw = rough_rw(
        load_set(),
        r,
        g,
        bond=bond,
        stretches=SCAN,
        uiso=start.uiso,
        qdamp=start.qdamp if pdf.qdamp is None else (pdf.qdamp,),
        qmin=pdf.qmin,
        qmax=pdf.qmax,
        rmin=rmin,
    )
    found = []
    for number in np.argsort(rw, kind="stable")[: max(CHOSEN, 2 * count)]:
        kind, sites = member(int(number))
        xyz = load_table().sites[TEMPLATE_OF[kind]][sites].astype(float)
        found.append(Proposal(kind, xyz - xyz.mean(0), sites))
    pool = Pool(pdf, bond, rmin, rmax)
    pool.queue(None, found)
    pool.compare()
    # Larger clusters with more damping come close to the right ones: what
    # the first few tell of it would hide those.
    pool.learn(SPREAD)
    return pool.candidates(count)


@functools.cache
def _library() -> tuple[Tensor, Tensor]:
    """Pair histograms of all ideal clusters, in bond lengths."""
    positions, lengths = load_table().padded()
    n = torch.as_tensor(lengths)
    hist = pair_histogram(
        torch.as_tensor(positions), n, step=STEP, bins=BINS, order=ORDER
    )
    return hist, n


@functools.cache
def _model(weights: str, device: str):
    from diffpy_cbldm.model.cbldm import load_weights

    return load_weights(weights, device)


def _device(name: str) -> str:
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise CbldmError(
            "device is 'cuda', but no CUDA device is there: pass "
            "--device cpu."
        )
    return name
