"""The number of threads that NumPy's products take, whoever asks."""

import os
import sys
import threading

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from diffpy_cbldm.threads import allowed, cores, one_thread, side_by_side


def numbers():
    """The threads of each BLAS that is loaded."""
    np.ones((2, 2)) @ np.ones((2, 2))
    return [
        library["num_threads"]
        for library in threadpool_info()
        if library["user_api"] == "blas"
    ]


def within(function):
    """What a function gives in a thread of its own."""
    found = []
    thread = threading.Thread(target=lambda: found.append(function()))
    thread.start()
    thread.join()
    return found[0]


@pytest.fixture(autouse=True)
def several():
    """BLAS with two threads, as on a machine that has them."""
    if not numbers():
        pytest.skip("no BLAS whose threads can be told")
    with threadpool_limits(2, user_api="blas"):
        if set(numbers()) != {2}:
            pytest.skip("this BLAS takes one thread")
        yield


def test_a_thread_after_another_one_takes_one():
    def inside():
        with one_thread():
            return numbers()

    assert set(inside()) == {1}
    # The first thread that set the number is alive still.
    assert set(within(inside)) == {1}
    assert set(numbers()) == {2}


def test_the_last_one_that_leaves_lifts_the_limit():
    entered, left = threading.Event(), threading.Event()
    seen = []

    def other():
        with one_thread():
            entered.set()
            left.wait(10)
            seen.extend(numbers())

    thread = threading.Thread(target=other)
    with one_thread():
        thread.start()
        assert entered.wait(10)
    left.set()
    thread.join()
    assert set(seen) == {1}
    assert set(numbers()) == {2}


@pytest.mark.parametrize("told, most", [("1", 1), ("1000", 1000), ("", 1000)])
def test_the_cores_of_a_process_without_torch(monkeypatch, told, most):
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.setenv("OMP_NUM_THREADS", told)
    number = within(allowed)
    assert 1 <= number <= min(most, os.cpu_count())


@pytest.mark.parametrize("few", [0, 1, 2])
def test_where_no_more_threads_can_be_started(monkeypatch, few):
    """What has been begun is done once, the rest by this thread."""
    start, started = threading.Thread.start, []

    def refused(thread):
        if len(started) == few:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refused)
    worked = []

    def square(item):
        worked.append(item)
        return item**2, set(numbers())

    with cores(3):
        found = side_by_side(square, range(5))
    assert found == [(item**2, {1}) for item in range(5)]
    assert sorted(worked) == list(range(5))
    assert len(started) == few and not any(t.is_alive() for t in started)


def test_an_error_of_the_work_is_not_taken_for_a_refusal():
    def fail(item):
        raise RuntimeError("of the work")

    with cores(2), pytest.raises(RuntimeError, match="of the work"):
        side_by_side(fail, range(3))
