"""Measured curves between their points."""

from __future__ import annotations

import math

import numpy as np


def interpolated(
    r: np.ndarray, g: np.ndarray, at: np.ndarray, qmax: float
) -> np.ndarray:
    """Interpolate data without content beyond qmax; `at` lies within r."""
    at = np.clip(at, r[0], r[-1])
    steps = np.diff(r)
    step = float(np.median(steps)) if len(steps) else 0.0
    if r[0] < 1.5 * step:
        later = r > step / 2
        r = np.concatenate([-r[later][::-1], r])
        g = np.concatenate([-g[later][::-1], g])
    even = np.ptp(steps) < 1e-3 * step if len(steps) else False
    if step > 0.5 * math.pi / qmax:
        if even:
            return np.sinc((at[:, None] - r) / step) @ g
        return _from_waves(r, g, at, qmax)
    from scipy.interpolate import make_interp_spline

    degree = next((k for k in (7, 5, 3, 1) if len(r) > k), 0)
    return make_interp_spline(r, g, k=degree)(at)


def _from_waves(
    r: np.ndarray, g: np.ndarray, at: np.ndarray, qmax: float
) -> np.ndarray:
    """The least sum of waves up to Qmax through uneven points, at others."""
    # Beyond the data the waves may go on: their period is not the range.
    end = float(r[-1]) + 10 * math.pi / qmax
    waves = np.arange(1, math.ceil(qmax * end / math.pi) + 1) * math.pi / end
    sizes = np.linalg.lstsq(np.sin(r[:, None] * waves), g, rcond=1e-6)[0]
    return np.sin(at[:, None] * waves) @ sizes
