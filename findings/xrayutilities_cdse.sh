#!/usr/bin/env bash
# xrayutilities 1.8.0
#
# Guess: xrayutilities.materials.CdSe is wurtzite CdSe (a 4.30, c 7.01 A), as
#   CdSe_ZB beside it is the zincblende one.
# Instead: it has the name and elastic constants of CdSe, and the atoms and
#   edges of wurtzite InSb (a 4.5712, c 7.5221 A).
# Why it matters: lattice parameters from it are 6 % too large, and its peaks
#   are those of another compound.
#
# Output seen:
#   CdSe: In Sb, a 4.5712, c 7.5221
#   CdSe_ZB: Cd Se, a 6.0520
set -euo pipefail
unset PYTHONPATH
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3.11 -m venv --without-pip "$work/env"
python3.11 -m pip --python "$work/env/bin/python" -qq install \
    --no-compile xrayutilities==1.8.0
cd "$work"
env/bin/python -W ignore - <<'PY'
import sys

from xrayutilities import materials


def said(crystal):
    names = [atom.name for atom in dict.fromkeys(
        site[0] for site in crystal.lattice.base()
    )]
    return " ".join(names), crystal.a, crystal.c


wurtzite, cubic = said(materials.CdSe), said(materials.CdSe_ZB)
print("CdSe: {}, a {:.4f}, c {:.4f}".format(*wurtzite))
print("CdSe_ZB: {}, a {:.4f}".format(*cubic[:2]))
if wurtzite != ("In Sb", 4.5712, 7.5221) or cubic[0] != "Cd Se":
    sys.exit("changed")
PY
