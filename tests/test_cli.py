"""The ``cbldm`` command: mistakes, options, and one run from end to end."""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest

from diffpy_cbldm import options
from diffpy_cbldm.commands import cbldm

R = np.arange(0, 20, 0.01)


def write_gr(path, r=R, g=None, composition="Pt"):
    g = np.sin(r) if g is None else g
    lines = [f"composition = {composition}", "qmin = 1", "qmax = 22"]
    lines += ["mode = xray", "#### start data", "#L r(A) G(A^-2)"]
    lines += [f"{a:.6g} {b:.8g}" for a, b in zip(r, g, strict=True)]
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def with_value(value):
    g = np.sin(R)
    g[700] = value
    return g


BAD_CURVES = {
    "nan": ((R, with_value(np.nan)), "finite"),
    "infinite": ((R, with_value(np.inf)), "finite"),
    "few": ((R[:99], np.sin(R[:99])), "at least 100"),
    "nanometres": ((R / 10, np.sin(R)), "nanometres"),
    "not increasing": ((R[::-1], np.sin(R)), "increasing"),
    "repeated r": ((np.repeat(R, 2), np.sin(np.repeat(R, 2))), "increasing"),
    "all zero": ((R, 0 * R), "everywhere"),
}


def fails(capfd, words, *texts):
    """Run in this process; the code is 1, one line says why."""
    before = sorted(pathlib.Path().rglob("*"))
    assert cbldm.main(words) == 1
    out, err = capfd.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1, err
    assert err.startswith("cbldm: error: ")
    assert "Traceback" not in err
    for text in texts:
        assert text in err
    assert sorted(pathlib.Path().rglob("*")) == before


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", BAD_CURVES)
def test_bad_curves(name, here, capfd):
    (r, g), text = BAD_CURVES[name]
    path = write_gr(here / "bad.gr", r, g)
    fails(capfd, [path, "-t", "xyz,res"], text, "bad.gr")


@pytest.mark.parametrize(
    ("content", "text"),
    [("", ""), ("no numbers\nat all\n", ""), ("1\n2\n3\n" * 50, "")],
)
def test_no_data_columns(content, text, here, capfd):
    (here / "bad.gr").write_text(content)
    fails(capfd, ["bad.gr", "--composition", "Pt"], "bad.gr", text)


def test_missing_file(capfd):
    fails(capfd, ["none.gr", "--composition", "Pt", "-t", "res"], "none.gr")


def test_folder_as_input(here, capfd):
    (here / "folder.gr").mkdir()
    fails(capfd, ["folder.gr", "--composition", "Pt"], "folder.gr")


@pytest.mark.parametrize(
    ("composition", "text"),
    [
        ("Xx", "unknown element 'Xx'"),
        ("pt", "did you mean Pt"),
        ("Pt3Au7O2", "3 elements"),
        ("", "expected"),
    ],
)
def test_bad_composition(composition, text, here, capfd):
    path = write_gr(here / "a.gr")
    fails(capfd, [path, f"--composition={composition}"], text)


def test_composition_of_the_header(here, capfd):
    path = write_gr(here / "a.gr", composition="Cd3Se7O2")
    fails(capfd, [path], "no common crystal")


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["-o", "a.gr/@b"], "folder a.gr cannot be written"),
        (["-o", "/proc/@b"], "cannot be written"),
        (["-o", "folder"], "folder.res"),
        (["-t", "pdf"], "'pdf' is not known"),
        (["-t", "res,none"], "'none' is not known"),
    ],
)
def test_unwritable_output(words, text, here, capfd):
    (here / "folder.res").mkdir()
    path = write_gr(here / "a.gr")
    fails(capfd, [path, "-t", "res", *words], text)


@pytest.mark.parametrize("name", ["a.res", "a-1.xyz", "a-8.xyz", "a-3.cif"])
def test_existing_output(name, here, capfd):
    path = write_gr(here / "a.gr")
    (here / name).write_text("precious")
    fails(capfd, [path, "-t", "xyz,cif,res"], f"{name} exists", "--force")
    assert (here / name).read_text() == "precious"


@pytest.mark.parametrize("force", ["no", "once"])
def test_two_inputs_with_one_output(force, here, capfd):
    first = write_gr(here / "a.gr")
    (here / "b").mkdir()
    second = write_gr(here / "b" / "a.gr")
    from diffpy_cbldm.output import writers

    paths = [writers.output_name("@b", p, "res") for p in (first, second)]
    planned = writers.check_outputs(paths[:1], force)
    (here / "link").symlink_to(here)  # the same folder by another name
    for path in (paths[1], pathlib.Path("link") / paths[1]):
        with pytest.raises(cbldm.CbldmError, match="written by this run"):
            writers.check_outputs([path], force, written=planned)
    writers.check_outputs(paths[1:], "yes", written=planned)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ([], "cbldm --example"),
        (["--no-such-option"], "--no-such-option"),
        (["a.gr", "-n", "many"], "invalid int value"),
        (["a.gr", "-n", "0"], "count is 0"),
        (["a.gr", "--qmin", "nan"], "qmin"),
        (["a.gr", "--stype", "e"], "stype"),
        (["a.gr", "--force=perhaps"], "force"),
        (["a.gr", "--verbose", "loud"], "verbose"),
        (["a.gr", "--device", "tpu"], "device"),
        (["a.gr", "--generators", "oracle"], "oracle"),
        (["a.gr", "--generators", ""], "generator"),
        (["a.gr", "--rmin", "25"], "rmin"),
        (["a.gr", "--qmin", "20", "--qmax", "10"], "qmin"),
        (["--example", "unobtainium"], "unobtainium"),
    ],
)
def test_bad_options(words, text, here, capfd):
    write_gr(here / "a.gr")
    fails(capfd, words, text)


def test_fault_of_ours_is_exit_code_2(here, capfd, monkeypatch):
    def fault(*args, **kwargs):
        raise RuntimeError("boom")

    import diffpy_cbldm.pdfdata

    monkeypatch.setattr(diffpy_cbldm.pdfdata, "read_pdf", fault)
    assert cbldm.main([write_gr(here / "a.gr")]) == 2
    err = capfd.readouterr().err
    assert len(err.splitlines()) == 1
    assert "RuntimeError: boom" in err


def test_force_leaves_the_file_that_follows():
    given = cbldm.make_parser().given(["--force", "a.gr"])
    assert given == {"force": "yes", "inputs": ["a.gr"]}
    given = cbldm.make_parser().given(["--force", "no"])
    assert given == {"force": "no", "inputs": []}
    given = cbldm.make_parser().given(["-p", "a.gr"])
    assert given == {"plot": "screen", "inputs": ["a.gr"]}
    given = cbldm.make_parser().given(["-p", "svg"])
    assert given == {"plot": "svg", "inputs": []}


def test_every_setting_is_an_option_with_help():
    text = " ".join(cbldm.make_parser().format_help().split())
    for table in cbldm.TABLES.values():
        for option in options.options(table):
            assert all(flag in text for flag in option.flags)
            assert option.help.split()[0] in text


def test_list_examples(capfd):
    assert cbldm.main(["--list-examples"]) == 0
    assert "Pt-nanoparticles" in capfd.readouterr().out


def test_the_example_is_installed():
    from diffpy_cbldm.commands.examples import EXAMPLES

    for example in EXAMPLES:
        assert example.path().is_file()


def command():
    """The installed command, or the module where it is not installed."""
    script = pathlib.Path(sys.executable).with_name("cbldm")
    if script.exists():
        return [str(script)]
    return [sys.executable, "-m", "diffpy_cbldm"]


def run(*words, cwd):
    root = str(pathlib.Path(__file__).resolve().parent.parent)
    environment = dict(os.environ, OMP_NUM_THREADS="2")
    if len(command()) > 1:
        environment["PYTHONPATH"] = root
    return subprocess.run(
        [*command(), *words],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )


def octahedron():
    """The octahedron of 85 fcc sites, neighbours at a distance of 1."""
    axis = np.arange(-4, 5)
    sites = np.stack(np.meshgrid(axis, axis, axis), axis=-1).reshape(-1, 3)
    sites = sites[(sites.sum(1) % 2 == 0) & (abs(sites).sum(1) <= 4)]
    assert len(sites) == 85
    return sites / 2**0.5


def test_help_is_quick(here):
    def timed():
        start = time.perf_counter()
        done = run("--help", cwd=here)
        assert done.returncode == 0
        assert "--composition" in done.stdout
        return time.perf_counter() - start

    assert min(timed() for _ in range(3)) < 0.5


def test_version(here):
    import diffpy_cbldm

    done = run("--version", cwd=here)
    assert done.stdout.split() == ["cbldm", diffpy_cbldm.__version__]


def test_missing_file_from_the_shell(here):
    done = run("none.gr", "--composition", "Pt", "-t", "res", cwd=here)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert list(here.iterdir()) == []


def test_how_much_is_said(here, capfd):
    """A file without a header makes warnings; info tells times and files."""
    import diffpy_cbldm as cb

    (pdf,) = cb.simulate([cb.Cluster("Pt", octahedron() * 2.77)], rmax=9.0)
    np.savetxt(here / "oct.gr", np.column_stack([pdf.r, pdf.g]))
    words = ["oct.gr", "--composition", "Pt", "-t", "res", "--force"]
    words += ["--generators", "library", "-n", "1", "--refine", "1"]
    words += ["--polish", "no"]
    said = {}
    for level in ("error", "warning", "3"):
        assert cbldm.main([*words, "--verbose", level]) == 0
        out, err = capfd.readouterr()
        assert "rank" in out
        said[level] = ("warning: " in err, "wrote oct.res" in out)
    assert said == {
        "error": (False, False),
        "warning": (True, False),
        "3": (True, True),
    }


def test_from_end_to_end(here):
    """A simulated octahedron is found, refined and written."""
    import diffpy_cbldm as cb
    from diffpy_cbldm.pdfdata import write_gr as write_pdf

    positions = octahedron() * 2.77
    cluster = cb.Cluster("Pt", positions)
    (pdf,) = cb.simulate([cluster], qmin=1.0, qmax=22.0, qdamp=0.04)
    write_pdf(here / "oct.gr", pdf)
    (here / "bad.gr").write_text("nothing\n")
    words = ["oct.gr", "bad.gr", "--composition", "Pt", "-t", "xyz,cif,res"]
    words += ["-n", "4", "--refine", "2", "-o", "@b"]
    done = run(*words, cwd=here)
    assert done.returncode == 1  # for bad.gr; the other one was solved
    assert "bad.gr" in done.stderr
    assert "1 of 2 inputs failed" in done.stderr
    assert "Traceback" not in done.stderr
    written = {p.name for p in here.iterdir()} - {"oct.gr", "bad.gr"}
    assert written == {
        *("oct.res", "oct-1.xyz", "oct-2.xyz", "oct-1.cif", "oct-2.cif")
    }
    content = json.loads((here / "oct.res").read_text())
    assert content["schema"] == "cbldm-result/1"
    assert content["settings"]["composition"] == "Pt"
    assert content["settings"]["count"] == 4
    best = content["candidates"][0]
    assert (best["rank"], best["n_atoms"]) == (1, len(positions))
    assert best["rw"] < 0.02
    assert best["parameters"]["zoomscale"]["esd"] > 0
    generators = {c["generator"] for c in content["candidates"][:2]}
    also = [f for c in content["candidates"][:2] for f in c["flags"]]
    assert "cbldm" in generators or "also proposed by cbldm" in also
    for heading in ("rank", "Rw raw", "held-out", "generator", "zoomscale"):
        assert heading in done.stdout
    from ase.io import read

    assert len(read(here / "oct-1.xyz")) == len(positions)
    assert len(read(here / "oct-1.cif")) == len(positions)

    again = run(*words[:1], *words[2:], cwd=here)
    assert again.returncode == 1
    assert "exists" in again.stderr
    assert len(again.stderr.splitlines()) == 1
    stamp = (here / "oct.res").stat().st_mtime_ns
    shutil.copy(here / "oct.gr", here / "two.gr")
    forced = run("oct.gr", "two.gr", "--force", *words[2:], cwd=here)
    assert forced.returncode == 0, forced.stderr
    assert (here / "oct.res").stat().st_mtime_ns > stamp
    assert (here / "two.res").exists()
    assert "Summary" in forced.stdout
