#!/usr/bin/env bash
# ase 3.29.0
#
# Guess: what an Atoms object carries in `info` and in its own arrays survives
#   ase.db, as it survives an extended xyz file; a sample may be named "300".
# Instead: ase.db.write drops `info` and every array of a name that it does
#   not know, without a word; a string value that looks like a number is
#   refused (ValueError).
# Why it matters: the U of each atom and the Rw of a candidate live there; the
#   database returns bare atoms.  Hand them over as key_value_pairs and data.
#
# Output seen:
#   extended xyz: info Rw, arrays numbers positions u_iso
#   ase.db:       info -, arrays numbers positions
#   sample="300": ValueError
set -euo pipefail
unset PYTHONPATH
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3.11 -m venv --without-pip "$work/env"
python3.11 -m pip --python "$work/env/bin/python" -qq install \
    --no-compile ase==3.29.0
cd "$work"
env/bin/python -W ignore - <<'PY'
import sys

import numpy as np
from ase import Atoms
from ase.db import connect
from ase.io import read

atoms = Atoms("Au2", [[0, 0, 0], [0, 0, 2.88]], info={"Rw": 0.12})
atoms.set_array("u_iso", np.array([0.005, 0.005]))
atoms.write("au.xyz")
database = connect("au.db")
stored = database.get_atoms(id=database.write(atoms))


def carried(answer):
    return (
        " ".join(answer.info) or "-",
        " ".join(sorted(answer.arrays)),
    )


seen = carried(read("au.xyz")), carried(stored)
print("extended xyz: info {}, arrays {}".format(*seen[0]))
print("ase.db:       info {}, arrays {}".format(*seen[1]))
try:
    database.write(atoms, sample="300")
    answer = "stored"
except ValueError:
    answer = "ValueError"
print('sample="300":', answer)
if (
    seen != (("Rw", "numbers positions u_iso"), ("-", "numbers positions"))
    or answer != "ValueError"
):
    sys.exit("changed")
PY
