"""The plainest of structures that explain large particles alike."""

import numpy as np
import pytest
from ase.cluster import Decahedron

import diffpy_cbldm as cb
from diffpy_cbldm.crystals.lattices import sphere
from diffpy_cbldm.solving.doubts import plainness_doubts
from diffpy_cbldm.solving.frameworks import charged_rws
from diffpy_cbldm.solving.plainest import (
    DISTINCT,
    complexity,
    distinction,
    plainest,
)

R = np.arange(1.5, 40.0, 0.1)
BALL = 2.77 * sphere("fcc", 5.0)
LONG = 2.77 * sphere("fcc", 7.0)
LONG = LONG[np.linalg.norm(LONG[:, :2], axis=1) < 7.5]


def candidate(x, kind="fcc", **more):
    return cb.Candidate(("Pt",) * len(x), x, kind, **more)


def noise(seed, size=1.0):
    return size * np.random.default_rng(seed).normal(size=len(R))


def test_what_is_complex():
    assert len(BALL) > 256 < len(LONG)
    assert complexity(candidate(BALL)) == 0
    assert complexity(candidate(BALL, "stacked")) == 1
    assert complexity(candidate(LONG)) == 1
    assert complexity(candidate(LONG, "stacked", edits=("layers",))) == 3


def test_distinction_grows_with_the_difference_and_changes_sign():
    a, b, c = noise(0), noise(1, 1.05), noise(2, 2.0)
    assert abs(distinction(R, a, b)) < DISTINCT < distinction(R, a, c)
    assert distinction(R, c, a) == pytest.approx(-distinction(R, a, c))
    assert distinction(R, a, a) == 0
    # One block alone tells nothing, however large the difference there.
    worse = a + 20.0 * (abs(R - 10) < 1)
    assert distinction(R, a, worse) < DISTINCT


def test_the_plainer_one_comes_first_unless_the_data_tell_it_apart():
    found = [candidate(LONG, "stacked"), candidate(LONG), candidate(BALL)]
    left = [noise(0), noise(1, 1.02), noise(2, 1.04)]
    assert plainest(found, [0.1, 0.102, 0.104], R, left.__getitem__) == 2
    left[2] = noise(2, 3.0)
    assert plainest(found, [0.1, 0.102, 0.3], R, left.__getitem__) == 1


def test_no_crystal_of_a_compound_is_plainer_than_another():
    left = [noise(0), noise(1, 1.02), noise(2, 1.04)]
    long = candidate(LONG, "wurtzite", generator="cut")
    other = candidate(BALL, "zincblende", generator="cut")
    same = candidate(BALL, "wurtzite", generator="cut")
    rw = [0.1, 0.102, 0.104]
    assert plainest([long, other], rw[:2], R, left.__getitem__) == 0
    assert plainest([long, other, same], rw, R, left.__getitem__) == 2


def test_where_the_misfit_is_noise_or_the_particle_small_rw_decides():
    found = [candidate(LONG, "stacked"), candidate(BALL)]
    left = [noise(0), noise(1)]
    assert plainest(found, [0.01, 0.0101], R, left.__getitem__) == 0
    small = [candidate(BALL[:200], "stacked"), candidate(BALL)]
    assert plainest(small, [0.1, 0.101], R, left.__getitem__) == 0


def test_it_is_said():
    first = candidate(BALL, rw=0.1)
    assert plainness_doubts([first, candidate(LONG, rw=0.1005)]) == []
    (text,) = plainness_doubts([first, candidate(LONG, "stacked", rw=0.08)])
    assert "stacked with" in text and "0.080" in text
    assert plainness_doubts([candidate(BALL)]) == []


def test_frameworks_do_not_imitate_powders():
    first = candidate(BALL[:144], "ico", rw=0.166, edits=("orbits",))
    more = candidate(BALL[:145], "ico", rw=0.160, edits=("orbits",))
    (text,) = plainness_doubts([first, more])
    assert "framework" in text and "twinned" not in text


def test_where_orbits_are_relaxed_all_edits_are_charged():
    rough = BALL[np.linalg.norm(BALL - BALL[0], axis=1) > 6.0]
    edited = candidate(rough, rw=0.11, edits=("sites",))
    relaxed = candidate(
        Decahedron("Pt", 3, 2, 0).positions,
        "dec",
        rw=0.115,
        edits=("orbits",),
        generator="library",
        parameters={"shell_1": (0.05, 0.01)},
    )
    points = 150.0
    assert charged_rws([edited], points) == [0.11]
    values = charged_rws([relaxed, edited], points)
    # One variable, and no charge for orbits that an ideal cluster has.
    one = 0.115 * points ** (0.5 / points)
    assert one == pytest.approx(values[0], rel=0.03)
    assert values[1] > 1.1 * values[0]
    (text,) = plainness_doubts([relaxed, edited])
    assert "edited structure" in text
