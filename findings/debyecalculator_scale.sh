#!/usr/bin/env bash
# DebyeCalculator 1.1.1 (with torch 2.13.0)
#
# Guess: I(Q), S(Q), F(Q) and G(r) have the usual scale (double sum over all
#   i and j, divided by N <f>^2), and a pair longer than rmax gives no peak.
# Instead: all four are half of that (each pair is summed once, the self term
#   is halved), and a pair at d > rmax comes back as a peak near
#   2 (rmax + rstep) - d, since the step in Q is pi / (rmax + rstep); its
#   shape and sign depend on qmin.
# Why it matters: a scale factor fitted to such curves is twice that of
#   diffpy.srreal or PDFgui; a particle larger than rmax shows peaks at
#   distances that it does not have.  Take rmax above the diameter, then cut.
#
# Output seen (two Au atoms, Qmin 0.5, no damping):
#   d = 3 A: I(Q) of the double sum / I(Q) of DebyeCalculator: 2.000 to 2.000
#   d = 24 A, rmax = 20 A: largest |G(r)| at 15.92 A, 0.062
#   d = 24 A, rmax = 30 A: largest |G(r)| at 24.00 A, 0.079
set -euo pipefail
unset PYTHONPATH
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3.11 -m venv --without-pip "$work/env"
python3.11 -m pip --python "$work/env/bin/python" -qq install \
    --no-compile torch==2.13.0 ase==3.29.0 ipywidgets PyYAML tqdm \
    periodictable==2.1.0
# the notebook server that it also asks for is not needed here
python3.11 -m pip --python "$work/env/bin/python" -qq install \
    --no-compile --no-deps DebyeCalculator==1.1.1
cd "$work"
env/bin/python -W ignore - <<'PY'
import sys

import numpy as np
import periodictable
from ase import Atoms
from debyecalculator import DebyeCalculator


def dimer(d, rmax):
    calculator = DebyeCalculator(
        qmin=0.5, qmax=25.0, qdamp=0.0, biso=0.4, rmax=rmax, device="cpu"
    )
    atoms = Atoms("Au2", [[0, 0, 0], [0, 0, d]])
    return calculator.iq(atoms), calculator.gr(atoms)


def highest(r, g):
    top = np.argmax(np.abs(g))
    return float(r[top]), float(abs(g[top]))


(q, i), _ = dimer(3.0, 20.0)
f = periodictable.Au.xray.f0(q)
wave = np.sin(q * 3.0) / (q * 3.0) * np.exp(-0.4 * q**2 / (8 * np.pi**2))
ratio = 2 * f**2 * (1 + wave) / i
print(
    "d = 3 A: I(Q) of the double sum / I(Q) of DebyeCalculator: "
    f"{ratio.min():.3f} to {ratio.max():.3f}"
)
_, curve = dimer(24.0, 20.0)
ghost, height = highest(*curve)
_, curve = dimer(24.0, 30.0)
peak, true_height = highest(*curve)
for rmax, place, size in ((20, ghost, height), (30, peak, true_height)):
    print(
        f"d = 24 A, rmax = {rmax} A: largest |G(r)| at {place:.2f} A, "
        f"{size:.3f}"
    )
if (
    abs(ratio - 2).max() > 0.01
    or abs(ghost - 16.02) > 0.3
    or height < 0.5 * true_height
    or abs(peak - 24.0) > 0.05
):
    sys.exit("changed")
PY
