"""One page for a series: G(r) as a map, and the trends along the frames."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from diffpy_cbldm._version import __version__
from diffpy_cbldm.files import write_atomic
from diffpy_cbldm.output.page import check_installed, template
from diffpy_cbldm.series.frames import STEP, Told
from diffpy_cbldm.series.records import DONE, FAILED, Record

ROWS = 600
"""Curves of the map, at most: of more frames it shows every second, third."""

TRENDS = (
    ("n_atoms", "atoms"),
    ("structure_type", "type"),
    ("bond", "bond length (\u00c5)"),
    ("uiso", "Uiso (\u00c5\u00b2)"),
    ("rw", "Rw"),
    ("doubts", "doubts"),
)
"""What is shown against the frames, by the names of `Record`, and how it is
called."""


def write_series(
    told: Sequence[Told],
    path: str | os.PathLike[str],
    *,
    links: Mapping[str, str] | None = None,
    refresh: int | None = None,
    state: str = "",
) -> None:
    """Write the page of a series, whole or not at all.

    Parameters
    ----------
    told : sequence of Told
        In the order of the series; frames that have not ended are left out.
    path : path
        The file; an existing one is replaced.
    links : mapping, optional
        The page of each frame, by its source.
    refresh : int, optional
        After so many seconds a browser loads the page again.
    state : str
        A line on how far the run is.

    Raises
    ------
    CbldmError
        The file cannot be written, or plotly or jinja2 is not installed.
    """
    check_installed()
    import markupsafe
    from plotly.offline import get_plotlyjs

    ended = [t for t in told if t.record is not None]
    records = [t.record for t in ended if t.record is not None]
    text = template("series.html").render(
        version=__version__,
        state=state,
        refresh=refresh,
        frames=len(told),
        done=sum(r.state == DONE for r in records),
        failed=[r for r in records if r.state == FAILED],
        rows=[_row(r, links or {}) for r in records],
        data=page_data(ended, links or {}),
        plotly=markupsafe.Markup(get_plotlyjs()),
    )
    write_atomic(path, text)


def page_data(
    ended: Sequence[Told], links: Mapping[str, str]
) -> dict[str, Any]:
    """What the scripts of the page draw.

    Parameters
    ----------
    ended : sequence of Told
        Frames that are done or failed.
    links : mapping
        The page of each frame, by its source.
    """
    done = [t for t in ended if t.record and t.record.state == DONE]
    records = [t.record for t in done if t.record is not None]
    values = [r.value for r in records]
    # Without all of them there is no axis: frames are counted.
    known = bool(values) and None not in values
    along = values if known else list(range(1, len(done) + 1))
    return {
        "along": along,
        "axis": "temperature or time" if known else "frame",
        "sources": [r.source for r in records],
        "links": [links.get(r.source, "") for r in records],
        "low": [r.atoms_low for r in records],
        "high": [r.atoms_high for r in records],
        "full": [r.full for r in records],
        "trends": [
            {"name": title, "values": [getattr(r, name) for r in records]}
            for name, title in TRENDS
        ],
        "map": _map(done, along),
    }


def _map(done: Sequence[Told], along: Sequence[Any]) -> dict[str, Any]:
    """The curves as rows of a map, with their places along the series."""
    every = max(1, -(-len(done) // ROWS))
    rows = [
        (where, t.curve)
        for where, t in list(zip(along, done, strict=True))[::every]
        if t.curve is not None
    ]
    length = min((len(curve) for _, curve in rows), default=0)
    return {
        "r": np.round(np.arange(length) * STEP, 3).tolist(),
        "along": [where for where, _ in rows],
        "g": [np.round(c[:length], 3).tolist() for _, c in rows],
        "every": every,
    }


def _row(record: Record, links: Mapping[str, str]) -> dict[str, str]:
    """The cells of a frame in the table of the page."""
    atoms = "-" if record.n_atoms is None else str(record.n_atoms)
    if record.atoms_low is not None:
        atoms += f" ({record.atoms_low} to {record.atoms_high})"
    return {
        "source": record.source,
        "link": links.get(record.source, ""),
        "type": record.structure_type or record.state,
        "atoms": atoms,
        "rw": "-" if record.rw is None else f"{record.rw:.4f}",
        "doubts": str(record.doubts),
        "search": record.search,
        "reason": record.reason,
    }
