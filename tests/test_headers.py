"""What the data tell of Qmax and of the first r, against the header."""

import dataclasses
import functools

import numpy as np
import pytest
from ase.cluster import Icosahedron, Octahedron

import diffpy_cbldm as cb
from diffpy_cbldm.fitting import noise_beyond
from diffpy_cbldm.fitting.noise_beyond import without_noise_beyond
from diffpy_cbldm.fitting.qmax_edge import STEP, _sine_sums, qmax_of
from diffpy_cbldm.fitting.qmin_edge import waves_below, without_waves_below
from diffpy_cbldm.fitting.target import Target
from diffpy_cbldm.solving.headers import settle, without_slow
from training.evaluation.cases import ROBUST, cases, measured

CLUSTER = cb.Cluster("Pt", Octahedron("Pt", 6, cutoff=1).positions)


@functools.cache
def made(qmax=22.0, rmax=30.0, **world):
    (pdf,) = cb.simulate(
        CLUSTER, qmin=0.8, qmax=qmax, rmax=rmax, rstep=0.02, world=world
    )
    return pdf


@pytest.mark.parametrize("count", [1, 64, 701])
def test_waves_turned_back_are_sums_of_sines(count):
    r = np.arange(1, 500) * 0.06
    g = np.random.default_rng(0).normal(size=len(r))
    q = 15.3 + STEP * np.arange(count)
    found = _sine_sums(15.3, count, r, g)
    assert np.allclose(found, np.sin(q[:, None] * r) @ g, atol=1e-10)


@pytest.mark.parametrize("qmax", [18.0, 27.0])
@pytest.mark.parametrize("stated", [0.85, 1.0, 1.15])
def test_the_waves_end_at_qmax(qmax, stated):
    pdf = dataclasses.replace(made(qmax), qmax=stated * qmax)
    assert qmax_of(pdf) == pytest.approx(qmax, abs=0.2)


def test_also_under_noise_and_of_other_clusters():
    noisy = made(noise=0.05, background=0.2, rpoly=0.9, seed=2)
    assert qmax_of(noisy) == pytest.approx(22.0, abs=0.2)
    x = Icosahedron("Au", 3).positions
    (pdf,) = cb.simulate(cb.Cluster("Au", x), qmax=20, rmax=20, rstep=0.02)
    assert qmax_of(pdf) == pytest.approx(20.0, abs=0.3)


def test_where_no_end_is_seen_nothing_is_said():
    pdf = made()
    rng = np.random.default_rng(0)
    points = pdf.g + 10 * pdf.g.std() * rng.normal(size=len(pdf.g))
    assert qmax_of(dataclasses.replace(pdf, g=points)) is None
    # Steps too coarse for waves beyond Qmax.
    coarse = dataclasses.replace(pdf, r=pdf.r[::7], g=pdf.g[::7])
    assert qmax_of(coarse) is None


def test_a_wrong_qmax_is_corrected_and_said():
    pdf = made()
    target, notes = settle(Target.of(pdf), "auto")
    assert notes == [] and target.qmax == 22.0 and target.rmin == 1.5
    wrong = Target.of(dataclasses.replace(pdf, qmax=24.5))
    target, (note,) = settle(wrong, "auto")
    assert target.qmax == target.pdf.qmax == pytest.approx(22.0, abs=0.2)
    assert "end at 22.0 1/A, not at 24.5" in note and "is wrong" in note
    unknown = cb.PDFData(pdf.r, pdf.g, composition="Pt", qmin=0.8, stype="X")
    _, (note,) = settle(Target.of(unknown), "auto")
    assert "Qmax is not given" in note


def test_the_fit_begins_where_the_metal_does():
    pdf = made()
    wave = np.where(pdf.r < 2.2, np.sin(2 * np.pi * pdf.r / 2.2), 0.0)
    bad = dataclasses.replace(pdf, g=pdf.g + 0.3 * pdf.g.max() * wave)
    target, (note,) = settle(Target.of(bad), "auto")
    assert target.rmin == pytest.approx(0.8 * 2.77, abs=0.03)
    assert "Before the first peak" in note
    assert target.qdamp == pdf.qdamp


def test_an_answer_survives_a_wrong_header():
    wrong = dataclasses.replace(made(), qmax=24.2)
    words = {"generators": "library", "count": 8, "refine": 1}
    solution = cb.solve(wrong, polish=False, **words)
    best = solution.candidates[0]
    assert len(best) == len(CLUSTER) and best.rw < 0.02
    assert any("Qmax is wrong" in text for text in solution.warnings)
    assert solution.settings["qmax"] == pytest.approx(22.0, abs=0.2)


def with_noise(pdf, size):
    """Noise of single points, over the size of G(r)."""
    draw = np.random.default_rng(1).normal(size=len(pdf.g))
    return dataclasses.replace(pdf, g=pdf.g + size * pdf.g.std() * draw)


def test_noise_of_single_points_is_taken_away_beyond_qmax_and_said():
    pdf = dataclasses.replace(made(), composition="Pt")
    target = Target.of(with_noise(pdf, 0.05))
    found, said = settle(target, "no")
    assert any("noise of their own" in text for text in said)
    assert found.qmax == target.qmax and len(found.r) == len(target.r)
    inside = np.interp(found.r, pdf.r, pdf.g)
    before = np.std(target.g - inside)
    # What is left is the share of the waves up to Qmax, and of the end.
    share = pdf.qmax / (np.pi / pdf.step)
    after = np.std(found.g - inside)
    assert after == pytest.approx(before * np.sqrt(share), rel=0.2)


@pytest.mark.parametrize("qmax", [22.0, 19.0])
def test_a_signal_is_not_taken_for_noise(qmax):
    # Also where Qmax is told too low.
    pdf = dataclasses.replace(made(noise=0.02, seed=1), qmax=qmax)
    assert without_noise_beyond(pdf) == (pdf, 0.0)


def test_noise_stays_where_it_cannot_be_told():
    noisy = with_noise(made(), 0.05)
    assert without_noise_beyond(noisy)[1] == pytest.approx(0.045, abs=0.005)
    dg = np.full(len(noisy.g), 0.1)
    for other in (
        dataclasses.replace(noisy, dg=dg),
        dataclasses.replace(noisy, r=noisy.r[::5], g=noisy.g[::5]),
        with_noise(made(), 5.0),
    ):
        assert without_noise_beyond(other) == (other, 0.0)


def test_what_lies_within_qmax_is_that_of_least_squares():
    """Also at points that are not even, by the waves one by one."""
    rng = np.random.default_rng(0)
    r = np.sort(rng.uniform(0.5, 12.0, 700))
    g = rng.normal(size=len(r))
    step = np.pi / (r[-1] + noise_beyond.BEYOND)
    waves = np.sin(np.outer(r, step * np.arange(1, int(20.0 / step) + 1)))
    size = waves.shape[1]
    ridge = noise_beyond.RIDGE * np.square(waves).sum() / size
    normal = waves.T @ waves + ridge * np.eye(size)
    exact = waves @ np.linalg.solve(normal, waves.T @ g)
    assert noise_beyond._within(r, g, 20.0) == pytest.approx(exact, abs=1e-9)


@pytest.mark.parametrize("where", [1.2, 14.0])
def test_a_step_or_a_spike_is_no_noise_of_all_points(where):
    pdf = made()
    odd = pdf.r < where if where < 2 else np.abs(pdf.r - where) < 0.5 * STEP
    other = dataclasses.replace(pdf, g=pdf.g + 3.0 * odd)
    assert np.any(odd)
    assert without_noise_beyond(other) == (other, 0.0)


def with_slow_waves(pdf, size=1.0):
    """The same with F(Q) = -size Q below its Qmin."""
    q = np.arange(0.005, pdf.qmin, 0.01)
    slow = np.sin(pdf.r[:, None] * q) @ q * (2 / np.pi * 0.01)
    return dataclasses.replace(pdf, g=pdf.g - size * slow)


def test_nothing_lies_below_a_right_qmin():
    for pdf in (made(), made(noise=0.05, background=0.2, rpoly=0.9, seed=2)):
        assert waves_below(pdf) < 0.03
    assert waves_below(dataclasses.replace(made(), qmin=1.6)) > 0.1
    # Data that begin later, or end too soon, cannot tell.
    slow = with_slow_waves(made())
    assert waves_below(slow) > 0.15
    late = slow.r > 0.5
    cut = dataclasses.replace(slow, r=slow.r[late], g=slow.g[late])
    assert waves_below(cut) == 0.0
    gap = (made().r < 2.6) | (made().r > 3.0)
    cut = dataclasses.replace(made(), r=made().r[gap], g=made().g[gap])
    assert len(cut.gaps) and waves_below(cut) == 0.0


def test_slow_waves_are_taken_out_of_the_data_and_nothing_else():
    pdf = made(rmax=60.0)
    near = pdf.r < 30
    scale = np.abs(pdf.g).max()
    clean = without_waves_below(with_slow_waves(pdf))
    assert np.abs(clean.g - pdf.g)[near].max() < 0.005 * scale
    assert np.abs(without_waves_below(clean).g - clean.g).max() < 1e-3 * scale


def test_slow_waves_are_left_out_where_that_fits_better():
    slow = with_slow_waves(made(), 2.0)
    (other,) = cb.simulate(CLUSTER, qmin=0.8, qmax=15, stype="N")
    beside = dataclasses.replace(Target.of(slow), together=(Target.of(other),))
    target, (note,) = settle(beside, "auto")
    assert "waves below the Qmin that is stated, 0.8 1/A" in note
    assert target.qmin == 0.8 and target.together == beside.together
    assert np.abs(target.pdf.g - made().g).max() < 0.1 * made().g.max()
    # Qmin that nobody stated says nothing about the data.
    unknown = cb.PDFData(
        slow.r, slow.g, composition="Pt", qmax=22.0, qdamp=slow.qdamp
    )
    target = Target.of(unknown)
    assert without_slow(target) == (target, None)


def test_a_background_that_the_screening_hardly_sees_is_found():
    # Its widths are fixed: of this one they leave more than the background.
    how = ROBUST["background"]
    case = cases("geometry", 10)[9]
    plain = dataclasses.replace(how, background=0.0)
    for conditions, moved in ((how, True), (plain, False)):
        given = Target.of(measured(case, conditions, 9), qdamp_range=how.qdamp)
        found, said = settle(given, "no")
        assert (found.rmin > given.rmin) == moved
        assert any("background" in text for text in said) == moved
