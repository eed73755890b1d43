#!/usr/bin/env bash
# diffpy.srfit 3.2.0 (with matplotlib 3.11.2, python-dateutil 4.0.0)
#
# Guess: `pip install diffpy.srfit==3.2.0` gives a package that can be
#   imported.
# Instead: it imports six and does not ask for it.  For years six came along
#   with matplotlib, which asks for python-dateutil; dateutil 4.0.0 no longer
#   asks for it.  `import diffpy.srfit` alone works, fitbase does not.
# Why it matters: an environment on Python 3.11, where 3.2.0 is the newest
#   srfit, fails at the first recipe unless six is asked for as well.
#
# Output seen:
#   import diffpy.srfit: works
#   import diffpy.srfit.fitbase: No module named 'six'
#   after pip install six: works
set -euo pipefail
unset PYTHONPATH
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3.11 -m venv --without-pip "$work/env"
pip() {
  python3.11 -m pip --python "$work/env/bin/python" -qq install \
    --no-compile "$@"
}
pip diffpy.srfit==3.2.0 matplotlib==3.11.2 python-dateutil==4.0.0 \
  numpy==2.4.6 scipy==1.17.1
cd "$work"
imported() {
  env/bin/python -W ignore -c "
try:
    import $1
    print('works')
except ImportError as error:
    print(error)
"
}
whole=$(imported diffpy.srfit)
part=$(imported diffpy.srfit.fitbase)
echo "import diffpy.srfit: $whole"
echo "import diffpy.srfit.fitbase: $part"
pip six==1.17.0
after=$(imported diffpy.srfit.fitbase)
echo "after pip install six: $after"
if [ "$whole, $part, $after" != "works, No module named 'six', works" ]; then
  echo changed
  exit 1
fi
