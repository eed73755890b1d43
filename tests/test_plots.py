"""The figure of matplotlib: what is drawn, and where it goes."""

import sys

import numpy as np
import pytest

import diffpy_cbldm as cb
from diffpy_cbldm.commands import cbldm
from diffpy_cbldm.output import plots, writers
from diffpy_cbldm.solving.solution import Solution

pytest.importorskip("matplotlib")


@pytest.fixture(scope="module")
def solution():
    axis = np.arange(2) * 2.8
    x = np.stack(np.meshgrid(axis, axis, axis), axis=-1).reshape(-1, 3)
    cluster = cb.Candidate("Pt", x, structure_type="sc", generator="library")
    (pdf,) = cb.simulate([cluster], rmax=12.0, qmin=1.0, qmax=22.0, qdamp=0.04)
    best = cb.refine(cluster, pdf, rmax=11.0, backend="torch")
    used = {
        "composition": "Pt",
        "qmin": 1.0,
        "qmax": 22.0,
        "rmin": 1.5,
        "rmax": 11.0,
        "backend": "torch",
    }
    return Solution([best] * 4, [0.0] * 4, used, {}, (), pdf)


def test_each_panel_has_three_curves(solution):
    figure = cb.plot(solution)
    assert len(figure.axes) == 6
    for rank, axes in enumerate(figure.axes[::2], start=1):
        measured, calculated, residual, zero = axes.get_lines()
        assert axes.get_title(loc="left").startswith(f"{rank}. sc Pt8")
        g = measured.get_ydata()
        misfit = np.linalg.norm(g - calculated.get_ydata())
        rw = misfit / np.linalg.norm(g)
        assert rw == pytest.approx(solution.candidates[0].rw, abs=1e-3)
        shift = zero.get_ydata()[0]
        assert residual.get_ydata().max() < min(g.min(), 0)
        np.testing.assert_allclose(
            residual.get_ydata() - shift,
            g - calculated.get_ydata(),
            atol=1e-12 * np.abs(g).max(),
        )


def test_each_structure_stands_beside_its_curves(solution):
    figure = cb.plot(solution, count=2)
    for axes in figure.axes[1::2]:
        (balls,) = axes.collections
        paths = [p.get_extents() for p in balls.get_paths()]
        # Eight rims, and the balls in them; the cube fits into its panel.
        sizes = np.array([box.width for box in paths])
        assert np.sum(np.isclose(sizes, sizes.max())) == 8
        bond = solution.candidates[0].parameters["zoomscale"][0] * 2.8
        assert sizes.max() == pytest.approx(bond, abs=1e-3)
        for low, high, (start, end) in (
            ("x0", "x1", axes.get_xlim()),
            ("y0", "y1", axes.get_ylim()),
        ):
            assert start <= min(getattr(box, low) for box in paths)
            assert max(getattr(box, high) for box in paths) <= end
    assert len(cb.plot(solution, structures=False).axes) == 3


def test_style_does_not_leak(solution, monkeypatch):
    import matplotlib as mpl

    before = dict(mpl.rcParams)
    cb.plot(solution, count=1)
    assert dict(mpl.rcParams) == before
    monkeypatch.setitem(sys.modules, "bg_mpl_stylesheets", None)
    monkeypatch.setitem(sys.modules, "bg_mpl_stylesheets.styles", None)
    assert len(cb.plot(solution, count=1).axes) == 2


@pytest.mark.parametrize(
    ("kind", "start"), [("png", b"\x89PNG"), ("pdf", b"%PDF"), ("svg", b"<?")]
)
def test_files(kind, start, solution, tmp_path):
    path = tmp_path / f"a.{kind}"
    cb.plot(solution, path, count=1)
    assert path.read_bytes().startswith(start)
    assert list(tmp_path.iterdir()) == [path]


def test_mistakes(solution, tmp_path):
    with pytest.raises(cb.CbldmError, match="'gif'.*png"):
        cb.plot(solution, tmp_path / "a.gif")
    with pytest.raises(cb.CbldmError, match="cannot be written"):
        cb.plot(solution, "/proc/none/a.png")
    with pytest.raises(cb.CbldmError, match="count is 0"):
        cb.plot(solution, count=0)
    assert list(tmp_path.iterdir()) == []


def test_pictures_and_pages_are_outputs(solution, tmp_path):
    template = str(tmp_path / "@o@b")  # without an extension
    planned = writers.plan(template, ("svg", "html"), "a.gr", 2)
    written = writers.write(solution, "a.gr", planned).files
    assert {p.name for p in written} == {"svga", "htmla"}
    assert {p.name for p in tmp_path.iterdir()} == {"svga", "htmla"}
    planned = writers.plan(str(tmp_path / "@o"), ("png",), "a.gr", 2)
    (path,) = writers.write(solution, "a.gr", planned).files
    assert path.read_bytes().startswith(b"\x89PNG")


def test_window_without_a_display(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(plots, "_has_display", lambda: False)
    path = tmp_path / "a.gr"
    r = np.arange(0, 20, 0.01)
    np.savetxt(path, np.column_stack([r, np.sin(r)]))
    assert cbldm.main(["-p", str(path), "--composition=Pt"]) == 1
    assert "--plot=png" in capfd.readouterr().err
