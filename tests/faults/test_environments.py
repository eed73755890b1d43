"""No home, no user, damaged files of the package, threads, huge seeds."""

import itertools
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import torch

import diffpy_cbldm as cb
from diffpy_cbldm import options, settings
from diffpy_cbldm.commands import cbldm
from diffpy_cbldm.crystals import table
from diffpy_cbldm.errors import CbldmWarning
from diffpy_cbldm.files import packaged
from diffpy_cbldm.grfile import parse
from diffpy_cbldm.model import weights
from diffpy_cbldm.model.noise import SeededNoise
from diffpy_cbldm.search import screening_set
from diffpy_cbldm.threads import one_thread, side_by_side

ROOT = pathlib.Path(__file__).resolve().parents[2]

WEIGHTS = ROOT / "diffpy_cbldm" / "weights" / "small.safetensors"


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def octahedron():
    axis = np.arange(-2, 3)
    sites = np.stack(np.meshgrid(axis, axis, axis), axis=-1).reshape(-1, 3)
    return sites[(sites.sum(1) % 2 == 0) & (abs(sites).sum(1) <= 2)] * 1.96


def measured(path="oct.gr"):
    from diffpy_cbldm.pdfdata import write_gr

    (pdf,) = cb.simulate([cb.Cluster("Pt", octahedron())], rmax=12.0)
    write_gr(path, pdf)
    return pdf


# ------------------------------------------------------------ users and homes

ALONE = """
import builtins, io, os, pwd, sys

def nobody(_):
    raise KeyError("uid not found")

def closed(function):
    def refuse(path, *args, **words):
        if isinstance(path, (str, os.PathLike)):
            if os.fspath(path).startswith("/locked"):
                raise PermissionError(13, "Permission denied", str(path))
        return function(path, *args, **words)
    return refuse

if sys.argv.pop(1) == "unknown":
    pwd.getpwuid = nobody
for name in ("stat", "lstat", "listdir", "scandir", "mkdir", "open"):
    setattr(os, name, closed(getattr(os, name)))
builtins.open = io.open = closed(open)

sys.path.insert(0, sys.argv.pop(1))
from diffpy_cbldm.commands import cbldm
sys.exit(cbldm.main(sys.argv[1:]))
"""
"""A process whose user may have no name, and no rights in /locked."""


@pytest.mark.skipif(os.name == "nt", reason="users of Unix")
@pytest.mark.parametrize(
    ("user", "home"),
    [
        ("unknown", None),
        ("unknown", "/none"),
        ("unknown", "/locked/me"),
        ("known", ""),
        ("known", "/locked"),
        ("known", "/dev/null"),
    ],
)
def test_no_home_and_no_user(user, home, here):
    """As in a container: a number without a name, no folder of its own."""
    measured()
    (here / "run.py").write_text(ALONE)
    kept = ("PATH", "LD_LIBRARY_PATH", "PYTHONPATH", "OMP_NUM_THREADS")
    environment = {k: os.environ[k] for k in kept if k in os.environ}
    if home is not None:
        environment["HOME"] = home
    words = ["oct.gr", "--generators", "library,screen", "-n", "2"]
    words += ["--refine", "1", "--polish", "no", "-t", "res,db", "-o", "@b"]
    done = subprocess.run(
        [sys.executable, "run.py", user, str(ROOT), *words],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert "rank" in done.stdout and done.stderr == ""
    assert {"oct.res", "oct.db"} <= set(os.listdir())


def test_a_cache_needs_a_home(monkeypatch):
    for name in ("CBLDM_CACHE", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)

    def homeless():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(pathlib.Path, "home", homeless)
    assert screening_set.load_set() is screening_set.shipped_set()
    with pytest.raises(cb.CbldmError, match="set CBLDM_CACHE"):
        screening_set.build_set(5)


# -------------------------------------------------------------------- caches


@pytest.fixture
def cache(here, monkeypatch):
    """A set of 30 clusters, with 20 in the package."""
    monkeypatch.setenv("CBLDM_CACHE", str(here / "cache"))
    monkeypatch.setattr(screening_set, "BUILD_PART", 10)
    monkeypatch.setattr(screening_set, "SHIPPED", 20)
    return screening_set.build_set(30)


def test_a_sound_cache_is_read(cache):
    assert len(screening_set.load_set()) == 30


def test_a_cache_with_fewer_clusters_than_the_package(cache, monkeypatch):
    monkeypatch.setattr(screening_set, "SHIPPED", 31)
    with pytest.warns(CbldmWarning, match="holds 30 clusters and is left out"):
        assert screening_set.load_set() is screening_set.shipped_set()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("row", [1, 14, 28])
def test_a_cache_with_rows_that_are_not_finite(value, row, cache):
    hist = np.load(cache)
    hist[row, 7] = value
    np.save(cache, hist)
    with pytest.warns(CbldmWarning, match="make it again"):
        assert screening_set.load_set() is screening_set.shipped_set()


def test_a_cache_that_is_a_file(here, monkeypatch):
    (here / "cache").write_text("")
    monkeypatch.setenv("CBLDM_CACHE", str(here / "cache"))
    assert screening_set.load_set() is screening_set.shipped_set()


def test_the_command_tells_what_is_left_out(cache, monkeypatch, capfd):
    monkeypatch.setattr(screening_set, "SHIPPED", 31)
    measured()
    words = ["oct.gr", "--generators", "screen", "-n", "2", "--refine", "0"]
    assert cbldm.main([*words, "--polish", "no"]) == 0
    err = capfd.readouterr().err
    assert err.count("cbldm: warning: ") == 1 and "30 clusters" in err


# ------------------------------------------------------- files of the package


def test_the_shipped_weights_carry_their_checksum():
    record = json.loads(WEIGHTS.with_suffix(".json").read_text())
    assert record["sha256"] == weights._sha256(WEIGHTS)


def altered(path, harm):
    raw = bytearray(path.read_bytes())
    if harm == "bit":
        raw[-1000] ^= 1
    path.write_bytes(raw[: {"empty": 0, "cut": 5000}.get(harm, len(raw))])


@pytest.mark.parametrize("harm", ["bit", "cut", "empty"])
@pytest.mark.parametrize("shipped", [True, False])
def test_damaged_weights(harm, shipped, here, monkeypatch, capfd):
    for path in (WEIGHTS, WEIGHTS.with_suffix(".json")):
        shutil.copy(path, here)
    altered(here / WEIGHTS.name, harm)
    if shipped:
        folder = here / "package" / "weights"
        folder.mkdir(parents=True)
        for path in here.glob("small.*"):
            shutil.move(path, folder)
        monkeypatch.setattr(
            weights.resources, "files", lambda name: here / "package"
        )
    name = "small" if shipped else WEIGHTS.name
    remedy = "reinstall" if shipped else "copy both files again"
    for load in (weights.load_weights, weights.load_sampler):
        with pytest.raises(cb.CbldmError, match=f"damaged.*{remedy}"):
            load(name)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"table": 3}'])
def test_damaged_records(text, here):
    shutil.copy(WEIGHTS, here)
    (here / "small.json").write_text(text)
    with pytest.raises(cb.CbldmError):
        weights.load_weights(WEIGHTS.name)


def test_the_command_says_what_to_do(capfd, monkeypatch):
    from diffpy_cbldm.search import by_model

    def damaged(name, device):
        with packaged("small.safetensors"):
            raise EOFError

    by_model._model.cache_clear()
    by_model._drawn.cache_clear()
    monkeypatch.setattr(weights, "load_sampler", damaged)
    measured()
    assert cbldm.main(["oct.gr", "--generators", "cbldm", "-t", "res"]) == 1
    err = capfd.readouterr().err
    assert "reinstall" in err and "fault of" not in err
    assert len(err.splitlines()) == 1


def test_a_checksum_is_written_by_command(here):
    for path in (WEIGHTS, WEIGHTS.with_suffix(".json")):
        shutil.copy(path, here)
    record = json.loads((here / "small.json").read_text())
    (here / "small.json").write_text(json.dumps({**record, "sha256": "0"}))
    with pytest.raises(cb.CbldmError, match="checksum"):
        weights.read_weights(WEIGHTS.name)
    weights.main([WEIGHTS.name])
    assert (here / "small.json").read_bytes() == (
        WEIGHTS.with_suffix(".json").read_bytes()
    )
    # Weights of earlier versions have none.
    del record["sha256"]
    (here / "small.json").write_text(json.dumps(record))
    assert weights.read_weights(WEIGHTS.name)[1] == record


@pytest.mark.parametrize(
    ("module", "constant", "load"),
    [
        (screening_set, "_SHIPPED", screening_set.shipped_set),
        (table, "_TABLE_FILE", table.load_table),
    ],
)
def test_other_damaged_files_of_the_package(
    module, constant, load, here, monkeypatch
):
    whole = pathlib.Path(module.__file__).parent / getattr(module, constant)
    for cut in (0, 3000):
        (here / whole.name).write_bytes(whole.read_bytes()[:cut])
        monkeypatch.setattr(module.resources, "files", lambda name: here)
        with pytest.raises(cb.CbldmError, match="reinstall"):
            load.__wrapped__()


# ------------------------------------------------------------------- threads


@pytest.fixture
def threads():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield 3
    torch.set_num_threads(before)


def test_one_thread_inside_of_another(threads):
    with one_thread():
        with one_thread():
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == threads


def test_one_thread_ends_after_an_error(threads):
    with pytest.raises(KeyError), one_thread():
        raise KeyError
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize("order", [*itertools.permutations(range(3))])
def test_threads_that_overlap(order, threads):
    """They enter one by one and leave in any order."""
    entered = [threading.Event() for _ in order]
    leave = [threading.Event() for _ in order]
    inside, after = {}, {}

    def work(k):
        with one_thread():
            entered[k].set()
            leave[k].wait(60)
            inside[k] = torch.get_num_threads()
        after[k] = torch.get_num_threads()

    workers = [threading.Thread(target=work, args=(k,)) for k in range(3)]
    for worker, event in zip(workers, entered):
        worker.start()
        assert event.wait(60)
    for k in order:
        leave[k].set()
        workers[k].join(60)
    assert inside == dict.fromkeys(range(3), 1)
    assert after == dict.fromkeys(range(3), threads)
    assert torch.get_num_threads() == threads
    fresh = []
    worker = threading.Thread(
        target=lambda: fresh.append(torch.get_num_threads())
    )
    worker.start()
    worker.join()
    assert fresh == [threads]


def test_side_by_side_inside_of_one_thread(threads):
    def number(_):
        return torch.get_num_threads()

    with one_thread():
        assert side_by_side(number, [1, 2, 3]) == [1, 1, 1]
        assert torch.get_num_threads() == 1
    assert side_by_side(number, [1, 2, 3]) == [1, 1, 1]
    assert torch.get_num_threads() == threads


def test_one_thread_from_before_pytorch_was_imported(threads, monkeypatch):
    outer = one_thread()
    with monkeypatch.context() as without:
        without.delitem(sys.modules, "torch")
        outer.__enter__()
        assert side_by_side(str, [1, 2]) == ["1", "2"]
    with one_thread():
        assert torch.get_num_threads() == 1
    outer.__exit__(None, None, None)
    assert torch.get_num_threads() == threads


# --------------------------------------------------------------------- seeds

LAST = 2**63 - 1


def test_the_largest_seed_works_everywhere():
    words = {"generators": "cbldm,library,screen", "count": 2, "seed": LAST}
    assert len(cb.propose(measured(), **words)) > 2


@pytest.mark.parametrize("seed", [0, 2**31, 2**32 + 1, 2**62, LAST])
def test_seeds_of_any_size_are_taken(seed):
    # Later rounds of the model add to it.
    noise = SeededNoise(seed + 1_000_003, [0, 2**31], torch.zeros(16))
    assert torch.isfinite(noise()).all()
    assert options.convert(seed_option(), str(seed)) == seed
    options.check(seed_option(), seed)


def seed_option():
    (option,) = (
        o for o in options.options(settings.Solve) if o.name == "seed"
    )
    return option


@pytest.mark.parametrize("seed", [-1, LAST + 1, 2**64, 10**400])
def test_other_seeds_are_refused_with_words(seed, capfd):
    pdf = measured()
    limits = rf"expected 0 to {LAST}"
    for ask in (cb.propose, cb.solve):
        with pytest.raises(cb.CbldmError, match=limits):
            ask(pdf, generators=("library",), seed=seed)
    assert cbldm.main(["oct.gr", f"--seed={seed}"]) == 1
    err = capfd.readouterr().err
    assert limits in err and len(err.splitlines()) == 1
    assert len(err) < 300


# --------------------------------------------------------------- linear time


HEADERS = [
    "#\n",
    "# \n\n",
    "#!%\n",
    "- \n",
    "# mode\n",
    "file",
    "/",
    "a/",
    "qmin ",
    "=",
    "# title title : \n",
]


@pytest.mark.parametrize("piece", HEADERS)
def test_headers_take_linear_time(piece):
    """Four times as long takes four times as long, not sixteen."""
    data = "\n".join(f"{k / 50} {k % 7}" for k in range(100, 300))

    def took(count):
        text = f"# x\n{piece * count}\n{data}"
        start = time.process_time()
        parse(text)
        return time.process_time() - start

    # A quadratic step shows at once: the least of some tries is compared.
    short, long = (min(took(n) for _ in range(3)) for n in (8000, 32_000))
    assert long < 8 * short + 0.05


def test_the_largest_number_of_a_message():
    option = seed_option()
    assert option.allowed == f"0 to {LAST}"
    with pytest.raises(cb.CbldmError) as caught:
        options.check(option, LAST + 1)
    assert re.search(rf"seed is {LAST + 1}; expected", str(caught.value))
