"""Compiled loops, wherever the package is installed and whoever runs it."""

import importlib
import importlib.util
import subprocess
import sys

import numpy as np
import pytest

from diffpy_cbldm import compiled

MODULE = """
from diffpy_cbldm.compiled import compiled


@compiled
def total(values):
    found = 0.0
    for value in values:
        found += value
    return found


if __name__ == "__main__":
    import numpy

    print(total(numpy.arange(5.0)))
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    """The file of a module in a folder in which nothing can be kept.

    Nothing can be made below a file, whoever asks: permissions would not
    stop the administrator.
    """
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "cache"))
    folder = tmp_path / "installed"
    folder.mkdir()
    (folder / "__pycache__").write_text("")
    (folder / "loops.py").write_text(MODULE)
    return folder / "loops.py"


def _total(path):
    spec = importlib.util.spec_from_file_location("loops", path)
    loops = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loops)
    return loops.total(np.array([1.0, 2.0]))


def _kept(folder):
    return {path.suffix for path in folder.rglob("loops*.nb?")}


def test_a_read_only_installation_uses_the_cache_of_the_user(module):
    assert _total(module) == 3.0
    assert _kept(module.parent.parent / "cache") == {".nbi", ".nbc"}


def test_where_nothing_can_be_written_nothing_is_kept(module, tmp_path):
    (tmp_path / "cache").write_text("")
    assert _total(module) == 3.0
    assert _kept(tmp_path) == set()


def test_several_first_starts_at_once(module, tmp_path):
    command = [sys.executable, str(module)]
    runs = [
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    assert [run.communicate(timeout=120)[0] for run in runs] == ["10.0\n"] * 3
    assert _kept(tmp_path / "cache") == {".nbi", ".nbc"}
    # And one more reads what they left behind.
    again = subprocess.run(command, capture_output=True, text=True)
    assert again.stdout == "10.0\n"


def test_what_is_compiled_ahead_is_found_by_a_call_later(module):
    """Under the types of a call, not under the words that told them."""

    def run(words):
        done = subprocess.run(
            [sys.executable, "-c", "import numpy\nimport loops\n" + words],
            cwd=module.parent,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.split()

    ahead = """
from diffpy_cbldm import compiled
compiled.ahead("float64[::1]")(loops.total)
compiled.IN_A_JOB = ("loops",)
compiled.compile_now()
"""
    assert run(ahead) == []
    called = """
loops.total(numpy.arange(5.0))
stats = loops.total.stats
print(sum(stats.cache_hits.values()), sum(stats.cache_misses.values()))
"""
    assert run(called) == ["1", "0"]


JOB = """
import threading

import diffpy_cbldm as cb
from diffpy_cbldm import compiled
from diffpy_cbldm.crystals.table import load_table

table = load_table()
place = next(k for k in range(len(table)) if 50 < len(table.positions(k)) < 80)
atoms = 2.8 * table.positions(place)
(pdf,) = cb.simulate([cb.Cluster("Pt", atoms)], rmax=15.0)
cb.solve(pdf, count=16, refine=1)
[t.join() for t in threading.enumerate() if t.name == "compile ahead"]
for kernel, _ in compiled._AHEAD:
    print(kernel.__name__, len(kernel.signatures))
"""


def test_kernels_are_compiled_ahead_for_the_types_that_a_job_has():
    run = subprocess.run(
        [sys.executable, "-c", JOB],
        capture_output=True,
        text=True,
        check=True,
    )
    # Any other type would be compiled when it comes, and the wait be longer.
    counts = dict(line.split() for line in run.stdout.splitlines())
    assert len(counts) == 20
    assert set(counts.values()) == {"1"}
    for name in compiled.IN_A_JOB:
        module = importlib.import_module(name)
        own = [k for k, x in vars(module).items() if hasattr(x, "py_func")]
        assert {k for k in own if k[0] != "_"} <= set(counts)
