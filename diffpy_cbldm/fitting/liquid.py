"""How well a liquid explains a measured G(r): one damped wave.

Far from an atom the pair correlations of every simple liquid and glass decay
as one wave,

    G(r) = A exp(-r / xi) cos(k r + phi)

(the leading pole of the Ornstein-Zernike equation: Evans, Leote de Carvalho,
Henderson & Hoyle, J. Chem. Phys. 1994, 100, 591).  Four numbers hold for it
beyond the first shell, where a crystal has many distances.
"""

from __future__ import annotations

import numpy as np

from diffpy_cbldm.fitting.target import Target

BEYOND = 1.35
"""The wave begins at so many bond lengths: behind the first shell, and
before a second one of any crystal ends."""

SHELL = 7.7
"""k times the first distance: 2 pi (3/2)^(1/2), that of the first maximum of
S(Q) of close-packed atoms."""

_WAVES = SHELL * np.linspace(0.85, 1.15, 31)
_DECAYS = np.geomspace(0.4, 8.0, 25)
"""What is tried of k and xi, in bond lengths."""


def fit_wave(target: Target) -> tuple[float, float]:
    """Fit the data beyond the first shell by a damped wave.

    Parameters
    ----------
    target : Target

    Returns
    -------
    rw : float
        Over r beyond `BEYOND` bond lengths; 1 where nothing is left there.
    decay : float, angstrom
        The length xi over which correlations fall to 1/e.

    Raises
    ------
    CbldmError
        The data have no first peak.
    """
    bond, some = target.bond, target.thinned(2.0)
    far = some.r > BEYOND * bond
    r, g = some.r[far] / bond, some.g[far]
    norm = float(g @ g)
    if not norm:
        return 1.0, 0.0
    best = (0.0, float(_DECAYS[0]))
    for k in _WAVES:
        both = np.stack([np.cos(k * r), np.sin(k * r)])
        for decay in _DECAYS:
            waves = both * np.exp(-r / decay)
            # The amplitude and phase are linear: two normal equations.
            along = waves @ g
            share = along @ np.linalg.lstsq(waves @ waves.T, along)[0]
            best = max(best, (float(share), float(decay)))
    left = max(1 - best[0] / norm, 0.0)
    return float(np.sqrt(left)), best[1] * bond
