#!/usr/bin/env bash
# pymatgen 2026.10.24, ase 3.29.0
#
# Guess: HungarianOrderMatcher fits a cluster to a rotated copy of itself, the
#   atoms in the same order, with an RMSD of 0.
# Instead: for the compact clusters of this field the RMSD can be near 1 A.
#   It lines up the principal axes of inertia first; a cuboctahedron, an
#   icosahedron or an octahedron has three equal ones, so the axes are chance.
# Why it matters: an RMSD between a fitted and a true particle that is taken
#   from it is not a distance between the two.
#
# Output seen (largest RMSD over five rotations; it varies with the build):
#   13-atom cuboctahedron   1.01 A
#   38-atom octahedron      1.18 A
#   55-atom icosahedron     1.28 A
set -euo pipefail
unset PYTHONPATH
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3.11 -m venv --without-pip "$work/env"
python3.11 -m pip --python "$work/env/bin/python" -qq install \
    --no-compile ase==3.29.0 pymatgen==2026.10.24
cd "$work"
env/bin/python -W ignore - <<'PY'
import sys

from ase.cluster import Icosahedron, Octahedron
from pymatgen.analysis.molecule_matcher import HungarianOrderMatcher
from pymatgen.core import Molecule
from scipy.spatial.transform import Rotation

clusters = {
    "13-atom cuboctahedron": Octahedron("Au", 3, cutoff=1),
    "38-atom octahedron": Octahedron("Au", 4, cutoff=1),
    "55-atom icosahedron": Icosahedron("Au", 3),
}
turns = Rotation.random(5, random_state=1)
worst = []
for name, cluster in clusters.items():
    species = ["Au"] * len(cluster)
    xyz = cluster.positions
    matcher = HungarianOrderMatcher(Molecule(species, xyz))
    worst.append(
        max(
            float(matcher.fit(Molecule(species, turn.apply(xyz)))[1])
            for turn in turns
        )
    )
    print(f"{name:21s}   {worst[-1]:.2f} A")
if min(worst) < 0.5:
    sys.exit("changed")
PY
