"""RMSD of copies, duplicates, and which of equal fits comes first."""

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure
from scipy.spatial.transform import Rotation

import diffpy_cbldm as cb
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


def alloy(x, share=0.3, seed=0):
    """A cluster of Pt in which a share of atoms is Cu."""
    chosen = np.random.default_rng(seed).random(len(x)) < share
    return cb.Cluster(tuple(np.where(chosen, "Cu", "Pt")), x)


def shuffled(cluster, seed):
    """A copy: turned, reflected where the seed is odd, in another order."""
    rng = np.random.default_rng(seed)
    turn = Rotation.random(rng=rng).as_matrix() * (-1) ** seed
    order = rng.permutation(len(cluster))
    x = cluster.positions[order] @ turn.T - 3.0
    return cb.Cluster(tuple(np.array(cluster.elements)[order]), x)


@pytest.mark.parametrize("x", [fcc(55), icosahedron(2), icosahedron(3)])
def test_atoms_are_laid_on_atoms_of_their_element(x):
    a = alloy(x)
    for seed in (1, 2):
        assert cb.rmsd(a, shuffled(a, seed)) < 1e-6
        assert cb.same_structure(a, shuffled(a, seed))
    # One Cu and one Pt change places: the least way is from site to site.
    names = list(a.elements)
    i, j = names.index("Cu"), names.index("Pt")
    names[i], names[j] = names[j], names[i]
    b = cb.Cluster(tuple(names), x)
    bond = 2.7
    assert cb.rmsd(a, shuffled(b, 1)) >= bond * (2 / len(x)) ** 0.5
    assert not cb.same_structure(a, b)
    # Positions alone know no elements, and are the same.
    assert cb.rmsd(x, shuffled(b, 1)) < 1e-6
    assert np.isnan(cb.rmsd(a, cb.Cluster("Pt", x)))
    assert not cb.same_structure(a, cb.Cluster("Pt", x))


def test_vacancies_that_leave_the_outer_shell_as_it_is():
    """All 120 operations of the icosahedron fit the outer atoms."""
    x = icosahedron(4)
    inner = np.flatnonzero(np.linalg.norm(x, axis=1) < 5.3)[3]
    opposite = np.argmin(np.linalg.norm(x + x[inner], axis=1))
    y = np.delete(x, [inner, opposite], axis=0)
    for seed in (1, 2):
        assert alike.rmsd(y, moved(y, seed)) < 1e-6
        assert cb.same_structure(y, moved(y, seed))


def test_mirror_images_only_where_they_count():
    t = 0.8 * np.arange(12)
    helix = np.stack([3 * np.cos(t), 3 * np.sin(t), 1.5 * t], axis=1)
    mirror = helix * [1, 1, -1]
    assert cb.rmsd(helix, mirror) < 1e-6
    assert cb.rmsd(helix, mirror, reflection=False) > 1
    assert not cb.same_structure(helix, mirror, reflection=False)
    turned = moved(helix, 2)  # an even seed: no reflection
    assert cb.same_structure(helix, turned, reflection=False)


def test_stretch_as_far_as_allowed():
    x = icosahedron(3)
    size = np.sqrt((x**2).sum(1).mean())
    assert cb.rmsd(x, 1.01 * moved(x, 1), stretch=0.02) < 1e-6
    assert cb.rmsd(x, 1.01 * x) == pytest.approx(0.01 * size)
    # 3 % apart, of which 2 % may be taken away.
    left = abs(1 - 1.03 / 1.02) * size
    assert cb.rmsd(x, 1.03 * x, stretch=0.02) == pytest.approx(left)
    assert not cb.same_structure(x, 1.01 * x)
    assert cb.same_structure(x, 1.01 * moved(x, 1), stretch=0.02)


@pytest.mark.parametrize("n", [3, 13, 60])
def test_distances_bound_the_rmsd(n):
    """By which `same_structure` tells most pairs apart."""
    rng = np.random.default_rng(n)
    for noise in (0.01, 0.3, 3.0):
        x = rng.normal(0, 4, (n, 3))
        y = x + rng.normal(0, noise, x.shape)
        prints = alike.fingerprint(x), alike.fingerprint(y)
        off = np.sqrt(np.mean((prints[0] - prints[1]) ** 2))
        x, y = x - x.mean(0), y - y.mean(0)
        turn, _ = Rotation.align_vectors(y, x)
        apart = np.sqrt(((turn.apply(x) - y) ** 2).sum(1).mean())
        assert off <= np.sqrt(2 * n / (n - 1)) * apart + 1e-9


def test_fingerprints_of_several_elements():
    x = fcc(13)
    labels = np.array([0] * 6 + [1] * 7)
    apart = alike.fingerprint(x, labels)
    assert apart[:15] == pytest.approx(alike.fingerprint(x[:6]))
    assert apart[-21:] == pytest.approx(alike.fingerprint(x[6:]))
    assert np.sort(apart) == pytest.approx(alike.fingerprint(x))


def test_structures_of_all_libraries():
    a = alloy(fcc(55))
    forms = [
        a.to_ase(),
        a.to_pymatgen(),
        a.to_pymatgen(boxed=True),
        a.to_diffpy(),
        a.to_diffpy(boxed=True),
        cb.Candidate(a.elements, a.positions, structure_type="fcc"),
    ]
    for form in forms:
        assert cb.rmsd(shuffled(a, 1), form) < 1e-6
        assert cb.same_structure(form, shuffled(a, 2))


def test_one_moved_atom_of_many_is_seen():
    x = icosahedron(6)
    assert len(x) == 923
    a, b = np.delete(x, 100, axis=0), np.delete(x, 300, axis=0)
    assert not cb.same_structure(a, b)
    assert alike.SAME < alike.rmsd(a, b) < 0.3


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"stretch": -0.1}, "stretch is -0.1"),
        ({"stretch": float("nan")}, "stretch is nan"),
        ({"tolerance": -1}, "tolerance is -1"),
    ],
)
def test_what_cannot_be_asked(given, words):
    with pytest.raises(cb.CbldmError, match=words):
        cb.same_structure(fcc(13), fcc(13), **given)


def test_what_is_no_structure():
    with pytest.raises(cb.CbldmError, match="type str"):
        cb.rmsd("fcc", fcc(13))
    with pytest.raises(cb.CbldmError, match="not finite"):
        cb.rmsd(fcc(13) * np.nan, fcc(13))
    with pytest.raises(cb.CbldmError, match="keep is 0"):
        cb.rmsd(fcc(13), fcc(13), keep=0)
    crystal = Structure(Lattice.cubic(3.0), ["Pt"], [[0, 0, 0]])
    with pytest.raises(cb.CbldmError, match="crystal"):
        cb.rmsd(crystal, fcc(13))
