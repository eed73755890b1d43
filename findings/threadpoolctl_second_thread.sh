#!/usr/bin/env bash
# threadpoolctl 3.8.0, numpy 2.4.0
#
# Guess: once a limit was lifted by restore_original_limits, another thread can
#   set one.
# Instead: the thread that set it keeps the control of OpenBLAS as long as it
#   lives; only the end of a ``with`` gives it back.  What other threads set is
#   left out without a word.
# Why it matters: a server that limits BLAS at its start, or solves once in
#   its main thread, cannot limit it in the threads of its requests: least
#   squares with a dozen columns become several times slower there on busy
#   cores.  OpenBLASController.clear_controlling_thread(force=True) gives the
#   control back.
#
# Output seen:
#   main thread, within a limit of 1       1
#   main thread, afterwards                2
#   another thread, within a limit of 1    2
#   after clear_controlling_thread         1
set -euo pipefail
unset PYTHONPATH
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3.11 -m venv --without-pip "$work/env"
python3.11 -m pip --python "$work/env/bin/python" -qq install \
    --no-compile threadpoolctl==3.8.0 numpy==2.4.0
cd "$work"
OPENBLAS_NUM_THREADS=2 env/bin/python - <<'PY'
import sys
import threading

import numpy  # noqa: F401  loads OpenBLAS
import threadpoolctl


def number():
    (blas,) = threadpoolctl.threadpool_info()
    return blas["num_threads"]


def limited():
    limits = threadpoolctl.threadpool_limits(1)
    seen = number()
    limits.restore_original_limits()
    return seen


def elsewhere():
    found = []
    thread = threading.Thread(target=lambda: found.append(limited()))
    thread.start()
    thread.join()
    return found[0]


seen = {"main thread, within a limit of 1": limited()}
seen["main thread, afterwards"] = number()
seen["another thread, within a limit of 1"] = elsewhere()
threadpoolctl.OpenBLASController.clear_controlling_thread(force=True)
seen["after clear_controlling_thread"] = elsewhere()
for what, threads in seen.items():
    print(f"{what:38s} {threads}")
if list(seen.values()) != [1, 2, 2, 1]:
    sys.exit("changed")
PY
