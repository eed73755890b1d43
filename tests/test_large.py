"""Clusters of thousands of atoms: counted distances, search, comparison."""

import dataclasses
import math
from importlib import resources

import numpy as np
import pytest
import torch
from scipy.spatial.distance import pdist
from scipy.spatial.transform import Rotation

import diffpy_cbldm as cb
from diffpy_cbldm.cluster import Candidate
from diffpy_cbldm.crystals.alike import duplicates, same_structure
from diffpy_cbldm.crystals.bonds import diameter
from diffpy_cbldm.crystals.lattice_pairs import lattice_distances
from diffpy_cbldm.crystals.pair_kernels import binned_pairs
from diffpy_cbldm.crystals.particles import (
    BIN,
    NONE,
    MultiplyTwinned,
    Particle,
    pair_counts,
)
from diffpy_cbldm.crystals.random_particles import RandomParticle
from diffpy_cbldm.debye.conditions import Conditions, Grid
from diffpy_cbldm.debye.pure import debye_pdf
from diffpy_cbldm.errors import CbldmError
from diffpy_cbldm.fitting.calculator import PairCache
from diffpy_cbldm.fitting.distances import (
    counted_distances,
    gathered_distances,
)
from diffpy_cbldm.fitting.quickfit import quick_fit, scaled_fit
from diffpy_cbldm.fitting.signal_end import signal_end
from diffpy_cbldm.fitting.target import Target
from diffpy_cbldm.search.by_library import library_generator
from diffpy_cbldm.search.large_set import best_particles
from diffpy_cbldm.search.matching import rw_raw
from diffpy_cbldm.search.sketches import FILES, load_groups
from diffpy_cbldm.solving.groups import shared

BOND = 2.775


def ball(radius, crystal="fcc", centre=0):
    free = (NONE,) * (4 if crystal in ("fcc", "bcc", "sc") else 9)
    return Particle(crystal, centre, free, radius)


def simulated(particle, **more):
    (pdf,) = cb.simulate(
        cb.Cluster(("Pt",) * len(particle), particle.positions * BOND),
        **{"biso": 0.5, "qdamp": 0.03, **more},
    )
    return pdf


@pytest.mark.parametrize("crystal", ["fcc", "bcc", "sc", "hcp", "twin"])
def test_distances_on_a_lattice_are_counted_exactly(crystal):
    xyz = ball(4.2, crystal).positions * 2.6543
    d, pairs = lattice_distances(xyz)
    distinct, count = np.unique(np.round(pdist(xyz), 5), return_counts=True)
    np.testing.assert_allclose(d, distinct, atol=1e-5)
    np.testing.assert_array_equal(pairs, count)


def test_no_pair_of_ten_thousand_atoms_is_lost():
    for particle in (ball(11.8), ball(11.8, "hcp")):
        d, pairs = pair_counts(particle)
        assert pairs.sum() == math.comb(len(particle), 2)
        # The sum of squares is that about the mean, times N.
        square = (particle.positions**2).sum() * len(particle)
        assert pairs @ d**2 == pytest.approx(square, rel=1e-10)


def test_atoms_off_the_lattice_are_not_taken_for_sites():
    xyz = ball(4.2).positions * BOND
    moved = xyz.copy()
    moved[100] += [0.01, 0, 0]
    assert lattice_distances(moved) is None
    assert lattice_distances(MultiplyTwinned("ico", (4,)).positions) is None
    assert lattice_distances(np.concatenate([xyz, xyz[-1:]])) is None


def test_columns_of_decahedra_have_all_pairs():
    particle = MultiplyTwinned("dec", (4, 3, 2))
    d, pairs = pair_counts(particle)
    binned = binned_pairs(particle.positions, BIN, 4000)
    np.testing.assert_allclose(pairs, binned[np.rint(d / BIN).astype(int)])
    assert pairs.sum() == pytest.approx(math.comb(len(particle), 2))


def test_two_distances_stand_for_a_cell():
    rng = np.random.default_rng(4)
    xyz = ball(3.6).positions * BOND
    xyz = xyz + rng.normal(scale=0.03, size=xyz.shape)
    d, pairs = gathered_distances(xyz)
    exact = pdist(xyz)
    assert (np.diff(d) >= 0).all()
    for q in (5.0, 25.0):
        total = (np.sin(q * exact) / exact).sum()
        assert pairs @ (np.sin(q * d) / d) == pytest.approx(total, abs=1e-2)
    for power in (0, 1, 2, 3):
        assert pairs @ d**power == pytest.approx((exact**power).sum())


def test_fits_of_large_clusters_see_the_curve_of_all_pairs():
    particle = ball(4.5)
    xyz = particle.positions * BOND
    calculator = PairCache(xyz)
    assert len(counted_distances(xyz)[0]) < 100
    conditions = {"u_iso": 0.006, "qmin": 0.7, "qmax": 25.0, "delta2": 2.0}
    expected = debye_pdf(
        torch.tensor(xyz)[None], precision=1e-10, **conditions
    )
    got = calculator.pdf(Conditions(**conditions), Grid(0.0, 30.0, 0.01))
    np.testing.assert_allclose(
        got, expected[0].numpy(), atol=1e-8 * float(expected.max())
    )


def test_refinement_of_thousands_of_atoms():
    particle = MultiplyTwinned("dec", (6, 4, 2))
    assert len(particle) > 1000
    pdf = dataclasses.replace(simulated(particle), qdamp=None)
    start = Candidate(("Pt",) * len(particle), particle.positions * 2.79)
    fitted = cb.refine(start, pdf, heldout=False)
    assert fitted.rw < 1e-3
    assert fitted.parameters["qdamp"][0] == pytest.approx(0.03, abs=1e-3)
    zoom = fitted.parameters["zoomscale"][0]
    assert zoom == pytest.approx(BOND / 2.79, rel=1e-4)


def test_the_raw_rw_of_large_clusters_is_that_of_the_scale():
    particle = ball(3.9)
    assert len(particle) > 256
    target = Target.of(simulated(particle, biso=0.3))
    (fit,) = scaled_fit(
        [particle.positions * BOND],
        target,
        {"stretch": 1, "uiso": 0.0038, "delta2": 0.0, "qdamp": 0.0},
    )
    small = ball(2.0).positions * BOND
    raw = rw_raw([small, particle.positions * BOND], target)
    # Qdamp is that of the simulation in both.
    assert raw[1] == pytest.approx(fit.rw, rel=0.05)
    assert raw[1] < 0.1 < raw[0]


# ----------------------------------------------------------- where signals end


def noisy(pdf, size=0.005):
    noise = np.random.default_rng(5).normal(size=len(pdf.g))
    return dataclasses.replace(pdf, g=pdf.g + size * pdf.g.max() * noise)


def test_small_particles_keep_the_range_of_30_a():
    pdf = noisy(simulated(ball(3.2), rmax=100.0))
    assert signal_end(pdf) == 30.0
    assert Target.of(pdf).rmax == 30.0
    tiny = noisy(simulated(ball(1.5), rmax=60.0), 0.02)
    assert signal_end(tiny) == 30.0


def test_the_range_of_large_particles_ends_with_their_signal():
    particle = ball(9.0)
    pdf = noisy(simulated(particle, rmax=100.0))
    across = diameter(particle.positions * BOND)
    assert 30.0 < signal_end(pdf) <= across + 5.0
    # What is beyond is noise, and what is inside is not.
    end = signal_end(pdf)
    beyond = pdf.g[pdf.r > end + 1].std()
    inside = pdf.g[(pdf.r > end - 8) & (pdf.r < end - 3)].std()
    assert inside > 1.5 * beyond


def test_the_range_ends_with_the_data_at_the_latest():
    assert signal_end(simulated(ball(9.0), rmax=20.0)) == pytest.approx(19.99)
    crystal = simulated(ball(11.5), rmax=40.0, qdamp=0.0)
    assert signal_end(crystal) == pytest.approx(39.99)


# ------------------------------------------------------------------ the search


def test_the_packaged_sketches():
    groups = load_groups("ideal")
    atoms = np.concatenate([g.atoms for g in groups])
    assert len(atoms) >= 10_000
    assert atoms.min() == 257 and atoms.max() == 10_000
    assert len(load_groups("random")) == 4
    folder = resources.files("diffpy_cbldm.search")
    sizes = [folder.joinpath(name).stat().st_size for name in FILES.values()]
    assert sum(sizes) < 5e6


@pytest.mark.parametrize("kind", ["ideal", "random"])
def test_particles_of_a_sketch_are_made_when_they_are_asked_for(kind):
    for group in load_groups(kind):
        last = len(group.particles) - 1
        for place in (0, last // 2, last):
            particle = group.particles[place]
            assert len(particle) == group.atoms[place]
            assert particle == group.particles[place]
            assert particle is not group.particles[place]


def test_random_cuts_are_drawn_from_their_numbers():
    for number in (3, 8, 17, 28):
        particle, again = RandomParticle(number), RandomParticle(number)
        np.testing.assert_array_equal(particle.sites, again.sites)
        d, pairs = pair_counts(particle)
        assert d[0] == pytest.approx(1.0)
        assert 200 < len(particle) <= 10_000
        # A convex body has no loose atoms: each has neighbours.
        assert pairs[0] > 1.5 * len(particle)


@pytest.mark.parametrize("kind", ["ideal", "random"])
def test_particles_are_found_by_their_pdf(kind):
    groups = load_groups(kind)
    group = next(g for g in groups if g.particles[0].template == "fcc")
    k = int(np.flatnonzero((group.atoms > 500) & (group.atoms < 900))[7])
    particle = group.particles[k]
    found = best_particles(Target.of(simulated(particle)), 8, kind)
    # Sizes this close the curve does not tell apart before a refinement.
    assert found[0].atoms == pytest.approx(len(particle), rel=0.03)
    assert found[0].rw < 0.02
    assert found[0].bond == pytest.approx(BOND, rel=1e-3)


def test_the_library_answers_with_large_particles_where_they_fit():
    group = load_groups()[0]
    particle = group.particles[int(np.flatnonzero(group.atoms > 1500)[3])]
    pdf = simulated(particle)
    found = library_generator(pdf, count=8)
    assert len(found) == 8
    fits = quick_fit([c.positions for c in found], Target.of(pdf))
    best = found[int(np.argmin([f.rw for f in fits]))]
    assert len(best) == pytest.approx(len(particle), rel=0.02)
    # A small particle is answered by small ones alone.
    small = library_generator(simulated(ball(2.0)), count=8)
    assert max(map(len, small)) <= 256


# ---------------------------------------------------------------- comparisons


def test_copies_of_large_clusters_are_one():
    rng = np.random.default_rng(6)
    xyz = ball(5.0).positions * BOND
    turn = Rotation.from_euler("xyz", [10, 20, 30], degrees=True).as_matrix()
    copy = rng.permutation(xyz @ turn.T)
    other = ball(5.0, "twin").positions * BOND
    assert len(other) == len(xyz)
    groups = duplicates([xyz, copy, other, 1.002 * xyz], stretch=0.005)
    assert groups == [[0, 1, 3], [2]]
    assert not same_structure(xyz, other)


def test_the_diameter_of_many_atoms():
    xyz = ball(5.0).positions * BOND
    assert diameter(xyz) == pytest.approx(pdist(xyz).max())
    flat = xyz * [1, 1, 0] + np.arange(len(xyz))[:, None] * [1e-3, 0, 0]
    assert diameter(flat) == pytest.approx(pdist(flat).max())


def test_large_clusters_share_their_atoms():
    whole = Candidate(("Pt",) * len(ball(5.0)), ball(5.0).positions * BOND)
    part = ball(4.6)
    inner = Candidate(("Pt",) * len(part), part.positions * BOND)
    assert shared(whole, whole) == 1.0
    assert shared(whole, inner) == pytest.approx(len(inner) / len(whole))


def test_one_atom_twice_is_seen_in_a_large_cluster():
    xyz = ball(5.0).positions * BOND
    twice = np.concatenate([xyz, xyz[200:201] + 1e-4])
    with pytest.raises(CbldmError, match="same place"):
        cb.Cluster(("Pt",) * len(twice), twice)
