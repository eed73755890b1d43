"""Whether a measured PDF holds the small-angle scattering of the particle.

Below about 0.7 1/A a particle scatters as a whole: that part of S(Q) lifts
G(r) above zero.  Headers often name a Qmin below it although the sample, the
beamstop or the data reduction have removed it; a PDF calculated from that
Qmin then fits no structure.
"""

from __future__ import annotations

from collections.abc import Callable

from diffpy_cbldm.fitting.target import Target
from diffpy_cbldm.search.by_library import library_rw
from diffpy_cbldm.settings import Simulation

SMALL_ANGLE_LIMIT = Simulation.qmin
"""Q (1/A) above which a particle of 5 atoms or more scatters by its atoms."""

WORTH = 0.75
"""Rw has to fall to this share for the header to be disbelieved."""


def settle(
    target: Target,
    mode: str,
    nearest_rw: Callable[[Target], float] = library_rw,
    worth: float = WORTH,
) -> tuple[Target, str | None]:
    """Raise a Qmin that lies in the small angles, if the data ask for it.

    Parameters
    ----------
    target : Target
    mode : {"auto", "yes", "no"}
        Whether the data hold the small-angle scattering; "auto" asks which
        fits the nearest ideal cluster better.
    nearest_rw : callable
        Rw of the nearest ideal structure; default: of one element.
    worth : float
        Rw has to fall to this share.

    Returns
    -------
    target : Target
        The same, or with `SMALL_ANGLE_LIMIT` as its Qmin.
    note : str or None
        What a user must know of it.
    """
    if mode == "yes" or target.qmin >= SMALL_ANGLE_LIMIT:
        return target, None
    without = target.with_qmin(SMALL_ANGLE_LIMIT)
    if mode == "no":
        return without, None
    as_given, raised = nearest_rw(target), nearest_rw(without)
    if raised >= worth * as_given:
        return target, None
    return without, (
        f"Qmin is {target.qmin:g} 1/A, but the data do not hold a particle's "
        f"small-angle scattering: {SMALL_ANGLE_LIMIT:g} 1/A is used (Rw of "
        f"the nearest ideal one {raised:.2f} in place of {as_given:.2f}); "
        f'pass small_angle="yes" (--small-angle yes) to keep it.'
    )
