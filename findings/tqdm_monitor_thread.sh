#!/usr/bin/env bash
# tqdm 4.70.1
#
# Guess: a progress bar draws when it is updated, and runs no thread.
# Instead: the first bar of a process starts a thread (TMonitor) that looks
#   every 10 s whether bars are late, and stays when the bar is closed.
#   monitor_interval = 0 in a subclass of tqdm leaves it out; the attribute of
#   an instance comes too late.
# Why it matters: a process with a second thread must not be forked, and
#   Python 3.12 warns of it: who splits off copies of the process where it has
#   one thread alone gets none once a bar was shown.
#
# Output seen:
#   before       1
#   subclass     1
#   bar          2
#   bar closed   2
set -euo pipefail
unset PYTHONPATH
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3.11 -m venv --without-pip "$work/env"
python3.11 -m pip --python "$work/env/bin/python" -qq install \
    --no-compile tqdm==4.70.1
cat >"$work/work.py" <<'PY'
import io
import threading

from tqdm import tqdm


def tell(label):
    print(f"{label:12} {threading.active_count()}")


class Alone(tqdm):
    monitor_interval = 0


tell("before")
Alone(total=2, file=io.StringIO()).close()
tell("subclass")
bar = tqdm(total=2, file=io.StringIO())
tell("bar")
bar.close()
tell("bar closed")
PY
cd "$work"
env/bin/python work.py | tee seen
diff seen - <<'SEEN' || { echo changed; exit 1; }
before       1
subclass     1
bar          2
bar closed   2
SEEN
