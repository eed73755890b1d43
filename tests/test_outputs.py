"""Output types read by the libraries they are for, streams and databases."""

import importlib.metadata
import io
import json
import pathlib
import shutil
import sys
import tomllib

import numpy as np
import pytest
from ase.io import formats

import diffpy_cbldm as cb
from diffpy_cbldm import settings
from diffpy_cbldm.commands import cbldm
from diffpy_cbldm.output import results
from diffpy_cbldm.pdfdata import write_gr
from diffpy_cbldm.renames import modern
from tests.postgres import postgres_server

ROOT = pathlib.Path(__file__).resolve().parent.parent

FAST = ["--generators", "library", "-n", "3", "--refine", "2"]


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """A simulated octahedron of 19 atoms as a .gr file."""
    axis = np.arange(-2, 3)
    sites = np.stack(np.meshgrid(axis, axis, axis), axis=-1).reshape(-1, 3)
    sites = sites[(sites.sum(1) % 2 == 0) & (abs(sites).sum(1) <= 2)]
    cluster = cb.Cluster("Pt", sites * 2.77 / 2**0.5)
    path = tmp_path_factory.mktemp("data") / "oct.gr"
    (pdf,) = cb.simulate([cluster], rmax=12.0)
    write_gr(path, pdf)
    return path


@pytest.fixture(scope="module")
def done(measured, tmp_path_factory):
    """A folder with every type of output, and the result."""
    folder = tmp_path_factory.mktemp("done")
    types = ",".join(settings.OUTPUT_TYPES)
    words = [str(measured), *FAST, "-t", types, "-o", f"{folder}/@b", "-q"]
    assert cbldm.main(words) == 0
    return folder, json.loads((folder / "oct.res").read_text())


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_stru_is_read_by_diffpy_structure(done):
    import diffpy.structure

    folder, content = done
    best = content["candidates"][0]
    # The newest name, on diffpy.structure 3.5, or the only one before.
    read = getattr(diffpy.structure, "load_structure", None)
    read = read or diffpy.structure.loadStructure
    stru = read(str(folder / "oct-1.stru"), fmt="pdffit")
    again = cb.Cluster.from_diffpy(stru)
    assert set(again.elements) == {"Pt"}
    expected = np.array(best["positions"])
    np.testing.assert_allclose(
        again.centered().positions, expected - expected.mean(0), atol=1e-5
    )
    uiso = best["parameters"]["Pt_Uiso"]["value"]
    assert stru[0].Uisoequiv == pytest.approx(uiso, abs=1e-7)
    delta2 = best["parameters"]["delta2"]["value"]
    assert stru.pdffit["delta2"] == pytest.approx(delta2, abs=1e-5)
    # PDFgui repeats the cell: images must be out of reach.
    assert min(modern(stru.lattice).cell_parms()[:3]) > 20


def test_extxyz_is_read_by_ase(done):
    from ase.io import read

    folder, content = done
    atoms = read(folder / "oct-2.extxyz")
    second = content["candidates"][1]
    np.testing.assert_allclose(atoms.positions, second["positions"], atol=1e-7)
    assert not atoms.pbc.any()
    assert (atoms.info["rank"], atoms.info["generator"]) == (2, "library")
    assert atoms.info["rw"] == pytest.approx(second["rw"])
    zoom = second["parameters"]["zoomscale"]
    assert atoms.info["zoomscale"] == pytest.approx(zoom["value"])
    assert atoms.info["zoomscale_esd"] == pytest.approx(zoom["esd"])


@pytest.fixture
def ase_format():
    """The format as pyproject.toml registers it, if not installed so."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    group = "ase.ioformats"
    ((name, value),) = project["project"]["entry-points"][group].items()
    if name not in formats.ioformats:
        entry = importlib.metadata.EntryPoint(name, value, group)
        formats.define_external_io_format(entry)
    return name


def test_res_is_read_by_ase(done, ase_format, here):
    folder, content = done
    assert formats.filetype(str(folder / "oct.res")) == ase_format
    last = formats.read(folder / "oct.res")
    best = content["candidates"][0]
    np.testing.assert_allclose(last.positions, best["positions"])
    assert last.get_chemical_symbols() == best["elements"]
    assert not last.pbc.any()
    told = {k: last.info[k] for k in ("rank", "generator", "rw")}
    assert told == {"rank": 1, "generator": "library", "rw": best["rw"]}
    uiso = best["parameters"]["Pt_Uiso"]["value"]
    assert last.info["Pt_Uiso"] == uiso
    every = formats.read(folder / "oct.res", ":")
    assert [a.info["rank"] for a in every] == [2, 1]
    assert formats.read(folder / "oct.res", 0).info["rank"] == 2

    raw = [dict(c, rw=None) for c in content["candidates"]]
    (here / "raw.res").write_text(
        json.dumps({**content, "candidates": raw}, indent=1)
    )
    assert len(formats.read("raw.res", ":")) == len(raw)
    pathlib.Path("other.res").write_text('{"schema": "other"}')
    with pytest.raises(cb.CbldmError, match="not a result of cbldm"):
        formats.read("other.res", format=ase_format)


def check_rows(rows, content):
    best = content["candidates"][0]
    found = list(rows.select("rank=1", generator="library"))
    row = found[-1]
    assert row.formula == f"Pt{best['n_atoms']}"
    assert row.rw == pytest.approx(best["rw"])
    assert row.structure_type == best["structure_type"]
    assert row.data["parameters"] == best["parameters"]
    assert row.data["settings"]["composition"] == "Pt19"
    np.testing.assert_allclose(row.toatoms().positions, best["positions"])
    return len(found)


def test_db_is_read_by_ase(done):
    from ase.db import connect

    folder, content = done
    assert check_rows(connect(folder / "oct.db"), content) == 1


def test_one_database_gathers_runs(done, measured, here):
    from ase.db import connect

    words = [str(measured), *FAST, "-t", "db", "--database", "all.db", "-q"]
    assert cbldm.main(words) == 0
    assert cbldm.main(words) == 0
    assert check_rows(connect("all.db"), done[1]) == 2
    assert sorted(p.name for p in here.iterdir()) == ["all.db"]


@pytest.mark.parametrize(
    ("address", "text"),
    [
        ("all.sqlite", "expected a file NAME.db"),
        ("bad.db/all.db", "folder bad.db cannot be written"),
        ("oracle://host/x", "kind oracle"),
        ("bad.db", "bad.db cannot be written"),
    ],
)
def test_databases_that_cannot_be(address, text, measured, here, capfd):
    (here / "bad.db").write_text("This is no database. " * 500)
    words = [str(measured), "-t", "db", "--database", address]
    assert cbldm.main(words) == 1
    err = capfd.readouterr().err
    assert text in err and len(err.splitlines()) == 1


def test_the_missing_package_is_named(measured, capfd, monkeypatch):
    monkeypatch.setitem(sys.modules, "ase_db_backends", None)
    address = "postgresql://me:secret@localhost/x"
    words = [str(measured), "-t", "db", "--database", address]
    assert cbldm.main(words) == 1
    err = capfd.readouterr().err
    assert "pip install ase-db-backends" in err and "secret" not in err


def test_rows_go_to_postgresql(done, measured, capfd):
    from ase.db import connect

    words = [str(measured), *FAST, "-q", "-t", "db", "--database"]
    with postgres_server() as address:
        assert cbldm.main([*words, address]) == 0, capfd.readouterr().err
        assert check_rows(connect(address), done[1]) == 1
        assert cbldm.main([*words, address]) == 0  # adds to what is there
        assert check_rows(connect(address), done[1]) == 2
    assert cbldm.main([*words, address.replace("me@", "me:secret@")]) == 1
    err = capfd.readouterr().err
    assert "cannot be written" in err and "secret" not in err


def given_to_stdin(monkeypatch, path):
    stream = io.TextIOWrapper(io.BytesIO(path.read_bytes()))
    monkeypatch.setattr("sys.stdin", stream)


def test_standard_streams(measured, done, here, capfd, monkeypatch):
    given_to_stdin(monkeypatch, measured)
    assert cbldm.main(["-", *FAST, "-t", "res", "-o", "-"]) == 0
    out, err = capfd.readouterr()
    content = json.loads(out)  # nothing else is there
    assert content["input"] == "-"
    assert content["candidates"] == done[1]["candidates"]
    assert "generator" in err
    assert list(here.iterdir()) == []
    given_to_stdin(monkeypatch, measured)
    assert cbldm.main(["-", *FAST, "-t", "xyz", "-q"]) == 0
    names = sorted(p.name for p in here.iterdir())
    assert names == ["stdin-1.xyz", "stdin-2.xyz"]


def test_structures_follow_one_another(measured, here, capfd):
    from ase.io import read

    words = [str(measured), *FAST, "-q", "-o", "-", "-t"]
    for kind, count in (("extxyz", 2), ("cif", 1)):
        assert cbldm.main([*words, kind]) == 0
        text = io.StringIO(capfd.readouterr().out)
        assert len(read(text, ":", format=kind)) == count


@pytest.mark.parametrize("types", ["none", "xyz,res", "db"])
def test_standard_output_takes_one_text(types, measured, capfd):
    assert cbldm.main([str(measured), "-o", "-", "-t", types]) == 1
    assert "expected one of xyz" in capfd.readouterr().err


def test_a_run_is_repeated(done, measured, here, capfd):
    folder, content = done
    words = ["-c", str(folder / "oct.res"), "-t", "res", "-o", "again", "-q"]
    assert cbldm.main(words) == 0
    again = json.loads((here / "again.res").read_text())
    assert again["input"] == content["input"]
    assert again["settings"] == content["settings"]
    assert again["candidates"] == content["candidates"]
    shutil.copy(measured, here / "other.gr")
    assert cbldm.main([*words, "other.gr", "--refine", "1", "--force"]) == 0
    other = json.loads((here / "again.res").read_text())
    assert other["input"] == "other.gr"
    assert other["settings"]["refine"] == 1


def test_every_input_has_its_line(measured, here, capfd):
    for name in ("a.gr", "b.gr"):
        shutil.copy(measured, here / name)
    (here / "bad.gr").write_text("nothing\n")
    words = ["-f", ".gr$", *FAST, "-t", "xyz"]
    assert cbldm.main(words) == 1
    out, err = capfd.readouterr()
    summary = out.split("Summary\n")[1].splitlines()
    assert summary[0].split()[:2] == ["input", "type"]
    assert [line.split()[:2] for line in summary[1:]] == [
        ["a.gr", "oct"],
        ["b.gr", "oct"],
        ["bad.gr", "failed"],
    ]
    assert "1 of 3 inputs failed: bad.gr" in err
    assert len(list(here.glob("*-1.xyz"))) == 2


def test_a_fault_is_worse_than_a_mistake(measured, here, monkeypatch):
    def fault(*args, **kwargs):
        raise RuntimeError("boom")

    (here / "bad.gr").write_text("nothing\n")
    monkeypatch.setattr(cb, "solve", fault)
    assert cbldm.main([str(measured), "bad.gr"]) == 2


def test_what_is_not_known_is_null_wherever_it_stands():
    told = {"width": (0.1, float("nan")), "more": [{"x": float("inf")}, 3]}
    plain = {"width": [0.1, None], "more": [{"x": None}, 3]}
    assert results.without_nan(told) == plain
