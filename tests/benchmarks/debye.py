"""Milliseconds and deviations of the Debye PDF, beside its peers.

Run as ``python -m tests.benchmarks.debye [--quick | --docs | --stream]``.
3000 points to 30 A, Qmin 0.7 and Qmax 25 1/A, clusters of fcc sites with
fresh noise on them.  Deviations are relative to the highest peak of the same
curve from the direct sum in float64; DebyeCalculator has a Q grid and a
normalisation of its own, so its deviation is taken after fitting a scale.
``--docs`` writes the tables and the plot of time against N and rmax anew, in
``docs/explanation/debye.md`` and ``docs/debye.svg``; ``--stream`` simulates
100,000 clusters.
"""

from __future__ import annotations

import argparse
import math
import pathlib
import re
import resource
import time
from collections.abc import Callable

import torch
from torch import Tensor

from diffpy_cbldm.debye import pure, qgrid
from diffpy_cbldm.debye.conditions import Conditions, Grid
from diffpy_cbldm.files import appearing, write_atomic
from diffpy_cbldm.fitting.calculator import PairCache

U = 0.005
SETTINGS = {"u_iso": U, "qmin": 0.7, "qmax": 25.0}
DOCS = pathlib.Path(__file__).resolve().parents[2] / "docs"


def clusters(n: int, batch: int, seed: int = 0) -> Tensor:
    """(batch, n, 3): the n fcc sites nearest to a point, with noise."""
    edge = math.ceil((n / 4) ** (1 / 3)) + 3
    k = torch.arange(-edge, edge + 1, dtype=torch.float64)
    x = torch.cartesian_prod(k, k, k)
    x = x[x.sum(1) % 2 == 0] * 2.775 / 2**0.5
    centre = torch.tensor([0.3, 0.2, 0.1], dtype=x.dtype)
    x = x[(x - centre).norm(dim=1).argsort(stable=True)[:n]]
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(batch, n, 3, generator=generator, dtype=x.dtype)
    return x + 0.05 * noise


def milliseconds(
    function: Callable[[], object], device: str = "cpu", seconds: float = 0.4
) -> float:
    """The shortest time of a call among those that fit into seconds."""

    def once() -> float:
        begin = time.perf_counter()
        function()
        if device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - begin

    first = once()
    times = [once() if first < 5 else first]
    while sum(times) < seconds:
        times.append(once())
    return 1e3 * min(times)


def deviation(g: Tensor, exact: Tensor) -> float:
    gap = (g.cpu().double() - exact).abs().amax(1)
    return float((gap / exact.abs().amax(1)).max())


def double_loop(x: Tensor) -> Tensor:
    """One curve (1, 3000) by all pairs times all Q in float32."""
    reach, dq, first, count = qgrid.native_range(U, 1, 0.7, 25, 30, 0.01)
    x = x[0].float()
    d = (x[:, None] - x[None]).norm(dim=2)
    d = d[~torch.eye(len(x), dtype=torch.bool) & (d <= reach)]
    q = torch.arange(count) * dq
    f = torch.cat(
        [(torch.sin(part * d) / d).sum(1) for part in q[:, None].split(32)]
    )
    f = f * torch.exp(-U * q**2) / len(x)
    r = qgrid.r_points(0, 30, 0.01)
    return qgrid.native_curves(f[None], dq, first, r, 0.01)


def peer() -> Callable[[Tensor], Tensor] | None:
    """DebyeCalculator with our settings, or None."""
    try:
        from debyecalculator import DebyeCalculator
    except ImportError:
        return None
    calculator = DebyeCalculator(
        device="cpu", qmin=0.7, qmax=25.0, qstep=math.pi / 40, qdamp=0.0,
        rmin=0.0, rmax=30.0, rstep=0.01, biso=8 * math.pi**2 * U,
    )  # fmt: skip

    def curve(x: Tensor) -> Tensor:
        _, g = calculator.gr((["Pt"] * len(x[0]), x[0].float()))
        return torch.as_tensor(g)[None]

    return curve


ENGINES: list[tuple[str, torch.dtype, dict]] = [
    ("float32 1e-4", torch.float32, {"precision": 1e-4}),
    ("float32 1e-4 delta2", torch.float32, {"precision": 1e-4, "delta2": 2.0}),
    ("float64 1e-6", torch.float64, {"precision": 1e-6}),
    ("float64 1e-10", torch.float64, {"precision": 1e-10}),
    ("float64 1e-10 delta2", torch.float64,
     {"precision": 1e-10, "delta2": 2.0}),
]  # fmt: skip


def report(name: str, n: int, batch: int, ms: float, error: float) -> None:
    print(f"{name:32s} {n:6d} {batch:6d} {ms:10.4f} {error:10.1e}", flush=True)


def compare(sizes: list[int], batches: list[int], threads: list[int]) -> None:
    print(f"{'engine':32s} {'atoms':>6s} {'batch':>6s} {'ms/PDF':>10s} error")
    other = peer()
    devices = ["cpu"] + ["cuda"] * torch.cuda.is_available()
    for n in sizes:
        x = clusters(n, max(batches))
        exact = {
            d2: pure.debye_pdf(x[:2], precision=1e-13, delta2=d2, **SETTINGS)
            for d2 in (0.0, 2.0)
        }
        for device, batch in [(d, b) for d in devices for b in batches]:
            for name, dtype, more in ENGINES:
                y = x[:batch].to(device, dtype)
                want = exact[more.get("delta2", 0.0)][:batch]

                def call(y=y, more=more):
                    return pure.debye_pdf(y, **more, **SETTINGS)

                error = deviation(call()[:2], want)
                for count in threads if device == "cpu" else [0]:
                    if count:
                        torch.set_num_threads(count)
                    label = f"{count} thr." if count else "cuda"
                    ms = milliseconds(call, device) / batch
                    report(f"{name} {label}", n, batch, ms, error)
        torch.set_num_threads(threads[0])
        backward(x[: max(batches)], n)
        cached(x[:1], n)
        ms = milliseconds(lambda x=x: double_loop(x[:1]))
        error = deviation(double_loop(x[:1]), exact[0.0][:1])
        report("plain torch double loop", n, 1, ms, error)
        if other is None:
            print("DebyeCalculator: not installed")
        else:
            fresh = iter(range(1 << 30))
            g, want = other(x[:1]).double(), exact[0.0][:1]
            g = g * ((g * want).sum() / g.square().sum())
            for count in threads:
                torch.set_num_threads(count)
                ms = milliseconds(
                    lambda x=x, fresh=fresh: other(x[[next(fresh) % len(x)]])
                )
                name = f"DebyeCalculator {count} thr."
                report(name, n, 1, ms, deviation(g, want))
            torch.set_num_threads(threads[0])


def backward(x: Tensor, n: int) -> None:
    """Forward and backward of a batch in float32."""
    y = x.float().requires_grad_()

    def call() -> None:
        g = pure.debye_pdf(y, precision=1e-4, **SETTINGS)
        torch.autograd.grad(g.square().sum(), y)

    ms = milliseconds(call) / len(x)
    report("float32 1e-4, both ways", n, len(x), ms, math.nan)


def cached(x: Tensor, n: int) -> None:
    """Curves of one kept geometry, and a scan of 50 stretches."""
    cache = PairCache(x[0])
    for d2 in (0.0, 2.0):
        exact = pure.debye_pdf(x, precision=1e-13, delta2=d2, **SETTINGS)
        conditions = Conditions(delta2=d2, **SETTINGS)
        g = cache.pdf(conditions, Grid())
        count = iter(range(1 << 30))
        ms = milliseconds(
            lambda conditions=conditions, count=count: cache.pdf(
                conditions, Grid(), stretch=1 + 1e-5 * next(count)
            )
        )
        error = deviation(torch.tensor(g)[None], exact)
        report(f"PairCache 1e-10, delta2 {d2:g}", n, 1, ms, error)


def stream(count: int = 100_000) -> None:
    """Clusters of 13 to 256 atoms, made and simulated part by part."""
    begin, total, worst = time.perf_counter(), 0, 0.0
    generator = torch.Generator().manual_seed(1)
    while total < count:
        batch = min(4096, count - total)
        x = clusters(256, batch, seed=total).float()
        n = torch.randint(13, 257, (batch,), generator=generator)
        g = pure.debye_pdf(x, n, precision=1e-4, **SETTINGS)
        exact = pure.debye_pdf(
            x[:1, : int(n[0])].double(), precision=1e-13, **SETTINGS
        )
        worst, total = max(worst, deviation(g[:1], exact)), total + batch
    seconds = time.perf_counter() - begin
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(
        f"{total} clusters of 13 to 256 atoms: {seconds:.0f} s, "
        f"{total / seconds:.0f} a second, largest deviation {worst:.1e}, "
        f"memory at most {used:.2f} GiB"
    )


def complexity(quick: bool) -> tuple[list[str], list[list[float]]]:
    """Tables of time against N and rmax, float32 at 1e-4, one thread."""
    torch.set_num_threads(1)
    sizes = [13, 55, 147, 309, 1000] + [3000, 10000] * (not quick)
    lines = ["| atoms | batch | ms per PDF, 1e-4 | ms per PDF, 1e-10 |"]
    lines += ["| ---: | ---: | ---: | ---: |"]
    points = []
    for n in sizes:
        batch = max(1, min(256, 40000 // n))
        x = clusters(n, batch)
        both = []
        for dtype, p in ((torch.float32, 1e-4), (torch.float64, 1e-10)):
            y = x.to(dtype)
            ms = milliseconds(
                lambda y=y, p=p: pure.debye_pdf(y, precision=p, **SETTINGS)
            )
            both.append(ms / batch)
        points.append([n, *both])
        lines.append(f"| {n} | {batch} | {both[0]:.3g} | {both[1]:.3g} |")
    lines += [
        "",
        "| rmax, A | ms per PDF, 147 atoms, 1e-4 |",
        "| ---: | ---: |",
    ]
    y = clusters(147, 64).float()
    for rmax in (10, 20, 30, 60, 100):
        ms = milliseconds(
            lambda rmax=rmax: pure.debye_pdf(
                y, precision=1e-4, rmax=float(rmax), **SETTINGS
            )
        )
        lines.append(f"| {rmax} | {ms / 64:.3g} |")
    return lines, points


def peers() -> list[str]:
    """A table of the same PDFs by this engine and by others."""
    other = peer()
    lines = [
        "| atoms | 1e-4, 1 thread | 1e-4, 2 threads | 1e-4, delta2 | 1e-10 "
        "| one alone, 1e-4 | plain double loop | DebyeCalculator |",
        "| ---: |" + " ---: |" * 7,
    ]
    for n in (13, 55, 147, 309):
        x = clusters(n, 256)
        y = x.float()

        def ms(more: dict, x: Tensor = y, threads: int = 2) -> float:
            torch.set_num_threads(threads)
            settings = {"precision": 1e-4, **SETTINGS, **more}
            whole = milliseconds(lambda: pure.debye_pdf(x, **settings))
            return whole / len(x)

        row = [ms({}, threads=1), ms({}), ms({"delta2": 2.0})]
        row.append(ms({"precision": 1e-10}, x))
        torch.set_num_threads(1)
        fresh = iter(range(1 << 30))
        row.append(
            milliseconds(
                lambda y=y, fresh=fresh: pure.debye_pdf(
                    y[[next(fresh) % 256]], precision=1e-4, **SETTINGS
                )
            )
        )
        row.append(milliseconds(lambda y=y: double_loop(y[:1])))
        if other is not None:
            fresh = iter(range(1 << 30))
            row.append(
                milliseconds(
                    lambda x=x, fresh=fresh: other(x[[next(fresh) % 256]])
                )
            )
        cells = [f"{value:.3g}" for value in row] + ["-"] * (other is None)
        lines.append(f"| {n} | " + " | ".join(cells) + " |")
    return lines


def plot(points: list[list[float]]) -> None:
    """Time against N, with the slope of N^2, to ``docs/debye.svg``."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "debye"
    from matplotlib import pyplot

    size, fast, exact = zip(*points, strict=True)
    figure, axes = pyplot.subplots(figsize=(5, 3.5))
    axes.loglog(size, exact, "s-", label="float64, 1e-10")
    axes.loglog(size, fast, "o-", label="float32, 1e-4")
    square = [fast[-1] * (n / size[-1]) ** 2 for n in size]
    axes.loglog(size[2:], square[2:], "k:", label="proportional to N²")
    axes.set(xlabel="atoms", ylabel="ms per PDF")
    axes.legend()
    figure.tight_layout()
    with appearing(DOCS / "debye.svg") as unfinished:
        figure.savefig(unfinished, metadata={"Date": None})


def updated(page: str, lines: list[str]) -> str:
    """A page with some of its tables written anew, known by their heads.

    lines : the tables, with an empty line after each
    """
    for table in "\n".join(lines).strip().split("\n\n"):
        head = table.splitlines()[0]
        old = re.search(re.escape(head) + r"\n(\|.*\n)*", page)
        if old is None:
            raise SystemExit(f"the page has no table that begins {head}")
        page = page.replace(old[0], table + "\n")
    return page


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--docs", action="store_true")
    parser.add_argument("--stream", action="store_true")
    options = parser.parse_args()
    if options.stream:
        stream()
    elif options.docs:
        lines, points = complexity(options.quick)
        plot(points)
        lines += ["", *peers()]
        page = DOCS / "explanation" / "debye.md"
        write_atomic(page, updated(page.read_text(), lines))
        print("\n".join(lines))
    elif options.quick:
        compare([147], [1, 64], [1])
    else:
        compare([13, 55, 147, 309], [1, 256], [1, 2])


if __name__ == "__main__":
    main()
