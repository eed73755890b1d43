"""Ranges of the first-neighbour distance, and how often a type is right."""

import numpy as np
import pytest

import diffpy_cbldm as cb
from diffpy_cbldm.solving.other_ranges import (
    BOND,
    TYPES,
    bond_range,
    type_probability,
)
from diffpy_cbldm.solving.size_evidence import FACTORS, SizeEvidence

X = 2.77 * np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0.0]])


def evidence(rw):
    return SizeEvidence(4, 4, 4, rw, reach=0.2, known=True)


def test_the_range_lies_about_the_distance_and_is_wider_for_more():
    best = cb.Candidate("Pt", X, "fcc", "library", rw=0.05)
    half, most = (bond_range(best, evidence(0.05), s) for s in (0.5, 0.9))
    assert most.length == pytest.approx(2.77)
    assert most.low < half.low < 2.77 < half.high < most.high
    assert most.low * most.high == pytest.approx(2.77**2)
    assert str(most).startswith("2.770 A (2.7")


def test_types_are_surer_without_rivals_and_in_good_fits():
    sure, rivals = (type_probability(evidence(0.05), x) for x in (0, 1))
    assert 0 < rivals < sure < 1
    assert type_probability(evidence(0.3), False) < sure


def test_all_strata_were_counted():
    assert set(BOND) == set(FACTORS)
    kinds = {name.split(",")[0] for name in FACTORS}
    assert kinds | {"rivals"} == set(TYPES)
    for right, counted in TYPES.values():
        assert 0 <= right <= counted
