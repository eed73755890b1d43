"""The structures of a search, compared with a PDF, and the best of them."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Sequence

import numpy as np

from diffpy_cbldm.cluster import Candidate
from diffpy_cbldm.crystals.alike import simplest_first
from diffpy_cbldm.crystals.filling import Proposal
from diffpy_cbldm.crystals.lattices import place
from diffpy_cbldm.crystals.table import TEMPLATE_OF, load_table
from diffpy_cbldm.debye.histogram import SitePairs
from diffpy_cbldm.fitting.quickfit import START, QuickFit, quick_fit
from diffpy_cbldm.fitting.target import Target
from diffpy_cbldm.memory import PROPOSALS, give_back, quickly_made
from diffpy_cbldm.search.matching import (
    BATCH,
    HIST_BINS,
    HIST_ORDER,
    HIST_STEP,
    Motion,
    histograms,
    screen,
)
from diffpy_cbldm.threads import side_by_side

LEARNED = 12
"""Structures whose fits tell widths, damping and delta2 of the data."""

AGAIN = 2000
"""Structures that are compared again after that."""

FIT_STEPS = 6
"""Steps of the fits by which the candidates are ranked."""

POPULATION = 64
"""Latents that are drawn at a time."""

STRAINED, FLOOR = 1.1, 0.002
"""A structure stays without strain and relaxation where its Rw is below so
many times that with them, plus what quick fits are uncertain."""


def as_good(rw: float) -> float:
    """Rw below which structures fit as well as one of that Rw.

    Of quick fits of simulated data; what noise adds is more.
    """
    return 1.1 * rw + 0.005


@dataclasses.dataclass
class Entry:
    """A structure of the pool."""

    proposal: Proposal
    rw: float
    bond: float
    latent: int | None
    histogram: np.ndarray | None = None


class Pool:
    """Latents and their structures, compared with a PDF.

    Parameters
    ----------
    target : Target
        Its bond length is that about which the stretches lie, at first.
    """

    def __init__(self, target: Target):
        self.target, self.bond = target, target.bond
        self.motion = Motion()
        self.start = dict(START)
        self.latents: list[np.ndarray] = []
        self.entries: dict[tuple, Entry] = {}
        self.fresh: list[tuple] = []
        self.rows: list[list[tuple]] = []  # the structures of each latent
        self._learning = True

    def add(self, z: np.ndarray, found: list[list[Proposal]]) -> list[int]:
        """Take latents (n, 1, 16, 16) and the structures of each.

        Their numbers are returned.
        """
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
            key = p.key
            if key not in self.entries:
                self.fresh.append(key)
                self.entries[key] = Entry(p, math.inf, self.bond, latent)
            if latent is not None:
                self.rows[latent].append(key)

    def compare(self) -> None:
        """Compare what was queued with the PDF."""
        self._compare(self.fresh)
        self.fresh = []

    def settle(self) -> None:
        """Free what `learn` would need again: it was called the last time."""
        self._learning = False
        for entry in self.entries.values():
            entry.histogram = None

    def learn(self, qdamp: tuple[float, ...] = ()) -> None:
        """Look at the best again with what they tell of how atoms move.

        Dampings that are given stay in place of what they tell of it.
        """
        # Only fits tell widths and damping; the screening then uses them for
        # all, since wrong widths favour clusters of wrong size.
        found = self._learned()
        self.motion = dataclasses.replace(found, qdamp=qdamp or found.qdamp)
        self._compare(self.order()[:AGAIN])
        give_back()

    def _compare(self, keys: list[tuple]) -> None:
        """Screen some structures at the present `motion`."""
        some = [self.entries[key] for key in keys]
        # Parts of one size: several are worked on at once.
        count = max(1, math.ceil(len(some) / BATCH))
        size = max(1, math.ceil(len(some) / count))
        parts = [some[k : k + size] for k in range(0, len(some), size)]
        for way in dict.fromkeys(_way_of(entry.proposal) for entry in some):
            if way:  # made once, before the threads ask for it
                site_pairs(way, HIST_STEP, HIST_BINS, HIST_ORDER)
        side_by_side(self._compare_part, parts)

    def _compare_part(self, part: list[Entry]) -> None:
        """Screen structures, whose histograms stay as long as some learn."""
        rows = _counted(part)
        rw, bonds = screen(
            rows,
            np.array([e.proposal.size for e in part]),
            self.target,
            self.bond,
            self.motion,
        )
        for entry, row, value, bond in zip(part, rows, rw, bonds):
            entry.rw, entry.bond = value, bond
            if self._learning:
                entry.histogram = row

    def _learned(self) -> Motion:
        """Bond length and motion from fits of the best structures.

        And of the best of other sizes: small particles, compared at the wrong
        widths, stand behind larger ones, whose fits lead astray.
        """
        found = [*self.order()[:LEARNED], *self._sizes(LEARNED, math.inf)]
        keys = list(dict.fromkeys(found))
        fits = self._fitted(keys)
        # A poor fit's widths make up for a wrong structure: left out.
        limit = as_good(min(f.rw for f in fits))
        good = [i for i, f in enumerate(fits) if f.rw < limit]
        keys, fits = [keys[i] for i in good], [fits[i] for i in good]
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
        # Qdamp is learned to about 0.01 1/A: its neighbours are tried.
        low, high = self.target.qdamp_range
        steps = (-0.02, -0.01, 0.0, 0.01, 0.02)
        near = {min(max(qdamp + k, low), high) for k in steps}
        widths = (0.9 * u, u, 1.1 * u)
        return Motion(widths, tuple(sorted(near)), delta2, fine=True)

    def best(self, count: int) -> list[tuple[Proposal, float]]:
        """The structures that fit best, each with its bond length.

        Those that look best at fixed widths, the best one of many latents,
        and the best one of each number of atoms that is in question, get a
        fit of their own before they are compared.  Every other one that is
        taken has a number of atoms that none before it has, as long as such
        fit as well as the data can tell.
        """
        # As many for a small count: fewer are the first of those.
        most = max(count, POPULATION)
        found = [*self.order()[: 3 * most // 2], *self._firsts()]
        keys = list(dict.fromkeys([*found, *self._sizes(most)]))
        chosen = [self.entries[k] for k in keys]
        fits = self._fitted(keys)
        ranked = simplest_first(
            [f.rw for f in fits], [e.proposal.positions for e in chosen]
        )
        # Copies of a structure stand on other sites, or are strained a
        # little: one of each is kept.
        kept: dict[tuple, int] = {}
        for i in ranked:
            name = _name_of(chosen[i].proposal)
            first = kept.setdefault(name, i)
            strained = len(chosen[first].proposal.sites) and (
                chosen[first].proposal.shape.any()
            )
            if strained and not chosen[i].proposal.shape.any():
                # Three parameters less, if they buy little.
                if fits[i].rw < STRAINED * fits[first].rw + FLOOR:
                    kept[name] = i
        different = list(kept.values())
        limit = as_good(min((f.rw for f in fits), default=0.0))
        taken = varied(
            [chosen[i].proposal.size for i in different],
            [fits[i].rw < limit for i in different],
            count,
        )
        return [
            (chosen[i].proposal, chosen[i].bond * fits[i].stretch)
            for i in (different[k] for k in taken)
        ]

    def _firsts(self) -> list[tuple]:
        """The best structure of each of the best latents."""
        firsts = [
            min(row, key=lambda k: self.entries[k].rw) for row in self.rows
        ]
        firsts.sort(key=lambda k: self.entries[k].rw)
        return firsts[: POPULATION // 2]

    def _sizes(self, most: int, limit: float | None = None) -> list[tuple]:
        """The best structure of each number of atoms, the best first.

        As far as Rw is below `limit`: as good as the best one.
        """
        order = self.order()
        if limit is None:
            limit = as_good(self.entries[order[0]].rw) if order else 0.0
        found: dict[int, tuple] = {}
        for key in order:
            entry = self.entries[key]
            if entry.rw > limit:
                break
            found.setdefault(entry.proposal.size, key)
        return list(found.values())[:most]

    def candidates(self, count: int) -> list[Candidate]:
        """The structures that fit best."""
        return [
            Candidate(
                elements=(self.target.element,) * p.size,
                positions=p.positions * bond,
                structure_type=_type_of(p),
            )
            for p, bond in self.best(count)
        ]

    @property
    def least(self) -> float:
        """The lowest Rw of all structures."""
        return min(entry.rw for entry in self.entries.values())

    def order(self) -> list[tuple]:
        """All structures, the best first."""
        keys = list(self.entries)
        # NumPy sorts thousands of them ten times as fast.
        values = np.array([entry.rw for entry in self.entries.values()])
        return [keys[i] for i in np.argsort(values, kind="stable")]

    def _fitted(self, keys: list[tuple]) -> list[QuickFit]:
        """Quick fits of some structures at their bond lengths."""
        found = [self.entries[k] for k in keys]
        return quick_fit(
            [e.proposal.positions * e.bond for e in found],
            self.target,
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

    def best_latents(self, count: int) -> np.ndarray:
        """(n, 1, 16, 16), n at most count: latents of the best structures."""
        found = (self.entries[k].latent for k in self.order())
        latents = dict.fromkeys(i for i in found if i is not None)
        return np.stack([self.latents[i] for i in list(latents)[:count]])


def varied(sizes: list[int], good: list[bool], count: int) -> list[int]:
    """Some places of a ranking, with many sizes among them.

    Every other one is the next of the ranking, and between them is the next
    one whose size is new, of those that are `good`.
    """
    left = list(range(len(sizes)))
    taken: list[int] = []
    seen: set[int] = set()
    while left and len(taken) < count:
        # Sizes are what the data tell least: a set of one size misleads.
        fresh = (k for k in left if good[k] and sizes[k] not in seen)
        next_one = next(fresh, left[0]) if len(taken) % 2 else left[0]
        left.remove(next_one)
        taken.append(next_one)
        seen.add(sizes[next_one])
    return taken


def _type_of(p: Proposal) -> str:
    """What the library calls it, where it is one of the ideal clusters."""
    if not len(p.sites):
        return p.structure_type
    template = TEMPLATE_OF[p.structure_type]
    return load_table().known_type(template, p.sites) or p.structure_type


def _name_of(p: Proposal) -> tuple:
    """The same for structures that differ by place or strain alone."""
    if not len(p.sites):
        return p.key
    template = TEMPLATE_OF[p.structure_type]
    xyz = place(template, load_table().sites[template][p.sites].astype(float))
    # Sorted, so that the order of atoms does not matter.
    whole = np.round(100 * xyz).astype(int)
    return template, whole[np.lexsort(whole.T)].tobytes()


def _way_of(p: Proposal) -> str:
    """The template whose distances tell a structure's; empty for none."""
    # Unstrained structures share their template's few distances.
    exact = len(p.sites) and not p.shape.any()
    return TEMPLATE_OF[p.structure_type] if exact else ""


def _counted(some: list[Entry]) -> np.ndarray:
    """The pair histograms of structures, (C, HIST_BINS)."""
    out = np.empty((len(some), HIST_BINS), np.float32)
    ways: dict[str, list[int]] = {}
    for i, entry in enumerate(some):
        if entry.histogram is None:
            ways.setdefault(_way_of(entry.proposal), []).append(i)
        else:
            out[i] = entry.histogram
    for way, places in ways.items():
        found = [some[i].proposal for i in places]
        if way:
            pairs = site_pairs(way, HIST_STEP, HIST_BINS, HIST_ORDER)
            out[places] = pairs.histograms([p.sites for p in found])
        else:
            out[places] = histograms([p.positions for p in found])
    return out


@quickly_made(PROPOSALS)
@functools.cache
def site_pairs(template: str, step: float, bins: int, order: int) -> SitePairs:
    """The pairs of a template of the packaged table."""
    sites = load_table().sites[template].astype(float)
    return SitePairs(sites, step=step, bins=bins, order=order)
