#!/usr/bin/env bash
# diffpy.srfit 3.2.0 and 3.4.0
#
# Guess: the third column of a .gr file means the same in both versions, and a
#   file without uncertainties behaves the same.
# Instead: in 3.2.0 the third column is the uncertainty of r, and G counts as
#   known to 1; in 3.4.0 it is the uncertainty of G.  Without it the observed
#   uncertainty is ones in 3.2.0 and None in 3.4.0.
# Why it matters: the residual of a fit is divided by the uncertainty of G.
#   The same script on the same file gives another residual, Rw and
#   error bars after the update, and `profile.dyobs` in own code breaks.
#
# Output seen:
#   3.2.0: third column 0.05: dx 0.05, dyobs 1.0; no third column: dyobs 1.0
#   3.4.0: third column 0.05: dx None, dyobs 0.05; no third column: dyobs None
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
env/bin/python - <<'PY'
rows = [f"{k / 100:.2f} {-k / 200:.4f}" for k in range(1, 200)]
head = "stype = X\nqmax = 22.0\n#### start data\n#L r G dG\n"
open("two.gr", "w").write(head + "\n".join(rows))
open("three.gr", "w").write(head + "\n".join(r + " 0.05" for r in rows))
PY
cat > read.py <<'PY'
import sys

from diffpy.srfit import __version__
from diffpy.srfit.fitbase import Profile
from diffpy.srfit.pdf import PDFParser


def uncertainties(name):
    parser, profile = PDFParser(), Profile()
    if hasattr(parser, "parse_file"):
        parser.parse_file(name)
        columns = parser.get_data()
        profile.load_parsed_data(parser)
    else:
        parser.parseFile(name)
        columns = parser.getData()
        profile.loadParsedData(parser)
    return tuple(
        None if column is None else float(column[5])
        for column in (columns[2], profile.dyobs)
    )


three, two = uncertainties("three.gr"), uncertainties("two.gr")
print(
    f"{__version__}: third column 0.05: dx {three[0]}, dyobs {three[1]}; "
    f"no third column: dyobs {two[1]}"
)
expected = {"3.2.0": (0.05, 1.0, 1.0), "3.4.0": (None, 0.05, None)}
if (*three, two[1]) != expected[__version__]:
    sys.exit("changed")
PY
env/bin/python -W ignore read.py
# 3.4.0 asks for Python 3.12 but runs on 3.11
$pip install --no-compile --ignore-requires-python --no-deps \
    diffpy.srfit==3.4.0
env/bin/python -W ignore read.py
