"""What a header says against what the data tell."""

from __future__ import annotations

import dataclasses

from diffpy_cbldm.errors import CbldmError
from diffpy_cbldm.fitting.noise_beyond import without_noise_beyond
from diffpy_cbldm.fitting.qmax_edge import qmax_of
from diffpy_cbldm.fitting.quickfit import quick_fit
from diffpy_cbldm.fitting.target import Target
from diffpy_cbldm.search.by_library import library_generator, library_rw
from diffpy_cbldm.solving import small_angles
from diffpy_cbldm.solving.doubts import bond_of

OFF = 0.03
"""A Qmax that differs by more (relative) from that of the data is wrong."""

START = 0.8
"""The first peak of a metal begins at so many bond lengths."""

HINT, NEAREST = 0.95, 4
"""Where Rw of the screening falls below so many times as much, so many of the
nearest ideal clusters are fitted in earnest."""


def settle(target: Target, small_angle: str) -> tuple[Target, list[str]]:
    """Correct what the data contradict: Qmax, the first r, Qmin.

    Noise beyond Qmax is taken away as well.

    Parameters
    ----------
    target : Target
    small_angle : {"auto", "yes", "no"}
        See `diffpy_cbldm.solving.small_angles.settle`.

    Returns
    -------
    target : Target
    notes : list of str
        What a user must know of it.
    """
    target, qmax = _qmax(target)
    target, noise = _noise(target)
    target, start = _start(target)
    target, qmin = small_angles.settle(target, small_angle)
    return target, [note for note in (qmax, noise, start, qmin) if note]


def _qmax(target: Target) -> tuple[Target, str | None]:
    """Take the Qmax at which the waves of the data end."""
    found, told = qmax_of(target.pdf), target.qmax
    if found is None or abs(found / told - 1) <= OFF:
        return target, None
    said = "is not given" if "qmax" in target.pdf.assumed else "is wrong"
    return _again(target, qmax=found), (
        f"Qmax {said}: the waves of the data end at {found:.1f} 1/A, not at "
        f"{told:g}, and {found:.1f} is used; correct the header, or pass "
        f"qmax (--qmax)."
    )


def _noise(target: Target) -> tuple[Target, str | None]:
    """Take away the noise of single points beyond Qmax."""
    pdf, noise = without_noise_beyond(target.pdf)
    if not noise:
        return target, None
    cut = Target.of(pdf, target.rmin, target.rmax, target.qdamp_range)
    return dataclasses.replace(
        target, pdf=cut.pdf, g=cut.g, weights=cut.weights
    ), (
        f"The points have noise of their own ({noise:.1%} of G(r)) beyond "
        f"Qmax {target.qmax:g} 1/A, which no structure could show: it is "
        f"taken away, and Rw is that of what lies within Qmax."
    )


def _start(target: Target) -> tuple[Target, str | None]:
    """Begin where the metal begins, if something else lies before."""
    bond = bond_of(target)
    if bond is None or START * bond <= target.rmin:
        return target, None
    try:
        later = _again(target, rmin=START * bond)
    except CbldmError:  # too little is left
        return target, None
    as_given, cut = library_rw(target), library_rw(later)
    if small_angles.WORTH * as_given <= cut < HINT * as_given:
        # The screening has fixed widths, which leave a misfit of their own.
        as_given, cut = _nearest_rw(target), _nearest_rw(later)
    if cut >= small_angles.WORTH * as_given:
        return target, None
    return later, (
        f"Before the first peak of the metal, below {later.rmin:.2f} A, the "
        f"data show a background or other atoms: the fit begins there (Rw of "
        f"the nearest ideal cluster {cut:.2f} in place of {as_given:.2f})."
    )


def _nearest_rw(target: Target) -> float:
    """The least Rw of the nearest ideal clusters, with widths fitted."""
    near = library_generator(target, count=NEAREST)
    fits = quick_fit([c.positions for c in near], target, scan=(0.0,))
    return min(fit.rw for fit in fits)


def _again(
    target: Target, qmax: float | None = None, rmin: float | None = None
) -> Target:
    """The same with another Qmax or start of the range."""
    cut = Target.of(
        dataclasses.replace(target.pdf, qmax=qmax or target.qmax),
        target.rmin if rmin is None else rmin,
        target.rmax,
        target.qdamp_range,
    )
    return cut.with_qdamp(target.qdamp)
