"""Curves of whole particles: no answer depends on where the range ends."""

import math

import numpy as np
import pytest
import torch
from ase.cluster import Icosahedron, Octahedron
from scipy.spatial.distance import pdist

import diffpy_cbldm as cb
from diffpy_cbldm.debye import mixed, pure, qgrid
from diffpy_cbldm.fitting.agreement import rw
from diffpy_cbldm.fitting.quickfit import quick_fit
from diffpy_cbldm.fitting.target import Target
from diffpy_cbldm.polishing.basis import PairBasis
from diffpy_cbldm.search.matching import Motion, histograms, screen

U = 0.3 / (8 * math.pi**2)
SETTINGS = {"u_iso": U, "qmin": 0.7, "qmax": 25.0, "qdamp": 0.04}
RANGES = (5.0, 8.0, 12.0, 20.0, 30.0)


def particle(count):
    """The platinum particle of a number of atoms."""
    layers = {13: 2, 55: 3, 147: 4, 561: 6, 2057: 9}
    if count == 231:
        atoms = Octahedron("Pt", 7, 0)
    else:
        atoms = Icosahedron("Pt", layers[count])
    assert len(atoms) == count
    return cb.Cluster("Pt", atoms.positions)


def measured(pdf, keep):
    """Points of a PDF, as a file without them would give it."""
    return cb.PDFData(
        r=pdf.r[keep],
        g=pdf.g[keep],
        composition=pdf.composition,
        qmin=pdf.qmin,
        qmax=pdf.qmax,
        qdamp=pdf.qdamp,
        qbroad=pdf.qbroad,
        stype=pdf.stype,
    )


@pytest.fixture(scope="module")
def pdfs():
    counts = (13, 55, 147, 231, 561)
    return dict(zip(counts, cb.simulate(map(particle, counts), rmax=50.0)))


# ---------------------------------------------------------------- the grids


def test_a_grid_of_parts_has_the_native_ends():
    settings = (U, 1.0, 0.7, 25.0, 30.0)
    base, step, first, count = qgrid.native_range(*settings, 0.01)
    assert qgrid.whole_range(*settings, 0.0)[:4] == (base, step, first, count)
    assert qgrid.whole_range(*settings, base)[4] == 1
    for longest, parts in ((base + 0.1, 3), (3.1 * base, 5)):
        reach, dq, low, high, n = qgrid.whole_range(*settings, longest)
        assert n == parts and reach == parts * base >= longest
        assert (low - 0.5) * dq == pytest.approx((first - 0.5) * step)
        assert (high - 0.5) * dq == pytest.approx((count - 0.5) * step)
        weights = qgrid.edge_weights(low, high, parts)
        assert not weights[:low].any()
        # The points between the native ones have no weight at the ends.
        at = np.arange(high)
        assert np.allclose(weights[low : low + parts].sum(), parts)
        assert weights[parts * first] == pytest.approx(parts)
        assert weights[(at % parts > 0) & (at < low + parts)].max() == 0
        assert weights.sum() == pytest.approx(high - low)
        assert np.all(weights[low + 60 : high - 60] == 1)


@pytest.mark.parametrize("rmax", [5.0, 8.0, 20.0, 29.0])
def test_every_range_has_the_grid_of_30_a(rmax):
    whole = qgrid.whole_range(U, 1.0, 0.7, 25.0, rmax, 10.0)
    assert whole[:4] == qgrid.native_range(U, 1.0, 0.7, 25.0, 30.0, 0.01)


# --------------------------------------------------------------- the curves


@pytest.mark.parametrize("count", [13, 231, 561, 2057])
def test_simulations_agree_on_their_common_r(count):
    short, long = (
        cb.simulate(particle(count), rmax=rmax)[0].g for rmax in (8.0, 30.0)
    )
    error = np.abs(short - long[: len(short)]).max()
    assert error < 1e-5 * np.abs(long).max()


def test_several_elements_and_both_engines_agree():
    x = torch.tensor(particle(231).positions)
    symbols = ["Pt", "Ni"] * 115 + ["Pt"]
    short, long = (
        mixed.mixed_pdf(x, symbols, rmax=rmax, **SETTINGS)
        for rmax in (8.0, 30.0)
    )
    assert (short - long[: len(short)]).abs().max() < 1e-8 * long.abs().max()
    far = torch.tensor(particle(561).positions) * 1.4
    assert pdist(far.numpy()).max() > 33
    for rmax in (8.0, 45.0):
        pure_g = pure.debye_pdf(
            far[None], rmax=rmax, precision=1e-10, **SETTINGS
        )[0]
        g = mixed.mixed_pdf(far, ["Pt"] * 561, rmax=rmax, **SETTINGS)
        assert (g - pure_g).abs().max() < 1e-8 * pure_g.abs().max()


def test_company_in_a_batch_does_not_matter():
    clusters = [particle(13), particle(2057), particle(55)]
    together = cb.simulate(clusters, rmax=10.0)
    for cluster, pdf in zip(clusters, together):
        alone = cb.simulate(cluster, rmax=10.0)[0].g
        assert np.abs(pdf.g - alone).max() < 1e-5 * np.abs(alone).max()


def test_the_native_calculator_leaves_out_pairs():
    """The figures of docs/reference/conventions.md."""
    x = torch.tensor(particle(231).positions)[None]
    native, whole = (
        {
            rmax: pure.debye_pdf(x, rmax=rmax, grid=grid, **SETTINGS)[0]
            for rmax in RANGES
        }
        for grid in ("native", "whole")
    )
    # Within the reach of 30 A both are the same calculator.
    assert torch.equal(native[30.0], whole[30.0])
    expected = {5.0: 0.115, 8.0: 0.078, 12.0: 0.030, 20.0: 0.0055}
    for rmax, value in expected.items():
        part = slice(150, int(100 * rmax))
        truth = whole[30.0][part]
        scale = truth @ native[rmax][part] / native[rmax][part].square().sum()
        off = float(rw(truth, scale * native[rmax][part]))
        assert off == pytest.approx(value, rel=0.02)
        assert (whole[rmax][150:] - truth).abs().max() < 1e-5 * truth.max()


# ----------------------------------------------------------------- the fits


@pytest.mark.parametrize("rmax", RANGES)
def test_the_true_structure_fits_in_every_range(pdfs, rmax):
    for count, pdf in pdfs.items():
        (fit,) = quick_fit(
            [particle(count).positions], Target.of(pdf, rmax=rmax)
        )
        assert fit.rw < 0.002, count


def test_a_particle_longer_than_the_range_of_30_a():
    cluster = particle(2057)
    (pdf,) = cb.simulate(cluster, rmax=50.0)
    for rmax in (8.0, 30.0):
        (fit,) = quick_fit([cluster.positions], Target.of(pdf, rmax=rmax))
        assert fit.rw < 0.002


@pytest.mark.parametrize(
    ("count", "rmax"), [(13, 8.0), (55, 5.0), (231, 8.0), (231, 12.0)]
)
def test_refinement_finds_the_true_structure(pdfs, count, rmax):
    found = cb.refine(
        particle(count),
        pdfs[count],
        backend="torch",
        rmax=rmax,
        heldout=False,
    )
    assert found.rw < 0.002


@pytest.mark.parametrize("rmax", [8.0, 12.0])
@pytest.mark.parametrize("count", [13, 231])
def test_the_true_structure_is_ranked_first(pdfs, count, rmax):
    solution = cb.solve(
        pdfs[count], generators="library", polish=False, rmax=rmax
    )
    best = solution.candidates[0]
    assert len(best) == count and best.rw < 0.002


def test_edits_see_the_curve_of_the_quick_fit(pdfs):
    x = particle(231).positions
    x = x[: len(x) - 60]
    target = Target.of(pdfs[231], rmax=8.0)
    (fit,) = quick_fit([x], target)
    at = x * fit.stretch
    scale = 2 * fit.scale / len(x)
    basis = PairBasis(target, fit, longest=pdist(at).max())
    assert basis.rw_at(at, scale) == pytest.approx(fit.rw, abs=1e-4)
    assert fit.rw > 0.01


def test_screening_counts_all_pairs(pdfs):
    """Company and the length of a cluster are no matter either."""
    bond = 2.77
    some = [particle(n).positions / bond for n in (231, 2057)]
    lengths = np.array([len(x) for x in some])
    target = Target.of(pdfs[231], rmax=8.0)
    hist = histograms(some)
    motion = Motion((U,), (0.04,))
    rws, _ = screen(hist, lengths, target, bond, motion)
    for k in range(2):
        alone, _ = screen(
            hist[k : k + 1], lengths[k : k + 1], target, bond, motion
        )
        # The squares are told to single precision.
        assert alone[0] ** 2 == pytest.approx(rws[k] ** 2, abs=1e-6)
    assert rws[0] < 0.01 < rws[1]


# ------------------------------------------------------------ coarse grids


@pytest.mark.parametrize("step", [0.1, math.pi / 25])
@pytest.mark.parametrize("shake", [0.0, 0.004])
def test_a_coarse_grid_is_calculated_finely(pdfs, step, shake):
    pdf = pdfs[55]
    rng = np.random.default_rng(0)
    r = step * np.arange(15, int(29 / step))
    r = r + shake * rng.uniform(-1, 1, len(r))
    (fine,) = cb.simulate(particle(55), rmax=30.0, rstep=0.001)
    g = fine.g[np.rint(r / 0.001).astype(int)]
    coarse = cb.PDFData(
        r=0.001 * np.rint(r / 0.001),
        g=g,
        composition="Pt",
        qmin=0.7,
        qmax=25.0,
        qdamp=0.04,
        qbroad=0.0,
    )
    cluster = particle(55)
    (fit,) = quick_fit([cluster.positions], coarse)
    assert fit.rw < 0.002
    refined = cb.refine(cluster, coarse, backend="torch", heldout=False)
    assert refined.rw < 0.002
    (same,) = cb.simulate(cluster, rmax=30.0, rstep=0.1)
    assert np.abs(same.g - pdf.g[: 10 * len(same.g) : 10]).max() < 0.01
