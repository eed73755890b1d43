#!/usr/bin/env bash
# ase 3.29.0, pymatgen-core 2026.10.16, diffpy.structure 3.3.1,
# periodictable 2.1.0
#
# Guess: the D of a cif is still D when the file is written again.
# Instead: ASE and pymatgen both write H (ASE keeps the mass of D on its own
#   Atoms, not in the cif; in pymatgen Element("D") itself becomes H);
#   diffpy.structure keeps D.  ASE reads D from a cif but refuses it (KeyError)
#   in an xyz file.
# Why it matters: deuterated ligands and PdD are measured with neutrons, where
#   D scatters with +6.67 fm and H with -3.74 fm: the peaks of G(r) change
#   their sign.
#
# Output seen:
#   elements in the cif as read by diffpy.structure    D Pd
#   ... written again by ase                           H Pd
#   ... written again by pymatgen                      H Pd
#   ase reads D from an xyz file: KeyError
#   b_c in fm: D 6.67, H -3.74
set -euo pipefail
unset PYTHONPATH
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3.11 -m venv --without-pip "$work/env"
python3.11 -m pip --python "$work/env/bin/python" -qq install \
    --no-compile ase==3.29.0 \
    pymatgen-core==2026.10.16 diffpy.structure==3.3.1 periodictable==2.1.0
cd "$work"
cat > d.cif <<'CIF'
data_PdD
_symmetry_space_group_name_H-M 'P 1'
_cell_length_a 4.0
_cell_length_b 4.0
_cell_length_c 4.0
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
Pd1 Pd 0 0 0
D1 D 0.5 0.5 0.5
CIF
printf '2\n\nPd 0 0 0\nD 0 0 1.9\n' > d.xyz
env/bin/python -W ignore - <<'PY'
import sys

import periodictable
from ase.io import read
from diffpy.structure import loadStructure
from pymatgen.core import Structure

read("d.cif").write("ase.cif")
Structure.from_file("d.cif").to("pymatgen.cif")
seen = []
for name, title in (
    ("d", "elements in the cif as read by diffpy.structure"),
    ("ase", "... written again by ase"),
    ("pymatgen", "... written again by pymatgen"),
):
    atoms = loadStructure(name + ".cif")
    seen.append(" ".join(sorted(atom.element for atom in atoms)))
    print(f"{title:50s} {seen[-1]}")
try:
    read("d.xyz")
    answer = "read"
except KeyError:
    answer = "KeyError"
print("ase reads D from an xyz file:", answer)
lengths = [periodictable.D.neutron.b_c, periodictable.H.neutron.b_c]
print(f"b_c in fm: D {lengths[0]:.2f}, H {lengths[1]:.2f}")
if seen != ["D Pd", "H Pd", "H Pd"] or answer != "KeyError":
    sys.exit("changed")
PY
