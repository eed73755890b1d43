"""Work shared with a copy of the process: the same answers, nothing left."""

import logging
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
import warnings

import numpy as np
import pytest

from diffpy_cbldm import processes, threads
from diffpy_cbldm.cluster import Cluster

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux copies processes"
)


@pytest.fixture
def two_cores(monkeypatch):
    """Two cores are free, and threads of other tests are of no matter."""
    monkeypatch.setattr(threading, "active_count", lambda: 1)
    with threads.cores(2):
        yield


def _slow(item):
    time.sleep(0.1)
    return item, os.getpid()


def test_two_processes_share_the_items_and_keep_their_order(two_cores):
    begun = []
    found = processes.shared(_slow, range(6), begun.append)
    assert [item for item, _ in found] == begun == list(range(6))
    pids = [pid for _, pid in found]
    # From both ends, so that the longest can stand first.
    assert pids[0] == os.getpid() != pids[-1]
    assert len(set(pids)) == 2
    with pytest.raises(ProcessLookupError):  # it has ended
        os.kill(pids[-1], 0)


def test_threads_take_the_place_of_a_copy(two_cores, monkeypatch):
    ours = os.getpid()
    pids = [pid for _, pid in processes.at_once(_slow, range(4))]
    assert pids[0] == ours != pids[-1]
    # Beside other threads no copy can be made.
    monkeypatch.setattr(threading, "active_count", lambda: 2)
    assert processes.at_once(_slow, range(4)) == [(k, ours) for k in range(4)]


def test_a_caller_who_collects_ended_processes_has_one(two_cores):
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        found = processes.shared(_slow, range(2))
    finally:
        signal.signal(signal.SIGCHLD, before)
    assert [pid for _, pid in found] == [os.getpid()] * 2


def test_the_copy_does_not_answer_signals_for_its_caller(two_cores):
    before = signal.signal(signal.SIGUSR1, lambda *_: None)
    try:
        found = processes.shared(
            lambda k: (*_slow(k), signal.getsignal(signal.SIGUSR1)),
            range(4),
        )
    finally:
        signal.signal(signal.SIGUSR1, before)
    (_, here, answered), (_, copy, not_answered) = found[0], found[-1]
    assert here != copy and callable(answered)
    assert not_answered is signal.SIG_DFL


def test_what_the_copy_cannot_do_fails_here(two_cores):
    def work(item):
        if item == 3:
            raise ValueError("item 3")
        time.sleep(0.1)
        return item

    with pytest.raises(ValueError, match="item 3") as caught:
        processes.shared(work, range(4))
    # With the lines of this process, as if there were no copy.
    assert any(entry.name == "work" for entry in caught.traceback)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_copy_that_dies_is_no_loss(two_cores, number):
    here = os.getpid()

    def work(item):
        if os.getpid() != here:
            os.kill(os.getpid(), number)
        time.sleep(0.1)
        return item

    assert processes.shared(work, range(3)) == [0, 1, 2]


def test_answers_that_cannot_be_pickled_are_made_here(two_cores, capfd):
    found = processes.shared(lambda item: lambda: item, range(3))
    assert [one() for one in found] == [0, 1, 2]
    assert capfd.readouterr() == ("", "")


def test_tensors_and_read_only_positions_come_back(two_cores):
    torch = pytest.importorskip("torch")

    def work(item):
        time.sleep(0.05)
        x = np.eye(3) * (item + 1)
        return os.getpid(), torch.as_tensor(x), Cluster("Pt", x)

    found = processes.shared(work, range(4))
    assert found[-1][0] != os.getpid()
    for item, (_, tensor, cluster) in enumerate(found):
        assert float(tensor.trace()) == 3 * (item + 1)
        assert not cluster.positions.flags.writeable
    again = pickle.loads(pickle.dumps(cluster))
    with pytest.raises(ValueError, match="read-only"):
        again.positions[0] = 0


def test_warnings_of_the_copy_are_heard(two_cores):
    def work(item):
        time.sleep(0.1)
        if item == 3:
            warnings.warn("of item 3", stacklevel=1)
        return item

    with pytest.warns(UserWarning, match="of item 3"):
        processes.shared(work, range(4))


def test_what_the_copy_logs_is_heard_once(two_cores, caplog, capfd):
    logger = logging.getLogger("of.a.library")
    stream = logging.StreamHandler()
    logger.addHandler(stream)

    def work(item):
        try:
            raise ValueError(f"within {item}")
        except ValueError:
            logger.exception("item %d by %d", item, os.getpid())
        logger.debug("not asked for")
        time.sleep(0.1)
        return item

    try:
        with caplog.at_level(logging.WARNING):
            assert processes.shared(work, range(4)) == [0, 1, 2, 3]
    finally:
        logger.removeHandler(stream)
    said = capfd.readouterr().err
    for item in range(4):
        assert caplog.text.count(f"item {item} by") == 1
        assert caplog.text.count(f"ValueError: within {item}") == 1
        assert said.count(f"item {item} by") == 1
    assert len({record.process for record in caplog.records}) == 2


def test_what_the_copy_says_of_an_item_that_fails_is_said_once(
    two_cores, caplog
):
    def work(item):
        if item == 3:
            logging.getLogger(__name__).warning("of item 3")
            warnings.warn("of item 3", stacklevel=1)
            raise ValueError("item 3")
        time.sleep(0.1)

    with (
        pytest.warns(UserWarning) as heard,
        pytest.raises(ValueError, match="item 3"),
    ):
        processes.shared(work, range(4))
    assert len(heard) == len(caplog.records) == 1


def test_one_process_where_the_second_core_is_not_free(monkeypatch):
    monkeypatch.setattr(threading, "active_count", lambda: 1)
    with threads.cores(2):
        assert processes.may_split()
        with threads.alone():  # as the workers of a series
            assert not processes.may_split()
        with threads.cores(1):
            assert not processes.may_split()
        told = []
        other = threading.Thread(
            target=lambda: told.append(processes.may_split())
        )
        other.start()
        other.join()
        assert told == [False]
        monkeypatch.setattr(threading, "active_count", lambda: 2)
        assert not processes.may_split()
        monkeypatch.setattr(threading, "active_count", lambda: 1)
        for system in ("darwin", "win32"):
            monkeypatch.setattr(sys, "platform", system)
            assert not processes.may_split()
            found = processes.shared(_slow, range(2))
            assert [pid for _, pid in found] == [os.getpid()] * 2


def test_where_the_system_refuses_one_process_does_all(two_cores, monkeypatch):
    def refused():
        raise BlockingIOError("no more processes")

    monkeypatch.setattr(os, "fork", refused)
    found = processes.shared(_slow, range(2))
    assert [pid for _, pid in found] == [os.getpid()] * 2


ENDLESS = """
import os, signal, sys, time
from diffpy_cbldm import processes, threads

# A shell's jobs in the background are started without it.
signal.signal(signal.SIGINT, signal.default_int_handler)

def work(item):
    os.write(1, b"%d\\n" % os.getpid())
    time.sleep(60)

with threads.cores(2):
    processes.shared(work, range(2))
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_no_process_is_left_behind(number):
    main = subprocess.Popen(
        [sys.executable, "-c", ENDLESS],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    pids = {int(main.stdout.readline()) for _ in range(2)}
    assert len(pids) == 2 and main.pid in pids
    if number == signal.SIGINT:  # Ctrl-C goes to all of a terminal
        os.killpg(main.pid, number)
    else:
        main.kill()
    _, said = main.communicate(timeout=30)
    (copy,) = pids - {main.pid}
    for _ in range(100):
        if not os.path.exists(f"/proc/{copy}"):
            break
        time.sleep(0.05)
    assert not os.path.exists(f"/proc/{copy}")
    # The copy says nothing of it.
    assert said.count("KeyboardInterrupt") == (number == signal.SIGINT)


SOLVED = """
import os, sys
import diffpy_cbldm as cb
from diffpy_cbldm import processes
from diffpy_cbldm.crystals.table import load_table
from diffpy_cbldm.search.asked_before import ANSWERS

table = load_table()
k = [g.n_atoms for g in table.geometries].index(55)
cluster = cb.Cluster("Au", table.positions(k) * 2.88)
(pdf,) = cb.simulate([cluster], qmin=1.0, qmax=22.0, qdamp=0.03)
copies = []
start = processes._Copy.start
processes._Copy.start = lambda *words: copies.append(1) or start(*words)
found = {}
for cores in (1, 2):
    ANSWERS.cache_clear()
    solution = cb.solve(
        pdf,
        count=8,
        refine=3,
        generators="library,screen",
        polish=("sites",),
        cores=cores,
    )
    found[cores] = [
        (c.generator, c.rw_raw, c.rw, str(c.parameters), c.positions.tobytes())
        for c in solution.candidates
    ] + [str(solution.sizes), str(solution.front), solution.explain()]
    print(cores, len(copies))
assert found[1] == found[2]
"""


def test_two_processes_give_the_answer_of_one_to_the_last_bit():
    done = subprocess.run(
        [sys.executable, "-c", SOLVED],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    one, two = done.stdout.split("\n")[:2]
    # Proposals, refinements and edits, each in a copy of its own.
    assert (one, two) == ("1 0", "2 3")
