"""What a notebook shows of a solution or a candidate.

Tables and a picture inside of them: no script runs and nothing is loaded, so
that they also appear where notebooks are not trusted or have no network.
"""

from __future__ import annotations

import base64
import functools
from typing import Any

from diffpy_cbldm.cluster import Candidate
from diffpy_cbldm.errors import CbldmError
from diffpy_cbldm.output.page import (
    TABLE_HEADS,
    described,
    group_names,
    template,
)
from diffpy_cbldm.output.plots import picture
from diffpy_cbldm.output.results import shown
from diffpy_cbldm.output.views import (
    Curve,
    curve_of,
    need,
    refined_curve,
    shape,
)
from diffpy_cbldm.pdfdata import UNCERTAINTIES
from diffpy_cbldm.solving.solution import Solution

ROWS = 12
"""So many candidates are in the table of a solution."""


def html(given: Any) -> str | None:
    """Return HTML for the output of a cell, with the page's own parts.

    Parameters
    ----------
    given : Solution or Candidate

    Returns
    -------
    str or None
        About 60 kB.  None without matplotlib and jinja2: then the notebook
        shows the text.
    """
    try:
        need("a notebook", "matplotlib", "jinja2")
    except CbldmError:
        return None
    return template("notebook.html").render(**_parts(given))


@functools.singledispatch
def _parts(given: Any) -> dict[str, Any]:
    """What the template is filled with."""
    raise TypeError(f"no view of {type(given).__name__}")


@_parts.register
def _(solution: Solution) -> dict[str, Any]:
    best = shown(solution)
    names = group_names(solution)
    curves = [refined_curve(c) or curve_of(solution, c) for c in best[:ROWS]]
    rows = [
        described(k + 1, c, curve.rw, shape(c), names.get(k))
        for k, (c, curve) in enumerate(zip(best, curves, strict=False))
    ]
    return {
        "answer": solution.explain(warnings=False).splitlines(),
        "warnings": solution.warnings,
        "heads": _heads(0),
        "rows": [
            [{"text": row["rank"], "word": False}, *row["cells"]]
            for row in rows
        ],
        "more": len(best) - len(rows),
        "uncertainties": UNCERTAINTIES[solution.uncertainties],
        **_view(best[0], curves[0], rows[0]),
    }


@_parts.register
def _(c: Candidate) -> dict[str, Any]:
    rw = c.rw_raw if c.rw is None else c.rw
    row = described(1, c, rw, shape(c), None)
    origin = getattr(c.results, "uncertainties", "")
    return {
        "answer": [],
        "warnings": (),
        # A candidate alone has neither rank nor group.
        "heads": _heads(2),
        "rows": [row["cells"][1:]],
        "more": 0,
        "uncertainties": UNCERTAINTIES.get(origin, ""),
        **_view(c, refined_curve(c), row),
    }


def _heads(first: int) -> list[dict[str, Any]]:
    return [{"text": text, "word": word} for text, word in TABLE_HEADS[first:]]


def _view(
    c: Candidate, curve: Curve | None, row: dict[str, Any]
) -> dict[str, Any]:
    """The picture of a candidate, and what is said around it."""
    about = f"{row['title']}: {row['agreement']}"
    curves = "Measured and calculated G(r), their difference, and the "
    return {
        "caption": ", ".join(filter(None, (about, row["origin"]))),
        "label": ("" if curve is None else curves) + f"structure of {about}",
        "picture": base64.b64encode(picture(c, curve)).decode("ascii"),
        "parameters": row["parameters"],
        "flags": row["flags"],
    }
