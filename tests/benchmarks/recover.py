"""Seconds and residuals of both ways from Laplacians to coordinates.

Run as ``python -m tests.benchmarks.recover``.  Each size is one batch of
Laplacians with noise on W; the fast solver takes all of them, the paper's
trust-constr the first few, and its time is that of the batch by proportion.
NumPy's threads slow it down on busy cores: set ``OPENBLAS_NUM_THREADS=1``.
"""

from __future__ import annotations

import argparse
import time

import torch

from diffpy_cbldm.model import laplacian as lap
from diffpy_cbldm.model.recovery import recover, residual


def cluster(n: int, bond: float = 2.775) -> torch.Tensor:
    """The n sites of an fcc lattice nearest to a point, angstrom."""
    k = torch.arange(-7, 8, dtype=torch.float64)
    x = torch.cartesian_prod(k, k, k)
    x = x[x.sum(1) % 2 == 0] * bond / 2**0.5
    centre = torch.tensor([0.3, 0.2, 0.1], dtype=x.dtype)
    return x[(x - centre).norm(dim=1).argsort(stable=True)[:n]]


def laplacians(n: int, batch: int, noise: float, seed: int) -> torch.Tensor:
    """(batch, n, n): one cluster, its W with symmetric normal noise."""
    generator = torch.Generator().manual_seed(seed)
    w = lap.weights(cluster(n)[None])
    e = torch.randn(batch, n, n, generator=generator, dtype=w.dtype)
    w = w + noise * (e + e.mT) / 2**0.5
    return lap.from_weights(w - torch.diag_embed(w.diagonal(dim1=1, dim2=2)))


def timed(device: torch.device, function, *arguments, **keywords):
    """The result of a call and its seconds."""
    if device.type == "cuda":
        torch.cuda.synchronize()
    begin = time.perf_counter()
    result = function(*arguments, **keywords)
    if device.type == "cuda":
        torch.cuda.synchronize()
    return result, time.perf_counter() - begin


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--few", type=int, default=2)
    parser.add_argument("--noise", type=float, default=0.002)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument(
        "--sizes", type=int, nargs="+", default=[19, 55, 85, 146, 256]
    )
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    device = torch.device(options.device)
    print(vars(options))
    print(
        f"{'atoms':>5} {'fast/s':>9} {'trust/s':>9} {'ratio':>7} "
        f"{'MSE fast':>12} {'MSE trust':>12}   (MSE: mean of the first "
        f"{options.few})"
    )
    first = laplacians(8, 1, options.noise, 0)
    recover(first, method="trust-constr", start="spectral")
    for n in options.sizes:
        L = laplacians(n, options.batch, options.noise, options.seed)
        few, there = L[: options.few], L.to(device)
        recover(there[:1])
        x, fast = timed(device, recover, there)
        # Its small matrices gain nothing from threads.
        torch.set_num_threads(1)
        keywords = {"method": "trust-constr", "start": "spectral"}
        y, slow = timed(device, recover, few, **keywords)
        torch.set_num_threads(options.threads)
        slow *= options.batch / len(few)
        x = x[: options.few].cpu()
        print(
            f"{n:5d} {fast:9.4f} {slow:9.2f} {slow / fast:7.0f} "
            f"{float(residual(x, few).mean()):12.5e} "
            f"{float(residual(y, few).mean()):12.5e}",
            flush=True,
        )


if __name__ == "__main__":
    main()
