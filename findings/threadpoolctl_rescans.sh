#!/usr/bin/env bash
# threadpoolctl 3.8.0, numpy 2.4.6, scipy 1.17.1
#
# Guess: threadpool_limits(1) sets a number in the BLAS library, so that a
#   limit around each call of a small function costs next to nothing.
# Instead: each threadpool_limits looks through all shared libraries of the
#   process, for 0.7 ms with NumPy and SciPy alone, and longer with more.  A
#   ThreadpoolController that is made once sets the number without looking, in
#   0.01 ms, for the libraries that were loaded when it was made.
# Why it matters: 64 curves that take 4.2 ms without any product of matrices
#   took 6.4 ms under a limit that none of them needed.
#
# Output seen:
#   a limit made anew costs at least 10 times one of a controller: True
#   a controller misses what is loaded after it: True
set -euo pipefail
unset PYTHONPATH
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3.11 -m venv --without-pip "$work/env"
python3.11 -m pip --python "$work/env/bin/python" -qq install \
    --no-compile threadpoolctl==3.8.0 numpy==2.4.6 scipy==1.17.1
cat >"$work/work.py" <<'PY'
import time

import numpy  # loads its OpenBLAS
from threadpoolctl import ThreadpoolController, threadpool_limits


def shortest(enter, times=200):
    took = []
    for _ in range(times):
        begin = time.perf_counter()
        with enter():
            pass
        took.append(time.perf_counter() - begin)
    return min(took)


early = ThreadpoolController()
import scipy.linalg  # loads an OpenBLAS of its own

late = ThreadpoolController()
anew = shortest(lambda: threadpool_limits(1, user_api="blas"))
kept = shortest(lambda: late.limit(limits=1, user_api="blas"))
print(
    "a limit made anew costs at least 10 times one of a controller:",
    anew > 10 * kept,
)
print(
    "a controller misses what is loaded after it:",
    len(early.info()) < len(late.info()),
)
PY
cd "$work"
env/bin/python work.py | tee seen
diff seen - <<'SEEN' || { echo changed; exit 1; }
a limit made anew costs at least 10 times one of a controller: True
a controller misses what is loaded after it: True
SEEN
