"""The result as one HTML page that works without a network."""

from __future__ import annotations

import importlib.resources
import math
import os
import shlex
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from diffpy_cbldm import options, settings
from diffpy_cbldm._version import __version__
from diffpy_cbldm.files import write_atomic
from diffpy_cbldm.output.results import shown, shown_places, with_esd
from diffpy_cbldm.output.views import (
    Curve,
    Shape,
    curve_of,
    difference,
    need,
    shape,
)
from diffpy_cbldm.pdfdata import UNCERTAINTIES

if TYPE_CHECKING:
    from diffpy_cbldm.cluster import Candidate
    from diffpy_cbldm.solving.solution import FrontPoint, Solution


UNITS = {"delta2": "\u00c5\u00b2", "qdamp": "1/\u00c5"}
"""Units of parameters by name; those of ``*_Uiso`` are square angstrom."""

TABLE_HEADS = (
    ("rank", False),
    ("group", True),
    ("type", True),
    ("atoms", False),
    ("diameter (\u00c5)", False),
    ("aspect", False),
    ("surface", False),
    ("Rw", False),
    ("held-out Rw", False),
    ("raw Rw", False),
    ("generator", True),
    ("edited", True),
)
"""The heads of the table, and whether they stand over words."""


def check_installed() -> None:
    """Raise `CbldmError` where what the page is made of is missing."""
    need("-t html", "plotly", "jinja2")


def make_page(solution: Solution, source: str) -> str:
    """Make the page: curves, structures, parameters, groups, settings.

    Scripts and data are embedded; the page asks nothing of a network, and
    forbids it to the browser.

    Parameters
    ----------
    solution : Solution
    source : str
        The input as it was named; any text, it is escaped.

    Returns
    -------
    str
        HTML of about 5 MB, most of it plotly.js; with thousands of atoms
        6 MB, as of more than `DRAWN` only the surface is drawn.

    Raises
    ------
    CbldmError
        plotly or jinja2 is not installed.
    """
    check_installed()
    import markupsafe
    from plotly.offline import get_plotlyjs

    best = shown(solution)
    curves = [curve_of(solution, c) for c in best]
    shapes = [shape(c) for c in best]
    alike = _groups_shown(solution)
    names = group_names(solution)
    # A file name may hold bytes that are not text.
    source = source.encode("utf-8", "replace").decode("utf-8")
    return template("page.html").render(
        version=__version__,
        source=source,
        name=os.path.basename(source) or source,
        answer=solution.explain(warnings=False).splitlines(),
        warnings=solution.warnings,
        uncertainties=UNCERTAINTIES[solution.uncertainties],
        columns=[{"head": h, "word": word} for h, word in TABLE_HEADS],
        candidates=[
            described(k + 1, c, curves[k].rw, shapes[k], names.get(k))
            for k, c in enumerate(best)
        ],
        groups=[
            _group(_letters(number), g, best, curves, shapes)
            for number, g in enumerate(alike)
        ],
        front=solution.front,
        front_label=_front_label(solution.front),
        command=command(solution, source),
        settings=[
            {"name": name, "text": _setting(value)}
            for name, value in solution.settings.items()
        ],
        timings=[(n, f"{s:.1f}") for n, s in solution.timings.items()],
        data=_data(best, curves, shapes, solution.front),
        # Scripts are the one part that must not be escaped.
        plotly=markupsafe.Markup(get_plotlyjs()),
    )


def _groups_shown(solution: Solution) -> list[list[int]]:
    """Groups of several members, as places among the shown candidates."""
    place_of = {k: place for place, k in enumerate(shown_places(solution))}
    return [
        [place_of[k] for k in group.members]
        for group in solution.groups
        if len(group.members) > 1
    ]


def group_names(solution: Solution) -> dict[int, str]:
    """The letter of its group, by place among the shown candidates."""
    alike = _groups_shown(solution)
    return {k: _letters(number) for number, g in enumerate(alike) for k in g}


def template(name: str) -> Any:
    """A template; what it lacks is an error, not an empty text."""
    import jinja2

    text = importlib.resources.files("diffpy_cbldm.output") / name
    return jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined
    ).from_string(text.read_text(encoding="utf-8"))


def write_page(
    solution: Solution, path: str | os.PathLike[str], source: str = "PDF"
) -> None:
    """Write the page of a solution, whole or not at all.

    Parameters
    ----------
    solution : Solution
    path : path
        The file, such as ``particle.html``; an existing one is replaced.
    source : str
        What was measured, for the heading.  Default "PDF".

    Raises
    ------
    CbldmError
        The file cannot be written, or plotly or jinja2 is not installed.
    """
    write_atomic(path, make_page(solution, source))


def command(solution: Solution, source: str) -> str:
    """The command line that repeats a run, for a shell.

    All settings that were used are named, also those that came from the
    header of the file or are defaults.
    """
    arguments = []
    for table in (settings.Reading, settings.Solve):
        for option in options.options(table):
            value = solution.settings.get(option.name)
            several = value if isinstance(value, (tuple, list)) else [value]
            arguments += [
                f"{option.flags[-1]} {shlex.quote(_setting(one))}"
                for one in several
                if one is not None
            ]
    # Such a file would be taken for an option; "-" alone is standard input.
    if source.startswith("-") and source != "-":
        source = f"./{source}"
    return " \\\n  ".join(["cbldm", *arguments, shlex.quote(source)])


def _setting(value: Any) -> str:
    if value is None:
        return "not given"
    return f"{value:.10g}" if isinstance(value, float) else str(value)


def _letters(number: int) -> str:
    """A, B, ... Z, AA, AB, ... for 0, 1, ..."""
    first, last = divmod(number, 26)
    return (_letters(first - 1) if first else "") + chr(ord("A") + last)


def described(
    rank: int, c: Candidate, rw: float | None, form: Shape, group: str | None
) -> dict[str, Any]:
    """What the table and the view of one candidate say.

    Parameters
    ----------
    rank : int
    c : Candidate
    rw : float or None
        Of its curve, None where there is none.
    form : Shape
    group : str or None
        The letter of its group.
    """
    title = f"{c.structure_type or 'unnamed type'}, {c.composition}"
    if c.rw_of_each:  # the curve is that of the first PDF
        rw = c.rw
    agreement = "not fitted" if rw is None else f"Rw {rw:.4f}"
    if rw is not None and c.rw is None:
        agreement += ", only the scale fitted"
    elif c.rw_heldout is not None and math.isfinite(c.rw_heldout):
        agreement += f", held-out {c.rw_heldout:.4f}"
    if c.rw_of_each:
        each = ", ".join(f"{one:.4f}" for one in c.rw_of_each)
        agreement += f", of each PDF {each}"
    return {
        "rank": rank,
        "title": title,
        "agreement": agreement,
        "origin": f"from {c.generator}" if c.generator else "",
        "flags": "; ".join(c.flags),
        "curve_label": f"Measured and calculated G(r) and their difference "
        f"for rank {rank}, {title}: {agreement}",
        "structure_label": f"Structure of rank {rank}: {title}, diameter "
        f"{form.diameter:.1f} angstrom, {len(form.bonds)} bonds",
        "drawn": _drawn_note(form),
        "parameters": [
            {
                "name": name,
                "unit": _unit(name),
                "text": with_esd(value, esd),
            }
            for name, (value, esd) in c.parameters.items()
        ],
        "cells": [
            {**_word(group), "badge": group is not None},
            _word(c.structure_type),
            _number(c.n_atoms, "d"),
            _number(form.diameter, ".1f"),
            _number(form.aspect, ".2f"),
            _number(form.surface, ".0%"),
            _number(rw, ".4f"),
            _number(c.rw_heldout, ".4f"),
            _number(c.rw_raw, ".4f"),
            _word(c.generator),
            _word(", ".join(c.edits)),
        ],
    }


def _unit(name: str) -> str:
    """The unit of a parameter, empty where it has none."""
    if name.endswith("_Uiso"):
        return UNITS["delta2"]
    return UNITS["qdamp"] if name.startswith("qdamp") else UNITS.get(name, "")


def _drawn_note(form: Shape) -> str:
    """What is said where not all atoms are drawn."""
    all_atoms, some = len(form.outer), len(form.drawn)
    if some == all_atoms:
        return ""
    return f"Drawn are the {some} atoms of the surface, of {all_atoms}."


def _word(text: str | None) -> dict[str, Any]:
    """A cell of the table that is set flush left."""
    return {
        "text": text or "-",
        "value": text or "",
        "word": True,
        "badge": False,
    }


def _number(value: float | None, form: str) -> dict[str, Any]:
    """A cell of the table; what is missing or infinite is sorted last."""
    cell = {"text": "-", "value": "", "word": False, "badge": False}
    if value is None or not math.isfinite(value):
        return cell
    return {**cell, "text": format(value, form), "value": f"{value:.8g}"}


def _group(
    name: str,
    places: Sequence[int],
    best: Sequence[Candidate],
    curves: Sequence[Curve],
    shapes: Sequence[Shape],
) -> dict[str, Any]:
    """What the members of one group have in common, and what not."""
    rows = {
        "type": [best[k].structure_type or "-" for k in places],
        "atoms": [str(best[k].n_atoms) for k in places],
        "diameter (\u00c5)": [f"{shapes[k].diameter:.1f}" for k in places],
        "aspect": [_number(shapes[k].aspect, ".2f")["text"] for k in places],
        "surface": [f"{shapes[k].surface:.0%}" for k in places],
        "generator": [best[k].generator or "-" for k in places],
    }
    # Compared as they are printed: what looks the same counts as the same.
    differ = [row for row, cells in rows.items() if len(set(cells)) > 1]
    same = [row for row in rows if row not in differ]
    apart = max(difference(curves[places[0]], curves[k]) for k in places)
    plain = [f"They differ in {_listed(differ)}"] if differ else []
    if same:
        plain.append(f"they agree in {_listed(same)}")
    summary = "; ".join(plain) or "They differ in details"
    first = curves[places[0]]
    ordered = sorted(curves[k].rw for k in places)
    ends = [f"{ordered[k]:.4f}" for k in (0, -1)]
    return {
        "name": name,
        "ranks": [k + 1 for k in places],
        "title": f"{len(places)} structures, Rw "
        + " to ".join(dict.fromkeys(ends)),
        "summary": f"{summary[0].upper()}{summary[1:]}. Their curves are at "
        f"most {apart:.4f} from that of rank {places[0] + 1}; the data are "
        f"{first.rw:.4f} from it.",
        "rows": [
            {"name": row, "cells": cells, "differs": row in differ}
            for row, cells in rows.items()
        ]
        + [
            {
                "name": "Rw",
                "cells": [f"{curves[k].rw:.4f}" for k in places],
                "differs": False,
            }
        ],
    }


def _front_label(front: Sequence[FrontPoint]) -> str:
    """What the plot of the front shows, in words."""
    label = f"Rw against roughness of {len(front)} structures"
    for p in front:
        if p.knee:
            label += (
                f"; the data go as far as {_about(p)}, with roughness "
                f"{p.roughness:.1f} and Rw {p.rw:.4f}"
            )
    return label


def _about(p: FrontPoint) -> str:
    edits = f"edited: {', '.join(p.edits)}" if p.edits else "not edited"
    return f"{p.structure_type or 'unnamed type'}, {p.n_atoms} atoms, {edits}"


def _listed(names: Iterable[str]) -> str:
    """The names without units, as in "type, atoms and aspect"."""
    *first, last = (name.split(" (")[0] for name in names)
    return f"{', '.join(first)} and {last}" if first else last


def _data(
    best: Sequence[Candidate],
    curves: Sequence[Curve],
    shapes: Sequence[Shape],
    front: Sequence[FrontPoint],
) -> dict[str, Any]:
    """What the scripts draw: curves to 5 digits, positions to 0.001 A."""
    return {
        "r": _digits(curves[0].r, 7),
        "measured": _digits(curves[0].measured, 5),
        "candidates": [
            {
                "rank": rank,
                "calculated": _digits(curve.calculated, 5),
                **_structure(c, form),
            }
            for rank, (c, curve, form) in enumerate(
                zip(best, curves, shapes, strict=True), start=1
            )
        ],
        "front": [
            {
                "roughness": p.roughness,
                "rw": p.rw,
                "knee": p.knee,
                "about": _about(p),
            }
            for p in front
        ],
    }


def _structure(c: Candidate, form: Shape) -> dict[str, Any]:
    """The atoms that are drawn, and the bonds between them."""
    from diffpy_cbldm.crystals.bonds import nearest_neighbour_distance

    drawn = form.drawn
    place = np.full(len(c.positions), -1)
    place[drawn] = np.arange(len(drawn))
    bonds = place[form.bonds]
    return {
        "elements": [c.elements[k] for k in drawn],
        "positions": np.round(c.positions[drawn], 3).tolist(),
        "bonds": bonds[(bonds >= 0).all(1)].tolist(),
        "neighbours": form.neighbours[drawn].tolist(),
        "bond": nearest_neighbour_distance(c.positions),
    }


def _digits(values: np.ndarray, count: int) -> list[float]:
    return [float(f"{x:.{count}g}") for x in values]
