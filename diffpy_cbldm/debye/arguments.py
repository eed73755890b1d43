"""What every Debye function asks of its arguments."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from diffpy_cbldm.errors import CbldmError

Number = float | Tensor
"""One value for all clusters, or a tensor with one for each."""


def checked_positions(
    positions: Tensor, lengths: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Positions (B, N, 3) without what padding holds, and lengths (B,).

    CbldmError for other shapes and types, lengths outside 1 .. N, and NaN
    in place of an atom.
    """
    if not isinstance(positions, Tensor) or not positions.is_floating_point():
        raise CbldmError(
            f"positions is {type(positions).__name__}; expected a floating "
            "point torch tensor: pass torch.as_tensor(x, dtype=float64)."
        )
    if positions.dim() != 3 or positions.shape[2] != 3:
        raise CbldmError(
            f"positions has shape {tuple(positions.shape)}; expected "
            "(B, N, 3): pass positions[None] for one cluster."
        )
    batch, n = positions.shape[:2]
    if lengths is None:
        lengths = torch.full((batch,), n)
        # One cluster, most often: a sum over all tells in a microsecond.
        if n and math.isfinite(float(positions.detach().sum())):
            return positions, lengths.to(positions.device)
    lengths = torch.as_tensor(lengths).to(positions.device, torch.int64)
    if lengths.shape != (batch,):
        raise CbldmError(
            f"lengths has shape {tuple(lengths.shape)}; expected ({batch},), "
            "one number of atoms per cluster."
        )
    if batch and (int(lengths.min()) < 1 or int(lengths.max()) > n):
        raise CbldmError(
            f"lengths run from {int(lengths.min())} to {int(lengths.max())}; "
            f"expected 1 to {n}, the size of positions."
        )
    real = torch.arange(n, device=positions.device) < lengths[:, None]
    if not bool((torch.isfinite(positions).all(2) | ~real).all()):
        raise CbldmError(
            "positions hold NaN or infinite values; expected finite "
            "numbers: check how the cluster was made."
        )
    # Padding may hold anything, and must not reach the distances.
    if not bool(real.all()):
        positions = torch.where(real[..., None], positions, 0.0)
    return positions, lengths


def numbers(name: str, value: Number, like: Tensor, low: float) -> Tensor:
    """One value per cluster, (B,), checked against its lower limit."""
    # Most calls: one good number, without a tensor made to look at it.
    if isinstance(value, (int, float)) and math.isfinite(value):
        if value >= low:
            return like.new_full((len(like),), value)
    if not isinstance(value, Tensor):
        value = torch.as_tensor(value, dtype=torch.float64)
    value = value.to(like.device, like.dtype)
    batch = len(like)
    if value.shape not in ((), (batch,)) and not (
        name == "u_iso" and value.shape == like.shape[:2]
    ):
        raise CbldmError(
            f"{name} has shape {tuple(value.shape)}; expected one number "
            f"or ({batch},), one per cluster."
        )
    least = float(value.detach().min()) if value.numel() else low
    most = float(value.detach().max()) if value.numel() else low
    if not (least >= low and math.isfinite(most) and math.isfinite(least)):
        shown = most if least >= low else least
        limit = f"at least {low:g}" if low > -math.inf else "a finite number"
        raise CbldmError(
            f"{name} is {shown:g}; expected {limit}: correct {name}."
        )
    return value.expand(batch) if value.dim() == 0 else value


def check_least_zero(**values: Any) -> None:
    """CbldmError for a value that is negative or not finite."""
    for name, value in values.items():
        if not math.isfinite(value) or value < 0:
            raise CbldmError(
                f"{name} is {value:g}; expected a finite number of at "
                f"least 0: correct {name}."
            )


def check_ranges(**values: Any) -> None:
    """CbldmError unless qmin < qmax, rmin < rmax, rstep, precision fit."""
    check_least_zero(**values)
    for low, high in (("qmin", "qmax"), ("rmin", "rmax")):
        if values[low] >= values[high]:
            raise CbldmError(
                f"{low} is {values[low]:g} and {high} is {values[high]:g}; "
                f"expected {low} < {high}: exchange or correct them."
            )
    if values["rstep"] <= 0 or values["rstep"] > values["rmax"]:
        raise CbldmError(
            f"rstep is {values['rstep']:g}; expected more than 0 and at "
            "most rmax: pass rstep=0.01."
        )
    if not 0 < values["precision"] <= 0.1:
        raise CbldmError(
            f"precision is {values['precision']:g}; expected 1e-14 to 0.1, "
            "relative to the highest peak: pass precision=1e-6."
        )
