"""Atoms nearly at one place: every door gives what the plain sum gives."""

import pytest
import torch

from diffpy_cbldm.debye import mixed, pair_sums, pure
from diffpy_cbldm.debye.conditions import Conditions, Grid
from diffpy_cbldm.fitting.calculator import PairCache

PRECISIONS = (1e-4, 1e-6, 1e-10)
EXACT = 1e-13

# Separation (A), delta1 (A), delta2 (A^2), Uiso (A^2), qbroad (1/A).
TABLE = [
    (0.01, 0.0, 0.0001, 0.005, 0.0),
    (0.01, 0.0, 0.0, 0.005, 0.05),
    (0.07, 0.0, 0.0048, 0.005, 0.0),
    (0.07, 0.0, 0.0048, 0.1, 0.02),
    (0.07, 0.0, 0.0050, 0.03, 0.0),
    (0.07, 0.069, 0.0, 0.03, 0.0),
    (0.07, 0.0, -3.0, 0.01, 0.0),
    (0.2, 0.0, 8.0, 0.1, 0.0),
    (0.2, -2.0, 3.0, 0.1, 0.0),
    (0.2, 8.0, -15.0, 0.01, 0.0),
    (0.5, 0.3, 0.5, 0.1, 0.05),
    (1.1, 0.0, 2.0, 0.1, 0.02),
    (1.5, 0.0, -100.0, 0.02, 0.0),
    # No atoms are close, but the widths vanish steeply near the bonds.
    (2.7, 0.0, 2.0, 0.1, 0.0),
    (2.7, 0.0, 8.0, 0.1, 0.0),
    (2.7, 0.2, 2.0, 1.0, 0.02),
]


def cluster(separation, n=9, seed=0):
    """(n + 1, 3): a loose lattice, and an atom beside its first."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(n, 3, generator=generator, dtype=torch.float64)
    x = 0.4 * x + 2.7 * torch.cartesian_prod(*[torch.arange(3.0)] * 3)[:n]
    way = torch.randn(3, generator=generator, dtype=torch.float64)
    return torch.cat([x, x[:1] - separation * way / way.norm()])


def deviation(g, exact):
    assert g.shape == exact.shape
    return float((g - exact).abs().max() / exact.abs().max())


def words(delta1, delta2, u, qbroad):
    return {
        "delta1": delta1,
        "delta2": delta2,
        "u_iso": u,
        "qbroad": qbroad,
        "rmax": 12.0,
    }


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("case", TABLE)
def test_one_element(case, precision):
    x = cluster(case[0])
    settings = words(*case[1:])
    for grid in ("native", "integral"):
        g, exact = (
            pure.debye_pdf(x[None], grid=grid, precision=p, **settings)
            for p in (precision, EXACT)
        )
        assert deviation(g, exact) < precision, grid
    pairs, widths = PairCache(x), dict(settings)
    grid = Grid(rmax=widths.pop("rmax"))
    for stretch in (1.0, 0.93):
        exact = pure.debye_pdf(
            x[None], stretch=stretch, precision=EXACT, **settings
        )
        g = pairs.pdf(
            Conditions(**widths), grid, stretch=stretch, precision=precision
        )
        assert deviation(torch.tensor(g), exact[0]) < precision


@pytest.mark.parametrize("case", TABLE)
def test_elements(case, monkeypatch):
    x = cluster(case[0])
    settings = words(*case[1:])
    kinds = ["Cd", "Se"] * (len(x) // 2)
    u = case[3] * (1 + torch.arange(len(x), dtype=torch.float64) / len(x))
    one = mixed.mixed_pdf(x, ["Pt"] * len(x), **settings)
    two = mixed.mixed_pdf(x, kinds, **settings | {"u_iso": u})
    exact = pure.debye_pdf(x[None], precision=EXACT, **settings)[0]
    assert deviation(one, exact) < 1e-10

    def plainly(d, w, code, codes, q, precision):
        return torch.stack(
            [
                pair_sums.plain_sum(d[code == k], w[code == k], q)
                for k in range(codes)
            ]
        )

    monkeypatch.setattr(mixed, "_sums", plainly)
    exact = mixed.mixed_pdf(x, kinds, **settings | {"u_iso": u})
    assert deviation(two, exact) < 1e-10


@pytest.mark.parametrize("case", TABLE)
def test_float32(case):
    x, settings = cluster(case[0]).float()[None], words(*case[1:])
    g = pure.debye_pdf(x, precision=1e-4, **settings)
    exact = pure.debye_pdf(x.double(), precision=EXACT, **settings)
    assert g.dtype == torch.float32
    assert deviation(g.double(), exact) < 1e-4


@pytest.mark.parametrize("case", TABLE)
def test_gradients(case):
    """Of a sum over the curve with all that it depends on."""
    start = (case[3], case[1], case[2], case[4], 1.0)
    names = ("u_iso", "delta1", "delta2", "qbroad", "stretch")
    found = []
    for precision in (1e-8, EXACT):
        x = cluster(case[0], n=5)[None].requires_grad_()
        values = [
            torch.tensor([v], dtype=torch.float64, requires_grad=True)
            for v in start
        ]
        g = pure.debye_pdf(
            x,
            precision=precision,
            rmax=10.0,
            **dict(zip(names, values, strict=True)),
        )
        generator = torch.Generator().manual_seed(1)
        target = torch.randn(
            g.shape[1], generator=generator, dtype=torch.float64
        )
        slopes = torch.autograd.grad((g[0] @ target), (x, *values))
        found.append((*slopes, g.detach()))
    for slope, exact in zip(*found, strict=True):
        assert bool(slope.isfinite().all())
        assert torch.allclose(
            slope, exact, rtol=1e-5, atol=1e-5 * float(exact.abs().max())
        )


@pytest.mark.parametrize("seed", range(12))
def test_random_batches(seed):
    """Close atoms in some clusters, each with widths of its own."""
    generator = torch.Generator().manual_seed(seed)

    def draw(low, high):
        part = torch.rand(4, generator=generator, dtype=torch.float64)
        return low + (high - low) * part

    apart = 10 ** draw(-2.0, 0.5)
    x = torch.stack([cluster(float(d), seed=seed) for d in apart])
    settings = {
        "u_iso": 10 ** draw(-3.0, -1.0),
        "delta1": draw(-0.5, 1.0),
        "delta2": apart**2 * draw(0.5, 1.5) + draw(0.0, 0.1),
        "qbroad": draw(0.0, 0.05),
        "stretch": draw(0.9, 1.1),
        "rmax": 15.0,
        "qmin": float(draw(0.0, 1.0)[0]),
        "qmax": float(draw(1.5, 30.0)[0]),
    }
    lengths = torch.tensor([10, 7, 1, 10])
    x[1, 6] = x[1, 0] + float(apart[1])
    exact = pure.debye_pdf(x, lengths, precision=EXACT, **settings)
    for precision in PRECISIONS:
        g = pure.debye_pdf(x, lengths, precision=precision, **settings)
        for one, plain in zip(g, exact, strict=True):
            top = float(plain.abs().max())
            assert float((one - plain).abs().max()) <= precision * top


def test_bonds_at_the_limit_of_the_direct_sum_count_once():
    """A lattice constant of 1 A, and a pair that calls for the sum."""
    x = torch.cartesian_prod(*[torch.arange(3.0)] * 3).double()
    x = pair_sums.NEAREST * torch.cat([x, x[:1] + 0.05])
    for dtype, precision in ((torch.float32, 1e-4), (torch.float64, 1e-10)):
        settings = {"u_iso": 0.01, "delta2": 0.002}
        y = x.to(dtype)
        g = pure.debye_pdf(y[None], precision=precision, **settings)
        exact = pure.debye_pdf(y.double()[None], precision=EXACT, **settings)
        assert deviation(g.double(), exact) < precision


@pytest.mark.parametrize("qmax", [0.8, 1.5, 4.0])
def test_few_wide_bins(qmax):
    """A low Qmax makes bins that are wide beside the bonds."""
    x = cluster(1.9)[None]
    for widths in ({"delta2": 2.0}, {"delta1": 0.5}, {"qbroad": 0.02}):
        g, exact = (
            pure.debye_pdf(
                x, u_iso=0.01, qmin=0.1, qmax=qmax, precision=p, **widths
            )
            for p in (1e-10, EXACT)
        )
        assert deviation(g, exact) < 1e-10


@pytest.mark.parametrize("apart", [0.02, 0.3])
def test_a_table_serves_no_width_that_is_cut(apart):
    """Widths of 0 at some stretches, after a table was made at others."""
    x = torch.tensor([[0.0, 0, 0], [apart, 0, 0], [0, 1.2, 0]]).double()
    pairs, grid = PairCache(x), Grid(1.5, 29.995)
    for u, delta2, stretch in (
        (0.008, 0.9 * apart**2, 1.0),
        (0.008, 0.98 * apart**2, 0.95),
        (0.1, 0.95 * apart**2, 1.07),
        (1.4e-4, 7.96, 1.1),
        (0.03, 1.4, 1.0),
        (0.03, 1.4, 1.09),
        (0.0, 0.5 * apart**2, 0.9),
        (0.08, -2.0, 1.1),
    ):
        widths = {"u_iso": u, "delta2": delta2, "qmin": 0.9, "qmax": 23.0}
        exact = pure.debye_pdf(
            x[None],
            stretch=stretch,
            precision=EXACT,
            rmin=grid.rmin,
            rmax=grid.rmax,
            **widths,
        )
        g = pairs.pdf(Conditions(**widths), grid, stretch=stretch)
        assert deviation(torch.tensor(g), exact[0]) < 1e-10
