"""The recipes that users copy run, and give what is known of them."""

import pathlib
import runpy

import pytest

RECIPES = pathlib.Path(__file__).resolve().parent.parent / "recipes"


def test_cluster_cdse(capsys):
    """The native calculator gives Rw 0.1027 on these data."""
    results = runpy.run_path(str(RECIPES / "cluster_cdse.py"))["main"]()
    assert results.rw == pytest.approx(0.1027, abs=0.001)
    assert "Cd_Uiso" in capsys.readouterr().out
    values = dict(zip(results.varnames, results.varvals, strict=True))
    assert values["zoom"] == pytest.approx(0.994, abs=0.002)
    assert 0.01 < values["Se_Uiso"] < values["Cd_Uiso"] < 0.06


def test_strain_and_surface(capsys):
    """The strain that was put in is found."""
    main = runpy.run_path(str(RECIPES / "strain_and_surface.py"))["main"]
    results = main()
    assert results.rw < 1e-3
    assert "surface_1" in capsys.readouterr().out
    values = dict(zip(results.varnames, results.varvals, strict=True))
    assert values["strain_xx"] == pytest.approx(0.015, abs=1e-3)
    assert values["strain_xy"] == pytest.approx(0.01, abs=1e-3)
    assert values["surface_1"] == pytest.approx(-0.02, abs=1e-3)
    assert "strain_xz" not in values
