"""Free memory is given back to the system, and garbage is left for later."""

import gc
import os
import subprocess
import sys
import threading

import numpy as np
import pytest

from diffpy_cbldm import memory
from diffpy_cbldm.crystals import lattice_pairs
from diffpy_cbldm.crystals.frameworks import load_frameworks
from diffpy_cbldm.crystals.large_cuts import Ground
from diffpy_cbldm.crystals.lattice_pairs import lattice_distances
from diffpy_cbldm.crystals.lattices import sphere
from diffpy_cbldm.search.matching import HIST_BINS, HIST_ORDER, HIST_STEP
from diffpy_cbldm.search.pool import site_pairs


def _resident():
    """Bytes of this process in memory."""
    with open("/proc/self/statm") as stream:
        return int(stream.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(
    sys.platform != "linux" or memory._trim() is None, reason="not glibc"
)
def test_freed_memory_below_what_is_in_use_is_given_back():
    blocks = [np.ones(8000) for _ in range(1000)]  # 64 MB
    # The last one lies above the others, which the library then keeps.
    del blocks[:-1]
    memory.give_back()
    after = _resident()
    again = [np.ones(8000) for _ in range(1000)]
    assert _resident() - after > 40e6
    assert len(again) + len(blocks) == 1001


def test_where_there_is_no_such_function_nothing_is_done(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    memory._trim.cache_clear()
    memory.give_back()
    assert memory._trim() is None
    memory._trim.cache_clear()


def test_garbage_is_looked_for_rarely_while_jobs_run():
    before = gc.get_threshold()
    begun, ended = threading.Event(), threading.Event()

    def other():
        with memory.rare_collection():
            begun.set()
            ended.wait()

    thread = threading.Thread(target=other)
    with memory.rare_collection():
        assert gc.get_threshold() == (memory.RARER * before[0], *before[1:])
        thread.start()
        begun.wait()
    # The other job still runs.
    assert gc.get_threshold()[0] == memory.RARER * before[0]
    ended.set()
    thread.join()
    assert gc.get_threshold() == before
    with pytest.raises(ZeroDivisionError), memory.rare_collection():
        _ = 1 / 0
    assert gc.get_threshold() == before


def test_imported_objects_are_old_but_not_frozen():
    """The next search for garbage passes over the young ones alone."""
    text = (
        "import gc, diffpy_cbldm as cb; cb.PDFData; "
        "print(gc.get_freeze_count(), gc.isenabled(), gc.get_count()[0])"
    )
    done = subprocess.run(
        [sys.executable, "-c", text],
        check=True,
        capture_output=True,
        text=True,
    )
    frozen, enabled, young = done.stdout.split()
    assert (frozen, enabled) == ("0", "True")
    assert int(young) < gc.get_threshold()[0]


def test_what_a_user_has_frozen_stays_so(monkeypatch):
    monkeypatch.setattr(gc, "get_freeze_count", lambda: 5)
    monkeypatch.setattr(gc, "unfreeze", lambda: pytest.fail("unfrozen"))
    memory.settle_objects()


def test_what_is_quickly_made_is_forgotten_and_made_again():
    here = sphere("fcc", 4.0)
    distances, _ = lattice_distances(here * 2.8)
    assert sphere("fcc", 4.0) is here
    memory.forget()
    again = sphere("fcc", 4.0)
    assert again is not here and (again == here).all()
    assert (lattice_distances(here * 2.8)[0] == distances).all()


def test_sites_alone_are_forgotten(monkeypatch):
    here, ground = sphere("fcc", 4.0), Ground.of("fcc")
    before = lattice_distances(here * 2.8)
    memory.forget(memory.SITES)
    assert sphere("fcc", 4.0) is not here
    assert Ground.of("fcc") is not ground
    # What was counted of a cluster is still there.
    monkeypatch.setattr(lattice_pairs, "site_distances", None)
    assert (lattice_distances(here * 2.8)[1] == before[1]).all()


def test_what_one_generator_asks_for_is_forgotten_alone():
    frameworks, here = load_frameworks(), sphere("fcc", 4.0)
    pairs = site_pairs("fcc", HIST_STEP, HIST_BINS, HIST_ORDER)
    memory.forget(memory.PROPOSALS)
    again = site_pairs("fcc", HIST_STEP, HIST_BINS, HIST_ORDER)
    assert again is not pairs and (again.classes == pairs.classes).all()
    assert load_frameworks() is not frameworks
    assert str(load_frameworks()[-1]) == str(frameworks[-1])
    assert sphere("fcc", 4.0) is here


@pytest.mark.parametrize("words", ["", "memory.end_at_once(); "])
def test_a_command_ends_without_a_look_for_garbage(words):
    code = "import gc; from diffpy_cbldm import memory; gc.disable(); " + words
    code += "x = type('X', (), {'__del__': lambda _: print('found')})(); "
    done = subprocess.run(
        [sys.executable, "-c", code + "x.x = x"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == ("" if words else "found\n")


def test_counts_are_forgotten_and_their_memory_stays(monkeypatch):
    monkeypatch.setattr(memory, "give_back", lambda: pytest.fail("given back"))
    memory.forget(memory.COUNTS)
