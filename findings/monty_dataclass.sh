#!/usr/bin/env bash
# monty 2026.10.21
#
# Guess: dumpfn writes an object by its as_dict() and loadfn reads it by its
#   from_dict(), whether or not its class inherits from MSONable.
# Instead: of a dataclass that does not inherit from MSONable the as_dict() is
#   not called: dataclasses.asdict() is written.  from_dict() is called all
#   the same, with a dict that as_dict() never made.  Inside another MSONable
#   the as_dict() of the same object is called.
# Why it matters: a cluster of one's own, a dataclass that keeps angstrom and
#   writes nm, comes back ten times as large, or not, by what it lies in; no
#   error tells.
#
# Output seen:
#   alone: wrote {'bond': 2.8}, read 28.0
#   in an MSONable: wrote {'bond': 0.28}, read 2.8
set -euo pipefail
unset PYTHONPATH
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3.11 -m venv --without-pip "$work/env"
python3.11 -m pip --python "$work/env/bin/python" -qq install \
    --no-compile monty==2026.10.21
cd "$work"
cat > own.py <<'PY'
import dataclasses

from monty.json import MSONable


@dataclasses.dataclass
class Cluster:
    bond: float  # angstrom, and in files nm

    def as_dict(self):
        bond = round(self.bond / 10, 9)
        return {"@module": "own", "@class": "Cluster", "bond": bond}

    @classmethod
    def from_dict(cls, d):
        return cls(round(d["bond"] * 10, 9))


class Study(MSONable):
    def __init__(self, cluster):
        self.cluster = cluster
PY
cat > look.py <<'PY'
import json
import sys

from monty.serialization import dumpfn, loadfn
from own import Cluster, Study

seen = []
for name, given in (
    ("alone", Cluster(2.8)),
    ("in an MSONable", Study(Cluster(2.8))),
):
    dumpfn(given, "a.json")
    with open("a.json") as file:
        written = json.load(file)
    read = loadfn("a.json")
    written = written.get("cluster", written)
    bond = getattr(read, "cluster", read).bond
    plain = {k: v for k, v in written.items() if not k.startswith("@")}
    seen.append((plain, bond))
    print(f"{name}: wrote {plain}, read {bond}")
if seen != [({"bond": 2.8}, 28.0), ({"bond": 0.28}, 2.8)]:
    sys.exit("changed")
PY
env/bin/python -W ignore look.py
