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
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from diffpy_cbldm.cluster import Candidate
from diffpy_cbldm.cuts import random_shape
from diffpy_cbldm.debye import debye_pdf
from diffpy_cbldm.errors import CbldmError
from diffpy_cbldm.families import TEMPLATE_OF, load_table
from diffpy_cbldm.histogram import pair_histogram, pdf_from_histogram
from diffpy_cbldm.lattices import place
from diffpy_cbldm.pdfdata import PDFData, check_pdf, regrid
from diffpy_cbldm.quickfit import START, QuickFit, q_grid, quick_fit
from diffpy_cbldm.score import rw_scaled, simplest_first
from diffpy_cbldm.screening import load_set, member, rough_rw, stretched
from diffpy_cbldm.settings import R_MAX, R_STEP, Refinement, Sampling

if TYPE_CHECKING:
    from diffpy_cbldm.model.cbldm import CbLDM, Proposal

Generator = Callable[..., list[Candidate]]

GROUP = "diffpy_cbldm.generators"

SCAN = np.array(
    [
        *np.linspace(-0.05, -0.025, 6),
        *np.linspace(-0.02, 0.02, 21),
        *np.linspace(0.025, 0.05, 6),
    ]
)
"""Relative stretches about the first peak that a cluster is tried at."""

WIDTHS = (0.003, 0.006, 0.012)
"""Uiso values of the screening, A^2: cold to warm."""

DAMPINGS = (0.0, 0.03, 0.06, 0.09)
"""Qdamp values of the screening, 1/A, where the header gives none."""

LEARNED = 12
"""Structures whose fits tell widths, damping and delta2 of the data."""

AGAIN = 2000
"""Structures that are compared again after that."""

FIT_STEPS = 6
"""Steps of the fits by which the candidates are ranked."""

POPULATION = 64
"""Latents that are drawn at a time."""

HULLED, FACETED = 16, 6
"""Latents of each round that are decoded to polyhedra as well, and numbers
of atoms for each set of facets."""

MOVES, PARENTS, CHILDREN = 10, 24, 6
"""How often the surfaces of the best structures are moved, of how many, and
how many ways each."""

MOVED, NARROWER = 0.12, 0.85
"""By how much, at first, in bond lengths (standard deviation), and its ratio
from each time to the next."""

FACET_STEPS, FACET_PARENTS, FACET_CHILDREN = 8, 6, 64
"""How often, at most, facets are moved by whole layers at the end (and after
every other of these moves), of how many polyhedra, and how many ways each."""

SHAPE_PARENTS, SHAPE_CHILDREN = 8, 24
"""How many structures are strained and relaxed, and how many ways each."""

STRAINED, FLOOR = 1.1, 0.002
"""A structure stays without strain and relaxation where its Rw is below so
many times that with them, plus what quick fits are uncertain."""

CHOSEN = 400
"""Clusters of the set that are drawn again and compared exactly."""

SPREAD = (0.0, 0.015, 0.03, 0.045, 0.06, 0.075, 0.09, 0.105)
"""Qdamp values of that comparison, 1/A, where the header gives none."""

STEP, BINS = 0.01, 2048
"""Bins of the pair histograms, in bond lengths."""


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

    built_in = _built_in()
    if name in built_in:
        return built_in[name]
    found = {e.name: e for e in entrypoints.get_group_all(GROUP)}
    if name not in found:
        known = sorted({*built_in, *found})
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


def _built_in() -> dict[str, Generator]:
    return {
        "cbldm": cbldm_generator,
        "library": library_generator,
        "screen": screen_generator,
    }


def _ask(name: str, pdf: PDFData, count: int, **settings) -> list[Candidate]:
    """What a generator proposes, checked where it is not one of our own."""
    make = find_generator(name)
    if name in _built_in():
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
        The `count` that fit best, all different, best first.
    """
    from diffpy_cbldm.recover import structures

    model = _model(weights, _device(device))
    bond = bond_estimate(pdf)
    grid, g = model.grid(), _curve(pdf, rmax)
    points = np.interp(grid * bond, *g, left=0.0, right=0.0)
    curve = torch.as_tensor(points, dtype=torch.float32)
    curve = curve.to(model.latent_scale.device)
    pool = _Pool(pdf, bond, rmin, rmax)
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
        _move_surfaces(model, pool, seed)
    return pool.candidates(count)


def _type_of(p: Proposal) -> str:
    """What the library calls it, where it is one of the ideal clusters."""
    if not len(p.sites):
        return p.structure_type
    template = TEMPLATE_OF[p.structure_type]
    return load_table().known_type(template, p.sites) or p.structure_type


def _name_of(p: Proposal) -> tuple:
    """The same for structures that differ by place or strain alone."""
    if not len(p.sites):
        return p.structure_type, p.positions.tobytes()
    template = TEMPLATE_OF[p.structure_type]
    xyz = place(template, load_table().sites[template][p.sites].astype(float))
    whole = np.round(100 * xyz).astype(int)
    return template, whole[np.lexsort(whole.T)].tobytes()


def _move_surfaces(model: CbLDM, pool: _Pool, seed: int) -> None:
    """Try surfaces near those of the best structures, again and again.

    The decoder knows a surface to a few tenths of a bond length: so far it
    is moved, as a whole, to a side, or to an ellipsoid.
    """
    rng = np.random.default_rng([seed, 1])
    tried: set[tuple] = set()
    for step in range(MOVES):
        if step % 3 == 0:
            _try_shapes(model, pool, rng)
        spread = MOVED * NARROWER**step * _MOVE_WIDTHS
        for key in pool.order()[:PARENTS]:
            entry = pool.entries[key]
            moves = rng.normal(0, 1, (CHILDREN, len(spread))) * spread
            row = [
                child
                for move in moves
                for child in model.moved(entry.proposal, move, 3)
            ]
            pool.queue(entry.latent, row)
        pool.compare()
        if step % 2:
            _move_facets(model, pool, tried, rng)
    for _ in range(FACET_STEPS):
        before = pool.order()[0]
        _move_facets(model, pool, tried, rng)
        if pool.order()[0] == before:
            break


def _try_shapes(model: CbLDM, pool: _Pool, rng: np.random.Generator) -> None:
    """Strain and relax the best structures, each in random ways.

    The decoder hardly tells these; where one of them fits better, the moves
    of surfaces go on from it.
    """
    for key in pool.order()[:SHAPE_PARENTS]:
        entry = pool.entries[key]
        drawn = [random_shape(rng) for _ in range(SHAPE_CHILDREN)]
        row = [
            model.reshaped(
                entry.proposal, np.where(shape, shape, entry.proposal.shape)
            )
            for shape in drawn
        ]
        pool.queue(entry.latent, row)
    pool.compare()


def _move_facets(
    model: CbLDM,
    pool: _Pool,
    tried: set[tuple],
    rng: np.random.Generator,
) -> None:
    """Move facets of the best polyhedra that were not `tried` before."""
    parents = 0
    for key in pool.order():
        entry = pool.entries[key]
        bounds = model.facets(entry.proposal)
        if bounds is None:
            continue
        name = (entry.proposal.structure_type, bounds.sites.tobytes())
        if name in tried:
            continue
        tried.add(name)
        found = model.moved_facets(entry.proposal, bounds, FACET_CHILDREN, rng)
        pool.queue(entry.latent, found)
        parents += 1
        if parents == FACET_PARENTS:
            break
    pool.compare()


# Strain and relaxation (the last three) change by less than surfaces move.
_MOVE_WIDTHS = np.array([1.0] * 10 + [0.02, 0.02, 0.1])


@dataclasses.dataclass(frozen=True)
class Motion:
    """Widths and dampings at which clusters are compared with a PDF.

    Attributes
    ----------
    uiso : tuple of float
        A^2; each is tried.
    qdamp : tuple of float
        1/A; each is tried where the header gives none.
    delta2 : float
        Correlated motion, A^2.
    fine : bool
        Whether the values lie close enough for parabolas between them.
    """

    uiso: tuple[float, ...] = WIDTHS
    qdamp: tuple[float, ...] = DAMPINGS
    delta2: float = 0.0
    fine: bool = False


@dataclasses.dataclass
class _Entry:
    """A structure of the pool."""

    proposal: Proposal
    rw: float
    bond: float
    latent: int | None


class _Pool:
    """Latents and their structures, compared with a PDF."""

    def __init__(self, pdf: PDFData, bond: float, rmin: float, rmax: float):
        self.pdf, self.bond, self.range = pdf, bond, (rmin, rmax)
        self.motion = Motion()
        self.start = dict(START)
        self.latents: list[Tensor] = []
        self.entries: dict[tuple, _Entry] = {}
        self.fresh: list[tuple] = []
        self.rows: list[list[tuple]] = []  # the structures of each latent

    def add(self, z: Tensor, found: list[list[Proposal]]) -> list[int]:
        """Take latents and the structures of each; their numbers."""
        start = len(self.latents)
        self.latents += list(z)
        self.rows += [[] for _ in z]
        numbers = list(range(start, len(self.latents)))
        self.extend(numbers, found)
        return numbers

    def extend(
        self, latents: Sequence[int], found: list[list[Proposal]]
    ) -> None:
        """More structures of some latents, compared with the PDF."""
        for latent, row in zip(latents, found):
            self.queue(latent, row)
        self.compare()

    def queue(self, latent: int | None, found: list[Proposal]) -> None:
        """Structures of a latent, or of none, that `compare` looks at."""
        for p in found:
            key = (p.structure_type, p.positions.tobytes())
            if key not in self.entries:
                self.fresh.append(key)
                self.entries[key] = _Entry(p, math.inf, self.bond, latent)
            if latent is not None:
                self.rows[latent].append(key)

    def compare(self) -> None:
        """Compare what was queued with the PDF."""
        self._compare(self.fresh)
        self.fresh = []

    def learn(self, qdamp: tuple[float, ...] = ()) -> None:
        """Look at the best again with what they tell of how atoms move.

        Dampings that are given stay in place of what they tell of it.
        """
        found = self._learned()
        self.motion = dataclasses.replace(found, qdamp=qdamp or found.qdamp)
        self._compare(self.order()[:AGAIN])

    def _compare(self, keys: list[tuple]) -> None:
        """Screen some structures at the present `motion`."""
        found = [self.entries[k] for k in keys]
        rw, bonds = _screened(
            [e.proposal.positions for e in found],
            self.pdf,
            self.bond,
            *self.range,
            self.motion,
        )
        for entry, value, bond in zip(found, rw, bonds):
            entry.rw, entry.bond = value, bond

    def _learned(self) -> Motion:
        """Bond length and motion from fits of the best structures."""
        keys = self.order()[:LEARNED]
        fits = self._fitted(keys)
        u, qdamp, delta2 = (
            float(np.median([getattr(f, name) for f in fits]))
            for name in ("uiso", "qdamp", "delta2")
        )
        self.start.update(uiso=u, qdamp=qdamp, delta2=delta2)
        self.bond = float(
            np.median(
                [self.entries[k].bond * f.stretch for k, f in zip(keys, fits)]
            )
        )
        near = {max(0.0, qdamp + k) for k in (-0.02, -0.01, 0.0, 0.01, 0.02)}
        widths = (0.9 * u, u, 1.1 * u)
        return Motion(widths, tuple(sorted(near)), delta2, fine=True)

    def best(self, count: int) -> list[tuple[Proposal, float]]:
        """The structures that fit best, each with its bond length.

        Those that look best at fixed widths, and the best one of each
        latent, get a fit of their own before they are compared.
        """
        firsts = [
            min(row, key=lambda k: self.entries[k].rw) for row in self.rows
        ]
        # As many for a small count: the first ones shall be the same.
        most = 2 * max(count, POPULATION)
        keys = dict.fromkeys([*self.order()[:most], *firsts])
        chosen = [self.entries[k] for k in keys]
        fits = self._fitted(list(keys))
        ranked = simplest_first(
            [f.rw for f in fits], [e.proposal.positions for e in chosen]
        )
        found: dict[tuple, int] = {}
        for i in ranked:
            name = _name_of(chosen[i].proposal)
            first = found.setdefault(name, i)
            strained = len(chosen[first].proposal.sites) and (
                chosen[first].proposal.shape.any()
            )
            if strained and not chosen[i].proposal.shape.any():
                # Three parameters less, if they buy little.
                if fits[i].rw < STRAINED * fits[first].rw + FLOOR:
                    found[name] = i
        return [
            (chosen[i].proposal, chosen[i].bond * fits[i].stretch)
            for i in list(found.values())[:count]
        ]

    def candidates(self, count: int) -> list[Candidate]:
        """The structures that fit best."""
        return [
            Candidate(
                elements=(self.pdf.element,) * len(p.positions),
                positions=p.positions * bond,
                structure_type=_type_of(p),
            )
            for p, bond in self.best(count)
        ]

    def order(self) -> list[tuple]:
        """All structures, the best first."""
        return sorted(self.entries, key=lambda k: self.entries[k].rw)

    def _fitted(self, keys: list[tuple]) -> list[QuickFit]:
        """Quick fits of some structures at their bond lengths."""
        found = [self.entries[k] for k in keys]
        return quick_fit(
            [e.proposal.positions * e.bond for e in found],
            self.pdf.r,
            self.pdf.g,
            qmin=self.pdf.qmin,
            qmax=self.pdf.qmax,
            qdamp=self.pdf.qdamp,
            qbroad=self.pdf.qbroad,
            rmin=self.range[0],
            rmax=self.range[1],
            start=self.start,
            scan=(0.0,),
            steps=FIT_STEPS,
        )

    def best_of(self, latents: Sequence[int], count: int) -> list[int]:
        """Those of some latents that have the best structures."""
        return sorted(
            latents,
            key=lambda i: min(self.entries[k].rw for k in self.rows[i]),
        )[:count]

    def best_latents(self, count: int) -> Tensor:
        """(n, 1, 16, 16), n at most count: latents of the best structures."""
        found = (self.entries[k].latent for k in self.order())
        latents = dict.fromkeys(i for i in found if i is not None)
        return torch.stack([self.latents[i] for i in list(latents)[:count]])


def _screened(
    structures: Sequence[np.ndarray],
    pdf: PDFData,
    bond: float,
    rmin: float,
    rmax: float,
    motion: Motion,
) -> tuple[np.ndarray, np.ndarray]:
    """`screen` for positions in bond lengths, in parts of similar size."""
    rw, bonds = np.zeros(len(structures)), np.zeros(len(structures))
    order = np.argsort([len(s) for s in structures], kind="stable")
    for start in range(0, len(order), 256):
        part = order[start : start + 256]
        xyz, lengths = _pad([structures[k] for k in part])
        hist = pair_histogram(xyz, lengths, step=STEP, bins=BINS)
        rw[part], bonds[part] = screen(
            hist, lengths, pdf, bond, rmin, rmax, motion
        )
    return rw, bonds


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
        All different, the best quick fit first.

    Raises
    ------
    CbldmError
        The PDF shows no bond, or the packaged set is not this NumPy's.
    """
    from diffpy_cbldm.model.cbldm import Proposal

    bond = bond_estimate(pdf)
    r, g = _curve(pdf, rmax)
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
    pool = _Pool(pdf, bond, rmin, rmax)
    pool.queue(None, found)
    pool.compare()
    # Larger clusters with more damping come close to the right ones: what
    # the first few tell of it would hide those.
    pool.learn(SPREAD)
    return pool.candidates(count)


def bond_estimate(pdf: PDFData) -> float:
    """Bond length from the first peak of G(r), angstrom.

    The first maximum between 1.8 and 5 A that reaches 40 % of the highest
    value below 8 A: ripples are lower, first shells are not.

    Raises
    ------
    CbldmError
        There is no such peak.
    """
    g, measured = regrid(pdf)
    r = np.arange(len(g)) * R_STEP
    inside = measured & (r > 1.8) & (r < 8.0)
    top = g[inside].max() if inside.any() else 0.0
    peak = (g[1:-1] > g[:-2]) & (g[1:-1] >= g[2:]) & (g[1:-1] > 0.4 * top)
    places = 1 + np.flatnonzero(peak & inside[1:-1] & (r[1:-1] < 5.0))
    if top <= 0 or len(places) == 0:
        raise CbldmError(
            f"{pdf.source or 'the PDF'} has no peak between 1.8 and 5 A; "
            "expected the bond of a metal there: check that r is in "
            "angstrom and that the data are a G(r)."
        )
    k = int(places[0])
    # Noise can put a false maximum on the flank: climb to the real one.
    k += int(np.argmax(g[k : k + 30]))
    before, here, after = g[k - 1], g[k], g[k + 1]
    bend = before - 2 * here + after
    shift = 0.5 * (before - after) / bend if bend < 0 else 0.0
    return float(r[k] + shift * R_STEP)


def screen(
    hist: Tensor,
    lengths: Tensor,
    pdf: PDFData,
    bond: float,
    rmin: float,
    rmax: float,
    motion: Motion = Motion(),
) -> tuple[np.ndarray, np.ndarray]:
    """Compare many clusters with a PDF at all stretches.

    A cluster stretched by z has F(Q; z) = F_1(zQ) / z, so that in place of
    the cluster the measured curve is stretched, the other way: one
    transform of each cluster serves all stretches, and the comparison is a
    product of matrices.  (The Q range stretches along, by up to 5 %.)

    Parameters
    ----------
    hist : (C, bins) tensor
        From `pair_histogram` in bond lengths.
    lengths : (C,) tensor
        Numbers of atoms.
    pdf : PDFData
        The measured curve.
    bond : float, angstrom
        About which the stretches lie.
    rmin, rmax : float, angstrom
        The compared range.
    motion : Motion
        Widths, dampings and delta2.

    Returns
    -------
    rw : (C,) array
        The least over stretches, widths and dampings, the scale fitted.
    bonds : (C,) array, angstrom
        The bond length that gives it.
    """
    r, g = _curve(pdf, rmax)
    dampings = motion.qdamp if pdf.qdamp is None else (pdf.qdamp,)
    points = int(min(rmax, r[-1]) / (bond * (1 + SCAN[0])) / STEP) + 1
    points = min(points, BINS)
    x = np.arange(points) * STEP
    y = stretched(x, r, g, bond=bond, stretches=SCAN, rmin=rmin)
    data = torch.as_tensor(y)
    mask = (data != 0).to(data)
    total = data.square().sum(0).repeat(len(dampings))
    # Damping falls on the curves alike: it is put on the data's side.
    q = torch.tensor(dampings, dtype=data.dtype)
    fall = torch.exp(
        -0.5 * (q * (torch.as_tensor(x).to(q)[:, None] * bond)) ** 2
    )
    data = (fall[:, :, None] * data[:, None]).flatten(1)
    mask = (fall.square()[:, :, None] * mask[:, None]).flatten(1)
    squares, found = [], []
    for width in motion.uiso:
        # The native Q grid: its limits are off by up to one step, which rods
        # and plates feel at Qmin, and longer pairs do not count.
        native, reach = q_grid(pdf.qmin, pdf.qmax, float(r[-1]), width)
        half = 0.5 * (native[1] - native[0])
        model = pdf_from_histogram(
            hist[:, : round(reach / bond / STEP)],
            lengths,
            step=STEP,
            u_iso=width / bond**2,
            qmin=max(native[0] - half, 0.0) * bond,
            qmax=(native[-1] + half) * bond,
            points=points,
            delta2=motion.delta2 / bond**2,
        )
        cross = (model @ data).clamp_min(0)
        power = model.square() @ mask
        miss = 1 - cross**2 / (power * total).clamp_min(1e-20)
        # A parabola between stretches: in steps of 0.2 % peaks at 30 A would
        # miss one another.
        lowest, stretch = _lowest(
            miss.reshape(len(hist) * len(dampings), -1), SCAN
        )
        squares.append(lowest.reshape(len(hist), -1))
        found.append(stretch.reshape(len(hist), -1))
    square, stretch = torch.stack(squares, 2), torch.stack(found, 2)
    best = square.flatten(1).argmin(1, keepdim=True)
    moved = stretch.flatten(1).gather(1, best)[:, 0].numpy()
    if motion.fine:
        rows = square.reshape(-1, len(motion.uiso))
        rows, _ = _lowest(rows, np.log(motion.uiso))
        square, _ = _lowest(rows.reshape(len(hist), -1), dampings)
    else:
        square = square.flatten(1).min(1).values
    return square.sqrt().numpy(), bond * (1 + moved)


def _lowest(
    values: Tensor, places: Sequence[float] | np.ndarray
) -> tuple[Tensor, Tensor]:
    """Least values of rows, by a parabola, and where they are.

    Parameters
    ----------
    values : (C, K) tensor
    places : (K,) array
        Rising.  With fewer than three no parabola is laid.

    Returns
    -------
    lowest : (C,) tensor, not below zero
    place : (C,) tensor
    """
    x = torch.as_tensor(np.asarray(places)).to(values)
    least, k = values.min(1)
    if len(x) < 3:
        return least.clamp_min(0), x[k]
    k = k.clamp(1, len(x) - 2)
    left, here, right = (
        values.gather(1, (k + i)[:, None])[:, 0] for i in (-1, 0, 1)
    )
    h1, h2 = x[k] - x[k - 1], x[k + 1] - x[k]
    down, up = (here - left) / h1, (right - here) / h2
    bend = (up - down) / (h1 + h2)
    slope = (down * h2 + up * h1) / (h1 + h2)
    safe = bend.clamp_min(1e-12)
    step = torch.minimum(torch.maximum(-0.5 * slope / safe, -h1), h2)
    step = torch.where(bend > 1e-9, step, torch.zeros_like(step))
    lowest = torch.minimum(here + slope * step + bend * step**2, least)
    return lowest.clamp_min(0), x[k] + step


def rw_raw(
    positions: Sequence[np.ndarray],
    pdf: PDFData,
    rmin: float = 1.5,
    rmax: float = R_MAX,
) -> np.ndarray:
    """Rw of clusters with only the scale fitted, Uiso at its default.

    Parameters
    ----------
    positions : sequence of (n, 3) arrays, angstrom
    pdf : PDFData
    rmin, rmax : float, angstrom
        The compared range, or up to the end of the data.

    Returns
    -------
    (C,) array
    """
    if not positions:
        return np.zeros(0)
    start = Refinement()
    g, measured = regrid(pdf)
    r = np.arange(len(g)) * R_STEP
    inside = measured & (r >= rmin - 1e-6) & (r <= rmax + 1e-6)
    xyz, lengths = _pad(positions)
    found = debye_pdf(
        xyz,
        lengths,
        u_iso=start.uiso,
        qmin=pdf.qmin,
        qmax=pdf.qmax,
        qdamp=start.qdamp if pdf.qdamp is None else pdf.qdamp,
        qbroad=pdf.qbroad,
        rmax=R_MAX,
        rstep=R_STEP,
        precision=1e-3,
    ).numpy()
    return rw_scaled(g[inside], found[:, inside])


@functools.cache
def _library() -> tuple[Tensor, Tensor]:
    """Pair histograms of all ideal clusters, in bond lengths."""
    positions, lengths = load_table().padded()
    n = torch.as_tensor(lengths)
    hist = pair_histogram(torch.as_tensor(positions), n, step=STEP, bins=BINS)
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


def _curve(pdf: PDFData, rmax: float) -> tuple[np.ndarray, np.ndarray]:
    """r and G of the measured points up to `rmax` on the method's grid."""
    g, measured = regrid(pdf)
    r = np.arange(len(g)) * R_STEP
    keep = measured & (r <= rmax + 1e-6)
    return r[keep], g[keep]


def _pad(structures: Sequence[np.ndarray]) -> tuple[Tensor, Tensor]:
    """Clusters of different sizes as one float32 tensor and lengths."""
    lengths = torch.tensor([len(s) for s in structures])
    xyz = torch.zeros(len(structures), int(lengths.max()), 3)
    for row, s in zip(xyz, structures):
        row[: len(s)] = torch.tensor(np.asarray(s), dtype=torch.float32)
    return xyz, lengths
