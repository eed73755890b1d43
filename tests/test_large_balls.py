"""The plain particle that is looked for beside those that imitate a powder."""

import dataclasses

import numpy as np
import pytest

from diffpy_cbldm.cluster import Cluster
from diffpy_cbldm.crystals.large_cuts import Piece
from diffpy_cbldm.debye.simulation import simulate
from diffpy_cbldm.fitting.target import Target
from diffpy_cbldm.search.facet_walk import COMPACT, FacetWalk, Layers
from diffpy_cbldm.search.large_balls import BALL, CENTRE, balls, spheroids
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


def test_balls_grow_about_one_centre():
    pieces = list(balls("fcc", CENTRE, 5.0))
    sizes = [len(piece) for piece in pieces]
    assert len(pieces) > 3
    assert sizes[0] > 256
    assert sizes == sorted(set(sizes))
    inner, outer = pieces[0].index, pieces[-1].index
    assert set(inner) <= set(outer)
    apart = np.linalg.norm(pieces[-1].places - CENTRE, axis=1)
    assert apart.max() <= 5.0


def test_spheroids_have_a_balls_atoms_and_other_shapes():
    ball = list(balls("fcc", CENTRE, 5.0))[-1]
    first, *others = spheroids(ball, CENTRE)
    np.testing.assert_array_equal(first.index, ball.index)
    assert {len(piece) for piece in others} == {len(ball)}
    ratios = [np.linalg.cond(piece.positions) for piece in others]
    assert min(ratios) > 1.1
    assert max(ratios) < 1.3


@pytest.mark.parametrize("crystal", ["fcc", "bcc", "hcp", "sc"])
def test_pairs_are_counted_from_move_to_move(crystal, powder):
    target = Target.of(powder[0], 1.5, 40)
    start = list(balls(crystal, CENTRE, 5.0))[2]
    comparison = Comparison(target, start)
    walk = FacetWalk(comparison, start)
    assert walk.rw == pytest.approx(comparison.rw(start), abs=1e-6)
    before = walk.rw
    for _ in range(3):
        if not walk.step():
            break
        assert walk.rw < before
        before = walk.rw
        assert len(walk.piece) != len(start) or walk.piece.key != start.key
        # As if the particle had been counted as a whole, and its layers.
        afresh = FacetWalk(comparison, walk.piece)
        np.testing.assert_array_equal(walk.counts, afresh.counts)
        assert walk.rw == pytest.approx(comparison.rw(walk.piece), abs=1e-6)
        np.testing.assert_allclose(
            Layers(walk).foreseen, Layers(afresh).foreseen, rtol=1e-6
        )
    assert before < comparison.rw(start)


def test_one_moved_layer_has_the_rw_that_was_foreseen(powder):
    target = Target.of(powder[0], 1.5, 40)
    start = list(balls("fcc", CENTRE, 5.0))[2]
    comparison = Comparison(target, start)
    walk = FacetWalk(comparison, start)
    found = Layers(walk)
    for k in (0, found.inner):  # one that goes, one that comes
        part = found.parts[k]
        if k < found.inner:
            index = np.setdiff1d(start.index, part)
        else:
            index = np.union1d(start.index, part)
        rw = comparison.rw(Piece(start.ground, index))
        assert np.sqrt(found.foreseen[k, k]) == pytest.approx(rw, abs=1e-5)


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
    starts = balls("fcc", CENTRE, 9.0)
    assert best.rw < min(search.add(p, 0).rw for p in starts) - 1e-3
    assert np.linalg.cond(best.piece.positions) < COMPACT
