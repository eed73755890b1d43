"""Who compiles the loops of a job at a first start, and for how long."""

import importlib
import os
import pathlib
import signal
import subprocess
import sys

import pytest

from diffpy_cbldm import compiled

LOOPS = """
from diffpy_cbldm.compiled import ahead, compiled


@ahead("float64[::1]")
@compiled
def total(values):
    found = 0.0
    for value in values:
        found += value
    return found
"""

linux = pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux copies processes"
)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with a module of one kernel, and two cores."""
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    (tmp_path / "loops.py").write_text(LOOPS)
    return tmp_path


AHEAD = """
import multiprocessing
import sys
import threading

import numpy

import loops
from diffpy_cbldm import compiling, threads

wait = threading.Event()
if "thread" in sys.argv:
    threading.Thread(target=wait.wait).start()
if "frozen" in sys.argv:
    sys.frozen = True
with threads.cores(1 if "core" in sys.argv else 2):
    compiling.compile_ahead(("loops:total",))
copies = multiprocessing.active_children()
made = [t for t in threading.enumerate() if t.name == "compile ahead"]
print(len(copies), len(compiling._STARTED), len(made))
wait.set()
for work in (*copies, *made):
    work.join()
for work in compiling._STARTED:
    work.wait()
print(len(loops.total.signatures))
print(loops.total(numpy.arange(5.0)))
print(sum(loops.total.stats.cache_misses.values()))
"""


@linux
@pytest.mark.parametrize(
    ("words", "told"),
    [
        # A copy fills the cache, and the call finds it there.
        ([], "1 0 0 0 10.0 0"),
        # There is none of a process with other threads.
        (["thread"], "0 1 0 0 10.0 0"),
        # A program that is no interpreter cannot start another one.
        (["thread", "frozen"], "0 0 1 1 10.0 1"),
        # On one core the call compiles.
        (["core"], "0 0 0 0 10.0 1"),
    ],
)
def test_who_compiles_ahead(folder, words, told):
    def run():
        return subprocess.run(
            [sys.executable, "-c", AHEAD, *words],
            cwd=folder,
            capture_output=True,
            text=True,
        )

    first = run()
    assert first.stdout.split() == told.split(), first.stderr
    # At the next start nothing is left to do.
    assert run().stdout.split() == "0 0 0 0 10.0 0".split()


ELSEWHERE = """
import os

import diffpy_cbldm
from diffpy_cbldm import compiled, compiling

print(diffpy_cbldm.__path__[0])
os.chdir(os.path.expanduser("~"))
name = "diffpy_cbldm.fitting.kernels:sine_sums"
(kernel, types), = compiled.typed([name]).values()
print(kernel._cache.has(types, kernel.targetctx))
print(compiling._by_an_interpreter([name]))
compiling._STARTED[0].wait()
print(kernel._cache.has(types, kernel.targetctx))
"""


def test_an_interpreter_has_the_package_that_started_it(folder):
    """Also where that lay in a folder which is the present one no more."""
    package = pathlib.Path(compiled.__file__).parent
    strange = folder / "a folder é"
    strange.mkdir()
    (strange / package.name).symlink_to(package)
    run = subprocess.run(
        [sys.executable, "-c", ELSEWHERE],
        cwd=strange,
        capture_output=True,
        text=True,
    )
    told = [str(strange / package.name), "False", "True", "True"]
    assert run.stdout.splitlines() == told, run.stderr


def test_without_a_compiler_nothing_is_compiled(folder, monkeypatch):
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")
    words = """
import loops
from diffpy_cbldm import compiling

compiling.compile_ahead(("loops:total",))
compiling.compile_now(["loops:total"])
print(loops.total([1.0, 2.0]))
"""
    run = subprocess.run(
        [sys.executable, "-c", words],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert run.stdout.split() == ["3.0"], run.stderr


SLOW = """
import time

from diffpy_cbldm import compiling, threads


def slow(names):
    print("begun", flush=True)
    time.sleep(60)


compiling.fill_cache = slow
"""

BEGIN = """
with threads.cores(2):
    compiling.compile_ahead(("loops:total",))
time.sleep(60)
"""


@linux
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGKILL"])
def test_the_copy_that_compiles_ends_with_its_process(folder, name):
    run = subprocess.Popen(
        [sys.executable, "-c", SLOW + BEGIN],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert run.stdout.readline() == "begun\n"
    # Ctrl-C goes to both.
    tell = os.killpg if name == "SIGINT" else os.kill
    tell(run.pid, getattr(signal, name))
    # The copy holds the other end of the pipe as long as it lives.
    said = run.communicate(timeout=30)[1]
    assert run.returncode != 0
    assert said.count("Traceback") == (name == "SIGINT")


def test_an_interpreter_that_compiles_ends_with_the_process(folder):
    alone = "compiling.compile_for_parent(['loops:total'])"
    run = subprocess.Popen(
        [sys.executable, "-c", SLOW + alone],
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert run.stdout.readline().split() == [b"begun"]
    # As it is when the one that holds the other end is no more.
    run.stdin.close()
    assert run.wait(timeout=30) == 0
    run.stdout.close()


JOB = """
import diffpy_cbldm as cb
from diffpy_cbldm import compiled
from diffpy_cbldm.crystals.table import load_table

table = load_table()
place = next(k for k in range(len(table)) if 50 < len(table.positions(k)) < 80)
atoms = 2.8 * table.positions(place)
(pdf,) = cb.simulate([cb.Cluster("Pt", atoms)], rmax=15.0)
cb.solve(pdf, count=16, refine=1, cores=1)
names = compiled.IN_A_JOB + compiled.IN_EDITS
for kernel, types in compiled.typed(names).values():
    print(kernel.__name__, int(set(kernel.signatures) <= {types}))
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
    assert len(counts) == 24
    assert set(counts.values()) == {"1"}


def test_all_kernels_whose_types_are_told_have_their_turn():
    names = compiled.IN_A_JOB + compiled.IN_EDITS
    for name in names:
        importlib.import_module(name.partition(":")[0])
    told = {name for name in compiled._TYPES if name.startswith("diffpy")}
    assert sorted(names) == sorted(told)


BAR = """
import sys
import threading

from diffpy_cbldm.commands.cbldm import _Bar

sys.stderr.isatty = lambda: True
with _Bar(show=True) as bar:
    bar.update("quick fit", 1, 4)
    assert bar.bar is not None
    print(threading.active_count())
"""


def test_the_bar_of_the_command_leaves_the_second_core_to_the_job():
    """There are no copies of a process that has other threads."""
    run = subprocess.run(
        [sys.executable, "-c", BAR], capture_output=True, text=True
    )
    assert run.stdout.split() == ["1"], run.stderr
