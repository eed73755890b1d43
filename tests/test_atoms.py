"""The range of the number of atoms, and its calibration."""

import math

import numpy as np
import pytest

from diffpy_cbldm.solving.atom_range import (
    FACTORS,
    FLOOR,
    WITHIN,
    AtomRange,
    atom_range,
    factor,
    spread,
)


def test_the_spread_is_that_of_what_was_met():
    counts, criteria = [100, 110, 90, 400], [-500, -510, -480, -300]
    words = counts, criteria, (100, -500)
    # One as good counts in full, one half as far as the limit by half.
    both = math.log(1.1) - 0.5 * math.log(0.9)
    assert WITHIN == 40
    assert spread(*words, edited=False) == pytest.approx(both)
    more = spread(*words, edited=True) - spread(*words, edited=False)
    assert more == pytest.approx(FLOOR)
    # Beyond the limit nothing counts; the answer alone is certain.
    alone = spread([100, 90], [-500, -499 + WITHIN], (100, -500), False)
    assert alone == 0
    assert str(atom_range(100, alone)) == "100 atoms"


def test_a_wider_share_is_a_wider_range():
    half, most = (atom_range(150, 0.08, share) for share in (0.5, 0.9))
    assert most.low <= half.low <= 150 <= half.high <= most.high
    assert most == AtomRange(
        150,
        math.ceil(150 * math.exp(-0.08 * FACTORS[0.9])),
        math.floor(150 * math.exp(0.08 * FACTORS[0.9])),
        0.9,
    )
    assert str(most) == f"{most.low} to {most.high} atoms"


def test_ranges_hold_as_often_as_they_say():
    """For new particles of the kind that the factor was made of."""
    rng = np.random.default_rng(0)

    def drawn(many):
        scales = rng.uniform(0.02, 0.2, many)
        true = 1000 * np.exp(scales * rng.normal(size=many))
        return true, np.full(many, 1000), scales

    for share in (0.5, 0.9):
        held = []
        for _ in range(200):
            wide = factor(*drawn(39), share)
            true, atoms, scales = drawn(20)
            off = np.abs(np.log(true / atoms))
            held.append(np.mean(off <= wide * scales))
        assert np.mean(held) == pytest.approx(share, abs=0.02)


def test_too_few_cases_make_no_factor():
    few = [101] * 5, [100] * 5, [0.1] * 5
    assert factor(*few, 0.9) == math.inf and factor(*few, 0.5) < 1
