"""Every output of a particle of 5,000 atoms: whole, and of a sane size."""

import dataclasses
import json
import re

import numpy as np
import pytest

import diffpy_cbldm as cb
from diffpy_cbldm import settings
from diffpy_cbldm.cluster import as_cluster
from diffpy_cbldm.crystals.bonds import diameter
from diffpy_cbldm.crystals.particles import NONE, Particle
from diffpy_cbldm.fitting.attenuated import fit_crystal
from diffpy_cbldm.output import plots, views, writers
from diffpy_cbldm.output.page import make_page
from diffpy_cbldm.solving.solution import Solution

BALL = Particle("fcc", 0, (NONE,) * 4, 9.48)


@pytest.fixture(scope="module")
def solution():
    """A candidate as it was refined, without the refinement."""
    x = BALL.positions * 2.77
    (pdf,) = cb.simulate([cb.Cluster("Pt", x)], qdamp=0.03, biso=0.4)
    pdf = dataclasses.replace(pdf, composition="Pt")
    known = {"scale": (1.0, 0.1), "zoomscale": (1.0, 1e-3)}
    known |= {"Pt_Uiso": (0.4 / 8 / np.pi**2, 1e-4), "delta2": (0.0, 0.1)}
    c = cb.Candidate(
        "Pt",
        x,
        structure_type="fcc",
        generator="library",
        rw=0.01,
        rw_raw=0.2,
        parameters=known,
        edits=("layers",),
    )
    used = {"version": cb.__version__, "composition": "Pt", "rmin": 1.5}
    used |= {"rmax": 25.0, "backend": "torch", "qmin": 0.7, "qmax": 25.0}
    ball = fit_crystal(pdf, ("fcc",))
    return Solution([c], [0.01], used, {"total": 1.0}, (), pdf, crystal=ball)


@pytest.fixture(scope="module")
def curve(solution):
    return views.calculated_curve(solution, solution.candidates[0])


@pytest.fixture(autouse=True)
def one_curve(monkeypatch, curve):
    """The curve is calculated once for all tests."""
    for module in ("page", "plots", "notebook"):
        monkeypatch.setattr(
            f"diffpy_cbldm.output.{module}.curve_of", lambda *_: curve
        )


def test_the_ball_has_5000_atoms(solution, curve):
    assert len(solution.candidates[0]) > 5000
    assert curve.rw < 1e-3


SIZES = {
    **{"xyz": 3.2e5, "cif": 5e5, "stru": 2.5e6, "dp-in": 2e3, "ddp3": 4e5},
    **{"extxyz": 5e5, "res": 3e5, "html": 5.6e6, "db": 5e5},
}
"""The most bytes of each output."""


@pytest.mark.parametrize("kind", settings.OUTPUT_TYPES)
def test_every_output_is_written(solution, tmp_path, kind):
    kinds = writers.parse_types(kind)
    planned = writers.plan(f"{tmp_path}/@b", kinds, "big.gr", 1)
    written = writers.write(solution, "big.gr", planned)
    assert written.failed == []
    sizes = {p.suffix[1:]: p.stat().st_size for p in written.files}
    assert 100 < sizes[kind] < SIZES[kind]


def test_the_result_is_read_again(solution, tmp_path):
    planned = writers.plan(f"{tmp_path}/@b", ("res",), "big.gr", 1)
    (path,) = writers.write(solution, "big.gr", planned).files
    found = json.loads(path.read_text())
    assert path.read_text().startswith('{\n "schema": "cbldm-result/')
    c = found["candidates"][0]
    x = solution.candidates[0].positions
    np.testing.assert_allclose(c["positions"], x, atol=1e-5)
    assert set(c["elements"]) == {"Pt"}
    from diffpy_cbldm.output.asefile import read_cbldm

    with path.open() as file:
        (atoms,) = read_cbldm(file, slice(None))
    assert len(atoms) == len(x)


def test_large_ones_that_were_only_ranked_take_no_room(solution, tmp_path):
    first = solution.candidates[0]
    ranked = dataclasses.replace(first, rw=None, parameters={})
    small = dataclasses.replace(
        ranked, elements=("Pt",) * 10, positions=first.positions[:10]
    )
    many = dataclasses.replace(
        solution,
        candidates=[first, *[ranked] * 50, small],
        rw_quick=[0.01, *[0.02] * 51],
    )
    planned = writers.plan(f"{tmp_path}/@b", ("res",), "big.gr", 1)
    (path,) = writers.write(many, "big.gr", planned).files
    assert path.stat().st_size < SIZES["res"] + 6e4
    refined, *others, last = json.loads(path.read_text())["candidates"]
    assert len(refined["positions"]) == len(first)
    assert {c["positions"] for c in others} == {None}
    assert {c["n_atoms"] for c in others} == {len(first)}
    assert len(last["positions"]) == 10


def test_the_page_draws_the_surface_and_says_so(solution):
    text = make_page(solution, "big.gr")
    (data,) = re.findall(r'id="data">(.*?)</script>', text)
    (drawn,) = json.loads(data)["candidates"]
    x = solution.candidates[0].positions
    count = len(drawn["positions"])
    assert 800 < count < 2000
    assert f"Drawn are the {count} atoms of the surface, of {len(x)}" in text
    away = np.linalg.norm(np.array(drawn["positions"]) - x.mean(0), axis=1)
    assert away.min() > 0.8 * np.linalg.norm(x - x.mean(0), axis=1).max()
    assert len(drawn["neighbours"]) == len(drawn["elements"]) == count
    first, second = (
        np.array(drawn["positions"])[np.array(drawn["bonds"])].T[:, 0],
        np.array(drawn["positions"])[np.array(drawn["bonds"])].T[:, 1],
    )
    apart = np.linalg.norm(first - second, axis=0)
    assert 2.7 < apart.min() and apart.max() < 1.2 * 2.77
    # Eight of 10,000 atoms, whose surfaces have twice as many, still fit.
    assert len(data) < 2.5e5


def test_pictures_leave_out_what_is_hidden(solution, tmp_path):
    figure = cb.plot(solution, tmp_path / "big.svg")
    (balls,) = figure.axes[1].collections
    # Four discs a ball; of a sphere about a half of the surface is seen.
    assert 400 < len(balls.get_paths()) / 4 < 1300
    assert (tmp_path / "big.svg").stat().st_size < 4e6


def test_what_is_in_sight():
    rng = np.random.default_rng(0)
    # Balls in a plane across the view, and others behind each of them.
    grid = np.stack(np.meshgrid(*[np.arange(20) * 2.0] * 2), -1).reshape(-1, 2)
    front = np.column_stack([grid, rng.uniform(0, 0.1, 400)])
    behind = front - [0, 0, 5]
    beside = np.array([[60.0, 3.0, -5.0]])
    x = np.concatenate([behind, beside, front])
    seen = plots._in_sight(x, 1.0)
    assert set(range(400, 801)) <= set(seen.tolist())
    assert (np.diff(x[seen, 2]) >= 0).all()
    few = x[:200]
    assert len(plots._in_sight(few, 1.0)) == 200


def test_notebooks_show_it(solution):
    for given in (solution, solution.candidates[0]):
        text = given._repr_html_()
        assert "5" in text and len(text) < 1.5e5


def test_libraries_take_it(solution):
    c = solution.candidates[0]
    forms = (c.to_ase(), c.to_diffpy(boxed=True), c.to_pymatgen(boxed=True))
    for form in forms:
        assert len(as_cluster(form)) == len(c)


def test_a_turned_copy_is_the_same():
    rng = np.random.default_rng(0)
    x = BALL.positions * 2.77
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    copy = (x @ turn)[rng.permutation(len(x))]
    assert cb.rmsd(x, copy) < 1e-6


def test_the_diameter_of_many_atoms_is_that_of_their_hull():
    x = BALL.positions
    far = np.argsort((x**2).sum(1))[-400:]
    apart = np.linalg.norm(x[far][:, None] - x[far], axis=-1)
    assert diameter(x) == pytest.approx(apart.max(), abs=1e-12)
    sheet = np.stack(np.meshgrid(np.arange(40), np.arange(40), 0), -1)
    sheet = sheet.reshape(-1, 3).astype(float)
    assert diameter(sheet) == pytest.approx(39 * 2**0.5)
