"""Qdamp and Qbroad from the PDF of a standard."""

import dataclasses
import sys

import numpy as np
import pytest

import diffpy_cbldm as cb
from diffpy_cbldm.commands import cbldm
from diffpy_cbldm.fitting import calibrant
from diffpy_cbldm.fitting.calibrant import STANDARDS, calibrate, standard

QDAMP, QBROAD = 0.037, 0.012

pdffit2 = pytest.importorskip("diffpy.pdffit2", exc_type=ImportError)


def measured(name, rmax=25.0, stype="X"):
    """The PDF of a powder of a standard on a known instrument."""
    crystal = standard(name)[1]
    with calibrant.engine() as fit:
        fit.add_structure(crystal)
        fit.alloc(stype, 25.0, QDAMP, 0.01, rmax, round(rmax / 0.01))
        fit.setvar(fit.qbroad(), QBROAD)
        fit.setvar(fit.delta2(), 1.5)
        fit.calc()
        r, g = np.array(fit.getR()), np.array(fit.getpdf_fit())
    noise = 0.01 * g.std() * np.random.default_rng(0).standard_normal(len(g))
    return cb.PDFData(
        r, g + noise, composition=name, qmin=0.5, qmax=25.0, stype=stype
    )


@pytest.fixture(scope="module")
def nickel():
    return measured("Ni", 30.0)


@pytest.mark.parametrize(
    ("name", "atoms", "shortest"),
    [
        ("Ni", 4, 3.5238 / 2**0.5),
        ("CeO2", 12, 5.4117 * 3**0.5 / 4),
        ("Si", 8, 5.4312 * 3**0.5 / 4),
        # The bond between two octahedra of boron.
        ("LaB6", 7, 2 * 0.1996 * 4.1568),
    ],
)
def test_standards_have_their_cells_and_bonds(name, atoms, shortest):
    crystal = standard(name)[1]
    assert len(crystal) == atoms
    offsets = np.stack(np.meshgrid(*[(-1, 0, 1)] * 3), -1).reshape(-1, 3)
    apart = crystal.xyz[:, None, None] - crystal.xyz[:, None] - offsets
    d = np.linalg.norm(apart * crystal.lattice.a, axis=-1)
    assert d[d > 1e-6].min() == pytest.approx(shortest, rel=1e-6)


@pytest.mark.parametrize("name", STANDARDS)
def test_the_instrument_is_found(name):
    found = calibrate(measured(name))
    assert found.standard == name
    assert found.qdamp == pytest.approx(QDAMP, abs=5e-4)
    assert found.qbroad == pytest.approx(QBROAD, abs=1.5e-3)
    assert found.a == pytest.approx(STANDARDS[name][1], rel=1e-4)
    assert found.rw < 0.05
    assert set(found.uiso) == set(STANDARDS[name][2])


def test_neutrons_and_a_lattice_that_is_not_the_start(nickel):
    found = calibrate(measured("Ni", stype="N"))
    assert found.qdamp == pytest.approx(QDAMP, abs=5e-4)
    # A wavelength that is off by 0.3 % stretches r.
    off = dataclasses.replace(nickel, r=nickel.r * 1.003)
    found = calibrate(off)
    assert found.a == pytest.approx(3.5238 * 1.003, rel=1e-4)
    assert found.qdamp == pytest.approx(QDAMP / 1.003, abs=5e-4)


def test_a_cif_file_and_a_structure_do_as_well(nickel, tmp_path):
    crystal = standard("Ni")[1]
    path = tmp_path / "nickel.cif"
    crystal.write(str(path), "cif")
    by_name, by_file, by_structure = (
        calibrate(nickel, given) for given in ("Ni", path, crystal)
    )
    assert by_file.qdamp == pytest.approx(by_name.qdamp, abs=1e-5)
    assert by_structure.qdamp == pytest.approx(by_name.qdamp, abs=1e-5)
    assert by_file.standard.endswith("nickel.cif")


def test_a_wrong_standard_is_told(nickel):
    with pytest.raises(cb.CbldmError, match="not explained by CeO2: Rw"):
        calibrate(nickel, "CeO2")


@pytest.mark.parametrize(
    ("structure", "said"),
    [
        ("Unobtainium", "expected one of Ni, CeO2, Si, LaB6, or a cif"),
        ("missing.cif", "missing.cif: not read as a crystal structure"),
    ],
)
def test_unknown_standards(nickel, structure, said):
    with pytest.raises(cb.CbldmError, match=said):
        calibrate(nickel, structure)


def test_data_that_are_too_short_or_without_a_name(nickel):
    short = nickel.r < 8
    with pytest.raises(cb.CbldmError, match="end at 7.99 A"):
        calibrate(
            dataclasses.replace(nickel, r=nickel.r[short], g=nickel.g[short])
        )
    with pytest.raises(cb.CbldmError, match="has no composition"):
        calibrate(dataclasses.replace(nickel, composition=None))


def test_without_pdffit2_it_is_named(nickel, monkeypatch):
    monkeypatch.setitem(sys.modules, "diffpy.pdffit2", None)
    with pytest.raises(cb.CbldmError, match="pip install 'diffpy.pdffit2"):
        calibrate(nickel)
    assert not calibrant.installed()


def test_nothing_is_printed_and_pdffit2_prints_as_before(nickel, capfd):
    before = pdffit2.output.stdout
    calibrate(nickel)
    assert pdffit2.output.stdout is before
    assert capfd.readouterr() == ("", "")


# ------------------------------------------------------------ the command


@pytest.fixture
def nickel_file(nickel, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    head = "mode = xray\ncomposition = Ni\nqmin = 0.5\nqmax = 25.0\n\n"
    rows = "\n".join(f"{r:.2f} {g:.8f}" for r, g in zip(nickel.r, nickel.g))
    (tmp_path / "Ni.gr").write_text(f"{head}#### start data\n{rows}\n")
    return "Ni.gr"


def test_the_command_tells_and_writes(nickel_file, tmp_path, capfd):
    assert cbldm.main(["--calibrant", nickel_file]) == 0
    out, err = capfd.readouterr()
    assert out.startswith("Instrument: Qdamp 0.037") and not err
    words = ["--calibrant", nickel_file, "--createconfig", "here.cfg"]
    assert cbldm.main(words) == 0
    text = (tmp_path / "here.cfg").read_text()
    lines = dict(
        line.split(" = ") for line in text.splitlines() if "q" in line[:1]
    )
    assert float(lines["qdamp"]) == pytest.approx(QDAMP, abs=5e-4)
    assert float(lines["qbroad"]) == pytest.approx(QBROAD, abs=1.5e-3)
    assert "calibrant" not in text


def test_what_wins(nickel_file, monkeypatch):
    """Options, then the calibrant, then configuration files."""
    with open("cbldm.cfg", "w") as file:
        file.write("[DEFAULT]\nqdamp = 0.02\nqbroad = 0.0\n")
    seen = []
    monkeypatch.setattr(
        cbldm._Run, "solve_all", lambda self: seen.append(self.reading) or 0
    )
    cbldm.main(["x.gr"])
    cbldm.main(["x.gr", "--calibrant", nickel_file])
    cbldm.main(["x.gr", "--calibrant", nickel_file, "--qdamp", "0.05"])
    assert [s["qdamp"] for s in seen[::2]] == [0.02, 0.05]
    assert seen[1]["qdamp"] == pytest.approx(QDAMP, abs=5e-4)
    assert seen[2]["qbroad"] == pytest.approx(QBROAD, abs=1.5e-3)


def test_a_standard_without_data(capfd):
    assert cbldm.main(["x.gr", "--standard", "Ni"]) == 1
    assert "pass --calibrant FILE.gr" in capfd.readouterr().err


def test_the_example_has_a_calibrant(monkeypatch):
    from diffpy_cbldm.commands import calibration

    given = {"example": "Pt-nanoparticles"}
    assert calibration._of_example(given).endswith("Ni.gr")
    assert calibration._of_example(given | {"qdamp": 0.03}) is None
    monkeypatch.setitem(sys.modules, "diffpy.pdffit2", None)
    assert calibration._of_example(given) is None
