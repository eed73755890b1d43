#!/usr/bin/env bash
# pymatgen 2026.10.24, ase 3.29.0
#
# Guess: StructureMatcher tells a 13-atom icosahedron from a 13-atom
#   cuboctahedron (both in a box, shortest bond 2.88 A in both).
# Instead: they match, and the rms distance shrinks as the box grows, since
#   tolerance and result are in units of (volume / atoms)^(1/3), which here
#   counts the vacuum.
# Why it matters: it looks like the ready tool to merge equal candidates of a
#   fit to G(r), and would merge the very motifs to be told apart: only one of
#   the two has pairs at 4.07 A.
#
# Output seen:
#   box 10 A: match True, rms 0.150
#   box 30 A: match True, rms 0.050
#   box 50 A: match True, rms 0.030
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
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Lattice, Structure
from scipy.spatial.distance import pdist


def boxed(cluster, edge):
    xyz = cluster.positions - cluster.positions.mean(axis=0)
    xyz *= 2.88 / pdist(xyz).min()
    return Structure(
        Lattice.cubic(edge),
        ["Au"] * len(xyz),
        xyz + edge / 2,
        coords_are_cartesian=True,
    )


icosahedron = Icosahedron("Au", 2)
cuboctahedron = Octahedron("Au", 3, cutoff=1)
matcher = StructureMatcher(scale=False, primitive_cell=False)
seen = []
for edge in (10, 30, 50):
    pair = boxed(icosahedron, edge), boxed(cuboctahedron, edge)
    fits = bool(matcher.fit(*pair))
    rms = matcher.get_rms_dist(*pair)[0] if fits else float("nan")
    seen.append((fits, rms))
    print(f"box {edge} A: match {fits}, rms {rms:.3f}")
if not all(fits for fits, _ in seen) or not seen[0][1] > 4 * seen[2][1]:
    sys.exit("changed")
PY
