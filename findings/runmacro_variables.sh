#!/usr/bin/env bash
# diffpy.apps 0.2.0 with diffpy.srfit 3.4.0, diffpy.structure 3.5.0, textx 4.4.0
#
# Guess: in a macro for `diffpy.apps runmacro`, "- qdamp: 3e-2" under
#   "variables:" sets Qdamp to 0.03; what is not listed is not in the model, or
#   has the value of the data's header.
# Instead: 3e-2 is a word (YAML wants 3.0e-2), each variable that gets a value
#   is refined, and a Qdamp and Qbroad that are not listed are 0.04 and 0.02.
# Why it matters: a calibrant's Qdamp and Qbroad cannot be kept, and a fit
#   without them has a broadening that nobody asked for.
#
# Output seen:
#   values      {'s0': 0.7, 'qdamp': '3e-2'}
#   refined     ['s0', 'qdamp']
#   not listed  qdamp 0.04, qbroad 0.02
set -euo pipefail
unset PYTHONPATH
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3.11 -m venv --without-pip "$work/env"
pip="python3.11 -m pip --python $work/env/bin/python -qq"
# diffpy.apps does not say that it needs textx and pyyaml.
$pip install --no-compile diffpy.srfit==3.2.0 diffpy.structure==3.3.1 \
    diffpy.utils==3.7.2 six==1.17.0 textx==4.4.0 pyyaml==6.0.3
# These ask for Python 3.12 but run on 3.11.
$pip install --no-compile --ignore-requires-python --no-deps \
    diffpy.srfit==3.4.0 diffpy.structure==3.5.0 diffpy.apps==0.2.0
cd "$work"
cat > macro.py <<'PY'
import sys

from diffpy.apps.app_runmacro import MacroParser
from diffpy.srfit.fitbase import FitContribution

parser = MacroParser()
parser.parse(
    """
create equation variables s0
set equation as "s0*G1"

variables:
---
- s0: 0.7
- qdamp: 3e-2
---
"""
)
values = parser.inputs["set_initial_variable_values.variable_name_to_value"]
refined = parser.inputs["refine_variables.variable_names"]
print("values     ", values)
print("refined    ", refined)

# The recipe before the macro's values come in; no structure is needed.
adapter = parser.pdfadapter
adapter.pdfgenerators, adapter.spacegroups = [], []
adapter.contribution = FitContribution("particle")
adapter.initialize_recipe()
qdamp, qbroad = adapter.recipe.qdamp.value, adapter.recipe.qbroad.value
print(f"not listed  qdamp {qdamp}, qbroad {qbroad}")
if (
    values != {"s0": 0.7, "qdamp": "3e-2"}
    or refined != ["s0", "qdamp"]
    or (qdamp, qbroad) != (0.04, 0.02)
):
    sys.exit("changed")
PY
env/bin/python -W ignore macro.py
