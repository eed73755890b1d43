"""Curves and structures as a figure of matplotlib."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from diffpy_cbldm.crystals.bonds import nearest_neighbour_distance
from diffpy_cbldm.errors import CbldmError
from diffpy_cbldm.files import appearing
from diffpy_cbldm.output.results import shown
from diffpy_cbldm.output.views import Curve, curve_of, need, shape
from diffpy_cbldm.settings import PICTURES

if TYPE_CHECKING:
    from diffpy_cbldm.cluster import Candidate
    from diffpy_cbldm.solving.solution import Solution


CURVES = 3
"""So many candidates are in a figure."""

FEW, GRAIN = 300, 6
"""All of so few balls are drawn; of more those in sight, looked for on so
many points a radius."""

TURN = np.array(
    [[0.8, 0.6, 0.0], [-0.384, 0.512, 0.768], [0.461, -0.614, 0.64]]
)
"""To the page's right, upwards and to the eye: three unit vectors, rounded."""


def check_installed(screen: bool = False) -> None:
    """Raise `CbldmError` where no figure can be drawn, or none shown.

    Parameters
    ----------
    screen : bool
        Whether a window is wanted as well.  Default False.
    """
    need("--plot", "matplotlib")
    if screen and not _has_display():
        raise CbldmError(
            "--plot found no display for a window; expected a graphical "
            "session: write a file with --plot=png, --plot=pdf or --plot=svg."
        )


def plot(
    solution: Solution,
    path: str | os.PathLike[str] | None = None,
    *,
    kind: str | None = None,
    count: int = CURVES,
    structures: bool = True,
) -> Any:
    """Draw measured, calculated and difference curves, one panel a structure.

    In the style of bg-mpl-stylesheets where that is installed, else in
    matplotlib's own.

    Parameters
    ----------
    solution : Solution
    path : path, optional
        The file, written whole or not at all; without it nothing is written
        or shown.
    kind : {"png", "pdf", "svg"}, optional
        The kind of file; default: the extension of `path`.
    count : int
        The best so many candidates; default 3.
    structures : bool
        Whether each structure is drawn beside its curves, an atom coloured
        by its number of neighbours.  Default True.

    Returns
    -------
    matplotlib.figure.Figure
        Its ``axes`` are the panels, row by row.  To be changed, saved or,
        by ``matplotlib.pyplot.show()``, shown where it was drawn without
        `path`.

    Raises
    ------
    CbldmError
        matplotlib is not installed, `count` is below 1, the kind of file is
        not known, or it cannot be written.
    """
    check_installed()
    if path is not None:
        kind = _kind(path, kind)
    if count < 1:
        raise CbldmError(
            f"count is {count}; expected 1 or more curves: pass count=1."
        )
    best = shown(solution)[:count]
    drawn = {
        f"{rank}. {_name(c)}": (c, curve_of(solution, c))
        for rank, c in enumerate(best, start=1)
    }
    with _style() as colors:
        figure = _drawn(drawn, structures, colors, on_screen=path is None)
        if path is not None:
            with appearing(path) as unfinished:
                figure.savefig(unfinished, format=kind, dpi=200)
    return figure


def picture(c: Candidate, curve: Curve | None) -> bytes:
    """Draw one candidate, beside its curves where it has some, as png."""
    from PIL import Image

    drawing, file = io.BytesIO(), io.BytesIO()
    with _style() as colors:
        if curve is None:
            figure = _figure((3.2, 3.2), on_screen=False)
            _structure(figure.subplots(), c, _reach(c))
        else:
            drawn = {_name(c): (c, curve)}
            figure = _drawn(drawn, True, colors, on_screen=False)
        figure.savefig(drawing, format="png", dpi=100)
    # A notebook keeps it as text: so few colours look the same, and make a
    # quarter of the size.
    image = Image.open(drawing).convert("RGB").quantize(128)
    image.save(file, format="png", optimize=True)
    return file.getvalue()


def _name(c: Candidate) -> str:
    return f"{c.structure_type} {c.composition}"


def _drawn(
    drawn: Mapping[str, tuple[Candidate, Curve]],
    structures: bool,
    colors: Sequence[str],
    on_screen: bool,
) -> Any:
    """The figure of `plot`, with what is drawn by the titles."""
    size = (8.0 + 3.2 * structures, 1.2 + 3.2 * len(drawn))
    figure = _figure(size, on_screen)
    panels = figure.subplots(
        len(drawn),
        1 + structures,
        sharex="col",
        squeeze=False,
        width_ratios=(2.6, 1)[: 1 + structures],
    )
    # One scale for all structures, so that their sizes can be compared.
    reach = max(_reach(c) for c, _ in drawn.values())
    for row, (title, (c, curve)) in zip(panels, drawn.items(), strict=True):
        _panel(row[0], curve, colors)
        row[0].set_title(f"{title}, $R_w$ = {curve.rw:.4f}", loc="left")
        if structures:
            _structure(row[1], c, reach)
    left = panels[:, 0]
    left[0].legend(loc="upper right", fontsize="small", frameon=False)
    left[-1].set_xlabel(r"$r$ ($\mathrm{\AA}$)")
    return figure


def show(solution: Solution) -> None:
    """Show the figure of `plot` in a window, until it is closed.

    Raises
    ------
    CbldmError
        matplotlib or a display is missing.
    """
    check_installed(screen=True)
    from matplotlib import pyplot

    plot(solution)
    pyplot.show()


def _kind(path: str | os.PathLike[str], kind: str | None) -> str:
    kind = kind or Path(path).suffix.removeprefix(".").lower()
    if kind not in PICTURES:
        raise CbldmError(
            f"{os.fspath(path)} would be a picture of the kind {kind!r}; "
            f"expected {', '.join(PICTURES)}: change its extension."
        )
    return kind


@contextmanager
def _style() -> Iterator[tuple[str, str, str]]:
    """The style, and the colours of measured, calculated and difference."""
    import matplotlib as mpl

    try:
        from bg_mpl_stylesheets.styles import all_styles
    except ImportError:
        style = {}
    else:
        style = all_styles["bg-style"]
    with mpl.rc_context(style):
        colors = mpl.rcParams["axes.prop_cycle"].by_key()["color"]
        yield colors[0], colors[1], "0.35"


def _figure(size: tuple[float, float], on_screen: bool) -> Any:
    """A figure of pyplot to be shown, or one that needs no display."""
    if on_screen:
        from matplotlib import pyplot

        return pyplot.figure(figsize=size, layout="constrained")
    from matplotlib.figure import Figure

    return Figure(figsize=size, layout="constrained")


def _has_display() -> bool:
    if sys.platform in ("win32", "darwin"):
        return True
    return any(os.environ.get(n) for n in ("DISPLAY", "WAYLAND_DISPLAY"))


def _panel(axes: Any, curve: Curve, colors: Sequence[str]) -> None:
    """Draw measured, calculated and, below them, difference curve."""
    measured, calculated, off = colors
    residual = curve.measured - curve.calculated
    low = min(curve.measured.min(), curve.calculated.min())
    # The difference curve stands clear of the lowest point of the others.
    shift = low - 1.1 * residual.max()
    axes.plot(
        curve.r,
        curve.measured,
        "o",
        markerfacecolor="none",
        markeredgecolor=measured,
        markersize=4,
        markeredgewidth=0.8,
        # More circles than this would hide the line.
        markevery=max(1, len(curve.r) // 600),
        label="measured",
    )
    axes.plot(
        curve.r,
        curve.calculated,
        color=calculated,
        linewidth=1.5,
        label="calculated",
    )
    axes.plot(
        curve.r, residual + shift, color=off, linewidth=1, label="difference"
    )
    axes.axhline(shift, color="0.6", linewidth=0.8, linestyle=":")
    axes.set_xlim(curve.r[0], curve.r[-1])
    axes.set_ylabel(r"$G$ ($\mathrm{\AA}^{-2}$)")


def _reach(c: Candidate) -> float:
    """How far a drawn structure goes from its middle, angstrom."""
    away = np.linalg.norm(c.positions - c.positions.mean(0), axis=1)
    return float(away.max()) + nearest_neighbour_distance(c.positions) / 2


def _in_sight(x: np.ndarray, radius: float) -> np.ndarray:
    """Balls that nearer ones do not hide, the farthest first.

    Parameters
    ----------
    x : (n, 3) array
        To the right, upwards, to the eye.
    radius : float

    Returns
    -------
    (m,) array of int
        All of a few; of many those that are seen on `GRAIN` points a radius.
    """
    order = np.argsort(x[:, 2])
    if len(x) <= FEW:
        return order
    step = radius / GRAIN
    cells = np.round((x[:, :2] - x[:, :2].min(0)) / step).astype(int) + GRAIN
    disc = np.mgrid[-GRAIN : GRAIN + 1, -GRAIN : GRAIN + 1].reshape(2, -1).T
    disc = disc[(disc**2).sum(1) <= GRAIN**2]
    picture = np.full(cells.max(0) + GRAIN + 1, -1)
    for k in order:
        picture[tuple((cells[k] + disc).T)] = k
    seen = np.zeros(len(x), bool)
    seen[picture[picture >= 0]] = True
    return order[seen[order]]


def _structure(axes: Any, c: Candidate, reach: float) -> None:
    """Draw touching balls, the nearest last, lit from the upper left."""
    import matplotlib as mpl
    from matplotlib.collections import PatchCollection
    from matplotlib.patches import Circle

    x = (c.positions - c.positions.mean(0)) @ TURN.T
    radius = nearest_neighbour_distance(c.positions) / 2
    paint = mpl.colormaps["viridis"](
        mpl.colors.Normalize(3, 12)(shape(c).neighbours)
    )
    balls, colors = [], []
    # Small balls do with fewer.
    lights = np.linspace(0, 1, 6 if len(x) <= FEW else 3)
    # From the back to the front: nearer atoms cover the others.
    for k in _in_sight(x, radius):
        balls.append(Circle(x[k, :2], radius))
        colors.append((0.15, 0.18, 0.22, 1.0))
        # Smaller and whiter discs towards the light make a disc look round.
        for light in lights:
            centre = x[k, :2] + light * radius * np.array([-0.25, 0.3])
            balls.append(Circle(centre, radius * (0.94 - 0.74 * light)))
            white = 0.55 * light**1.5
            colors.append((*(paint[k, :3] * (1 - white) + white), 1.0))
    axes.add_collection(
        PatchCollection(balls, facecolors=colors, linewidths=0)
    )
    axes.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
    axes.set_axis_off()
