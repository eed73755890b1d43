#!/usr/bin/env bash
# safetensors 0.8.0 (numpy 2.4.6)
#
# Guess: save_file writes a file with the usual rights (umask), as numpy.save
#   does, and overwriting keeps the rights that a file has.
# Instead: the file may be read by its owner only (600), also where one that
#   the group could read stood before.
# Why it matters: weights of a network for G(r), trained into the shared
#   folder of a group or a beamline, cannot be opened by the others; each new
#   save undoes an earlier chmod.
#
# Output seen (umask 022):
#   numpy.save                644
#   save_file, new file       600
#   save_file over a 664 one  600
set -euo pipefail
unset PYTHONPATH
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3.11 -m venv --without-pip "$work/env"
python3.11 -m pip --python "$work/env/bin/python" -qq install \
    --no-compile safetensors==0.8.0 numpy==2.4.6
cd "$work"
umask 022
env/bin/python - <<'PY'
import os
import sys

import numpy as np
from safetensors.numpy import save_file


def mode(name):
    return f"{os.stat(name).st_mode & 0o777:o}"


weights = {"layer": np.zeros(3)}
np.save("plain.npy", weights["layer"])
save_file(weights, "new.safetensors")
save_file(weights, "shared.safetensors")
os.chmod("shared.safetensors", 0o664)
save_file(weights, "shared.safetensors")
names = "plain.npy", "new.safetensors", "shared.safetensors"
seen = [mode(name) for name in names]
print("numpy.save               ", seen[0])
print("save_file, new file      ", seen[1])
print("save_file over a 664 one ", seen[2])
if seen != ["644", "600", "600"]:
    sys.exit("changed")
PY
