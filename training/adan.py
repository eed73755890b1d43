"""Adan in one pass over the memory, for training on a CPU.

The steps are those of adan-pytorch (Xie et al., arXiv 2208.06677), whose
state it keeps.  That package goes through all weights some fifteen times a
step, which for millions of weights takes longer than their gradients.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numba
import numpy as np
import torch
from adan_pytorch import Adan


def adan(parameters: Iterable[torch.nn.Parameter], **words: Any) -> Adan:
    """`FastAdan` where it can be; on a GPU the package's own."""
    own = list(parameters)
    make = FastAdan if all(p.device.type == "cpu" for p in own) else Adan
    return make(own, **words)


class FastAdan(Adan):
    """`adan_pytorch.Adan` for tensors in single precision on a CPU."""

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """One step; parameters as in the package."""
        loss = None if closure is None else closure()
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    self._descend(p, group)
        return loss

    def _descend(self, p: torch.Tensor, group: dict) -> None:
        """The step of one tensor."""
        state = self.state[p]
        names = ("prev_grad", "m", "v", "n")
        if not state:
            state["step"] = 0
            state |= {name: torch.zeros_like(p) for name in names}
        state["step"] += 1
        betas = np.array(group["betas"])
        _step(
            _flat(p),
            _flat(p.grad),
            *(_flat(state[name]) for name in names),
            betas.astype(np.float32),
            (1 / (1 - (1 - betas) ** state["step"])).astype(np.float32),
            np.float32(group["lr"]),
            np.float32(group["eps"]),
            np.float32(1 / (1 + group["weight_decay"] * group["lr"])),
            # The first gradient has none before it to differ from.
            state["step"] == 1,
        )


def _flat(tensor: torch.Tensor) -> np.ndarray:
    """A tensor's numbers in one row; what is written there, it has."""
    return tensor.detach().view(-1).numpy()


@numba.njit(fastmath=True, cache=True)
def _step(p, grad, last, m, v, n, betas, rises, rate, eps, kept, first):
    b1, b2, b3 = betas
    one = np.float32(1)
    for i in range(len(p)):
        g = grad[i]
        if not first:
            change = g - last[i]
            m[i] += b1 * (g - m[i])
            v[i] += b2 * (change - v[i])
            n[i] += b3 * ((g + (one - b2) * change) ** 2 - n[i])
        up = m[i] * rises[0] + (one - b2) * v[i] * rises[1]
        p[i] = (p[i] - rate * up / (np.sqrt(n[i] * rises[2]) + eps)) * kept
        last[i] = g
