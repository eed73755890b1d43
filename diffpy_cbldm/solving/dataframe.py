"""The candidates of a solution as a table of pandas."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from diffpy_cbldm.cluster import Candidate
from diffpy_cbldm.crystals.bonds import diameter
from diffpy_cbldm.solving.groups import Group

if TYPE_CHECKING:
    import pandas

UNITS = {"diameter": "A", "delta2": "A^2", "qdamp": "1/A"}
"""Units of columns; those of ``*_Uiso`` are A^2, and no other has one."""


def dataframe(
    candidates: Sequence[Candidate],
    rw_quick: Sequence[float],
    groups: Sequence[Group],
) -> pandas.DataFrame:
    """The table that `Solution.to_dataframe` returns."""
    import pandas

    group_of = {k: n for n, g in enumerate(groups, 1) for k in g.members}
    rows = [
        {"rank": k + 1, "group": group_of.get(k), **_row(c), "rw_quick": quick}
        for k, (c, quick) in enumerate(zip(candidates, rw_quick, strict=True))
    ]
    # Candidates that were refined with different moves differ in parameters.
    names = dict.fromkeys(n for c in candidates for n in c.parameters)
    for row, c in zip(rows, candidates, strict=True):
        for name in names:
            value, esd = c.parameters.get(name, (None, None))
            row |= {name: value, f"{name}_esd": esd}
        row |= {f"rw_{k}": rw for k, rw in enumerate(c.rw_of_each, 1)}
        row["flags"] = "; ".join(c.flags)
    numbers = ["diameter", "rw", "rw_heldout", "rw_raw", "rw_quick"]
    numbers += itertools.chain(*((n, f"{n}_esd") for n in names))
    types = dict.fromkeys(numbers, "float64") | {"group": "Int64"}
    table = pandas.DataFrame(rows).set_index("rank").astype(types)
    table.attrs["units"] = {
        name: unit for name in table.columns if (unit := _unit(name))
    }
    return table


def _row(c: Candidate) -> dict[str, Any]:
    """What is known of a candidate besides its parameters."""
    return {
        "structure_type": c.structure_type,
        "n_atoms": len(c),
        "composition": c.composition,
        "diameter": diameter(c.positions),
        "generator": c.generator,
        "edits": ", ".join(c.edits),
        "rw": c.rw,
        "rw_heldout": c.rw_heldout,
        "rw_raw": c.rw_raw,
    }


def _unit(column: str) -> str | None:
    name = column.removesuffix("_esd")
    if name.endswith("_Uiso"):
        return "A^2"
    # Of further PDFs that were refined together: qdamp_2, ...
    return UNITS.get(name.rstrip("0123456789").rstrip("_") or name)
