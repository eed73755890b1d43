"""Simulated measured PDFs: the physics of each thing that is added."""

import json

import numpy as np
import pytest
from ase.cluster import Icosahedron, Octahedron

import diffpy_cbldm as cb
from diffpy_cbldm.commands import cbldm_simulate
from diffpy_cbldm.crystals.bonds import diameter, surface_shells
from diffpy_cbldm.crystals.powder import covered, sizes_of_shape, weathered
from diffpy_cbldm.debye.world import World, as_world
from diffpy_cbldm.errors import CbldmError
from diffpy_cbldm.fitting.measured import (
    measured_curve,
    polynomial,
    powder_of,
)
from diffpy_cbldm.settings import Simulation

X = Octahedron("Pt", 7, cutoff=2).positions
CLUSTER = cb.Cluster("Pt", X)
SETTINGS = Simulation(qmin=0.7, qmax=25.0, qdamp=0.0, rstep=0.02)
R = np.arange(0, 30, 0.02)


def curve(settings=SETTINGS, **world):
    return measured_curve(CLUSTER, settings, World(**world), R)


PLAIN = curve()


def test_nothing_added_is_the_plain_curve():
    (plain,) = cb.simulate(CLUSTER, qdamp=0.0, rstep=0.02)
    assert abs(PLAIN - plain.g).max() < 2e-3 * abs(plain.g).max()
    (same,) = cb.simulate(CLUSTER, qdamp=0.0, rstep=0.02, world={"seed": 4})
    assert np.array_equal(same.g, plain.g)


def test_also_of_several_kinds_of_atoms():
    """Ligands against the Debye PDF of several elements."""
    rng = np.random.default_rng(0)
    member = covered(weathered(X, rng), rng, 0.5, 2.3)
    elements = np.where(member.kind == 2, "S", "Pt")
    # All atoms as wide as the ligands, which have a width of their own.
    (direct,) = cb.simulate(
        cb.Cluster(list(elements), member.positions),
        qdamp=0.0,
        rstep=0.02,
        biso=0.02 * 8 * np.pi**2,
    )
    from diffpy_cbldm.fitting.measured import structure_function

    dq = np.pi / 60
    q = np.arange(np.ceil(0.7 / dq), np.ceil(25 / dq)) * dq
    f = structure_function(
        [member], q, ("Pt", "Pt", "S"), (0.02,) * 3, "X", {}
    )
    g = 2 / np.pi * dq * np.sin(np.outer(R, q)) @ f
    assert abs(g - direct.g).max() < 3e-3 * abs(direct.g).max()


def test_sizes_have_the_spread_that_was_asked_for():
    rng = np.random.default_rng(0)
    made = sizes_of_shape(X, "fcc", 0.15, rng)
    atoms = np.array([len(x) for x in made])
    assert (np.diff(atoms[::2]) > 0).all()
    assert np.log(atoms).std() / 3 == pytest.approx(0.15, rel=0.3)
    assert np.exp(np.log(atoms).mean()) == pytest.approx(len(X), rel=0.15)
    powder = powder_of(CLUSTER, World(size_spread=0.15))
    # Of a lognormal distribution the two means differ by exp(9 w^2).
    ratio = powder.weight_mean / powder.number_mean
    assert ratio == pytest.approx(np.exp(9 * 0.15**2), rel=0.1)
    # Larger particles reach farther than the one that was given.
    longest = max(diameter(m.positions) for m in powder.members)
    assert longest > 1.15 * diameter(X)
    assert not np.allclose(curve(size_spread=0.15), PLAIN, atol=0.1)


def test_icosahedra_have_their_own_sizes():
    rng = np.random.default_rng(0)
    x = Icosahedron("Au", 4).positions
    atoms = {len(one) for one in sizes_of_shape(x, "ico", 0.2, rng)}
    assert 147 in atoms and atoms <= {13, 55, 147, 309, 561}
    with pytest.raises(cb.CbldmError, match="stand on no lattice"):
        sizes_of_shape(x, "", 0.2, rng)


def test_surfaces_lose_atoms_and_move():
    rng = np.random.default_rng(1)
    outer = surface_shells(X) == 1
    member = weathered(X, rng, missing=0.3, shifted=0.2)
    lost = (len(X) - member.atoms) / outer.sum()
    assert lost == pytest.approx(0.3, abs=0.1)
    exact = np.abs(member.positions[:, None] - X).sum(2).min(1) < 1e-9
    # The inside stands where it stood.
    assert exact[member.kind == 0].all() and not exact[member.kind == 1].any()
    off = np.linalg.norm(member.positions[:, None] - X, axis=2).min(1)
    moved = off[member.kind == 1]
    assert np.sqrt(np.mean(moved**2)) == pytest.approx(0.2, rel=0.2)


def test_a_looser_surface_lowers_the_peaks():
    """Its bonds lie at the same distances, with more width."""
    loose = curve(surface_biso=1.0)
    peak = abs(R - 2.8) < 0.3
    assert loose[peak].max() < 0.9 * PLAIN[peak].max()
    # The area under a peak is the number of neighbours.
    both = [(g * R)[peak].sum() for g in (loose, PLAIN)]
    assert both[0] == pytest.approx(both[1], rel=0.05)


def test_ligands_are_bound_outside():
    rng = np.random.default_rng(0)
    bare = weathered(X, rng)
    member = covered(bare, rng, 1.0, 2.3)
    ligands = member.positions[member.kind == 2]
    assert len(ligands) > 20 and member.atoms == len(X)
    apart = np.linalg.norm(ligands[:, None] - X, axis=2)
    assert np.allclose(apart.min(1), 2.3, atol=0.24)
    own = np.linalg.norm(ligands[:, None] - ligands, axis=2)
    assert own[own > 0].min() > 2.8
    radii = np.linalg.norm(X - X.mean(0), axis=1)
    far = np.linalg.norm(ligands - X.mean(0), axis=1)
    assert far.min() > np.median(radii)
    # A peak of its own before that of the metal, beside which G is smaller
    # by the share of the scattering that the ligands have not.
    made, metal = curve(ligand="S", coverage=1.0), (R > 2.6) & (R < 3.0)
    extra = made - PLAIN * made[metal].max() / PLAIN[metal].max()
    assert extra[abs(R - 2.3) < 0.05].mean() > 0.05


def test_a_second_phase_is_a_mean_of_curves():
    half = curve(second="bcc", second_share=0.5)
    nearly = curve(second="bcc", second_share=0.9)
    other = PLAIN + (nearly - PLAIN) / 0.9
    assert np.allclose(half, 0.5 * (PLAIN + other), atol=1e-9)
    # bcc has a second shell where fcc has none.
    at = abs(R - 2.77 * 2 / 3**0.5) < 0.06
    assert other[at].mean() > PLAIN[at].mean() + 1


def test_a_background_stays_at_small_r():
    extra = curve(background=1.0) - PLAIN
    near = (extra[R < 1.6] ** 2).sum()
    assert near > 0.8 * (extra**2).sum() > 0


def test_the_polynomial_takes_the_background_away():
    """Waves of distances below rpoly, and little of the metal's."""
    extra = curve(background=1.0) - PLAIN
    left = curve(rpoly=1.6, background=1.0) - curve(rpoly=1.6)
    assert (left**2).sum() < 0.05 * (extra**2).sum()
    far = R > 3
    taken = np.linalg.norm((curve(rpoly=0.9) - PLAIN)[far])
    assert taken < 0.03 * np.linalg.norm(PLAIN[far])


def test_the_degree_of_the_polynomial_is_no_whole_number():
    q = np.linspace(0.7, 22, 500)
    rng = np.random.default_rng(0)
    f = np.sin(2.8 * q) + rng.normal(size=500)
    unit = np.pi / 22  # the rpoly of one degree
    low, high = polynomial(q, f, 6 * unit), polynomial(q, f, 7 * unit)
    between = polynomial(q, f, 6.25 * unit)
    assert np.allclose(between, 0.75 * low + 0.25 * high)
    # Q times a polynomial of that degree is taken away whole.
    exact = q * (1 + 0.1 * q - 0.02 * q**2 + 1e-6 * q**6)
    assert np.allclose(polynomial(q, exact, 6 * unit), exact, atol=1e-6)


def test_noise_grows_with_q_and_has_its_size():
    noise = curve(noise=0.05) - PLAIN
    assert noise.std() == pytest.approx(0.05 * PLAIN.std(), rel=1e-6)
    waves = np.sin(np.outer(np.arange(1.0, 25.0, 0.05), R)) @ noise
    halves = np.split(waves**2, 2)
    assert halves[1].mean() > 5 * halves[0].mean()


def test_a_wrong_wavelength_stretches_distances():
    from diffpy_cbldm.fitting.agreement import rw

    long = curve(wavelength_error=0.02)
    inside = R < 20
    back = np.interp(R / 1.02, R, PLAIN)
    assert rw(long[inside], back[inside]) < 0.15
    assert rw(long[inside], PLAIN[inside]) > 0.5


def test_resolution():
    damped = curve(Simulation(qmin=0.7, qmax=25.0, qdamp=0.05, rstep=0.02))
    assert np.allclose(damped, PLAIN * np.exp(-0.5 * (0.05 * R) ** 2))
    # Qbroad widens peaks the more the farther out.
    broad = curve(qbroad=0.03)
    near, far = (abs(R - 2.77) < 0.1), (R > 12) & (R < 16)
    assert broad[near].max() > 0.95 * PLAIN[near].max()
    # By the square root of the mean square displacement at 14 A.
    ratio = broad[far].max() / PLAIN[far].max()
    assert ratio == pytest.approx((1 + (0.03 * 14) ** 2) ** -0.5, rel=0.03)


def test_seeds():
    world = {"size_spread": 0.1, "missing": 0.2, "noise": 0.05}
    one, two = curve(**world), curve(**world)
    assert np.array_equal(one, two)
    assert not np.allclose(one, curve(**world, seed=1))


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"sise": 1}, "correct sise"),
        ([1], "expected fields of World"),
        ({"noise": 9.0}, "noise is 9"),
        ({"second": "dec"}, "second is 'dec'"),
    ],
)
def test_mistakes(given, text):
    with pytest.raises(cb.CbldmError, match=text):
        as_world(given)


def test_one_element_only():
    mixed = cb.Cluster(["Pt", "Au"], [[0, 0, 0], [2.8, 0, 0]])
    with pytest.raises(cb.CbldmError, match="expected one"):
        cb.simulate(mixed, world={"noise": 0.1})


def test_the_command_states_the_world(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    CLUSTER.write_xyz("a.xyz")
    world = {"size_spread": 0.1, "ligand": "S", "coverage": 0.4, "seed": 3}
    (tmp_path / "w.json").write_text(json.dumps(world))
    words = ["a.xyz", "--world", "w.json", "--rmax", "12"]
    assert cbldm_simulate.main(words) == 0
    text = (tmp_path / "a.gr").read_text()
    assert (
        "# simulated Pt201, size_spread 0.1, ligand S, coverage 0.4, seed 3"
        in text
    )
    pdf = cb.read_pdf("a.gr")
    assert pdf.composition == "Pt201" and not pdf.warnings
    (expected,) = cb.simulate(CLUSTER, rmax=12, world=world)
    np.testing.assert_allclose(pdf.g, expected.g, atol=1e-6)
    (tmp_path / "w.json").write_text("{")
    assert cbldm_simulate.main([*words, "--force"]) == 1
    assert "cannot be read as JSON" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("field", "said"),
    [
        ({"noise": "0.1"}, "noise is '0.1'; expected a number from 0 to 5"),
        ({"noise": True}, "noise is True; expected a number"),
        ({"size_spread": {"a": 1}}, "expected a number from 0 to 0.4"),
        ({"seed": 1.5}, "seed is 1.5; expected a whole number"),
        ({"second": ["fcc"]}, "second is .'fcc'.; expected one of"),
        ({"ligand": ["S"]}, "ligand is .'S'.; expected the symbol"),
        ({"ligand": "Xx"}, "ligand is 'Xx'; expected the symbol"),
        ({"ligand": None}, "ligand is None.*leave ligand out"),
    ],
)
def test_odd_fields_are_told(field, said):
    with pytest.raises(CbldmError, match=said):
        as_world(field)
    assert as_world({"surface_biso": None, "seed": np.int64(3)}).seed == 3
