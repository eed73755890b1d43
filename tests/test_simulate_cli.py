"""``cbldm-simulate``: clusters in, .gr files out."""

import io

import numpy as np
import pytest

import diffpy_cbldm as cb
from diffpy_cbldm.commands import cbldm_simulate


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


SITES = np.vstack([np.zeros(3), 2.8 * np.eye(3), -2.8 * np.eye(3)])


@pytest.mark.parametrize("kind", ["xyz", "cif"])
def test_files_are_read_back_with_their_settings(kind, here):
    cluster = cb.Cluster("Pt", SITES)
    getattr(cluster, f"write_{kind}")(here / f"a.{kind}")
    words = [f"a.{kind}", "--qmax", "20", "--qdamp", "0.03", "--stype", "N"]
    assert cbldm_simulate.main([*words, "--rmax", "12", "-o", "@b-sim"]) == 0
    pdf = cb.read_pdf("a-sim.gr")
    assert (pdf.composition, pdf.stype) == ("Pt7", "N")
    assert (pdf.qmin, pdf.qmax, pdf.qdamp) == (0.7, 20, 0.03)
    assert not pdf.warnings
    (expected,) = cb.simulate(
        [cluster], qmax=20, qdamp=0.03, rmax=12, stype="N"
    )
    np.testing.assert_allclose(pdf.g, expected.g, atol=2e-5)


def test_outputs_are_kept(here, capfd):
    cb.Cluster("Pt", SITES).write_xyz("a.xyz")
    (here / "a.gr").write_text("precious")
    assert cbldm_simulate.main(["a.xyz"]) == 1
    assert "a.gr exists" in capfd.readouterr().err
    assert (here / "a.gr").read_text() == "precious"
    assert cbldm_simulate.main(["--force", "a.xyz", "--rmax=12"]) == 0
    assert cb.read_pdf("a.gr").composition == "Pt7"


def test_one_bad_file_does_not_stop_the_others(here, capfd):
    cb.Cluster("Pt", SITES).write_xyz("a.xyz")
    (here / "b.xyz").write_text("nothing\n")
    assert cbldm_simulate.main(["b.xyz", "a.xyz", "--rmax=12"]) == 1
    assert "1 of 2 inputs failed: b.xyz" in capfd.readouterr().err
    assert (here / "a.gr").exists() and not (here / "b.gr").exists()


def test_through_standard_streams(here, capfd, monkeypatch):
    cb.Cluster("Pt", SITES).write_xyz("a.xyz")
    monkeypatch.setattr("sys.stdin", io.StringIO((here / "a.xyz").read_text()))
    assert cbldm_simulate.main(["-", "-o", "-", "--rmax=12"]) == 0
    out, err = capfd.readouterr()
    assert err == ""
    (here / "b.gr").write_text(out)
    assert cb.read_pdf("b.gr").composition == "Pt7"


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ([], "cbldm-simulate cluster.xyz"),
        (["none.xyz"], "none.xyz: cannot be read"),
        (["none.cif"], "none.cif: cannot be read"),
        (["bad.cif"], "not a cif file"),
        (["crystal.cif"], "empty space"),
        (["a.xyz", "--qmax=1e9"], "qmax is 1e+09"),
        (["a.xyz", "--count=3"], "--count"),
        (["a.xyz", "-o", "bad.cif/@b"], "bad.cif cannot be written"),
    ],
)
def test_mistakes(words, text, here, capfd):
    from ase.build import bulk

    cb.Cluster("Pt", SITES).write_xyz("a.xyz")
    bulk("Pt", cubic=True).write("crystal.cif")
    (here / "bad.cif").write_text("nothing\n")
    assert cbldm_simulate.main(words) == 1
    out, err = capfd.readouterr()
    assert text in err and len(err.splitlines()) == 1
    assert not list(here.glob("*.gr"))


def test_a_fault_does_not_stop_the_others(here, capfd, monkeypatch):
    from diffpy_cbldm import clusterfile

    def fault(path):
        if path == "a.xyz":
            raise RuntimeError("boom")
        return clusterfile.read_xyz(path)

    monkeypatch.setattr(clusterfile, "read_cluster", fault)
    cb.Cluster("Pt", SITES).write_xyz("b.xyz")
    assert cbldm_simulate.main(["a.xyz", "b.xyz", "--rmax=12"]) == 2
    err = capfd.readouterr().err
    assert "a.xyz: RuntimeError: boom" in err
    assert "1 of 2 inputs failed: a.xyz" in err
    assert (here / "b.gr").exists()
