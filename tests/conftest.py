"""Set-up shared by all tests."""

import os
import signal

import pytest

# Two workers with all threads each would only wait for one another.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# A script that starts the suite in its background has it ignore Ctrl-C, and
# so would all that tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def nothing_was_asked_before():
    """What one test put in the place of a generator is not met by others."""
    yield
    from diffpy_cbldm.search.asked_before import ANSWERS

    ANSWERS.cache_clear()
