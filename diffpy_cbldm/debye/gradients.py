"""Functions of tensors whose derivatives are written by hand.

PyTorch alone follows gradients: this module is imported where tensors come,
and the formulas stand where the functions are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

Back = Callable[[Tensor], Tensor]
"""From the gradient by a function's value to that by its argument."""


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, value: Back, back: Back) -> Tensor:
        ctx.back = back
        return value(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        return ctx.back(grad), None, None


class _Once(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, value: Back, back: Callable) -> Tensor:
        ctx.save_for_backward(x)
        ctx.back = back
        return value(x)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        return ctx.back(*ctx.saved_tensors, grad), None, None


def linear(x: Tensor, value: Back, back: Back) -> Tensor:
    """A linear function of a tensor.

    Parameters
    ----------
    x : tensor
    value : callable
        Gives the result.
    back : callable
        The transposed function; gradients of gradients follow where it is
        made of functions that have gradients.
    """
    return _Linear.apply(x, value, back)


def once(
    x: Tensor, value: Back, back: Callable[[Tensor, Tensor], Tensor]
) -> Tensor:
    """A function of a tensor that keeps nothing but its argument.

    Parameters
    ----------
    x : tensor
    value : callable
        Gives the result.
    back : callable
        Of the argument and the gradient by the result: the gradient by the
        argument.  It has no gradient itself.
    """
    return _Once.apply(x, value, back)
