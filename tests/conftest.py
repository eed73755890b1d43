"""Set-up shared by all tests."""

import os

import pytest

# Two workers with all threads each would only wait for one another.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(autouse=True)
def nothing_was_asked_before():
    """What one test put in the place of a generator is not met by others."""
    yield
    from diffpy_cbldm.search.asked_before import ANSWERS

    ANSWERS.cache_clear()
