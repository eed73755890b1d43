#!/usr/bin/env bash
# ase 3.29.0, periodictable 2.1.0
#
# Guess: the Debye sum of ASE (ase.utils.xrdebye.XrDebye) takes f(Q) of each
#   element at the Q of the point, and stops at an element it does not know.
# Instead: f is taken at twice Q (the table wants sin(theta)/lambda = s/2 but
#   is given s = Q/2pi), and an element outside its table of 12 (Co, Fe and Ti
#   are outside) scatters nothing; the only sign is a printed line.
# Why it matters: I(Q) falls too fast, so S(Q) and G(r) made from it with the
#   right f(Q) are wrong, and CoPt gives the intensity of its Pt alone.
#
# Output seen (one Au atom, damping 0, short wavelength: only f(Q) is left):
#   Q    f/f(0) of XrDebye   periodictable at Q   at 2Q
#    5   0.4404              0.6677               0.4404
#   10   0.2272              0.4404               0.2272
#   I of CoPt / I of Pt at Q = 5: 1.0
set -euo pipefail
unset PYTHONPATH
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3.11 -m venv --without-pip "$work/env"
python3.11 -m pip --python "$work/env/bin/python" -qq install \
    --no-compile ase==3.29.0 periodictable==2.1.0
cd "$work"
env/bin/python -W ignore - <<'PY'
import sys

import numpy as np
import periodictable
from ase import Atoms
from ase.utils.xrdebye import XrDebye


def intensity(atoms, q):
    # at a short wavelength the polarisation is the same at all Q
    debye = XrDebye(atoms, wavelength=1e-4, damping=0.0, warn=False)
    return debye.calc_pattern(q, mode="SAXS")


q = np.array([1e-6, 5.0, 10.0])
seen = np.sqrt(intensity(Atoms("Au", [[0, 0, 0]]), q))
seen /= seen[0]
f = periodictable.Au.xray.f0
print("Q    f/f(0) of XrDebye   periodictable at Q   at 2Q")
right, doubled = f(q) / f(0.0), f(2 * q) / f(0.0)
for row in range(1, 3):
    print(
        f"{q[row]:2.0f}   {seen[row]:.4f}              "
        f"{right[row]:.4f}               {doubled[row]:.4f}"
    )
dimer = Atoms("CoPt", [[0, 0, 0], [0, 0, 2.6]])
share = intensity(dimer, [5.0]) / intensity(dimer[1:], [5.0])
print("I of CoPt / I of Pt at Q = 5:", float(share[0]))
if not np.allclose(seen, doubled, atol=1e-4) or share[0] != 1.0:
    sys.exit("changed")
PY
