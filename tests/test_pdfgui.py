"""The crystal that ends at a sphere, for PDFfit2 and PDFgui."""

import dataclasses
import json
import pickle
import sys
import types
import zipfile

import numpy as np
import pytest
from monty.json import MontyDecoder

import diffpy_cbldm as cb
from diffpy_cbldm.fitting.envelope import fit_envelope
from diffpy_cbldm.fitting.periodic import freed, phase_of, refine_sphere
from diffpy_cbldm.fitting.target import Target
from diffpy_cbldm.output import pdfgui
from diffpy_cbldm.output.pdfgui import crystal_of_answer, write_project
from diffpy_cbldm.solving.solution import Solution
from tests.test_cutting import crystal, simulated


@pytest.fixture(scope="module")
def ceria():
    """A fluorite particle of 300 atoms: an answer with its crystal."""
    pdf, elements, positions = simulated("fluorite", "CeO2", 300)
    target = Target.of(pdf)
    one, sphere = fit_envelope(crystal("fluorite", "CeO2"), target)
    best = cb.Candidate(elements, positions, "fluorite", "cut", rw=0.01)
    return Solution(
        candidates=[best],
        rw_quick=[0.01],
        settings={"rmin": 1.5, "rmax": target.rmax},
        timings={},
        warnings=(),
        pdf=pdf,
        crystal=sphere,
        unit_cell=one,
    )


def test_pdffit2_finds_the_same_sphere(ceria):
    pytest.importorskip("diffpy.pdffit2", exc_type=ImportError)
    # Near r it lacks what the small angles take away.
    target = Target.of(ceria.pdf, 1.5, 15.0)
    found = refine_sphere(ceria.unit_cell, ceria.crystal, target)
    assert found["a"] == pytest.approx(ceria.crystal.a, rel=2e-3)
    assert found["spdiameter"] == pytest.approx(
        ceria.crystal.diameter, rel=0.1
    )
    assert found["Ce_Uiso"] == pytest.approx(0.6 / 78.96, rel=0.15)
    assert found["rw"] < 0.25


def test_one_width_an_element_in_any_cell(ceria):
    """Of a hexagonal cell an isotropic U has an element off the diagonal."""
    hexagonal = crystal("wurtzite", "ZnO")
    sphere = dataclasses.replace(
        ceria.crystal, uiso_by_element={"O": 0.01, "Zn": 0.005}
    )
    phase = phase_of(hexagonal, sphere)
    told = {one.name: one for one in freed(phase, None)}
    assert set(told) == {
        *("scale", "delta2", "spdiameter"),
        *("a", "c", "O_Uiso", "Zn_Uiso"),
    }
    assert set(told["a"].variables) == {"lat(1)", "lat(2)"}
    place = next(k for k, a in enumerate(phase, 1) if a.element == "Zn")
    widths = told["Zn_Uiso"].variables
    assert widths[f"u11({place})"] == pytest.approx(1.0)
    assert widths[f"u12({place})"] == pytest.approx(0.5)
    u = phase[place - 1].U
    assert u[0, 1] == pytest.approx(0.5 * told["Zn_Uiso"].value)


class Constraint:
    """In place of PDFgui's, which sets its attributes in the same way."""


@pytest.fixture
def of_pdfgui(monkeypatch):
    """A class where PDFgui has its own, whether it is installed or not."""
    module, name = pdfgui.CONSTRAINT
    made = types.ModuleType(module)
    monkeypatch.setattr(made, name, Constraint, raising=False)
    monkeypatch.setattr(Constraint, "__module__", module)
    parts = module.split(".")
    for k in range(2, len(parts)):
        parent = ".".join(parts[:k])
        if parent not in sys.modules:
            monkeypatch.setitem(sys.modules, parent, types.ModuleType(parent))
    monkeypatch.setitem(sys.modules, module, made)


def test_a_project_holds_phase_data_and_constraints(
    ceria, tmp_path, of_pdfgui
):
    write_project(ceria, "some data.gr", tmp_path / "a.ddp3")
    with zipfile.ZipFile(tmp_path / "a.ddp3") as file:
        names = file.namelist()
        content = {name: file.read(name) for name in names}
    root = "some+data"
    assert content[f"{root}/fits"] == b"fluorite"
    phase = f"{root}/fluorite/structure/fluorite"
    data = f"{root}/fluorite/dataset/{root}"
    stru = content[f"{phase}/initial"].decode()
    (shape,) = [x for x in stru.splitlines() if x.startswith("shape")]
    assert float(shape.split(",")[1]) == pytest.approx(
        ceria.crystal.diameter, rel=1e-4
    )
    assert stru.count("\nCE") == 4 and stru.count("\nO ") == 8
    held = pickle.loads(content[f"{phase}/constraints"])
    assert {c.formula for n, c in held.items() if n.startswith("lat")} == {
        held["lat(1)"].formula
    }
    number = int(held["lat(1)"].formula[1:])
    assert held["lat(1)"].parguess == {number: pytest.approx(ceria.crystal.a)}
    kept = pickle.loads(content[f"{data}/calc"])
    assert kept["fitrmin"] == 1.5
    assert kept["fitrmax"] == ceria.settings["rmax"]
    observed = content[f"{data}/obs"].decode().splitlines()
    begin = observed.index("##### start data") + 2
    r, g = np.loadtxt(observed[begin:], usecols=(0, 1)).T
    np.testing.assert_allclose(r, ceria.pdf.r, atol=1e-6)
    np.testing.assert_allclose(g, ceria.pdf.g, atol=1e-6)


def test_pdfgui_reads_and_fits_the_project(ceria, tmp_path):
    tui = pytest.importorskip("diffpy.pdfgui.tui", exc_type=ImportError)
    write_project(ceria, "a.gr", tmp_path / "a.ddp3")
    (fit,) = tui.LoadProject(str(tmp_path / "a.ddp3")).getFits()
    fit.getServer()
    fit.configure()
    while not fit.refine_step():
        pass
    assert fit.server.getvar("lat(1)") == pytest.approx(
        ceria.crystal.a, rel=2e-3
    )


def test_metals_have_a_crystal_as_well(ceria):
    metal = dataclasses.replace(
        ceria,
        candidates=[cb.Candidate(["Pt"], np.zeros((1, 3)), "fcc", "library")],
        crystal=dataclasses.replace(
            ceria.crystal, lattice="fcc", a=3.92, uiso_by_element={}
        ),
        unit_cell=None,
    )
    one, _ = crystal_of_answer(metal)
    assert one.edges == pytest.approx((3.92,) * 3) and len(one.sites) == 4
    simple = dataclasses.replace(metal.crystal, lattice="sc")
    with pytest.raises(cb.CbldmError, match="lattice sc"):
        crystal_of_answer(dataclasses.replace(metal, crystal=simple))


def test_a_stored_answer_keeps_its_crystal(ceria):
    text = json.dumps(ceria.as_dict())
    back = MontyDecoder().process_decoded(json.loads(text))
    assert back.unit_cell.formula == "CeO2"
    np.testing.assert_array_equal(back.unit_cell.sites, ceria.unit_cell.sites)
