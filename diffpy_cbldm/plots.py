"""Measured, calculated and difference curves as a figure of matplotlib."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diffpy_cbldm.errors import CbldmError
from diffpy_cbldm.pdfdata import write_atomic
from diffpy_cbldm.results import shown
from diffpy_cbldm.settings import PICTURES
from diffpy_cbldm.views import Curve, calculated_curve, need

if TYPE_CHECKING:
    from diffpy_cbldm.solve import Solution

CURVES = 3
"""So many candidates are in a figure."""


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

    Returns
    -------
    matplotlib.figure.Figure
        To be changed, saved or, by ``matplotlib.pyplot.show()``, shown
        where it was drawn without `path`.

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
    with _style() as colors:
        size = (8.0, 1.2 + 3.2 * len(best))
        figure = _figure(size, on_screen=path is None)
        panels = figure.subplots(len(best), sharex=True, squeeze=False)[:, 0]
        for rank, (axes, c) in enumerate(
            zip(panels, best, strict=True), start=1
        ):
            curve = calculated_curve(solution, c)
            _panel(axes, curve, colors)
            axes.set_title(
                f"{rank}. {c.structure_type} {c.composition}, "
                f"$R_w$ = {curve.rw:.4f}",
                loc="left",
            )
        panels[0].legend(loc="upper right", fontsize="small", frameon=False)
        panels[-1].set_xlabel(r"$r$ ($\mathrm{\AA}$)")
        if path is not None:
            content = io.BytesIO()
            figure.savefig(content, format=kind, dpi=200)
            write_atomic(path, content.getvalue())
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
    shift = low - 1.1 * residual.max()
    axes.plot(
        curve.r,
        curve.measured,
        "o",
        markerfacecolor="none",
        markeredgecolor=measured,
        markersize=4,
        markeredgewidth=0.8,
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
