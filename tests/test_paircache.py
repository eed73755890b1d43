"""Kept pairs and stretch scans against one curve at a time."""

import numpy as np
import pytest
import torch

from diffpy_cbldm.debye import pure
from diffpy_cbldm.debye.stretches import stretch_scan
from diffpy_cbldm.errors import CbldmError
from diffpy_cbldm.fitting.calculator import PairCache


def clusters(batch, n, dtype=torch.float64):
    generator = torch.Generator().manual_seed(n)
    x = torch.rand(batch, n, 3, generator=generator, dtype=torch.float64)
    lattice = torch.cartesian_prod(*[torch.arange(5.0) - 2] * 3)
    near = lattice[lattice.norm(dim=1).argsort(stable=True)[:n]]
    return (2.7 * near + 0.4 * x).to(dtype)


def deviation(g, exact):
    return float((g - exact).abs().amax() / exact.abs().amax())


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"u_iso": 0.008, "scale": 0.5, "qdamp": 0.04},
        {"delta2": 2.5},
        {"delta2": 12.0},
        {"delta1": 0.4, "qbroad": 0.02, "stretch": 1.03},
        {"stretch": 0.97, "qmax": 20.0, "rmax": 20.0},
        {"rmax": 8.0},
    ],
)
def test_kept_pairs_give_the_same_curve(change):
    x = clusters(1, 40)
    cache = PairCache(x[0].numpy(), ["Pt"] * 40)
    settings = {"u_iso": 0.005, "qmin": 0.8} | change
    exact = pure.debye_pdf(x, precision=1e-13, **settings)[0]
    for _ in range(2):
        g = cache.pdf(**settings)
        assert isinstance(g, np.ndarray)
        assert deviation(torch.tensor(g), exact) < 1e-10
        cache.pdf(u_iso=0.02, stretch=1.01)


def test_one_width_per_atom():
    x = clusters(1, 8)
    u = torch.linspace(0.003, 0.01, 8, dtype=torch.float64)
    exact = pure.debye_pdf(x, u_iso=u[None])[0]
    assert deviation(torch.tensor(PairCache(x[0]).pdf(u_iso=u)), exact) < 1e-12


def test_cache_errors():
    x = clusters(1, 8)[0]
    with pytest.raises(CbldmError, match="one"):
        PairCache(x, ["Pt"] * 7 + ["Au"])
    with pytest.raises(CbldmError, match="stands twice"):
        PairCache(torch.cat([x, x[:1]]))
    with pytest.raises(CbldmError, match="NaN"):
        PairCache(x * torch.nan)
    with pytest.raises(CbldmError, match="u_iso is -1"):
        PairCache(x).pdf(u_iso=-1.0)


@pytest.mark.parametrize(
    ("precision", "dtype"),
    [
        (1e-3, torch.float32),
        (1e-4, torch.float32),
        (1e-4, torch.float64),
        (1e-6, torch.float64),
        (1e-10, torch.float64),
    ],
)
@pytest.mark.parametrize("widths", [{}, {"delta2": 2.0}])
def test_scan_is_one_curve_at_a_time(precision, dtype, widths):
    x, lengths = clusters(3, 60, dtype), torch.tensor([60, 23, 2])
    z = torch.tensor([[0.9, 1.0, 1.1], [0.95, 1.02, 0.99], [1, 1.2, 0.8]])
    settings = {"u_iso": 0.006, "qmin": 0.8, "qdamp": 0.03, "scale": 0.7}
    settings |= widths
    g = stretch_scan(
        x, lengths, stretch=z.to(dtype), precision=precision, **settings
    )
    assert g.shape == (3, 3, 3000) and g.dtype == dtype
    for k in range(3):
        exact = pure.debye_pdf(
            x.double(), lengths, stretch=z.to(dtype)[:, k].double(),
            precision=1e-13, **settings,
        )  # fmt: skip
        for b in range(3):
            assert deviation(g[b, k].double(), exact[b]) < precision


def test_scan_of_clusters_longer_than_the_range():
    x = clusters(1, 60)
    z = torch.tensor([1.0, 1.4], dtype=torch.float64)
    g = stretch_scan(x, stretch=z, u_iso=0.006, rmax=6.0, precision=1e-6)
    for k in range(2):
        exact = pure.debye_pdf(x, stretch=z[k], u_iso=0.006, rmax=6.0)
        assert deviation(g[0, k], exact[0]) < 1e-6


@pytest.mark.parametrize("bad", [[[1.0]], [0.0], [float("nan")], []])
def test_scan_errors(bad):
    with pytest.raises(CbldmError, match="stretch"):
        stretch_scan(clusters(2, 5), stretch=torch.tensor(bad), u_iso=0.005)
