"""Pieces of large crystals: sites, outlines, landmarks."""

import numpy as np
import pytest
from scipy.spatial.distance import pdist

from diffpy_cbldm.crystals.large_cuts import (
    LARGE_TYPES,
    Ground,
    Outline,
    Piece,
    cube_side,
    distances,
    kept_back,
    landmarks,
    template_of,
    whole_piece,
)
from diffpy_cbldm.crystals.lattices import directions, turns
from diffpy_cbldm.crystals.particles import MultiplyTwinned


def piece(crystal, radius=3.1, seed=0, between=2):
    """A crooked piece of a few hundred atoms."""
    ground = Ground.of(crystal, between)
    rng = np.random.default_rng(seed)
    extents = radius * rng.uniform(0.85, 1.2, ground.heights.shape[1])
    centre = rng.uniform(-0.3, 0.3, 3)
    if crystal in ("twin", "lamella", "dec", "ico"):
        centre = np.zeros(3)
    index, size = ground.gauge(extents, 1.2 * radius, centre)
    return Piece(ground, np.sort(index[size <= 1]))


@pytest.mark.parametrize("crystal", LARGE_TYPES)
def test_distances_are_those_of_all_pairs(crystal):
    found = piece(crystal, 2.6)
    distance, pairs = distances(found)
    apart = pdist(found.positions)
    assert pairs.sum() == pytest.approx(len(apart))
    assert distance @ pairs == pytest.approx(apart.sum(), rel=1e-6)
    # Nothing stands nearer than a bond.
    assert apart.min() == pytest.approx(1, abs=0.06)


@pytest.mark.parametrize("crystal", LARGE_TYPES)
def test_turned_pieces_have_one_outline(crystal):
    found = piece(crystal)
    first, turn = Outline.of(found).upright()
    assert np.allclose(turn @ turn.T, np.eye(3))
    seen = 0
    for operation in turns(template_of(crystal)):
        moved = found.places @ operation.T
        ground = found.ground
        centre = ground.reference(moved)
        off = centre @ directions(template_of(crystal)).T
        out = (ground.seen(moved).max(0) - off) / cube_side(
            crystal, len(found)
        )
        other, _ = Outline(crystal, out, first.radius).upright()
        seen += np.allclose(first.extents, other.extents, atol=1e-6)
    # Operations of layers that turn a twin into another one do not count.
    all_of_them = len(turns(template_of(crystal)))
    assert seen == all_of_them // (2 if crystal in ("twin", "lamella") else 1)


def test_a_growing_outline_takes_the_nearest_sites_first():
    ground = Ground.of("fcc")
    extents = np.full(ground.heights.shape[1], 3.0)
    index, size = ground.gauge(extents, 3.0, np.zeros(3))
    assert (np.diff(size) >= 0).all()
    # All directions and the sphere reach as far: what is inside is a sphere.
    inside = np.sort(index[size <= 1])
    assert np.array_equal(inside, np.flatnonzero(ground.radii <= 3.0 + 1e-6))


@pytest.mark.parametrize(
    "particle",
    [
        MultiplyTwinned("dec", (3, 4, 1)),
        MultiplyTwinned("dec", (5, 3, 0)),
        MultiplyTwinned("ico", (5,)),
    ],
)
def test_whole_particles_are_pieces(particle):
    found = whole_piece(particle)
    assert len(found) == len(particle)
    apart = np.sort(pdist(found.positions)) - np.sort(
        pdist(particle.positions)
    )
    assert np.abs(apart).max() < 1e-6
    # Told from the axis, both have one outline.
    first, second = Outline.of(found), Outline.of(particle)
    assert first.radius == pytest.approx(second.radius, abs=0.05)


def test_landmarks_stand_far_apart():
    found = piece("bcc")
    chosen = landmarks(found.places, 20)
    assert len(set(chosen)) == 20
    near = pdist(found.places[chosen]).min()
    # Twenty atoms next to one another would be a bond apart.
    assert near > 1.5
    assert np.array_equal(chosen[:10], landmarks(found.places, 10))
    assert len(landmarks(found.places, 10**6)) == len(found)


def test_what_is_kept_back_does_not_depend_on_the_place():
    some = [piece("fcc", 2.5, seed) for seed in range(40)]
    kept = [kept_back(p) for p in some]
    assert 0 < sum(kept) < 20
    shift = np.sqrt(0.5) * np.array([1.0, 1.0, 0.0])
    for one, known in zip(some, kept):
        ground = one.ground
        where = {
            tuple(x): i for i, x in enumerate(np.round(ground.places, 3) + 0.0)
        }
        moved = np.round(one.places + shift, 3) + 0.0
        index = np.sort([where[tuple(x)] for x in moved])
        assert kept_back(Piece(ground, index)) == known
