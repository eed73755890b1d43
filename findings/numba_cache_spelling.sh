#!/usr/bin/env bash
# numba 0.68.1
#
# Guess: what Dispatcher.compile("float64(float64)") compiles with cache=True
#   is found by every later process that calls the function with a float.
# Instead: the cache knows a version by the signature as it was spelt.  A call
#   asks for the tuple of types and finds nothing, compiles the same again and
#   keeps it beside the other; only compile() in the same words finds the
#   first one.  In the process that compiled it the call does find it.
# Why it matters: kernels that are compiled ahead, at an installation or in a
#   thread, are compiled a second time by the first job that calls one before
#   its turn.  compile(numba.core.sigutils.normalize_signature(text)[0]) keeps
#   it under the name that calls ask for.
#
# Output seen:
#   compiled by a text        0 found, 1 compiled
#   called by another         0 found, 1 compiled
#   compiled by a text again  1 found, 0 compiled
#   compiled by types         0 found, 1 compiled
#   called by another         1 found, 0 compiled
set -euo pipefail
unset PYTHONPATH
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3.11 -m venv --without-pip "$work/env"
python3.11 -m pip --python "$work/env/bin/python" -qq install \
    --no-compile numba==0.68.1
cd "$work"
cat >work.py <<'PY'
import sys

import numba
from numba.core.sigutils import normalize_signature


@numba.njit(cache=True)
def square(x):
    return x * x


@numba.njit(cache=True)
def cube(x):
    return x * x * x


what, function = sys.argv[1], globals()[sys.argv[2]]
if what == "text":
    function.compile("float64(float64)")
elif what == "types":
    function.compile(normalize_signature("float64(float64)")[0])
else:
    function(2.0)
stats = function.stats
print(sum(stats.cache_hits.values()), sum(stats.cache_misses.values()))
PY
export NUMBA_CACHE_DIR="$work/cache"
run() { # label, how, function
    read -r hits misses < <(env/bin/python work.py "$2" "$3")
    printf '%-25s %s found, %s compiled\n' "$1" "$hits" "$misses"
}
{
    run "compiled by a text" text square
    run "called by another" call square
    run "compiled by a text again" text square
    run "compiled by types" types cube
    run "called by another" call cube
} | tee seen
diff seen - <<'SEEN' || { echo changed; exit 1; }
compiled by a text        0 found, 1 compiled
called by another         0 found, 1 compiled
compiled by a text again  1 found, 0 compiled
compiled by types         0 found, 1 compiled
called by another         1 found, 0 compiled
SEEN
