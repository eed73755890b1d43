"""What every Debye function asks of its arguments."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from array_api_compat import (
    array_namespace,
    device,
    is_torch_array,
    to_device,
)

from diffpy_cbldm.debye.pair_blocks import Array, as_array, detached
from diffpy_cbldm.errors import CbldmError

if TYPE_CHECKING:
    from torch import Tensor

Number: TypeAlias = "float | np.ndarray | Tensor"
"""One value for all clusters, or an array or tensor with one for each."""


def follows_gradients(x: Any) -> bool:
    """Whether a gradient is asked for: of a tensor, and not switched off.

    Or a derivative along with the value, which PyTorch's sum refuses.
    """
    if not is_torch_array(x):
        return False
    import torch
    from torch.autograd import forward_ad

    if x.requires_grad and torch.is_grad_enabled():
        return True
    return forward_ad.unpack_dual(x).tangent is not None


def as_tensor(values: np.ndarray) -> Tensor:
    """An array as a tensor over the same memory."""
    import torch

    return torch.from_numpy(values)


def as_other(value: Any, like: Array) -> Array:
    """Numbers as the array or tensor, type and place that another has.

    Gradients of a tensor are kept.
    """
    if is_torch_array(value) and is_torch_array(like):
        xp = array_namespace(value)
        return to_device(
            xp.astype(value, like.dtype, copy=False), device(like)
        )
    if follows_gradients(value):
        raise CbldmError(
            "a condition is a tensor that asks for gradients, but positions "
            "are a NumPy array, which has none; expected tensors: pass "
            "torch.as_tensor(positions)."
        )
    xp = array_namespace(like)
    # Without gradients a tensor that could have them is one like others.
    value = as_array(value) if is_torch_array(value) else value
    return xp.asarray(value, dtype=like.dtype, device=device(like))


def native(positions: Any) -> Any:
    """Positions as sums take them: float32 or float64 of this machine.

    Other floating point numbers, of 16 or 80 bits, become float64.
    """
    if is_torch_array(positions):
        short = positions.is_floating_point() and positions.itemsize < 4
        return positions.double() if short else positions
    if not isinstance(positions, np.ndarray):
        return positions
    kind = positions.dtype.newbyteorder("=")
    if kind.kind == "f" and kind not in (np.float32, np.float64):
        kind = np.dtype(float)
    return positions.astype(kind, copy=False)


def checked_positions(
    positions: Array, lengths: Any | None
) -> tuple[Array, Array]:
    """Positions (B, N, 3) without what padding holds, and lengths (B,).

    CbldmError for other shapes and types, lengths outside 1 .. N, and NaN
    in place of an atom.
    """
    positions = native(positions)
    if not _floating(positions):
        kind = f" of {positions.dtype}" if hasattr(positions, "dtype") else ""
        raise CbldmError(
            f"positions is {type(positions).__name__}{kind}; expected a "
            "floating point array or torch tensor: pass np.asarray(x, float)."
        )
    if positions.ndim != 3 or positions.shape[2] != 3:
        raise CbldmError(
            f"positions has shape {tuple(positions.shape)}; expected "
            "(B, N, 3): pass positions[None] for one cluster."
        )
    batch, n = positions.shape[:2]
    # Arrays, most often: a sum over all tells in a microsecond.
    if lengths is None and n and isinstance(positions, np.ndarray):
        if math.isfinite(float(positions.sum())):
            return positions, np.full((batch,), n, dtype=np.int64)
    xp, place = array_namespace(positions), device(positions)
    if lengths is None:
        lengths = xp.full((batch,), n, dtype=xp.int64, device=place)
    lengths = _whole(lengths, positions)
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
    real = xp.arange(n, device=place) < lengths[:, None]
    if not bool((xp.all(xp.isfinite(positions), axis=2) | ~real).all()):
        raise CbldmError(
            "positions hold NaN or infinite values; expected finite "
            "numbers: check how the cluster was made."
        )
    # Padding may hold anything, and must not reach the distances.
    if not bool(real.all()):
        positions = xp.where(real[..., None], positions, 0.0)
    return positions, lengths


def _whole(lengths: Any, like: Array) -> Array:
    """Numbers of atoms as integers, where the positions are."""
    xp, place = array_namespace(like), device(like)
    if is_torch_array(lengths) and isinstance(like, np.ndarray):
        lengths = as_array(lengths)
    try:
        found = xp.asarray(lengths, device=place)
    except (TypeError, ValueError):
        found = None
    whole = found is not None and xp.isdtype(found.dtype, "integral")
    # Whole numbers may come as floating point, but a part of an atom may not.
    if found is not None and xp.isdtype(found.dtype, "real floating"):
        whole = bool((found == xp.round(found)).all())
    if not whole:
        raise CbldmError(
            f"lengths is {lengths!r}; expected whole numbers of atoms, one "
            "for each cluster: pass integers."
        )
    return xp.astype(found, xp.int64, copy=False)


def _floating(x: Any) -> bool:
    """Whether it is an array or a tensor of floating point numbers."""
    if isinstance(x, np.ndarray):
        return x.dtype.kind == "f"
    if not is_torch_array(x):
        return False
    return bool(array_namespace(x).isdtype(x.dtype, "real floating"))


def converted(name: str, value: Any, like: Array) -> Array:
    """`as_other` of what a user gave; CbldmError for what is no number."""
    try:
        return as_other(value, like)
    except CbldmError:
        raise
    except (TypeError, ValueError) as error:
        raise CbldmError(
            f"{name} is {value!r}; expected a number, or an array of them: "
            f"correct {name}."
        ) from error


def one_number(name: str, value: Any) -> float:
    """A condition that is one for all; CbldmError for what is none."""
    if isinstance(value, (int, float)):
        return value
    tensor = is_torch_array(value)
    try:
        given = as_array(value) if tensor else value
        found = math.nan if value is None else float(given)
    except (TypeError, ValueError):
        found = math.nan
    if math.isnan(found) or follows_gradients(value):
        plain = ", without a gradient" if tensor else ""
        raise CbldmError(
            f"{name} is {value!r}; expected one number{plain}: correct {name}."
        )
    return found


def numbers(name: str, value: Number, like: Array, low: float) -> Array:
    """One value per cluster, (B,), checked against its lower limit."""
    xp, batch = array_namespace(like), len(like)
    # Most calls: one good number, without an array made to look at it.
    if isinstance(value, (int, float)) and math.isfinite(value):
        if value >= low:
            kind = {"dtype": like.dtype, "device": device(like)}
            return xp.full((batch,), value, **kind)
    values = converted(name, value, like)
    if values.shape not in ((), (batch,)) and not (
        name == "u_iso" and values.shape == like.shape[:2]
    ):
        raise CbldmError(
            f"{name} has shape {tuple(values.shape)}; expected one number "
            f"or ({batch},), one per cluster."
        )
    some = 0 not in values.shape
    least = float(detached(values).min()) if some else low
    most = float(detached(values).max()) if some else low
    if not (least >= low and math.isfinite(most) and math.isfinite(least)):
        shown = most if least >= low else least
        limit = f"at least {low:g}" if low > -math.inf else "a finite number"
        raise CbldmError(
            f"{name} is {shown:g}; expected {limit}: correct {name}."
        )
    return values if values.ndim else xp.broadcast_to(values, (batch,))


def check_least_zero(**values: Any) -> None:
    """CbldmError for a value that is negative or not finite."""
    for name, given in values.items():
        value = one_number(name, given)
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
