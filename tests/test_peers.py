"""Other programs use the files: PDFfit2, diffpy.apps, diffpy.cmipdf.

diffpy.apps and diffpy.cmipdf need diffpy.srfit 3.4.  Where diffpy.srreal is
missing, `tests/standins` answers in its place.
"""

import importlib.util
import pathlib
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from diffpy.structure import Structure

import diffpy_cbldm as cb
from diffpy_cbldm.clusterfile import read_cluster
from diffpy_cbldm.commands import cbldm
from diffpy_cbldm.conversions import REACH
from diffpy_cbldm.fitting.generator import ClusterParSet, DebyeGenerator
from diffpy_cbldm.output import writers
from diffpy_cbldm.output.macro import macro_text
from diffpy_cbldm.pdfdata import write_gr
from diffpy_cbldm.settings import Refinement
from tests.benchmarks import peers

ROOT = pathlib.Path(__file__).resolve().parent.parent


def need(module):
    """Skip a test where a package is missing or cannot be imported."""
    pytest.importorskip(module, exc_type=ImportError)


@pytest.fixture(scope="module")
def solution():
    """A refined cuboctahedron of 55 atoms and its PDF."""
    return peers.answer(peers.particle(3), 0.7)


@pytest.fixture(scope="module")
def folder(solution, tmp_path_factory):
    path = tmp_path_factory.mktemp("written")
    peers.write(solution, path, "stru,dp-in")
    return path


def forms(candidate, folder, rmax):
    """A structure as each door gives it, read by diffpy.structure."""
    candidate.write_cif(folder / "a.cif", rmax=rmax)
    candidate.write_stru(folder / "a.stru", rmax=rmax)
    crystal = candidate.to_pymatgen(boxed=True, rmax=rmax)
    crystal.to(folder / "b.cif", write_site_properties=True)
    stru = Structure()
    stru.read(str(folder / "a.stru"), format="pdffit")
    return {
        "cif": Structure(filename=str(folder / "a.cif")),
        "stru": stru,
        "diffpy": candidate.to_diffpy(boxed=True, rmax=rmax),
        "pymatgen": Structure(filename=str(folder / "b.cif")),
    }


@pytest.mark.parametrize("rmax", [12.0, 30.0, 50.0])
def test_every_door_carries_uiso_and_a_box(solution, tmp_path, rmax):
    """No distance to an image is in reach of G(r) up to rmax."""
    candidate = solution.candidates[0]
    x = candidate.positions
    diameter = np.linalg.norm(x[:, None] - x, axis=-1).max()
    for door, structure in forms(candidate, tmp_path, rmax).items():
        assert set(structure.element) == {"Pt"}, door
        uiso = candidate.parameters["Pt_Uiso"][0]
        np.testing.assert_allclose(structure.Uisoequiv, uiso, atol=1e-7)
        edges = np.linalg.norm(structure.lattice.base, axis=1)
        assert np.ptp(edges) < 1e-6, "one edge to refine"
        x = structure.xyz_cartn
        images = [
            np.linalg.norm(x[:, None] - x - shift, axis=-1).min()
            for shift in structure.lattice.base
        ]
        assert min(images) >= rmax + REACH - 1e-6, door
        assert edges[0] <= diameter + rmax + REACH + 0.2, door


def test_uiso_of_each_element(tmp_path):
    """Refined ones, and the default where none is known."""
    x = peers.particle(3).positions
    elements = ["Pt", "Ni"] * 27 + ["Pt"]
    plain = cb.Cluster(elements, x)
    refined = cb.Candidate(
        elements, x, parameters={"Pt_Uiso": (0.004, 0.0), "Ni_Uiso": (0.01, 0)}
    )
    for door, stru in forms(refined, tmp_path, 20.0).items():
        found = dict(zip(stru.element, np.round(stru.Uisoequiv, 7)))
        assert found == {"Pt": 0.004, "Ni": 0.01}, door
    for door, stru in forms(plain, tmp_path, 20.0).items():
        np.testing.assert_allclose(
            stru.Uisoequiv, Refinement.uiso, atol=1e-7, err_msg=door
        )
    assert set(refined.to_diffpy().Uisoequiv) == {0.004, 0.01}
    assert refined.to_pymatgen()[1].properties["U_iso_or_equiv"] == 0.01
    assert not plain.to_pymatgen().site_properties
    # Isotopes are kept apart from numbers.
    cb.Cluster(["13-C", "D"], x[:2]).write_cif(tmp_path / "c.cif")
    assert len(read_cluster(tmp_path / "c.cif")) == 2


# ------------------------------------------------------------------ PDFfit2


@pytest.mark.parametrize("file", ["a-1.cif", "a-1.stru"])
def test_pdffit2_repeats_a_pdf_from_qmin_0_on(solution, tmp_path, file):
    """But for the mean density of the box, which it takes off."""
    need("diffpy.pdffit2")
    whole = peers.answer(solution.candidates[0], 0.0)
    peers.write(whole, tmp_path, "cif,stru")
    rw = peers.by_pdffit2(tmp_path / file, whole.pdf, 2.0)
    assert rw < 0.1
    # Without Qmin it has not the baseline of a measured PDF.
    rw = peers.by_pdffit2(tmp_path / file, solution.pdf, 2.0)
    assert 0.3 < rw < 0.8


def test_stru_has_scale_and_delta2(solution, folder):
    stru = Structure()
    stru.read(str(folder / "a-1.stru"), format="pdffit")
    for name in ("scale", "delta2"):
        value = solution.candidates[0].parameters[name][0]
        assert stru.pdffit[name] == pytest.approx(value, abs=1e-5)


# -------------------------------------------------------------- diffpy.apps


def test_macro_names_files_that_are_there(solution, folder):
    text = (folder / "a-1.dp-in").read_text()
    loads = [x.split('"')[1] for x in text.splitlines() if "load " in x]
    assert loads == [str(folder / "a-1.cif"), str(folder / "a.gr")]
    assert all(pathlib.Path(path).is_file() for path in loads)
    assert "set measured q_range as 0.7 25\n" in text
    assert "set measured calculation_range as 1.5 29.99 obs\n" in text


def test_numbers_of_a_macro_are_numbers_to_yaml(solution, tmp_path):
    """YAML takes 1e-05 for a word."""
    yaml = pytest.importorskip("yaml")
    small = {"scale": (1e-5, 0.0), "delta2": (0.0, 0.0), "qdamp": (2e9, 0.0)}
    other = peers.answer(solution.candidates[0], 0.7)
    other.candidates[0] = cb.Candidate(
        "Pt", solution.candidates[0].positions, parameters=small
    )
    path = tmp_path / "b.dp-in"
    text = macro_text(other, "a.gr", path, tmp_path / "b.cif", 1)
    block = yaml.safe_load(text.split("---\n")[1])
    values = {name: value for item in block for name, value in item.items()}
    assert values["s0"] == 1e-5 and values["qdamp"] == 2e9
    # SrFit's steps are parts of the value.
    assert 0 < values["G1.delta2"] < 1e-3 and 0 < values["qbroad"] < 1e-3


def test_macro_comes_with_its_cif_file(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (pdf,) = cb.simulate([peers.particle(3)], rmax=15.0)
    write_gr("a.gr", pdf)
    words = "a.gr --refine 1 --count 4 --polish no --generators library -q"
    assert cbldm.main([*words.split(), "-t", "dp-in"]) == 0
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["a-1.cif", "a-1.dp-in", "a.gr"]
    structure = Structure(filename="a-1.cif")
    assert structure.lattice.a < 2 * 8.5 + 15 + REACH
    assert writers.parse_types("dp-in,res") == ("dp-in", "res", "cif")
    assert cbldm.main([*words.split(), "-t", "dp-in", "-o", "-"]) == 1
    assert "change -t" in capsys.readouterr().err


def test_a_macro_needs_a_file(solution, tmp_path):
    path = tmp_path / "a.dp-in"
    with pytest.raises(cb.CbldmError, match="standard input"):
        macro_text(solution, "-", path, path, 1)


def test_runmacro_refines_the_answer(folder):
    """With diffpy.apps as it is."""
    for module in ("textx", "diffpy.apps"):
        need(module)
    rw, variables = peers.by_runmacro(folder / "a-1.dp-in")
    assert rw < 0.02
    assert set(variables) == {"s0", "G1_delta2", "qdamp", "qbroad"}
    assert variables["s0"]["value"] == pytest.approx(1.0, abs=0.01)
    assert variables["qdamp"]["value"] == pytest.approx(0.03, abs=0.003)
    assert (folder / "a-1.json").is_file()


# ------------------------------------------- diffpy.cmipdf and its new names


def in_diffpy(code):
    """Run code where diffpy.srreal is real or stood in for."""
    start = f"""
    import importlib.util, runpy, sys
    import diffpy
    if importlib.util.find_spec("diffpy.srreal") is None:
        diffpy.__path__.append({str(peers.STANDINS)!r})
    """
    text = textwrap.dedent(start) + textwrap.dedent(code)
    done = subprocess.run(
        [sys.executable, "-W", "error:'diffpy:DeprecationWarning", "-c", text],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_cmipdf_takes_the_generator():
    """Its PDFContribution, and its own generator our parameter set."""
    if importlib.util.find_spec("diffpy.cmipdf") is None:
        pytest.skip("diffpy.cmipdf is not installed")
    out = in_diffpy("""
        from diffpy.cmipdf import DebyePDFGenerator, PDFContribution
        recipe = runpy.run_path("recipes/cmipdf_cluster.py")
        made = recipe["make_recipe"](*recipe["simulated"]())
        assert type(made.particle) is PDFContribution
        assert recipe["main"]().rw < 1e-3

        from diffpy_cbldm.fitting.generator import ClusterParSet
        theirs = DebyePDFGenerator("theirs")
        structure = recipe["simulated"]()[0].to_diffpy()
        parset = ClusterParSet("phase", structure)
        theirs.set_structure_from_parset(parset, periodic=False)
        assert theirs.structure is structure
        assert theirs.phase.get_scatterers()[54].x.value == structure[54].x
        print("taken")
        """)
    assert out.endswith("taken\n")


@pytest.mark.parametrize(
    "package", ["diffpy.srfit.structure", "diffpy.cmistructure"]
)
def test_parameter_sets_of_others_are_taken(solution, package):
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    parset_of = importlib.import_module(f"{package}.diffpyparset")
    structure = solution.candidates[0].to_diffpy()
    parset = parset_of.DiffpyStructureParSet("phase", structure)
    ours, theirs = DebyeGenerator(), DebyeGenerator()
    ours.set_structure(solution.candidates[0].to_diffpy())
    theirs.set_structure_from_parset(parset)
    assert theirs.structure is structure
    r = solution.pdf.r[150:]
    np.testing.assert_array_equal(ours(r), theirs(r))


NAMES = {
    "set_qmax": "setQmax",
    "get_qmax": "getQmax",
    "set_qmin": "setQmin",
    "get_qmin": "getQmin",
    "set_scattering_type": "setScatteringType",
    "get_scattering_type": "getScatteringType",
    "set_structure": "setStructure",
    "set_structure_from_parset": "setPhase",
    "structure": "stru",
}


def test_old_and_new_names_do_the_same(solution):
    structure = solution.candidates[0].to_diffpy()
    new, old = DebyeGenerator("new"), DebyeGenerator("old")
    new.set_structure(structure)
    old.setStructure(stru=structure, periodic=False)
    for name, value in (
        ("qmax", 20.0),
        ("qmin", 1.0),
        ("scattering_type", "N"),
    ):
        getattr(new, f"set_{name}")(value)
        getattr(old, NAMES[f"set_{name}"])(value)
        assert getattr(new, NAMES[f"get_{name}"])() == value
        assert getattr(old, f"get_{name}")() == value
    assert new.structure is new.stru is old.structure is structure
    assert new.meta == old.meta
    r = solution.pdf.r[150:]
    np.testing.assert_array_equal(new(r), old(r))
    with pytest.raises(cb.CbldmError, match="periodic is True"):
        new.set_structure(structure, periodic=True)

    parset = ClusterParSet("phase", structure, atoms=False)
    assert parset.structure is parset.stru is structure
    assert parset.get_lattice() is parset.getLattice()
    assert parset.get_scatterers() is parset.getScatterers()
    assert len(parset.get_scatterers()) == len(structure)
    parset.use_symmetry(False)
    assert not parset.using_symmetry() and not parset.usingSymmetry()
    assert ClusterParSet.can_adapt(structure)
    assert not ClusterParSet.can_adapt("Pt")


def test_modern_names_of_this_version():
    """Each newest name leads to a method, here by its old name or its own."""
    from diffpy.srfit.fitbase import FitRecipe

    recipe = FitRecipe()
    variable = cb.modern(recipe).create_new_variable("a", 1.0)
    cb.modern(variable).bound_range(0.5, 2.0)
    assert cb.modern(recipe).get_bounds_pairs() == [[0.5, 2.0]]
    assert cb.modern(recipe).get_names() == ["a"]
    assert cb.modern(recipe).a is variable
    with pytest.raises(cb.CbldmError, match="FitRecipe.* has no add_varable"):
        cb.modern(recipe).add_varable("b")
