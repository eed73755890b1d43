"""A generator and a cmi profile from outside, as the documentation has it."""

import importlib.util
import json
import os
import pathlib
import re
import subprocess
import sys
import types

import numpy as np
import pytest
from ase.cluster import Octahedron

from diffpy_cbldm import Candidate, CbldmError, Cluster, cmi, propose, simulate
from diffpy_cbldm.pdfdata import write_gr
from diffpy_cbldm.search.generators import GROUP, find_generator

ROOT = pathlib.Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "how-to" / "extending.md").read_text()


def run(*words, folder, path=(), **environment):
    """Run a command with Python modules from this checkout and `path`."""
    modules = os.pathsep.join(map(str, (*path, ROOT)))
    return subprocess.run(
        [sys.executable, "-m", *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": modules, **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )


def files():
    """The files that the page shows, by the name that comes before each."""
    found = re.findall(r"`([\w.]+)`:\n\n```\w+\n(.*?)```", PAGE, re.DOTALL)
    assert [name for name, _ in found] == [
        "pyproject.toml",
        "cbldm_spheres.py",
    ]
    return dict(found)


def test_the_generator_is_short():
    lines = "".join(files().values()).splitlines()
    assert len([line for line in lines if line.strip()]) < 30


def test_the_generator_of_the_page_is_installed_and_used(tmp_path):
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    for name, text in files().items():
        (source / name).write_text(text)
    assert "pip install --no-deps --no-build-isolation ." in PAGE
    build = "pip install --no-deps --no-build-isolation --no-index --target"
    done = run(*build.split(), str(target), ".", folder=source)
    assert done.returncode == 0, done.stderr

    sphere = Cluster("Pt", Octahedron("Pt", 3, cutoff=0).positions)
    (pdf,) = simulate([sphere])
    write_gr(tmp_path / "particle.gr", pdf)
    words = ["diffpy_cbldm", "particle.gr", "--polish", "no", "-t", "res"]
    words += ["--generators", "spheres", "--refine", "2"]
    done = run(*words, folder=tmp_path, path=[target])
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "particle.res").read_text())
    best = result["candidates"][0]
    assert best["generator"] == "spheres"
    assert best["n_atoms"] == 19 and best["rw"] < 0.01

    done = run(*words, "--force", folder=tmp_path)
    assert done.returncode == 1
    assert "there is no generator 'spheres'" in done.stderr


@pytest.fixture(params=["entrypoints", "importlib.metadata"])
def reader(request, monkeypatch):
    """Entry points are read with either; the second is always there."""
    if request.param == "entrypoints":
        pytest.importorskip("entrypoints")
    else:
        monkeypatch.setitem(sys.modules, "entrypoints", None)


def register(folder, monkeypatch, **generators):
    """A package whose generators return, or raise, what is given."""
    info = folder / "others-1.0.dist-info"
    info.mkdir()
    names = "".join(f"{name} = others:{name}\n" for name in generators)
    (info / "entry_points.txt").write_text(f"[{GROUP}]\n{names}")
    (info / "METADATA").write_text("Name: others\nVersion: 1.0\n")
    monkeypatch.syspath_prepend(str(folder))
    module = types.ModuleType("others")
    for name, given in generators.items():

        def generate(pdf, given=given, **settings):
            return given() if callable(given) else given

        setattr(module, name, generate)
    monkeypatch.setitem(sys.modules, "others", module)


def clusters(element, count=1, n_atoms=5):
    x = Octahedron("Pt", 3, cutoff=0).positions[:n_atoms]
    return [Candidate(element, x + 0.01 * k) for k in range(count)]


WRONG = {
    "breaks": (lambda: 1 / 0, "'breaks' failed .ZeroDivisionError"),
    "empty": (None, "'empty' failed .TypeError"),
    "arrays": ([np.eye(3)], "'arrays' proposed .*type ndarray"),
    "gold": (clusters("Au"), "'gold' proposed Au5; expected Pt alone"),
    "nan": (lambda: [Cluster("Pt", [[np.nan] * 3])], "'nan': atom 0"),
}


@pytest.mark.parametrize("name", WRONG)
def test_the_fault_of_a_generator_is_named(name, tmp_path, monkeypatch):
    given, text = WRONG[name]
    register(tmp_path, monkeypatch, **{name: given})
    (pdf,) = simulate(clusters("Pt"))
    with pytest.raises(CbldmError, match=text):
        propose(pdf, generators=(name,))


def test_a_generator_that_cannot_be_loaded(reader, tmp_path, monkeypatch):
    register(tmp_path, monkeypatch, gone=[])
    monkeypatch.setitem(sys.modules, "others", None)
    with pytest.raises(CbldmError, match="'gone' cannot be .*others to"):
        find_generator("gone")


def test_a_generator_that_is_not_there(reader, tmp_path, monkeypatch):
    register(tmp_path, monkeypatch, here=[])
    with pytest.raises(CbldmError, match="'gone'; expected one of .*here"):
        find_generator("gone")


def test_a_generator_gives_at_most_count(reader, tmp_path, monkeypatch):
    register(tmp_path, monkeypatch, many=clusters("Pt", 9), none=[])
    (pdf,) = simulate(clusters("Pt"))
    found = propose(pdf, count=4, generators=("many", "none"))
    assert [c.generator for c in found] == ["many"] * 4


CONDA = """#!/bin/sh
echo "$@" >> "$CONDA_LOG"
[ "$1" = list ] && echo '[{"name": "diffpy.srreal"}, {"name": "pyobjcryst"}]'
exit 0
"""


@pytest.mark.skipif(os.name == "nt", reason="the stand-in is a shell script")
@pytest.mark.skipif(
    importlib.util.find_spec("diffpy.srreal") is not None,
    reason="diffpy.srreal is installed: nothing is missing",
)
@pytest.mark.parametrize("listed", [False, True])
def test_cmi_installs_the_profile(tmp_path, listed):
    """The real cmi asks conda for what is missing, and is then content."""
    log, conda = tmp_path / "log", tmp_path / "conda"
    text = CONDA if listed else CONDA.replace("[ ", "false && [ ")
    conda.write_text(text)
    conda.chmod(0o755)
    path = run("diffpy_cbldm.cmi", folder=tmp_path).stdout.strip()
    done = run(
        *("diffpy.cmi.cli", "install", path),
        folder=tmp_path,
        PATH=f"{tmp_path}:/usr/bin:/bin",
        CONDA_LOG=str(log),
    )
    asked = "".join(x for x in log.read_text().splitlines(True) if "ins" in x)
    if listed:
        assert done.returncode == 0, done.stderr
        assert "Profile 'cbldm' installation complete" in done.stderr
        assert asked == ""
    else:
        assert done.returncode == 1
        assert "after install: diffpy.srreal, pyobjcryst" in done.stderr
        assert asked.split()[0] == "install"
        assert asked.split()[-2:] == ["diffpy.srreal", "pyobjcryst"]


def test_cmi_reads_the_profile():
    from diffpy.cmi.profilesmanager import ProfilesManager

    profile = ProfilesManager().load(cmi.profile())
    assert profile.name == "cbldm"
    assert profile.packs == ["core", "pdf"]
    assert profile.extras == ["diffpy_cbldm"]


def test_cmi_copies_the_recipes(tmp_path):
    folder = cmi.copy_recipes(tmp_path)
    assert folder == tmp_path / "cbldm" / "recipes"
    for path in (ROOT / "recipes").glob("*.py"):
        assert (folder / path.name).read_text() == path.read_text()
    done = run("diffpy_cbldm.cmi", "--copy", "a/b", folder=tmp_path)
    assert done.returncode == 0
    assert (tmp_path / "a/b/cbldm/recipes/series.py").exists()


def test_a_folder_that_cannot_be_written_is_a_mistake(tmp_path):
    (tmp_path / "file").touch()
    done = run("diffpy_cbldm.cmi", "--copy", "file/x", folder=tmp_path)
    assert done.returncode == 1
    assert "cannot be copied" in done.stderr
    assert len(done.stderr.splitlines()) == 1
