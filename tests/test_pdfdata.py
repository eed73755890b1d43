"""Reading, checking, regridding and writing PDFs."""

import dataclasses
import io
import math
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from diffpy_cbldm.errors import CbldmError
from diffpy_cbldm.files import write_atomic
from diffpy_cbldm.fitting.target import r_grid, regrid
from diffpy_cbldm.formula import parse_composition
from diffpy_cbldm.pdfdata import PDFData, read_pdf, write_gr
from diffpy_cbldm.renames import modern

HEADERS = Path(__file__).parent / "data" / "headers"
MEASURED = Path(__file__).parents[2] / "shared" / "data" / "experimental"

R = np.arange(2000) * 0.01
G = np.sin(R)


def make(**changes):
    """A valid PDF with some of its arguments changed."""
    values = dict(r=R, g=G, composition="Pt", qmin=1.0, qmax=22.0, stype="X")
    return PDFData(**(values | changes))


def write(tmp_path, text, name="in.gr"):
    path = tmp_path / name
    path.write_text(text)
    return path


def rows(n=200, step=0.1, form="{:.2f} {:.6f}"):
    return "\n".join(
        form.format(k * step, math.sin(k * step)) for k in range(n)
    )


# The 21 header variants: (composition, stype, qmin, qmax, qdamp, qbroad),
# None where the value is not in the file.
FULL = ("Au", "X", 0.8, 26.0, None, None)
NEUTRON = ("Au", "N", 0.8, 26.0, None, None)
NOTHING = (None, None, None, None, None, None)
VARIANTS = {
    "01_utf8": FULL,
    "02_latin1": FULL,
    "03_crlf": FULL,
    "04_crmac": FULL,
    "05_bom": FULL,
    "06_comma": NOTHING,
    "07_3col_dG": FULL,
    "08_4col": FULL,
    "09_4col_zeros": FULL,
    "10_neutron_n3": NEUTRON,
    "11_neutron_xraypath": NEUTRON,
    "12_fgr_trailing": FULL,
    "14_5col": FULL,
    "15_sci": (None, None, 0.8, 26.0, 0.04, 0.01),
    "16_nohead_text": NOTHING,
    "17_gsas": NOTHING,
    "19_qmaxcomma": (None, "N", None, 31.414, 0.017659, None),
}
ASSUMED = (None, "X", 0.7, 25.0, None, 0.0)
NAMES = ("composition", "stype", "qmin", "qmax", "qdamp", "qbroad")
REFUSED = {
    "13_nan": r"line 20: r is 0 A and G is nan",
    "18_nm": r"nanometres.*multiply r by 10",
    "20_short": r"5 data points found; at least 100",
    "21_stypeN": r"11 data points found; at least 100",
}


def test_every_header_file_is_covered():
    assert {p.stem for p in HEADERS.glob("*.gr")} == {*VARIANTS, *REFUSED}


@pytest.mark.parametrize("name", VARIANTS)
def test_header_variant(name):
    pdf = read_pdf(HEADERS / f"{name}.gr")
    np.testing.assert_allclose(pdf.r, R, atol=1e-9)
    np.testing.assert_allclose(pdf.g, G, atol=1e-6)
    for key, value, assumed in zip(
        NAMES, VARIANTS[name], ASSUMED, strict=True
    ):
        assert (key in pdf.known) == (value is not None)
        assert getattr(pdf, key) == (assumed if value is None else value)


@pytest.mark.parametrize("name", REFUSED)
def test_header_variant_refused(name):
    with pytest.raises(CbldmError, match=REFUSED[name]) as caught:
        read_pdf(HEADERS / f"{name}.gr")
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_complete_header_gives_no_warning():
    assert read_pdf(HEADERS / "01_utf8.gr").warnings == ()


def test_every_assumed_value_is_warned_of():
    texts = read_pdf(HEADERS / "06_comma.gr").warnings
    for word in ("composition", "Qmin", "Qmax", "scattering type"):
        assert sum(word in text for text in texts) >= 1, word
    assert len(texts) == 4


def test_columns_beyond_the_second():
    third = read_pdf(HEADERS / "07_3col_dG.gr")
    np.testing.assert_array_equal(third.dg, 0.01)
    assert "third was read as dG" in third.warnings[0]
    fourth = read_pdf(HEADERS / "08_4col.gr")
    np.testing.assert_array_equal(fourth.dg, 0.01)
    assert read_pdf(HEADERS / "09_4col_zeros.gr").dg[0] == 0.01
    five = read_pdf(HEADERS / "14_5col.gr")
    assert five.dg is None
    assert "3 to 5 were ignored" in five.warnings[0]


@pytest.mark.parametrize(
    "heading, row, dg",
    [
        ("", "{:.2f} {:.6f} 0 0", None),
        ("#L r G(r) dr dG", "{:.2f} {:.6f} 0.1 0.2", 0.2),
        ("#L r G(r) dG dr", "{:.2f} {:.6f} 0.1 0.2", 0.1),
        ("#L r G(r) dr", "{:.2f} {:.6f} 0.1", None),
        ("", "{:.2f} {:.6f} -1", None),
    ],
)
def test_uncertainty_by_heading(tmp_path, heading, row, dg):
    pdf = read_pdf(write(tmp_path, heading + "\n" + rows(form=row)))
    if dg is None:
        assert pdf.dg is None
    else:
        np.testing.assert_array_equal(pdf.dg, dg)


def test_rows_of_unequal_length_keep_the_curve(tmp_path):
    text = rows() + "\n20.00 0.5 0.0 0.0"
    pdf = read_pdf(write(tmp_path, text))
    assert (pdf.r[-1], pdf.g[-1], pdf.dg) == (20.0, 0.5, None)
    assert "2 to 4 columns" in pdf.warnings[0]


@pytest.mark.parametrize(
    "header, stype",
    [
        ("version = diffpy.pdfgetx-2.4.0\nstype = N\nmode = xray", "N"),
        ("version = diffpy.pdfgetx-2.4.0\nmode = neutron", "N"),
        ("stype = X\n# a comparison with neutron data", "X"),
        ("inputfile = neutron.chi\n# measured with x-rays", "X"),
        ("# PDFgetN 1.6.2", "N"),
        ("#Comment: neutron, Qmin=0.5, Qmax=31.4", "N"),
        ("title = x-ray and neutron", None),
        ("# x-ray and neutron", None),
    ],
)
def test_scattering_type_order_of_trust(tmp_path, header, stype):
    path = write(tmp_path, f"{header}\n#### start data\n{rows()}")
    pdf = read_pdf(path)
    assert pdf.stype == (stype or "X")
    assert ("stype" in pdf.known) == (stype is not None)
    assert read_pdf(path, stype="neutron").stype == "N"


def test_user_overrides_header():
    pdf = read_pdf(
        HEADERS / "15_sci.gr",
        composition="Pd",
        qmin=1,
        qmax=20,
        qdamp=0.05,
        qbroad=0.02,
        stype="N",
    )
    values = (pdf.composition, pdf.qmin, pdf.qmax, pdf.qdamp, pdf.qbroad)
    assert values == ("Pd", 1.0, 20.0, 0.05, 0.02)
    assert pdf.stype == "N"
    assert pdf.known == set(NAMES)
    assert pdf.warnings == ()


@pytest.mark.parametrize(
    "form", ["{:.2f};{:.6f}", "{:.2f}\t{:.6f} # point", " {:.2f} , {:.6f} ,"]
)
def test_separators(tmp_path, form):
    pdf = read_pdf(write(tmp_path, rows(form=form)))
    np.testing.assert_allclose(pdf.g, np.sin(pdf.r), atol=1e-6)


def test_decimal_commas_and_fortran_exponents(tmp_path):
    text = "qmax = 22,5\n" + rows().replace(".", ",")
    pdf = read_pdf(write(tmp_path, text))
    assert pdf.qmax == 22.5
    np.testing.assert_allclose(pdf.g, np.sin(pdf.r), atol=1e-6)
    text = rows(form="{:.8E} {:.8E}").replace("E", "D")
    pdf = read_pdf(write(tmp_path, text))
    np.testing.assert_allclose(pdf.g, np.sin(pdf.r), atol=1e-6)


def test_numbers_in_the_header_are_not_data(tmp_path):
    text = "3 4\nrun 7\n1 2 3\ncolumns:\n" + rows()
    assert read_pdf(write(tmp_path, text)).r[0] == 0
    text = "1 2\n" * 8 + "#### start data\n" + rows()
    assert len(read_pdf(write(tmp_path, text)).r) == 200


def test_streams(monkeypatch):
    path = HEADERS / "02_latin1.gr"
    with open(path, "rb") as binary:
        pdf = read_pdf(binary)
    assert pdf.composition == "Au" and pdf.source == str(path)
    text = (HEADERS / "01_utf8.gr").read_text(encoding="utf-8")
    assert read_pdf(io.StringIO(text)).qmax == 26
    stdin = io.TextIOWrapper(io.BytesIO(path.read_bytes()), encoding="utf-8")
    monkeypatch.setattr(sys, "stdin", stdin)
    assert read_pdf("-").qmin == 0.8
    with open(path, encoding="utf-8") as wrong:
        with pytest.raises(CbldmError, match='mode "rb"'):
            read_pdf(wrong)


def test_reading_needs_numpy_alone_and_no_locale():
    code = f"""
        import sys
        for name in ("scipy", "torch", "diffpy", "ase", "pymatgen"):
            sys.modules[name] = None
        from diffpy_cbldm.pdfdata import read_pdf
        for name in ("01_utf8", "02_latin1", "05_bom"):
            print(read_pdf({str(HEADERS)!r} + "/" + name + ".gr").qmax)
    """
    done = subprocess.run(
        [sys.executable, "-X", "utf8=0", "-c", textwrap.dedent(code)],
        env={**os.environ, "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0"},
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[1],
    )
    assert done.stdout.split() == ["26.0"] * 3, done.stderr


def test_missing_file_folder_and_name(tmp_path):
    with pytest.raises(CbldmError, match="none.gr: no such file"):
        read_pdf(tmp_path / "none.gr")
    with pytest.raises(CbldmError, match="is a folder"):
        read_pdf(tmp_path)
    with pytest.raises(CbldmError, match="cannot be read"):
        read_pdf(3.5)


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0,
    reason="the superuser may read every file",
)
def test_unreadable_file(tmp_path):
    path = write(tmp_path, rows())
    path.chmod(0)
    with pytest.raises(CbldmError, match="cannot be read"):
        read_pdf(path)


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "no data columns"),
        ("qmax = 25\n#### start data\n", "no data columns"),
        ("1\n2\n3\n4\n5\n6\n", "no data columns"),
        ("\0\x01\x02 binary", "no data columns"),
        (rows() + "\n20.0 ****\n20.1 1\n", "line 201: '20.0 .*not a row"),
        (rows() + "\n20.0,,0.1\n20.1 1\n", "line 201: .*not a row"),
        (rows() + "\n20.0", "line 201: .*cut off"),
        (rows() + "\n20.0 inf", "line 201: .*G is inf"),
        (rows() + "\nnan 0.1", "line 201: r is nan"),
        (rows() + "\n19.9 0.1", "point 201; expected increasing"),
        (rows(form="{:.2f} 0.0"), "G is 0 everywhere"),
        ("qmax = 250\n" + rows(), "qmax is 250"),
        ("qmin = 9\nqmax = 8\n" + rows(), "qmin < qmax"),
        ("composition = Xx\n" + rows(), "unknown element 'Xx'"),
        ("r [nm], G\n" + rows(), "nanometres"),
    ],
)
def test_bad_file(tmp_path, text, message):
    with pytest.raises(CbldmError, match=message) as caught:
        read_pdf(write(tmp_path, text))
    assert "in.gr" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"g": G[:-1]}, "r has 2000 points, G has 1999"),
        ({"dg": np.ones(3)}, "dG has 3"),
        ({"r": R[:99], "g": G[:99]}, "99 data points found"),
        ({"r": R.reshape(2, -1)}, r"shape \(2, 1000\)"),
        ({"g": ["a"] * 2000}, "g does not hold numbers"),
        ({"g": np.where(R == 3.0, np.nan, G)}, "G is nan at r = 3 A"),
        ({"g": np.where(R == 3.0, np.inf, G)}, "G is inf at r = 3 A"),
        ({"r": R[::-1]}, "r goes from 19.99 to 19.98 A at point 2"),
        ({"r": np.minimum(R, 19.98)}, "increasing"),
        ({"r": R - 1}, "starts at -1 A"),
        ({"g": 0 * G}, "G is 0 everywhere"),
        ({"g": 1e200 * G}, "largest .G. is .*e[+]200; expected .*1e[+]100"),
        ({"g": 1e-200 * G}, "largest .G. is .*e-200; expected .*1e-100"),
        ({"r": R / 10}, "r ends at 1.999 A.*nanometres"),
        ({"dg": np.zeros(2000)}, "dG is 0 at r = 0 A"),
        ({"qmin": 15.0, "qmax": 14.0}, "qmin < qmax"),
        ({"qmax": "high"}, "qmax is 'high'; expected a number"),
        ({"qmax": math.nan}, "qmax is nan"),
        ({"qdamp": -0.1}, "qdamp is -0.1"),
        ({"qbroad": 2.0}, "qbroad is 2 "),
        ({"stype": "E"}, "stype is 'E'; expected X"),
        ({"composition": "pt"}, "did you mean Pt"),
        ({"composition": "Pt(SR)"}, "unknown element 'R'"),
        ({"composition": "2"}, "expected a formula"),
    ],
)
def test_bad_arrays_and_settings(changes, message):
    with pytest.raises(CbldmError, match=message):
        make(**changes)


@pytest.mark.parametrize(
    "text", ["Pt", "Pt1", "Pt1.0", "Pt55", " Pt ", "Pt0+"]
)
def test_one_element(text):
    assert make(composition=text).element == "Pt"


def test_several_or_no_elements():
    assert parse_composition("Ba0.7K0.3(Zn0.85Mn0.15)2As2") == (
        *("Ba", "K", "Zn", "Mn", "As"),
    )
    with pytest.raises(CbldmError, match="covers one element"):
        _ = make(composition="Cd Se").element
    with pytest.raises(CbldmError, match="--composition Pt"):
        _ = make(composition=None).element


def test_data_are_copied_and_read_only():
    g = G.copy()
    pdf = make(g=g)
    g[:] = 7
    np.testing.assert_array_equal(pdf.g, G)
    with pytest.raises(ValueError, match="read-only"):
        pdf.g[0] = 1


def test_known_and_assumed_values_through_replace():
    pdf = make(qmax=None)
    assert pdf.qmax == 25 and "qmax" not in pdf.known
    assert pdf.qdamp is None and "qdamp" not in pdf.known
    same = dataclasses.replace(pdf, g=2 * pdf.g)
    assert same.known == pdf.known and same.warnings == pdf.warnings
    better = dataclasses.replace(pdf, qmax=20.0, qdamp=0.03)
    assert better.known == pdf.known | {"qmax", "qdamp"}
    assert better.warnings == ()


def test_doubtful_data_are_warned_of():
    coarse = make(r=R[::20], g=G[::20])  # 0.2 A against pi / 22
    assert "coarser than pi / Qmax" in coarse.warnings[0]
    keep = (R < 5) | (R > 6)
    assert "from 4.99 to 6.01 A" in make(r=R[keep], g=G[keep]).warnings[0]
    nm = make(r=R / 4, g=np.exp(-((R / 4 - 0.28) ** 2) / 0.001))
    assert "0.28 A, where no metal" in nm.warnings[0]
    assert make().warnings == ()


# Regridding


def curve(r, qmax=20.0):
    """An odd, damped sum of waves below qmax, as a G(r) is."""
    rng = np.random.default_rng(3)
    q, weight = rng.uniform(1, qmax, 40), rng.normal(size=40)
    waves = np.sin(np.outer(r, q)) @ weight
    return waves * np.exp(-((0.08 * r) ** 2) / 2)


def test_grid():
    grid = r_grid()
    assert (len(grid), grid[0]) == (3000, 0.0)
    assert grid[-1] == pytest.approx(29.99)
    assert len(r_grid(10, 0.03)) == 334  # 9.99 is the last


@pytest.mark.parametrize("start, end", [(0, 50), (1, 50), (0, 20), (1.5, 12)])
def test_data_on_the_grid_are_copied(start, end):
    r = np.arange(round(start * 100), round(end * 100) + 1) * 0.01
    noise = np.random.default_rng(0).uniform(-4e-7, 4e-7, len(r))
    g, mask = regrid(make(r=np.abs(r + noise), g=curve(r)))
    grid = r_grid()
    inside = (grid > start - 0.005) & (grid < end + 0.005)
    np.testing.assert_array_equal(mask, inside)
    np.testing.assert_array_equal(g[mask], curve(r)[: mask.sum()])
    assert not np.any(g[~mask])


@pytest.mark.parametrize(
    "step, tolerance",
    [(0.002, 1e-9), (0.013, 1e-6), (0.05, 1e-4), (0.1, 5e-3), (0.14, 2e-2)],
)
def test_other_steps_are_interpolated(step, tolerance):
    r = np.arange(0, 31, step)
    g, mask = regrid(make(r=r, g=curve(r)))
    assert mask.all()
    wanted = curve(r_grid())
    misfit = np.linalg.norm(g - wanted) / np.linalg.norm(wanted)
    assert misfit < tolerance


def test_uneven_steps_are_interpolated():
    rng = np.random.default_rng(1)
    r = np.cumsum(rng.uniform(0.005, 0.015, 2500))
    g, mask = regrid(make(r=r, g=curve(r)))
    np.testing.assert_allclose(g[mask], curve(r_grid())[mask], atol=1e-5)
    assert mask.sum() == np.sum((r_grid() >= r[0]) & (r_grid() <= r[-1]))


@pytest.mark.parametrize("step", [0.01, 0.013])
def test_gap_is_not_filled(step):
    r = np.arange(0, 30, step)
    r = r[(r < 5) | (r > 6)]
    g, mask = regrid(make(r=r, g=curve(r)))
    grid = r_grid()
    hole = (grid > r[r < 5][-1] + 1e-3) & (grid < r[r > 5][0] - 1e-3)
    np.testing.assert_array_equal(mask, ~hole & (grid < r[-1] + 1e-3))
    assert not np.any(g[hole])
    np.testing.assert_allclose(g[mask], curve(grid)[mask], atol=1e-4)


def test_regrid_refuses_data_beyond_the_grid():
    with pytest.raises(CbldmError, match="r runs from 40 to 59.99 A"):
        regrid(make(r=R + 40))


# Writing


@pytest.mark.parametrize("dg", [None, 0.1 + R / 7])
@pytest.mark.parametrize("stype", ["X", "N"])
def test_written_file_is_read_back(tmp_path, dg, stype):
    from diffpy.srfit.pdf import PDFParser

    pdf = make(dg=dg, stype=stype, qdamp=0.041, qbroad=0.01)
    path = tmp_path / "out.gr"
    write_gr(path, pdf)
    back = read_pdf(path)
    for name in NAMES:
        assert getattr(back, name) == getattr(pdf, name)
    np.testing.assert_allclose(back.r, pdf.r, rtol=1e-9)
    np.testing.assert_allclose(back.g, pdf.g, rtol=1e-9)
    if dg is not None:
        np.testing.assert_allclose(back.dg, dg, rtol=1e-9)
    assert back.warnings == ()
    stock = PDFParser()
    modern(stock).parse_file(str(path))
    meta = modern(stock).get_metadata()
    assert [meta[k] for k in ("stype", "qmin", "qmax", "qdamp", "qbroad")] == [
        *(stype, 1.0, 22.0, 0.041, 0.01),
    ]
    np.testing.assert_allclose(modern(stock).get_data()[1], pdf.g, rtol=1e-9)


def test_assumed_values_are_not_written_as_given(tmp_path):
    pdf = PDFData(R, G)
    write_gr(tmp_path / "out.gr", pdf)
    assert read_pdf(tmp_path / "out.gr").known == frozenset()


def test_failed_writing_leaves_nothing_behind(tmp_path):
    (tmp_path / "file").write_text("where a folder should be")
    with pytest.raises(CbldmError, match="cannot be written"):
        write_gr(tmp_path / "file" / "out.gr", make())
    folder = tmp_path / "out.gr"
    folder.mkdir()
    with pytest.raises(CbldmError, match="cannot be written"):
        write_atomic(folder, "text")
    names = sorted(p.name for p in tmp_path.iterdir())
    assert names == ["file", "out.gr"]
    assert not list(folder.iterdir())


# Measured data


@pytest.mark.parametrize(
    "name, element, qmin, qmax, rmax",
    [
        ("JQ_S2", "Pt", 1.0, 21.998245281, 50.0),
        ("Au144pMBA", "Au", 1.33, 28.0, 20.0),
    ],
)
def test_measured_files(name, element, qmin, qmax, rmax):
    path = MEASURED / f"{name}.gr"
    if not path.is_file():
        pytest.skip(f"the measured file {name}.gr is not at hand")
    pdf = read_pdf(path)
    assert (pdf.element, pdf.stype) == (element, "X")
    assert (pdf.qmin, pdf.qmax, pdf.qdamp) == (qmin, qmax, None)
    assert pdf.warnings == ()
    g, mask = regrid(pdf)
    assert r_grid()[mask][-1] == pytest.approx(min(rmax, 29.99))
    # The nearest neighbours of both metals: 2.6 to 3.0 A.
    assert 2.6 < r_grid()[np.argmax(g)] < 3.0
