#!/usr/bin/env bash
# diffpy.srfit 3.2.0 and 3.4.0
#
# Guess: `generator.setQmax(15)` on a PDF generator takes effect at the next
#   evaluation of the fit.
# Instead: after a first evaluation the old curve is returned, also when a
#   variable outside the generator changes; the new Qmax comes in at the first
#   change of a parameter of the generator itself.
# Why it matters: a study of Qmax in one session compares a curve with itself,
#   and a fit can change its Qmax half-way.  Set the Q range first, or make a
#   new recipe.  (Shown with a small calculator in place of diffpy.srreal,
#   which has no wheel; the cache is in srfit.)
#
# Output seen, the same for both versions (first zero of the peak at pi/Qmax):
#   Qmax 25 set, evaluated      zero at +0.126 A
#   Qmax 15 set                 zero at +0.126 A
#   ... a factor outside moved  zero at +0.126 A
#   ... the scale moved         zero at +0.210 A
set -euo pipefail
unset PYTHONPATH
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3.11 -m venv --without-pip "$work/env"
pip="python3.11 -m pip --python $work/env/bin/python -qq"
# six is imported by srfit 3.2.0 but not among its requirements;
# diffpy.utils is for 3.4.0
$pip install --no-compile diffpy.srfit==3.2.0 diffpy.structure==3.3.1 \
    diffpy.utils==3.7.2 six==1.17.0
cd "$work"
cat > fit.py <<'PY'
import sys

import numpy as np
from diffpy.srfit import __version__
from diffpy.srfit.fitbase import FitContribution, Profile
from diffpy.srfit.pdf.basepdfgenerator import BasePDFGenerator
from diffpy.srfit.structure.diffpyparset import DiffpyStructureParSet
from diffpy.structure import Atom, Structure


class PlainStructure(DiffpyStructureParSet):
    def _getSrRealStructure(self):
        return self.stru

    _get_srreal_structure = _getSrRealStructure


class OnePeak:
    """Peak of a dimer at 3 A, as wide as Qmax makes it."""

    scale = 1.0
    qmin = qdamp = qbroad = delta1 = delta2 = 0.0
    qmax, rmin, rmax, rstep = 25.0, 0.0, 10.0, 0.001
    scatteringfactortable = "X"

    def getRadiationType(self):
        return "X"

    def setScatteringFactorTableByType(self, scattering_type):
        pass

    def __call__(self, structure):
        steps = np.ceil(self.rmin / self.rstep), self.rmax / self.rstep
        r = np.arange(*steps) * self.rstep
        return r, self.scale * np.sinc(self.qmax * (r - 3.0) / np.pi)


def call(owner, old, new, *values, **names):
    """Call a method by its name in 3.2, or by that in 3.4."""
    return getattr(owner, new if hasattr(owner, new) else old)(
        *values, **names
    )


generator = BasePDFGenerator("G")
call(generator, "_setCalculator", "_set_calculator", OnePeak())
dimer = Structure([Atom("Au", [0, 0, 0]), Atom("Au", [3, 0, 0])])
generator.setPhase(PlainStructure("dimer", dimer), periodic=False)
r = np.arange(2.0, 4.0, 0.001)
profile = Profile()
call(
    profile, "setObservedProfile", "set_observed_profile", r, np.zeros(len(r))
)
fit = FitContribution("fit")
call(fit, "addProfileGenerator", "add_profile_generator", generator)
call(fit, "setProfile", "set_profile", profile, xname="r")
call(fit, "setEquation", "set_equation", "factor * G")
fit.factor.value = 1.0
seen = []


def show(step):
    curve = fit.evaluate()
    right = r > 3.0
    seen.append(round(float(r[right][curve[right] < 0][0]) - 3.0, 3))
    print(f"{step:27s} zero at {seen[-1]:+.3f} A")


print("srfit", __version__)
generator.setQmax(25.0)
show("Qmax 25 set, evaluated")
generator.setQmax(15.0)
show("Qmax 15 set")
fit.factor.value = 1.1
show("... a factor outside moved")
generator.scale.value = 1.1
show("... the scale moved")
if seen[0] != seen[1] or seen[1] != seen[2] or seen[3] < 1.5 * seen[0]:
    sys.exit("changed")
PY
env/bin/python -W ignore fit.py
# 3.4.0 asks for Python 3.12 but runs on 3.11
$pip install --no-compile --ignore-requires-python --no-deps \
    diffpy.srfit==3.4.0
env/bin/python -W ignore fit.py
