#!/usr/bin/env bash
# ase 3.29.0, diffpy.structure 3.3.1, periodictable 2.1.0
#
# Guess: the element of an atom read from a pdb file is "Au".
# Instead: diffpy.structure gives "AU", as the pdb format has it in capitals,
#   while its readers of xyz and cif give "Au".
# Why it matters: `atom.element == "Au"`, the usual way to give each element
#   its U or to pick the metal of a ligated particle, matches no atom and says
#   nothing; tables of scattering factors refuse the name.
#
# Output seen:
#   elements read from the pdb file: ['AU'], atoms with element "Au": 0 of 13
#   periodictable: unknown element AU
set -euo pipefail
unset PYTHONPATH
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3.11 -m venv --without-pip "$work/env"
python3.11 -m pip --python "$work/env/bin/python" -qq install \
    --no-compile ase==3.29.0 diffpy.structure==3.3.1 periodictable==2.1.0
cd "$work"
env/bin/python -W ignore - <<'PY'
import sys

import periodictable
from ase.cluster import Icosahedron
from diffpy.structure import loadStructure

Icosahedron("Au", 2).write("au.pdb")
atoms = loadStructure("au.pdb")
elements = sorted({atom.element for atom in atoms})
matches = sum(atom.element == "Au" for atom in atoms)
print(
    f"elements read from the pdb file: {elements}, "
    f'atoms with element "Au": {matches} of {len(atoms)}'
)
try:
    answer = str(periodictable.elements.symbol(elements[0]))
except ValueError as error:
    answer = str(error)
print("periodictable:", answer)
if elements != ["AU"] or matches or answer != "unknown element AU":
    sys.exit("changed")
PY
