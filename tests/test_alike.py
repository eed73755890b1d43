"""RMSD of copies, duplicates, and which of equal fits comes first."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from diffpy_cbldm.crystals import alike

GOLDEN = (1 + 5**0.5) / 2


def fcc(n, centre=(0.0, 0.0, 0.0), bond=2.775):
    k = np.arange(-6, 7)
    x = np.stack(np.meshgrid(k, k, k), -1).reshape(-1, 3)
    x = x[x.sum(1) % 2 == 0] * bond / 2**0.5
    distance = np.linalg.norm(x - np.array(centre), axis=1).round(6)
    return x[np.argsort(distance, kind="stable")[:n]]


def icosahedron(shells, bond=2.775):
    """Mackay's: 13, 55, 147 atoms."""
    corners = [
        np.roll((0, s, t * GOLDEN), k)
        for k in range(3)
        for s in (-1, 1)
        for t in (-1, 1)
    ]
    corners = np.array(corners) / 2
    near = np.linalg.norm(corners[:, None] - corners, axis=-1) < 1.01
    x = [np.zeros(3)]
    for a in range(12):
        for b in range(a + 1, 12):
            for c in range(b + 1, 12):
                if near[a, b] and near[b, c] and near[a, c]:
                    for n in range(1, shells + 1):
                        for i in range(n + 1):
                            for j in range(n + 1 - i):
                                k = n - i - j
                                x.append(
                                    i * corners[a]
                                    + j * corners[b]
                                    + k * corners[c]
                                )
    return np.unique(np.round(x, 9), axis=0) * bond


def moved(x, seed, noise=0.0):
    """Turned, reflected, shifted, shuffled; noise in A for each atom."""
    rng = np.random.default_rng(seed)
    turn = Rotation.random(rng=rng).as_matrix() * (-1) ** seed
    y = x + rng.normal(0, noise / 3**0.5, x.shape)
    return (y @ turn.T + 5.0)[rng.permutation(len(x))]


CLUSTERS = {
    "fcc 13": fcc(13),
    "fcc 19": fcc(19),
    "fcc 147": fcc(147),
    "fcc off centre": fcc(100, (0.7, 0.4, 0.2)),
    "ico 13": icosahedron(1),
    "ico 147": icosahedron(3),
    "random": np.random.default_rng(3).uniform(-7, 7, (120, 3)),
    "row": np.outer(np.arange(6), (2.7, 0, 0)),
    "plate": fcc(200)[np.abs(fcc(200)[:, 2]) < 0.1],
    "pair": np.array([[0, 0, 0], [0, 0, 2.5]]),
}


@pytest.mark.parametrize("name", CLUSTERS)
def test_rmsd_of_copies_is_zero(name):
    x = CLUSTERS[name]
    for seed in range(4):
        assert alike.rmsd(x, moved(x, seed)) < 1e-6
        assert alike.rmsd(moved(x, seed), x) < 1e-6


@pytest.mark.parametrize("name", CLUSTERS)
@pytest.mark.parametrize("noise", [0.02, 0.2])
def test_rmsd_of_noisy_copies_is_the_noise(name, noise):
    x = CLUSTERS[name]
    for seed in range(3):
        y = moved(x, seed, noise)
        expected = noise * (1 + 2 / len(x) ** 0.5)
        assert alike.rmsd(x, y) < expected
        if len(x) > 50:
            assert alike.rmsd(x, y) > 0.8 * noise


def test_rmsd_sees_a_moved_atom():
    x = fcc(135)
    y = np.vstack([x[:-1], -x[-1:] * 1.3])
    same_order = y - y.mean(0) - x + x.mean(0)
    bound = np.sqrt((same_order**2).sum(1).mean())
    assert 0.01 < alike.rmsd(x, moved(y, 1)) <= bound + 1e-9


def test_rmsd_tells_types_apart():
    a = alike.rmsd(fcc(147), icosahedron(3))
    assert 0.3 < a < 1.5
    assert alike.rmsd(icosahedron(3), fcc(147)) == pytest.approx(a, rel=0.1)
    assert np.isnan(alike.rmsd(fcc(13), fcc(14)))


def test_duplicates():
    a, b, c = fcc(55), icosahedron(2), fcc(54)
    clusters = [a, b, moved(a, 1), c, moved(b, 2), 1.004 * moved(a, 3)]
    assert alike.duplicates(clusters) == [[0, 2], [1, 4], [3], [5]]
    assert alike.duplicates(clusters, stretch=0.005) == [
        [0, 2, 5],
        [1, 4],
        [3],
    ]
    assert alike.duplicates([a[:1], a[1:2]]) == [[0, 1]]
    assert alike.duplicates([]) == []


def test_duplicates_tell_vacancies_apart():
    x = fcc(147)
    without = [np.delete(x, i, axis=0) for i in (0, 30, 146)]
    assert alike.duplicates(without) == [[0], [1], [2]]
    one, two = alike.fingerprint(x), alike.fingerprint(moved(x, 1))
    assert one == pytest.approx(two)


def test_of_equal_fits_the_smoother_one_comes_first():
    """Octahedron and pyramid: 12 to 3 distances, and 8 to 2."""
    octahedron = np.array(
        [[1, 0, 0], [0, 1, 0], [0, 0, 1], [-1, 0, 0], [0, -1, 0], [0, 0, -1]],
        float,
    )
    pyramid = octahedron[:5]
    order = alike.simplest_first(
        [0.1, 0.10005, None, 0.05], [pyramid, octahedron, pyramid, pyramid]
    )
    assert order == [3, 1, 0, 2]
