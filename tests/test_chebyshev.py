"""Chebyshev sums against the functions that they stand for."""

import numpy as np
import pytest
import torch

from diffpy_cbldm.debye import chebyshev
from diffpy_cbldm.debye.batches import padded
from diffpy_cbldm.debye.widths import width_ratio


@pytest.mark.parametrize(("exponent", "base"), [(0.5, 0.0), (20.0, 0.3)])
@pytest.mark.parametrize("precision", [1e-4, 1e-10])
def test_count_is_enough_and_not_far_too_many(exponent, base, precision):
    x = torch.linspace(-1, 1, 101, dtype=torch.float64)

    def error(count):
        t, matrix = chebyshev.coefficients(count, x)
        terms = torch.stack(chebyshev.terms(torch.ones_like(x), x, count))
        return max(
            float(
                (
                    (matrix @ torch.exp(-c * (base + 1 + t))) @ terms
                    - torch.exp(-c * (base + 1 + x))
                )
                .abs()
                .max()
            )
            for c in (exponent, exponent / 3, exponent / 20)
        )

    count = chebyshev.node_count(exponent, base, precision)
    assert error(count) < precision
    assert error(count // 2) > precision


def test_wide_exponents_are_too_many():
    assert chebyshev.node_count(1e5, 0.0, 1e-10) == chebyshev.TOO_MANY


def test_one_and_two_terms():
    x = torch.tensor([0.3, -0.7])
    assert len(chebyshev.terms(x, x, 1)) == 1
    assert torch.equal(chebyshev.terms(x, x, 2)[1], x * x)


def test_width_law_of_numbers_arrays_and_tensors():
    law = {"delta1": 0.2, "delta2": 1.5, "qbroad": 0.03}
    by_hand = 1 - 0.2 / 2.5 - 1.5 / 6.25 + 0.075**2
    assert width_ratio(2.5, **law) == pytest.approx(by_hand)
    assert width_ratio(np.array([2.5]), **law) == pytest.approx([by_hand])
    s = width_ratio(torch.tensor([2.5, 0.5]).double(), **law)
    assert float(s[0]) == pytest.approx(by_hand)
    assert float(s[1]) < 0, "it is not cut"


def test_padded_clusters():
    few, many = np.ones((2, 3)), np.full((4, 3), 2.0)
    positions, lengths = padded([few, many])
    assert positions.dtype == np.float32 and positions.shape == (2, 4, 3)
    assert lengths.tolist() == [2, 4]
    assert (positions[0, 2:] == 0).all()
    assert float(positions[1].min()) == 2.0
    positions, _ = padded([few], np.float64, size=6)
    assert positions.dtype == np.float64 and positions.shape == (1, 6, 3)
    positions, lengths = padded([])
    assert positions.shape == (0, 0, 3) and len(lengths) == 0
