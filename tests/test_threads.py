"""The number of threads that NumPy's products take, whoever asks."""

import os
import sys
import threading

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from diffpy_cbldm.threads import allowed, one_thread


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
