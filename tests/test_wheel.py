"""The source archive and the wheel hold what they need, and run."""

import math
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
PACKAGE = "diffpy_cbldm"
RECIPES = f"{PACKAGE}/cmi/docs/examples/cbldm/recipes"

SDIST = "from setuptools import build_meta as b; b.build_sdist('dist')"


def run(*words, folder, **environment):
    done = subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def sources():
    """The files of this checkout that are or may come under git."""
    words = ["git", "ls-files", "-co", "--exclude-standard"]
    try:
        done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("git is not installed")
    if done.returncode:
        pytest.skip("not in a clone of the repository")
    return [x for x in done.stdout.split("\n") if x and (ROOT / x).exists()]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The folder of a wheel that was built from a source archive."""
    clean = tmp_path_factory.mktemp("clean")
    for name in sources():
        (clean / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, clean / name, follow_symlinks=False)
    run("-c", SDIST, folder=clean)
    (archive,) = (clean / "dist").iterdir()
    unpacked = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(archive) as stream:
        stream.extractall(unpacked, filter="data")
    (folder,) = unpacked.iterdir()
    words = "-m pip wheel --no-deps --no-index --no-build-isolation -w dist ."
    run(*words.split(), folder=folder)
    return folder


@pytest.fixture(scope="module")
def wheel(built):
    (path,) = (built / "dist").glob("*.whl")
    return path


def test_the_source_archive_is_whole(built):
    for name in sources():
        if not name.startswith("."):
            assert (built / name).exists(), f"{name}: see MANIFEST.in"


def test_the_wheel_has_all_data_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as content:
        names = {n for n in content.namelist() if ".dist-info/" not in n}
    wanted = {n for n in sources() if n.startswith(f"{PACKAGE}/")} - {RECIPES}
    recipes = {
        f"{RECIPES}/{name[len('recipes/') :]}"
        for name in sources()
        if name.startswith("recipes/")
    }
    assert f"{RECIPES}/series.py" in recipes
    assert f"{PACKAGE}/weights/small.safetensors" in wanted
    assert names == wanted | recipes


def test_the_readme_has_the_size_of_the_wheel(wheel):
    megabytes = math.ceil(wheel.stat().st_size / 2**20)  # as ls -lh does
    print(f"{wheel.name}: {megabytes} MB")
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (said,) = re.findall(r"wheel of (\d+) MB", text)
    assert int(said) == megabytes


def test_the_wheel_runs(wheel, tmp_path):
    target = tmp_path / "target"
    words = "-m pip install --no-deps --no-index --target"
    run(*words.split(), str(target), str(wheel), folder=tmp_path)
    here = {"folder": tmp_path, "PYTHONPATH": str(target)}
    where = run("-c", f"import {PACKAGE} as p; print(p.__file__)", **here)
    assert pathlib.Path(where.strip()).is_relative_to(target)
    said = run("-m", PACKAGE, "--version", **here)
    assert said.split()[-1] in wheel.name
    for name in ("cbldm", "cbldm-simulate"):
        script = shutil.which(name, path=str(target / "bin"))
        assert "usage: " + name in run(script, "--help", **here)

    dimer = "2\n\nPt 0 0 0\nPt 0 0 2.77\n"
    (tmp_path / "dimer.xyz").write_text(dimer)
    run(str(target / "bin" / "cbldm-simulate"), "dimer.xyz", **here)
    assert (tmp_path / "dimer.gr").read_text().count("\n") > 3000
    code = (
        f"from {PACKAGE} import cmi\n"
        f"from {PACKAGE}.crystals.table import load_table\n"
        f"from {PACKAGE}.model.weights import load_weights\n"
        "load_weights()\n"
        "cmi.copy_recipes('copied')\n"
        "print(len(load_table().geometries))\n"
    )
    assert int(run("-c", code, **here).split()[-1]) > 100
    assert (tmp_path / "copied" / "cbldm" / "recipes" / "series.py").exists()
