#!/usr/bin/env bash
# ase 3.29.0, diffpy.structure 3.3.1
#
# Guess: a site shared by two metals is read alike everywhere: as a mixed site,
#   or refused.
# Instead: ASE returns a pure metal of the larger share (at 50:50 of the one
#   named last) and keeps the shares in Atoms.info only; diffpy.structure
#   returns two atoms on the same point.
# Why it matters: a particle cut from such a cif is pure Pd in ASE, with the
#   wrong scattering power; in DiffPy it has twice the atoms, pairs at r = 0,
#   and a plain loop over its pairs (a Debye sum) must weigh and skip them.
#
# Output seen:
#   Pd 0.7 Pt 0.3: ase Pd4; diffpy.structure 8 atoms, shortest pair 0.0 A
#   Pd 0.5 Pt 0.5: ase Pt4; diffpy.structure 8 atoms, shortest pair 0.0 A
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

from ase.io import read
from diffpy.structure import loadStructure

HEAD = """data_alloy
_symmetry_space_group_name_H-M 'F m -3 m'
_cell_length_a 3.9
_cell_length_b 3.9
_cell_length_c 3.9
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_occupancy
"""
seen = []
for pd, pt in ((0.7, 0.3), (0.5, 0.5)):
    with open("alloy.cif", "w") as file:
        file.write(HEAD + f"Pd1 Pd 0 0 0 {pd}\nPt1 Pt 0 0 0 {pt}\n")
    formula = str(read("alloy.cif").symbols)
    structure = loadStructure("alloy.cif")
    shortest = min(
        float(structure.distance(i, j))
        for i in range(len(structure))
        for j in range(i)
    )
    seen.append((formula, len(structure), shortest))
    print(
        f"Pd {pd} Pt {pt}: ase {formula}; diffpy.structure "
        f"{len(structure)} atoms, shortest pair {shortest} A"
    )
if seen != [("Pd4", 8, 0.0), ("Pt4", 8, 0.0)]:
    sys.exit("changed")
PY
