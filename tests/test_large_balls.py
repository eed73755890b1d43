"""The plain particle that is looked for beside those that imitate a powder."""

import dataclasses

import numpy as np
import pytest

from diffpy_cbldm.cluster import Cluster
from diffpy_cbldm.debye.simulation import simulate
from diffpy_cbldm.fitting.target import Target
from diffpy_cbldm.search.large_balls import BALL, CENTRES, balls
from diffpy_cbldm.search.large_match import Comparison
from diffpy_cbldm.search.large_model import Search
from diffpy_cbldm.solving.plainest import LONG

BOND = 2.77
SIZES, SHARES = (350, 600, 1100), (0.5, 0.3, 0.2)


def ball(count):
    """The fcc sites nearest to an atom, bond lengths."""
    steps = np.mgrid[-12:13, -12:13, -12:13].reshape(3, -1).T
    places = steps[steps.sum(1) % 2 == 0] / 2**0.5
    apart = np.linalg.norm(places, axis=1)
    return places[np.argsort(apart, kind="stable")[:count]]


@pytest.fixture(scope="module")
def powder():
    """The PDF of balls of three sizes, Qdamp known."""
    some = [Cluster("Pt", BOND * ball(n)) for n in SIZES]
    pdfs = simulate(some, rmax=40, qmax=25, qdamp=0.03)
    # Each scatters as its atoms; G(r) is an atom's.
    weight = np.array(SHARES) * SIZES
    g = np.average([pdf.g for pdf in pdfs], axis=0, weights=weight)
    mean = float(weight @ SIZES / weight.sum())
    return dataclasses.replace(pdfs[0], g=g), mean


@pytest.mark.parametrize("centre", CENTRES)
def test_balls_grow_about_one_centre(centre):
    pieces = list(balls("fcc", centre, 5.0))
    sizes = [len(piece) for piece in pieces]
    assert len(pieces) > 3
    assert sizes[0] > 256
    assert sizes == sorted(set(sizes))
    inner, outer = pieces[0].index, pieces[-1].index
    assert set(inner) <= set(outer)
    apart = np.linalg.norm(pieces[-1].places - centre, axis=1)
    assert apart.max() <= 5.0


def test_a_powder_gets_a_compact_particle_of_its_mean_size(powder):
    pdf, mean = powder
    target = Target.of(pdf, 1.5, 40)
    search = Search(target, 0)
    first = list(balls("fcc", (0.0, 0.0, 0.0), 6.0))[-1]
    search.comparisons["fcc"] = Comparison(target, first)
    search.from_ball()
    found = [f for f in search.found.values() if f.latent == BALL]
    best = min(found, key=lambda f: f.rw)
    widths = np.linalg.svd(best.piece.positions, compute_uv=False)
    assert best.piece.crystal == "fcc"
    assert widths[0] < LONG * widths[-1]
    assert abs(len(best.piece) / mean - 1) < 0.15
    # Moved facets explain more than any ball does.
    starts = [p for c in CENTRES for p in balls("fcc", c, 9.0)]
    assert best.rw < min(search.add(p, 0).rw for p in starts) - 1e-3
