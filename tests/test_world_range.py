"""Ranges of N that hold for powders, and the tables that count them."""

from types import SimpleNamespace

import numpy as np
import pytest

import diffpy_cbldm as cb
from diffpy_cbldm.solving.atom_range import AtomRange
from diffpy_cbldm.solving.doubt_facts import FACTS
from diffpy_cbldm.solving.world_range import (
    EXPLAINED,
    SHARES,
    WIDENING,
    conformal,
    excess,
    on_powders,
    stratum_of,
    widened,
)
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
    assert conformal([-1.0] * 20, 0.9) == 0.0


def test_the_excess_is_what_has_to_be_added():
    atoms = AtomRange(100, 90, 120, 0.9)
    assert excess(atoms, 100) < 0
    for true in (40.0, 300.0):
        more = np.exp(excess(atoms, true))
        assert min(abs(90 / more - true), abs(120 * more - true)) < 1e-9


def test_wider_shares_and_worse_fits_are_no_narrower():
    assert set(WIDENING) == {
        stratum_of(size, 30.0, known, rw)
        for size in (10.0, 29.0)
        for known in (True, False)
        for rw in (0.05, 0.2)
    }
    for name, by_share in WIDENING.items():
        assert list(by_share) == list(SHARES)
        assert 0 <= by_share[0.5] <= by_share[0.9] < np.inf
        wide = widened(AtomRange(100, 90, 120, 0.9), name)
        assert wide.low <= 90 and wide.high >= 120 and wide.share == 0.9


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


def a_row(number, **more):
    row = {
        "number": number,
        "kind": "fcc",
        "number_mean": 190.0,
        "weight_mean": 200.0,
        "told": True,
        "rmax": 30.0,
        "type": "fcc",
        "types": ["fcc"],
        "atoms": 201,
        "diameter": 20.0,
        "rw": 0.05,
        "alike": [201, 220],
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


def test_cases_are_told_by_their_number():
    one, again = measured_world.case(3), measured_world.case(3)
    assert np.array_equal(one.pdf.g, again.pdf.g)
    assert one.kind == again.kind and one.number_mean <= one.weight_mean
