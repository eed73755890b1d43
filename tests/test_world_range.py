"""Ranges of N that hold for powders, and the tables that count them."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest

import diffpy_cbldm as cb
from diffpy_cbldm.fitting.agreement import EXPLAINED
from diffpy_cbldm.solving.atom_range import AtomRange
from diffpy_cbldm.solving.doubt_facts import FACTS
from diffpy_cbldm.solving.size_evidence import (
    FACTORS,
    SHARES,
    SPREAD,
    SizeEvidence,
    conformal,
    fitted,
)
from diffpy_cbldm.solving.world_range import on_powders
from tests.benchmarks import measured_world, world_tables

X = np.random.default_rng(0).normal(size=(100, 3)) * 5


def test_conformal_scores_cover_what_they_promise():
    """Whatever their distribution, a new one lies below in that share."""
    rng = np.random.default_rng(0)
    for draw in (rng.exponential, rng.standard_cauchy):
        below = []
        for _ in range(2000):
            scores = np.abs(draw(size=20))
            below.append(scores[-1] <= conformal(scores[:-1], 0.9))
        assert np.mean(below) == pytest.approx(0.9, abs=0.03)
    assert conformal([1.0] * 8, 0.9) == np.inf


def evidence(**more):
    told = {"atoms": 100, "low": 90, "high": 120, "rw": 0.05, "reach": 0.5}
    return SizeEvidence(**told | {"known": True} | more)


def test_the_score_is_how_far_the_range_must_reach():
    for true in (20.0, 60.0, 100.0, 150.0, 400.0):
        one = evidence()
        score = one.score(true)
        low, high = one.ends(score + 0.05)
        assert low <= true <= high
        low, high = one.ends(max(score - 0.3, 0))
        assert not low + 1 < true < high - 1


def test_what_tells_less_makes_ranges_wider():
    plain = evidence()
    for worse in ({"rw": 0.2}, {"low": 50}, {"known": False}, {"reach": 1.2}):
        assert evidence(**worse).spread > plain.spread
    assert set(plain.features) == set(SPREAD)
    low, high = plain.ends(1.0)
    assert low < 90 + 10 < high


def test_spreads_are_found_again():
    """Of answers whose error grows with Rw as it was made to."""
    rng = np.random.default_rng(0)
    rw = rng.uniform(0.03, 0.3, 1500)
    some = [evidence(rw=x, low=100, high=100, atoms=100) for x in rw]
    true = 100 * np.exp(rng.laplace(size=len(rw)) * 0.1 * (rw / 0.07) ** 0.8)
    _, spread = fitted(some, true)
    assert spread["rw"] == pytest.approx(0.8, abs=0.1)
    assert np.exp(spread["answer"]) == pytest.approx(0.1, rel=0.15)


def test_wider_shares_and_worse_fits_are_no_narrower():
    assert set(FACTORS) == {
        evidence(reach=reach, known=known, rw=rw).stratum
        for reach in (0.3, 0.9)
        for known in (True, False)
        for rw in (0.05, 0.2)
    }
    for by_share in FACTORS.values():
        assert list(by_share) == list(SHARES)
        assert 0 <= by_share[0.5] <= by_share[0.9] < np.inf


@pytest.mark.parametrize("rw", [0.5 * EXPLAINED, 0.15])
def test_a_single_particle_keeps_its_range(rw):
    best = cb.Candidate("Pt", X, "fcc", "library", rw=rw)
    target = SimpleNamespace(qdamp=0.04, rmax=30.0)
    atoms = AtomRange(100, 97, 104, 0.9)
    alike = AtomRange(100, 100, 100, 0.9)
    found = on_powders(atoms, alike, best, target)
    alone = on_powders(None, alike, best, target)
    assert (alone is None) == (rw < EXPLAINED)
    if rw < EXPLAINED:
        assert (found.low, found.high) == (97, 104)
    else:
        assert found.low < 97 and found.high > 104
        assert found.evidence.rw == rw and not found.evidence.second


@pytest.mark.parametrize("qdamp", [0.04, None])
def test_a_large_particle_is_off_by_more_than_its_edits_say(qdamp):
    xyz = 2.8 * np.argwhere(np.ones((10, 10, 10)))
    one = AtomRange(1000, 1000, 1000, 0.9)
    target = SimpleNamespace(qdamp=qdamp, rmax=60.0)

    def told(rw, atoms=one):
        best = cb.Candidate("Pt", xyz, "fcc", "cbldm", rw=rw)
        return on_powders(atoms, one, best, target)

    found = told(0.01)
    assert np.log(found.high / 1000) == pytest.approx(0.06, abs=0.002)
    assert np.log(1000 / found.low) == pytest.approx(0.06, abs=0.002)
    # What edits tell beyond it stays, and data without noise are exact.
    assert told(0.01, AtomRange(1000, 500, 1001, 0.9)).low == 500
    assert told(0.0001) == one


def test_beside_a_second_phase_the_range_is_that_of_the_other_particle():
    best = cb.Candidate("Pt", X, "hcp", "library", rw=0.2)
    target = SimpleNamespace(qdamp=0.04, rmax=30.0)
    alike = AtomRange(100, 100, 100, 0.9)
    beside = SimpleNamespace(n_atoms=40, low=38, high=44, rw=0.05)
    found = on_powders(alike, alike, best, target, beside)
    assert found.low < 40 < found.high < 100
    assert found.evidence.second and found.evidence.rw == 0.05


@pytest.mark.parametrize("second", [False, True])
def test_a_range_holds_the_answer_itself(second):
    """Where nearly all that explains the data alike is far smaller."""
    best = cb.Candidate("Pt", X, "fcc", "library", rw=0.05)
    target = SimpleNamespace(qdamp=0.04, rmax=30.0)
    alike = AtomRange(100, 8, 100, 0.9)
    beside = SimpleNamespace(n_atoms=100, low=8, high=100, rw=0.05)
    low, high = evidence(low=8, high=100).ends(1.0)
    assert high < 100
    found = on_powders(None, alike, best, target, beside if second else None)
    assert found.low <= found.atoms == 100 <= found.high


def a_row(number, **more):
    row = {
        "number": number,
        "kind": "fcc",
        "number_mean": 190.0,
        "weight_mean": 200.0,
        "told": True,
        "type": "fcc",
        "types": ["fcc"],
        "atoms": 201,
        "rw": 0.05,
        "evidence": dataclasses.asdict(evidence(atoms=201, low=201, high=220)),
        "state": "good",
        "reason": "",
        "doubts": dict.fromkeys(FACTS, 0.0),
    }
    return row | more


def test_wrong_answers_are_told_from_right_ones():
    assert world_tables.right(a_row(0))
    assert world_tables.right(a_row(0, type="oct"))
    assert not world_tables.right(a_row(0, type="bcc", types=["bcc"]))
    assert world_tables.right(a_row(0, type="bcc", types=["bcc", "fcc"]))
    assert not world_tables.right(a_row(0, weight_mean=2000.0))
    # Out of its range, and by less than a third of N.
    assert world_tables.right(a_row(0, weight_mean=260.0))


def test_weights_find_the_test_that_tells():
    """Of a test that only wrong answers raise, and one that says nothing."""
    rng = np.random.default_rng(0)
    rows = []
    for k in range(200):
        wrong = k % 4 == 0
        doubts = dict.fromkeys(FACTS, 0.0)
        doubts["misfit"] = 1.0 if wrong and rng.random() < 0.9 else 0.0
        doubts["before"] = 1.0 if rng.random() < 0.5 else 0.0
        kind = "bcc" if wrong else "fcc"
        rows.append(a_row(k, kind=kind, doubts=doubts))
    limits = {name: 0.5 for name in FACTS}
    found = world_tables.weights(rows, limits)
    assert found["misfit"] >= 1.0 and found["before"] < 1.0


def test_tables_of_a_few_cases():
    rows = [a_row(k) for k in range(30)]
    rows += [a_row(31, kind="liquid", state="none", reason="liquid or glass")]
    text = world_tables.tables(rows)
    assert "31 cases, 30 particles" in text
    assert "| liquid | 100% of 1 | 1 liquid or glass |" in text
    assert "| metal particle | 0% of 30 | - |" in text


def test_further_cases_count_where_a_misfit_is_left():
    """They were chosen for it: no other figure may see them."""
    rows = [a_row(k) for k in range(30)]
    poor = evidence(atoms=201, low=201, high=220, rw=0.15)
    more = [
        a_row(40, evidence=dataclasses.asdict(poor), rw=0.15),
        a_row(41, kind="bcc"),
        a_row(42, kind="liquid", state="none", reason="liquid or glass"),
    ]
    alone = world_tables.tables(rows).splitlines()
    text = world_tables.tables(rows, more).splitlines()
    assert "and 1 further answers with a misfit" in text[0]
    changed = {
        line.split("|")[1].strip() for line in set(text[1:]) - set(alone)
    }
    assert changed == {poor.stratum, "all"}


def test_cases_are_told_by_their_number():
    one, again = measured_world.case(3), measured_world.case(3)
    assert np.array_equal(one.pdf.g, again.pdf.g)
    assert one.kind == again.kind and one.number_mean <= one.weight_mean
