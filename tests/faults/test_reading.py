"""What a .gr file declares is used, or refused: never misread silently."""

import re
import time
from pathlib import Path

import numpy as np
import pytest

from diffpy_cbldm.errors import CbldmError
from diffpy_cbldm.formula import parse_composition, read_formula
from diffpy_cbldm.pdfdata import PDFData, read_pdf

FIELD = Path(__file__).parents[1] / "data" / "field"

R = np.arange(200) * 0.1
G = np.sin(3 * R) + 0.1


def table(*columns, sep=" "):
    return "\n".join(
        sep.join(f"{x:.6g}" for x in row) for row in zip(*columns)
    )


def read(tmp_path, text, **given):
    path = tmp_path / "in.gr"
    path.write_text(text, encoding="utf-8")
    return read_pdf(path, **given)


# Every file of tests/data/field that holds a curve: what it must give.
BASE = ("Pt", 0.8, 22.0, None)
CURVES = {
    "base.gr": (*BASE, None),
    "two_scans.gr": (*BASE, "several sets of data.*519.*523"),
    "qmax_with_unit.gr": (*BASE, None),
    "dg_spike.gr": (*BASE, "dG is 1e-05 at r = 2.5 A"),
    "pdfgui_calc.cgr": (None, 0.7, 25.0, 0.04, "Qmax is 0, no cut"),
    "nan_at_zero.gr": (*BASE, "G is nan at r = 0: that point was left out"),
    "pdfgetx2_table.gr": (*BASE, None),
}


def test_every_curve_of_the_field_is_covered():
    assert {p.name for p in FIELD.glob("*gr")} == set(CURVES)


@pytest.mark.parametrize("name", CURVES)
def test_field_file(name):
    *expected, note = CURVES[name]
    pdf = read_pdf(FIELD / name)
    assert [pdf.composition, pdf.qmin, pdf.qmax, pdf.qdamp] == expected
    base = read_pdf(FIELD / "base.gr")
    places = np.rint(pdf.r / 0.02).astype(int)
    np.testing.assert_allclose(pdf.r, places * 0.02, atol=1e-9)
    np.testing.assert_allclose(pdf.g, base.g[places], atol=1e-6)
    text = " ".join(pdf.notes)
    if note is None:
        assert text == ""
    else:
        assert re.search(note, text)


@pytest.mark.parametrize(
    "heading, order",
    [
        ("#L r G dG", "rge"),
        ("#L r G(r) dr dG", "rgxe"),
        ("#L r(A) G(A^-2)", "rg"),
        ("# r (A)  G (1/A^2)  sigma", "rge"),
        ("r, G(r), dG", "rge"),
        ("G(r),r,dG", "gre"),
        ("# dG r G", "erg"),
        ('"r [Å]","G(r) [Å^-2]","err_G"', "rge"),
        ("#L r(Å)  G(Å$^{-2}$)", "rg"),
        ("# r/A, G(r)/A^-2, dG(r)/A^-2", "rge"),
        ("# X , Y , E", "rge"),
        ("#L r G(r) d_r d_Gr", "rgxe"),
        ("# r Gcalc Gobs Gdiff", "rxgx"),
        ("# G_obs distance", "gr"),
        ("#L R_A G(R)", "rg"),
        ("#L r g(r) G(r)", "rxg"),
    ],
)
def test_columns_are_taken_by_name(tmp_path, heading, order):
    columns = {"r": R, "g": G, "e": 0.1 + R / 50, "x": 5 + R}
    sep = "," if "," in heading else " "
    body = table(*(columns[letter] for letter in order), sep=sep)
    pdf = read(tmp_path, f"{heading}\n{body}\n")
    np.testing.assert_allclose(pdf.r, R, atol=1e-9)
    np.testing.assert_allclose(pdf.g, G, atol=1e-5)
    if "e" in order:
        np.testing.assert_allclose(pdf.dg, 0.1 + R / 50, atol=1e-5)
    else:
        assert pdf.dg is None


@pytest.mark.parametrize(
    "heading, way",
    [
        ("#L Q(A^-1) F(Q)", r"'F\(q\)'.*2/pi times the integral"),
        ("#L Q S(Q)-1", r"Q \[S\(Q\) - 1\]"),
        ("# Q, S(Q)", r"Q \[S\(Q\) - 1\]"),
        ("#L Q I(Q)", "pdfgetx3"),
        ("# 2theta intensity", "pdfgetx3"),
        ("#L r g(r)", r"4 pi r rho0 \[g\(r\) - 1\]"),
        ("# r R(r)", r"R\(r\) / r - 4 pi r rho0"),
        ("# r RDF", r"R\(r\) / r - 4 pi r rho0"),
        ("#L r T(r)", r"T\(r\) - 4 pi r rho0"),
        ("#L r D(r)", r"<b>\^2"),
        ("#L r(A) Gcalc", "fit the measured"),
        ("# r Gdiff", "add the calculated"),
        ("#L r(A) G(r) d_r d_Gr Gdiff", "fit the measured"),
        ("#L r (pm) G", "picometres.*divide r by 100"),
        ("#L r[nm] G", "nanometres"),
        ("# RMCProfile fit\n# r data", "RMCProfile.*normalisation"),
        ("# written by GudrunX", "GudrunX.*mean scattering length"),
    ],
)
def test_other_functions_are_refused_with_the_way_to_convert(
    tmp_path, heading, way
):
    body = table(
        *[R, G, 0 * R, 0 * R + 1, G][: max(2, len(heading.split()) - 1)]
    )
    with pytest.raises(CbldmError, match=way) as caught:
        read(tmp_path, f"{heading}\n{body}\n")
    assert "in.gr" in str(caught.value) and "expected" in str(caught.value)


def header_of(types, end=""):
    return (
        "[DEFAULT]\nversion = diffpy.pdfgetx-2.4.0\n"
        f"{types}\nmode = xray\nqmaxinst = 25\nqmax = 22\n"
        f"# End of config\n#### start data\n#S 1\n{end}"
    )


@pytest.mark.parametrize(
    "types, way",
    [
        ("outputtype = fq", r"'fq' \(F\(Q\)\).*2/pi times the integral"),
        ("outputtypes = sq", r"Q \[S\(Q\) - 1\]"),
        ("outputtype = F(Q)", r"'F\(Q\)'.*2/pi times the integral"),
        ("outputtypes: iq", r"'iq' \(I\(Q\)\).*pdfgetx3 -t gr"),
        ("# outputtypes = ['iq', 'fq']  # no gr", "'fq'"),
    ],
)
def test_a_header_that_declares_another_function_is_refused(
    tmp_path, types, way
):
    """Unless a heading over the columns says that they are G(r)."""
    with pytest.raises(CbldmError, match=way) as caught:
        read(tmp_path, header_of(types) + table(R, G))
    assert "in.gr: the outputtype of the header says" in str(caught.value)
    pdf = read(tmp_path, header_of(types, "#L r(A) G(A^-2)\n") + table(R, G))
    np.testing.assert_allclose(pdf.g, G, atol=1e-5)


@pytest.mark.parametrize(
    "types",
    [
        "outputtype = gr",
        "outputtype = G(r)",
        "outputtypes = iq, sq, fq, gr",
        "outputtypes = gr fq",
        "outputtypes = none",
        "outputtypes =",
        "# the outputtype was fq before",
    ],
)
def test_all_files_of_a_run_have_the_same_output_types(tmp_path, types):
    pdf = read(tmp_path, header_of(types) + table(R, G))
    np.testing.assert_allclose(pdf.g, G, atol=1e-5)


def test_prose_is_no_heading(tmp_path):
    for line in (
        "# r-range 0 to 20, fit to data",
        "# the G(r) of sample r",
        "title: F(Q) to r",
        "## S(q)  qmin=0.800000    qmax=22.000000",
    ):
        pdf = read(tmp_path, f"{line}\n{table(R, G)}\n")
        np.testing.assert_allclose(pdf.g, G, atol=1e-5)


@pytest.mark.parametrize(
    "line, name, value",
    [
        ("# Qmax (1/A) = 22.0", "qmax", 22.0),
        ("qmax [1/nm]=220", "qmax", 22.0),
        ("# Qmax: 22 A^-1", "qmax", 22.0),
        ("# Qmax = 220 nm^-1", "qmax", 22.0),
        ("# Qdamp = 0.04 1/A", "qdamp", 0.04),
        ("qmax (Å⁻¹) = 22", "qmax", 22.0),
        ("Qmin (inverse angstrom): 0.9", "qmin", 0.9),
        ("# Qmax 22.0", "qmax", 22.0),
        ("Q_max = 22", "qmax", 22.0),
        ("# Qbroad in 1/A = 0.01", "qbroad", 0.01),
        ("#qmax=22 a comment", "qmax", 22.0),
        ("# Qmax [Å^{-1}] 22", "qmax", 22.0),
        ("# qmin 0.8 qmax 22", "qmin", 0.8),
        ("# transformed with Qmax 22 A^-1", "qmax", 22.0),
        ("range Qmax(nm-1)=220", "qmax", 22.0),
    ],
)
def test_units_in_keys(tmp_path, line, name, value):
    pdf = read(tmp_path, f"{line}\n#L r G\n{table(R, G)}\n")
    assert getattr(pdf, name) == pytest.approx(value)
    assert name in pdf.known
    assert any("converted" in n for n in pdf.notes) == ("nm" in line)


@pytest.mark.parametrize("unit", ["deg", "A", "pm^-1", "keV", "2theta"])
def test_units_that_are_no_inverse_length_are_refused(tmp_path, unit):
    with pytest.raises(CbldmError, match="expected 1/A or 1/nm.*--qmax"):
        read(tmp_path, f"qmax ({unit}) = 22\n#L r G\n{table(R, G)}\n")


def test_qmax_of_zero_is_not_given_in_a_header_alone(tmp_path):
    pdf = read(tmp_path, f"#qmax=0 no cut\n#L r G\n{table(R, G)}\n")
    assert "qmax" not in pdf.known and pdf.qmax == 25
    with pytest.raises(CbldmError, match="qmax is 0"):
        PDFData(R, G, qmax=0)


@pytest.mark.parametrize(
    "between",
    [
        "#S 2\n#L r G(r)\n",
        "\n",
        "# second\n",
        "",
        "#### start data\n",
        "[B]\n",
    ],
)
def test_sets_of_data_are_never_merged(tmp_path, between):
    # Without a line between them, r must start again where it began.
    second = R + 0.05 if between else R
    text = f"#L r G\n{table(R, G)}\n{between}{table(second, 7 + G)}\n"
    pdf = read(tmp_path, text)
    np.testing.assert_allclose(pdf.r, R)
    np.testing.assert_allclose(pdf.g, G, atol=1e-5)
    assert "several sets of data: the first was read" in pdf.notes[0]


def test_a_set_that_goes_on_beyond_the_first_is_not_added(tmp_path):
    text = f"#S 1\n{table(R, G)}\n#S 2\n{table(R + 30, G)}\n"
    assert read(tmp_path, text).r[-1] == pytest.approx(R[-1])


def test_rows_out_of_order_stay_a_fault(tmp_path):
    body = table(R, G).splitlines()
    body[50], body[51] = body[51], body[50]
    with pytest.raises(CbldmError, match="expected increasing r"):
        read(tmp_path, "\n".join(body))


def test_not_a_number_at_zero_alone_is_dropped(tmp_path):
    g = np.where(R == 0, np.nan, G)
    pdf = read(tmp_path, f"#L r G dG\n{table(R, g, 0.1 + 0 * R)}\n")
    np.testing.assert_allclose(pdf.r, R[1:])
    assert len(pdf.dg) == len(pdf.r) and "at r = 0" in pdf.notes[0]
    arrays = PDFData(R, g)
    np.testing.assert_array_equal(arrays.r, R[1:])
    for k in (1, 50):
        with pytest.raises(CbldmError, match=f"line {k + 2}: .*nan"):
            read(
                tmp_path, f"#L r G\n{table(R, np.where(R == R[k], np.nan, G))}"
            )


# Uncertainties


def test_some_zeros_in_dg(tmp_path):
    dg = np.where((R > 5) & (R < 6), 0, 0.05)
    pdf = read(tmp_path, f"#L r G dG\n{table(R, G, dg)}\n")
    assert pdf.dg is None
    assert "not positive (9 of 200, the first at r = 5.1 A)" in pdf.notes[0]
    dg = np.where(R == 0, 0, 0.05)
    pdf = read(tmp_path, f"#L r G dG\n{table(R, G, dg)}\n")
    np.testing.assert_allclose(pdf.dg, 0.05)
    assert pdf.r[0] == pytest.approx(0.1) and "r = 0" in pdf.notes[0]


@pytest.mark.parametrize("count, least", [(1, 1e-5), (1, 2e-3), (2, 1e-4)])
def test_points_that_carry_the_fit_do_not(count, least):
    r = np.arange(1000) * 0.02
    dg = np.full(1000, 0.05)
    dg[200 : 200 + count] = least
    pdf = PDFData(r, np.sin(3 * r), dg)
    assert pdf.dg is None
    assert f"dG is {least:.3g} at r = 4 A and 0.05" in pdf.warnings[0]


def test_uneven_dg_is_kept():
    r = np.arange(1000) * 0.02
    for dg in (0.1 + r / 7, 0.05 * np.exp(r / 10), 0.01 + r**2 / 100):
        np.testing.assert_array_equal(PDFData(r, np.sin(3 * r), dg).dg, dg)
    early = np.where(r < 1.0, 1e-5, 0.05)  # below the fitted range
    assert PDFData(r, np.sin(3 * r), early).dg is not None


# Composition and radiation


@pytest.mark.parametrize(
    "text, element",
    [
        ("Au144 S60 C240 H540", "Au"),
        ("Au144(SC2H4Ph)60", "Au"),
        ("Au25(SR)18", "Au"),
        ("Au102(p-MBA)44", "Au"),
        ("Pt/C", "Pt"),
        ("Pt @ SiO2", "Pt"),
        ("Pt-PVP", "Pt"),
        ("20 wt% Pt/C", "Pt"),
        ("Pt nanoparticles on carbon", "Pt"),
        ("Pt2+", "Pt"),
    ],
)
def test_the_metal_of_a_header_is_taken(tmp_path, text, element):
    pdf = read(tmp_path, f"composition = {text}\n#L r G\n{table(R, G)}\n")
    assert pdf.element == element
    if text != "Pt2+":
        assert any(
            "was taken for" in w or "read as" in w for w in pdf.warnings
        )


@pytest.mark.parametrize("text", ["D2O", "CdSe:Mn", "Pt3Sn", "SiO2", "CO"])
def test_other_compositions_do_not_stop_the_reading(tmp_path, text):
    pdf = read(tmp_path, f"composition = {text}\n#L r G\n{table(R, G)}\n")
    assert pdf.composition == text
    with pytest.raises(CbldmError, match="covers one element"):
        _ = pdf.element
    assert (
        read(
            tmp_path,
            f"composition = {text}\n#L r G\n{table(R, G)}\n",
            composition="Pt",
        ).element
        == "Pt"
    )


def test_an_option_is_strict_and_says_what_it_took():
    pdf = PDFData(R, G, composition="Au144(SC2H4Ph)60")
    assert pdf.element == "Au"
    assert any("was taken for Au, which has 96%" in w for w in pdf.warnings)
    for text in ("Au25(SR)18", "pt", "gold"):
        with pytest.raises(CbldmError, match="unknown element"):
            PDFData(R, G, composition=text)
    # Neutrons see light elements as well.
    with pytest.raises(CbldmError, match="covers one element"):
        _ = PDFData(R, G, composition="Pt/C", stype="N").element


def test_amounts_of_a_formula():
    amounts = read_formula("Au25(PPh3)10(SC2H4Ph)5Cl2").amounts
    assert amounts == {
        **{"Au": 25, "P": 10, "C": 180 + 40, "H": 150 + 45, "S": 5, "Cl": 2}
    }
    assert read_formula("CuSO4·5H2O").amounts["O"] == 9
    assert parse_composition("(13-C)2D4") == ("C", "D")
    share = read_formula("Pt/C").dominant[1]
    assert share == pytest.approx(78**2 / (78**2 + 6**2))
    assert read_formula("H2O").dominant is None


@pytest.mark.parametrize(
    "fractions, composition",
    [
        ([("Pt", 1)], "Pt"),
        ([("Cd", 0.5), ("Se", 0.5)], "Cd0.5Se0.5"),
        ([("Au", 1), ("S", 0.4)], "AuS0.4"),
    ],
)
def test_table_of_elements_in_the_header_of_pdfgetx2(
    tmp_path, fractions, composition
):
    head = (FIELD / "pdfgetx2_table.gr").read_text().partition("  Pt ")[0]
    rows = "\n".join(f"  {s}  0.0  {n:.6f}  50  0 0 0" for s, n in fractions)
    text = f"{head}{rows}\ngeometry=2\n##### start data\n#L r G\n{table(R, G)}"
    assert read(tmp_path, text).composition == composition


def test_modes_that_are_neither_x_rays_nor_neutrons(tmp_path):
    body = f"#L r G\n{table(R, G)}\n"
    pdf = read(tmp_path, "mode = electrons\n" + body)
    assert pdf.stype == "X" and "X-rays are used" in pdf.notes[0]
    with pytest.raises(CbldmError, match="mode = sas, small-angle"):
        read(tmp_path, "mode = sas\n" + body)


def test_long_headers_are_read_in_linear_time(tmp_path):
    text = "#\n" * 16000 + f"#L r G\n{table(R, G)}\n"
    begin = time.perf_counter()
    assert len(read(tmp_path, text).r) == 200
    assert time.perf_counter() - begin < 3
