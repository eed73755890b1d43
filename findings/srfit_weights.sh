#!/usr/bin/env bash
# diffpy.srfit 3.2.0 and 3.4.0
#
# Guess: `recipe.addContribution(contribution, weight=w)` makes chi^2 of the
#   recipe the sum of w chi^2 of the contributions, as FitResults prints it.
# Instead: the residual of a contribution is multiplied by w before it is
#   squared, so that w^2 chi^2 is minimised.  FitResults counts w chi^2: its
#   Chi2 and Rw of the recipe are those of another fit, and differ from its own
#   Residual.
# Why it matters: who weighs neutrons against X-rays by 1/4 gives them 1/16,
#   and the printed Rw does not say so.  Pass the square root of the weight
#   that is meant, and take chi^2 from the residual.
#
# Output seen, the same for both versions (two contributions, weights 1 and 4,
# each with a chi^2 of 1):
#   residual . residual 17
#   FitResults: residual 17, chi2 5
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
from diffpy.srfit.fitbase import (
    FitContribution,
    FitRecipe,
    FitResults,
    Profile,
)


def call(owner, old, new, *values, **names):
    """Call a method by its name in 3.2, or by that in 3.4."""
    return getattr(owner, new if hasattr(owner, new) else old)(
        *values, **names
    )


recipe = FitRecipe()
call(recipe, "clearFitHooks", "clear_fit_hooks")
for name, weight in (("one", 1.0), ("two", 4.0)):
    profile = Profile()
    # One point is off by 1, by its uncertainty.
    x, y, dy = np.arange(3.0), np.array([1.0, 2.0, 1.0]), np.ones(3)
    call(profile, "setObservedProfile", "set_observed_profile", x, y, dy)
    fit = FitContribution(name)
    call(fit, "setProfile", "set_profile", profile, xname="x")
    call(fit, "setEquation", "set_equation", "level + 0 * x")
    fit.level.value = 1.0
    call(recipe, "addContribution", "add_contribution", fit, weight)
call(recipe, "addVar", "add_variable", recipe.one.level)
residual = recipe.residual()
results = FitResults(recipe)
total = float(residual @ residual)
print("srfit", __version__)
print(f"residual . residual {total:g}")
print(f"FitResults: residual {results.residual:g}, chi2 {results.chi2:g}")
if not np.allclose([total, results.residual, results.chi2], [17, 17, 5]):
    sys.exit("changed")
PY
env/bin/python -W ignore fit.py
# 3.4.0 asks for Python 3.12 but runs on 3.11
$pip install --no-compile --ignore-requires-python --no-deps \
    diffpy.srfit==3.4.0
env/bin/python -W ignore fit.py
