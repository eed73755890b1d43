"""Arrays for functions that take tensors as yet; goes when branches merge."""

from __future__ import annotations

from typing import Any

import numpy as np

from diffpy_cbldm.debye import arguments, pure
from diffpy_cbldm.debye.conditions import Conditions


def checked_positions(positions: Any, lengths: Any) -> tuple[Any, Any]:
    """`arguments.checked_positions` of arrays too."""
    if not isinstance(positions, np.ndarray):
        return arguments.checked_positions(positions, lengths)
    import torch

    x, n = arguments.checked_positions(torch.from_numpy(positions), lengths)
    return x.numpy(), n.numpy()


def of_each(conditions: Conditions, name: str, like: Any) -> Any:
    """`Conditions.of_each` of arrays too."""
    if not isinstance(like, np.ndarray):
        return conditions.of_each(name, like)
    import torch

    return conditions.of_each(name, torch.from_numpy(like)).numpy()


def debye_pdf(positions: Any, lengths: Any, **given: Any) -> Any:
    """`pure.debye_pdf` of arrays."""
    import torch

    x, n = torch.from_numpy(positions), torch.from_numpy(lengths)
    return pure.debye_pdf(x, n, **given).numpy()
