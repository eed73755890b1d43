#!/usr/bin/env bash
# numba 0.68.1
#
# Guess: Ctrl-C while numba compiles ends the work by KeyboardInterrupt.
# Instead: Python answers it at its next step, and where LLVM is at work that
#   is a callback of llvmlite, from which no exception comes out: "Exception
#   ignored on calling ctypes callback function" is printed, and the work goes
#   on.  Elsewhere in numba it may end a generator of a registry, after which
#   nothing compiles any more ("generator raised StopIteration"), or free
#   memory twice.
# Why it matters: of six processes that were to meet 80 signals each, at random
#   times of compilations, one came to its end, with 19 lost; two could compile
#   no more, and three were ended by errors of memory or of LLVM.  Hold SIGINT
#   back while a function compiles.
#
# Output seen:
#   Ctrl-C before  KeyboardInterrupt
#   Ctrl-C amid    went on
set -euo pipefail
unset PYTHONPATH
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3.11 -m venv --without-pip "$work/env"
python3.11 -m pip --python "$work/env/bin/python" -qq install \
    --no-compile numba==0.68.1
cd "$work"
cat >work.py <<'PY'
import os
import signal
import sys

import numba
from numba.core import codegen, event


@numba.njit(cache=True)
def square(x):
    return x * x


def press(*args):
    os.kill(os.getpid(), signal.SIGINT)


class Begin(event.Listener):
    on_start = press

    def on_end(self, what):
        pass


signal.signal(signal.SIGINT, signal.default_int_handler)
if sys.argv[1] == "before":
    event.register("numba:compile", Begin())
else:
    # The first step of Python after LLVM has made machine code.
    codegen.CodeLibrary._object_compiled_hook = press
try:
    square(2.0)
    print("went on")
except KeyboardInterrupt:
    print("KeyboardInterrupt")
PY
{
    for when in before amid; do
        export NUMBA_CACHE_DIR="$work/$when"
        printf 'Ctrl-C %-7s %s\n' "$when" \
            "$(env/bin/python work.py "$when" 2>/dev/null)"
    done
} | tee seen
diff seen - <<'SEEN' || { echo changed; exit 1; }
Ctrl-C before  KeyboardInterrupt
Ctrl-C amid    went on
SEEN
