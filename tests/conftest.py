"""Set-up shared by all tests."""

import os

# Two workers with all threads each would only wait for one another.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
