"""The conda recipe and the citation say what pyproject.toml says."""

import pathlib
import re
import sys
import tomllib

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from diffpy_cbldm import CbldmError, Cluster
from diffpy_cbldm._version import __version__

ROOT = pathlib.Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
RECIPE = yaml.safe_load((ROOT / "recipe" / "recipe.yaml").read_text())

CONDA = {"torch": "pytorch", "matplotlib": "matplotlib-base"}
"""Names of conda-forge that are not those of the package index."""

NEWEST = "constraints-3.12.txt"


def filled(value):
    """The recipe with the values of its context."""
    if isinstance(value, dict):
        return {k: filled(v) for k, v in value.items()}
    if isinstance(value, list):
        return [filled(v) for v in value]
    if not isinstance(value, str):
        return value
    context = RECIPE["context"] | {"PYTHON": "python"}
    return re.sub(
        r"\$\{\{ (\w+) \}\}", lambda found: str(context[found[1]]), value
    )


def by_name(lines):
    """{name: specifiers} of "NAME >=1.0,<2" lines."""
    parts = [line.partition(" ") for line in lines]
    return {name: set(rest.split(",")) for name, _, rest in parts}


def test_the_recipe_has_the_dependencies_of_the_package():
    """One list for all Pythons: the lowest of each bound, and all names."""
    wanted = {"python": set(PROJECT["requires-python"].split(","))}
    for text in PROJECT["dependencies"]:
        given = Requirement(text)
        name = canonicalize_name(given.name)
        name = CONDA.get(name, given.name)
        bounds = {str(s) for s in given.specifier}
        # The second line of a name is a higher bound for newer Pythons.
        wanted.setdefault(name, bounds)
    assert by_name(filled(RECIPE)["requirements"]["run"]) == wanted


def test_the_recipe_builds_as_pyproject_says():
    recipe = filled(RECIPE)
    with (ROOT / "pyproject.toml").open("rb") as stream:
        build = tomllib.load(stream)["build-system"]["requires"]
    host = by_name(recipe["requirements"]["host"])
    for text in build:
        given = Requirement(text)
        assert host[given.name] == {str(s) for s in given.specifier}
    low, high = (recipe["context"][k] for k in ("python_min", "python_max"))
    assert PROJECT["requires-python"] == f">={low},<{high}"
    assert host["python"] == {f"{low}.*"}
    assert recipe["build"]["noarch"] == "python"
    scripts = recipe["build"]["python"]["entry_points"]
    assert scripts == [f"{k} = {v}" for k, v in PROJECT["scripts"].items()]
    about, package = recipe["about"], recipe["package"]
    assert package == {"name": PROJECT["name"], "version": __version__}
    assert about["summary"] == PROJECT["description"]
    assert about["license"] == PROJECT["license"]
    assert [about["license_file"]] == PROJECT["license-files"]


def test_rattler_reads_the_recipe():
    """Rendering finds what a build would refuse before it solves."""
    rattler = pytest.importorskip("rattler_build")
    recipe = rattler.Stage0Recipe.from_file(ROOT / "recipe" / "recipe.yaml")
    (rendered,) = recipe.render()
    package = rendered.recipe.to_dict()["package"]
    assert package == {"name": "diffpy_cbldm", "version": __version__}


def pins(name):
    """{package: version} of a constraints file."""
    lines = (ROOT / name).read_text().splitlines()
    kept = [line for line in lines if line and not line.startswith("#")]
    pairs = [line.split("==") for line in kept]
    assert len({canonicalize_name(n) for n, _ in pairs}) == len(pairs)
    return {canonicalize_name(n): Version(v) for n, v in pairs}


def wanted_on(version):
    """What a Python asks for, all extras included."""
    texts = [*PROJECT["dependencies"]]
    for extra in PROJECT["optional-dependencies"].values():
        texts += extra
    for text in texts:
        given = Requirement(text)
        here = {"python_version": version}
        if given.name != PROJECT["name"] and (
            given.marker is None or given.marker.evaluate(here)
        ):
            yield given


@pytest.mark.parametrize(
    ("version", "name"),
    [("3.11", "constraints.txt"), ("3.12", NEWEST), ("3.13", NEWEST)],
)
def test_constraints_name_all_that_a_python_needs(version, name):
    pinned = pins(name)
    for given in wanted_on(version):
        assert given.specifier.contains(
            pinned[canonicalize_name(given.name)]
        ), given
    said = f"Programming Language :: Python :: {version}"
    assert said in PROJECT["classifiers"]


def test_the_newer_constraints_are_the_newer_ones():
    old, new = pins("constraints.txt"), pins(NEWEST)
    assert old.keys() == new.keys()
    assert all(new[name] >= old[name] for name in old)
    # The one that asks for Python 3.12.
    assert old["diffpy-srfit"] < Version("3.3") < new["diffpy-srfit"]


def test_six_is_asked_for_where_srfit_imports_it():
    """diffpy.srfit 3.2 and 3.3 import six and do not ask for it."""
    import diffpy.srfit

    folder = pathlib.Path(diffpy.srfit.__file__).parent
    imports = re.compile(r"^(import|from) six\b", re.MULTILINE)
    needed = any(
        imports.search(path.read_text()) for path in folder.rglob("*.py")
    )
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    names = [given.name for given in wanted_on(here)]
    assert needed <= ("six" in names)
    newer = [given.name for given in wanted_on("3.12")]
    assert "six" not in newer and newer.count("diffpy.srfit") == 2


def test_a_small_installation_says_what_it_lacks(monkeypatch):
    """As docs/how-to/install.md makes one, without pymatgen."""
    monkeypatch.setitem(sys.modules, "pymatgen.core", None)
    cluster = Cluster("Pt", [[0.0, 0.0, 0.0], [0.0, 0.0, 2.8]])
    with pytest.raises(CbldmError, match="pip install pymatgen"):
        cluster.to_pymatgen()
    assert len(cluster.to_ase()) == len(cluster.to_diffpy()) == 2


def test_the_citation_is_of_this_version():
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert cited["cff-version"] == "1.2.0" and cited["type"] == "software"
    assert cited["title"] == PROJECT["name"]
    assert cited["version"] == __version__
    assert cited["license"] == PROJECT["license"]
    assert cited["abstract"] == PROJECT["description"]
    assert cited["authors"] == PROJECT["authors"]
    for reference in cited["references"]:
        assert reference["authors"] and reference["title"]
