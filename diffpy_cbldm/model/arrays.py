"""Arrays of NumPy and tensors of PyTorch: what the model computes with.

Sampling takes NumPy alone, training and GPUs PyTorch.  What both do is
written once, over the array API, and what comes out is of the kind that
went in.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from array_api_compat import is_torch_array

Array = Any
"""An array of NumPy, or a tensor of PyTorch."""


def silu(x: Array) -> Array:
    """x / (1 + exp(-x)), the activation of all networks."""
    if is_torch_array(x):
        from torch.nn import functional

        return functional.silu(x)
    # In place, and by tanh, which does not overflow as exp does.
    out = np.tanh(0.5 * x)
    out += 1
    out *= x
    out *= 0.5
    return out


def softplus(x: Array) -> Array:
    """log(1 + exp(x)): above 0, and x where x is large."""
    if is_torch_array(x):
        from torch.nn import functional

        return functional.softplus(x)
    return np.logaddexp(x, 0, dtype=x.dtype)
