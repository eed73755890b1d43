#!/usr/bin/env bash
# ase 3.29.0, diffpy.structure 3.3.1
#
# Guess: ASE writes a free cluster to a cif that other programs read, and that
#   comes back from ASE as a free cluster.
# Instead: without a cell ASE writes a cif of Cartesian coordinates with no
#   cell and no space group, which only ASE itself reads; with a box
#   around the cluster the cif is readable, but pbc False comes back True.
# Why it matters: a cluster that turned periodic has images: its calculated
#   G(r) gains peaks beyond the box wall and the slope of a crystal.
#
# Output seen:
#   no cell: ase pbc False, diffpy.structure StructureFormatError
#   in a box: pbc before False, after True
set -euo pipefail
unset PYTHONPATH
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3.11 -m venv --without-pip "$work/env"
python3.11 -m pip --python "$work/env/bin/python" -qq install \
    --no-compile ase==3.29.0 diffpy.structure==3.3.1
cd "$work"
env/bin/python -W ignore - <<'PY'
import sys

from ase.cluster import Icosahedron
from ase.io import read
from diffpy.structure import loadStructure

cluster = Icosahedron("Au", 2)
cluster.write("free.cif")
free = bool(read("free.cif").pbc.any())
try:
    answer = f"{len(loadStructure('free.cif'))} atoms"
except Exception as error:
    answer = type(error).__name__
print(f"no cell: ase pbc {free}, diffpy.structure {answer}")
cluster.center(vacuum=5.0)
before = bool(cluster.pbc.any())
cluster.write("boxed.cif")
after = bool(read("boxed.cif").pbc.all())
print(f"in a box: pbc before {before}, after {after}")
if (free, answer, before, after) != (
    False,
    "StructureFormatError",
    False,
    True,
):
    sys.exit("changed")
PY
