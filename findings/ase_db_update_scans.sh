#!/usr/bin/env bash
# ase 3.29.0
#
# Guess: to update one row of an ASE database (SQLite) takes the same time
#   however many rows there are, as the row is found by its number.
# Instead: ASE removes the row's keys and values first, by the number of the
#   row, of which none of these tables has an index: each update reads all
#   keys and values of all rows.
# Why it matters: a table that is written as a series goes on becomes slower
#   with every row.  An index on id in the four tables mends it; ASE does not
#   mind it.
#
# Output seen:
#   keys               SCAN
#   text_key_values    SCAN
#   number_key_values  SCAN
#   species            SCAN
#   with an index of our own: SEARCH SEARCH SEARCH SEARCH
set -euo pipefail
unset PYTHONPATH
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3.11 -m venv --without-pip "$work/env"
python3.11 -m pip --python "$work/env/bin/python" -qq install \
    --no-compile ase==3.29.0
cd "$work"
env/bin/python -W ignore - <<'PY'
import sqlite3
import sys

from ase import Atoms
from ase.db import connect

TABLES = ("keys", "text_key_values", "number_key_values", "species")


def how(table):
    """How SQLite finds what an update of row 1 removes."""
    said = seen.pop(table)
    file = sqlite3.connect("a.db")
    plan = file.execute(f"EXPLAIN QUERY PLAN {said}").fetchall()
    return plan[0][-1].split()[0]


def removed():
    """The statements by which ASE removes from the tables in an update."""
    found = {}

    def note(text):
        for table in TABLES:
            if text.startswith(f"DELETE FROM {table} WHERE id"):
                found[table] = text

    with connect("a.db", use_lock_file=False) as rows:
        rows.connection.set_trace_callback(note)
        rows.update(1, Atoms("Pt3"), state="done", atoms_found=3)
    return found


with connect("a.db") as rows:
    for k in range(1, 20):
        rows.write(Atoms("Pt2"), state="claimed", frame=k)
seen = removed()
before = {table: how(table) for table in TABLES}
for table, way in before.items():
    print(f"{table:18s} {way}")
with sqlite3.connect("a.db") as file:
    for table in TABLES:
        file.execute(f"CREATE INDEX {table}_of_row ON {table}(id)")
seen = removed()
after = [how(table) for table in TABLES]
print("with an index of our own:", *after)
if set(before.values()) != {"SCAN"} or set(after) != {"SEARCH"}:
    sys.exit("changed")
PY
