"""The recipes that users copy run, and give what is known of them."""

import pathlib
import runpy
import types

import numpy as np
import pytest

from diffpy_cbldm.clusterfile import read_xyz
from diffpy_cbldm.pdfdata import read_pdf
from tests.benchmarks import peers

ROOT = pathlib.Path(__file__).resolve().parent.parent
RECIPES = ROOT / "recipes"


def load(name):
    """The names that a recipe defines."""
    return types.SimpleNamespace(**runpy.run_path(str(RECIPES / name)))


def test_every_recipe_is_tested_and_documented():
    tests = pathlib.Path(__file__).read_text()
    page = (ROOT / "docs" / "how-to" / "recipes.md").read_text()
    for path in RECIPES.glob("*.py"):
        assert f'"{path.name}"' in tests, path.name
        assert f"{{download}}`{path.name} <" in page, path.name


def test_cluster_cdse(capsys):
    """The native calculator gives Rw 0.1027 on these data.

    Its Q grid is that of a range that ends at 20 A; the curve of the whole
    particle, cut at 20 A, fits a little better.
    """
    recipe = load("cluster_cdse.py")
    results = recipe.main()
    assert results.rw == pytest.approx(0.0999, abs=0.001)

    class Native(recipe.DebyeGenerator):
        def __init__(self, name):
            super().__init__(name)
            self.setDiscretisation("native")

    recipe.make_recipe.__globals__["DebyeGenerator"] = Native
    results = recipe.main()
    assert results.rw == pytest.approx(0.1027, abs=0.001)
    assert "Cd_Uiso" in capsys.readouterr().out
    values = dict(zip(results.varnames, results.varvals, strict=True))
    assert values["zoom"] == pytest.approx(0.994, abs=0.002)
    assert 0.01 < values["Se_Uiso"] < values["Cd_Uiso"] < 0.06


def test_x_rays_and_neutrons(capsys):
    """Neutrons add what X-rays do not tell: the oxygen."""
    module = load("x_rays_and_neutrons.py")
    fits = module.main()
    assert "Rw of each" in capsys.readouterr().out
    alone, both = fits["X-rays"], fits["together"]
    assert both.parameters["O_Uiso"][1] < 0.3 * alone.parameters["O_Uiso"][1]
    for name, truth in module.TRUTH.items():
        value, esd = both.parameters[name]
        assert abs(value - truth) < 3 * esd


def test_crystal_dot(capsys, monkeypatch):
    """The sphere that was put in is found, from its crystal."""
    from diffpy_cbldm.search import cut_screening

    monkeypatch.setattr(cut_screening, "FAMILIES", 60)
    monkeypatch.setattr(cut_screening, "ROUNDS", 1)
    solution = load("crystal_dot.py").main()
    best = solution.candidates[0]
    assert best.composition == "Ce79O160" and best.rw < 0.01
    assert "O_Uiso" in capsys.readouterr().out


def test_strain_and_surface(capsys):
    """The strain that was put in is found."""
    results = load("strain_and_surface.py").main()
    assert results.rw < 1e-3
    assert "surface_1" in capsys.readouterr().out
    values = dict(zip(results.varnames, results.varvals, strict=True))
    assert values["strain_xx"] == pytest.approx(0.015, abs=1e-3)
    assert values["strain_xy"] == pytest.approx(0.01, abs=1e-3)
    assert values["surface_1"] == pytest.approx(-0.02, abs=1e-3)
    assert "strain_xz" not in values


def test_one_pdf(tmp_path, capsys):
    path = tmp_path / "particle.xyz"
    solution = load("one_pdf.py").main(str(path))
    assert "The best is fcc with 79 atoms" in capsys.readouterr().out
    assert solution.candidates[0].rw < 0.005
    assert len(read_xyz(path)) == 79


def test_picture(tmp_path, monkeypatch):
    """The truth is among what the data do not tell apart."""
    monkeypatch.setenv("MPLBACKEND", "Agg")
    path = tmp_path / "picture.png"
    solution = load("picture.py").main(str(path))
    alike = [solution.candidates[k] for k in solution.groups[0].members]
    assert {c.structure_type for c in alike} == {"dec"}
    assert 101 in {len(c) for c in alike}
    assert path.read_bytes().startswith(b"\x89PNG")
    assert path.stat().st_size < 150_000


def test_seeded_recipe():
    """What was put in by hand is found by hand."""
    recipe = load("seeded_recipe.py")
    rw, found = recipe.main()
    assert rw < 1e-3
    for name, truth in recipe.TRUTH.items():
        assert found[name] == pytest.approx(
            truth, rel=0.05 if truth < 1 else 5e-4
        )
    assert "Pt_Uiso" not in found


def test_compare_candidates():
    recipe = load("compare_candidates.py")
    chances, surface = recipe.main()
    assert chances[0] == pytest.approx(0.5)  # the best against itself
    assert chances == sorted(chances, reverse=True)
    assert chances[-1] < 0.01
    assert surface > 0.05  # the truth has an ideal surface


def test_compare_candidates_has_hamiltons_figures():
    """R(1, 60, 0.05) is 1.033 and R(3, 60, 0.005) 1.112 in his table."""
    recipe = load("compare_candidates.py")
    for more, ratio, chance in ((1, 1.0328, 0.05), (3, 1.1116, 0.005)):
        parameters = dict.fromkeys("abcde"[: 1 + more])
        larger = types.SimpleNamespace(rw=0.1, parameters=parameters)
        simple = types.SimpleNamespace(rw=0.1 * ratio, parameters={"a": 0})
        points = 60 + len(parameters)
        width = np.pi * points / (recipe.RMAX - recipe.RMIN)
        pdf = types.SimpleNamespace(qmin=0.0, qmax=width)
        found = recipe.hamilton(pdf, simple, larger)
        assert found == pytest.approx(chance, rel=0.02)


def test_series():
    """The expansion and the growth of Uiso that were put in are found."""
    recipe = load("series.py")
    t, stretch, uiso, rw = np.transpose(recipe.main())
    assert rw.max() < 0.01
    assert np.polyfit(t, stretch, 1)[0] == pytest.approx(9e-6, rel=0.02)
    assert np.polyfit(t, uiso, 1)[0] == pytest.approx(1.5e-5, rel=0.02)


def test_pymatgen_analysis():
    """An icosahedron has 55 of 147 atoms inside, and two bond lengths."""
    numbers, lengths = load("pymatgen_analysis.py").main()
    assert len(numbers) == 147 and numbers.count(12) == 55
    assert len(lengths) == sum(numbers)
    assert lengths.max() / lengths.min() == pytest.approx(1.0515, abs=1e-3)


def test_from_arrays():
    recipe = load("from_arrays.py")
    getter = recipe.stand_in()
    pdf = recipe.from_getter(getter)
    assert (pdf.composition, pdf.qmin, pdf.qmax) == ("Ag", 1.0, 22.0)
    assert pdf.stype == "X" and pdf.qdamp is None
    assert pdf.assumed == {"qbroad"}
    getter.config.mode = "neutron"
    getter.config.composition = ""
    assert recipe.from_getter(getter).composition is None
    assert recipe.from_getter(getter, qmax=20.0).qmax == 20.0
    assert recipe.from_getter(getter).stype == "N"
    best = recipe.main().candidates[0]
    assert (best.structure_type, len(best)) == ("dec", 55)
    assert best.rw < 0.005


def test_two_phases():
    alone, results = load("two_phases.py").main()
    assert alone > 0.1
    assert results.rw < 0.005
    values = dict(zip(results.varnames, results.varvals, strict=True))
    assert values["share"] == pytest.approx(0.2, abs=0.005)


def test_cmipdf_cluster():
    """With diffpy.cmipdf where it can be imported; see also test_peers."""
    recipe = load("cmipdf_cluster.py")
    results = recipe.main()
    assert results.rw < 1e-3
    found = dict(zip(results.varnames, results.varvals, strict=True))
    assert found == pytest.approx(recipe.TRUTH, rel=1e-3)


def test_for_pdfgui(tmp_path):
    """PDFfit2 fits what it could not before."""
    best, whole = load("for_pdfgui.py").main(str(tmp_path / "a"))
    assert len(best) == 79
    written = read_pdf(tmp_path / "a-all-q.gr")
    assert written.qmin == whole.qmin == 0
    pytest.importorskip("diffpy.pdffit2", exc_type=ImportError)
    measured = load("for_pdfgui.py").simulated()
    assert peers.by_pdffit2(tmp_path / "a.stru", whole, 2.0) < 0.03
    assert peers.by_pdffit2(tmp_path / "a.stru", measured, 2.0) > 0.3


def test_beyond_the_data(tmp_path, capsys):
    """Of a particle larger than its range a lower limit and its crystal."""
    module = load("beyond_the_data.py")
    solution = module.main(str(tmp_path / "a.ddp3"))
    assert (tmp_path / "a.ddp3").stat().st_size > 1000
    assert "at least" in capsys.readouterr().out
    assert solution.crystal.a == pytest.approx(5.411, abs=0.01)
    least = solution.verdict.at_least
    true = 4 / 3 * np.pi * 14.0**3 * 12 / 5.411**3
    assert 100 < least < true
