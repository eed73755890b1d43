#!/usr/bin/env bash
# ase 3.29.0, pymatgen-core 2026.10.16, diffpy.structure 3.3.1
#
# Guess: a cif with U = 0.006 A^2 that passes through ASE or pymatgen keeps its
#   U; and if a U is missing, the DiffPy reader has none or a usual value.
# Instead: both drop _atom_site_U_iso_or_equiv without a word, and
#   diffpy.structure reads the missing value as U = 0.
# Why it matters: U sets the width of the peaks of G(r).  With U = 0 they are
#   as sharp as Qmax allows, and a correct particle fits with an Rw near 1.
#
# Output seen:
#   U of the cif itself       0.006
#   U after ase               0.0
#   U after pymatgen          0.0
set -euo pipefail
unset PYTHONPATH
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3.11 -m venv --without-pip "$work/env"
python3.11 -m pip --python "$work/env/bin/python" -qq install \
    --no-compile ase==3.29.0 pymatgen-core==2026.10.16 diffpy.structure==3.3.1
cd "$work"
cat > pd.cif <<'CIF'
data_Pd
_symmetry_space_group_name_H-M 'F m -3 m'
_cell_length_a 3.89
_cell_length_b 3.89
_cell_length_c 3.89
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
_atom_site_U_iso_or_equiv
Pd1 Pd 0 0 0 1.0 0.006
CIF
env/bin/python -W ignore - <<'PY'
import sys

from ase.io import read
from diffpy.structure import loadStructure
from pymatgen.core import Structure

read("pd.cif").write("ase.cif")
Structure.from_file("pd.cif").to("pymatgen.cif")
seen = {}
for name in ("pd", "ase", "pymatgen"):
    seen[name] = float(loadStructure(name + ".cif")[0].Uisoequiv)
    title = "of the cif itself" if name == "pd" else f"after {name}"
    print(f"U {title:20s}    {seen[name]}")
if seen != {"pd": 0.006, "ase": 0.0, "pymatgen": 0.0}:
    sys.exit("changed")
PY
