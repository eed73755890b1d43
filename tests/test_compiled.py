"""Compiled loops, wherever the package is installed and whoever runs it."""

import importlib.util
import os
import signal
import subprocess
import sys
import time

import numba
import numpy as np
import pytest

from diffpy_cbldm import kernel_cache

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
    print(sum(total.stats.cache_misses.values()))
"""

posix = pytest.mark.skipif(os.name != "posix", reason="files are not locked")


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


def _kernel(path):
    spec = importlib.util.spec_from_file_location("loops", path)
    loops = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loops)
    return loops.total


def _total(path):
    return _kernel(path)(np.array([1.0, 2.0]))


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
    told = [run.communicate(timeout=120)[0].split() for run in runs]
    # One has compiled, the others waited for it.
    if os.name == "posix":
        assert sorted(told) == [["10.0", "0"], ["10.0", "0"], ["10.0", "1"]]
    # And one more reads what they left behind.
    again = subprocess.run(command, capture_output=True, text=True)
    assert again.stdout.split() == ["10.0", "0"]
    assert _kept(tmp_path / "cache") == {".nbi", ".nbc"}
    assert not [*(tmp_path / "cache").rglob("*.lock")]


KILLED = """
import os
import signal

import numpy
from numba.core import event

import loops


class Killer(event.Listener):
    def on_start(self, what):
        os.kill(os.getpid(), signal.SIGKILL)

    def on_end(self, what):
        pass


event.register("numba:compile", Killer())
loops.total(numpy.arange(5.0))
"""


@posix
def test_after_a_killed_compiler_the_next_start_compiles(module, tmp_path):
    killed = subprocess.run([sys.executable, "-c", KILLED], cwd=module.parent)
    assert killed.returncode == -signal.SIGKILL
    assert [*(tmp_path / "cache").rglob("*.lock")]  # it was at work
    for told in (["10.0", "1"], ["10.0", "0"]):
        begin = time.monotonic()
        run = subprocess.run(
            [sys.executable, str(module)], capture_output=True, text=True
        )
        assert run.stdout.split() == told
        assert time.monotonic() - begin < kernel_cache.LONGEST
    assert _kept(tmp_path / "cache") == {".nbi", ".nbc"}


FULL = """
import resource

import numpy

import loops

# A file that grows beyond a few bytes is refused, as on a full disk.
resource.setrlimit(resource.RLIMIT_FSIZE, (10, resource.RLIM_INFINITY))
print(loops.total(numpy.arange(5.0)), loops.total.stats.cache_misses.total())
print(loops.total._cache._held)
"""


@posix
def test_on_a_full_disk_a_job_goes_on(module, tmp_path):
    for words, told in ((FULL, ["10.0", "1", "None"]), (None, ["10.0", "1"])):
        command = ["-c", words] if words else [str(module)]
        run = subprocess.run(
            [sys.executable, *command],
            cwd=module.parent,
            capture_output=True,
            text=True,
        )
        assert run.stdout.split() == told, run.stderr
        assert not [*(tmp_path / "cache").rglob("*.lock")]
    assert _kept(tmp_path / "cache") == {".nbi", ".nbc"}


@pytest.mark.parametrize("suffix", ["nbi", "nbc"])
@pytest.mark.parametrize("left", [0, 1, 60])
def test_what_is_damaged_on_disk_is_compiled_again(module, suffix, left):
    assert _total(module) == 3.0
    (path,) = (module.parent.parent / "cache").rglob(f"*.{suffix}")
    path.write_bytes(path.read_bytes()[:left])
    total = _kernel(module)
    types = (numba.types.float64[::1],)
    assert not total._cache.has(types, total.targetctx)
    assert total(np.array([1.0, 2.0])) == 3.0
    # And kept for the next one.
    again = _kernel(module)
    assert again._cache.has(types, again.targetctx)
    assert again(np.array([1.0, 2.0])) == 3.0
    assert again.stats.cache_hits.total() == 1


INTERRUPTED = """
import os
import signal

import numpy
from numba.core import event

import loops


class Interrupter(event.Listener):
    def on_start(self, what):
        os.kill(os.getpid(), signal.SIGINT)

    def on_end(self, what):
        pass


event.register("numba:compile", Interrupter())
try:
    loops.total(numpy.arange(5.0))
except KeyboardInterrupt:
    print(len(loops.total.signatures), signal.getsignal(signal.SIGINT))
print(loops.total(numpy.arange(5.0)), loops.total.stats.cache_misses.total())
"""


@posix
def test_ctrl_c_waits_until_a_kernel_is_compiled(module):
    """An exception amid numba may be lost, or leave it broken."""
    run = subprocess.run(
        [sys.executable, "-c", INTERRUPTED],
        cwd=module.parent,
        capture_output=True,
        text=True,
    )
    told = f"1 {signal.default_int_handler}\n10.0 1\n"
    assert run.stdout == told, run.stderr


@posix
def test_ctrl_c_does_not_wait_for_another_compiler(module, monkeypatch):
    total = _kernel(module)
    lock = kernel_cache._locked(total._cache._lock_path)

    def interrupt(pause):
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(kernel_cache.time, "sleep", interrupt)
    with pytest.raises(KeyboardInterrupt):
        total(np.array([1.0, 2.0]))
    os.close(lock)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert total(np.array([1.0, 2.0])) == 3.0


@posix
def test_who_holds_a_lock_for_too_long_is_not_waited_for(module, monkeypatch):
    monkeypatch.setattr(kernel_cache, "LONGEST", 0.05)
    total = _kernel(module)
    lock = kernel_cache._locked(total._cache._lock_path)
    assert total._cache.elsewhere()
    assert total(np.array([1.0, 2.0])) == 3.0
    os.close(lock)
    assert not total._cache.elsewhere()


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
from diffpy_cbldm import compiled, compiling
compiled.ahead("float64[::1]")(loops.total)
compiling.compile_now(["loops:total"])
"""
    assert run(ahead) == []
    called = """
loops.total(numpy.arange(5.0))
stats = loops.total.stats
print(sum(stats.cache_hits.values()), sum(stats.cache_misses.values()))
"""
    assert run(called) == ["1", "0"]
