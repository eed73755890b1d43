"""Pair histograms counted on sites against those of positions."""

import numpy as np
import pytest

from diffpy_cbldm.crystals.lattices import TEMPLATES, stacking_sites
from diffpy_cbldm.crystals.table import load_table
from diffpy_cbldm.debye.batches import padded
from diffpy_cbldm.debye.conditions import Conditions
from diffpy_cbldm.debye.histogram import pair_histogram, pdf_from_histogram
from diffpy_cbldm.debye.kernels import MOMENTS, class_moments
from diffpy_cbldm.search.pool import site_pairs

STEP, BINS, ORDER = 0.02, 1024, 6


def clusters(template, rng):
    """Compact clusters that overlap, and one apart from all others."""
    sites = load_table().sites[template].astype(float)
    allowed = np.ones(len(sites), bool)
    if template == "stack":  # one site of three in each column
        layer, place = stacking_sites(sites)
        allowed = place == layer % 3
    inner = np.flatnonzero(allowed)
    inner = inner[np.argsort(np.linalg.norm(sites[inner], axis=1))]
    found = [
        np.sort(rng.permutation(inner[: 60 + 30 * k])[: 50 + 25 * k])
        for k in range(6)
    ]
    found.append(np.sort(inner[200:240]))
    found.append(found[-1][:5])
    return sites, found


@pytest.mark.parametrize("template", TEMPLATES)
def test_counts_are_those_of_a_double_loop(template):
    sites, found = clusters(template, np.random.default_rng(1))
    pairs = site_pairs(template, STEP, BINS, ORDER)
    counts = pairs.counts(found)
    assert (counts >= 0).all()
    for row, members in zip(counts, found):
        assert row[0] == len(members)
        assert row.sum() == len(members) ** 2
        alone = pairs.counts([members])[0]
        assert (row == alone).all()


@pytest.mark.parametrize("template", TEMPLATES)
def test_curves_are_those_of_the_positions(template):
    """To a thousandth of the highest peak, at Qmax 30 and cold atoms."""
    sites, found = clusters(template, np.random.default_rng(2))
    xyz, lengths = padded([sites[members] for members in found])
    bond = 2.75
    curves = [
        pdf_from_histogram(
            hist,
            lengths,
            Conditions(
                u_iso=0.003 / bond**2, qmin=0.7 * bond, qmax=30.0 * bond
            ),
            step=STEP,
            points=600,
            order=ORDER,
        )
        for hist in (
            site_pairs(template, STEP, BINS, ORDER).histograms(found),
            pair_histogram(xyz, lengths, step=STEP, bins=BINS, order=ORDER),
        )
    ]
    apart = np.abs(curves[0] - curves[1]).max(1)
    assert (apart < 1e-3 * np.abs(curves[1]).max(1)).all()


def test_classes_leave_the_moments_of_their_pairs():
    """A class of n ordered pairs counts as n / 2 pairs at its distance."""
    counts = np.array([[5, 6, 0, 2], [5, 0, 8, 4]])
    t = np.array([3.25, 7.5, 7.75])
    moments = np.zeros((2, 8, MOMENTS))
    class_moments(counts, t, moments)
    power = np.arange(MOMENTS)
    for row, (_, *numbers) in zip(moments, counts):
        a, b, c = np.array(numbers) / 2 / t
        assert np.allclose(row[3], a * 0.25**power)
        assert np.allclose(row[7], b * 0.5**power + c * 0.75**power)
        assert not row[[0, 1, 2, 4, 5, 6]].any()
