"""The PDF as the networks read it."""

from __future__ import annotations

from array_api_compat import array_namespace

from diffpy_cbldm.model.arrays import Array
from diffpy_cbldm.settings import Model

QDAMP_UNIT = 10.0
"""Brings Qdamp times the bond length to the order of one."""


def tell_qdamp(g: Array, qdamp: Array) -> Array:
    """Curves that say whether Qdamp is known, for `Model.tells_qdamp`.

    Parameters
    ----------
    g : (B, M) array
        From x = 0 on; the first two points, where no pair stands, are lost.
    qdamp : (B,) array
        Times the bond length; NaN where it is not known.
    """
    xp = array_namespace(g)
    known = xp.isfinite(qdamp)
    value = xp.where(known, qdamp, xp.zeros_like(qdamp))
    told = [xp.astype(part, g.dtype)[:, None] for part in (known, value)]
    return xp.concat([*told, g[:, 2:]], axis=1)


def pdf_tensor(g: Array, settings: Model) -> Array:
    """Bring G(x) to the tensor that the condition VAE reads.

    Parameters
    ----------
    g : (B, M) array
        G on the grid x = 0, step, ... in bond lengths, any scale; zero where
        nothing was measured.
    settings : Model
        Gives the shape; M = pdf_channels * pdf_length.

    Returns
    -------
    (B, pdf_channels, pdf_length) array: neighbouring points share a column;
    the root mean square of each PDF from 0.7 bonds on is 1.
    """
    xp = array_namespace(g)
    start = round(0.7 / settings.pdf_step)
    power = xp.mean(g[:, start:] ** 2, axis=1, keepdims=True)
    norm = xp.clip(xp.sqrt(power), min=1e-12)
    # What lies below the first peak is background and ripples.
    head = xp.zeros_like(g[:, :start])
    if settings.tells_qdamp:
        # Half of it says whether Qdamp is known, half of it its value.
        known, qdamp = g[:, :1], QDAMP_UNIT * g[:, 1:2]
        half = start // 2
        parts = [known + head[:, :half], qdamp + head[:, half:]]
        head = xp.concat(parts, axis=1)
    g = xp.concat([head, g[:, start:] / norm], axis=1)
    # Neighbours go to one column, so that a kernel sees a stretch of r.
    shape = (len(g), settings.pdf_length, settings.pdf_channels)
    return xp.permute_dims(xp.reshape(g, shape), (0, 2, 1))
