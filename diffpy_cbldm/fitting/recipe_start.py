"""Where the variables of a recipe begin: at values given, or refined."""

from __future__ import annotations

from collections.abc import Mapping

from diffpy_cbldm.cluster import Candidate, Cluster
from diffpy_cbldm.errors import CbldmError
from diffpy_cbldm.fitting import moves as moving

REFINED = "refined"
"""The word for the values that were refined of a candidate."""

Start = Mapping[str, float] | str | None
"""Start values by variable, `REFINED`, or None for the defaults."""


def start_of(
    cluster: Cluster, start: Start, named: Mapping[str, str]
) -> Mapping[str, float]:
    """Start values by variable: those that are given, or were refined.

    Parameters
    ----------
    cluster : Cluster or Candidate
    start : dict, "refined" or None
    named : dict
        The name that a Candidate has for each variable of the recipe.

    Raises
    ------
    CbldmError
        Another word, or a structure that was not refined.
    """
    if not isinstance(start, str):
        return start or {}
    found = refined_values(cluster, named)
    if start != REFINED or not found:
        lacks = "" if found else " of a structure that was not refined"
        raise CbldmError(
            f"start is {start!r}{lacks}; expected values by variable, or "
            f"{REFINED!r} of a refined Candidate: correct start, or leave it "
            "out."
        )
    return found


def refined_values(
    cluster: Cluster, named: Mapping[str, str]
) -> dict[str, float]:
    """What was refined of a candidate, by variable; empty if nothing was.

    The positions of a candidate are those after zoomscale and moves: these
    begin anew.
    """
    known = cluster.parameters if isinstance(cluster, Candidate) else {}
    found = {
        name: known[own][0]
        for name, own in named.items()
        if own in known and not moving.kind_of(name)
    }
    return found | {"zoomscale": 1.0} if found else {}
