#!/usr/bin/env bash
# diffpy.srfit 3.2.0 and 3.4.0
#
# Guess: a file of PDFgetN3, whose header says `mode = neutron`, is read as
#   neutron data.
# Instead: PDFParser gives stype X.  It looks for the word "PDFgetX" anywhere
#   in the header first, and the version line of PDFgetN3 names its library,
#   diffpy.pdfgetx; the line `mode` is not asked.
# Why it matters: the curve is then calculated with X-ray form factors.  For
#   one element the fit looks right, for two the peaks have wrong heights
#   and the composition follows them.  Set the scattering type by hand.
#
# Output seen:
#   srfit 3.2.0: mode = neutron in the file, stype X
#   srfit 3.4.0: mode = neutron in the file, stype X
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
cat > pd.gr <<'GR'
[DEFAULT]

version = diffpy.pdfgetx-2.2.1

# input and output specifications
dataformat = QA
outputtype = gr

# PDF calculation setup
mode = neutron
composition = Pd
qmin = 0.8
qmax = 22.0

#### start data
#S 1
#L r($\AA$)  G($\AA^{-2}$)
GR
env/bin/python -c '
for k in range(1, 200):
    print(f"{k / 100:.2f} {-k / 200:.4f}")' >> pd.gr
cat > read.py <<'PY'
import sys

from diffpy.srfit import __version__
from diffpy.srfit.pdf import PDFParser

parser = PDFParser()
if hasattr(parser, "parse_file"):
    parser.parse_file("pd.gr")
    metadata = parser.get_metadata()
else:
    parser.parseFile("pd.gr")
    metadata = parser.getMetaData()
print(
    f"srfit {__version__}: mode = neutron in the file, "
    f"stype {metadata.get('stype')}"
)
if metadata.get("stype") != "X":
    sys.exit("changed")
PY
env/bin/python -W ignore read.py
# 3.4.0 asks for Python 3.12 but runs on 3.11
$pip install --no-compile --ignore-requires-python --no-deps \
    diffpy.srfit==3.4.0
env/bin/python -W ignore read.py
