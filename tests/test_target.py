"""The carrier of the measurement: one rule for the range, one Q grid."""

import math

import numpy as np
import pytest
from scipy.spatial.distance import pdist

import diffpy_cbldm as cb
from diffpy_cbldm.debye.qgrid import native_range
from diffpy_cbldm.fitting.quickfit import quick_fit
from diffpy_cbldm.fitting.recipe import make_recipe
from diffpy_cbldm.fitting.target import FEWEST, Target

R = np.arange(3000) * 0.01
G = np.sin(2.3 * R) * np.exp(-R / 10)


def a_pdf(**more):
    known = {"r": R, "g": G, "composition": "Pt", "qmin": 1.0, "qmax": 22.0}
    return cb.PDFData(**{**known, **more})


def test_both_ends_belong_to_the_range():
    """Also where rounding puts a point a little outside."""
    r = R + 3e-7
    target = Target.of(a_pdf(r=r), 2.0, 20.0)
    assert target.r[0] == r[200] and target.r[-1] == r[2000]
    assert (target.rmin, target.rmax) == (2.0, 20.0)
    assert np.array_equal(target.g, G[200:2001])


def test_the_range_ends_with_the_data():
    target = Target.of(a_pdf(), 1.5, 80.0)
    assert target.rmax == R[-1] == target.r[-1]
    points = (R[-1] - 1.5) * 21.0 / math.pi
    assert target.independent_points == pytest.approx(points)


def test_srfit_compares_the_same_points():
    pdf = a_pdf(r=R + 3e-7)
    target = Target.of(pdf, 2.0, 20.0)
    recipe = make_recipe(cb.Cluster("Pt", 2.7 * np.eye(3)), target)
    profile = recipe.cluster.profile
    assert np.array_equal(profile.x, target.r)
    assert np.array_equal(profile.y, target.g)
    # Who goes on with the recipe may choose another range.
    assert len(profile.xobs) == len(pdf.r)


def test_a_target_is_handed_on_as_it_is():
    target = Target.of(a_pdf(), 2.0, 20.0)
    assert Target.of(target, 5.0, 6.0) is target
    assert "1801 points from 2 to 20 A" in repr(target)


def test_qdamp_can_be_held_and_freed():
    target = Target.of(a_pdf(qdamp=0.03))
    assert target.qdamp == 0.03
    free = target.with_qdamp(None)
    assert free.qdamp is None and free.r is target.r
    assert target.with_qdamp(0.05).qdamp == 0.05


def test_weights_are_one_over_the_variance():
    dg = np.where(R > 10, 0.2, 0.1)
    target = Target.of(a_pdf(dg=dg))
    near, far = target.weights[target.r < 9], target.weights[target.r > 11]
    assert near[0] / far[0] == pytest.approx(4.0)
    assert target.weights.mean() == pytest.approx(1.0)
    assert (Target.of(a_pdf()).weights == 1.0).all()


def test_quick_fit_and_srfit_weigh_alike():
    """Their Rw of one structure agree, dG uneven over r."""
    cluster = cb.Cluster("Pt", 2.75 * np.indices((3, 3, 2)).reshape(3, -1).T)
    (pdf,) = cb.simulate(cluster, qmin=1.0, qmax=22.0, qdamp=0.03)
    rng = np.random.default_rng(0)
    dg = np.where(pdf.r < 8, 0.02, 0.3)
    noisy = cb.PDFData(
        r=pdf.r, g=pdf.g + dg * rng.normal(size=len(dg)), dg=dg,
        composition="Pt", qmin=1.0, qmax=22.0, qdamp=0.03,
    )  # fmt: skip
    (fit,) = quick_fit([cluster.positions], noisy)
    assert cb.refine(cluster, noisy).rw == pytest.approx(fit.rw, rel=0.01)
    plain = cb.PDFData(
        r=noisy.r, g=noisy.g,
        composition="Pt", qmin=1.0, qmax=22.0, qdamp=0.03,
    )  # fmt: skip
    assert abs(quick_fit([cluster.positions], plain)[0].rw - fit.rw) > 0.01


def test_thinning_keeps_what_the_q_range_can_tell():
    target = Target.of(a_pdf())
    thin = target.thinned(2.0)
    step = thin.r[1] - thin.r[0]
    assert 0.5 < step * target.qmax / math.pi * 2.0 <= 1.0
    assert thin.r[0] == target.r[0] and len(thin.g) == len(thin.weights)
    coarse = Target.of(a_pdf(r=R[::20], g=G[::20])).thinned(3.0)
    assert len(coarse.r) == len(Target.of(a_pdf(r=R[::20], g=G[::20])).r)


@pytest.mark.parametrize("qbroad", [0.0, 0.02, 0.05])
@pytest.mark.parametrize("uiso", [0.003, 0.02])
def test_the_q_grid_is_the_native_one_with_qbroad_too(qbroad, uiso):
    target = Target.of(a_pdf(qbroad=qbroad))
    grid = target.q_grid(uiso)
    end = float(target.r[-1])
    ratio = 1 + (qbroad * end) ** 2
    expected, step, first, count = native_range(
        uiso, ratio, 1.0, 22.0, end, 0.01
    )
    assert grid.reach == pytest.approx(expected, abs=1e-9)
    assert len(grid.q) == count - first
    assert grid.q[0] == pytest.approx(first * step)
    if qbroad:
        assert grid.reach > Target.of(a_pdf()).q_grid(uiso).reach + 0.05


def test_qbroad_in_quick_fit_and_refinement():
    """The quick fit's Rw is that of SrFit where peaks widen with r."""
    x = 2.75 * np.indices((4, 4, 4)).reshape(3, -1).T
    assert pdist(x).max() < 20
    cluster = cb.Cluster("Pt", x)
    (pdf,) = cb.simulate(cluster, qmin=1.0, qmax=22.0, qdamp=0.03)
    broad = cb.PDFData(
        r=pdf.r, g=pdf.g,
        composition="Pt", qmin=1.0, qmax=22.0, qdamp=0.03, qbroad=0.02,
    )  # fmt: skip
    (fit,) = quick_fit([x], broad)
    assert cb.refine(cluster, broad).rw == pytest.approx(fit.rw, abs=2e-4)


def test_mistakes():
    with pytest.raises(cb.CbldmError, match=f"at least {FEWEST}"):
        Target.of(a_pdf(), 29.9, 40.0)
    with pytest.raises(cb.CbldmError, match="expected PDFData"):
        Target.of("particle.gr")


def test_the_range_of_a_qdamp_that_is_not_known():
    assert Target.of(a_pdf()).qdamp_range == (0.015, 0.06)
    neutrons = a_pdf(stype="N")
    assert Target.of(neutrons).qdamp_range == (0.01, 0.03)
    assert Target.of(neutrons, qdamp_range="0.02,0.05").qdamp_range == (
        0.02,
        0.05,
    )
    for chosen in ((0.0, 0.1), [0, 0.1], "0, 0.1"):
        target = Target.of(a_pdf(), qdamp_range=chosen)
        assert target.qdamp_range == (0.0, 0.1)
        # Other ends, other Qmin: the range stays.
        assert target.with_rmax(10.0).qdamp_range == (0.0, 0.1)
        assert target.with_qmin(0.8).qdamp_range == (0.0, 0.1)


@pytest.mark.parametrize(
    "wrong", ["0.06,0.01", "0.02", "a,b", (0.01,), (-0.1, 0.1), (0, 2), 3]
)
def test_ranges_that_are_none(wrong):
    with pytest.raises(cb.CbldmError, match="two rising numbers from 0 to 1"):
        Target.of(a_pdf(), qdamp_range=wrong)


def test_dampings_cover_the_range():
    target = Target.of(a_pdf())
    tried = target.dampings(0.03)
    assert (tried[0], tried[-1]) == (0.015, 0.06)
    assert max(np.diff(tried)) <= 0.03 and len(tried) == 3
    assert target.with_qdamp(0.033).dampings(0.03) == (0.033,)
    assert target.first_qdamp == 0.04
    # No fit begins at a bound.
    assert Target.of(a_pdf(stype="N")).first_qdamp == pytest.approx(0.02)
    assert target.with_qdamp(0.09).first_qdamp == 0.09


def test_other_ends_keep_a_qdamp_that_is_held():
    held = Target.of(a_pdf()).with_qdamp(0.033)
    assert held.with_rmax(12.0).qdamp == 0.033
    assert held.with_qmin(0.8).pdf.qmin == 0.8
    assert held.with_qmin(0.8).qdamp == 0.033
