"""Large ideal particles: their sites, their pairs, and how they compare."""

import dataclasses
import math

import numpy as np
import pytest
from scipy.spatial.distance import pdist

import diffpy_cbldm as cb
from diffpy_cbldm.crystals.particles import (
    CUBIC_CENTRES,
    LAYER_CENTRES,
    NONE,
    MultiplyTwinned,
    Particle,
    layer_sites,
    layers_of,
    pair_counts,
)
from diffpy_cbldm.fitting.attenuated import (
    attenuation,
    fit_crystal,
    lattice_shells,
)
from diffpy_cbldm.fitting.target import Target
from diffpy_cbldm.search.large_set import (
    START_MOTION,
    STRETCH,
    Comparison,
)
from diffpy_cbldm.search.sketches import exactly, packed, unpacked

OPEN = {"fcc": 4, "bcc": 4, "sc": 4}


def ball(crystal, centre=0, radius=4.0, **more):
    limits = (NONE,) * OPEN.get(crystal, 9)
    return Particle(crystal, centre, limits, radius, **more)


BALLS = [
    *(ball(c, k) for c in CUBIC_CENTRES for k in range(len(CUBIC_CENTRES[c]))),
    *(ball(c, k) for c in ("hcp", "twin") for k in range(len(LAYER_CENTRES))),
    *(ball("lamella", 0, between=b) for b in (1, 2, 5)),
]


@pytest.mark.parametrize("particle", BALLS, ids=str)
def test_pair_counts_are_those_of_the_positions(particle):
    d, pairs = pair_counts(particle)
    all_pairs = np.round(pdist(particle.positions), 5)
    distinct, count = np.unique(all_pairs, return_counts=True)
    np.testing.assert_allclose(d, distinct, atol=1e-5)
    np.testing.assert_array_equal(pairs, count)
    assert pairs.sum() == math.comb(len(particle), 2)
    assert d[0] == pytest.approx(1.0)


@pytest.mark.parametrize("particle", BALLS, ids=str)
def test_a_ball_holds_what_its_volume_says(particle):
    density = {"bcc": 0.75 * 3**0.5, "sc": 1.0}.get(particle.crystal, 2**0.5)
    expected = density * 4 / 3 * math.pi * 4.0**3
    assert len(particle) == pytest.approx(expected, rel=0.12)


@pytest.mark.parametrize(
    "limits, atoms",
    [
        # Octahedra, cuboctahedra and cubes by their known magic numbers.
        ({2: 2 * 6**-0.5 * 2}, 85),
        ({2: 3 * (2 / 3) ** 0.5, 0: 3 * 0.5**0.5}, 147),
        ({0: 2 * 0.5**0.5 * 1}, 63),
    ],
)
def test_known_magic_numbers(limits, atoms):
    facets = [limits.get(k, NONE) for k in range(4)]
    assert len(Particle("fcc", 0, tuple(facets))) == atoms


@pytest.mark.parametrize(
    "particle, atoms",
    [
        (MultiplyTwinned("ico", (4,)), 147),
        (MultiplyTwinned("ico", (6,)), 561),
        (MultiplyTwinned("dec", (2, 2, 1)), 75),
        (MultiplyTwinned("dec", (5, 1, 0)), 105),
        (MultiplyTwinned("dec", (3, 2, 1)), 146),
    ],
)
def test_multiply_twinned(particle, atoms):
    assert len(particle) == len(particle.positions)
    d, pairs = pair_counts(particle)
    exact = pdist(particle.positions)
    assert pairs.sum() == pytest.approx(len(exact))
    assert pairs @ d == pytest.approx(exact.sum())
    assert exact.min() == pytest.approx(0.97, abs=0.04)


def test_twins_mirror_and_lamellae_return():
    layer = np.arange(-6, 12)
    twin = layer_sites("twin", layer, 0)
    np.testing.assert_array_equal(twin, layer_sites("twin", -layer, 0))
    lamella = layer_sites("lamella", layer, 4)
    faults = [
        k
        for k, a, c in zip(layer[1:], lamella, lamella[2:], strict=False)
        if a == c
    ]
    assert faults == [0, 4]
    # No layer stands upon one of its own kind.
    for sites in (twin, lamella, layer_sites("hcp", layer, 0)):
        assert (np.diff(sites) != 0).all()


def test_layers_are_where_limits_make_a_difference():
    places = layers_of("fcc", 0)[2]
    counts = [
        len(Particle("fcc", 0, (NONE, NONE, float(p), NONE)))
        for p in places[:6]
    ]
    assert counts == sorted(set(counts))


def test_lattice_shells_of_fcc():
    d, count = lattice_shells("fcc", 3)
    np.testing.assert_allclose(d[:5] ** 2, [1, 2, 3, 4, 5])
    np.testing.assert_array_equal(count[:5], [12, 6, 24, 12, 24])


def test_attenuation_of_a_sphere_is_the_share_of_pairs():
    rng = np.random.default_rng(3)
    points = rng.uniform(-1, 1, (40_000, 3))
    step = rng.normal(size=3)
    step *= 0.7 / np.linalg.norm(step)
    inside = np.linalg.norm(points, axis=1) < 1
    both = inside & (np.linalg.norm(points + step, axis=1) < 1)
    share = both.sum() / inside.sum()
    assert attenuation(np.array([0.7]), 2.0)[0] == pytest.approx(
        share, abs=0.01
    )


def simulated(particle, bond=2.8, **more):
    cluster = cb.Cluster(("Pt",) * len(particle), particle.positions * bond)
    settings = {"qmin": 0.8, "qmax": 22.0, "qdamp": 0.03, "biso": 0.5}
    (pdf,) = cb.simulate([cluster], **{**settings, **more})
    return pdf


def test_the_attenuated_crystal_finds_lattice_and_size():
    pdf = simulated(ball("fcc", 0, 5.0))
    crystal = fit_crystal(pdf)
    assert crystal.lattice == "fcc"
    assert crystal.a == pytest.approx(2.8 * 2**0.5, rel=1e-3)
    assert crystal.rw < 0.1
    assert crystal.n_atoms == pytest.approx(len(ball("fcc", 0, 5.0)), rel=0.15)
    assert set(crystal.tried) == {"fcc", "bcc", "hcp", "sc"}
    assert min(crystal.tried.values()) == crystal.rw
    assert crystal.tried["bcc"] > 0.5


def compare(group, target):
    return Comparison(target, target.bond, STRETCH, START_MOTION)(group)


def test_exact_comparison_finds_the_particle():
    balls = [ball("fcc", k, r) for k in range(3) for r in (3.0, 4.0, 5.0)]
    target = Target.of(simulated(balls[4]))
    rw, bonds = compare(exactly(balls), target)
    assert rw.argmin() == 4
    assert bonds[4] == pytest.approx(2.8, rel=5e-4)
    # Widths and delta2 are not those of the simulation.
    assert rw[4] < 0.1


def test_a_sketch_compares_as_the_exact_counts_do():
    balls = [ball("fcc", k, r) for k in range(3) for r in (3.0, 4.0, 5.0)]
    target = Target.of(simulated(balls[4]))
    group = exactly(balls)
    left, sizes, right = np.linalg.svd(group.modes, full_matrices=False)
    sketch = dataclasses.replace(group, modes=right, weights=left * sizes)
    (again,) = unpacked(packed([sketch]))
    assert tuple(again.particles) == sketch.particles
    np.testing.assert_allclose(
        compare(again, target)[0], compare(group, target)[0], atol=2e-3
    )
