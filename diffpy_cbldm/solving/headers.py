"""What a header says against what the data tell."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from diffpy_cbldm.errors import CbldmError
from diffpy_cbldm.fitting.noise_beyond import without_noise_beyond
from diffpy_cbldm.fitting.qmax_edge import qmax_of
from diffpy_cbldm.fitting.qmin_edge import waves_below, without_waves_below
from diffpy_cbldm.fitting.quickfit import quick_fit
from diffpy_cbldm.fitting.target import Target
from diffpy_cbldm.pdfdata import PDFData
from diffpy_cbldm.search.by_library import library_generator, library_rw
from diffpy_cbldm.solving import small_angles
from diffpy_cbldm.solving.doubts import bond_of

OFF = 0.03
"""A Qmax that differs by more (relative) from that of the data is wrong."""

SLOW = 0.15
"""From so large an F(Q) below the stated Qmin on, in units of that above, it
is left out of the data: where a header is right it is below 0.03, of four
files of CdSe whose header is wrong 0.27 to 1.06."""

BETTER = 0.97
"""Without such waves Rw of the nearest ideal structure falls below so many
times as much."""

START = 0.8
"""The first peak of a metal begins at so many bond lengths."""

HINT, NEAREST = 0.95, 4
"""Where Rw of the screening falls below so many times as much, so many of the
nearest ideal clusters are fitted in earnest."""


def settle(target: Target, small_angle: str) -> tuple[Target, list[str]]:
    """Correct what the data contradict: Qmax, the first r, slow waves, Qmin.

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
    # What lies before the first peak alone has slow waves as well; they are
    # none of the range that is fitted then.
    target, slow = without_slow(target)
    target, qmin = small_angles.settle(target, small_angle)
    notes = (qmax, noise, start, slow, qmin)
    return target, [note for note in notes if note]


def without_slow(
    target: Target, ideal_rw: Callable[[Target], float] = library_rw
) -> tuple[Target, str | None]:
    """Leave out what the data hold below the Qmin that the header states.

    Parameters
    ----------
    target : Target
    ideal_rw : callable
        Rw of the nearest ideal structure, which has to fall; default: of one
        element.

    Returns
    -------
    target : Target
        The same, or one of data without these waves.
    note : str or None
        What a user must know of it.
    """
    pdf = target.pdf
    share = 0.0 if "qmin" in pdf.assumed else waves_below(pdf)
    if share < SLOW:
        return target, None
    quick = _again(target, without_waves_below(pdf))
    as_given, without = ideal_rw(target), ideal_rw(quick)
    if without >= BETTER * as_given:
        return target, None
    return quick, (
        f"G(r) holds waves below the Qmin that is stated, {pdf.qmin:g} 1/A "
        f"(F(Q) there is {share:.0%} of that above), which no calculated G(r) "
        f"has: they are left out of the data (Rw of the nearest ideal one "
        f"{without:.2f} in place of {as_given:.2f}); correct qmin (--qmin) "
        f"where the data were made from a lower one."
    )


def _qmax(target: Target) -> tuple[Target, str | None]:
    """Take the Qmax at which the waves of the data end."""
    found, told = qmax_of(target.pdf), target.qmax
    if found is None or abs(found / told - 1) <= OFF:
        return target, None
    said = "is not given" if "qmax" in target.pdf.assumed else "is wrong"
    corrected = dataclasses.replace(target.pdf, qmax=found)
    return _again(target, corrected), (
        f"Qmax {said}: the waves of the data end at {found:.1f} 1/A, not at "
        f"{told:g}, and {found:.1f} is used; correct the header, or pass "
        f"qmax (--qmax)."
    )


def _noise(target: Target) -> tuple[Target, str | None]:
    """Take away the noise of single points beyond Qmax."""
    pdf, noise = without_noise_beyond(target.pdf)
    if not noise:
        return target, None
    return _again(target, pdf), (
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
        later = target.with_rmin(START * bond)
    except CbldmError:  # too little is left
        return target, None
    as_given, cut = library_rw(target), library_rw(later)
    if small_angles.WORTH * as_given <= cut < HINT * as_given:
        # The screening has fixed widths, which leave a misfit of their own.
        as_given, cut = nearest_rw(target), nearest_rw(later)
    if cut >= small_angles.WORTH * as_given:
        return target, None
    return later, (
        f"Before the first peak of the metal, below {later.rmin:.2f} A, the "
        f"data show a background or other atoms: the fit begins there (Rw of "
        f"the nearest ideal cluster {cut:.2f} in place of {as_given:.2f})."
    )


def nearest_rw(target: Target) -> float:
    """The least Rw of the nearest ideal clusters, with widths fitted.

    Parameters
    ----------
    target : Target
        Of one element.

    Returns
    -------
    float
    """
    near = library_generator(target, count=NEAREST)
    fits = quick_fit([c.positions for c in near], target, scan=(0.0,))
    return min(fit.rw for fit in fits)


def _again(target: Target, pdf: PDFData) -> Target:
    """The same of corrected data."""
    cut = Target.of(pdf, target.rmin, target.rmax, target.qdamp_range)
    return dataclasses.replace(
        cut,
        qdamp=target.qdamp,
        share=target.share,
        together=target.together,
    )
