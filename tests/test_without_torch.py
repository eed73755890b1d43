"""What needs no gradient needs no PyTorch, which takes 0.2 GB and 1.6 s."""

import ast
import importlib.util
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "diffpy_cbldm"

FIRST = """
import importlib.abc, sys

class Block(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"torch", "torchgen", "functorch"}:
            raise ModuleNotFoundError(f"{name} is blocked", name=name)

sys.meta_path.insert(0, Block())

import dataclasses
import numpy as np
import diffpy_cbldm as cb

whole = np.stack(np.meshgrid(*3 * [range(-4, 5)]), -1).reshape(-1, 3)
fcc = 0.5 * whole[whole.sum(1) % 2 == 0]
size = np.linalg.norm(fcc, axis=1)

def noisy(elements, positions):
    (pdf,) = cb.simulate([cb.Cluster(elements, positions)], rmax=15.0)
    noise = np.random.default_rng(0).normal(0, pdf.g.std(), len(pdf.g))
    return dataclasses.replace(pdf, g=pdf.g + 0.03 * noise)

pdf = noisy("Pt", 3.92 * fcc[size < 1.3])
quick = dict(generators="library", refine=2, polish=False)
"""

WORK = {
    "a default job": "assert cb.solve(pdf, count=8, refine=2).candidates",
    "edits": """
start = cb.Candidate("Pt", 3.92 * fcc[size < 1.5], structure_type="fcc")
assert cb.polish(start, pdf)[0].rw < 1
""",
    "a compound": """
from diffpy_cbldm.search import cut_screening
cut_screening.FAMILIES, cut_screening.ROUNDS = 40, 1
x = 6.05 * np.concatenate([fcc[size < 1.1], fcc[size < 1.1] + 0.25])
pdf = noisy(["Cd"] * (len(x) // 2) + ["Se"] * (len(x) // 2), x)
assert set(cb.solve(pdf).candidates[0].elements) == {"Cd", "Se"}
""",
    "ligands": """
assert cb.solve(pdf, **quick, ligand="S").ligands is not None
""",
    "a distribution": """
assert cb.solve(pdf, **quick, distribution=True).distribution is not None
""",
    "two particles": """
assert cb.solve(pdf, **quick, phases=2).phases is not None
""",
    "a simulated measurement": """
import json, pathlib, tempfile
from diffpy_cbldm.commands import cbldm_simulate
with tempfile.TemporaryDirectory() as folder:
    folder = pathlib.Path(folder)
    cb.Cluster("Pt", 3.92 * fcc[size < 1.1]).write_xyz(folder / "a.xyz")
    (folder / "world.json").write_text(json.dumps({"noise": 0.01}))
    words = [folder / "a.xyz", "--world", folder / "world.json"]
    words += ["--rmax", "12", "-o", folder / "a"]
    assert cbldm_simulate.main([str(word) for word in words]) == 0
    assert len(cb.read_pdf(folder / "a.gr").r) > 1000
""",
    "a calibrant": """
from tests.test_calibrant import QDAMP, measured
assert abs(cb.calibrate(measured("Ni")).qdamp - QDAMP) < 0.01
""",
    "a worker of a series": """
from diffpy_cbldm.series.jobs import Job, work
import diffpy_cbldm.series.preloaded
few = {"count": 8, "refine": 1}
first = work(Job("1", "a.gr", pdf, few))
assert first.known, first.record
beside = work(Job("2", "b.gr", pdf, few, (first.known,)))
assert beside.known and not beside.record.full, beside.record
""",
}

NEEDED = {
    "a calibrant": "diffpy.pdffit2",
    "a worker of a series": "distributed",
}
"""What some work needs beside the package."""


@pytest.mark.parametrize("name", WORK)
def test_work_without_gradients_imports_no_torch(name):
    if name in NEEDED and importlib.util.find_spec(NEEDED[name]) is None:
        pytest.skip(f"{NEEDED[name]} is not installed")
    done = subprocess.run(
        [sys.executable, "-c", FIRST + WORK[name]],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr


def imported_at_once(body):
    """Names that statements import when they are run, not in functions."""
    for node in body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield str(node.module)
        elif isinstance(node, ast.If):
            # For a type checker alone.
            typing = "TYPE_CHECKING" in ast.unparse(node.test)
            yield from imported_at_once([] if typing else node.body)
            yield from imported_at_once(node.orelse)
        elif isinstance(node, ast.Try | ast.With | ast.ClassDef):
            yield from imported_at_once(node.body)


def test_what_is_imported_at_once_is_found():
    tree = ast.parse(
        "if TYPE_CHECKING:\n    import a\nelse:\n    import b\n"
        "def f():\n    import c\n"
        "try:\n    from d.e import f\nexcept ImportError:\n    pass\n"
    )
    assert list(imported_at_once(tree.body)) == ["b", "d.e"]


def test_only_networks_and_gradients_import_torch_at_once():
    found = [
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        if not path.is_relative_to(PACKAGE / "model")
        and path != PACKAGE / "debye" / "gradients.py"
        for name in imported_at_once(ast.parse(path.read_text()).body)
        if name.split(".")[0] == "torch"
    ]
    assert not found, f"{found}: import torch where tensors are made"
