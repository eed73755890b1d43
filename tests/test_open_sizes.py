"""Which sizes are left open where no single particle explains the data."""

import dataclasses

import numpy as np
import pytest

import diffpy_cbldm as cb
from diffpy_cbldm.crystals.lattices import sphere
from diffpy_cbldm.fitting.attenuated import crystal_misfit, fit_crystal
from diffpy_cbldm.fitting.quickfit import quick_fit
from diffpy_cbldm.fitting.target import Target
from diffpy_cbldm.solving.atom_range import AtomRange
from diffpy_cbldm.solving.open_sizes import (
    STEP,
    STEPS,
    crystal_sizes,
    futile,
    unexplained,
    with_open_sizes,
)
from diffpy_cbldm.solving.plainest import complexity

SITES = sphere("fcc", 8.0) * 2.77
RADII = np.linalg.norm(SITES, axis=1)
DIAMETERS = np.linspace(14.0, 42.0, 29)
BALLS = [SITES[d / 2 >= RADII] for d in DIAMETERS]
ATOMS = np.array([len(ball) for ball in BALLS])


def ranked_for(share, qdamp=0.03):
    """A powder with some share of atoms in each ball, as it is ranked."""
    clusters = [cb.Cluster("Pt", ball) for ball in BALLS]
    pdfs = cb.simulate(clusters, qdamp=qdamp, biso=0.5)
    g = share @ [pdf.g for pdf in pdfs]
    noise = np.random.default_rng(3).standard_normal(len(g))
    pdf = dataclasses.replace(pdfs[0], g=g + 0.005 * g.max() * noise)
    target = Target.of(dataclasses.replace(pdf, qdamp=qdamp))
    fits = quick_fit(BALLS, target, scan=(0.0,))
    candidates = [cb.Candidate(("Pt",) * len(x), x, "fcc") for x in BALLS]
    order = np.argsort([fit.rw for fit in fits])
    return [(candidates[i], fits[i]) for i in order], target


@pytest.fixture(scope="module")
def powder():
    """Diameters of 24 A with a lognormal width of 25 %."""
    share = np.exp(-0.5 * (np.log(DIAMETERS / 24) / 0.25) ** 2)
    share /= share.sum()
    ranked, target = ranked_for(share)
    return share @ ATOMS, ranked, target, fit_crystal(target, ("fcc",))


def test_of_a_powder_the_range_holds_the_weight_mean(powder):
    mean, ranked, target, crystal = powder
    assert unexplained(ranked) and not futile(ranked)
    first = ranked[0][0]
    stated = with_open_sizes(None, ranked, crystal, target)
    assert stated.low < mean < stated.high
    assert stated.atoms == len(first) and stated.low < crystal.n_atoms
    # It widens what is given, and never narrows it.
    wide = AtomRange(len(first), 100, 5000, 0.5)
    assert with_open_sizes(wide, ranked, crystal, target) == wide


def test_sizes_of_the_crystal_lie_about_the_best(powder):
    *_, target, crystal = powder
    low, high = crystal_sizes(crystal, target)
    assert low < crystal.n_atoms < high
    assert high / low < STEP ** (6 * STEPS)
    _, best = crystal_misfit(target, crystal, crystal.diameter)
    assert np.linalg.norm(best) == pytest.approx(crystal.rw, rel=0.05)
    off = crystal_misfit(target, crystal, 1.3 * crystal.diameter)[1]
    assert np.linalg.norm(off) > np.linalg.norm(best)


def test_a_long_one_that_fits_better_is_held_but_makes_edits_futile(powder):
    _, ranked, target, crystal = powder
    rod = SITES[(np.hypot(*SITES.T[:2]) < 8) & (np.abs(SITES[:, 2]) < 20)]
    long = cb.Candidate(("Pt",) * len(rod), rod, "fcc")
    (fit,) = quick_fit([rod], target, scan=(0.0,))
    assert complexity(long) == 1 > complexity(ranked[0][0])
    better = dataclasses.replace(fit, rw=ranked[0][1].rw - 0.001)
    more = [*ranked, (long, better)]
    assert futile(more)
    stated = with_open_sizes(None, more, crystal, target)
    assert stated.low <= len(rod) <= stated.high


def test_one_particle_and_small_ones_keep_their_range():
    alone = np.eye(len(BALLS))[16]
    ranked, target = ranked_for(alone)
    assert len(ranked[0][0]) == ATOMS[16] > 256
    assert not unexplained(ranked) and not futile(ranked)
    given = AtomRange(ATOMS[16], ATOMS[16] - 3, ATOMS[16] + 3, 0.9)
    crystal = fit_crystal(target, ("fcc",))
    assert with_open_sizes(given, ranked, crystal, target) is given
    small = [pair for pair in ranked if len(pair[0]) <= 256]
    assert not unexplained(small)
